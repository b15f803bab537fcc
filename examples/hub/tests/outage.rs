//! A store that is away for a while, and one whose disk is full: senders hear 503 and when to come
//! again, the hub goes on by itself as soon as it can, and nothing that it acknowledged is lost.
//!
//! `MONSYS_OUTAGE_S` says for how long the database is away; what is usual keeps the file short.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::fleet::{Fleet, Spool};
use support::hub::program;
use support::person::Person;
use support::postgres::{Cluster, Durability};
use support::store::assert_sound;
use support::{DataDir, Hub, pause, poll};

/// Space that the store has beside what it starts with, in MiB.
const DISK_MIB: u32 = 12;

#[test]
fn a_database_that_is_away_is_said_to_everybody_and_needs_no_restart_of_the_hub() {
    let Some(cluster) = Cluster::start(Durability::Synced) else {
        return;
    };
    let seconds = std::env::var("MONSYS_OUTAGE_S").map_or(2, |text| text.parse().unwrap());
    let data = DataDir::of(cluster.database());
    let mut hub = Hub::start(&data);
    let person = Person::set_up(&hub, "first");
    data.add_org("acme");
    let fleet = Fleet::of(&data);
    fleet.open(&hub);
    fleet.wait_until_each_delivers();
    cluster.kill();
    fleet.wait_until_each_is_refused();
    pause(Duration::from_secs(seconds));
    for path in ["/overview", "/api/v1/agents", "/readyz"] {
        let answer = person.get(&hub, path);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{path}: {answer:?}");
    }
    assert_eq!(person.get(&hub, "/healthz").status, 200);
    cluster.restart();
    fleet.wait_until_each_delivers();
    poll("people are served again", Duration::from_secs(10), || {
        (person.get(&hub, "/overview").status == 200).then_some(())
    });
    let n_refused = fleet.n_unavailable();
    let n_acknowledged = assert_whole(fleet.end(), &data, &hub);
    hub.assert_alive();
    println!("{n_acknowledged} acknowledged, {n_refused} times 503 in an outage of {seconds} s");
}

#[test]
fn a_full_disk_is_said_to_senders_and_they_are_served_again_when_there_is_space() {
    let data = DataDir::new();
    if data.database().is_some() {
        // What a server does without space is between it and its operator.
        return;
    }
    data.add_org("acme");
    let fleet = Fleet::of(&data);
    let Some(mut hub) = start_on_small_disk(&data) else {
        println!("no disk of its own could be mounted: a full disk was not tested");
        return;
    };
    let disk = seen_by(&hub, data.path());
    fleet.open(&hub);
    fleet.wait_until_each_delivers();
    for round in 0..3 {
        let ballast = disk.join("ballast");
        fill(&ballast);
        fleet.wait_until_each_is_refused();
        assert_eq!(support::raw::get(hub.addr, "/healthz").status, 200);
        fs::remove_file(&ballast).unwrap();
        fleet.wait_until_each_delivers();
        assert_eq!(
            support::raw::get(hub.addr, "/readyz").status,
            200,
            "{round}"
        );
    }
    let n_refused = fleet.n_unavailable();
    let mut senders = fleet.end();
    for sender in &mut senders {
        sender.deliver_pending(&hub);
        sender.repeat(&hub);
    }
    hub.assert_alive();
    // The disk goes with the hub: what it holds is looked at where it was before.
    for file in ["monsys.db", "monsys.db-wal"] {
        fs::copy(disk.join(file), data.path().join(file)).unwrap();
    }
    hub.kill();
    for sender in &senders {
        sender.assert_whole(&data);
    }
    assert_sound(&data);
    let n_acknowledged: usize = senders.iter().map(Spool::n_acknowledged).sum();
    println!("{n_acknowledged} acknowledged, {n_refused} times 503 on a full disk");
}

/// Asserts that each sender's payloads are there once, also when all are sent again.
fn assert_whole(senders: Vec<Spool>, data: &DataDir, hub: &Hub) -> usize {
    let mut n_acknowledged = 0;
    for mut sender in senders {
        sender.deliver_pending(hub);
        sender.repeat(hub);
        sender.assert_whole(data);
        n_acknowledged += sender.n_acknowledged();
    }
    assert_sound(data);
    n_acknowledged
}

/// Starts a hub whose data directory is a small disk that only it sees; `None` where a user may not
/// mount one.
fn start_on_small_disk(data: &DataDir) -> Option<Hub> {
    let mount = format!(
        "mount -t tmpfs -o size={DISK_MIB}m,mode=700 tmpfs \"$0\" && \
         cp -a \"$0.before/.\" \"$0/\" && exec \"$@\""
    );
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(data.path());
        command.stdin(Stdio::null());
        command
    };
    let mut probe = in_namespace("mount -t tmpfs tmpfs \"$0\"");
    let may_mount = probe.stderr(Stdio::null()).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        return None;
    }
    let before = PathBuf::from(format!("{}.before", data.path().display()));
    let _ = fs::remove_dir_all(&before);
    fs::create_dir(&before).unwrap();
    for file in fs::read_dir(data.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), before.join(file.file_name())).unwrap();
    }
    let mut command = in_namespace(&mount);
    command.arg(program().get_program());
    command.args(["run", "--addr", "127.0.0.1:0", "--data"]);
    command.arg(data.path());
    command.envs([("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")]);
    let hub = Hub::start_by(data, command);
    fs::remove_dir_all(&before).unwrap();
    Some(hub)
}

/// A path as the hub sees it.
fn seen_by(hub: &Hub, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{}/root", hub.pid())).join(path.strip_prefix("/").unwrap())
}

/// Writes a file until the disk has no more space.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    loop {
        match file.write_all(&[0; 4_096]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}
