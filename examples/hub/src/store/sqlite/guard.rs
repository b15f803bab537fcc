//! What a connection that serves may not do, whatever statement reaches it.
//!
//! SQLite has no roles. Triggers keep the ledger from being changed row by row; this keeps the
//! triggers, and the settings that they need, from being taken away. A statement is refused when it
//! is prepared, so nothing of it runs. What not: a program of its own on the same file, which the
//! hashes of the ledger are for.

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Makes a connection refuse changes of the schema, settings, other files, and deletions from what
/// is kept for ever. For connections whose schema is there already.
pub(super) fn guard(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.authorizer(Some(|context: AuthContext<'_>| decide(context.action)))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not known to be needed is denied"
)]
fn decide(action: AuthAction<'_>) -> Authorization {
    let is_allowed = match action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Function { .. }
        | AuthAction::Recursive
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => true,
        // A change of the schema is one of its own table; nobody writes to that.
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } => {
            !is_schema(table_name)
        }
        AuthAction::Delete { table_name } => !is_schema(table_name) && !KEPT.contains(&table_name),
        AuthAction::Pragma { pragma_name, .. } => PRAGMAS.contains(&pragma_name),
        // Every CREATE, DROP and ALTER, other files, and what later versions add.
        _ => false,
    };
    if is_allowed {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

fn is_schema(table: &str) -> bool {
    table.starts_with("sqlite_")
}

/// Tables that lose no row.
const KEPT: [&str; 4] = [
    "integrity_anomalies",
    "integrity_events",
    "ledger_heads",
    "audit_log",
];

/// What the writer says when it ends, and what tells whether another connection wrote.
const PRAGMAS: [&str; 2] = ["wal_checkpoint", "data_version"];
