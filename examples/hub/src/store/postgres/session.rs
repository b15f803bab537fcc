//! Login links and sessions in PostgreSQL.
//!
//! A secret says nothing about whose it is, so its tenant is looked up first, by a function of the
//! schema that answers nothing else, and everything after it runs as that tenant.

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;

use super::account::audit;
use super::column::word;
use super::fault::Fault;
use super::transaction::Tx;
use crate::store::{LoginLink, SessionUser};

pub(super) async fn add_link(
    tx: &Tx,
    digest: [u8; 32],
    link: LoginLink,
    expires_at: Timestamp,
) -> Result<(), Fault> {
    let digest = digest.as_slice();
    match link {
        LoginLink::SetUp => {
            let sql = "INSERT INTO setup_links (digest, expires_at) VALUES ($1, $2)";
            tx.execute(sql, &[&digest, &expires_at]).await?;
        }
        LoginLink::Login(user) => {
            let row = tx.one("SELECT monsys_tenant_of_user($1)", &[&user]).await?;
            let tenant: Option<TenantId> = row.try_get(0)?;
            let tenant = tenant.ok_or(StoreError::NotFound)?;
            tx.enter(tenant).await?;
            let sql = "INSERT INTO login_links (tenant_id, digest, user_id, expires_at) \
                       VALUES ($1, $2, $3, $4)";
            tx.execute(sql, &[&tenant, &digest, &user, &expires_at])
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn find_link(
    tx: &Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<LoginLink>, Fault> {
    let sql = "SELECT digest FROM setup_links \
               WHERE digest = $1 AND used_at IS NULL AND expires_at > $2";
    if tx.first(sql, &[&digest.as_slice(), &now]).await?.is_some() {
        return Ok(Some(LoginLink::SetUp));
    }
    let Some(tenant) = enter_tenant_of_link(tx, digest).await? else {
        return Ok(None);
    };
    let sql = "SELECT user_id FROM login_links WHERE tenant_id = $1 AND digest = $2 \
               AND used_at IS NULL AND expires_at > $3";
    let found = tx.first(sql, &[&tenant, &digest.as_slice(), &now]).await?;
    let user: Option<UserId> = found.map(|row| row.try_get(0)).transpose()?;
    Ok(user.map(LoginLink::Login))
}

/// Uses up a login link and opens a session. Of two that use one link at once, the update lets one
/// through.
pub(super) async fn log_in(
    tx: &Tx,
    link: [u8; 32],
    session: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<()>, Fault> {
    let Some(tenant) = enter_tenant_of_link(tx, link).await? else {
        return Ok(None);
    };
    let sql = "UPDATE login_links SET used_at = $3 WHERE tenant_id = $1 AND digest = $2 \
               AND used_at IS NULL AND expires_at > $3 RETURNING user_id";
    let Some(row) = tx.first(sql, &[&tenant, &link.as_slice(), &now]).await? else {
        return Ok(None);
    };
    open(tx, (tenant, row.try_get(0)?), session, (now, expires_at)).await?;
    Ok(Some(()))
}

/// Tells whether the link was valid; it is used up from here on.
pub(super) async fn use_setup_link(
    tx: &Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "UPDATE setup_links SET used_at = $2 \
               WHERE digest = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(tx.execute(sql, &[&digest.as_slice(), &now]).await? == 1)
}

/// Opens a session in the tenant that the transaction has set, and forgets expired ones of it.
pub(super) async fn open(
    tx: &Tx,
    (tenant, user): (TenantId, UserId),
    digest: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<(), Fault> {
    let sql = "INSERT INTO sessions (tenant_id, digest, user_id, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5)";
    let digest = digest.as_slice();
    tx.execute(sql, &[&tenant, &digest, &user, &now, &expires_at])
        .await?;
    let sql = "DELETE FROM sessions WHERE tenant_id = $1 AND expires_at <= $2";
    tx.execute(sql, &[&tenant, &now]).await?;
    audit(tx, Some(tenant), &user.to_string(), "logged in", "session").await
}

pub(super) async fn find(
    tx: &Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<SessionUser>, Fault> {
    let Some(tenant) = enter_tenant_of_session(tx, digest).await? else {
        return Ok(None);
    };
    let sql = "SELECT u.id, u.tenant_id, t.name, u.email, u.role FROM sessions s \
               JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id \
               JOIN tenants t ON t.id = s.tenant_id \
               WHERE s.tenant_id = $1 AND s.digest = $2 AND s.expires_at > $3 \
               AND u.role <> 'service'";
    let Some(row) = tx.first(sql, &[&tenant, &digest.as_slice(), &now]).await? else {
        return Ok(None);
    };
    Ok(Some(SessionUser {
        user: row.try_get(0)?,
        tenant: row.try_get(1)?,
        tenant_name: word(&row, 2)?,
        email: row.try_get(3)?,
        role: word(&row, 4)?,
    }))
}

pub(super) async fn end(tx: &Tx, digest: [u8; 32]) -> Result<(), Fault> {
    if let Some(tenant) = enter_tenant_of_session(tx, digest).await? {
        let sql = "DELETE FROM sessions WHERE tenant_id = $1 AND digest = $2";
        tx.execute(sql, &[&tenant, &digest.as_slice()]).await?;
    }
    Ok(())
}

async fn enter_tenant_of_link(tx: &Tx, digest: [u8; 32]) -> Result<Option<TenantId>, Fault> {
    enter(tx, "SELECT monsys_tenant_of_link($1)", digest).await
}

async fn enter_tenant_of_session(tx: &Tx, digest: [u8; 32]) -> Result<Option<TenantId>, Fault> {
    enter(tx, "SELECT monsys_tenant_of_session($1)", digest).await
}

async fn enter(tx: &Tx, sql: &str, digest: [u8; 32]) -> Result<Option<TenantId>, Fault> {
    let tenant: Option<TenantId> = tx.one(sql, &[&digest.as_slice()]).await?.try_get(0)?;
    if let Some(tenant) = tenant {
        tx.enter(tenant).await?;
    }
    Ok(tenant)
}
