//! How values stand in columns, and what errors of SQLite mean.

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, AnomalyId, ApiTokenId, TenantId, UserId};
use monsys_core::severity::Severity;
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;
use rusqlite::{ErrorCode, Row};

/// Tells what an error of the database means to a caller.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        let is_absent = *error == rusqlite::Error::QueryReturnedNoRows;
        return if is_absent {
            StoreError::NotFound
        } else {
            StoreError::Damaged
        };
    };
    if failure.code != ErrorCode::ConstraintViolation {
        return StoreError::Unavailable;
    }
    let message = message.as_deref().unwrap_or_default();
    if message.starts_with("UNIQUE constraint failed") {
        return StoreError::AlreadyExists;
    }
    if message.starts_with("FOREIGN KEY constraint failed") {
        return StoreError::NotFound;
    }
    let constraint = message
        .strip_prefix("CHECK constraint failed: ")
        .unwrap_or(message);
    StoreError::Refused {
        constraint: constraint.to_owned(),
    }
}

/// Turns a result of the database into one of the store.
pub(super) trait OrStoreError<T> {
    fn or_store_error(self) -> Result<T, StoreError>;
}

impl<T> OrStoreError<T> for rusqlite::Result<T> {
    fn or_store_error(self) -> Result<T, StoreError> {
        self.map_err(|error| store_error(&error))
    }
}

/// A value that stands in a text column.
pub(super) trait TextColumn: Sized {
    fn from_text(text: &str) -> Option<Self>;
}

impl TextColumn for Timestamp {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse_rfc3339(text).ok()
    }
}

impl TextColumn for Severity {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl TextColumn for AnomalyKind {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl TextColumn for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

macro_rules! id_column {
    ($($name:ident),*) => {
        $(impl TextColumn for $name {
            fn from_text(text: &str) -> Option<Self> {
                Self::parse(text).ok()
            }
        })*
    };
}

id_column!(AgentId, TenantId, UserId, AnomalyId, ApiTokenId);

/// Reads a text column as a typed value.
pub(super) fn text<T: TextColumn>(row: &Row<'_>, index: usize) -> Result<T, StoreError> {
    optional(row, index)?.ok_or(StoreError::Damaged)
}

/// Reads a text column that may be NULL as a typed value.
pub(super) fn optional<T: TextColumn>(
    row: &Row<'_>,
    index: usize,
) -> Result<Option<T>, StoreError> {
    let value = row
        .get_ref(index)
        .or_store_error()?
        .as_str_or_null()
        .map_err(|_| StoreError::Damaged)?;
    value
        .map(|text| T::from_text(text).ok_or(StoreError::Damaged))
        .transpose()
}

/// Reads a column of 32 bytes that may be NULL.
pub(super) fn bytes32(row: &Row<'_>, index: usize) -> Result<Option<[u8; 32]>, StoreError> {
    let value = row.get_ref(index).or_store_error()?;
    let bytes = value.as_blob_or_null().map_err(|_| StoreError::Damaged)?;
    bytes
        .map(|bytes| bytes.try_into().map_err(|_| StoreError::Damaged))
        .transpose()
}

/// Collects the rows of a query, each read by a function that may find damage.
pub(super) fn rows<T>(
    statement: &mut rusqlite::CachedStatement<'_>,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    let mut rows = statement.query(parameters).or_store_error()?;
    while let Some(row) = rows.next().or_store_error()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Reads the first row of a query, if there is one.
pub(super) fn first<T>(
    statement: &mut rusqlite::CachedStatement<'_>,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut rows = statement.query(parameters).or_store_error()?;
    rows.next().or_store_error()?.map(read).transpose()
}
