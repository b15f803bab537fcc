//! What the simulation asks of a hub, and what every cycle must obey.

use monsys_core::anomaly::{Anomaly, OpenAnomaly, Transition};
use monsys_core::facts::Facts;
use monsys_core::store::{IngestBatch, IngestFinding, IngestOutcome};
use monsys_core::time::Timestamp;
use monsys_core::verdict::Verdict;
use monsys_core::{AgentId, AnomalyKind};
use monsys_integrity::stalled::Omissions;
use monsys_integrity::{Config, Cycle, Report, reconcile, run_all, stalled};

use crate::world::TENANT;

/// A hub as far as honesty is concerned.
pub(crate) trait Hub {
    /// Enrols an agent, with its key pinned or without.
    fn enrol(&mut self, agent: AgentId, is_pinned: bool, at: Timestamp);

    /// Pins the key of an agent, which resets its positions.
    fn pin(&mut self, agent: AgentId, at: Timestamp);

    /// Decides about one payload and stores it.
    fn commit(&mut self, batch: &IngestBatch) -> IngestOutcome;

    /// Records what a refused request revealed.
    fn record(&mut self, found: &IngestFinding);

    /// Judges all agents, then itself, and carries out what follows.
    fn cycle(&mut self, config: &Config, cycle: Cycle) -> Judged;

    /// A person closes the open anomaly of a kind.
    fn resolve(&mut self, agent: AgentId, kind: AnomalyKind, at: Timestamp);

    /// All anomalies in the order in which they were opened.
    fn anomalies(&self) -> Vec<Anomaly>;
}

/// A cycle that obeyed the laws.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) report: Report,
    /// Verdicts that said nothing about a kind of which an anomaly was open.
    pub(crate) n_undecided_open: u64,
    /// Other verdicts that said nothing.
    pub(crate) n_undecided: u64,
}

/// Decides what the hub finds of itself: the cycles that nobody ran.
pub(crate) fn judge_itself(
    open: Option<&OpenAnomaly>,
    config: &Config,
    cycle: Cycle,
) -> Option<Transition> {
    let finding = stalled::check(cycle, Omissions::default(), config.cycle_interval);
    stalled::transition(ITSELF, open, finding, cycle.now)
}

/// Judges a page twice and looks at what follows from verdicts that say nothing.
pub(crate) fn judge(page: &[Facts<'_>], config: &Config, cycle: Cycle) -> Judged {
    let report = reconcile(page.iter().copied(), config, cycle);
    let again = reconcile(page.iter().copied(), config, cycle);
    assert_eq!(report, again, "the same input gives the same report");
    let mut judged = Judged {
        report,
        n_undecided_open: 0,
        n_undecided: 0,
    };
    for facts in page {
        for (kind, verdict) in run_all(facts, config, cycle) {
            let Verdict::Insufficient(reason) = verdict else {
                continue;
            };
            let open = facts.open.iter().find(|open| open.kind == kind);
            let is_about = |step: &Transition| match step {
                Transition::Record { agent, finding, .. } => {
                    *agent == facts.agent && finding.kind == kind
                }
                Transition::Resolve { id, .. } => open.is_some_and(|open| open.id == *id),
            };
            let steps = &judged.report.transitions;
            assert!(
                !steps.iter().any(is_about),
                "{kind} of {} was changed by {reason:?}",
                facts.agent
            );
            match open {
                Some(_) => judged.n_undecided_open += 1,
                None => judged.n_undecided += 1,
            }
        }
    }
    judged
}

/// Under what the hub speaks of itself.
pub(crate) const ITSELF: AgentId = AgentId::of_hub(TENANT);
