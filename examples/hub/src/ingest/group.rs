//! Carries payloads to the store in groups: the tasks around a [`Batcher`].
//!
//! Whoever brings a payload starts a batch if a writer is free; the task of a batch that has ended
//! starts the next. So there is no task that waits, nothing to stop, and a lone payload is stored
//! at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use monsys_core::store::{
    Answered, Batch, Batcher, BatcherLimits, IngestBatch, IngestOutcome, IngestStore, StoreError,
};
use tokio::sync::oneshot;

use crate::telemetry::{Histogram, LATENCY_US, SIZES};

/// The queue before the store.
#[derive(Clone)]
pub struct GroupCommit {
    store: Arc<dyn IngestStore>,
    batcher: Arc<Mutex<Batcher<Ticket>>>,
    figures: Arc<GroupFigures>,
}

/// What the queue did so far.
#[derive(Debug)]
pub(crate) struct GroupFigures {
    /// Payloads of each transaction.
    pub(crate) sizes: Histogram,
    /// How long each transaction took, in microseconds, those that failed included.
    pub(crate) took_us: Histogram,
    full: AtomicU64,
}

impl GroupFigures {
    /// Payloads that found the queue full.
    pub(crate) fn n_full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }
}

/// Who waits for the outcome of a payload.
#[derive(Debug)]
struct Ticket(oneshot::Sender<Result<IngestOutcome, StoreError>>);

impl GroupCommit {
    /// Makes an empty queue before a store.
    pub fn new(store: Arc<dyn IngestStore>) -> Self {
        let batcher = Batcher::new(BatcherLimits::standard());
        Self {
            store,
            batcher: Arc::new(Mutex::new(batcher)),
            figures: Arc::new(GroupFigures {
                sizes: Histogram::new(SIZES),
                took_us: Histogram::new(LATENCY_US),
                full: AtomicU64::new(0),
            }),
        }
    }

    /// What the queue did so far.
    pub(crate) fn figures(&self) -> &GroupFigures {
        &self.figures
    }

    /// How many payloads wait for a transaction.
    pub(crate) fn n_waiting(&self) -> usize {
        self.lock().n_waiting()
    }

    /// Whether as many payloads wait as may: another would be turned away, unless room is made
    /// meanwhile. Each time is counted as one that was.
    pub(crate) fn turns_away(&self) -> bool {
        let is_full = self.n_waiting() >= BatcherLimits::standard().n_waiting_max;
        if is_full {
            self.figures.full.fetch_add(1, Ordering::Relaxed);
        }
        is_full
    }

    /// Stores a payload together with others that wait; the future is ready when that is durable.
    ///
    /// A caller that goes away takes nothing back: the payload is stored all the same.
    ///
    /// # Errors
    /// Those of [`IngestStore::commit`]; `Unavailable` too when the queue is full.
    pub async fn commit(&self, payload: IngestBatch) -> Result<IngestOutcome, StoreError> {
        let (ticket, outcome) = oneshot::channel();
        let pushed = self.lock().push(payload, Ticket(ticket));
        pushed.map_err(|_| {
            self.figures.full.fetch_add(1, Ordering::Relaxed);
            StoreError::Unavailable
        })?;
        self.start_batches();
        outcome.await.unwrap_or(Err(StoreError::Unavailable))
    }

    fn start_batches(&self) {
        loop {
            let Some(batch) = self.lock().start() else {
                return;
            };
            let group = self.clone();
            tokio::spawn(async move {
                group.carry(batch).await;
                group.start_batches();
            });
        }
    }

    /// Brings a batch to the store and tells everyone what became of theirs.
    async fn carry(&self, batch: Batch<Ticket>) {
        // In a task of its own: a panic of the store must not leave a writer taken for ever. Those
        // whose payloads were lost with it hear that the store is away.
        let (store, figures) = (Arc::clone(&self.store), Arc::clone(&self.figures));
        let stored = tokio::spawn(async move {
            let since = Instant::now();
            let outcomes = store.commit(batch.payloads()).await;
            figures.took_us.observe_since(since);
            let n_payloads = u64::try_from(batch.payloads().len()).unwrap_or(u64::MAX);
            figures.sizes.observe(n_payloads);
            (batch, outcomes)
        });
        let Ok((batch, outcomes)) = stored.await else {
            self.lock().abandon();
            return;
        };
        let answered = self.lock().finish(batch, outcomes);
        for Answered { ticket, outcome } in answered {
            // Nobody waits any more: the payload is stored all the same.
            let _ = ticket.0.send(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Batcher<Ticket>> {
        self.batcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use monsys_core::id::{AgentId, TenantId};
    use monsys_core::name::AgentVersion;
    use monsys_core::position::{ContentHash, Position};
    use monsys_core::sample::{CpuPercent, MetricSample};
    use monsys_core::store::{
        IngestFinding, NonceOutcome, NonceUse, Payload, SignatureStatus, StoreFuture, VersionSeen,
    };
    use monsys_core::time::Timestamp;
    use tokio::sync::Semaphore;

    use super::*;

    /// Stores nothing until it is let.
    struct Stalled(Arc<Semaphore>);

    impl IngestStore for Stalled {
        fn commit<'a>(&'a self, batches: &'a [IngestBatch]) -> StoreFuture<'a, Vec<IngestOutcome>> {
            let gate = Arc::clone(&self.0);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Ok(batches.iter().map(|_| IngestOutcome::Accepted).collect())
            })
        }

        fn spend_nonce<'a>(&'a self, _: &'a NonceUse) -> StoreFuture<'a, NonceOutcome> {
            Box::pin(async { Err(StoreError::Unavailable) })
        }

        fn record<'a>(&'a self, _: &'a IngestFinding) -> StoreFuture<'a, ()> {
            Box::pin(async { Err(StoreError::Unavailable) })
        }
    }

    fn payload(seq: i64) -> IngestBatch {
        let at = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap();
        let version = AgentVersion::parse("0.1.0").unwrap();
        IngestBatch {
            tenant: TenantId::from_bytes([1; 16]),
            agent: AgentId::from_bytes([2; 16]),
            received_at: at,
            captured_at: at,
            sent_at: at,
            nonce: None,
            position: Position::new(1, seq).unwrap(),
            content: ContentHash([0; 32]),
            signature: SignatureStatus::Verified,
            version: VersionSeen {
                text: version,
                triple: None,
            },
            payload: Payload::Metrics(MetricSample::of_cpu(CpuPercent::new(1.0).unwrap())),
            finding: None,
        }
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_before_anything_is_verified_and_takes_on_again() {
        let gate = Arc::new(Semaphore::new(0));
        let group = GroupCommit::new(Arc::new(Stalled(Arc::clone(&gate))));
        assert!(!group.turns_away());
        let limits = BatcherLimits::standard();
        // Each writer holds one payload: it started when that was the only one.
        let n_payloads = limits.n_writers + limits.n_waiting_max;
        let waiting: Vec<_> = (1..=n_payloads)
            .map(|seq| {
                let (group, payload) = (group.clone(), payload(i64::try_from(seq).unwrap()));
                tokio::spawn(async move { group.commit(payload).await })
            })
            .collect();
        while group.n_waiting() < limits.n_waiting_max {
            tokio::task::yield_now().await;
        }
        assert!(group.turns_away());
        let one_more = group.commit(payload(9_999)).await;
        assert_eq!(one_more, Err(StoreError::Unavailable));
        assert_eq!(group.figures().n_full(), 2);
        gate.add_permits(n_payloads);
        for outcome in waiting {
            assert_eq!(outcome.await.unwrap(), Ok(IngestOutcome::Accepted));
        }
        assert!(!group.turns_away());
    }
}
