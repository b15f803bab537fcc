//! One file of records, appended to and read by offset.
//!
//! What: creating, reopening at the last whole record, appending durably. What not: deciding which
//! record is pending. A segment is never written again after a failure behind which nobody knows
//! what reached the disk. Cost: one write and one `fdatasync` a record.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use monsys_wire::spool::record::{MAGIC, Record, Scanned, scan};

use crate::durable;

/// A segment that is open for appending.
#[derive(Debug)]
pub(super) struct Segment {
    name: u64,
    file: File,
    length: u64,
}

/// What a directory holds for one segment.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: u64,
    pub(super) bytes: u64,
    /// None when it does not begin like a segment.
    pub(super) scanned: Option<Scanned>,
}

/// How an append failed.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The segment is as it was.
    Unwritten(io::Error),
    /// The bytes may have reached the disk or not.
    Unknown(io::Error),
}

impl Segment {
    /// Creates the segment whose first record will have the number `name`.
    pub(super) fn create(dir: &Path, name: u64) -> io::Result<Self> {
        let path = path(dir, name);
        if path.exists() {
            // Only a segment without any record has a name that is given again.
            fs::remove_file(&path)?;
        }
        let mut file = durable::create_new(&path)?;
        file.write_all(MAGIC)?;
        Ok(Self {
            name,
            file,
            length: bytes_of(MAGIC),
        })
    }

    /// Opens a segment to go on behind its last whole record; a torn tail is cut off.
    pub(super) fn reopen(dir: &Path, name: u64, good_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path(dir, name))?;
        if file.metadata()?.len() > good_bytes {
            file.set_len(good_bytes)?;
            file.sync_data()?;
        }
        Ok(Self {
            name,
            file,
            length: good_bytes,
        })
    }

    /// Appends bytes and returns where they stand once they are durable.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64, AppendError> {
        let offset = self.length;
        if let Err(source) = self.file.write_all_at(bytes, offset) {
            // A part of the bytes is no record, and none of them is left where this succeeds.
            return Err(match self.file.set_len(offset) {
                Ok(()) => AppendError::Unwritten(source),
                Err(_) => AppendError::Unknown(source),
            });
        }
        if let Err(source) = self.file.sync_data() {
            let _ = self.file.set_len(offset);
            return Err(AppendError::Unknown(source));
        }
        self.length += bytes_of(bytes);
        Ok(offset)
    }

    pub(super) const fn name(&self) -> u64 {
        self.name
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }
}

/// Reads one record; `None` when the disk does not return what was written.
pub(super) fn read(dir: &Path, name: u64, offset: u64, length: u64) -> io::Result<Option<Record>> {
    let file = File::open(path(dir, name))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Record::decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads every segment of a directory, in order.
pub(super) fn find(dir: &Path) -> io::Result<Vec<Found>> {
    let mut names: Vec<u64> = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.extend(entry?.file_name().to_str().and_then(name_of));
    }
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        match fs::read(path(dir, name)) {
            Ok(bytes) => {
                found.push(Found {
                    name,
                    bytes: bytes_of(&bytes),
                    scanned: scan(&bytes),
                });
            }
            // Deleted by its owner while another program looks on.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Deletes a segment; one that is gone already is fine.
pub(super) fn remove(dir: &Path, name: u64) -> io::Result<()> {
    match fs::remove_file(path(dir, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts a file out of the way that is no segment, or not one of this version.
pub(super) fn set_aside(dir: &Path, name: u64) -> io::Result<()> {
    let path = path(dir, name);
    fs::rename(&path, path.with_extension("damaged"))
}

fn path(dir: &Path, name: u64) -> PathBuf {
    dir.join(format!("{name:020}.{EXTENSION}"))
}

fn name_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn bytes_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

const EXTENSION: &str = "seg";
