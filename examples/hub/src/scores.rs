//! The trust scores of all agents of an organisation: who is worst, and how the fleet stands.
//!
//! What: signals are read page by page and scored as they come, off the threads that serve, so that
//! memory does not grow with the signals. What not: what a signal weighs, which `monsys_signals`
//! knows. Cost: one row read for each live signal of an agent.
//!
//! # How old a board may be
//! An organisation of few signals and agents ([`KEPT_FROM_ROWS`]) is always read anew. A larger one
//! shares a board among the requests of [`KEPT`]: it is judged by the moment before it was read, so
//! that what an answer shows was never older than that when the request came. The answer says as of
//! when it is. One board of an organisation is made at a time; who comes meanwhile waits for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::SubjectType;
use monsys_core::signal::Signal;
use monsys_core::store::{SignalFilter, StoreError};
use monsys_core::time::Timestamp;
use monsys_signals::trust::{self, FleetTrust, TrustScore};
use monsys_signals::{Catalog, MilliPoints, SignalView, agent};

use crate::app::App;
use crate::store::{AgentName, FleetFilter, HubStore};

/// One agent and its score.
#[derive(Debug, Clone)]
pub(crate) struct Scored {
    /// Its identifier.
    pub(crate) agent: AgentId,
    /// What people call it.
    pub(crate) name: String,
    /// Whether it was revoked; such agents are scored, and are no part of the fleet.
    pub(crate) is_revoked: bool,
    /// Its score and what each category takes from it.
    pub(crate) trust: TrustScore,
}

impl Scored {
    /// 100 points minus its score.
    pub(crate) fn risk(&self) -> MilliPoints {
        MilliPoints::FULL - self.trust.score()
    }
}

/// The scores of an organisation at a moment.
#[derive(Debug)]
pub(crate) struct ScoreBoard {
    /// As of when it is.
    pub(crate) at: Timestamp,
    /// The riskiest first, by falling risk and then by name.
    rows: Vec<Scored>,
    places: BTreeMap<AgentId, usize>,
    /// All agents together that are not revoked.
    pub(crate) fleet: FleetTrust,
    /// Sources that were seen and are in no category.
    pub(crate) unmapped: Vec<String>,
    /// Whether there are more signals than were read.
    pub(crate) is_cut: bool,
    n_signals: usize,
}

impl ScoreBoard {
    /// The riskiest agents that are not revoked, by falling risk and then by name.
    pub(crate) fn riskiest(&self) -> impl Iterator<Item = &Scored> {
        self.rows.iter().filter(|row| !row.is_revoked)
    }

    /// The score of an agent, revoked or not; `None` for one that was not there yet.
    pub(crate) fn of(&self, agent: AgentId) -> Option<&Scored> {
        self.rows.get(*self.places.get(&agent)?)
    }

    fn new(
        at: Timestamp,
        names: Vec<AgentName>,
        scores: &BTreeMap<AgentId, TrustScore>,
        reading: Reading,
    ) -> Self {
        let scored = |AgentName {
                          agent,
                          name,
                          is_revoked,
                      }| Scored {
            agent,
            name,
            is_revoked,
            trust: scores
                .get(&agent)
                .copied()
                .unwrap_or_else(TrustScore::unobserved),
        };
        let mut rows: Vec<_> = names.into_iter().map(scored).collect();
        // The names come in order, and a stable sort keeps it among equal risks.
        rows.sort_by_key(|row| Reverse(row.risk()));
        let mut fleet = FleetTrust::new();
        for row in rows.iter().filter(|row| !row.is_revoked) {
            fleet.add(&row.trust);
        }
        let places = rows.iter().enumerate();
        Self {
            at,
            places: places.map(|(place, row)| (row.agent, place)).collect(),
            rows,
            fleet,
            unmapped: reading.unmapped.into_iter().collect(),
            is_cut: reading.is_cut,
            n_signals: reading.n_signals,
        }
    }

    fn is_worth_keeping(&self) -> bool {
        self.rows.len() + self.n_signals >= KEPT_FROM_ROWS
    }
}

/// The boards that requests share.
#[derive(Debug, Default)]
pub(crate) struct ScoreBoards {
    kept: Mutex<BTreeMap<TenantId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    since: Instant,
    board: Arc<ScoreBoard>,
}

impl ScoreBoards {
    fn find(&self, tenant: TenantId) -> Option<Arc<ScoreBoard>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.get(&tenant)?;
        (found.since.elapsed() < KEPT).then(|| Arc::clone(&found.board))
    }

    fn keep(&self, tenant: TenantId, since: Instant, board: &Arc<ScoreBoard>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Also what is over: a board of an organisation that nobody asks for goes with the next.
        kept.retain(|_, found| found.since.elapsed() < KEPT);
        if board.is_worth_keeping() {
            let board = Arc::clone(board);
            kept.insert(tenant, Kept { since, board });
        }
    }
}

/// Returns the board of an organisation, made now or at most [`KEPT`] ago.
///
/// # Errors
/// Those of the store.
pub(crate) async fn board(
    app: &App,
    tenant: TenantId,
    now: Timestamp,
) -> Result<Arc<ScoreBoard>, StoreError> {
    if let Some(found) = app.scores.find(tenant) {
        return Ok(found);
    }
    let _place = app.wide_reads.enter(tenant).await;
    // Whoever had the place before may have made it.
    if let Some(found) = app.scores.find(tenant) {
        return Ok(found);
    }
    let since = Instant::now();
    let board = Arc::new(make(app.store.as_ref(), tenant, now).await?);
    app.scores.keep(tenant, since, &board);
    Ok(board)
}

async fn make(
    store: &dyn HubStore,
    tenant: TenantId,
    now: Timestamp,
) -> Result<ScoreBoard, StoreError> {
    let filter = SignalFilter {
        subject_type: SubjectType::parse(agent::SUBJECT_TYPE).ok(),
        ..SignalFilter::default()
    };
    let (mut scores, mut reading) = (BTreeMap::new(), Reading::default());
    let (mut after, mut n_pages) = (None, 0);
    loop {
        let page = store.current(tenant, &filter, after.as_ref(), PAGE_ROWS, now);
        let page = page.await?;
        after = page.next;
        n_pages += 1;
        reading.is_cut = after.is_some() && n_pages >= PAGES_MAX;
        reading.n_signals += page.signals.len();
        reading.rest.extend(page.signals);
        let is_last = after.is_none() || reading.is_cut;
        let whole = reading.take_whole_subjects(is_last);
        let scored = tokio::task::spawn_blocking(move || score(&whole, now));
        // A panic there was reported by the runtime.
        let (found, unmapped) = scored.await.map_err(|_| StoreError::Unavailable)?;
        scores.extend(found);
        reading.unmapped.extend(unmapped);
        if is_last {
            break;
        }
    }
    let names = store.fleet_names(tenant, &FleetFilter::all(now)).await?;
    Ok(ScoreBoard::new(now, names, &scores, reading))
}

/// What was read so far and is not scored yet, and what is known of the rest.
#[derive(Debug, Default)]
struct Reading {
    rest: Vec<Signal>,
    unmapped: BTreeSet<String>,
    is_cut: bool,
    n_signals: usize,
}

impl Reading {
    /// Takes the signals of all subjects but the last, of which the next page may hold more. They
    /// come in the order of their subjects.
    fn take_whole_subjects(&mut self, is_last_page: bool) -> Vec<Signal> {
        let mut whole = std::mem::take(&mut self.rest);
        if !is_last_page && let Some(last) = whole.last() {
            let subject = last.subject_id().clone();
            let end = whole.partition_point(|signal| *signal.subject_id() < subject);
            self.rest = whole.split_off(end);
        }
        whole
    }
}

type Found = (Vec<(AgentId, TrustScore)>, BTreeSet<String>);

fn score(signals: &[Signal], now: Timestamp) -> Found {
    let views: Vec<_> = signals.iter().map(SignalView::from).collect();
    let (catalog, mut scratch) = (Catalog::standard(), trust::Scratch::new());
    let unmapped = catalog.unmapped(views.iter().map(|view| view.source));
    let unmapped = unmapped.into_iter().map(str::to_owned).collect();
    let scores = trust::scores(&views, &catalog, &mut scratch, now);
    let of_agents = scores
        .filter_map(|(subject, trust)| Some((AgentId::parse(subject.subject_id).ok()?, trust)));
    (of_agents.collect(), unmapped)
}

/// How long requests share a board of a large organisation.
pub(crate) const KEPT: Duration = Duration::from_secs(3);
/// From how many signals and agents on a board is shared: what one read of the store gives is read
/// anew for every request.
const KEPT_FROM_ROWS: usize = 2_000;
/// Signals of one read.
const PAGE_ROWS: u32 = 2_000;
/// Reads of one board at most: a million signals.
const PAGES_MAX: usize = 500;
