//! Anomalies as people read and close them.

use alloc::string::String;
use alloc::vec::Vec;

use super::StoreFuture;
use crate::anomaly::{Anomaly, AnomalyKind};
use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::severity::Severity;
use crate::time::Timestamp;

/// Open or resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyState {
    /// Nobody and nothing closed it.
    Open,
    /// A person or a passing check closed it.
    Resolved,
}

/// Which anomalies to list; `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnomalyFilter {
    /// Open or resolved.
    pub state: Option<AnomalyState>,
    /// Of one kind.
    pub kind: Option<AnomalyKind>,
    /// Of one severity.
    pub severity: Option<Severity>,
    /// Of one agent.
    pub agent: Option<AgentId>,
    /// After this one in the order of the listing.
    pub after: Option<AnomalyId>,
}

/// An anomaly with the names people know.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyRow {
    /// The anomaly.
    pub anomaly: Anomaly,
    /// What people call its agent.
    pub agent_name: String,
    /// The e-mail address of who closed it.
    pub closed_by: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyPage {
    /// Ordered as the auditor's query: worst first, newest first.
    pub rows: Vec<AnomalyRow>,
    /// The last row when there are more after it.
    pub next: Option<AnomalyId>,
}

/// How many anomalies of one kind are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindCount {
    /// The kind.
    pub kind: AnomalyKind,
    /// How many are open.
    pub n_open: u64,
    /// The worst severity among them.
    pub worst: Option<Severity>,
}

/// Reading and closing anomalies.
pub trait AnomalyStore: Send + Sync {
    /// Counts open anomalies per kind, in the order of [`AnomalyKind::ALL`], zeros included.
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>>;

    /// Lists anomalies, at most `n_rows`.
    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, AnomalyPage>;

    /// Closes an anomaly by hand; one that is closed already is returned unchanged.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such anomaly.
    fn resolve(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        by: UserId,
        note: Option<String>,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow>;
}
