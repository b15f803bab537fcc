//! From a verdict to a step in the life of an anomaly.
//!
//! What: a failure is recorded, which opens an anomaly or counts on the open one; a pass resolves
//! the open one; "not enough to say" changes nothing, so that missing data never opens and never
//! resolves (decision 12). What latches is left open by a pass ([`Config::is_latched`]). What not: carrying the step out; a store does that, and closes nothing
//! that was seen since the facts were read. Cost: a look at the few open anomalies.

use monsys_core::AnomalyKind;
use monsys_core::anomaly::Transition;
use monsys_core::facts::Facts;
use monsys_core::time::Timestamp;
use monsys_core::verdict::Verdict;

use crate::config::Config;
use crate::signal::{finding_signal, resolved_signal};

/// Decides what follows from the verdict of one detector.
pub fn transition(
    facts: &Facts<'_>,
    kind: AnomalyKind,
    verdict: Verdict,
    config: &Config,
    now: Timestamp,
) -> Option<Transition> {
    match verdict {
        Verdict::Fail(finding) => {
            let signal = finding_signal(facts.agent, &finding, now);
            Some(Transition::Record {
                agent: facts.agent,
                finding,
                occurrences: 1,
                signal,
            })
        }
        Verdict::Pass => {
            let open = facts.open.iter().find(|a| a.kind == kind)?;
            if config.is_latched(open) {
                return None;
            }
            let signal = resolved_signal(facts.agent, kind, now);
            Some(Transition::Resolve {
                id: open.id,
                last_seen_at: open.last_seen_at,
                signal,
            })
        }
        Verdict::Insufficient(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use monsys_core::facts::AgentFacts;
    use monsys_core::verdict::Insufficiency;

    use super::*;
    use crate::detect::unsigned_payload;
    use crate::fixture::{NOW, at, honest, open};

    const KIND: AnomalyKind = AnomalyKind::UnsignedPayload;

    fn with_open(kind: AnomalyKind) -> AgentFacts {
        AgentFacts {
            open: vec![open(kind, at(-5))],
            ..honest()
        }
    }

    #[test]
    fn a_failure_is_recorded_once_whether_or_not_one_is_open() {
        for facts in [honest(), with_open(KIND)] {
            let finding = unsigned_payload::pinned_but_absent();
            let signal = finding_signal(facts.agent, &finding, NOW);
            let expected = Transition::Record {
                agent: facts.agent,
                finding,
                occurrences: 1,
                signal,
            };
            let verdict = Verdict::Fail(unsigned_payload::pinned_but_absent());
            assert_eq!(
                transition(&facts.view(), KIND, verdict, &Config::standard(), NOW),
                Some(expected)
            );
        }
    }

    #[test]
    fn a_pass_resolves_only_the_open_one_of_its_kind() {
        let facts = with_open(KIND);
        let expected = Transition::Resolve {
            id: facts.open.first().unwrap().id,
            last_seen_at: at(-5),
            signal: resolved_signal(facts.agent, KIND, NOW),
        };
        assert_eq!(
            transition(&facts.view(), KIND, Verdict::Pass, &Config::standard(), NOW),
            Some(expected)
        );
        assert_eq!(
            transition(
                &honest().view(),
                KIND,
                Verdict::Pass,
                &Config::standard(),
                NOW
            ),
            None
        );
        let other = with_open(AnomalyKind::ClockDrift);
        assert_eq!(
            transition(&other.view(), KIND, Verdict::Pass, &Config::standard(), NOW),
            None
        );
    }

    #[test]
    fn a_pass_leaves_open_what_latches() {
        let strict = Config::strict();
        for (kind, is_latched) in [
            (AnomalyKind::SignatureInvalid, true),
            (AnomalyKind::UnsignedPayload, true),
            (AnomalyKind::VersionDowngrade, true),
            (AnomalyKind::ClockDrift, false),
            (AnomalyKind::AgentSilent, false),
        ] {
            let facts = with_open(kind);
            let step = transition(&facts.view(), kind, Verdict::Pass, &strict, NOW);
            assert_eq!(step.is_none(), is_latched, "{kind}");
        }
        let mut medium = with_open(KIND);
        medium.open[0].severity = monsys_core::Severity::Medium;
        let step = transition(&medium.view(), KIND, Verdict::Pass, &strict, NOW);
        assert!(step.is_some(), "no key was pinned, and nothing to protect");
    }

    #[test]
    fn not_enough_to_say_changes_nothing() {
        for reason in [
            Insufficiency::TooFew { have: 0, need: 30 },
            Insufficiency::NoVersion,
            Insufficiency::UnparseableVersion,
            Insufficiency::NoVerifiedIngest,
            Insufficiency::SeenThisCycle,
        ] {
            for facts in [honest(), with_open(KIND)] {
                assert_eq!(
                    transition(
                        &facts.view(),
                        KIND,
                        Verdict::Insufficient(reason),
                        &Config::standard(),
                        NOW
                    ),
                    None
                );
            }
        }
    }
}
