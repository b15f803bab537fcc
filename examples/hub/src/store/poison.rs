//! What no validator can rule out: a database that refuses one payload of many. Its neighbours in
//! the same group commit are stored, and it alone hears of it.

use std::path::PathBuf;
use std::sync::Arc;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::{AgentVersion, DisplayName};
use monsys_core::position::{ContentHash, Position};
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{
    IngestBatch, IngestOutcome, IngestStore, NewAgent, NewCredential, Payload, PublicKey,
    SignalFilter, SignatureStatus, StoreError, TokenDigest, VersionSeen,
};
use monsys_core::time::Timestamp;

use super::postgres::cluster;
use super::{HubStore, PostgresStore, SqliteStore};
use crate::GroupCommit;
use crate::clock::wall_now;
use crate::store::postgres::PostgresPlace;

const N_AGENTS: u8 = 100;
const POISONED: u8 = 41;

#[test]
fn a_payload_that_sqlite_refuses_takes_no_neighbour_with_it() {
    let name = format!("monsys-poison-{}", std::process::id());
    let directory: PathBuf = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("poison.db");
    let store = SqliteStore::open(&file).unwrap();
    let refuse = "CREATE TRIGGER poison BEFORE INSERT ON signal_streams \
                  WHEN NEW.signal_key = 'test.poison' BEGIN SELECT RAISE(ABORT, 'poison'); END";
    let beside = rusqlite::Connection::open(&file).unwrap();
    beside.execute_batch(refuse).unwrap();
    drop(beside);
    neighbours_are_stored(Arc::new(store), "poison");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_payload_that_postgres_refuses_takes_no_neighbour_with_it() {
    let Some(database) = cluster::database() else {
        return;
    };
    let place = PostgresPlace::parse(&database.url()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(PostgresStore::open(&place, None, wall_now()));
    database.run(
        "ALTER TABLE signal_streams ADD CONSTRAINT poison CHECK (signal_key <> 'test.poison')",
    );
    neighbours_are_stored(Arc::new(store.unwrap()), "poison");
}

fn neighbours_are_stored(store: Arc<dyn HubStore>, expected: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tenant = TenantId::from_random_bytes([1; 16]);
    let name = DisplayName::parse("one").unwrap();
    runtime.block_on(store.add_tenant(tenant, name)).unwrap();
    for n in 0..N_AGENTS {
        let enrolled = enrolled(tenant, n, wall_now());
        runtime.block_on(store.enrol(&enrolled)).unwrap();
    }
    let payloads: Arc<dyn IngestStore> = Arc::<dyn HubStore>::clone(&store);
    let group = GroupCommit::new(payloads);
    // All at once, so that they share transactions.
    let waiting: Vec<_> = (0..N_AGENTS)
        .map(|n| {
            let (group, payload) = (group.clone(), payload(tenant, n, wall_now()));
            runtime.spawn(async move { group.commit(payload).await })
        })
        .collect();
    for (n, waiting) in (0..N_AGENTS).zip(waiting) {
        let outcome = runtime.block_on(waiting).unwrap();
        if n == POISONED {
            let constraint = expected.to_owned();
            assert_eq!(outcome, Err(StoreError::Refused { constraint }));
        } else {
            assert_eq!(outcome, Ok(IngestOutcome::Accepted), "agent {n}");
        }
    }
    let any = SignalFilter::default();
    let stored = runtime.block_on(store.signals(tenant, &any, None, 200));
    assert_eq!(
        stored.unwrap().signals.len(),
        usize::from(N_AGENTS - 1),
        "each neighbour once"
    );
    store.close();
}

fn enrolled(tenant: TenantId, n: u8, now: Timestamp) -> NewAgent {
    NewAgent {
        agent: AgentId::from_random_bytes([n + 100; 16]),
        tenant,
        name: DisplayName::parse(&format!("agent-{n}")).unwrap(),
        credential: NewCredential::Token {
            token: TokenDigest([n; 32]),
            key: Some(PublicKey([n; 32])),
            pin_until: now,
        },
        enrolled_at: now,
    }
}

fn payload(tenant: TenantId, n: u8, now: Timestamp) -> IngestBatch {
    let agent = AgentId::from_random_bytes([n + 100; 16]);
    let key = if n == POISONED {
        "test.poison"
    } else {
        "test.good"
    };
    let draft = SignalDraft {
        source: "backup_check".into(),
        subject_type: "agent".into(),
        subject_id: agent.to_string(),
        key: key.into(),
        value: r#"{"value":1}"#.into(),
        severity: None,
        observed_at: now,
        ttl_seconds: None,
    };
    IngestBatch {
        tenant,
        agent,
        received_at: now,
        captured_at: now,
        sent_at: now,
        nonce: None,
        position: Position::new(1, 1).unwrap(),
        content: ContentHash([n; 32]),
        signature: SignatureStatus::Verified,
        version: VersionSeen {
            text: AgentVersion::parse("0.1.0").unwrap(),
            triple: None,
        },
        payload: Payload::Signals(vec![Signal::validate(&draft, now).unwrap()]),
        finding: None,
    }
}
