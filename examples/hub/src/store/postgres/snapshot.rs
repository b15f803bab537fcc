//! Snapshots of machines in PostgreSQL.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::StoreFuture;
use tokio_postgres::Row;

use super::PostgresStore;
use super::fault::Fault;
use super::transaction::Plan;
use crate::store::snapshot::{SnapshotStore, SnapshotTexts, StoredSnapshot};

impl SnapshotStore for PostgresStore {
    fn last_snapshot(
        &self,
        tenant: TenantId,
        agent: AgentId,
    ) -> StoreFuture<'_, Option<StoredSnapshot>> {
        self.run(Plan::read("last snapshot", tenant), move |tx| {
            Box::pin(async move {
                // json as text, as it was written.
                let sql = "SELECT time, processes::text, listeners::text, auth::text, \
                           persistence::text, health::text FROM endpoint_snapshots \
                           WHERE tenant_id = $1 AND agent_id = $2 ORDER BY time DESC LIMIT 1";
                let found = tx.first(sql, &[&tenant, &agent]).await?;
                found.as_ref().map(snapshot).transpose()
            })
        })
    }
}

fn snapshot(row: &Row) -> Result<StoredSnapshot, Fault> {
    let texts = SnapshotTexts {
        processes: row.try_get(1)?,
        listeners: row.try_get(2)?,
        auth: row.try_get(3)?,
        persistence: row.try_get(4)?,
        health: row.try_get(5)?,
    };
    Ok(StoredSnapshot {
        at: row.try_get(0)?,
        seen: texts.parse()?,
    })
}
