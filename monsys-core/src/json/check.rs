//! Is this text canonical? One pass, no allocation.

use core::cmp::Ordering;

use super::error::{JsonCode, JsonError};
use super::string::NameToken;
use super::text::Canonical;
use super::{JSON_DEPTH_CEILING, Profile, literal, name, number, string};

/// Whether `bytes` are canonical JSON within [`Profile::i_json`].
///
/// # Errors
/// The first thing that is wrong, in reading order; only [`JsonCode::NotUtf8`] is judged for the
/// whole text before anything else. [`JsonCode::NotCanonical`] says that everything up to its
/// offset is well-formed, and nothing about the rest.
pub fn check(bytes: &[u8]) -> Result<Canonical<'_>, JsonError> {
    check_with(bytes, Profile::i_json())
}

/// Whether `bytes` are canonical JSON within a profile of the caller's choice.
///
/// # Errors
/// As [`check`].
pub fn check_with(bytes: &[u8], profile: Profile) -> Result<Canonical<'_>, JsonError> {
    let text = as_text(bytes)?;
    Checker::new(text, profile).read_document()?;
    Ok(Canonical::from_checked(text))
}

/// The bytes as text.
pub(super) fn as_text(bytes: &[u8]) -> Result<&str, JsonError> {
    str::from_utf8(bytes)
        .map_err(|invalid| JsonError::new(JsonCode::NotUtf8, invalid.valid_up_to()))
}

/// The value of a number token, if the profile admits it; None if the token is canonical.
#[inline(always)]
pub(super) fn respelled_value(
    token: number::Token,
    text: &str,
    start: usize,
    profile: Profile,
) -> Result<Option<f64>, JsonError> {
    let received = text.get(start..token.end).unwrap_or_default();
    let found = number::nearest(token, received);
    if !profile.admits(found.value) {
        return Err(JsonError::new(JsonCode::NumberRange, start));
    }
    let is_canonical = found.is_shortest || number::is_canonical(token, received, found.value);
    Ok((!is_canonical).then_some(found.value))
}

struct Checker<'a> {
    text: &'a str,
    bytes: &'a [u8],
    profile: Profile,
    at: usize,
    depth: usize,
    /// The innermost container; what it was when another one was opened in it lies in `outer`.
    inner: Level,
    inner_key: u64,
    outer: [Level; JSON_DEPTH_CEILING],
}

/// An open container, and what is remembered of it.
#[derive(Clone, Copy)]
enum Level {
    Array,
    /// The last name: where it lies without its quotes, and whether it holds an escape.
    Object {
        start: usize,
        end: usize,
        has_escape: bool,
    },
}

/// What stands where a value was expected.
enum Value {
    /// A container was opened and its first value follows.
    Opened,
    /// A value has been read to its end.
    Complete,
}

impl<'a> Checker<'a> {
    const fn new(text: &'a str, profile: Profile) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            profile,
            at: 0,
            depth: 0,
            inner: Level::Array,
            inner_key: 0,
            outer: [Level::Array; JSON_DEPTH_CEILING],
        }
    }

    fn read_document(mut self) -> Result<(), JsonError> {
        loop {
            if let Value::Complete = self.read_value()? {
                self.close_containers()?;
                if self.depth == 0 {
                    return self.expect_end();
                }
            }
        }
    }

    #[inline(always)]
    fn read_value(&mut self) -> Result<Value, JsonError> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.at = string::check(self.bytes, self.at)?.end,
            Some(b'-' | b'0'..=b'9') => self.read_number()?,
            Some(b'{') => return self.open_object(),
            Some(b'[') => return self.open_array(),
            Some(b't') => self.at = literal::scan(self.bytes, self.at, b"true")?,
            Some(b'f') => self.at = literal::scan(self.bytes, self.at, b"false")?,
            Some(b'n') => self.at = literal::scan(self.bytes, self.at, b"null")?,
            _ => return Err(self.unexpected()),
        }
        Ok(Value::Complete)
    }

    /// Behind a value: closes what ends here and stands at the next value, or at depth 0.
    #[inline(always)]
    fn close_containers(&mut self) -> Result<(), JsonError> {
        while self.depth > 0 {
            match (self.inner, self.bytes.get(self.at)) {
                (Level::Array, Some(b',')) => {
                    self.at += 1;
                    return Ok(());
                }
                (Level::Object { .. }, Some(b',')) => {
                    self.at += 1;
                    return self.read_next_name();
                }
                (Level::Array, Some(b']')) | (Level::Object { .. }, Some(b'}')) => self.leave(),
                (Level::Array | Level::Object { .. }, _) => return Err(self.unexpected()),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn open_array(&mut self) -> Result<Value, JsonError> {
        self.enter(Level::Array)?;
        if self.bytes.get(self.at) == Some(&b']') {
            self.leave();
            return Ok(Value::Complete);
        }
        Ok(Value::Opened)
    }

    #[inline(always)]
    fn open_object(&mut self) -> Result<Value, JsonError> {
        self.enter(Level::Object {
            start: 0,
            end: 0,
            has_escape: false,
        })?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.leave();
            return Ok(Value::Complete);
        }
        let token = self.read_name()?;
        self.remember(self.at, token)?;
        Ok(Value::Opened)
    }

    #[inline(always)]
    fn enter(&mut self, level: Level) -> Result<(), JsonError> {
        if self.depth >= self.profile.depth_max() {
            return Err(JsonError::new(JsonCode::Depth, self.at));
        }
        if let Some(slot) = self.outer.get_mut(self.depth) {
            *slot = self.inner;
        }
        self.inner = level;
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
        if let Some(level) = self.outer.get(self.depth) {
            self.inner = *level;
        }
        if let Level::Object {
            start,
            end,
            has_escape,
        } = self.inner
        {
            self.inner_key = name::key(self.bytes, start, end, has_escape);
        }
    }

    /// Reads the name of a member that is not the first; it must sort behind the former one.
    #[inline(always)]
    fn read_next_name(&mut self) -> Result<(), JsonError> {
        let token = self.read_name()?;
        let is_decisive = name::is_decisive(token.key | self.inner_key);
        if !(is_decisive && self.inner_key < token.key) {
            self.compare_names(token)?;
        }
        self.remember(self.at, token)
    }

    #[inline(always)]
    fn read_name(&self) -> Result<NameToken, JsonError> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.unexpected());
        }
        string::check_name(self.bytes, self.at)
    }

    /// Compares with the former name where the keys do not say that the order is right.
    #[inline(never)]
    fn compare_names(&self, token: NameToken) -> Result<(), JsonError> {
        let Level::Object { start, end, .. } = self.inner else {
            return Ok(());
        };
        let former = self.bytes.get(start..end).unwrap_or_default();
        let current = self.bytes.get(self.at + 1..token.end - 1);
        match name::compare(former, current.unwrap_or_default()) {
            Ordering::Less => Ok(()),
            Ordering::Equal => Err(JsonError::new(JsonCode::DuplicateName, self.at)),
            Ordering::Greater => Err(JsonError::new(JsonCode::NotCanonical, self.at)),
        }
    }

    /// Keeps the name whose opening quote is at `start` for the next one, and reads the colon.
    #[inline(always)]
    fn remember(&mut self, start: usize, token: NameToken) -> Result<(), JsonError> {
        self.inner = Level::Object {
            start: start + 1,
            end: token.end - 1,
            has_escape: token.has_escape,
        };
        self.inner_key = token.key;
        self.at = token.end;
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn read_number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let token = number::scan(self.bytes, start)?;
        if !token.is_canonical {
            self.check_value(token)?;
        }
        self.at = token.end;
        Ok(())
    }

    /// Judges a number whose grammar does not prove it canonical.
    #[inline(never)]
    fn check_value(&self, token: number::Token) -> Result<(), JsonError> {
        match respelled_value(token, self.text, self.at, self.profile)? {
            None => Ok(()),
            Some(_) => Err(JsonError::new(JsonCode::NotCanonical, self.at)),
        }
    }

    fn expect_end(&self) -> Result<(), JsonError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// White space between tokens is JSON, only not canonical.
    #[cold]
    fn unexpected(&self) -> JsonError {
        match self.bytes.get(self.at) {
            Some(byte) if literal::is_space(*byte) => {
                JsonError::new(JsonCode::NotCanonical, self.at)
            }
            _ => JsonError::syntax(self.at),
        }
    }
}
