//! Two installations send as one agent. Opt-in.
//!
//! What: within an hour, refusals of positions and accepted payloads of one agent take turns: refused,
//! accepted, refused again, three times over. One installation that lost its counters is refused once
//! and goes on in a new epoch; two that share an identity push each other out of the epoch again and
//! again. A refusal counts only when it was sent within five minutes of its arrival, so that whoever
//! sends captured payloads again frames nobody. What not: which of the two is the copy. Cost: 40
//! bytes for an agent that was refused lately, nothing for others.
//!
//! False positives: not measured, because no recording of real positions was to be had; the median of the
//! cadence sees two clones in 0 to 8 % of simulated runs with an even number of gaps (notes §0.5), which
//! is why this kind exists. An honest agent trips it when its machine is restored from an image four times
//! in an hour. An attacker with the key passes it by silencing the true agent first, by keeping
//! his clock wrong by more than five minutes, or by sending seldom.
//!
//! Each hub of several sees the turns that come through it, so that behind a balancer more of them
//! are needed.

use alloc::format;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::time::{Span, Timestamp};
use monsys_core::verdict::Verdict;
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, event};
use crate::config::Config;
use crate::cycle::Cycle;

/// How refusals and accepted payloads of one agent took turns, from its first refusal on.
///
/// ```
/// use monsys_core::time::{Span, Timestamp};
/// use monsys_integrity::{Config, detect::agent_cloned::Interleaving};
///
/// let config = Config::strict();
/// let at = |s| Timestamp::MIN.saturating_add(Span::from_secs(s));
/// let mut turns = Interleaving::begin(at(0));
/// for turn in 1..=3 {
///     turns.accepted();
///     let found = turns.refused(&config, at(turn * 15));
///     assert_eq!(found.is_some(), turn == 3);
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interleaving {
    first: Timestamp,
    n_refused: u64,
    n_turns: u64,
    is_accepted_since: bool,
}

impl Interleaving {
    /// Begins with the first refusal.
    pub const fn begin(refused_at: Timestamp) -> Self {
        Self {
            first: refused_at,
            n_refused: 1,
            n_turns: 0,
            is_accepted_since: false,
        }
    }

    /// Counts a payload that was accepted.
    pub const fn accepted(&mut self) {
        self.is_accepted_since = true;
    }

    /// Counts a refusal; from the third turn on each one is a finding. An hour after the first
    /// refusal it begins anew.
    pub fn refused(&mut self, config: &Config, now: Timestamp) -> Option<Finding> {
        if self.is_over(config, now) {
            *self = Self::begin(now);
            return None;
        }
        self.n_refused += 1;
        self.n_turns += u64::from(self.is_accepted_since);
        self.is_accepted_since = false;
        (self.n_turns >= config.clone_turns_min).then(|| self.finding(config, now))
    }

    /// Tells whether the first refusal is too long ago, or in the future because a clock went back.
    pub fn is_over(&self, config: &Config, now: Timestamp) -> bool {
        !(Span::from_secs(0)..=config.clone_within).contains(&now.since(self.first))
    }

    #[cold]
    fn finding(&self, config: &Config, now: Timestamp) -> Finding {
        Finding {
            kind: AnomalyKind::AgentCloned,
            severity: Severity::High,
            summary: format!(
                "two installations seem to send as one agent: refused and accepted payloads took \
                 turns {} times",
                self.n_turns
            ),
            detail: ObjectText::new().finish(),
            evidence: ObjectText::new()
                .text("first_refused_at", &self.first.to_rfc3339())
                .text("last_refused_at", &now.to_rfc3339())
                .integer("refused", self.n_refused)
                .integer("turns", self.n_turns)
                .integer("turns_min", config.clone_turns_min)
                .integer("within_s", config.clone_within.millis() / 1_000)
                .integer("rules_version", RULES_VERSION)
                .finish(),
        }
    }
}

/// Tells whether a refused payload counts: it was sent just now by its own clock, so that it is none
/// that somebody captured and sent again.
pub fn is_fresh(config: &Config, sent_at: Timestamp, received_at: Timestamp) -> bool {
    let most = config.clone_sent_within.micros().unsigned_abs();
    received_at.since(sent_at).micros().unsigned_abs() <= most
}

/// Says in the cycle whether a whole cycle went by clean; never fails.
pub fn check(facts: &Facts<'_>, _config: &Config, cycle: Cycle) -> Verdict {
    event::in_cycle(AnomalyKind::AgentCloned, facts, cycle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::at;

    /// Plays what became of payloads 15 s apart: `a` accepted, `r` refused; answers at which of them
    /// something was found.
    fn found(outcomes: &str) -> alloc::vec::Vec<usize> {
        let config = Config::strict();
        let mut turns: Option<Interleaving> = None;
        let mut found = alloc::vec::Vec::new();
        for (i, (outcome, ms)) in outcomes.chars().zip((0..).step_by(15_000)).enumerate() {
            match (&mut turns, outcome) {
                (Some(turns), 'a') => turns.accepted(),
                (None, 'a') => {}
                (None, _) => turns = Some(Interleaving::begin(at(ms))),
                (Some(turns), _) => found.extend(turns.refused(&config, at(ms)).map(|_| i)),
            }
        }
        found
    }

    #[test]
    fn one_that_lost_its_counters_is_no_clone() {
        for honest in ["aaaa", "rrrrrrraaaa", "aarraaaaaaa", "aaraaaaraaaaraaaa"] {
            assert_eq!(found(honest), [0_usize; 0], "{honest}");
        }
    }

    #[test]
    fn two_that_push_each_other_out_are_found_at_the_third_turn() {
        assert_eq!(found("rararar"), [6]);
        assert_eq!(found("araararraaarar"), [12 - 1, 13]);
    }

    #[test]
    fn an_hour_after_the_first_refusal_it_begins_anew() {
        let config = Config::strict();
        for (ms, is_found) in [(3_600_000, true), (3_600_001, false), (-1, false)] {
            let mut turns = Interleaving::begin(at(0));
            for _ in 0..2 {
                turns.accepted();
                assert_eq!(turns.refused(&config, at(1)), None);
            }
            turns.accepted();
            let last = turns.refused(&config, at(ms));
            assert_eq!(last.is_some(), is_found, "{ms}");
            if !is_found {
                assert_eq!(turns, Interleaving::begin(at(ms)));
            }
        }
    }

    #[test]
    fn the_finding_shows_what_took_turns() {
        let config = Config::strict();
        let mut turns = Interleaving::begin(at(0));
        let mut last = None;
        for i in 1..=3 {
            turns.accepted();
            last = turns.refused(&config, at(i * 15_000));
        }
        let finding = last.unwrap();
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(
            finding.evidence,
            "{\"first_refused_at\": \"2026-05-09T22:03:40.000000Z\", \
             \"last_refused_at\": \"2026-05-09T22:04:25.000000Z\", \"refused\": 4, \"turns\": 3, \
             \"turns_min\": 3, \"within_s\": 3600, \"rules_version\": 1}"
        );
    }

    #[test]
    fn what_was_captured_and_sent_again_does_not_count() {
        let config = Config::strict();
        for (ms, is_counted) in [
            (0, true),
            (300_000, true),
            (-300_000, true),
            (300_001, false),
            (-300_001, false),
        ] {
            assert_eq!(is_fresh(&config, at(-ms), at(0)), is_counted, "{ms}");
        }
        assert!(!is_fresh(&config, Timestamp::MIN, Timestamp::MAX));
    }

    proptest! {
        #[test]
        fn the_count_is_that_of_the_text(outcomes in "[ar]{0,40}") {
            // Turns as a reader counts them: after the first refusal, each "ar".
            let after_first = outcomes.find('r').map_or("", |at| &outcomes[at..]);
            let n_turns = after_first.matches("ar").count();
            prop_assert_eq!(!found(&outcomes).is_empty(), n_turns >= 3);
        }
    }
}
