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
    data.add_org("acme");
    let connection = open_writable(&data);
    let tenant: String = connection
        .query_row("SELECT id FROM tenants", [], |row| row.get(0))
        .unwrap();
    let kit: Value = serde_json::from_str(KIT).unwrap();
    let now = Timestamp::parse_rfc3339(kit["now"].as_str().unwrap()).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for table in ["signal_streams", "signal_current"] {
        for case in kit["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let draft = draft_of(&kit["base"], case);
            let answer = insert(&connection, table, &tenant, &stored_form(draft, now));
            let rule = case["rule"].as_str();
            let expected = match case.get("database") {
                Some(Value::String(any)) if any == "any" => continue,
                Some(database) => database.as_str(),
                None => rule,
            };
            assert_eq!(answer.as_deref(), expected, "{table}: {name}");
            if answer.is_none() {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(accepted > 200 && refused > 400, "{accepted} and {refused}");
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

/// The name of the constraint that refuses a row, if one does; the row is taken back.
fn insert(
    connection: &Connection,
    table: &str,
    tenant: &str,
    draft: &SignalDraft,
) -> Option<String> {
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
    Some(constraint.unwrap_or(&refused).to_owned())
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
