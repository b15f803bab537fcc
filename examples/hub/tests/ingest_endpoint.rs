//! What runs, listens and starts on a machine: stored as sent, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::{Value, json};
use support::refusal::assert_refusal;
use support::{DataDir, Hub, TestAgent, now};

fn snapshot() -> Value {
    json!({
        "processes": [{"name": "sshd", "pid": 1, "exe": null, "username": "root"}],
        "listeners": [{"ip": "::1", "port": 22, "process": "sshd"}],
        "auth": [{"service": "sshd", "outcome": "failure", "count": 3}],
        "persistence": [{"kind": "systemd", "path": "/etc/systemd/system/ssh.service"}],
        "health": [{"collector": "auth", "state": "degraded", "reason": "no permission"}],
    })
}

fn send(hub: &Hub, agent: &TestAgent, seq: i64, data: &Value) -> support::Answer {
    let at = now().to_rfc3339();
    let body = json!({
        "v": 1, "type": "endpoint", "aud": agent.audience.as_str(),
        "agent_id": agent.id.to_string(), "agent_version": "0.1.0",
        "epoch": 1, "seq": seq, "captured_at": at, "sent_at": at, "data": data,
    });
    let canonical = monsys_core::json::CanonicalText::parse(body.to_string().as_bytes()).unwrap();
    agent.send(hub, canonical.as_str().as_bytes())
}

#[test]
fn a_snapshot_is_stored_and_counts_for_no_check() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let hub = Hub::start(&data);
    assert_eq!(send(&hub, &agent, 1, &snapshot()).status, 202);
    assert_eq!(send(&hub, &agent, 2, &snapshot()).status, 202);
    let sql = "SELECT processes, listeners, auth, persistence, health FROM endpoint_snapshots";
    let stored = support::store::rows(&data, sql, [], |row| {
        let text = |index| row.get::<_, String>(index);
        Ok([text(0)?, text(1)?, text(2)?, text(3)?, text(4)?])
    });
    assert_eq!(stored.len(), 2);
    let members = ["processes", "listeners", "auth", "persistence", "health"];
    for (text, member) in stored.concat().iter().zip(members.into_iter().cycle()) {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value, snapshot()[member], "{member}");
    }
    assert_eq!(
        support::store::number(&data, "SELECT count(*) FROM metrics", []),
        0
    );
}

#[test]
fn p1_a_command_line_has_no_field() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let hub = Hub::start(&data);
    let mut with_command_line = snapshot();
    with_command_line["processes"][0]["cmdline"] = json!("mysql -psecret");
    let answer = send(&hub, &agent, 1, &with_command_line);
    assert_refusal(&answer, 422, "unknown_field");
    assert_eq!(answer.json()["pointer"], "/data/processes/0/cmdline");
    let rows = "SELECT count(*) FROM endpoint_snapshots";
    assert_eq!(support::store::number(&data, rows, []), 0);
    assert_eq!(
        send(&hub, &agent, 1, &snapshot()).status,
        202,
        "the position was not used up"
    );
}
