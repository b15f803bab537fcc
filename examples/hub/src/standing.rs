//! The signals that scores, incidents and controls are made of, read from the store.
//!
//! Nothing is judged here: rows go to `monsys_signals` as the store has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::{Source, SubjectId, SubjectType};
use monsys_core::signal::Signal;
use monsys_core::store::{SignalFilter, StoreError, Subject};
use monsys_core::time::Timestamp;
use monsys_signals::{SignalView, agent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// Finds who says anything now: of all signals, because one that is left out is the one that nobody
/// hears of. No row is kept.
///
/// # Errors
/// Those of the store.
pub(crate) async fn sources(
    store: &dyn HubStore,
    tenant: TenantId,
    now: Timestamp,
) -> Result<BTreeSet<Source>, StoreError> {
    let filter = SignalFilter::default();
    let (mut sources, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.current(tenant, &filter, after.as_ref(), PAGE_ROWS, now);
        let page = page.await?;
        for signal in &page.signals {
            if !sources.contains(signal.source()) {
                sources.insert(signal.source().clone());
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(sources);
        }
    }
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

/// Bounds how many requests hold what stands about a whole organisation: each up to a hundred
/// megabytes, so that somebody who only reads could fill the memory of the hub with some dozens.
#[derive(Debug)]
pub(crate) struct WideReads {
    /// One place each, so that an organisation that asks without end does not keep others waiting.
    of_tenant: Mutex<BTreeMap<TenantId, Arc<Semaphore>>>,
    of_all: Arc<Semaphore>,
}

/// A place among the readers; free again when dropped.
#[derive(Debug)]
pub(crate) struct ReadingPlace {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

impl Default for WideReads {
    fn default() -> Self {
        Self {
            of_tenant: Mutex::default(),
            of_all: Arc::new(Semaphore::new(WIDE_READS_MAX)),
        }
    }
}

impl WideReads {
    /// Waits for a place; in the order in which they came, one of each organisation.
    pub(crate) async fn enter(&self, tenant: TenantId) -> ReadingPlace {
        let own = {
            let mut of_tenant = self
                .of_tenant
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let place = of_tenant.entry(tenant);
            Arc::clone(place.or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        // Neither is ever closed. The own one first: who waits for it takes no place from others.
        let of_tenant = own.acquire_owned().await.ok();
        let of_all = Arc::clone(&self.of_all).acquire_owned().await.ok();
        ReadingPlace {
            _of_all: of_all,
            _of_tenant: of_tenant,
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
/// Requests that hold so much at the same time.
const WIDE_READS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn entered(reads: &WideReads, tenant: u8) -> Option<ReadingPlace> {
        let waiting = pin!(reads.enter(TenantId::from_random_bytes([tenant; 16])));
        match waiting.poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(place) => Some(place),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn one_organisation_reads_once_at_a_time_and_two_at_once() {
        let reads = WideReads::default();
        let first = entered(&reads, 1).unwrap();
        assert!(entered(&reads, 1).is_none());
        let _second = entered(&reads, 2).unwrap();
        assert!(entered(&reads, 3).is_none());
        drop(first);
        let _third = entered(&reads, 3).unwrap();
    }
}
