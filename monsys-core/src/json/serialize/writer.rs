//! What is written so far, and the members whose order is still open.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::{self, Display, Write as _};
use core::mem;

use super::super::canonicalize::{Scratch, canonicalize_with};
use super::super::check::respelled_value;
use super::super::error::JsonError;
use super::super::member_order::{Member, MemberOrder};
use super::super::{JSON_DEPTH_MAX, Profile, name, number, string};
use super::{SerializeError, digits, plain};
use crate::limit::{BODY_BYTES_MAX, SAFE_INTEGER_MAX};

/// The output, one level of nesting at a time.
///
/// Bytes, because digits come as bytes: one check at the end that all is text costs less than one
/// for each number.
pub(super) struct Writer<'s> {
    out: Vec<u8>,
    /// Where texts are escaped, and members wait to be put in order.
    spare: Vec<u8>,
    members: &'s mut Vec<Member>,
    order: &'s mut MemberOrder,
    depth: usize,
    /// The first error that a container met. A value's own code may ignore what it was told; then
    /// the text is no longer JSON, and nobody gets to see it.
    failure: Option<SerializeError>,
}

/// An open object.
pub(super) struct OpenObject {
    first_member: usize,
    former_key: u64,
    is_sorted: bool,
}

impl<'s> Writer<'s> {
    /// Lets `write` write into the buffers, which keep the text if all went well.
    pub(super) fn fill(
        scratch: &'s mut Scratch,
        write: impl FnOnce(&mut Self) -> Result<(), SerializeError>,
    ) -> Result<(), SerializeError> {
        scratch.clear();
        let Scratch {
            out: text,
            permuted,
            members,
            order,
            ..
        } = scratch;
        let mut writer = Self {
            out: mem::take(text).into_bytes(),
            spare: mem::take(permuted).into_bytes(),
            members,
            order,
            depth: 0,
            failure: None,
        };
        let written = write(&mut writer).and_then(|()| writer.check_end());
        let Self {
            mut out, mut spare, ..
        } = writer;
        if written.is_err() {
            out.clear();
        }
        spare.clear();
        // Cannot fail: empty, or strings and ASCII.
        *text = String::from_utf8(out).unwrap_or_default();
        *permuted = String::from_utf8(spare).unwrap_or_default();
        written
    }

    fn check_end(&self) -> Result<(), SerializeError> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.check_size(0),
        }
    }

    /// Remembers an error, so that it cannot be ignored.
    #[inline(always)]
    pub(super) fn keep(
        &mut self,
        result: Result<(), SerializeError>,
    ) -> Result<(), SerializeError> {
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    #[cold]
    pub(super) fn fail(&mut self, error: SerializeError) {
        self.failure.get_or_insert(error);
    }

    #[inline(always)]
    pub(super) fn push(&mut self, canonical: &str) {
        self.out.extend_from_slice(canonical.as_bytes());
    }

    #[inline(always)]
    pub(super) fn text(&mut self, text: &str) -> Result<(), SerializeError> {
        self.check_size(text.len())?;
        self.push("\"");
        if plain::push(text.as_bytes(), &mut self.out).is_none() {
            self.push_escaped(text);
        }
        self.push("\"");
        Ok(())
    }

    /// Appends what stands between the quotes of a text.
    #[inline(never)]
    fn push_escaped(&mut self, text: &str) {
        self.spare.clear();
        // Cannot fail: empty.
        let mut escaped = String::from_utf8(mem::take(&mut self.spare)).unwrap_or_default();
        string::push(text, &mut escaped);
        let inner = escaped.get(1..escaped.len() - 1).unwrap_or_default();
        self.push(inner);
        self.spare = escaped.into_bytes();
    }

    /// A text that a value knows only how to display.
    pub(super) fn display(
        &mut self,
        value: &(impl Display + ?Sized),
    ) -> Result<(), SerializeError> {
        self.push("\"");
        let mut pieces = Pieces {
            writer: self,
            outcome: Ok(()),
        };
        let displayed = write!(pieces, "{value}");
        pieces.outcome?;
        displayed.map_err(|_| SerializeError::Refused)?;
        self.push("\"");
        Ok(())
    }

    #[inline(always)]
    pub(super) fn unsigned(&mut self, value: u64) -> Result<(), SerializeError> {
        if value > SAFE_INTEGER_MAX.unsigned_abs() {
            return Err(SerializeError::NumberRange);
        }
        digits::push(value, &mut self.out);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn signed(&mut self, value: i64) -> Result<(), SerializeError> {
        if value < -SAFE_INTEGER_MAX {
            return Err(SerializeError::NumberRange);
        }
        if value < 0 {
            self.push("-");
        }
        self.unsigned(value.unsigned_abs())
    }

    #[inline]
    pub(super) fn number(&mut self, value: f64) -> Result<(), SerializeError> {
        if !Profile::i_json().admits(value) {
            return Err(SerializeError::NumberRange);
        }
        let magnitude = value.abs();
        let mut buffer = zmij::Buffer::new();
        if magnitude >= PLAIN_MIN
            && let Some(text) = plain_number(buffer.format_finite(value), magnitude)
        {
            self.push(text);
        } else {
            self.push(number::print(value).as_str());
        }
        Ok(())
    }

    /// A number that was kept as text.
    pub(super) fn number_text(&mut self, text: &str) -> Result<(), SerializeError> {
        let profile = Profile::i_json();
        let token = number::scan(text.as_bytes(), 0)?;
        if token.end != text.len() {
            return Err(JsonError::syntax(token.end).into());
        }
        if token.is_canonical {
            self.push(text);
            return Ok(());
        }
        match respelled_value(token, text, 0, profile)? {
            None => self.push(text),
            Some(value) => self.push(number::print(value).as_str()),
        }
        Ok(())
    }

    /// JSON in any spelling, at the depth where it stands.
    pub(super) fn json_text(&mut self, text: &str) -> Result<(), SerializeError> {
        self.check_size(text.len())?;
        let profile = Profile::i_json().with_depth_max(JSON_DEPTH_MAX - self.depth);
        let mut scratch = Scratch::new();
        let canonical = canonicalize_with(text.as_bytes(), &mut scratch, profile)?;
        self.push(canonical.as_str());
        Ok(())
    }

    /// Goes one level down; the bracket is ASCII.
    #[inline(always)]
    pub(super) fn open(&mut self, bracket: &str) -> Result<(), SerializeError> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(SerializeError::Depth);
        }
        self.depth += 1;
        self.push(bracket);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn close(&mut self, bracket: &str) {
        self.depth -= 1;
        self.push(bracket);
    }

    #[inline(always)]
    pub(super) fn open_object(&mut self) -> Result<OpenObject, SerializeError> {
        self.open("{")?;
        Ok(OpenObject {
            first_member: self.members.len(),
            former_key: 0,
            is_sorted: true,
        })
    }

    /// Writes a member's name and colon, and notes whether it came in order.
    #[inline]
    pub(super) fn begin_member(
        &mut self,
        object: &mut OpenObject,
        text: &str,
    ) -> Result<(), SerializeError> {
        self.check_size(text.len())?;
        let is_first = self.members.len() <= object.first_member;
        if !is_first {
            self.push(",");
        }
        let start = self.out.len();
        self.push("\"");
        let key = match plain::push(text.as_bytes(), &mut self.out) {
            Some(key) => key,
            None => {
                self.push_escaped(text);
                // Decides nothing, as the key of a name with an escape does.
                u64::MAX
            }
        };
        let name_end = self.out.len();
        self.push("\":");
        self.members.push(Member {
            start,
            name_end,
            end: name_end,
            offset: start,
            key,
        });
        let former_key = mem::replace(&mut object.former_key, key);
        let is_behind = name::is_decisive(former_key | key) && former_key < key;
        if !(is_first || is_behind) && object.is_sorted {
            object.is_sorted = self.is_last_in_order()?;
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn close_object(&mut self, object: &OpenObject) -> Result<(), SerializeError> {
        if !object.is_sorted {
            self.permute(object.first_member)?;
        }
        self.members.truncate(object.first_member);
        self.close("}");
        Ok(())
    }

    #[inline(always)]
    pub(super) fn check_size(&self, n_more: usize) -> Result<(), SerializeError> {
        if self.out.len().saturating_add(n_more) > BODY_BYTES_MAX {
            return Err(SerializeError::TooLarge);
        }
        Ok(())
    }

    /// Compares the last two names where the keys do not say that they are in order.
    #[inline(never)]
    fn is_last_in_order(&self) -> Result<bool, SerializeError> {
        let [.., former, last] = self.members.as_slice() else {
            return Ok(true);
        };
        match name::compare(raw_name(&self.out, former), raw_name(&self.out, last)) {
            Ordering::Less => Ok(true),
            Ordering::Equal => Err(SerializeError::DuplicateName),
            Ordering::Greater => Ok(false),
        }
    }

    /// Writes the members of the object that closes here again, in order.
    #[inline(never)]
    fn permute(&mut self, first_member: usize) -> Result<(), SerializeError> {
        let Self {
            out,
            spare,
            members,
            order,
            ..
        } = self;
        let members = members.get_mut(first_member..).unwrap_or_default();
        let mut end = out.len();
        for member in members.iter_mut().rev() {
            member.end = end;
            // A comma lies between a member and the next.
            end = member.start.saturating_sub(1);
        }
        let begin = members.first().map_or(out.len(), |member| member.start);
        order
            .sort(members, |member| raw_name(out, member))
            .map_err(|_| SerializeError::DuplicateName)?;
        spare.clear();
        spare.extend_from_slice(out.get(begin..).unwrap_or_default());
        out.truncate(begin);
        for (place, member) in order
            .indices()
            .filter_map(|index| members.get(index))
            .enumerate()
        {
            if place > 0 {
                out.push(b',');
            }
            let range = member.start - begin..member.end - begin;
            out.extend_from_slice(spare.get(range).unwrap_or_default());
        }
        Ok(())
    }
}

/// A text that comes in pieces.
struct Pieces<'w, 's> {
    writer: &'w mut Writer<'s>,
    /// Whether all of them could be written; what displays itself may ignore that one was not.
    outcome: Result<(), SerializeError>,
}

impl fmt::Write for Pieces<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.outcome.is_ok() {
            self.outcome = self.writer.check_size(piece.len());
        }
        self.outcome.map_err(|_| fmt::Error)?;
        if plain::push(piece.as_bytes(), &mut self.writer.out).is_none() {
            self.writer.push_escaped(piece);
        }
        Ok(())
    }
}

/// The name of a member without its quotes.
fn raw_name<'t>(text: &'t [u8], member: &Member) -> &'t [u8] {
    text.get(member.start + 1..member.name_end)
        .unwrap_or_default()
}

/// The canonical spelling of a number of the size that ECMAScript writes without an exponent, given
/// its shortest digits; None where only the full printer can tell.
#[inline(always)]
fn plain_number(text: &str, magnitude: f64) -> Option<&str> {
    if let Some(integer) = text.strip_suffix(".0") {
        return Some(integer);
    }
    let exponent_start = text.len().saturating_sub(EXPONENT_BYTES_MAX);
    let has_exponent = text.as_bytes().get(exponent_start..)?.contains(&b'e');
    if has_exponent {
        return None;
    }
    if text.len() <= DIGITS_EXACT {
        return Some(text);
    }
    // With so many digits two spellings can be equally near; see `number::print`.
    let point = text.bytes().position(|byte| byte == b'.')?;
    let n_fraction_digits = i32::try_from(text.len() - point - 1).ok()?;
    (number::n_fraction_bits(magnitude) != n_fraction_digits + 1).then_some(text)
}

/// Below it the printer of digits and ECMAScript may differ in layout.
const PLAIN_MIN: f64 = 1e-5;
/// Longest exponent: `e-324`.
const EXPONENT_BYTES_MAX: usize = 5;
/// Decimals of up to this many digits are the only ones of their length for a double (DBL_DIG).
const DIGITS_EXACT: usize = 15;
