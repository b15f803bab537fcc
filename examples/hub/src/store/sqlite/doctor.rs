//! The checklist of a file of SQLite: sound, of this schema and no other, guarded.

use std::path::Path;

use monsys_core::time::Timestamp;
use rusqlite::{Connection, ErrorCode};

use super::migrate::{self, OpenError};
use super::{guard, open_read_only};
use crate::doctor::Check;
use crate::store::doctor;

/// Makes the checks of a file that may be there; nothing of it changes.
pub(super) fn examine(file: &Path, now: Timestamp) -> Vec<Check> {
    if matches!(file.try_exists(), Ok(false)) {
        return vec![Check::skip("store", "there is none yet: run makes it")];
    }
    let connection = match open_read_only(file) {
        Ok(connection) => connection,
        Err(error) => {
            let todo = "let the hub's user read and write it, or restore a backup";
            return vec![Check::fail("store", error.to_string(), todo)];
        }
    };
    vec![
        schema(&connection),
        definitions(&connection),
        journal(&connection),
        integrity(&connection),
        writable(file),
        guarded(file),
        doctor::cycle(previous_cycle(&connection), now),
    ]
}

fn schema(connection: &Connection) -> Check {
    match migrate::require_newest(connection) {
        Ok(()) => Check::ok("schema", "that of this program"),
        Err(error @ (OpenError::Older { .. } | OpenError::Newer { .. })) => Check::fail(
            "schema",
            error.to_string(),
            "run migrate, or the newer program",
        ),
        Err(error) => Check::fail("schema", error.to_string(), DAMAGED),
    }
}

/// Compares each table, index and trigger with what the migrations make.
fn definitions(connection: &Connection) -> Check {
    let name = "definitions";
    let made = Connection::open_in_memory().map_err(OpenError::from);
    let made = made.and_then(|fresh| {
        migrate::migrate(&fresh)?;
        Ok(all_definitions(&fresh)?)
    });
    let (made, found) = match (made, all_definitions(connection)) {
        (Ok(made), Ok(found)) => (made, found),
        (Err(error), _) => return Check::fail(name, error.to_string(), DAMAGED),
        (_, Err(error)) => return Check::fail(name, error.to_string(), DAMAGED),
    };
    let differs = |(of, other): (&[Definition], &[Definition])| {
        let missing = of.iter().filter(|definition| !other.contains(definition));
        missing.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let (gone, extra) = (differs((&made, &found)), differs((&found, &made)));
    if gone.is_empty() && extra.is_empty() {
        return Check::ok(
            name,
            format!("all {} as this program makes them", made.len()),
        );
    }
    let found = format!(
        "missing or changed: {}; not ours: {}",
        words(&gone),
        words(&extra)
    );
    Check::fail(
        name,
        found,
        "somebody changed the schema: restore a backup, and verify the ledger",
    )
}

/// Name and text of a definition.
type Definition = (String, String);

fn all_definitions(connection: &Connection) -> rusqlite::Result<Vec<Definition>> {
    let sql = "SELECT name, coalesce(sql, '') FROM sqlite_master \
               WHERE name NOT LIKE 'sqlite_%' ORDER BY name LIMIT 1000";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn words(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(" ")
}

fn journal(connection: &Connection) -> Check {
    let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    match mode {
        Ok(mode) if mode == "wal" => Check::ok("journal", "WAL"),
        Ok(mode) => {
            let todo = "start the hub once: it sets WAL, unless another program holds the file";
            Check::fail("journal", format!("the mode is {mode}, not WAL"), todo)
        }
        Err(error) => Check::fail("journal", error.to_string(), DAMAGED),
    }
}

/// Reads the whole file, which takes as long as there is of it.
fn integrity(connection: &Connection) -> Check {
    let name = "integrity";
    let said = connection.pragma_query_value(Some("main"), "integrity_check", |row| {
        row.get::<_, String>(0)
    });
    match said {
        Ok(said) if said != "ok" => return Check::fail(name, said, DAMAGED),
        Err(error) => return Check::fail(name, error.to_string(), DAMAGED),
        Ok(_) => {}
    }
    let mut orphans = 0_u64;
    let counted = connection.pragma_query(None, "foreign_key_check", |_| {
        orphans += 1;
        Ok(())
    });
    match (counted, orphans) {
        (Ok(()), 0) => Check::ok(name, "sound, to the last page"),
        (Ok(()), n) => Check::fail(name, format!("{n} rows refer to what is gone"), DAMAGED),
        (Err(error), _) => Check::fail(name, error.to_string(), DAMAGED),
    }
}

/// Asks for the lock of a writer, and gives it back.
fn writable(file: &Path) -> Check {
    let name = "store_writable";
    let begun = Connection::open(file)
        .and_then(|connection| connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK"));
    match begun {
        Ok(()) => Check::ok(name, "a transaction was begun, and given up"),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            Check::ok(name, "a hub writes at this moment")
        }
        Err(error) => {
            let todo = "let the hub's user write the file and its directory";
            Check::fail(name, error.to_string(), todo)
        }
    }
}

/// Tries on a connection as those that serve what they must refuse; nothing of it runs.
fn guarded(file: &Path) -> Check {
    let name = "ledger_guarded";
    let opened = open_read_only(file).and_then(|mut connection| {
        guard::guard(&mut connection)?;
        Ok(connection)
    });
    let connection = match opened {
        Ok(connection) => connection,
        Err(error) => return Check::fail(name, error.to_string(), DAMAGED),
    };
    // What is not there cannot be taken away; that it is gone shows in the definitions.
    let is_let_pass = |sql: &&&str| connection.prepare(sql).is_ok();
    let passed: Vec<_> = FORBIDDEN.iter().filter(is_let_pass).collect();
    match passed.first() {
        None => Check::ok(
            name,
            "what serves can neither delete from it nor drop its triggers",
        ),
        Some(sql) => Check::fail(name, format!("not refused: {sql}"), DAMAGED),
    }
}

fn previous_cycle(connection: &Connection) -> Option<String> {
    let sql = "SELECT value FROM meta WHERE name = 'previous_cycle'";
    connection.query_row(sql, [], |row| row.get(0)).ok()
}

const FORBIDDEN: [&str; 5] = [
    "DELETE FROM integrity_events WHERE tenant_id = ''",
    "DELETE FROM integrity_anomalies WHERE tenant_id = ''",
    "DELETE FROM audit_log WHERE tenant_id = ''",
    "DROP TRIGGER integrity_events_keep",
    "PRAGMA recursive_triggers = 0",
];
const DAMAGED: &str = "stop the hub, keep a copy of the file, and restore a backup";
