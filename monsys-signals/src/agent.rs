//! What an agent may claim: a few sources, about itself only.
//!
//! What: the allowlists of the signals document, and the subject overwritten with the caller. A
//! compromised agent can lie about itself, never about another agent in its tenant. What not: the
//! number of signals of a batch (the wire crate refuses more than 1,000) and of live keys (a store
//! counts them). Cost: one pass over each field of each draft.

use alloc::format;
use alloc::vec::Vec;

use monsys_core::signal::{Rule, Signal, SignalDraft, Violation, Violations};
use monsys_core::{AgentId, Timestamp};

/// The sources that agents may use (signals document; contract §6).
pub const SOURCES: [&str; 3] = ["backup_check", "clock_check", "endpoint_posture"];

/// The only thing agents may speak about (signals document; contract §6).
pub const SUBJECT_TYPE: &str = "agent";

/// Checks what an agent sent and makes it the agent's own, all or nothing.
///
/// Whatever `subject_id` came, none included, becomes the caller's identifier before the checks, so
/// that it is never the reason of a refusal (signals document).
///
/// # Errors
/// [`Violations`] with index and rule of every broken rule of the batch, in order; when there are
/// many, the first ones and their number. A source that is malformed breaks two rules: that of its
/// form and [`Rule::AgentSource`].
///
/// ```
/// # use monsys_core::{AgentId, Timestamp};
/// use monsys_signals::{Rule, SignalDraft, admit};
/// # let now = Timestamp::MIN;
/// let draft = SignalDraft {
///     source: "integrity_check".into(), subject_type: "agent".into(), subject_id: "".into(),
///     key: "integrity.flat_metrics".into(), value: r#"{"value":false}"#.into(),
///     severity: None, observed_at: now, ttl_seconds: None,
/// };
/// let refused = admit(vec![draft], AgentId::from_bytes([7; 16]), now).unwrap_err();
/// assert_eq!(refused.first().rule, Rule::AgentSource);
/// ```
pub fn admit(
    drafts: Vec<SignalDraft>,
    caller: AgentId,
    now: Timestamp,
) -> Result<Vec<Signal>, Violations> {
    let mut found = Violations::default();
    let mut signals = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        let own = SignalDraft {
            subject_id: format!("{caller}"),
            ..draft
        };
        for rule in broken_allowlists(&own) {
            found.push(Violation { index, rule });
        }
        match Signal::validate(&own, now) {
            Ok(signal) => signals.push(signal),
            Err(broken) => {
                broken.shown().iter().for_each(|v| {
                    found.push(Violation {
                        index,
                        rule: v.rule,
                    })
                });
            }
        }
    }
    if found.is_empty() {
        Ok(signals)
    } else {
        Err(found)
    }
}

fn broken_allowlists(draft: &SignalDraft) -> impl Iterator<Item = Rule> {
    let is_source_allowed = SOURCES.contains(&draft.source.as_str());
    let is_subject_allowed = draft.subject_type == SUBJECT_TYPE;
    let source = (!is_source_allowed).then_some(Rule::AgentSource);
    let subject_type = (!is_subject_allowed).then_some(Rule::AgentSubjectType);
    source.into_iter().chain(subject_type)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec;

    use monsys_core::limit;
    use proptest::prelude::*;

    use super::*;

    const CALLER: AgentId = AgentId::from_bytes([7; 16]);
    const NOW: Timestamp = match Timestamp::from_unix_micros(1_778_364_220_000_000) {
        Ok(now) => now,
        Err(_) => panic!("a time of this century"),
    };

    fn draft(source: &str) -> SignalDraft {
        SignalDraft {
            source: source.into(),
            subject_type: "agent".into(),
            subject_id: String::new(),
            key: "backup.age_hours".into(),
            value: r#"{"value":30}"#.into(),
            severity: None,
            observed_at: NOW,
            ttl_seconds: Some(600),
        }
    }

    fn rules(drafts: Vec<SignalDraft>) -> Vec<(usize, Rule)> {
        let violations = admit(drafts, CALLER, NOW).unwrap_err();
        violations
            .shown()
            .iter()
            .map(|v| (v.index, v.rule))
            .collect()
    }

    #[test]
    fn s11_the_three_sources_are_admitted_and_every_other_refused() {
        for source in SOURCES {
            assert_eq!(admit(vec![draft(source)], CALLER, NOW).unwrap().len(), 1);
        }
        for source in [
            "integrity_check",
            "cert_scan",
            "runtime_check",
            "backup_checks",
            "backup",
        ] {
            assert_eq!(
                rules(vec![draft(source)]),
                [(0, Rule::AgentSource)],
                "{source}"
            );
        }
        assert_eq!(admit(vec![], CALLER, NOW), Ok(vec![]));
    }

    #[test]
    fn s11_agents_speak_about_agents_only() {
        let other = SignalDraft {
            subject_type: "endpoint".into(),
            ..draft("clock_check")
        };
        assert_eq!(rules(vec![other]), [(0, Rule::AgentSubjectType)]);
    }

    #[test]
    fn s12_the_subject_is_the_caller_whatever_was_sent() {
        let other = AgentId::from_bytes([8; 16]).to_string();
        let long = "x".repeat(10_000);
        for sent in ["", "a\u{0}", &other, &long] {
            let sent = SignalDraft {
                subject_id: sent.into(),
                ..draft("backup_check")
            };
            let signals = admit(vec![sent], CALLER, NOW).unwrap();
            assert_eq!(signals[0].subject_id().as_str(), CALLER.to_string());
        }
    }

    #[test]
    fn one_bad_draft_refuses_the_batch_and_everything_broken_is_named() {
        let mut drafts = vec![draft("backup_check"); 4];
        drafts[1].source = "Cert Scan".into();
        drafts[1].subject_type = "domain".into();
        drafts[3].key = "age".into();
        drafts[3].severity = Some("High".into());
        drafts[3].ttl_seconds = Some(0);
        assert_eq!(
            rules(drafts),
            [
                (1, Rule::AgentSource),
                (1, Rule::AgentSubjectType),
                (1, Rule::Source),
                (3, Rule::Key),
                (3, Rule::Severity),
                (3, Rule::Ttl),
            ]
        );
    }

    #[test]
    fn a_flood_of_violations_is_counted_and_bounded() {
        let drafts = vec![draft("cert_scan"); limit::SIGNALS_PER_BATCH_MAX];
        let violations = admit(drafts, CALLER, NOW).unwrap_err();
        assert_eq!(violations.total(), limit::SIGNALS_PER_BATCH_MAX);
        assert_eq!(violations.shown().len(), limit::VIOLATIONS_SHOWN_MAX);
    }

    prop_compose! {
        fn any_draft()(
            source in prop_oneof![4 => prop::sample::select(&SOURCES).prop_map(String::from), 1 => "\\PC{0,9}"],
            subject_type in prop_oneof![4 => Just(String::from("agent")), 1 => "\\PC{0,9}"],
            subject_id in ".{0,40}",
            key in prop_oneof![4 => "[a-z]{1,5}\\.[a-z]{1,5}", 1 => "\\PC{0,9}"],
            value in prop_oneof![4 => Just(String::from(r#"{"value":1}"#)), 1 => "\\PC{0,9}"],
            severity in prop::option::of(prop_oneof![4 => Just(String::from("low")), 1 => "[a-z]{0,8}"]),
            offset_s in -400_i64..400,
            ttl_seconds in prop::option::of(-1_i64..600),
        ) -> SignalDraft {
            let observed_at = NOW.saturating_add(monsys_core::time::Span::from_secs(offset_s));
            SignalDraft { source, subject_type, subject_id, key, value, severity, observed_at, ttl_seconds }
        }
    }

    proptest! {
        #[test]
        fn s12_every_admitted_subject_is_the_caller(
            drafts in prop::collection::vec(any_draft(), 0..4),
            caller: [u8; 16],
        ) {
            let caller = AgentId::from_bytes(caller);
            let n = drafts.len();
            match admit(drafts, caller, NOW) {
                Ok(signals) => {
                    prop_assert_eq!(signals.len(), n);
                    for signal in signals {
                        prop_assert_eq!(signal.subject_id().as_str(), caller.to_string());
                        prop_assert_eq!(signal.subject_type().as_str(), SUBJECT_TYPE);
                        prop_assert!(SOURCES.contains(&signal.source().as_str()));
                    }
                }
                Err(violations) => {
                    prop_assert!(violations.total() > 0);
                    prop_assert!(violations.shown().iter().all(|v| v.index < n));
                    prop_assert!(violations.shown().iter().all(|v| v.rule != Rule::SubjectId));
                }
            }
        }
    }
}
