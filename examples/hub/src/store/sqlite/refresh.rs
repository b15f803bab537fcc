//! Refresh tokens in SQLite: each is used once, and its reuse ends its family.

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};
use rusqlite::{Connection, Row, params};

use super::account::audit;
use super::column::{OrStoreError, bytes32, first, rows, text};
use super::person;
use crate::store::credential::{
    REFRESH_ABSOLUTE_S, REFRESH_FAMILIES_MAX, REFRESH_IDLE_S, REFRESH_ROTATIONS_MAX,
};
use crate::store::{Author, CredentialsEpoch, Holder, Rotation};

pub(super) fn open_family(
    connection: &Connection,
    holder: Holder,
    first: [u8; 32],
    now: Timestamp,
) -> Result<Option<()>, StoreError> {
    if !person::holds(connection, holder)? {
        return Ok(None);
    }
    make_room(connection, holder, now)?;
    let (tenant, user) = (holder.tenant.to_string(), holder.user.to_string());
    let ends_at = now.saturating_add(Span::from_secs(REFRESH_ABSOLUTE_S));
    let sql = "INSERT INTO refresh_families \
               (tenant_id, id, user_id, credentials_epoch, created_at, expires_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let parameters = params![
        tenant,
        first.as_slice(),
        user,
        holder.epoch.to_number(),
        now.to_rfc3339(),
        ends_at.to_rfc3339(),
    ];
    connection.execute(sql, parameters).or_store_error()?;
    insert(
        connection,
        (holder.tenant, first),
        first,
        idle_end(now, ends_at),
    )?;
    let (tenant, by) = (Some(holder.tenant), Author::User(holder.user));
    audit(connection, tenant, by, "logged in", "tokens")?;
    Ok(Some(()))
}

pub(super) fn rotate(
    connection: &Connection,
    shown: [u8; 32],
    next: [u8; 32],
    now: Timestamp,
) -> Result<Rotation, StoreError> {
    let Some(token) = find(connection, shown)? else {
        return Ok(Rotation::Unknown);
    };
    if token.family_expires_at <= now {
        return Ok(Rotation::Expired);
    }
    if token.is_rotated {
        revoke(connection, &token, now)?;
        return Ok(Rotation::Reused);
    }
    let current = person::now(connection, (token.tenant, token.user))?;
    let current = current.filter(|user| user.epoch == token.epoch && !token.is_revoked);
    let Some(user) = current else {
        return Ok(Rotation::Unknown);
    };
    if token.expires_at <= now || token.n_tokens >= REFRESH_ROTATIONS_MAX {
        return Ok(Rotation::Expired);
    }
    let tenant = token.tenant.to_string();
    let sql = "UPDATE refresh_tokens SET rotated_at = ?3 WHERE tenant_id = ?1 AND digest = ?2";
    connection
        .execute(sql, params![tenant, shown.as_slice(), now.to_rfc3339()])
        .or_store_error()?;
    let sql =
        "UPDATE refresh_families SET n_tokens = n_tokens + 1 WHERE tenant_id = ?1 AND id = ?2";
    connection
        .execute(sql, params![tenant, token.family.as_slice()])
        .or_store_error()?;
    let expires_at = idle_end(now, token.family_expires_at);
    insert(connection, (token.tenant, token.family), next, expires_at)?;
    Ok(Rotation::Rotated(user))
}

/// Ends the family of a token as its person asks.
pub(super) fn end(
    connection: &Connection,
    shown: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(token) = find(connection, shown)?.filter(|token| !token.is_revoked) else {
        return Ok(());
    };
    let sql = "UPDATE refresh_families SET revoked_at = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let parameters = params![
        token.tenant.to_string(),
        token.family.as_slice(),
        now.to_rfc3339()
    ];
    connection.execute(sql, parameters).or_store_error()?;
    let (tenant, by) = (Some(token.tenant), Author::User(token.user));
    audit(connection, tenant, by, "logged out", "tokens")
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
    n_tokens: u32,
}

fn find(connection: &Connection, digest: [u8; 32]) -> Result<Option<Token>, StoreError> {
    let sql = "SELECT f.tenant_id, f.user_id, f.id, f.credentials_epoch, r.expires_at, \
               f.expires_at, r.rotated_at IS NOT NULL, f.revoked_at IS NOT NULL, f.n_tokens \
               FROM refresh_tokens r \
               JOIN refresh_families f ON f.tenant_id = r.tenant_id AND f.id = r.family_id \
               WHERE r.digest = ?1";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    first(&mut statement, [digest.as_slice()], |row: &Row<'_>| {
        Ok(Token {
            tenant: text(row, 0)?,
            user: text(row, 1)?,
            family: bytes32(row, 2)?.ok_or(StoreError::Damaged)?,
            epoch: CredentialsEpoch::from_number(row.get(3).or_store_error()?),
            expires_at: text(row, 4)?,
            family_expires_at: text(row, 5)?,
            is_rotated: row.get(6).or_store_error()?,
            is_revoked: row.get(7).or_store_error()?,
            n_tokens: row.get(8).or_store_error()?,
        })
    })
}

/// Ends a family; that it was ended before is not written again.
fn revoke(connection: &Connection, token: &Token, now: Timestamp) -> Result<(), StoreError> {
    if token.is_revoked {
        return Ok(());
    }
    let sql = "UPDATE refresh_families SET revoked_at = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let parameters = params![
        token.tenant.to_string(),
        token.family.as_slice(),
        now.to_rfc3339()
    ];
    connection.execute(sql, parameters).or_store_error()?;
    let (tenant, user) = (Some(token.tenant), token.user.to_string());
    audit(
        connection,
        tenant,
        Author::Hub,
        "refresh token reused",
        &user,
    )
}

/// Forgets families that are over, and the oldest of a person who has as many as they may.
fn make_room(connection: &Connection, holder: Holder, now: Timestamp) -> Result<(), StoreError> {
    let (tenant, user) = (holder.tenant.to_string(), holder.user.to_string());
    let sql = "SELECT id, expires_at <= ?3 FROM refresh_families \
               WHERE tenant_id = ?1 AND user_id = ?2 ORDER BY created_at DESC, id LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant, user, now.to_rfc3339(), REFRESH_FAMILIES_MAX + 1];
    let families: Vec<([u8; 32], bool)> = rows(&mut statement, parameters, |row| {
        let id = bytes32(row, 0)?.ok_or(StoreError::Damaged)?;
        Ok((id, row.get(1).or_store_error()?))
    })?;
    for (n_newer, (family, is_over)) in (1..).zip(families) {
        if is_over || n_newer >= REFRESH_FAMILIES_MAX {
            forget(connection, &tenant, family)?;
        }
    }
    Ok(())
}

fn forget(connection: &Connection, tenant: &str, family: [u8; 32]) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM refresh_tokens WHERE tenant_id = ?1 AND family_id = ?2",
        "DELETE FROM refresh_families WHERE tenant_id = ?1 AND id = ?2",
    ] {
        connection
            .execute(sql, params![tenant, family.as_slice()])
            .or_store_error()?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    (tenant, family): (TenantId, [u8; 32]),
    digest: [u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO refresh_tokens (tenant_id, digest, family_id, expires_at) \
               VALUES (?1, ?2, ?3, ?4)";
    let parameters = params![
        tenant.to_string(),
        digest.as_slice(),
        family.as_slice(),
        expires_at.to_rfc3339()
    ];
    connection
        .execute(sql, parameters)
        .or_store_error()
        .map(drop)
}

/// Until when a token is good that is made now.
fn idle_end(now: Timestamp, family_ends_at: Timestamp) -> Timestamp {
    now.saturating_add(Span::from_secs(REFRESH_IDLE_S))
        .min(family_ends_at)
}
