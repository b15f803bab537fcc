//! Points in time, to the microsecond.
//!
//! What: microseconds since 1970-01-01T00:00:00Z, read from and written as RFC 3339. What not: a
//! clock; `now` is always an argument. Cost: 8 bytes; reading and writing are linear in the text
//! and allocate nothing but the result.

use alloc::string::String;
use core::fmt;

use chrono::{Datelike, NaiveDate, Timelike};
use thiserror::Error;

/// A point in time between the years 1 and 9999, in microseconds since the Unix epoch (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in microseconds, possibly negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// Says why a text or number is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimeError {
    /// The text is not RFC 3339 with an offset and at most nine fractional digits.
    #[error("not a time: expected RFC 3339 with an offset, such as 2026-11-21T01:15:41.123456Z")]
    Malformed,
    /// The point lies outside the years 1 to 9999.
    #[error("time out of range: expected a year from 0001 to 9999")]
    OutOfRange,
}

impl Timestamp {
    /// The first representable point: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The last representable point: 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// Takes microseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] outside [`Self::MIN`] to [`Self::MAX`].
    pub const fn from_unix_micros(micros: i64) -> Result<Self, TimeError> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            return Err(TimeError::OutOfRange);
        }
        Ok(Self(micros))
    }

    /// Returns microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Returns whole milliseconds since the Unix epoch, rounded down.
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Reads RFC 3339 with an offset and up to nine fractional digits, cut to the microsecond.
    ///
    /// A leap second (`:60`) is refused: storing it would move the time (contract §2, row S6 of
    /// the signals study).
    ///
    /// # Errors
    /// [`TimeError::Malformed`] for any other form, [`TimeError::OutOfRange`] when the point in
    /// UTC leaves the years 1 to 9999.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let mut scan = Scan(text.as_bytes());
        let (year, month, day) = scan.date()?;
        scan.one_of(b"Tt")?;
        let (hour, minute, second) = scan.clock()?;
        let micros = scan.fraction()?;
        let offset_s = scan.offset()?;
        if !scan.0.is_empty() {
            return Err(TimeError::Malformed);
        }
        let year = i32::try_from(year).map_err(|_| TimeError::Malformed)?;
        let civil = NaiveDate::from_ymd_opt(year, month, day)
            .and_then(|date| date.and_hms_opt(hour, minute, second))
            .ok_or(TimeError::Malformed)?;
        let seconds = civil.and_utc().timestamp() - i64::from(offset_s);
        Self::from_unix_micros(seconds * 1_000_000 + i64::from(micros))
    }

    /// Writes the time as RFC 3339 in UTC with six fractional digits: always 27 characters, so
    /// that text order is time order.
    pub fn to_rfc3339(self) -> String {
        alloc::format!("{self}")
    }

    /// Returns `self − earlier`.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0 - earlier.0)
    }

    /// Returns `self + span`, held within the representable range.
    #[must_use]
    pub fn saturating_add(self, span: Span) -> Self {
        Self(
            self.0
                .saturating_add(span.0)
                .clamp(Self::MIN.0, Self::MAX.0),
        )
    }

    /// Returns `self − span`, held within the representable range.
    #[must_use]
    pub fn saturating_sub(self, span: Span) -> Self {
        Self(
            self.0
                .saturating_sub(span.0)
                .clamp(Self::MIN.0, Self::MAX.0),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = chrono::DateTime::from_timestamp_micros(self.0).ok_or(fmt::Error)?;
        // By hand, because a finding writes eight of them and a page of facts thousands.
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (place, number) in [
            (0..4, u32::try_from(civil.year()).map_err(|_| fmt::Error)?),
            (5..7, civil.month()),
            (8..10, civil.day()),
            (11..13, civil.hour()),
            (14..16, civil.minute()),
            (17..19, civil.second()),
            (20..26, civil.timestamp_subsec_micros()),
        ] {
            let mut rest = number;
            for digit in text.get_mut(place).into_iter().flatten().rev() {
                *digit = b'0' + u8::try_from(rest % 10).map_err(|_| fmt::Error)?;
                rest /= 10;
            }
        }
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl Span {
    /// Takes whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Takes whole milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Takes microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns whole milliseconds, cut towards zero.
    pub const fn millis(self) -> i64 {
        self.0 / 1_000
    }

    /// Returns the length without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn digits(&mut self, count: usize) -> Result<u32, TimeError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(TimeError::Malformed)?;
        self.0 = rest;
        head.iter().try_fold(0, |value: u32, b| match b {
            b'0'..=b'9' => Ok(value * 10 + u32::from(b - b'0')),
            _ => Err(TimeError::Malformed),
        })
    }

    fn one_of(&mut self, allowed: &[u8]) -> Result<u8, TimeError> {
        let (first, rest) = self.0.split_first().ok_or(TimeError::Malformed)?;
        if !allowed.contains(first) {
            return Err(TimeError::Malformed);
        }
        self.0 = rest;
        Ok(*first)
    }

    fn date(&mut self) -> Result<(u32, u32, u32), TimeError> {
        let year = self.digits(4)?;
        self.one_of(b"-")?;
        let month = self.digits(2)?;
        self.one_of(b"-")?;
        Ok((year, month, self.digits(2)?))
    }

    fn clock(&mut self) -> Result<(u32, u32, u32), TimeError> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        Ok((hour, minute, self.digits(2)?))
    }

    fn fraction(&mut self) -> Result<u32, TimeError> {
        let Some((b'.', rest)) = self.0.split_first() else {
            return Ok(0);
        };
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 || count > 9 {
            return Err(TimeError::Malformed);
        }
        self.0 = rest;
        let kept = self.digits(count.min(6))?;
        self.digits(count.saturating_sub(6))?;
        let scale =
            u32::try_from(6_usize.saturating_sub(count)).map_err(|_| TimeError::Malformed)?;
        Ok(kept * 10_u32.pow(scale))
    }

    fn offset(&mut self) -> Result<i32, TimeError> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok(0),
        };
        let hours = self.digits(2)?;
        self.one_of(b":")?;
        let minutes = self.digits(2)?;
        if hours > 23 || minutes > 59 {
            return Err(TimeError::Malformed);
        }
        let seconds =
            i32::try_from(hours * 3_600 + minutes * 60).map_err(|_| TimeError::Malformed)?;
        Ok(sign * seconds)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_time_is_written_as_the_library_writes_it_and_read_back(
            micros in Timestamp::MIN.0..=Timestamp::MAX.0,
        ) {
            let time = Timestamp(micros);
            let civil = chrono::DateTime::from_timestamp_micros(micros).unwrap();
            let plain = civil.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
            prop_assert_eq!(time.to_rfc3339(), plain.as_str());
            prop_assert_eq!(Timestamp::parse_rfc3339(&plain), Ok(time));
        }
    }

    fn micros(text: &str) -> Result<i64, TimeError> {
        Timestamp::parse_rfc3339(text).map(Timestamp::unix_micros)
    }

    #[test]
    fn offsets_and_fractions_are_read_to_the_microsecond() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(micros("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(micros("1969-12-31T23:30:00.5-00:30"), Ok(500_000));
        assert_eq!(
            micros("2026-11-21T01:15:41.123456789Z"),
            micros("2026-11-21T01:15:41.123456Z")
        );
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Ok(-1));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T01:15:41",
            "2026-11-21 01:15:41Z",
            "2026-11-21T01:15:60Z",
            "2026-11-21T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-21T01:15:41.Z",
            "2026-11-21T01:15:41.1234567890Z",
            "2026-11-21T01:15:41+24:00",
            "2026-11-21T01:15:41Z ",
            "+2026-11-21T01:15:41Z",
            "2026-11-21T01:15:41\u{0660}Z",
        ] {
            assert_eq!(micros(text), Err(TimeError::Malformed), "{text}");
        }
        assert_eq!(
            micros("0001-01-01T00:00:00+00:01"),
            Err(TimeError::OutOfRange)
        );
        assert_eq!(
            micros("9999-12-31T23:59:59-00:01"),
            Err(TimeError::OutOfRange)
        );
        assert_eq!(micros("0000-01-01T00:00:00Z"), Err(TimeError::OutOfRange));
    }

    #[test]
    fn text_form_round_trips_and_sorts() {
        let mut last = String::new();
        for t in [
            Timestamp::MIN,
            Timestamp(-1),
            Timestamp(0),
            Timestamp(1),
            Timestamp::MAX,
        ] {
            let text = t.to_rfc3339();
            assert_eq!(text.len(), 27);
            assert!(last < text);
            assert_eq!(Timestamp::parse_rfc3339(&text), Ok(t));
            last = text;
        }
    }
}
