//! Why a text is refused: a stable code, the byte, and on demand the JSON pointer.

use alloc::string::String;
use core::fmt;

use super::pointer::pointer_at;

/// A refused text.
///
/// It holds no part of the text; [`JsonError::pointer`] reads the place from the caller's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code} at byte {offset}")]
#[non_exhaustive]
pub struct JsonError {
    /// What is wrong.
    pub code: JsonCode,
    /// The byte where it was found, counted from 0; for a repeated name its opening quote.
    pub offset: usize,
}

/// What can be wrong with a text. Open: a profile may learn to refuse more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum JsonCode {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text is not JSON (RFC 8259), or begins with a byte order mark.
    Syntax,
    /// Arrays and objects are nested deeper than the profile allows.
    Depth,
    /// One object has a name twice, compared after escapes are resolved.
    DuplicateName,
    /// A number is not finite, or beyond the profile's magnitude.
    NumberRange,
    /// A string holds half of a surrogate pair.
    LoneSurrogate,
    /// The text is JSON as far as it was read, but not in canonical form.
    NotCanonical,
}

impl JsonError {
    pub(super) const fn new(code: JsonCode, offset: usize) -> Self {
        Self { code, offset }
    }

    pub(super) const fn syntax(offset: usize) -> Self {
        Self::new(JsonCode::Syntax, offset)
    }

    /// The JSON pointer (RFC 6901) of the innermost value that the error lies in, read from the
    /// refused `bytes`; at most [`POINTER_BYTES_MAX`](super::POINTER_BYTES_MAX) bytes.
    ///
    /// None where a pointer has no meaning: the bytes are not text, or not an array or object.
    #[must_use]
    pub fn pointer(&self, bytes: &[u8]) -> Option<String> {
        match self.code {
            JsonCode::NotUtf8 => None,
            JsonCode::Syntax
            | JsonCode::Depth
            | JsonCode::DuplicateName
            | JsonCode::NumberRange
            | JsonCode::LoneSurrogate
            | JsonCode::NotCanonical => pointer_at(bytes, self.offset),
        }
    }
}

impl JsonCode {
    /// The stable name, as it stands in the answers of the hub.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::Syntax => "syntax",
            Self::Depth => "depth",
            Self::DuplicateName => "duplicate_name",
            Self::NumberRange => "number_range",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NotCanonical => "not_canonical",
        }
    }
}

impl fmt::Display for JsonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
