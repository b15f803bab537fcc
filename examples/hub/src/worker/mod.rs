//! The integrity worker: every ten minutes, one pass over all active agents.
//!
//! It reads a page of facts completely, hands it to the pure crate, and commits the report once.
//! A lease in the store lets one hub run the cycle. A page that fails is counted and skipped.

use std::any::Any;
use std::panic::catch_unwind;
use std::sync::Arc;

use monsys_core::anomaly::Transition;
use monsys_core::facts::AgentFacts;
use monsys_core::id::TenantId;
use monsys_core::limit;
use monsys_core::name::Source;
use monsys_core::store::{CycleCommit, CycleFault, CycleRecord, Retention, StoreError, Swept};
use monsys_core::text;
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::{Config, Cycle, reconcile};
use monsys_signals::Catalog;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::app::App;
use crate::random::random_bytes;
use crate::standing;

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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct CycleReport {
    /// Agents that were judged.
    pub(crate) evaluated: usize,
    /// Transitions that were carried out.
    pub(crate) transitions: usize,
    /// Anomalies that were opened.
    pub(crate) opened: usize,
    /// Anomalies that were closed because their check passes.
    pub(crate) resolved: usize,
    /// Cycles that should have run since the one before and did not.
    pub(crate) missed: usize,
    /// Agents whose evaluation failed.
    pub(crate) failed_agents: usize,
    /// Pages that could not be read or written.
    pub(crate) failed_pages: usize,
    /// Which evaluations failed; the first ones.
    #[serde(skip)]
    pub(crate) faults: Vec<CycleFault>,
}

impl CycleReport {
    fn add(&mut self, other: &Self) {
        self.evaluated += other.evaluated;
        self.transitions += other.transitions;
        self.opened += other.opened;
        self.resolved += other.resolved;
        self.missed = self.missed.max(other.missed);
        self.failed_agents += other.failed_agents;
        self.failed_pages += other.failed_pages;
        self.faults.extend_from_slice(&other.faults);
    }
}

/// Runs cycles until told to stop.
///
/// The first one is due ten minutes after the last one of whichever hub ran it, so that hubs which
/// restart often still judge, and two hubs do not judge twice as often.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = name_unmapped(&app) => {}
        _ = stop.changed() => return,
    }
    let holder = random_bytes::<16>();
    let interval = Span::from_secs(CYCLE_S);
    let mut due = previous_cycle(&app)
        .await
        .unwrap_or_else(|| app.clock.now())
        .saturating_add(interval);
    loop {
        // A clock that is set back must not make the wait longer than a cycle.
        let wait = app
            .clock
            .wall_duration(due.since(app.clock.now()).min(interval));
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.changed() => return,
        }
        let now = app.clock.now();
        let previous = previous_cycle(&app)
            .await
            .filter(|previous| *previous <= now);
        let by_another = previous.map(|previous| previous.saturating_add(interval));
        due = by_another
            .filter(|due| *due > now)
            .unwrap_or_else(|| now.saturating_add(interval));
        if by_another.is_some_and(|due| due > now) {
            continue;
        }
        match cycle(&app, holder, now).await {
            Ok(Some(report)) => tracing::info!(
                evaluated = report.evaluated,
                opened = report.opened,
                failed_agents = report.failed_agents,
                failed_pages = report.failed_pages,
                "integrity cycle finished"
            ),
            Ok(None) => tracing::info!("another hub runs the integrity cycle"),
            Err(error) => tracing::error!(%error, "integrity cycle not run"),
        }
        forget_what_is_old(&app, now).await;
    }
}

/// Says once which sources take nothing from any score because they are in no category: a writer
/// that was never given one looks like one that finds nothing.
async fn name_unmapped(app: &App) {
    let (catalog, now) = (Catalog::standard(), app.clock.now());
    let tenants = app.store.tenants().await.unwrap_or_default();
    for tenant in tenants {
        // A store that does not answer says so elsewhere.
        let Ok(sources) = standing::sources(app.store.as_ref(), tenant, now).await else {
            continue;
        };
        let unmapped = catalog.unmapped(sources.iter().map(Source::as_str));
        if !unmapped.is_empty() {
            tracing::warn!(%tenant, ?unmapped, "sources of no category count in no trust score");
        }
    }
}

/// Removes what is no longer kept; little at a time, because it is done after every cycle.
async fn forget_what_is_old(app: &App, now: Timestamp) {
    match app.store.sweep(Retention::standard(), now).await {
        Ok(swept) if swept == Swept::default() => {}
        Ok(swept) => tracing::info!(
            signals = swept.signals,
            current = swept.current,
            metrics = swept.metrics,
            endpoints = swept.endpoints,
            "removed what is no longer kept"
        ),
        Err(error) => tracing::error!(%error, "what is no longer kept was not removed"),
    }
}

async fn previous_cycle(app: &App) -> Option<Timestamp> {
    let stored = app
        .store
        .meta("previous_cycle")
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "the time of the last integrity cycle was not read");
            None
        });
    stored.and_then(|text| Timestamp::parse_rfc3339(&text).ok())
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
        let mut own = CycleReport {
            missed: missed_cycles(cycle),
            ..CycleReport::default()
        };
        if let Err(error) = judge_tenant(app, tenant, turn, &mut own).await {
            tracing::error!(%tenant, %error, "an organisation was not judged to its end");
            own.failed_pages += 1;
        }
        keep_record(app, tenant, now, &own).await;
        report.add(&own);
    }
    app.store.finish_cycle(holder, now).await?;
    Ok(Some(report))
}

/// Counts the cycles between the one before and this one that nobody ran.
fn missed_cycles(cycle: Cycle) -> usize {
    let since = cycle.previous.map(|previous| cycle.now.since(previous));
    let whole = since.map_or(0, |span| span.millis() / (CYCLE_S * 1_000));
    usize::try_from(whole - 1).unwrap_or(0)
}

/// Keeps how the cycle went, so that a page and an auditor can see that agents are judged at all.
async fn keep_record(app: &App, tenant: TenantId, at: Timestamp, report: &CycleReport) {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let took_ms = app.clock.now().since(at).millis();
    let record = CycleRecord {
        at,
        took_ms: u64::try_from(took_ms).unwrap_or(0),
        n_agents: count(report.evaluated),
        n_opened: count(report.opened),
        n_resolved: count(report.resolved),
        n_missed: count(report.missed),
        n_failed_pages: count(report.failed_pages),
        faults: report.faults.clone(),
    };
    if let Err(error) = app.store.record_cycle(tenant, &record).await {
        tracing::error!(%tenant, %error, "how a cycle went was not kept");
    }
}

fn number(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
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
            Ok(changes) => {
                report.opened += number(changes.n_opened);
                report.resolved += number(changes.n_resolved);
            }
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
const FAULT_CHARS_MAX: usize = 200;
