//! Roles and schema versions.
//!
//! Roles belong to the cluster, so two databases that are made at once meet there; that part runs
//! by itself and again where another was quicker. The schema of one database is one transaction
//! under a lock of that database.

use std::time::Duration;

use monsys_core::time::Timestamp;
use std::error::Error as _;

use thiserror::Error;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::partition;
use super::place::PostgresPlace;
use crate::store::SchemaVersion;

/// Why a database was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No connection.
    #[error("database not reached: {0}")]
    Away(String),
    /// The database said no.
    #[error("database not opened: {0}")]
    Refused(String),
    /// The database is not one that this program may work on.
    #[error("database not opened: expected {0}")]
    Unfit(&'static str),
    /// Written by an older version.
    #[error("the store has schema {found}, expected {NEWEST}: run `monsys-hub migrate`")]
    Older {
        /// Its schema.
        found: i32,
    },
    /// Written by a newer version.
    #[error("the store has schema {found}, this program knows {NEWEST}: run a newer monsys-hub")]
    Newer {
        /// Its schema.
        found: i32,
    },
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refused) => Self::Refused(refused.message().to_owned()),
            // What the certificate lacks, or why nobody answers, is the cause.
            None => Self::Away(
                error
                    .source()
                    .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
            ),
        }
    }
}

/// The schema this program writes: the number of entries in [`SCRIPTS`].
const NEWEST: i32 = 1;

const SCRIPTS: [&str; 1] = [concat!(
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0001_rights.sql")
)];

const ROLES: &str = include_str!("migrations/roles.sql");

/// Brings an empty database to the newest schema; refuses any other that is not the newest.
pub(super) async fn migrate_empty(
    place: &PostgresPlace,
    owner: Option<&PostgresPlace>,
    now: Timestamp,
) -> Result<(), OpenError> {
    let client = connect(place).await?;
    match version(&client).await? {
        NEWEST => Ok(()),
        0 => migrate(owner.unwrap_or(place), now).await,
        found if found < NEWEST => Err(OpenError::Older { found }),
        found => Err(OpenError::Newer { found }),
    }
}

/// Tells whether a database has no schema of ours.
pub(super) async fn is_empty(place: &PostgresPlace) -> Result<bool, OpenError> {
    Ok(version(&connect(place).await?).await? == 0)
}

/// Tells which schema a database has; refuses one of a newer program.
pub(super) async fn schema(place: &PostgresPlace) -> Result<SchemaVersion, OpenError> {
    match version(&connect(place).await?).await? {
        found if found > NEWEST => Err(OpenError::Newer { found }),
        found => Ok(SchemaVersion {
            found: found.into(),
            newest: NEWEST.into(),
        }),
    }
}

/// Refuses a database whose schema is not the newest.
pub(super) async fn require_newest(place: &PostgresPlace) -> Result<(), OpenError> {
    match version(&connect(place).await?).await? {
        NEWEST => Ok(()),
        0 => Err(OpenError::Unfit("the database of a hub")),
        found if found < NEWEST => Err(OpenError::Older { found }),
        found => Err(OpenError::Newer { found }),
    }
}

/// Brings a database of any earlier schema to the newest one.
pub(super) async fn migrate(place: &PostgresPlace, now: Timestamp) -> Result<(), OpenError> {
    let client = connect(place).await?;
    make_roles(&client).await?;
    client
        .batch_execute(
            "BEGIN; SET LOCAL ROLE monsys_owner; SET LOCAL search_path = public; \
             SET LOCAL timezone = 'UTC'; SELECT pg_advisory_xact_lock(7110611, 0)",
        )
        .await?;
    // Another program may have been quicker between the look and the lock.
    let found = version(&client).await?;
    if found > NEWEST {
        return Err(OpenError::Newer { found });
    }
    let done = usize::try_from(found).unwrap_or_default();
    for (script, number) in SCRIPTS.iter().zip(1_i32..).skip(done) {
        client.batch_execute(script).await?;
        let sql = "INSERT INTO monsys_schema (version) VALUES ($1)";
        client.execute(sql, &[&number]).await?;
    }
    for (table, (first, last)) in partition::ahead(now) {
        client
            .execute(partition::MAKE, &[&table.name(), &first, &last])
            .await?;
    }
    Ok(client.batch_execute("COMMIT").await?)
}

/// A connection with the rights of its login.
pub(super) async fn connect(place: &PostgresPlace) -> Result<Client, OpenError> {
    let (client, connection) = place.config().connect(place.tls()).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "a connection to the database broke");
        }
    });
    let encoding = client.query_one("SHOW server_encoding", &[]).await?;
    if encoding.get::<_, &str>(0) != "UTF8" {
        return Err(OpenError::Unfit("a database in the encoding UTF8"));
    }
    Ok(client)
}

async fn version(client: &Client) -> Result<i32, OpenError> {
    let sql = "SELECT to_regclass('public.monsys_schema') IS NOT NULL";
    if !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0) FROM public.monsys_schema";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Makes the roles, or finds that another database of the cluster made them at the same moment:
/// then the catalogue says that a name is taken (23505, 42710), or that a row was changed under it
/// ("tuple concurrently updated", which has no code of its own).
async fn make_roles(client: &Client) -> Result<(), OpenError> {
    let races = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_OBJECT,
        SqlState::INTERNAL_ERROR,
    ];
    for n_try in 1..=ROLE_TRIES {
        match client.batch_execute(ROLES).await {
            Ok(()) => return Ok(()),
            Err(error) if error.code().is_some_and(|code| races.contains(code)) => {
                tokio::time::sleep(Duration::from_millis(10) * n_try).await;
            }
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Err(OpenError::Unfit(
                    "MONSYS_MIGRATE_URL to log in as one who may make the roles monsys_owner, \
                     monsys_app and monsys_auditor, or as a member of monsys_owner",
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(OpenError::Unfit("a cluster in which roles can be made"))
}

/// How often the roles are tried; each loser of a race is one winner nearer to its turn.
const ROLE_TRIES: u32 = 40;
