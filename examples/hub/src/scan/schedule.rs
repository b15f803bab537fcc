//! When the running hub looks: each target once in an interval, whichever hub does it.
//!
//! The table of signals is the memory: a target is due when its last signal is an interval old. So
//! a hub that restarts does not look again, a look by hand counts, and of two hubs on one database
//! the second one sees that the first has looked. Each waits a random while beyond the due time,
//! so that two seldom look at the same moment; when they do, the endpoint is greeted twice and the
//! history has each signal twice, and nothing else changes.

use std::sync::Arc;

use monsys_core::name::{Source, SubjectId, SubjectType};
use monsys_core::store::{SignalFilter, StoreError};
use monsys_core::time::{Span, Timestamp};
use monsys_signals::scan::cert::{Observation, SOURCE, SUBJECT_TYPE};
use tokio::sync::watch;
use tokio::time::sleep;

use super::round::{Look, Scanner, Watched, scan};
use crate::app::App;
use crate::random::random_bytes;

/// A target and when to look at it.
struct Plan {
    watched: Watched,
    due: Timestamp,
}

/// Looks at the targets until told to stop.
pub(crate) async fn watch(app: Arc<App>, watched: Vec<Watched>, mut stop: watch::Receiver<bool>) {
    if watched.is_empty() {
        return;
    }
    let scanner = Scanner::new(&app.config.scan);
    let interval = app.config.scan.interval;
    let due = Timestamp::MIN;
    let plan = |watched| Plan { watched, due };
    let mut plans: Vec<Plan> = watched.into_iter().map(plan).collect();
    loop {
        tokio::select! {
            () = look_at_due(&app, &scanner, &mut plans) => {}
            _ = stop.changed() => return,
        }
        let now = app.clock.now();
        let next = plans.iter().map(|plan| plan.due).min().unwrap_or(now);
        // A clock that is set back must not make the wait longer than an interval.
        let wait = next.since(now).min(interval);
        let wait = Span::from_micros(wait.micros() + random_delay(interval).micros());
        tokio::select! {
            () = sleep(app.clock.wall_duration(wait)) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Looks at what is due and sets when each is due next.
async fn look_at_due(app: &App, scanner: &Arc<Scanner>, plans: &mut [Plan]) {
    let now = app.clock.now();
    let interval = app.config.scan.interval;
    let soon = now.saturating_add(RETRY);
    let mut round = Vec::new();
    for (index, plan) in plans.iter_mut().enumerate() {
        if plan.due > now && plan.due.since(now).micros() <= interval.micros() {
            continue;
        }
        plan.due = match last_look(app, &plan.watched).await {
            Ok(last) => {
                let next = last.map(|last| last.saturating_add(interval));
                next.filter(|next| *next > now).unwrap_or_else(|| {
                    round.push((index, plan.watched.clone()));
                    soon
                })
            }
            Err(error) => {
                tracing::error!(%error, "when a certificate was looked at last was not read");
                soon
            }
        };
    }
    let n_due = round.len();
    let n_fresh = plans.len() - n_due;
    let (mut n_findings, mut n_unseen) = (0, 0);
    let done = |look: Look| {
        n_unseen += usize::from(matches!(look.observation, Observation::Unseen(_)));
        n_findings += look.drafts.iter().filter(|d| d.severity.is_some()).count();
        let (endpoint, stored) = (&look.watched.target.endpoint, look.stored);
        match (stored, plans.get_mut(look.index)) {
            (Ok(()), Some(plan)) => plan.due = app.clock.now().saturating_add(interval),
            (Ok(()), None) => {}
            (Err(error), _) => tracing::error!(%endpoint, %error, "a certificate was not noted"),
        }
    };
    scan(scanner, &*app.store, &app.clock, round, done).await;
    tracing::info!(
        looked = n_due,
        fresh = n_fresh,
        findings = n_findings,
        unseen = n_unseen,
        "certificate scan finished"
    );
}

/// When a target was looked at last, by any hub or by hand.
async fn last_look(app: &App, watched: &Watched) -> Result<Option<Timestamp>, StoreError> {
    let filter = SignalFilter {
        subject_type: SubjectType::parse(SUBJECT_TYPE).ok(),
        subject_id: SubjectId::parse(&watched.target.endpoint.to_string()).ok(),
        source: Source::parse(SOURCE).ok(),
        ..SignalFilter::default()
    };
    let page = app.store.signals(watched.tenant, &filter, None, 1).await?;
    let now = app.clock.now();
    let newest = page.signals.first().map(|signal| signal.observed_at());
    // One from the future was stamped by a clock that was wrong.
    Ok(newest.filter(|newest| *newest <= now))
}

/// At most a twentieth of an interval, and half a minute.
fn random_delay(interval: Span) -> Span {
    let most = (interval.micros() / 20).min(30_000_000);
    let dice = i64::from(u32::from_le_bytes(random_bytes()));
    Span::from_micros(most * dice / i64::from(u32::MAX))
}

/// How long a target waits after a look that was not stored.
const RETRY: Span = Span::from_secs(60);
