//! Anomalies as people read and close them.

use alloc::string::String;
use alloc::vec::Vec;

use super::StoreFuture;
use crate::anomaly::{Action, Anomaly, AnomalyKind};
use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::ledger::{LedgerEntry, LedgerHead};
use crate::limit;
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
    /// How often an anomaly of this agent and kind opened or closed in the 24 h before the reading.
    pub n_changes: u32,
}

/// What an anomaly is called at a moment; derived, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Closed.
    Resolved,
    /// Open, and a person does not want to hear of it yet.
    Snoozed,
    /// Open, and a person has seen it.
    Acknowledged,
    /// Open, and the same was opened and closed several times lately.
    Flapping,
    /// Open again after it had been closed.
    Regressed,
    /// Open, and nothing more is known.
    Open,
}

impl Label {
    /// Returns the word used in JSON and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Snoozed => "snoozed",
            Self::Acknowledged => "acknowledged",
            Self::Flapping => "flapping",
            Self::Regressed => "regressed",
            Self::Open => "open",
        }
    }
}

impl AnomalyRow {
    /// Tells what the anomaly is called at `now`: what a person did goes before what it did itself.
    pub fn label(&self, now: Timestamp) -> Label {
        let anomaly = &self.anomaly;
        let is_acknowledged = |until: Option<Timestamp>| until.is_none_or(|until| now < until);
        if !anomaly.is_open() {
            Label::Resolved
        } else if anomaly.snoozed.as_ref().is_some_and(|s| now < s.until) {
            Label::Snoozed
        } else if anomaly
            .acknowledged
            .as_ref()
            .is_some_and(|a| is_acknowledged(a.until))
        {
            Label::Acknowledged
        } else if self.n_changes >= limit::FLAPPING_CHANGES_MIN {
            Label::Flapping
        } else if anomaly.previous.is_some() {
            Label::Regressed
        } else {
            Label::Open
        }
    }
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

/// Reading anomalies and their ledger, and what people do with them.
pub trait AnomalyStore: Send + Sync {
    /// Counts open anomalies per kind: the documented kinds in their order, zeros included, then
    /// each other kind of which one is open.
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>>;

    /// Lists anomalies, at most `n_rows`; `now` is the end of the 24 h of
    /// [`AnomalyRow::n_changes`].
    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyPage>;

    /// Reads one anomaly.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such anomaly.
    fn anomaly(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow>;

    /// Does what a person wants with at most [`limit::ACTION_ANOMALIES_MAX`] anomalies, in one
    /// transaction, and answers the rows in the order of `ids` as they are then. One that is closed
    /// already stays as it is. What changes leaves its entries in the ledger; what closes is
    /// superseded as a signal.
    ///
    /// # Errors
    /// `NotFound` when the tenant has not all of them; nothing was changed then.
    fn act<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [AnomalyId],
        by: UserId,
        action: &'a Action,
        now: Timestamp,
    ) -> StoreFuture<'a, Vec<AnomalyRow>>;

    /// Reads entries of the ledger in order: those after `after`, of one anomaly or of all, at most
    /// `n_rows`.
    fn ledger(
        &self,
        tenant: TenantId,
        anomaly: Option<AnomalyId>,
        after: u64,
        n_rows: u32,
    ) -> StoreFuture<'_, Vec<LedgerEntry>>;

    /// Reads where the ledger ends; `LedgerHead::EMPTY` before its first entry. Cheap: pages ask
    /// every second whether anything happened.
    fn ledger_head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead>;
}
