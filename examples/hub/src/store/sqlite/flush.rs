//! Makes commits durable beside the thread that writes, and answers them then.
//!
//! A commit in WAL mode appends to the log; durable it is when the log is flushed. SQLite itself would
//! flush within the commit, and nobody would write meanwhile. Here the writer goes on with the next
//! group, and a thread of its own flushes the log once for all groups that are committed by then. No
//! change is answered before that. What not: the flushes that keep the file whole, before the log is
//! folded and when it begins again; those stay SQLite's own (`synchronous` NORMAL), though the folding
//! thread flushes the store before them, so that they find little to do.
//!
//! After a flush that failed, of the log or of the store, nobody knows which pages reached the disk,
//! and a second flush would say that all is well. So the store takes nothing more, and folds nothing,
//! until it is opened again and SQLite reads in the log what is really there.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::migrate::OpenError;
use super::writer::Group;

/// Groups that wait for a flush, beyond which the writer waits too.
const GROUPS_MAX: usize = 4;

/// The thread that flushes.
pub(super) struct Flusher {
    groups: Option<SyncSender<Group>>,
    thread: Option<JoinHandle<()>>,
    health: Health,
}

/// Whether a flush of the log or of the store failed.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<AtomicBool>);

impl Health {
    /// Whether one did, after which nothing may be written or folded any more.
    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Says so after one, for ever.
    pub(super) fn take(&self, flushed: io::Result<()>) {
        if let Err(error) = flushed {
            self.0.store(true, Ordering::Release);
            tracing::error!(
                %error,
                "the store could not be flushed; nothing is stored any more until the hub is started again"
            );
        }
    }
}

impl Flusher {
    /// Starts the thread for the log of a store that the writer has open, so that there is a log.
    ///
    /// # Errors
    /// When the log cannot be opened, or no thread can be had.
    pub(super) fn start(file: &Path, health: &Health) -> Result<Self, OpenError> {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let log = File::open(log).map_err(OpenError::File)?;
        Self::start_with(health, move || log.sync_data())
    }

    pub(super) fn start_with(
        health: &Health,
        mut flush: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let (sender, receiver) = sync_channel(GROUPS_MAX);
        let told = health.clone();
        let thread = std::thread::Builder::new()
            .name("store-flusher".into())
            .spawn(move || answer_groups(&receiver, &told, &mut flush))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            groups: Some(sender),
            thread: Some(thread),
            health: health.clone(),
        })
    }

    /// Takes a committed group, to be answered when it is durable.
    pub(super) fn take(&self, group: Group) {
        let taken = self.groups.as_ref().map(|groups| groups.send(group));
        if !matches!(taken, Some(Ok(()))) {
            // With it the group, which its callers read as "unavailable".
            self.health
                .take(Err(io::Error::other("its thread is gone")));
        }
    }

    /// Whether a flush failed, after which nothing may be written or folded any more.
    pub(super) fn is_broken(&self) -> bool {
        self.health.is_broken()
    }

    /// Answers all that was taken, and ends the thread.
    pub(super) fn close(&mut self) {
        self.groups = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.health
                .take(Err(io::Error::other("its thread ended by a panic")));
        }
    }
}

fn answer_groups(
    groups: &Receiver<Group>,
    health: &Health,
    flush: &mut impl FnMut() -> io::Result<()>,
) {
    while let Ok(first) = groups.recv() {
        let mut committed = vec![first];
        committed.extend(groups.try_iter());
        if !health.is_broken() {
            health.take(flush());
        }
        let is_durable = !health.is_broken();
        for change in committed.into_iter().flatten() {
            change.finish(is_durable);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use monsys_core::store::StoreError;
    use rusqlite::Connection;
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::sqlite::rings::MetricChange;
    use crate::store::sqlite::writer::Change;

    /// A change that is committed already.
    struct Committed(oneshot::Sender<Result<(), StoreError>>);

    impl Change for Committed {
        fn run(&mut self, _: &Connection) -> bool {
            true
        }

        fn run_in_savepoint(&mut self, _: &Connection) -> rusqlite::Result<()> {
            Ok(())
        }

        fn take_metrics(&mut self) -> Vec<MetricChange> {
            Vec::new()
        }

        fn finish(self: Box<Self>, is_durable: bool) {
            let answer = is_durable.then_some(()).ok_or(StoreError::Unavailable);
            self.0.send(answer).unwrap();
        }
    }

    type Answer = oneshot::Receiver<Result<(), StoreError>>;

    fn group() -> (Group, Answer) {
        let (reply, answer) = oneshot::channel();
        (vec![Box::new(Committed(reply))], answer)
    }

    /// A flusher whose flushes say that they began, and end as they are told.
    fn told() -> (Flusher, Receiver<()>, Sender<io::Result<()>>) {
        let (began, begun) = channel();
        let (end, ends) = channel();
        let flusher = Flusher::start_with(&Health::default(), move || {
            began.send(()).unwrap();
            ends.recv().unwrap()
        });
        (flusher.unwrap(), begun, end)
    }

    #[test]
    fn nothing_is_answered_before_its_flush_and_what_came_meanwhile_shares_the_next() {
        let (mut flusher, begun, end) = told();
        let (first, mut first_answer) = group();
        flusher.take(first);
        begun.recv().unwrap();
        let mut later: Vec<Answer> = Vec::new();
        for _ in 0..3 {
            let (group, answer) = group();
            flusher.take(group);
            later.push(answer);
        }
        assert!(first_answer.try_recv().is_err(), "answered before a flush");
        end.send(Ok(())).unwrap();
        assert_eq!(first_answer.blocking_recv().unwrap(), Ok(()));
        begun.recv().unwrap();
        for answer in &mut later {
            assert!(answer.try_recv().is_err(), "answered by an earlier flush");
        }
        end.send(Ok(())).unwrap();
        flusher.close();
        for answer in later {
            assert_eq!(answer.blocking_recv().unwrap(), Ok(()));
        }
        assert!(begun.try_recv().is_err(), "a third flush");
        assert!(!flusher.is_broken());
    }

    #[test]
    fn after_a_flush_that_failed_nothing_is_called_durable_any_more() {
        let (mut flusher, begun, end) = told();
        end.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        end.send(Ok(())).unwrap();
        for _ in 0..3 {
            let (group, answer) = group();
            flusher.take(group);
            assert_eq!(
                answer.blocking_recv().unwrap(),
                Err(StoreError::Unavailable)
            );
            assert!(flusher.is_broken());
        }
        flusher.close();
        assert_eq!(begun.iter().count(), 1, "flushed again");
    }

    #[test]
    fn a_flush_that_panics_is_one_that_failed() {
        let mut flusher = Flusher::start_with(&Health::default(), || panic!("a flush")).unwrap();
        let (first, answer) = group();
        flusher.take(first);
        assert!(answer.blocking_recv().is_err(), "called durable");
        flusher.close();
        assert!(flusher.is_broken());
        let (second, answer) = group();
        flusher.take(second);
        assert!(answer.blocking_recv().is_err(), "called durable");
    }
}
