//! Where the database of a hub is: a file in its directory, or what `DATABASE_URL` names.
//!
//! A URL is a secret, so `DATABASE_URL_FILE` may name a file that holds it, and no message repeats
//! it. `MONSYS_MIGRATE_URL` logs in as the owner of the schema, for `migrate` and for the first
//! start on an empty database.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::wall_now;
use crate::config::default_data_dir;
use crate::config::names::{self, find_secret};
use crate::error::{Failure, FailureKind};
use crate::server::make_private_dir;
use crate::store::postgres::PostgresPlace;
use crate::store::{HubStore, PostgresStore, SchemaVersion, SqliteStore};

/// Name of the store in the data directory.
pub(crate) const STORE_FILE: &str = "monsys.db";

/// A place where the database of a hub is, or will be.
pub(crate) enum StoreLocation {
    /// SQLite in a directory.
    Directory(PathBuf),
    /// PostgreSQL.
    Server {
        /// How the hub logs in.
        place: Box<PostgresPlace>,
        /// How the owner of the schema does, where that is another.
        owner: Option<Box<PostgresPlace>>,
    },
}

impl StoreLocation {
    /// The database that the environment names, or else the one in a directory, if none is named
    /// the usual one.
    ///
    /// # Errors
    /// A configuration failure when the environment names one that cannot be reached.
    pub(crate) fn of(data: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(server) = Self::server()? {
            return Ok(server);
        }
        let data = data.map_or_else(default_data_dir, Ok);
        Ok(Self::Directory(data?))
    }

    /// Opens so many connections at most, where the database takes connections.
    pub(crate) fn with_connections(mut self, limit: Option<NonZeroU16>) -> Self {
        if let (Self::Server { place, .. }, Some(limit)) = (&mut self, limit) {
            place.limit_connections(limit);
        }
        self
    }

    /// The PostgreSQL that the environment names.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) fn server() -> Result<Option<Self>, Failure> {
        match (
            place_named(names::DATABASE_URL)?,
            place_named(names::MIGRATE_URL)?,
        ) {
            (Some(place), owner) => Ok(Some(Self::Server { place, owner })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Failure::new(
                FailureKind::Configuration,
                "MONSYS_MIGRATE_URL is set: expected DATABASE_URL to name the same database",
            )),
        }
    }

    /// Opens the store, making and migrating an empty one.
    ///
    /// # Errors
    /// When it cannot be opened, or has another schema.
    pub(crate) async fn open(&self) -> Result<Arc<dyn HubStore>, Failure> {
        match self {
            Self::Directory(data) => {
                make_private_dir(data)?;
                match SqliteStore::open(&data.join(STORE_FILE)) {
                    Ok(store) => Ok(Arc::new(store)),
                    Err(error) => Err(Failure::from(error).about(self)),
                }
            }
            Self::Server { place, owner } => {
                let opened = PostgresStore::open(place, owner.as_deref(), wall_now()).await;
                match opened {
                    Ok(store) => Ok(Arc::new(store)),
                    Err(error) => Err(Failure::from(error).about(self)),
                }
            }
        }
    }

    /// Opens a store that is there; a mistyped name must not become an empty hub.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is none.
    pub(crate) async fn open_existing(&self) -> Result<Arc<dyn HubStore>, Failure> {
        let is_absent = match self {
            Self::Directory(data) => matches!(data.join(STORE_FILE).try_exists(), Ok(false)),
            Self::Server { place, .. } => match PostgresStore::is_empty(place).await {
                Ok(is_empty) => is_empty,
                Err(error) => return Err(Failure::from(error).about(self)),
            },
        };
        if is_absent {
            let message = match self {
                Self::Directory(_) => format!("no store at {self}: expected the --data of a hub"),
                Self::Server { .. } => {
                    format!("no store in {self}: expected the DATABASE_URL of a hub")
                }
            };
            return Err(Failure::new(FailureKind::Configuration, message));
        }
        self.open().await
    }

    /// Where the owner of the schema logs in, on PostgreSQL.
    pub(crate) fn owner(&self) -> Option<&PostgresPlace> {
        match self {
            Self::Directory(_) => None,
            Self::Server { place, owner } => Some(owner.as_ref().unwrap_or(place)),
        }
    }

    /// The SQLite file of a store that is there.
    ///
    /// # Errors
    /// When there is none, and for PostgreSQL, which copies itself by tools of its own.
    pub(crate) fn existing_file(&self) -> Result<PathBuf, Failure> {
        let file = self.file()?;
        if matches!(file.try_exists(), Ok(false)) {
            let message = format!("no store at {self}: expected the --data of a hub");
            return Err(Failure::new(FailureKind::Configuration, message));
        }
        Ok(file)
    }

    /// The SQLite file of a store, in a directory that is made if need be.
    ///
    /// # Errors
    /// As [`Self::existing_file`], which also needs the file.
    pub(crate) fn new_file(&self) -> Result<PathBuf, Failure> {
        let file = self.file()?;
        file.parent().map_or(Ok(()), make_private_dir)?;
        Ok(file)
    }

    fn file(&self) -> Result<PathBuf, Failure> {
        match self {
            Self::Directory(data) => Ok(data.join(STORE_FILE)),
            Self::Server { .. } => Err(Failure::new(
                FailureKind::Configuration,
                format!(
                    "{self}: expected SQLite, DATABASE_URL unset; PostgreSQL is copied by pg_dump \
                     and pg_restore"
                ),
            )),
        }
    }

    /// Tells which schema the store has, without changing or making one.
    ///
    /// # Errors
    /// As [`Self::open`], of a store that has a newer schema than this program knows.
    pub(crate) async fn schema(&self) -> Result<SchemaVersion, Failure> {
        match self {
            Self::Directory(data) => {
                let looked = SqliteStore::schema(&data.join(STORE_FILE));
                looked.map_err(|error| Failure::from(error).about(self))
            }
            Self::Server { place, owner } => {
                let looked = PostgresStore::schema(owner.as_ref().unwrap_or(place)).await;
                looked.map_err(|error| Failure::from(error).about(self))
            }
        }
    }

    /// Brings the store to the schema of this program.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn migrate(&self) -> Result<(), Failure> {
        match self {
            Self::Directory(data) => {
                make_private_dir(data)?;
                let migrated = SqliteStore::migrate(&data.join(STORE_FILE));
                migrated.map_err(|error| Failure::from(error).about(self))?;
            }
            // The login of the hub may have been given nothing yet; that is for its first start.
            Self::Server { place, owner } => {
                let owner = owner.as_ref().unwrap_or(place);
                let migrated = PostgresStore::migrate(owner, wall_now()).await;
                migrated.map_err(|error| Failure::from(error).about(self))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(data) => write!(f, "{}", data.join(STORE_FILE).display()),
            Self::Server { place, .. } => write!(f, "{place}"),
        }
    }
}

fn place_named(name: &str) -> Result<Option<Box<PostgresPlace>>, Failure> {
    let Some(found) = find_secret(name)? else {
        return Ok(None);
    };
    let place = PostgresPlace::parse(found.text.trim_end());
    let place = place.map_err(|error| {
        let message = format!("{}: {error}", found.source);
        Failure::new(FailureKind::Configuration, message)
    })?;
    Ok(Some(Box::new(place)))
}
