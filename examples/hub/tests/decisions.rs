//! Those of the 32 decisions about the integrity document that are about headers, the page and a
//! query, each by its number; the others stand in `monsys-integrity/tests/decisions.rs`.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod support;

use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE, SIGNATURE};

use support::agent::INGEST;
use support::person::Person;
use support::raw::{Wire, request};
use support::refusal::assert_refusal;
use support::store::{anomalies, number, rows};
use support::{Answer, DataDir, Hub, TestAgent, poll};

struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
}

impl Scene {
    /// An agent with a pinned key.
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        let hub = Hub::start(&data);
        Self { data, hub, agent }
    }

    fn send(&self, seq: i64, signature: Option<&str>) -> Answer {
        let body = self.agent.metrics((1, seq), 12.5);
        self.agent.send_with(&self.hub, body.as_bytes(), signature)
    }

    fn found(&self) -> Vec<(String, String, String)> {
        let rows = anomalies(&self.data, &self.agent).into_iter();
        rows.map(|row| (row.kind, row.severity, row.evidence))
            .collect()
    }
}

fn n_anomalies(data: &DataDir) -> i64 {
    number(data, "SELECT count(*) FROM integrity_anomalies", [])
}

#[test]
fn decision_01_the_row_of_example_1_is_unsigned_payload_high_and_403() {
    let scene = Scene::new();
    assert_refusal(&scene.send(1, None), 403, "unsigned_payload");
    let [row] = anomalies(&scene.data, &scene.agent).try_into().unwrap();
    assert_eq!((&*row.kind, &*row.severity), ("unsigned_payload", "high"));
    assert_eq!(
        row.summary,
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature"
    );
}

#[test]
fn decision_02_the_row_stays_high_and_the_card_is_red() {
    let scene = Scene::new();
    let admin = Person::added(&scene.data, &scene.hub, "acme", "admin");
    let card = |page: &str| {
        let end = page.find(r#" id="card-unsigned_payload""#).unwrap();
        let start = page[..end].rfind("class=\"card").unwrap();
        page[start..end].to_owned()
    };
    let page = || admin.get(&scene.hub, "/integrity").body;
    assert!(!card(&page()).contains("t-red"));
    assert_refusal(&scene.send(1, None), 403, "unsigned_payload");
    let summary = admin.get(&scene.hub, "/api/v1/integrity/summary").json();
    assert_eq!(summary["kinds"]["unsigned_payload"]["worst"], "high");
    assert!(card(&page()).contains("t-red"), "{}", card(&page()));
}

#[test]
fn decision_03_a_pinned_key_makes_it_high_and_none_medium_with_the_reason() {
    let scene = Scene::new();
    for empty in [None, Some("")] {
        assert_refusal(&scene.send(1, empty), 403, "unsigned_payload");
    }
    let high = ("unsigned_payload".into(), "high".into());
    let [(kind, severity, _)] = scene.found().try_into().unwrap();
    assert_eq!((kind, severity), high);

    let keyless = scene.data.enrol_without_key("acme", "keyless");
    let unverifiable = "a".repeat(128);
    for (seq, signature) in [(1, None), (2, Some(unverifiable.as_str()))] {
        let body = keyless.metrics((1, seq), 12.5);
        keyless
            .send_with(&scene.hub, body.as_bytes(), signature)
            .accepted();
    }
    let [row] = anomalies(&scene.data, &keyless).try_into().unwrap();
    assert_eq!((&*row.kind, &*row.severity), ("unsigned_payload", "medium"));
    assert_eq!(row.evidence, r#"{"reason": "no_pinned_key"}"#);
}

#[test]
fn decision_04_a_signature_that_is_none_or_of_another_body_is_critical() {
    let malformed = r#"{"reason": "malformed"}"#;
    let mismatch = r#"{"reason": "mismatch"}"#;
    // What is made of the signature of another body.
    let ways: [fn(String) -> Vec<String>; 4] = [
        |good| vec![good[..127].to_owned()],
        |good| vec![good.to_uppercase()],
        |good| vec![good.clone(), good],
        |good| vec![good],
    ];
    let expected = [malformed, malformed, malformed, mismatch];
    for (way, evidence) in ways.into_iter().zip(expected) {
        let scene = Scene::new();
        let values = way(scene
            .agent
            .sign(scene.agent.metrics((1, 1), 12.5).as_bytes()));
        let bearer = scene.agent.bearer();
        let mut headers = vec![(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, JSON_TYPE)];
        headers.extend(values.iter().map(|value| (SIGNATURE, value.as_str())));
        let body = scene.agent.metrics((1, 2), 99.0);
        let sent = request("POST", INGEST, &headers, body.as_bytes());
        let answer = Wire::open(scene.hub.addr).send(&sent).end().answer();
        assert_refusal(&answer, 403, "bad_signature");
        let expected = ["signature_invalid", "critical", evidence].map(str::to_owned);
        let [(kind, severity, evidence)] = scene.found().try_into().unwrap();
        assert_eq!([kind, severity, evidence], expected);
    }
}

#[test]
fn decision_05_an_unknown_token_is_401_and_leaves_no_row() {
    let mut scene = Scene::new();
    scene.agent.token = format!("ms_{}", "A".repeat(43));
    for signature in [None, Some("")] {
        assert_refusal(&scene.send(1, signature), 401, "unauthorized");
    }
    let body = scene.agent.metrics((1, 1), 12.5);
    let answer = scene.agent.send(&scene.hub, body.as_bytes());
    assert_refusal(&answer, 401, "unauthorized");
    assert_eq!(n_anomalies(&scene.data), 0);
    let events = "SELECT count(*) FROM integrity_events";
    assert_eq!(number(&scene.data, events, []), 0);
}

#[test]
fn decision_06_a_flood_is_one_row_that_counts_and_a_ledger_that_hardly_grows() {
    let scene = Scene::new();
    let n_forged = 60;
    for seq in 1..=n_forged {
        assert_refusal(&scene.send(seq, None), 403, "unsigned_payload");
    }
    let row = poll("all are counted", support::PATIENCE, || {
        let [row] = anomalies(&scene.data, &scene.agent).try_into().ok()?;
        (row.occurrences == n_forged).then_some(row)
    });
    assert!(row.last_seen_at > row.detected_at);
    let events = number(&scene.data, "SELECT count(*) FROM integrity_events", []);
    assert!(events < n_forged / 4, "{events} entries");
}

#[test]
fn decision_29_the_auditors_third_query_shows_what_closed_by_itself() {
    let scene = Scene::new();
    for (seq, version) in [(1, "0.2.0"), (2, "0.1.9")] {
        scene.agent.report(&scene.hub, (1, seq), 1.0, version);
    }
    scene.data.cycle();
    scene.agent.report(&scene.hub, (1, 3), 1.0, "0.2.0");
    scene.data.cycle();
    let sql = "SELECT u.role, ia.kind FROM integrity_anomalies ia \
               JOIN users u ON u.id = ia.resolved_by ORDER BY ia.resolved_at DESC";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let closed: Vec<(String, String)> = rows(&scene.data, sql, [], read);
    assert_eq!(closed, [("service".into(), "version_downgrade".into())]);
}
