//! One cycle over one page of agents.
//!
//! What: runs every detector on every agent and gathers the steps a store carries out, with counts
//! for the hub's own telemetry. The same page, thresholds and cycle give the same report. Steps
//! come in the order of the page and, within an agent, of the integrity document. What not: reading
//! the page and writing the steps. Cost: linear in the page.

use alloc::vec::Vec;

use monsys_core::AnomalyKind;
use monsys_core::anomaly::Transition;
use monsys_core::facts::AgentFacts;
use monsys_core::verdict::Verdict;

use crate::config::Config;
use crate::cycle::Cycle;
use crate::detect::{DETECTORS, run_all};
use crate::lifecycle;

/// What a cycle found on one page.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// What the store is to carry out, in one commit.
    pub transitions: Vec<Transition>,
    /// How many agents were looked at.
    pub n_evaluated: u64,
    /// How often each kind passed, failed or could not say, in the order of the integrity document.
    pub tallies: Vec<Tally>,
}

/// How often one kind passed, failed or could not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Which kind.
    pub kind: AnomalyKind,
    /// How many agents passed.
    pub n_pass: u64,
    /// How many failed.
    pub n_fail: u64,
    /// Of how many there was not enough to say.
    pub n_insufficient: u64,
}

impl Tally {
    const fn of(kind: AnomalyKind) -> Self {
        Self {
            kind,
            n_pass: 0,
            n_fail: 0,
            n_insufficient: 0,
        }
    }

    const fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass => self.n_pass += 1,
            Verdict::Fail(_) => self.n_fail += 1,
            Verdict::Insufficient(_) => self.n_insufficient += 1,
        }
    }
}

/// Judges a page of agents.
///
/// ```
/// use monsys_core::Timestamp;
/// use monsys_integrity::{Config, Cycle, reconcile};
/// let cycle = Cycle { previous: None, now: Timestamp::MIN };
/// let report = reconcile(&[], &Config::standard(), cycle);
/// assert_eq!((report.n_evaluated, report.tallies.len()), (0, 6));
/// ```
pub fn reconcile(page: &[AgentFacts], config: &Config, cycle: Cycle) -> Report {
    let mut transitions = Vec::new();
    let mut tallies: Vec<Tally> = DETECTORS.iter().map(|d| Tally::of(d.kind)).collect();
    for facts in page {
        for (tally, (kind, verdict)) in tallies.iter_mut().zip(run_all(facts, config, cycle)) {
            tally.count(&verdict);
            transitions.extend(lifecycle::transition(facts, kind, verdict, cycle.now));
        }
    }
    let n_evaluated = u64::try_from(page.len()).unwrap_or(u64::MAX);
    Report {
        transitions,
        n_evaluated,
        tallies,
    }
}
