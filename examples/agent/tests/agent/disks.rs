//! A disk that is full or read-only under a running agent: it goes on measuring, and nothing that
//! was measured is lost once there is room.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use monsys_agent::Clock;
use monsys_agent::spool::{SpoolLimits, SpoolStatus, inspect};
use serde_json::Value;

use crate::commands::{init, run};
use crate::hub::{Hub, Reply, TempDir};

/// An agent whose data directory is a small disk that only it sees, so that neither filling it nor
/// mounting it anew touches this machine.
struct OnSmallDisk {
    hub: Hub,
    child: Running,
    data: PathBuf,
    _dir: TempDir,
}

impl OnSmallDisk {
    /// Starts it behind a command that prepares the disk; `None` where a user may not mount one.
    fn start(prepare: &str) -> Option<Self> {
        let (hub, dir) = (Hub::start(), TempDir::new());
        let data = dir.path().join("data");
        assert!(init(&hub, &data).status.success());
        hub.answer_next(Reply::Cut);
        assert_eq!(run(&data, &["run-once"]).0, 69, "it leaves a backlog");
        assert!(hub.events().recv().is_ok());
        let probe = in_namespace("mount -t tmpfs tmpfs \"$0\"", &data)
            .stderr(Stdio::null())
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            return None;
        }
        let before = dir.path().join("data.before");
        fs::rename(&data, &before).unwrap();
        fs::create_dir(&data).unwrap();
        let script = format!(
            "mount -t tmpfs -o size=512k,mode=700 tmpfs \"$0\" && \
             cp -a \"$0.before/.\" \"$0/\" && {prepare} && exec \"$@\""
        );
        let origin = Clock::system().now().to_rfc3339();
        let child = in_namespace(&script, &data)
            .arg(env!("CARGO_BIN_EXE_monsys-agent"))
            .args(["daemon", "--clock-origin", &origin, "--clock-rate", "60"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MONSYS_AGENT_DATA", &data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let child = Running::of(child);
        child.await_log("agent started");
        Some(Self {
            hub,
            child,
            data,
            _dir: dir,
        })
    }

    /// A path of the data directory as the agent sees it.
    fn seen(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.child.id()));
        root.join(self.data.strip_prefix("/").unwrap()).join(name)
    }

    fn status(&self) -> SpoolStatus {
        inspect(&self.seen("spool"), SpoolLimits::standard()).unwrap()
    }

    /// Waits for so many payloads to arrive, however they are answered.
    fn wait_for(&self, n: usize) {
        for _ in 0..n {
            self.hub
                .events()
                .recv_timeout(Duration::from_secs(30))
                .unwrap();
        }
    }

    fn wait_until(&self, what: &str, mut is_reached: impl FnMut(&SpoolStatus) -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let status = self.status();
            if is_reached(&status) {
                return;
            }
            assert!(std::time::Instant::now() < end, "{what}: {status:?}");
            // A tick is 250 ms here; whatever arrives meanwhile is looked at elsewhere.
            let _ = self.hub.events().recv_timeout(Duration::from_millis(50));
        }
    }

    fn remount(&self, how: &str) {
        let target = self.child.child.id().to_string();
        let status = Command::new("nsenter")
            .args([
                "--target",
                &target,
                "--user",
                "--mount",
                "--preserve-credentials",
            ])
            .args(["mount", "-o", &format!("remount,{how}")])
            .arg(&self.data)
            .status();
        assert!(status.unwrap().success(), "{how}");
    }

    /// Ends it and returns what it logged after its start.
    fn end(mut self) -> (Hub, Vec<Value>) {
        let running = &mut self.child;
        assert_eq!(
            running.child.try_wait().unwrap(),
            None,
            "it ended by itself"
        );
        running.child.kill().unwrap();
        let lines = running.log.iter();
        let log = lines.map(|line| serde_json::from_str(&line).unwrap());
        let log = log.collect();
        (self.hub, log)
    }
}

/// A process that ends with the test, however that ends, and what it logs.
struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    fn of(mut child: Child) -> Self {
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (said, log) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Self { child, log }
    }

    /// Waits until it logs this, and returns what it logged before.
    fn await_log(&self, message: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(60)).unwrap();
            if line.contains(message) {
                return before;
            }
            before.push(line);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_namespace(script: &str, data: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    command.arg(data).stdin(Stdio::null());
    command
}

/// Writes a file until the disk has no more space.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut chunk = 4_096;
    while chunk > 0 {
        match file.write_all(&vec![0; chunk]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => chunk /= 2,
            Err(error) => panic!("{error}"),
        }
    }
}

fn messages(log: &[Value]) -> Vec<&str> {
    log.iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect()
}

/// Asserts that the hub has every position from 1 on, each once.
fn assert_whole(hub: &Hub, next_seq: u64) {
    let mut seqs: Vec<u64> = hub.arrived().iter().map(|a| a.position.seq()).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let missing: Vec<u64> = (1..next_seq).filter(|seq| !seqs.contains(seq)).collect();
    assert!(missing.is_empty(), "{missing:?} of {next_seq}");
}

#[test]
fn on_a_full_disk_the_agent_goes_on_and_spools_what_it_held_when_there_is_room() {
    let Some(agent) = OnSmallDisk::start("true") else {
        println!("{NOT_MOUNTED}");
        return;
    };
    agent.wait_for(4);
    agent.wait_until("delivered", |status| status.pending == 0);
    let ballast = agent.seen("ballast");
    fill(&ballast);
    // There is room for a while still, in pages that are begun and in the reserve.
    let before_that = agent.child.await_log("no sample");
    agent.wait_until("what is durable is delivered", |status| {
        status.pending <= 16
    });
    while agent
        .hub
        .events()
        .recv_timeout(Duration::from_millis(500))
        .is_ok()
    {}
    let before = agent.status();
    // Nothing durable, nothing sent: the hub hears nothing while ten ticks pass.
    let silence = agent
        .hub
        .events()
        .recv_timeout(Duration::from_millis(2_500));
    assert!(silence.is_err(), "what was sent then was not durable");
    assert_eq!(agent.status().next_seq, before.next_seq);
    fs::remove_file(&ballast).unwrap();
    agent.wait_until("what was held is delivered", |status| {
        status.next_seq >= before.next_seq + 10 && status.pending == 0
    });
    let status = agent.status();
    assert_eq!((status.dropped, status.gaps.len()), (0, 0), "{status:?}");
    let (hub, log) = agent.end();
    assert_whole(&hub, status.next_seq);
    let messages = messages(&log);
    assert!(messages.contains(&"samples again"), "{messages:?}");
    let n_lines = log.len() + before_that.len();
    assert!(n_lines < 12, "not quiet: {before_that:?} {log:?}");
}

#[test]
fn a_backlog_drains_on_a_full_disk_and_makes_room_by_itself() {
    let Some(agent) = OnSmallDisk::start("true") else {
        println!("{NOT_MOUNTED}");
        return;
    };
    agent.wait_for(2);
    // The hub is away until the spool alone has filled the disk.
    for _ in 0..10_000 {
        agent.hub.answer_next(Reply::Cut);
    }
    agent.wait_until("a backlog", |status| status.pending >= 20);
    fill(&agent.seen("ballast"));
    agent.hub.take_back_replies();
    agent.wait_until("drained", |status| status.pending == 0);
    let full = agent.status();
    fs::remove_file(agent.seen("ballast")).unwrap();
    agent.wait_until("on again", |status| {
        status.next_seq > full.next_seq && status.pending == 0
    });
    let status = agent.status();
    assert_eq!((status.epoch, status.dropped), (1, 0), "{status:?}");
    let (hub, _) = agent.end();
    assert_whole(&hub, status.next_seq);
}

#[test]
fn on_a_read_only_disk_the_backlog_is_delivered_and_samples_wait() {
    let Some(agent) = OnSmallDisk::start("mount -o remount,ro \"$0\"") else {
        println!("{NOT_MOUNTED}");
        return;
    };
    let before = agent.status();
    assert!(before.pending > 0, "{before:?}");
    agent.wait_for(before.pending);
    let silence = agent
        .hub
        .events()
        .recv_timeout(Duration::from_millis(2_500));
    assert!(silence.is_err(), "what was sent then was not durable");
    assert_eq!(agent.status(), before, "nothing was written");
    agent.remount("rw");
    agent.wait_until("what was held is delivered", |status| {
        status.next_seq >= before.next_seq + 8 && status.pending == 0
    });
    let status = agent.status();
    assert_eq!((status.epoch, status.dropped), (1, 0), "{status:?}");
    let (hub, log) = agent.end();
    assert_whole(&hub, status.next_seq);
    let messages = messages(&log);
    assert!(messages.contains(&"samples again"), "{messages:?}");
}

/// Printed where a user may not mount a disk.
const NOT_MOUNTED: &str = "no disk of its own could be mounted: nothing was tested";
