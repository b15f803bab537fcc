//! What one agent sends changes no other agent's verdict and breaks no question about the fleet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::{Value, json};

use support::person::Person;
use support::refusal::assert_refusal;
use support::store::anomalies;
use support::{DataDir, Hub, TestAgent};

/// Questions about all agents at once.
const OF_THE_FLEET: [&str; 7] = [
    "/api/v1/agents",
    "/api/v1/integrity/summary",
    "/api/v1/integrity/anomalies",
    "/api/v1/integrity/anomalies?format=csv",
    "/api/v1/compliance/pareto",
    "/integrity",
    "/overview",
];

/// A body whose members were changed, as text: what is no JSON can stand in it.
fn forged(agent: &TestAgent, seq: i64, change: impl FnOnce(&mut Value)) -> String {
    let body = agent.metrics((1, seq), 4.2);
    let mut value: Value = serde_json::from_slice(body.as_bytes()).unwrap();
    change(&mut value);
    value.to_string()
}

fn send(hub: &Hub, agent: &TestAgent, body: &str) -> u16 {
    agent.send(hub, body.as_bytes()).status
}

/// The kinds found of an agent, in the order of their words.
fn kinds(data: &DataDir, agent: &TestAgent) -> Vec<String> {
    let mut kinds: Vec<_> = anomalies(data, agent)
        .into_iter()
        .map(|anomaly| anomaly.kind)
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn hostile_agents_change_no_other_agents_verdict_and_no_question_about_the_fleet() {
    let data = DataDir::new();
    data.add_org("acme");
    let [honest, lowered, numbers, clocks, versions, flood] = [
        "honest", "lowered", "numbers", "clocks", "versions", "flood",
    ]
    .map(|name| data.enrol("acme", name));
    let hub = Hub::start_with(
        &data,
        &[("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")],
    );
    for (seq, version) in [(1, "0.2.0"), (2, "0.1.9")] {
        honest.report(&hub, (1, seq), 7.5, "0.2.0");
        lowered.report(&hub, (1, seq), 7.5, version);
    }

    // Numbers that no processor has, and text that is no number.
    for (seq, cpu, status, code) in [
        (1, 1e300, 400, "number_range"),
        (2, -1e300, 400, "number_range"),
        (3, 100.5, 422, "out_of_range"),
        (4, 1e-300, 202, ""),
    ] {
        let body = forged(&numbers, seq, |body| {
            body["data"]["cpu_usage_percent"] = json!(cpu);
        });
        let answer = numbers.send(&hub, body.as_bytes());
        match status {
            202 => drop(answer.accepted()),
            _ => assert_refusal(&answer, status, code),
        }
    }
    for text in ["NaN", "Infinity", "\"NaN\"", "1e999"] {
        let body = forged(&numbers, 5, |_| {}).replace("4.2", text);
        let status = send(&hub, &numbers, &body);
        assert!(matches!(status, 400 | 422), "{text}: {status}");
    }

    // Clocks at the ends of time: kept as what the agent says, and found as a wrong clock.
    for seq in 1..=20 {
        let at = ["1970-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"]
            [usize::from(seq % 2 == 0)];
        let body = forged(&clocks, seq, |body| {
            body["captured_at"] = json!(at);
            body["sent_at"] = json!(at);
        });
        assert_eq!(send(&hub, &clocks, &body), 202, "{at}");
    }

    // A version of ten thousand bytes.
    let body = forged(&versions, 1, |body| {
        body["agent_version"] = json!("9".repeat(10_240));
    });
    assert_eq!(send(&hub, &versions, &body), 422);

    // As fast as it can, more than fifty a second would be.
    for seq in 1..=60 {
        flood.report(&hub, (1, seq), 50.0 + 0.25 * seq as f64, "0.2.0");
    }

    let report = data.cycle();
    assert_eq!(report["evaluated"], 6, "{report}");
    assert_eq!(report["faults"], json!([]), "{report}");
    assert_eq!(kinds(&data, &honest), Vec::<String>::new());
    assert_eq!(kinds(&data, &lowered), ["version_downgrade"]);
    assert_eq!(kinds(&data, &numbers), Vec::<String>::new());
    assert_eq!(kinds(&data, &clocks), ["clock_drift"]);
    assert_eq!(kinds(&data, &versions), Vec::<String>::new());
    assert_eq!(kinds(&data, &flood), ["cadence_anomaly"]);

    let admin = Person::added(&data, &hub, "acme", "admin");
    for path in OF_THE_FLEET {
        let answer = admin.get(&hub, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}
