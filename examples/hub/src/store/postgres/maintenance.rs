//! Forgetting in PostgreSQL: whole slices of the logs, and current signals in bounded steps.
//!
//! What is due is counted tenant by tenant, under the same fence as everything else, and in the same
//! transaction the sweep notes since when each log is kept; then it drops the slices that lie wholly before. A slice that
//! somebody reads, or that the database holds too young, stays for the next sweep; nothing of it is
//! listed or counted again.

use std::sync::Arc;

use monsys_core::id::TenantId;
use monsys_core::store::{CycleStore, Maintenance, Retention, StoreError, StoreFuture, Swept};
use monsys_core::time::Timestamp;

use super::PostgresStore;
use super::fault::Fault;
use super::horizon;
use super::partition::{self, Table};
use super::transaction::{Plan, Tx, shared};

impl Maintenance for PostgresStore {
    fn count_due(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept> {
        Box::pin(async move {
            let mut swept = Swept::default();
            for tenant in self.tenants().await? {
                let due = self.run(Plan::read("count due", tenant), move |tx| {
                    Box::pin(async move {
                        let mut due = logs_due(tx, tenant, retention, now).await?;
                        due.current = current_due(tx, tenant, retention, now).await?;
                        Ok(due)
                    })
                });
                add(&mut swept, due.await?);
            }
            Ok(swept)
        })
    }

    fn sweep(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept> {
        Box::pin(async move {
            let tenants = self.tenants().await?;
            let of_tenants = shared(&tenants);
            let claim = self.run(Plan::write_hub("claim what is due"), move |tx| {
                let tenants = Arc::clone(&of_tenants);
                Box::pin(async move { claim(tx, &tenants, retention, now).await })
            });
            let mut swept = claim.await?;
            for log in LOGS {
                let before = (log.kept_since)(retention, now);
                partition::drop_before(&self.pool, log.table, before).await;
            }
            for tenant in tenants {
                swept.current += self.forget_current(tenant, retention, now).await?;
            }
            Ok(swept)
        })
    }
}

impl PostgresStore {
    /// Removes the current signals of a tenant that are old and expired.
    async fn forget_current(
        &self,
        tenant: TenantId,
        retention: Retention,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let cutoff = retention.cutoffs(now).signals;
        let mut n_forgotten = 0;
        loop {
            let step = self.run(Plan::write("forget current", tenant), move |tx| {
                Box::pin(async move { tx.execute(FORGET, &[&tenant, &cutoff, &now]).await })
            });
            let n_rows = step.await?;
            n_forgotten += n_rows;
            if n_rows < STEP_ROWS {
                return Ok(n_forgotten);
            }
        }
    }
}

/// Counts what is due of all tenants and notes that it is gone: of two sweeps at once the second
/// waits here, and then finds nothing that the first one counts.
async fn claim(
    tx: &Tx,
    tenants: &[TenantId],
    retention: Retention,
    now: Timestamp,
) -> Result<Swept, Fault> {
    // The other one counts for as long as this one may.
    for wait in ["statement_timeout", "lock_timeout"] {
        let patience = format!("SET LOCAL {wait} = '{PATIENCE}'");
        tx.execute(&patience, &[]).await?;
    }
    horizon::hold(tx).await?;
    let mut swept = Swept::default();
    for tenant in tenants {
        tx.enter(*tenant).await?;
        add(&mut swept, logs_due(tx, *tenant, retention, now).await?);
    }
    for log in LOGS {
        horizon::set(tx, log.table, (log.kept_since)(retention, now)).await?;
    }
    Ok(swept)
}

/// Counts the rows of the logs that are due of the tenant that the transaction has set.
async fn logs_due(
    tx: &Tx,
    tenant: TenantId,
    retention: Retention,
    now: Timestamp,
) -> Result<Swept, Fault> {
    // Counting reads every row that is due, which takes its time after a long pause.
    let patience = format!("SET LOCAL statement_timeout = '{PATIENCE}'");
    tx.execute(&patience, &[]).await?;
    let mut swept = Swept::default();
    for log in LOGS {
        let since = horizon::of(tx, log.table).await?;
        let before = (log.kept_since)(retention, now);
        if since >= before {
            continue;
        }
        let row = tx.one(log.count, &[&tenant, &since, &before]).await?;
        let n_rows: i64 = row.try_get(0)?;
        *(log.figure)(&mut swept) = n_rows.unsigned_abs();
    }
    Ok(swept)
}

async fn current_due(
    tx: &Tx,
    tenant: TenantId,
    retention: Retention,
    now: Timestamp,
) -> Result<u64, Fault> {
    let cutoff = retention.cutoffs(now).signals;
    let row = tx.one(CURRENT_DUE, &[&tenant, &cutoff, &now]).await?;
    let n_rows: i64 = row.try_get(0)?;
    Ok(n_rows.unsigned_abs())
}

fn add(total: &mut Swept, of_tenant: Swept) {
    total.current += of_tenant.current;
    for log in LOGS {
        let mut part = of_tenant;
        *(log.figure)(total) += *(log.figure)(&mut part);
    }
}

/// A table whose rows are forgotten by their age alone.
struct Log {
    table: Table,
    kept_since: fn(Retention, Timestamp) -> Timestamp,
    /// Counts the rows of one tenant from one time to another.
    count: &'static str,
    figure: fn(&mut Swept) -> &mut u64,
}

const LOGS: &[Log] = &[
    Log {
        table: Table::Signals,
        kept_since: |retention, now| retention.cutoffs(now).signals,
        count: "SELECT count(*) FROM signal_streams \
                WHERE tenant_id = $1 AND observed_at >= $2 AND observed_at < $3",
        figure: |swept| &mut swept.signals,
    },
    Log {
        table: Table::Metrics,
        kept_since: |retention, now| retention.cutoffs(now).metrics,
        count: "SELECT count(*) FROM metrics WHERE tenant_id = $1 AND time >= $2 AND time < $3",
        figure: |swept| &mut swept.metrics,
    },
    Log {
        table: Table::EndpointSnapshots,
        kept_since: |retention, now| retention.cutoffs(now).metrics,
        count: "SELECT count(*) FROM endpoint_snapshots \
                WHERE tenant_id = $1 AND time >= $2 AND time < $3",
        figure: |swept| &mut swept.endpoints,
    },
    Log {
        table: Table::Contents,
        kept_since: |retention, now| retention.cutoffs(now).contents,
        count: "SELECT count(*) FROM ingest_contents \
                WHERE tenant_id = $1 AND received_at >= $2 AND received_at < $3",
        figure: |swept| &mut swept.contents,
    },
    Log {
        table: Table::Nonces,
        kept_since: |retention, now| retention.cutoffs(now).nonces,
        count: "SELECT count(*) FROM ingest_nonces \
                WHERE tenant_id = $1 AND used_at >= $2 AND used_at < $3",
        figure: |swept| &mut swept.nonces,
    },
];

const CURRENT_DUE: &str = "SELECT count(*) FROM signal_current \
    WHERE tenant_id = $1 AND observed_at < $2 AND expires_at <= $3";

/// How long counting may take.
const PATIENCE: &str = "10min";

/// Rows of one step: some milliseconds, between which others write.
const STEP_ROWS: u64 = 1_000;

/// A row that somebody writes just now is not old any more.
const FORGET: &str = "DELETE FROM signal_current WHERE tenant_id = $1 \
    AND (subject_type, subject_id, source, signal_key) IN \
    (SELECT subject_type, subject_id, source, signal_key FROM signal_current \
    WHERE tenant_id = $1 AND observed_at < $2 AND expires_at <= $3 \
    LIMIT 1000 FOR UPDATE SKIP LOCKED)";
