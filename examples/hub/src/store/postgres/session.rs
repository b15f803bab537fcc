//! Login links and sessions in PostgreSQL.
//!
//! A secret says nothing about whose it is, so its tenant is looked up first, by a function of the
//! schema that answers nothing else, and everything after it runs as that tenant.

use monsys_core::id::TenantId;
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;

use super::account::audit;
use super::column::DAMAGED;
use super::fault::Fault;
use super::person::{self, SESSION_USER, session_user};
use super::transaction::Tx;
use crate::store::{Author, CredentialsEpoch, Holder, LoginLink, SessionUser};

/// The words of `login_links.purpose`.
const LOGIN: &str = "login";
const SET_PASSWORD: &str = "set_password";

pub(super) async fn add_link(
    tx: &Tx,
    digest: [u8; 32],
    link: LoginLink,
    expires_at: Timestamp,
    by: Author,
) -> Result<(), Fault> {
    let digest = digest.as_slice();
    let (user, purpose, action) = match link {
        LoginLink::SetUp => {
            let sql = "INSERT INTO setup_links (digest, expires_at) VALUES ($1, $2)";
            tx.execute(sql, &[&digest, &expires_at]).await?;
            return audit(tx, None, by, "set-up link made", "hub").await;
        }
        LoginLink::Login(user) => (user, LOGIN, "login link made"),
        LoginLink::SetPassword(user) => (user, SET_PASSWORD, "set-password link made"),
    };
    let row = tx.one("SELECT monsys_tenant_of_user($1)", &[&user]).await?;
    let tenant: Option<TenantId> = row.try_get(0)?;
    let tenant = tenant.ok_or(StoreError::NotFound)?;
    tx.enter(tenant).await?;
    let sql = "INSERT INTO login_links (tenant_id, digest, purpose, user_id, expires_at) \
               VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, &[&tenant, &digest, &purpose, &user, &expires_at])
        .await?;
    audit(tx, Some(tenant), by, action, &user.to_string()).await
}

/// Finds a link that is good, and whose it is.
pub(super) async fn find_link(
    tx: &Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<(LoginLink, Option<Holder>)>, Fault> {
    let sql = "SELECT digest FROM setup_links \
               WHERE digest = $1 AND used_at IS NULL AND expires_at > $2";
    if tx.first(sql, &[&digest.as_slice(), &now]).await?.is_some() {
        return Ok(Some((LoginLink::SetUp, None)));
    }
    let Some(tenant) = enter_tenant_of_link(tx, digest).await? else {
        return Ok(None);
    };
    let sql = "SELECT l.purpose, u.id, u.credentials_epoch FROM login_links l \
               JOIN users u ON u.tenant_id = l.tenant_id AND u.id = l.user_id \
               WHERE l.tenant_id = $1 AND l.digest = $2 AND l.used_at IS NULL \
               AND l.expires_at > $3 AND u.disabled_at IS NULL AND u.role <> 'service'";
    let Some(row) = tx.first(sql, &[&tenant, &digest.as_slice(), &now]).await? else {
        return Ok(None);
    };
    let user = row.try_get(1)?;
    let link = match row.try_get(0)? {
        LOGIN => LoginLink::Login(user),
        SET_PASSWORD => LoginLink::SetPassword(user),
        _ => return Err(DAMAGED),
    };
    let epoch = CredentialsEpoch::from_number(row.try_get(2)?);
    let holder = Holder {
        tenant,
        user,
        epoch,
    };
    Ok(Some((link, Some(holder))))
}

/// Uses up a login link and opens a session.
pub(super) async fn log_in(
    tx: &Tx,
    link: [u8; 32],
    session: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<()>, Fault> {
    let found = find_link(tx, link, now).await?;
    let Some((LoginLink::Login(_), Some(holder))) = found else {
        return Ok(None);
    };
    if !use_link(tx, holder.tenant, link, now).await? {
        return Ok(None);
    }
    open(tx, holder, session, (now, expires_at)).await
}

/// Uses up a link; of two that use one at once, the update lets one through.
pub(super) async fn use_link(
    tx: &Tx,
    tenant: TenantId,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "UPDATE login_links SET used_at = $3 WHERE tenant_id = $1 AND digest = $2 \
               AND used_at IS NULL";
    Ok(tx
        .execute(sql, &[&tenant, &digest.as_slice(), &now])
        .await?
        == 1)
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

/// Removes set-up links whose time is over; every start of a hub without people makes one.
pub(super) async fn forget_setup_links(tx: &Tx, now: Timestamp) -> Result<u64, Fault> {
    let sql = "DELETE FROM setup_links WHERE expires_at <= $1";
    tx.execute(sql, &[&now]).await
}

/// Removes links of a tenant whose time is over. There are few: each was asked for by somebody.
pub(super) async fn forget_links(tx: &Tx, tenant: TenantId, now: Timestamp) -> Result<u64, Fault> {
    let sql = "DELETE FROM login_links WHERE tenant_id = $1 AND expires_at <= $2";
    tx.execute(sql, &[&tenant, &now]).await
}

/// Opens a session in the tenant that the transaction has set, unless what its person held is void;
/// forgets sessions of the tenant that are over.
pub(super) async fn open(
    tx: &Tx,
    holder: Holder,
    digest: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<()>, Fault> {
    if !person::holds(tx, holder).await? {
        return Ok(None);
    }
    let sql = "INSERT INTO sessions \
               (tenant_id, digest, user_id, credentials_epoch, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let (tenant, digest, epoch) = (holder.tenant, digest.as_slice(), holder.epoch.to_number());
    tx.execute(
        sql,
        &[&tenant, &digest, &holder.user, &epoch, &now, &expires_at],
    )
    .await?;
    let sql = "DELETE FROM sessions WHERE tenant_id = $1 AND expires_at <= $2";
    tx.execute(sql, &[&tenant, &now]).await?;
    let by = Author::User(holder.user);
    audit(tx, Some(tenant), by, "logged in", "session").await?;
    Ok(Some(()))
}

pub(super) async fn find(
    tx: &Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<SessionUser>, Fault> {
    let Some(tenant) = enter_tenant_of_session(tx, digest).await? else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT {SESSION_USER} FROM sessions s \
         JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id \
         AND u.credentials_epoch = s.credentials_epoch \
         JOIN tenants t ON t.id = s.tenant_id \
         WHERE s.tenant_id = $1 AND s.digest = $2 AND s.expires_at > $3 \
         AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let found = tx.first(&sql, &[&tenant, &digest.as_slice(), &now]).await?;
    found.as_ref().map(session_user).transpose()
}

/// Ends a session, whether or not it was still good.
pub(super) async fn end(tx: &Tx, digest: [u8; 32]) -> Result<(), Fault> {
    let Some(tenant) = enter_tenant_of_session(tx, digest).await? else {
        return Ok(());
    };
    let sql = "DELETE FROM sessions WHERE tenant_id = $1 AND digest = $2 RETURNING user_id";
    let Some(row) = tx.first(sql, &[&tenant, &digest.as_slice()]).await? else {
        return Ok(());
    };
    let by = Author::User(row.try_get(0)?);
    audit(tx, Some(tenant), by, "logged out", "session").await
}

async fn enter_tenant_of_link(tx: &Tx, digest: [u8; 32]) -> Result<Option<TenantId>, Fault> {
    enter(tx, "SELECT monsys_tenant_of_link($1)", digest).await
}

async fn enter_tenant_of_session(tx: &Tx, digest: [u8; 32]) -> Result<Option<TenantId>, Fault> {
    enter(tx, "SELECT monsys_tenant_of_session($1)", digest).await
}

/// Enters the tenant that a secret belongs to, if it is one.
pub(super) async fn enter(tx: &Tx, sql: &str, digest: [u8; 32]) -> Result<Option<TenantId>, Fault> {
    let tenant: Option<TenantId> = tx.one(sql, &[&digest.as_slice()]).await?.try_get(0)?;
    if let Some(tenant) = tenant {
        tx.enter(tenant).await?;
    }
    Ok(tenant)
}
