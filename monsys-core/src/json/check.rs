//! Is this text canonical? One pass, no allocation.

use core::cmp::Ordering;

use super::error::{JsonCode, JsonError};
use super::name::{self, Name};
use super::text::Canonical;
use super::{JSON_DEPTH_CEILING, Profile, literal, number, string};

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

/// The value of a number token, if the profile admits it.
pub(super) fn admitted_value(
    text: &str,
    start: usize,
    end: usize,
    profile: Profile,
) -> Result<f64, JsonError> {
    let value = number::value_of(text.get(start..end).unwrap_or_default());
    if profile.admits(value) {
        Ok(value)
    } else {
        Err(JsonError::new(JsonCode::NumberRange, start))
    }
}

struct Checker<'a> {
    text: &'a str,
    bytes: &'a [u8],
    profile: Profile,
    at: usize,
    depth: usize,
    levels: [Level; JSON_DEPTH_CEILING],
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
        let levels = [Level::Array; JSON_DEPTH_CEILING];
        Self {
            text,
            bytes: text.as_bytes(),
            profile,
            at: 0,
            depth: 0,
            levels,
        }
    }

    fn read_document(&mut self) -> Result<(), JsonError> {
        loop {
            if let Value::Complete = self.read_value()? {
                self.close_containers()?;
                if self.depth == 0 {
                    return self.expect_end();
                }
            }
        }
    }

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
    fn close_containers(&mut self) -> Result<(), JsonError> {
        while let Some(level) = self.innermost() {
            match (level, self.bytes.get(self.at)) {
                (Level::Array, Some(b',')) => {
                    self.at += 1;
                    return Ok(());
                }
                (
                    Level::Object {
                        start,
                        end,
                        has_escape,
                    },
                    Some(b','),
                ) => {
                    self.at += 1;
                    let raw = self.text.get(start..end).unwrap_or_default();
                    return self.read_name(Some(Name { raw, has_escape }));
                }
                (Level::Array, Some(b']')) | (Level::Object { .. }, Some(b'}')) => {
                    self.at += 1;
                    self.depth -= 1;
                }
                (Level::Array | Level::Object { .. }, _) => return Err(self.unexpected()),
            }
        }
        Ok(())
    }

    fn open_array(&mut self) -> Result<Value, JsonError> {
        self.enter(Level::Array)?;
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Complete);
        }
        Ok(Value::Opened)
    }

    fn open_object(&mut self) -> Result<Value, JsonError> {
        self.enter(Level::Object {
            start: 0,
            end: 0,
            has_escape: false,
        })?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Complete);
        }
        self.read_name(None)?;
        Ok(Value::Opened)
    }

    fn enter(&mut self, level: Level) -> Result<(), JsonError> {
        if self.depth >= self.profile.depth_max() {
            return Err(JsonError::new(JsonCode::Depth, self.at));
        }
        self.depth += 1;
        self.at += 1;
        self.remember(level);
        Ok(())
    }

    /// Reads a member's name and colon; the name must sort behind the former one.
    fn read_name(&mut self, former: Option<Name<'_>>) -> Result<(), JsonError> {
        let start = self.at;
        if self.bytes.get(start) != Some(&b'"') {
            return Err(self.unexpected());
        }
        let token = string::check(self.bytes, start)?;
        let (inner, end) = (start + 1, token.end - 1);
        let raw = self.text.get(inner..end).unwrap_or_default();
        let current = Name {
            raw,
            has_escape: token.has_escape,
        };
        match former.map(|former| name::compare(former, current)) {
            None | Some(Ordering::Less) => {}
            Some(Ordering::Equal) => return Err(JsonError::new(JsonCode::DuplicateName, start)),
            Some(Ordering::Greater) => return Err(JsonError::new(JsonCode::NotCanonical, start)),
        }
        self.remember(Level::Object {
            start: inner,
            end,
            has_escape: token.has_escape,
        });
        self.at = token.end;
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    fn read_number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let token = number::scan(self.bytes, start)?;
        if !token.is_canonical {
            let value = admitted_value(self.text, start, token.end, self.profile)?;
            let received = self.bytes.get(start..token.end).unwrap_or_default();
            if number::print(value).as_bytes() != received {
                return Err(JsonError::new(JsonCode::NotCanonical, start));
            }
        }
        self.at = token.end;
        Ok(())
    }

    fn remember(&mut self, level: Level) {
        if let Some(slot) = self
            .depth
            .checked_sub(1)
            .and_then(|top| self.levels.get_mut(top))
        {
            *slot = level;
        }
    }

    fn innermost(&self) -> Option<Level> {
        self.depth
            .checked_sub(1)
            .and_then(|top| self.levels.get(top))
            .copied()
    }

    fn expect_end(&self) -> Result<(), JsonError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// White space between tokens is JSON, only not canonical.
    fn unexpected(&self) -> JsonError {
        match self.bytes.get(self.at) {
            Some(byte) if literal::is_space(*byte) => {
                JsonError::new(JsonCode::NotCanonical, self.at)
            }
            _ => JsonError::syntax(self.at),
        }
    }
}
