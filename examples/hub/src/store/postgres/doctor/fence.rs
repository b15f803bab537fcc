//! Tries what the application must not do: forbidden statements, and another tenant's rows.

use monsys_core::id::TenantId;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::AS_APPLICATION;
use crate::doctor::Check;
use crate::random::random_bytes;

/// Does what must be refused for want of a privilege, each in a savepoint.
pub(super) async fn privileges(client: &Client) -> Result<Check, Error> {
    client.batch_execute(AS_APPLICATION).await?;
    let mut passed = Vec::new();
    for statement in FORBIDDEN {
        if !is_denied(client, statement).await? {
            passed.push(*statement);
        }
    }
    client.batch_execute("ROLLBACK").await?;
    let name = "revoked_privileges";
    if passed.is_empty() {
        let found = format!("{} forbidden statements were refused", FORBIDDEN.len());
        return Ok(Check::ok(name, found));
    }
    let found = format!("not refused to monsys_app: {}", passed.join("; "));
    let todo =
        "as the owner: REVOKE what is not granted in 0001_rights.sql; find out who granted it";
    Ok(Check::fail(name, found, todo))
}

/// Whether a statement is refused because the role may not, and not for any other reason: what a
/// trigger stops, the role was allowed to try.
async fn is_denied(client: &Client, statement: &str) -> Result<bool, Error> {
    client.batch_execute("SAVEPOINT forbidden").await?;
    let tried = client.batch_execute(statement).await;
    client
        .batch_execute("ROLLBACK TO SAVEPOINT forbidden")
        .await?;
    let refused = tried.err();
    let code = refused.as_ref().and_then(Error::code);
    Ok(code == Some(&SqlState::INSUFFICIENT_PRIVILEGE))
}

/// Makes a row of one tenant and looks for it as another; then looks for anybody's rows at all.
pub(super) async fn other_tenants(client: &Client) -> Result<Check, Error> {
    client.batch_execute(AS_APPLICATION).await?;
    let tried = try_other_tenants(client).await;
    client.batch_execute("ROLLBACK").await?;
    let name = "other_tenants";
    let seen = tried?;
    if seen.is_empty() {
        let found = "a row made by one tenant is invisible to another, and so is every other row";
        return Ok(Check::ok(name, found));
    }
    let found = format!(
        "monsys_app sees or writes rows of other tenants: {}",
        seen.join(", ")
    );
    let todo = "ENABLE and FORCE ROW LEVEL SECURITY as in 0001_rights.sql; drop policies not there";
    Ok(Check::fail(name, found, todo))
}

async fn try_other_tenants(client: &Client) -> Result<Vec<String>, Error> {
    let [one, other] = [(); 2].map(|()| TenantId::from_random_bytes(random_bytes()));
    let enter = |tenant: TenantId| format!("SET LOCAL app.current_tenant = '{tenant}'");
    let add = |tenant: TenantId| {
        // An identifier is hexadecimal digits and hyphens, so nothing of it ends the literal.
        format!(
            "INSERT INTO tenants (id, name, created_at) VALUES ('{tenant}', 'doctor {tenant}', now())"
        )
    };
    let mut seen = Vec::new();
    client.batch_execute(&enter(one)).await?;
    client.batch_execute(&add(one)).await?;
    client.batch_execute(&enter(other)).await?;
    let sql = "SELECT count(*) FROM tenants WHERE id = $1";
    let n_visible: i64 = client.query_one(sql, &[&one]).await?.try_get(0)?;
    if n_visible != 0 {
        seen.push("tenants (the row made for it)".to_owned());
    }
    let third = TenantId::from_random_bytes(random_bytes());
    if !is_denied(client, &add(third)).await? {
        seen.push("tenants (a row of another was written)".to_owned());
    }
    for table in tables(client).await? {
        let sql = format!("SELECT EXISTS (SELECT FROM public.{table} LIMIT 1)");
        // What the role may not read at all shows it nothing.
        client.batch_execute("SAVEPOINT reading").await?;
        let shows = client.query_one(&sql, &[]).await;
        client
            .batch_execute("ROLLBACK TO SAVEPOINT reading")
            .await?;
        if let Ok(row) = shows
            && row.try_get::<_, bool>(0)?
        {
            seen.push(table);
        }
    }
    Ok(seen)
}

/// The tables of the schema that hold rows of tenants, quoted, partitions left out.
async fn tables(client: &Client) -> Result<Vec<String>, Error> {
    let sql = "SELECT quote_ident(c.relname) FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' \
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
               AND NOT c.relispartition AND NOT a.attisdropped ORDER BY c.relname LIMIT 1000";
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// None of these may be allowed, whatever triggers would say to it. The nil tenant has no rows.
const FORBIDDEN: &[&str] = &[
    "DELETE FROM integrity_events WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "UPDATE integrity_events SET seq = 1 WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "TRUNCATE integrity_events",
    "DELETE FROM integrity_anomalies WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "UPDATE integrity_anomalies SET detail = '{}' \
     WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "TRUNCATE integrity_anomalies",
    "DELETE FROM ledger_heads WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "TRUNCATE ledger_heads",
    "DELETE FROM audit_log WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "UPDATE audit_log SET actor = '' WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "TRUNCATE audit_log",
    "DELETE FROM agents WHERE tenant_id = '00000000-0000-0000-0000-000000000000'",
    "INSERT INTO monsys_schema (version) VALUES (0)",
    "ALTER TABLE integrity_events DISABLE TRIGGER ALL",
];
