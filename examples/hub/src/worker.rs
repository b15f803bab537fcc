//! The integrity worker: every ten minutes, one pass over all active agents.
//!
//! It reads a page of facts completely, hands it to the pure crate, and commits the report once.
//! A lease in the store lets one hub run the cycle. A page that fails is counted and skipped.

use std::panic::catch_unwind;
use std::sync::Arc;

use monsys_core::anomaly::Transition;
use monsys_core::facts::AgentFacts;
use monsys_core::id::TenantId;
use monsys_core::limit;
use monsys_core::store::{CycleCommit, CycleStore, StoreError};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::{Config, Cycle, reconcile};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::app::App;
use crate::random::random_bytes;

/// Seconds of the hub's clock between two cycles (integrity document).
pub(crate) const CYCLE_S: i64 = 600;
/// How long a lease holds without being renewed, in seconds of the hub's clock.
const LEASE_S: i64 = 300;

/// Who runs a cycle, and when.
#[derive(Clone, Copy)]
struct Turn {
    holder: [u8; 16],
    cycle: Cycle,
}

/// What a cycle did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CycleReport {
    /// Agents that were judged.
    pub(crate) evaluated: usize,
    /// Transitions that were carried out.
    pub(crate) transitions: usize,
    /// Anomalies that were opened.
    pub(crate) opened: usize,
    /// Agents whose evaluation failed.
    pub(crate) failed_agents: usize,
    /// Pages that could not be read or written.
    pub(crate) failed_pages: usize,
}

/// Runs cycles until told to stop.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let holder = random_bytes::<16>();
    let mut next = app.clock.now().saturating_add(Span::from_secs(CYCLE_S));
    loop {
        let wait = app.clock.wall_duration(next.since(app.clock.now()));
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.changed() => return,
        }
        next = next
            .saturating_add(Span::from_secs(CYCLE_S))
            .max(app.clock.now());
        match cycle(&app, holder, app.clock.now()).await {
            Ok(Some(report)) => tracing::info!(
                evaluated = report.evaluated,
                opened = report.opened,
                failed_agents = report.failed_agents,
                failed_pages = report.failed_pages,
                "integrity cycle finished"
            ),
            Ok(None) => tracing::debug!("another hub runs the integrity cycle"),
            Err(error) => tracing::error!(%error, "integrity cycle not run"),
        }
    }
}

/// Writes waiting findings every second until told to stop.
pub(crate) async fn write_findings(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => app.write_due_findings().await,
            _ = stop.changed() => return,
        }
    }
}

/// Runs one cycle, unless another hub is running one.
///
/// # Errors
/// When the lease or the list of organisations cannot be read.
pub(crate) async fn cycle(
    app: &App,
    holder: [u8; 16],
    now: Timestamp,
) -> Result<Option<CycleReport>, StoreError> {
    let ttl = Span::from_secs(LEASE_S);
    let Some(lease) = app.store.take_lease(holder, now, ttl).await? else {
        return Ok(None);
    };
    let cycle = Cycle {
        previous: lease.previous_cycle,
        now,
    };
    let mut report = CycleReport::default();
    for tenant in app.store.tenants().await? {
        let turn = Turn { holder, cycle };
        if let Err(error) = judge_tenant(app, tenant, turn, &mut report).await {
            tracing::error!(%tenant, %error, "an organisation was not judged to its end");
            report.failed_pages += 1;
        }
    }
    app.store.finish_cycle(holder, now).await?;
    Ok(Some(report))
}

async fn judge_tenant(
    app: &App,
    tenant: TenantId,
    turn: Turn,
    report: &mut CycleReport,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        // A long cycle keeps its lease; one that lost it leaves the rest to its new holder.
        let ttl = Span::from_secs(LEASE_S);
        if app
            .store
            .take_lease(turn.holder, app.clock.now(), ttl)
            .await?
            .is_none()
        {
            return Err(StoreError::Unavailable);
        }
        let now = turn.cycle.now;
        let page = app
            .store
            .facts(tenant, after, limit::CYCLE_PAGE_AGENTS, now)
            .await?;
        let transitions = judge_page(&page.agents, turn.cycle, report);
        report.transitions += transitions.len();
        let commit = CycleCommit {
            tenant,
            at: now,
            transitions,
        };
        match app.store.commit_cycle(&commit).await {
            Ok(opened) => report.opened += opened,
            Err(error) => {
                tracing::error!(%tenant, %error, "a page of verdicts was not stored");
                report.failed_pages += 1;
            }
        }
        let Some(next) = page.next else { return Ok(()) };
        after = Some(next);
    }
}

/// Judges agent by agent, so that one whose evaluation fails is counted and hides nobody else.
fn judge_page(page: &[AgentFacts], cycle: Cycle, report: &mut CycleReport) -> Vec<Transition> {
    let config = Config::standard();
    let mut transitions = Vec::new();
    for facts in page {
        let judged = catch_unwind(|| reconcile(std::slice::from_ref(facts), &config, cycle));
        match judged {
            Ok(judged) => {
                report.evaluated += 1;
                transitions.extend(judged.transitions);
            }
            Err(_) => {
                tracing::error!(agent = %facts.agent, "the evaluation of an agent failed");
                report.failed_agents += 1;
            }
        }
    }
    transitions
}
