//! The name of a hub, which every signature covers so that it is worth nothing at another hub.

use alloc::string::String;
use core::fmt;

use thiserror::Error;

/// A hub's identifier: 1 to 128 printable ASCII characters without space, quote or backslash.
///
/// The form keeps signed messages unambiguous, since their parts are joined by line feeds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audience {
    text: String,
}

/// Says that a text names no hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "not a hub id: expected 1 to 128 printable ASCII characters without space, quote, backslash"
)]
pub struct AudienceError;

impl Audience {
    /// Takes a hub's identifier.
    ///
    /// # Errors
    /// [`AudienceError`] for any other form.
    pub fn parse(text: &str) -> Result<Self, AudienceError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if (1..=AUDIENCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self {
                text: String::from(text),
            })
        } else {
            Err(AudienceError)
        }
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Longest hub identifier: a host name with a port fits.
const AUDIENCE_BYTES_MAX: usize = 128;
