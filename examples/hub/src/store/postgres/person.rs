//! People of an organisation in PostgreSQL: who they are, what they may do, and what they log in
//! with. Each function runs in the tenant that the transaction has set.

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;
use tokio_postgres::Row;

use super::account::audit;
use super::column::word;
use super::fault::Fault;
use super::session::{self, find_link};
use super::transaction::Tx;
use crate::clock::wall_now;
use crate::store::{
    Access, Author, Credentials, CredentialsEpoch, Holder, LISTED_MAX, LoginLink, PasswordPhc,
    Role, SessionUser, UserChange, UserSummary,
};

/// What is read of a person `u` and their organisation `t`, in the order of [`session_user`].
pub(super) const SESSION_USER: &str =
    "u.id, u.tenant_id, t.name, u.email, u.role, u.credentials_epoch";

pub(super) fn session_user(row: &Row) -> Result<SessionUser, Fault> {
    Ok(SessionUser {
        user: row.try_get(0)?,
        tenant: row.try_get(1)?,
        tenant_name: word(row, 2)?,
        email: row.try_get(3)?,
        role: word(row, 4)?,
        epoch: CredentialsEpoch::from_number(row.try_get(5)?),
    })
}

pub(super) async fn list(
    tx: &Tx,
    tenant: TenantId,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UserSummary>, Fault> {
    let sql = "SELECT id, email, role, password_phc IS NOT NULL, disabled_at, created_at \
               FROM users WHERE tenant_id = $1 AND role <> 'service' \
               AND ($2::text IS NULL OR email > $2) ORDER BY email LIMIT $3";
    let limit = i64::from(limit.min(LISTED_MAX));
    let read = |row: &Row| {
        Ok(UserSummary {
            user: row.try_get(0)?,
            email: row.try_get(1)?,
            role: word(row, 2)?,
            has_password: row.try_get(3)?,
            disabled_at: row.try_get(4)?,
            created_at: row.try_get(5)?,
        })
    };
    let rows = tx.rows(sql, &[&tenant, &after, &limit]).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn set_access(
    tx: &Tx,
    of: (TenantId, UserId),
    access: Access,
    by: Author,
) -> Result<UserChange, Fault> {
    let state = State::locked(tx, of).await?;
    let (disabled_at, action) = match access {
        Access::Enabled => (None, "user enabled"),
        Access::Disabled => (Some(wall_now()), "user disabled"),
    };
    if state.is_disabled == disabled_at.is_some() {
        return Ok(UserChange::Unchanged);
    }
    if access == Access::Disabled && state.is_last_admin() {
        return Ok(UserChange::LastAdmin);
    }
    let sql = "UPDATE users SET disabled_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&of.0, &of.1, &disabled_at]).await?;
    make_void(tx, of).await?;
    audit(tx, Some(of.0), by, action, &of.1.to_string()).await?;
    Ok(UserChange::Done)
}

pub(super) async fn set_role(
    tx: &Tx,
    of: (TenantId, UserId),
    role: Role,
    by: Author,
) -> Result<UserChange, Fault> {
    let state = State::locked(tx, of).await?;
    if state.role == role {
        return Ok(UserChange::Unchanged);
    }
    if state.is_last_admin() {
        return Ok(UserChange::LastAdmin);
    }
    let sql = "UPDATE users SET role = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&of.0, &of.1, &role.as_str()]).await?;
    make_void(tx, of).await?;
    let action = match role {
        Role::Admin => "user made admin",
        Role::ReadOnly => "user made read_only",
    };
    audit(tx, Some(of.0), by, action, &of.1.to_string()).await?;
    Ok(UserChange::Done)
}

/// What decides whether a change of a person is one.
struct State {
    role: Role,
    is_disabled: bool,
    has_other_admin: bool,
}

impl State {
    /// Reads a person, and locks them together with all who administer their organisation, in one
    /// order: of two admins who disable each other, one waits and then is the last.
    async fn locked(tx: &Tx, (tenant, user): (TenantId, UserId)) -> Result<Self, Fault> {
        let sql = "SELECT id, role, disabled_at IS NOT NULL FROM users \
                   WHERE tenant_id = $1 AND role <> 'service' \
                   AND (id = $2 OR role = 'admin' AND disabled_at IS NULL) \
                   ORDER BY id FOR NO KEY UPDATE";
        let (mut own, mut has_other_admin) = (None, false);
        for row in tx.rows(sql, &[&tenant, &user]).await? {
            let id: UserId = row.try_get(0)?;
            if id == user {
                own = Some((word(&row, 1)?, row.try_get(2)?));
            } else {
                has_other_admin = true;
            }
        }
        let (role, is_disabled) = own.ok_or(StoreError::NotFound)?;
        Ok(Self {
            role,
            is_disabled,
            has_other_admin,
        })
    }

    /// Whether nobody else could administer the organisation.
    fn is_last_admin(&self) -> bool {
        self.role == Role::Admin && !self.is_disabled && !self.has_other_admin
    }
}

/// Makes void what a person holds, and says from which epoch on something holds again.
async fn make_void(tx: &Tx, (tenant, user): (TenantId, UserId)) -> Result<CredentialsEpoch, Fault> {
    let sql = "UPDATE users SET credentials_epoch = credentials_epoch + 1 \
               WHERE tenant_id = $1 AND id = $2 RETURNING credentials_epoch";
    let epoch = tx.one(sql, &[&tenant, &user]).await?.try_get(0)?;
    let sql = "DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2";
    tx.execute(sql, &[&tenant, &user]).await?;
    let sql = "UPDATE refresh_families SET revoked_at = $3 \
               WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL";
    tx.execute(sql, &[&tenant, &user, &wall_now()]).await?;
    Ok(CredentialsEpoch::from_number(epoch))
}

pub(super) async fn credentials(
    tx: &Tx,
    org: &str,
    email: &str,
) -> Result<Option<Credentials>, Fault> {
    let sql = "SELECT id, tenant_id, tenant_name, email, role, credentials_epoch, password_phc \
               FROM monsys_credentials($1, $2)";
    let Some(row) = tx.first(sql, &[&org, &email]).await? else {
        return Ok(None);
    };
    let password: Option<String> = row.try_get(6)?;
    Ok(Some(Credentials {
        user: session_user(&row)?,
        password: password.map(PasswordPhc::new),
    }))
}

pub(super) async fn now(
    tx: &Tx,
    (tenant, user): (TenantId, UserId),
) -> Result<Option<SessionUser>, Fault> {
    let sql = format!(
        "SELECT {SESSION_USER} FROM users u JOIN tenants t ON t.id = u.tenant_id \
         WHERE u.tenant_id = $1 AND u.id = $2 AND u.disabled_at IS NULL AND u.role <> 'service'"
    );
    let found = tx.first(&sql, &[&tenant, &user]).await?;
    found.as_ref().map(session_user).transpose()
}

pub(super) async fn set_password(
    tx: &Tx,
    (tenant, user): (TenantId, UserId),
    password: &PasswordPhc,
    by: Author,
) -> Result<Holder, Fault> {
    let sql = "UPDATE users SET password_phc = $3 \
               WHERE tenant_id = $1 AND id = $2 AND role <> 'service'";
    let changed = tx
        .execute(sql, &[&tenant, &user, &password.expose()])
        .await?;
    if changed == 0 {
        return Err(StoreError::NotFound.into());
    }
    let epoch = make_void(tx, (tenant, user)).await?;
    let sql = "UPDATE login_links SET used_at = $3 \
               WHERE tenant_id = $1 AND user_id = $2 AND used_at IS NULL";
    tx.execute(sql, &[&tenant, &user, &wall_now()]).await?;
    audit(tx, Some(tenant), by, "password set", &user.to_string()).await?;
    Ok(Holder {
        tenant,
        user,
        epoch,
    })
}

/// Ends what a person holds, without another password.
pub(super) async fn end_sessions(
    tx: &Tx,
    (tenant, user): (TenantId, UserId),
    by: Author,
) -> Result<Holder, Fault> {
    if now(tx, (tenant, user)).await?.is_none() {
        return Err(StoreError::NotFound.into());
    }
    let epoch = make_void(tx, (tenant, user)).await?;
    audit(tx, Some(tenant), by, "sessions ended", &user.to_string()).await?;
    Ok(Holder {
        tenant,
        user,
        epoch,
    })
}

pub(super) async fn replace_phc(
    tx: &Tx,
    holder: Holder,
    verified: &PasswordPhc,
    rehashed: &PasswordPhc,
) -> Result<bool, Fault> {
    let sql = "UPDATE users SET password_phc = $5 WHERE tenant_id = $1 AND id = $2 \
               AND credentials_epoch = $3 AND password_phc = $4";
    let (tenant, user, epoch) = (holder.tenant, holder.user, holder.epoch.to_number());
    let (verified, rehashed) = (verified.expose(), rehashed.expose());
    let is_same = tx
        .execute(sql, &[&tenant, &user, &epoch, &verified, &rehashed])
        .await?
        == 1;
    if is_same {
        let (by, subject) = (Author::Hub, user.to_string());
        audit(tx, Some(tenant), by, "password rehashed", &subject).await?;
    }
    Ok(is_same)
}

pub(super) async fn spend_password_link(
    tx: &Tx,
    link: [u8; 32],
    password: &PasswordPhc,
    digest: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<Holder>, Fault> {
    let found = find_link(tx, link, now).await?;
    let Some((LoginLink::SetPassword(user), Some(holder))) = found else {
        return Ok(None);
    };
    if !session::use_link(tx, holder.tenant, link, now).await? {
        return Ok(None);
    }
    // Uses up all other links of the person.
    let by = Author::User(user);
    let holder = set_password(tx, (holder.tenant, user), password, by).await?;
    let opened = session::open(tx, holder, digest, (now, expires_at)).await?;
    Ok(opened.map(|()| holder))
}

/// Whether somebody of this identifier may log in, as of this epoch.
pub(super) async fn holds(tx: &Tx, holder: Holder) -> Result<bool, Fault> {
    let sql = "SELECT id FROM users WHERE tenant_id = $1 AND id = $2 AND credentials_epoch = $3 \
               AND disabled_at IS NULL AND role <> 'service'";
    let epoch = holder.epoch.to_number();
    let found = tx
        .first(sql, &[&holder.tenant, &holder.user, &epoch])
        .await?;
    Ok(found.is_some())
}
