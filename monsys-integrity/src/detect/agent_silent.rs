//! Nothing came for many intervals. Opt-in.
//!
//! What: the newest accepted payload came more than 5 min ago, which is 20 intervals (notes §3.2). It is
//! the largest hole of the integrity document: a dead agent trips none of its six kinds. Of an agent
//! with a key every verified payload counts, of one without only metrics. What not: why; and an
//! agent that was never heard, which nobody has installed yet. Cost: two comparisons.
//!
//! It is said of nobody right after the hub itself was away (no cycle within two intervals), nor
//! when 30 % of the agents that were heard in the last 24 h, and no fewer than three, are silent at
//! once ([`heed_fleet`]): that is one outage and not so many. An agent that is heard passes all the
//! same.
//!
//! False positives: not measured, because no recording of real receive times was to be had. An honest
//! agent trips it when its machine is switched off, asleep or out of the network; that is true and of
//! little use on laptops, which is why it is off unless turned on. An attacker who stops the agent
//! passes it by sending in its place, for which he needs its key, or by cutting off so many others
//! that it looks like an outage.

use alloc::format;
use alloc::string::String;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::store::FleetPresence;
use monsys_core::time::{Span, Timestamp};
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::RULES_VERSION;
use crate::config::Config;
use crate::cycle::Cycle;

/// Judges whether the agent is heard.
pub fn check(facts: &Facts<'_>, config: &Config, cycle: Cycle) -> Verdict {
    let last_metric = facts.window.arrivals.map(|arrivals| arrivals.last);
    let heard_at = last_metric.max(facts.last_verified_at);
    // With readings but none in the window, the last one is older than the window.
    if heard_at.is_none() && facts.clock.offsets_ms.is_empty() {
        return Verdict::Insufficient(Insufficiency::NeverHeard);
    }
    if heard_at.is_some_and(|at| cycle.now.since(at) <= config.silent_after) {
        return Verdict::Pass;
    }
    if config.inhibited.contains(AnomalyKind::AgentSilent) {
        return Verdict::Insufficient(Insufficiency::FleetSilent);
    }
    if !was_hub_there(config, cycle) {
        return Verdict::Insufficient(Insufficiency::HubAway);
    }
    Verdict::Fail(finding(heard_at, config, cycle))
}

/// Leaves silence out of the verdicts of a cycle in which too many agents are silent at once.
///
/// ```
/// use monsys_core::AnomalyKind::AgentSilent;
/// use monsys_core::store::FleetPresence;
/// use monsys_integrity::{Config, detect::agent_silent::heed_fleet};
/// let mut config = Config::strict();
/// heed_fleet(&mut config, FleetPresence { n_heard: 10, n_silent: 2 });
/// assert!(!config.inhibited.contains(AgentSilent));
/// heed_fleet(&mut config, FleetPresence { n_heard: 10, n_silent: 3 });
/// assert!(config.inhibited.contains(AgentSilent));
/// ```
pub const fn heed_fleet(config: &mut Config, fleet: FleetPresence) {
    let share = fleet.n_silent.saturating_mul(100);
    let limit = fleet.n_heard.saturating_mul(config.silent_fleet_percent);
    let is_outage = fleet.n_silent >= config.silent_fleet_min && share >= limit;
    config.inhibited = if is_outage {
        config.inhibited.with(AnomalyKind::AgentSilent)
    } else {
        config.inhibited.without(AnomalyKind::AgentSilent)
    };
}

/// From when on an agent was heard lately, and from when on one that was not heard is silent: what a
/// store counts the fleet by.
pub fn fleet_bounds(config: &Config, now: Timestamp) -> (Timestamp, Timestamp) {
    let heard_since = now.saturating_sub(config.silent_fleet_heard);
    let silent_since = now.saturating_sub(config.silent_after);
    // Whoever was heard exactly so long ago passes.
    (
        heard_since,
        silent_since.saturating_sub(Span::from_micros(1)),
    )
}

fn was_hub_there(config: &Config, cycle: Cycle) -> bool {
    let interval_us = config.cycle_interval.micros();
    cycle.previous.is_some_and(|previous| {
        let since_us = cycle.now.since(previous).micros();
        (0..=interval_us.saturating_mul(2)).contains(&since_us)
    })
}

#[cold]
fn finding(heard_at: Option<Timestamp>, config: &Config, cycle: Cycle) -> Finding {
    let evidence = ObjectText::new();
    let (how_long, evidence) = match heard_at {
        Some(at) => {
            let silent_s = cycle.now.since(at).millis() / 1_000;
            let evidence = evidence
                .text("last_received_at", &at.to_rfc3339())
                .integer("silent_s", silent_s);
            (format!("{} min", silent_s / 60), evidence)
        }
        None => (String::from("more than an hour"), evidence),
    };
    Finding {
        kind: AnomalyKind::AgentSilent,
        severity: Severity::Medium,
        summary: format!("nothing came from the agent for {how_long}"),
        detail: ObjectText::new().finish(),
        evidence: evidence
            .text("window_to", &cycle.now.to_rfc3339())
            .integer("threshold_s", config.silent_after.millis() / 1_000)
            .integer("rules_version", RULES_VERSION)
            .finish(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use monsys_core::facts::AgentFacts;

    use super::*;
    use crate::fixture::{NOW, at, clock_of, cycle, failed, honest, unknown, window_of};

    fn judge(facts: &AgentFacts) -> Verdict {
        check(&facts.view(), &Config::strict(), cycle())
    }

    fn heard(ms_ago: i64) -> AgentFacts {
        AgentFacts {
            last_verified_at: Some(at(-ms_ago)),
            ..unknown()
        }
    }

    #[test]
    fn five_minutes_pass_and_a_millisecond_more_is_silence() {
        assert_eq!(judge(&heard(300_000)), Verdict::Pass);
        let finding = failed(judge(&heard(300_001)));
        assert_eq!(finding.severity, Severity::Medium);
        assert_eq!(finding.summary, "nothing came from the agent for 5 min");
        assert_eq!(
            finding.evidence,
            "{\"last_received_at\": \"2026-05-09T21:58:39.999000Z\", \"silent_s\": 300, \
             \"window_to\": \"2026-05-09T22:03:40.000000Z\", \"threshold_s\": 300, \
             \"rules_version\": 1}"
        );
    }

    #[test]
    fn metrics_are_a_sign_of_life_without_a_key() {
        let facts = AgentFacts {
            last_verified_at: None,
            ..honest()
        };
        assert_eq!(judge(&facts), Verdict::Pass);
        let newer_metric = AgentFacts {
            window: window_of(&[1.0; 3]),
            ..heard(400_000)
        };
        assert_eq!(judge(&newer_metric), Verdict::Pass);
    }

    #[test]
    fn of_one_never_heard_nothing_is_said_and_one_long_gone_is_silent() {
        let never = Verdict::Insufficient(Insufficiency::NeverHeard);
        assert_eq!(judge(&unknown()), never);
        let long_gone = AgentFacts {
            clock: monsys_core::facts::ClockFacts::from_readings(clock_of(&[0; 3])),
            ..unknown()
        };
        let finding = failed(judge(&long_gone));
        assert!(finding.summary.ends_with("for more than an hour"));
    }

    #[test]
    fn after_the_hub_was_away_nobody_is_silent() {
        let away = Verdict::Insufficient(Insufficiency::HubAway);
        for previous in [None, Some(at(-1_200_001)), Some(at(1))] {
            let cycle = Cycle { previous, now: NOW };
            let judge = |facts: &AgentFacts| check(&facts.view(), &Config::strict(), cycle);
            assert_eq!(judge(&heard(900_000)), away, "{previous:?}");
            assert_eq!(judge(&heard(15_000)), Verdict::Pass, "who is heard passes");
        }
        let previous = Some(at(-1_200_000));
        let cycle = Cycle { previous, now: NOW };
        let _ = failed(check(&heard(900_000).view(), &Config::strict(), cycle));
    }

    #[test]
    fn an_outage_of_the_fleet_is_no_silence_of_its_agents() {
        for (n_heard, n_silent, is_outage) in [
            (0, 0, false),
            (2, 1, false),
            (2, 2, false),
            (3, 3, true),
            (10, 2, false),
            (10, 3, true),
            (1_000, 299, false),
            (1_000, 300, true),
            (u64::MAX, u64::MAX, true),
        ] {
            let mut config = Config::strict();
            heed_fleet(&mut config, FleetPresence { n_heard, n_silent });
            let verdict = check(&heard(900_000).view(), &config, cycle());
            let inhibited = Verdict::Insufficient(Insufficiency::FleetSilent);
            assert_eq!(verdict == inhibited, is_outage, "{n_silent} of {n_heard}");
            heed_fleet(&mut config, FleetPresence::default());
            assert_eq!(config.inhibited, Config::strict().inhibited, "over again");
        }
    }

    #[test]
    fn the_fleet_is_counted_by_the_rule_of_the_verdict() {
        let config = Config::strict();
        let (heard_since, silent_since) = fleet_bounds(&config, NOW);
        assert_eq!(heard_since, at(-86_400_000));
        for ms_ago in [299_999, 300_000, 300_001] {
            let is_silent = matches!(judge(&heard(ms_ago)), Verdict::Fail(_));
            assert_eq!(at(-ms_ago) <= silent_since, is_silent, "{ms_ago}");
        }
    }

    #[test]
    fn times_at_the_ends_of_history_do_not_panic() {
        for (last, now) in [
            (Timestamp::MIN, Timestamp::MAX),
            (Timestamp::MAX, Timestamp::MIN),
        ] {
            let facts = AgentFacts {
                last_verified_at: Some(last),
                open: vec![],
                ..unknown()
            };
            let cycle = Cycle {
                previous: Some(now),
                now,
            };
            let _ = check(&facts.view(), &Config::strict(), cycle);
            let _ = fleet_bounds(&Config::strict(), now);
        }
    }
}
