//! The description of the API: what is kept is what the program prints, and real answers are as it
//! says.
//!
//! The check of schemas is the part of JSON Schema 2020-12 that the description uses; a word that it
//! does not know ends the test, so that nothing is skipped in silence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use monsys_core::time::{Span, Timestamp};
use monsys_wire::SigningKey;
use monsys_wire::rotate::RotateRequest;
use serde_json::{Value, json};
use support::login::post_json;
use support::person::Person;
use support::raw::{Wire, request};
use support::routes::{declared, description};
use support::{Answer, DataDir, Hub, TestAgent, now};

/// The description, and whether a value is what a schema of it says.
struct Description(Value);

impl Description {
    fn of(data: &DataDir) -> Self {
        Self(serde_json::from_str(&description(data)).unwrap())
    }

    /// Says what is wrong with a value and where, if anything is.
    fn fault(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let wrong = |what: &str| Some(format!("{at}: {what}: {value} against {schema}"));
        for (word, rule) in schema.as_object().unwrap() {
            let fault = match word.as_str() {
                "$ref" => {
                    let pointer = rule.as_str().unwrap().trim_start_matches('#');
                    self.fault(self.0.pointer(pointer).expect(pointer), value, at)
                }
                "anyOf" => {
                    let mut faults = rule.as_array().unwrap().iter();
                    let fits = faults.any(|one| self.fault(one, value, at).is_none());
                    if fits { None } else { wrong("fits none") }
                }
                "type" if !is_of_type(rule, value) => wrong("has another type"),
                "enum" if !rule.as_array().unwrap().contains(value) => wrong("is another word"),
                "format" if !has_format(rule.as_str().unwrap(), value) => wrong("has no such form"),
                "required" => {
                    let mut names = rule.as_array().unwrap().iter();
                    let absent = names.find(|name| value.get(name.as_str().unwrap()).is_none());
                    absent.and_then(|name| wrong(&format!("has no {name}")))
                }
                "properties" | "additionalProperties" => self.members(schema, value, at),
                "items" => {
                    let items = value.as_array().into_iter().flatten().enumerate();
                    items
                        .map(|(n, item)| self.fault(rule, item, &format!("{at}/{n}")))
                        .find(Option::is_some)
                        .flatten()
                }
                "type" | "enum" | "format" | "description" => None,
                word => panic!("{at}: nobody checks {word}"),
            };
            if fault.is_some() {
                return fault;
            }
        }
        None
    }

    fn members(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let no_more = json!(false);
        for (name, member) in value.as_object()? {
            let known = &schema["properties"][name];
            let further = &schema["additionalProperties"];
            let place = format!("{at}/{name}");
            let fault = match (known.is_null(), further) {
                (false, _) => self.fault(known, member, &place),
                (true, further) if *further == no_more => Some(format!("{place}: is not known")),
                (true, Value::Null) => None,
                (true, further) => self.fault(further, member, &place),
            };
            if fault.is_some() {
                return fault;
            }
        }
        None
    }

    /// Asserts that an answer has a status that its route knows, and a body that fits.
    fn assert_fits(&self, path: &str, method: &str, answer: &Answer) {
        let operation = &self.0["paths"][path][method];
        let status = answer.status.to_string();
        let content = &operation["responses"][&status]["content"];
        let kind = answer.header("content-type").unwrap();
        let kind = kind.split(';').next().unwrap();
        let schema = &content[kind]["schema"];
        assert!(
            schema.is_object(),
            "{method} {path} may not answer {status} {kind}"
        );
        if kind == "application/json" {
            let fault = self.fault(schema, &answer.json(), "");
            assert_eq!(fault, None, "{method} {path}");
        }
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |word: &str| match word {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        word => panic!("{word} is no type"),
    };
    let is_any = |words: &Vec<Value>| words.iter().any(|word| is(word.as_str().unwrap()));
    rule.as_array()
        .map_or_else(|| is(rule.as_str().unwrap()), is_any)
}

fn has_format(format: &str, value: &Value) -> bool {
    let Some(text) = value.as_str() else {
        return true;
    };
    match format {
        "date-time" => Timestamp::parse_rfc3339(text).is_ok() && text.ends_with('Z'),
        "uuid" => monsys_core::id::AgentId::parse(text).is_ok(),
        format => panic!("{format} is no format"),
    }
}

/// An organisation in which every listing has rows.
struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
    admin: Person,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "web-1");
        let device = data.enrol_device("acme", "sensor-1");
        let hub = Hub::start_with(&data, &[("MONSYS_DEV_ENABLE_DOCS", "true")]);
        agent.report(&hub, (1, 1), 12.5, "1.0.0");
        device.report(&hub, (1, 1), 4.2);
        let body = agent.metrics((1, 2), 12.5);
        assert_eq!(agent.send_with(&hub, body.as_bytes(), None).status, 403);
        assert_eq!(
            agent
                .send_with(&hub, body.as_bytes(), Some(&"0".repeat(128)))
                .status,
            403
        );
        emit(&data, &agent);
        let admin = Person::added(&data, &hub, "acme", "admin");
        Self {
            data,
            hub,
            agent,
            admin,
        }
    }

    fn anomalies(&self) -> Vec<String> {
        let listed = self
            .admin
            .get(&self.hub, "/api/v1/integrity/anomalies")
            .json();
        let rows = listed["items"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn emit(data: &DataDir, agent: &TestAgent) {
    let at = now().saturating_sub(Span::from_secs(60)).to_rfc3339();
    let lines = ["cert.expiry", "cert.chain"].map(|key| {
        let signal = json!({
            "source": "cert_scan", "subject_type": "agent", "subject_id": agent.id.to_string(),
            "key": key, "value": {"value": 1}, "severity": "high", "observed_at": at,
        });
        signal.to_string()
    });
    let file = data.path().join("signals.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let emitted = data.run(&["signals", "emit", "--org", "acme", "--file", file]);
    assert!(emitted.status.success(), "{emitted:?}");
}

#[test]
fn the_description_that_is_kept_is_the_one_that_is_printed() {
    let data = DataDir::new();
    let printed = description(&data);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("MONSYS_UPDATE_OPENAPI").is_some() {
        std::fs::write(&kept, &printed).unwrap();
    }
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(
        kept == printed,
        "run this test with MONSYS_UPDATE_OPENAPI=1 and read the change"
    );
}

#[test]
fn every_name_in_the_description_is_of_something_and_each_thing_is_named() {
    let data = DataDir::new();
    let text = description(&data);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut named = BTreeSet::new();
    for (place, _) in text.match_indices("\"#/components/") {
        let pointer = text[place + 2..].split('"').next().unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} is of nothing"
        );
        named.insert(pointer.to_owned());
    }
    for part in ["schemas", "parameters"] {
        for name in document["components"][part].as_object().unwrap().keys() {
            let pointer = format!("/components/{part}/{name}");
            assert!(named.contains(&pointer), "nothing names {pointer}");
        }
    }
    for route in declared(&data) {
        let says = |word: &str| !route.operation[word].is_null();
        assert!(
            says("summary") && says("security") && says("responses"),
            "{route:?}"
        );
        let well = route.operation["responses"].as_object().unwrap();
        assert!(
            well.len() >= 2,
            "{} {} answers nothing",
            route.method,
            route.path
        );
    }
}

#[test]
fn every_read_answers_what_the_description_says() {
    let scene = Scene::new();
    let description = Description::of(&scene.data);
    let anomaly = scene.anomalies().remove(0);
    let mut n_json = 0;
    for route in declared(&scene.data) {
        // Links are used up, agents and streams are read otherwise.
        let is_other = ["link", "agent"].contains(&route.who.as_str());
        if !route.is_read() || is_other || route.path == "/integrity/events" {
            continue;
        }
        let agent = scene.agent.id.to_string();
        let is_of_anomaly = route.path.contains("integrity");
        let name = if is_of_anomaly { &anomaly } else { &agent };
        let answer = match route.path.as_str() {
            "/assets/{name}" | "/" => continue,
            "/api/v1/trust/{id}" => {
                let path = format!("{}?target=100", route.at(name));
                scene.admin.get(&scene.hub, &path)
            }
            // Whoever is logged in already is led on.
            "/login" => Person::anonymous().get(&scene.hub, "/login"),
            _ => scene.admin.get(&scene.hub, &route.at(name)),
        };
        assert_eq!(answer.status, 200, "{}: {answer:?}", route.path);
        description.assert_fits(&route.path, "get", &answer);
        n_json += usize::from(answer.header("content-type") == Some("application/json"));
    }
    assert!(n_json >= 13, "{n_json}");
    for path in [
        "/api/v1/integrity/anomalies",
        "/api/v1/correlation",
        "/api/v1/compliance/pareto",
    ] {
        let answer = scene.admin.get(&scene.hub, &format!("{path}?format=csv"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        description.assert_fits(path, "get", &answer);
    }
    let listed = scene.admin.get(&scene.hub, "/api/v1/signals").json();
    assert!(!listed["items"].as_array().unwrap().is_empty());
    let incidents = scene.admin.get(&scene.hub, "/api/v1/correlation").json();
    assert!(
        !incidents["items"].as_array().unwrap().is_empty(),
        "{incidents}"
    );
}

#[test]
fn every_change_answers_what_the_description_says() {
    let scene = Scene::new();
    let description = Description::of(&scene.data);
    let kind = [("content-type", "application/json")];
    let anomalies = "/api/v1/integrity/anomalies";
    let until = now().saturating_add(Span::from_secs(3_600)).to_rfc3339();
    let ids = scene.anomalies();
    for (what, body) in [
        ("acknowledge", json!({"reason": "seen"})),
        ("snooze", json!({"reason": "night", "until": until})),
        ("resolve", json!({"note": "mended"})),
    ] {
        let path = format!("{anomalies}/{}/{what}", ids[0]);
        let answer = scene
            .admin
            .post(&scene.hub, &path, &body.to_string(), &kind);
        description.assert_fits(&format!("{anomalies}/{{id}}/{what}"), "post", &answer);
    }
    let several = json!({"ids": ids, "note": "mended"}).to_string();
    let path = format!("{anomalies}/resolve");
    let answer = scene.admin.post(&scene.hub, &path, &several, &kind);
    description.assert_fits(&path, "post", &answer);
    let refused = scene.admin.post(&scene.hub, &path, "{", &kind);
    let problem = &description.0["components"]["schemas"]["Problem"];
    assert_eq!(description.fault(problem, &refused.json(), ""), None);
}

#[test]
fn agents_are_answered_what_the_description_says() {
    let scene = Scene::new();
    let description = Description::of(&scene.data);
    let body = scene.agent.metrics((1, 3), 12.5);
    for status in [202, 200] {
        let answer = scene.agent.send(&scene.hub, body.as_bytes());
        assert_eq!(answer.status, status);
        description.assert_fits("/api/v1/ingest", "post", &answer);
    }
    let bearer = scene.agent.bearer();
    let asked = request(
        "GET",
        "/api/v1/agents/self",
        &[("Authorization", &bearer)],
        b"",
    );
    let own = Wire::open(scene.hub.addr).send(&asked).end().answer();
    description.assert_fits("/api/v1/agents/self", "get", &own);
    description.assert_fits("/api/v1/agents/pin", "post", &scene.agent.pin(&scene.hub));
    let (agent, next) = (&scene.agent, SigningKey::from_secret_bytes([9; 32]));
    let body = RotateRequest::compose(&agent.key, &next, &agent.audience, agent.id);
    let path = "/api/v1/agents/rotate-key";
    let rotate = |body: &str| {
        let headers = [("Authorization", &*bearer)];
        post_json(&scene.hub, path, &headers, body)
    };
    let refused = rotate("{");
    assert_eq!(refused.status, 400, "{refused:?}");
    let problem = &description.0["components"]["schemas"]["Problem"];
    assert_eq!(description.fault(problem, &refused.json(), ""), None);
    description.assert_fits(path, "post", &rotate(&body));
}

#[test]
fn the_description_is_served_only_where_it_is_wanted() {
    let scene = Scene::new();
    let served = Person::anonymous().get(&scene.hub, "/openapi.json");
    assert_eq!(served.body, description(&scene.data));
    let closed = Hub::start_with(&scene.data, &[("MONSYS_DEV_ENABLE_DOCS", "false")]);
    let hidden = Person::anonymous().get(&closed, "/openapi.json");
    support::refusal::assert_refusal(&hidden, 404, "not_found");
}

#[test]
fn the_check_of_answers_finds_what_is_wrong_with_them() {
    let data = DataDir::new();
    let description = Description::of(&data);
    let schema = json!({"$ref": "#/components/schemas/AnomalyPage"});
    let fault = |value: &Value| description.fault(&schema, value, "");
    assert_eq!(fault(&json!({"items": [], "next_cursor": null})), None);
    for wrong in [
        json!([]),
        json!({"items": []}),
        json!({"items": {}, "next_cursor": null}),
        json!({"items": [], "next_cursor": 1}),
        json!({"items": [], "next_cursor": null, "further": 1}),
        json!({"items": [{}], "next_cursor": null}),
    ] {
        assert!(fault(&wrong).is_some(), "{wrong}");
    }
    let time = json!({"$ref": "#/components/schemas/Time"});
    assert!(description.fault(&time, &json!("yesterday"), "").is_some());
    let severity = json!({"$ref": "#/components/schemas/Severity"});
    assert!(description.fault(&severity, &json!("grave"), "").is_some());
}
