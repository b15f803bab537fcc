//! Time slices of the logs: made ahead, made when a row needs one, dropped by age.
//!
//! There is no default partition: a row that no slice takes is an error of its own kind, for which
//! the transaction makes the slice and runs again. That happens after a jump of the clock, and for
//! a hub whose cycle did not run for long.

use deadpool_postgres::Pool;
use monsys_core::limit;
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};

use super::fault::Fault;

/// A time at which a table needs a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slice {
    pub(super) table: Table,
    pub(super) at: Timestamp,
}

/// A table that is cut into slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Metrics,
    EndpointSnapshots,
    Signals,
    Contents,
    Nonces,
}

impl Table {
    const ALL: [Self; 5] = [
        Self::Metrics,
        Self::EndpointSnapshots,
        Self::Signals,
        Self::Contents,
        Self::Nonces,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::EndpointSnapshots => "endpoint_snapshots",
            Self::Signals => "signal_streams",
            Self::Contents => "ingest_contents",
            Self::Nonces => "ingest_nonces",
        }
    }

    /// The table of a name, if it is cut into slices.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The slices that a hub needs soon, from the oldest row that may come to well ahead.
    fn ahead(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let (back_s, ahead_s) = match self {
            Self::Metrics | Self::EndpointSnapshots | Self::Contents => (0, 3 * DAY_S),
            Self::Signals => (limit::SIGNAL_RETENTION_S, 14 * DAY_S),
            Self::Nonces => (0, 6 * 3_600),
        };
        let first = now.saturating_sub(Span::from_secs(back_s));
        (first, now.saturating_add(Span::from_secs(ahead_s)))
    }
}

/// The slices that a hub needs soon: for each table from when to when.
pub(super) fn ahead(now: Timestamp) -> [(Table, (Timestamp, Timestamp)); 5] {
    Table::ALL.map(|table| (table, table.ahead(now)))
}

/// Makes the slices that a hub needs soon.
pub(super) async fn make_ahead(pool: &Pool, now: Timestamp) -> Result<(), StoreError> {
    for (table, times) in ahead(now) {
        make_between(pool, table, times).await?;
    }
    Ok(())
}

/// Makes the slices of some rows.
pub(super) async fn make(pool: &Pool, slices: &[Slice]) -> Result<(), StoreError> {
    for table in Table::ALL {
        let times = || {
            slices
                .iter()
                .filter(|slice| slice.table == table)
                .map(|slice| slice.at)
        };
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            make_between(pool, table, (first, last)).await?;
        }
    }
    Ok(())
}

/// Drops slices of what an ingest needs only for a while: contents and nonces.
pub(super) async fn drop_old(pool: &Pool, now: Timestamp) {
    for (table, kept_s) in [
        (Table::Contents, limit::CONTENT_HASH_KEPT_S),
        (Table::Nonces, limit::NONCE_KEPT_S),
    ] {
        let before = now.saturating_sub(Span::from_secs(kept_s));
        drop_before(pool, table, before).await;
    }
}

/// Drops the slices of a table that end before a time.
pub(super) async fn drop_before(pool: &Pool, table: Table, before: Timestamp) {
    let sql = "SELECT monsys_drop_partitions($1, $2)";
    match called(pool, sql, table, &[before]).await {
        Ok(0) => {}
        Ok(n_slices) => tracing::info!(table = table.name(), n_slices, "old slices dropped"),
        // Somebody reads an old slice; the next time tries again.
        Err(error) => {
            tracing::warn!(table = table.name(), %error, "old slices not dropped yet");
        }
    }
}

async fn make_between(
    pool: &Pool,
    table: Table,
    (first, last): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    called(pool, MAKE, table, &[first, last]).await.map(drop)
}

/// Calls a function of the schema by itself: what it locks is not held beyond it.
async fn called(
    pool: &Pool,
    sql: &str,
    table: Table,
    times: &[Timestamp],
) -> Result<usize, StoreError> {
    let connection = pool.get().await.map_err(|_| StoreError::Unavailable)?;
    let asked = async {
        let statement = connection.prepare_cached(sql).await?;
        let name = table.name();
        match times {
            [first, last] => connection.query(&statement, &[&name, first, last]).await,
            _ => connection.query(&statement, &[&name, &times.first()]).await,
        }
    };
    let rows = asked
        .await
        .map_err(|error| Fault::from(error).into_store_error())?;
    Ok(rows.len())
}

/// Makes the slices of a table from one time to another.
pub(super) const MAKE: &str = "SELECT monsys_make_partitions($1, $2, $3)";

/// From when to when the slice of a table reaches that a time lies in.
pub(super) const BOUNDS: &str = "SELECT date_bin(width, $2, origin), \
    date_bin(width, $2, origin) + width FROM (SELECT monsys_partition_width($1) AS width, \
    timestamptz '2000-01-03 00:00:00+00' AS origin) AS slices";
const DAY_S: i64 = 86_400;
