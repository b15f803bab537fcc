//! Who signs in the hmac profile: a device of an organisation, and the nonce of one request.
//!
//! All three are words without separators, so that no byte can move from one to the next in the
//! text that is signed. An owned form is for those who send; a hub borrows from the headers.

use alloc::string::String;
use core::fmt;

use monsys_core::limit;
use monsys_core::name::is_device_word;
use thiserror::Error;

use crate::base64url;

/// A device by name: what `X-EM-Org` and `X-EM-Device` hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIdentity {
    org: String,
    device: String,
}

/// What makes one request differ from any other of the device: used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    text: String,
}

/// Why a text is no name of a device, or no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not 1 to 64 letters, digits, dots, underscores and hyphens.
    #[error("expected 1 to 64 of A-Z a-z 0-9 . _ -")]
    Word,
    /// Not 16 to 64 letters, digits, underscores and hyphens.
    #[error("expected 16 to 64 of A-Z a-z 0-9 _ -")]
    Nonce,
}

impl DeviceIdentity {
    /// Takes the names that the enrolment printed.
    ///
    /// # Errors
    /// [`DeviceError::Word`] for any other form of either.
    pub fn parse(org: &str, device: &str) -> Result<Self, DeviceError> {
        let owned = |text: &str| word(text.as_bytes()).map(String::from);
        Ok(Self {
            org: owned(org).ok_or(DeviceError::Word)?,
            device: owned(device).ok_or(DeviceError::Word)?,
        })
    }

    /// The organisation.
    #[must_use]
    pub fn org(&self) -> &str {
        &self.org
    }

    /// The device, which is also the `agent_id` of its bodies.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }
}

/// `ORG/DEVICE`, the identifier on the command line of the hub.
impl fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.device)
    }
}

impl Nonce {
    /// Makes a nonce from 16 bytes of a cryptographic random source.
    #[must_use]
    pub fn from_random_bytes(random: [u8; 16]) -> Self {
        Self {
            text: base64url::characters(&random).map(char::from).collect(),
        }
    }

    /// Takes a nonce of another making.
    ///
    /// # Errors
    /// [`DeviceError::Nonce`] for any other form.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        let text = nonce(text.as_bytes()).ok_or(DeviceError::Nonce)?;
        Ok(Self {
            text: String::from(text),
        })
    }

    /// The nonce as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads `[A-Za-z0-9._-]{1,64}`.
pub(crate) fn word(text: &[u8]) -> Option<&str> {
    core::str::from_utf8(text)
        .ok()
        .filter(|text| is_device_word(text))
}

/// Reads `[A-Za-z0-9_-]{16,64}`.
pub(crate) fn nonce(text: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| base64url::is_character(*byte);
    let has_length = (limit::NONCE_BYTES_MIN..=limit::NONCE_BYTES_MAX).contains(&text.len());
    let is_nonce = has_length && text.iter().all(is_plain);
    core::str::from_utf8(text).ok().filter(|_| is_nonce)
}
