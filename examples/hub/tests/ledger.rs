//! What administrators do with anomalies over HTTP, the ledger that keeps it, and `verify`.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod support;

use serde_json::{Value, json};

use support::person::Person;
use support::refusal::assert_refusal;
use support::store::{anomalies_of, change, number};
use support::{DataDir, Hub, TestAgent};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const BASE: &str = "/api/v1/integrity/anomalies";

struct Scene {
    data: DataDir,
    hub: Hub,
    agents: Vec<TestAgent>,
    admin: Person,
}

impl Scene {
    /// An organisation with two agents that went back to an older version, each found.
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agents: Vec<_> = ["alpha", "beta"]
            .map(|name| data.enrol("acme", name))
            .into();
        let hub = Hub::start(&data);
        for agent in &agents {
            agent.report(&hub, (1, 1), 1.0, "0.2.0");
            agent.report(&hub, (1, 2), 2.0, "0.1.9");
        }
        data.cycle();
        let admin = Person::added(&data, &hub, "acme", "admin");
        Self {
            data,
            hub,
            agents,
            admin,
        }
    }

    fn ids(&self) -> Vec<String> {
        let found = self.agents.iter().map(|agent| {
            let found = anomalies_of(&self.data, agent, "version_downgrade");
            found.last().unwrap().id.clone()
        });
        found.collect()
    }

    fn post(&self, path: &str, body: &Value) -> support::Answer {
        self.admin.post(&self.hub, path, &body.to_string(), &JSON)
    }

    fn events(&self, id: &str) -> Vec<String> {
        let shown = self.admin.get(&self.hub, &format!("{BASE}/{id}")).json();
        let events = shown["events"].as_array().unwrap();
        let kinds = events.iter().map(|e| e["kind"].as_str().unwrap());
        kinds.map(str::to_owned).collect()
    }

    fn n_events(&self) -> i64 {
        number(&self.data, "SELECT count(*) FROM integrity_events", [])
    }
}

fn in_days(days: i64) -> String {
    let span = monsys_core::time::Span::from_secs(days * 86_400);
    support::now().saturating_add(span).to_rfc3339()
}

#[test]
fn an_anomaly_is_acknowledged_snoozed_and_closed_with_an_entry_each() {
    let scene = Scene::new();
    let id = scene.ids().remove(0);
    let path = |what: &str| format!("{BASE}/{id}/{what}");
    let seen = scene.post(
        &path("acknowledge"),
        &json!({"reason": "a rollback, we know"}),
    );
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!(seen.json()["label"], "acknowledged");
    assert_eq!(seen.json()["resolved_at"], Value::Null);
    let until = in_days(1);
    let snoozed = json!({"reason": "until the new build", "until": until});
    let snoozed = scene.post(&path("snooze"), &snoozed).json();
    assert_eq!(snoozed["label"], "snoozed");
    assert_eq!(snoozed["snoozed_until"], until.as_str());
    scene.data.cycle();
    let closed = scene
        .post(&path("resolve"), &json!({"note": "0.1.9 it is"}))
        .json();
    assert_eq!(
        (&closed["label"], &closed["resolution"]),
        (&json!("resolved"), &json!("manual"))
    );
    let kinds = [
        "opened",
        "acknowledged",
        "snoozed",
        "seen",
        "resolved",
        "baseline_accepted",
    ];
    assert_eq!(scene.events(&id), kinds);
    scene.data.cycle();
    assert_eq!(
        anomalies_of(&scene.data, &scene.agents[0], "version_downgrade").len(),
        1,
        "the version that a person accepted is no downgrade"
    );
}

#[test]
fn several_are_closed_at_once_or_none() {
    let scene = Scene::new();
    let ids = scene.ids();
    let path = format!("{BASE}/resolve");
    let n_before = scene.n_events();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let mixed = json!({"ids": [ids[0], unknown], "note": "both"});
    assert_refusal(&scene.post(&path, &mixed), 404, "not_found");
    let nonsense = json!({"ids": ["nonsense"], "note": "both"});
    assert_refusal(&scene.post(&path, &nonsense), 404, "not_found");
    let many: Vec<_> = (0..201).map(|_| unknown).collect();
    for bad in [
        json!({"ids": ids}),
        json!({"ids": ids, "note": " "}),
        json!({"ids": [], "note": "none"}),
        json!({"ids": many, "note": "too many"}),
        json!({"ids": "all", "note": "all"}),
        json!({"ids": ids, "note": "x".repeat(4_097)}),
    ] {
        assert_refusal(&scene.post(&path, &bad), 422, "out_of_range");
    }
    assert_eq!(scene.n_events(), n_before, "nothing was changed");
    let both = scene.post(&path, &json!({"ids": ids, "note": "both"}));
    assert_eq!(both.status, 200, "{both:?}");
    let items = both.json()["items"].clone();
    assert!(
        items
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["note"] == "both")
    );
    let again = scene.post(&path, &json!({"ids": ids, "note": "again"}));
    assert_eq!(
        again.json()["items"],
        items,
        "a second time changes nothing"
    );
}

#[test]
fn garbage_and_strangers_change_nothing() {
    let scene = Scene::new();
    scene.data.add_org("other");
    let reader = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    let foreigner = Person::added(&scene.data, &scene.hub, "other", "admin");
    let id = scene.ids().remove(0);
    let n_before = scene.n_events();
    let good = json!({"reason": "because", "until": in_days(1)}).to_string();
    for what in ["acknowledge", "snooze"] {
        let path = format!("{BASE}/{id}/{what}");
        for bad in [
            json!({}),
            json!({"reason": "  ", "until": in_days(1)}),
            json!({"reason": 7, "until": in_days(1)}),
            json!({"reason": "a\u{0}b", "until": in_days(1)}),
            json!({"reason": "x".repeat(4_097), "until": in_days(1)}),
            json!({"reason": "because", "until": "tomorrow"}),
            json!({"reason": "because", "until": in_days(-1)}),
            json!({"reason": "because", "until": in_days(91)}),
            json!({"reason": "because", "until": in_days(1), "by": "me"}),
        ] {
            assert_refusal(&scene.post(&path, &bad), 422, "out_of_range");
        }
        let post = |who: &Person| who.post(&scene.hub, &path, &good, &JSON);
        assert_refusal(&post(&reader), 403, "forbidden");
        assert_refusal(&post(&foreigner), 404, "not_found");
        assert_refusal(&post(&Person::anonymous()), 401, "unauthorized");
    }
    for path in [format!("{BASE}/{id}/resolve"), format!("{BASE}/resolve")] {
        let large = scene.post(&path, &json!({"note": "x".repeat(1_048_576)}));
        assert_refusal(&large, 413, "too_large");
    }
    let one = foreigner.get(&scene.hub, &format!("{BASE}/{id}"));
    assert_refusal(&one, 404, "not_found");
    assert_eq!(scene.n_events(), n_before, "nothing was changed");
}

#[test]
fn verify_reads_the_ledger_and_names_the_first_bad_row() {
    let scene = Scene::new();
    let first = scene.data.json(&["verify"]);
    assert_eq!(
        (&first["ok"], &first["ledgers"][0]["entries"]),
        (&json!(true), &json!(2))
    );
    let kept = scene.data.path().join("heads.json");
    std::fs::write(&kept, first.to_string()).unwrap();
    let ids = scene.ids();
    scene.post(&format!("{BASE}/{}/resolve", ids[0]), &json!({}));
    let kept = kept.to_str().unwrap();
    let later = scene.data.json(&["verify", "--since", kept]);
    assert_eq!(
        (&later["ok"], &later["ledgers"][0]["entries"]),
        (&json!(true), &json!(4))
    );
    // Whoever owns the database can take the triggers away; the chain is what is left.
    let off = if scene.data.database().is_some() {
        "ALTER TABLE integrity_events DISABLE TRIGGER ALL;"
    } else {
        "DROP TRIGGER integrity_events_freeze;"
    };
    let bend = "UPDATE integrity_events SET at = (SELECT min(at) FROM integrity_events) \
                WHERE seq = 3;";
    change(&scene.data, &format!("{off} {bend}"));
    let output = scene.data.run(&["verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let broken: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&broken["ok"], &broken["broken"]["entry"]),
        (&json!(false), &json!(3))
    );
    assert_eq!(broken["broken"]["org"], "acme");
    let words = String::from_utf8(scene.data.run(&["verify"]).stdout).unwrap();
    assert!(
        words.contains("entry 3: expected content with this hash"),
        "{words}"
    );
}

#[test]
fn verify_refuses_what_is_no_earlier_reading() {
    let data = DataDir::new();
    data.add_org("acme");
    let file = data.path().join("heads.json");
    for bad in [
        "",
        "{}",
        r#"{"ok":true,"ledgers":[{"org":"acme","entries":1,"hash":"x","anomalies":0}]}"#,
    ] {
        std::fs::write(&file, bad).unwrap();
        let output = data.run(&["verify", "--since", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
    let hash = "0".repeat(64);
    let ahead = json!({"ok": true, "ledgers": [{"org": "acme", "entries": 9, "hash": hash, "anomalies": 0}]});
    std::fs::write(&file, ahead.to_string()).unwrap();
    let output = data.run(&["verify", "--since", file.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "a ledger that was longer was cut"
    );
    let missing = data.run(&["verify", "--since", "/nowhere/heads.json"]);
    assert_eq!(missing.status.code(), Some(74));
}

#[test]
fn an_organisation_that_is_gone_since_is_no_sound_ledger() {
    let (data, others) = (DataDir::new(), DataDir::new());
    data.add_org("acme");
    for org in ["acme", "gone"] {
        others.add_org(org);
    }
    let kept = data.path().join("heads.json");
    std::fs::write(&kept, others.run(&["verify", "--json"]).stdout).unwrap();
    let output = data.run(&["verify", "--json", "--since", kept.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&said["ok"], &said["broken"]["org"]),
        (&false.into(), &"gone".into())
    );
}
