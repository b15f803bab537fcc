//! The schema itself: who owns what, who may do what, and what every key begins with.

use super::{Scene, cluster};

#[test]
fn nobody_is_given_a_partition() {
    let Some(database) = cluster::database() else {
        return;
    };
    let _scene = Scene::new(&database);
    let partitions = "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'";
    assert!(database.number(partitions) > 30);
    let given = "SELECT c.relname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a \
                 WHERE c.relispartition AND a.grantee <> c.relowner";
    assert!(database.run(given).is_empty());
    let owned = "SELECT relname FROM pg_class WHERE relowner = 'monsys_app'::regrole";
    assert!(
        database.run(owned).is_empty(),
        "the application owns nothing"
    );
    let child = database.run("SELECT min(inhrelid::regclass::text) FROM pg_inherits");
    let read = format!("SET ROLE monsys_app; SELECT * FROM {}", child.concat());
    assert!(
        database
            .run_as("postgres", &read)
            .unwrap_err()
            .contains("42501")
    );
}

#[test]
fn what_runs_as_the_owner_is_this_list() {
    let Some(database) = cluster::database() else {
        return;
    };
    let _scene = Scene::new(&database);
    let sql = "SELECT proname FROM pg_proc WHERE prosecdef ORDER BY proname COLLATE \"C\"";
    assert_eq!(
        database.run(sql),
        [
            "monsys_agent_by_token",
            "monsys_credentials",
            "monsys_device_by_name",
            "monsys_drop_partitions",
            "monsys_is_audited",
            "monsys_make_partitions",
            "monsys_tenant_of_api_token",
            "monsys_tenant_of_link",
            "monsys_tenant_of_refresh",
            "monsys_tenant_of_session",
            "monsys_tenant_of_user",
            "monsys_tenants",
            "monsys_user_count",
        ]
    );
    let bendable = "SELECT proname FROM pg_proc WHERE prosecdef \
                    AND NOT 'search_path=pg_catalog, pg_temp' = ANY (proconfig)";
    assert!(
        database.run(bendable).is_empty(),
        "each has a fixed search path"
    );
    let open = "SELECT proname FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a \
                WHERE prosecdef AND a.grantee = 0";
    assert!(database.run(open).is_empty(), "none is everybody's");
}

#[test]
fn every_table_of_tenants_is_fenced_and_every_key_begins_with_the_tenant() {
    let Some(database) = cluster::database() else {
        return;
    };
    let _scene = Scene::new(&database);
    let fenced = "SELECT c.relname FROM pg_class c WHERE c.relrowsecurity \
                  AND c.relforcerowsecurity ORDER BY c.relname";
    let mut tables = super::tenancy::TENANT_TABLES.map(|(table, _)| table);
    tables.sort_unstable();
    assert_eq!(database.run(fenced), tables);
    let unfenced = "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                    WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') \
                    AND NOT c.relispartition AND NOT c.relrowsecurity";
    assert!(database.run(unfenced).is_empty());
    let sub_select = "SELECT polname FROM pg_policy \
                      WHERE concat(pg_get_expr(polqual, polrelid), \
                      pg_get_expr(polwithcheck, polrelid)) ILIKE '%select%'";
    assert!(
        database.run(sub_select).is_empty(),
        "a policy asks no other table"
    );
    let keys = "SELECT i.indexrelid::regclass FROM pg_index i \
                JOIN pg_class c ON c.oid = i.indrelid \
                JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id' \
                WHERE i.indisunique AND i.indkey[0] <> t.attnum";
    assert!(
        database.run(keys).is_empty(),
        "unique without the tenant first"
    );
}

#[test]
fn the_ledger_is_neither_emptied_nor_rewritten() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let tenant = scene.tenants[0];
    for statement in [
        "DELETE FROM integrity_anomalies",
        "TRUNCATE integrity_anomalies",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'x'",
        "TRUNCATE audit_log",
        "DELETE FROM signal_streams",
        "DELETE FROM metrics",
        "DELETE FROM agents",
        "UPDATE integrity_anomalies SET summary = 'x'",
        "UPDATE integrity_anomalies SET evidence = '{}'",
        "UPDATE agents SET name = 'x'",
        "UPDATE agents SET tenant_id = tenant_id",
        "UPDATE users SET email = 'x'",
        "DELETE FROM users",
        "UPDATE refresh_tokens SET digest = digest",
        "UPDATE api_tokens SET scope = 'admin'",
        "DROP TABLE metrics",
        "SET ROLE monsys_owner",
    ] {
        let login = format!("app_{}", std::process::id());
        database.run(&format!(
            "DROP ROLE IF EXISTS {login}; CREATE ROLE {login} LOGIN IN ROLE monsys_app"
        ));
        let sql = format!("BEGIN; SET LOCAL app.current_tenant = '{tenant}'; {statement}; COMMIT");
        let refused = database.run_as(&login, &sql);
        database.run(&format!("DROP ROLE {login}"));
        assert!(refused.unwrap_err().contains("42501"), "{statement}");
    }
    // Not even by a superuser, who passes every policy and every grant.
    for statement in [
        "DELETE FROM integrity_anomalies",
        "TRUNCATE integrity_anomalies CASCADE",
        "UPDATE audit_log SET actor = 'x'",
        "UPDATE integrity_anomalies SET summary = 'x'",
        "UPDATE integrity_anomalies SET severity = 'low'",
        "UPDATE integrity_anomalies SET occurrences = occurrences - 1",
    ] {
        let refused = database.run_as("postgres", statement).unwrap_err();
        assert!(refused.contains("23514"), "{statement}: {refused}");
    }
}
