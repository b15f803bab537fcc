//! What the ledger withstands: statements that would lose or change what it holds, on a connection
//! that serves and beside one; and that it goes through an export whole.

use std::path::PathBuf;

use monsys_core::anomaly::{Action, AnomalyKind, Finding, Transition};
use monsys_core::id::{AgentId, TenantId, UserId};
use monsys_core::ledger::{EventKind, Verifier};
use monsys_core::name::DisplayName;
use monsys_core::severity::Severity;
use monsys_core::store::{
    AgentStore, AnomalyFilter, AnomalyRow, AnomalyStore, CycleChanges, CycleCommit, CycleStore,
    Maintenance, NewAgent, NewCredential, PublicKey, Retention, StoreError, StoreFuture,
    TokenDigest,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::finding_signal;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::column::OrStoreError;
use super::{SqliteStore, archive, open_writable};
use crate::clock::wall_now;
use crate::store::archive::ArchiveError;
use crate::store::{AccountStore, Author, NewUser, Role};

const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const AGENT: AgentId = AgentId::from_bytes([7; 16]);
const PERSON: UserId = UserId::from_bytes([3; 16]);

/// A store with one agent, of which an anomaly is closed and two are open.
struct Kept {
    directory: PathBuf,
    store: SqliteStore,
    runtime: tokio::runtime::Runtime,
    now: Timestamp,
}

impl Kept {
    fn new(name: &str) -> Self {
        let directory = format!("monsys-ledger-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let kept = Self {
            store: SqliteStore::open(&directory.join("ledger.db")).unwrap(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            now: wall_now(),
            directory,
        };
        let (name, now) = (DisplayName::parse("one").unwrap(), kept.now);
        kept.wait(kept.store.add_tenant(TENANT, name));
        let person = NewUser {
            user: PERSON,
            tenant: TENANT,
            email: "a@example.invalid".into(),
            role: Role::Admin,
            password: None,
        };
        kept.wait(kept.store.add_user(person, Author::Hub));
        kept.wait(kept.store.enrol(&NewAgent {
            agent: AGENT,
            tenant: TENANT,
            name: DisplayName::parse("web-1").unwrap(),
            credential: NewCredential::Token {
                token: TokenDigest([7; 32]),
                key: Some(PublicKey([7; 32])),
                pin_until: now,
            },
            enrolled_at: now,
        }));
        kept.find(AGENT, AnomalyKind::FlatMetrics, Severity::Medium);
        kept.act(&Action::Resolve { note: None });
        kept.find(AGENT, AnomalyKind::FlatMetrics, Severity::Medium);
        kept.find(AGENT, AnomalyKind::FlatMetrics, Severity::High);
        let (reason, until) = ("known".into(), None);
        kept.act(&Action::Acknowledge { reason, until });
        kept.find(AGENT, AnomalyKind::ClockDrift, Severity::Low);
        kept
    }

    fn file(&self) -> PathBuf {
        self.directory.join("ledger.db")
    }

    fn wait<T>(&self, future: StoreFuture<'_, T>) -> T {
        self.runtime.block_on(future).unwrap()
    }

    fn find(&self, agent: AgentId, kind: AnomalyKind, severity: Severity) -> CycleChanges {
        let finding = Finding {
            kind,
            severity,
            summary: "It looks wrong.".into(),
            detail: "{}".into(),
            evidence: r#"{"n": 1.50}"#.into(),
        };
        let signal = finding_signal(agent, &finding, self.now);
        self.wait(self.store.commit_cycle(&CycleCommit {
            tenant: TENANT,
            at: self.now,
            transitions: vec![Transition::Record {
                agent,
                finding,
                occurrences: 1,
                signal,
            }],
        }))
    }

    /// Acts on all that there is.
    fn act(&self, action: &Action) {
        let rows = self.listed();
        let ids: Vec<_> = rows.iter().map(|row| row.anomaly.id).collect();
        self.wait(self.store.act(TENANT, &ids, PERSON, action, self.now));
    }

    fn listed(&self) -> Vec<AnomalyRow> {
        let filter = AnomalyFilter::default();
        let page = self.store.anomalies(TENANT, filter, 100, self.now);
        self.wait(page).rows
    }

    /// Runs a statement on the connection that writes for the hub.
    fn serve(&self, sql: &'static str) -> Result<(), StoreError> {
        let attempt = self
            .store
            .write(move |connection| connection.execute_batch(sql).or_store_error());
        self.runtime.block_on(attempt)
    }

    /// All that is to be kept, and the schema that keeps it.
    fn rows(&self) -> Vec<Vec<Value>> {
        let connection = Connection::open(self.file()).unwrap();
        let mut found = Vec::new();
        for table in [
            "integrity_anomalies",
            "integrity_events",
            "ledger_heads",
            "agents",
            "sqlite_schema",
        ] {
            let mut statement = connection
                .prepare(&format!("SELECT * FROM {table}"))
                .unwrap();
            let columns = 0..statement.column_count();
            let read = |row: &rusqlite::Row<'_>| columns.clone().map(|i| row.get(i)).collect();
            let rows = statement.query_map([], read).unwrap();
            found.extend(rows.map(Result::unwrap));
        }
        found
    }

    fn assert_verifies(&self) {
        let mut verifier = Verifier::new(TENANT);
        for entry in self.wait(self.store.ledger(TENANT, None, 0, 1_000)) {
            assert_eq!(verifier.entry(&entry), Ok(()));
        }
        for row in self.listed() {
            assert_eq!(verifier.anomaly(&row.anomaly), Ok(()));
        }
        let head = self.wait(self.store.ledger_head(TENANT));
        assert_eq!(verifier.finish(Some(head)), Ok(head));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.store.close();
        // What remains there is in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Statements that would lose or change rows; what has to refuse them is in the file.
const ON_ROWS: &[&str] = &[
    "DELETE FROM integrity_anomalies",
    "DELETE FROM integrity_events",
    "DELETE FROM ledger_heads",
    "DELETE FROM agents",
    "DELETE FROM users",
    "DELETE FROM tenants",
    "INSERT OR REPLACE INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, \
     detail, evidence, detected_at, last_seen_at, occurrences) SELECT id, tenant_id, agent_id, \
     kind, 'low', 'forged', '{}', '{}', detected_at, last_seen_at, 1 FROM integrity_anomalies",
    // In place of the one that is open, under another identifier.
    "INSERT OR REPLACE INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, \
     detail, evidence, detected_at, last_seen_at, occurrences) SELECT \
     '00000000-0000-0000-0000-000000000001', tenant_id, agent_id, kind, 'low', 'forged', '{}', \
     '{}', detected_at, last_seen_at, 1 FROM integrity_anomalies WHERE resolved_at IS NULL LIMIT 1",
    "INSERT INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, detail, \
     evidence, detected_at, last_seen_at, occurrences) SELECT id, tenant_id, agent_id, kind, \
     'critical', 'forged', '{}', '{}', detected_at, last_seen_at, 9 FROM integrity_anomalies \
     WHERE true ON CONFLICT DO UPDATE SET summary = 'forged'",
    "INSERT OR REPLACE INTO integrity_events SELECT tenant_id, seq, anomaly_id, kind, actor, at, \
     '{}', prev_hash, hash FROM integrity_events",
    "INSERT OR REPLACE INTO integrity_events SELECT tenant_id, seq + 1, anomaly_id, kind, actor, \
     at, data, zeroblob(32), hash FROM integrity_events ORDER BY seq DESC LIMIT 1",
    "INSERT INTO integrity_events SELECT tenant_id, seq + 2, anomaly_id, kind, actor, at, data, \
     hash, hash FROM integrity_events ORDER BY seq DESC LIMIT 1",
    "INSERT OR REPLACE INTO ledger_heads SELECT tenant_id, 0, zeroblob(32) FROM ledger_heads",
    "INSERT OR REPLACE INTO ledger_heads SELECT tenant_id, seq + 1, hash FROM ledger_heads",
    "UPDATE ledger_heads SET seq = seq + 1",
    "UPDATE ledger_heads SET seq = seq - 1",
    "UPDATE ledger_heads SET seq = 0, hash = zeroblob(32)",
    "UPDATE ledger_heads SET hash = randomblob(32)",
    "UPDATE integrity_events SET data = '{}'",
    "UPDATE integrity_events SET at = at",
    "UPDATE OR REPLACE integrity_events SET seq = 1",
    "UPDATE integrity_anomalies SET summary = 'forged' WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET detail = '{\"n\": 2}' WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET evidence = '{}' WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET kind = 'cadence_anomaly' WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET detected_at = '2020-01-01T00:00:00.000000Z' \
     WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET previous_id = NULL WHERE previous_id IS NOT NULL",
    "UPDATE integrity_anomalies SET id = '00000000-0000-0000-0000-000000000001' \
     WHERE kind = 'clock_drift'",
    "UPDATE integrity_anomalies SET agent_id = tenant_id WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET severity = 'info' WHERE resolved_at IS NULL",
    "UPDATE integrity_anomalies SET occurrences = 1 WHERE occurrences > 1",
    "UPDATE integrity_anomalies SET resolved_at = NULL, resolved_by = NULL, resolution = NULL \
     WHERE resolved_at IS NOT NULL",
    "UPDATE integrity_anomalies SET note = 'forged' WHERE resolved_at IS NOT NULL",
    "UPDATE integrity_anomalies SET snoozed_at = detected_at, snoozed_by = resolved_by, \
     snoozed_reason = 'forged', snoozed_until = detected_at WHERE resolved_at IS NOT NULL",
    "UPDATE integrity_anomalies SET acknowledged_reason = NULL WHERE acknowledged_at IS NOT NULL",
    "UPDATE integrity_anomalies SET snoozed_until = detected_at WHERE resolved_at IS NULL",
    "UPDATE agents SET id = '00000000-0000-0000-0000-000000000002' \
     WHERE id IN (SELECT agent_id FROM integrity_anomalies)",
    "UPDATE agents SET token_digest = randomblob(32) WHERE id = tenant_id",
    "UPDATE agents SET revoked_at = NULL WHERE id = tenant_id",
];

/// Statements that would take away what refuses the others.
const ON_THE_SCHEMA: &[&str] = &[
    "DROP TABLE integrity_events",
    "DROP TRIGGER integrity_anomalies_keep",
    "DROP TRIGGER integrity_events_follow",
    "DROP TRIGGER ledger_heads_forward",
    "DROP INDEX one_open_anomaly_per_kind",
    "ALTER TABLE integrity_events RENAME TO gone",
    "ALTER TABLE integrity_anomalies DROP COLUMN evidence",
    "ALTER TABLE integrity_anomalies ADD COLUMN forged TEXT",
    "CREATE TABLE forged (id TEXT)",
    "CREATE TRIGGER forged AFTER INSERT ON integrity_events BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER forged AFTER INSERT ON integrity_events BEGIN SELECT 1; END",
    "CREATE TEMP TABLE integrity_events (id TEXT)",
    "CREATE VIEW forged AS SELECT * FROM integrity_events",
    "DELETE FROM sqlite_schema",
    "UPDATE sqlite_schema SET sql = ''",
    "ATTACH ':memory:' AS other",
    "VACUUM",
    "PRAGMA writable_schema = ON",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA user_version = 9",
    "DELETE FROM audit_log",
];

#[test]
fn a_connection_that_serves_refuses_what_would_change_the_ledger() {
    let kept = Kept::new("serving");
    let before = kept.rows();
    for sql in ON_ROWS.iter().chain(ON_THE_SCHEMA) {
        assert!(kept.serve(sql).is_err(), "{sql}");
        assert_eq!(kept.rows(), before, "{sql}");
    }
    kept.assert_verifies();
}

#[test]
fn a_denied_statement_is_refused_before_it_runs() {
    let kept = Kept::new("denied");
    let message = |sql: &'static str| {
        let attempt = kept.store.write(move |connection| {
            let refused = connection.execute_batch(sql).unwrap_err();
            Ok(refused.sqlite_error_code())
        });
        kept.wait(attempt)
    };
    let of_the_guard = Some(rusqlite::ErrorCode::AuthorizationForStatementDenied);
    for sql in [
        "DELETE FROM integrity_anomalies",
        "DELETE FROM integrity_events",
        "DELETE FROM ledger_heads",
        // No rows, so that no trigger can be what refuses it.
        "DELETE FROM integrity_events WHERE false",
        "DROP TRIGGER integrity_events_keep",
        "PRAGMA writable_schema = ON",
        "PRAGMA recursive_triggers = OFF",
    ] {
        assert_eq!(message(sql), of_the_guard, "{sql}");
    }
}

#[test]
fn a_reader_that_serves_cannot_change_anything() {
    let kept = Kept::new("reader");
    let before = kept.rows();
    for sql in ON_ROWS.iter().chain(ON_THE_SCHEMA) {
        let attempt = kept
            .store
            .read(move |connection| connection.execute_batch(sql).or_store_error());
        assert!(kept.runtime.block_on(attempt).is_err(), "{sql}");
    }
    assert_eq!(kept.rows(), before);
}

#[test]
fn the_file_itself_refuses_changes_of_rows_by_other_programs() {
    let kept = Kept::new("beside");
    let before = kept.rows();
    let as_hub = open_writable(&kept.file()).unwrap();
    let as_stranger = Connection::open(kept.file()).unwrap();
    as_stranger
        .pragma_update(None, "recursive_triggers", false)
        .unwrap();
    for connection in [as_hub, as_stranger] {
        for sql in ON_ROWS {
            assert!(connection.execute_batch(sql).is_err(), "{sql}");
            assert_eq!(kept.rows(), before, "{sql}");
        }
    }
    kept.assert_verifies();
}

#[test]
fn a_row_that_was_changed_without_its_triggers_shows_in_the_hashes() {
    let kept = Kept::new("edited");
    let owner = Connection::open(kept.file()).unwrap();
    let sql = "DROP TRIGGER integrity_anomalies_freeze; \
               UPDATE integrity_anomalies SET evidence = '{}' WHERE kind = 'clock_drift'";
    owner.execute_batch(sql).unwrap();
    let mut verifier = Verifier::new(TENANT);
    for entry in kept.wait(kept.store.ledger(TENANT, None, 0, 1_000)) {
        assert_eq!(verifier.entry(&entry), Ok(()));
    }
    let rows = kept.listed();
    let edited: Vec<_> = rows
        .iter()
        .filter(|row| verifier.anomaly(&row.anomaly).is_err())
        .map(|row| row.anomaly.finding.kind)
        .collect();
    assert_eq!(edited, [AnomalyKind::ClockDrift]);
}

#[test]
fn what_serves_still_records_closes_and_forgets() {
    let kept = Kept::new("serves");
    let note = Some("done".to_owned());
    kept.act(&Action::Resolve { note });
    assert!(kept.listed().iter().all(|row| !row.anomaly.is_open()));
    let changes = kept.find(AGENT, AnomalyKind::ClockDrift, Severity::Low);
    assert_eq!((changes.n_opened, changes.n_resolved), (1, 0));
    let later = kept.now.saturating_add(Span::from_secs(400 * 86_400));
    let swept = kept.wait(kept.store.sweep(Retention::standard(), later));
    assert!(swept.signals > 0, "signals are forgotten");
    kept.assert_verifies();
}

#[test]
fn what_the_hub_finds_about_itself_is_about_an_agent_that_nothing_lists() {
    let kept = Kept::new("itself");
    let hub = AgentId::of_hub(TENANT);
    let changes = kept.find(hub, AnomalyKind::DetectorStalled, Severity::High);
    assert_eq!(changes.n_opened, 1);
    let rows = kept.listed();
    let stalled = rows.iter().find(|row| row.anomaly.agent == hub).unwrap();
    assert_eq!(stalled.agent_name, "monsys-hub");
    let agents = kept.wait(kept.store.agents(TENANT, 1, kept.now));
    assert!(agents.iter().map(|agent| agent.agent).eq([AGENT]));
    let facts = kept.wait(kept.store.facts(TENANT, None, 10, kept.now));
    assert!(facts.agents.iter().map(|facts| facts.agent).eq([AGENT]));
    let pin = kept.store.pin(TENANT, hub, PublicKey([9; 32]), kept.now);
    assert_eq!(kept.runtime.block_on(pin), Err(StoreError::NotFound));
    let revoke = kept.store.revoke(TENANT, hub);
    assert_eq!(kept.runtime.block_on(revoke), Err(StoreError::NotFound));
}

#[test]
fn what_the_hub_does_by_itself_is_done_by_the_service_user() {
    let kept = Kept::new("actors");
    let connection = Connection::open(kept.file()).unwrap();
    let sql = "SELECT id FROM users WHERE tenant_id = ?1 AND role = 'service'";
    let read = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let service = connection.query_row(sql, [TENANT.to_string()], read);
    let service = UserId::parse(&service.unwrap()).unwrap();
    for entry in kept.wait(kept.store.ledger(TENANT, None, 0, 1_000)) {
        let by_hand = [EventKind::Acknowledged, EventKind::Resolved];
        let is_by_hand = by_hand.contains(&entry.event.kind);
        let expected = if is_by_hand { PERSON } else { service };
        assert_eq!(entry.event.actor, expected, "{:?}", entry.event.kind);
    }
}

#[test]
fn an_export_holds_the_ledger_and_an_import_follows_it() {
    let kept = Kept::new("export");
    // Identifiers are random: of enough anomalies some stand before the one they name.
    for _ in 0..20 {
        kept.act(&Action::Resolve { note: None });
        kept.find(AGENT, AnomalyKind::FlatMetrics, Severity::Medium);
    }
    let mut exported = Vec::new();
    archive::export(&kept.file(), &mut exported).unwrap();
    let other = kept.directory.join("other.db");
    archive::import(&other, exported.as_slice()).unwrap();
    let mut again = Vec::new();
    archive::export(&other, &mut again).unwrap();
    assert_eq!(again, exported);
    let text = String::from_utf8(exported).unwrap();
    let n_events = text.matches(r#"{"table": "integrity_events""#).count();
    assert!(n_events > 40, "each opening and closing: {n_events}");
    let line = |table: &str, pick: fn(std::str::Lines<'_>, &str) -> Option<String>| {
        pick(text.lines(), &format!(r#"{{"table": "{table}""#)).unwrap()
    };
    let last: fn(std::str::Lines<'_>, &str) -> Option<String> =
        |mut lines, start| lines.rfind(|line| line.starts_with(start)).map(Into::into);
    let first: fn(std::str::Lines<'_>, &str) -> Option<String> =
        |mut lines, start| lines.find(|line| line.starts_with(start)).map(Into::into);
    // Without its last entry a ledger does not reach its head; without its first it has no start.
    for (lost, table) in [
        (line("integrity_events", last), "ledger_heads"),
        (line("integrity_events", first), "integrity_events"),
    ] {
        let short = text.replace(&format!("{lost}\n"), "");
        assert_ne!(short, text);
        let refused = archive::import(&kept.directory.join("short.db"), short.as_bytes());
        let Err(ArchiveError::Row { table: refused, .. }) = refused else {
            panic!("expected a refused row of {table}")
        };
        assert_eq!(refused, table);
    }
}
