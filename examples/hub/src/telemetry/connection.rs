//! Connections of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connections of clients.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
}

/// A connection that counts as open until this is dropped.
pub(crate) struct OpenConnection(Arc<Connections>);

impl Connections {
    /// Counts one that was accepted.
    pub(crate) fn open(self: &Arc<Self>) -> OpenConnection {
        self.opened.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Counts one for which there was no place.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were accepted since the start.
    pub(crate) fn n_opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many are open.
    pub(crate) fn n_open(&self) -> u64 {
        // Read in this order, so that one that closes meanwhile never makes fewer than none.
        let closed = self.closed.load(Ordering::Acquire);
        self.opened.load(Ordering::Acquire).saturating_sub(closed)
    }

    /// How many found no place.
    pub(crate) fn n_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Release);
    }
}
