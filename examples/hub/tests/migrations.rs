//! Schemas go up, stay up when asked again, come down completely, and go up to the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::process::Output;

use rusqlite::Connection;
use serde_json::json;

use support::DataDir;
use support::postgres::{self, Database};
use support::store::open_writable;

const SQLITE_DOWN: &str = include_str!("../src/store/sqlite/migrations/0001_down.sql");
const POSTGRES_DOWN: &str = include_str!("../src/store/postgres/migrations/0001_down.sql");

/// All that a schema of SQLite is made of.
fn sqlite_schema(connection: &Connection) -> Vec<String> {
    let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master \
               WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// All that a schema of PostgreSQL is made of, but for partitions, whose names are those of days.
fn postgres_schema(database: &Database) -> Vec<String> {
    let mine = "relnamespace = 'public'::regnamespace AND NOT relispartition";
    let functions = "pronamespace = 'public'::regnamespace";
    let parts = [
        format!(
            "SELECT concat_ws(' ', 'relation', relname, relkind, relrowsecurity, \
             relforcerowsecurity, pg_get_userbyid(relowner), relacl) FROM pg_class WHERE {mine}"
        ),
        format!(
            "SELECT concat_ws(' ', 'column', relname, attname, format_type(atttypid, atttypmod), \
             attnotnull, attacl, pg_get_expr(adbin, adrelid)) FROM pg_class \
             JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 \
             LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE {mine}"
        ),
        format!(
            "SELECT concat_ws(' ', 'index', pg_get_indexdef(oid)) FROM pg_class \
             WHERE {mine} AND relkind IN ('i', 'I')"
        ),
        format!(
            "SELECT concat_ws(' ', 'constraint', relname, conname, pg_get_constraintdef(c.oid)) \
             FROM pg_constraint c JOIN pg_class ON conrelid = pg_class.oid WHERE {mine}"
        ),
        format!(
            "SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), tgenabled) \
             FROM pg_trigger t JOIN pg_class ON tgrelid = pg_class.oid \
             WHERE NOT tgisinternal AND {mine}"
        ),
        "SELECT concat_ws(' ', 'policy', tablename, policyname, roles, cmd, qual, with_check) \
         FROM pg_policies WHERE schemaname = 'public'"
            .to_owned(),
        format!(
            "SELECT concat_ws(' ', 'function', replace(pg_get_functiondef(oid), E'\\n', ' '), proacl) \
             FROM pg_proc WHERE {functions}"
        ),
        "SELECT concat_ws(' ', 'schema', nspacl) FROM pg_namespace WHERE nspname = 'public'"
            .to_owned(),
    ];
    let all = parts.join(" UNION ALL ");
    database.run(&format!(
        "SELECT line FROM ({all}) AS lines (line) ORDER BY line COLLATE \"C\""
    ))
}

fn migrate(data: &DataDir) {
    let output = data.run(&["migrate"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Asserts what a dry run says is there, and what it would do.
fn assert_pending(data: &DataDir, found: i64, would_run: &[i64]) {
    let said = data.json(&["migrate", "--dry-run"]);
    assert_eq!(said["found"], found, "{said}");
    assert_eq!(said["newest"], 1, "{said}");
    assert_eq!(said["would_run"], json!(would_run), "{said}");
    let status = if would_run.is_empty() {
        "ok"
    } else {
        "pending"
    };
    assert_eq!(said["status"], status, "{said}");
}

fn assert_refused(output: &Output, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains(word), "{said}");
}

#[test]
fn a19_sqlite_goes_up_and_down_and_up_to_the_same_schema() {
    let Some(data) = sqlite() else { return };
    assert_pending(&data, 0, &[1]);
    assert!(!data.store_file().exists(), "a dry run makes nothing");
    migrate(&data);
    assert_pending(&data, 1, &[]);
    let up = sqlite_schema(&open_writable(&data));
    assert!(up.len() > 40, "{up:?}");
    migrate(&data);
    assert_eq!(sqlite_schema(&open_writable(&data)), up, "once more");
    // With rows in it, because a table may refuse to go while others refer to its rows.
    data.add_org("acme");
    data.enrol("acme", "alpha");
    let connection = open_writable(&data);
    connection
        .pragma_update(None, "foreign_keys", true)
        .unwrap();
    connection.execute_batch(SQLITE_DOWN).unwrap();
    assert_eq!(sqlite_schema(&connection), Vec::<String>::new(), "down");
    drop(connection);
    assert_pending(&data, 0, &[1]);
    migrate(&data);
    assert_eq!(sqlite_schema(&open_writable(&data)), up, "up again");
    data.add_org("acme");
}

#[test]
fn a19_postgres_goes_up_and_down_and_up_to_the_same_schema() {
    let Some(database) = postgres::database() else {
        return;
    };
    let data = DataDir::of(database.clone());
    let bare = postgres_schema(&database);
    assert_pending(&data, 0, &[1]);
    assert_eq!(postgres_schema(&database), bare, "a dry run makes nothing");
    migrate(&data);
    assert_pending(&data, 1, &[]);
    let up = postgres_schema(&database);
    assert!(up.len() > 300, "{}", up.len());
    migrate(&data);
    assert_eq!(postgres_schema(&database), up, "once more");
    data.add_org("acme");
    data.enrol("acme", "alpha");
    database.run(POSTGRES_DOWN);
    let is_ours = |line: &&String| !line.starts_with("schema");
    let left = postgres_schema(&database);
    let left: Vec<_> = left.iter().filter(is_ours).collect();
    assert!(left.is_empty(), "{left:?}");
    let partitions = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(database.number(partitions), 0);
    let given = "SELECT nspacl FROM pg_namespace WHERE nspname = 'public'";
    assert!(!database.run(given).concat().contains("monsys"));
    assert_pending(&data, 0, &[1]);
    migrate(&data);
    assert_eq!(postgres_schema(&database), up, "up again");
    data.add_org("acme");
}

#[test]
fn a19_a_schema_of_a_newer_program_is_left_alone() {
    if let Some(data) = sqlite() {
        migrate(&data);
        let connection = open_writable(&data);
        connection.pragma_update(None, "user_version", 2).unwrap();
        for command in [
            &["migrate"][..],
            &["migrate", "--dry-run"],
            &["org", "list"],
        ] {
            assert_refused(&data.run(command), "newer");
        }
    }
    if let Some(data) = DataDir::on_postgres() {
        migrate(&data);
        let database = data.database().unwrap();
        database.run("INSERT INTO monsys_schema (version) VALUES (2)");
        for command in [
            &["migrate"][..],
            &["migrate", "--dry-run"],
            &["org", "list"],
        ] {
            assert_refused(&data.run(command), "newer");
        }
    }
}

/// A store in a file; `None` when the test was asked to run on PostgreSQL, where it has run already.
fn sqlite() -> Option<DataDir> {
    let data = DataDir::new();
    (!support::store::is_no_file(&data)).then_some(data)
}
