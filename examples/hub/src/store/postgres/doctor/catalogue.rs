//! What the catalogue says about who may do what.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};

use crate::doctor::Check;
use crate::store::postgres::migrate::SCRIPTS;

/// The role that serves is subject to the rules: no superuser, past no policy, owner of nothing.
pub(super) async fn role(client: &Client) -> Result<Check, Error> {
    let name = "application_role";
    let sql = "SELECT rolsuper, rolbypassrls, rolcreaterole, \
               EXISTS (SELECT FROM pg_catalog.pg_class WHERE relowner = r.oid), \
               pg_has_role(r.oid, 'monsys_owner', 'MEMBER') \
               FROM pg_catalog.pg_roles r WHERE rolname = 'monsys_app'";
    let Some(row) = client.query_opt(sql, &[]).await? else {
        return Ok(Check::fail(
            name,
            "there is no role monsys_app",
            "run migrate",
        ));
    };
    let mut wrong = Vec::new();
    for (place, what) in [
        "is a superuser",
        "passes row-level security",
        "may make roles",
        "owns tables",
        "is a member of monsys_owner",
    ]
    .into_iter()
    .enumerate()
    {
        if row.try_get(place)? {
            wrong.push(what);
        }
    }
    if wrong.is_empty() {
        return Ok(Check::ok(
            name,
            "monsys_app owns nothing and passes no rule",
        ));
    }
    let found = format!("monsys_app {}", wrong.join(", "));
    let todo = "ALTER ROLE monsys_app NOSUPERUSER NOBYPASSRLS NOCREATEROLE, REVOKE monsys_owner";
    Ok(Check::fail(name, found, todo))
}

/// Who logs in gives up its rights for those of the application, and should have none to go back to.
pub(super) async fn login(client: &Client) -> Result<Check, Error> {
    let name = "login_role";
    let sql = "SELECT rolname, rolsuper OR rolbypassrls, pg_has_role(oid, 'monsys_owner', 'MEMBER') \
               FROM pg_catalog.pg_roles WHERE rolname = session_user";
    let row = client.query_one(sql, &[]).await?;
    let (login, is_above, is_owner): (&str, bool, bool) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let todo = "let DATABASE_URL log in as a role that is only IN ROLE monsys_app, and give the \
                owner's login to migrate by MONSYS_MIGRATE_URL";
    Ok(match (is_above, is_owner) {
        (true, _) => Check::warn(name, format!("{login} passes row-level security"), todo),
        (false, true) => Check::warn(name, format!("{login} may become the owner"), todo),
        (false, false) => Check::ok(
            name,
            format!("{login} may be monsys_app, and not the owner"),
        ),
    })
}

/// Every table of tenants is fenced for everybody, by exactly the policy that the program made.
pub(super) async fn policies(client: &Client) -> Result<Check, Error> {
    let sql = "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, \
               (SELECT count(*) FROM pg_catalog.pg_policies p WHERE p.schemaname = 'public' \
               AND p.tablename = c.relname AND p.policyname = 'of_tenant' AND p.cmd = 'ALL' \
               AND p.roles = '{monsys_app}' \
               AND strpos(p.qual, 'app.current_tenant') > 0 \
               AND strpos(p.with_check, 'app.current_tenant') > 0), \
               (SELECT count(*) FROM pg_catalog.pg_policies p WHERE p.schemaname = 'public' \
               AND p.tablename = c.relname AND p.policyname <> 'of_tenant' \
               AND p.roles && '{monsys_app,public}') \
               FROM pg_catalog.pg_class c \
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
               AND NOT c.relispartition AND c.relname <> 'auditor_tenants' \
               AND (c.relname = 'tenants' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)) \
               ORDER BY c.relname LIMIT 1000";
    let rows = client.query(sql, &[]).await?;
    let mut wrong = Vec::new();
    for row in &rows {
        let (table, is_forced): (&str, bool) = (row.try_get(0)?, row.try_get(1)?);
        let (n_ours, n_others): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        if !is_forced {
            wrong.push(format!("{table} is not forced"));
        }
        if n_ours != 1 {
            wrong.push(format!("{table} has no policy of its tenant"));
        }
        if n_others != 0 {
            wrong.push(format!("{table} has a policy that is not ours"));
        }
    }
    let name = "row_level_security";
    if wrong.is_empty() {
        let found = format!("forced on all {} tables of tenants", rows.len());
        return Ok(Check::ok(name, found));
    }
    let todo = "ENABLE and FORCE ROW LEVEL SECURITY as in 0001_rights.sql; drop policies not there";
    Ok(Check::fail(name, wrong.join(", "), todo))
}

/// Every trigger that the migrations make is there, and on.
pub(super) async fn triggers(client: &Client) -> Result<Check, Error> {
    let sql = "SELECT t.tgname FROM pg_catalog.pg_trigger t \
               JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
               WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal \
               AND t.tgenabled IN ('O', 'A') LIMIT 10000";
    let rows = client.query(sql, &[]).await?;
    let names = rows.iter().map(|row| row.try_get(0));
    let there: BTreeSet<String> = names.collect::<Result<_, _>>()?;
    let made: Vec<&str> = SCRIPTS
        .iter()
        .flat_map(|script| triggers_of(script))
        .collect();
    let gone: Vec<&str> = made
        .iter()
        .filter(|name| !there.contains(**name))
        .copied()
        .collect();
    let name = "ledger_triggers";
    if gone.is_empty() {
        return Ok(Check::ok(name, format!("all {} are on", made.len())));
    }
    let found = format!("gone or off: {}", gone.join(", "));
    let todo = "make them again as in 0001_start.sql; then verify the ledger";
    Ok(Check::fail(name, found, todo))
}

fn triggers_of(script: &str) -> impl Iterator<Item = &str> {
    let made = script
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE TRIGGER "));
    made.filter_map(|rest| rest.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triggers_are_those_of_the_scripts() {
        let made: Vec<_> = SCRIPTS
            .iter()
            .flat_map(|script| triggers_of(script))
            .collect();
        assert!(made.contains(&"integrity_events_keep"), "{made:?}");
        assert!(made.len() >= 7, "{made:?}");
    }
}
