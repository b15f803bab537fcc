//! The spool: measured payloads on disk until the hub has them.
//!
//! An append is durable when it returns, and only then may a payload be sent, so that a position is
//! never used for two contents, whatever moment the process dies at. Payloads stand in append-only
//! segments; which of them are still to be delivered stands in a small state file that is replaced
//! atomically. A segment goes when nothing in it is pending. The spool is bounded: when it is full
//! the oldest segment goes, pending or not, and what was lost is counted.
//!
//! Deciding is in [`monsys_wire::spool`], apart from files, for agents of any kind. What not:
//! composing, signing or sending; a body is bytes here. Cost: one `fdatasync` an append,
//! two syncs an acknowledgement, 40 bytes of memory a pending payload; bodies stay on disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use monsys_core::limit;
use monsys_core::position::Position;
use monsys_core::time::Timestamp;
use monsys_wire::compose::ComposeError;
use monsys_wire::spool::ledger::Place;
use monsys_wire::spool::record::{self, Located};
use monsys_wire::spool::{Gap, Ledger, Record, State};
use serde::Serialize;
use thiserror::Error;

use crate::durable;

mod segment;

use segment::Segment;

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

/// What a spool holds, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SpoolStatus {
    /// The life of the spool.
    pub epoch: u64,
    /// The seq that the next payload gets.
    pub next_seq: u64,
    /// Payloads that are still to be delivered.
    pub pending: usize,
    /// When the oldest of them was measured.
    pub oldest_captured_at: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes it may take.
    pub bytes_max: u64,
    /// Payloads that were lost undelivered in the life of the spool.
    pub dropped: u64,
    /// Losses that the hub was not told of yet.
    pub gaps: Vec<GapStatus>,
}

/// A range of positions in which payloads were lost, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GapStatus {
    /// The epoch in which the positions were.
    pub epoch: u64,
    /// The lowest seq that was lost.
    pub from_seq: u64,
    /// The highest seq that was lost.
    pub to_seq: u64,
    /// How many were lost from the one to the other.
    pub lost: u64,
}

impl From<&Gap> for GapStatus {
    fn from(gap: &Gap) -> Self {
        Self {
            epoch: gap.epoch,
            from_seq: gap.from_seq,
            to_seq: gap.to_seq,
            lost: gap.n_lost,
        }
    }
}

impl From<&GapStatus> for Gap {
    fn from(status: &GapStatus) -> Self {
        Self {
            n_lost: status.lost,
            ..Self::of(status.epoch, status.from_seq, status.to_seq)
        }
    }
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
        let active = match last {
            Some((name, good_bytes)) => {
                closed.pop();
                Some(Segment::reopen(dir, name, good_bytes)?)
            }
            None => None,
        };
        let spool = Self {
            dir: dir.to_owned(),
            limits,
            ledger,
            closed,
            active,
            recovery,
            _lock: lock,
        };
        let n_known = stored.as_ref().map(|state| state.n_dropped);
        if n_known != Some(spool.ledger.n_dropped()) {
            spool.write_state()?;
        }
        Ok(spool)
    }

    /// Makes a payload durable at the next position and returns its number.
    ///
    /// `compose` makes the body for the position. Where this fails nothing may be sent.
    ///
    /// # Errors
    /// [`SpoolError::Io`], such as for a full disk; [`SpoolError::Compose`];
    /// [`SpoolError::Exhausted`].
    pub fn append(
        &mut self,
        captured_at: Timestamp,
        compose: impl FnOnce(Position) -> Result<Vec<u8>, ComposeError>,
    ) -> Result<u64, SpoolError> {
        let position = self.next_position()?;
        let body = compose(position)?;
        if body.len() > limit::BODY_BYTES_MAX {
            return Err(SpoolError::Compose(ComposeError::TooLarge));
        }
        let number = self.ledger.next_number();
        let (epoch, seq) = (position.epoch(), position.seq());
        let bytes = Record {
            number,
            epoch,
            seq,
            captured_at,
            body,
        }
        .encode();
        self.make_room(bytes.len())
            .map_err(|source| self.io(source))?;
        let place = self
            .write_record(number, captured_at, &bytes)
            .map_err(|source| self.io(source))?;
        Ok(self.ledger.append(place))
    }

    /// Notes that a payload needs no more sending, and deletes segments that are done with.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: the payload will be sent again after a restart, which is harmless.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), SpoolError> {
        if self.ledger.acknowledge(number) {
            self.settle().map_err(|source| self.io(source))?;
        }
        Ok(())
    }

    /// Notes that a payload is not sent any more, though the hub does not have it.
    ///
    /// # Errors
    /// As for [`Self::acknowledge`].
    pub fn set_aside(&mut self, number: u64) -> Result<(), SpoolError> {
        if self.ledger.set_aside(number) {
            self.settle().map_err(|source| self.io(source))?;
        }
        Ok(())
    }

    /// Notes that a payload is lost, because the disk does not return it.
    ///
    /// # Errors
    /// As for [`Self::acknowledge`].
    pub fn give_up(&mut self, number: u64) -> Result<(), SpoolError> {
        if self.ledger.give_up(number) {
            self.settle().map_err(|source| self.io(source))?;
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

    /// Returns what was lost and not reported yet, as the reason of a health entry; `None` where
    /// nothing was.
    ///
    /// The payload that says it is named to [`Self::tell_loss_in`], and the text comes back until
    /// that one is acknowledged.
    pub fn loss(&self) -> Option<String> {
        let gaps = self.ledger.gaps().iter().map(Gap::to_string);
        let text = gaps.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then_some(text)
    }

    /// Notes that the payload of this number, spooled just before, says what [`Self::loss`] told.
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

    /// Returns what was found amiss when the spool was opened.
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }

    fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|(_, bytes)| bytes).sum();
        closed + self.active.as_ref().map_or(0, Segment::length)
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
        while self.bytes().saturating_add(length) > self.limits.bytes_max && !self.closed.is_empty()
        {
            let (oldest, _) = self.closed.remove(0);
            self.ledger.drop_segment(oldest);
            segment::remove(&self.dir, oldest)?;
            is_dropped = true;
        }
        if is_dropped {
            self.write_state()
        } else {
            Ok(())
        }
    }

    fn write_record(
        &mut self,
        number: u64,
        captured_at: Timestamp,
        bytes: &[u8],
    ) -> io::Result<Place> {
        let active = match &mut self.active {
            Some(active) => active,
            none => none.insert(Segment::create(&self.dir, number)?),
        };
        let name = active.name();
        match active.append(bytes) {
            Ok(offset) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                Ok(Place {
                    segment: name,
                    offset,
                    length,
                    captured_at,
                })
            }
            Err(error) => {
                // The number may be on the disk or not, so no other content may ever have it.
                self.ledger.burn();
                self.close_active();
                Err(error)
            }
        }
    }

    fn close_active(&mut self) {
        self.closed.extend(
            self.active
                .take()
                .map(|active| (active.name(), active.length())),
        );
    }

    /// Writes the state, then deletes the closed segments in which nothing is pending.
    fn settle(&mut self) -> io::Result<()> {
        self.write_state()?;
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
        Ok(())
    }

    fn write_state(&self) -> io::Result<()> {
        durable::replace(
            &self.dir.join(STATE),
            self.ledger.to_state().to_string().as_bytes(),
        )
    }

    fn io(&self, source: io::Error) -> SpoolError {
        SpoolError::Io {
            path: self.dir.clone(),
            source,
        }
    }
}

/// Looks at a spool without owning it: works while an agent is running, changes nothing.
///
/// # Errors
/// [`SpoolError::Io`] when the directory cannot be read.
pub fn inspect(dir: &Path, limits: SpoolLimits) -> Result<SpoolStatus, SpoolError> {
    let io = |source| SpoolError::Io {
        path: dir.to_owned(),
        source,
    };
    let found = if dir.is_dir() {
        segment::find(dir).map_err(io)?
    } else {
        Vec::new()
    };
    let stored = read_state(dir).map_err(io)?;
    let mut records = Vec::new();
    for segment in &found {
        let located = segment.scanned.iter().flat_map(|scanned| &scanned.records);
        records.extend(located.map(|located| (segment.name, *located)));
    }
    let ledger = Ledger::restore(stored.as_ref(), &records);
    let next = ledger
        .position(ledger.next_number())
        .ok_or(SpoolError::Exhausted)?;
    let oldest = ledger.pending().next();
    Ok(SpoolStatus {
        epoch: next.epoch(),
        next_seq: next.seq(),
        pending: ledger.n_pending(),
        oldest_captured_at: oldest.map(|(_, place)| place.captured_at.to_rfc3339()),
        bytes: found.iter().map(|segment| segment.bytes).sum(),
        bytes_max: limits.bytes_max,
        dropped: ledger.n_dropped(),
        gaps: ledger.gaps().iter().map(GapStatus::from).collect(),
    })
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
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join(LOCK))?;
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

#[cfg(test)]
mod tests;
