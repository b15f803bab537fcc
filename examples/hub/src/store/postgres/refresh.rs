//! Refresh tokens in PostgreSQL: each is used once, and its reuse ends its family.
//!
//! Who replaces a token or ends a family locks the family's row first, whichever hub they ask: what
//! is read of the token behind the lock is how the one before left it.

use monsys_core::id::{TenantId, UserId};
use monsys_core::time::{Span, Timestamp};

use super::account::audit;
use super::column::{DAMAGED, bytes32};
use super::fault::Fault;
use super::transaction::Tx;
use super::{person, session};
use crate::store::credential::{
    REFRESH_ABSOLUTE_S, REFRESH_FAMILIES_MAX, REFRESH_IDLE_S, REFRESH_ROTATIONS_MAX,
};
use crate::store::{Author, CredentialsEpoch, Holder, Rotation};

pub(super) async fn open_family(
    tx: &Tx,
    holder: Holder,
    first: [u8; 32],
    now: Timestamp,
) -> Result<Option<()>, Fault> {
    if !person::holds(tx, holder).await? {
        return Ok(None);
    }
    make_room(tx, holder, now).await?;
    let (tenant, epoch) = (holder.tenant, holder.epoch.to_number());
    let ends_at = now.saturating_add(Span::from_secs(REFRESH_ABSOLUTE_S));
    let sql = "INSERT INTO refresh_families \
               (tenant_id, id, user_id, credentials_epoch, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let family = first.as_slice();
    tx.execute(
        sql,
        &[&tenant, &family, &holder.user, &epoch, &now, &ends_at],
    )
    .await?;
    insert(tx, (tenant, first), first, idle_end(now, ends_at)).await?;
    let by = Author::User(holder.user);
    audit(tx, Some(tenant), by, "logged in", "tokens").await?;
    Ok(Some(()))
}

pub(super) async fn rotate(
    tx: &Tx,
    shown: [u8; 32],
    next: [u8; 32],
    now: Timestamp,
) -> Result<Rotation, Fault> {
    let tenant = session::enter(tx, "SELECT monsys_tenant_of_refresh($1)", shown).await?;
    let Some(tenant) = tenant else {
        return Ok(Rotation::Unknown);
    };
    let Some(token) = find_locked(tx, tenant, shown).await? else {
        return Ok(Rotation::Unknown);
    };
    if token.family_expires_at <= now {
        return Ok(Rotation::Expired);
    }
    if token.is_rotated {
        revoke(tx, &token, now).await?;
        return Ok(Rotation::Reused);
    }
    let current = person::now(tx, (tenant, token.user)).await?;
    let current = current.filter(|user| user.epoch == token.epoch && !token.is_revoked);
    let Some(user) = current else {
        return Ok(Rotation::Unknown);
    };
    if token.expires_at <= now || token.n_tokens >= i64::from(REFRESH_ROTATIONS_MAX) {
        return Ok(Rotation::Expired);
    }
    let sql = "UPDATE refresh_tokens SET rotated_at = $3 WHERE tenant_id = $1 AND digest = $2";
    tx.execute(sql, &[&tenant, &shown.as_slice(), &now]).await?;
    let sql =
        "UPDATE refresh_families SET n_tokens = n_tokens + 1 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&tenant, &token.family.as_slice()])
        .await?;
    let expires_at = idle_end(now, token.family_expires_at);
    insert(tx, (tenant, token.family), next, expires_at).await?;
    Ok(Rotation::Rotated(user))
}

/// Ends the family of a token as its person asks.
pub(super) async fn end(tx: &Tx, shown: [u8; 32], now: Timestamp) -> Result<(), Fault> {
    let tenant = session::enter(tx, "SELECT monsys_tenant_of_refresh($1)", shown).await?;
    let Some(tenant) = tenant else { return Ok(()) };
    let found = find_locked(tx, tenant, shown).await?;
    let Some(token) = found.filter(|token| !token.is_revoked) else {
        return Ok(());
    };
    let sql = "UPDATE refresh_families SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&tenant, &token.family.as_slice(), &now])
        .await?;
    let by = Author::User(token.user);
    audit(tx, Some(tenant), by, "logged out", "tokens").await
}

/// A refresh token as it is kept, with its family.
struct Token {
    tenant: TenantId,
    user: UserId,
    family: [u8; 32],
    epoch: CredentialsEpoch,
    expires_at: Timestamp,
    family_expires_at: Timestamp,
    is_rotated: bool,
    is_revoked: bool,
    n_tokens: i64,
}

async fn find_locked(tx: &Tx, tenant: TenantId, digest: [u8; 32]) -> Result<Option<Token>, Fault> {
    let digest = digest.as_slice();
    let sql = "SELECT family_id FROM refresh_tokens WHERE tenant_id = $1 AND digest = $2";
    let Some(row) = tx.first(sql, &[&tenant, &digest]).await? else {
        return Ok(None);
    };
    let family = bytes32(&row, 0)?.ok_or(DAMAGED)?;
    let sql = "SELECT user_id, credentials_epoch, expires_at, revoked_at IS NOT NULL, n_tokens \
               FROM refresh_families WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";
    // Whoever logged in meanwhile may have pushed the family out.
    let Some(of_family) = tx.first(sql, &[&tenant, &family.as_slice()]).await? else {
        return Ok(None);
    };
    let sql = "SELECT expires_at, rotated_at IS NOT NULL FROM refresh_tokens \
               WHERE tenant_id = $1 AND digest = $2";
    let of_token = tx.one(sql, &[&tenant, &digest]).await?;
    Ok(Some(Token {
        tenant,
        user: of_family.try_get(0)?,
        family,
        epoch: CredentialsEpoch::from_number(of_family.try_get(1)?),
        expires_at: of_token.try_get(0)?,
        family_expires_at: of_family.try_get(2)?,
        is_rotated: of_token.try_get(1)?,
        is_revoked: of_family.try_get(3)?,
        n_tokens: of_family.try_get(4)?,
    }))
}

/// Ends a family; that it was ended before is not written again.
async fn revoke(tx: &Tx, token: &Token, now: Timestamp) -> Result<(), Fault> {
    if token.is_revoked {
        return Ok(());
    }
    let sql = "UPDATE refresh_families SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&token.tenant, &token.family.as_slice(), &now])
        .await?;
    let (tenant, user) = (Some(token.tenant), token.user.to_string());
    audit(tx, tenant, Author::Hub, "refresh token reused", &user).await
}

/// Forgets families that are over, and the oldest of a person who has as many as they may. Logins
/// of one person wait for each other, so that they count what the others have made.
async fn make_room(tx: &Tx, holder: Holder, now: Timestamp) -> Result<(), Fault> {
    let (tenant, user) = (holder.tenant, holder.user);
    let sql = "SELECT id FROM users WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";
    tx.one(sql, &[&tenant, &user]).await?;
    let sql = "SELECT id, expires_at <= $3 FROM refresh_families \
               WHERE tenant_id = $1 AND user_id = $2 ORDER BY created_at DESC, id LIMIT $4";
    let most = i64::from(REFRESH_FAMILIES_MAX) + 1;
    let rows = tx.rows(sql, &[&tenant, &user, &now, &most]).await?;
    let mut over: Vec<Vec<u8>> = Vec::new();
    for (n_newer, row) in (1..).zip(&rows) {
        if row.try_get(1)? || n_newer >= REFRESH_FAMILIES_MAX {
            over.push(row.try_get(0)?);
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM refresh_tokens WHERE tenant_id = $1 AND family_id = ANY ($2)";
    tx.execute(sql, &[&tenant, &over]).await?;
    let sql = "DELETE FROM refresh_families WHERE tenant_id = $1 AND id = ANY ($2)";
    tx.execute(sql, &[&tenant, &over]).await.map(drop)
}

async fn insert(
    tx: &Tx,
    (tenant, family): (TenantId, [u8; 32]),
    digest: [u8; 32],
    expires_at: Timestamp,
) -> Result<(), Fault> {
    let sql = "INSERT INTO refresh_tokens (tenant_id, digest, family_id, expires_at) \
               VALUES ($1, $2, $3, $4)";
    let (digest, family) = (digest.as_slice(), family.as_slice());
    tx.execute(sql, &[&tenant, &digest, &family, &expires_at])
        .await
        .map(drop)
}

/// Until when a token is good that is made now.
fn idle_end(now: Timestamp, family_ends_at: Timestamp) -> Timestamp {
    now.saturating_add(Span::from_secs(REFRESH_IDLE_S))
        .min(family_ends_at)
}
