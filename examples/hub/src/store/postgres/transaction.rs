//! Named transactions: begun for one tenant, retried where that is right, always ended.
//!
//! The tenant is set by a statement of its own, `SET LOCAL` with an identifier that this program
//! formats itself: a function call would not reach the shards of a distributed database. A
//! transaction runs in a task, so that a caller who goes away in the middle costs no connection; a
//! connection whose transaction did not end in order is closed and never used again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use monsys_core::id::TenantId;
use monsys_core::store::{StoreError, StoreFuture};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::PostgresStore;
use super::fault::Fault;
use super::partition::{self, Slice};

/// What a transaction is called in logs, whose rows it may see, and what it may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    name: &'static str,
    tenant: Option<TenantId>,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
    /// A write that finds out by itself whether it was carried out before.
    RepeatableWrite,
}

impl Plan {
    /// Reads rows of one tenant.
    pub(super) const fn read(name: &'static str, tenant: TenantId) -> Self {
        Self::new(name, Some(tenant), Mode::Read)
    }

    /// Changes rows of one tenant.
    pub(super) const fn write(name: &'static str, tenant: TenantId) -> Self {
        Self::new(name, Some(tenant), Mode::Write)
    }

    /// Reads what belongs to the hub itself, or what crosses the tenants.
    pub(super) const fn read_hub(name: &'static str) -> Self {
        Self::new(name, None, Mode::Read)
    }

    /// Changes what belongs to the hub itself, or enters a tenant that it has to find first.
    pub(super) const fn write_hub(name: &'static str) -> Self {
        Self::new(name, None, Mode::Write)
    }

    /// The same, for a transaction that may run again when it is not known whether it committed.
    pub(super) const fn repeatable(self) -> Self {
        Self::new(self.name, self.tenant, Mode::RepeatableWrite)
    }

    const fn new(name: &'static str, tenant: Option<TenantId>, mode: Mode) -> Self {
        Self { name, tenant, mode }
    }

    fn beginning(&self) -> String {
        let begin = match self.mode {
            Mode::Read => "BEGIN READ ONLY",
            Mode::Write | Mode::RepeatableWrite => "BEGIN",
        };
        self.tenant.map_or_else(
            || begin.to_owned(),
            |tenant| format!("{begin}; {}", entering(tenant)),
        )
    }
}

/// The statement that makes a transaction see the rows of one tenant. An identifier is written as
/// hexadecimal digits and hyphens, so nothing of it can end the literal.
fn entering(tenant: TenantId) -> String {
    format!("SET LOCAL app.current_tenant = '{tenant}'")
}

/// A transaction that is under way.
pub(super) struct Tx {
    connection: Option<Object>,
    /// Whether an earlier try of the same transaction may have been committed.
    pub(super) is_repeated: bool,
}

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What a transaction does between its beginning and its end.
pub(super) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 't>>;

impl Tx {
    async fn begin(pool: &Pool, plan: &Plan, is_repeated: bool) -> Result<Self, Fault> {
        let connection = pool.get().await.map_err(|error| {
            tracing::error!(%error, "no connection to the database");
            Fault::Away
        })?;
        let tx = Self {
            connection: Some(connection),
            is_repeated,
        };
        tx.connection()?.batch_execute(&plan.beginning()).await?;
        Ok(tx)
    }

    /// Sees the rows of this tenant from here on, and of no other.
    pub(super) async fn enter(&self, tenant: TenantId) -> Result<(), Fault> {
        Ok(self.connection()?.batch_execute(&entering(tenant)).await?)
    }

    /// All rows of a query.
    pub(super) async fn rows(&self, sql: &str, of: Parameters<'_>) -> Result<Vec<Row>, Fault> {
        let connection = self.connection()?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.query(&statement, of).await?)
    }

    /// The first row of a query, if there is one.
    pub(super) async fn first(&self, sql: &str, of: Parameters<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, of).await?.into_iter().next())
    }

    /// The row of a query that always has one.
    pub(super) async fn one(&self, sql: &str, of: Parameters<'_>) -> Result<Row, Fault> {
        self.first(sql, of)
            .await?
            .ok_or(Fault::Answer(StoreError::Damaged))
    }

    /// Changes rows and tells how many.
    pub(super) async fn execute(&self, sql: &str, of: Parameters<'_>) -> Result<u64, Fault> {
        let connection = self.connection()?;
        let statement = connection.prepare_cached(sql).await?;
        Ok(connection.execute(&statement, of).await?)
    }

    async fn commit(mut self) -> Result<(), Fault> {
        let committed = self.connection()?.batch_execute("COMMIT").await;
        match committed.map_err(Fault::from) {
            Ok(()) => {
                // In order: the connection goes back to the pool.
                drop(self.connection.take());
                Ok(())
            }
            Err(Fault::Lost) => Err(Fault::Unknown),
            Err(fault) => Err(fault),
        }
    }

    async fn roll_back(mut self) {
        let Ok(connection) = self.connection() else {
            return;
        };
        if connection.batch_execute("ROLLBACK").await.is_ok() {
            drop(self.connection.take());
        }
    }

    fn connection(&self) -> Result<&Object, Fault> {
        self.connection.as_ref().ok_or(Fault::Lost)
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Still here: the transaction did not end in order, and its connection must not come back.
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

impl PostgresStore {
    /// Runs a transaction to its end.
    pub(super) fn run<T, F>(&self, plan: Plan, work: F) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> Work<'t, T> + Send + Sync + 'static,
    {
        self.run_in_slices(plan, Vec::new, work)
    }

    /// Runs a transaction that writes rows into time slices, which are made if they are missing.
    pub(super) fn run_in_slices<T, F, S>(
        &self,
        plan: Plan,
        slices: S,
        work: F,
    ) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> Work<'t, T> + Send + Sync + 'static,
        S: Fn() -> Vec<Slice> + Send + Sync + 'static,
    {
        let pool = self.pool.clone();
        Box::pin(async move {
            let task = tokio::spawn(async move { tries(&pool, plan, &slices, &work).await });
            let ended = task.await;
            // A panic in the task was reported by the runtime; its connection is gone.
            ended.unwrap_or(Err(StoreError::Unavailable))
        })
    }
}

async fn tries<T>(
    pool: &Pool,
    plan: Plan,
    slices: &(impl Fn() -> Vec<Slice> + Sync),
    work: &(impl for<'t> Fn(&'t Tx) -> Work<'t, T> + Sync),
) -> Result<T, StoreError> {
    let mut is_repeated = false;
    for wait in WAITS {
        let fault = match once(pool, &plan, is_repeated, work).await {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        match fault {
            Fault::Conflict | Fault::Lost => {}
            Fault::Unknown if plan.mode == Mode::RepeatableWrite => is_repeated = true,
            Fault::NoPartition => partition::make(pool, &slices()).await?,
            Fault::Answer(_) | Fault::Unknown | Fault::Away => return Err(fault.into_store_error()),
        }
        tracing::warn!(
            transaction = plan.name,
            ?fault,
            "a transaction is tried again"
        );
        tokio::time::sleep(wait).await;
    }
    let last = once(pool, &plan, is_repeated, work).await;
    last.map_err(Fault::into_store_error)
}

async fn once<T>(
    pool: &Pool,
    plan: &Plan,
    is_repeated: bool,
    work: &(impl for<'t> Fn(&'t Tx) -> Work<'t, T> + Sync),
) -> Result<T, Fault> {
    let tx = Tx::begin(pool, plan, is_repeated).await?;
    match work(&tx).await {
        Ok(answer) => tx.commit().await.map(|()| answer),
        Err(fault) => {
            tx.roll_back().await;
            Err(fault)
        }
    }
}

/// How long a transaction waits before it is tried again; after the last it is given up.
const WAITS: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(40),
    Duration::from_millis(150),
    Duration::from_millis(400),
];

/// What a transaction keeps beyond the call that asked for it.
pub(super) fn shared<T: Clone>(items: &[T]) -> Arc<[T]> {
    items.into()
}
