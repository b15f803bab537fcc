//! Many payloads in one transaction, decided without a database.
//!
//! What: a queue of payloads, cut into batches for a few writers, and what becomes of each payload
//! when a batch ends. While one batch is committed the next one fills, so nobody waits on purpose:
//! a linger was measured to halve the throughput of a busy store. A batch that the store refuses
//! is halved until the payload that it refuses stands alone; its neighbours are stored. What not:
//! tasks, sockets, clocks; a caller carries batches to [`IngestStore::commit`] and brings back what
//! it answered.
//!
//! An acknowledgement means durable: a payload is answered by [`Batcher::finish`] only, after the
//! transaction that holds it has ended.
//!
//! Cost: a queue of at most [`BatcherLimits::n_waiting_max`] payloads, and those under way; a
//! refused payload among n costs at most 2 log2 n further transactions.
//!
//! ```
//! use monsys_core::store::{Batcher, BatcherLimits, IngestBatch, IngestOutcome};
//!
//! # fn run(payload: IngestBatch) {
//! let mut batcher = Batcher::new(BatcherLimits::standard());
//! assert!(batcher.push(payload, "ticket").is_ok());
//! let Some(batch) = batcher.start() else { return };
//! // store.commit(batch.payloads()).await
//! let outcomes = batch.payloads().iter().map(|_| IngestOutcome::Accepted).collect();
//! for answered in batcher.finish(batch, Ok(outcomes)) {
//!     assert_eq!(answered.outcome, Ok(IngestOutcome::Accepted));
//! }
//! # }
//! ```

use alloc::collections::VecDeque;
use alloc::vec::Vec;

#[cfg(doc)]
use super::IngestStore;
use super::{IngestBatch, IngestOutcome, StoreError};

/// How much a [`Batcher`] takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatcherLimits {
    /// Batches under way at a time, at least 1.
    pub n_writers: usize,
    /// Most payloads of a batch, at least 1.
    pub n_payloads_max: usize,
    /// Most payloads that wait; beyond it senders are told to come back.
    pub n_waiting_max: usize,
}

/// The queue before a store that commits payloads in groups; `T` tells whose a payload is.
#[derive(Debug)]
pub struct Batcher<T> {
    limits: BatcherLimits,
    waiting: VecDeque<Waiting<T>>,
    /// Parts of refused batches, which go before all that waits.
    halves: Vec<Batch<T>>,
    n_under_way: usize,
}

/// A payload is not taken, because as many wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many payloads wait: expected the store to be faster, or fewer senders")]
pub struct Busy;

#[derive(Debug)]
struct Waiting<T> {
    payload: IngestBatch,
    ticket: T,
}

/// Payloads for one transaction. It must come back to [`Batcher::finish`], whatever became of
/// it; where it cannot, [`Batcher::abandon`] says so.
#[derive(Debug)]
#[must_use = "its payloads are answered when it comes back to Batcher::finish"]
pub struct Batch<T> {
    payloads: Vec<IngestBatch>,
    tickets: Vec<T>,
}

/// What became of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<T> {
    /// Whose it is.
    pub ticket: T,
    /// What the store answered.
    pub outcome: Result<IngestOutcome, StoreError>,
}

impl BatcherLimits {
    /// Two writers with batches of 200 and a queue of 1,024: the best of those measured on
    /// PostgreSQL, where a third writer gained nothing and larger batches cost latency.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            n_writers: 2,
            n_payloads_max: 200,
            n_waiting_max: 1_024,
        }
    }
}

impl<T> Batcher<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new(limits: BatcherLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            halves: Vec::new(),
            n_under_way: 0,
        }
    }

    /// Takes a payload.
    ///
    /// # Errors
    /// [`Busy`], and the payload is dropped with its ticket: nothing of it is stored.
    pub fn push(&mut self, payload: IngestBatch, ticket: T) -> Result<(), Busy> {
        if self.waiting.len() >= self.limits.n_waiting_max {
            return Err(Busy);
        }
        self.waiting.push_back(Waiting { payload, ticket });
        Ok(())
    }

    /// The next batch, if a writer is free and something waits.
    ///
    /// Payloads are taken in the order of arrival and stand by tenant and agent in the batch: so
    /// all writers lock the rows of agents in one order, and a tenant is set once.
    pub fn start(&mut self) -> Option<Batch<T>> {
        if self.n_under_way >= self.limits.n_writers.max(1) {
            return None;
        }
        let batch = match self.halves.pop() {
            Some(half) => half,
            None => self.take_waiting()?,
        };
        self.n_under_way += 1;
        Some(batch)
    }

    /// Ends a batch: the answers of those payloads that are decided.
    ///
    /// `outcomes` is what [`IngestStore::commit`] answered for [`Batch::payloads`]. A refusal of
    /// more than one payload is nobody's answer yet; its halves are the next batches. When the
    /// store is unavailable all hear it: nothing is retried here, because the senders will.
    pub fn finish(
        &mut self,
        batch: Batch<T>,
        outcomes: Result<Vec<IngestOutcome>, StoreError>,
    ) -> Vec<Answered<T>> {
        self.n_under_way = self.n_under_way.saturating_sub(1);
        match outcomes {
            Ok(outcomes) => batch.answered(outcomes),
            Err(error) if batch.tickets.len() > 1 && is_about_a_payload(&error) => {
                self.halves.extend(batch.halves());
                Vec::new()
            }
            Err(error) => batch.failed(&error),
        }
    }

    /// Frees the writer of a batch that was lost with the task which carried it. What became of its
    /// payloads is unknown; they come again under their positions.
    pub fn abandon(&mut self) {
        self.n_under_way = self.n_under_way.saturating_sub(1);
    }

    /// How many payloads wait, those of halved batches included.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        let halved: usize = self.halves.iter().map(|half| half.tickets.len()).sum();
        self.waiting.len() + halved
    }

    /// Whether nothing waits and nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.n_under_way == 0 && self.n_waiting() == 0
    }

    fn take_waiting(&mut self) -> Option<Batch<T>> {
        let n_taken = self.waiting.len().min(self.limits.n_payloads_max.max(1));
        let mut taken: Vec<Waiting<T>> = self.waiting.drain(..n_taken).collect();
        // Stable: payloads of one agent keep the order in which they came.
        taken.sort_by_key(|waiting| (waiting.payload.tenant, waiting.payload.agent));
        let (payloads, tickets) = taken
            .into_iter()
            .map(|waiting| (waiting.payload, waiting.ticket))
            .unzip();
        (n_taken > 0).then_some(Batch { payloads, tickets })
    }
}

impl<T> Batch<T> {
    /// What to commit, by tenant and agent.
    #[must_use]
    pub fn payloads(&self) -> &[IngestBatch] {
        &self.payloads
    }

    fn answered(self, outcomes: Vec<IngestOutcome>) -> Vec<Answered<T>> {
        if outcomes.len() != self.tickets.len() {
            // A store that answers for other payloads than it was given says nothing of ours.
            return self.failed(&StoreError::Unavailable);
        }
        let answered = self.tickets.into_iter().zip(outcomes);
        answered
            .map(|(ticket, outcome)| Answered {
                ticket,
                outcome: Ok(outcome),
            })
            .collect()
    }

    fn failed(self, error: &StoreError) -> Vec<Answered<T>> {
        let tickets = self.tickets.into_iter();
        tickets
            .map(|ticket| Answered {
                ticket,
                outcome: Err(error.clone()),
            })
            .collect()
    }

    /// The second half comes first: halves are taken from the end.
    fn halves(mut self) -> [Self; 2] {
        let middle = self.tickets.len() / 2;
        let second = Self {
            payloads: self.payloads.split_off(middle),
            tickets: self.tickets.split_off(middle),
        };
        [second, self]
    }
}

/// Whether the store refused something that it was given; false where it could not even try.
fn is_about_a_payload(error: &StoreError) -> bool {
    match error {
        StoreError::Refused { .. }
        | StoreError::Outdated
        | StoreError::NotFound
        | StoreError::AlreadyExists
        | StoreError::Damaged => true,
        StoreError::Unavailable => false,
    }
}

#[cfg(test)]
mod tests;
