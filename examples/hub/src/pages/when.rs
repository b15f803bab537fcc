//! Times as people read them.
//!
//! What: how long ago something was, with the exact time beside it. What not: a clock; `now` is an
//! argument. Cost: a few short strings.

use monsys_core::time::Timestamp;

/// A point in time, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// For machines: RFC 3339.
    pub(super) machine: String,
    /// For people: day and time to the second, without the zone.
    pub(super) exact: String,
    /// The time of day alone.
    pub(super) clock: String,
    /// How long before `now`.
    pub(super) ago: String,
}

impl When {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        let machine = at.to_rfc3339();
        let day = machine.get(..10).unwrap_or_default();
        let clock = machine.get(11..19).unwrap_or_default();
        Self {
            exact: format!("{day} {clock}"),
            clock: clock.to_owned(),
            ago: ago(at, now),
            machine,
        }
    }

    /// Month and day.
    pub(super) fn day(&self) -> &str {
        self.exact.get(5..10).unwrap_or_default()
    }

    /// The time of day without seconds.
    pub(super) fn short(&self) -> &str {
        self.clock.get(..5).unwrap_or_default()
    }
}

/// A time ahead of `now` reads as "just now": two hubs may differ by a moment.
fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(at).millis() / 1_000;
    match seconds {
        ..1 => String::from("just now"),
        1..60 => format!("{seconds}\u{a0}s ago"),
        60..3_600 => format!("{}\u{a0}min ago", seconds / 60),
        3_600..172_800 => format!("{}\u{a0}h ago", seconds / 3_600),
        172_800.. => format!("{}\u{a0}days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use monsys_core::time::Span;

    use super::*;

    #[test]
    fn ages_are_whole_units_cut_down() {
        let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41.5Z").unwrap();
        for (seconds, words) in [
            (-90, "just now"),
            (0, "just now"),
            (1, "1\u{a0}s ago"),
            (59, "59\u{a0}s ago"),
            (60, "1\u{a0}min ago"),
            (3_599, "59\u{a0}min ago"),
            (3_600, "1\u{a0}h ago"),
            (172_799, "47\u{a0}h ago"),
            (172_800, "2\u{a0}days ago"),
        ] {
            let when = When::new(now.saturating_sub(Span::from_secs(seconds)), now);
            assert_eq!(when.ago, words);
        }
        let when = When::new(now, now);
        assert_eq!(when.exact, "2026-11-21 01:15:41");
        assert_eq!(when.clock, "01:15:41");
        assert_eq!(when.machine, "2026-11-21T01:15:41.500000Z");
        assert_eq!(
            When::new(Timestamp::MIN, Timestamp::MAX).ago,
            "3652058\u{a0}days ago"
        );
    }
}
