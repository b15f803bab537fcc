//! Auditors: login roles of PostgreSQL that read the organisations granted to them, and no more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::process::Output;

use support::hub::program;
use support::postgres::Database;
use support::refusal::assert_refusal;
use support::{DataDir, Hub, TestAgent};

/// The integrity document, "SQL for auditor", to the letter.
const OPEN: &str = "SELECT a.name, ia.kind, ia.severity, ia.summary, ia.detected_at
FROM integrity_anomalies ia
JOIN agents a ON a.id = ia.agent_id
WHERE ia.resolved_at IS NULL
ORDER BY CASE ia.severity
WHEN 'critical' THEN 1 WHEN 'high' THEN 2
WHEN 'medium' THEN 3 WHEN 'low' THEN 4 ELSE 5 END,
ia.detected_at DESC;";
const RESOLVED: &str = "SELECT kind, count(*)
FROM integrity_anomalies
WHERE resolved_at > NOW() - INTERVAL '30 days'
GROUP BY kind;";
const CLOSERS: &str = "SELECT u.email, ia.kind, ia.summary, ia.resolved_at
FROM integrity_anomalies ia
JOIN users u ON u.id = ia.resolved_by
WHERE ia.resolved_at > NOW() - INTERVAL '30 days'
ORDER BY ia.resolved_at DESC;";

#[test]
fn a_grant_shows_exactly_one_organisation_and_its_end_nothing() {
    let Some(scene) = Scene::new("grant") else {
        return;
    };
    for query in [OPEN, RESOLVED, CLOSERS] {
        assert!(
            scene.ask(query).unwrap_err().contains("42501"),
            "no auditor yet"
        );
    }
    let granted = scene.data.json(&scene.words("grant", "acme"));
    assert_eq!(granted["status"], "granted");
    assert_eq!(granted["role"], scene.auditor.as_str());
    let open = scene.ask(OPEN).unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].starts_with("acme-open|unsigned_payload|high|"));
    assert_eq!(scene.ask(RESOLVED).unwrap(), ["unsigned_payload|1"]);
    let closers = scene.ask(CLOSERS).unwrap();
    assert_eq!(closers.len(), 1, "{closers:?}");
    assert!(closers[0].starts_with("integrity-worker@monsys.invalid|unsigned_payload|"));
    let others = ["tenants", "users", "metrics", "signal_streams", "audit_log"];
    for table in others {
        let column = if table == "tenants" {
            "id"
        } else {
            "tenant_id"
        };
        let seen = scene.ask(&format!("SELECT DISTINCT {column} FROM {table}"));
        assert_eq!(seen.unwrap(), [scene.tenant("acme")], "{table}");
    }
    // Of both, both; of one again, one.
    scene.data.json(&scene.words("grant", "rival"));
    assert_eq!(scene.ask(OPEN).unwrap().len(), 2);
    scene.data.json(&scene.words("revoke", "rival"));
    assert_eq!(scene.ask(OPEN).unwrap(), open);
    scene.data.json(&scene.words("revoke", "acme"));
    for query in [OPEN, RESOLVED, CLOSERS] {
        assert!(scene.ask(query).unwrap().is_empty(), "nothing is granted");
    }
    let entries = "SELECT t.name || ' ' || l.action || ' ' || l.subject FROM audit_log l \
                   JOIN tenants t ON t.id = l.tenant_id WHERE l.action LIKE 'auditor %' ORDER BY l.id";
    let role = &scene.auditor;
    let expected = [
        format!("acme auditor granted {role}"),
        format!("rival auditor granted {role}"),
        format!("rival auditor revoked {role}"),
        format!("acme auditor revoked {role}"),
    ];
    assert_eq!(scene.database().run(entries), expected);
}

#[test]
fn an_auditor_changes_nothing_and_no_setting_helps_it() {
    let Some(scene) = Scene::new("bent") else {
        return;
    };
    scene.data.json(&scene.words("grant", "acme"));
    let open = scene.ask(OPEN).unwrap();
    let rival = scene.tenant("rival");
    for setting in [
        format!("SET app.current_tenant = '{rival}'"),
        "SET row_security = on".to_owned(),
        format!("SET SESSION app.current_tenant = '{rival}'; SET ROLE monsys_auditor"),
    ] {
        assert_eq!(
            scene.ask(&format!("{setting}; {OPEN}")).unwrap(),
            open,
            "{setting}"
        );
    }
    let off = scene.ask(&format!("SET row_security = off; {OPEN}"));
    assert!(off.unwrap_err().contains("42501"), "an error, and no rows");
    for role in ["monsys_app", "monsys_owner", "postgres"] {
        let became = scene.ask(&format!("SET ROLE {role}; {OPEN}"));
        assert!(became.unwrap_err().contains("42501"), "{role}");
    }
    let me = &scene.auditor;
    for change in [
        "DELETE FROM integrity_anomalies".to_owned(),
        "UPDATE integrity_anomalies SET note = 'x'".to_owned(),
        "UPDATE agents SET revoked_at = now()".to_owned(),
        "TRUNCATE audit_log".to_owned(),
        format!("INSERT INTO auditor_tenants VALUES ('{rival}', '{me}')"),
        format!(
            "INSERT INTO audit_log (tenant_id, at, actor, action, subject) \
                 VALUES ('{rival}', now(), 'a', 'b', 'c')"
        ),
        "SELECT token_digest FROM agents".to_owned(),
        "SELECT * FROM ingest_nonces".to_owned(),
        "SELECT * FROM auditor_tenants".to_owned(),
        "SELECT monsys_tenants()".to_owned(),
        format!("GRANT monsys_app TO {me}"),
        format!("GRANT monsys_auditor TO {me} WITH ADMIN OPTION"),
    ] {
        let refused = scene.ask(&change).unwrap_err();
        assert!(
            refused.contains("42501") || refused.contains("permission denied"),
            "{change}: {refused}"
        );
    }
}

#[test]
fn what_cannot_be_granted_says_why_in_one_line() {
    let Some(scene) = Scene::new("wrong") else {
        return;
    };
    let database = scene.database();
    let (plain, member) = (
        format!("{}_nologin", scene.auditor),
        format!("{}_hub", scene.auditor),
    );
    database.run(&format!(
        "CREATE ROLE {plain} NOLOGIN; CREATE ROLE {member} LOGIN IN ROLE monsys_app"
    ));
    let org = "acme";
    let auditor = scene.auditor.as_str();
    let strange = "x\"; DROP TABLE agents; --";
    let long = "r".repeat(80);
    for (verb, role, org, said) in [
        (
            "grant",
            "nobody_of_this_name",
            org,
            "no role \"nobody_of_this_name\"",
        ),
        ("grant", strange, org, "no role"),
        ("grant", &long, org, "no role"),
        ("grant", &plain, org, "may not log in"),
        ("grant", "postgres", org, "held by no policy"),
        ("grant", &member, org, "held by no policy"),
        ("grant", auditor, "acm", "no organisation \"acm\""),
        (
            "revoke",
            auditor,
            "acme",
            "expected one that was granted it",
        ),
        ("revoke", auditor, "acm", "no organisation"),
    ] {
        let refused = scene
            .data
            .run(&["auditor", verb, "--role", role, "--org", org]);
        assert_eq!(refused.status.code(), Some(2), "{verb} {role}: {refused:?}");
        assert_one_line(&refused, said);
    }
    assert_eq!(database.number("SELECT count(*) FROM auditor_tenants"), 0);
    let entries = "SELECT count(*) FROM audit_log WHERE action LIKE 'auditor %'";
    assert_eq!(database.number(entries), 0);
    // Granting twice is one grant; a role that is gone can still be forgotten.
    for status in ["granted", "granted"] {
        assert_eq!(
            scene.data.json(&scene.words("grant", org))["status"],
            status
        );
    }
    assert_eq!(database.number(entries), 1);
    database.run(&format!("DROP ROLE {auditor}"));
    scene.data.json(&scene.words("revoke", org));
    assert_eq!(database.number("SELECT count(*) FROM auditor_tenants"), 0);
    database.run(&format!(
        "DROP ROLE {plain}; DROP ROLE {member}; CREATE ROLE {auditor} LOGIN"
    ));
}

#[test]
fn the_owner_grants_without_being_superuser_and_a_hub_cannot() {
    let Some(scene) = Scene::new("owner") else {
        return;
    };
    let database = scene.database();
    let (owner, hub) = (
        format!("{}_own", scene.auditor),
        format!("{}_hub", scene.auditor),
    );
    database.run(&format!(
        "CREATE ROLE {owner} LOGIN IN ROLE monsys_owner; CREATE ROLE {hub} LOGIN IN ROLE monsys_app"
    ));
    let run = |migrate: Option<&str>| {
        let mut program = program();
        program
            .args(scene.words("grant", "acme"))
            .env("DATABASE_URL", database.url_of(&hub));
        program.envs(migrate.map(|role| ("MONSYS_MIGRATE_URL", database.url_of(role))));
        program.output().unwrap()
    };
    let refused = run(None);
    assert_eq!(refused.status.code(), Some(78));
    assert_one_line(&refused, "MONSYS_MIGRATE_URL");
    let granted = run(Some(&owner));
    assert!(granted.status.success(), "{granted:?}");
    assert_eq!(scene.ask(OPEN).unwrap().len(), 1);
    database.run(&format!("DROP ROLE {owner}; DROP ROLE {hub}"));
}

#[test]
fn sqlite_has_no_auditors_and_says_so() {
    let data = DataDir::new();
    if support::store::is_no_file(&data) {
        return;
    }
    data.add_org("acme");
    for verb in ["grant", "revoke"] {
        let refused = data.run(&["auditor", verb, "--role", "x", "--org", "acme"]);
        assert_eq!(refused.status.code(), Some(78));
        assert_one_line(&refused, "auditors are login roles of PostgreSQL");
    }
}

/// Two organisations, each with a finding that is open and one that was resolved, and a login role
/// without any right.
struct Scene {
    data: DataDir,
    auditor: String,
}

impl Scene {
    fn new(name: &str) -> Option<Self> {
        let data = DataDir::on_postgres()?;
        let auditor = format!("auditor_{name}_{}", std::process::id());
        data.database()
            .unwrap()
            .run(&format!("CREATE ROLE {auditor} LOGIN"));
        let mut agents = Vec::new();
        for org in ["acme", "rival"] {
            data.add_org(org);
            for state in ["open", "closed"] {
                agents.push(data.enrol(org, &format!("{org}-{state}")));
            }
        }
        let hub = Hub::start(&data);
        for agent in &agents {
            let unsigned = agent.send_with(&hub, agent.metrics((1, 1), 4.2).as_bytes(), None);
            assert_refusal(&unsigned, 403, "unsigned_payload");
            agent.report(&hub, (1, 2), 4.2, "0.1.0");
        }
        let scene = Self { data, auditor };
        support::poll("the findings are stored", support::PATIENCE, || {
            let sql = "SELECT count(*) FROM integrity_anomalies";
            (scene.database().number(sql) == 4).then_some(())
        });
        for TestAgent { id, .. } in [&agents[1], &agents[3]] {
            scene.database().run(&format!(
                "UPDATE integrity_anomalies ia SET resolved_at = now(), resolution = 'auto', \
                 resolved_by = (SELECT u.id FROM users u WHERE u.tenant_id = ia.tenant_id \
                 AND u.role = 'service') WHERE ia.agent_id = '{id}'"
            ));
        }
        Some(scene)
    }

    fn database(&self) -> &Database {
        self.data.database().unwrap()
    }

    fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        self.database().run_as(&self.auditor, sql)
    }

    fn tenant(&self, org: &str) -> String {
        let sql = format!("SELECT id FROM tenants WHERE name = '{org}'");
        self.database().run(&sql).concat()
    }

    fn words<'s>(&'s self, verb: &'s str, org: &'s str) -> [&'s str; 6] {
        ["auditor", verb, "--role", &self.auditor, "--org", org]
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A test that failed has said why; the cluster goes with the process.
        let _ = self
            .database()
            .run_as("postgres", &format!("DROP ROLE {}", self.auditor));
    }
}

fn assert_one_line(output: &Output, said: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(said), "{said}: {text}");
    assert!(!text.contains("postgres://"), "{text}");
}
