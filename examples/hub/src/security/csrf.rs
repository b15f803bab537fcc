//! Tokens that show that a form was made by us, for this browser.
//!
//! Double submit (row A7): what stands in the form belongs to what stands in a cookie. A token is 16
//! random bytes and their HMAC with the value of the cookie, so that a foreign site, which can
//! neither read our cookie nor our pages, has none that fits, and one that plants a cookie of its own
//! has no key to make one. Each page has other random bytes, so that compressed pages of one session
//! do not give its token away. Beside it stands the check of where a request comes from, in
//! `origin`. What not: requests with a bearer token, which no browser adds by itself.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::secret::base64url;
use crate::random::random_bytes;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The forms of a session.
    Session,
    /// The login form, before there is a session.
    Login,
    /// A browser in which a person logged in before; see `lockout`.
    Device,
}

/// The key of all such tokens.
#[derive(Clone)]
pub(crate) struct CsrfKey(Hmac<Sha256>);

impl CsrfKey {
    /// Takes the secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        match Hmac::new_from_slice(secret) {
            Ok(keyed) => Self(keyed),
            // HMAC takes a key of any length.
            Err(error) => panic!("a secret is no key: {error}"),
        }
    }

    /// Makes a token that belongs to what a cookie stands for.
    pub(crate) fn token(&self, purpose: Purpose, subject: &[u8]) -> String {
        let nonce = base64url(&random_bytes::<16>());
        let mac = self.mac(purpose, subject, &nonce);
        format!("{nonce}.{mac}")
    }

    /// Tells in constant time whether a token belongs to it.
    pub(crate) fn is_token(&self, purpose: Purpose, subject: &[u8], token: &str) -> bool {
        let Some((nonce, shown)) = token.split_once('.') else {
            return false;
        };
        if token.len() > TOKEN_BYTES_MAX {
            return false;
        }
        let mac = self.mac(purpose, subject, nonce);
        bool::from(mac.as_bytes().ct_eq(shown.as_bytes()))
    }

    fn mac(&self, purpose: Purpose, subject: &[u8], nonce: &str) -> String {
        let domain: &[u8] = match purpose {
            Purpose::Session => b"monsys-csrf-v1\n",
            Purpose::Login => b"monsys-login-v1\n",
            Purpose::Device => b"monsys-device-v1\n",
        };
        let length = u64::try_from(subject.len()).unwrap_or(u64::MAX);
        let mac = self.0.clone().chain_update(domain);
        let mac = mac.chain_update(length.to_be_bytes()).chain_update(subject);
        let mac = mac.chain_update(nonce);
        base64url(&mac.finalize().into_bytes())
    }
}

/// Longest token that is looked at, in bytes; ours have 66.
const TOKEN_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_a_token_fits_its_cookie_its_purpose_and_its_hub_only() {
        let (key, other) = (CsrfKey::new(&[1; 32]), CsrfKey::new(&[2; 32]));
        let token = key.token(Purpose::Session, b"session");
        assert!(key.is_token(Purpose::Session, b"session", &token));
        assert!(!key.is_token(Purpose::Session, b"sessio", &token));
        assert!(!key.is_token(Purpose::Login, b"session", &token));
        assert!(!key.is_token(Purpose::Device, b"session", &token));
        assert!(!other.is_token(Purpose::Session, b"session", &token));
        assert_ne!(token, key.token(Purpose::Session, b"session"));
    }

    #[test]
    fn a7_what_is_changed_or_no_token_does_not_fit() {
        let key = CsrfKey::new(&[1; 32]);
        let token = key.token(Purpose::Session, b"session");
        for at in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert!(!key.is_token(Purpose::Session, b"session", &bad), "{bad}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            &token[1..],
            &format!("{token}A"),
            &"a.".repeat(99),
        ] {
            assert!(!key.is_token(Purpose::Session, b"session", bad), "{bad}");
        }
    }
}
