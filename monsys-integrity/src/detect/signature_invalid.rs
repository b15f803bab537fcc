//! A signature did not verify against the pinned key.
//!
//! What: the finding that the hub records at ingest, always critical (integrity document;
//! decision 4 for the reasons). What not: verifying; the wire crate does that and names the reason.
//! Cost: a few small strings.
//!
//! An honest agent trips it when its key file was restored from another machine, or when something
//! on the way changes bodies. An attacker without the pinned key cannot pass it; he needs a valid
//! token to raise it at all, so nobody frames an agent from outside.

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::verdict::Verdict;
use monsys_core::{AnomalyKind, Severity};

use super::event;
use crate::config::Config;
use crate::cycle::Cycle;

/// Why a signature is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The header is no signature: wrong length or letters, or sent twice.
    Malformed,
    /// It is one, but not of this body under the pinned key.
    Mismatch,
    /// Another key than the pinned one was offered to be pinned.
    PinConflict,
    /// It is by a key that was revoked.
    KeyRevoked,
}

impl Reason {
    /// Returns the stable word in the evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::PinConflict => "pin_conflict",
            Self::KeyRevoked => "key_revoked",
        }
    }

    const fn summary(self) -> &'static str {
        match self {
            Self::Malformed => "payload signature is malformed",
            Self::Mismatch => "payload signature does not verify against the pinned signing_pubkey",
            Self::PinConflict => "agent asked to pin a signing_pubkey other than the pinned one",
            Self::KeyRevoked => "payload is signed with a revoked signing_pubkey",
        }
    }
}

/// Makes the finding of a signature that is not valid.
///
/// ```
/// use monsys_integrity::detect::signature_invalid::{Reason, finding};
/// assert_eq!(finding(Reason::Mismatch).evidence, r#"{"reason": "mismatch"}"#);
/// ```
pub fn finding(reason: Reason) -> Finding {
    Finding {
        kind: AnomalyKind::SignatureInvalid,
        severity: Severity::Critical,
        summary: reason.summary().into(),
        detail: ObjectText::new().finish(),
        evidence: ObjectText::new().text("reason", reason.as_str()).finish(),
    }
}

/// Says in the cycle whether a whole cycle went by clean; never fails.
pub fn check(facts: &Facts<'_>, _config: &Config, cycle: Cycle) -> Verdict {
    event::in_cycle(AnomalyKind::SignatureInvalid, facts, cycle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_critical_and_named_in_the_evidence() {
        for reason in [
            Reason::Malformed,
            Reason::Mismatch,
            Reason::PinConflict,
            Reason::KeyRevoked,
        ] {
            let finding = finding(reason);
            assert_eq!(finding.severity, Severity::Critical);
            assert_eq!(finding.detail, "{}");
            assert_eq!(
                finding.evidence,
                alloc::format!(r#"{{"reason": "{}"}}"#, reason.as_str())
            );
        }
    }
}
