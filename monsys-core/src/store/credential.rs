//! By what an agent proves who it is, as a store keeps it.
//!
//! An agent has exactly one credential for its whole life, so there is nothing to downgrade to.

use alloc::boxed::Box;
use core::fmt;

use zeroize::Zeroizing;

use super::{PublicKey, TokenDigest};
use crate::time::Timestamp;

/// How an agent proves who it is. Closed: contract §3 has two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthProfile {
    /// Bearer token and Ed25519 signature.
    Ed25519,
    /// A shared key per device.
    Hmac,
}

impl AuthProfile {
    /// Returns the word used in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Hmac => "hmac",
        }
    }
}

/// The credential of an agent about to be enrolled. Closed, as the profiles are.
#[derive(Debug, Clone)]
pub enum NewCredential {
    /// For the ed25519 profile.
    Token {
        /// The digest of its token.
        token: TokenDigest,
        /// Its key, when known from the start.
        key: Option<PublicKey>,
        /// Until when it may pin a key by itself.
        pin_until: Timestamp,
    },
    /// For the hmac profile.
    Device {
        /// What it shares with the hub.
        key: SharedKey,
    },
}

impl NewCredential {
    /// The profile it is for.
    pub const fn profile(&self) -> AuthProfile {
        match self {
            Self::Token { .. } => AuthProfile::Ed25519,
            Self::Device { .. } => AuthProfile::Hmac,
        }
    }
}

/// The 32 bytes that a device shares with its hub. They are kept as they are, because a MAC cannot
/// be checked with a digest of its key; they are wiped when dropped and never printed.
#[derive(Clone)]
pub struct SharedKey {
    // In a box, so that moving the key leaves no copy behind.
    bytes: Box<Zeroizing<[u8; 32]>>,
}

impl SharedKey {
    /// Takes a copy of 32 secret bytes.
    pub fn from_secret_bytes(secret: &[u8; 32]) -> Self {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        bytes.copy_from_slice(secret);
        Self { bytes }
    }

    /// The secret bytes.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(…)")
    }
}

/// What is known of the key by which an agent's payloads are verified. Closed: each asks for other
/// words on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// ed25519: none is pinned, so nothing the agent sends can be verified.
    Unpinned,
    /// ed25519: its public key is pinned.
    Pinned(PublicKey),
    /// hmac: it was enrolled with a shared key; there is nothing to pin.
    Shared,
}

impl KeyState {
    /// The profile of an agent with such a key.
    pub const fn profile(self) -> AuthProfile {
        match self {
            Self::Unpinned | Self::Pinned(_) => AuthProfile::Ed25519,
            Self::Shared => AuthProfile::Hmac,
        }
    }

    /// Whether a public key is pinned; `None` in the profile that pins none.
    pub const fn is_pinned(self) -> Option<bool> {
        match self {
            Self::Unpinned => Some(false),
            Self::Pinned(_) => Some(true),
            Self::Shared => None,
        }
    }

    /// Whether payloads of the agent can be verified.
    pub const fn can_verify(self) -> bool {
        match self {
            Self::Unpinned => false,
            Self::Pinned(_) | Self::Shared => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_key_is_never_printed() {
        let key = SharedKey::from_secret_bytes(&[0xab; 32]);
        let credential = NewCredential::Device { key: key.clone() };
        assert_eq!(key.expose_bytes(), &[0xab; 32]);
        for text in [alloc::format!("{key:?}"), alloc::format!("{credential:?}")] {
            assert!(!text.contains("ab") && !text.contains("171"), "{text}");
        }
    }

    #[test]
    fn a_device_is_never_called_unpinned() {
        assert_eq!(KeyState::Shared.is_pinned(), None);
        assert!(KeyState::Shared.can_verify());
        assert_eq!(KeyState::Shared.profile().as_str(), "hmac");
    }
}
