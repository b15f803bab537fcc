//! Looks into the store of a hub without being able to write.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use monsys_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, Params, Row};

use super::postgres::Database;
use super::{DataDir, TestAgent};

/// Opens the store of a hub for reading.
pub(crate) fn open(data: &DataDir) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(data.store_file(), flags).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// Opens the store of a hub as somebody who wants to change it.
pub(crate) fn open_writable(data: &DataDir) -> Connection {
    let connection = Connection::open(data.store_file()).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
        .pragma_update(None, "recursive_triggers", true)
        .unwrap();
    connection
}

/// All rows of a query.
pub(crate) fn rows<T>(
    data: &DataDir,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    if let Some(database) = data.database() {
        return mirrored(database, sql, parameters, read);
    }
    let connection = open(data);
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map(parameters, |row| read(row)).unwrap();
    found.map(Result::unwrap).collect()
}

/// Changes rows by a statement that both databases know, without parameters.
pub(crate) fn change(data: &DataDir, sql: &str) {
    match data.database() {
        Some(database) => {
            // A hub makes none for days before its first; in the first hours of a day a sample of
            // some hours ago is of the day before.
            if sql.contains("INTO metrics ") {
                database.run(
                    "SELECT monsys_make_partitions('metrics', now() - interval '7 days', now())",
                );
            }
            database.run(sql);
        }
        None => open_writable(data).execute_batch(sql).unwrap(),
    }
}

/// The rows that a query gives in PostgreSQL, as rows of SQLite: parameters are written into the
/// text by SQLite itself, and the answer is read as literals.
fn mirrored<T>(
    database: &Database,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let empty = Connection::open_in_memory().unwrap();
    empty.execute_batch(SCHEMA).unwrap();
    let mut asked = empty.prepare(sql).unwrap();
    drop(asked.query(parameters).unwrap());
    let spelled = asked.expanded_sql().unwrap();
    let rows = database.cells(&spelled).into_iter().map(|cells| {
        let cells: Vec<String> = cells.iter().map(|cell| literal(cell.as_deref())).collect();
        let sql = format!("SELECT {}", cells.join(", "));
        empty.query_row(&sql, [], |row| read(row)).unwrap()
    });
    rows.collect()
}

/// How a cell of PostgreSQL is written in SQLite: times as the hub writes them there.
fn literal(cell: Option<&str>) -> String {
    let Some(text) = cell else {
        return "NULL".into();
    };
    if let Some(bytes) = text.strip_prefix("\\x") {
        return format!("x'{bytes}'");
    }
    let as_time = text.replacen(' ', "T", 1).replace("+00", "Z");
    if text.ends_with("+00")
        && let Ok(time) = Timestamp::parse_rfc3339(&as_time)
    {
        return format!("'{}'", time.to_rfc3339());
    }
    match text {
        "t" => "1".into(),
        "f" => "0".into(),
        number if number.parse::<f64>().is_ok() => number.into(),
        text => format!("'{}'", text.replace('\'', "''")),
    }
}

/// What SQLite must know to read a query.
const SCHEMA: &str = include_str!("../../src/store/sqlite/migrations/0001_start.sql");

/// Whether the store is not the file that a test is about; says so, because the test then passes
/// without having run.
pub(crate) fn is_no_file(data: &DataDir) -> bool {
    let is_other = data.database().is_some();
    if is_other {
        let text = "!! a test of the file of SQLite passes without having run on PostgreSQL";
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    is_other
}

/// The number that a query gives.
pub(crate) fn number(data: &DataDir, sql: &str, parameters: impl Params) -> i64 {
    let rows = rows(data, sql, parameters, |row| row.get(0));
    *rows.first().unwrap()
}

pub(crate) fn has_people(data: &DataDir) -> bool {
    number(
        data,
        "SELECT count(*) FROM users WHERE role <> 'service'",
        [],
    ) > 0
}

/// Asserts that the database finds nothing wrong with itself.
pub(crate) fn assert_sound(data: &DataDir) {
    if let Some(database) = data.database() {
        database.assert_sound();
        return;
    }
    let verdict: String = open(data)
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    assert!(rows(data, "PRAGMA foreign_key_check", [], |_| Ok(())).is_empty());
}

/// What payloads have left behind: everything but findings and what is said about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) metrics: i64,
    pub(crate) signals: i64,
    pub(crate) contents: i64,
    agents: Vec<AgentState>,
}

/// What of an agent payloads change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AgentState {
    id: String,
    positions: Vec<u8>,
    last_seen_at: Option<String>,
    version: Option<String>,
}

impl Stored {
    pub(crate) fn of(data: &DataDir) -> Self {
        let count = |sql| number(data, sql, []);
        let sql = "SELECT id, positions, last_seen_at, version FROM agents \
                   WHERE id <> tenant_id ORDER BY id";
        let read = |row: &Row<'_>| {
            Ok(AgentState {
                id: row.get(0)?,
                positions: row.get(1)?,
                last_seen_at: row.get(2)?,
                version: row.get(3)?,
            })
        };
        Self {
            metrics: count("SELECT count(*) FROM metrics"),
            signals: count("SELECT count(*) FROM signal_streams WHERE source <> 'integrity_check'"),
            contents: count("SELECT count(*) FROM ingest_contents"),
            agents: rows(data, sql, [], read),
        }
    }
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anomaly {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) summary: String,
    pub(crate) detail: String,
    pub(crate) evidence: String,
    pub(crate) detected_at: String,
    pub(crate) last_seen_at: String,
    pub(crate) occurrences: i64,
    pub(crate) resolved_at: Option<String>,
    pub(crate) resolved_by: Option<String>,
    pub(crate) resolution: Option<String>,
    pub(crate) note: Option<String>,
}

/// All rows about an agent, oldest first.
pub(crate) fn anomalies(data: &DataDir, agent: &TestAgent) -> Vec<Anomaly> {
    let sql = "SELECT id, kind, severity, summary, detail, evidence, detected_at, last_seen_at, \
               occurrences, resolved_at, resolved_by, resolution, note \
               FROM integrity_anomalies WHERE agent_id = ?1 ORDER BY detected_at, kind";
    rows(data, sql, [agent.id.to_string()], |row| {
        Ok(Anomaly {
            id: row.get(0)?,
            kind: row.get(1)?,
            severity: row.get(2)?,
            summary: row.get(3)?,
            detail: row.get(4)?,
            evidence: row.get(5)?,
            detected_at: row.get(6)?,
            last_seen_at: row.get(7)?,
            occurrences: row.get(8)?,
            resolved_at: row.get(9)?,
            resolved_by: row.get(10)?,
            resolution: row.get(11)?,
            note: row.get(12)?,
        })
    })
}

/// The rows of one kind about an agent, oldest first.
pub(crate) fn anomalies_of(data: &DataDir, agent: &TestAgent, kind: &str) -> Vec<Anomaly> {
    anomalies(data, agent)
        .into_iter()
        .filter(|anomaly| anomaly.kind == kind)
        .collect()
}

/// How often each kind was seen, in rows that are open.
pub(crate) fn open_occurrences(data: &DataDir) -> BTreeMap<String, i64> {
    let sql = "SELECT kind, sum(occurrences) FROM integrity_anomalies \
               WHERE resolved_at IS NULL GROUP BY kind";
    rows(data, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .into_iter()
        .collect()
}

/// How many transactions have written to the store, from some moment on.
///
/// In SQLite the index of the write-ahead log counts them: `iChange`, a 32-bit number of the host's
/// byte order at offset 8 of the `-shm` file (the write-ahead log format of SQLite, section 2.1).
/// In PostgreSQL triggers do, from the first call on.
pub(crate) fn commits(data: &DataDir) -> u32 {
    if let Some(database) = data.database() {
        database.run(COUNT_WRITES);
        let counted = database.number("SELECT count(*) FROM watch.writes");
        return u32::try_from(counted).unwrap();
    }
    let index = std::fs::read(data.path().join("monsys.db-shm")).unwrap();
    u32::from_ne_bytes(index.get(8..12).unwrap().try_into().unwrap())
}

/// Makes each transaction that changes a row leave its number. A transaction that locks rows has a
/// number as well, so numbers alone do not tell.
const COUNT_WRITES: &str = "
DO $watch$
DECLARE
    watched regclass;
BEGIN
    IF to_regclass('watch.writes') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE SCHEMA watch;
    CREATE TABLE watch.writes (transaction xid8 PRIMARY KEY);
    CREATE FUNCTION watch.count_write() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO watch.writes VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END
    $$;
    FOR watched IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition
    LOOP
        EXECUTE format('CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON %s
            FOR EACH ROW EXECUTE FUNCTION watch.count_write()', watched);
    END LOOP;
END
$watch$";
