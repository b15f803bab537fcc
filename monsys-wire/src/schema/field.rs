//! Reading one member: its type, its range, and the rejection that points to it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::json::Cursor;
use monsys_core::sample::Count;
use monsys_core::time::{TimeError, Timestamp};

use crate::reject::Reject;

/// Enters an object, whose members are then asked for in the order of their names by [`member`].
#[inline(always)]
pub(crate) fn enter_object(cursor: &mut Cursor<'_>) -> Result<(), Reject> {
    if cursor.enter_object() {
        Ok(())
    } else {
        Err(wrong_type(cursor, "an object"))
    }
}

/// Reads the member `name` if it comes next. Members that are asked for in the order of their names
/// are met if they are there, because the text is canonical; so each refusal is the first one in
/// the order of the text.
#[inline(always)]
pub(crate) fn member<'a, T>(
    cursor: &mut Cursor<'a>,
    name: &'static str,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Reject>,
) -> Result<Option<T>, Reject> {
    if cursor.next_is(name) {
        read(cursor).map(Some)
    } else {
        Ok(None)
    }
}

/// Reads the member `name` if it comes next; null and absent are both unknown.
#[inline(always)]
pub(crate) fn optional_member<'a, T>(
    cursor: &mut Cursor<'a>,
    name: &'static str,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Reject>,
) -> Result<Option<T>, Reject> {
    member(cursor, name, |cursor| optional(cursor, read)).map(Option::flatten)
}

/// Leaves an object, which must have no member but those that were asked for.
#[inline(always)]
pub(crate) fn leave_object(cursor: &mut Cursor<'_>) -> Result<(), Reject> {
    match cursor.next_name() {
        None => Ok(()),
        Some(_) => Err(Reject::UnknownField {
            pointer: cursor.pointer(),
        }),
    }
}

/// Reads an array of at most `n_max` elements; with more, nothing but their number matters.
pub(crate) fn array<'a, T>(
    cursor: &mut Cursor<'a>,
    n_max: usize,
    expected: &'static str,
    mut read: impl FnMut(&mut Cursor<'a>) -> Result<T, Reject>,
) -> Result<Vec<T>, Reject> {
    if !cursor.enter_array() {
        return Err(wrong_type(cursor, "an array"));
    }
    let mut elements = Vec::with_capacity(n_max.min(N_ELEMENTS_EXPECTED));
    while cursor.next_element() {
        if elements.len() == n_max {
            cursor.skip();
            while cursor.next_element() {
                cursor.skip();
            }
            return Err(out_of_range(cursor, expected));
        }
        elements.push(read(cursor)?);
    }
    Ok(elements)
}

/// Reads a value that may be null.
#[inline]
pub(crate) fn optional<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Reject>,
) -> Result<Option<T>, Reject> {
    if cursor.null() {
        Ok(None)
    } else {
        read(cursor).map(Some)
    }
}

#[inline]
pub(crate) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Reject> {
    cursor.text().ok_or_else(|| wrong_type(cursor, "a string"))
}

#[inline]
pub(crate) fn integer(cursor: &mut Cursor<'_>) -> Result<i64, Reject> {
    cursor
        .integer()
        .ok_or_else(|| wrong_type(cursor, "a number without fraction"))
}

#[inline]
pub(crate) fn number(cursor: &mut Cursor<'_>) -> Result<f64, Reject> {
    cursor
        .number()
        .ok_or_else(|| wrong_type(cursor, "a number"))
}

/// A counter or size.
#[inline]
pub(crate) fn count(cursor: &mut Cursor<'_>) -> Result<Count, Reject> {
    let value = integer(cursor)?;
    let expected = "an integer from 0 to 9007199254740991";
    within(cursor, Count::new(value), expected)
}

pub(crate) fn time(cursor: &mut Cursor<'_>) -> Result<Timestamp, Reject> {
    let text = text(cursor)?;
    Timestamp::parse_rfc3339(&text).map_err(|error| bad_time(error, cursor.pointer()))
}

/// The rejection of a text that is no time, or one outside of the years that are kept.
pub(crate) fn bad_time(error: TimeError, pointer: String) -> Reject {
    match error {
        TimeError::OutOfRange => Reject::OutOfRange {
            pointer,
            expected: "a time in the years 1 to 9999",
        },
        TimeError::Malformed | _ => Reject::WrongType {
            pointer,
            expected: "a time in RFC 3339 with an offset and at most nine fractional digits",
        },
    }
}

/// The member `name` of the object that was just left.
#[inline]
pub(crate) fn required<T>(cursor: &Cursor<'_>, member: Option<T>, name: &str) -> Result<T, Reject> {
    member.ok_or_else(|| Reject::MissingField {
        pointer: cursor.pointer_below(name),
    })
}

/// A value whose type decides about its range, read last.
#[inline]
pub(crate) fn within<T, E>(
    cursor: &Cursor<'_>,
    value: Result<T, E>,
    expected: &'static str,
) -> Result<T, Reject> {
    value.map_err(|_| out_of_range(cursor, expected))
}

#[cold]
pub(crate) fn out_of_range(cursor: &Cursor<'_>, expected: &'static str) -> Reject {
    Reject::OutOfRange {
        pointer: cursor.pointer(),
        expected,
    }
}

#[cold]
fn wrong_type(cursor: &Cursor<'_>, expected: &'static str) -> Reject {
    Reject::WrongType {
        pointer: cursor.pointer(),
        expected,
    }
}

/// Room for the devices of most machines, so that a list does not grow step by step.
const N_ELEMENTS_EXPECTED: usize = 16;
