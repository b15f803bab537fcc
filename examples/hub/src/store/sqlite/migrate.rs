//! Schema versions.
//!
//! An empty file is brought to the newest schema when it is opened; an older one is refused until
//! `migrate` is run, so that nobody changes a schema by starting a program; a newer one is refused
//! by all.

use rusqlite::Connection;
use thiserror::Error;

use crate::store::SchemaVersion;

/// Why a store was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database said no.
    #[error("store not opened: {0}")]
    Database(#[from] rusqlite::Error),
    /// The file could not be made or written.
    #[error("store not opened: {0}")]
    File(#[source] std::io::Error),
    /// No thread for the writer.
    #[error("store not opened: no thread for its writer")]
    Thread(#[source] std::io::Error),
    /// Written by an older version.
    #[error("the store has schema {found}, expected {NEWEST}: run `monsys-hub migrate`")]
    Older {
        /// Its schema.
        found: i64,
    },
    /// Written by a newer version.
    #[error("the store has schema {found}, this program knows {NEWEST}: run a newer monsys-hub")]
    Newer {
        /// Its schema.
        found: i64,
    },
}

/// The schema this program writes: the number of scripts in [`SCRIPTS`].
const NEWEST: i64 = 1;

/// What there is where there is nothing.
pub(super) const NO_STORE: SchemaVersion = SchemaVersion {
    found: 0,
    newest: NEWEST,
};

const SCRIPTS: [&str; 1] = [include_str!("migrations/0001_start.sql")];

/// Brings an empty store to the newest schema; refuses any other that is not the newest.
pub(super) fn migrate_empty(connection: &Connection) -> Result<(), OpenError> {
    let is_applied = |connection: &Connection| match version(connection)? {
        NEWEST => Ok(true),
        0 => Ok(false),
        found if found < NEWEST => Err(OpenError::Older { found }),
        found => Err(OpenError::Newer { found }),
    };
    if is_applied(connection)? {
        return Ok(());
    }
    migrate(connection)
}

/// Brings a store of any earlier schema to the newest one, in one transaction.
pub(super) fn migrate(connection: &Connection) -> Result<(), OpenError> {
    let tx =
        rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been quicker between a look and the lock.
    let found = version(&tx)?;
    if found > NEWEST {
        return Err(OpenError::Newer { found });
    }
    for (script, number) in SCRIPTS.iter().zip(1_i64..) {
        if number > found {
            tx.execute_batch(script)?;
            tx.pragma_update(None, "user_version", number)?;
        }
    }
    Ok(tx.commit()?)
}

/// Tells which schema a store has; refuses one of a newer program.
pub(super) fn schema(connection: &Connection) -> Result<SchemaVersion, OpenError> {
    match version(connection)? {
        found if found > NEWEST => Err(OpenError::Newer { found }),
        found => Ok(SchemaVersion { found, ..NO_STORE }),
    }
}

/// Refuses a store that does not have the newest schema.
pub(super) fn require_newest(connection: &Connection) -> Result<(), OpenError> {
    match version(connection)? {
        NEWEST => Ok(()),
        found if found < NEWEST => Err(OpenError::Older { found }),
        found => Err(OpenError::Newer { found }),
    }
}

/// Tells whether a store has the newest schema.
pub(super) fn is_newest(connection: &Connection) -> Result<bool, OpenError> {
    Ok(version(connection)? == NEWEST)
}

fn version(connection: &Connection) -> Result<i64, OpenError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
