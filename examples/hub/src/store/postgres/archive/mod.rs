//! A whole store in PostgreSQL as lines that any store can read.
//!
//! An export and an import cross the tenants, so neither runs as the application. Both run as the
//! role `monsys_owner`, which the login has to be a member of (`MONSYS_MIGRATE_URL`, or
//! `DATABASE_URL` where that is the owner or a superuser). No right to bypass row-level security is
//! needed, which managed servers do not give, and a superuser takes the very same path:
//!
//! - The export reads under forced row-level security by policies that let the owner read, and no
//!   more. It takes no lock that a hub would wait for.
//! - `COPY` is refused under row-level security, so the import lifts `FORCE` from the tables it
//!   fills, inside its transaction, and puts it back before the commit. What it lifts is locked for
//!   everybody else until then, so nobody ever works on an unfenced table; and when the import
//!   fails in whatever way, the database takes both back.

mod cell;
mod export;
mod import;

use tokio_postgres::Client;

use super::migrate::{self, OpenError};
use super::place::PostgresPlace;
use crate::store::archive::ArchiveError;

/// A connection with a transaction of the owner of the schema, begun with these words.
async fn begin_as_owner(place: &PostgresPlace, begin: &str) -> Result<Client, ArchiveError> {
    let client = migrate::connect(place).await?;
    let sql = "SELECT pg_has_role(current_user, 'monsys_owner', 'MEMBER')";
    if !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
        return Err(ArchiveError::OpenServer(OpenError::Unfit(
            "MONSYS_MIGRATE_URL to log in as a member of monsys_owner",
        )));
    }
    // What is read and written takes as long as there is of it.
    let settings = "SET LOCAL ROLE monsys_owner; SET LOCAL search_path = public; \
                    SET LOCAL timezone = 'UTC'; SET LOCAL statement_timeout = 0; \
                    SET LOCAL idle_in_transaction_session_timeout = 0; \
                    SET LOCAL lock_timeout = '10s'";
    client
        .batch_execute(&format!("{begin}; {settings}"))
        .await?;
    Ok(client)
}

impl From<tokio_postgres::Error> for ArchiveError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // Its message alone: the detail may hold a row.
            Some(refused) => Self::Refused(refused.message().to_owned()),
            None => Self::Away(error.to_string()),
        }
    }
}
