//! Copies of a whole store as lines that any store can read.
//!
//! An export is text: a head, then one line for each row with its table and columns, then the
//! counts. Tables stand in the order in which rows refer to each other, rows in the order that
//! [`layout`] gives them, names are those of contract §5, times are RFC 3339, bytes are
//! `{"hex": "…"}`. The same rows give the same bytes whichever store held them, so an export from
//! SQLite that went through PostgreSQL and back is the same file.
//!
//! What belongs to one back end stays behind: the numbers that SQLite and PostgreSQL give to rows
//! of the logs, the times since when a log is kept, and which roles of a PostgreSQL server may
//! audit. So does what is short-lived: sessions, refresh tokens, login links, leases and how the
//! cycles went; after an import people log in again. An export holds the keys of devices, the
//! digests of tokens and the hashes of passwords, so that nobody but its owner may read it.
//!
//! Cost: one line in memory at a time, at most 8 MiB.

mod cell;
mod layout;
mod lines;

use std::collections::BTreeMap;

use thiserror::Error;

pub(in crate::store) use self::cell::{Cell, canonical};
pub(in crate::store) use self::layout::{Kind, TABLES, Table};
pub(in crate::store) use self::lines::{Line, Lines, write_counts, write_head, write_row};
use crate::store::{postgres, sqlite};

/// Why a copy was not made or not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum ArchiveError {
    /// SQLite said no.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// The SQLite file could not be opened.
    #[error("{0}")]
    Open(#[from] sqlite::OpenError),
    /// The PostgreSQL database could not be opened.
    #[error("{0}")]
    OpenServer(#[from] postgres::OpenError),
    /// PostgreSQL broke off.
    #[error("the database is away: {0}")]
    Away(String),
    /// PostgreSQL said no; in its own words, without the row that it was about.
    #[error("the database refused: {0}")]
    Refused(String),
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
        line: u64,
        /// What should stand there.
        expected: String,
    },
    /// The store does not take a row.
    #[error("{place}: the store refuses a row of {table}: {reason}")]
    Row {
        /// Which line, or between which lines where the store does not say.
        place: Place,
        /// Which table.
        table: &'static str,
        /// What the store says, without the row.
        reason: String,
    },
    /// Rows of too many times.
    #[error(
        "line {line}: {table}: expected rows of at most {slices_max} time slices (days of metrics, \
         weeks of signals, hours of nonces) that the database has not got yet"
    )]
    Scattered {
        /// Which line.
        line: u64,
        /// Which table.
        table: &'static str,
        /// How many time slices an import makes.
        slices_max: u64,
    },
    /// Not as many rows came as the export says.
    #[error(
        "line {line}: expected {counted} rows of {table}, found {found}: the export is damaged"
    )]
    Count {
        /// The line of the counts.
        line: u64,
        /// Which table.
        table: &'static str,
        /// How many rows are stored.
        found: u64,
        /// How many the export counted.
        counted: u64,
    },
    /// A stored row is not what a hub writes.
    #[error("a row of {0} is damaged: expected what a hub writes")]
    DamagedRow(&'static str),
    /// The file is not a whole store.
    #[error("not a whole store: expected a backup of a hub")]
    Damaged,
}

/// Where a row that was refused stands in the text, in lines from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this line.
    At(u64),
    /// From one line to another.
    Between(u64, u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(line) => write!(f, "line {line}"),
            Self::Between(first, last) => write!(f, "lines {first} to {last}"),
        }
    }
}

/// Rows by table.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// Compares what a store holds after an import with what the export counted.
pub(in crate::store) fn compare(
    found: Counts,
    counted: &Counts,
    line: u64,
) -> Result<Counts, ArchiveError> {
    for (&table, &found) in &found {
        let counted = counted.get(table).copied().unwrap_or_default();
        if found != counted {
            return Err(ArchiveError::Count {
                line,
                table,
                found,
                counted,
            });
        }
    }
    Ok(found)
}
