//! Forgetting in bounded steps, between which others write.
//!
//! These statements cross the tenants: age is the same for all, and nothing of what they touch is
//! returned.

use monsys_core::store::{Maintenance, Retention, StoreError, StoreFuture, Swept};
use monsys_core::time::Timestamp;
use rusqlite::Connection;

use super::SqliteStore;
use super::column::OrStoreError;
use super::rings::MetricChange;

impl Maintenance for SqliteStore {
    fn count_due(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept> {
        self.read(move |connection| {
            // One read transaction: the counts are a picture of one moment.
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            let mut swept = Swept::default();
            for task in TASKS {
                let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
                let parameters = (task.since)(retention, now);
                let due = snapshot.query_row(task.count, parameters, count);
                *(task.figure)(&mut swept) = due.or_store_error()?.unsigned_abs();
            }
            Ok(swept)
        })
    }

    fn sweep(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept> {
        Box::pin(async move {
            let mut swept = Swept::default();
            for task in TASKS {
                *(task.figure)(&mut swept) += self.forget(task, retention, now).await?;
            }
            Ok(swept)
        })
    }
}

impl SqliteStore {
    /// Forgets what is due of one kind; returns how many rows that were.
    pub(super) async fn forget(
        &self,
        task: &'static Task,
        retention: Retention,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (times, before) = ((task.since)(retention, now), retention.cutoffs(now).metrics);
        let mut n_forgotten = 0;
        loop {
            let times = times.clone();
            let step = move |connection: &Connection, metrics: &mut Vec<MetricChange>| {
                let n_rows = step(connection, task, &times)?;
                if n_rows > 0 && task.is_of_metrics {
                    metrics.push(MetricChange::Swept { before });
                }
                Ok(n_rows)
            };
            let n_rows = self.write_metrics(step).await?;
            n_forgotten += n_rows;
            if n_rows < STEP_ROWS {
                return Ok(n_forgotten);
            }
        }
    }
}

fn step(connection: &Connection, task: &Task, times: &[String; 2]) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(task.delete).or_store_error()?;
    let n_rows = statement.execute([&times[0], &times[1]]).or_store_error()?;
    Ok(u64::try_from(n_rows).unwrap_or(u64::MAX))
}

/// One kind of rows that are forgotten. Each statement has two parameters: the first moment that
/// is kept, and now.
pub(super) struct Task {
    since: fn(Retention, Timestamp) -> [String; 2],
    count: &'static str,
    delete: &'static str,
    figure: fn(&mut Swept) -> &mut u64,
    /// Whether rings may hold what is forgotten.
    is_of_metrics: bool,
}

/// Rows of one step: some milliseconds of the one writer.
const STEP_ROWS: u64 = 1_000;

const TASKS: &[Task] = &[
    Task {
        since: |retention, now| times(retention.cutoffs(now).signals, now),
        count: "SELECT count(*) FROM signal_streams WHERE observed_at < ?1 AND ?2 IS NOT NULL",
        delete: "DELETE FROM signal_streams WHERE id IN (SELECT id FROM signal_streams \
                 WHERE observed_at < ?1 AND ?2 IS NOT NULL LIMIT 1000)",
        figure: |swept| &mut swept.signals,
        is_of_metrics: false,
    },
    Task {
        since: |retention, now| times(retention.cutoffs(now).signals, now),
        count: "SELECT count(*) FROM signal_current WHERE observed_at < ?1 \
                AND expires_at IS NOT NULL AND expires_at <= ?2",
        delete: "DELETE FROM signal_current \
                 WHERE (tenant_id, subject_type, subject_id, source, signal_key) IN \
                 (SELECT tenant_id, subject_type, subject_id, source, signal_key \
                 FROM signal_current WHERE observed_at < ?1 \
                 AND expires_at IS NOT NULL AND expires_at <= ?2 LIMIT 1000)",
        figure: |swept| &mut swept.current,
        is_of_metrics: false,
    },
    Task {
        since: |retention, now| times(retention.cutoffs(now).metrics, now),
        count: "SELECT count(*) FROM metrics WHERE tenant_id IN (SELECT id FROM tenants) \
                AND time < ?1 AND ?2 IS NOT NULL",
        delete: "DELETE FROM metrics WHERE id IN (SELECT id FROM metrics \
                 WHERE tenant_id IN (SELECT id FROM tenants) \
                 AND time < ?1 AND ?2 IS NOT NULL LIMIT 1000)",
        figure: |swept| &mut swept.metrics,
        is_of_metrics: true,
    },
    Task {
        since: |retention, now| times(retention.cutoffs(now).metrics, now),
        count: "SELECT count(*) FROM endpoint_snapshots WHERE tenant_id IN (SELECT id FROM tenants) \
                AND time < ?1 AND ?2 IS NOT NULL",
        delete: "DELETE FROM endpoint_snapshots WHERE id IN (SELECT id FROM endpoint_snapshots \
                 WHERE tenant_id IN (SELECT id FROM tenants) \
                 AND time < ?1 AND ?2 IS NOT NULL LIMIT 1000)",
        figure: |swept| &mut swept.endpoints,
        is_of_metrics: false,
    },
    CONTENTS,
    NONCES,
];

const CONTENTS: Task = Task {
    since: |retention, now| times(retention.cutoffs(now).contents, now),
    count: "SELECT count(*) FROM ingest_contents WHERE received_at < ?1 AND ?2 IS NOT NULL",
    delete: "DELETE FROM ingest_contents WHERE (tenant_id, agent_id, epoch, seq) IN \
             (SELECT tenant_id, agent_id, epoch, seq FROM ingest_contents \
             WHERE received_at < ?1 AND ?2 IS NOT NULL LIMIT 1000)",
    figure: |swept| &mut swept.contents,
    is_of_metrics: false,
};

const NONCES: Task = Task {
    since: |retention, now| times(retention.cutoffs(now).nonces, now),
    count: "SELECT count(*) FROM ingest_nonces WHERE used_at < ?1 AND ?2 IS NOT NULL",
    delete: "DELETE FROM ingest_nonces WHERE (tenant_id, agent_id, nonce) IN \
             (SELECT tenant_id, agent_id, nonce FROM ingest_nonces \
             WHERE used_at < ?1 AND ?2 IS NOT NULL LIMIT 1000)",
    figure: |swept| &mut swept.nonces,
    is_of_metrics: false,
};

/// What nobody needs any more to tell a payload that was here before; how long is a law of the
/// contract, so that each cycle forgets it.
pub(super) const OF_REPLAYS: &[Task] = &[CONTENTS, NONCES];

fn times(kept_since: Timestamp, now: Timestamp) -> [String; 2] {
    [kept_since.to_rfc3339(), now.to_rfc3339()]
}
