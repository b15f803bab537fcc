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
    read_document(text, profile)?;
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

/// One loop, in which objects and arrays are a bit of the place and not the call stack. What is
/// rare is in functions of its own, because the loop is short of registers.
fn read_document(text: &str, profile: Profile) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let mut outer: Outer = [LastName::NONE; JSON_DEPTH_CEILING];
    let mut place = Place::START;
    loop {
        // Before a value.
        match bytes.get(place.at) {
            Some(b'"') => place.at = string::check(bytes, place.at)?.end,
            Some(b'-' | b'0'..=b'9') => {
                let token = number::scan(bytes, place.at)?;
                if !token.is_canonical {
                    check_value(token, text, place.at, profile)?;
                }
                place.at = token.end;
            }
            Some(b'{' | b'[') => {
                let Opened { inside, is_empty } = place.open(bytes, profile, &mut outer)?;
                place = inside;
                if !is_empty {
                    continue;
                }
            }
            Some(b't') => place.at = literal::scan(bytes, place.at, b"true")?,
            Some(b'f') => place.at = literal::scan(bytes, place.at, b"false")?,
            Some(b'n') => place.at = literal::scan(bytes, place.at, b"null")?,
            _ => return Err(unexpected(bytes, place.at)),
        }
        // Behind a value.
        loop {
            if place.is_in_object() {
                if bytes.get(place.at..place.at + 2) == Some(b",\"") {
                    place.pass_next_name(bytes)?;
                    break;
                }
            } else if place.depth > 0 && bytes.get(place.at) == Some(&b',') {
                place.at += 1;
                break;
            }
            match place.close(bytes, &outer)? {
                Some(outside) => place = outside,
                None => return Ok(()),
            }
        }
    }
}

/// Where the pass stands.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    depth: usize,
    /// Bit by bit the open containers, the innermost lowest: 1 is an object.
    objects: u64,
    /// The last name of the innermost container.
    last: LastName,
}

/// The name behind which the next one must sort.
#[derive(Clone, Copy)]
struct LastName {
    key: u64,
    /// Its opening quote.
    start: usize,
}

/// The last names of the containers around the innermost one.
type Outer = [LastName; JSON_DEPTH_CEILING];

/// A container that was opened.
struct Opened {
    /// Before its first value, or behind it if it is empty.
    inside: Place,
    is_empty: bool,
}

impl Place {
    const START: Self = Self {
        at: 0,
        depth: 0,
        objects: 0,
        last: LastName::NONE,
    };

    #[inline(always)]
    const fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Enters the container that begins here, and passes the first name of an object.
    #[inline(always)]
    fn open(
        mut self,
        bytes: &[u8],
        profile: Profile,
        outer: &mut Outer,
    ) -> Result<Opened, JsonError> {
        if self.depth >= profile.depth_max() {
            return Err(JsonError::new(JsonCode::Depth, self.at));
        }
        if let Some(slot) = outer.get_mut(self.depth) {
            *slot = self.last;
        }
        let is_object = bytes.get(self.at) == Some(&b'{');
        let bracket = if is_object { b'}' } else { b']' };
        self.objects = self.objects << 1 | u64::from(is_object);
        self.depth += 1;
        self.at += 1;
        let is_empty = bytes.get(self.at) == Some(&bracket);
        if is_empty {
            self.leave(outer);
        } else if is_object {
            self.pass_name(self.read_name(bytes)?, bytes)?;
        }
        Ok(Opened {
            inside: self,
            is_empty,
        })
    }

    /// Leaves the innermost container; None at the end of the text.
    #[inline(always)]
    fn close(mut self, bytes: &[u8], outer: &Outer) -> Result<Option<Self>, JsonError> {
        let bracket = if self.is_in_object() { b'}' } else { b']' };
        match bytes.get(self.at) {
            None if self.depth == 0 => return Ok(None),
            Some(found) if self.depth > 0 && *found == bracket => {}
            // A name must follow.
            Some(b',') if self.depth > 0 => return Err(unexpected(bytes, self.at + 1)),
            _ => return Err(unexpected(bytes, self.at)),
        }
        self.leave(outer);
        Ok(Some(self))
    }

    #[inline(always)]
    fn leave(&mut self, outer: &Outer) {
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        if let Some(last) = outer.get(self.depth) {
            self.last = *last;
        }
    }

    /// From a comma before a name to behind the colon; the name must sort behind the former one.
    #[inline(always)]
    fn pass_next_name(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        self.at += 1;
        let token = match string::plain_name(bytes, self.at) {
            Some(token) => token,
            None => self.read_name(bytes)?,
        };
        let is_decisive = name::is_decisive(token.key | self.last.key);
        if !(is_decisive && self.last.key < token.key) {
            compare_names(bytes, self.last.start, self.at, token.end)?;
        }
        self.pass_name(token, bytes)
    }

    #[inline(never)]
    fn read_name(self, bytes: &[u8]) -> Result<NameToken, JsonError> {
        if bytes.get(self.at) != Some(&b'"') {
            return Err(unexpected(bytes, self.at));
        }
        string::check_name(bytes, self.at)
    }

    /// Keeps the name that begins here for the next one, and passes it and the colon.
    #[inline(always)]
    fn pass_name(&mut self, token: NameToken, bytes: &[u8]) -> Result<(), JsonError> {
        self.last = LastName {
            key: token.key,
            start: self.at,
        };
        if bytes.get(token.end) != Some(&b':') {
            return Err(unexpected(bytes, token.end));
        }
        self.at = token.end + 1;
        Ok(())
    }
}

impl LastName {
    /// Before the first name, and in arrays.
    const NONE: Self = Self { key: 0, start: 0 };
}

/// Compares the name in `start..end` with the one that begins at `former`, where the keys do not
/// say that the order is right.
#[inline(never)]
fn compare_names(bytes: &[u8], former: usize, start: usize, end: usize) -> Result<(), JsonError> {
    let former_end = string::skip(bytes, former).end;
    let name = |start: usize, end: usize| bytes.get(start + 1..end - 1).unwrap_or_default();
    match name::compare(name(former, former_end), name(start, end)) {
        Ordering::Less => Ok(()),
        Ordering::Equal => Err(JsonError::new(JsonCode::DuplicateName, start)),
        Ordering::Greater => Err(JsonError::new(JsonCode::NotCanonical, start)),
    }
}

/// Judges a number whose grammar does not prove it canonical.
#[inline(never)]
fn check_value(
    token: number::Token,
    text: &str,
    start: usize,
    profile: Profile,
) -> Result<(), JsonError> {
    match respelled_value(token, text, start, profile)? {
        None => Ok(()),
        Some(_) => Err(JsonError::new(JsonCode::NotCanonical, start)),
    }
}

/// White space between tokens is JSON, only not canonical.
#[cold]
fn unexpected(bytes: &[u8], at: usize) -> JsonError {
    match bytes.get(at) {
        Some(byte) if literal::is_space(*byte) => JsonError::new(JsonCode::NotCanonical, at),
        _ => JsonError::syntax(at),
    }
}
