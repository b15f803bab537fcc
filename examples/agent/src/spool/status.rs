//! What a spool holds, for people.
//!
//! What: reading the files of a spool that another process may own. What not: changing anything.
//! Cost: every segment is read.

use std::path::Path;

use monsys_wire::spool::{Gap, Ledger};
use serde::Serialize;

use super::{SpoolError, SpoolLimits, read_state, segment};

/// What a spool holds, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SpoolStatus {
    /// The life of the spool.
    pub epoch: u64,
    /// The seq that the next payload gets.
    pub next_seq: u64,
    /// Payloads that are still to be delivered.
    pub pending: usize,
    /// When the oldest of them was measured.
    pub oldest_captured_at: Option<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes it may take.
    pub bytes_max: u64,
    /// Payloads that were lost undelivered in the life of the spool.
    pub dropped: u64,
    /// Losses that the hub was not told of yet.
    pub gaps: Vec<GapStatus>,
}

/// A range of positions in which payloads were lost, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GapStatus {
    /// The epoch in which the positions were.
    pub epoch: u64,
    /// The lowest seq that was lost.
    pub from_seq: u64,
    /// The highest seq that was lost.
    pub to_seq: u64,
    /// How many were lost from the one to the other.
    pub lost: u64,
}

impl From<&Gap> for GapStatus {
    fn from(gap: &Gap) -> Self {
        Self {
            epoch: gap.epoch,
            from_seq: gap.from_seq,
            to_seq: gap.to_seq,
            lost: gap.n_lost,
        }
    }
}

impl From<&GapStatus> for Gap {
    fn from(status: &GapStatus) -> Self {
        Self {
            n_lost: status.lost,
            ..Self::of(status.epoch, status.from_seq, status.to_seq)
        }
    }
}

/// Looks at a spool without owning it: works while an agent is running, changes nothing.
///
/// # Errors
/// [`SpoolError::Io`] when the directory cannot be read.
pub fn inspect(dir: &Path, limits: SpoolLimits) -> Result<SpoolStatus, SpoolError> {
    let io = |source| SpoolError::Io {
        path: dir.to_owned(),
        source,
    };
    let found = if dir.is_dir() {
        segment::find(dir).map_err(io)?
    } else {
        Vec::new()
    };
    let stored = read_state(dir).map_err(io)?;
    let mut records = Vec::new();
    for segment in &found {
        let located = segment.scanned.iter().flat_map(|scanned| &scanned.records);
        records.extend(located.map(|located| (segment.name, *located)));
    }
    let ledger = Ledger::restore(stored.as_ref(), &records);
    let next = ledger
        .position(ledger.next_number())
        .ok_or(SpoolError::Exhausted)?;
    let oldest = ledger.pending().next();
    Ok(SpoolStatus {
        epoch: next.epoch(),
        next_seq: next.seq(),
        pending: ledger.n_pending(),
        oldest_captured_at: oldest.map(|(_, place)| place.captured_at.to_rfc3339()),
        bytes: found.iter().map(|segment| segment.bytes).sum(),
        bytes_max: limits.bytes_max,
        dropped: ledger.n_dropped(),
        gaps: ledger.gaps().iter().map(GapStatus::from).collect(),
    })
}
