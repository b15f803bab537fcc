//! From any spelling to the canonical one, in one pass and without a tree.
//!
//! What is canonical already is left where it stands and copied in runs, when something else has to
//! be written. Members keep the order of arrival and their ranges are noted; an object whose names
//! came out of order is permuted once, when it closes. Objects in order, which senders of this
//! project write, are never moved, and a text that is canonical already is returned as it is.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::check::{as_text, respelled_value};
use super::error::{JsonCode, JsonError};
use super::member_order::{Member, MemberOrder};
use super::string::NameToken;
use super::text::Canonical;
use super::{Profile, literal, name, number, string};

/// The buffers of [`canonicalize`], kept by the caller so that the next text allocates nothing.
///
/// They grow to the largest text seen, and 72 bytes a member of its open objects.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) out: String,
    pub(super) permuted: String,
    pub(super) members: Vec<Member>,
    levels: Vec<Level>,
    pub(super) order: MemberOrder,
}

impl Scratch {
    /// Empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            out: String::new(),
            permuted: String::new(),
            members: Vec::new(),
            levels: Vec::new(),
            order: MemberOrder::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.out.clear();
        self.members.clear();
        self.levels.clear();
    }
}

/// The canonical form of `bytes`, which must be JSON within [`Profile::i_json`].
///
/// # Errors
/// The first thing that is wrong, as for [`check`](super::check), but never
/// [`JsonCode::NotCanonical`]; a name twice is found at the end of its object at the latest.
pub fn canonicalize<'s>(
    bytes: &'s [u8],
    scratch: &'s mut Scratch,
) -> Result<Canonical<'s>, JsonError> {
    canonicalize_with(bytes, scratch, Profile::i_json())
}

/// The canonical form of `bytes` within a profile of the caller's choice.
///
/// # Errors
/// As [`canonicalize`].
pub fn canonicalize_with<'s>(
    bytes: &'s [u8],
    scratch: &'s mut Scratch,
    profile: Profile,
) -> Result<Canonical<'s>, JsonError> {
    let text = as_text(bytes)?;
    scratch.clear();
    let mut writer = Writer {
        text,
        bytes,
        profile,
        at: 0,
        copied: 0,
        scratch,
    };
    writer.read_document()?;
    if writer.copied == 0 {
        return Ok(Canonical::from_checked(text));
    }
    writer.flush(bytes.len());
    Ok(Canonical::from_checked(&scratch.out))
}

/// An open container.
#[derive(Debug, Clone, Copy)]
enum Level {
    Array,
    Object {
        first_member: usize,
        is_sorted: bool,
    },
}

/// What stands where a value was expected.
enum Value {
    Opened,
    Complete,
}

struct Writer<'a, 's> {
    text: &'a str,
    bytes: &'a [u8],
    profile: Profile,
    at: usize,
    /// What lies before is in the output; what lies between here and `at` is canonical as it
    /// stands and belongs behind the output.
    copied: usize,
    scratch: &'s mut Scratch,
}

impl Writer<'_, '_> {
    fn read_document(&mut self) -> Result<(), JsonError> {
        loop {
            self.drop_space();
            if let Value::Complete = self.read_value()? {
                self.close_containers()?;
                if self.scratch.levels.is_empty() {
                    return self.expect_end();
                }
            }
        }
    }

    #[inline(always)]
    fn read_value(&mut self) -> Result<Value, JsonError> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.at = self.read_string()?.end,
            Some(b'-' | b'0'..=b'9') => self.read_number()?,
            Some(b'{') => return self.open_object(),
            Some(b'[') => return self.open_array(),
            Some(b't') => self.at = literal::scan(self.bytes, self.at, b"true")?,
            Some(b'f') => self.at = literal::scan(self.bytes, self.at, b"false")?,
            Some(b'n') => self.at = literal::scan(self.bytes, self.at, b"null")?,
            _ => return Err(JsonError::syntax(self.at)),
        }
        Ok(Value::Complete)
    }

    /// Behind a value: closes what ends here and stands at the next value, or outside of all.
    #[inline(always)]
    fn close_containers(&mut self) -> Result<(), JsonError> {
        while let Some(level) = self.scratch.levels.last().copied() {
            if let Level::Object { .. } = level {
                self.end_member();
            }
            self.drop_space();
            match (level, self.bytes.get(self.at)) {
                (Level::Array, Some(b',')) => {
                    self.at += 1;
                    return Ok(());
                }
                (Level::Object { .. }, Some(b',')) => {
                    self.at += 1;
                    return self.read_name();
                }
                (Level::Array, Some(b']')) => self.close(),
                (
                    Level::Object {
                        first_member,
                        is_sorted,
                    },
                    Some(b'}'),
                ) => {
                    if !is_sorted {
                        self.permute(first_member)?;
                    }
                    self.scratch.members.truncate(first_member);
                    self.close();
                }
                (Level::Array | Level::Object { .. }, _) => {
                    return Err(JsonError::syntax(self.at));
                }
            }
        }
        Ok(())
    }

    fn open_array(&mut self) -> Result<Value, JsonError> {
        self.open(Level::Array)?;
        if self.bytes.get(self.at) == Some(&b']') {
            self.close();
            return Ok(Value::Complete);
        }
        Ok(Value::Opened)
    }

    fn open_object(&mut self) -> Result<Value, JsonError> {
        let first_member = self.scratch.members.len();
        self.open(Level::Object {
            first_member,
            is_sorted: true,
        })?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.close();
            return Ok(Value::Complete);
        }
        self.read_name()?;
        Ok(Value::Opened)
    }

    /// Reads a member's name and colon, and notes whether it came in order.
    #[inline(always)]
    fn read_name(&mut self) -> Result<(), JsonError> {
        self.drop_space();
        let offset = self.at;
        if self.bytes.get(offset) != Some(&b'"') {
            return Err(JsonError::syntax(offset));
        }
        let (token, start) = match string::plain_name(self.bytes, offset) {
            Some(token) => (token, self.place(offset)),
            None => self.read_long_name(offset)?,
        };
        let name_end = self.place(token.end - 1);
        self.note_member(Member {
            start,
            name_end,
            end: name_end,
            offset,
            key: token.key,
        })?;
        self.at = token.end;
        self.drop_space();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(JsonError::syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a name of any length and spelling. One that is respelled is all in the output then.
    #[inline(never)]
    fn read_long_name(&mut self, offset: usize) -> Result<(NameToken, usize), JsonError> {
        let start = self.place(offset);
        let token = self.read_string()?;
        if self.copied <= offset {
            return Ok((token.named(self.bytes, offset), start));
        }
        self.flush(token.end);
        let end = self.scratch.out.len();
        let written = self.scratch.out.as_bytes();
        let key = name::key(written, start + 1, end - 1, token.has_escape);
        let token = NameToken {
            end: token.end,
            key,
        };
        Ok((token, start))
    }

    #[inline(always)]
    fn note_member(&mut self, member: Member) -> Result<(), JsonError> {
        if let Some(Level::Object {
            first_member,
            is_sorted: true,
        }) = self.scratch.levels.last().copied()
            && self.scratch.members.len() > first_member
            && let Some(former) = self.scratch.members.last().copied()
        {
            let is_decisive = name::is_decisive(former.key | member.key);
            if !(is_decisive && former.key < member.key) {
                self.compare_names(&former, &member)?;
            }
        }
        self.scratch.members.push(member);
        Ok(())
    }

    /// Compares two names where the keys do not say that they are in order.
    fn compare_names(&mut self, former: &Member, member: &Member) -> Result<(), JsonError> {
        match name::compare(self.name(former), self.name(member)) {
            Ordering::Less => {}
            Ordering::Equal => {
                return Err(JsonError::new(JsonCode::DuplicateName, member.offset));
            }
            Ordering::Greater => {
                if let Some(Level::Object { is_sorted, .. }) = self.scratch.levels.last_mut() {
                    *is_sorted = false;
                }
            }
        }
        Ok(())
    }

    /// A member's value has been read: the innermost open object's last member ends here.
    #[inline(always)]
    fn end_member(&mut self) {
        let end = self.place(self.at);
        if let Some(member) = self.scratch.members.last_mut() {
            member.end = end;
        }
    }

    /// Writes the members of the object that closes here, in order.
    fn permute(&mut self, first_member: usize) -> Result<(), JsonError> {
        let Scratch {
            out,
            permuted,
            members,
            order,
            ..
        } = &mut *self.scratch;
        let members = members.get(first_member..).unwrap_or_default();
        let begin = members.first().map_or(out.len(), |member| member.start);
        // Nothing of the object has been written: its members go from the input to the output.
        let is_pending = begin >= out.len();
        let (from, shift) = if is_pending {
            (self.text, out.len())
        } else {
            let pending = self.text.get(self.copied..self.at).unwrap_or_default();
            permuted.clear();
            permuted.push_str(out.get(begin..).unwrap_or_default());
            permuted.push_str(pending);
            out.truncate(begin);
            (permuted.as_str(), begin)
        };
        // Places in the input are counted from what was copied, places in the copy from 0.
        let base = if is_pending { self.copied } else { 0 };
        let range = |start: usize, end: usize| start - shift + base..end - shift + base;
        let raw = |member: &Member| {
            let name = range(member.start + 1, member.name_end);
            from.as_bytes().get(name).unwrap_or_default()
        };
        if let [_, _] = members {
            // They came out of order: there is one other.
            order.set_swapped();
        } else if let Err(offset) = order.sort(members, raw) {
            return Err(JsonError::new(JsonCode::DuplicateName, offset));
        }
        if is_pending {
            let before = self.copied..begin - shift + base;
            out.push_str(self.text.get(before).unwrap_or_default());
        }
        let mut is_first = true;
        for member in order.indices().filter_map(|index| members.get(index)) {
            if !is_first {
                out.push(',');
            }
            is_first = false;
            out.push_str(
                from.get(range(member.start, member.end))
                    .unwrap_or_default(),
            );
        }
        self.copied = self.at;
        Ok(())
    }

    #[inline(always)]
    fn read_string(&mut self) -> Result<string::Token, JsonError> {
        let Self {
            text,
            bytes,
            at,
            copied,
            scratch,
            ..
        } = self;
        string::read(bytes, *at, |start, end, character| {
            scratch
                .out
                .push_str(text.get(*copied..start).unwrap_or_default());
            string::push_character(character, &mut scratch.out);
            *copied = end;
        })
    }

    #[inline(always)]
    fn read_number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let token = number::scan(self.bytes, start)?;
        self.at = token.end;
        if token.is_canonical {
            return Ok(());
        }
        self.respell_number(start, token)
    }

    fn respell_number(&mut self, start: usize, token: number::Token) -> Result<(), JsonError> {
        if let Some(value) = respelled_value(token, self.text, start, self.profile)? {
            self.flush(start);
            self.scratch.out.push_str(number::print(value).as_str());
            self.copied = self.at;
        }
        Ok(())
    }

    #[inline(always)]
    fn open(&mut self, level: Level) -> Result<(), JsonError> {
        if self.scratch.levels.len() >= self.profile.depth_max() {
            return Err(JsonError::new(JsonCode::Depth, self.at));
        }
        self.scratch.levels.push(level);
        self.at += 1;
        self.drop_space();
        Ok(())
    }

    #[inline(always)]
    fn close(&mut self) {
        self.scratch.levels.pop();
        self.at += 1;
    }

    /// Copies what has not been copied before `end`.
    fn flush(&mut self, end: usize) {
        let pending = self.text.get(self.copied..end).unwrap_or_default();
        self.scratch.out.push_str(pending);
        self.copied = end;
    }

    /// White space is read and not written.
    #[inline(always)]
    fn drop_space(&mut self) {
        if self
            .bytes
            .get(self.at)
            .is_some_and(|byte| literal::is_space(*byte))
        {
            self.flush(self.at);
            self.at = literal::skip_space(self.bytes, self.at);
            self.copied = self.at;
        }
    }

    fn expect_end(&mut self) -> Result<(), JsonError> {
        self.drop_space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(JsonError::syntax(self.at))
        }
    }

    /// Where in the written text the input at `at` will be, which is not copied yet.
    #[inline(always)]
    fn place(&self, at: usize) -> usize {
        self.scratch.out.len() + at - self.copied
    }

    /// The name of a member, which is all in the output or all not copied yet.
    fn name(&self, member: &Member) -> &[u8] {
        let out = self.scratch.out.as_bytes();
        let (start, end) = (member.start + 1, member.name_end);
        let raw = match member.start.checked_sub(out.len()) {
            None => out.get(start..end),
            Some(_) => {
                let base = |place: usize| place - out.len() + self.copied;
                self.bytes.get(base(start)..base(end))
            }
        };
        raw.unwrap_or_default()
    }
}
