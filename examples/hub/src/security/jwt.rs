//! Tokens of people's programs: JSON Web Tokens, signed with HS256 and nothing else.
//!
//! What: an access token says who asks, for 15 minutes; a refresh token is good for the next pair,
//! once. Each kind has a secret of its own and names itself in `typ`, so that neither passes for the
//! other. What not: whether the person may still do anything, which the store says at each request;
//! the role in an access token is for its reader only. Cost: one HMAC each, no look-up.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use monsys_core::id::{TenantId, UserId};
use monsys_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::secret::base64url;
use crate::random::random_bytes;
use crate::store::{CredentialsEpoch, Holder, REFRESH_IDLE_S, SessionUser};

/// How long an access token is good, in seconds: 15 minutes (row A2).
pub(crate) const ACCESS_S: i64 = 15 * 60;
/// By how much clocks may differ, in seconds (row A2).
const LEEWAY_S: i64 = 30;
/// Longest token that is looked at, in bytes; ours have about 500.
const TOKEN_BYTES_MAX: usize = 2_048;
/// Who gives out tokens.
const ISSUER: &str = "monsys-hub";

/// Makes and reads the tokens of one hub.
pub(crate) struct Tokens {
    access: Keys,
    refresh: Keys,
    audience: String,
}

/// Which of the two kinds a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Says who asks.
    Access,
    /// Is good for the next pair.
    Refresh,
}

/// A token that is not ours, not of this kind, or not good at this time; which of these stays with
/// the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotValid;

/// A refresh token that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// What the store keeps of it.
    pub(crate) digest: [u8; 32],
    /// The organisation it says.
    tenant: TenantId,
    /// The person it says.
    user: UserId,
}

/// A refresh token and what the store keeps of it.
pub(crate) struct RefreshToken {
    /// What its holder gets.
    pub(crate) text: String,
    /// What the store keeps.
    pub(crate) digest: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    org: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    typ: Kind,
    /// How often what the person holds was made void when the token was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<i64>,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Claims {
    fn person(&self) -> Result<(TenantId, UserId), NotValid> {
        let tenant = TenantId::parse(&self.org).map_err(|_| NotValid)?;
        let user = UserId::parse(&self.sub).map_err(|_| NotValid)?;
        Ok((tenant, user))
    }
}

struct Keys {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Keys {
    fn new(secret: &[u8]) -> Self {
        Self {
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
        }
    }
}

impl Tokens {
    /// Takes the two secrets, and the identity of the hub that alone takes these tokens.
    pub(crate) fn new(access: &[u8], refresh: &[u8], hub_id: &str) -> Self {
        // It is there already when this process opened a hub before, and is the same.
        let _ = HS256_ONLY.install_default();
        Self {
            access: Keys::new(access),
            refresh: Keys::new(refresh),
            audience: hub_id.to_owned(),
        }
    }

    /// Makes an access token for a person as they are.
    pub(crate) fn access(&self, user: &SessionUser, now: Timestamp) -> String {
        let claims = Claims {
            role: Some(user.role.as_str().to_owned()),
            epoch: Some(user.epoch.to_number()),
            ..self.claims(Kind::Access, (user.tenant, user.user), now)
        };
        sign(&claims, &self.access)
    }

    /// Makes the first refresh token of a person.
    pub(crate) fn refresh(&self, user: &SessionUser, now: Timestamp) -> RefreshToken {
        self.refresh_of((user.tenant, user.user), now)
    }

    /// Makes a refresh token that may take the place of another.
    pub(crate) fn next(&self, shown: &Shown, now: Timestamp) -> RefreshToken {
        self.refresh_of((shown.tenant, shown.user), now)
    }

    fn refresh_of(&self, person: (TenantId, UserId), now: Timestamp) -> RefreshToken {
        let text = sign(&self.claims(Kind::Refresh, person, now), &self.refresh);
        let digest = digest(&text);
        RefreshToken { text, digest }
    }

    /// Reads whose access token this is, and until when it is taken.
    ///
    /// # Errors
    /// When it is not valid.
    pub(crate) fn read_access(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<(Holder, Timestamp), NotValid> {
        let claims = self.read(Kind::Access, text, now)?;
        let (tenant, user) = claims.person()?;
        let left_s = claims.exp.saturating_add(LEEWAY_S) - seconds(now);
        let holder = Holder {
            tenant,
            user,
            epoch: CredentialsEpoch::from_number(claims.epoch.ok_or(NotValid)?),
        };
        Ok((holder, now.saturating_add(Span::from_secs(left_s))))
    }

    /// Reads a refresh token.
    ///
    /// # Errors
    /// When it is not valid; whether it was used before, the store knows.
    pub(crate) fn read_refresh(&self, text: &str, now: Timestamp) -> Result<Shown, NotValid> {
        let (tenant, user) = self.read(Kind::Refresh, text, now)?.person()?;
        let digest = digest(text);
        Ok(Shown {
            digest,
            tenant,
            user,
        })
    }

    fn claims(&self, kind: Kind, (tenant, user): (TenantId, UserId), now: Timestamp) -> Claims {
        let iat = seconds(now);
        Claims {
            iss: ISSUER.to_owned(),
            aud: self.audience.clone(),
            sub: user.to_string(),
            org: tenant.to_string(),
            role: None,
            typ: kind,
            epoch: None,
            jti: base64url(&random_bytes::<16>()),
            iat,
            nbf: iat,
            exp: iat.saturating_add(match kind {
                Kind::Access => ACCESS_S,
                Kind::Refresh => REFRESH_IDLE_S,
            }),
        }
    }

    fn read(&self, kind: Kind, text: &str, now: Timestamp) -> Result<Claims, NotValid> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(NotValid);
        }
        let keys = match kind {
            Kind::Access => &self.access,
            Kind::Refresh => &self.refresh,
        };
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        rules.set_audience(&[&self.audience]);
        rules.set_issuer(&[ISSUER]);
        // Checked below: the library reads the clock by itself, and here time is an argument.
        (rules.validate_exp, rules.validate_nbf) = (false, false);
        let read = jsonwebtoken::decode::<Claims>(text, &keys.verifying, &rules);
        let claims = read.map_err(|_| NotValid)?.claims;
        let now = seconds(now);
        let is_good_now = now <= claims.exp.saturating_add(LEEWAY_S)
            && claims.nbf <= now.saturating_add(LEEWAY_S);
        (is_good_now && claims.typ == kind)
            .then_some(claims)
            .ok_or(NotValid)
    }
}

/// Returns what the store keeps of a refresh token.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn seconds(at: Timestamp) -> i64 {
    at.unix_micros().div_euclid(1_000_000)
}

fn sign(claims: &Claims, keys: &Keys) -> String {
    match jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &keys.signing) {
        Ok(text) => text,
        // Claims are texts and numbers, and HMAC takes a key of any length.
        Err(error) => panic!("a token was not signed: {error}"),
    }
}

/// The one algorithm there is. A token that names another finds nobody to verify it, even where the
/// rules above were wrong.
static HS256_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes())?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(secret: &[u8]) -> jsonwebtoken::errors::Result<Self> {
        let keyed = Hmac::new_from_slice(secret).map_err(|_| ErrorKind::InvalidKeyFormat)?;
        Ok(Self(keyed))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mac = self.0.clone().chain_update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], shown: &Vec<u8>) -> Result<(), signature::Error> {
        let mac = self.0.clone().chain_update(message);
        // In constant time, and of its whole length.
        mac.verify_slice(shown).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use monsys_core::name::DisplayName;

    use super::*;
    use crate::store::Role;

    const HUB: &str = "11111111-1111-4111-8111-111111111111";

    fn tokens() -> Tokens {
        Tokens::new(&[1; 32], &[2; 32], HUB)
    }

    fn user() -> SessionUser {
        SessionUser {
            user: UserId::from_random_bytes([1; 16]),
            tenant: TenantId::from_random_bytes([2; 16]),
            tenant_name: DisplayName::parse("acme").unwrap(),
            email: "ada@acme.example".to_owned(),
            role: Role::Admin,
            epoch: CredentialsEpoch::from_number(7),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_795_000_000_000_000)
            .unwrap()
            .saturating_add(Span::from_secs(seconds))
    }

    /// RFC 7515 appendix A.1.
    #[test]
    fn a2_signatures_are_those_of_the_standard() {
        const TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        // The key of the appendix, as bytes.
        const KEY: [u8; 64] = [
            3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40,
            230, 240, 84, 201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6,
            71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205,
            154, 245, 103, 208, 128, 163,
        ];
        let (message, signature) = TOKEN.rsplit_once('.').unwrap();
        let signed = Hs256::new(&KEY).unwrap().try_sign(message.as_bytes());
        let signed = signed.unwrap();
        assert_eq!(base64url(&signed), signature);
        let verifier = Hs256::new(&KEY).unwrap();
        assert!(verifier.verify(message.as_bytes(), &signed).is_ok());
        assert!(
            verifier
                .verify(message.as_bytes(), &signed[..31].to_vec())
                .is_err()
        );
        assert!(verifier.verify(&message.as_bytes()[1..], &signed).is_err());
    }

    #[test]
    fn a2_an_access_token_lives_15_minutes_and_30_seconds_of_leeway() {
        let (tokens, user) = (tokens(), user());
        let text = tokens.access(&user, at(0));
        let holder = Holder::from(&user);
        for (after, is_good) in [
            (-31, false),
            (-30, true),
            (0, true),
            (900, true),
            (930, true),
            (931, false),
        ] {
            let read = tokens.read_access(&text, at(after));
            assert_eq!(
                read.map(|(holder, _)| holder) == Ok(holder),
                is_good,
                "{after} s"
            );
        }
    }

    #[test]
    fn a2_neither_kind_passes_for_the_other_even_with_one_secret_for_both() {
        let user = user();
        for tokens in [tokens(), Tokens::new(&[1; 32], &[1; 32], HUB)] {
            let access = tokens.access(&user, at(0));
            let refresh = tokens.refresh(&user, at(0));
            let shown = tokens.read_refresh(&refresh.text, at(1));
            assert_eq!(shown.map(|shown| shown.digest), Ok(refresh.digest));
            assert_eq!(tokens.read_access(&refresh.text, at(1)), Err(NotValid));
            assert_eq!(tokens.read_refresh(&access, at(1)), Err(NotValid));
        }
    }

    #[test]
    fn a2_tokens_of_other_hubs_other_secrets_and_other_algorithms_are_refused() {
        let (tokens, user) = (tokens(), user());
        let other_hub = Tokens::new(&[1; 32], &[2; 32], "22222222-2222-4222-8222-222222222222");
        let other_secret = Tokens::new(&[3; 32], &[2; 32], HUB);
        for other in [&other_hub, &other_secret] {
            let text = other.access(&user, at(0));
            assert_eq!(tokens.read_access(&text, at(1)), Err(NotValid));
        }
        let text = tokens.access(&user, at(0));
        let (_, rest) = text.split_once('.').unwrap();
        let (claims, signature) = rest.split_once('.').unwrap();
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"HS384","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"typ":"JWT"}"#,
        ] {
            let header = base64url(header.as_bytes());
            let message = format!("{header}.{claims}");
            let resigned = Hs256::new(&[1; 32]).unwrap().try_sign(message.as_bytes());
            let resigned = base64url(&resigned.unwrap());
            for signature in ["", signature, &resigned] {
                let forged = format!("{message}.{signature}");
                assert_eq!(
                    tokens.read_access(&forged, at(1)),
                    Err(NotValid),
                    "{forged}"
                );
            }
        }
        let long = format!("{text}{}", "A".repeat(TOKEN_BYTES_MAX));
        for bad in [
            "",
            ".",
            "..",
            "a.b.c",
            &text[1..],
            &format!("{text}."),
            &long,
        ] {
            assert_eq!(tokens.read_access(bad, at(1)), Err(NotValid), "{bad}");
        }
    }

    #[test]
    fn two_refresh_tokens_of_one_moment_differ() {
        let (tokens, user) = (tokens(), user());
        let (one, other) = (tokens.refresh(&user, at(0)), tokens.refresh(&user, at(0)));
        assert_ne!(one.digest, other.digest);
    }
}
