//! Nonces of devices in SQLite: one row for each that was used lately.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{
    NonceDigest, NonceOutcome, NonceUse, NoncesKept, StoreError, nonces_kept_since,
};
use monsys_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::column::{OrStoreError, first, optional, text};

/// Uses up the nonce of a request by itself.
pub(super) fn spend(connection: &Connection, spent: &NonceUse) -> Result<NonceOutcome, StoreError> {
    let sql = "SELECT device_key IS NOT NULL FROM agents \
               WHERE tenant_id = ?1 AND id = ?2 AND id <> tenant_id";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ids = [spent.tenant.to_string(), spent.agent.to_string()];
    let is_device = first(&mut statement, ids, |row| row.get(0).or_store_error())?;
    check_profile(is_device.ok_or(StoreError::NotFound)?, Some(spent.nonce))?;
    use_nonce(
        connection,
        (spent.tenant, spent.agent),
        spent.nonce,
        spent.at,
    )
}

/// Refuses a device's payload without a nonce, and another's with one: a caller that mixes the
/// profiles up must not get round the nonces.
pub(super) fn check_profile(is_device: bool, nonce: Option<NonceDigest>) -> Result<(), StoreError> {
    if nonce.is_some() == is_device {
        return Ok(());
    }
    Err(StoreError::Refused {
        constraint: "nonce_of_device".into(),
    })
}

/// Decides about a nonce and keeps it, in the transaction of whatever it belongs to. There is one
/// writing transaction at a time, so nobody uses the same one in between.
pub(super) fn use_nonce(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    nonce: NonceDigest,
    now: Timestamp,
) -> Result<NonceOutcome, StoreError> {
    let ids = (tenant.to_string(), agent.to_string());
    let sql = "SELECT used_at FROM ingest_nonces \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND nonce = ?3";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![ids.0, ids.1, nonce.0.as_slice()];
    let used_at = first(&mut statement, parameters, |row| text(row, 0))?;
    let sql = "SELECT count(*), min(used_at) FROM ingest_nonces \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND used_at >= ?3";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let since = nonces_kept_since(now).to_rfc3339();
    let kept = first(&mut statement, params![ids.0, ids.1, since], |row| {
        let count: i64 = row.get(0).or_store_error()?;
        Ok(NoncesKept {
            n_nonces: count.unsigned_abs(),
            oldest: optional(row, 1)?,
        })
    })?;
    let outcome = NonceOutcome::decide(used_at, kept.ok_or(StoreError::Damaged)?, now);
    if outcome == NonceOutcome::Spent {
        let sql = "INSERT INTO ingest_nonces (tenant_id, agent_id, nonce, used_at) \
                   VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET used_at = ?4";
        let mut statement = connection.prepare_cached(sql).or_store_error()?;
        let parameters = params![ids.0, ids.1, nonce.0.as_slice(), now.to_rfc3339()];
        statement.execute(parameters).or_store_error()?;
    }
    Ok(outcome)
}
