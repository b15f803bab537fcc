//! API tokens in PostgreSQL.

use monsys_core::id::{ApiTokenId, TenantId};
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};
use tokio_postgres::Row;

use super::account::audit;
use super::column::word;
use super::fault::Fault;
use super::person::{SESSION_USER, session_user};
use super::session;
use super::transaction::Tx;
use crate::clock::wall_now;
use crate::store::credential::LAST_USED_COARSE_S;
use crate::store::{
    ApiTokenPlace, ApiTokenSummary, Author, LISTED_MAX, NewApiToken, Role, SessionUser,
};

pub(super) async fn add(tx: &Tx, token: &NewApiToken, by: Author) -> Result<(), Fault> {
    let sql = "INSERT INTO api_tokens \
               (tenant_id, id, user_id, name, scope, digest, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    tx.execute(
        sql,
        &[
            &token.tenant,
            &token.token,
            &token.owner,
            &token.name.as_str(),
            &token.scope.as_str(),
            &token.digest.as_slice(),
            &token.created_at,
            &token.expires_at,
        ],
    )
    .await?;
    let (tenant, id) = (Some(token.tenant), token.token.to_string());
    audit(tx, tenant, by, "API token created", &id).await
}

/// Whom an API token belongs to, and whether its use should be noted.
pub(super) struct Shown {
    pub(super) user: SessionUser,
    pub(super) token: ApiTokenId,
    pub(super) is_use_due: bool,
}

pub(super) async fn find(
    tx: &Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<Shown>, Fault> {
    let tenant = session::enter(tx, "SELECT monsys_tenant_of_api_token($1)", digest).await?;
    let Some(tenant) = tenant else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT {SESSION_USER}, a.id, a.scope, a.last_used_at FROM api_tokens a \
         JOIN users u ON u.tenant_id = a.tenant_id AND u.id = a.user_id \
         JOIN tenants t ON t.id = a.tenant_id \
         WHERE a.tenant_id = $1 AND a.digest = $2 AND a.revoked_at IS NULL \
         AND a.expires_at > $3 AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let Some(row) = tx.first(&sql, &[&tenant, &digest.as_slice(), &now]).await? else {
        return Ok(None);
    };
    let mut user = session_user(&row)?;
    let scope: Role = word(&row, 7)?;
    user.role = user.role.min(scope);
    let last: Option<Timestamp> = row.try_get(8)?;
    let noted = now.saturating_sub(Span::from_secs(LAST_USED_COARSE_S));
    Ok(Some(Shown {
        user,
        token: row.try_get(6)?,
        is_use_due: last.is_none_or(|last| last <= noted),
    }))
}

pub(super) async fn note_use(
    tx: &Tx,
    (tenant, token): (TenantId, ApiTokenId),
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "UPDATE api_tokens SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&tenant, &token, &now]).await.map(drop)
}

pub(super) async fn revoke(
    tx: &Tx,
    (tenant, token): (TenantId, ApiTokenId),
    by: Author,
) -> Result<(), Fault> {
    let sql = "SELECT revoked_at IS NOT NULL FROM api_tokens \
               WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";
    let found = tx.first(sql, &[&tenant, &token]).await?;
    if found.ok_or(StoreError::NotFound)?.try_get(0)? {
        return Ok(());
    }
    let sql = "UPDATE api_tokens SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&tenant, &token, &wall_now()]).await?;
    let id = token.to_string();
    audit(tx, Some(tenant), by, "API token revoked", &id).await
}

pub(super) async fn list(
    tx: &Tx,
    tenant: TenantId,
    after: Option<ApiTokenPlace>,
    limit: u32,
) -> Result<Vec<ApiTokenSummary>, Fault> {
    let sql = "SELECT a.id, u.email, a.name, a.scope, a.created_at, a.expires_at, a.revoked_at, \
               a.last_used_at FROM api_tokens a \
               JOIN users u ON u.tenant_id = a.tenant_id AND u.id = a.user_id \
               WHERE a.tenant_id = $1 \
               AND ($2::timestamptz IS NULL OR (a.created_at, a.id) < ($2, $3::uuid)) \
               ORDER BY a.created_at DESC, a.id DESC LIMIT $4";
    let (before, token) = (after.map(|at| at.created_at), after.map(|at| at.token));
    let limit = i64::from(limit.min(LISTED_MAX));
    let rows = tx.rows(sql, &[&tenant, &before, &token, &limit]).await?;
    rows.iter().map(summary).collect()
}

fn summary(row: &Row) -> Result<ApiTokenSummary, Fault> {
    Ok(ApiTokenSummary {
        token: row.try_get(0)?,
        owner: row.try_get(1)?,
        name: word(row, 2)?,
        scope: word(row, 3)?,
        created_at: row.try_get(4)?,
        expires_at: row.try_get(5)?,
        revoked_at: row.try_get(6)?,
        last_used_at: row.try_get(7)?,
    })
}
