//! Row S9 of the signals study: what the validator refuses, the database refuses by the CHECK
//! constraint of the same name, when a row is forced past the validator.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::time::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;
use support::DataDir;
use support::store::open_writable;

const KIT: &str = include_str!("../../../monsys-core/vectors/signals.json");

#[test]
fn s9_the_database_gives_the_verdict_of_the_validator() {
    let data = DataDir::new();
    if support::store::is_no_file(&data) {
        return;
    }
    data.add_org("acme");
    let connection = open_writable(&data);
    let tenant: String = connection
        .query_row("SELECT id FROM tenants", [], |row| row.get(0))
        .unwrap();
    let verdicts = verdicts(|table, draft| insert(&connection, table, &tenant, draft));
    assert_eq!(
        verdicts.by_type, 0,
        "SQLite holds any text: its constraints see all"
    );
    assert_eq!(verdicts.outside, 0, "one table for all times");
}

#[test]
fn s9_postgres_gives_the_verdict_of_the_validator() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    data.add_org("acme");
    let server = Server::of(&data);
    let verdicts = verdicts(|table, draft| server.insert(table, draft));
    // What the types text and jsonb cannot hold at all: U+0000, half a surrogate pair, no JSON.
    assert!(verdicts.by_type > 50, "{verdicts:?}");
    assert!(verdicts.outside > 5, "{verdicts:?}");
}

/// How a database refuses a row.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// By the CHECK constraint of this name.
    Check(String),
    /// Because a type cannot hold the text; the SQLSTATE, which is one of data.
    Type(String),
    /// Because no time slice takes it.
    Outside,
}

/// How often a database gave each verdict.
#[derive(Debug, Default)]
struct Verdicts {
    accepted: u32,
    by_check: u32,
    by_type: u32,
    outside: u32,
}

/// Forces every case of the kit into both tables, and compares the verdicts.
fn verdicts(mut insert: impl FnMut(&str, &SignalDraft) -> Option<Refusal>) -> Verdicts {
    let kit: Value = serde_json::from_str(KIT).unwrap();
    let now = Timestamp::parse_rfc3339(kit["now"].as_str().unwrap()).unwrap();
    let mut verdicts = Verdicts::default();
    for table in ["signal_streams", "signal_current"] {
        for case in kit["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let draft = stored_form(draft_of(&kit["base"], case), now);
            let answer = insert(table, &draft);
            let rule = case["rule"].as_str();
            let expected = match case.get("database") {
                // Whatever it says, it said it by a verdict.
                Some(Value::String(any)) if any == "any" => continue,
                Some(database) => database.as_str(),
                None => rule,
            };
            match answer {
                None => {
                    assert_eq!(expected, None, "{table}: {name}");
                    verdicts.accepted += 1;
                }
                Some(Refusal::Check(constraint)) => {
                    assert_eq!(expected, Some(&*constraint), "{table}: {name}");
                    verdicts.by_check += 1;
                }
                Some(Refusal::Type(state)) => {
                    assert!(expected.is_some(), "{table}: {name}: {state}");
                    let field = case["field"].as_str().unwrap();
                    assert!(is_no_data(field, &draft), "{table}: {name}: {state}");
                    verdicts.by_type += 1;
                }
                Some(Refusal::Outside) => {
                    let is_time = rule.is_some_and(|rule| rule.starts_with("observed_at_"));
                    assert!(is_time && table == "signal_streams", "{table}: {name}");
                    verdicts.outside += 1;
                }
            }
        }
    }
    assert!(verdicts.accepted > 200, "{verdicts:?}");
    assert!(verdicts.by_check + verdicts.by_type > 400, "{verdicts:?}");
    verdicts
}

/// Whether a field holds what no type of a database must be able to hold: U+0000 in a text, and in
/// a value what is no JSON of whole characters.
fn is_no_data(field: &str, draft: &SignalDraft) -> bool {
    match field {
        "source" => draft.source.contains('\0'),
        "subject_type" => draft.subject_type.contains('\0'),
        "subject_id" => draft.subject_id.contains('\0'),
        "key" => draft.key.contains('\0'),
        "severity" => draft.severity.as_ref().is_some_and(|s| s.contains('\0')),
        "value" => {
            serde_json::from_str::<Value>(&draft.value).is_err() || draft.value.contains("\\u0000")
        }
        _ => false,
    }
}

/// What stands in the columns: of a valid draft what the validator makes of it, of any other the
/// draft as it is.
fn stored_form(draft: SignalDraft, now: Timestamp) -> SignalDraft {
    match Signal::validate(&draft, now) {
        Ok(signal) => SignalDraft {
            value: signal.value().to_owned(),
            ..draft
        },
        Err(_) => draft,
    }
}

/// Forces a row into SQLite; it is taken back.
fn insert(
    connection: &Connection,
    table: &str,
    tenant: &str,
    draft: &SignalDraft,
) -> Option<Refusal> {
    let sql = format!(
        "INSERT INTO {table} (tenant_id, source, subject_type, subject_id, signal_key, \
         signal_value, severity, observed_at, ttl_seconds) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    );
    let parameters = params![
        tenant,
        draft.source,
        draft.subject_type,
        draft.subject_id,
        draft.key,
        draft.value,
        draft.severity,
        draft.observed_at.to_rfc3339(),
        draft.ttl_seconds,
    ];
    let transaction = connection.unchecked_transaction().unwrap();
    let refused = transaction.execute(&sql, parameters).err()?.to_string();
    let constraint = refused.strip_prefix("CHECK constraint failed: ");
    Some(constraint.map_or_else(
        || panic!("{table}: {refused}"),
        |constraint| Refusal::Check(constraint.to_owned()),
    ))
}

/// A connection to PostgreSQL with the rights of the application, in one organisation.
struct Server {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
    tenant: String,
}

impl Server {
    fn of(data: &DataDir) -> Self {
        let database = data.database().unwrap();
        // The kit has a clock of its own, and the slices of its times are not made by any hub.
        database.run(
            "SELECT monsys_make_partitions('signal_streams', \
             timestamptz '2026-05-20 00:00+00', timestamptz '2026-12-20 00:00+00')",
        );
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let url = database.url();
        let connect = tokio_postgres::connect(&url, tokio_postgres::NoTls);
        let (client, connection) = runtime.block_on(connect).unwrap();
        runtime.spawn(connection);
        let begin = client.batch_execute("SET ROLE monsys_app");
        runtime.block_on(begin).unwrap();
        let tenant = database.run("SELECT id FROM tenants").concat();
        Self {
            runtime,
            client,
            tenant,
        }
    }

    /// Forces a row into PostgreSQL; it is taken back, and the connection is as good as before.
    fn insert(&self, table: &str, draft: &SignalDraft) -> Option<Refusal> {
        let tenant = &self.tenant;
        let arrival = if table == "signal_current" {
            (", arrival", ", 1")
        } else {
            ("", "")
        };
        let sql = format!(
            "INSERT INTO {table} (tenant_id, source, subject_type, subject_id, signal_key, \
             signal_value, severity, observed_at, ttl_seconds{}) \
             VALUES ('{tenant}', $1, $2, $3, $4, $5::text::jsonb, $6, $7, $8{})",
            arrival.0, arrival.1
        );
        let tried = self.runtime.block_on(async {
            let begin = format!("BEGIN; SET LOCAL app.current_tenant = '{tenant}'");
            self.client.batch_execute(&begin).await.unwrap();
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
                &draft.source,
                &draft.subject_type,
                &draft.subject_id,
                &draft.key,
                &draft.value,
                &draft.severity,
                &draft.observed_at,
                &draft.ttl_seconds,
            ];
            let tried = self.client.execute(&sql, &parameters).await;
            self.client.batch_execute("ROLLBACK").await.unwrap();
            tried
        });
        let refused = tried.err()?;
        let refused = refused
            .as_db_error()
            .unwrap_or_else(|| panic!("{table}: {refused}"));
        let state = refused.code().code();
        Some(match (state, refused.constraint()) {
            ("23514", Some(constraint)) => Refusal::Check(constraint.to_owned()),
            ("23514", None) => Refusal::Outside,
            // Bytes that are no text, an escape that is no character, no JSON, a number or a
            // depth beyond what jsonb can hold.
            ("22021" | "22P05" | "22P02" | "22003" | "54001", _) => Refusal::Type(state.to_owned()),
            _ => panic!("{table}: {state} {}", refused.message()),
        })
    }
}

fn draft_of(base: &Value, case: &Value) -> SignalDraft {
    let mut fields = base.clone();
    fields[case["field"].as_str().unwrap()] = match (case.get("parts"), case.get("number")) {
        (Some(parts), _) => joined(parts).into(),
        (None, Some(number)) => number.clone(),
        (None, None) => case["text"].clone(),
    };
    let text = |name: &str| fields[name].as_str().unwrap().to_owned();
    SignalDraft {
        source: text("source"),
        subject_type: text("subject_type"),
        subject_id: text("subject_id"),
        key: text("key"),
        value: text("value"),
        severity: fields["severity"].as_str().map(str::to_owned),
        observed_at: Timestamp::parse_rfc3339(&text("observed_at")).unwrap(),
        ttl_seconds: fields["ttl_seconds"].as_i64(),
    }
}

fn joined(parts: &Value) -> String {
    let part = |part: &Value| {
        let times = usize::try_from(part[1].as_u64().unwrap()).unwrap();
        part[0].as_str().unwrap().repeat(times)
    };
    parts.as_array().unwrap().iter().map(part).collect()
}
