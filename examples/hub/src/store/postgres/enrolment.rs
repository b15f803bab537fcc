//! Agents as operators enrol and revoke them in PostgreSQL, and give them other credentials.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::position::PositionSet;
use monsys_core::store::{PublicKey, SharedKey, StoreError, TokenDigest};

use super::account::audit;
use super::agent::pin_state;
use super::fault::Fault;
use super::transaction::Tx;
use crate::store::{Author, KeyChange, KeyOutcome};

pub(super) async fn rotate_token(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    token: TokenDigest,
    by: Author,
) -> Result<(), Fault> {
    let sql = "UPDATE agents SET token_digest = $3 \
               WHERE tenant_id = $1 AND id = $2 AND token_digest IS NOT NULL";
    let digest = token.0.as_slice();
    if tx.execute(sql, &[&tenant, &agent, &digest]).await? == 0 {
        return Err(StoreError::NotFound.into());
    }
    let id = agent.to_string();
    audit(tx, Some(tenant), by, "agent token rotated", &id).await
}

pub(super) async fn rotate_key(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    change: KeyChange,
    by: Author,
) -> Result<KeyOutcome, Fault> {
    let (pinned, _) = pin_state(tx, (tenant, agent)).await?;
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
        KeyChange::Continue { .. } => set_key(tx, (tenant, agent), new).await?,
        KeyChange::Replace { .. } => {
            set_key(tx, (tenant, agent), new).await?;
            begin_anew(tx, (tenant, agent)).await?;
        }
    }
    let id = agent.to_string();
    audit(tx, Some(tenant), by, "agent key rotated", &id).await?;
    Ok(KeyOutcome::Rotated)
}

async fn set_key(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    key: PublicKey,
) -> Result<(), Fault> {
    let sql = "UPDATE agents SET public_key = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&tenant, &agent, &key.0.as_slice()])
        .await
        .map(drop)
}

/// Forgets the positions of an agent: what follows comes from another spool.
async fn begin_anew(tx: &Tx, (tenant, agent): (TenantId, AgentId)) -> Result<(), Fault> {
    let sql = "UPDATE agents SET positions = $3 WHERE tenant_id = $1 AND id = $2";
    let fresh = PositionSet::new().to_bytes();
    tx.execute(sql, &[&tenant, &agent, &fresh]).await?;
    let sql = "DELETE FROM ingest_contents WHERE tenant_id = $1 AND agent_id = $2";
    tx.execute(sql, &[&tenant, &agent]).await.map(drop)
}

pub(super) async fn rotate_device_key(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    key: &SharedKey,
    by: Author,
) -> Result<(), Fault> {
    let sql = "UPDATE agents SET device_key = $3 \
               WHERE tenant_id = $1 AND id = $2 AND device_key IS NOT NULL";
    let key = key.expose_bytes().as_slice();
    if tx.execute(sql, &[&tenant, &agent, &key]).await? == 0 {
        return Err(StoreError::NotFound.into());
    }
    let id = agent.to_string();
    audit(tx, Some(tenant), by, "device key rotated", &id).await
}
