//! The integrity cycle: one lease, pages of facts, one commit per page.

use alloc::string::String;
use alloc::vec::Vec;

use super::StoreFuture;
use crate::anomaly::{AnomalyKind, Transition};
use crate::facts::AgentFacts;
use crate::id::{AgentId, TenantId};
use crate::time::{Span, Timestamp};

/// The right to run a cycle, held by one hub at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// When the last cycle finished by the hub's clock, if there was one.
    pub previous_cycle: Option<Timestamp>,
}

/// One page of facts.
#[derive(Debug, Clone, PartialEq)]
pub struct FactsPage {
    /// The agents in order of their identifiers.
    pub agents: Vec<AgentFacts>,
    /// Where the next page begins; `None` when this was the last. After a full one it may be empty.
    pub next: Option<AgentId>,
}

impl FactsPage {
    /// Makes the page of at most `n_agents` that holds these. A store does not look at the agent
    /// after the last to find out whether there is one: what is wrong with that one would hide the
    /// last.
    pub fn of(agents: Vec<AgentFacts>, n_agents: u32) -> Self {
        let is_full = u32::try_from(agents.len()).is_ok_and(|n| n >= n_agents);
        let next = agents.last().filter(|_| is_full).map(|facts| facts.agent);
        Self { agents, next }
    }
}

/// What a cycle writes for one page.
#[derive(Debug, Clone, PartialEq)]
pub struct CycleCommit {
    /// Whose agents.
    pub tenant: TenantId,
    /// The `now` of the cycle.
    pub at: Timestamp,
    /// What changes.
    pub transitions: Vec<Transition>,
}

/// What a commit of a cycle changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CycleChanges {
    /// Anomalies that were opened.
    pub n_opened: u64,
    /// Anomalies that were closed.
    pub n_resolved: u64,
}

/// How one cycle went for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleRecord {
    /// The `now` of the cycle.
    pub at: Timestamp,
    /// How long the tenant took, in milliseconds of the hub's clock.
    pub took_ms: u64,
    /// Agents that were judged.
    pub n_agents: u64,
    /// Anomalies that were opened.
    pub n_opened: u64,
    /// Anomalies that were closed because their check passes.
    pub n_resolved: u64,
    /// Cycles that should have run since the one before and did not.
    pub n_missed: u64,
    /// Pages that could not be read or written; their agents were not judged.
    pub n_failed_pages: u64,
    /// Detectors that failed, and on which agents; at most
    /// [`limit::CYCLE_FAULTS_MAX`](crate::limit::CYCLE_FAULTS_MAX).
    pub faults: Vec<CycleFault>,
}

/// A detector that failed on an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleFault {
    /// Which agent.
    pub agent: AgentId,
    /// What it would have judged; `None` when the evaluation failed as a whole.
    pub kind: Option<AnomalyKind>,
    /// What it said, cleaned and cut.
    pub message: String,
}

/// How many agents of a tenant are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FleetPresence {
    /// Active agents from which something was accepted lately.
    pub n_heard: u64,
    /// How many of them are silent now.
    pub n_silent: u64,
}

/// What the integrity worker needs.
pub trait CycleStore: Send + Sync {
    /// Takes or renews the lease; `None` while another holder has it.
    ///
    /// A lease that ends later than `now + ttl` was taken by a clock that was wrong, and is free.
    fn take_lease(
        &self,
        holder: [u8; 16],
        now: Timestamp,
        ttl: Span,
    ) -> StoreFuture<'_, Option<Lease>>;

    /// Gives the lease back after a cycle that began at `now` and records the cycle; changes
    /// nothing when the lease is held by another.
    fn finish_cycle(&self, holder: [u8; 16], now: Timestamp) -> StoreFuture<'_, ()>;

    /// Lists all tenants. One of the few methods that cross them.
    fn tenants(&self) -> StoreFuture<'_, Vec<TenantId>>;

    /// Counts the active agents (enrolled, not revoked), so that a cycle can say of how many it has
    /// judged so many.
    fn active_count(&self, tenant: TenantId) -> StoreFuture<'_, u64>;

    /// Lists at most `n_agents` active agents after `after`, in order of their identifiers, and
    /// reads nothing else of them: what cannot be read of one must not hide those after it.
    fn active_agents(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
    ) -> StoreFuture<'_, Vec<AgentId>>;

    /// Counts the active agents of which anything was accepted after `heard_since`, and those of
    /// them of which nothing was after `silent_since`: many at once mean that the hub was away.
    fn presence(
        &self,
        tenant: TenantId,
        heard_since: Timestamp,
        silent_since: Timestamp,
    ) -> StoreFuture<'_, FleetPresence>;

    /// Reads the facts of at most `n_agents` active agents (enrolled, not revoked) after `after`:
    /// metrics received in (now − 1 h, now], the newest 20 metrics, versions, open anomalies.
    fn facts(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, FactsPage>;

    /// Carries out the transitions of a page in one transaction and answers what changed. Nothing
    /// is written, and nothing waited for, when there are none.
    fn commit_cycle<'a>(&'a self, commit: &'a CycleCommit) -> StoreFuture<'a, CycleChanges>;

    /// Keeps how a cycle went, and forgets what is older than 14 days.
    fn record_cycle<'a>(&'a self, tenant: TenantId, record: &'a CycleRecord)
    -> StoreFuture<'a, ()>;

    /// Reads how the newest cycles went, newest first.
    fn cycles(&self, tenant: TenantId, n_rows: u32) -> StoreFuture<'_, Vec<CycleRecord>>;
}
