//! Who may do what to the ledger, as the application and as the owner, and what writers at once
//! leave.

use monsys_core::anomaly::Action;
use monsys_core::id::{AgentId, AnomalyId};
use monsys_core::ledger::Verifier;
use monsys_core::store::conformance::BlockOn as _;
use monsys_core::store::{
    AgentStore, AnomalyFilter, AnomalyStore, CycleStore, IngestFinding, IngestStore,
};

use super::cluster::Database;
use super::{Scene, cluster, signal};
use crate::clock::wall_now;

/// A login of the application, as a hub has one; dropped with the value.
struct Login<'a> {
    database: &'a Database,
    name: String,
    setting: String,
}

impl<'a> Login<'a> {
    fn new(database: &'a Database, scene: &Scene, word: &str) -> Self {
        let name = format!("app_{word}_{}", std::process::id());
        database.run(&format!(
            "DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN IN ROLE monsys_app"
        ));
        let tenant = scene.tenants[0];
        let setting = format!("SET LOCAL app.current_tenant = '{tenant}'");
        Self {
            database,
            name,
            setting,
        }
    }

    fn run(&self, statement: &str, end: &str) -> Result<Vec<String>, String> {
        let sql = format!("BEGIN; {}; {statement}; {end}", self.setting);
        self.database.run_as(&self.name, &sql)
    }

    fn assert_refused(&self, statement: &str, code: &str) {
        let refused = self.run(statement, "COMMIT");
        let refused = refused.expect_err(statement);
        assert!(refused.contains(code), "{statement}: {refused}");
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        let _ = self
            .database
            .run_as("postgres", &format!("DROP ROLE {}", self.name));
    }
}

#[test]
fn the_application_neither_empties_nor_rewrites_the_ledger() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let login = Login::new(&database, &scene, "matrix");
    for statement in [
        "DELETE FROM integrity_anomalies",
        "TRUNCATE integrity_anomalies",
        "TRUNCATE integrity_anomalies CASCADE",
        "MERGE INTO integrity_anomalies i USING agents a ON a.id = i.agent_id \
         WHEN MATCHED THEN DELETE",
        "UPDATE integrity_anomalies SET id = id",
        "UPDATE integrity_anomalies SET agent_id = agent_id",
        "UPDATE integrity_anomalies SET kind = 'clock_drift'",
        "UPDATE integrity_anomalies SET summary = 'x'",
        "UPDATE integrity_anomalies SET detail = '{}'",
        "UPDATE integrity_anomalies SET evidence = '{}'",
        "UPDATE integrity_anomalies SET detected_at = now()",
        "UPDATE integrity_anomalies SET previous_id = id",
        "DELETE FROM agents",
        "UPDATE agents SET id = gen_random_uuid()",
        "TRUNCATE agents CASCADE",
        "UPDATE integrity_events SET at = now()",
        "DELETE FROM integrity_events",
        "TRUNCATE integrity_events",
        "DELETE FROM ledger_heads",
        "TRUNCATE ledger_heads",
        "UPDATE ledger_heads SET tenant_id = tenant_id",
        "DROP TABLE integrity_anomalies",
        "DROP TRIGGER integrity_anomalies_freeze ON integrity_anomalies",
        "ALTER TABLE integrity_anomalies DISABLE TRIGGER ALL",
        "ALTER TABLE integrity_events DISABLE TRIGGER integrity_events_chain",
        "ALTER TABLE integrity_anomalies DISABLE ROW LEVEL SECURITY",
        "CREATE OR REPLACE FUNCTION public.monsys_refuse_change() RETURNS trigger \
         LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "SET session_replication_role = replica",
        "CREATE TABLE public.x (y integer)",
        "SET ROLE monsys_owner",
        "SET ROLE postgres",
        "SELECT * FROM auditor_tenants",
    ] {
        login.assert_refused(statement, "42501");
    }
    // A grant of what one does not own is a warning, and gives nothing.
    let grant = format!(
        "GRANT DELETE, TRUNCATE ON integrity_events TO {}",
        login.name
    );
    login.run(&grant, "COMMIT").unwrap();
    login.assert_refused("DELETE FROM integrity_events", "42501");
    login.assert_refused("TRUNCATE integrity_events", "42501");
    // What it may write at all, it may not write back.
    for statement in [
        "UPDATE integrity_anomalies SET severity = 'low'",
        "UPDATE integrity_anomalies SET occurrences = 0",
        "UPDATE integrity_anomalies SET last_seen_at = last_seen_at - interval '1 hour'",
        "UPDATE integrity_anomalies SET acknowledged_at = now()",
        "UPDATE integrity_anomalies SET acknowledged_until = now()",
        "UPDATE integrity_anomalies SET snoozed_until = now()",
        "UPDATE integrity_anomalies SET resolved_at = now()",
    ] {
        login.assert_refused(statement, "23514");
    }
    let resolve = format!(
        "UPDATE integrity_anomalies SET resolved_at = now(), resolution = 'manual', \
         resolved_by = '{}'",
        scene.user
    );
    login.run(&resolve, "COMMIT").unwrap();
    for statement in [
        "UPDATE integrity_anomalies SET resolved_at = NULL, resolution = NULL, resolved_by = NULL",
        "UPDATE integrity_anomalies SET note = 'later'",
        "UPDATE integrity_anomalies SET last_detail = '{}'",
        "UPDATE integrity_anomalies SET severity = 'critical'",
    ] {
        login.assert_refused(statement, "23514");
    }
}

#[test]
fn an_entry_that_does_not_follow_the_head_is_refused() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let login = Login::new(&database, &scene, "chain");
    let entry = |seq: &str, prev: &str| {
        format!(
            "INSERT INTO integrity_events SELECT h.tenant_id, {seq}, i.id, 'seen', '{}', now(), \
             '{{}}', {prev}, sha256('x') FROM ledger_heads h, integrity_anomalies i",
            scene.user
        )
    };
    let zeros = "decode(repeat('00', 32), 'hex')";
    for (seq, prev) in [
        ("h.seq + 1", zeros),
        ("h.seq + 2", "h.hash"),
        ("0", "h.hash"),
        ("h.seq + 1", "'\\x00'"),
    ] {
        login.assert_refused(&entry(seq, prev), "23514");
    }
    login.assert_refused(&entry("h.seq", "h.hash"), "23505");
    // The entry that does is taken, and is the head.
    let follows = entry("h.seq + 1", "h.hash");
    let head = "SELECT seq, hash = sha256('x') FROM ledger_heads";
    let moved = login.run(&format!("{follows}; {head}"), "ROLLBACK");
    assert_eq!(moved.unwrap(), ["2|t"]);
    for statement in [
        "UPDATE ledger_heads SET seq = 0, hash = decode(repeat('00', 32), 'hex')",
        "UPDATE ledger_heads SET seq = seq - 1",
        "UPDATE ledger_heads SET seq = seq + 1",
        "UPDATE ledger_heads SET hash = sha256('x')",
        "UPDATE ledger_heads SET seq = seq",
    ] {
        login.assert_refused(statement, "23514");
    }
    assert_eq!(
        login.run("SELECT seq FROM ledger_heads", "COMMIT").unwrap(),
        ["1"]
    );
}

#[test]
fn not_even_the_owner_empties_or_rewrites_the_ledger() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.fill();
    let agent = scene.agents[0];
    // The owner lifts its own fence first; a superuser passes every fence.
    let owner = "SET LOCAL ROLE monsys_owner; \
                 ALTER TABLE integrity_anomalies NO FORCE ROW LEVEL SECURITY; \
                 ALTER TABLE integrity_events NO FORCE ROW LEVEL SECURITY; \
                 ALTER TABLE ledger_heads NO FORCE ROW LEVEL SECURITY; \
                 ALTER TABLE agents NO FORCE ROW LEVEL SECURITY";
    let agent_statements = [
        format!("DELETE FROM agents WHERE id = '{agent}'"),
        format!("UPDATE agents SET id = gen_random_uuid() WHERE id = '{agent}'"),
    ];
    let mut statements = vec![
        ("DELETE FROM integrity_anomalies", "23514"),
        ("TRUNCATE integrity_anomalies CASCADE", "23514"),
        ("TRUNCATE agents CASCADE", "23514"),
        ("TRUNCATE tenants CASCADE", "23514"),
        ("UPDATE integrity_anomalies SET summary = 'x'", "23514"),
        ("UPDATE integrity_anomalies SET previous_id = id", "23514"),
        (
            "UPDATE integrity_anomalies SET detail = '{\"a\": 1}'",
            "23514",
        ),
        ("UPDATE integrity_anomalies SET severity = 'low'", "23514"),
        ("DELETE FROM integrity_events", "23514"),
        ("UPDATE integrity_events SET at = now()", "23514"),
        ("TRUNCATE integrity_events", "23514"),
        ("DELETE FROM ledger_heads", "23514"),
        ("TRUNCATE ledger_heads", "23514"),
        ("UPDATE ledger_heads SET seq = 0", "23514"),
    ];
    // Up to PostgreSQL 17 a foreign key says 23503, from 18 on what RESTRICT does is 23001.
    statements.extend(agent_statements.iter().map(|text| (text.as_str(), "2300")));
    for who in [owner, "SELECT"] {
        for (statement, code) in &statements {
            let code = if *code == "2300" { "foreign key" } else { code };
            let sql = format!("BEGIN; {who}; {statement}; COMMIT");
            let refused = database.run_as("postgres", &sql);
            let refused = refused.expect_err(statement);
            assert!(refused.contains(code), "{who}; {statement}: {refused}");
        }
    }
}

#[test]
fn no_foreign_key_takes_rows_with_it() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    // What a cascade does, so that it is known what the rule is for: who may delete the parent
    // alone deletes the children too.
    let login = Login::new(&database, &scene, "cascade");
    let app = &login.name;
    database.run(&format!(
        "CREATE TABLE parent (id integer PRIMARY KEY); \
         CREATE TABLE child (id integer REFERENCES parent ON DELETE CASCADE); \
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); \
         GRANT SELECT, DELETE ON parent TO {app}; GRANT SELECT ON child TO {app}"
    ));
    login.assert_refused("DELETE FROM child", "42501");
    login.run("DELETE FROM parent", "COMMIT").unwrap();
    assert_eq!(database.number("SELECT count(*) FROM child"), 0);
    let cascades = "SELECT conname FROM pg_constraint WHERE contype = 'f' \
                    AND (confdeltype NOT IN ('r', 'a') OR confupdtype NOT IN ('r', 'a'))";
    assert_eq!(database.run(cascades), ["child_id_fkey"], "and no other");
    database.run("DROP TABLE child, parent");
}

#[test]
fn the_hub_speaks_of_itself_and_is_no_agent() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let tenant = scene.tenants[0];
    let hub = AgentId::of_hub(tenant);
    let found = IngestFinding {
        agent: hub,
        signal: signal(hub, "integrity.detector_stalled", None),
        ..scene.finding(0)
    };
    scene.wait.block_on(scene.store.record(&found)).unwrap();
    let (store, wait) = (&scene.store, &scene.wait);
    let page = store.anomalies(tenant, AnomalyFilter::default(), 10, wall_now());
    let page = wait.block_on(page).unwrap();
    assert_eq!(page.rows[0].agent_name, "monsys-hub");
    let listed = wait.block_on(store.agents(tenant, 1, wall_now())).unwrap();
    let listed: Vec<_> = listed.iter().map(|agent| agent.agent).collect();
    assert_eq!(listed, [scene.agents[0]]);
    let facts = wait.block_on(store.facts(tenant, None, 10, wall_now()));
    let facts: Vec<_> = facts.unwrap().agents.iter().map(|f| f.agent).collect();
    assert_eq!(facts, [scene.agents[0]]);
    assert!(wait.block_on(store.revoke(tenant, hub)).is_err());
    let activate = format!("UPDATE agents SET revoked_at = NULL WHERE id = '{hub}'");
    let refused = database.run_as("postgres", &activate).unwrap_err();
    assert!(refused.contains("one_credential"), "{refused}");
}

#[test]
fn writers_at_once_make_one_chain() {
    let Some(database) = cluster::database() else {
        return;
    };
    let scene = Scene::new(&database);
    scene.enrol(0, 1);
    let (tenant, user) = (scene.tenants[0], scene.user);
    let writers: Vec<_> = (0..6)
        .map(|_| {
            let (store, found) = (scene.store.clone(), scene.finding(0));
            scene.wait.0.spawn(async move {
                for _ in 0..12 {
                    store.record(&found).await.unwrap();
                    let open = AnomalyFilter::default();
                    let page = store.anomalies(tenant, open, 10, found.at).await.unwrap();
                    let ids: Vec<AnomalyId> = page.rows.iter().map(|row| row.anomaly.id).collect();
                    let close = Action::Resolve { note: None };
                    let acted = store.act(tenant, &ids, user, &close, found.at).await;
                    acted.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        scene.wait.0.block_on(writer).unwrap();
    }
    let (store, wait) = (&scene.store, &scene.wait);
    let mut verifier = Verifier::new(tenant);
    let entries = wait.block_on(store.ledger(tenant, None, 0, 1_000)).unwrap();
    assert!(entries.len() >= 2 * 12, "{} entries", entries.len());
    for entry in &entries {
        assert_eq!(verifier.entry(entry), Ok(()));
    }
    let page = store.anomalies(tenant, AnomalyFilter::default(), 1_000, wall_now());
    for row in wait.block_on(page).unwrap().rows {
        assert_eq!(verifier.anomaly(&row.anomaly), Ok(()));
    }
    let head = wait.block_on(store.ledger_head(tenant)).unwrap();
    assert_eq!(verifier.finish(Some(head)), Ok(head));
    let forks = "SELECT count(*) FROM (SELECT previous_id FROM integrity_anomalies \
                 GROUP BY previous_id HAVING count(*) > 1) f";
    assert_eq!(database.number(forks), 0, "each follows another");
}
