//! The headers of a request: their names, which stand only here, and their grammar.
//!
//! Headers come as pairs of name and bytes, as any HTTP library has them; names are compared
//! without case. What a header claims is not yet true: a [`BearerToken`] is only well-formed.

use alloc::string::String;
use core::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base64url;
use crate::reject::{Reject, SignatureFault};
use crate::sign::Signature;

mod hmac;

// The public interface is
pub use hmac::{DeviceHeaders, SignedHeaders};

/// The header that carries the bearer token.
pub const AUTHORIZATION: &str = "authorization";
/// The header that carries the signature of the body.
pub const SIGNATURE: &str = "x-monsys-signature";
/// The header that names the organisation in the hmac profile.
pub const ORG: &str = "x-em-org";
/// The header that names the device in the hmac profile.
pub const DEVICE: &str = "x-em-device";
/// The header that says when a request was signed in the hmac profile, in Unix seconds.
pub const TIMESTAMP: &str = "x-em-timestamp";
/// The header that tells two requests of a device apart in the hmac profile.
pub const NONCE: &str = "x-em-nonce";
/// The header that carries the MAC in the hmac profile.
pub const MAC: &str = "x-em-signature";
/// The header that says what the body is.
pub const CONTENT_TYPE: &str = "content-type";
/// The header that says how the body is packed.
pub const CONTENT_ENCODING: &str = "content-encoding";
/// The header that says when to try again.
pub const RETRY_AFTER: &str = "retry-after";
/// The header that tells the hub's clock, against which a date in the former is read.
pub const DATE: &str = "date";
/// The type of a body.
pub const JSON_TYPE: &str = "application/json";
/// The type of a refusal.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// The headers of a request in the ed25519 profile, each in its documented form.
#[derive(Debug)]
pub struct RequestHeaders {
    token: BearerToken,
    signature: SignatureHeader,
}

/// What the signature header holds. Closed: there is no fourth case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureHeader {
    /// Not there, or empty.
    Absent,
    /// Repeated, or not 128 lower-case hexadecimal digits.
    Malformed,
    /// A signature, not verified.
    Present(Signature),
}

/// The secret by which an agent says who it is: `ms_` and 43 base64url characters.
///
/// It is wiped when dropped and never printed; a hub stores [`BearerToken::digest`] only, and
/// looking up a digest gives away nothing about other tokens.
pub struct BearerToken {
    text: Zeroizing<[u8; TOKEN_BYTES]>,
}

impl RequestHeaders {
    /// Reads the headers of a request; those of other names are passed over.
    ///
    /// # Errors
    /// [`Reject::Unauthorized`] unless there is exactly one `Authorization: Bearer ms_…`;
    /// [`Reject::UnsupportedMediaType`] for a body that is not said to be plain JSON. An absent
    /// content type is accepted.
    pub fn parse<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<Self, Reject> {
        let mut authorization = Field::Absent;
        let mut signature = Field::Absent;
        let mut is_plain_json = Ok(());
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(AUTHORIZATION) {
                authorization = authorization.and(value);
            } else if name.eq_ignore_ascii_case(SIGNATURE) {
                signature = signature.and(value);
            } else if let Err(reject) = plain_json(name, value) {
                is_plain_json = Err(reject);
            }
        }
        let token = match authorization {
            Field::Once(value) => bearer(value).ok_or(Reject::Unauthorized)?,
            Field::Absent | Field::Repeated => return Err(Reject::Unauthorized),
        };
        is_plain_json?;
        Ok(Self {
            token,
            signature: SignatureHeader::of(signature),
        })
    }

    /// The token that the request claims.
    #[must_use]
    pub const fn token(&self) -> &BearerToken {
        &self.token
    }

    /// The signature that the request claims.
    #[must_use]
    pub const fn signature(&self) -> SignatureHeader {
        self.signature
    }
}

impl SignatureHeader {
    const fn is_empty(field: Field<'_>) -> bool {
        matches!(field, Field::Absent | Field::Once([]))
    }

    fn of(field: Field<'_>) -> Self {
        match field {
            empty if Self::is_empty(empty) => Self::Absent,
            Field::Once(value) => {
                Signature::parse_hex(value).map_or(Self::Malformed, Self::Present)
            }
            Field::Absent | Field::Repeated => Self::Malformed,
        }
    }

    /// The signature, if there is one.
    ///
    /// # Errors
    /// [`Reject::BadSignature`] for a malformed header.
    pub(crate) const fn well_formed(self) -> Result<Option<Signature>, Reject> {
        match self {
            Self::Absent => Ok(None),
            Self::Present(signature) => Ok(Some(signature)),
            Self::Malformed => Err(Reject::BadSignature {
                reason: SignatureFault::Malformed,
            }),
        }
    }
}

impl BearerToken {
    /// Makes a token from 32 bytes of a cryptographic random source.
    #[must_use]
    pub fn from_random_bytes(random: [u8; 32]) -> Self {
        let random = Zeroizing::new(random);
        let mut text = Zeroizing::new([b'A'; TOKEN_BYTES]);
        let characters = TOKEN_PREFIX
            .iter()
            .copied()
            .chain(base64url::characters(random.as_slice()));
        for (slot, character) in text.iter_mut().zip(characters) {
            *slot = character;
        }
        Self { text }
    }

    /// Reads a token; None for any other form.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let random = text.strip_prefix(TOKEN_PREFIX)?;
        let is_base64url = random.iter().all(|byte| base64url::is_character(*byte));
        let text: [u8; TOKEN_BYTES] = text.try_into().ok()?;
        is_base64url.then(|| Self {
            text: Zeroizing::new(text),
        })
    }

    /// SHA-256 of the whole token, which a hub stores in its place.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_slice()).into()
    }

    /// The token itself, to be shown once to the person who enrols an agent.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        // Cannot be the default: every way in takes ASCII only.
        str::from_utf8(self.text.as_slice()).unwrap_or_default()
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn to_header_value(&self) -> String {
        alloc::format!("Bearer {}", self.expose_text())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// How often a header came.
#[derive(Clone, Copy)]
enum Field<'h> {
    Absent,
    Once(&'h [u8]),
    Repeated,
}

impl<'h> Field<'h> {
    const fn and(self, value: &'h [u8]) -> Self {
        match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        }
    }
}

/// The token of `Bearer <token>`; the scheme is compared without case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<BearerToken> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    if !scheme.eq_ignore_ascii_case(BEARER) {
        return None;
    }
    BearerToken::parse(token)
}

/// Refuses a header that says the body is something else than plain JSON.
fn plain_json(name: &str, value: &[u8]) -> Result<(), Reject> {
    let refused = |header| Err(Reject::UnsupportedMediaType { header });
    if name.eq_ignore_ascii_case(CONTENT_TYPE) && !is_json_type(value) {
        return refused(CONTENT_TYPE);
    }
    if name.eq_ignore_ascii_case(CONTENT_ENCODING) && !is_identity(value) {
        return refused(CONTENT_ENCODING);
    }
    Ok(())
}

/// Whether a content type is JSON in UTF-8.
fn is_json_type(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case(JSON_TYPE.as_bytes()));
    is_json && parts.all(is_utf8_parameter)
}

fn is_utf8_parameter(parameter: &[u8]) -> bool {
    [&b"charset=utf-8"[..], b"charset=\"utf-8\""]
        .iter()
        .any(|known| parameter.eq_ignore_ascii_case(known))
}

fn is_identity(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"identity")
}

const BEARER: &[u8] = b"Bearer ";
const TOKEN_PREFIX: &[u8] = b"ms_";
const TOKEN_BYTES: usize = 46;
