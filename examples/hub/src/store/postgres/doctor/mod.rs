//! The checklist of a PostgreSQL database: reached, of this schema, durable, and really fenced.
//!
//! What the application may not do is tried as the application ([`fence`]), in transactions that are
//! rolled back. What a catalogue can tell better than a try is read from it ([`catalogue`]).

mod catalogue;
mod fence;

use monsys_core::time::Timestamp;
use tokio_postgres::{Client, Error};

use super::migrate::{self, OpenError};
use super::place::PostgresPlace;
use crate::clock::wall_now;
use crate::doctor::{self, Check};
use crate::store::doctor::cycle;

/// Makes the checks of a database; nothing of it changes.
pub(super) async fn examine(place: &PostgresPlace, now: Timestamp) -> Vec<Check> {
    let client = match migrate::connect(place).await {
        Ok(client) => client,
        Err(error @ OpenError::Away(_)) => {
            let todo = "start it, or correct DATABASE_URL";
            return vec![Check::away("database", error.to_string(), todo)];
        }
        Err(error) => {
            let todo = "correct DATABASE_URL, or what the server lets this login do";
            return vec![Check::fail("database", error.to_string(), todo)];
        }
    };
    let mut checks = vec![Check::ok("database", format!("reached: {place}"))];
    checks.push(or_fail("clock_of_database", clock(&client).await));
    checks.push(or_fail("durability", durability(&client).await));
    match migrate::require_newest(place).await {
        Ok(()) => checks.push(Check::ok("schema", "that of this program")),
        Err(error) => {
            let todo = "run migrate, or the newer program";
            checks.push(Check::fail("schema", error.to_string(), todo));
            return checks;
        }
    }
    checks.push(or_fail("application_role", catalogue::role(&client).await));
    checks.push(or_fail("login_role", catalogue::login(&client).await));
    checks.push(or_fail(
        "row_level_security",
        catalogue::policies(&client).await,
    ));
    checks.push(or_fail(
        "ledger_triggers",
        catalogue::triggers(&client).await,
    ));
    checks.push(or_fail(
        "revoked_privileges",
        fence::privileges(&client).await,
    ));
    checks.push(or_fail(
        "other_tenants",
        fence::other_tenants(&client).await,
    ));
    checks.push(or_fail("integrity_cycle", last_cycle(&client, now).await));
    checks
}

/// A check that the database did not let be made is one that failed.
fn or_fail(name: &'static str, made: Result<Check, Error>) -> Check {
    made.unwrap_or_else(|error| {
        let said = error.as_db_error().map_or_else(
            || error.to_string(),
            |refused| format!("{} ({})", refused.message(), refused.code().code()),
        );
        let todo = "let the hub's login be a member of monsys_app, as migrate grants it";
        Check::fail(name, format!("not checked: {said}"), todo)
    })
}

async fn clock(client: &Client) -> Result<Check, Error> {
    let before = wall_now();
    let row = client.query_one("SELECT clock_timestamp()", &[]).await?;
    Ok(doctor::of_database(before, row.try_get(0)?, wall_now()))
}

/// An acknowledgement means durable only where the server means it, too.
async fn durability(client: &Client) -> Result<Check, Error> {
    let sql = "SELECT current_setting('fsync'), current_setting('full_page_writes')";
    let row = client.query_one(sql, &[]).await?;
    let (fsync, pages): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    let found = format!("fsync {fsync}, full_page_writes {pages}");
    Ok(if (fsync, pages) == ("on", "on") {
        Check::ok("durability", found)
    } else {
        let todo = "turn both on: a power cut loses what was acknowledged";
        Check::warn("durability", found, todo)
    })
}

async fn last_cycle(client: &Client, now: Timestamp) -> Result<Check, Error> {
    client.batch_execute(AS_APPLICATION).await?;
    let sql = "SELECT value FROM public.meta WHERE name = 'previous_cycle'";
    let row = client.query_opt(sql, &[]).await;
    client.batch_execute("ROLLBACK").await?;
    let previous = row?.map(|row| row.try_get(0)).transpose()?;
    Ok(cycle(previous, now))
}

/// The role that serves, in a transaction that waits for nobody long.
const AS_APPLICATION: &str = "BEGIN; SET LOCAL ROLE monsys_app; SET LOCAL search_path = public; \
    SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s'";
