//! Writing an object member by member, in the order given and without spaces.

use alloc::string::String;
use core::fmt::{Display, Write};

use monsys_core::json;

/// An object under construction. The caller adds members in canonical order.
pub(super) struct Object {
    text: String,
}

impl Object {
    pub(super) fn new() -> Self {
        Self {
            text: String::from("{"),
        }
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.push_name(name);
        json::append_text(value, &mut self.text);
        self
    }

    /// A string without quotes, backslashes or control characters, such as a time.
    pub(super) fn display(mut self, name: &str, value: &impl Display) -> Self {
        self.push_name(name);
        // Cannot fail: writing to a String does not.
        let _ = write!(self.text, "\"{value}\"");
        self
    }

    pub(super) fn number(mut self, name: &str, value: f64) -> Self {
        self.push_name(name);
        json::append_number(value, &mut self.text);
        self
    }

    pub(super) fn integer(mut self, name: &str, value: i64) -> Self {
        self.push_name(name);
        // Cannot fail: writing to a String does not.
        let _ = write!(self.text, "{value}");
        self
    }

    pub(super) fn count(mut self, name: &str, value: u64) -> Self {
        self.push_name(name);
        // Cannot fail: writing to a String does not.
        let _ = write!(self.text, "{value}");
        self
    }

    /// A member in canonical form.
    pub(super) fn raw(mut self, name: &str, value: &str) -> Self {
        self.push_name(name);
        self.text.push_str(value);
        self
    }

    /// A member that is left out when it is unknown.
    pub(super) fn optional<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, value),
            None => self,
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn push_name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        json::append_text(name, &mut self.text);
        self.text.push(':');
    }
}

/// An array of elements in canonical form.
pub(super) fn array(elements: impl Iterator<Item = String>) -> String {
    let mut text = String::from("[");
    for element in elements {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&element);
    }
    text.push(']');
    text
}
