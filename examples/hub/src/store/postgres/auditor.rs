//! Which organisations a login role may read.
//!
//! An auditor logs in as a role of its own, which the owner of the server makes. Two things let it
//! read: membership in `monsys_auditor`, which has the tables, and a row here, which has the
//! organisation. Taking a grant back removes the row; the membership stays, because it is that of
//! the whole server and shows nothing without a row.

use monsys_core::id::TenantId;
use thiserror::Error;
use tokio_postgres::Client;

use super::migrate::{self, OpenError};
use super::owner;
use super::place::PostgresPlace;
use crate::clock::wall_now;

/// Why nothing was granted or taken back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum AuditorError {
    /// The database could not be opened, or said no.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// No organisation of this name.
    #[error("no organisation {0:?}: expected one of `monsys-hub org list`")]
    UnknownOrg(String),
    /// No role of this name.
    #[error(
        "no role {0:?}: expected one that the owner of the server has made, and that may log in"
    )]
    UnknownRole(String),
    /// The policies go by who logged in.
    #[error("role {0:?} may not log in: expected one that does")]
    NoLogin(String),
    /// The fence does not hold the role.
    #[error(
        "role {0:?} is held by no policy: expected one without SUPERUSER, BYPASSRLS and CREATEROLE \
         that is no member of monsys_owner, of monsys_app, or of a role of the server that reads \
         all data, writes it, or reaches files and programs"
    )]
    Unfenced(String),
    /// There is nothing to take back.
    #[error("role {role:?} may not read {org:?}: expected one that was granted it")]
    NotGranted {
        /// Which role.
        role: String,
        /// Which organisation.
        org: String,
    },
}

impl From<tokio_postgres::Error> for AuditorError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Open(error.into())
    }
}

/// Lets a role read an organisation; once more changes nothing. Tells whether it is new.
pub(crate) async fn grant(
    place: &PostgresPlace,
    role: &str,
    org: &str,
) -> Result<bool, AuditorError> {
    migrate::require_newest(place).await?;
    let client = owner::begin(place, "BEGIN").await?;
    let tenant = tenant_named(&client, org).await?;
    let is_member = check_role(&client, role).await?;
    if !is_member {
        let sql = "SELECT format('GRANT monsys_auditor TO %I', $1::text)";
        let words: String = client.query_one(sql, &[&role]).await?.try_get(0)?;
        client.batch_execute(&words).await?;
    }
    let sql = "INSERT INTO auditor_tenants (tenant_id, role_name) VALUES ($1, $2::text) \
               ON CONFLICT DO NOTHING";
    let is_new = client.execute(sql, &[&tenant, &role]).await? > 0;
    if is_new {
        audit(&client, tenant, "auditor granted", role).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(is_new)
}

/// Takes it back. The role may be gone already; one that gets its name later shall not read.
pub(crate) async fn revoke(
    place: &PostgresPlace,
    role: &str,
    org: &str,
) -> Result<(), AuditorError> {
    migrate::require_newest(place).await?;
    let client = owner::begin(place, "BEGIN").await?;
    let tenant = tenant_named(&client, org).await?;
    let sql = "DELETE FROM auditor_tenants WHERE tenant_id = $1 AND role_name = $2::text";
    if client.execute(sql, &[&tenant, &role]).await? == 0 {
        let (role, org) = (role.to_owned(), org.to_owned());
        return Err(AuditorError::NotGranted { role, org });
    }
    audit(&client, tenant, "auditor revoked", role).await?;
    Ok(client.batch_execute("COMMIT").await?)
}

async fn tenant_named(client: &Client, org: &str) -> Result<TenantId, AuditorError> {
    let sql = "SELECT id FROM monsys_tenants() WHERE name = $1";
    let found = client.query_opt(sql, &[&org]).await?;
    let found = found.ok_or_else(|| AuditorError::UnknownOrg(org.to_owned()))?;
    Ok(found.try_get(0)?)
}

/// Makes sure that a role is one that the policies hold, and tells whether it is an auditor.
async fn check_role(client: &Client, role: &str) -> Result<bool, AuditorError> {
    // A slice has no policies of its own: nobody is given one, but who reads all data reads it. Up
    // to PostgreSQL 15 who may make roles can become the owner.
    let sql = "SELECT r.rolcanlogin, r.rolsuper OR r.rolbypassrls OR r.rolcreaterole \
               OR EXISTS (SELECT FROM pg_roles u WHERE u.rolname IN ('monsys_owner', 'monsys_app', \
               'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', \
               'pg_write_server_files', 'pg_execute_server_program') \
               AND pg_has_role(r.oid, u.oid, 'MEMBER')), \
               pg_has_role(r.oid, 'monsys_auditor', 'MEMBER') \
               FROM pg_roles r WHERE r.rolname = $1::text";
    let found = client.query_opt(sql, &[&role]).await?;
    let found = found.ok_or_else(|| AuditorError::UnknownRole(role.to_owned()))?;
    if !found.try_get::<_, bool>(0)? {
        return Err(AuditorError::NoLogin(role.to_owned()));
    }
    if found.try_get(1)? {
        return Err(AuditorError::Unfenced(role.to_owned()));
    }
    Ok(found.try_get(2)?)
}

async fn audit(
    client: &Client,
    tenant: TenantId,
    action: &str,
    role: &str,
) -> Result<(), AuditorError> {
    let sql = "INSERT INTO audit_log (tenant_id, at, actor, action, subject) \
               VALUES ($1, $2, 'hub', $3, $4)";
    client
        .execute(sql, &[&tenant, &wall_now(), &action, &role])
        .await?;
    Ok(())
}
