//! A typed walk over canonical text, for strict schemas.
//!
//! The cursor stands before a value. Reading the value moves behind it; asking for another type
//! yields None and leaves the cursor where it is, so that [`Cursor::pointer`] names the place.
//! Since the text is canonical, nothing is validated twice.

use alloc::borrow::Cow;
use alloc::string::String;

use super::pointer::Pointer;
use super::text::Canonical;
use super::{number, string};

/// A pull reader over [`Canonical`] text.
///
/// Cost: one pass over what is read, no allocation but for strings with escapes and pointers.
///
/// ```
/// use monsys_core::json::{self, Cursor};
///
/// let text = json::check(br#"{"cpu":[4.2,"idle"],"n":3}"#)?;
/// let mut cursor = Cursor::new(text);
/// assert!(cursor.enter_object());
/// assert_eq!(cursor.next_name().as_deref(), Some("cpu"));
/// assert!(cursor.enter_array());
/// assert!(cursor.next_element());
/// assert_eq!(cursor.number(), Some(4.2));
/// assert!(cursor.next_element());
/// assert_eq!(cursor.number(), None); // a string
/// assert_eq!(cursor.pointer(), "/cpu/1");
/// # Ok::<(), json::JsonError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Where the value begins, or for an object or array just left ends, that a pointer would name.
    named: usize,
}

/// The type of a JSON value. Closed: JSON has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    Text,
    /// `1`
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl<'a> Cursor<'a> {
    /// Stands before the outermost value.
    #[must_use]
    pub const fn new(canonical: Canonical<'a>) -> Self {
        Self {
            text: canonical.as_str(),
            at: 0,
            depth: 0,
            named: 0,
        }
    }

    /// Enters an object; false, and nothing moves, before anything else.
    #[must_use]
    #[inline(always)]
    pub fn enter_object(&mut self) -> bool {
        self.enter(b'{')
    }

    /// The next member's name, the cursor standing before its value; None leaves the object.
    ///
    /// The value of the former member must have been read or skipped.
    #[inline]
    pub fn next_name(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        if self.peek() != Some(b'"') {
            self.leave();
            return None;
        }
        let (start, token) = (self.at + 1, self.string_token());
        self.at = token.end + 1;
        self.named = self.at;
        let raw = self.text.get(start..token.end - 1)?;
        Some(string::decode(raw, token.has_escape))
    }

    /// Whether the next member is `name`, the cursor standing before its value then; nothing moves
    /// before any other member or the end of the object.
    ///
    /// Members are in the order of their names, so a reader that asks for the names it knows in
    /// that order meets each of them; what is left for [`Cursor::next_name`] is unknown. The name
    /// must be one that JSON spells without escapes.
    #[must_use]
    #[inline(always)]
    pub fn next_is(&mut self, name: &'static str) -> bool {
        let bytes = self.text.as_bytes();
        let start = self.at + usize::from(self.peek() == Some(b','));
        let end = start + name.len() + 3;
        let is_next = bytes
            .get(start..end)
            .and_then(|token| token.strip_prefix(b"\""))
            .and_then(|token| token.strip_prefix(name.as_bytes()))
            == Some(b"\":");
        if is_next {
            self.at = end;
            self.named = end;
        }
        is_next
    }

    /// Enters an array; false, and nothing moves, before anything else.
    #[must_use]
    #[inline(always)]
    pub fn enter_array(&mut self) -> bool {
        self.enter(b'[')
    }

    /// Whether another element follows, the cursor standing before it; false leaves the array.
    ///
    /// The former element must have been read or skipped.
    #[must_use]
    #[inline]
    pub fn next_element(&mut self) -> bool {
        match self.peek() {
            Some(b']') | None => {
                self.leave();
                return false;
            }
            Some(b',') => self.at += 1,
            Some(_) => {}
        }
        self.named = self.at;
        true
    }

    /// Reads a string; borrowed unless it holds an escape.
    #[inline]
    pub fn text(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let token = self.string_token();
        let raw = self.text.get(self.at + 1..token.end - 1)?;
        self.at = token.end;
        Some(string::decode(raw, token.has_escape))
    }

    /// Reads a number.
    #[inline]
    pub fn number(&mut self) -> Option<f64> {
        let token = self.number_token()?;
        self.at += token.len();
        Some(number::value_of_canonical(token))
    }

    /// Reads a number without a fraction, exactly; None also where it does not fit.
    ///
    /// Canonical text has no fraction where the value has none: `1.0` was written as `1`.
    #[inline]
    pub fn integer(&mut self) -> Option<i64> {
        if let Some((value, end)) = number::short_integer(self.text.as_bytes(), self.at) {
            self.at = end;
            return Some(value);
        }
        let token = self.number_token()?;
        let value = token.parse().ok()?;
        self.at += token.len();
        Some(value)
    }

    /// Reads true or false.
    pub fn boolean(&mut self) -> Option<bool> {
        let value = match self.peek()? {
            b't' => true,
            b'f' => false,
            _ => return None,
        };
        self.skip();
        Some(value)
    }

    /// Reads null; false, and nothing moves, before anything else.
    pub fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n');
        if is_null {
            self.skip();
        }
        is_null
    }

    /// Passes over a value of any type and returns its text, which is canonical by itself.
    pub fn skip(&mut self) -> &'a str {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut n_open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.at = string::skip(bytes, self.at).end,
                b'{' | b'[' => {
                    n_open += 1;
                    self.at += 1;
                }
                // No value stands here.
                b'}' | b']' | b',' | b':' if n_open == 0 => break,
                b'}' | b']' => {
                    n_open -= 1;
                    self.at += 1;
                }
                b',' | b':' => {
                    self.at += 1;
                    continue;
                }
                _ => self.at = number::skip_scalar(bytes, self.at),
            }
            if n_open == 0 {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// As [`Cursor::skip`], keeping the proof that the text is canonical.
    pub fn skip_canonical(&mut self) -> Canonical<'a> {
        Canonical::from_checked(self.skip())
    }

    /// The type of the value that the cursor stands before.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    /// How many containers have been entered and not left.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The byte of the text that the cursor stands at.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// The JSON pointer of the value that the cursor stands before, or has read last.
    ///
    /// Cost: reads the text up to here once more, because only refusals need it.
    #[must_use]
    pub fn pointer(&self) -> String {
        self.pointer_to_here().finish()
    }

    /// The pointer of a member of the value at [`Cursor::pointer`], such as one that an object just
    /// left does not have.
    #[must_use]
    pub fn pointer_below(&self, name: &str) -> String {
        let mut pointer = self.pointer_to_here();
        pointer.push_token(name.chars());
        pointer.finish()
    }

    fn pointer_to_here(&self) -> Pointer {
        match self.named {
            0 => Pointer::new(),
            named => Pointer::to(self.text, named),
        }
    }

    #[inline(always)]
    fn enter(&mut self, bracket: u8) -> bool {
        let is_entered = self.peek() == Some(bracket);
        if is_entered {
            self.at += 1;
            self.depth += 1;
        }
        is_entered
    }

    #[inline(always)]
    fn leave(&mut self) {
        self.at += 1;
        self.depth = self.depth.saturating_sub(1);
        self.named = self.at;
    }

    #[inline(always)]
    fn string_token(&self) -> string::Token {
        string::skip_short(self.text.as_bytes(), self.at)
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn number_token(&self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.scalar_token())
    }

    /// The number or word that begins here.
    fn scalar_token(&self) -> &'a str {
        let end = number::skip_scalar(self.text.as_bytes(), self.at);
        self.text.get(self.at..end).unwrap_or_default()
    }
}
