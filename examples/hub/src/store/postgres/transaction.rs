//! Named transactions: begun for one tenant, retried where that is right, always ended.
//!
//! The tenant is set by a statement of its own, `SET LOCAL` with an identifier that this program
//! formats itself: a function call would not reach the shards of a distributed database. A
//! transaction runs in a task, so that a caller who goes away in the middle costs no connection; a
//! connection whose transaction did not end in order is closed and never used again.
//!
//! Statements that need no answer of each other are sent together: the beginning with the first
//! ones, the last ones with the commit. The server carries them out in the order in which they were
//! sent, so what follows a lock is read after it was taken, and after one that fails it refuses all
//! that follow. An emission waits twice, a group of payloads of one tenant as well, however many
//! they are.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use monsys_core::id::TenantId;
use monsys_core::store::{StoreError, StoreFuture};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::PostgresStore;
use super::fault::Fault;
use super::partition::{self, Slice};
use super::row_values::RowValues;

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
    /// Whether it committed with its last rows.
    is_committed: AtomicBool,
    /// Whether an earlier try of the same transaction may have been committed.
    pub(super) is_repeated: bool,
}

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One of several queries that are sent together.
pub(super) type Query<'a> = (&'a str, Parameters<'a>);

/// What a transaction does between its beginning and its end.
pub(super) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 't>>;

impl Tx {
    async fn on_connection(pool: &Pool, is_repeated: bool) -> Result<Self, Fault> {
        let connection = pool.get().await.map_err(|error| {
            tracing::error!(%error, "no connection to the database");
            Fault::Away
        })?;
        Ok(Self {
            connection: Some(connection),
            is_committed: AtomicBool::new(false),
            is_repeated,
        })
    }

    async fn begin(&self, plan: &Plan) -> Result<(), Fault> {
        Ok(self.connection()?.batch_execute(&plan.beginning()).await?)
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

    /// All rows of some queries, which are sent together and carried out in their order.
    pub(super) async fn all_rows(&self, queries: &[Query<'_>]) -> Result<Vec<Vec<Row>>, Fault> {
        let connection = self.connection()?;
        // All before the first is sent: none may overtake one that has to be prepared.
        let mut prepared = Vec::with_capacity(queries.len());
        for (sql, of) in queries {
            prepared.push((connection.prepare_cached(sql).await?, *of));
        }
        let asked = prepared
            .iter()
            .map(|(statement, of)| connection.query(statement, of));
        let mut answers = Vec::with_capacity(queries.len());
        for answer in together(asked).await {
            answers.push(answer?);
        }
        Ok(answers)
    }

    /// Writes rows by statements that are sent together and carried out in their order.
    pub(super) async fn write(&self, rows: &[RowValues<'_>]) -> Result<(), Fault> {
        let connection = self.connection()?;
        let statements = self.statements(rows).await?;
        let writing = statements
            .iter()
            .map(|(statement, of)| connection.execute(statement, of));
        for written in together(writing).await {
            written?;
        }
        Ok(())
    }

    /// Writes the last rows of the transaction, and commits.
    pub(super) async fn write_and_commit(&self, rows: &[RowValues<'_>]) -> Result<(), Fault> {
        let connection = self.connection()?;
        let statements = self.statements(rows).await?;
        let writing = statements
            .iter()
            .map(|(statement, of)| connection.execute(statement, of));
        let (written, committed) = tokio::join!(
            biased;
            together(writing),
            connection.batch_execute("COMMIT")
        );
        for outcome in written {
            let Err(error) = outcome else { continue };
            // The server says why it refuses a row, or goes before the commit that follows. Where
            // it says nothing, the commit may have been carried out.
            let is_answered = error.as_db_error().is_some();
            return Err(if is_answered {
                Fault::from(error)
            } else {
                unknown_where_lost(error)
            });
        }
        committed.map_err(unknown_where_lost)?;
        self.is_committed.store(true, Ordering::Relaxed);
        Ok(())
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
        if self.is_committed.load(Ordering::Relaxed) {
            drop(self.connection.take());
            return Ok(());
        }
        let committed = self.connection()?.batch_execute("COMMIT").await;
        committed.map_err(unknown_where_lost)?;
        // In order: the connection goes back to the pool.
        drop(self.connection.take());
        Ok(())
    }

    async fn roll_back(mut self) {
        let Ok(connection) = self.connection() else {
            return;
        };
        if connection.batch_execute("ROLLBACK").await.is_ok() {
            drop(self.connection.take());
        }
    }

    async fn statements<'v>(
        &self,
        rows: &'v [RowValues<'_>],
    ) -> Result<Vec<(Statement, Vec<&'v (dyn ToSql + Sync)>)>, Fault> {
        let connection = self.connection()?;
        let mut statements = Vec::new();
        for (sql, values) in rows.iter().flat_map(RowValues::statements) {
            statements.push((connection.prepare_cached(sql).await?, values));
        }
        Ok(statements)
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
        run_on(self.pool.clone(), plan, slices, work)
    }
}

/// Runs a transaction on a connection of a pool, as a store does.
pub(super) fn run_on<T, F, S>(pool: Pool, plan: Plan, slices: S, work: F) -> StoreFuture<'static, T>
where
    T: Send + 'static,
    F: for<'t> Fn(&'t Tx) -> Work<'t, T> + Send + Sync + 'static,
    S: Fn() -> Vec<Slice> + Send + Sync + 'static,
{
    Box::pin(async move {
        let task = tokio::spawn(async move { tries(&pool, plan, &slices, &work).await });
        let ended = task.await;
        // A panic in the task was reported by the runtime; its connection is gone.
        ended.unwrap_or(Err(StoreError::Unavailable))
    })
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
    let tx = Tx::on_connection(pool, is_repeated).await?;
    // The beginning goes out first, and the first statements behind it.
    let (begun, worked) = tokio::join!(biased; tx.begin(plan), work(&tx));
    begun?;
    match worked {
        Ok(answer) => tx.commit().await.map(|()| answer),
        Err(fault) => {
            tx.roll_back().await;
            Err(fault)
        }
    }
}

/// Why a commit failed.
fn unknown_where_lost(error: tokio_postgres::Error) -> Fault {
    let fault = Fault::from(error);
    if matches!(fault, Fault::Lost) {
        Fault::Unknown
    } else {
        fault
    }
}

/// Runs futures side by side: each is begun in its turn, then each is waited for.
async fn together<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut begun = Vec::new();
    for future in futures {
        let mut future = Box::pin(future);
        let first = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        begun.push((future, first));
    }
    let mut outputs = Vec::with_capacity(begun.len());
    for (future, first) in begun {
        outputs.push(match first {
            Poll::Ready(output) => output,
            Poll::Pending => future.await,
        });
    }
    outputs
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
