//! Random secrets that people carry in links and cookies.
//!
//! 32 random bytes as 43 base64url characters; the store keeps their SHA-256 digest.

use sha2::{Digest, Sha256};

use crate::random::random_bytes;

/// A secret in its text form.
pub(crate) struct Secret(String);

impl Secret {
    /// Makes a new secret.
    pub(crate) fn random() -> Self {
        Self(base64url(&random_bytes::<32>()))
    }

    /// Takes a text that may be a secret; `None` when it cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (text.len() == 43 && text.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }

    /// Returns the text that goes into a link or cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Returns what the store keeps.
    pub(crate) fn digest(&self) -> [u8; 32] {
        digest_of(&self.0)
    }
}

/// Returns what the store keeps of a secret in its text form.
pub(crate) fn digest_of(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Writes bytes as base64url without padding (RFC 4648 §5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk
            .iter()
            .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        let value = value << (8 * (3 - chunk.len()));
        for place in (0..=chunk.len()).map(|i| 18 - 6 * i) {
            let index = usize::try_from(value >> place & 63).unwrap_or(0);
            text.extend(ALPHABET.get(index).map(|b| char::from(*b)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_follows_rfc_4648() {
        let cases: [(&[u8], &str); 5] = [
            (b"", ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (&[0xfb, 0xff], "-_8"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64url(bytes), text);
        }
    }

    #[test]
    fn secrets_round_trip_and_differ() {
        let (one, other) = (Secret::random(), Secret::random());
        assert_eq!(Secret::parse(one.expose()).unwrap().digest(), one.digest());
        assert_ne!(one.digest(), other.digest());
        for bad in ["", "a", &"!".repeat(43), &"a".repeat(44)] {
            assert!(Secret::parse(bad).is_none());
        }
    }
}
