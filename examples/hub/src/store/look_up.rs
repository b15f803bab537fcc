//! Who sent a payload, asked of the store for many payloads at once.
//!
//! What: while one query is under way the next keys queue up, and then share one query; a lone key is
//! asked for at once. What not: a memory of answers; an agent that was revoked is refused from its
//! next payload on. Cost: a query for each group of at most [`GROUP_MAX`] keys; a queue of at most
//! [`WAITING_MAX`] keys, beyond which senders are told to come back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monsys_core::store::{StoreError, StoreFuture};
use tokio::sync::oneshot;

/// Most keys of one query.
const GROUP_MAX: usize = 200;
/// Most keys that wait.
const WAITING_MAX: usize = 4_096;
/// Queries under way at a time.
pub(super) const QUERIES_MAX: usize = 2;

/// The queue before a query that answers for many keys.
pub(super) struct LookUps<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    ask: Box<Ask<K, V>>,
    queue: Mutex<Queue<K, V>>,
}

/// Answers for each key, in their order.
type Ask<K, V> = dyn Fn(Vec<K>) -> StoreFuture<'static, Vec<V>> + Send + Sync;

struct Queue<K, V> {
    waiting: VecDeque<(K, Ticket<V>)>,
    n_under_way: usize,
}

/// Who waits for an answer.
type Ticket<V> = oneshot::Sender<Result<V, StoreError>>;

impl<K, V> Clone for LookUps<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K: Send + 'static, V: Send + 'static> LookUps<K, V> {
    /// Makes an empty queue before a query.
    pub(super) fn new<F>(ask: F) -> Self
    where
        F: Fn(Vec<K>) -> StoreFuture<'static, Vec<V>> + Send + Sync + 'static,
    {
        let queue = Queue {
            waiting: VecDeque::new(),
            n_under_way: 0,
        };
        Self {
            shared: Arc::new(Shared {
                ask: Box::new(ask),
                queue: Mutex::new(queue),
            }),
        }
    }

    /// Finds what belongs to a key.
    ///
    /// # Errors
    /// Those of the query; `Unavailable` too when the queue is full.
    pub(super) async fn find(&self, key: K) -> Result<V, StoreError> {
        let (ticket, answer) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.waiting.len() >= WAITING_MAX {
                return Err(StoreError::Unavailable);
            }
            queue.waiting.push_back((key, ticket));
        }
        self.start();
        answer.await.unwrap_or(Err(StoreError::Unavailable))
    }

    /// Asks for what waits, if a query may.
    fn start(&self) {
        let Some(group) = self.lock().take() else {
            return;
        };
        let look_ups = self.clone();
        tokio::spawn(async move {
            let (keys, tickets): (Vec<K>, Vec<Ticket<V>>) = group.into_iter().unzip();
            // In a task of its own: a panic of the query must not leave its place taken for ever.
            let asked = tokio::spawn((look_ups.shared.ask)(keys)).await;
            look_ups.lock().n_under_way -= 1;
            look_ups.start();
            answer(tickets, asked.unwrap_or(Err(StoreError::Unavailable)));
        });
    }

    fn lock(&self) -> MutexGuard<'_, Queue<K, V>> {
        let queue = self.shared.queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Queue<K, V> {
    fn take(&mut self) -> Option<Vec<(K, Ticket<V>)>> {
        if self.n_under_way >= QUERIES_MAX || self.waiting.is_empty() {
            return None;
        }
        self.n_under_way += 1;
        let n_taken = self.waiting.len().min(GROUP_MAX);
        Some(self.waiting.drain(..n_taken).collect())
    }
}

/// Tells everyone what was found. Whoever went away no longer wants to hear it.
fn answer<V>(tickets: Vec<Ticket<V>>, asked: Result<Vec<V>, StoreError>) {
    match asked {
        Ok(found) if found.len() == tickets.len() => {
            for (ticket, value) in tickets.into_iter().zip(found) {
                let _ = ticket.send(Ok(value));
            }
        }
        outcome => {
            let error = outcome.err().unwrap_or(StoreError::Damaged);
            for ticket in tickets {
                let _ = ticket.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers, as long as it is let; 13 makes it panic, and it knows no number above 1,000.
    fn doubling(gate: &Arc<Semaphore>, n_queries: &Arc<AtomicUsize>) -> LookUps<u32, u32> {
        let (gate, n_queries) = (Arc::clone(gate), Arc::clone(n_queries));
        LookUps::new(move |keys: Vec<u32>| {
            let gate = Arc::clone(&gate);
            n_queries.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                assert!(!keys.contains(&13));
                if keys.iter().any(|key| *key > 1_000) {
                    return Err(StoreError::NotFound);
                }
                Ok(keys.into_iter().map(|key| 2 * key).collect())
            })
        })
    }

    #[tokio::test]
    async fn keys_that_come_together_share_a_query_and_each_gets_its_own_answer() {
        let (gate, n_queries) = (Arc::new(Semaphore::new(0)), Arc::default());
        let look_ups = doubling(&gate, &n_queries);
        let asked: Vec<_> = (100..300)
            .map(|key| {
                let look_ups = look_ups.clone();
                tokio::spawn(async move { (key, look_ups.find(key).await) })
            })
            .collect();
        tokio::task::yield_now().await;
        gate.add_permits(1_000);
        for asked in asked {
            let (key, found) = asked.await.unwrap();
            assert_eq!(found, Ok(2 * key));
        }
        assert!(n_queries.load(Ordering::Relaxed) <= 4, "{n_queries:?}");
        assert_eq!(look_ups.find(1).await, Ok(2), "a lone key");
    }

    #[tokio::test]
    async fn a_query_that_fails_or_panics_is_answered_and_the_next_one_runs() {
        let (gate, n_queries) = (Arc::new(Semaphore::new(1_000)), Arc::default());
        let look_ups = doubling(&gate, &n_queries);
        for _ in 0..2 * QUERIES_MAX {
            assert_eq!(look_ups.find(13).await, Err(StoreError::Unavailable));
            assert_eq!(look_ups.find(1_001).await, Err(StoreError::NotFound));
        }
        assert_eq!(look_ups.find(2).await, Ok(4));
    }

    #[tokio::test]
    async fn beyond_a_full_queue_senders_are_told_to_come_back() {
        let (gate, n_queries) = (Arc::new(Semaphore::new(0)), Arc::default());
        let look_ups = doubling(&gate, &n_queries);
        let ask = |key| {
            let look_ups = look_ups.clone();
            tokio::spawn(async move { look_ups.find(key).await })
        };
        // Two queries hold one key each; the rest waits.
        let asked: Vec<_> = (0..QUERIES_MAX + WAITING_MAX).map(|_| ask(1)).collect();
        while look_ups.lock().waiting.len() < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(look_ups.find(1).await, Err(StoreError::Unavailable));
        gate.add_permits(1_000);
        for asked in asked {
            assert_eq!(asked.await.unwrap(), Ok(2));
        }
        assert_eq!(look_ups.find(1).await, Ok(2));
    }
}
