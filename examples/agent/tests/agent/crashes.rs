//! The daemon killed at random moments, and stopped as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use monsys_agent::Clock;
use monsys_agent::spool::{SpoolLimits, inspect};
use monsys_core::position::Admission;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::commands::{agent, init};
use crate::hub::{Hub, Reply, TempDir};

/// Agents that live side by side, each with a hub of its own, and how often each is killed.
const AGENTS: u64 = 10;
const LIVES: u64 = 50;

#[test]
fn killed_500_times_at_random_points_the_agent_loses_nothing_and_repeats_nothing() {
    let seed = std::env::var("MONSYS_KILL_SEED")
        .map_or_else(|_| getrandom::u64().unwrap(), |text| text.parse().unwrap());
    println!("seed {seed}; MONSYS_KILL_SEED={seed} kills at the same points");
    let begin = Instant::now();
    let agents: Vec<_> = (0..AGENTS)
        .map(|n| thread::spawn(move || live_and_die(Dice(seed ^ n.wrapping_mul(GOLDEN)))))
        .collect();
    let lives: Vec<Life> = agents
        .into_iter()
        .map(|agent| agent.join().unwrap())
        .collect();
    let sum = |part: fn(&Life) -> usize| lives.iter().map(part).sum::<usize>();
    println!(
        "{} kills, {} payloads delivered, {} of them sent again, {} torn bytes cut, in {:.1} s",
        AGENTS * LIVES,
        sum(|life| life.n_delivered),
        sum(|life| life.n_repeated),
        sum(|life| life.torn_bytes),
        begin.elapsed().as_secs_f64()
    );
    assert!(sum(|life| life.n_delivered) >= 250, "they hardly lived");
    assert!(
        sum(|life| life.n_repeated) > 0,
        "no kill fell between answer and note"
    );
}

/// What became of one agent.
struct Life {
    n_delivered: usize,
    n_repeated: usize,
    torn_bytes: usize,
}

fn live_and_die(mut dice: Dice) -> Life {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let (mut torn_bytes, mut known) = (0, 1);
    for _ in 0..LIVES {
        let mut daemon = daemon(dir.path());
        if dice.below(4) == 0 {
            hub.answer_next(Reply::CutAfterStoring);
        }
        listen_for(&hub, Duration::from_micros(150_000 + dice.below(500_000)));
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let log = log_of(&mut daemon);
        torn_bytes += torn_bytes_in(&log);
        assert!(!log.contains("panicked"), "{log}");
        let left = inspect(&dir.path().join("spool"), SpoolLimits::standard()).unwrap();
        assert!(
            (left.epoch, left.dropped) == (1, 0) && left.next_seq >= known,
            "{left:?}"
        );
        known = left.next_seq;
    }
    drain(&hub, dir.path());
    let mut contents = BTreeMap::new();
    let (mut n_fresh, mut n_repeated) = (0, 0);
    for arrived in hub.arrived() {
        let known = *contents.entry(arrived.position).or_insert(arrived.content);
        assert_eq!(known, arrived.content, "{:?}", arrived.position);
        match arrived.admission {
            Some(Admission::Fresh { .. }) => n_fresh += 1,
            Some(Admission::Duplicate) => n_repeated += 1,
            other => panic!("{other:?} at {:?}", arrived.position),
        }
    }
    assert_eq!(n_fresh, contents.len(), "each position counted once");
    // Whatever was durable has arrived. The daemon may have spooled more between the last look and
    // its end, as one tick does at most.
    let last = inspect(&dir.path().join("spool"), SpoolLimits::standard()).unwrap();
    let seqs: BTreeSet<u64> = contents.keys().map(|position| position.seq()).collect();
    let missing: Vec<u64> = (1..last.next_seq)
        .filter(|seq| !seqs.contains(seq))
        .collect();
    let n_pending = u64::try_from(last.pending).unwrap();
    assert!(
        missing.iter().all(|seq| seq + n_pending >= last.next_seq),
        "payloads {missing:?} were lost; {last:?}"
    );
    Life {
        n_delivered: n_fresh,
        n_repeated,
        torn_bytes,
    }
}

/// Lets an agent live until the hub has all that it spooled.
fn drain(hub: &Hub, data: &Path) {
    let mut last = daemon(data);
    let spool = data.join("spool");
    while inspect(&spool, SpoolLimits::standard()).unwrap().pending > 0 {
        hub.events().recv_timeout(Duration::from_secs(30)).unwrap();
    }
    last.kill().unwrap();
    last.wait().unwrap();
}

fn log_of(daemon: &mut Child) -> String {
    let mut log = String::new();
    let mut stderr = daemon.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    log
}

fn torn_bytes_in(log: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains("spool recovered"));
    let torn = lines.map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["n_damaged"], 0, "{line}");
        usize::try_from(line["torn_bytes"].as_u64().unwrap()).unwrap()
    });
    torn.sum()
}

/// Numbers that a seed repeats (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

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
        let line: Value = serde_json::from_str(line).unwrap();
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

pub(crate) fn daemon(data: &Path) -> Child {
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
