//! A payload came without a signature.
//!
//! What: two findings that the hub records at ingest. A key is pinned and no signature came: high,
//! the payload is refused (integrity document, example 1). No key is pinned, so that nothing could
//! be verified: medium, the payload is accepted (decision 3). What not: looking at headers; the
//! wire crate says which case it is. Cost: a few small strings.
//!
//! An honest agent trips it by running before its key is pinned, or behind a proxy that strips
//! headers it does not know. An attacker who stole only the token cannot pass it; one who also has
//! the signing key can, and only attestation of the machine would tell.

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::verdict::Verdict;
use monsys_core::{AnomalyKind, Severity};

use super::event;
use crate::config::Config;
use crate::cycle::Cycle;

/// Makes the finding of a payload that a pinned key should have signed.
///
/// ```
/// use monsys_core::Severity;
/// use monsys_integrity::detect::unsigned_payload;
/// assert_eq!(unsigned_payload::pinned_but_absent().severity, Severity::High);
/// ```
pub fn pinned_but_absent() -> Finding {
    finding(
        Severity::High,
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature",
        "signature_absent",
    )
}

/// Makes the finding of a payload that nobody could verify, because no key is pinned.
pub fn no_pinned_key() -> Finding {
    finding(
        Severity::Medium,
        "agent has no pinned signing_pubkey, so its payloads cannot be verified",
        "no_pinned_key",
    )
}

/// Says in the cycle whether a whole cycle went by clean; never fails.
pub fn check(facts: &Facts<'_>, _config: &Config, cycle: Cycle) -> Verdict {
    event::in_cycle(AnomalyKind::UnsignedPayload, facts, cycle)
}

fn finding(severity: Severity, summary: &str, reason: &str) -> Finding {
    Finding {
        kind: AnomalyKind::UnsignedPayload,
        severity,
        summary: summary.into(),
        detail: ObjectText::new().finish(),
        evidence: ObjectText::new().text("reason", reason).finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_1_of_the_integrity_document_is_byte_exact() {
        let finding = pinned_but_absent();
        assert_eq!(finding.kind.as_str(), "unsigned_payload");
        assert_eq!(finding.severity.as_str(), "high");
        assert_eq!(
            finding.summary,
            "agent has a pinned signing_pubkey but sent no X-Monsys-Signature"
        );
        assert_eq!(finding.detail, "{}");
    }

    #[test]
    fn without_a_pinned_key_it_is_medium_and_says_why() {
        let finding = no_pinned_key();
        assert_eq!(finding.severity, Severity::Medium);
        assert_eq!(finding.detail, "{}");
        assert_eq!(finding.evidence, r#"{"reason": "no_pinned_key"}"#);
    }
}
