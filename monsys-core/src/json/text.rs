//! Text that is known to be canonical: borrowed, owned, and the two writers of its scalars.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use super::canonicalize::{Scratch, canonicalize};
use super::check::check;
use super::error::JsonError;
use super::{number, string};

/// Text in canonical form, as [`check`] or [`canonicalize`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical<'a> {
    text: &'a str,
}

impl<'a> Canonical<'a> {
    /// Wraps text whose form the caller has established.
    pub(super) const fn from_checked(text: &'a str) -> Self {
        Self { text }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The bytes that are signed and hashed.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Whether any string or name holds U+0000, which JSON allows and databases do not.
    ///
    /// One scan for an escape that almost no text contains.
    #[must_use]
    pub fn has_nul(self) -> bool {
        self.nul_offset().is_some()
    }

    /// Where the first U+0000 is spelled, as the offset of its backslash.
    #[must_use]
    pub fn nul_offset(self) -> Option<usize> {
        let bytes = self.as_bytes();
        let mut at = string::find_backslash(bytes, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(b"\\u0000") {
                return Some(at);
            }
            // Behind the letter: the second half of a double backslash begins no escape.
            at = string::find_backslash(bytes, at + 2);
        }
        None
    }
}

impl fmt::Display for Canonical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Canonical JSON that owns its text.
///
/// ```
/// use monsys_core::json::CanonicalText;
///
/// let value = CanonicalText::parse(br#"{ "value": 1e0 }"#)?;
/// assert_eq!(value.as_str(), r#"{"value":1}"#);
/// # Ok::<(), monsys_core::json::JsonError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalText {
    text: String,
}

impl CanonicalText {
    /// The canonical form of a JSON text in any spelling, within the I-JSON profile.
    ///
    /// # Errors
    /// As [`canonicalize`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        canonicalize(bytes, &mut Scratch::new()).map(Self::from)
    }

    /// Text that must be canonical as it stands, such as a stored value.
    ///
    /// # Errors
    /// As [`check`].
    pub fn from_canonical(text: String) -> Result<Self, JsonError> {
        check(text.as_bytes())?;
        Ok(Self { text })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as a borrowed canonical form, to be walked or hashed.
    #[must_use]
    pub fn as_canonical(&self) -> Canonical<'_> {
        Canonical::from_checked(&self.text)
    }

    /// The text as a plain string.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }
}

impl From<Canonical<'_>> for CanonicalText {
    fn from(canonical: Canonical<'_>) -> Self {
        Self {
            text: canonical.as_str().to_owned(),
        }
    }
}

impl fmt::Display for CanonicalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Appends a string in canonical spelling, with its quotes.
pub fn append_text(text: &str, out: &mut String) {
    string::push(text, out);
}

/// Appends a number in canonical spelling; `null` if it is not finite, since JSON has no such
/// number.
pub fn append_number(value: f64, out: &mut String) {
    if value.is_finite() {
        out.push_str(number::print(value).as_str());
    } else {
        out.push_str("null");
    }
}
