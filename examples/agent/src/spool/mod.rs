//! The spool: measured payloads on disk until the hub has them.
//!
//! An append is durable when it returns, and only then may a payload be sent, so that a position is
//! never used for two contents, whatever moment the process dies at. Payloads stand in append-only
//! segments; which of them are still to be delivered stands in a small state file that is replaced
//! atomically. A segment goes when nothing in it is pending. The spool is bounded: when it is full
//! the oldest segment goes, pending or not, and what was lost is kept as a gap until the hub was told.
//!
//! While nothing can be written, on a full disk or a read-only one, payloads wait in memory, in
//! bounded number and without positions, and are spooled when there is room. So nothing is sent then
//! that is not durable, and what is in the spool already is still delivered.
//!
//! Deciding is in [`monsys_wire::spool`], apart from files, for agents of any kind. What not:
//! composing, signing or sending; a body is bytes here. Cost: one `fdatasync` an append,
//! two syncs for every sixteen acknowledgements of a backlog, 50 bytes of memory a pending payload;
//! bodies stay on disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use monsys_core::limit;
use monsys_core::position::Position;
use monsys_core::time::Timestamp;
use monsys_wire::compose::ComposeError;
use monsys_wire::spool::ledger::Place;
use monsys_wire::spool::record::{self, Located};
use monsys_wire::spool::{Gap, Ledger, Record, State};
use thiserror::Error;

use crate::durable;

mod held;
mod segment;
mod status;

pub use status::{GapStatus, SpoolStatus, inspect};

use held::Held;
use segment::{AppendError, Segment};

/// How large a spool may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolLimits {
    /// All segments together, in bytes.
    pub bytes_max: u64,
    /// A segment is closed when it reaches this, in bytes.
    pub segment_bytes: u64,
}

/// A spool that this process owns.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: SpoolLimits,
    ledger: Ledger,
    /// Name and length of every closed segment, oldest first.
    closed: Vec<(u64, u64)>,
    active: Option<Segment>,
    held: Held,
    /// Acknowledgements that the state file does not say yet.
    n_unsettled: u32,
    recovery: Recovery,
    /// Held for its lock, which ends with the process however it ends.
    _lock: File,
}

/// What was found amiss when the spool was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// Bytes of a torn append that were cut off; nothing of them was ever sent.
    pub torn_bytes: u64,
    /// Records whose checksum was wrong.
    pub n_damaged: u64,
    /// Files that were no segments and were set aside.
    pub n_set_aside: u64,
    /// The state file was damaged or lost, and the segments told the counters.
    pub is_state_rebuilt: bool,
}

/// Says why the spool cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Another agent owns the spool.
    #[error("the spool is in use: expected no other agent on {}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// What was measured makes no payload.
    #[error("no payload can be made")]
    Compose(#[from] ComposeError),
    /// The counters reached the end of their range.
    #[error("no position left: expected epoch and seq below 2^53")]
    Exhausted,
    /// The record is not pending.
    #[error("no such record: expected the number of a pending one")]
    NotPending,
    /// The disk did not return what was written.
    #[error("a spooled record is damaged")]
    Damaged,
    /// Nothing can be written; the payload waits in memory.
    #[error("a payload waits in memory: expected room at {}", path.display())]
    Held {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The file system refused.
    #[error("the spool at {} cannot be used", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl SpoolLimits {
    /// 64 MiB in segments of 1 MiB: eleven days at a cadence of 15 s and 1 KiB a payload.
    pub const fn standard() -> Self {
        Self {
            bytes_max: 64 << 20,
            segment_bytes: 1 << 20,
        }
    }
}

impl Spool {
    /// Opens the spool of a directory, making a new one where there is none.
    ///
    /// One on a file system that is read-only is opened too: what is in it is delivered, and what is
    /// appended is held until it can be written.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] while another process has it, [`SpoolError::Io`] otherwise.
    pub fn open(dir: &Path, limits: SpoolLimits) -> Result<Self, SpoolError> {
        Self::open_in(dir, limits).map_err(|error| match error {
            OpenError::InUse => SpoolError::InUse {
                path: dir.to_owned(),
            },
            OpenError::Io(source) => SpoolError::Io {
                path: dir.to_owned(),
                source,
            },
        })
    }

    fn open_in(dir: &Path, limits: SpoolLimits) -> Result<Self, OpenError> {
        durable::create_private_dir(dir)?;
        let lock = lock(dir)?;
        let stored = read_state(dir)?;
        let mut recovery = Recovery::default();
        let mut closed = Vec::new();
        let mut records: Vec<(u64, Located)> = Vec::new();
        let mut last = None;
        for found in segment::find(dir)? {
            let Some(scanned) = found.scanned else {
                put_away(dir, found.name, found.bytes, &mut recovery)?;
                continue;
            };
            recovery.n_damaged += scanned.n_damaged;
            records.extend(scanned.records.iter().map(|located| (found.name, *located)));
            closed.push((found.name, scanned.good_bytes));
            last = Some((found.name, scanned.good_bytes));
            recovery.torn_bytes += found.bytes - scanned.good_bytes;
        }
        recovery.is_state_rebuilt = stored.is_none() && !records.is_empty();
        let ledger = Ledger::restore(stored.as_ref(), &records);
        let active = last.map(|(name, good_bytes)| Segment::reopen(dir, name, good_bytes));
        let active = match active.transpose() {
            Ok(active) => {
                closed.pop();
                active
            }
            // What is in it can be delivered all the same.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                closed.retain(|(name, _)| *name < ledger.next_number());
                None
            }
            Err(error) => return Err(error.into()),
        };
        let spool = Self {
            dir: dir.to_owned(),
            limits,
            ledger,
            closed,
            active,
            held: Held::default(),
            n_unsettled: 0,
            recovery,
            _lock: lock,
        };
        spool.keep_reserve();
        let n_known = stored.as_ref().map(|state| state.n_dropped);
        if n_known != Some(spool.ledger.n_dropped()) {
            let written = spool.write_state();
            // Where there is something to read, the next start reads the same from it.
            if stored.is_none() && records.is_empty() {
                written?;
            }
        }
        Ok(spool)
    }

    /// Makes a payload durable at the next position and returns its number.
    ///
    /// `compose` makes the body for the position. Where this fails nothing may be sent.
    ///
    /// # Errors
    /// [`SpoolError::Held`], such as for a full disk: the next call that can spools the payload before
    /// its own. [`SpoolError::Compose`]; [`SpoolError::Exhausted`].
    pub fn append(
        &mut self,
        captured_at: Timestamp,
        compose: impl FnOnce(Position) -> Result<Vec<u8>, ComposeError>,
    ) -> Result<u64, SpoolError> {
        let before = self.spool_held();
        let position = self.next_position()?;
        let body = compose(position)?;
        if body.len() > limit::BODY_BYTES_MAX {
            return Err(SpoolError::Compose(ComposeError::TooLarge));
        }
        let record = Record {
            number: self.ledger.next_number(),
            epoch: position.epoch(),
            seq: position.seq(),
            captured_at,
            body,
        };
        match before.and_then(|()| self.write(&record)) {
            Ok(number) => Ok(number),
            Err(source) => {
                let n_lost = self.held.push(captured_at, record.body);
                (0..n_lost).for_each(|_| self.ledger.lose_next());
                Err(SpoolError::Held {
                    path: self.dir.clone(),
                    source,
                })
            }
        }
    }

    /// Notes that a payload needs no more sending, and deletes segments that are done with.
    ///
    /// It becomes durable at once where nothing else is pending, otherwise with one of the next
    /// [`UNSETTLED_MAX`] acknowledgements or [`Self::settle`]: a crash before that sends a few
    /// payloads twice, which is harmless, and a backlog does not wait for the disk at each of them.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the payload will be sent again after a restart.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), SpoolError> {
        if !self.ledger.acknowledge(number) {
            return Ok(());
        }
        self.n_unsettled += 1;
        if self.n_unsettled >= UNSETTLED_MAX || self.ledger.n_pending() == 0 {
            return self.settle();
        }
        Ok(())
    }

    /// Makes every acknowledgement durable.
    ///
    /// # Errors
    /// As for [`Self::acknowledge`].
    pub fn settle(&mut self) -> Result<(), SpoolError> {
        if self.n_unsettled > 0 {
            self.write_and_clean().map_err(|source| self.io(source))?;
        }
        Ok(())
    }

    /// Notes that a payload is not sent any more, though the hub does not have it.
    ///
    /// # Errors
    /// As for [`Self::acknowledge`].
    pub fn set_aside(&mut self, number: u64) -> Result<(), SpoolError> {
        if self.ledger.set_aside(number) {
            self.write_and_clean().map_err(|source| self.io(source))?;
        }
        Ok(())
    }

    /// Notes that a payload is lost, because the disk does not return it.
    ///
    /// # Errors
    /// As for [`Self::acknowledge`].
    pub fn give_up(&mut self, number: u64) -> Result<(), SpoolError> {
        if self.ledger.give_up(number) {
            self.write_and_clean().map_err(|source| self.io(source))?;
        }
        Ok(())
    }

    /// Moves everything undelivered into a higher epoch (contract §2) and drops nothing.
    ///
    /// An epoch that is not higher changes nothing.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the move is not durable, and nothing may be sent before it is.
    pub fn start_epoch(&mut self, epoch: u64) -> Result<(), SpoolError> {
        let before = self.ledger.clone();
        if !self.ledger.start_epoch(epoch) {
            return Ok(());
        }
        self.write_state().map_err(|source| {
            self.ledger = before;
            self.io(source)
        })
    }

    /// Reads a pending record and the position that it has at present.
    ///
    /// # Errors
    /// [`SpoolError::NotPending`], [`SpoolError::Damaged`] or [`SpoolError::Io`].
    pub fn read(&self, number: u64) -> Result<(Position, Record), SpoolError> {
        let place = self.ledger.place(number).ok_or(SpoolError::NotPending)?;
        let position = self.ledger.position(number).ok_or(SpoolError::Exhausted)?;
        let record = segment::read(&self.dir, place.segment, place.offset, place.length)
            .map_err(|source| self.io(source))?;
        match record {
            Some(record) if record.number == number => Ok((position, record)),
            Some(_) | None => Err(SpoolError::Damaged),
        }
    }

    /// Returns the position that the next payload gets.
    ///
    /// # Errors
    /// [`SpoolError::Exhausted`] after 2^53 payloads.
    pub fn next_position(&self) -> Result<Position, SpoolError> {
        self.ledger
            .position(self.ledger.next_number())
            .ok_or(SpoolError::Exhausted)
    }

    /// Returns what was lost and not reported yet, for a report.
    ///
    /// The payload that holds the report is named to [`Self::tell_loss_in`], and the losses come back
    /// until that one is acknowledged. What is lost meanwhile is a loss of its own.
    pub fn loss(&mut self) -> &[Gap] {
        self.ledger.say_gaps();
        self.ledger.gaps()
    }

    /// Notes that the payload of this number, just spooled, says what [`Self::loss`] last told.
    ///
    /// It becomes durable with the next acknowledgement; after a crash before that the loss is
    /// reported twice.
    pub fn tell_loss_in(&mut self, number: u64) {
        self.ledger.tell_gaps_in(number);
    }

    /// Returns the deciding half.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns how many payloads wait in memory for room on the disk.
    pub fn n_held(&self) -> usize {
        self.held.len()
    }

    /// Returns what was found amiss when the spool was opened.
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }

    fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|(_, bytes)| bytes).sum();
        closed + self.active.as_ref().map_or(0, Segment::length)
    }

    /// Spools what was held while nothing could be written.
    fn spool_held(&mut self) -> io::Result<()> {
        while let Some((captured_at, body)) = self.held.first() {
            let number = self.ledger.next_number();
            let Some(position) = self.ledger.position(number) else {
                return Ok(());
            };
            let record = Record {
                number,
                epoch: position.epoch(),
                seq: position.seq(),
                captured_at,
                body,
            };
            self.write(&record)?;
            self.held.pop();
        }
        Ok(())
    }

    fn write(&mut self, record: &Record) -> io::Result<u64> {
        let bytes = record.encode();
        self.make_room(bytes.len())?;
        let active = match &mut self.active {
            Some(active) => active,
            none => none.insert(Segment::create(&self.dir, record.number)?),
        };
        let segment = active.name();
        match active.append(&bytes) {
            Ok(offset) => Ok(self.ledger.append(Place {
                segment,
                offset,
                length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                captured_at: record.captured_at,
            })),
            Err(AppendError::Unwritten(source)) => Err(source),
            Err(AppendError::Unknown(source)) => {
                // The number may be on the disk or not, so no other content may ever have it.
                self.ledger.burn();
                self.close_active();
                Err(source)
            }
        }
    }

    /// Closes a full segment and drops the oldest ones of a full spool.
    fn make_room(&mut self, length: usize) -> io::Result<()> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.length() >= self.limits.segment_bytes)
        {
            self.close_active();
        }
        let mut is_dropped = false;
        while self.bytes().saturating_add(length) > self.limits.bytes_max
            && let Some(&(oldest, _)) = self.closed.first()
        {
            segment::remove(&self.dir, oldest)?;
            self.closed.remove(0);
            self.ledger.drop_segment(oldest);
            is_dropped = true;
        }
        if is_dropped {
            // Where this fails the next start finds the same payloads missing.
            let _ = self.write_state();
        }
        Ok(())
    }

    fn close_active(&mut self) {
        self.closed.extend(
            self.active
                .take()
                .map(|active| (active.name(), active.length())),
        );
    }

    /// Writes the state, then deletes the closed segments in which nothing is pending.
    fn write_and_clean(&mut self) -> io::Result<()> {
        self.write_state()?;
        self.n_unsettled = 0;
        let oldest = self.ledger.oldest().unwrap_or(u64::MAX);
        // Numbers rise through the segments, so what is done with stands at the front.
        while let Some(&(name, _)) = self.closed.first() {
            let ends = self.closed.get(1).map(|(name, _)| *name);
            let ends = ends.or_else(|| self.active.as_ref().map(Segment::name));
            let ends = ends.unwrap_or_else(|| self.ledger.next_number());
            if oldest < ends {
                break;
            }
            segment::remove(&self.dir, name)?;
            self.closed.remove(0);
        }
        self.keep_reserve();
        Ok(())
    }

    /// Writes the state; on a full disk in the room that was kept for it, for without it no segment
    /// could be deleted, and a disk that only the spool fills would stay full.
    fn write_state(&self) -> io::Result<()> {
        let (path, text) = (self.dir.join(STATE), self.ledger.to_state().to_string());
        match durable::replace(&path, text.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                fs::remove_file(self.dir.join(RESERVE)).map_err(|_| error)?;
                durable::replace(&path, text.as_bytes())
            }
            done => done,
        }
    }

    /// Keeps room for the state file, as far as there is any.
    fn keep_reserve(&self) {
        let path = self.dir.join(RESERVE);
        if path.exists() {
            return;
        }
        let filled =
            durable::create_new(&path).and_then(|mut file| file.write_all(&[b'.'; RESERVE_BYTES]));
        if filled.is_err() {
            let _ = fs::remove_file(&path);
        }
    }

    fn io(&self, source: io::Error) -> SpoolError {
        SpoolError::Io {
            path: self.dir.clone(),
            source,
        }
    }
}

enum OpenError {
    InUse,
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    let file = match options.create(true).append(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path)?,
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(error)),
    }
}

/// Reads the state file; `None` when it is absent or damaged.
fn read_state(dir: &Path) -> io::Result<Option<State>> {
    match fs::read(dir.join(STATE)) {
        Ok(bytes) => Ok(str::from_utf8(&bytes).ok().and_then(State::parse)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A segment cut within its first bytes was being created; anything else is kept for people.
fn put_away(dir: &Path, name: u64, bytes: u64, recovery: &mut Recovery) -> io::Result<()> {
    if bytes < u64::try_from(record::MAGIC.len()).unwrap_or(0) {
        return segment::remove(dir, name);
    }
    recovery.n_set_aside += 1;
    segment::set_aside(dir, name)
}

const STATE: &str = "state";
const LOCK: &str = "lock";
const RESERVE: &str = "reserve";
/// Room for the state file of a spool with several hundred separate ranges.
const RESERVE_BYTES: usize = 16_384;
/// How many acknowledgements may be lost in a crash, each of which costs one payload sent twice.
pub const UNSETTLED_MAX: u32 = 16;

#[cfg(test)]
mod tests;
