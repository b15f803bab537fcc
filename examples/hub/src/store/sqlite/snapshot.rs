//! Snapshots of machines in SQLite.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{StoreError, StoreFuture};
use rusqlite::{Row, params};

use super::SqliteStore;
use super::column::{OrStoreError, first, text};
use crate::store::snapshot::{SnapshotStore, SnapshotTexts, StoredSnapshot};

impl SnapshotStore for SqliteStore {
    fn last_snapshot(
        &self,
        tenant: TenantId,
        agent: AgentId,
    ) -> StoreFuture<'_, Option<StoredSnapshot>> {
        self.read(move |connection| {
            let sql = "SELECT time, processes, listeners, auth, persistence, health \
                       FROM endpoint_snapshots WHERE tenant_id = ?1 AND agent_id = ?2 \
                       ORDER BY time DESC, id DESC LIMIT 1";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let ids = params![tenant.to_string(), agent.to_string()];
            first(&mut statement, ids, snapshot)
        })
    }
}

fn snapshot(row: &Row<'_>) -> Result<StoredSnapshot, StoreError> {
    let column = |index| {
        let value = row.get_ref(index).or_store_error()?;
        value.as_str().map_err(|_| StoreError::Damaged)
    };
    let texts = SnapshotTexts {
        processes: column(1)?,
        listeners: column(2)?,
        auth: column(3)?,
        persistence: column(4)?,
        health: column(5)?,
    };
    Ok(StoredSnapshot {
        at: text(row, 0)?,
        seen: texts.parse()?,
    })
}
