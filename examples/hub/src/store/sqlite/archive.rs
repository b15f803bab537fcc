//! Copies of a store in SQLite: as a file, and as lines that any store can read.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use monsys_core::id::AgentId;
use monsys_core::json::ObjectText;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, TransactionBehavior, params_from_iter};

use super::{make_private, migrate, open_read_only, open_writable};
use crate::store::archive::{
    ArchiveError, Cell, Counts, Line, Lines, Place, TABLES, Table, compare, write_counts,
    write_head, write_row,
};

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
    write_head(out)?;
    let mut counts = Counts::new();
    for table in TABLES {
        let mut statement = snapshot.prepare(&selection(table))?;
        let mut rows = statement.query([])?;
        let mut n_rows = 0;
        while let Some(row) = rows.next()? {
            write_row(out, table, row_of(table, row)?)?;
            n_rows += 1;
        }
        counts.insert(table.name, n_rows);
    }
    write_counts(out, &counts)?;
    Ok(counts)
}

/// Rows that are alike in the order of the format stay in the order they came, which is that of
/// their numbers.
fn selection(table: &Table) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let columns = columns.join(", ");
    let (name, order) = (table.name, table.order);
    let is_numbered = ["metrics", "endpoint_snapshots", "signal_streams"].contains(&name);
    let number = if is_numbered { ", id" } else { "" };
    format!("SELECT {columns} FROM {name} ORDER BY {order}{number}")
}

fn row_of(table: &Table, row: &Row<'_>) -> Result<ObjectText, ArchiveError> {
    let mut object = ObjectText::new();
    for (index, (column, _)) in table.columns.iter().enumerate() {
        let cell = match row.get_ref(index)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(text) => {
                let text = str::from_utf8(text);
                Cell::Text(
                    text.map_err(|_| ArchiveError::DamagedRow(table.name))?
                        .into(),
                )
            }
            ValueRef::Blob(bytes) => Cell::Bytes(bytes.into()),
        };
        object = cell.write(column, object);
    }
    Ok(object)
}

/// Reads an export into an empty store, all or nothing, and compares the counts.
pub(crate) fn import(store: &Path, lines: impl BufRead) -> Result<Counts, ArchiveError> {
    let mut connection = open_writable(store)?;
    migrate::migrate_empty(&connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // An anomaly may stand before the one that it names as the one before it.
    transaction.pragma_update(None, "defer_foreign_keys", true)?;
    if counts(&transaction)?.values().any(|n_rows| *n_rows > 0) {
        return Err(ArchiveError::NotEmpty);
    }
    let mut lines = Lines::start(lines)?;
    let counted = loop {
        match lines.next()? {
            Line::Row(table, cells) => {
                // The heads are there already: triggers made and moved them.
                let stored = if table.name == "ledger_heads" {
                    compare_head(&transaction, cells)
                } else {
                    insert(&transaction, table, cells).map_err(|error| error.to_string())
                };
                stored.map_err(|reason| ArchiveError::Row {
                    place: Place::At(lines.number()),
                    table: table.name,
                    reason,
                })?;
            }
            Line::Counts(counted) => break counted,
        }
    };
    let found = compare(counts(&transaction)?, &counted, lines.number())?;
    transaction.commit()?;
    Ok(found)
}

fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let count = |table: &Table| {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        Ok((table.name, count.unsigned_abs()))
    };
    TABLES.iter().map(count).collect()
}

fn insert(connection: &Connection, table: &Table, cells: Vec<Cell>) -> rusqlite::Result<()> {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let places = vec!["?"; columns.len()].join(", ");
    let (name, columns) = (table.name, columns.join(", "));
    let sql = format!("INSERT INTO {name} ({columns}) VALUES ({places})");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.execute(params_from_iter(cells.into_iter().map(stored)))?;
    Ok(())
}

/// Makes sure that the entries of a ledger lead to the head of the export.
fn compare_head(connection: &Connection, cells: Vec<Cell>) -> Result<(), String> {
    let sql = "SELECT count(*) FROM ledger_heads WHERE tenant_id = ?1 AND seq = ?2 AND hash = ?3";
    let read = |row: &Row<'_>| row.get::<_, i64>(0);
    let cells = params_from_iter(cells.into_iter().map(stored));
    match connection.query_row(sql, cells, read) {
        Ok(1..) => Ok(()),
        Ok(_) => Err("expected the number and hash of the last entry".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// How a value stands in a column.
fn stored(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Id(id) => Value::Text(AgentId::from_bytes(id).to_string()),
        Cell::Text(text) => Value::Text(text),
        Cell::Time(time) => Value::Text(time.to_rfc3339()),
        Cell::Bytes(bytes) => Value::Blob(bytes),
        Cell::Integer(number) => Value::Integer(number),
        Cell::Real(number) => Value::Real(number),
        Cell::Flag(is_set) => Value::Integer(i64::from(is_set)),
    }
}
