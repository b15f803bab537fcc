//! Private files, and writing them so that a crash leaves the old or the new content, never a
//! mixture.
//!
//! What: private files and directories (0600, 0700), replaced by rename or created exclusively,
//! with the directory synced behind each, and read only while nobody else can. What not: locking. Cost: two syncs a file, which is
//! what makes it durable.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Says why a private file was not read.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// There is none.
    #[error("expected a file")]
    Absent,
    /// Others than its owner may read or write it.
    #[error("file has mode {mode:04o}: expected 0600")]
    Exposed {
        /// Its permissions.
        mode: u32,
    },
    /// The file system refused, or it is not text.
    #[error("file cannot be read")]
    Io(#[source] io::Error),
}

/// Reads a text file that only its owner can read or write, at most its first `bytes_max` bytes.
///
/// # Errors
/// [`PrivateFileError`]; nothing is read of a file that others can see.
pub fn read_private(path: &Path, bytes_max: u64) -> Result<String, PrivateFileError> {
    let file = File::open(path).map_err(|error| {
        let is_absent = error.kind() == io::ErrorKind::NotFound;
        if is_absent {
            PrivateFileError::Absent
        } else {
            PrivateFileError::Io(error)
        }
    })?;
    let mode = file.metadata().map_err(PrivateFileError::Io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Exposed { mode });
    }
    let mut text = String::new();
    let mut start = file.take(bytes_max);
    start
        .read_to_string(&mut text)
        .map_err(PrivateFileError::Io)?;
    Ok(text)
}

/// Makes a directory, and those above it, that only its owner can enter; one that exists stays as
/// it is.
///
/// # Errors
/// Whatever the file system answers.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    sync_parent(dir)
}

/// Replaces a file: temporary file, sync, rename, sync of the directory.
///
/// # Errors
/// Whatever the file system answers; the former content is there still.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // On a full disk the half of it would only take room.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_parent(path)
}

/// Creates a file that must not exist, and returns it still empty.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when it does, or whatever the file system answers.
pub fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    sync_parent(path)?;
    Ok(file)
}

/// Makes the entries of a file's directory durable.
///
/// # Errors
/// Whatever the file system answers.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
