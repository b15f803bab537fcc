//! Is this text canonical? One pass, no allocation.

use core::cmp::Ordering;

use super::error::{JsonCode, JsonError};
use super::marks::{Ahead, Marks};
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

/// One loop, in which objects and arrays are bits of a number and not the call stack. What is rare
/// is in functions of its own, because the loop is short of registers.
///
/// Where a token ends is read off the marks ahead, and believed when the bytes there say the same.
fn read_document(text: &str, profile: Profile) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let mut marks = Marks::new();
    let mut outer: Outer = [LastName::NONE; JSON_DEPTH_CEILING];
    let mut place = Place {
        at: 0,
        ahead: marks.from(bytes, 0),
        level: Level::START,
        last: LastName::NONE,
    };
    'value: loop {
        'name: {
            match bytes.get(place.at).copied() {
                Some(b'0'..=b'9') => place.pass_number(text, profile, &mut marks)?,
                Some(b'"') => place.pass_string(bytes, &mut marks)?,
                Some(b'{') => {
                    place.enter(b'}', profile, &mut outer)?;
                    match bytes.get(place.at) {
                        Some(b'"') => break 'name,
                        Some(b'}') => {}
                        _ => return Err(unexpected(bytes, place.at)),
                    }
                }
                Some(b'[') => {
                    place.enter(b']', profile, &mut outer)?;
                    if bytes.get(place.at) != Some(&b']') {
                        continue 'value;
                    }
                }
                _ => place.pass_other(text, profile, &mut marks)?,
            }
            // Behind a value.
            loop {
                match (bytes.get(place.at).copied(), place.level.bracket) {
                    (Some(b','), b'}') => {
                        place.pass_separator();
                        break 'name;
                    }
                    (Some(b','), b']') => {
                        place.pass_separator();
                        continue 'value;
                    }
                    // Outside of all containers the bracket is a comma.
                    (Some(found), bracket) if found == bracket && place.level.depth > 0 => {
                        place.pass_separator();
                        place.leave(&outer);
                    }
                    (None, _) if place.level.depth == 0 => return Ok(()),
                    _ => return Err(unexpected(bytes, place.at)),
                }
            }
        }
        place.pass_name(bytes, &mut marks)?;
    }
}

/// Where the pass stands.
struct Place {
    at: usize,
    /// The marks from `at` on.
    ahead: Ahead,
    level: Level,
    /// The last name of the innermost container.
    last: LastName,
}

impl Place {
    /// Passes a number without sign.
    #[inline(always)]
    fn pass_number(
        &mut self,
        text: &str,
        profile: Profile,
        marks: &mut Marks,
    ) -> Result<(), JsonError> {
        let bytes = text.as_bytes();
        if self.ahead.is_empty() {
            self.ahead = marks.from(bytes, self.at);
        }
        let end = self.ahead.first();
        if number::is_plain(bytes, self.at, end) {
            self.at = end;
        } else {
            self.at = check_number(text, self.at, profile)?;
            self.ahead = marks.from(bytes, self.at);
        }
        Ok(())
    }

    #[inline(always)]
    fn pass_string(&mut self, bytes: &[u8], marks: &mut Marks) -> Result<(), JsonError> {
        let closing = self.ahead.next();
        let end = closing.first();
        if !closing.is_empty() && bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            self.ahead = closing.next();
        } else {
            self.at = check_string(bytes, self.at, marks)?;
            self.ahead = marks.from(bytes, self.at);
        }
        Ok(())
    }

    /// Passes a negative number or a word.
    #[inline(always)]
    fn pass_other(
        &mut self,
        text: &str,
        profile: Profile,
        marks: &mut Marks,
    ) -> Result<(), JsonError> {
        self.at = check_other(text, self.at, profile)?;
        self.ahead = marks.from(text.as_bytes(), self.at);
        Ok(())
    }

    /// Enters the container that begins here.
    #[inline(always)]
    fn enter(&mut self, bracket: u8, profile: Profile, outer: &mut Outer) -> Result<(), JsonError> {
        if self.level.depth >= profile.depth_max() {
            return Err(JsonError::new(JsonCode::Depth, self.at));
        }
        if let Some(slot) = outer.get_mut(self.level.depth) {
            *slot = self.last;
        }
        self.last = LastName::NONE;
        self.level = self.level.entered(bracket);
        self.at += 1;
        Ok(())
    }

    /// Leaves the innermost container, whose bracket was passed.
    #[inline(always)]
    fn leave(&mut self, outer: &Outer) {
        self.level = self.level.left();
        let last = outer.get(self.level.depth).copied();
        self.last = last.unwrap_or(LastName::NONE);
    }

    /// Passes a comma or a closing bracket.
    #[inline(always)]
    const fn pass_separator(&mut self) {
        self.at += 1;
        self.ahead = self.ahead.next();
    }

    /// Passes a name, which must sort behind the former one, and its colon.
    #[inline(always)]
    fn pass_name(&mut self, bytes: &[u8], marks: &mut Marks) -> Result<(), JsonError> {
        let start = self.at;
        let mut closing = self.ahead.next();
        let mut behind = closing.next();
        if behind.is_empty() {
            closing = marks.from(bytes, start).next();
            behind = closing.next();
        }
        let end = closing.first();
        // What is behind the mark of the name's end is asked for, so that there is one.
        if !behind.is_empty()
            && let Some(chunk) = bytes.get(start..).and_then(|rest| rest.first_chunk::<9>())
            && chunk[0] == b'"'
            && bytes.get(end..end + 2) == Some(b"\":")
        {
            let key = name::key_of(chunk, end - start - 1);
            self.last.check_order(key, bytes, start, end + 1)?;
            self.last = LastName { key, start };
            self.at = end + 2;
            self.ahead = behind;
        } else {
            (self.last, self.at) = check_name(bytes, start, self.last)?;
            self.ahead = marks.from(bytes, self.at);
        }
        Ok(())
    }
}

/// Which containers are open.
#[derive(Clone, Copy)]
struct Level {
    depth: usize,
    /// What closes the innermost one; a comma outside of all.
    bracket: u8,
    /// Bit by bit the containers, the innermost lowest: 1 is an object.
    objects: u64,
}

/// The last names of the containers around the innermost one.
type Outer = [LastName; JSON_DEPTH_CEILING];

/// The name behind which the next one must sort.
#[derive(Clone, Copy)]
struct LastName {
    key: u64,
    /// Its opening quote.
    start: usize,
}

impl Level {
    const START: Self = Self {
        depth: 0,
        bracket: b',',
        objects: 0,
    };

    #[inline(always)]
    const fn entered(self, bracket: u8) -> Self {
        Self {
            depth: self.depth + 1,
            bracket,
            objects: self.objects << 1 | (bracket == b'}') as u64,
        }
    }

    #[inline(always)]
    const fn left(self) -> Self {
        let objects = self.objects >> 1;
        let bracket = if self.depth == 1 {
            b','
        } else if objects & 1 == 1 {
            b'}'
        } else {
            b']'
        };
        Self {
            depth: self.depth - 1,
            bracket,
            objects,
        }
    }
}

/// Reads any name; also returns the index behind its colon.
#[inline(never)]
fn check_name(bytes: &[u8], start: usize, last: LastName) -> Result<(LastName, usize), JsonError> {
    if bytes.get(start) != Some(&b'"') {
        return Err(unexpected(bytes, start));
    }
    let NameToken { key, end } = string::check_name(bytes, start)?;
    last.check_order(key, bytes, start, end)?;
    if bytes.get(end) != Some(&b':') {
        return Err(unexpected(bytes, end));
    }
    Ok((LastName { key, start }, end + 1))
}

/// Reads any string.
#[inline(never)]
fn check_string(bytes: &[u8], start: usize, marks: &mut Marks) -> Result<usize, JsonError> {
    let mut at = start + 1;
    loop {
        let mut ahead = marks.from(bytes, at);
        while !ahead.is_empty() {
            let end = ahead.first();
            match bytes.get(end) {
                Some(b'"') => return Ok(end + 1),
                // Nothing in a string.
                Some(b',' | b']' | b'|' | b'}') => ahead = ahead.next(),
                _ => return Ok(string::check_interrupted(bytes, end)?.end),
            }
        }
        at += Marks::SEEN_BYTES;
    }
}

/// Reads a negative number or a word.
#[inline(never)]
fn check_other(text: &str, at: usize, profile: Profile) -> Result<usize, JsonError> {
    let bytes = text.as_bytes();
    match bytes.get(at) {
        Some(b'-') => check_number(text, at, profile),
        Some(b't') => literal::scan(bytes, at, b"true"),
        Some(b'f') => literal::scan(bytes, at, b"false"),
        Some(b'n') => literal::scan(bytes, at, b"null"),
        _ => Err(unexpected(bytes, at)),
    }
}

impl LastName {
    /// Before the first name, and in arrays: no name begins where the text does.
    const NONE: Self = Self { key: 0, start: 0 };

    /// Whether the name in `start..end` sorts behind this one.
    #[inline(always)]
    fn check_order(
        self,
        key: u64,
        bytes: &[u8],
        start: usize,
        end: usize,
    ) -> Result<(), JsonError> {
        if name::is_decisive(key | self.key) && self.key < key {
            return Ok(());
        }
        compare_names(bytes, self.start, start, end)
    }
}

/// Compares the name in `start..end` with the one that begins at `former`, where the keys do not
/// say that the order is right.
#[inline(never)]
fn compare_names(bytes: &[u8], former: usize, start: usize, end: usize) -> Result<(), JsonError> {
    if former == LastName::NONE.start {
        return Ok(());
    }
    let former_end = string::skip(bytes, former).end;
    let name = |start: usize, end: usize| bytes.get(start + 1..end - 1).unwrap_or_default();
    match name::compare(name(former, former_end), name(start, end)) {
        Ordering::Less => Ok(()),
        Ordering::Equal => Err(JsonError::new(JsonCode::DuplicateName, start)),
        Ordering::Greater => Err(JsonError::new(JsonCode::NotCanonical, start)),
    }
}

/// Reads a number that is long or has a sign, an exponent or another spelling.
#[inline(never)]
fn check_number(text: &str, start: usize, profile: Profile) -> Result<usize, JsonError> {
    let token = number::scan_any(text.as_bytes(), start)?;
    if token.is_canonical || respelled_value(token, text, start, profile)?.is_none() {
        return Ok(token.end);
    }
    Err(JsonError::new(JsonCode::NotCanonical, start))
}

/// White space between tokens is JSON, only not canonical.
#[cold]
fn unexpected(bytes: &[u8], at: usize) -> JsonError {
    match bytes.get(at) {
        Some(byte) if literal::is_space(*byte) => JsonError::new(JsonCode::NotCanonical, at),
        _ => JsonError::syntax(at),
    }
}
