//! Agents as operators enrol and revoke them in SQLite, and give them other credentials.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::position::PositionSet;
use monsys_core::store::{PublicKey, SharedKey, StoreError, TokenDigest};
use rusqlite::{Connection, params};

use super::account::audit;
use super::agent::pin_state;
use super::column::OrStoreError;
use crate::store::{Author, KeyChange, KeyOutcome};

pub(super) fn rotate_token(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    token: TokenDigest,
    by: Author,
) -> Result<(), StoreError> {
    let sql = "UPDATE agents SET token_digest = ?3 \
               WHERE tenant_id = ?1 AND id = ?2 AND token_digest IS NOT NULL";
    let id = agent.to_string();
    let parameters = params![tenant.to_string(), id, token.0.as_slice()];
    if connection.execute(sql, parameters).or_store_error()? == 0 {
        return Err(StoreError::NotFound);
    }
    audit(connection, Some(tenant), by, "agent token rotated", &id)
}

pub(super) fn rotate_key(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    change: KeyChange,
    by: Author,
) -> Result<KeyOutcome, StoreError> {
    let (pinned, _) = pin_state(connection, tenant, agent)?;
    let new = match change {
        KeyChange::Continue { new, .. } | KeyChange::Replace { new } => new,
    };
    if pinned == Some(new) {
        return Ok(KeyOutcome::AlreadyPinned);
    }
    match change {
        KeyChange::Continue { old, .. } if pinned != Some(old) => {
            return Ok(KeyOutcome::OtherKey);
        }
        KeyChange::Continue { .. } => set_key(connection, (tenant, agent), new)?,
        KeyChange::Replace { .. } => {
            set_key(connection, (tenant, agent), new)?;
            begin_anew(connection, (tenant, agent))?;
        }
    }
    let id = agent.to_string();
    audit(connection, Some(tenant), by, "agent key rotated", &id)?;
    Ok(KeyOutcome::Rotated)
}

fn set_key(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    key: PublicKey,
) -> Result<(), StoreError> {
    let sql = "UPDATE agents SET public_key = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let parameters = params![tenant.to_string(), agent.to_string(), key.0.as_slice()];
    connection
        .execute(sql, parameters)
        .or_store_error()
        .map(drop)
}

/// Forgets the positions of an agent: what follows comes from another spool.
fn begin_anew(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
) -> Result<(), StoreError> {
    let (tenant, agent) = (tenant.to_string(), agent.to_string());
    let sql = "UPDATE agents SET positions = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let fresh = PositionSet::new().to_bytes();
    connection
        .execute(sql, params![tenant, agent, fresh])
        .or_store_error()?;
    let sql = "DELETE FROM ingest_contents WHERE tenant_id = ?1 AND agent_id = ?2";
    connection
        .execute(sql, [tenant, agent])
        .or_store_error()
        .map(drop)
}

pub(super) fn rotate_device_key(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    key: &SharedKey,
    by: Author,
) -> Result<(), StoreError> {
    let sql = "UPDATE agents SET device_key = ?3 \
               WHERE tenant_id = ?1 AND id = ?2 AND device_key IS NOT NULL";
    let id = agent.to_string();
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let changed = statement.execute(params![
        tenant.to_string(),
        id,
        key.expose_bytes().as_slice()
    ]);
    // A cached statement would keep the key until it is used again.
    statement.clear_bindings();
    if changed.or_store_error()? == 0 {
        return Err(StoreError::NotFound);
    }
    audit(connection, Some(tenant), by, "device key rotated", &id)
}
