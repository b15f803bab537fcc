//! How values stand in columns where their types do not say it themselves.

use monsys_core::anomaly::{AnomalyKind, Resolution};
use monsys_core::ledger::EventKind;
use monsys_core::name::DisplayName;
use monsys_core::severity::Severity;
use monsys_core::store::StoreError;
use tokio_postgres::Row;

use super::fault::Fault;
use crate::store::Role;

/// Says that a stored row is not what was written.
pub(super) const DAMAGED: Fault = Fault::Answer(StoreError::Damaged);

/// Reads a text column as one of the words of a type.
pub(super) fn word<T: Word>(row: &Row, index: usize) -> Result<T, Fault> {
    T::from_word(row.try_get(index)?).ok_or(DAMAGED)
}

/// Reads a column of 32 bytes that may be NULL.
pub(super) fn bytes32(row: &Row, index: usize) -> Result<Option<[u8; 32]>, Fault> {
    let bytes: Option<&[u8]> = row.try_get(index)?;
    bytes
        .map(|bytes| bytes.try_into().map_err(|_| DAMAGED))
        .transpose()
}

/// A value that stands in a text column.
pub(super) trait Word: Sized {
    fn from_word(text: &str) -> Option<Self>;
}

impl Word for DisplayName {
    fn from_word(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Word for AnomalyKind {
    fn from_word(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Word for Resolution {
    fn from_word(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Word for EventKind {
    fn from_word(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Word for Role {
    fn from_word(text: &str) -> Option<Self> {
        Self::from_word(text)
    }
}

/// Reads the rank of the generated column, in which the worst is 1.
pub(super) fn severity_of_rank(rank: i16) -> Severity {
    match rank {
        1 => Severity::Critical,
        2 => Severity::High,
        3 => Severity::Medium,
        4 => Severity::Low,
        _ => Severity::Info,
    }
}

/// The rank under which a severity is ordered.
pub(super) const fn rank_of_severity(severity: Severity) -> i16 {
    match severity {
        Severity::Critical => 1,
        Severity::High => 2,
        Severity::Medium => 3,
        Severity::Low => 4,
        Severity::Info => 5,
    }
}
