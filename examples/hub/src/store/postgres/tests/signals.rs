//! Signals where several hubs, old slices and hostile sessions meet.

use monsys_core::severity::Severity;
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{Maintenance, Retention, SignalFilter, SignalStore, Swept};
use monsys_core::time::{Span, Timestamp};

use super::{Scene, cluster, wall_now};

fn signal(at: Timestamp, value: i64, severity: Severity) -> Signal {
    let draft = SignalDraft {
        source: "backup_check".into(),
        subject_type: "endpoint".into(),
        subject_id: "shop".into(),
        key: "backup.age".into(),
        value: format!(r#"{{"value":{value}}}"#),
        severity: Some(severity.as_str().into()),
        observed_at: at,
        ttl_seconds: Some(60),
    };
    Signal::validate(&draft, wall_now()).unwrap()
}

#[test]
fn of_signals_of_one_moment_the_one_listed_first_is_current() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    let (store, tenant) = (&scene.store, scene.tenants[0]);
    let at = wall_now();
    let any = SignalFilter::default();
    for round in 0..20 {
        let emitted = (0..12).map(|n| {
            let signals = vec![signal(at, round * 12 + n, Severity::Low)];
            let store = store.clone();
            scene
                .wait
                .0
                .spawn(async move { store.emit(tenant, signals).await })
        });
        for emitting in emitted.collect::<Vec<_>>() {
            scene.wait.0.block_on(emitting).unwrap().unwrap();
        }
        let listed = scene.wait.0.block_on(store.signals(tenant, &any, None, 1));
        let current = store.current(tenant, &any, None, 9, at);
        let current = scene.wait.0.block_on(current).unwrap();
        assert_eq!(current.signals, listed.unwrap().signals, "round {round}");
    }
}

#[test]
fn a_sweep_drops_old_slices_and_lists_nothing_of_the_last() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let (store, tenant) = (&scene.store, scene.tenants[0]);
    let now = wall_now();
    let any = SignalFilter::default();
    let before = listed(&scene, &any);
    // A hub that slept for a month left slices that were due, and the one in which the limit lies.
    database.run(&format!(
        "SELECT monsys_make_partitions('signal_streams', now() - interval '210 days', now()); \
         INSERT INTO signal_streams SELECT '{tenant}', 'a', 'agent', 'x', 'b.c', \
         '{{\"value\":1}}', NULL, now() - interval '180 days' - n * interval '1 minute', 60 \
         FROM generate_series(1, 40000) n"
    ));
    assert_eq!(listed(&scene, &any), before + 40_000, "not swept yet");
    let retention = Retention::standard();
    let due = Swept {
        signals: 40_000,
        ..Swept::default()
    };
    let count = || scene.wait.0.block_on(store.count_due(retention, now));
    assert_eq!(count(), Ok(due));
    let sweep = || scene.wait.0.block_on(store.sweep(retention, now));
    assert_eq!(sweep(), Ok(due));
    assert_eq!(count(), Ok(Swept::default()));
    assert_eq!(sweep(), Ok(Swept::default()));
    assert_eq!(listed(&scene, &any), before, "exactly what was due");
    let oldest = "SELECT min(observed_at) > now() - interval '188 days' FROM signal_streams";
    assert_eq!(database.run(oldest), ["t"], "their slices are gone");
    // A clock that ran ahead hid all; the next sweep at the right time shows it again.
    let ahead = now.saturating_add(Span::from_secs(400 * 86_400));
    let hidden = scene.wait.0.block_on(store.sweep(retention, ahead));
    assert!(hidden.is_ok_and(|swept| swept.signals > 0));
    assert_eq!(listed(&scene, &any), 0);
    assert_eq!(sweep(), Ok(Swept::default()));
    assert_eq!(listed(&scene, &any), before, "nothing young was lost");
}

#[test]
fn sweeps_at_once_count_each_row_once() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let [one, other] = scene.tenants;
    database.run(&format!(
        "SELECT monsys_make_partitions('signal_streams', now() - interval '210 days', now()); \
         INSERT INTO signal_streams SELECT tenant, 'a', 'agent', 'x', 'b.c', '{{\"value\":1}}', \
         NULL, now() - interval '180 days' - n * interval '1 minute', 60 \
         FROM generate_series(1, 20000) n, unnest('{{{one},{other}}}'::uuid[]) tenant"
    ));
    let (retention, now) = (Retention::standard(), wall_now());
    let sweeps = (0..4).map(|_| {
        let store = scene.store.clone();
        scene
            .wait
            .0
            .spawn(async move { store.sweep(retention, now).await })
    });
    let mut n_signals = Vec::new();
    for sweep in sweeps.collect::<Vec<_>>() {
        n_signals.push(scene.wait.0.block_on(sweep).unwrap().unwrap().signals);
    }
    n_signals.sort_unstable();
    assert_eq!(n_signals, [0, 0, 0, 40_000]);
}

fn listed(scene: &Scene, filter: &SignalFilter) -> usize {
    let (mut n_listed, mut after) = (0, None);
    loop {
        let page = scene.store.signals(scene.tenants[0], filter, after, 1_000);
        let page = scene.wait.0.block_on(page).unwrap();
        n_listed += page.signals.len();
        after = page.next;
        if after.is_none() {
            return n_listed;
        }
    }
}
