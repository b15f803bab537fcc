//! Folds the write-ahead log into the store beside the thread that writes.
//!
//! Left to itself, SQLite folds the log at the commit that makes it too long, and whoever waits for
//! that commit waits for thousands of pages and two flushes. Here a thread of its own copies the pages
//! while commits go on, in steps: half a second of flushing at once would make every flush of the log
//! wait behind it, and those who send queue up meanwhile. A log begins again only when all of it is
//! folded and nobody reads or writes it, so when it is long the writer folds what came meanwhile, which
//! is little, and waits for those who read: without that a hub whose senders are looked up all the time
//! finds none of the moments in which nobody does, and its log grows for ever. What not: when a commit
//! is durable; that is the log's own flush. Cost: one connection, and a log of about twice
//! [`LONG_PAGES`], beyond which the writer waits for the folding; more only while somebody reads for
//! longer than the writer waits.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::flush::Health;
use super::migrate::OpenError;
use super::{BUSY_TIMEOUT, guard, open_writable};

/// Pages of a log that shall begin again, for which the writer waits: 250 MiB.
const LONG_PAGES: u32 = 64_000;
/// In so many steps a log is folded that becomes long. A page that many changes of a step touched is
/// written back once; 2,000 pages are flushed in about ten milliseconds.
const STEPS: u32 = 32;
/// Bytes that a log keeps when it begins again; one that had to grow gives back the rest.
pub(super) const KEPT_BYTES: u32 = 2 * LONG_PAGES * 4_096;
/// So few pages are left to the writer.
const REST_PAGES: u32 = 200;
/// After so many rounds the writer takes what is left, however much: it writes faster than anybody folds.
const ROUNDS_MAX: u32 = 10;

/// How much the thread that folds steps back: to a tenth of the share of any other where all are busy.
/// With less it takes from those who answer what they have no time to catch up; with more a log that is
/// written as fast as it can be is never folded.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// How long the writer waits for those who read the log, of whom nearly all read for less than a
/// millisecond. Where somebody reads for longer, the log grows by another eighth of [`LONG_PAGES`]
/// before it is tried again. After a group the writer waits for the folding no longer than this.
const PATIENCE: Duration = Duration::from_millis(20);

/// The log, as the writing thread sees it.
pub(super) struct Log {
    shared: Arc<Shared>,
    health: Health,
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    is_asked: bool,
    /// Pages of a log that is long.
    n_long: u32,
    /// Pages from which on the log shall begin again.
    threshold: u32,
    /// Pages at which a step is folded next.
    next_step: u32,
    /// Rounds since the log is so long, and how much was folded before the last.
    n_rounds: u32,
    n_folded_before: u32,
    n_seen: u32,
}

#[derive(Default)]
struct Shared {
    /// Pages in the log after the last commit.
    n_pages: AtomicU32,
    /// How many of its first are in the store.
    n_folded: AtomicU32,
    /// What was asked for is folded, or could not be.
    is_folded: AtomicBool,
}

impl Log {
    /// Takes folding over from SQLite.
    ///
    /// # Errors
    /// When the file cannot be opened once more, or no thread can be had.
    pub(super) fn take_over(
        file: &Path,
        writer: &mut Connection,
        health: &Health,
    ) -> Result<Self, OpenError> {
        // Never closed: that would end the locks of all connections.
        let store = ManuallyDrop::new(File::open(file).map_err(OpenError::File)?);
        Self::take_over_with(LONG_PAGES, file, writer, health, move || store.sync_data())
    }

    fn take_over_with(
        n_long: u32,
        file: &Path,
        writer: &mut Connection,
        health: &Health,
        mut flush: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::default());
        let counting = Arc::clone(&shared);
        writer.wal_hook(Some(move |_: &mut Wal, n_pages: i32| {
            counting
                .n_pages
                .store(n_pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        let mut connection = open_writable(file)?;
        guard::guard(&mut connection)?;
        let (ask, asked) = sync_channel(1);
        let (folding, told) = (Arc::clone(&shared), health.clone());
        let thread = std::thread::Builder::new()
            .name("store-folder".into())
            .spawn(move || {
                step_back();
                while asked.recv().is_ok() {
                    report(&fold(&connection, &folding, &told, &mut flush));
                    folding.is_folded.store(true, Ordering::Release);
                }
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            health: health.clone(),
            ask: Some(ask),
            thread: Some(thread),
            is_asked: false,
            n_long,
            threshold: n_long,
            next_step: n_long / STEPS,
            n_rounds: 0,
            n_folded_before: 0,
            n_seen: 0,
        })
    }

    /// Has the log folded step by step, and makes it begin again when it is long. For the writing
    /// thread, between two transactions.
    pub(super) fn keep_short(&mut self, writer: &Connection) {
        if self.health.is_broken() {
            return;
        }
        let n_pages = self.shared.n_pages.load(Ordering::Relaxed);
        if n_pages < self.n_seen {
            self.threshold = self.n_long;
            self.next_step = self.n_step();
            self.n_rounds = 0;
        }
        self.n_seen = n_pages;
        if self.is_asked {
            if !self.is_answered() {
                std::thread::sleep(self.pause(n_pages));
                return;
            }
            self.is_asked = false;
        }
        if n_pages >= self.threshold {
            self.begin_again(writer);
        } else if n_pages >= self.next_step {
            self.ask_for_folding(writer);
        }
    }

    /// Has the last pages folded, round after round until few are left, or somebody who reads keeps the
    /// thread from folding more; these the writer folds.
    fn begin_again(&mut self, writer: &Connection) {
        let n_folded = self.shared.n_folded.load(Ordering::Relaxed);
        let is_at_end = match self.n_rounds {
            0 => false,
            ROUNDS_MAX.. => true,
            _ => {
                n_folded == self.n_folded_before
                    || self.n_seen.saturating_sub(n_folded) <= REST_PAGES
            }
        };
        if is_at_end {
            self.fold_rest(writer);
        } else {
            self.n_folded_before = n_folded;
            self.n_rounds += 1;
            self.ask_for_folding(writer);
        }
    }

    /// Asks the thread to fold, which is idle.
    fn ask_for_folding(&mut self, writer: &Connection) {
        self.next_step = self.n_seen.saturating_add(self.n_step());
        self.is_asked = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
        if !self.is_asked {
            self.fold_rest(writer);
        }
    }

    /// Whether what was asked for is done, or never will be.
    fn is_answered(&self) -> bool {
        self.shared.is_folded.swap(false, Ordering::Acquire)
            || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    const fn n_step(&self) -> u32 {
        self.n_long / STEPS
    }

    /// How long the writer waits after a group while the log is being folded: not at all up to twice the
    /// length of a long one, and from there the longer the longer it is, so that what is written faster
    /// than anybody folds is slowed down just enough.
    fn pause(&self, n_pages: u32) -> Duration {
        let n_room = self.threshold.saturating_add(self.n_long);
        PATIENCE * n_pages.saturating_sub(n_room).min(self.n_long) / self.n_long
    }

    /// Folds all that is in the log, and waits until nobody reads it; the next change begins it again.
    fn fold_rest(&mut self, writer: &Connection) {
        self.threshold = self.n_seen.saturating_add(self.n_long / 8);
        self.n_rounds = 0;
        let folded = writer
            .busy_timeout(PATIENCE)
            .and_then(|()| checkpoint(writer, "RESTART"));
        report(&folded.map(drop));
        report(&writer.busy_timeout(BUSY_TIMEOUT));
    }

    /// Ends the thread, and folds all there is when nothing more is written.
    pub(super) fn close(mut self, writer: &Connection) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that folds the store's log ended by a panic");
        }
        if writer
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .is_err()
        {
            tracing::warn!(
                "the write-ahead log was not folded into the store; the next start does it"
            );
        }
    }
}

/// Lets those who answer have the processors first: folding may take as long as it likes, and as fast
/// as it can it takes one for the time of hundreds of payloads.
fn step_back() {
    // Elsewhere than on Linux this is of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the thread that folds the store's log has the priority of all others");
    }
}

/// Folds what is there, and flushes it.
///
/// SQLite flushes the store only where nothing comes while it folds. Were that left to the writer, all
/// that is folded would be flushed while nobody writes.
fn fold(
    connection: &Connection,
    shared: &Shared,
    health: &Health,
    flush: &mut impl FnMut() -> io::Result<()>,
) -> rusqlite::Result<()> {
    let n_folded = checkpoint(connection, "PASSIVE")?;
    shared.n_folded.store(n_folded, Ordering::Relaxed);
    health.take(flush());
    Ok(())
}

/// Copies the pages of the log that nobody reads any more; returns how many of its first are in the
/// store then.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<u32> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.query_row(&sql, [], |row| row.get::<_, i32>(2).map(i32::unsigned_abs))
}

/// Nothing is lost where folding fails: the log keeps what it has, and is folded later.
fn report(folded: &rusqlite::Result<()>) {
    if let Err(error) = folded {
        tracing::warn!(%error, "the write-ahead log was not folded into the store");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const N_LONG: u32 = 200;

    /// A store of blobs in a directory of its own.
    struct Blobs {
        directory: std::path::PathBuf,
        writer: Connection,
        log: Log,
        health: Health,
    }

    impl Blobs {
        fn new(name: &str) -> Self {
            Self::flushed_by(name, || Ok(()))
        }

        fn flushed_by(name: &str, flush: impl FnMut() -> io::Result<()> + Send + 'static) -> Self {
            let directory =
                std::env::temp_dir().join(format!("monsys-log-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let file = directory.join("monsys.db");
            let mut writer = open_writable(&file).unwrap();
            writer
                .execute_batch("CREATE TABLE blobs (id INTEGER PRIMARY KEY, blob BLOB)")
                .unwrap();
            let health = Health::default();
            let log = Log::take_over_with(N_LONG, &file, &mut writer, &health, flush).unwrap();
            Self {
                directory,
                writer,
                log,
                health,
            }
        }

        /// Commits a change of about ten pages; returns how many the log has then.
        fn commit(&mut self) -> u32 {
            self.writer
                .execute("INSERT INTO blobs (blob) VALUES (randomblob(36000))", [])
                .unwrap();
            let n_pages = self.log.shared.n_pages.load(Ordering::Relaxed);
            self.log.keep_short(&self.writer);
            n_pages
        }

        fn reader(&self) -> Connection {
            super::super::open_read_only(&self.directory.join("monsys.db")).unwrap()
        }

        /// Commits until the log has begun again, which it does before it is so long.
        fn commit_until_begun_again(&mut self, n_pages_max: u32) {
            let mut n_pages = self.commit();
            loop {
                let n_before = n_pages;
                n_pages = self.commit();
                if n_pages < n_before {
                    return;
                }
                assert!(n_pages < n_pages_max, "{n_pages} pages");
            }
        }

        fn close(self) {
            self.log.close(&self.writer);
            let checked: String = self
                .writer
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(checked, "ok");
            let log = self.directory.join("monsys.db-wal");
            assert_eq!(std::fs::metadata(log).unwrap().len(), 0);
            std::fs::remove_dir_all(self.directory).unwrap();
        }
    }

    #[test]
    fn a_log_that_is_written_without_a_pause_begins_again_and_again() {
        let mut blobs = Blobs::new("pause");
        for _ in 0..20 {
            // What comes while a thread is started and folds is not bounded by a law of ours.
            blobs.commit_until_begun_again(100 * N_LONG);
        }
        let n_blobs = blobs.reader().query_row(
            "SELECT count(*) FROM blobs WHERE length(blob) = 36000",
            [],
            |row| row.get::<_, u32>(0),
        );
        assert!(n_blobs.unwrap() > 20 * N_LONG / 10);
        blobs.close();
    }

    #[test]
    fn a_long_read_keeps_the_log_and_its_end_lets_it_begin_again() {
        let mut blobs = Blobs::new("read");
        blobs.commit();
        let reader = blobs.reader();
        reader.execute_batch("BEGIN").unwrap();
        let count = |reader: &Connection| -> u32 {
            reader
                .query_row("SELECT count(*) FROM blobs", [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(count(&reader), 1);
        let mut n_pages = 0;
        for _ in 0..100 {
            let n_before = n_pages;
            n_pages = blobs.commit();
            assert!(n_pages > n_before, "the log that is read began again");
        }
        assert_eq!(count(&reader), 1);
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(count(&reader), 101);
        drop(reader);
        blobs.commit_until_begun_again(100 * N_LONG);
        blobs.close();
    }

    #[test]
    fn those_who_always_read_a_little_do_not_keep_the_log() {
        let mut blobs = Blobs::new("little");
        blobs.commit();
        let is_over = Arc::new(AtomicBool::new(false));
        let readers = [(); 4].map(|()| {
            let (reader, is_over) = (blobs.reader(), Arc::clone(&is_over));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let sql = "SELECT length(blob) FROM blobs WHERE id = 1";
                    let length = reader.query_row(sql, [], |row| row.get::<_, u32>(0));
                    assert_eq!(length.unwrap(), 36_000);
                }
            })
        });
        for _ in 0..20 {
            blobs.commit_until_begun_again(10 * N_LONG);
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
        blobs.close();
    }

    #[test]
    fn who_writes_faster_than_anybody_folds_waits() {
        let (go, gone) = sync_channel::<()>(0);
        let mut blobs = Blobs::flushed_by("behind", move || {
            // Later nobody holds the other end any more.
            let _ = gone.recv();
            Ok(())
        });
        while blobs.commit() < 3 * N_LONG {}
        let started = Instant::now();
        for _ in 0..5 {
            blobs.commit();
        }
        assert!(started.elapsed() >= 5 * PATIENCE);
        drop(go);
        blobs.commit_until_begun_again(5 * N_LONG);
        blobs.close();
    }

    #[test]
    fn the_writer_waits_the_longer_the_longer_the_log_is() {
        let blobs = Blobs::new("pause-law");
        let pause = |n_pages| blobs.log.pause(n_pages);
        assert_eq!([0, N_LONG, 2 * N_LONG].map(pause), [Duration::ZERO; 3]);
        assert_eq!(pause(2 * N_LONG + N_LONG / 2), PATIENCE / 2);
        assert_eq!([3 * N_LONG, u32::MAX].map(pause), [PATIENCE; 2]);
        blobs.close();
    }

    #[test]
    fn folding_ends_where_somebody_who_reads_keeps_it_from_more() {
        let n_flushes = Arc::new(AtomicU32::new(0));
        let flushing = Arc::clone(&n_flushes);
        let mut blobs = Blobs::flushed_by("kept", move || {
            flushing.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        blobs.commit();
        let reader = blobs.reader();
        reader.execute_batch("BEGIN").unwrap();
        let sql = "SELECT count(*) FROM blobs";
        reader.query_row(sql, [], |_| Ok(())).unwrap();
        loop {
            let n_before = n_flushes.load(Ordering::Relaxed);
            let n_pages = blobs.commit();
            while blobs.log.is_asked {
                blobs.log.keep_short(&blobs.writer);
            }
            if n_pages >= N_LONG {
                assert_eq!(n_flushes.load(Ordering::Relaxed) - n_before, 1);
                break;
            }
        }
        drop(reader);
        blobs.close();
    }

    #[test]
    fn after_a_flush_that_failed_nothing_of_the_log_is_given_up() {
        let mut blobs = Blobs::flushed_by("broken", || Err(io::ErrorKind::StorageFull.into()));
        while !blobs.health.is_broken() {
            blobs.commit();
        }
        let mut n_pages = blobs.commit();
        for _ in 0..100 {
            let n_before = n_pages;
            n_pages = blobs.commit();
            assert!(n_pages > n_before, "the log began again");
        }
        std::fs::remove_dir_all(blobs.directory).unwrap();
    }

    #[test]
    fn without_its_thread_the_writer_folds_by_itself() {
        let mut blobs = Blobs::new("alone");
        blobs.log.ask = None;
        blobs.commit_until_begun_again(2 * N_LONG);
        blobs.close();
    }
}
