//! Both examples of the integrity document, byte for byte, through HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use support::person::Person;
use support::refusal::{assert_refusal, assert_security_headers};
use support::store::{anomalies, anomalies_of};
use support::{DataDir, Hub};

#[test]
fn example_1_a_stolen_token_without_the_key_is_refused_and_found() {
    let data = DataDir::new();
    let hub = Hub::start(&data);
    let admin = Person::set_up(&hub, "acme");
    let agent = data.enrol("acme", "web-1");
    agent.report(&hub, (1, 1), 12.5, "0.1.0");

    let stolen = agent.metrics((1, 2), 50.0);
    let answer = agent.send_with(&hub, stolen.as_bytes(), None);

    assert_refusal(&answer, 403, "unsigned_payload");
    let found = anomalies(&data, &agent);
    assert_eq!(found.len(), 1);
    let row = &found[0];
    assert_eq!(row.kind, "unsigned_payload");
    assert_eq!(row.severity, "high");
    assert_eq!(
        row.summary,
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature"
    );
    assert_eq!(row.detail, "{}");
    assert_eq!((row.occurrences, row.resolved_at.as_deref()), (1, None));

    let listing = admin.get(&hub, "/api/v1/integrity/anomalies?state=open");
    assert_eq!(listing.status, 200);
    assert_security_headers(&listing);
    let items = listing.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 1);
    let item = &items[0];
    assert_eq!(item["id"], row.id.as_str());
    assert_eq!(item["agent_id"], agent.id.to_string());
    assert_eq!(item["agent_name"], "web-1");
    assert_eq!(item["kind"], "unsigned_payload");
    assert_eq!(item["severity"], "high");
    assert_eq!(item["summary"], row.summary.as_str());
    assert_eq!(item["detected_at"], row.detected_at.as_str());
    assert!(listing.body.contains(r#""detail":{},"#), "{}", listing.body);
    for member in ["resolved_at", "resolved_by", "resolution", "note"] {
        assert!(item[member].is_null(), "{item}");
    }

    let summary = admin.get(&hub, "/api/v1/integrity/summary").json();
    let kinds = summary["kinds"].as_object().unwrap();
    assert_eq!(kinds.len(), 6);
    for (kind, count) in kinds {
        let expected = if kind == "unsigned_payload" {
            serde_json::json!({"open": 1, "worst": "high"})
        } else {
            serde_json::json!({"open": 0, "worst": null})
        };
        assert_eq!(*count, expected, "{kind}");
    }
    let page = admin.get(&hub, "/integrity");
    assert_eq!(page.status, 200);
    assert!(page.body.contains(&row.summary), "{}", page.body);
}

#[test]
fn example_2_constant_telemetry_is_found_by_the_cycle() {
    let data = DataDir::new();
    let hub = Hub::start(&data);
    let admin = Person::set_up(&hub, "acme");
    let agent = data.enrol("acme", "web-1");
    for seq in 1..=240 {
        agent.report(&hub, (1, seq), 4.20, "0.1.0");
    }
    assert_eq!(anomalies_of(&data, &agent, "flat_metrics"), []);

    data.cycle();

    let found = anomalies_of(&data, &agent, "flat_metrics");
    assert_eq!(found.len(), 1);
    let row = &found[0];
    assert_eq!(row.severity, "high");
    assert_eq!(
        row.summary,
        "CPU stddev = 0 over the last hour — telemetry seems manipulated"
    );
    assert_eq!(row.detail, r#"{"samples": 240, "stddev": 0.0}"#);

    let listing = admin.get(&hub, "/api/v1/integrity/anomalies?kind=flat_metrics");
    assert_eq!(listing.status, 200);
    let compact = listing.body.replace(' ', "");
    assert!(
        compact.contains(r#""detail":{"samples":240,"stddev":0.0}"#),
        "{}",
        listing.body
    );
    let item = &listing.json()["items"][0];
    assert_eq!(item["summary"], row.summary.as_str());
    assert_eq!(item["severity"], "high");
    let page = admin.get(&hub, "/integrity?kind=flat_metrics");
    assert!(page.body.contains(&row.summary), "{}", page.body);
}

#[test]
fn of_29_constant_samples_nothing_is_said_and_of_30_the_finding() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let agent = data.enrol("acme", "web-1");
    for seq in 1..=29 {
        agent.report(&hub, (1, seq), 4.20, "0.1.0");
    }
    data.cycle();
    assert_eq!(anomalies_of(&data, &agent, "flat_metrics"), []);
    agent.report(&hub, (1, 30), 4.20, "0.1.0");
    data.cycle();
    let found = anomalies_of(&data, &agent, "flat_metrics");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].detail, r#"{"samples": 30, "stddev": 0.0}"#);
}
