//! Watches whether positions of one agent are refused and accepted by turns.
//!
//! Only agents that were refused lately are remembered, and no more than a bound: whoever holds the
//! keys of so many can hide one more clone, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use monsys_core::anomaly::Finding;
use monsys_core::id::AgentId;
use monsys_core::time::Timestamp;
use monsys_integrity::Config;
use monsys_integrity::detect::agent_cloned::Interleaving;

/// The agents whose positions were refused lately.
#[derive(Debug, Default)]
pub(crate) struct CloneWatch {
    refused: Mutex<BTreeMap<AgentId, Interleaving>>,
}

impl CloneWatch {
    /// Counts a payload that was accepted.
    pub(super) fn accepted(&self, agent: AgentId) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = refused.get_mut(&agent) {
            turns.accepted();
        }
    }

    /// Counts a refusal, and tells what it reveals.
    pub(super) fn refused(
        &self,
        agent: AgentId,
        config: &Config,
        now: Timestamp,
    ) -> Option<Finding> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = refused.get_mut(&agent) {
            return turns.refused(config, now);
        }
        if refused.len() >= AGENTS_MAX {
            refused.retain(|_, turns| !turns.is_over(config, now));
        }
        if refused.len() < AGENTS_MAX {
            refused.insert(agent, Interleaving::begin(now));
        }
        None
    }
}

/// Most agents that are remembered: half a megabyte.
const AGENTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use monsys_core::time::Span;

    use super::*;

    fn agent(n: usize) -> AgentId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        AgentId::from_bytes(bytes)
    }

    #[test]
    fn who_was_refused_an_hour_ago_makes_room_and_nobody_else_does() {
        let (watch, config) = (CloneWatch::default(), Config::strict());
        let start = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap();
        let n_known = |watch: &CloneWatch| watch.refused.lock().unwrap().len();
        for n in 0..AGENTS_MAX {
            assert_eq!(watch.refused(agent(n), &config, start), None);
        }
        let one_more = |at| watch.refused(agent(AGENTS_MAX), &config, at);
        assert_eq!(one_more(start), None);
        assert_eq!(n_known(&watch), AGENTS_MAX);
        let later = start.saturating_add(Span::from_secs(3_601));
        assert_eq!(one_more(later), None);
        assert_eq!(n_known(&watch), 1);
    }

    #[test]
    fn each_agent_has_turns_of_its_own() {
        let (watch, config) = (CloneWatch::default(), Config::strict());
        let at = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap();
        let mut found = Vec::new();
        for _ in 0..4 {
            for n in [1, 2] {
                found.extend(watch.refused(agent(n), &config, at).map(|_| n));
            }
            watch.accepted(agent(1));
        }
        assert_eq!(found, [1]);
    }
}
