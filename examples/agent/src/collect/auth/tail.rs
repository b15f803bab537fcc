//! A file that grows, is rotated away, or is cut.
//!
//! What: each reading gives what was written since the one before. The first one gives nothing: it
//! begins at the end of the file as it is then. A file is known by its number in the file system:
//! where another one is at the path, the rest of the old one is read from `PATH.1`, if it is there
//! and can be read, and the new one from its start. A file that became shorter was cut and is read
//! from its start. All of this is kept in memory only. What not: what was written while the agent
//! did not run. Cost: one `stat` when nothing is new; at most [`READ_BYTES_MAX`] a reading, what is
//! beyond is passed by and said.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::RECORD_BYTES;
use crate::collect::health::fault;
use crate::collect::small_file;

/// Follows one file.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Readings begin at a multiple of it.
    unit: u64,
    place: Place,
}

/// How one reading went. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailState {
    /// Everything new was given.
    Read,
    /// More was new than is read at once; the oldest was passed by.
    Skipped,
    /// It cannot be read, and why.
    Unread(&'static str),
}

/// Where the next reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the end of the file, whichever is there: there was no reading yet, or none that may.
    End,
    /// At the start: there was no file.
    Start,
    /// In one file.
    In { file: FileNumber, offset: u64 },
}

/// The device, and the number of a file in it.
type FileNumber = (u64, u64);

/// Takes a piece and says how much of it is done with; the rest comes again with what follows.
pub type Take<'a> = dyn FnMut(&[u8]) -> usize + 'a;

impl TailState {
    /// Returns whether the file was read.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::Skipped)
    }

    /// Returns what to say of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Skipped => "grew by more than is read at once",
            Self::Unread(why) => why,
        }
    }
}

impl Tail {
    /// Follows a file of lines, which need not be there.
    pub fn of_lines(path: &Path) -> Self {
        Self::of_units(path, 1)
    }

    /// Follows a file of records of one size. One that was half written when the machine stopped is
    /// written over by the next, so readings begin where a record does.
    pub fn of_records(path: &Path) -> Self {
        // Cannot fail: a record has a few hundred bytes.
        Self::of_units(path, u64::try_from(RECORD_BYTES).unwrap_or(1))
    }

    fn of_units(path: &Path, unit: u64) -> Self {
        Self {
            path: path.to_owned(),
            unit,
            place: Place::End,
        }
    }

    /// Gives what is new, piece by piece.
    pub fn read(&mut self, take: &mut Take<'_>) -> TailState {
        match self.try_read(take) {
            Ok(state) => state,
            Err(error) => {
                let is_absent = error.kind() == io::ErrorKind::NotFound;
                self.place = match self.place {
                    // Between two steps of a rotation there is no file; the rest of the old one is
                    // read after them.
                    Place::In { .. } if is_absent => self.place,
                    Place::In { .. } | Place::End | Place::Start if is_absent => Place::Start,
                    Place::In { .. } | Place::End | Place::Start => Place::End,
                };
                TailState::Unread(fault(&error))
            }
        }
    }

    fn try_read(&mut self, take: &mut Take<'_>) -> io::Result<TailState> {
        let mut file = small_file::open(&self.path)?;
        let metadata = file.metadata()?;
        let (this, len) = (number_of(&metadata), metadata.len());
        let mut is_skipped = false;
        let from = match self.place {
            Place::End => self.whole(len),
            Place::Start => 0,
            Place::In { file, offset } if file == this && offset <= len => offset,
            Place::In { file, .. } if file == this => 0,
            Place::In { file, offset } => {
                is_skipped = self.read_rest(file, offset, take);
                0
            }
        };
        let start = from.max(self.whole(len.saturating_sub(READ_BYTES_MAX)));
        is_skipped |= start > from;
        let offset = pieces(&mut file, start, len, take)?;
        self.place = Place::In { file: this, offset };
        Ok(if is_skipped {
            TailState::Skipped
        } else {
            TailState::Read
        })
    }

    /// The last multiple of the unit up to an offset.
    const fn whole(&self, offset: u64) -> u64 {
        offset - offset % self.unit
    }

    /// Reads on in the file that was moved away; returns whether a part of it was passed by. What
    /// cannot be read of it is lost, and the new file goes on.
    fn read_rest(&self, former: FileNumber, offset: u64, take: &mut Take<'_>) -> bool {
        let mut moved = self.path.clone().into_os_string();
        moved.push(".1");
        let Ok(mut file) = small_file::open(Path::new(&moved)) else {
            return false;
        };
        let metadata = file.metadata();
        let Some(metadata) = metadata.ok().filter(|found| number_of(found) == former) else {
            return false;
        };
        let start = offset.max(self.whole(metadata.len().saturating_sub(READ_BYTES_MAX)));
        let _ = pieces(&mut file, start, metadata.len(), take);
        start > offset
    }
}

/// Gives `file` from `start` to `end`; returns where the first byte is that was not done with.
fn pieces(file: &mut File, start: u64, end: u64, take: &mut Take<'_>) -> io::Result<u64> {
    if start >= end {
        return Ok(start);
    }
    file.seek(SeekFrom::Start(start))?;
    let mut file = file.take(end - start);
    let mut buffer = vec![0; PIECE_BYTES];
    let (mut n_held, mut offset) = (0, start);
    while let Some(free) = buffer.get_mut(n_held..).filter(|free| !free.is_empty()) {
        let n = file.read(free)?;
        if n == 0 {
            break;
        }
        n_held += n;
        let n_done = take(buffer.get(..n_held).unwrap_or_default()).min(n_held);
        buffer.copy_within(n_done..n_held, 0);
        n_held -= n_done;
        offset = offset.saturating_add(u64::try_from(n_done).unwrap_or(u64::MAX));
    }
    Ok(offset)
}

#[cfg(unix)]
fn number_of(metadata: &Metadata) -> FileNumber {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// The time of creation stands for the number, which the standard library does not tell elsewhere.
#[cfg(not(unix))]
fn number_of(metadata: &Metadata) -> FileNumber {
    let created = metadata.created().ok();
    let since = created.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let micros = since.map_or(0, |since| since.as_micros());
    (0, u64::try_from(micros).unwrap_or(u64::MAX))
}

/// What is read at once: a log of a machine under attack grows by some 100 KiB in five minutes.
pub const READ_BYTES_MAX: u64 = 4 << 20;
/// A piece is the longest line.
const PIECE_BYTES: usize = super::line::LINE_BYTES_MAX;
