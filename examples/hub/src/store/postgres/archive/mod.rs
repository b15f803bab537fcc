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

use crate::store::archive::ArchiveError;

impl From<tokio_postgres::Error> for ArchiveError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // Its message alone: the detail may hold a row.
            Some(refused) => Self::Refused(refused.message().to_owned()),
            None => Self::Away(error.to_string()),
        }
    }
}
