//! The store for more than one machine: PostgreSQL, which any number of hubs share.
//!
//! What: the storage contract of `monsys-core`, and the hub's own accounts. What not: decisions.
//! Every transaction runs as the role `monsys_app`, which owns nothing and sees the rows of the one
//! tenant that the transaction has set: forced row-level security is the fence behind the
//! `tenant_id` that every statement names itself. What must cross the tenants goes through a short
//! list of functions in the schema.
//!
//! Positions and nonces are decided under the lock of the agent's row, so that one agent's payloads
//! follow each other whichever hubs they come to. A transaction that meets another, or whose
//! connection breaks, runs again; one that may have been committed runs again only where it can
//! tell that it was.
//!
//! Prepared statements and `SET ROLE` belong to a connection, so a pooler between hub and server
//! must keep sessions apart.

mod account;
mod action;
mod agent;
mod anomaly;
mod api_token;
mod archive;
pub(crate) mod auditor;
#[cfg(test)]
#[allow(dead_code, reason = "the tests over HTTP use other parts of it")]
#[path = "../../../tests/support/postgres.rs"]
pub(crate) mod cluster;
mod column;
mod credential;
mod cycle;
mod cycle_record;
mod enrolment;
mod fault;
mod fleet;
mod horizon;
mod ingest;
mod ledger;
mod maintenance;
mod migrate;
mod nonce;
mod owner;
mod partition;
mod person;
mod place;
mod refresh;
mod row_values;
mod sample;
mod session;
mod signal;
mod signal_store;
#[cfg(test)]
mod tests;
mod tls;
mod transaction;

use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use monsys_core::time::Timestamp;

pub use self::migrate::OpenError;
pub use self::place::{PlaceError, PostgresPlace};
use super::SchemaVersion;

/// One PostgreSQL database, shared by all hubs that name it.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
}

impl PostgresStore {
    /// Opens a store, making and migrating an empty one; `owner` is who may do that, where the
    /// login of `place` may not.
    ///
    /// # Errors
    /// When it is not reached, is of another schema, or would not fence the tenants.
    pub async fn open(
        place: &PostgresPlace,
        owner: Option<&PostgresPlace>,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        migrate::migrate_empty(place, owner, now).await?;
        let store = Self { pool: pool(place)? };
        store.check_fence().await?;
        let made = partition::make_ahead(&store.pool, now).await;
        made.map_err(|error| OpenError::Refused(error.to_string()))?;
        Ok(store)
    }

    /// Tells whether there is no store yet.
    pub(crate) async fn is_empty(place: &PostgresPlace) -> Result<bool, OpenError> {
        migrate::is_empty(place).await
    }

    /// Brings a store of any earlier schema to the newest one.
    pub(crate) async fn migrate(place: &PostgresPlace, now: Timestamp) -> Result<(), OpenError> {
        migrate::migrate(place, now).await
    }

    /// Tells which schema a database has.
    pub(crate) async fn schema(place: &PostgresPlace) -> Result<SchemaVersion, OpenError> {
        migrate::schema(place).await
    }

    /// Refuses a database whose schema is not the newest.
    async fn require_newest(place: &PostgresPlace) -> Result<(), OpenError> {
        migrate::require_newest(place).await
    }

    /// Refuses to work on tables that are not fenced for the role it works as.
    async fn check_fence(&self) -> Result<(), OpenError> {
        let connection = self.pool.get().await.map_err(|error| {
            OpenError::Refused(format!("no connection as a member of monsys_app: {error}"))
        })?;
        let sql = "SELECT current_user = 'monsys_app' AND row_security_active('public.agents') \
                   AND row_security_active('public.integrity_anomalies')";
        let is_fenced: bool = connection.query_one(sql, &[]).await?.get(0);
        if is_fenced {
            Ok(())
        } else {
            Err(OpenError::Unfit(
                "the role monsys_app to be subject to row-level security: without SUPERUSER and \
                 BYPASSRLS",
            ))
        }
    }
}

fn pool(place: &PostgresPlace) -> Result<Pool, OpenError> {
    let recycling_method = RecyclingMethod::Fast;
    let config = ManagerConfig { recycling_method };
    let manager = Manager::from_config(place.config().clone(), place.tls(), config);
    let become_app = Hook::async_fn(|client: &mut ClientWrapper, _| {
        Box::pin(async move {
            let became = client.batch_execute(BECOME_APP).await;
            became.map_err(HookError::Backend)
        })
    });
    Pool::builder(manager)
        .max_size(place.connections_max())
        .wait_timeout(Some(WAIT_MAX))
        .create_timeout(Some(WAIT_MAX))
        .recycle_timeout(Some(WAIT_MAX))
        .post_create(become_app)
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|_| OpenError::Unfit("a pool of connections"))
}

/// What every connection does first. It gives up all rights but those of the application. A commit
/// is durable before it is answered, whatever the login's default. What hangs ends by itself.
const BECOME_APP: &str = "SET ROLE monsys_app; SET search_path = public; SET timezone = 'UTC'; \
    SET statement_timeout = '30s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '30s'; SET jit = off; \
    SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";
/// How long a transaction waits for a connection before it is refused.
const WAIT_MAX: Duration = Duration::from_secs(5);
