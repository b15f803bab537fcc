//! From a Rust value to canonical JSON, without a tree and without a text in between.
//!
//! What [`canonicalize`](super::canonicalize) does for a received text, [`to_canonical`] does for
//! any `serde::Serialize` type: members in UTF-16 order whatever the order of declaration, numbers
//! as ECMAScript prints them, within [`Profile::i_json`](super::Profile::i_json) and
//! [`BODY_BYTES_MAX`](crate::limit::BODY_BYTES_MAX). Values take the layout that serde_json gives them: enums are tagged from
//! outside, `None` and `()` are null, bytes are an array of numbers, keys that are integers,
//! booleans, characters or unit variants become names. Three things are stricter than there: a
//! number that is not finite is an error and not null, a name twice is an error, and a key that is
//! a float is one, too, because two spellings of a number would be two names.
//!
//! An `f32` is written as the double that it is, `0.1_f32` as `0.10000000149011612`: the numbers of
//! RFC 8785 are doubles, and a reader gets back the value that was there. serde_json's text writer
//! prints the shortest `f32` instead, its `Value` holds the double.
//!
//! Two types of serde_json pass private structures to a serializer when its features
//! `arbitrary_precision` and `raw_value` are on, which any crate of a program can do for all. Such
//! a number is read and written as a number; such a raw value is canonicalised where it stands,
//! within the depth that is left. A map with a member of that name stays a map.
//!
//! What it does not do: it reads nothing back, knows no schema, and never writes an integer beyond
//! 2^53 − 1, because its canonical form would be another integer.
//!
//! Cost: linear in the text. Members are noted as they are written and moved once, when an object
//! closes whose names came out of order; fields declared in order are never moved. Nothing is
//! allocated once the buffers have grown, but for raw values and for keys that only know how to
//! display themselves. It recurses as the value does: what nests deeper than
//! [`JSON_DEPTH_MAX`](super::JSON_DEPTH_MAX) is refused on the way down, but wrappers that leave no
//! trace in the text (`Box`, newtypes) are not counted.

mod digits;
mod member_name;
mod plain;
mod value;
mod writer;

use core::fmt::Display;

use serde_core::ser::{self, Serialize};
use thiserror::Error;

use self::writer::Writer;
use super::canonicalize::Scratch;
use super::error::{JsonCode, JsonError};
use super::text::{Canonical, CanonicalText};

/// Why a value has no canonical form. It holds nothing of the value. Open: more can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerializeError {
    /// Arrays and objects are nested deeper than the profile allows.
    #[error("expected arrays and objects nested at most 32 deep")]
    Depth,
    /// One object has a name twice; flattened fields and maps can do that.
    #[error("expected each name once in an object")]
    DuplicateName,
    /// A number is not finite, or beyond ±(2^53 − 1).
    #[error("expected finite numbers within 2^53 - 1")]
    NumberRange,
    /// A key of a map has no name: it is neither text nor an integer, boolean or unit variant.
    #[error("expected keys that are text, integers, booleans or unit variants")]
    KeyType,
    /// The text is larger than [`BODY_BYTES_MAX`](crate::limit::BODY_BYTES_MAX).
    #[error("expected at most 524288 bytes")]
    TooLarge,
    /// A number or raw value of serde_json holds a text that is not JSON.
    #[error("expected JSON in an embedded text, found {0}")]
    Embedded(JsonCode),
    /// The value's own code refused; its words are dropped, since they may quote the value.
    #[error("expected a value that serializes itself")]
    Refused,
    /// The value's own code went on after an error, or called out of turn.
    #[error("expected keys and values in turn, and no call after an error")]
    ApiMisuse,
}

/// The canonical form of a value, written into the caller's buffers.
///
/// ```
/// use monsys_core::json::{self, Scratch, SerializeError};
///
/// #[derive(serde::Serialize)]
/// struct Sample {
///     host: &'static str,
///     cpu: f64,
/// }
///
/// let mut scratch = Scratch::new();
/// let sample = Sample { host: "web-1", cpu: 1e2 };
/// assert_eq!(json::to_canonical(&sample, &mut scratch)?.as_str(), r#"{"cpu":100,"host":"web-1"}"#);
///
/// let unknown = Sample { host: "web-1", cpu: f64::NAN };
/// let refused = json::to_canonical(&unknown, &mut scratch);
/// assert_eq!(refused, Err(SerializeError::NumberRange));
/// # Ok::<(), SerializeError>(())
/// ```
///
/// # Errors
/// [`SerializeError`]: the first thing that has no place in the profile, or what the value's own
/// code says.
pub fn to_canonical<'s, T: Serialize + ?Sized>(
    value: &T,
    scratch: &'s mut Scratch,
) -> Result<Canonical<'s>, SerializeError> {
    Writer::fill(scratch, |writer| value.serialize(writer))?;
    Ok(Canonical::from_checked(&scratch.out))
}

impl CanonicalText {
    /// The canonical form of a value.
    ///
    /// Allocates buffers for this one; [`to_canonical`] keeps them.
    ///
    /// # Errors
    /// As [`to_canonical`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, SerializeError> {
        to_canonical(value, &mut Scratch::new()).map(Self::from)
    }
}

impl SerializeError {
    /// The stable name; where a received text is refused for the same reason, that of
    /// [`JsonCode`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Depth => JsonCode::Depth.as_str(),
            Self::DuplicateName => JsonCode::DuplicateName.as_str(),
            Self::NumberRange => JsonCode::NumberRange.as_str(),
            Self::Embedded(code) => code.as_str(),
            Self::TooLarge => "too_large",
            Self::KeyType => "key_type",
            Self::Refused => "refused",
            Self::ApiMisuse => "api_misuse",
        }
    }
}

impl ser::Error for SerializeError {
    /// Drops the words: a value's own code may quote what must not be logged.
    fn custom<T: Display>(_words: T) -> Self {
        Self::Refused
    }
}

impl From<JsonError> for SerializeError {
    fn from(error: JsonError) -> Self {
        match error.code {
            JsonCode::Depth => Self::Depth,
            JsonCode::DuplicateName => Self::DuplicateName,
            JsonCode::NumberRange => Self::NumberRange,
            JsonCode::NotUtf8
            | JsonCode::Syntax
            | JsonCode::LoneSurrogate
            | JsonCode::NotCanonical => Self::Embedded(error.code),
        }
    }
}
