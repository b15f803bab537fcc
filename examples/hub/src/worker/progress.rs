//! What the rest of the hub sees of its worker: the cycle that runs, and what cycles did so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use monsys_core::id::TenantId;
use monsys_core::time::Timestamp;

use super::order::Orders;
use super::report::{CycleReport, wide};

/// What the worker shows, and where it is asked for a cycle.
#[derive(Debug, Default)]
pub(crate) struct CycleBoard {
    running: Mutex<Option<Under>>,
    totals: Mutex<Totals>,
    pub(super) orders: Orders,
}

/// The cycle that is under way.
#[derive(Debug)]
struct Under {
    since: Timestamp,
    of_tenant: BTreeMap<TenantId, (u64, u64)>,
}

/// How far a cycle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Its `now`, by the hub's clock.
    pub(crate) since: Timestamp,
    /// Agents that were judged.
    pub(crate) n_judged: u64,
    /// Agents that were active when it began.
    pub(crate) n_agents: u64,
}

/// What the cycles of this hub did since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Cycles in which every agent was judged.
    pub(crate) n_complete: u64,
    /// Cycles that left agents out.
    pub(crate) n_incomplete: u64,
    /// Cycles that another hub took over.
    pub(crate) n_lost: u64,
    /// Cycles that ended because the store failed.
    pub(crate) n_failed: u64,
    /// Agents that were judged.
    pub(crate) n_judged: u64,
    /// Agents that were judged not at all or in part.
    pub(crate) n_failed_agents: u64,
    /// Pages that could not be read or stored.
    pub(crate) n_failed_pages: u64,
    /// Cycles that nobody ran, as far as this hub found out.
    pub(crate) n_missed: u64,
    /// Anomalies that were opened.
    pub(crate) n_opened: u64,
    /// Anomalies that were closed because their check passes.
    pub(crate) n_resolved: u64,
    /// How long all cycles took, in milliseconds of the hub's clock.
    pub(crate) took_ms: u64,
    /// How long the last one took, in milliseconds of the hub's clock.
    pub(crate) last_took_ms: u64,
}

impl CycleBoard {
    /// Shows that a cycle begins.
    pub(super) fn begin(&self, now: Timestamp) -> Running<'_> {
        *lock(&self.running) = Some(Under {
            since: now,
            of_tenant: BTreeMap::new(),
        });
        Running {
            board: self,
            is_ended: false,
        }
    }

    /// How far the cycle is that this hub runs for an organisation; `None` when it runs none.
    pub(crate) fn progress(&self, tenant: TenantId) -> Option<Progress> {
        let running = lock(&self.running);
        let under = running.as_ref()?;
        let (n_judged, n_agents) = under.of_tenant.get(&tenant).copied().unwrap_or_default();
        Some(Progress {
            since: under.since,
            n_judged,
            n_agents,
        })
    }

    /// How far the cycle is that this hub runs, over all organisations.
    pub(crate) fn progress_of_all(&self) -> Option<Progress> {
        let running = lock(&self.running);
        let under = running.as_ref()?;
        let tenants = under.of_tenant.values();
        let (n_judged, n_agents) = tenants.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        Some(Progress {
            since: under.since,
            n_judged,
            n_agents,
        })
    }

    /// What the cycles of this hub did so far.
    pub(crate) fn totals(&self) -> Totals {
        *lock(&self.totals)
    }
}

/// A cycle under way, shown until it is dropped.
pub(super) struct Running<'a> {
    board: &'a CycleBoard,
    is_ended: bool,
}

impl Running<'_> {
    /// Says how many agents of an organisation there are to judge.
    pub(super) fn expect(&self, tenant: TenantId, n_agents: u64) {
        self.change(|under| {
            under.of_tenant.insert(tenant, (0, n_agents));
        });
    }

    /// Says that some more agents of an organisation were judged.
    pub(super) fn judged(&self, tenant: TenantId, n_agents: usize) {
        self.change(|under| under.of_tenant.entry(tenant).or_default().0 += wide(n_agents));
    }

    /// Counts what the cycle did; `None` when the store failed.
    pub(super) fn end(&mut self, report: Option<&CycleReport>) {
        self.is_ended = true;
        lock(&self.board.totals).count(report);
    }

    /// Counts nothing: there was no cycle.
    pub(super) const fn forget(&mut self) {
        self.is_ended = true;
    }

    fn change(&self, change: impl FnOnce(&mut Under)) {
        if let Some(under) = lock(&self.board.running).as_mut() {
            change(under);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Not ended: the cycle broke off, which counts as well.
        if !self.is_ended {
            self.end(None);
        }
        *lock(&self.board.running) = None;
    }
}

impl Totals {
    fn count(&mut self, report: Option<&CycleReport>) {
        let Some(report) = report else {
            self.n_failed += 1;
            return;
        };
        let ended = if report.lost_lease {
            &mut self.n_lost
        } else if report.is_complete() {
            &mut self.n_complete
        } else {
            &mut self.n_incomplete
        };
        *ended += 1;
        self.n_judged += wide(report.evaluated);
        self.n_failed_agents += wide(report.failed_agents);
        self.n_failed_pages += wide(report.failed_pages);
        self.n_missed += wide(report.missed);
        self.n_opened += wide(report.opened);
        self.n_resolved += wide(report.resolved);
        self.took_ms += report.took_ms;
        self.last_took_ms = report.took_ms;
    }
}

/// What stands in there is whole whoever panicked beside it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
