//! How long a hub asks an agent to wait: the header `Retry-After` (RFC 9110, section 10.2.3).
//!
//! A date is read against the hub's own `Date`, so that an agent whose clock is wrong waits as long
//! as one whose clock is right. Of the three forms of dates the one that is in use is read, that of
//! IMF; what cannot be read leaves the wait to the agent. Cost: nothing to speak of.
//!
//! ```
//! use core::time::Duration;
//! use monsys_wire::spool::retry_after;
//!
//! assert_eq!(retry_after::wait("7", None), Some(Duration::from_secs(7)));
//! let now = Some("Sat, 21 Nov 2026 01:15:41 GMT");
//! let wait = retry_after::wait("Sat, 21 Nov 2026 01:16:11 GMT", now);
//! assert_eq!(wait, Some(Duration::from_secs(30)));
//! ```

use alloc::format;
use core::time::Duration;

use monsys_core::time::Timestamp;

/// Reads what the hub asks for, at most [`WAIT_MAX`]; `date` is the header `Date` of its answer.
#[must_use]
pub fn wait(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let text = retry_after.trim();
    let asked = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has room for are a long wait.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let span = imf_date(text)?.since(imf_date(date?)?);
        Duration::from_micros(u64::try_from(span.micros()).unwrap_or(0))
    };
    Some(asked.min(WAIT_MAX))
}

/// The longest wait that a hub can ask for, so that none can silence an agent for good.
pub const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Reads `Sat, 21 Nov 2026 01:15:41 GMT`.
fn imf_date(text: &str) -> Option<Timestamp> {
    let mut words = text.trim().split(' ');
    let mut word = || words.next();
    let (_weekday, day, month) = (word()?.strip_suffix(',')?, word()?, word()?);
    let (year, time, zone) = (word()?, word()?, word()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let is_whole = zone == "GMT" && word().is_none();
    is_whole.then(|| Timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok())?
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: Option<&str> = Some("Sat, 21 Nov 2026 01:00:00 GMT");

    #[test]
    fn seconds_are_bounded() {
        for (text, seconds) in [
            ("0", 0),
            (" 17 ", 17),
            ("3601", 3_600),
            ("99999999999999999999", 3_600),
        ] {
            assert_eq!(
                wait(text, None),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn dates_are_read_against_the_clock_of_the_hub() {
        for (text, seconds) in [
            ("Sat, 21 Nov 2026 01:00:30 GMT", 30),
            ("Sun, 22 Nov 2026 01:00:00 GMT", 3_600),
            ("Sat, 21 Nov 2026 00:00:00 GMT", 0),
        ] {
            assert_eq!(
                wait(text, DATE),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
            assert_eq!(wait(text, None), None, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_left_to_the_agent() {
        for text in [
            "",
            "soon",
            "-1",
            "1.5",
            "+7",
            "Sat, 21 Nov 2026 01:00:30",
            "Sat, 21 Nov 2026 01:00:30 CET",
            "Sat, 31 Nov 2026 01:00:30 GMT",
            "Sat, 21 Nob 2026 01:00:30 GMT",
            "Sat, 21 Nov 2026 01:00:30 GMT and more",
            "Saturday, 21-Nov-26 01:00:30 GMT",
            "Sat Nov 21 01:00:30 2026",
        ] {
            assert_eq!(wait(text, DATE), None, "{text}");
        }
    }
}
