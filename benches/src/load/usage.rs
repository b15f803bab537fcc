//! What processes use, as the kernel counts it: CPU time in ticks of 10 ms, memory in pages.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time so far of a process and all that descend from it, user and system.
///
/// What a process that ended has used is counted with its parent, once that has waited for it.
pub fn cpu_of_tree(root: u32) -> Duration {
    let all = processes();
    let mut wanted = vec![root];
    let mut ticks = 0;
    while let Some(pid) = wanted.pop() {
        ticks += all.get(&pid).map_or(0, |process| process.ticks);
        let children = all.iter().filter(|(_, process)| process.parent == pid);
        wanted.extend(children.map(|(child, _)| *child));
    }
    Duration::from_millis(ticks * MILLIS_PER_TICK)
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|text| text.parse::<u64>().ok())
        .expect("a number of kB")
        << 10
}

/// CPU time so far of this thread.
pub fn cpu_of_thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time so far of this process.
pub fn cpu_of_this_process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

struct Process {
    parent: u32,
    ticks: u64,
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let names = entries.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

/// `None` when it has just ended.
fn process(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // proc_pid_stat(5): fields 4 and 14 to 17; the third is the first here.
    let ticks = [11, 12, 13, 14].map(number);
    Some(Process {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: ticks.into_iter().flatten().sum(),
    })
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(i64::unsigned_abs);
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// `USER_HZ` is 100 on every Linux of today.
const MILLIS_PER_TICK: u64 = 10;
