//! What a session may see and write, whatever it sets.

use super::{Scene, cluster};

/// Every table with rows of organisations, and its column that says whose.
pub(super) const TENANT_TABLES: [(&str, &str); 19] = [
    ("tenants", "id"),
    ("users", "tenant_id"),
    ("agents", "tenant_id"),
    ("ingest_contents", "tenant_id"),
    ("ingest_nonces", "tenant_id"),
    ("metrics", "tenant_id"),
    ("endpoint_snapshots", "tenant_id"),
    ("signal_streams", "tenant_id"),
    ("signal_current", "tenant_id"),
    ("integrity_anomalies", "tenant_id"),
    ("integrity_events", "tenant_id"),
    ("ledger_heads", "tenant_id"),
    ("integrity_cycles", "tenant_id"),
    ("login_links", "tenant_id"),
    ("sessions", "tenant_id"),
    ("refresh_families", "tenant_id"),
    ("refresh_tokens", "tenant_id"),
    ("api_tokens", "tenant_id"),
    ("audit_log", "tenant_id"),
];

#[test]
fn without_the_right_tenant_no_row_is_read_and_none_written() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let [one, other] = scene.tenants;
    for (table, column) in TENANT_TABLES {
        let of_one = format!("SELECT count(*) FROM {table} WHERE {column} = '{one}'");
        let ask = |setting: &str| {
            let sql = format!("SET ROLE monsys_app; BEGIN; {setting}; {of_one}; COMMIT");
            database
                .run_as("postgres", &sql)
                .map(|lines| lines.concat())
        };
        let own = format!("SET LOCAL app.current_tenant = '{one}'");
        let filled = !["ingest_nonces", "endpoint_snapshots"].contains(&table);
        assert_eq!(ask(&own).unwrap() != "0", filled, "{table}: its own rows");
        for nobody in [
            "SELECT".to_owned(),
            "SET LOCAL app.current_tenant = ''".to_owned(),
            format!("SET LOCAL app.current_tenant = '{other}'"),
            format!("SET LOCAL app.current_tenant = '{one}'; COMMIT; BEGIN"),
            "SET LOCAL app.current_tenant = '00000000-0000-0000-0000-000000000000'".to_owned(),
        ] {
            let seen = ask(&nobody).unwrap();
            assert_eq!(seen, "0", "{table} after {nobody}");
        }
        let damaged = ask("SET LOCAL app.current_tenant = 'x'");
        assert!(damaged.unwrap_err().contains("22P02"), "{table}");
    }
}

#[test]
fn rows_of_another_tenant_are_refused() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let [one, other] = scene.tenants;
    let agent = scene.agents[0];
    let rows = [
        format!(
            "INSERT INTO signal_current VALUES ('{one}', 'a', 'agent', 'x', 'b.c', \
             '{{\"value\":1}}', NULL, now(), NULL, NULL, 1)"
        ),
        format!(
            "INSERT INTO sessions VALUES ('{one}', '\\x00', '{}', 0, now(), now())",
            scene.user
        ),
        format!(
            "INSERT INTO audit_log (tenant_id, at, actor, action, subject) VALUES ('{one}', now(), 'a', 'b', 'c')"
        ),
        format!(
            "INSERT INTO refresh_tokens VALUES ('{one}', '\\x{zeros}', '\\x{zeros}', now(), NULL)",
            zeros = "0a".repeat(32)
        ),
        format!(
            "INSERT INTO api_tokens SELECT '{one}', '{agent}', '{}', 'a', 'admin', '\\x{}', now(), \
             now(), NULL, NULL",
            scene.user,
            "0c".repeat(32)
        ),
        format!("INSERT INTO tenants VALUES ('{one}', 'again', now())"),
        format!(
            "INSERT INTO signal_streams VALUES ('{one}', 'a', 'agent', 'x', 'b.c', \
             '{{\"value\":1}}', NULL, now(), NULL)"
        ),
        format!(
            "INSERT INTO ingest_nonces VALUES ('{one}', '{agent}', '\\x{}', now())",
            "00".repeat(32)
        ),
        format!(
            "INSERT INTO integrity_events SELECT '{one}', 2, '{agent}', 'seen', '{}', now(), \
             '{{}}', '\\x{zeros}', '\\x{zeros}'",
            scene.user,
            zeros = "00".repeat(32)
        ),
        format!("INSERT INTO integrity_cycles VALUES ('{one}', now(), 1, 1, 1, 1, 1, 1, '[]')"),
    ];
    let settings = [
        "SELECT".to_owned(),
        "SET LOCAL app.current_tenant = ''".to_owned(),
        format!("SET LOCAL app.current_tenant = '{other}'"),
    ];
    for row in &rows {
        for setting in &settings {
            let sql = format!("SET ROLE monsys_app; BEGIN; {setting}; {row}; COMMIT");
            let refused = database.run_as("postgres", &sql).unwrap_err();
            assert!(refused.contains("42501"), "{setting}; {row}: {refused}");
        }
    }
    let update = format!(
        "SET ROLE monsys_app; BEGIN; SET LOCAL app.current_tenant = '{other}'; \
         UPDATE agents SET revoked_at = now() WHERE id = '{agent}'; COMMIT"
    );
    database.run(&update);
    assert_eq!(
        database
            .number("SELECT count(*) FROM agents WHERE revoked_at IS NOT NULL AND id <> tenant_id"),
        0
    );
}

#[test]
fn auditors_run_the_queries_of_the_integrity_document_on_what_was_granted() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let [one, other] = scene.tenants;
    let auditor = format!("auditor_{}", std::process::id());
    database.run(&format!(
        "DROP ROLE IF EXISTS {auditor}; CREATE ROLE {auditor} LOGIN IN ROLE monsys_auditor"
    ));
    let ask = |sql: &str| database.run_as(&auditor, sql).unwrap();
    // The integrity document, SQL for auditor, to the letter.
    let open = "SELECT a.name, ia.kind, ia.severity, ia.summary, ia.detected_at \
                FROM integrity_anomalies ia JOIN agents a ON a.id = ia.agent_id \
                WHERE ia.resolved_at IS NULL ORDER BY CASE ia.severity \
                WHEN 'critical' THEN 1 WHEN 'high' THEN 2 \
                WHEN 'medium' THEN 3 WHEN 'low' THEN 4 ELSE 5 END, ia.detected_at DESC;";
    let resolved = "SELECT kind, count(*) FROM integrity_anomalies \
                    WHERE resolved_at > NOW() - INTERVAL '30 days' GROUP BY kind;";
    let closers = "SELECT u.email, ia.kind, ia.summary, ia.resolved_at \
                   FROM integrity_anomalies ia JOIN users u ON u.id = ia.resolved_by \
                   WHERE ia.resolved_at > NOW() - INTERVAL '30 days' \
                   ORDER BY ia.resolved_at DESC;";
    let flat = format!(
        "SELECT STDDEV_SAMP(cpu_usage_percent), COUNT(*) FROM metrics \
         WHERE agent_id = '{}' AND time > NOW() - INTERVAL '1 hour';",
        scene.agents[0]
    );
    assert!(ask(open).is_empty(), "nothing was granted");
    assert_eq!(ask(&flat), ["|0"]);
    database.run(&format!(
        "INSERT INTO auditor_tenants VALUES ('{one}', '{auditor}')"
    ));
    assert_eq!(ask(open).len(), 1);
    assert!(ask(open)[0].starts_with("agent-1|flat_metrics|high|flat|"));
    assert_eq!(ask(&flat), ["|1"]);
    // The setting of the application is nothing to an auditor, nor is the role of another.
    let bent = format!("SET app.current_tenant = '{other}'; {open}");
    assert_eq!(ask(&bent), ask(open));
    let detail = "SELECT detail FROM integrity_anomalies";
    assert_eq!(
        ask(detail),
        [r#"{"samples": 240, "stddev": 0.0}"#],
        "in its order"
    );
    database.run(&format!(
        "UPDATE integrity_anomalies SET resolved_at = now(), resolution = 'manual', \
         resolved_by = '{}' WHERE tenant_id = '{one}'",
        scene.user
    ));
    assert_eq!(ask(resolved), ["flat_metrics|1"]);
    assert!(ask(closers)[0].starts_with("a@example.invalid|flat_metrics|flat|"));
    for query in [open, resolved, closers] {
        let bent = format!("SET app.current_tenant = '{other}'; {query}");
        assert_eq!(ask(&bent), ask(query), "{query}");
    }
    let events = "SELECT tenant_id, seq, kind FROM integrity_events";
    assert_eq!(ask(events), [format!("{one}|1|opened")]);
    for secret in [
        "agents",
        "sessions",
        "login_links",
        "ingest_nonces",
        "auditor_tenants",
        "ledger_heads",
        "integrity_cycles",
    ] {
        let read = database.run_as(&auditor, &format!("SELECT * FROM {secret}"));
        assert!(read.unwrap_err().contains("42501"), "{secret}");
    }
    let wrote = database.run_as(&auditor, "UPDATE users SET role = 'admin'");
    assert!(wrote.unwrap_err().contains("42501"));
    database.run(&format!("DROP ROLE {auditor}"));
}

#[test]
fn the_database_refuses_what_the_validator_refuses() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    let tenant = scene.tenants[0];
    let insert = |column: &str, value: &str| {
        let mut row = [
            ("source", "'a'"),
            ("subject_type", "'agent'"),
            ("subject_id", "'x'"),
            ("signal_key", "'a.b'"),
            ("signal_value", r#"'{"value":1}'"#),
            ("severity", "NULL"),
            ("observed_at", "now()"),
            ("ttl_seconds", "NULL"),
        ];
        row.iter_mut()
            .filter(|(name, _)| *name == column)
            .for_each(|cell| cell.1 = value);
        let values = row.map(|(_, value)| value).join(", ");
        database.run_as(
            "postgres",
            &format!("INSERT INTO signal_streams VALUES ('{tenant}', {values})"),
        )
    };
    insert("", "").unwrap();
    for (column, value, rule) in [
        ("source", r"E'a\n'", "source_format"),
        ("source", "'a__b'", "source_format"),
        ("source", "'A'", "source_format"),
        ("source", "repeat('a', 65)", "source_format"),
        ("subject_type", r"E'\na'", "subject_type_format"),
        ("subject_type", "'é'", "subject_type_format"),
        ("subject_id", "''", "subject_id_format"),
        ("subject_id", r"E'a\n'", "subject_id_format"),
        ("subject_id", r"E'\u0085'", "subject_id_format"),
        ("subject_id", r"E'\x7f'", "subject_id_format"),
        ("subject_id", "repeat('é', 129)", "subject_id_format"),
        ("signal_key", "'a'", "signal_key_format"),
        ("signal_key", r"E'a.b\n'", "signal_key_format"),
        (
            "signal_key",
            "'a.' || repeat('b', 127)",
            "signal_key_format",
        ),
        ("signal_value", "'{}'", "signal_value_object"),
        ("signal_value", "'[\"value\"]'", "signal_value_object"),
        ("severity", "'bad'", "severity_word"),
        ("ttl_seconds", "0", "ttl_seconds_range"),
        ("ttl_seconds", "315360001", "ttl_seconds_range"),
    ] {
        let refused = insert(column, value).unwrap_err();
        assert!(
            refused.contains("23514") && refused.contains(rule),
            "{column} {value}: {refused}"
        );
    }
    let outside = insert("observed_at", "'1999-01-01'").unwrap_err();
    assert!(
        outside.contains("23514") && outside.contains("no partition"),
        "{outside}"
    );
}
