//! Small JSON objects that people read: members in the order given, one space after `:` and `,`.

use alloc::string::String;
use core::fmt::Write;

use super::string;
use super::text::CanonicalText;

/// A JSON object under construction, in the spelling of the requirement document.
///
/// Members keep the order in which they are added; names are ours and are not checked for
/// repetition. This is for `detail` and `evidence`, never for what is signed.
///
/// ```
/// use monsys_core::json::ObjectText;
///
/// let detail = ObjectText::new().integer("samples", 240).number("stddev", 0.0).finish();
/// assert_eq!(detail, r#"{"samples": 240, "stddev": 0.0}"#);
/// assert_eq!(ObjectText::new().finish(), "{}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectText {
    text: String,
}

impl ObjectText {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        let mut text = String::with_capacity(TYPICAL_BYTES);
        text.push('{');
        Self { text }
    }

    /// Adds a whole number.
    #[must_use]
    pub fn integer(self, name: &str, value: impl Into<i128>) -> Self {
        self.member(name, format_args!("{}", value.into()))
    }

    /// Adds a number, spelled as Rust's `Debug` does: `0.0`, `4.2`, `1e-7`. One that is not finite
    /// is written as null.
    #[must_use]
    pub fn number(self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.member(name, format_args!("{value:?}"))
        } else {
            self.null(name)
        }
    }

    /// Adds a string.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.push_name(name);
        string::push(value, &mut self.text);
        self
    }

    /// Adds true or false.
    #[must_use]
    pub fn boolean(self, name: &str, value: bool) -> Self {
        self.member(name, format_args!("{value}"))
    }

    /// Adds null.
    #[must_use]
    pub fn null(self, name: &str) -> Self {
        self.member(name, format_args!("null"))
    }

    /// Adds an object written the same way.
    #[must_use]
    pub fn object(self, name: &str, value: Self) -> Self {
        let value = value.finish();
        self.member(name, format_args!("{value}"))
    }

    /// Adds an array of objects written the same way.
    #[must_use]
    pub fn objects(mut self, name: &str, values: impl IntoIterator<Item = Self>) -> Self {
        self.push_name(name);
        push_list(values, &mut self.text);
        self
    }

    /// An array of objects, as a text of its own.
    ///
    /// ```
    /// use monsys_core::json::ObjectText;
    ///
    /// let disks = ["/", "/home"].map(|mount| ObjectText::new().text("mount", mount));
    /// assert_eq!(ObjectText::list(disks), r#"[{"mount": "/"}, {"mount": "/home"}]"#);
    /// ```
    #[must_use]
    pub fn list(values: impl IntoIterator<Item = Self>) -> String {
        let mut text = String::with_capacity(TYPICAL_BYTES);
        push_list(values, &mut text);
        text
    }

    /// Adds canonical JSON as it stands.
    #[must_use]
    pub fn json(self, name: &str, value: &CanonicalText) -> Self {
        self.member(name, format_args!("{value}"))
    }

    /// The text of the object.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn member(mut self, name: &str, value: core::fmt::Arguments<'_>) -> Self {
        self.push_name(name);
        // Cannot fail: writing to a String does not.
        let _ = self.text.write_fmt(value);
        self
    }

    fn push_name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push_str(", ");
        }
        string::push(name, &mut self.text);
        self.text.push_str(": ");
    }
}

/// Bytes that most objects fit.
const TYPICAL_BYTES: usize = 96;

fn push_list(values: impl IntoIterator<Item = ObjectText>, out: &mut String) {
    out.push('[');
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&value.finish());
    }
    out.push(']');
}

impl Default for ObjectText {
    fn default() -> Self {
        Self::new()
    }
}
