//! Small files of the machine, read whole and with a limit.
//!
//! What: reading, and how long ago something was written. A pipe or a device in the place of a file
//! is refused and never waited for. What not: following a file that grows; that is
//! [`super::auth::tail`]. Cost: open, stat and read of one file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use monsys_core::time::{Span, Timestamp};

use super::root::Root;

/// Reads a file of text; bytes that are no UTF-8 are replaced, what is beyond the limit is cut.
///
/// # Errors
/// Whatever the file system says; [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub(crate) fn read_text(root: &Root, path: &str) -> io::Result<String> {
    read_bytes(root, path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a file, of which what is beyond the limit is cut.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn read_bytes(root: &Root, path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(&root.path(path))?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file for reading.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = options().open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// Returns whether there is something at a path.
///
/// # Errors
/// Whatever the file system says, but for absence.
pub(crate) fn is_there(root: &Root, path: &str) -> io::Result<bool> {
    root.path(path).try_exists()
}

/// Returns when a file or directory was written last.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn written_at(path: &Path) -> io::Result<Timestamp> {
    let modified = fs::metadata(path)?.modified()?;
    // Before 1970 is as unlikely as the far future, and as wrong.
    let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    Ok(Timestamp::from_unix_micros(micros).unwrap_or(Timestamp::MAX))
}

/// Returns how long ago a file or directory was written last; below zero when it is of the future.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn age(root: &Root, path: &str, wall: Timestamp) -> io::Result<Span> {
    written_at(&root.path(path)).map(|at| wall.since(at))
}

#[cfg(target_os = "linux")]
fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    // Opening a pipe waits for its other end, unless it is asked not to.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    options.read(true).custom_flags(flags);
    options
}

#[cfg(not(target_os = "linux"))]
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// The largest file read here is the table of mounts.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_pipe_and_a_directory_are_refused_and_not_waited_for() {
        let dir = TempDir::new();
        let root = Root::at(dir.path());
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        for path in ["pipe", "dir"] {
            let error = read_text(&root, path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
        let absent = read_text(&root, "absent").unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_cut_at_its_limit_and_bytes_that_are_no_text_are_replaced() {
        let dir = TempDir::new();
        let root = Root::at(dir.path());
        fs::write(dir.path().join("long"), vec![b'a'; (1 << 20) + 1]).unwrap();
        assert_eq!(read_bytes(&root, "/long").unwrap().len(), 1 << 20);
        fs::write(dir.path().join("text"), b"a\xffb").unwrap();
        assert_eq!(read_text(&root, "/text").unwrap(), "a\u{fffd}b");
    }
}
