//! What a hostile agent, a hostile auditor or an older schema must not bring about.

use std::time::Duration;

use monsys_core::store::{IngestBatch, IngestOutcome, Maintenance, Payload, Retention};
use monsys_core::time::{Span, Timestamp};

use super::super::auditor::{self, AuditorError};
use super::super::ingest::{KEYS, LiveKeysQuery};
use super::super::migrate;
use super::super::transaction::Plan;
use super::{Database, PostgresPlace, PostgresStore, Scene, cluster, signal, wall_now};
use crate::standing;
use crate::store::archive::ArchiveError;

#[test]
fn an_owner_that_is_shown_no_rows_exports_no_empty_store() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let place = PostgresPlace::parse(&database.url()).unwrap();
    let export = || {
        let mut text = Vec::new();
        scene
            .wait
            .0
            .block_on(PostgresStore::export(&place, &mut text))
    };
    assert_eq!(export().unwrap()["metrics"], 2);
    // As the first schema was before there were exports.
    database.run("DROP POLICY of_owner ON metrics");
    let exported = export();
    assert!(
        matches!(exported, Err(ArchiveError::OpenServer(_))),
        "{exported:?}"
    );
}

#[test]
fn a_role_that_reads_slices_or_makes_roles_becomes_no_auditor() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let place = PostgresPlace::parse(&database.url()).unwrap();
    database.run("CREATE ROLE all_reader LOGIN IN ROLE pg_read_all_data");
    database.run("CREATE ROLE role_maker LOGIN CREATEROLE");
    database.run("CREATE ROLE plain_reader LOGIN");
    let slice = database.run("SELECT tableoid::regclass::text FROM metrics LIMIT 1");
    let read = format!("SELECT count(DISTINCT tenant_id) FROM {}", slice.concat());
    let seen = database.run_as("all_reader", &read);
    assert_eq!(seen, Ok(vec!["2".to_owned()]), "slices have no fence");
    for role in ["all_reader", "role_maker"] {
        let granted = scene.wait.0.block_on(auditor::grant(&place, role, "one"));
        assert!(
            matches!(granted, Err(AuditorError::Unfenced(_))),
            "{role}: {granted:?}"
        );
    }
    let granted = auditor::grant(&place, "plain_reader", "one");
    assert!(scene.wait.0.block_on(granted).unwrap());
    database.run_as("plain_reader", &read).unwrap_err();
}

#[test]
fn expired_keys_that_a_payload_does_not_name_are_not_read() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let (tenant, agent) = (scene.tenants[0], scene.agents[0]);
    add_ended_keys(&database, &scene, "1 day", 5_000);
    let batch = IngestBatch {
        payload: Payload::Signals(vec![
            signal(agent, "old.n7", None),
            signal(agent, "new.one", None),
        ]),
        ..scene.metrics(0, 1)
    };
    let asked = batch.clone();
    let n_read = scene.store.run(Plan::read("keys", tenant), move |tx| {
        let query = LiveKeysQuery::new(&[&asked]);
        Box::pin(async move { Ok(tx.rows(KEYS, &query.parameters(&tenant)).await?.len()) })
    });
    assert_eq!(scene.wait.0.block_on(n_read), Ok(1));
    assert_eq!(scene.commit(&batch), Ok(IngestOutcome::Accepted));
}

#[test]
fn a_lock_that_any_login_may_take_stops_neither_ingest_nor_forgetting() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    database.run("CREATE ROLE lock_holder LOGIN");
    let place = PostgresPlace::parse(&database.url_of("lock_holder")).unwrap();
    let holder = scene.wait.0.block_on(migrate::connect(&place)).unwrap();
    let all = "SELECT pg_advisory_lock(7110611, n) FROM generate_series(1, 3) n";
    scene.wait.0.block_on(holder.batch_execute(all)).unwrap();
    // A slice that is not there yet, as every slice is once.
    let far = Timestamp::parse_rfc3339("2061-07-28T12:00:00Z").unwrap();
    let batch = IngestBatch {
        received_at: far,
        ..scene.metrics(0, 1)
    };
    assert_eq!(scene.commit(&batch), Ok(IngestOutcome::Accepted));
    // A sweep waits ten minutes for another.
    let swept = scene.wait.0.block_on(async {
        let sweep = scene.store.sweep(Retention::standard(), wall_now());
        tokio::time::timeout(Duration::from_secs(20), sweep).await
    });
    assert!(matches!(swept, Ok(Ok(_))), "{swept:?}");
    drop(holder);
}

#[test]
fn a_past_moment_is_read_to_an_end_however_many_slots_were_made_since() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let (tenant, agent) = (scene.tenants[0], scene.agents[0]);
    add_ended_keys(&database, &scene, "1 hour", 203_000);
    let stood = |hours: i64| {
        let at = wall_now().saturating_sub(Span::from_secs(hours * 3_600));
        let standing = standing::of_agent_at(&scene.store, tenant, agent, at);
        let standing = scene.wait.0.block_on(standing).unwrap();
        assert!(standing.signals.is_empty());
        standing.is_cut
    };
    assert!(!stood(0), "what has ended is passed over");
    assert!(
        stood(2),
        "and what was not there yet, up to what a request reads"
    );
}

/// Gives the first agent keys that stood for one second, so long ago.
fn add_ended_keys(database: &Database, scene: &Scene, ago: &str, n_keys: u32) {
    let (tenant, agent) = (scene.tenants[0], scene.agents[0]);
    database.run(&format!(
        "INSERT INTO signal_current SELECT '{tenant}', 'backup_check', 'agent', '{agent}', \
         'old.n' || n, '{{\"value\": 1}}', NULL, now() - interval '{ago}', 1, \
         now() - interval '{ago}' + interval '1 second', n FROM generate_series(1, {n_keys}) n"
    ));
}
