//! What was acknowledged is there: after kill -9 of the hub at any moment, and after an orderly end
//! under load, whichever store it has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::fs::File;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};
use support::fleet::{Fleet, n_kills};
use support::postgres::{Cluster, Durability};
use support::raw::Wire;
use support::store::{assert_sound, is_no_file, rows};
use support::{DataDir, Dice, Hub, pause};

const SEED: u64 = 20_261_121;

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment_and_nothing_is_there_twice() {
    let n_kills = n_kills(60);
    let n_acknowledged = survives_kill_9(&DataDir::new(), n_kills, 150);
    println!("seed {SEED}: {n_acknowledged} payloads acknowledged over {n_kills} kills");
}

#[test]
fn the_same_on_postgres() {
    if let Some(cluster) = Cluster::start(Durability::Synced) {
        // A hub has to connect first.
        let data = DataDir::of(cluster.database());
        let n_kills = n_kills(30);
        let n_acknowledged = survives_kill_9(&data, n_kills, 300);
        println!("seed {SEED}: {n_acknowledged} payloads acknowledged over {n_kills} kills");
    }
}

/// Kills a hub under load so many times, each at most so many milliseconds after its start; how
/// many payloads it acknowledged.
fn survives_kill_9(data: &DataDir, n_kills: usize, latest_ms: usize) -> usize {
    data.add_org("acme");
    let fleet = Fleet::of(data);
    let mut dice = Dice(SEED);
    for round in 0..n_kills {
        let hub = Hub::start(data);
        assert!(!hub.log().contains("panicked"), "{}", hub.log());
        fleet.open(&hub);
        pause(dice.moment(5..latest_ms));
        fleet.shut(&hub);
        hub.kill();
        if round % 10 == 0 {
            assert_sound(data);
        }
    }
    let mut senders = fleet.end();
    let mut hub = Hub::start(data);
    let mut n_acknowledged = 0;
    for sender in &mut senders {
        sender.assert_whole(data);
        sender.deliver_pending(&hub);
        sender.assert_whole(data);
        sender.repeat(&hub);
        sender.assert_whole(data);
        n_acknowledged += sender.n_acknowledged();
    }
    assert_sound(data);
    hub.assert_alive();
    assert!(
        n_acknowledged > 5 * n_kills,
        "only {n_acknowledged}: the hub was hardly under load"
    );
    n_acknowledged
}

/// Whoever closes a store as the last who has it open folds its log and deletes it; whether others
/// have it open, SQLite before 3.51 knows by these locks alone.
#[test]
fn a_hub_says_to_every_program_beside_it_that_it_has_its_store_open() {
    let data = DataDir::new();
    if is_no_file(&data) {
        return;
    }
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let hub = Hub::start(&data);
    let holder = || {
        let store = File::open(data.store_file()).unwrap();
        // The bytes that SQLite's file format calls shared: held for reading by each connection.
        let mut whole = Flock::from(FlockType::WriteLock);
        (whole.start, whole.length) = (0x4000_0002, 510);
        fcntl_getlk(store, &whole).unwrap()?.pid
    };
    let pid = Pid::from_raw(i32::try_from(hub.pid()).unwrap());
    assert_eq!(holder(), pid);
    agent.report(&hub, (1, 1), 4.2, "0.1.0");
    let other = data.enrol("acme", "beta");
    other.report(&hub, (1, 1), 4.2, "0.1.0");
    assert!(data.run(&["verify"]).status.success());
    assert_eq!(holder(), pid);
}

#[test]
fn an_orderly_end_under_load_loses_nothing_and_ends_in_time() {
    let data = DataDir::new();
    data.add_org("acme");
    let fleet = Fleet::of(&data);
    let mut dice = Dice(7);
    for _ in 0..5 {
        let mut hub = Hub::start(&data);
        fleet.open(&hub);
        pause(dice.moment(50..250));
        fleet.shut(&hub);
        let started = Instant::now();
        hub.terminate();
        let status = hub.wait(Duration::from_secs(15));
        assert_eq!(status.code(), Some(0), "{}", hub.log());
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
        assert!(
            TcpStream::connect(hub.addr).is_err(),
            "something still listens"
        );
        assert!(!hub.log().contains("panicked"), "{}", hub.log());
    }
    for sender in fleet.end() {
        assert!(sender.n_acknowledged() > 0);
        sender.assert_whole(&data);
    }
    assert_sound(&data);
}

#[test]
fn connections_that_say_nothing_do_not_keep_the_hub_from_ending() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let mut hub = Hub::start(&data);
    let raw = agent.raw(agent.metrics((1, 1), 4.2).as_bytes());
    let silent = Wire::open(hub.addr);
    let half_a_head = Wire::open(hub.addr).send(&raw[..40]);
    let half_a_body = Wire::open(hub.addr).send(&raw[..raw.len() - 10]);
    agent.report(&hub, (1, 2), 4.2, "0.1.0");
    hub.terminate();
    let status = hub.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", hub.log());
    assert!(
        TcpStream::connect(hub.addr).is_err(),
        "something still listens"
    );
    drop((silent, half_a_head, half_a_body));
    let seqs = rows(&data, "SELECT seq FROM metrics", [], |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(seqs, [2]);
}
