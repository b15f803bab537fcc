//! Organisations, people, login links and sessions.

use std::collections::BTreeMap;

use monsys_core::id::{AgentId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::position::PositionSet;
use monsys_core::store::{StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::column::{OrStoreError, TextColumn, first, rows, text};
use super::{SqliteStore, person, session};
use crate::clock::wall_now;
use crate::random::random_bytes;
use crate::store::{
    Access, AccountStore, Actor, Author, CredentialsEpoch, Holder, LoginLink, NewUser, PasswordPhc,
    Role, SessionUser, UserChange, UserSummary,
};

impl TextColumn for Role {
    fn from_text(text: &str) -> Option<Self> {
        Self::from_word(text)
    }
}

impl AccountStore for SqliteStore {
    fn meta(&self, name: &'static str) -> StoreFuture<'_, Option<String>> {
        self.read(move |connection| {
            let sql = "SELECT value FROM meta WHERE name = ?1";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            first(&mut statement, [name], |row| text(row, 0))
        })
    }

    fn meta_or_insert(&self, name: &'static str, value: String) -> StoreFuture<'_, String> {
        self.write(move |connection| {
            let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            connection
                .execute(sql, params![name, value])
                .or_store_error()?;
            let sql = "SELECT value FROM meta WHERE name = ?1";
            connection
                .query_row(sql, [name], |row| row.get(0))
                .or_store_error()
        })
    }

    fn add_tenant(&self, tenant: TenantId, name: DisplayName) -> StoreFuture<'_, ()> {
        self.write(move |connection| insert_tenant(connection, tenant, &name))
    }

    fn tenant_names(&self) -> StoreFuture<'_, Vec<(TenantId, DisplayName)>> {
        self.read(|connection| {
            let sql = "SELECT id, name FROM tenants ORDER BY name";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            rows(&mut statement, [], |row| Ok((text(row, 0)?, text(row, 1)?)))
        })
    }

    fn add_user(&self, user: NewUser, by: Author) -> StoreFuture<'_, ()> {
        self.write(move |connection| insert_user(connection, &user, by).map(drop))
    }

    fn users(
        &self,
        tenant: TenantId,
        after: Option<String>,
        limit: u32,
    ) -> StoreFuture<'_, Vec<UserSummary>> {
        self.read(move |connection| person::list(connection, tenant, after.as_deref(), limit))
    }

    fn set_access(
        &self,
        tenant: TenantId,
        user: UserId,
        access: Access,
        by: Author,
    ) -> StoreFuture<'_, UserChange> {
        self.write(move |connection| person::set_access(connection, (tenant, user), access, by))
    }

    fn set_role(
        &self,
        tenant: TenantId,
        user: UserId,
        role: Role,
        by: Author,
    ) -> StoreFuture<'_, UserChange> {
        self.write(move |connection| person::set_role(connection, (tenant, user), role, by))
    }

    fn user_count(&self) -> StoreFuture<'_, u64> {
        self.read(count_users)
    }

    fn user_by_email(&self, tenant: TenantId, email: String) -> StoreFuture<'_, Option<UserId>> {
        self.read(move |connection| {
            let sql = "SELECT id FROM users \
                       WHERE tenant_id = ?1 AND email = ?2 AND role <> 'service'";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            first(&mut statement, params![tenant.to_string(), email], |row| {
                text(row, 0)
            })
        })
    }

    fn actors(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> StoreFuture<'_, BTreeMap<UserId, Actor>> {
        self.read(move |connection| {
            let sql = "SELECT email, role = 'service' FROM users WHERE tenant_id = ?1 AND id = ?2";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let mut found = BTreeMap::new();
            for user in users {
                let ids = [tenant.to_string(), user.to_string()];
                let actor = first(&mut statement, ids, |row| {
                    let is_service: bool = row.get(1).or_store_error()?;
                    let person = Actor::Person(text(row, 0)?);
                    Ok(if is_service { Actor::Worker } else { person })
                })?;
                found.extend(actor.map(|actor| (user, actor)));
            }
            Ok(found)
        })
    }

    fn agent_by_name(&self, tenant: TenantId, name: String) -> StoreFuture<'_, Option<AgentId>> {
        self.read(move |connection| {
            let sql = "SELECT id FROM agents WHERE tenant_id = ?1 AND name = ?2";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            first(&mut statement, params![tenant.to_string(), name], |row| {
                text(row, 0)
            })
        })
    }

    fn add_link(
        &self,
        digest: [u8; 32],
        link: LoginLink,
        expires_at: Timestamp,
        by: Author,
    ) -> StoreFuture<'_, ()> {
        self.write(move |connection| session::add_link(connection, digest, link, expires_at, by))
    }

    fn forget_links(&self, now: Timestamp) -> StoreFuture<'_, u64> {
        self.write(move |connection| session::forget_links(connection, now))
    }

    fn link(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<LoginLink>> {
        self.read(move |connection| {
            let found = session::find_link(connection, digest, now)?;
            Ok(found.map(|found| found.link))
        })
    }

    fn log_in(
        &self,
        link: [u8; 32],
        session: [u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> StoreFuture<'_, Option<()>> {
        self.write(move |connection| {
            let found = session::find_link(connection, link, now)?;
            let Some((LoginLink::Login(_), Some(holder))) = found.map(|f| (f.link, f.holder))
            else {
                return Ok(None);
            };
            session::use_link(connection, link, now)?;
            session::open(connection, holder, session, (now, expires_at))
        })
    }

    fn set_up(
        &self,
        link: [u8; 32],
        name: DisplayName,
        mut user: NewUser,
        digest: [u8; 32],
        (now, expires_at): (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<()>> {
        self.write(move |connection| {
            let found = session::find_link(connection, link, now)?;
            let is_valid = found.is_some_and(|found| found.link == LoginLink::SetUp);
            if !is_valid || count_users(connection)? > 0 {
                return Ok(None);
            }
            session::use_link(connection, link, now)?;
            let sql = "SELECT id FROM tenants WHERE name = ?1";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let existing = first(&mut statement, [name.as_str()], |row| text(row, 0))?;
            let tenant = existing.unwrap_or(user.tenant);
            if existing.is_none() {
                insert_tenant(connection, tenant, &name)?;
            }
            user.tenant = tenant;
            let holder = insert_user(connection, &user, Author::Hub)?;
            session::open(connection, holder, digest, (now, expires_at))
        })
    }

    fn session(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<SessionUser>> {
        self.read(move |connection| session::find(connection, digest, now))
    }

    fn log_out(&self, digest: [u8; 32]) -> StoreFuture<'_, ()> {
        self.write(move |connection| session::end(connection, digest))
    }

    fn add_audit(
        &self,
        tenant: Option<TenantId>,
        by: Author,
        action: &'static str,
        subject: String,
    ) -> StoreFuture<'_, ()> {
        self.write(move |connection| audit(connection, tenant, by, action, &subject))
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        self.write(|_| Ok(()))
    }

    fn close(&self) {
        self.writer.close();
    }
}

/// Writes an audit entry in the transaction of what it speaks of.
pub(super) fn audit(
    connection: &Connection,
    tenant: Option<TenantId>,
    by: Author,
    action: &str,
    subject: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit_log (tenant_id, at, actor, action, subject) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let tenant = tenant.map(|tenant| tenant.to_string());
    let (at, actor) = (wall_now().to_rfc3339(), by.to_string());
    let parameters = params![tenant, at, actor, action, subject];
    connection
        .execute(sql, parameters)
        .or_store_error()
        .map(drop)
}

fn insert_tenant(
    connection: &Connection,
    tenant: TenantId,
    name: &DisplayName,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO tenants (id, name, created_at) VALUES (?1, ?2, ?3)";
    let at = wall_now().to_rfc3339();
    connection
        .execute(sql, params![tenant.to_string(), name.as_str(), at])
        .or_store_error()?;
    let sql = "INSERT INTO users (id, tenant_id, email, role, created_at) \
               VALUES (?1, ?2, ?3, 'service', ?4)";
    let service = UserId::from_random_bytes(random_bytes()).to_string();
    let parameters = params![service, tenant.to_string(), SERVICE_USER, at];
    connection.execute(sql, parameters).or_store_error()?;
    // What the hub finds about itself is about this agent, which is not enrolled.
    let sql = "INSERT INTO agents (id, tenant_id, name, enrolled_at, revoked_at, positions) \
               VALUES (?1, ?2, ?3, ?4, ?4, ?5)";
    let (hub, none) = (AgentId::of_hub(tenant), PositionSet::new().to_bytes());
    let parameters = params![hub.to_string(), tenant.to_string(), HUB_AGENT, at, none];
    connection.execute(sql, parameters).or_store_error()?;
    audit(
        connection,
        Some(tenant),
        Author::Hub,
        "organisation added",
        name.as_str(),
    )
}

fn insert_user(connection: &Connection, user: &NewUser, by: Author) -> Result<Holder, StoreError> {
    let sql = "INSERT INTO users (id, tenant_id, email, role, created_at, password_phc) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (id, tenant) = (user.user.to_string(), user.tenant.to_string());
    let parameters = params![
        id,
        tenant,
        user.email,
        user.role.as_str(),
        wall_now().to_rfc3339(),
        user.password.as_ref().map(PasswordPhc::expose),
    ];
    connection.execute(sql, parameters).or_store_error()?;
    audit(connection, Some(user.tenant), by, "user added", &id)?;
    Ok(Holder {
        tenant: user.tenant,
        user: user.user,
        epoch: CredentialsEpoch::from_number(0),
    })
}

fn count_users(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM users WHERE role <> 'service'";
    let count: i64 = connection
        .query_row(sql, [], |row| row.get(0))
        .or_store_error()?;
    Ok(count.unsigned_abs())
}

/// The login name of the user that closes findings by itself; it cannot log in.
const SERVICE_USER: &str = "integrity-worker@monsys.invalid";

/// What the hub is called where it stands among the agents.
const HUB_AGENT: &str = "monsys-hub";
