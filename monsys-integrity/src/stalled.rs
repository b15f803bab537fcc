//! The hub missed cycles, or ran one that left agents out.
//!
//! What: whether agents were judged as they should have been, decided from when the cycle before
//! ran and from what this one could not judge. Always on. It is the hub's finding about itself,
//! kept under [`AgentId::of_hub`]: whoever stops the checks, or one of them, must not look like
//! somebody whom every check passes. What not: which hub it was, and why; the log says that. Cost:
//! a comparison, and a few small strings when it fails.
//!
//! Nothing an agent does trips it, unless what it sent cannot be read again, which is a fault of
//! the hub. A machine that was asleep or switched off trips it, because nobody was judged while it
//! was. Whoever may stop the hub passes it for as long as it stands still; the first cycle after
//! that says for how long.
//!
//! The integrity document has no severity for it. It is medium: no agent is any less honest by it,
//! but nothing that other findings do not say may be concluded from their absence.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use monsys_core::anomaly::{Finding, OpenAnomaly, Transition};
use monsys_core::json::ObjectText;
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, AnomalyKind, Severity};

use crate::cycle::Cycle;
use crate::detect::RULES_VERSION;
use crate::signal::{finding_signal, resolved_signal};

/// What a cycle left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omissions {
    /// Agents that were judged not at all or not in every respect.
    pub n_agents: u64,
    /// Pages of agents that could not be read or stored.
    pub n_pages: u64,
}

impl Omissions {
    /// Tells whether every agent was judged in every respect.
    pub const fn is_none(self) -> bool {
        self.n_agents == 0 && self.n_pages == 0
    }
}

/// Counts the cycles that should have run after the one before and did not: one for each whole
/// interval but the last. 0 when there was none before, as on the first start of a hub, and when
/// the clock was set back behind it.
///
/// ```
/// use monsys_core::time::{Span, Timestamp};
/// use monsys_integrity::{Cycle, stalled};
/// let interval = Span::from_secs(600);
/// let now = Timestamp::parse_rfc3339("2026-05-09T22:03:40Z")?;
/// let a_day_ago = now.saturating_sub(Span::from_secs(86_400));
/// let cycle = Cycle { previous: Some(a_day_ago), now };
/// assert_eq!(stalled::missed_cycles(cycle, interval), 143);
/// # Ok::<(), monsys_core::time::TimeError>(())
/// ```
pub fn missed_cycles(cycle: Cycle, interval: Span) -> u64 {
    let Some(previous) = cycle.previous else {
        return 0;
    };
    let since = cycle.now.since(previous).micros();
    let whole = since.checked_div(interval.micros()).unwrap_or(0);
    u64::try_from(whole.saturating_sub(1)).unwrap_or(0)
}

/// Decides whether agents were judged as they should have been; `None` when they were.
///
/// `cycle.previous` is when these agents were judged before, `interval` how often they should be.
pub fn check(cycle: Cycle, omissions: Omissions, interval: Span) -> Option<Finding> {
    let n_missed = missed_cycles(cycle, interval);
    let reason = match (n_missed, omissions.is_none()) {
        (0, true) => return None,
        (0, false) => "incomplete_cycle",
        (_, true) => "missed_cycles",
        (_, false) => "missed_and_incomplete",
    };
    let evidence = ObjectText::new()
        .text("reason", reason)
        .integer("missed_cycles", n_missed);
    let evidence = match cycle.previous {
        Some(previous) => evidence.text("previous_cycle", &previous.to_rfc3339()),
        None => evidence.null("previous_cycle"),
    };
    Some(Finding {
        kind: AnomalyKind::DetectorStalled,
        severity: Severity::Medium,
        summary: summary(cycle, n_missed, omissions),
        detail: ObjectText::new().finish(),
        evidence: evidence
            .text("cycle", &cycle.now.to_rfc3339())
            .integer("interval_s", interval.millis() / 1_000)
            .integer("failed_agents", omissions.n_agents)
            .integer("failed_pages", omissions.n_pages)
            .integer("rules_version", RULES_VERSION)
            .finish(),
    })
}

/// Decides what follows from it: a finding is recorded, and what is `open` of it is resolved by the
/// first cycle that came in time and left nobody out.
pub fn transition(
    hub: AgentId,
    open: Option<&OpenAnomaly>,
    finding: Option<Finding>,
    now: Timestamp,
) -> Option<Transition> {
    if let Some(finding) = finding {
        let signal = finding_signal(hub, &finding, now);
        return Some(Transition::Record {
            agent: hub,
            finding,
            occurrences: 1,
            signal,
        });
    }
    let open = open.filter(|open| open.kind == AnomalyKind::DetectorStalled)?;
    Some(Transition::Resolve {
        id: open.id,
        last_seen_at: open.last_seen_at,
        signal: resolved_signal(hub, open.kind, now),
    })
}

fn summary(cycle: Cycle, n_missed: u64, omissions: Omissions) -> String {
    let mut parts = Vec::new();
    if let Some(previous) = cycle.previous.filter(|_| n_missed > 0) {
        let minutes = cycle.now.since(previous).millis() / 60_000;
        let missed = counted(n_missed, "integrity cycle");
        parts.push(format!(
            "hub missed {missed}: no agent was judged for {minutes} min"
        ));
    }
    if !omissions.is_none() {
        let agents = counted(omissions.n_agents, "agent");
        let pages = counted(omissions.n_pages, "page");
        let failed = match (omissions.n_agents, omissions.n_pages) {
            (_, 0) => agents,
            (0, _) => format!("{pages} of agents"),
            (_, _) => format!("{agents} and {pages} of agents"),
        };
        parts.push(format!("hub judged only a part: {failed} failed"));
    }
    parts.join("; ")
}

fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    n.to_string() + " " + what + plural
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{AGENT, NOW, at, cycle, open};

    const INTERVAL: Span = Span::from_secs(600);
    const COMPLETE: Omissions = Omissions {
        n_agents: 0,
        n_pages: 0,
    };

    fn after(millis: i64) -> Cycle {
        Cycle {
            previous: Some(at(-millis)),
            now: NOW,
        }
    }

    #[test]
    fn a_cycle_is_missed_from_two_whole_intervals_on() {
        for (millis, n_missed) in [
            (0, 0),
            (600_000, 0),
            (1_199_999, 0),
            (1_200_000, 1),
            (1_799_999, 1),
            (1_800_000, 2),
            (86_400_000, 143),
        ] {
            let cycle = after(millis);
            assert_eq!(missed_cycles(cycle, INTERVAL), n_missed, "{millis}");
            let found = check(cycle, COMPLETE, INTERVAL);
            assert_eq!(found.is_some(), n_missed > 0, "{millis}");
        }
    }

    #[test]
    fn the_first_start_of_a_hub_is_not_stalled() {
        let first = Cycle {
            previous: None,
            now: NOW,
        };
        assert_eq!(check(first, COMPLETE, INTERVAL), None);
    }

    #[test]
    fn a_clock_set_back_and_an_interval_of_nothing_miss_nothing() {
        assert_eq!(check(after(-86_400_000), COMPLETE, INTERVAL), None);
        assert_eq!(check(after(86_400_000), COMPLETE, Span::from_secs(0)), None);
        let longest = Cycle {
            previous: Some(Timestamp::MIN),
            now: Timestamp::MAX,
        };
        assert!(missed_cycles(longest, Span::from_micros(1)) > 0);
    }

    #[test]
    fn a_day_down_is_one_finding_that_says_how_many_cycles() {
        let found = check(after(86_400_000), COMPLETE, INTERVAL).unwrap();
        assert_eq!(
            (found.kind, found.severity),
            (AnomalyKind::DetectorStalled, Severity::Medium)
        );
        assert_eq!(
            found.summary,
            "hub missed 143 integrity cycles: no agent was judged for 1440 min"
        );
        assert_eq!(found.detail, "{}");
        assert_eq!(
            found.evidence,
            "{\"reason\": \"missed_cycles\", \"missed_cycles\": 143, \
             \"previous_cycle\": \"2026-05-08T22:03:40.000000Z\", \
             \"cycle\": \"2026-05-09T22:03:40.000000Z\", \"interval_s\": 600, \
             \"failed_agents\": 0, \"failed_pages\": 0, \"rules_version\": 1}"
        );
    }

    #[test]
    fn a_cycle_that_left_somebody_out_is_found_even_if_it_came_in_time() {
        let of = |n_agents, n_pages| Omissions { n_agents, n_pages };
        for (omissions, words) in [
            (of(1, 0), "1 agent failed"),
            (of(3, 0), "3 agents failed"),
            (of(0, 1), "1 page of agents failed"),
            (of(500, 2), "500 agents and 2 pages of agents failed"),
        ] {
            let found = check(cycle(), omissions, INTERVAL).unwrap();
            assert_eq!(found.summary, format!("hub judged only a part: {words}"));
            assert!(found.evidence.contains("\"incomplete_cycle\""));
        }
        let both = check(after(1_200_000), of(1, 0), INTERVAL).unwrap();
        assert_eq!(
            both.summary,
            "hub missed 1 integrity cycle: no agent was judged for 20 min; \
             hub judged only a part: 1 agent failed"
        );
        assert!(both.evidence.contains("\"missed_and_incomplete\""));
    }

    #[test]
    fn a_finding_is_recorded_and_the_next_complete_cycle_in_time_resolves_it() {
        let finding = check(after(10_800_000), COMPLETE, INTERVAL);
        let open = open(AnomalyKind::DetectorStalled, at(-5));
        for of in [None, Some(&open)] {
            let step = transition(AGENT, of, finding.clone(), NOW);
            let is_recorded = matches!(
                step,
                Some(Transition::Record { agent, occurrences: 1, .. }) if agent == AGENT
            );
            assert!(is_recorded, "{step:?}");
        }
        let step = transition(AGENT, Some(&open), check(cycle(), COMPLETE, INTERVAL), NOW);
        let expected = Transition::Resolve {
            id: open.id,
            last_seen_at: at(-5),
            signal: resolved_signal(AGENT, AnomalyKind::DetectorStalled, NOW),
        };
        assert_eq!(step, Some(expected));
        assert_eq!(transition(AGENT, None, None, NOW), None);
    }

    #[test]
    fn a_finding_of_another_kind_is_left_alone() {
        let other = open(AnomalyKind::ClockDrift, at(-5));
        assert_eq!(transition(AGENT, Some(&other), None, NOW), None);
    }
}
