//! API tokens in SQLite.

use monsys_core::id::{ApiTokenId, TenantId};
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};
use rusqlite::{Connection, params};

use super::account::audit;
use super::column::{OrStoreError, first, optional, rows, text};
use super::person::{SESSION_USER, session_user};
use crate::clock::wall_now;
use crate::store::credential::LAST_USED_COARSE_S;
use crate::store::{
    ApiTokenPlace, ApiTokenSummary, Author, LISTED_MAX, NewApiToken, Role, SessionUser,
};

pub(super) fn add(
    connection: &Connection,
    token: &NewApiToken,
    by: Author,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO api_tokens \
               (tenant_id, id, user_id, name, scope, digest, created_at, expires_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let id = token.token.to_string();
    let parameters = params![
        token.tenant.to_string(),
        id,
        token.owner.to_string(),
        token.name.as_str(),
        token.scope.as_str(),
        token.digest.as_slice(),
        token.created_at.to_rfc3339(),
        token.expires_at.to_rfc3339(),
    ];
    connection.execute(sql, parameters).or_store_error()?;
    audit(connection, Some(token.tenant), by, "API token created", &id)
}

/// Whom an API token belongs to, and whether its use should be noted.
pub(super) struct Shown {
    pub(super) user: SessionUser,
    pub(super) token: ApiTokenId,
    pub(super) is_use_due: bool,
}

pub(super) fn find(
    connection: &Connection,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<Shown>, StoreError> {
    let sql = format!(
        "SELECT {SESSION_USER}, a.id, a.scope, a.last_used_at FROM api_tokens a \
         JOIN users u ON u.tenant_id = a.tenant_id AND u.id = a.user_id \
         JOIN tenants t ON t.id = a.tenant_id \
         WHERE a.digest = ?1 AND a.revoked_at IS NULL AND a.expires_at > ?2 \
         AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let parameters = params![digest.as_slice(), now.to_rfc3339()];
    first(&mut statement, parameters, |row| {
        let mut user = session_user(row)?;
        let scope: Role = text(row, 7)?;
        user.role = user.role.min(scope);
        let last: Option<Timestamp> = optional(row, 8)?;
        let noted = now.saturating_sub(Span::from_secs(LAST_USED_COARSE_S));
        Ok(Shown {
            user,
            token: text(row, 6)?,
            is_use_due: last.is_none_or(|last| last <= noted),
        })
    })
}

pub(super) fn note_use(
    connection: &Connection,
    (tenant, token): (TenantId, ApiTokenId),
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE api_tokens SET last_used_at = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let parameters = params![tenant.to_string(), token.to_string(), now.to_rfc3339()];
    connection
        .execute(sql, parameters)
        .or_store_error()
        .map(drop)
}

pub(super) fn revoke(
    connection: &Connection,
    (tenant, token): (TenantId, ApiTokenId),
    by: Author,
) -> Result<(), StoreError> {
    let (of, id) = (tenant.to_string(), token.to_string());
    let sql = "SELECT revoked_at IS NOT NULL FROM api_tokens WHERE tenant_id = ?1 AND id = ?2";
    let is_revoked: bool = connection
        .query_row(sql, [&of, &id], |row| row.get(0))
        .or_store_error()?;
    if is_revoked {
        return Ok(());
    }
    let sql = "UPDATE api_tokens SET revoked_at = ?3 WHERE tenant_id = ?1 AND id = ?2";
    connection
        .execute(sql, [&of, &id, &wall_now().to_rfc3339()])
        .or_store_error()?;
    audit(connection, Some(tenant), by, "API token revoked", &id)
}

pub(super) fn list(
    connection: &Connection,
    tenant: TenantId,
    after: Option<ApiTokenPlace>,
    limit: u32,
) -> Result<Vec<ApiTokenSummary>, StoreError> {
    let sql = "SELECT a.id, u.email, a.name, a.scope, a.created_at, a.expires_at, a.revoked_at, \
               a.last_used_at FROM api_tokens a \
               JOIN users u ON u.tenant_id = a.tenant_id AND u.id = a.user_id \
               WHERE a.tenant_id = ?1 AND (?2 IS NULL OR (a.created_at, a.id) < (?2, ?3)) \
               ORDER BY a.created_at DESC, a.id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![
        tenant.to_string(),
        after.map(|place| place.created_at.to_rfc3339()),
        after.map(|place| place.token.to_string()),
        limit.min(LISTED_MAX),
    ];
    rows(&mut statement, parameters, |row| {
        Ok(ApiTokenSummary {
            token: text(row, 0)?,
            owner: text(row, 1)?,
            name: text(row, 2)?,
            scope: text(row, 3)?,
            created_at: text(row, 4)?,
            expires_at: text(row, 5)?,
            revoked_at: optional(row, 6)?,
            last_used_at: optional(row, 7)?,
        })
    })
}
