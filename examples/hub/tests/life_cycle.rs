//! The life of an anomaly: opened, counted, resolved by the next cycle or by a person, opened anew;
//! and a ledger that nobody rewrites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_wire::SigningKey;

use support::person::Person;
use support::refusal::assert_refusal;
use support::store::{Anomaly, anomalies, anomalies_of, is_no_file, number, open_writable, rows};
use support::{DataDir, Hub, TestAgent};

const KIND: &str = "version_downgrade";
const RESOLVE_JSON: [(&str, &str); 1] = [("content-type", "application/json")];

struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
    seq: i64,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        let hub = Hub::start(&data);
        Self {
            data,
            hub,
            agent,
            seq: 0,
        }
    }

    fn report(&mut self, version: &str) {
        self.seq += 1;
        let cpu = f64::from(i32::try_from(self.seq).unwrap());
        self.agent.report(&self.hub, (1, self.seq), cpu, version);
    }

    fn downgrades(&self) -> Vec<Anomaly> {
        anomalies_of(&self.data, &self.agent, KIND)
    }

    /// An open downgrade.
    fn opened(&mut self) -> Anomaly {
        self.report("0.2.0");
        self.report("0.1.9");
        self.data.cycle();
        let found = self.downgrades();
        assert_eq!(found.len(), 1);
        found.into_iter().next().unwrap()
    }

    fn resolve_path(&self, id: &str) -> String {
        format!("/api/v1/integrity/anomalies/{id}/resolve")
    }
}

#[test]
fn a_downgrade_opens_counts_resolves_and_opens_anew() {
    let mut scene = Scene::new();
    let first = scene.opened();
    assert_eq!(
        (first.severity.as_str(), first.detail.as_str()),
        ("high", "{}")
    );
    assert_eq!(first.summary, "agent version went from 0.2.0 down to 0.1.9");
    assert_eq!((first.occurrences, first.resolved_at.as_deref()), (1, None));

    scene.data.cycle();
    let [counted] = scene.downgrades().try_into().unwrap();
    assert_eq!(counted.occurrences, 2);
    assert!(counted.last_seen_at > first.last_seen_at);
    let frozen = Anomaly {
        last_seen_at: first.last_seen_at.clone(),
        occurrences: 1,
        ..counted
    };
    assert_eq!(frozen, first, "evidence is that of the first detection");

    scene.report("0.2.0");
    scene.data.cycle();
    let [closed] = scene.downgrades().try_into().unwrap();
    assert_eq!(closed.resolution.as_deref(), Some("auto"));
    assert!(closed.resolved_at.is_some() && closed.note.is_none());
    assert_eq!(closed.occurrences, 2);

    scene.report("0.1.9");
    scene.data.cycle();
    let found = scene.downgrades();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], closed, "what is resolved stays as it is");
    assert_eq!(
        (found[1].occurrences, found[1].resolved_at.as_deref()),
        (1, None)
    );
    assert_ne!(found[1].id, found[0].id);
}

#[test]
fn the_auditors_third_query_names_who_closed_what() {
    let mut scene = Scene::new();
    // The store has a test of its own that runs the query to the letter on PostgreSQL.
    if is_no_file(&scene.data) {
        return;
    }
    scene.opened();
    scene.report("0.2.0");
    scene.data.cycle();
    // The integrity document's query, with SQLite's words for thirty days ago.
    let sql = "SELECT u.email, ia.kind, ia.summary, ia.resolved_at \
               FROM integrity_anomalies ia \
               JOIN users u ON u.id = ia.resolved_by \
               WHERE ia.resolved_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days') \
               ORDER BY ia.resolved_at DESC";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found: Vec<(String, String)> = rows(&scene.data, sql, [], read);
    assert_eq!(found.len(), 1);
    let (email, kind) = &found[0];
    assert!(email.contains('@'), "{email}");
    assert_eq!(kind, KIND);
    let sql = "SELECT role FROM users WHERE email = ?1";
    assert_eq!(
        rows(&scene.data, sql, [email], |row| row.get::<_, String>(0)),
        ["service"]
    );
}

#[test]
fn a_version_that_cannot_be_read_neither_opens_nor_resolves() {
    let mut scene = Scene::new();
    scene.report("0.2.0");
    scene.report("banana");
    scene.data.cycle();
    assert_eq!(scene.downgrades(), []);
    scene.report("0.1.9");
    scene.data.cycle();
    let opened = scene.downgrades();
    assert_eq!(opened.len(), 1);
    for garbage in ["v0.2.0", "0.2", "00.2.0", "banana"] {
        scene.report(garbage);
        scene.data.cycle();
        assert_eq!(scene.downgrades(), opened, "{garbage}");
    }
}

#[test]
fn suffixes_are_not_compared() {
    let mut scene = Scene::new();
    for version in [
        "0.1.0",
        "0.1.0-beta1",
        "0.1.0+build.7",
        "0.1.0-alpha",
        "0.1.0",
    ] {
        scene.report(version);
        scene.data.cycle();
        assert_eq!(scene.downgrades(), [], "{version}");
    }
}

#[test]
fn whoever_has_no_key_moves_no_version() {
    let mut scene = Scene::new();
    scene.agent = scene.data.enrol_without_key("acme", "keyless");
    for version in ["9.0.0", "0.1.0"] {
        scene.report(version);
    }
    assert_eq!(scene.agent.pin(&scene.hub).status, 200);
    scene.seq = 0;
    scene.report("0.1.0");
    scene.data.cycle();
    assert_eq!(scene.downgrades(), []);
}

#[test]
fn an_unsigned_finding_resolves_after_a_whole_cycle_of_verified_payloads() {
    let mut scene = Scene::new();
    scene.agent = scene.data.enrol_without_key("acme", "keyless");
    let unsigned = |scene: &Scene| anomalies_of(&scene.data, &scene.agent, "unsigned_payload");
    scene.report("0.1.0");
    let [medium] = unsigned(&scene).try_into().unwrap();
    assert_eq!(
        (medium.severity.as_str(), medium.resolved_at.as_deref()),
        ("medium", None)
    );

    assert_eq!(scene.agent.pin(&scene.hub).status, 200);
    scene.seq = 0;
    scene.report("0.1.0");
    scene.data.cycle();
    assert_eq!(
        unsigned(&scene),
        std::slice::from_ref(&medium),
        "no whole cycle has gone by"
    );
    scene.data.cycle();
    assert_eq!(
        unsigned(&scene),
        [medium],
        "nothing verified came since the cycle before"
    );
    scene.report("0.1.0");
    scene.data.cycle();
    let [closed] = unsigned(&scene).try_into().unwrap();
    assert_eq!(closed.resolution.as_deref(), Some("auto"));
}

#[test]
fn a_medium_finding_rises_to_high_and_keeps_its_evidence() {
    let mut scene = Scene::new();
    scene.agent = scene.data.enrol_without_key("acme", "keyless");
    scene.report("0.1.0");
    let [medium] = anomalies(&scene.data, &scene.agent).try_into().unwrap();
    assert_eq!(scene.agent.pin(&scene.hub).status, 200);
    let body = scene.agent.metrics((1, 1), 4.2);
    let answer = scene.agent.send_with(&scene.hub, body.as_bytes(), None);
    assert_refusal(&answer, 403, "unsigned_payload");
    let [high] = anomalies(&scene.data, &scene.agent).try_into().unwrap();
    assert_eq!((high.severity.as_str(), high.occurrences), ("high", 2));
    assert_eq!((high.id, high.evidence), (medium.id, medium.evidence));
}

#[test]
fn another_key_than_the_pinned_one_is_refused_and_found() {
    let scene = Scene::new();
    let mut thief = scene.data.enrol("acme", "beta");
    thief.key = SigningKey::from_secret_bytes([99; 32]);
    assert_refusal(&thief.pin(&scene.hub), 403, "pin_refused");
    let [found] = anomalies(&scene.data, &thief).try_into().unwrap();
    assert_eq!(
        (found.kind.as_str(), found.severity.as_str()),
        ("signature_invalid", "critical")
    );
    assert_eq!(found.evidence, r#"{"reason": "pin_conflict"}"#);
}

#[test]
fn an_admin_resolves_once_and_again_changes_nothing() {
    let mut scene = Scene::new();
    let opened = scene.opened();
    let admin = Person::added(&scene.data, &scene.hub, "acme", "admin");
    let path = scene.resolve_path(&opened.id);
    let post = |body: &str| admin.post(&scene.hub, &path, body, &RESOLVE_JSON);
    let answer = post(r#"{"note":"rolled back on purpose"}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    let row = answer.json();
    assert_eq!(row["id"], opened.id.as_str());
    assert_eq!(row["resolved_by"], "admin@acme.example");
    assert_eq!(row["resolution"], "manual");
    assert_eq!(row["note"], "rolled back on purpose");
    let again = post(r#"{"note":"another note"}"#);
    assert_eq!((again.status, again.json()), (200, row));
    let resolved = scene.downgrades();
    assert_eq!(resolved[0].resolution.as_deref(), Some("manual"));

    // What a person accepted is no downgrade any more; a version below it is a new one.
    scene.data.cycle();
    assert_eq!(scene.downgrades(), resolved);
    scene.report("0.1.8");
    scene.data.cycle();
    let found = scene.downgrades();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], resolved[0]);
    let sql = "SELECT count(*) FROM audit_log WHERE action = 'anomaly resolved' AND subject = ?1";
    assert_eq!(number(&scene.data, sql, [&opened.id]), 1);
}

#[test]
fn a_note_has_at_most_4096_bytes() {
    let mut scene = Scene::new();
    let opened = scene.opened();
    let admin = Person::added(&scene.data, &scene.hub, "acme", "admin");
    let path = scene.resolve_path(&opened.id);
    for body in [
        format!(r#"{{"note":"{}"}}"#, "x".repeat(4_097)),
        format!(r#"{{"note":"{}"}}"#, "é".repeat(2_049)),
        r#"{"note":7}"#.to_owned(),
        r#"{"note":"a\u0000b"}"#.to_owned(),
        r#"{"remark":"x"}"#.to_owned(),
        "[".repeat(10_000),
        "{".to_owned(),
    ] {
        let answer = admin.post(&scene.hub, &path, &body, &RESOLVE_JSON);
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(scene.downgrades(), std::slice::from_ref(&opened));
    }
    let longest = format!(r#"{{"note":"{}"}}"#, "x".repeat(4_096));
    let answer = admin.post(&scene.hub, &path, &longest, &RESOLVE_JSON);
    assert_eq!(answer.status, 200);
    assert_eq!(
        scene.downgrades()[0].note.as_ref().map(String::len),
        Some(4_096)
    );
}

#[test]
fn nobody_else_resolves() {
    let mut scene = Scene::new();
    let opened = scene.opened();
    scene.data.add_org("other");
    let admin = Person::added(&scene.data, &scene.hub, "acme", "admin");
    let reader = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    let foreigner = Person::added(&scene.data, &scene.hub, "other", "admin");
    let (hub, path) = (&scene.hub, scene.resolve_path(&opened.id));
    let post =
        |who: &Person, path: &str, headers: &[(&str, &str)]| who.post(hub, path, "", headers);
    let unknown = scene.resolve_path("00000000-0000-4000-8000-000000000000");
    assert_refusal(&post(&admin, &unknown, &[]), 404, "not_found");
    let nonsense = scene.resolve_path("nonsense");
    assert_refusal(&post(&admin, &nonsense, &[]), 404, "not_found");
    assert_refusal(&post(&Person::anonymous(), &path, &[]), 401, "unauthorized");
    assert_refusal(&post(&foreigner, &path, &[]), 404, "not_found");
    assert_refusal(&post(&reader, &path, &[]), 403, "forbidden");
    let evil = [("origin", "http://evil.example")];
    assert_refusal(&post(&admin, &path, &evil), 403, "forbidden");
    let cross_site = [("sec-fetch-site", "cross-site")];
    assert_refusal(&post(&admin, &path, &cross_site), 403, "forbidden");
    assert_eq!(scene.downgrades(), [opened]);
    let listed = |who: &Person| who.get(hub, "/api/v1/integrity/anomalies").json();
    assert_eq!(
        listed(&foreigner)["items"].as_array().map(Vec::len),
        Some(0)
    );
    assert!(
        listed(&reader)["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    );
    let agent = format!("/api/v1/agents/{}", scene.agent.id);
    assert_eq!(foreigner.get(hub, &agent).status, 404);
    assert_eq!(reader.get(hub, &agent).status, 200);
    let same = [
        ("origin", hub.url("")),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let same: Vec<_> = same
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(post(&admin, &path, &same).status, 200);
}

#[test]
fn login_and_set_up_links_work_once() {
    let data = DataDir::new();
    let hub = Hub::start(&data);
    let path = hub.set_up_path().to_owned();
    let admin = Person::set_up(&hub, "acme");
    assert_eq!(Person::anonymous().get(&hub, &path).status, 401);
    let form = "organisation=evil&email=e%40evil.example";
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let again = Person::anonymous().post(&hub, &path, form, &kind);
    assert_eq!((again.status, again.header("set-cookie")), (401, None));
    assert_eq!(admin.get(&hub, "/api/v1/agents").status, 200);
    let arguments = ["user", "add", "--org", "acme", "--email", "x@acme.example"];
    let added = data.json(&[&arguments[..], &["--login-link"]].concat());
    let link = added["login_link"].as_str().unwrap();
    let path = link.strip_prefix("http://127.0.0.1:8080").unwrap();
    let first = Person::anonymous().get(&hub, path);
    assert!(first.header("set-cookie").is_some(), "{first:?}");
    let second = Person::anonymous().get(&hub, path);
    assert_eq!((second.status, second.header("set-cookie")), (401, None));
}

#[test]
fn the_ledger_refuses_to_lose_or_rewrite_anything() {
    let mut scene = Scene::new();
    if is_no_file(&scene.data) {
        return;
    }
    let opened = scene.opened();
    let connection = open_writable(&scene.data);
    let refused = |sql: &str| {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(
            !error.contains("locked") && !error.contains("syntax"),
            "{sql}: {error}"
        );
    };
    let untouchable = [
        "DELETE FROM integrity_anomalies",
        "UPDATE integrity_anomalies SET evidence = '{}'",
        "UPDATE integrity_anomalies SET detail = '{\"samples\": 1}'",
        "UPDATE integrity_anomalies SET summary = 'nothing'",
        "UPDATE integrity_anomalies SET kind = 'clock_drift'",
        "UPDATE integrity_anomalies SET detected_at = '1970-01-01T00:00:00.000000Z'",
        "UPDATE integrity_anomalies SET severity = 'low'",
        "UPDATE integrity_anomalies SET occurrences = 0",
        "UPDATE integrity_anomalies SET last_seen_at = '1970-01-01T00:00:00.000000Z'",
        "UPDATE integrity_anomalies SET id = 'x'",
        "UPDATE integrity_anomalies SET agent_id = 'x'",
        "INSERT OR REPLACE INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, \
         summary, detail, evidence, detected_at, last_seen_at, occurrences) SELECT id, tenant_id, \
         agent_id, kind, severity, 'nothing', detail, evidence, detected_at, last_seen_at, \
         occurrences FROM integrity_anomalies",
        "REPLACE INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, \
         detail, evidence, detected_at, last_seen_at, occurrences) SELECT 'other', tenant_id, \
         agent_id, kind, severity, 'nothing', detail, evidence, detected_at, last_seen_at, \
         occurrences FROM integrity_anomalies",
        "UPDATE OR REPLACE integrity_anomalies SET kind = 'clock_drift'",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'nobody'",
        "INSERT OR REPLACE INTO audit_log (id, at, actor, action, subject) \
         SELECT id, at, 'nobody', action, subject FROM audit_log",
    ];
    untouchable.into_iter().for_each(refused);
    assert_eq!(scene.downgrades(), [opened]);
    scene.report("0.2.0");
    scene.data.cycle();
    let closed = scene.downgrades();
    for sql in [
        "UPDATE integrity_anomalies SET resolved_at = NULL, resolved_by = NULL, resolution = NULL",
        "UPDATE integrity_anomalies SET note = 'later'",
        "UPDATE integrity_anomalies SET occurrences = 1",
        "DELETE FROM integrity_anomalies WHERE resolved_at IS NOT NULL",
    ] {
        refused(sql);
    }
    assert_eq!(scene.downgrades(), closed);
}
