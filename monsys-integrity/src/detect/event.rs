//! The kinds that happen at ingest, seen from the cycle.
//!
//! What: a finding about a signature or a position is recorded the moment it happens. Its check passes once one
//! whole cycle went by without another and with at least one verified payload (decision 27). What
//! not: a failure; the cycle never makes these findings. Cost: a look at the few open anomalies.

use monsys_core::AnomalyKind;
use monsys_core::facts::Facts;
use monsys_core::verdict::{Insufficiency, Verdict};

use crate::cycle::Cycle;

/// Judges an event kind in the cycle. Before the second cycle no cycle is whole, so that whatever
/// is open was seen in this one.
pub(super) fn in_cycle(kind: AnomalyKind, facts: &Facts<'_>, cycle: Cycle) -> Verdict {
    let Some(open) = facts.open.iter().find(|a| a.kind == kind) else {
        return Verdict::Pass;
    };
    let Some(previous) = cycle
        .previous
        .filter(|previous| open.last_seen_at <= *previous)
    else {
        return Verdict::Insufficient(Insufficiency::SeenThisCycle);
    };
    if facts.last_verified_at.is_some_and(|at| at > previous) {
        Verdict::Pass
    } else {
        Verdict::Insufficient(Insufficiency::NoVerifiedIngest)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use monsys_core::facts::AgentFacts;
    use monsys_core::time::{Span, Timestamp};

    use super::*;
    use crate::fixture::{NOW, at, cycle, honest, open};

    const KIND: AnomalyKind = AnomalyKind::SignatureInvalid;

    fn seen_at(last_seen_at: Timestamp) -> AgentFacts {
        AgentFacts {
            open: vec![open(KIND, last_seen_at)],
            ..honest()
        }
    }

    #[test]
    fn nothing_open_passes() {
        assert_eq!(in_cycle(KIND, &honest().view(), cycle()), Verdict::Pass);
        let other = AgentFacts {
            open: vec![open(AnomalyKind::ClockDrift, NOW)],
            ..honest()
        };
        assert_eq!(in_cycle(KIND, &other.view(), cycle()), Verdict::Pass);
    }

    #[test]
    fn one_whole_clean_cycle_with_a_verified_payload_passes() {
        assert_eq!(
            in_cycle(KIND, &seen_at(at(-600_000)).view(), cycle()),
            Verdict::Pass
        );
        assert_eq!(
            in_cycle(KIND, &seen_at(Timestamp::MIN).view(), cycle()),
            Verdict::Pass
        );
    }

    #[test]
    fn an_occurrence_since_the_previous_cycle_keeps_it_open() {
        let verdict = Verdict::Insufficient(Insufficiency::SeenThisCycle);
        let just_after = at(-600_000).saturating_add(Span::from_micros(1));
        assert_eq!(
            in_cycle(KIND, &seen_at(just_after).view(), cycle()),
            verdict
        );
        assert_eq!(in_cycle(KIND, &seen_at(NOW).view(), cycle()), verdict);
        let first = Cycle {
            previous: None,
            now: NOW,
        };
        assert_eq!(
            in_cycle(KIND, &seen_at(Timestamp::MIN).view(), first),
            verdict
        );
    }

    #[test]
    fn silence_keeps_it_open() {
        let verdict = Verdict::Insufficient(Insufficiency::NoVerifiedIngest);
        for last_verified_at in [None, Some(at(-600_000))] {
            let facts = AgentFacts {
                last_verified_at,
                ..seen_at(at(-700_000))
            };
            assert_eq!(in_cycle(KIND, &facts.view(), cycle()), verdict);
        }
    }
}
