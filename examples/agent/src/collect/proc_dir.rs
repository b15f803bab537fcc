//! Reads many processes below `/proc` with few system calls and no allocation for each.
//!
//! What: lists process numbers, reads a small file, a link or a directory of one process, all
//! relative to one directory handle and into buffers that the caller keeps. What not: parsing, and
//! `cmdline` and `environ`: nothing here names them. A process may vanish between two calls, which
//! is an error like any other and is told apart by [`is_gone`]. Cost: three system calls a file,
//! one a link.

use std::collections::BinaryHeap;
use std::io::Write;
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
#[cfg(target_os = "linux")]
use rustix::fs::RawDir;
use rustix::fs::{AtFlags, Mode, OFlags, open, openat, readlinkat_raw, statat};
use rustix::io::{Errno, read};

/// A file of one process that collectors may read. Closed: what is not here is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessFile {
    /// What the kernel knows of it; of use here is whether it has memory.
    Status,
    /// Its name.
    Comm,
    /// Link to the file that it runs.
    Exe,
    /// Directory of links to what it has open.
    Fd,
}

/// The directory of all processes.
#[derive(Debug)]
pub struct ProcDir {
    dir: OwnedFd,
}

/// Numbers of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pids {
    /// The lowest ones, sorted.
    pub kept: Vec<u32>,
    /// How many there are.
    pub n_all: usize,
}

impl ProcDir {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`Errno`] of the operating system.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        let dir = open(path, DIRECTORY, Mode::empty())?;
        Ok(Self { dir })
    }

    /// Lists processes and keeps the lowest `n_max` numbers.
    ///
    /// # Errors
    /// [`Errno`] of the operating system.
    pub fn pids(&self, n_max: usize) -> Result<Pids, Errno> {
        let (mut lowest, mut n_all) = (BinaryHeap::new(), 0);
        let dir = openat(&self.dir, ".", DIRECTORY, Mode::empty())?;
        for_each_name(&dir, |name| {
            let Some(pid) = parse_pid(name) else {
                return;
            };
            n_all += 1;
            // The kernel lists them in ascending order; a captured directory does not.
            if lowest.len() < n_max || lowest.peek().is_some_and(|highest| pid < *highest) {
                lowest.push(pid);
            }
            if lowest.len() > n_max {
                lowest.pop();
            }
        })?;
        Ok(Pids {
            kept: lowest.into_sorted_vec(),
            n_all,
        })
    }

    /// Reads the beginning of a file, as much as fits into a page.
    ///
    /// # Errors
    /// [`Errno`] of the operating system.
    pub fn read<'b>(
        &self,
        pid: u32,
        file: ProcessFile,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], Errno> {
        let file = openat(
            &self.dir,
            place(pid, file, &mut [0; 24]),
            FILE,
            Mode::empty(),
        )?;
        buffer.clear();
        buffer.reserve(PAGE_BYTES);
        read(&file, spare_capacity(buffer))?;
        Ok(buffer)
    }

    /// Returns whose rights a process has (its effective user).
    ///
    /// The directory of a process belongs to that user whatever the process did, which the kernel
    /// keeps for the sake of `ps`, because it is so much cheaper than to write and read `status`.
    ///
    /// # Errors
    /// [`Errno`] of the operating system.
    pub fn user(&self, pid: u32) -> Result<u32, Errno> {
        let mut space = [0; 24];
        let place = place(pid, ProcessFile::Status, &mut space);
        let n_digits = place.iter().take_while(|byte| **byte != b'/').count();
        let directory = place.get(..n_digits).unwrap_or_default();
        Ok(statat(&self.dir, directory, AtFlags::SYMLINK_NOFOLLOW)?.st_uid)
    }

    /// Reads a link.
    ///
    /// # Errors
    /// [`Errno`] of the operating system.
    pub fn link<'b>(
        &self,
        pid: u32,
        file: ProcessFile,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], Errno> {
        link_at(&self.dir, place(pid, file, &mut [0; 24]), buffer)
    }

    /// Reads every link in a directory of one process.
    ///
    /// # Errors
    /// [`Errno`] when the directory cannot be opened or listed, or no link can be read for lack of
    /// permission; a link that vanishes is skipped.
    pub fn for_each_link(
        &self,
        pid: u32,
        directory: ProcessFile,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Errno> {
        let mut space = [0; 24];
        let place = place(pid, directory, &mut space);
        let dir = openat(&self.dir, place, DIRECTORY, Mode::empty())?;
        let mut denied = None;
        for_each_name(&dir, |name| {
            if name.starts_with(b".") || denied.is_some() {
                return;
            }
            match link_at(&dir, name, buffer) {
                Ok(target) => take(target),
                Err(error @ (Errno::ACCESS | Errno::PERM)) => denied = Some(error),
                Err(_) => {}
            }
        })?;
        denied.map_or(Ok(()), Err)
    }
}

/// Tells whether an error means that the process is gone.
pub fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

fn parse_pid(name: &[u8]) -> Option<u32> {
    let is_number = name.first().is_some_and(|byte| matches!(byte, b'1'..=b'9'));
    str::from_utf8(name)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

impl ProcessFile {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Comm => "comm",
            Self::Exe => "exe",
            Self::Fd => "fd",
        }
    }
}

/// Writes `PID/FILE` into `space`, which is long enough for both.
fn place(pid: u32, file: ProcessFile, space: &mut [u8; 24]) -> &[u8] {
    let mut rest = space.as_mut_slice();
    // Cannot fail: at most ten digits, a slash and six letters.
    let _ = write!(rest, "{pid}/{}", file.as_str());
    let n_left = rest.len();
    let n_written = space.len() - n_left;
    space.get(..n_written).unwrap_or_default()
}

fn link_at<'b>(dir: impl AsFd, name: &[u8], buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Errno> {
    buffer.clear();
    buffer.reserve(PAGE_BYTES);
    readlinkat_raw(dir, name, spare_capacity(buffer))?;
    Ok(buffer)
}

/// Calls `take` with each name in a directory, without `.` and `..`.
#[cfg(target_os = "linux")]
pub(super) fn for_each_name(dir: &OwnedFd, mut take: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BYTES];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => take(name),
        }
    }
    Ok(())
}

/// Calls `take` with each name in a directory, without `.` and `..`.
#[cfg(not(target_os = "linux"))]
pub(super) fn for_each_name(dir: &OwnedFd, mut take: impl FnMut(&[u8])) -> Result<(), Errno> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => take(name),
        }
    }
    Ok(())
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
/// A special file in a captured directory must not make anyone wait.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
/// What the kernel gives of a file of `/proc` at once, and the longest path.
const PAGE_BYTES: usize = 4_096;
/// Some 300 names a system call.
#[cfg(target_os = "linux")]
const DIRECTORY_BYTES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_listed_and_its_files_are_read() {
        let proc = ProcDir::open(Path::new("/proc")).unwrap();
        let own = std::process::id();
        let pids = proc.pids(usize::MAX).unwrap();
        assert!(pids.kept.binary_search(&own).is_ok());
        assert_eq!(pids.kept.len(), pids.n_all);
        let mut buffer = Vec::new();
        let status = proc.read(own, ProcessFile::Status, &mut buffer).unwrap();
        assert!(status.starts_with(b"Name:\t"));
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(proc.user(own), Ok(user));
        let exe = proc.link(own, ProcessFile::Exe, &mut buffer).unwrap();
        assert_eq!(
            exe,
            std::env::current_exe()
                .unwrap()
                .as_os_str()
                .as_encoded_bytes()
        );
        let (mut n_links, mut link) = (0, Vec::new());
        proc.for_each_link(own, ProcessFile::Fd, &mut link, |_| n_links += 1)
            .unwrap();
        assert!(n_links >= 3, "{n_links}");
    }

    #[test]
    fn only_the_lowest_numbers_are_kept_and_all_are_counted() {
        let proc = ProcDir::open(Path::new("/proc")).unwrap();
        let pids = proc.pids(3).unwrap();
        assert_eq!(pids.kept.len(), 3);
        assert!(pids.n_all > 3 && pids.kept.is_sorted());
    }

    #[test]
    fn what_is_gone_is_told_apart() {
        let proc = ProcDir::open(Path::new("/proc")).unwrap();
        // Beyond the highest number that the kernel gives.
        let mut buffer = Vec::new();
        let gone = proc.read(u32::MAX, ProcessFile::Comm, &mut buffer);
        assert!(is_gone(gone.unwrap_err()));
        assert!(is_gone(ProcDir::open(Path::new("/proc/x")).unwrap_err()));
        assert!(!is_gone(
            ProcDir::open(Path::new("/proc/self/stat")).unwrap_err()
        ));
    }

    #[test]
    fn names_that_are_no_numbers_are_no_processes() {
        assert_eq!(parse_pid(b"17"), Some(17));
        for other in [
            &b"0"[..],
            b"017",
            b"+1",
            b"self",
            b"",
            b"4294967296",
            b"1\xff",
        ] {
            assert_eq!(parse_pid(other), None);
        }
    }

    #[test]
    fn the_longest_number_leaves_room_for_the_longest_name() {
        assert_eq!(
            place(u32::MAX, ProcessFile::Status, &mut [0; 24]),
            b"4294967295/status"
        );
    }
}
