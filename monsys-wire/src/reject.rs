//! Every reason to refuse a request, with its code and HTTP status in one table.
//!
//! A [`Reject`] is named by whose fault it is and carries what the answer may show: the place, the
//! expectation, a number. It never carries a value that the sender chose, a key or a token; the
//! pointer is the one exception, because it names members of the sender's own body.

use alloc::string::String;

use monsys_core::json::{JsonCode, JsonError};
use monsys_core::signal::Violations;
use thiserror::Error;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reject {
    /// A header that the profile needs is absent.
    #[error("expected the header {header}")]
    MissingHeader {
        /// Its name.
        header: &'static str,
    },
    /// A header is repeated or has another form.
    #[error("expected the header {header} once and in its documented form")]
    BadHeader {
        /// Its name.
        header: &'static str,
    },
    /// The body is not JSON in the accepted profile, or not canonical where that is required.
    #[error("expected JSON as documented, which ends at byte {}", error.offset)]
    Malformed {
        /// What is wrong, and at which byte.
        #[source]
        error: JsonError,
        /// Where it lies in the document, where that has a meaning.
        pointer: Option<String>,
    },
    /// The token is absent, malformed or unknown.
    #[error("expected a valid bearer token")]
    Unauthorized,
    /// The organisation or device is unknown, or the MAC is not one by its key; which of them is
    /// nobody's business.
    #[error("expected a known device and a MAC by its key")]
    UnauthorizedDevice,
    /// The request's timestamp is outside of the window.
    #[error("expected a timestamp within {window_s} seconds of the server time")]
    Stale {
        /// How far a timestamp may be off.
        window_s: u32,
    },
    /// A key is pinned and no signature came.
    #[error("expected a signature, because a key is pinned for this agent")]
    UnsignedPayload,
    /// The signature proves nothing.
    #[error("expected a signature of this body by the pinned key: {reason}")]
    BadSignature {
        /// What is wrong with it.
        reason: SignatureFault,
    },
    /// The body was made for another hub.
    #[error("expected a body made for this hub")]
    WrongAudience,
    /// The body names another agent than the credentials.
    #[error("expected the agent id of the credentials")]
    WrongAgent,
    /// The agent is enrolled in another authentication profile.
    #[error("expected the authentication profile of the enrolment")]
    WrongProfile,
    /// The agent has been revoked.
    #[error("expected an agent that is not revoked")]
    Revoked,
    /// Another key is pinned, or the time for pinning is over.
    #[error("expected the key that is pinned already, or a pin within the time allowed")]
    PinRefused,
    /// The position was used by other content, or the nonce by another request.
    #[error("expected a position and a nonce that no other payload has used")]
    Replay,
    /// The position belongs to a former life of the spool.
    #[error("expected an epoch of at least {min_epoch}")]
    StaleEpoch {
        /// The lowest epoch that will be accepted.
        min_epoch: u64,
    },
    /// The body is larger than any payload.
    #[error("expected a body of at most {body_bytes_max} bytes")]
    TooLarge {
        /// The limit.
        body_bytes_max: usize,
    },
    /// The body is of another type or encoded.
    #[error("expected application/json without content encoding")]
    UnsupportedMediaType {
        /// The header that says so.
        header: &'static str,
    },
    /// A member that the schema does not have.
    #[error("expected no other member than the documented ones")]
    UnknownField {
        /// The member.
        pointer: String,
    },
    /// A member that the schema needs is absent.
    #[error("expected a member which is absent")]
    MissingField {
        /// The absent member.
        pointer: String,
    },
    /// A member has another type, or a text does not have the form of a time.
    #[error("expected {expected}")]
    WrongType {
        /// The member.
        pointer: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A member has the right type and a value that is not allowed.
    #[error("expected {expected}")]
    OutOfRange {
        /// The member.
        pointer: String,
        /// What it should be.
        expected: &'static str,
    },
    /// At least one signal of the batch breaks a rule.
    #[error("expected valid signals, {} rules are broken", violations.total())]
    InvalidSignal {
        /// The broken rules.
        #[source]
        violations: Violations,
    },
    /// More requests than the organisation or address may send.
    #[error("expected fewer requests, again after {retry_after_s} seconds")]
    RateLimited {
        /// When to try again.
        retry_after_s: u32,
    },
    /// More nonces than the window can hold.
    #[error("expected fewer requests in one window, again after {retry_after_s} seconds")]
    ReplayCapacity {
        /// When to try again.
        retry_after_s: u32,
    },
    /// The hub cannot store; nothing was stored.
    #[error("expected a store that can be written, again after {retry_after_s} seconds")]
    StoreUnavailable {
        /// When to try again.
        retry_after_s: u32,
    },
}

/// Why a signature proves nothing. Open: another profile may know more reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureFault {
    /// Not 128 lower-case hexadecimal digits, or the header came twice.
    Malformed,
    /// Well-formed, and not a signature of this body by this key.
    Mismatch,
}

impl SignatureFault {
    /// The reason as it stands in evidence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
        }
    }
}

impl core::fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Reject {
    /// The reason without its particulars.
    #[must_use]
    pub const fn kind(&self) -> Code {
        match self {
            Self::MissingHeader { .. } => Code::MissingHeader,
            Self::BadHeader { .. } => Code::BadHeader,
            Self::Malformed { error, .. } => Code::of_json(error.code),
            Self::Unauthorized | Self::UnauthorizedDevice => Code::Unauthorized,
            Self::Stale { .. } => Code::Stale,
            Self::UnsignedPayload => Code::UnsignedPayload,
            Self::BadSignature { .. } => Code::BadSignature,
            Self::WrongAudience => Code::WrongAudience,
            Self::WrongAgent => Code::WrongAgent,
            Self::WrongProfile => Code::WrongProfile,
            Self::Revoked => Code::Revoked,
            Self::PinRefused => Code::PinRefused,
            Self::Replay => Code::Replay,
            Self::StaleEpoch { .. } => Code::StaleEpoch,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::UnsupportedMediaType { .. } => Code::UnsupportedMediaType,
            Self::UnknownField { .. } => Code::UnknownField,
            Self::MissingField { .. } => Code::MissingField,
            Self::WrongType { .. } => Code::WrongType,
            Self::OutOfRange { .. } => Code::OutOfRange,
            Self::InvalidSignal { .. } => Code::InvalidSignal,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::ReplayCapacity { .. } => Code::ReplayCapacity,
            Self::StoreUnavailable { .. } => Code::StoreUnavailable,
        }
    }

    /// The stable code of the answer.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind().status()
    }

    /// The short human title of the answer.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.kind().title()
    }

    /// The JSON pointer of the member at fault.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "most refusals have none")]
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Malformed { pointer, .. } => pointer.as_deref(),
            Self::UnknownField { pointer }
            | Self::MissingField { pointer }
            | Self::WrongType { pointer, .. }
            | Self::OutOfRange { pointer, .. } => Some(pointer),
            _ => None,
        }
    }

    /// The name of the header at fault.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "most refusals have none")]
    pub const fn header(&self) -> Option<&'static str> {
        match self {
            Self::MissingHeader { header }
            | Self::BadHeader { header }
            | Self::UnsupportedMediaType { header } => Some(*header),
            Self::UnsignedPayload | Self::BadSignature { .. } => Some(crate::header::SIGNATURE),
            Self::Unauthorized => Some(crate::header::AUTHORIZATION),
            Self::Stale { .. } => Some(crate::header::TIMESTAMP),
            _ => None,
        }
    }

    /// After how many seconds trying again makes sense; None when the same request will be refused
    /// again.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "most refusals have none")]
    pub const fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_s }
            | Self::ReplayCapacity { retry_after_s }
            | Self::StoreUnavailable { retry_after_s } => Some(*retry_after_s),
            _ => None,
        }
    }
}

/// A reason to refuse, as it stands in answers and counters. Open: adding a code is no break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each is described at the variant of Reject it belongs to"
)]
pub enum Code {
    MissingHeader,
    BadHeader,
    NotUtf8,
    Syntax,
    Depth,
    DuplicateName,
    NumberRange,
    LoneSurrogate,
    NotCanonical,
    Unauthorized,
    Stale,
    UnsignedPayload,
    BadSignature,
    WrongAudience,
    WrongAgent,
    WrongProfile,
    Revoked,
    PinRefused,
    Replay,
    StaleEpoch,
    TooLarge,
    UnsupportedMediaType,
    UnknownField,
    MissingField,
    WrongType,
    OutOfRange,
    InvalidSignal,
    RateLimited,
    ReplayCapacity,
    StoreUnavailable,
}

/// One row of the table of codes.
struct Row {
    code: &'static str,
    status: u16,
    title: &'static str,
}

const fn row(code: &'static str, status: u16, title: &'static str) -> Row {
    Row {
        code,
        status,
        title,
    }
}

impl Code {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 30] = [
        Self::MissingHeader,
        Self::BadHeader,
        Self::NotUtf8,
        Self::Syntax,
        Self::Depth,
        Self::DuplicateName,
        Self::NumberRange,
        Self::LoneSurrogate,
        Self::NotCanonical,
        Self::Unauthorized,
        Self::Stale,
        Self::UnsignedPayload,
        Self::BadSignature,
        Self::WrongAudience,
        Self::WrongAgent,
        Self::WrongProfile,
        Self::Revoked,
        Self::PinRefused,
        Self::Replay,
        Self::StaleEpoch,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UnknownField,
        Self::MissingField,
        Self::WrongType,
        Self::OutOfRange,
        Self::InvalidSignal,
        Self::RateLimited,
        Self::ReplayCapacity,
        Self::StoreUnavailable,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// A short title for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// The code of a stable name, as an agent reads it from an answer.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    const fn of_json(code: JsonCode) -> Self {
        match code {
            JsonCode::NotUtf8 => Self::NotUtf8,
            JsonCode::Depth => Self::Depth,
            JsonCode::DuplicateName => Self::DuplicateName,
            JsonCode::NumberRange => Self::NumberRange,
            JsonCode::LoneSurrogate => Self::LoneSurrogate,
            JsonCode::NotCanonical => Self::NotCanonical,
            JsonCode::Syntax | _ => Self::Syntax,
        }
    }

    /// The table of contract §3.
    const fn row(self) -> Row {
        match self {
            Self::MissingHeader => row("missing_header", 400, "a header is missing"),
            Self::BadHeader => row("bad_header", 400, "a header is malformed"),
            Self::NotUtf8 => row("not_utf8", 400, "the body is not UTF-8"),
            Self::Syntax => row("syntax", 400, "the body is not JSON"),
            Self::Depth => row("depth", 400, "the body is nested too deeply"),
            Self::DuplicateName => row("duplicate_name", 400, "an object has a name twice"),
            Self::NumberRange => row("number_range", 400, "a number is out of range"),
            Self::LoneSurrogate => row("lone_surrogate", 400, "a string is not Unicode"),
            Self::NotCanonical => row("not_canonical", 400, "the body is not canonical"),
            Self::Unauthorized => row("unauthorized", 401, "the credentials are not valid"),
            Self::Stale => row("stale", 401, "the timestamp is outside of the window"),
            Self::UnsignedPayload => row("unsigned_payload", 403, "the payload is not signed"),
            Self::BadSignature => row("bad_signature", 403, "the signature does not verify"),
            Self::WrongAudience => row("wrong_audience", 403, "made for another hub"),
            Self::WrongAgent => row("wrong_agent", 403, "made for another agent"),
            Self::WrongProfile => row("wrong_profile", 403, "enrolled in another profile"),
            Self::Revoked => row("revoked", 403, "the agent is revoked"),
            Self::PinRefused => row("pin_refused", 403, "the key is not pinned"),
            Self::Replay => row("replay", 409, "the position is used"),
            Self::StaleEpoch => row("stale_epoch", 409, "the epoch is over"),
            Self::TooLarge => row("too_large", 413, "the body is too large"),
            Self::UnsupportedMediaType => row("unsupported_media_type", 415, "not plain JSON"),
            Self::UnknownField => row("unknown_field", 422, "a member is not documented"),
            Self::MissingField => row("missing_field", 422, "a member is missing"),
            Self::WrongType => row("wrong_type", 422, "a member has another type"),
            Self::OutOfRange => row("out_of_range", 422, "a value is not allowed"),
            Self::InvalidSignal => row("invalid_signal", 422, "a signal is not valid"),
            Self::RateLimited => row("rate_limited", 429, "too many requests"),
            Self::ReplayCapacity => row("replay_capacity", 429, "too many requests in a window"),
            Self::StoreUnavailable => row("store_unavailable", 503, "the store is unavailable"),
        }
    }
}
