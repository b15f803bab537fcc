//! The integrity worker: every ten minutes, one pass over all active agents.
//!
//! It reads a page of facts completely, hands it to the pure crate, and commits the report once
//! ([`page`]). A lease in the store lets one hub run the cycle ([`run`]). What cannot be read,
//! judged or stored of one agent is counted and named, and takes nothing from the others; that
//! agents were left out, or that nobody was judged for a while, is a finding of the hub about itself.
//!
//! A loop of its own runs the cycles that are due and those that people ask for ([`order`]), one
//! after the other. Whoever looks sees how far one is ([`progress`]).
//!
//! Cost of a cycle without findings: a read for each page of agents, four small reads and one write
//! for each organisation, two writes for the lease and one more for each 100 s.

mod judge;
mod order;
mod page;
mod progress;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;

use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep};

use self::order::{Order, answer};
use self::run::{LEASE_S, Run};
use self::upkeep::{forget_what_is_old, name_unmapped};
use crate::app::App;
use crate::random::random_bytes;

// The interface of the worker is
pub(crate) use self::order::Asked;
pub(crate) use self::progress::{CycleBoard, Progress, Totals};
pub(crate) use self::report::CycleReport;
pub(crate) use self::run::interval;
pub(crate) use self::upkeep::write_findings;

/// Runs cycles until told to stop: those that are due, and those that are asked for.
///
/// The first one is due ten minutes after the last one of whichever hub ran it, so that hubs which
/// restart often still judge, and two hubs do not judge twice as often.
pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let Some(orders) = app.worker.orders.take() else {
        return;
    };
    tokio::select! {
        () = name_unmapped(&app) => {}
        _ = stop.changed() => return,
    }
    let previous = previous_cycle(&app).await;
    let now = app.clock.now();
    let mut worker = Loop {
        orders,
        holder: random_bytes(),
        due: previous.unwrap_or(now).saturating_add(interval()),
        ended: None,
        under_way: None,
        app,
    };
    loop {
        let now = worker.app.clock.now();
        // A clock that is set back must not make the wait longer than a cycle.
        worker.due = worker.due.min(now.saturating_add(interval()));
        let wait = worker.app.clock.wall_duration(worker.due.since(now));
        // A cycle under way ends where it stands: each of its pages is stored or is not.
        let is_stopped = tokio::select! {
            () = worker.next(wait.min(LOOK)) => false,
            _ = stop.changed() => true,
        };
        if is_stopped {
            worker.give_back_lease().await;
            return;
        }
    }
}

impl CycleBoard {
    /// Asks this hub for a cycle now, and answers as soon as it is known whether there is one.
    ///
    /// # Errors
    /// `Unavailable` when the lease cannot be taken, too many ask, or the hub ends.
    pub(crate) async fn ask(&self) -> Result<Asked, StoreError> {
        self.orders.place().await
    }
}

/// Runs one cycle, unless another hub is running one.
///
/// # Errors
/// When the lease or the list of organisations cannot be read, or the end cannot be stored.
pub(crate) async fn cycle(
    app: &App,
    holder: [u8; 16],
    now: Timestamp,
) -> Result<Option<CycleReport>, StoreError> {
    match Run::begin(app, holder, now).await? {
        Some(begun) => begun.complete().await.map(Some),
        None => Ok(None),
    }
}

/// What the loop keeps from one turn to the next.
struct Loop {
    app: Arc<App>,
    orders: mpsc::Receiver<Order>,
    holder: [u8; 16],
    /// When the next cycle is due, by the hub's clock.
    due: Timestamp,
    /// When the last cycle of this hub ended.
    ended: Option<Instant>,
    /// The cycle that this hub runs, by the one before it.
    under_way: Option<Timestamp>,
}

impl Loop {
    /// Waits, and does what is due or asked for. Not to the end at once: a machine that was asleep
    /// does not count it as waiting.
    async fn next(&mut self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => self.look().await,
            Some(order) = self.orders.recv() => self.obey(order).await,
        }
    }

    /// Lets another hub begin anew the cycle that this one leaves unfinished.
    async fn give_back_lease(&self) {
        let Some(before) = self.under_way else { return };
        if let Err(error) = self.app.store.finish_cycle(self.holder, before).await {
            tracing::warn!(%error, "the lease of the integrity cycle was not given back");
        }
    }

    /// Runs the cycle that is due, unless another hub did.
    async fn look(&mut self) {
        let now = self.app.clock.now();
        if self.due > now {
            return;
        }
        // One of the future was run by a clock that was wrong.
        let previous = previous_cycle(&self.app).await;
        let previous = previous.filter(|previous| *previous <= now);
        let by_another = previous.map(|previous| previous.saturating_add(interval()));
        if let Some(due) = by_another.filter(|due| *due > now) {
            self.due = due;
        } else {
            self.turn(now, None).await;
            forget_what_is_old(&self.app, now).await;
        }
    }

    /// Runs a cycle that somebody asked for, unless one has just ended.
    async fn obey(&mut self, order: Order) {
        if self.ended.is_some_and(|ended| ended.elapsed() < REST) {
            answer(Some(order), Ok(Asked::TooSoon));
        } else {
            self.turn(self.app.clock.now(), Some(order)).await;
        }
    }

    async fn turn(&mut self, now: Timestamp, order: Option<Order>) {
        // Where it cannot run now, it is tried again soon: a hub that was killed in the middle of a
        // cycle leaves a lease behind that holds for some minutes.
        self.due = now.saturating_add(Span::from_secs(LEASE_S / 3));
        let app = Arc::clone(&self.app);
        match Run::begin(&app, self.holder, now).await {
            Ok(Some(begun)) if order.is_none() && begun.is_done() => {
                if let Err(error) = begun.abandon().await {
                    tracing::warn!(%error, "the lease of the integrity cycle was not given back");
                }
            }
            Ok(Some(begun)) => {
                answer(order, Ok(Asked::Started));
                // Without one before, the next is due when this one would have ended.
                self.under_way = Some(begun.before());
                let ended = self.while_answering(begun.complete()).await;
                if ended.is_ok() {
                    self.due = now.saturating_add(interval());
                }
                self.under_way = None;
                self.ended = Some(Instant::now());
                tell(ended);
            }
            Ok(None) => {
                answer(order, Ok(Asked::Elsewhere));
                tracing::info!("another hub runs the integrity cycle");
            }
            Err(error) => {
                tracing::error!(%error, "integrity cycle not run");
                answer(order, Err(error));
            }
        }
    }

    /// Waits for the end of a cycle, and tells whoever asks for one meanwhile that it runs.
    async fn while_answering<T>(&mut self, cycle: impl Future<Output = T>) -> T {
        tokio::pin!(cycle);
        loop {
            tokio::select! {
                ended = &mut cycle => return ended,
                Some(order) = self.orders.recv() => answer(Some(order), Ok(Asked::Running)),
            }
        }
    }
}

fn tell(ended: Result<CycleReport, StoreError>) {
    match ended {
        Ok(report) => tracing::info!(
            evaluated = report.evaluated,
            opened = report.opened,
            resolved = report.resolved,
            missed = report.missed,
            failed_agents = report.failed_agents,
            failed_pages = report.failed_pages,
            lost_lease = report.lost_lease,
            took_ms = report.took_ms,
            "integrity cycle finished"
        ),
        Err(error) => tracing::error!(%error, "integrity cycle not run to its end"),
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

/// How long the loop waits before it looks at the clock again.
const LOOK: Duration = Duration::from_secs(10);
/// How long after a cycle nobody can ask for another one.
const REST: Duration = Duration::from_secs(10);
