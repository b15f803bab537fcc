//! One page judged, and what a detector that panicked said.

use std::any::Any;
use std::panic::catch_unwind;

use monsys_core::anomaly::Transition;
use monsys_core::facts::AgentFacts;
use monsys_core::limit;
use monsys_core::store::CycleFault;
use monsys_core::text;
use monsys_integrity::{Config, Cycle, reconcile};

use super::report::CycleReport;

/// Judges agent by agent, so that one whose evaluation fails is counted and hides nobody else.
pub(super) fn judge_page(
    page: &[AgentFacts],
    cycle: Cycle,
    report: &mut CycleReport,
) -> Vec<Transition> {
    let config = Config::standard();
    let mut transitions = Vec::new();
    for facts in page {
        let judged = catch_unwind(|| reconcile(std::slice::from_ref(facts), &config, cycle));
        match judged {
            Ok(judged) => {
                report.evaluated += 1;
                transitions.extend(judged.transitions);
            }
            Err(panic) => {
                tracing::error!(agent = %facts.agent, "the evaluation of an agent failed");
                report.failed_agents += 1;
                if report.faults.len() < limit::CYCLE_FAULTS_MAX {
                    report.faults.push(CycleFault {
                        agent: facts.agent,
                        kind: None,
                        message: said(panic.as_ref()),
                    });
                }
            }
        }
    }
    transitions
}

/// What a panic said, cut to a line that a page can show.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text::clean(&text.unwrap_or_default(), FAULT_CHARS_MAX)
}

/// Longest message of a failed evaluation that is kept, in characters.
pub(super) const FAULT_CHARS_MAX: usize = 200;
