//! Forgetting what is old.
//!
//! # What a back end must do
//! [`sweep`] removes what [`Retention`] no longer keeps at `now`, and [`count_due`] says how much
//! that would be without touching it. Both cross the tenants, because age is the same for all. A
//! sweep need not be one transaction: a back end drops whole partitions, or deletes in bounded
//! steps between which others write, and when it is interrupted the next one goes on. The latest
//! signal of a slot goes only when it is older than the history and has expired, so that what is
//! current never changes. The ledger of anomalies and the audit log are never touched.
//!
//! [`sweep`]: Maintenance::sweep
//! [`count_due`]: Maintenance::count_due

use super::{StoreFuture, nonces_kept_since};
use crate::limit;
use crate::time::{Span, Timestamp};

/// How long each kind of data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Signals, by `observed_at`.
    pub signals: Span,
    /// Raw metrics and endpoint snapshots, by the time they were received.
    pub metrics: Span,
}

impl Retention {
    /// Signals 180 days (signals document), raw metrics and snapshots 14 days.
    pub const fn standard() -> Self {
        Self {
            signals: Span::from_secs(limit::SIGNAL_RETENTION_S),
            metrics: Span::from_secs(limit::METRICS_RETENTION_S),
        }
    }

    /// Returns what the spans mean at `now`: what is older than these times is not kept.
    pub fn cutoffs(&self, now: Timestamp) -> Cutoffs {
        Cutoffs {
            signals: now.saturating_sub(self.signals),
            metrics: now.saturating_sub(self.metrics),
            contents: now.saturating_sub(Span::from_secs(limit::CONTENT_HASH_KEPT_S)),
            nonces: nonces_kept_since(now),
        }
    }
}

/// The first moments that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Of signals.
    pub signals: Timestamp,
    /// Of raw metrics and endpoint snapshots.
    pub metrics: Timestamp,
    /// Of content hashes; how long is a matter of replay (contract §2), not of choice.
    pub contents: Timestamp,
    /// Of nonces; likewise (contract §3).
    pub nonces: Timestamp,
}

/// How many rows of each kind were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Signals of the history.
    pub signals: u64,
    /// Latest signals that are expired and older than the history.
    pub current: u64,
    /// Raw metrics.
    pub metrics: u64,
    /// Endpoint snapshots.
    pub endpoints: u64,
    /// Content hashes.
    pub contents: u64,
    /// Nonces.
    pub nonces: u64,
}

/// Keeping a store from growing without end.
pub trait Maintenance: Send + Sync {
    /// Counts what a sweep at `now` would remove.
    fn count_due(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept>;

    /// Removes what is no longer kept at `now`, and says how much that was.
    fn sweep(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept>;
}
