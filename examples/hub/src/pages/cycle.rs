//! How the last cycle of the integrity worker went, in a line and what was wrong with it.

use monsys_core::anomaly::AnomalyKind;
use monsys_core::store::CycleRecord;
use monsys_core::time::Timestamp;

use super::when::When;
use crate::worker::interval;

/// The last cycle.
#[derive(Debug, Clone)]
pub(super) struct CycleLine<'a> {
    pub(super) at: When,
    pub(super) took: String,
    pub(super) n_agents: u64,
    pub(super) n_opened: u64,
    pub(super) n_resolved: u64,
    pub(super) n_missed: u64,
    pub(super) n_failed_pages: u64,
    pub(super) faults: Vec<FaultLine<'a>>,
    /// Whether the next one should have come.
    pub(super) is_overdue: bool,
}

/// A check that failed on an agent.
#[derive(Debug, Clone)]
pub(super) struct FaultLine<'a> {
    pub(super) agent_id: String,
    /// Which check; all of them where none is named.
    pub(super) check: &'static str,
    pub(super) message: &'a str,
}

impl<'a> CycleLine<'a> {
    pub(super) fn new(record: &'a CycleRecord, now: Timestamp) -> Self {
        let faults = record.faults.iter().map(|fault| FaultLine {
            agent_id: fault.agent.to_string(),
            check: fault.kind.map_or("every check", AnomalyKind::as_str),
            message: &fault.message,
        });
        let due = record
            .at
            .saturating_add(interval())
            .saturating_add(interval());
        Self {
            at: When::new(record.at, now),
            took: took(record.took_ms),
            n_agents: record.n_agents,
            n_opened: record.n_opened,
            n_resolved: record.n_resolved,
            n_missed: record.n_missed,
            n_failed_pages: record.n_failed_pages,
            faults: faults.collect(),
            is_overdue: now >= due,
        }
    }

    /// Whether all went well.
    pub(super) const fn is_well(&self) -> bool {
        !self.is_overdue && self.n_missed == 0 && self.n_failed_pages == 0 && self.faults.is_empty()
    }
}

/// What came of asking for a cycle, by the word that the answer to the button carries.
pub(super) fn answer_to(asked: &str) -> Option<&'static str> {
    match asked {
        "started" => Some("A cycle was started. Its findings appear here by themselves."),
        "running" => Some("A cycle is running already."),
        "elsewhere" => Some("Another hub is running a cycle at this moment."),
        "too-soon" => Some("A cycle has just ended. Ask again in a moment."),
        _ => None,
    }
}

fn took(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{ms}\u{a0}ms"),
        _ => format!("{}\u{a0}s", ms / 1_000),
    }
}
