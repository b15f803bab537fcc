//! The trust score over HTTP: exact, explained, and the same for any past moment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::time::{Span, Timestamp};
use serde_json::{Value, json};
use support::person::Person;
use support::{DataDir, Hub, now};

/// A hub with an agent about which three sources said something, an hour ago and since.
struct Scene {
    hub: Hub,
    person: Person,
    agent: String,
    data: DataDir,
    start: Timestamp,
}

impl Scene {
    fn new(data: DataDir) -> Self {
        data.add_org("acme");
        data.add_org("rival");
        let agent = data.enrol("acme", "web-1").id.to_string();
        let start = now().saturating_sub(Span::from_secs(3_600));
        let at = |s: i64| start.saturating_add(Span::from_secs(s)).to_rfc3339();
        let said = [
            (
                "integrity_check",
                "integrity.flat_metrics",
                Some("high"),
                at(0),
                None,
            ),
            (
                "backup_check",
                "backup.age_hours",
                Some("medium"),
                at(600),
                None,
            ),
            (
                "backup_check",
                "backup.tested",
                Some("low"),
                at(600),
                Some(900),
            ),
            ("my_check", "my.finding", Some("critical"), at(600), None),
            (
                "clock_check",
                "clock.synchronised",
                Some("info"),
                at(600),
                None,
            ),
            // Repaired half an hour ago.
            (
                "integrity_check",
                "integrity.flat_metrics",
                None,
                at(1_800),
                None,
            ),
        ];
        let lines = said.map(|(source, key, severity, observed_at, ttl_seconds)| {
            json!({
                "source": source, "subject_type": "agent", "subject_id": agent, "key": key,
                "value": {"value": true}, "severity": severity, "observed_at": observed_at,
                "ttl_seconds": ttl_seconds,
            })
            .to_string()
        });
        let file = data.path().join("said.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let file = file.to_str().unwrap();
        let emitted = data.run(&["signals", "emit", "--org", "acme", "--file", file]);
        assert!(emitted.status.success(), "{emitted:?}");
        let hub = Hub::start(&data);
        let person = Person::added(&data, &hub, "acme", "read_only");
        Self {
            hub,
            person,
            agent,
            data,
            start,
        }
    }

    fn ask(&self, query: &str) -> (u16, Value) {
        let path = format!("/api/v1/trust/{}{query}", self.agent);
        let answer = self.person.get(&self.hub, &path);
        let body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        (answer.status, body)
    }

    fn at(&self, s: i64) -> Value {
        let at = self.start.saturating_add(Span::from_secs(s)).to_rfc3339();
        let (status, body) = self.ask(&format!("?at={at}"));
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["at"], at);
        assert_sums(&body);
        body
    }
}

fn assert_sums(body: &Value) {
    let milli = |value: &Value| value.as_u64().unwrap();
    let sum = |list: &Value| {
        let list = list.as_array().unwrap().iter();
        list.map(|one| milli(&one["takes_milli"])).sum::<u64>()
    };
    assert_eq!(
        milli(&body["score_milli"]) + sum(&body["contributions"]),
        100_000
    );
    assert_eq!(
        milli(&body["score_milli"]) + sum(&body["categories"]),
        100_000
    );
}

fn a_score_is_explained_and_replayed(data: DataDir) {
    let scene = Scene::new(data);
    let (status, body) = scene.ask("");
    assert_eq!(status, 200, "{body}");
    assert_sums(&body);
    assert_eq!(body["score_milli"], 95_000);
    assert_eq!(body["score"], 95.0);
    assert_eq!(body["coverage"], json!({"covered": 3, "of": 7}));
    let taken = &body["contributions"];
    assert_eq!(taken.as_array().map(Vec::len), Some(1), "{taken}");
    assert_eq!(taken[0]["key"], "backup.age_hours");
    assert_eq!(taken[0]["takes_milli"], 5_000);
    let unmapped = json!([{"source": "my_check", "key": "my.finding"}]);
    assert_eq!(body["unmapped"], unmapped);
    // Nothing yet, one finding, all of them, what expired is gone, what was repaired too.
    let scores: Vec<_> = [-1, 0, 600, 1_499, 1_500, 1_799, 1_800, 3_000]
        .map(|s| scene.at(s)["score_milli"].as_u64().unwrap())
        .into();
    let both_backups = 5_000 + 2_000 * 370_728 / (1 << 20);
    let expected = [
        100_000,
        88_000,
        88_000 - both_backups,
        88_000 - both_backups,
        83_000,
        83_000,
        95_000,
        95_000,
    ];
    assert_eq!(scores, expected);
    assert_eq!(scene.at(-1)["coverage"]["covered"], 0);
    // What the fewest repairs bring.
    let (_, body) = scene.ask("?target=100");
    let fix = json!({"score_milli": 100_000, "repair": [{"source": "backup_check", "key": "backup.age_hours"}]});
    assert_eq!(body["fix"], fix);
    let (_, body) = scene.ask("?target=90");
    assert_eq!(body["fix"]["repair"], json!([]), "nothing to do");
    page_says_the_same(&scene);
    strangers_and_garbage_are_refused(&scene);
}

fn page_says_the_same(scene: &Scene) {
    let page = scene
        .person
        .get(&scene.hub, &format!("/agents/{}", scene.agent));
    let html = page.body;
    assert!(html.contains("id=\"score\">95.000</span>"), "{html}");
    assert!(html.contains("<code>backup.age_hours</code>"));
    let csv = scene.person.get(
        &scene.hub,
        &format!("/api/v1/trust/{}?format=csv", scene.agent),
    );
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = csv.body;
    let rows: Vec<_> = text.lines().collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(
        rows[1].starts_with("backup,1,backup_check,backup.age_hours,medium,"),
        "{text}"
    );
    assert!(rows[1].ends_with(",5.000,5.000"), "{text}");
}

fn strangers_and_garbage_are_refused(scene: &Scene) {
    for query in [
        "?at=yesterday",
        "?at=2999-01-01T00:00:00Z",
        "?at=2001-01-01T00:00:00Z",
        "?target=101",
        "?target=-1",
        "?format=xml",
        "?limit=1",
    ] {
        let (status, body) = scene.ask(query);
        assert_eq!(
            (status, &body["code"]),
            (422, &json!("out_of_range")),
            "{query}"
        );
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.starts_with("expected "), "{detail}");
    }
    let path = format!("/api/v1/trust/{}", scene.agent);
    let rival = Person::added(&scene.data, &scene.hub, "rival", "read_only");
    assert_eq!(rival.get(&scene.hub, &path).status, 404);
    assert_eq!(Person::anonymous().get(&scene.hub, &path).status, 401);
    for unknown in ["x", "00000000-0000-4000-8000-000000000000"] {
        let answer = scene
            .person
            .get(&scene.hub, &format!("/api/v1/trust/{unknown}"));
        assert_eq!(answer.status, 404, "{unknown}");
    }
}

#[test]
fn a_score_is_explained_and_replayed_from_the_store_of_this_run() {
    a_score_is_explained_and_replayed(DataDir::new());
}

#[test]
fn a_score_is_explained_and_replayed_from_postgres() {
    if let Some(data) = DataDir::on_postgres() {
        a_score_is_explained_and_replayed(data);
    }
}
