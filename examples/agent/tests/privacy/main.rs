//! What a machine holds and nobody is told: secrets planted where programs and collectors come by
//! are in no payload, no file of the spool or the quarantine, and no log (rows P1 and P2).
//!
//! A test program of its own, because it takes all logs of its process, at the finest level, those
//! of the libraries included. A search that finds nothing proves nothing unless the same search
//! finds what is there, so each test also looks for what may be told.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by ending"
)]

#[allow(dead_code, reason = "the other tests use other parts of it")]
#[path = "../agent/hub.rs"]
mod hub;
mod log;
mod machine;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use monsys_agent::collect::root::Root;
use monsys_agent::config::DataDir;
use monsys_agent::{Clock, Daemon, DaemonOptions};
use monsys_wire::Reject;

use crate::hub::{Hub, Reply, TempDir};
use crate::log::Log;
use crate::machine::{Machine, NAMES_NEVER_SENT, Secret};

#[test]
fn p2_no_secret_of_a_machine_is_in_a_payload_the_spool_the_quarantine_or_a_log() {
    let log = Log::of_this_process();
    let (hub, data, machine) = (Hub::start(), TempDir::new(), Machine::plant());
    enrol(&hub, data.path());
    let mut options = DaemonOptions::standard(fast());
    options.root = Root::at(machine.root());
    let daemon = Daemon::open(&DataDir::at(data.path()), options).unwrap();
    let stop = daemon.stop_handle();
    // The first payload is refused, and so set aside; all but the last ones are delivered.
    hub.answer_next(Reply::Refuse(Reject::TooLarge { body_bytes_max: 1 }));
    let run = std::thread::spawn(move || daemon.run().unwrap());
    wait_for_a_snapshot_of(&hub, &machine);
    machine.let_someone_in_and_refuse_another();
    wait_for(&hub, |body| body.contains(r#""service":"sshd""#));
    (0..64).for_each(|_| hub.answer_next(Reply::Cut));
    wait_for_arrivals(&hub, 4);
    stop.stop();
    let report = run.join().unwrap();
    assert!(report.spool.pending > 0, "{report:?}");
    let mut seen = Seen::of(&hub, data.path());
    assert!(
        seen.files
            .iter()
            .any(|(name, _)| name.starts_with("quarantine/"))
    );
    seen.files.push(("log".to_owned(), log.text().into_bytes()));
    seen.holds("log", "agent started");
    seen.holds("log", "ureq");
    seen.holds("payload", "leaky.service");
    seen.holds("payload", "[redacted-email]");
    seen.shows_nothing_of(&secrets(&machine, &hub, data.path()));
    seen.has_only_plain_text();
}

#[test]
fn p2_the_program_tells_no_secret_of_this_machine_at_the_finest_level_of_its_log() {
    let (hub, data, machine) = (Hub::start(), TempDir::new(), Machine::plant());
    enrol(&hub, data.path());
    let log = data.path().join("stderr");
    let mut daemon = agent(data.path())
        .env("MONSYS_AGENT_LOG", "trace")
        .args(["daemon", "--clock-rate", "60", "--clock-origin"])
        .arg(Clock::system().now().to_rfc3339())
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait_for_a_snapshot_of(&hub, &machine);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let mut seen = Seen::of(&hub, data.path());
    for words in [
        &["run-once", "--print"][..],
        &["spool", "status"],
        &["identity"],
        &["doctor"],
    ] {
        let mut command = agent(data.path());
        let output = command
            .env("MONSYS_AGENT_LOG", "trace")
            .args(words)
            .output();
        let output = output.unwrap();
        assert!(!output.stdout.is_empty(), "{words:?}: {output:?}");
        seen.files.push((words.join(" "), output.stdout));
        seen.files.push((words.join(" "), output.stderr));
    }
    seen.holds("stderr", "agent started");
    seen.holds("run-once --print", machine.watched());
    seen.shows_nothing_of(&secrets(&machine, &hub, data.path()));
    seen.has_only_plain_text();
}

/// Everything that an agent leaves behind and that others come by.
struct Seen {
    /// What each is, and its bytes: payloads that arrived, files of the data directory, logs.
    files: Vec<(String, Vec<u8>)>,
}

impl Seen {
    fn of(hub: &Hub, data: &Path) -> Self {
        let arrived = hub.arrived().into_iter();
        let mut files: Vec<_> = arrived
            .map(|payload| ("payload".to_owned(), payload.body.into_bytes()))
            .collect();
        let mut directories = vec![data.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let name = path.strip_prefix(data).unwrap().to_str().unwrap();
                // The two that hold its own secrets, which only their owner can read.
                if !["agent.toml", "signing.key"].contains(&name) {
                    files.push((name.to_owned(), fs::read(&path).unwrap()));
                }
            }
        }
        assert!(
            files
                .iter()
                .any(|(name, bytes)| is_spool(name) && !bytes.is_empty())
        );
        Self { files }
    }

    /// The search finds what is there.
    fn holds(&self, what: &str, text: &str) {
        let mut files = self.files.iter();
        let is_there = files.any(|(name, bytes)| name == what && has(bytes, text.as_bytes()));
        assert!(is_there, "{what} without {text:?}");
    }

    fn shows_nothing_of(&self, secrets: &[Secret]) {
        for Secret { place, text } in secrets {
            assert!(text.len() >= 8, "{place}: too short to search for");
            for (name, bytes) in &self.files {
                assert!(!has(bytes, text.as_bytes()), "{place} is in {name}");
            }
        }
    }

    /// Nothing that looks like an address of a person or that steers a terminal, as it is or
    /// escaped, is in a payload or the spool.
    fn has_only_plain_text(&self) {
        for (name, bytes) in &self.files {
            for text in NAMES_NEVER_SENT {
                assert!(!has(bytes, text.as_bytes()), "{text:?} is in {name}");
            }
            if name == "payload" {
                let text = str::from_utf8(bytes).unwrap();
                let bad = text.chars().find(|c| c.is_control() || BIDI.contains(c));
                assert_eq!(bad, None, "{text}");
                assert!(!text.contains(r"\u00"), "{text}");
            }
        }
    }
}

fn secrets(machine: &Machine, hub: &Hub, data: &Path) -> Vec<Secret> {
    let own = |place: &str, text: &str| Secret {
        place: place.to_owned(),
        text: text.trim().to_owned(),
    };
    let key = fs::read_to_string(data.join("signing.key")).unwrap();
    let mut secrets = machine.secrets();
    secrets.push(own("the signing key", &key));
    secrets.push(own("the token", &hub.token));
    secrets.push(own(
        "the token's own part",
        hub.token.trim_start_matches("ms_"),
    ));
    secrets
}

fn enrol(hub: &Hub, data: &Path) {
    let mut command = agent(data);
    command.args(["init", "--hub", hub.url(), "--token", &hub.token]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn agent(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monsys-agent"));
    command.env_clear().env("MONSYS_AGENT_DATA", data);
    command
}

fn fast() -> Clock {
    Clock::accelerated(Clock::system().now(), 60).unwrap()
}

/// A snapshot of processes, in which one that was planted is seen.
fn wait_for_a_snapshot_of(hub: &Hub, machine: &Machine) {
    wait_for(hub, |body| {
        body.contains(r#""type":"endpoint""#) && body.contains(machine.watched())
    });
}

fn wait_for(hub: &Hub, is_it: impl Fn(&str) -> bool) {
    while !hub.arrived().iter().any(|payload| is_it(&payload.body)) {
        hub.events().recv_timeout(PATIENCE).unwrap();
    }
}

fn wait_for_arrivals(hub: &Hub, n: usize) {
    let n_before = hub.arrived().len();
    while hub.arrived().len() < n_before + n {
        hub.events().recv_timeout(PATIENCE).unwrap();
    }
}

fn is_spool(name: &str) -> bool {
    name.starts_with("spool/")
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

const PATIENCE: Duration = Duration::from_secs(30);
/// Characters that turn the direction of what is shown.
const BIDI: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];
