//! Transactions of the owner of the schema, for what no hub may do.

use tokio_postgres::Client;

use super::migrate::{self, OpenError};
use super::place::PostgresPlace;

/// A connection with a transaction of the owner, begun with these words. It ends with the
/// connection, or with a COMMIT.
pub(super) async fn begin(place: &PostgresPlace, begin: &str) -> Result<Client, OpenError> {
    let client = migrate::connect(place).await?;
    let sql = "SELECT FROM pg_roles WHERE rolname = 'monsys_owner' AND pg_has_role(oid, 'MEMBER')";
    if client.query_opt(sql, &[]).await?.is_none() {
        return Err(OpenError::Unfit(
            "MONSYS_MIGRATE_URL to log in as a member of monsys_owner",
        ));
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
