//! The signals that scores, incidents and controls are made of, read from the store.
//!
//! Nothing is judged here: rows go to `monsys_signals` as the store has them.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::{SubjectId, SubjectType};
use monsys_core::signal::Signal;
use monsys_core::store::{SignalFilter, StoreError, Subject};
use monsys_core::time::Timestamp;
use monsys_signals::{SignalView, agent};

use crate::store::HubStore;

/// Signals that were read together.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// In the order of their slots, or the newest first where they are history.
    pub(crate) signals: Vec<Signal>,
    /// Whether there is more than was read.
    pub(crate) is_cut: bool,
    /// How many pages were read.
    pub(crate) n_pages: usize,
}

impl Standing {
    /// Takes a page, and tells whether it is the last that is read.
    fn is_complete_with(&mut self, page: Vec<Signal>, has_more: bool) -> bool {
        self.signals.extend(page);
        // Not by signals: slots that had nothing at a past moment are read and do not come.
        self.n_pages += 1;
        self.is_cut = has_more && self.n_pages >= PAGES_MAX;
        !has_more || self.is_cut
    }

    /// The rows as the readers take them.
    pub(crate) fn views(&self) -> Vec<SignalView<'_>> {
        self.signals.iter().map(SignalView::from).collect()
    }
}

/// Reads what stands about an agent now.
///
/// # Errors
/// Those of the store.
pub(crate) async fn of_agent(
    store: &dyn HubStore,
    tenant: TenantId,
    agent: AgentId,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let Some(subject) = subject_of(agent) else {
        return Ok(Standing::default());
    };
    let filter = SignalFilter {
        subject_type: Some(subject.subject_type),
        subject_id: Some(subject.subject_id),
        ..SignalFilter::default()
    };
    current(store, tenant, &filter, now).await
}

/// Reads what stands about all agents now.
///
/// # Errors
/// Those of the store.
pub(crate) async fn of_agents(
    store: &dyn HubStore,
    tenant: TenantId,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let filter = SignalFilter {
        subject_type: SubjectType::parse(agent::SUBJECT_TYPE).ok(),
        ..SignalFilter::default()
    };
    current(store, tenant, &filter, now).await
}

/// Reads what stood about an agent at a past moment.
///
/// # Errors
/// Those of the store.
pub(crate) async fn of_agent_at(
    store: &dyn HubStore,
    tenant: TenantId,
    agent: AgentId,
    at: Timestamp,
) -> Result<Standing, StoreError> {
    let Some(subject) = subject_of(agent) else {
        return Ok(Standing::default());
    };
    let (mut standing, mut after) = (Standing::default(), None);
    loop {
        let page = store.as_of(tenant, &subject, after.as_ref(), PAGE_ROWS, at);
        let page = page.await?;
        after = page.next;
        if standing.is_complete_with(page.signals, after.is_some()) {
            return Ok(standing);
        }
    }
}

/// Reads the history since a moment, the newest first.
///
/// # Errors
/// Those of the store.
pub(crate) async fn history(
    store: &dyn HubStore,
    tenant: TenantId,
    since: Timestamp,
) -> Result<Standing, StoreError> {
    let filter = SignalFilter {
        since: Some(since),
        ..SignalFilter::default()
    };
    let (mut standing, mut after) = (Standing::default(), None);
    loop {
        let page = store.signals(tenant, &filter, after, PAGE_ROWS).await?;
        after = page.next;
        if standing.is_complete_with(page.signals, after.is_some()) {
            return Ok(standing);
        }
    }
}

/// Reads what stands about all subjects now.
///
/// # Errors
/// Those of the store.
pub(crate) async fn of_all(
    store: &dyn HubStore,
    tenant: TenantId,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    current(store, tenant, &SignalFilter::default(), now).await
}

async fn current(
    store: &dyn HubStore,
    tenant: TenantId,
    filter: &SignalFilter,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let (mut standing, mut after) = (Standing::default(), None);
    loop {
        let page = store.current(tenant, filter, after.as_ref(), PAGE_ROWS, now);
        let page = page.await?;
        after = page.next;
        if standing.is_complete_with(page.signals, after.is_some()) {
            return Ok(standing);
        }
    }
}

/// The text of an id is a valid subject, so there always is one.
fn subject_of(agent: AgentId) -> Option<Subject> {
    Some(Subject {
        subject_type: SubjectType::parse(agent::SUBJECT_TYPE).ok()?,
        subject_id: SubjectId::parse(&agent.to_string()).ok()?,
    })
}

/// Rows of one read: long enough that a page of the store costs more than its round trip.
const PAGE_ROWS: u32 = 2_000;
/// Pages that a request reads at most, some 60 MB of them: a subject cannot exhaust the hub.
const PAGES_MAX: usize = 100;
