//! What the checklists of both stores have in common.

use monsys_core::time::{Span, Timestamp};

use crate::doctor::Check;
use crate::worker;

/// How long ago the last cycle of any hub was: without one nobody is judged.
pub(super) fn cycle(previous: Option<String>, now: Timestamp) -> Check {
    let name = "integrity_cycle";
    let todo = "run a hub or a worker, and look at its log";
    let Some(text) = previous else {
        return Check::skip(name, "none has run yet");
    };
    let Ok(previous) = Timestamp::parse_rfc3339(&text) else {
        return Check::fail(name, "its time is damaged", "restore a backup");
    };
    let ago = now.since(previous);
    let found = format!("the last one began {} s ago", ago.millis() / 1_000);
    if ago.micros() > MISSED_AFTER * worker::interval().micros() {
        Check::warn(name, found, todo)
    } else if ago < Span::from_secs(-60) {
        Check::warn(name, "the last one began in the future", "set the clocks")
    } else {
        Check::ok(name, found)
    }
}

/// After so many intervals without a cycle a person should look.
const MISSED_AFTER: i64 = 3;
