//! A position came again with other content. Opt-in.
//!
//! What: the finding that the hub records at ingest when a payload that is signed as it should be has
//! a position that other content used up (contract §2: 409 `replay`).
//! Always critical (notes §3.2). What not: the same payload again, which is a retry and changes nothing;
//! a position in a gap that the hub gave up, which a backlog over a bad line meets; and a former epoch, which an agent that lost its counters begins with. Cost: a few small strings.
//!
//! False positives: not measured, because no recording of real positions was to be had; retries, crashes and
//! drained backlogs are no replay by the rules of positions, which their own tests hold. An honest
//! agent trips it once when its machine is restored from an image: its counters are those of then.
//! It then goes on in a new epoch, and a clean cycle closes the finding. Two machines from one image
//! trip it again and again ([`agent_cloned`](super::agent_cloned)). An attacker who holds the key
//! passes it by going on where the agent is, or by a new epoch; the agent is then the one that is refused.

use alloc::format;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::position::Position;
use monsys_core::verdict::Verdict;
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, event};
use crate::config::Config;
use crate::cycle::Cycle;

/// Makes the finding of a position that came again.
///
/// ```
/// use monsys_core::position::Position;
/// use monsys_integrity::detect::sequence_regress::finding;
/// let position = Position::new(1, 17)?;
/// assert_eq!(finding(position).severity.as_str(), "critical");
/// # Ok::<(), monsys_core::position::PositionError>(())
/// ```
pub fn finding(position: Position) -> Finding {
    Finding {
        kind: AnomalyKind::SequenceRegress,
        severity: Severity::Critical,
        summary: format!(
            "position {} of epoch {} came again with other content",
            position.seq(),
            position.epoch()
        ),
        detail: ObjectText::new().finish(),
        evidence: ObjectText::new()
            .integer("epoch", position.epoch())
            .integer("seq", position.seq())
            .integer("rules_version", RULES_VERSION)
            .finish(),
    }
}

/// Says in the cycle whether a whole cycle went by clean; never fails.
pub fn check(facts: &Facts<'_>, _config: &Config, cycle: Cycle) -> Verdict {
    event::in_cycle(AnomalyKind::SequenceRegress, facts, cycle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_shows_the_position() {
        let finding = finding(Position::new(3, 9_007_199_254_740_991).unwrap());
        assert_eq!(
            finding.summary,
            "position 9007199254740991 of epoch 3 came again with other content"
        );
        assert_eq!(
            finding.evidence,
            r#"{"epoch": 3, "seq": 9007199254740991, "rules_version": 1}"#
        );
    }
}
