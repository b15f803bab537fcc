//! Organisations and people, and what belongs to the hub itself.

use std::collections::BTreeMap;

use monsys_core::id::{AgentId, TenantId, UserId};
use monsys_core::ledger::LedgerHead;
use monsys_core::name::DisplayName;
use monsys_core::position::PositionSet;
use monsys_core::store::{CycleStore, StoreError, StoreFuture};
use monsys_core::time::Timestamp;

use super::PostgresStore;
use super::column::word;
use super::fault::Fault;
use super::transaction::{Plan, Tx};
use super::{person, session};
use crate::clock::wall_now;
use crate::random::random_bytes;
use crate::store::{
    Access, AccountStore, Actor, Author, CredentialsEpoch, Holder, LoginLink, NewUser, PasswordPhc,
    Role, SessionUser, UserChange, UserSummary,
};

impl AccountStore for PostgresStore {
    fn meta(&self, name: &'static str) -> StoreFuture<'_, Option<String>> {
        self.run(Plan::read_hub("meta"), move |tx| {
            Box::pin(async move { meta(tx, name).await })
        })
    }

    fn meta_or_insert(&self, name: &'static str, value: String) -> StoreFuture<'_, String> {
        let plan = Plan::write_hub("meta or insert").repeatable();
        self.run(plan, move |tx| {
            let value = value.clone();
            Box::pin(async move {
                let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                tx.execute(sql, &[&name, &value]).await?;
                let stored = meta(tx, name).await?;
                stored.ok_or(Fault::Answer(StoreError::Damaged))
            })
        })
    }

    fn add_tenant(&self, tenant: TenantId, name: DisplayName) -> StoreFuture<'_, ()> {
        self.run(Plan::write("add tenant", tenant), move |tx| {
            let name = name.clone();
            Box::pin(async move { insert_tenant(tx, tenant, &name).await })
        })
    }

    fn tenant_names(&self) -> StoreFuture<'_, Vec<(TenantId, DisplayName)>> {
        self.run(Plan::read_hub("tenant names"), move |tx| {
            Box::pin(async move {
                let sql = "SELECT id, name FROM monsys_tenants() ORDER BY name COLLATE \"C\"";
                let rows = tx.rows(sql, &[]).await?;
                let read = |row| Ok((tokio_postgres::Row::try_get(row, 0)?, word(row, 1)?));
                rows.iter().map(read).collect()
            })
        })
    }

    fn add_user(&self, user: NewUser, by: Author) -> StoreFuture<'_, ()> {
        self.run(Plan::write("add user", user.tenant), move |tx| {
            let user = user.clone();
            Box::pin(async move { insert_user(tx, &user, by).await.map(drop) })
        })
    }

    fn users(
        &self,
        tenant: TenantId,
        after: Option<String>,
        limit: u32,
    ) -> StoreFuture<'_, Vec<UserSummary>> {
        self.run(Plan::read("users", tenant), move |tx| {
            let after = after.clone();
            Box::pin(async move { person::list(tx, tenant, after.as_deref(), limit).await })
        })
    }

    fn set_access(
        &self,
        tenant: TenantId,
        user: UserId,
        access: Access,
        by: Author,
    ) -> StoreFuture<'_, UserChange> {
        self.run(Plan::write("set access", tenant), move |tx| {
            Box::pin(async move { person::set_access(tx, (tenant, user), access, by).await })
        })
    }

    fn set_role(
        &self,
        tenant: TenantId,
        user: UserId,
        role: Role,
        by: Author,
    ) -> StoreFuture<'_, UserChange> {
        self.run(Plan::write("set role", tenant), move |tx| {
            Box::pin(async move { person::set_role(tx, (tenant, user), role, by).await })
        })
    }

    fn user_count(&self) -> StoreFuture<'_, u64> {
        self.run(Plan::read_hub("user count"), move |tx| {
            Box::pin(async move { count_users(tx).await })
        })
    }

    fn user_by_email(&self, tenant: TenantId, email: String) -> StoreFuture<'_, Option<UserId>> {
        self.run(Plan::read("user by email", tenant), move |tx| {
            let email = email.clone();
            Box::pin(async move {
                let sql = "SELECT id FROM users \
                           WHERE tenant_id = $1 AND email = $2 AND role <> 'service'";
                let found = tx.first(sql, &[&tenant, &email]).await?;
                Ok(found.map(|row| row.try_get(0)).transpose()?)
            })
        })
    }

    fn actors(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> StoreFuture<'_, BTreeMap<UserId, Actor>> {
        self.run(Plan::read("actors", tenant), move |tx| {
            let users = users.clone();
            Box::pin(async move {
                let sql = "SELECT id, email, role = 'service' FROM users \
                           WHERE tenant_id = $1 AND id = ANY ($2)";
                let mut found = BTreeMap::new();
                for row in tx.rows(sql, &[&tenant, &users]).await? {
                    let person = Actor::Person(row.try_get(1)?);
                    let actor = if row.try_get(2)? {
                        Actor::Worker
                    } else {
                        person
                    };
                    found.insert(row.try_get(0)?, actor);
                }
                Ok(found)
            })
        })
    }

    fn agent_by_name(&self, tenant: TenantId, name: String) -> StoreFuture<'_, Option<AgentId>> {
        self.run(Plan::read("agent by name", tenant), move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let sql = "SELECT id FROM agents WHERE tenant_id = $1 AND name = $2";
                let found = tx.first(sql, &[&tenant, &name]).await?;
                Ok(found.map(|row| row.try_get(0)).transpose()?)
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
        self.run(Plan::write_hub("add link"), move |tx| {
            Box::pin(async move { session::add_link(tx, digest, link, expires_at, by).await })
        })
    }

    fn forget_links(&self, now: Timestamp) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let of_hub = self.run(Plan::write_hub("forget set-up links"), move |tx| {
                Box::pin(async move { session::forget_setup_links(tx, now).await })
            });
            let mut n_forgotten = of_hub.await?;
            for tenant in self.tenants().await? {
                let of_tenant = self.run(Plan::write("forget links", tenant), move |tx| {
                    Box::pin(async move { session::forget_links(tx, tenant, now).await })
                });
                n_forgotten += of_tenant.await?;
            }
            Ok(n_forgotten)
        })
    }

    fn link(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<LoginLink>> {
        self.run(Plan::read_hub("link"), move |tx| {
            Box::pin(async move {
                let found = session::find_link(tx, digest, now).await?;
                Ok(found.map(|(link, _)| link))
            })
        })
    }

    fn log_in(
        &self,
        link: [u8; 32],
        session: [u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> StoreFuture<'_, Option<()>> {
        self.run(Plan::write_hub("log in"), move |tx| {
            Box::pin(async move { session::log_in(tx, link, session, (now, expires_at)).await })
        })
    }

    fn set_up(
        &self,
        link: [u8; 32],
        name: DisplayName,
        user: NewUser,
        session: [u8; 32],
        now_and_expiry: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<()>> {
        self.run(Plan::write_hub("set up"), move |tx| {
            let (name, user) = (name.clone(), user.clone());
            Box::pin(async move { set_up(tx, link, &name, user, session, now_and_expiry).await })
        })
    }

    fn session(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<SessionUser>> {
        self.run(Plan::read_hub("session"), move |tx| {
            Box::pin(async move { session::find(tx, digest, now).await })
        })
    }

    fn log_out(&self, digest: [u8; 32]) -> StoreFuture<'_, ()> {
        self.run(Plan::write_hub("log out").repeatable(), move |tx| {
            Box::pin(async move { session::end(tx, digest).await })
        })
    }

    fn add_audit(
        &self,
        tenant: Option<TenantId>,
        by: Author,
        action: &'static str,
        subject: String,
    ) -> StoreFuture<'_, ()> {
        let plan = tenant.map_or(Plan::write_hub("add audit"), |tenant| {
            Plan::write("add audit", tenant)
        });
        self.run(plan, move |tx| {
            let subject = subject.clone();
            Box::pin(async move { audit(tx, tenant, by, action, &subject).await })
        })
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        self.run(Plan::write_hub("check writable").repeatable(), move |tx| {
            Box::pin(async move {
                let sql = "SELECT NOT pg_is_in_recovery() \
                           AND current_setting('transaction_read_only') = 'off'";
                if tx.one(sql, &[]).await?.try_get(0)? {
                    Ok(())
                } else {
                    Err(Fault::Away)
                }
            })
        })
    }

    fn close(&self) {
        // Every change was waited for by whoever asked for it.
        self.pool.close();
    }
}

pub(super) async fn meta(tx: &Tx, name: &str) -> Result<Option<String>, Fault> {
    let sql = "SELECT value FROM meta WHERE name = $1";
    let found = tx.first(sql, &[&name]).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// Writes an audit entry in the transaction of what it speaks of, which has set the tenant.
pub(super) async fn audit(
    tx: &Tx,
    tenant: Option<TenantId>,
    by: Author,
    action: &str,
    subject: &str,
) -> Result<(), Fault> {
    let sql = "INSERT INTO audit_log (tenant_id, at, actor, action, subject) \
               VALUES ($1, $2, $3, $4, $5)";
    let actor = by.to_string();
    tx.execute(sql, &[&tenant, &wall_now(), &actor, &action, &subject])
        .await
        .map(drop)
}

async fn insert_tenant(tx: &Tx, tenant: TenantId, name: &DisplayName) -> Result<(), Fault> {
    let at = wall_now();
    let sql = "INSERT INTO tenants /* its id is the tenant_id */ (id, name, created_at) \
               VALUES ($1, $2, $3)";
    tx.execute(sql, &[&tenant, &name.as_str(), &at]).await?;
    let sql = "INSERT INTO users (id, tenant_id, email, role, created_at) \
               VALUES ($1, $2, $3, 'service', $4)";
    let service = UserId::from_random_bytes(random_bytes());
    tx.execute(sql, &[&service, &tenant, &SERVICE_USER, &at])
        .await?;
    // The hub speaks of itself under the name of an agent that never was active.
    let sql = "INSERT INTO agents (id, tenant_id, name, enrolled_at, revoked_at, positions) \
               VALUES ($1, $1, $2, $3, $3, $4)";
    let positions = PositionSet::new().to_bytes();
    tx.execute(sql, &[&tenant, &HUB_AGENT, &at, &positions])
        .await?;
    let sql = "INSERT INTO ledger_heads (tenant_id, seq, hash) VALUES ($1, 0, $2)";
    let before_first = LedgerHead::EMPTY.hash.to_bytes();
    tx.execute(sql, &[&tenant, &before_first.as_slice()])
        .await?;
    let (of, by) = (Some(tenant), Author::Hub);
    audit(tx, of, by, "organisation added", name.as_str()).await
}

async fn insert_user(tx: &Tx, user: &NewUser, by: Author) -> Result<Holder, Fault> {
    let sql = "INSERT INTO users (id, tenant_id, email, role, created_at, password_phc) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let (role, password) = (user.role.as_str(), user.password.as_ref());
    tx.execute(
        sql,
        &[
            &user.user,
            &user.tenant,
            &user.email,
            &role,
            &wall_now(),
            &password.map(PasswordPhc::expose),
        ],
    )
    .await?;
    let id = user.user.to_string();
    audit(tx, Some(user.tenant), by, "user added", &id).await?;
    Ok(Holder {
        tenant: user.tenant,
        user: user.user,
        epoch: CredentialsEpoch::from_number(0),
    })
}

async fn count_users(tx: &Tx) -> Result<u64, Fault> {
    let row = tx.one("SELECT monsys_user_count()", &[]).await?;
    let count: i64 = row.try_get(0)?;
    Ok(count.unsigned_abs())
}

async fn set_up(
    tx: &Tx,
    link: [u8; 32],
    name: &DisplayName,
    user: NewUser,
    digest: [u8; 32],
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<Option<()>, Fault> {
    // Two people with two links: one waits here, and then finds the other.
    tx.rows("SELECT pg_advisory_xact_lock(7110611, 2)", &[])
        .await?;
    if count_users(tx).await? > 0 || !session::use_setup_link(tx, link, now).await? {
        return Ok(None);
    }
    let sql = "SELECT id FROM monsys_tenants() WHERE name = $1";
    let existing = tx.first(sql, &[&name.as_str()]).await?;
    let existing: Option<TenantId> = existing.map(|row| row.try_get(0)).transpose()?;
    let tenant = existing.unwrap_or(user.tenant);
    tx.enter(tenant).await?;
    if existing.is_none() {
        insert_tenant(tx, tenant, name).await?;
    }
    let user = NewUser { tenant, ..user };
    let holder = insert_user(tx, &user, Author::Hub).await?;
    session::open(tx, holder, digest, (now, expires_at)).await
}

/// The login name of the user that closes findings by itself; it cannot log in.
const SERVICE_USER: &str = "integrity-worker@monsys.invalid";

/// What the hub is called where it speaks of itself.
const HUB_AGENT: &str = "monsys-hub";
