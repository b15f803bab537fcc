//! From any spelling to the canonical one, in one pass and without a tree.
//!
//! Members are written in the order of arrival and their ranges noted; an object whose names came
//! out of order is permuted once, when it closes. Objects in order, which senders of this project
//! write, are never moved, and a text that is canonical already is returned as it is.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::check::{admitted_value, as_text, check_with};
use super::error::{JsonCode, JsonError};
use super::name::{self, Name};
use super::text::Canonical;
use super::{Profile, literal, number, string};

/// The buffers of [`canonicalize`], kept by the caller so that the next text allocates nothing.
///
/// They grow to the largest text seen, and 48 bytes a member of its open objects.
#[derive(Debug, Default)]
pub struct Scratch {
    out: String,
    permuted: String,
    members: Vec<Member>,
    levels: Vec<Level>,
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
        }
    }

    fn clear(&mut self) {
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
    match check_with(bytes, profile) {
        Err(error) if error.code == JsonCode::NotCanonical => {}
        canonical_or_malformed => return canonical_or_malformed,
    }
    let text = as_text(bytes)?;
    scratch.clear();
    scratch.out.reserve(text.len());
    Writer {
        text,
        bytes,
        profile,
        at: 0,
        scratch,
    }
    .read_document()?;
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

/// A member of an open object: ranges of the output, and the place of its name in the input.
#[derive(Debug, Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
    has_escape: bool,
    offset: usize,
}

impl Member {
    /// The name, of a member whose opening quote stands at `start` of `out`.
    fn name(self, out: &str) -> Name<'_> {
        let raw = out.get(self.start + 1..self.name_end).unwrap_or_default();
        Name {
            raw,
            has_escape: self.has_escape,
        }
    }
}

/// What stands where a value was expected.
enum Value {
    Opened,
    Complete,
}

struct Writer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    profile: Profile,
    at: usize,
    scratch: &'a mut Scratch,
}

impl Writer<'_> {
    fn read_document(&mut self) -> Result<(), JsonError> {
        loop {
            self.skip_space();
            if let Value::Complete = self.read_value()? {
                self.close_containers()?;
                if self.scratch.levels.is_empty() {
                    return self.expect_end();
                }
            }
        }
    }

    fn read_value(&mut self) -> Result<Value, JsonError> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.at = string::copy(self.text, self.at, &mut self.scratch.out)?.end,
            Some(b'-' | b'0'..=b'9') => self.copy_number()?,
            Some(b'{') => return self.open_object(),
            Some(b'[') => return self.open_array(),
            Some(b't') => self.copy_word("true")?,
            Some(b'f') => self.copy_word("false")?,
            Some(b'n') => self.copy_word("null")?,
            _ => return Err(JsonError::syntax(self.at)),
        }
        Ok(Value::Complete)
    }

    /// Behind a value: closes what ends here and stands at the next value, or outside of all.
    fn close_containers(&mut self) -> Result<(), JsonError> {
        while let Some(level) = self.scratch.levels.last().copied() {
            if let Level::Object { .. } = level {
                self.end_member();
            }
            self.skip_space();
            match (level, self.bytes.get(self.at)) {
                (Level::Array, Some(b',')) => {
                    self.put(',');
                    return Ok(());
                }
                (Level::Object { .. }, Some(b',')) => {
                    self.put(',');
                    return self.read_name();
                }
                (Level::Array, Some(b']')) => self.close(']'),
                (
                    Level::Object {
                        first_member,
                        is_sorted,
                    },
                    Some(b'}'),
                ) => {
                    if !is_sorted {
                        self.sort_members(first_member)?;
                    }
                    self.scratch.members.truncate(first_member);
                    self.close('}');
                }
                (Level::Array | Level::Object { .. }, _) => {
                    return Err(JsonError::syntax(self.at));
                }
            }
        }
        Ok(())
    }

    fn open_array(&mut self) -> Result<Value, JsonError> {
        self.open('[', Level::Array)?;
        if self.bytes.get(self.at) == Some(&b']') {
            self.close(']');
            return Ok(Value::Complete);
        }
        Ok(Value::Opened)
    }

    fn open_object(&mut self) -> Result<Value, JsonError> {
        let first_member = self.scratch.members.len();
        self.open(
            '{',
            Level::Object {
                first_member,
                is_sorted: true,
            },
        )?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.close('}');
            return Ok(Value::Complete);
        }
        self.read_name()?;
        Ok(Value::Opened)
    }

    /// Reads and writes a member's name and colon, and notes whether it came in order.
    fn read_name(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        let offset = self.at;
        if self.bytes.get(offset) != Some(&b'"') {
            return Err(JsonError::syntax(offset));
        }
        let start = self.scratch.out.len();
        let token = string::copy(self.text, offset, &mut self.scratch.out)?;
        let name_end = self.scratch.out.len() - 1;
        let has_escape = token.has_escape;
        self.note_member(Member {
            start,
            name_end,
            end: name_end,
            has_escape,
            offset,
        })?;
        self.at = token.end;
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(JsonError::syntax(self.at));
        }
        self.put(':');
        Ok(())
    }

    fn note_member(&mut self, member: Member) -> Result<(), JsonError> {
        let Scratch {
            out,
            members,
            levels,
            ..
        } = &mut *self.scratch;
        if let Some(Level::Object {
            first_member,
            is_sorted,
        }) = levels.last_mut()
            && *is_sorted
            && let Some(former) = members.get(*first_member..).and_then(<[Member]>::last)
        {
            match name::compare(former.name(out), member.name(out)) {
                Ordering::Less => {}
                Ordering::Equal => {
                    return Err(JsonError::new(JsonCode::DuplicateName, member.offset));
                }
                Ordering::Greater => *is_sorted = false,
            }
        }
        members.push(member);
        Ok(())
    }

    /// A member's value has been written: the innermost open object's last member ends here.
    fn end_member(&mut self) {
        let end = self.scratch.out.len();
        if let Some(member) = self.scratch.members.last_mut() {
            member.end = end;
        }
    }

    /// Brings the members of the object that closes here into order.
    fn sort_members(&mut self, first_member: usize) -> Result<(), JsonError> {
        let Scratch {
            out,
            permuted,
            members,
            ..
        } = &mut *self.scratch;
        let members = members.get_mut(first_member..).unwrap_or_default();
        let begin = members.first().map_or(out.len(), |member| member.start);
        members.sort_unstable_by(|a, b| name::compare(a.name(out), b.name(out)));
        if let Some(offset) = first_duplicate(members, out) {
            return Err(JsonError::new(JsonCode::DuplicateName, offset));
        }
        permuted.clear();
        for member in members {
            if !permuted.is_empty() {
                permuted.push(',');
            }
            permuted.push_str(out.get(member.start..member.end).unwrap_or_default());
        }
        out.truncate(begin);
        out.push_str(permuted);
        Ok(())
    }

    fn copy_number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let token = number::scan(self.bytes, start)?;
        if token.is_canonical {
            self.scratch
                .out
                .push_str(self.text.get(start..token.end).unwrap_or_default());
        } else {
            let value = admitted_value(self.text, start, token.end, self.profile)?;
            self.scratch.out.push_str(number::print(value).as_str());
        }
        self.at = token.end;
        Ok(())
    }

    fn copy_word(&mut self, word: &str) -> Result<(), JsonError> {
        self.at = literal::scan(self.bytes, self.at, word.as_bytes())?;
        self.scratch.out.push_str(word);
        Ok(())
    }

    fn open(&mut self, bracket: char, level: Level) -> Result<(), JsonError> {
        if self.scratch.levels.len() >= self.profile.depth_max() {
            return Err(JsonError::new(JsonCode::Depth, self.at));
        }
        self.scratch.levels.push(level);
        self.put(bracket);
        self.skip_space();
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.scratch.levels.pop();
        self.put(bracket);
    }

    /// Writes the punctuation which the input has at this place.
    fn put(&mut self, punctuation: char) {
        self.scratch.out.push(punctuation);
        self.at += 1;
    }

    fn skip_space(&mut self) {
        self.at = literal::skip_space(self.bytes, self.at);
    }

    fn expect_end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(JsonError::syntax(self.at))
        }
    }
}

/// Where in the input the first repetition of a name stands, given members in order.
fn first_duplicate(members: &[Member], out: &str) -> Option<usize> {
    let is_equal =
        |a: &Member, b: &Member| name::compare(a.name(out), b.name(out)) == Ordering::Equal;
    members
        .chunk_by(is_equal)
        .filter(|same| same.len() > 1)
        .filter_map(|same| {
            let first = same.iter().map(|member| member.offset).min()?;
            same.iter()
                .map(|member| member.offset)
                .filter(|offset| *offset > first)
                .min()
        })
        .min()
}
