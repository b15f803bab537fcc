//! People of an organisation in SQLite: who they are, what they may do, and what they log in with.

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::account::audit;
use super::column::{OrStoreError, first, optional, rows, text};
use super::session::{self, find_link};
use crate::clock::wall_now;
use crate::store::{
    Access, Author, Credentials, CredentialsEpoch, Holder, LISTED_MAX, LoginLink, PasswordPhc,
    Role, SessionUser, UserChange, UserSummary,
};

/// What is read of a person `u` and their organisation `t`, in the order of [`session_user`].
pub(super) const SESSION_USER: &str =
    "u.id, u.tenant_id, t.name, u.email, u.role, u.credentials_epoch";

pub(super) fn session_user(row: &Row<'_>) -> Result<SessionUser, StoreError> {
    Ok(SessionUser {
        user: text(row, 0)?,
        tenant: text(row, 1)?,
        tenant_name: text(row, 2)?,
        email: text(row, 3)?,
        role: text(row, 4)?,
        epoch: CredentialsEpoch::from_number(row.get(5).or_store_error()?),
    })
}

pub(super) fn list(
    connection: &Connection,
    tenant: TenantId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UserSummary>, StoreError> {
    let sql = "SELECT id, email, role, password_phc IS NOT NULL, disabled_at, created_at \
               FROM users WHERE tenant_id = ?1 AND role <> 'service' \
               AND (?2 IS NULL OR email > ?2) ORDER BY email LIMIT ?3";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), after, limit.min(LISTED_MAX)];
    rows(&mut statement, parameters, |row| {
        Ok(UserSummary {
            user: text(row, 0)?,
            email: text(row, 1)?,
            role: text(row, 2)?,
            has_password: row.get(3).or_store_error()?,
            disabled_at: optional(row, 4)?,
            created_at: text(row, 5)?,
        })
    })
}

pub(super) fn set_access(
    connection: &Connection,
    of: (TenantId, UserId),
    access: Access,
    by: Author,
) -> Result<UserChange, StoreError> {
    let state = state(connection, of)?;
    let (disabled_at, action) = match access {
        Access::Enabled => (None, "user enabled"),
        Access::Disabled => (Some(wall_now().to_rfc3339()), "user disabled"),
    };
    if state.is_disabled == disabled_at.is_some() {
        return Ok(UserChange::Unchanged);
    }
    if access == Access::Disabled && is_last_admin(connection, of, state)? {
        return Ok(UserChange::LastAdmin);
    }
    let sql = "UPDATE users SET disabled_at = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let (tenant, user) = (of.0.to_string(), of.1.to_string());
    connection
        .execute(sql, params![tenant, user, disabled_at])
        .or_store_error()?;
    make_void(connection, of)?;
    audit(connection, Some(of.0), by, action, &user)?;
    Ok(UserChange::Done)
}

pub(super) fn set_role(
    connection: &Connection,
    of: (TenantId, UserId),
    role: Role,
    by: Author,
) -> Result<UserChange, StoreError> {
    let state = state(connection, of)?;
    if state.role == role {
        return Ok(UserChange::Unchanged);
    }
    if is_last_admin(connection, of, state)? {
        return Ok(UserChange::LastAdmin);
    }
    let sql = "UPDATE users SET role = ?3 WHERE tenant_id = ?1 AND id = ?2";
    let (tenant, user) = (of.0.to_string(), of.1.to_string());
    connection
        .execute(sql, params![tenant, user, role.as_str()])
        .or_store_error()?;
    make_void(connection, of)?;
    let action = match role {
        Role::Admin => "user made admin",
        Role::ReadOnly => "user made read_only",
    };
    audit(connection, Some(of.0), by, action, &user)?;
    Ok(UserChange::Done)
}

/// What decides whether a change of a person is one.
#[derive(Clone, Copy)]
struct State {
    role: Role,
    is_disabled: bool,
}

fn state(connection: &Connection, (tenant, user): (TenantId, UserId)) -> Result<State, StoreError> {
    let sql = "SELECT role, disabled_at IS NOT NULL FROM users \
               WHERE tenant_id = ?1 AND id = ?2 AND role <> 'service'";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ids = [tenant.to_string(), user.to_string()];
    let found = first(&mut statement, ids, |row| {
        Ok(State {
            role: text(row, 0)?,
            is_disabled: row.get(1).or_store_error()?,
        })
    })?;
    found.ok_or(StoreError::NotFound)
}

/// Whether nobody else could administer the organisation.
fn is_last_admin(
    connection: &Connection,
    (tenant, user): (TenantId, UserId),
    state: State,
) -> Result<bool, StoreError> {
    if state.role != Role::Admin || state.is_disabled {
        return Ok(false);
    }
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM users WHERE tenant_id = ?1 AND id <> ?2 \
               AND role = 'admin' AND disabled_at IS NULL)";
    let ids = [tenant.to_string(), user.to_string()];
    connection
        .query_row(sql, ids, |row| row.get(0))
        .or_store_error()
}

/// Makes void what a person holds, and says from which epoch on something holds again.
fn make_void(
    connection: &Connection,
    (tenant, user): (TenantId, UserId),
) -> Result<CredentialsEpoch, StoreError> {
    let (tenant, user) = (tenant.to_string(), user.to_string());
    let sql = "UPDATE users SET credentials_epoch = credentials_epoch + 1 \
               WHERE tenant_id = ?1 AND id = ?2 RETURNING credentials_epoch";
    let epoch = connection
        .query_row(sql, [&tenant, &user], |row| row.get(0))
        .or_store_error()?;
    let sql = "DELETE FROM sessions WHERE tenant_id = ?1 AND user_id = ?2";
    connection.execute(sql, [&tenant, &user]).or_store_error()?;
    let sql = "UPDATE refresh_families SET revoked_at = ?3 \
               WHERE tenant_id = ?1 AND user_id = ?2 AND revoked_at IS NULL";
    let parameters = params![tenant, user, wall_now().to_rfc3339()];
    connection.execute(sql, parameters).or_store_error()?;
    Ok(CredentialsEpoch::from_number(epoch))
}

/// A person who is not there is looked for in an organisation that nobody has, so that an unknown
/// organisation costs the same look as an unknown person.
pub(super) fn credentials(
    connection: &Connection,
    org: &str,
    email: &str,
) -> Result<Option<Credentials>, StoreError> {
    let sql = format!(
        "SELECT {SESSION_USER}, u.password_phc FROM users u JOIN tenants t ON t.id = u.tenant_id \
         WHERE u.tenant_id = coalesce((SELECT o.id FROM tenants o WHERE o.name = ?1), \
         '00000000-0000-0000-0000-000000000000') \
         AND u.email = ?2 AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    first(&mut statement, [org, email], |row| {
        Ok(Credentials {
            user: session_user(row)?,
            password: optional(row, 6)?.map(PasswordPhc::new),
        })
    })
}

pub(super) fn now(
    connection: &Connection,
    (tenant, user): (TenantId, UserId),
) -> Result<Option<SessionUser>, StoreError> {
    let sql = format!(
        "SELECT {SESSION_USER} FROM users u JOIN tenants t ON t.id = u.tenant_id \
         WHERE u.tenant_id = ?1 AND u.id = ?2 AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let ids = [tenant.to_string(), user.to_string()];
    first(&mut statement, ids, session_user)
}

pub(super) fn set_password(
    connection: &Connection,
    (tenant, user): (TenantId, UserId),
    password: &PasswordPhc,
    by: Author,
) -> Result<Holder, StoreError> {
    let sql = "UPDATE users SET password_phc = ?3 \
               WHERE tenant_id = ?1 AND id = ?2 AND role <> 'service'";
    let (of, subject) = (tenant.to_string(), user.to_string());
    let changed = connection
        .execute(sql, params![of, subject, password.expose()])
        .or_store_error()?;
    if changed == 0 {
        return Err(StoreError::NotFound);
    }
    let epoch = make_void(connection, (tenant, user))?;
    let sql = "UPDATE login_links SET used_at = ?2 WHERE user_id = ?1 AND used_at IS NULL";
    connection
        .execute(sql, [&subject, &wall_now().to_rfc3339()])
        .or_store_error()?;
    audit(connection, Some(tenant), by, "password set", &subject)?;
    Ok(Holder {
        tenant,
        user,
        epoch,
    })
}

/// Ends what a person holds, without another password.
pub(super) fn end_sessions(
    connection: &Connection,
    (tenant, user): (TenantId, UserId),
    by: Author,
) -> Result<Holder, StoreError> {
    if now(connection, (tenant, user))?.is_none() {
        return Err(StoreError::NotFound);
    }
    let epoch = make_void(connection, (tenant, user))?;
    audit(
        connection,
        Some(tenant),
        by,
        "sessions ended",
        &user.to_string(),
    )?;
    Ok(Holder {
        tenant,
        user,
        epoch,
    })
}

pub(super) fn replace_phc(
    connection: &Connection,
    holder: Holder,
    verified: &PasswordPhc,
    rehashed: &PasswordPhc,
) -> Result<bool, StoreError> {
    let sql = "UPDATE users SET password_phc = ?5 WHERE tenant_id = ?1 AND id = ?2 \
               AND credentials_epoch = ?3 AND password_phc = ?4";
    let (tenant, user) = (holder.tenant.to_string(), holder.user.to_string());
    let epoch = holder.epoch.to_number();
    let parameters = params![tenant, user, epoch, verified.expose(), rehashed.expose()];
    let is_same = connection.execute(sql, parameters).or_store_error()? == 1;
    if is_same {
        let tenant = Some(holder.tenant);
        audit(connection, tenant, Author::Hub, "password rehashed", &user)?;
    }
    Ok(is_same)
}

pub(super) fn spend_password_link(
    connection: &Connection,
    link: [u8; 32],
    password: &PasswordPhc,
    digest: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<Holder>, StoreError> {
    let found = find_link(connection, link, now)?;
    let Some((LoginLink::SetPassword(user), Some(holder))) = found.map(|f| (f.link, f.holder))
    else {
        return Ok(None);
    };
    // Uses up this link with all others of the person.
    let by = Author::User(user);
    let holder = set_password(connection, (holder.tenant, user), password, by)?;
    let opened = session::open(connection, holder, digest, (now, expires_at))?;
    Ok(opened.map(|()| holder))
}

/// Whether somebody of this identifier may log in, as of this epoch.
pub(super) fn holds(connection: &Connection, holder: Holder) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM users WHERE tenant_id = ?1 AND id = ?2 AND credentials_epoch = ?3 \
               AND disabled_at IS NULL AND role <> 'service'";
    let (tenant, user) = (holder.tenant.to_string(), holder.user.to_string());
    let parameters = params![tenant, user, holder.epoch.to_number()];
    let found: Option<i64> = connection
        .query_row(sql, parameters, |row| row.get(0))
        .optional()
        .or_store_error()?;
    Ok(found.is_some())
}
