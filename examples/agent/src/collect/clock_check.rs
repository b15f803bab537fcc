//! Whether the clock is kept right by another one.
//!
//! What: the mark that systemd-timesyncd writes when it corrected the clock, and the files in which
//! chronyd, ntpd and ntpsec keep the drift of the clock. True when one was written in the last
//! [`FRESH`]. False when timesyncd runs since [`GRACE`] and never reached a server. Everything else
//! is unknown: also a machine whose host keeps its clock. The kernel knows more (adjtimex(2)), but
//! asking it takes code that this workspace forbids. What not: how wrong the clock is; the hub sees
//! that. Cost: the ages of a few files.

use std::io;

use monsys_core::time::{Span, Timestamp};
use monsys_signals::check::Answer;

use super::root::Root;
use super::small_file::age;

/// How long a correction stands. The kernel calls a clock unsynchronised when nobody corrected it
/// until its largest error, which grows by 500 µs a second, is 16 s: after 8.9 h.
pub const FRESH: Span = Span::from_secs(9 * 3_600);

/// How long a service may take to reach its first server after the start.
pub const GRACE: Span = Span::from_secs(600);

/// Looks for a correction; `wall` is what the clock shows that stamps files.
pub fn look(root: &Root, wall: Timestamp) -> Answer {
    let ages = [SYNCHRONISED].iter().chain(&DRIFT_FILES);
    let ages: Vec<io::Result<Span>> = ages.map(|path| age(root, path, wall)).collect();
    let is_fresh = |age: &io::Result<Span>| {
        age.as_ref()
            .is_ok_and(|age| age.abs().micros() <= FRESH.micros())
    };
    if ages.iter().any(is_fresh) {
        return Answer::True;
    }
    let is_denied = |age: &io::Result<Span>| {
        age.as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
    };
    let runs_since = age(root, TIMESYNCD, wall).ok();
    let is_started = runs_since.is_some_and(|age| age.micros() >= GRACE.micros());
    match ages.first() {
        Some(Ok(_)) => Answer::Unknown("the last correction of the clock is long ago"),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound && is_started => Answer::False,
        Some(Err(_)) | None if runs_since.is_some() => {
            Answer::Unknown("the time service has just started")
        }
        Some(Err(_)) | None if ages.iter().any(is_denied) => {
            Answer::Unknown("the files of the time service cannot be read")
        }
        Some(Err(_)) | None if ages.iter().any(Result::is_ok) => {
            Answer::Unknown("the last correction of the clock is long ago")
        }
        Some(Err(_)) | None => Answer::Unknown("no known time service leaves a trace"),
    }
}

/// Of systemd-timesyncd; made anew at each start.
const TIMESYNCD: &str = "run/systemd/timesync";
/// Written whenever it corrects the clock.
const SYNCHRONISED: &str = "run/systemd/timesync/synchronized";
/// Written every hour while there are servers: chronyd of Debian and of Fedora, ntpsec, ntpd.
const DRIFT_FILES: [&str; 5] = [
    "var/lib/chrony/chrony.drift",
    "var/lib/chrony/drift",
    "var/lib/ntpsec/ntp.drift",
    "var/lib/ntp/ntp.drift",
    "var/lib/ntp/drift",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    const H: i64 = 3_600;

    fn wall() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
    }

    fn answer(tree: &Tree) -> Answer {
        look(&tree.root(), wall())
    }

    fn is_unknown(answer: Answer) -> bool {
        matches!(answer, Answer::Unknown(_))
    }

    #[test]
    fn a_correction_stands_for_nine_hours() {
        for path in [SYNCHRONISED].iter().chain(&DRIFT_FILES) {
            let tree = Tree::new();
            assert!(is_unknown(answer(&tree)));
            tree.aged(path, 9 * H, wall());
            assert_eq!(answer(&tree), Answer::True, "{path}");
            tree.aged(path, 9 * H + 1, wall());
            assert!(is_unknown(answer(&tree)), "{path}");
            tree.aged(path, -9 * H - 1, wall());
            assert!(is_unknown(answer(&tree)), "{path} of the future");
        }
    }

    #[test]
    fn a_service_that_never_reached_a_server_is_told_after_its_grace() {
        let tree = Tree::new();
        tree.dir(TIMESYNCD);
        tree.age(TIMESYNCD, 599, wall());
        assert!(is_unknown(answer(&tree)));
        tree.age(TIMESYNCD, 600, wall());
        assert_eq!(answer(&tree), Answer::False);
        tree.aged(DRIFT_FILES[0], H, wall());
        assert_eq!(answer(&tree), Answer::True, "another service keeps it");
    }
}
