//! The one thread that writes, and its group commit.
//!
//! While one commit waits for the disk, the next changes queue up and then share one transaction.
//! Each runs in a savepoint, so a change that fails takes nothing of its neighbours with it. When
//! the commit itself fails, every change of the group is answered "unavailable" and nothing of it
//! is stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use monsys_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::column::store_error;
use super::migrate::OpenError;
use super::rings::{MetricChange, Rings};

/// Most changes that wait; beyond it callers are told to come back later.
const QUEUE_MAX: usize = 1_024;
/// Most changes of one transaction.
const GROUP_MAX: usize = 256;

/// A handle on the writing thread.
#[derive(Clone)]
pub(super) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Change>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A change that runs in a transaction and learns how the transaction ended.
trait Change: Send {
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// What it changed of metrics.
    fn take_metrics(&mut self) -> Vec<MetricChange>;
    fn finish(self: Box<Self>, is_committed: bool);
}

struct Task<T, F> {
    work: Option<F>,
    answer: Result<T, StoreError>,
    metrics: Vec<MetricChange>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, rings: Arc<Rings>) -> Result<Self, OpenError> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_groups(&connection, &rings, receiver))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(Some(sender)),
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    pub(super) fn run<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Vec<MetricChange>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task {
            work: Some(work),
            answer: Err(StoreError::Unavailable),
            metrics: Vec::new(),
            reply,
        };
        let queue = self
            .shared
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sent = queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(Box::new(task)).is_ok());
        drop(queue);
        async move {
            if !sent {
                return Err(StoreError::Unavailable);
            }
            answer.await.unwrap_or(Err(StoreError::Unavailable))
        }
    }

    /// Lets the queue run empty and waits for the thread to end.
    pub(super) fn close(&self) {
        drop(
            self.shared
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .shared
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writing thread ended by a panic");
        }
    }
}

impl<T, F> Change for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &mut Vec<MetricChange>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        connection.execute_batch("SAVEPOINT change")?;
        self.answer = work(connection, &mut self.metrics);
        if self.answer.is_err() {
            self.metrics.clear();
            connection.execute_batch("ROLLBACK TO change")?;
        }
        connection.execute_batch("RELEASE change")
    }

    fn take_metrics(&mut self) -> Vec<MetricChange> {
        std::mem::take(&mut self.metrics)
    }

    fn finish(self: Box<Self>, is_committed: bool) {
        let answer = match self.answer {
            Ok(_) if !is_committed => Err(StoreError::Unavailable),
            answer => answer,
        };
        // A caller that went away no longer wants its answer.
        let _ = self.reply.send(answer);
    }
}

fn write_groups(
    connection: &Connection,
    rings: &Rings,
    mut queue: mpsc::Receiver<Box<dyn Change>>,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match queue.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        let outcome = write_group(connection, rings, &mut group);
        if let Err(error) = &outcome {
            rings.hold().forget();
            tracing::error!(error = %store_error(error), cause = %error, "a group of changes was not stored");
            if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
                tracing::error!("the transaction could not be rolled back");
            }
        }
        for change in group {
            change.finish(outcome.is_ok());
        }
    }
    if connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .is_err()
    {
        tracing::warn!("the write-ahead log was not folded into the store; the next start does it");
    }
}

fn write_group(
    connection: &Connection,
    rings: &Rings,
    group: &mut [Box<dyn Change>],
) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for change in &mut *group {
        // A panic in one change must not end the thread that all later ones need.
        let ran = catch_unwind(AssertUnwindSafe(|| change.run(connection)));
        ran.unwrap_or(Err(rusqlite::Error::UnwindingPanic))?;
    }
    let mut held = rings.hold();
    connection.execute_batch("COMMIT")?;
    let metrics = group.iter_mut().flat_map(|change| change.take_metrics());
    held.follow(connection, metrics);
    Ok(())
}
