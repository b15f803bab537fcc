//! What a cycle did, as `integrity run --json` prints it.

use std::fmt;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::AgentId;
use monsys_core::limit;
use monsys_core::store::{CycleFault, CycleRecord};
use monsys_core::text;
use monsys_core::time::Timestamp;
use monsys_integrity::stalled::Omissions;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::judge::FAULT_CHARS_MAX;

/// What a cycle did. Its members are those of the JSON that the command line prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CycleReport {
    /// The `now` of the cycle, by the hub's clock, RFC 3339; null before it began.
    #[serde(serialize_with = "as_rfc3339")]
    pub(crate) at: Option<Timestamp>,
    /// How long it took, in milliseconds of the hub's clock.
    pub(crate) took_ms: u64,
    /// Agents that were judged in every respect.
    pub(crate) evaluated: usize,
    /// Transitions that were carried out.
    pub(crate) transitions: usize,
    /// Anomalies that were opened.
    pub(crate) opened: usize,
    /// Anomalies that were closed because their check passes.
    pub(crate) resolved: usize,
    /// Cycles that should have run since the one before and did not; of all organisations the most.
    pub(crate) missed: usize,
    /// Agents on which a detector failed, whose facts could not be read, or whose verdicts could not
    /// be stored.
    pub(crate) failed_agents: usize,
    /// Pages that could not be read or written.
    pub(crate) failed_pages: usize,
    /// Whether the lease was lost before the end; whoever has it judges all agents.
    pub(crate) lost_lease: bool,
    /// Which evaluations failed, the first ones: `{agent_id, kind, message}` each; `kind` is null
    /// where the agent was not judged at all.
    #[serde(serialize_with = "as_objects")]
    pub(crate) faults: Vec<CycleFault>,
}

impl CycleReport {
    /// Tells whether every agent was judged in every respect.
    pub(crate) fn is_complete(&self) -> bool {
        self.omissions().is_none() && !self.lost_lease
    }

    /// What was left out.
    pub(super) fn omissions(&self) -> Omissions {
        Omissions {
            n_agents: wide(self.failed_agents),
            n_pages: wide(self.failed_pages),
        }
    }

    /// Counts an agent that was judged not at all or in part, and names it as long as few are.
    pub(super) fn fail(&mut self, agent: AgentId, kind: Option<AnomalyKind>, message: &str) {
        // Several verdicts of one agent follow each other.
        let is_another = self.faults.last().is_none_or(|last| last.agent != agent);
        self.failed_agents += usize::from(is_another);
        if self.faults.len() < limit::CYCLE_FAULTS_MAX {
            let message = text::clean(message, FAULT_CHARS_MAX);
            self.faults.push(CycleFault {
                agent,
                kind,
                message,
            });
        }
    }

    /// Adds what the cycle did for another organisation.
    pub(super) fn add(&mut self, other: &Self) {
        self.evaluated += other.evaluated;
        self.transitions += other.transitions;
        self.opened += other.opened;
        self.resolved += other.resolved;
        self.missed = self.missed.max(other.missed);
        self.failed_agents += other.failed_agents;
        self.failed_pages += other.failed_pages;
        let room = limit::CYCLE_FAULTS_MAX.saturating_sub(self.faults.len());
        let first = other.faults.iter().take(room);
        self.faults.extend(first.cloned());
    }

    /// What the store keeps of it.
    pub(super) fn to_record(&self, at: Timestamp) -> CycleRecord {
        CycleRecord {
            at,
            took_ms: self.took_ms,
            n_agents: wide(self.evaluated),
            n_opened: wide(self.opened),
            n_resolved: wide(self.resolved),
            n_missed: wide(self.missed),
            n_failed_pages: wide(self.failed_pages),
            faults: self.faults.clone(),
        }
    }
}

impl fmt::Display for CycleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (evaluated, took_ms) = (self.evaluated, self.took_ms);
        let (opened, resolved) = (self.opened, self.resolved);
        write!(
            f,
            "{evaluated} agents judged in {took_ms} ms, {opened} anomalies opened, {resolved} resolved"
        )?;
        if self.missed > 0 {
            write!(f, ", {} cycles missed before", self.missed)?;
        }
        if !self.omissions().is_none() {
            let (agents, pages) = (self.failed_agents, self.failed_pages);
            write!(f, "; not judged: {agents} agents and {pages} pages")?;
        }
        if self.lost_lease {
            write!(f, "; the lease was lost, and whoever has it goes on")?;
        }
        for fault in &self.faults {
            let kind = fault.kind.map_or("every kind", AnomalyKind::as_str);
            write!(f, "\n{}  {kind}: {}", fault.agent, fault.message)?;
        }
        Ok(())
    }
}

pub(super) fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

pub(super) fn narrow(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn as_rfc3339<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::to_rfc3339).serialize(serializer)
}

#[derive(Serialize)]
struct ShownFault<'a> {
    agent_id: String,
    kind: Option<&'static str>,
    message: &'a str,
}

fn as_objects<S: Serializer>(faults: &[CycleFault], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(faults.len()))?;
    for fault in faults {
        list.serialize_element(&ShownFault {
            agent_id: fault.agent.to_string(),
            kind: fault.kind.map(AnomalyKind::as_str),
            message: &fault.message,
        })?;
    }
    list.end()
}
