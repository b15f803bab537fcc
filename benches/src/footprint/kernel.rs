//! What the kernel counts of another process: processor time to the nanosecond, memory by page.
//!
//! Processor time is the sum over the threads that live (`/proc/PID/task/*/schedstat`), because the
//! times of `/proc/PID/stat` come in steps of 10 ms, in which a sample of a millisecond is not seen.
//! A thread is counted up to when it last slept, so figures are read while the process does. What
//! not: threads that ended; no measured program ends one at work.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Memory {
    /// What stands in memory of it, shared with others or not.
    pub(super) resident: f64,
    /// The same, where a page shared by n counts for one nth.
    pub(super) proportional: f64,
    /// What only this process has, and has written to: heap, stacks, data.
    pub(super) private_dirty: f64,
}

/// Processor time so far, user and system.
pub(super) fn cpu(pid: u32) -> Duration {
    threads(pid).into_iter().map(|(_, spent)| spent).sum()
}

/// Processor time so far of each thread by name, the first one first.
pub(super) fn threads(pid: u32) -> Vec<(String, Duration)> {
    let root = format!("/proc/{pid}/task");
    let entries = fs::read_dir(root).expect("a live process");
    let mut tasks: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    tasks.sort();
    let of = |path: std::path::PathBuf| {
        let spent = fs::read_to_string(path.join("schedstat")).ok()?;
        let spent = spent.split(' ').next()?.parse().ok()?;
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((name.trim().to_owned(), Duration::from_nanos(spent)))
    };
    tasks.into_iter().filter_map(of).collect()
}

/// Memory at present.
pub(super) fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a live process");
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes
            .and_then(|text| text.parse::<f64>().ok())
            .expect("a number of kB")
            * 1024.0
    };
    Memory {
        resident: of("Rss:"),
        proportional: of("Pss:"),
        private_dirty: of("Private_Dirty:"),
    }
}

/// Size of a program without what only debuggers read; `None` where there is no `strip`.
pub(super) fn stripped_bytes(program: &std::path::Path) -> Option<f64> {
    let copy = super::directory("stripped").join("program");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&copy)
        .arg(program)
        .status();
    let bytes = status
        .ok()
        .filter(|status| status.success())
        .and_then(|_| fs::metadata(&copy).ok())
        .map(|about| about.len() as f64);
    let _ = fs::remove_dir_all(copy.parent().expect("a directory"));
    bytes
}

/// Lets others work for a time; for what gives no sign when it is done.
pub(super) fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// How many processes the host has.
pub(super) fn n_processes() -> usize {
    let names = fs::read_dir("/proc").expect("/proc").flatten();
    let is_pid = |name: &std::ffi::OsString| {
        name.to_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    names.map(|entry| entry.file_name()).filter(is_pid).count()
}
