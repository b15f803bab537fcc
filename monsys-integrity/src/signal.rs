//! Each finding is also a signal, so that later readers need only one table.
//!
//! What: the signal of a finding, and the one that supersedes it once the check passes. Both are
//! sticky (no ttl) and stand under the same key, `integrity.<kind>`, about the same agent. What
//! not: when to write them; a store does it when an anomaly opens, rises or resolves. Cost: a few
//! small allocations per finding.

use alloc::format;
use alloc::string::{String, ToString};

use monsys_core::anomaly::Finding;
use monsys_core::json::ObjectText;
use monsys_core::text;
use monsys_core::{AgentId, AnomalyKind, Severity, Signal, SignalDraft, Timestamp};

/// The source of every integrity signal.
pub const SOURCE: &str = "integrity_check";

/// Makes the signal of a finding: value true, with the summary beside it.
///
/// ```
/// use monsys_core::{AgentId, Timestamp};
/// use monsys_integrity::{detect::unsigned_payload, finding_signal};
/// let finding = unsigned_payload::pinned_but_absent();
/// let signal = finding_signal(AgentId::from_bytes([7; 16]), &finding, Timestamp::MIN);
/// assert_eq!(signal.key().as_str(), "integrity.unsigned_payload");
/// ```
pub fn finding_signal(agent: AgentId, finding: &Finding, now: Timestamp) -> Signal {
    let summary = text::clean(&finding.summary, SUMMARY_CHARS_MAX);
    let value = ObjectText::new()
        .boolean("value", true)
        .text("summary", &summary)
        .finish();
    signal(agent, finding.kind, value, Some(finding.severity), now)
}

/// Makes the signal that supersedes a finding whose check passes: value false, no severity.
pub fn resolved_signal(agent: AgentId, kind: AnomalyKind, now: Timestamp) -> Signal {
    signal(
        agent,
        kind,
        ObjectText::new().boolean("value", false).finish(),
        None,
        now,
    )
}

fn signal(
    agent: AgentId,
    kind: AnomalyKind,
    value: String,
    severity: Option<Severity>,
    now: Timestamp,
) -> Signal {
    let draft = SignalDraft {
        source: SOURCE.to_string(),
        subject_type: "agent".to_string(),
        subject_id: format!("{agent}"),
        key: kind.signal_key().to_string(),
        value,
        severity: severity.map(|s| s.as_str().to_string()),
        observed_at: now,
        ttl_seconds: None,
    };
    match Signal::validate(&draft, now) {
        Ok(signal) => signal,
        // Cannot fail: every name is a constant that the tests check, the value is small and free
        // of control characters, and the signal is observed at the very moment of the check.
        Err(violations) => panic!("an integrity signal is always valid: {violations}"),
    }
}

/// Longest summary in a signal: ours are under 200 characters; those of an embedder are cut.
const SUMMARY_CHARS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature_invalid;
    use crate::fixture::{AGENT, NOW};

    #[test]
    fn every_kind_makes_two_valid_signals_under_one_key() {
        for kind in AnomalyKind::DOCUMENTED {
            let finding = Finding {
                kind,
                ..signature_invalid::finding(signature_invalid::Reason::Mismatch)
            };
            for now in [Timestamp::MIN, NOW, Timestamp::MAX] {
                let found = finding_signal(AGENT, &finding, now);
                let resolved = resolved_signal(AGENT, kind, now);
                for signal in [&found, &resolved] {
                    assert_eq!(signal.source().as_str(), "integrity_check");
                    assert_eq!(signal.subject_type().as_str(), "agent");
                    assert_eq!(signal.subject_id().as_str(), format!("{AGENT}"));
                    assert_eq!(signal.key().as_str(), kind.signal_key());
                    assert_eq!(signal.observed_at(), now);
                    assert_eq!(signal.ttl_seconds(), None);
                }
                assert_eq!(found.severity(), Some(Severity::Critical));
                assert_eq!(resolved.severity(), None);
                assert_eq!(resolved.value(), r#"{"value":false}"#);
            }
        }
    }

    #[test]
    fn a_hostile_summary_is_cleaned_and_cut() {
        let mut finding = signature_invalid::finding(signature_invalid::Reason::Malformed);
        finding.summary = format!("\0\u{202e}{}", "𝄞\"".repeat(100_000));
        let signal = finding_signal(AGENT, &finding, NOW);
        assert!(signal.value().len() < 4_096);
    }

    #[test]
    fn the_value_carries_the_summary() {
        let finding = signature_invalid::finding(signature_invalid::Reason::Mismatch);
        let signal = finding_signal(AGENT, &finding, NOW);
        let expected = format!(r#"{{"summary":"{}","value":true}}"#, finding.summary);
        assert_eq!(signal.value(), expected);
    }
}
