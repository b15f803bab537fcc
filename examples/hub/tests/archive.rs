//! Copies of a store: made while a hub runs, complete, private, and read back row by row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;
use support::login::PASSWORD;
use support::person::Person;
use support::store::{is_no_file, number, open};
use support::{DataDir, Hub, PATIENCE, login, poll};

/// Every table that an export holds.
const TABLES: [&str; 13] = [
    "agents",
    "api_tokens",
    "audit_log",
    "endpoint_snapshots",
    "ingest_contents",
    "ingest_nonces",
    "integrity_anomalies",
    "meta",
    "metrics",
    "signal_current",
    "signal_streams",
    "tenants",
    "users",
];

/// A store with rows in most tables, and the hub that serves it; `None`, and a loud line, where
/// every store is to be PostgreSQL.
fn lived_in() -> Option<(DataDir, Hub)> {
    let data = DataDir::new();
    if is_no_file(&data) {
        return None;
    }
    data.add_org("rival \"é\u{1f600}\\");
    data.add_org("acme");
    let org = "acme";
    let agent = data.enrol(org, "web-1");
    data.json(&[
        "agent",
        "enrol",
        "--org",
        org,
        "--name",
        "d-1",
        "--profile",
        "hmac",
    ]);
    let person = ("a@acme.example", "admin");
    let added = login::add_with_password(&data, org, person, PASSWORD);
    assert!(added.status.success(), "{added:?}");
    login::api_token(&data, org, person.0, "read_only");
    let hub = Hub::start(&data);
    for seq in 1..=20 {
        let cpu = 0.1 + f64::from(u8::try_from(seq).unwrap()) / 7.0;
        agent.report(&hub, (1, seq), cpu, "0.1.0");
    }
    let body = agent.metrics((1, 21), 1.0);
    let unsigned = agent.send_with(&hub, body.as_bytes(), None);
    assert_eq!(unsigned.status, 403);
    // Findings are written a moment later; nothing is written after this one.
    poll("the finding is stored", PATIENCE, || {
        let n_found = number(&data, "SELECT count(*) FROM integrity_anomalies", []);
        (n_found > 0).then_some(())
    });
    let line = r#"{"source":"cert_scan","subject_type":"domain","subject_id":"shop","key":"a.b",
        "value":{"value":0.1,"t":"\u0001\\"},"severity":"high","observed_at":"TIME"}"#;
    let line = line.replace('\n', " ").replace("TIME", &now());
    let file = data.path().join("one.jsonl");
    std::fs::write(&file, line).unwrap();
    data.json(&[
        "signals",
        "emit",
        "--org",
        org,
        "--file",
        file.to_str().unwrap(),
    ]);
    Some((data, hub))
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = i64::try_from(now.unwrap().as_micros()).unwrap();
    let now = monsys_core::time::Timestamp::from_unix_micros(micros);
    now.unwrap().to_rfc3339()
}

fn contents(connection: &Connection, table: &str) -> Vec<Vec<Value>> {
    let sql = format!("SELECT * FROM {table}");
    let mut statement = connection.prepare(&sql).unwrap();
    // An import numbers the rows of the logs anew.
    let is_log = ["metrics", "endpoint_snapshots", "signal_streams"].contains(&table);
    let columns = usize::from(is_log)..statement.column_count();
    let read = |row: &rusqlite::Row<'_>| columns.clone().map(|i| row.get(i)).collect();
    let rows = statement.query_map([], read).unwrap();
    let mut rows: Vec<Vec<Value>> = rows.map(Result::unwrap).collect();
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

fn assert_same(one: &Connection, other: &Connection) {
    for table in TABLES {
        assert_eq!(contents(one, table), contents(other, table), "{table}");
    }
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_backup_of_a_running_hub_is_whole_private_and_can_be_restored() {
    let Some((data, hub)) = lived_in() else {
        return;
    };
    let copy = data.path().join("copy.db");
    let arguments = ["backup", copy.to_str().unwrap()];
    assert_eq!(data.json(&arguments)["status"], "ok");
    assert_eq!(mode(&copy), 0o600);
    drop(hub);
    let again = data.run(&arguments);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    let elsewhere = DataDir::new();
    elsewhere.json(&["restore", copy.to_str().unwrap()]);
    assert_same(&open(&data), &open(&elsewhere));
    assert_eq!(mode(&elsewhere.store_file()), 0o600);
    let over = elsewhere.run(&["restore", copy.to_str().unwrap()]);
    assert_eq!(over.status.code(), Some(2), "a store that is there stays");
    // The restored hub knows its agents and people.
    let hub = Hub::start(&elsewhere);
    let person = Person::added(&elsewhere, &hub, "acme", "admin");
    let agents = person.get(&hub, "/api/v1/agents").json();
    assert_eq!(agents["items"].as_array().map(Vec::len), Some(2));
    let left = std::fs::read_dir(data.path()).unwrap();
    let mut names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.any(|name| name.ends_with(".partial")));
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let Some((data, _hub)) = lived_in() else {
        return;
    };
    let elsewhere = DataDir::new();
    let file = elsewhere.path().join("no.db");
    let copy = data.path().join("copy.db");
    data.json(&["backup", copy.to_str().unwrap()]);
    let whole = std::fs::read(&copy).unwrap();
    let half = whole.get(..whole.len() / 2).unwrap();
    for bytes in [&b""[..], b"no database at all", half] {
        std::fs::write(&file, bytes).unwrap();
        let refused = elsewhere.run(&["restore", file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(74));
        assert!(!elsewhere.store_file().exists());
    }
}

#[test]
fn an_export_is_read_back_row_by_row() {
    let Some((data, hub)) = lived_in() else {
        return;
    };
    let file = data.path().join("all.jsonl");
    let exported = data.json(&["export", file.to_str().unwrap()]);
    assert_eq!(mode(&file), 0o600, "it holds keys");
    assert_eq!(exported["counts"]["metrics"], 20);
    drop(hub);
    let elsewhere = DataDir::new();
    let imported = elsewhere.json(&["import", file.to_str().unwrap()]);
    assert_eq!(imported["counts"], exported["counts"]);
    assert_same(&open(&data), &open(&elsewhere));
    let again = elsewhere.run(&["import", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "only into an empty store");
    // Sessions and links stay behind, and the hub serves.
    assert_eq!(number(&elsewhere, "SELECT count(*) FROM sessions", []), 0);
    let hub = Hub::start(&elsewhere);
    let known = login::api_login(&hub, "acme", "a@acme.example", PASSWORD);
    assert_eq!(known.status, 200, "{known:?}");
}

#[test]
fn a_damaged_export_leaves_an_empty_store() {
    let Some((data, _hub)) = lived_in() else {
        return;
    };
    let file = data.path().join("all.jsonl");
    data.json(&["export", file.to_str().unwrap()]);
    let whole = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let row_of = |table: &str| {
        let start = format!("{{\"table\": \"{table}\"");
        let found = lines.iter().position(|line| line.starts_with(&start));
        found.unwrap_or_else(|| panic!("{table}: {}", lines[1]))
    };
    let without = |at: usize| {
        let mut kept = lines.clone();
        kept.remove(at);
        kept.join("\n")
    };
    let damaged = [
        String::new(),
        without(0),
        without(row_of("metrics")),
        without(row_of("tenants")),
        without(lines.len() - 1),
        whole.replace("\"cert_scan\"", "\"Cert\""),
        whole.replace("\"cpu_usage_percent\"", "\"cpu\""),
        whole.replace("{\"table\": \"agents\"", "{\"table\": \"sqlite_schema\""),
        whole.replace("\"monsys_export\": 1", "\"monsys_export\": 2"),
        whole.replace("\"hex\": \"", "\"hex\": \"z"),
    ];
    for (number_of, text) in damaged.iter().enumerate() {
        assert_ne!(*text, whole, "case {number_of} is damaged");
        let elsewhere = DataDir::new();
        let file = elsewhere.path().join("damaged.jsonl");
        std::fs::write(&file, text).unwrap();
        let refused = elsewhere.run(&["import", file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(74), "case {number_of}");
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM {table}");
            assert_eq!(number(&elsewhere, &sql, []), 0, "case {number_of}: {table}");
        }
    }
}
