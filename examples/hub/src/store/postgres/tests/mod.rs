//! The store against a PostgreSQL of its own.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod statements;
#[cfg(test)]
mod tenancy;

use std::io::Write;

use monsys_core::anomaly::{AnomalyKind, Finding};
use monsys_core::id::{AgentId, ApiTokenId, TenantId, UserId};
use monsys_core::name::{AgentVersion, DisplayName};
use monsys_core::position::{ContentHash, Position};
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::severity::Severity;
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::conformance::{BlockOn, Fixture, suite};
use monsys_core::store::{
    AgentStore, CycleRecord, CycleStore, IngestBatch, IngestFinding, IngestOutcome, IngestStore,
    NewAgent, NewCredential, Payload, PublicKey, SignatureStatus, StoreError, StoreFuture,
    TokenDigest, VersionSeen,
};
use monsys_core::time::{Span, Timestamp};

use super::cluster::{self, Cluster, Database, Durability, Programs};
use super::{OpenError, PostgresPlace, PostgresStore};
use crate::clock::wall_now;
use crate::store::{
    AccountStore, Author, CredentialStore, CredentialsEpoch, Holder, LoginLink, NewApiToken,
    NewUser, Role,
};

struct Runtime(tokio::runtime::Runtime);

impl BlockOn for Runtime {
    fn block_on<T>(&self, future: StoreFuture<'_, T>) -> Result<T, StoreError> {
        self.0.block_on(future)
    }
}

/// A store with two tenants, a person of the first, and an agent of each.
struct Scene {
    wait: Runtime,
    store: PostgresStore,
    tenants: [TenantId; 2],
    agents: [AgentId; 2],
    user: UserId,
}

impl Scene {
    fn new(database: &Database) -> Self {
        let wait = Runtime(tokio::runtime::Runtime::new().unwrap());
        let store = wait.0.block_on(open(database)).unwrap();
        let tenants = [1, 2].map(|n| TenantId::from_random_bytes([n; 16]));
        for (tenant, name) in tenants.into_iter().zip(["one", "other"]) {
            let name = DisplayName::parse(name).unwrap();
            wait.block_on(store.add_tenant(tenant, name)).unwrap();
        }
        let user = UserId::from_random_bytes([3; 16]);
        let (email, role) = ("a@example.invalid".to_owned(), Role::Admin);
        let tenant = tenants[0];
        let new = NewUser {
            user,
            tenant,
            email,
            role,
            password: None,
        };
        wait.block_on(store.add_user(new, Author::Hub)).unwrap();
        let agents = [201, 202].map(|n| AgentId::from_random_bytes([n; 16]));
        Self {
            wait,
            store,
            tenants,
            agents,
            user,
        }
    }

    /// Gives the person a refresh token and an API token.
    fn give_tokens(&self) {
        let (store, now) = (&self.store, wall_now());
        let holder = Holder {
            tenant: self.tenants[0],
            user: self.user,
            epoch: CredentialsEpoch::from_number(0),
        };
        let opened = store.open_family(holder, [10; 32], now);
        assert_eq!(self.wait.block_on(opened), Ok(Some(())));
        let token = NewApiToken {
            token: ApiTokenId::from_random_bytes([11; 16]),
            tenant: holder.tenant,
            owner: holder.user,
            name: DisplayName::parse("script").unwrap(),
            scope: Role::ReadOnly,
            digest: [11; 32],
            created_at: now,
            expires_at: now.saturating_add(Span::from_secs(3_600)),
        };
        let added = store.add_token(token, Author::CommandLine);
        assert_eq!(self.wait.block_on(added), Ok(()));
    }

    /// Enrols the agents, and leaves a row of each tenant in every table.
    fn fill(&self) {
        let links = [(7, self.user)].map(|(n, user)| ([n; 32], LoginLink::Login(user)));
        let later = wall_now().saturating_add(Span::from_secs(3_600));
        for (digest, link) in links {
            let store = &self.store;
            self.wait
                .block_on(store.add_link(digest, link, later, Author::Hub))
                .unwrap();
            let logged_in = store.log_in(digest, [9; 32], wall_now(), later);
            assert_eq!(self.wait.block_on(logged_in), Ok(Some(())));
        }
        self.give_tokens();
        for (place, number) in [(0, 1), (1, 2)] {
            self.enrol(place, number);
            assert_eq!(
                self.commit(&self.metrics(place, 1)),
                Ok(IngestOutcome::Accepted)
            );
            let signals = Payload::Signals(vec![signal(self.agents[place], "backup.age", None)]);
            let batch = IngestBatch {
                payload: signals,
                ..self.metrics(place, 2)
            };
            assert_eq!(self.commit(&batch), Ok(IngestOutcome::Accepted));
            let found = self.finding(place);
            self.wait.block_on(self.store.record(&found)).unwrap();
            let cycle = cycle(wall_now());
            let kept = self.store.record_cycle(self.tenants[place], &cycle);
            self.wait.block_on(kept).unwrap();
        }
    }

    fn enrol(&self, place: usize, number: u8) {
        let new = NewAgent {
            agent: self.agents[place],
            tenant: self.tenants[place],
            name: DisplayName::parse(&format!("agent-{number}")).unwrap(),
            credential: NewCredential::Token {
                token: TokenDigest([number; 32]),
                key: Some(PublicKey([number; 32])),
                pin_until: wall_now(),
            },
            enrolled_at: wall_now(),
        };
        self.wait.block_on(self.store.enrol(&new)).unwrap();
    }

    fn metrics(&self, place: usize, seq: i64) -> IngestBatch {
        let now = wall_now();
        IngestBatch {
            tenant: self.tenants[place],
            agent: self.agents[place],
            received_at: now,
            captured_at: now,
            sent_at: now,
            nonce: None,
            position: Position::new(1, seq).unwrap(),
            content: ContentHash([u8::try_from(seq % 200).unwrap(); 32]),
            signature: SignatureStatus::Verified,
            version: VersionSeen {
                text: AgentVersion::parse("0.1.0").unwrap(),
                triple: None,
            },
            payload: Payload::Metrics(MetricSample::of_cpu(CpuPercent::new(4.2).unwrap())),
            finding: None,
        }
    }

    fn finding(&self, place: usize) -> IngestFinding {
        let agent = self.agents[place];
        IngestFinding {
            tenant: self.tenants[place],
            agent,
            at: wall_now(),
            occurrences: 1,
            finding: Finding {
                kind: AnomalyKind::FlatMetrics,
                severity: Severity::High,
                summary: "flat".into(),
                detail: r#"{"samples": 240, "stddev": 0.0}"#.into(),
                evidence: "{}".into(),
            },
            signal: signal(agent, "integrity.flat_metrics", Some(Severity::High)),
        }
    }

    fn commit(&self, batch: &IngestBatch) -> Result<IngestOutcome, StoreError> {
        let outcomes = self.store.commit(std::slice::from_ref(batch));
        self.wait.block_on(outcomes).map(|outcomes| outcomes[0])
    }
}

async fn open(database: &Database) -> Result<PostgresStore, OpenError> {
    let place = PostgresPlace::parse(&database.url()).unwrap();
    PostgresStore::open(&place, None, wall_now()).await
}

fn cycle(at: Timestamp) -> CycleRecord {
    CycleRecord {
        at,
        took_ms: 1,
        n_agents: 1,
        n_opened: 1,
        n_resolved: 0,
        n_missed: 0,
        n_failed_pages: 0,
        faults: Vec::new(),
    }
}

fn signal(agent: AgentId, key: &str, severity: Option<Severity>) -> Signal {
    let draft = SignalDraft {
        source: "backup_check".into(),
        subject_type: "agent".into(),
        subject_id: agent.to_string(),
        key: key.into(),
        value: r#"{"value":1}"#.into(),
        severity: severity.map(|severity| severity.as_str().into()),
        observed_at: wall_now(),
        ttl_seconds: Some(60),
    };
    Signal::validate(&draft, wall_now()).unwrap()
}

#[test]
fn postgres_passes_the_conformance_suite() {
    if let Some(database) = cluster::database() {
        pass_the_conformance_suite(&database);
    }
}

fn pass_the_conformance_suite(database: &Database) {
    let scene = Scene::new(database);
    database.unfence_if_asked();
    suite(&Fixture {
        store: &scene.store,
        tenants: scene.tenants,
        user: scene.user,
        wait: &scene.wait,
    });
    scene.store.close();
}

#[test]
fn every_further_major_version_that_is_found_migrates_and_passes_the_suite() {
    let further = Programs::further();
    if further.is_empty() {
        let text = "!! at most one major version of PostgreSQL found: no other was tested";
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    for programs in further {
        let cluster = Cluster::of(&programs, Durability::Careless, "");
        migrate_at_once(&cluster);
        let database = cluster.database();
        let version = database.number("SHOW server_version_num") / 10_000;
        assert_eq!(version, i64::from(programs.major));
        pass_the_conformance_suite(&database);
        println!("PostgreSQL {version} passed");
    }
}

#[test]
fn a_row_outside_every_slice_makes_its_slice() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let far = Timestamp::parse_rfc3339("2061-07-28T12:00:00Z").unwrap();
    let batch = IngestBatch {
        received_at: far,
        ..scene.metrics(0, 1)
    };
    assert_eq!(scene.commit(&batch), Ok(IngestOutcome::Accepted));
    assert_eq!(scene.commit(&batch), Ok(IngestOutcome::Duplicate));
    let sql = "SELECT count(*) FROM metrics_20610728";
    assert_eq!(database.number(sql), 1);
}

#[test]
fn what_must_be_kept_is_not_dropped_whoever_asks() {
    let Some(database) = cluster::database() else {
        return;
    };
    let _scene = Scene::new(&database);
    let ask = |table: &str, before: &str| {
        let sql =
            format!("SET ROLE monsys_app; SELECT monsys_drop_partitions('{table}', {before})");
        database.run(&sql)
    };
    assert!(ask("metrics", "'infinity'").is_empty());
    let make = "SELECT monsys_make_partitions('metrics', now() - interval '20 days', now())";
    database.run(make);
    let dropped = ask("metrics", "'infinity'");
    assert!((4..=6).contains(&dropped.len()), "{dropped:?}");
    assert!(ask("ingest_nonces", "now() - interval '1 hour'").is_empty());
    let refused = database.run_as("postgres", "SELECT monsys_drop_partitions('agents', now())");
    assert!(refused.unwrap_err().contains("22023"));
    let many = "SELECT monsys_make_partitions('metrics', now() - interval '9 years', now())";
    assert!(
        database
            .run_as("postgres", many)
            .unwrap_err()
            .contains("22023")
    );
}

#[test]
fn databases_of_one_cluster_migrate_at_once() {
    if let Some(cluster) = Cluster::start(Durability::Careless) {
        migrate_at_once(&cluster);
    }
}

fn migrate_at_once(cluster: &Cluster) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let databases: Vec<_> = (0..6).map(|_| cluster.database()).collect();
    // Each twice, so that two hubs also meet on one empty database.
    let opened: Vec<_> = databases
        .iter()
        .chain(&databases)
        .map(|database| {
            let database = database.clone();
            runtime.spawn(async move { open(&database).await.map(|store| store.close()) })
        })
        .collect();
    for opening in opened {
        runtime.block_on(opening).unwrap().unwrap();
    }
    for database in &databases {
        assert_eq!(database.number("SELECT max(version) FROM monsys_schema"), 1);
    }
}

#[test]
fn a_login_that_may_not_migrate_says_what_is_needed() {
    let Some(database) = cluster::database() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    database.run("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN");
    let plain = PostgresPlace::parse(&database.url_of("plain")).unwrap();
    let opened = runtime.block_on(PostgresStore::open(&plain, None, wall_now()));
    assert!(opened.is_err_and(|error| error.to_string().contains("MONSYS_MIGRATE_URL")));
    // With the owner's URL it migrates; the login itself is still no member of the application.
    let owner = PostgresPlace::parse(&database.url()).unwrap();
    let opened = runtime.block_on(PostgresStore::open(&plain, Some(&owner), wall_now()));
    assert!(opened.is_err(), "not a member of monsys_app");
    database.run("GRANT monsys_app TO plain");
    let opened = runtime.block_on(PostgresStore::open(&plain, None, wall_now()));
    opened.unwrap().close();
    database.run("UPDATE monsys_schema SET version = 99");
    let opened = runtime.block_on(PostgresStore::open(&plain, None, wall_now()));
    assert!(matches!(opened.err(), Some(OpenError::Newer { found: 99 })));
}
