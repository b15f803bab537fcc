//! Connections that are cut and servers that are killed: all or nothing, and then on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Cluster, Durability, IngestOutcome, IngestStore, Scene, StoreError, cluster};

#[test]
fn cut_connections_lose_nothing_and_double_nothing() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let is_over = AtomicBool::new(false);
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'monsys-hub' AND datname = current_database()";
    std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            let mut n_cut = 0;
            while !is_over.load(Ordering::Relaxed) {
                n_cut += database.number(cut);
            }
            n_cut
        });
        let first = (1..=300).step_by(5);
        for seq in first {
            let batches: Vec<_> = (seq..seq + 5).map(|seq| scene.metrics(0, seq)).collect();
            until_stored(&scene, &batches);
        }
        is_over.store(true, Ordering::Relaxed);
        println!("{} connections were cut", cutting.join().unwrap());
    });
    assert_eq!(
        database.run("SELECT count(*), count(DISTINCT seq) FROM metrics"),
        ["300|300"]
    );
    assert_eq!(database.number("SELECT count(*) FROM ingest_contents"), 300);
}

#[test]
fn a_killed_server_keeps_what_was_acknowledged_and_the_store_goes_on() {
    let Some(cluster) = Cluster::start(Durability::Synced) else {
        return;
    };
    let database = cluster.database();
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let mut acknowledged = BTreeSet::new();
    for round in 0..5 {
        let first = round * 40 + 1;
        for seq in first..first + 20 {
            until_stored(&scene, &[scene.metrics(0, seq)]);
            acknowledged.insert(seq);
        }
        cluster.kill();
        let lost = scene.commit(&scene.metrics(0, first + 20));
        assert_eq!(lost, Err(StoreError::Unavailable), "nobody is there");
        cluster.restart();
        for seq in first + 20..first + 40 {
            until_stored(&scene, &[scene.metrics(0, seq)]);
            acknowledged.insert(seq);
        }
    }
    let n_rows = i64::try_from(acknowledged.len()).unwrap();
    assert_eq!(n_rows, 200);
    assert_eq!(database.number("SELECT count(*) FROM metrics"), n_rows);
    assert_eq!(
        database.number("SELECT count(DISTINCT seq) FROM metrics"),
        n_rows
    );
}

/// Sends payloads again until the store takes them, as agents do. Each is stored once: an outcome
/// that nobody saw makes it a duplicate.
fn until_stored(scene: &Scene, batches: &[super::IngestBatch]) {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        match scene.wait.0.block_on(scene.store.commit(batches)) {
            Ok(outcomes) => {
                let is_stored = |outcome: &IngestOutcome| {
                    [IngestOutcome::Accepted, IngestOutcome::Duplicate].contains(outcome)
                };
                assert!(outcomes.iter().all(is_stored), "{outcomes:?}");
                // All or nothing.
                assert!(
                    outcomes.iter().all(|outcome| *outcome == outcomes[0]),
                    "{outcomes:?}"
                );
                return;
            }
            Err(StoreError::Unavailable) => assert!(Instant::now() < patience, "never back"),
            Err(error) => panic!("{error}"),
        }
    }
}
