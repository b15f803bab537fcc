//! What hangs together and what to repair first, over HTTP and in a page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::time::Span;
use serde_json::{Value, json};
use support::person::Person;
use support::{DataDir, Hub, now};

/// Four agents, an hour ago: three with a late backup within minutes, one of them with a broken
/// clock too, and one whose certificate is about to expire.
fn scene(data: &DataDir) -> Vec<String> {
    data.add_org("acme");
    data.add_org("rival");
    let names = ["web-1", "web-2", "web-3", "web-4"];
    let agents: Vec<_> = names
        .map(|name| data.enrol("acme", name).id.to_string())
        .into();
    let start = now().saturating_sub(Span::from_secs(3_600));
    let signal = |subject: &str, source: &str, key: &str, severity: &str, s: i64| {
        json!({
            "source": source, "subject_type": "agent", "subject_id": subject, "key": key,
            "value": {"value": true}, "severity": severity,
            "observed_at": start.saturating_add(Span::from_secs(s)).to_rfc3339(),
            "ttl_seconds": null,
        })
        .to_string()
    };
    let lines = [
        signal(&agents[0], "backup_check", "backup.age_hours", "medium", 0),
        signal(
            &agents[1],
            "backup_check",
            "backup.age_hours",
            "medium",
            400,
        ),
        signal(&agents[2], "backup_check", "backup.age_hours", "high", 800),
        signal(&agents[2], "clock_check", "clock.synchronised", "low", 900),
        signal(
            &agents[3],
            "cert_scan",
            "cert.expiry_days",
            "critical",
            2_000,
        ),
    ];
    let file = data.path().join("found.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let emitted = data.run(&["signals", "emit", "--org", "acme", "--file", file]);
    assert!(emitted.status.success(), "{emitted:?}");
    agents
}

fn get(person: &Person, hub: &Hub, path: &str) -> (u16, Value) {
    let answer = person.get(hub, path);
    let body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    (answer.status, body)
}

fn insights_are_read_from_signals_alone(data: &DataDir) {
    let agents = scene(data);
    let hub = Hub::start(data);
    let person = Person::added(data, &hub, "acme", "read_only");
    let (status, body) = get(&person, &hub, "/api/v1/correlation");
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&body["total"], &body["complete"]),
        (&json!(2), &json!(true))
    );
    let items = body["items"].as_array().unwrap();
    let fleet = items.iter().find(|item| item["scope"] == "fleet").unwrap();
    assert_eq!(fleet["key"], "backup.age_hours");
    assert_eq!(
        (&fleet["n_subjects"], &fleet["worst"]),
        (&json!(3), &json!("high"))
    );
    assert_eq!(fleet["findings"].as_array().map(Vec::len), Some(3));
    let own = items
        .iter()
        .find(|item| item["scope"] == "subject")
        .unwrap();
    assert_eq!(
        (&own["subject_id"], &own["n_findings"]),
        (&json!(agents[2]), &json!(2))
    );
    // A name finds its incident again, on either of two reads.
    let path = format!("/api/v1/correlation?id={}", fleet["id"].as_str().unwrap());
    let (status, again) = get(&person, &hub, &path);
    assert_eq!((status, &again["items"][0]["id"]), (200, &fleet["id"]));
    the_controls_are_ordered(&person, &hub);
    the_page_shows_both(&person, &hub);
    garbage_and_strangers_get_nothing(data, &person, &hub);
}

fn the_controls_are_ordered(person: &Person, hub: &Hub) {
    let (status, body) = get(person, hub, "/api/v1/compliance/pareto");
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["framework"], "NIST CSF 2.0");
    let items = body["items"].as_array().unwrap();
    let ids: Vec<_> = items
        .iter()
        .map(|item| item["control"].as_str().unwrap())
        .collect();
    // Backups bring 5 + 5 + 10 points (12, of which the category has 10), the certificate 10
    // (25, of which the category has 10), the clock 2.
    assert_eq!(ids, ["PR.DS-11", "PR.DS-02", "PR.PS-01"]);
    let gains: Vec<_> = items
        .iter()
        .map(|item| item["gain_milli"].as_u64().unwrap())
        .collect();
    assert_eq!(gains, [20_000, 10_000, 2_000]);
    assert_eq!(items[2]["cumulative_permille"], 1_000);
    assert_eq!(
        (&body["vital"], &body["uncontrolled"]),
        (&json!(2), &json!(0))
    );
    let csv = person.get(hub, "/api/v1/compliance/pareto?format=csv");
    assert_eq!(csv.body.lines().count(), 4, "{}", csv.body);
    assert!(
        csv.body.lines().nth(1).unwrap().starts_with("PR.DS-11,"),
        "{}",
        csv.body
    );
}

fn the_page_shows_both(person: &Person, hub: &Hub) {
    let page = person.get(hub, "/insights");
    assert_eq!(page.status, 200);
    for piece in [
        "id=\"incidents\">2</span>",
        "<strong>Fleet:</strong> <code>backup.age_hours</code>",
        "<code>PR.DS-11</code>",
        "class=\"reach\" points=\"",
    ] {
        assert!(page.body.contains(piece), "{piece}: {}", page.body);
    }
    let page = person.get(hub, "/fleet");
    assert!(page.body.contains("mean of 4 agents"), "{}", page.body);
    let csv = person.get(hub, "/api/v1/correlation?format=csv");
    assert_eq!(csv.body.lines().count(), 3, "{}", csv.body);
}

fn garbage_and_strangers_get_nothing(data: &DataDir, person: &Person, hub: &Hub) {
    for path in [
        "/api/v1/correlation?since=soon",
        "/api/v1/correlation?since=2001-01-01T00:00:00Z",
        "/api/v1/correlation?since=2999-01-01T00:00:00Z",
        "/api/v1/correlation?limit=0",
        "/api/v1/correlation?format=pdf",
        "/api/v1/correlation?key=a.b",
        "/api/v1/compliance/pareto?format=pdf",
        "/api/v1/compliance/pareto?limit=1",
    ] {
        let (status, body) = get(person, hub, path);
        assert_eq!(
            (status, &body["code"]),
            (422, &json!("out_of_range")),
            "{path}"
        );
    }
    assert_eq!(get(person, hub, "/api/v1/correlation?id=00").0, 404);
    let rival = Person::added(data, hub, "rival", "read_only");
    let (_, body) = get(&rival, hub, "/api/v1/correlation");
    assert_eq!((&body["total"], &body["items"]), (&json!(0), &json!([])));
    let (_, body) = get(&rival, hub, "/api/v1/compliance/pareto");
    assert_eq!(body["items"], json!([]));
    for path in ["/api/v1/correlation", "/api/v1/compliance/pareto"] {
        assert_eq!(get(&Person::anonymous(), hub, path).0, 401);
    }
    assert_eq!(Person::anonymous().get(hub, "/insights").status, 303);
}

#[test]
fn insights_are_read_from_the_signals_of_the_store_of_this_run() {
    insights_are_read_from_signals_alone(&DataDir::new());
}

#[test]
fn insights_are_read_from_the_signals_of_postgres() {
    if let Some(data) = DataDir::on_postgres() {
        insights_are_read_from_signals_alone(&data);
    }
}
