//! Kinds beyond the six of the integrity document, on a hub that looks for them and on one that does
//! not.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod support;

use serde_json::Value;

use support::person::Person;
use support::refusal::assert_refusal;
use support::store::{Anomaly, anomalies, anomalies_of, open_occurrences};
use support::{Answer, DataDir, Hub, TestAgent};

struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
}

impl Scene {
    fn with(settings: &[(&str, &str)]) -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        let no_limits = [("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")];
        let hub = Hub::start_with(&data, &[&no_limits, settings].concat());
        Self { data, hub, agent }
    }

    fn strict() -> Self {
        Self::with(&[("MONSYS_INTEGRITY", "strict")])
    }

    fn send(&self, position: (i64, i64), cpu: f64) -> Answer {
        let body = self.agent.metrics(position, cpu);
        self.agent.send(&self.hub, body.as_bytes())
    }

    fn found(&self, kind: &str) -> Vec<Anomaly> {
        anomalies_of(&self.data, &self.agent, kind)
    }

    /// One cycle by these rules, in a process of its own.
    fn cycle_by(&self, rules: &[&str]) -> Value {
        self.data.json(&[&["integrity", "run"], rules].concat())
    }
}

const STRICT: [&str; 2] = ["--integrity", "strict"];

#[test]
fn a_position_that_comes_again_with_other_content_is_found_at_once() {
    let scene = Scene::strict();
    scene.send((1, 1), 10.0).accepted();
    let retry = scene.agent.metrics((1, 2), 20.0);
    scene.agent.send(&scene.hub, retry.as_bytes()).accepted();
    let again = scene.agent.send(&scene.hub, retry.as_bytes());
    assert_eq!(
        (again.status, scene.found("sequence_regress")),
        (200, vec![])
    );

    assert_refusal(&scene.send((1, 1), 99.0), 409, "replay");
    let [row] = scene.found("sequence_regress").try_into().unwrap();
    assert_eq!(row.severity, "critical");
    assert_eq!(
        row.summary,
        "position 1 of epoch 1 came again with other content"
    );
    assert_eq!((row.occurrences, row.resolved_at), (1, None));
    let admin = Person::added(&scene.data, &scene.hub, "acme", "admin");
    let listed = admin.get(
        &scene.hub,
        "/api/v1/integrity/anomalies?kind=sequence_regress",
    );
    assert_eq!(listed.json()["items"][0]["id"], row.id.as_str());

    // A cycle by other rules has no verdict about it; two by these close it.
    scene.cycle_by(&[]);
    scene.send((1, 3), 30.0).accepted();
    scene.cycle_by(&[]);
    assert_eq!(scene.found("sequence_regress")[0].resolved_at, None);
    scene.send((1, 4), 40.0).accepted();
    scene.cycle_by(&STRICT);
    let closed = scene.found("sequence_regress").remove(0);
    assert_eq!(closed.resolution.as_deref(), Some("auto"));
}

#[test]
fn a_cycle_by_hand_judges_by_the_file_of_the_server() {
    let scene = Scene::strict();
    scene.send((1, 1), 10.0).accepted();
    assert_refusal(&scene.send((1, 1), 99.0), 409, "replay");
    let file = scene.data.path().join("hub.toml");
    std::fs::write(&file, "[integrity]\npreset = \"strict\"\n").unwrap();
    let by_file = ["--config", file.to_str().unwrap()];
    for seq in [2, 3] {
        scene.send((1, seq), 30.0).accepted();
        scene.cycle_by(&by_file);
    }
    let closed = scene.found("sequence_regress").remove(0);
    assert_eq!(closed.resolution.as_deref(), Some("auto"));
}

#[test]
fn a_hub_by_the_document_finds_none_of_them() {
    let scene = Scene::with(&[]);
    scene.send((1, 1), 10.0).accepted();
    for cpu in [1.0, 2.0, 3.0] {
        assert_refusal(&scene.send((1, 1), cpu), 409, "replay");
    }
    scene.cycle_by(&[]);
    assert_eq!(anomalies(&scene.data, &scene.agent), []);
}

#[test]
fn two_installations_of_one_identity_push_each_other_out_and_are_found() {
    let scene = Scene::with(&[("MONSYS_INTEGRITY_KINDS", "agent_cloned")]);
    // As the reference agent does: what is refused goes on in the epoch that the hub names, or in
    // the next where it names none.
    let mut epochs = [1_i64, 1];
    let mut n_turns = 0;
    scene.send((1, 1), 10.0).accepted();
    while scene.found("agent_cloned").is_empty() {
        n_turns += 1;
        assert!(n_turns < 20, "not found after {n_turns} turns");
        let turn = usize::from(n_turns % 2 == 1);
        let mut answer = scene.send((epochs[turn], 1), 10.0 + f64::from(n_turns));
        while answer.status == 409 {
            let named = answer.json()["min_epoch"].as_i64();
            epochs[turn] = named.unwrap_or(epochs[turn] + 1);
            answer = scene.send((epochs[turn], 1), 50.0 + f64::from(n_turns));
        }
        answer.accepted();
    }
    assert_eq!(n_turns, 4, "refused, then three times again in turn");
    let row = scene.found("agent_cloned").remove(0);
    assert_eq!(row.severity, "high");
    assert!(row.evidence.contains(r#""turns": 3"#), "{}", row.evidence);
    let kinds: Vec<_> = open_occurrences(&scene.data).into_keys().collect();
    assert_eq!(kinds, ["agent_cloned"], "the other kinds are off");
}

#[test]
fn one_installation_that_lost_its_counters_is_no_clone() {
    let scene = Scene::strict();
    for seq in 1..=3 {
        scene.send((1, seq), 10.0).accepted();
    }
    for seq in 1..=3 {
        assert_refusal(&scene.send((1, seq), 20.0), 409, "replay");
    }
    for seq in 1..=10 {
        scene.send((2, seq), 30.0).accepted();
    }
    assert_eq!(scene.found("agent_cloned"), []);
}

#[test]
fn a_recording_in_a_loop_is_found_by_the_strict_rules_alone() {
    let scene = Scene::strict();
    for seq in 1..=64_i64 {
        let place = f64::from(i32::try_from(seq % 32).unwrap());
        let cpu = 40.0 + 17.3 * (place * 0.7).sin();
        let body = scene.agent.metrics_of((1, seq), cpu, "v2");
        scene.agent.send(&scene.hub, body.as_bytes()).accepted();
    }
    let found = |scene: &Scene| -> Vec<String> {
        let rows = anomalies(&scene.data, &scene.agent).into_iter();
        let open = rows.filter(|row| row.resolved_at.is_none());
        // The test sends faster than an agent does.
        let others = open.filter(|row| row.kind != "cadence_anomaly");
        others.map(|row| row.kind).collect()
    };
    scene.cycle_by(&[]);
    assert_eq!(found(&scene), [""; 0]);
    scene.cycle_by(&["--integrity-kinds", "looped_recording"]);
    assert_eq!(found(&scene), ["looped_recording"]);
    scene.cycle_by(&STRICT);
    let mut kinds = found(&scene);
    kinds.sort();
    let expected = ["looped_recording", "replayed_series", "version_unparseable"];
    assert_eq!(kinds, expected);
    scene.cycle_by(&[]);
    assert_eq!(found(&scene).len(), 3, "what is off stays as it is");
}

#[test]
fn of_two_agents_that_send_the_same_values_one_is_found_and_the_other_named() {
    let scene = Scene::strict();
    let [copy, honest] = ["beta", "gamma"].map(|name| scene.data.enrol("acme", name));
    for seq in 1..=120_i64 {
        let place = f64::from(i32::try_from(seq).unwrap());
        let (cpu, other) = (
            50.0 + 17.3 * (place * 0.7).sin(),
            30.0 + (place * 1.3).cos(),
        );
        for (agent, cpu) in [(&scene.agent, cpu), (&copy, cpu), (&honest, other)] {
            agent.report(&scene.hub, (1, seq), cpu, "0.1.0");
        }
    }
    scene.cycle_by(&["--integrity-kinds", "duplicate_feed"]);
    let found = [&scene.agent, &copy, &honest]
        .map(|agent| anomalies_of(&scene.data, agent, "duplicate_feed"));
    let [of_agent, of_copy, of_honest] = found;
    assert_eq!(of_honest, []);
    let (row, other) = match (&of_agent[..], &of_copy[..]) {
        ([row], []) => (row, &copy),
        ([], [row]) => (row, &scene.agent),
        found => panic!("one of the two: {found:?}"),
    };
    assert_eq!(row.severity, "high");
    let named = format!(r#""other_agent": "{}""#, other.id);
    assert!(row.evidence.contains(&named), "{}", row.evidence);
}

#[test]
fn a_word_that_is_no_kind_is_refused_with_those_that_are() {
    let data = DataDir::new();
    data.add_org("acme");
    let refused = data.run(&["integrity", "run", "--integrity-kinds", "agent_silly"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("agent_silent"), "{said}");
}
