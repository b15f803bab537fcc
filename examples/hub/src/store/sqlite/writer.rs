//! The one thread that writes, and its group commit.
//!
//! While one group is written, the next changes queue up and then share one transaction. A change that
//! fails takes nothing of its neighbours with it: where one has written before it fails, which is rare,
//! all is rolled back and the group runs once more, each change in a savepoint of its own. Savepoints
//! always would copy every page that a change touches. A group that is committed goes to the
//! [`Flusher`], which answers it when it is durable. When the commit itself fails, every change of the
//! group is answered "unavailable" and nothing of it is stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use monsys_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::column::store_error;
use super::flush::Flusher;
use super::log::Log;
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

/// Changes of one transaction.
pub(super) type Group = Vec<Box<dyn Change>>;

/// A change that runs in a transaction and learns how the transaction ended. After one that was rolled
/// back it may run again.
pub(super) trait Change: Send {
    /// Runs, and tells whether nothing is half done: it did all, or failed before it wrote anything.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Runs so that nothing of it is left when it fails.
    fn run_in_savepoint(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// What it changed of metrics.
    fn take_metrics(&mut self) -> Vec<MetricChange>;
    /// Answers; what is not durable is not stored.
    fn finish(self: Box<Self>, is_durable: bool);
}

struct Task<T, F> {
    work: F,
    answer: Result<T, StoreError>,
    metrics: Vec<MetricChange>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        log: Log,
        flusher: Flusher,
        rings: Arc<Rings>,
    ) -> Result<Self, OpenError> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_groups(connection, log, flusher, &rings, receiver))
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
        F: FnMut(&Connection, &mut Vec<MetricChange>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task {
            work,
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
    F: FnMut(&Connection, &mut Vec<MetricChange>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let n_changes = connection.total_changes();
        self.metrics.clear();
        self.answer = (self.work)(connection, &mut self.metrics);
        if self.answer.is_ok() {
            return true;
        }
        self.metrics.clear();
        // A disk that is full may have ended the transaction.
        connection.total_changes() == n_changes && !connection.is_autocommit()
    }

    fn run_in_savepoint(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        execute(connection, "SAVEPOINT change")?;
        self.run(connection);
        if self.answer.is_err() {
            execute(connection, "ROLLBACK TO change")?;
        }
        execute(connection, "RELEASE change")
    }

    fn take_metrics(&mut self) -> Vec<MetricChange> {
        std::mem::take(&mut self.metrics)
    }

    fn finish(self: Box<Self>, is_durable: bool) {
        let answer = match self.answer {
            Ok(_) if !is_durable => Err(StoreError::Unavailable),
            answer => answer,
        };
        // A caller that went away no longer wants its answer.
        let _ = self.reply.send(answer);
    }
}

fn write_groups(
    connection: Connection,
    mut log: Log,
    mut flusher: Flusher,
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
        if flusher.is_broken() {
            finish(group, false);
            continue;
        }
        if let Err(error) = write_group(&connection, rings, &mut group) {
            rings.hold().forget();
            tracing::error!(error = %store_error(&error), cause = %error, "a group of changes was not stored");
            if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
                tracing::error!("the transaction could not be rolled back");
            }
            finish(group, false);
        } else {
            flusher.take(group);
        }
        log.keep_short(&connection);
    }
    flusher.close();
    if flusher.is_broken() {
        // The last connection that closes folds the log, which only a new start may.
        std::mem::forget(connection);
    } else {
        log.close(&connection);
    }
}

/// Runs a statement that is prepared once.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn finish(group: Group, is_durable: bool) {
    for change in group {
        change.finish(is_durable);
    }
}

fn write_group(
    connection: &Connection,
    rings: &Rings,
    group: &mut [Box<dyn Change>],
) -> rusqlite::Result<()> {
    // A panic in one change must not end the thread that all later ones need.
    let ran = catch_unwind(AssertUnwindSafe(|| run_all(connection, group)));
    ran.unwrap_or(Err(rusqlite::Error::UnwindingPanic))?;
    let mut held = rings.hold();
    execute(connection, "COMMIT")?;
    let metrics = group.iter_mut().flat_map(|change| change.take_metrics());
    held.follow(connection, metrics);
    Ok(())
}

/// Begins a transaction and runs a group in it.
fn run_all(connection: &Connection, group: &mut [Box<dyn Change>]) -> rusqlite::Result<()> {
    execute(connection, "BEGIN IMMEDIATE")?;
    if group.iter_mut().all(|change| change.run(connection)) {
        return Ok(());
    }
    if !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    execute(connection, "BEGIN IMMEDIATE")?;
    let mut changes = group.iter_mut();
    changes.try_for_each(|change| change.run_in_savepoint(connection))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::super::flush::Health;
    use super::super::{guard, migrate, open_read_only, open_writable};
    use super::*;

    /// A writer on a store in a directory of its own.
    struct Scene {
        directory: PathBuf,
        writer: Writer,
    }

    impl Scene {
        fn new(name: &str, flush: Option<fn() -> io::Result<()>>) -> Self {
            let directory =
                std::env::temp_dir().join(format!("monsys-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let file = directory.join("monsys.db");
            let mut connection = open_writable(&file).unwrap();
            migrate::migrate(&connection).unwrap();
            guard::guard(&mut connection).unwrap();
            let health = Health::default();
            let log = Log::take_over(&file, &mut connection, &health).unwrap();
            let flusher = match flush {
                Some(flush) => Flusher::start_with(&health, flush),
                None => Flusher::start(&file, &health),
            };
            let flusher = flusher.unwrap();
            let rings = Arc::new(Rings::new(open_read_only(&file).unwrap(), &connection));
            let writer = Writer::start(connection, log, flusher, rings).unwrap();
            Self { directory, writer }
        }

        /// Adds an organisation, and fails then if it shall.
        fn add(
            &self,
            name: &'static str,
            fails_with: Option<StoreError>,
        ) -> impl Future<Output = Result<(), StoreError>> + use<> {
            self.writer.run(move |connection, _| {
                let sql = "INSERT INTO tenants (id, name, created_at) VALUES (?1, ?1, '')";
                let inserted = connection.execute(sql, [name]);
                inserted.map_err(|error| store_error(&error))?;
                fails_with.clone().map_or(Ok(()), Err)
            })
        }

        /// Ends the writer; returns the organisations that are stored.
        fn close(self) -> Vec<String> {
            self.writer.close();
            let reader = open_read_only(&self.directory.join("monsys.db")).unwrap();
            let mut statement = reader
                .prepare("SELECT id FROM tenants ORDER BY id")
                .unwrap();
            let found = statement.query_map([], |row| row.get(0)).unwrap();
            let found = found.collect::<Result<_, _>>().unwrap();
            std::fs::remove_dir_all(&self.directory).unwrap();
            found
        }
    }

    #[tokio::test]
    async fn a_change_that_fails_half_done_leaves_nothing_and_takes_nothing_of_its_neighbours() {
        let scene = Scene::new("half-done", None);
        // What waits behind this one is one group.
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let first = scene.writer.run(move |_, _| {
            // The second time nobody holds the other end any more.
            let _ = gone.recv();
            Ok(())
        });
        let refused = || StoreError::Refused {
            constraint: "half_done".into(),
        };
        let before = scene.add("before", None);
        let [half, again] = ["half", "again"].map(|name| scene.add(name, Some(refused())));
        let unharmed = scene.writer.run(|_, _| Err::<(), _>(StoreError::NotFound));
        let after = scene.add("after", None);
        drop(go);
        assert_eq!(first.await, Ok(()));
        assert_eq!((before.await, after.await), (Ok(()), Ok(())));
        assert_eq!((half.await, again.await), (Err(refused()), Err(refused())));
        assert_eq!(unharmed.await, Err(StoreError::NotFound));
        assert_eq!(scene.close(), ["after", "before"]);
    }

    #[tokio::test]
    async fn after_a_flush_that_failed_nothing_is_stored_until_the_store_is_opened_again() {
        let scene = Scene::new("flush", Some(|| Err(io::ErrorKind::StorageFull.into())));
        for name in ["first", "second", "third"] {
            assert_eq!(scene.add(name, None).await, Err(StoreError::Unavailable));
        }
        // SQLite says what of the log is really there; here the first change, and none after it.
        assert_eq!(scene.close(), ["first"]);
    }
}
