//! A PostgreSQL of this run's own, whose commits are synced.

use std::time::{SystemTime, UNIX_EPOCH};

use monsys_core::time::Timestamp;
use monsys_hub::store::PostgresStore;
use monsys_hub::store::postgres::PostgresPlace;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::cluster::{Cluster, Database, Durability};

/// A running server with an empty database that holds the schema of the hub, and what waits for
/// its answers.
pub struct Server {
    pub wait: Runtime,
    pub database: Database,
    cluster: Cluster,
}

impl Server {
    /// Starts one; `None` where there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        let cluster = Cluster::start_with(Durability::Synced, SETTINGS)?;
        let database = cluster.database();
        let version = database.run("SHOW server_version").concat();
        let settings = database.run(
            "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings \
             WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')",
        );
        super::progress(&format!("PostgreSQL {version}, {}", settings.concat()));
        let server = Self {
            wait: runtime(),
            database,
            cluster,
        };
        drop(server.store());
        Some(server)
    }

    /// The hub's store, with a pool of connections of its own.
    pub fn store(&self) -> PostgresStore {
        let place = PostgresPlace::parse(&self.database.url()).expect("our URL");
        let opened = PostgresStore::open(&place, None, now());
        self.wait.block_on(opened).expect("an open store")
    }

    /// A connection of the superuser, which no policy of the tables binds.
    pub fn superuser(&self) -> Client {
        self.wait.block_on(async {
            let connected = tokio_postgres::connect(&self.database.url(), NoTls).await;
            let (client, connection) = connected.expect("a connection");
            tokio::spawn(connection);
            let settings = "SET jit = off; SET synchronous_commit = on; SET timezone = 'UTC'";
            client.batch_execute(settings).await.expect("settings");
            client
        })
    }

    /// Another database, which is empty.
    pub fn another_database(&self) -> Database {
        self.cluster.database()
    }

    /// The process from which all others of the server descend.
    pub fn process(&self) -> u32 {
        let sql = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)";
        u32::try_from(self.database.number(sql)).expect("a process")
    }

    /// Lets the server take so much log before it writes a checkpoint.
    pub fn set_wal_size(&self, size: &str) {
        self.database
            .run(&format!("ALTER SYSTEM SET max_wal_size = '{size}'"));
        self.database.run("SELECT pg_reload_conf()");
    }

    /// How many checkpoints were written so far.
    pub fn checkpoints(&self) -> i64 {
        let version = self.database.number("SHOW server_version_num");
        self.database.number(if version < 170_000 {
            "SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"
        } else {
            "SELECT num_timed + num_requested FROM pg_stat_checkpointer"
        })
    }
}

/// What runs the stores, as in the hub: a thread for each processor.
pub fn runtime() -> Runtime {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    built.expect("a runtime")
}

/// Reads the wall clock.
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock that is right");
    let micros = i64::try_from(elapsed.as_micros()).expect("a clock that is right");
    Timestamp::from_unix_micros(micros).expect("a clock that is right")
}

/// Sizes for a machine that keeps what is measured in memory. Nothing that a commit waits for.
const SETTINGS: &str = "-c shared_buffers=2GB -c max_wal_size=16GB";
