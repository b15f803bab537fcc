//! Whether this machine's clock agrees with others': leases, sessions and judgements hang on it.

use std::time::Duration;

use monsys_core::time::{Span, Timestamp};

use super::check::Check;
use crate::clock::wall_now;

/// Difference of which nobody takes notice.
const FINE: Span = Span::from_secs(2);
/// Difference beyond which hubs misjudge each other's leases and honest agents look skewed.
const WRONG: Span = Span::from_secs(30);
/// How long a hub may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Compares with the clock of the database, read between two looks at ours.
pub(crate) fn of_database(before: Timestamp, theirs: Timestamp, after: Timestamp) -> Check {
    judge("clock_of_database", before, theirs, after)
}

/// Compares with the clock of a running hub.
pub(super) async fn of_hub(url: Option<&str>) -> Check {
    let name = "clock_of_hub";
    let Some(url) = url.map(str::to_owned) else {
        return Check::skip(name, "no hub was named by --against");
    };
    let asked = tokio::task::spawn_blocking(move || {
        let before = wall_now();
        date_of(&url).map(|theirs| (before, theirs, wall_now()))
    });
    match asked.await {
        Ok(Ok((before, theirs, after))) => judge(name, before, theirs, after),
        Ok(Err(why)) => Check::away(name, why, "name a hub that runs by --against"),
        Err(_) => Check::away(name, "the question was not asked", "try again"),
    }
}

fn judge(name: &'static str, before: Timestamp, theirs: Timestamp, after: Timestamp) -> Check {
    let middle = before.saturating_add(Span::from_micros(after.since(before).micros() / 2));
    let offset = middle.since(theirs);
    let found = format!("{} ms ahead", offset.millis());
    let todo = "let NTP set the clocks of both machines";
    if offset.abs() <= FINE {
        Check::ok(name, found)
    } else if offset.abs() <= WRONG {
        Check::warn(name, found, todo)
    } else {
        Check::fail(name, found, todo)
    }
}

fn date_of(url: &str) -> Result<Timestamp, String> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(ANSWER_WITHIN));
    let client = ureq::Agent::from(config.build());
    let asked = client.get(format!("{}/readyz", url.trim_end_matches('/')));
    let answer = asked.call().map_err(|error| error.to_string())?;
    let date = answer.headers().get("date");
    let date = date.and_then(|date| date.to_str().ok());
    date.and_then(parse_date)
        .ok_or_else(|| "its answer has no Date".to_owned())
}

/// Reads the one form of dates that servers send (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let time = parts.next()?;
    Timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_servers_write_them() {
        let expected = Timestamp::parse_rfc3339("1994-11-06T08:49:37Z").ok();
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
        for other in ["", "Sunday, 06-Nov-94 08:49:37 GMT", "06 Nov 1994 08:49:37"] {
            assert_eq!(parse_date(other), None, "{other}");
        }
    }

    #[test]
    fn half_of_the_way_is_taken_off_before_clocks_are_compared() {
        let at = |seconds| Timestamp::MIN.saturating_add(Span::from_secs(seconds));
        let fine = of_database(at(100), at(102), at(104));
        assert_eq!(fine, Check::ok("clock_of_database", "0 ms ahead"));
        for (theirs, word) in [(101, "ok"), (95, "WARN"), (50, "FAIL"), (150, "FAIL")] {
            let shown = of_database(at(100), at(theirs), at(104)).to_string();
            assert!(shown.starts_with(word), "{shown}");
        }
    }
}
