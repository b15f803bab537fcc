//! One-time links and sessions in SQLite.

use monsys_core::id::UserId;
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::account::audit;
use super::column::{OrStoreError, first, optional, text};
use super::person::{SESSION_USER, session_user};
use crate::store::{Author, CredentialsEpoch, Holder, LoginLink, SessionUser};

/// A link that is good, and whose it is.
pub(super) struct FoundLink {
    pub(super) link: LoginLink,
    /// Nobody's, where it makes the first person.
    pub(super) holder: Option<Holder>,
}

pub(super) fn add_link(
    connection: &Connection,
    digest: [u8; 32],
    link: LoginLink,
    expires_at: Timestamp,
    by: Author,
) -> Result<(), StoreError> {
    let (purpose, user, action) = match link {
        LoginLink::Login(user) => ("login", Some(user), "login link made"),
        LoginLink::SetPassword(user) => ("set_password", Some(user), "set-password link made"),
        LoginLink::SetUp => ("set_up", None, "set-up link made"),
    };
    let tenant = match user {
        None => None,
        Some(user) => {
            let sql = "SELECT u.tenant_id FROM users u WHERE u.id = ?1 AND u.role <> 'service'";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let found = first(&mut statement, [user.to_string()], |row| text(row, 0))?;
            Some(found.ok_or(StoreError::NotFound)?)
        }
    };
    let user = user.map(|user| user.to_string());
    let sql = "INSERT INTO login_links (digest, purpose, user_id, expires_at) \
               VALUES (?1, ?2, ?3, ?4)";
    let parameters = params![digest.as_slice(), purpose, user, expires_at.to_rfc3339()];
    connection.execute(sql, parameters).or_store_error()?;
    audit(
        connection,
        tenant,
        by,
        action,
        user.as_deref().unwrap_or("hub"),
    )
}

pub(super) fn find_link(
    connection: &Connection,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<FoundLink>, StoreError> {
    let sql = "SELECT l.purpose, u.id, u.tenant_id, u.credentials_epoch FROM login_links l \
               LEFT JOIN users u ON u.id = l.user_id AND u.disabled_at IS NULL \
               WHERE l.digest = ?1 AND l.used_at IS NULL AND l.expires_at > ?2 \
               AND (l.user_id IS NULL OR u.id IS NOT NULL)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![digest.as_slice(), now.to_rfc3339()];
    first(&mut statement, parameters, found_link)
}

fn found_link(row: &Row<'_>) -> Result<FoundLink, StoreError> {
    let purpose: String = text(row, 0)?;
    let Some(user) = optional::<UserId>(row, 1)? else {
        let link = LoginLink::SetUp;
        return Ok(FoundLink { link, holder: None });
    };
    let link = match purpose.as_str() {
        "login" => LoginLink::Login(user),
        "set_password" => LoginLink::SetPassword(user),
        _ => return Err(StoreError::Damaged),
    };
    let holder = Some(Holder {
        tenant: text(row, 2)?,
        user,
        epoch: CredentialsEpoch::from_number(row.get(3).or_store_error()?),
    });
    Ok(FoundLink { link, holder })
}

pub(super) fn use_link(
    connection: &Connection,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE login_links SET used_at = ?2 WHERE digest = ?1";
    let parameters = params![digest.as_slice(), now.to_rfc3339()];
    connection
        .execute(sql, parameters)
        .or_store_error()
        .map(drop)
}

/// Removes links whose time is over. There are few: each was asked for by somebody.
pub(super) fn forget_links(connection: &Connection, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM login_links WHERE expires_at <= ?1";
    let n_rows = connection
        .execute(sql, [now.to_rfc3339()])
        .or_store_error()?;
    Ok(u64::try_from(n_rows).unwrap_or(u64::MAX))
}

/// Opens a session, unless what its person held is void; forgets sessions that are over.
pub(super) fn open(
    connection: &Connection,
    holder: Holder,
    digest: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<()>, StoreError> {
    let sql = "INSERT INTO sessions \
               (digest, tenant_id, user_id, credentials_epoch, created_at, expires_at) \
               SELECT ?1, u.tenant_id, u.id, u.credentials_epoch, ?5, ?6 FROM users u \
               WHERE u.tenant_id = ?2 AND u.id = ?3 AND u.credentials_epoch = ?4 \
               AND u.disabled_at IS NULL AND u.role <> 'service'";
    let parameters = params![
        digest.as_slice(),
        holder.tenant.to_string(),
        holder.user.to_string(),
        holder.epoch.to_number(),
        now.to_rfc3339(),
        expires_at.to_rfc3339(),
    ];
    if connection.execute(sql, parameters).or_store_error()? == 0 {
        return Ok(None);
    }
    let sql = "DELETE FROM sessions WHERE expires_at <= ?1";
    connection
        .execute(sql, [now.to_rfc3339()])
        .or_store_error()?;
    let (tenant, by) = (Some(holder.tenant), Author::User(holder.user));
    audit(connection, tenant, by, "logged in", "session")?;
    Ok(Some(()))
}

pub(super) fn find(
    connection: &Connection,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<SessionUser>, StoreError> {
    let sql = format!(
        "SELECT {SESSION_USER} FROM sessions s \
         JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id \
         AND u.credentials_epoch = s.credentials_epoch \
         JOIN tenants t ON t.id = s.tenant_id \
         WHERE s.digest = ?1 AND s.expires_at > ?2 \
         AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let parameters = params![digest.as_slice(), now.to_rfc3339()];
    first(&mut statement, parameters, session_user)
}

/// Ends a session, whether or not it was still good.
pub(super) fn end(connection: &Connection, digest: [u8; 32]) -> Result<(), StoreError> {
    let sql = "DELETE FROM sessions WHERE digest = ?1 RETURNING tenant_id, user_id";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ended = first(&mut statement, [digest.as_slice()], |row| {
        Ok((text(row, 0)?, text(row, 1)?))
    })?;
    let Some((tenant, user)) = ended else {
        return Ok(());
    };
    let by = Author::User(user);
    audit(connection, Some(tenant), by, "logged out", "session")
}
