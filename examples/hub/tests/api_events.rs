//! What happened lately, over HTTP: one list of all there is, in one order, and of one organisation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::{Value, json};
use support::person::Person;
use support::refusal::assert_refusal;
use support::{DataDir, Hub, TestAgent, now};

struct Scene {
    hub: Hub,
    admin: Person,
    rival: Person,
}

fn send(hub: &Hub, agent: &TestAgent, seq: i64, auth: &Value, state: &str) {
    let at = now().to_rfc3339();
    let body = json!({
        "v": 1, "type": "endpoint", "aud": agent.audience.as_str(),
        "agent_id": agent.id.to_string(), "agent_version": "0.2.0",
        "epoch": 1, "seq": seq, "captured_at": at, "sent_at": at, "data": {
            "processes": [], "listeners": [], "auth": auth, "persistence": [],
            "health": [
                {"collector": "auth", "state": state, "reason": format!("reason {seq}")},
                {"collector": "process", "state": "ok", "reason": null},
            ],
        },
    });
    let canonical = monsys_core::json::CanonicalText::parse(body.to_string().as_bytes()).unwrap();
    agent.send(hub, canonical.as_str().as_bytes()).accepted();
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        for org in ["acme", "canary-of-rival"] {
            data.add_org(org);
        }
        let agents = ["web-1", "web-2"].map(|name| data.enrol("acme", name));
        let strange = data.enrol("canary-of-rival", "canary-of-agent");
        let hub = Hub::start(&data);
        let logins = json!([
            {"service": "sshd", "outcome": "failure", "count": 3},
            {"service": "sshd", "outcome": "success", "count": 1},
        ]);
        let foreign = json!([{"service": "canary-of-login", "outcome": "failure", "count": 9}]);
        for agent in agents.iter().chain([&strange]) {
            let auth = if agent.name == strange.name {
                &foreign
            } else {
                &logins
            };
            // Well, then worse, then the same for another reason, then well again.
            for (seq, state) in [(1, "ok"), (2, "degraded"), (3, "degraded"), (4, "ok")] {
                let none = json!([]);
                let auth = if seq == 3 { auth } else { &none };
                send(&hub, agent, seq, auth, state);
            }
            agent.report(&hub, (1, 5), 1.0, "0.2.0");
            agent.report(&hub, (1, 6), 2.0, "0.1.9");
        }
        data.cycle();
        let admin = Person::added(&data, &hub, "acme", "admin");
        let rival = Person::added(&data, &hub, "canary-of-rival", "admin");
        Self { hub, admin, rival }
    }

    fn all(&self, query: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/events?{query}&cursor={cursor}");
            let answer = self.admin.get(&self.hub, &path);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let page = answer.json();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return items,
            }
        }
    }
}

fn of_kind(items: &[Value], kind: &str) -> Vec<Value> {
    let is_one = |item: &&Value| item["kind"] == kind;
    items.iter().filter(is_one).cloned().collect()
}

#[test]
fn pages_of_what_happened_are_all_of_it_the_newest_first() {
    let scene = Scene::new();
    let all = scene.all("limit=200");
    let times: Vec<_> = all
        .iter()
        .map(|item| item["at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    for limit in [1, 2, 5] {
        assert_eq!(scene.all(&format!("limit={limit}")), all, "{limit}");
    }
    let mut n_of_kinds = 0;
    for kind in ["anomaly", "login", "collector", "audit"] {
        let expected = of_kind(&all, kind);
        assert!(!expected.is_empty(), "{kind}");
        assert_eq!(
            scene.all(&format!("kind={kind}&limit=2")),
            expected,
            "{kind}"
        );
        n_of_kinds += expected.len();
    }
    assert_eq!(n_of_kinds, all.len());
    let middle = times[times.len() / 2];
    let is_before = |item: &&Value| item["at"].as_str().unwrap() <= middle;
    let (before, after): (Vec<Value>, Vec<Value>) =
        all.iter().cloned().partition(|item| is_before(&item));
    assert_eq!(scene.all(&format!("to={middle}&limit=3")), before);
    let newer = scene.all(&format!("from={middle}&limit=3"));
    assert_eq!(newer[..after.len()], after);
}

#[test]
fn an_event_says_what_happened_and_to_whom() {
    let scene = Scene::new();
    let all = scene.all("limit=200");
    let opened = of_kind(&all, "anomaly");
    assert_eq!(opened.len(), 2, "{opened:?}");
    for event in &opened {
        assert_eq!(event["anomaly_kind"], "version_downgrade");
        assert_eq!(
            (&event["event"], &event["actor"]),
            (&json!("opened"), &json!("hub"))
        );
    }
    let logins = of_kind(&all, "login");
    assert_eq!(logins.len(), 2, "snapshots without logins are no news");
    assert_eq!(
        logins[0]["logins"],
        json!([
            {"service": "sshd", "outcome": "failure", "count": 3},
            {"service": "sshd", "outcome": "success", "count": 1},
        ])
    );
    let collectors = of_kind(&all, "collector");
    let of_one = collectors
        .iter()
        .filter(|event| event["agent_name"] == "web-1");
    let changes: Vec<_> = of_one.map(|event| event["collectors"].clone()).collect();
    let change = |state: &str, was: &str, reason: &str| json!([{"collector": "auth", "state": state, "was": was, "reason": reason}]);
    let expected = [
        change("ok", "degraded", "reason 4"),
        change("degraded", "ok", "reason 2"),
    ];
    assert_eq!(changes, expected, "another reason is no news");
    let audited = of_kind(&all, "audit");
    assert!(
        audited
            .iter()
            .any(|event| event["action"] == "organisation added")
    );
}

#[test]
fn nothing_of_another_organisation_is_in_the_list() {
    let scene = Scene::new();
    for query in [
        "limit=200",
        "kind=audit&limit=1",
        "kind=login",
        "kind=collector",
    ] {
        let all = scene.all(query);
        assert!(
            !serde_json::to_string(&all).unwrap().contains("canary"),
            "{query}"
        );
    }
    let own = scene.rival.get(&scene.hub, "/api/v1/events?limit=200");
    for word in ["canary-of-login", "canary-of-agent", "canary-of-rival"] {
        assert!(own.body.contains(word), "{word}: {own:?}");
    }
    assert!(!own.body.contains("web-1"));
}

#[test]
fn a_parameter_that_is_none_is_refused() {
    let scene = Scene::new();
    for query in [
        "limit=0",
        "limit=201",
        "kind=seen",
        "kind=audit&kind=audit",
        "from=x",
        "to=2026-13-01T00:00:00Z",
        "cursor=1.audit",
        "cursor=1.audit.G",
        "cursor=1.audit.100000000000000000000000000000000",
        "agent_id=x",
    ] {
        let answer = scene
            .admin
            .get(&scene.hub, &format!("/api/v1/events?{query}"));
        assert_refusal(&answer, 422, "out_of_range");
    }
    let last = "cursor=9223372036854775.audit.ffffffffffffffffffffffffffffffff";
    let answer = scene
        .admin
        .get(&scene.hub, &format!("/api/v1/events?{last}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let stranger = Person::anonymous().get(&scene.hub, "/api/v1/events");
    assert_refusal(&stranger, 401, "unauthorized");
}
