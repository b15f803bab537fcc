//! Canonical JSON (RFC 8785) over received bytes: check it, make it, walk it.
//!
//! What is signed, hashed and sized is the canonical form of a text, so that a payload means the
//! same to every implementation: members in UTF-16 order, numbers as ECMAScript prints them, one
//! spelling per string, no white space. [`check`] says whether bytes are in that form already,
//! [`canonicalize`] brings any spelling into it, [`Cursor`] reads the result with types, and
//! [`ObjectText`] writes the small objects which this project shows to people. With the feature
//! `serde`, `to_canonical` writes the form of any value that serde can serialize.
//!
//! What is refused is the I-JSON profile ([`Profile::i_json`]): not UTF-8, nested deeper than
//! [`JSON_DEPTH_MAX`], a name twice in one object, half a surrogate pair, a number that is not
//! finite or beyond ±(2^53 − 1). Two different documents never share one canonical form, because
//! no tree stands between the bytes and the answer: nothing is dropped, merged or reinterpreted.
//!
//! What it does not do: it knows no schema, converts no types, and accepts U+0000 in a string
//! (written `\u0000`, so a search for that escape finds it; see [`Canonical::has_nul`]).
//!
//! Cost: `check` is one pass without allocation; `canonicalize` is one pass over the input into
//! buffers that the caller keeps, and moves the members of an object only when they came out of
//! order. Neither recurses; both are linear in the input but for the sort of names.
//!
//! ```
//! use monsys_core::json::{self, JsonCode, Scratch};
//!
//! let mut scratch = Scratch::new();
//! let canonical = json::canonicalize(br#"{"b": 1.0, "a": "\u0041"}"#, &mut scratch)?;
//! assert_eq!(canonical.as_str(), r#"{"a":"A","b":1}"#);
//!
//! let refused = json::check(br#"{"a":1,"a":1}"#).unwrap_err();
//! assert_eq!(refused.code, JsonCode::DuplicateName);
//! assert_eq!(refused.offset, 7);
//! # Ok::<(), json::JsonError>(())
//! ```

mod canonicalize;
mod check;
mod cursor;
mod decimal;
mod error;
mod literal;
mod marks;
mod member_order;
mod name;
mod number;
mod object_text;
mod pointer;
#[cfg(feature = "serde")]
mod serialize;
mod string;
mod text;
mod word;

// The public interface is
pub use canonicalize::{Scratch, canonicalize, canonicalize_with};
pub use check::{check, check_with};
pub use cursor::{Cursor, Kind};
pub use error::{JsonCode, JsonError};
pub use object_text::ObjectText;
pub use pointer::{POINTER_BYTES_MAX, pointer_at};
#[cfg(feature = "serde")]
pub use serialize::{SerializeError, to_canonical};
pub use text::{Canonical, CanonicalText, append_number, append_text};

/// Deepest nesting of arrays and objects that the I-JSON profile accepts, the body counting as 1.
///
/// Telemetry needs five levels; the limit keeps every walk of a text on a small fixed stack.
pub const JSON_DEPTH_MAX: usize = 32;

/// Deepest nesting that any profile can ask for; the size of the stack of [`check`].
pub const JSON_DEPTH_CEILING: usize = 64;

/// Largest magnitude of a number in the I-JSON profile: 2^53 − 1, the last integer that every
/// implementation tells apart from its neighbours (RFC 7493 §2.2).
pub const JSON_NUMBER_MAX: f64 = 9_007_199_254_740_991.0;

/// What a text may contain beyond the grammar of JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    depth_max: usize,
    number_max: f64,
}

impl Profile {
    /// The profile of everything this project signs: RFC 8785 over I-JSON, numbers within
    /// ±[`JSON_NUMBER_MAX`] by value, depth at most [`JSON_DEPTH_MAX`].
    #[must_use]
    pub const fn i_json() -> Self {
        Self {
            depth_max: JSON_DEPTH_MAX,
            number_max: JSON_NUMBER_MAX,
        }
    }

    /// RFC 8785 alone: every finite double is a number, depth at most [`JSON_DEPTH_CEILING`].
    #[must_use]
    pub const fn rfc8785() -> Self {
        Self {
            depth_max: JSON_DEPTH_CEILING,
            number_max: f64::MAX,
        }
    }

    /// The same profile with another depth limit, at most [`JSON_DEPTH_CEILING`].
    #[must_use]
    pub const fn with_depth_max(self, depth_max: usize) -> Self {
        let depth_max = if depth_max < JSON_DEPTH_CEILING {
            depth_max
        } else {
            JSON_DEPTH_CEILING
        };
        Self { depth_max, ..self }
    }

    /// Deepest nesting accepted.
    #[must_use]
    pub const fn depth_max(self) -> usize {
        self.depth_max
    }

    /// Whether the profile admits this value; an infinite one belongs to no profile.
    const fn admits(self, value: f64) -> bool {
        value.abs() <= self.number_max
    }
}
