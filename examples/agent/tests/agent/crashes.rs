//! The daemon killed at random moments, and stopped as it should be.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use monsys_agent::Clock;
use monsys_agent::spool::{SpoolLimits, inspect};
use rustix::process::{Pid, Signal, kill_process};

use crate::commands::{agent, init};
use crate::hub::{Hub, Reply, TempDir};

#[test]
fn kill_minus_9_at_random_points_never_reuses_a_position_and_loses_nothing() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    for _ in 0..25 {
        let mut daemon = daemon(dir.path());
        if random_below(2) == 0 {
            hub.answer_next(Reply::CutAfterStoring);
        }
        listen_for(&hub, Duration::from_micros(250_000 + random_below(400_000)));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
    let mut last = daemon(dir.path());
    while inspect(&dir.path().join("spool"), SpoolLimits::standard())
        .unwrap()
        .pending
        > 0
    {
        hub.events().recv_timeout(Duration::from_secs(30)).unwrap();
    }
    last.kill().unwrap();
    last.wait().unwrap();

    let mut contents = BTreeMap::new();
    for arrived in hub.arrived() {
        let known = *contents.entry(arrived.position).or_insert(arrived.content);
        assert_eq!(known, arrived.content, "{:?}", arrived.position);
    }
    assert!(
        contents.len() >= 25,
        "only {} payloads arrived",
        contents.len()
    );
    let seqs: Vec<(u64, u64)> = contents.keys().map(|p| (p.epoch(), p.seq())).collect();
    let next = inspect(&dir.path().join("spool"), SpoolLimits::standard())
        .unwrap()
        .next_seq;
    let gap = (1..next).find(|seq| !seqs.contains(&(1, *seq)));
    // The daemon may have spooled one more between the last look and its end.
    assert!(
        gap.is_none_or(|seq| seq + 1 >= next),
        "payload {gap:?} was lost"
    );
}

#[test]
fn sigterm_ends_the_daemon_cleanly_with_what_it_has_delivered() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let mut daemon = daemon(dir.path());
    for _ in 0..3 {
        hub.events().recv_timeout(Duration::from_secs(30)).unwrap();
    }
    let begin = Instant::now();
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = daemon.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(4));
    let mut log = String::new();
    daemon
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string());
    }
    assert!(
        log.contains("agent started") && log.contains("agent stopped"),
        "{log}"
    );
    assert_eq!(log.lines().count(), 3, "start, hub reached, stop: {log}");
    assert!(!log.contains(&hub.token));
    let status = inspect(&dir.path().join("spool"), SpoolLimits::standard()).unwrap();
    assert_eq!(status.pending, 0);
}

fn daemon(data: &Path) -> Child {
    let origin = Clock::system().now().to_rfc3339();
    let clock = ["daemon", "--clock-origin", &origin, "--clock-rate", "60"];
    agent(data)
        .args(clock)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a random time pass while payloads arrive.
fn listen_for(hub: &Hub, time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match hub.events().recv_timeout(left) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => panic!("the hub is gone"),
        }
    }
}

fn random_below(end: u64) -> u64 {
    getrandom::u64().unwrap() % end
}
