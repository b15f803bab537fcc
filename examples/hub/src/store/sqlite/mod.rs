//! The embedded store: SQLite in WAL mode, one writer thread with group commit, each flushed to the disk
//! before it is answered.
//!
//! What: the storage contract of `monsys-core`, and the hub's own accounts. What not: decisions.
//! Writes queue up for one thread, which runs as many as are waiting in one transaction and answers them
//! after the commit is durable. Reads run beside it on a few
//! connections that cannot write, and wait for one of them; who sent a payload is looked up on some of
//! their own, so that no long read of a page holds an agent up. The last hour of metrics is kept in memory for the cycle. None of them can change the schema or lose a row of the ledger.

mod account;
mod action;
mod activity;
mod agent;
mod anomaly;
mod api_token;
pub(crate) mod archive;
mod column;
mod credential;
mod cycle;
mod cycle_record;
mod doctor;
mod enrolment;
mod fleet;
mod flush;
mod guard;
mod ingest;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod log;
mod maintenance;
mod migrate;
mod nonce;
mod person;
mod refresh;
mod rings;
#[cfg(test)]
mod rings_tests;
mod sample;
mod sender;
mod session;
mod signal;
mod snapshot;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use monsys_core::store::{StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Semaphore;

use self::flush::{Flusher, Health};
use self::log::Log;
pub use self::migrate::OpenError;
use self::rings::{MetricChange, Rings};
use self::sender::Senders;
use self::writer::Writer;
use super::SchemaVersion;
use super::look_up::QUERIES_MAX;
use crate::doctor::Check;

/// One SQLite file, shared by all of a hub.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    senders: Senders,
    rings: Arc<Rings>,
}

struct Readers {
    file: PathBuf,
    /// One for each connection there may be: to open one for a single read costs many times the read.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens a store, making and migrating an empty one.
    ///
    /// # Errors
    /// When the file is no store of this schema, or cannot be read and written.
    pub fn open(file: &Path) -> Result<Self, OpenError> {
        let mut connection = open_writable(file)?;
        migrate::migrate_empty(&connection)?;
        // From here on the flusher makes commits durable.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", log::KEPT_BYTES)?;
        guard::guard(&mut connection)?;
        Self::start(file, connection)
    }

    /// Brings a store of any earlier schema to the newest one, making an empty one.
    pub(crate) fn migrate(file: &Path) -> Result<(), OpenError> {
        migrate::migrate(&open_writable(file)?)
    }

    /// Tells which schema a store has; where there is no file, none.
    pub(crate) fn schema(file: &Path) -> Result<SchemaVersion, OpenError> {
        if matches!(file.try_exists(), Ok(false)) {
            return Ok(migrate::NO_STORE);
        }
        migrate::schema(&open_read_only(file)?)
    }

    /// Makes the checks of a file; nothing of it changes.
    pub(crate) fn examine(file: &Path, now: Timestamp) -> Vec<Check> {
        doctor::examine(file, now)
    }

    fn start(file: &Path, mut connection: Connection) -> Result<Self, OpenError> {
        let readers = Readers::new(file, READERS_MAX);
        let senders = Senders::new(Readers::new(file, LOOK_UPS_MAX));
        let rings = Arc::new(Rings::new(readers.open()?, &connection));
        let health = Health::default();
        let log = Log::take_over(file, &mut connection, &health)?;
        let flusher = Flusher::start(file, &health)?;
        Ok(Self {
            writer: Writer::start(connection, log, flusher, Arc::clone(&rings))?,
            readers: Arc::new(readers),
            senders,
            rings,
        })
    }

    /// Returns of how many agents the last hour is in memory, and how many bytes that takes.
    pub fn windows_in_memory(&self) -> (usize, usize) {
        self.rings.hold().size()
    }

    /// Runs a change in a transaction of its own or of its neighbours; the future is ready when
    /// it is durable.
    fn write<T, F>(&self, mut change: F) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_metrics(move |connection, _| change(connection))
    }

    /// Runs a change that says what it changes of metrics; the rings follow when it is committed.
    fn write_metrics<T, F>(&self, change: F) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&Connection, &mut Vec<MetricChange>) -> Result<T, StoreError> + Send + 'static,
    {
        Box::pin(self.writer.run(change))
    }

    /// Runs a read on a connection that cannot write.
    fn read<T, F>(&self, query: F) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Box::pin(Arc::clone(&self.readers).run(query))
    }
}

impl Readers {
    fn new(file: &Path, n_places: usize) -> Self {
        Self {
            file: file.to_owned(),
            places: Arc::new(Semaphore::new(n_places)),
            idle: Mutex::new(Vec::new()),
        }
    }

    async fn run<T, F>(self: Arc<Self>, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        // Always found: nobody closes the semaphore.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            let connection = self.take()?;
            let answer = query(&connection);
            self.give_back(connection);
            drop(place);
            answer
        });
        task.await.unwrap_or(Err(StoreError::Unavailable))
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.open().map_err(|e| column::store_error(&e)),
        }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let mut connection = open_read_only(&self.file)?;
        guard::guard(&mut connection)?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(connection);
    }
}

fn open_writable(file: &Path) -> Result<Connection, OpenError> {
    make_private(file)?;
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    enter_wal_mode(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Makes the file, where there is none, readable for its owner only; its companions take over its mode.
///
/// A file that is there is not even opened: closing it would end all locks that this process has on it,
/// of all connections, and the next program that looked into the store would fold its log, delete it,
/// and leave the hub writing into a file without a name.
fn make_private(file: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    match options.create_new(true).write(true).mode(0o600).open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(OpenError::File(error))
        }
        _ => Ok(()),
    }
}

/// The one statement that SQLite does not let wait for another process: it answers "locked" at once
/// where two open an empty store together.
fn enter_wal_mode(connection: &Connection) -> rusqlite::Result<()> {
    let patience = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if is_busy(&error) && Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            entered => return entered,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    let busy = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error
        .sqlite_error_code()
        .is_some_and(|code| busy.contains(&code))
}

fn open_read_only(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Keeps statements as they were prepared. Left to itself, SQLite plans many of them anew for each value
/// that is bound, which may say which index is the better one; here it never does.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// What the writer keeps of the store in memory. Each payload touches three pages of its agent, which
/// at ten thousand agents are more than the 2 MiB that SQLite keeps by itself.
const WRITER_CACHE_KIB: i64 = 16 << 10;
/// Connections for reads at most.
const READERS_MAX: usize = 8;
/// Connections for looking up senders at most: agents and devices have queries of their own.
const LOOK_UPS_MAX: usize = 2 * QUERIES_MAX;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use monsys_core::id::{AgentId, TenantId, UserId};
    use monsys_core::name::DisplayName;
    use monsys_core::store::conformance::{BlockOn, Fixture, suite};
    use monsys_core::store::{AgentStore as _, TokenDigest};
    use rusqlite::{StatementStatus, params};

    use super::*;
    use crate::store::{AccountStore, Author, NewUser, Role};

    struct Runtime(tokio::runtime::Runtime);

    impl BlockOn for Runtime {
        fn block_on<T>(&self, future: StoreFuture<'_, T>) -> Result<T, StoreError> {
            self.0.block_on(future)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reads_that_come_together_share_a_few_connections() {
        let directory = std::env::temp_dir().join(format!("monsys-reads-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let store = SqliteStore::open(&directory.join("reads.db")).unwrap();
        let token = TokenDigest([0; 32]);
        let asked: Vec<_> = (0..500)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    assert_eq!(store.agent_by_token(&token).await, Ok(None));
                    assert_eq!(store.meta("hub_id").await, Ok(None));
                })
            })
            .collect();
        for reads in asked {
            reads.await.unwrap();
        }
        let opened = |readers: &Readers| readers.idle.lock().unwrap().len();
        assert!((1..=READERS_MAX).contains(&opened(&store.readers)));
        store.close();
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn no_statement_is_planned_anew_for_the_values_it_is_given() {
        let directory = std::env::temp_dir().join(format!("monsys-plan-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("plan.db");
        let writer = open_writable(&file).unwrap();
        migrate::migrate(&writer).unwrap();
        let sql = "INSERT INTO tenants (id, name, created_at) VALUES (?1, 'one', '')";
        let tenant = TenantId::from_random_bytes([0; 16]).to_string();
        writer.execute(sql, [&tenant]).unwrap();
        for n in 1..=10 {
            let agent = AgentId::from_random_bytes([n; 16]).to_string();
            let sql = "INSERT INTO agents (id, tenant_id, name, token_digest, pin_until, \
                       enrolled_at, positions) \
                       VALUES (?1, ?2, ?1, ?3, '2026-01-01T00:00:00Z', '', x'')";
            writer
                .execute(sql, params![agent, tenant, [n; 32].as_slice()])
                .unwrap();
        }
        for connection in [writer, open_read_only(&file).unwrap()] {
            for n in 1..=10 {
                let found = sender::by_token(&connection, &TokenDigest([n; 32]));
                assert!(found.unwrap().is_some());
            }
            let asked = connection.prepare_cached(sender::BY_TOKEN).unwrap();
            assert_eq!(asked.get_status(StatementStatus::Run), 10);
            assert_eq!(asked.get_status(StatementStatus::RePrepare), 0);
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn sqlite_passes_the_conformance_suite() {
        let directory = std::env::temp_dir().join(format!("monsys-suite-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let store = SqliteStore::open(&directory.join("suite.db")).unwrap();
        let wait = Runtime(tokio::runtime::Runtime::new().unwrap());
        let tenants = [1, 2].map(|n| TenantId::from_random_bytes([n; 16]));
        for (tenant, name) in tenants.into_iter().zip(["one", "other"]) {
            let name = DisplayName::parse(name).unwrap();
            wait.block_on(store.add_tenant(tenant, name)).unwrap();
        }
        let user = UserId::from_random_bytes([3; 16]);
        let (email, role) = ("a@example.invalid".to_owned(), Role::Admin);
        let new = NewUser {
            user,
            tenant: tenants[0],
            email,
            role,
            password: None,
        };
        wait.block_on(store.add_user(new, Author::Hub)).unwrap();
        suite(&Fixture {
            store: &store,
            tenants,
            user,
            wait: &wait,
        });
        store.close();
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
