//! One cycle over one page of agents.
//!
//! What: runs every detector on every agent and gathers the steps a store carries out, with counts
//! for the hub's own telemetry. The same page, thresholds and cycle give the same report. Steps
//! come in the order of the page and, within an agent, of the integrity document. What not: reading
//! the page and writing the steps. Cost: linear in the page.
//!
//! Kinds that are off ([`Config::is_on`]) are not looked for and have no line in the report. What is
//! open of them is left open: whether it would pass, nobody has looked.
//!
//! A detector that panics is an outcome of its own: it opens nothing, resolves nothing, is counted
//! and named, and the other detectors of that agent still run. Catching a panic needs `std`, which
//! this crate has not, so the caller brings it ([`reconcile_guarded`]).

use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::anomaly::Transition;
use monsys_core::facts::Facts;
use monsys_core::verdict::Verdict;
use monsys_core::{AgentId, AnomalyKind};

use crate::config::Config;
use crate::cycle::Cycle;
use crate::detect::{DETECTORS, Detector};
use crate::lifecycle;

/// What a cycle found on one page.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// What the store is to carry out, in one commit.
    pub transitions: Vec<Transition>,
    /// How many agents were looked at.
    pub n_evaluated: u64,
    /// How often each kind passed, failed, could not say or broke, in the order of the table.
    pub tallies: Vec<Tally>,
    /// Which detector broke on which agent, in the order of the page.
    pub errors: Vec<DetectorError>,
}

/// A detector that panicked: a bug of ours, to be seen by people. What is open stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectorError {
    /// On which agent.
    pub agent: AgentId,
    /// Which detector.
    pub kind: AnomalyKind,
    /// What the panic said, as the guard hands it on.
    pub message: String,
}

/// How often one kind passed, failed, could not say or broke.
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
    /// On how many the detector broke.
    pub n_error: u64,
}

impl Tally {
    const fn of(kind: AnomalyKind) -> Self {
        Self {
            kind,
            n_pass: 0,
            n_fail: 0,
            n_insufficient: 0,
            n_error: 0,
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

/// Judges a page of agents with every detector that is on.
///
/// A detector that panics takes the caller with it; [`reconcile_guarded`] is for programs that must
/// go on.
///
/// ```
/// use monsys_core::Timestamp;
/// use monsys_core::facts::AgentFacts;
/// use monsys_integrity::{Config, Cycle, reconcile};
/// let page: Vec<AgentFacts> = vec![];
/// let cycle = Cycle { previous: None, now: Timestamp::MIN };
/// let report = reconcile(&page, &Config::standard(), cycle);
/// assert_eq!((report.n_evaluated, report.tallies.len()), (0, 6));
/// ```
pub fn reconcile<'a, F: Into<Facts<'a>>>(
    page: impl IntoIterator<Item = F>,
    config: &Config,
    cycle: Cycle,
) -> Report {
    let unguarded = |check: &dyn Fn() -> Verdict| Ok(check());
    reconcile_guarded(DETECTORS, page, config, cycle, unguarded)
}

/// Judges a page of agents with any table of detectors, each call of one inside `guard`.
///
/// The guard calls what it is given and hands on the verdict, or what the panic said when the call
/// panicked (`std::panic::catch_unwind`). Detectors keep nothing between calls, so nothing is left
/// half done.
pub fn reconcile_guarded<'a, F: Into<Facts<'a>>>(
    table: &[Detector],
    page: impl IntoIterator<Item = F>,
    config: &Config,
    cycle: Cycle,
    mut guard: impl FnMut(&dyn Fn() -> Verdict) -> Result<Verdict, String>,
) -> Report {
    // Once a page, so that kinds that are off cost an agent nothing.
    let on: Vec<Detector> = table
        .iter()
        .filter(|d| config.is_on(d.kind))
        .copied()
        .collect();
    let mut report = Report {
        transitions: Vec::new(),
        n_evaluated: 0,
        tallies: on.iter().map(|d| Tally::of(d.kind)).collect(),
        errors: Vec::new(),
    };
    for facts in page {
        let facts = facts.into();
        report.n_evaluated += 1;
        for (tally, detector) in report.tallies.iter_mut().zip(&on) {
            let kind = detector.kind;
            match guard(&|| (detector.check)(&facts, config, cycle)) {
                Ok(verdict) => {
                    tally.count(&verdict);
                    let step = lifecycle::transition(&facts, kind, verdict, config, cycle.now);
                    report.transitions.extend(step);
                }
                Err(message) => {
                    tally.n_error += 1;
                    report.errors.push(DetectorError {
                        agent: facts.agent,
                        kind,
                        message,
                    });
                }
            }
        }
    }
    report
}
