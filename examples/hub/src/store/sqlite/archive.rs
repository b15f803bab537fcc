//! Copies of a whole store: as a file of SQLite, and as lines that any store can read.
//!
//! An export is text: a head, then one line for each row with its table and columns, then the
//! counts. Tables stand in the order in which rows refer to each other, names are those of
//! contract §5, times are RFC 3339, bytes are `{"hex": "…"}`. What is short-lived stays behind:
//! sessions, login links and leases. Both kinds of copy hold the keys of devices and the digests
//! of tokens, so that nobody but their owner may read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use monsys_core::json::{self, Cursor, Kind, ObjectText, Scratch};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params_from_iter};
use thiserror::Error;

use super::{make_private, migrate, open_read_only, open_writable};
use crate::store::sqlite::OpenError;

/// Why a copy was not made or not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ArchiveError {
    /// The database said no.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// The store could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// Reading or writing went wrong.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The target is there already.
    #[error("is there already: expected a new file")]
    Exists,
    /// The store to import into holds data.
    #[error("the store holds data: expected an empty one")]
    NotEmpty,
    /// The text is no export.
    #[error("line {line}: expected {expected}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Not as many rows came as the export says.
    #[error("{found} rows of {table}, expected {counted}: the export is damaged")]
    Count {
        /// Which table.
        table: &'static str,
        /// How many rows are stored.
        found: u64,
        /// How many the export counted.
        counted: u64,
    },
    /// The file is not a whole store.
    #[error("not a whole store: expected a backup of a hub")]
    Damaged,
}

/// Rows by table.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// Copies a store in one read transaction while others write, and looks the copy through.
pub(crate) fn backup(store: &Path, target: &Path) -> Result<(), ArchiveError> {
    let partial = start_copy(target)?;
    let copied = open_writable(store)
        .map_err(ArchiveError::from)
        .and_then(|c| {
            let name = partial.to_str().ok_or(ArchiveError::Damaged)?;
            c.execute("VACUUM INTO ?1", [name])?;
            look_through(&partial)
        });
    finish_copy(copied, &partial, target)
}

/// Puts a backup where a store belongs, unless one is there.
pub(crate) fn restore(backup: &Path, store: &Path) -> Result<(), ArchiveError> {
    look_through(backup)?;
    let partial = start_copy(store)?;
    let copied = std::fs::copy(backup, &partial)
        .map_err(ArchiveError::from)
        .and_then(|_| look_through(&partial));
    finish_copy(copied, &partial, store)
}

/// Makes the private file that becomes the target when it is complete.
fn start_copy(target: &Path) -> Result<PathBuf, ArchiveError> {
    if target.try_exists()? {
        return Err(ArchiveError::Exists);
    }
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // What an attempt left that was killed.
    let _ = std::fs::remove_file(&partial);
    make_private(&partial)?;
    Ok(partial)
}

fn finish_copy(
    copied: Result<(), ArchiveError>,
    partial: &Path,
    target: &Path,
) -> Result<(), ArchiveError> {
    let finish = || {
        File::open(partial)?.sync_all()?;
        // Unlike a rename, a link never replaces a file that came meanwhile.
        std::fs::hard_link(partial, target)?;
        let folder = target
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    let finished = copied.and_then(|()| Ok(finish()?));
    let _ = std::fs::remove_file(partial);
    finished
}

/// Makes sure that a file is a store of this schema and not damaged.
fn look_through(file: &Path) -> Result<(), ArchiveError> {
    let connection = open_read_only(file)?;
    if !migrate::is_newest(&connection).map_err(|_| ArchiveError::Damaged)? {
        return Err(ArchiveError::Damaged);
    }
    let verdict: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(ArchiveError::Damaged)
    }
}

/// Writes all rows as they are at one moment.
pub(crate) fn export(store: &Path, out: &mut impl Write) -> Result<Counts, ArchiveError> {
    let connection = open_writable(store)?;
    migrate::require_newest(&connection)?;
    let snapshot = connection.unchecked_transaction()?;
    writeln!(out, "{}", ObjectText::new().integer(HEAD, FORMAT).finish())?;
    let mut counts = Counts::new();
    for table in TABLES {
        let columns = columns(&snapshot, table)?;
        let sql = format!("SELECT {} FROM {table}", columns.join(", "));
        let mut statement = snapshot.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut n_rows = 0;
        while let Some(row) = rows.next()? {
            let row = line_of(row, &columns)?;
            let line = ObjectText::new().text("table", table).object("row", row);
            writeln!(out, "{}", line.finish())?;
            n_rows += 1;
        }
        counts.insert(table, n_rows);
    }
    let counted = |object: ObjectText, (table, n): (&&str, &u64)| object.integer(table, *n);
    let counted = counts.iter().fold(ObjectText::new(), counted);
    writeln!(
        out,
        "{}",
        ObjectText::new().object("counts", counted).finish()
    )?;
    out.flush()?;
    Ok(counts)
}

/// Columns that are stored as given; what the database computes is left out.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn line_of(row: &Row<'_>, columns: &[String]) -> Result<ObjectText, ArchiveError> {
    let mut object = ObjectText::new();
    for (index, column) in columns.iter().enumerate() {
        object = match row.get_ref(index)? {
            ValueRef::Null => object.null(column),
            ValueRef::Integer(number) => object.integer(column, number),
            ValueRef::Real(number) => object.number(column, number),
            ValueRef::Text(text) => {
                let text = str::from_utf8(text).map_err(|_| ArchiveError::Damaged)?;
                object.text(column, text)
            }
            ValueRef::Blob(bytes) => {
                object.object(column, ObjectText::new().text("hex", &hex_of(bytes)))
            }
        };
    }
    Ok(object)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads an export into an empty store, all or nothing, and compares the counts.
pub(crate) fn import(store: &Path, lines: &mut impl BufRead) -> Result<Counts, ArchiveError> {
    let mut connection = open_writable(store)?;
    migrate::migrate_empty(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in TABLES {
        if count(&transaction, table)? > 0 {
            return Err(ArchiveError::NotEmpty);
        }
    }
    let counted = read_rows(&transaction, lines)?;
    let mut counts = Counts::new();
    for table in TABLES {
        let (found, counted) = (
            count(&transaction, table)?,
            counted.get(*table).copied().unwrap_or_default(),
        );
        if found != counted {
            return Err(ArchiveError::Count {
                table,
                found,
                counted,
            });
        }
        counts.insert(table, found);
    }
    transaction.commit()?;
    Ok(counts)
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {table}");
    let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Inserts the rows up to the counts, which it returns.
fn read_rows(
    transaction: &Transaction<'_>,
    lines: &mut impl BufRead,
) -> Result<BTreeMap<String, u64>, ArchiveError> {
    let known = TABLES
        .iter()
        .map(|table| Ok((*table, columns(transaction, table)?)))
        .collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
    let mut scratch = Scratch::new();
    let mut text = Vec::new();
    for line in 1.. {
        let wrong = |expected| ArchiveError::Line { line, expected };
        text.clear();
        lines
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)?;
        let canonical =
            json::canonicalize(&text, &mut scratch).map_err(|_| wrong("a line of an export"))?;
        let mut cursor = Cursor::new(canonical);
        let is_object = cursor.enter_object();
        if line == 1 {
            let is_head = is_object && cursor.next_is(HEAD) && cursor.integer() == Some(FORMAT);
            if !is_head {
                return Err(wrong("the head of an export of this format"));
            }
        } else if is_object && cursor.next_is("counts") {
            return counts_of(&mut cursor).ok_or_else(|| wrong("the counts"));
        } else {
            let row = is_object.then(|| row_of(&mut cursor)).flatten();
            let (table, values) = row.ok_or_else(|| wrong("a row with its table"))?;
            let columns = known.get(table.as_str());
            let is_known =
                |columns: &&Vec<String>| values.keys().all(|name| columns.contains(name));
            if columns.filter(is_known).is_none() {
                return Err(wrong("a table and columns of this schema"));
            }
            insert(transaction, &table, values)?;
        }
    }
    // Cannot be reached: there are more numbers than lines.
    Err(ArchiveError::Damaged)
}

fn counts_of(cursor: &mut Cursor<'_>) -> Option<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    if !cursor.enter_object() {
        return None;
    }
    while let Some(table) = cursor.next_name() {
        counts.insert(table.into_owned(), u64::try_from(cursor.integer()?).ok()?);
    }
    Some(counts)
}

/// A table and the values of its columns; members come in the order of their names.
fn row_of(cursor: &mut Cursor<'_>) -> Option<(String, BTreeMap<String, Value>)> {
    let mut values = BTreeMap::new();
    if !(cursor.next_is("row") && cursor.enter_object()) {
        return None;
    }
    while let Some(column) = cursor.next_name() {
        values.insert(column.into_owned(), value_of(cursor)?);
    }
    let table = cursor.next_is("table").then(|| cursor.text()).flatten()?;
    Some((table.into_owned(), values))
}

fn value_of(cursor: &mut Cursor<'_>) -> Option<Value> {
    match cursor.kind() {
        Kind::Null => cursor.null().then_some(Value::Null),
        Kind::Text => cursor.text().map(|text| Value::Text(text.into_owned())),
        Kind::Number => match cursor.integer() {
            Some(integer) => Some(Value::Integer(integer)),
            None => cursor.number().map(Value::Real),
        },
        Kind::Object => {
            let is_hex = cursor.enter_object() && cursor.next_is("hex");
            let bytes = is_hex.then(|| cursor.text()).flatten()?;
            let is_all = cursor.next_name().is_none();
            is_all.then(|| bytes_of(&bytes)).flatten().map(Value::Blob)
        }
        Kind::Array | Kind::Boolean => None,
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    rest.is_empty().then_some(bytes)
}

fn insert(
    connection: &Connection,
    table: &str,
    values: BTreeMap<String, Value>,
) -> Result<(), ArchiveError> {
    let columns: Vec<&str> = values.keys().map(String::as_str).collect();
    let places = vec!["?"; columns.len()].join(", ");
    let sql = format!(
        "INSERT INTO {table} ({}) VALUES ({places})",
        columns.join(", ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.execute(params_from_iter(values.into_values()))?;
    Ok(())
}

/// The tables of an export, each behind those that its rows refer to.
const TABLES: &[&str] = &[
    "meta",
    "tenants",
    "users",
    "agents",
    "ingest_contents",
    "ingest_nonces",
    "metrics",
    "endpoint_snapshots",
    "signal_streams",
    "signal_current",
    "integrity_anomalies",
    "audit_log",
];

const HEAD: &str = "monsys_export";
const FORMAT: i64 = 1;
/// Longest line: a snapshot of half a megabyte with every character escaped.
const LINE_BYTES_MAX: u64 = 8 << 20;
