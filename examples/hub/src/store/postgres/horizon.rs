//! Since when the rows of a log are kept: what is older is no longer listed.
//!
//! A log is never deleted from row by row, and the application has no right to do so: a slice goes
//! as a whole, when all of it is old enough by the clock of the database. Retention is exact to the
//! microsecond all the same, because a sweep notes its cutoff here, and listings begin there. What
//! is behind it waits in the last slice to be dropped with it. A sweep whose clock was wrong hides
//! too much for a while and loses nothing: the next one sets the time right.

use monsys_core::time::Timestamp;

use super::account::meta;
use super::column::DAMAGED;
use super::fault::Fault;
use super::partition::Table;
use super::transaction::Tx;

/// The first moment of a table that is kept.
pub(super) async fn of(tx: &Tx, table: Table) -> Result<Timestamp, Fault> {
    let noted = meta(tx, name(table)).await?;
    noted.map_or(Ok(Timestamp::MIN), |text| {
        Timestamp::parse_rfc3339(&text).map_err(|_| DAMAGED)
    })
}

/// Notes it.
pub(super) async fn set(tx: &Tx, table: Table, kept_since: Timestamp) -> Result<(), Fault> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = $2";
    let text = kept_since.to_rfc3339();
    tx.execute(sql, &[&name(table), &text]).await.map(drop)
}

/// Makes whoever sweeps at the same time wait for the end of the transaction. A row that only the
/// application may lock: an advisory lock could be held by any login of the server.
pub(super) async fn hold(tx: &Tx) -> Result<(), Fault> {
    let sql = "INSERT INTO meta AS m (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = m.value";
    let never = Timestamp::MIN.to_rfc3339();
    tx.execute(sql, &[&name(Table::Signals), &never])
        .await
        .map(drop)
}

/// Under which name the time of a table is noted.
pub(super) const fn name(table: Table) -> &'static str {
    match table {
        Table::Metrics => "metrics_kept_since",
        Table::EndpointSnapshots => "endpoint_snapshots_kept_since",
        Table::Signals => "signals_kept_since",
        Table::Contents => "contents_kept_since",
        Table::Nonces => "nonces_kept_since",
    }
}

/// The time of a table, by its name.
pub(super) const OF: &str = "SELECT value FROM meta WHERE name = $1";

/// What is true of everything else that is noted beside these times.
pub(super) const IS_OTHER: &str = "right(name, 11) <> '_kept_since'";
