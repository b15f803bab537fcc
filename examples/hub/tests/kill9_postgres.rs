//! What was acknowledged is there once: after kill -9 of PostgreSQL under load while the hub stays
//! up, and after kill -9 of one of two hubs while the other goes on.
//!
//! `MONSYS_KILLS` says how often; what is usual keeps the whole file below a minute.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::time::{Duration, Instant};

use support::fleet::{Fleet, Spool, n_kills};
use support::postgres::{Cluster, Durability};
use support::store::assert_sound;
use support::{DataDir, Dice, Hub, pause};

#[test]
fn what_was_acknowledged_survives_kill_9_of_postgres_and_the_hub_goes_on_by_itself() {
    const SEED: u64 = 20_261_122;
    let Some(cluster) = Cluster::start(Durability::Synced) else {
        return;
    };
    println!("seed {SEED}");
    let data = DataDir::of(cluster.database());
    data.add_org("acme");
    let fleet = Fleet::of(&data);
    let mut hub = Hub::start(&data);
    fleet.open(&hub);
    let (n_kills, mut dice) = (n_kills(10), Dice(SEED));
    let (mut start_max, mut recovery_max) = (Duration::ZERO, Duration::ZERO);
    fleet.wait_until_each_delivers();
    for round in 0..n_kills {
        pause(dice.moment(0..150));
        cluster.kill();
        fleet.wait_until_each_is_refused();
        let killed = Instant::now();
        cluster.restart();
        start_max = start_max.max(killed.elapsed());
        let started = Instant::now();
        fleet.wait_until_each_delivers();
        recovery_max = recovery_max.max(started.elapsed());
        if round % 10 == 0 {
            assert_sound(&data);
        }
    }
    hub.assert_alive();
    let n_unavailable = fleet.n_unavailable();
    let n_acknowledged = assert_all_whole(fleet.end(), &data, &hub);
    hub.assert_alive();
    println!(
        "{n_acknowledged} payloads acknowledged and {n_unavailable} times 503 over {n_kills} kills \
         of PostgreSQL; it was back within {start_max:?}, all senders {recovery_max:?} later"
    );
}

#[test]
fn while_one_of_two_hubs_is_killed_the_other_goes_on_and_nothing_is_lost_or_doubled() {
    const SEED: u64 = 20_261_123;
    let Some(cluster) = Cluster::start(Durability::Synced) else {
        return;
    };
    println!("seed {SEED}");
    let data = DataDir::of(cluster.database());
    data.add_org("acme");
    let fleet = Fleet::of(&data);
    let mut hubs = vec![Hub::start(&data), Hub::start(&data)];
    hubs.iter().for_each(|hub| fleet.open(hub));
    let (n_kills, mut dice) = (n_kills(20), Dice(SEED));
    for _ in 0..n_kills {
        fleet.wait_until_each_delivers();
        pause(dice.moment(0..100));
        let victim = hubs.remove(dice.below(hubs.len()));
        fleet.shut(&victim);
        victim.kill();
        // Through the other.
        fleet.wait_until_each_delivers();
        let another = Hub::start(&data);
        fleet.open(&another);
        hubs.push(another);
    }
    let n_acknowledged = assert_all_whole(fleet.end(), &data, &hubs[0]);
    hubs.iter_mut().for_each(Hub::assert_alive);
    println!("{n_acknowledged} payloads acknowledged over {n_kills} kills of one of two hubs");
}

/// Asserts that each sender's payloads are there once, also when all are sent again.
fn assert_all_whole(senders: Vec<Spool>, data: &DataDir, hub: &Hub) -> usize {
    let mut n_acknowledged = 0;
    for mut sender in senders {
        sender.assert_whole(data);
        sender.deliver_pending(hub);
        sender.repeat(hub);
        sender.assert_whole(data);
        n_acknowledged += sender.n_acknowledged();
    }
    assert_sound(data);
    n_acknowledged
}
