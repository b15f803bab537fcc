//! The secrets that sign what people carry: access tokens, refresh tokens, tokens of forms.
//!
//! Three of them, so that no token passes for one of another kind even where a check is forgotten.
//! No flag and no file in TOML holds one. Without them a hub in development makes its own, which end
//! with the process; in production it refuses to start.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Examination;
use super::names::{find_secret, shown};
use super::serving::Environment;
use crate::error::Failure;
use crate::random::random_bytes;

/// Least length of a secret, in bytes: that of the output of HMAC-SHA256 (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;

/// What signs what people carry; a copy is a reference.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    /// Signs access tokens.
    pub(crate) access: SigningSecret,
    /// Signs refresh tokens.
    pub(crate) refresh: SigningSecret,
    /// Signs tokens of forms.
    pub(crate) csrf: SigningSecret,
}

/// One secret: it is never shown, and wiped at the end.
#[derive(Clone)]
pub(crate) struct SigningSecret {
    name: &'static str,
    bytes: Arc<Zeroizing<Vec<u8>>>,
    origin: Origin,
}

/// Where a secret comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The operator.
    Configured,
    /// This process, with which it ends.
    Ephemeral,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret({}, …)", self.name)
    }
}

impl SigningSecret {
    /// The bytes, for the key of a MAC and nothing else.
    #[allow(dead_code, reason = "the tokens that it signs are built beside this")]
    pub(crate) fn expose(&self) -> &[u8] {
        &self.bytes
    }

    fn read(name: &'static str) -> Result<Self, Failure> {
        let (bytes, origin) = match find_secret(name)? {
            Some(found) => (found.text.into_bytes(), Origin::Configured),
            None => (
                random_bytes::<SECRET_BYTES_MIN>().to_vec(),
                Origin::Ephemeral,
            ),
        };
        Ok(Self {
            name,
            bytes: Arc::new(Zeroizing::new(bytes)),
            origin,
        })
    }
}

impl Secrets {
    /// Reads the secrets from the environment, and makes those that are not there.
    ///
    /// # Errors
    /// Configuration failures, which name the setting and never its value.
    pub(crate) fn read() -> Result<Self, Failure> {
        Ok(Self {
            access: SigningSecret::read("MONSYS_JWT_ACCESS_SECRET")?,
            refresh: SigningSecret::read("MONSYS_JWT_REFRESH_SECRET")?,
            csrf: SigningSecret::read("MONSYS_CSRF_SECRET")?,
        })
    }

    /// Says what is wrong with the secrets: in production each is a fault, elsewhere a warning.
    pub(super) fn examine(&self, environment: Environment, found: &mut Examination) {
        let mut say = |text: String| match environment {
            Environment::Production => found.faults.push(text),
            Environment::Staging | Environment::Development => found.warnings.push(text),
        };
        let all = [&self.access, &self.refresh, &self.csrf];
        for secret in all {
            let name = shown(secret.name);
            match secret.origin {
                Origin::Ephemeral => say(format!(
                    "{name} is not set: expected a secret of {SECRET_BYTES_MIN} bytes or more; \
                     one made up ends with the process, and all sessions with it"
                )),
                Origin::Configured if secret.bytes.len() < SECRET_BYTES_MIN => say(format!(
                    "{name} is too short: expected {SECRET_BYTES_MIN} bytes or more"
                )),
                Origin::Configured => {}
            }
        }
        let pairs = [(all[0], all[1]), (all[0], all[2]), (all[1], all[2])];
        for (one, other) in pairs {
            if one.bytes == other.bytes {
                let (one, other) = (shown(one.name), shown(other.name));
                say(format!("{one} and {other} are equal: expected two secrets"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &'static str, text: &str, origin: Origin) -> SigningSecret {
        SigningSecret {
            name,
            bytes: Arc::new(Zeroizing::new(text.as_bytes().to_vec())),
            origin,
        }
    }

    fn secrets(access: &str, refresh: &str, csrf: &str) -> Secrets {
        let of = |name, text| secret(name, text, Origin::Configured);
        Secrets {
            access: of("MONSYS_JWT_ACCESS_SECRET", access),
            refresh: of("MONSYS_JWT_REFRESH_SECRET", refresh),
            csrf: of("MONSYS_CSRF_SECRET", csrf),
        }
    }

    #[test]
    fn what_is_short_or_equal_is_named_and_never_shown() {
        let (a, b) = ("a".repeat(32), "b".repeat(31));
        let mut found = Examination::default();
        secrets(&a, &b, &a).examine(Environment::Production, &mut found);
        assert_eq!(found.faults.len(), 2, "{:?}", found.faults);
        assert!(found.faults[0].contains("EM_JWT_REFRESH_SECRET"));
        assert!(found.faults[1].contains("EM_CSRF_SECRET"));
        assert!(!found.faults.concat().contains(&b[..8]));
        let mut elsewhere = Examination::default();
        secrets(&a, &b, &a).examine(Environment::Staging, &mut elsewhere);
        assert_eq!(elsewhere.faults, [""; 0]);
        assert_eq!(elsewhere.warnings, found.faults);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let shown = format!("{:?}", secrets("open-sesame", "two", "three"));
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(shown.contains("MONSYS_CSRF_SECRET"), "{shown}");
    }
}
