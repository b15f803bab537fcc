//! SQL in every place where a request has text: no answer is an error of the hub, none tells more
//! than it should, and nothing is changed (the endpoint document's test topic "SQL injection-path
//! safety checks").
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::person::Person;
use support::routes::{declared, description};
use support::store::{assert_sound, number, rows};
use support::{Answer, DataDir, Hub, crowd, now};

/// What injections are made of: ends of literals, comments, further statements, unions, always-true
/// conditions, functions that wait or read files, casts that put a value into an error, parameters
/// of both drivers, patterns, escapes, and text that other encodings turn into a quote.
const INJECTIONS: [&str; 22] = [
    "'",
    "''",
    "\"",
    "\\'",
    "' OR '1'='1",
    "' OR 1=1 --",
    "') OR ('1'='1' --",
    "1 OR 1=1",
    "1; DROP TABLE agents; --",
    "'; DELETE FROM sessions; --",
    "'; UPDATE users SET role = 'admin'; --",
    "' UNION SELECT email FROM users --",
    "' UNION SELECT canary-of-rival --",
    "' AND (SELECT count(*) FROM pg_sleep(20)) > 0 --",
    "'||(SELECT hex(randomblob(500000000)))||'",
    "' AND 1=CAST((SELECT email FROM users LIMIT 1) AS int) --",
    "'; SET app.current_tenant = '00000000-0000-4000-8000-000000000000'; --",
    "$1",
    "?1:tenant@tenant",
    "%_%",
    "\u{02bc} OR 1=1 --\u{ff07}",
    "*/ OR 1=1 /*",
];

/// Addresses with places for text, `{}`.
const ADDRESSES: [&str; 44] = [
    "/api/v1/agents/{}",
    "/api/v1/agents/{}/series",
    "/api/v1/agents?text={}",
    "/api/v1/agents?version={}",
    "/api/v1/agents?presence={}",
    "/api/v1/agents?profile={}",
    "/api/v1/agents?order={}",
    "/api/v1/agents?limit={}",
    "/api/v1/agents?cursor={}",
    "/api/v1/agents?cursor=name.0.{}",
    "/api/v1/events?kind={}",
    "/api/v1/events?from={}",
    "/api/v1/events?to={}",
    "/api/v1/events?cursor={}",
    "/api/v1/events?cursor=1.audit.{}",
    "/v1/metrics?org_id={}",
    "/v1/metrics?device_id={}",
    "/v1/metrics?page={}",
    "/v1/metrics?page_size={}",
    "/v1/metrics?as_of={}",
    "/v1/metrics?cursor={}",
    "/v1/fleet/top?org_id={}",
    "/v1/fleet/top?limit={}",
    "/api/v1/integrity/anomalies?kind={}",
    "/api/v1/integrity/anomalies?severity={}",
    "/api/v1/integrity/anomalies?agent_id={}",
    "/api/v1/integrity/anomalies?cursor={}",
    "/api/v1/integrity/anomalies/{}",
    "/api/v1/signals?subject_type={}",
    "/api/v1/signals?subject_id={}",
    "/api/v1/signals?source={}",
    "/api/v1/signals?key={}",
    "/api/v1/signals?cursor={}",
    "/api/v1/trust/{}",
    "/api/v1/trust/{}?at={}",
    "/api/v1/correlation?id={}",
    "/integrity?agent_id={}",
    "/integrity?kind={}",
    "/integrity?after={}",
    "/integrity/{}",
    "/agents/{}",
    "/login/{}",
    "/setup/{}",
    "/{}?{}={}",
];

/// Forms and bodies with a place for text.
const POSTS: [(&str, &str, &str); 23] = [
    ("/integrity/act", FORM, "csrf={}&id={}&do={}&reason={}"),
    ("/integrity/{}/resolve", FORM, "csrf={}&note={}"),
    ("/integrity/{}/acknowledge", FORM, "csrf={}&reason={}"),
    ("/integrity/{}/snooze", FORM, "csrf={}&reason={}&for={}"),
    ("/integrity/run", FORM, "csrf={}"),
    (
        "/login",
        FORM,
        "csrf={}&next={}&org={}&username={}&password={}",
    ),
    ("/logout", FORM, "csrf={}"),
    ("/setup/{}", FORM, "organisation={}&email={}&password={}"),
    ("/password/{}", FORM, "password={}"),
    ("/account/password", FORM, "csrf={}&current={}&password={}"),
    ("/account/sessions", FORM, "csrf={}"),
    ("/api/v1/ingest", JSON, PAYLOAD),
    ("/ingest", JSON, PAYLOAD),
    (
        "/api/v1/integrity/anomalies/{}/resolve",
        JSON,
        r#"{"note":"{}"}"#,
    ),
    (
        "/api/v1/integrity/anomalies/resolve",
        JSON,
        r#"{"ids":["{}"],"note":"{}"}"#,
    ),
    (
        "/api/v1/integrity/anomalies/{}/acknowledge",
        JSON,
        r#"{"reason":"{}"}"#,
    ),
    (
        "/api/v1/integrity/anomalies/{}/snooze",
        JSON,
        r#"{"reason":"{}","until":"{}"}"#,
    ),
    (
        "/api/v1/agents/pin",
        JSON,
        r#"{"public_key":"{}","signature":"{}"}"#,
    ),
    (
        "/api/v1/agents/rotate-key",
        JSON,
        r#"{"public_key":"{}","signature_old":"{}","signature_new":"{}"}"#,
    ),
    (
        "/auth/api/login",
        JSON,
        r#"{"org":"{}","username":"{}","password":"{}"}"#,
    ),
    ("/auth/api/refresh", JSON, r#"{"refresh_token":"{}"}"#),
    ("/auth/api/logout", JSON, r#"{"refresh_token":"{}"}"#),
    (
        "/v1/admin/users",
        JSON,
        r#"{"username":"{}","password":"{}","role":"{}"}"#,
    ),
];

const PAYLOAD: &str = r#"{"v":1,"type":"{}","aud":"{}","agent_id":"{}","agent_version":"{}","epoch":1,"seq":1,"captured_at":"{}","sent_at":"{}","data":{"{}":"{}"}}"#;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Headers whose values reach a look-up.
const HEADERS: [&str; 10] = [
    "authorization",
    "cookie",
    "x-em-org",
    "x-em-device",
    "x-em-nonce",
    "x-em-timestamp",
    "x-em-signature",
    "x-monsys-signature",
    "x-metrics-token",
    "x-forwarded-for",
];

/// The addresses above, and each parameter that the description of the API knows.
fn addresses(data: &DataDir) -> Vec<String> {
    let document: Value = serde_json::from_str(&description(data)).unwrap();
    let mut addresses: Vec<String> = ADDRESSES.map(str::to_owned).into();
    for route in declared(data).iter().filter(|route| route.is_read()) {
        let path = route.at("{}");
        let parameters = route.operation["parameters"].as_array();
        for parameter in parameters.into_iter().flatten() {
            let pointer = parameter["$ref"]
                .as_str()
                .map(|at| at.trim_start_matches('#'));
            let parameter = pointer.map_or(parameter, |at| document.pointer(at).unwrap());
            if parameter["in"] == "query" {
                addresses.push(format!(
                    "{path}?{}={{}}",
                    parameter["name"].as_str().unwrap()
                ));
            }
        }
        addresses.extend(route.has_name().then_some(path));
    }
    addresses.sort();
    addresses.dedup();
    addresses
}

#[test]
fn sql_is_put_into_every_route_that_changes_anything() {
    let data = DataDir::new();
    let routes = declared(&data);
    let changes = routes.iter().filter(|route| !route.is_read());
    let paths: Vec<String> = changes.map(|route| route.at("{}")).collect();
    for path in &paths {
        assert!(POSTS.iter().any(|(known, ..)| known == path), "{path}");
    }
    assert_eq!(paths.len(), POSTS.len());
}

/// What may not change, whatever is asked: how many rows each table has, and who there is.
fn picture(data: &DataDir) -> BTreeMap<&'static str, String> {
    let count =
        |table: &str| number(data, &format!("SELECT count(*) FROM {table}"), []).to_string();
    let tables = [
        "tenants",
        "agents",
        "metrics",
        "signal_streams",
        "signal_current",
        "integrity_anomalies",
        "integrity_events",
        "endpoint_snapshots",
        "ingest_contents",
        "sessions",
    ];
    let mut picture: BTreeMap<_, _> = tables.map(|table| (table, count(table))).into();
    let texts = |sql: &str| format!("{:?}", rows(data, sql, [], |row| row.get::<_, String>(0)));
    picture.insert(
        "users",
        texts("SELECT email || role FROM users ORDER BY tenant_id, email"),
    );
    picture.insert(
        "names",
        texts("SELECT name FROM agents ORDER BY tenant_id, name"),
    );
    picture.insert(
        "open",
        texts("SELECT id FROM integrity_anomalies WHERE resolved_at IS NULL ORDER BY id"),
    );
    picture
}

fn in_address(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Words of databases and of another organisation, which no answer may hold.
const LEAKS: [&str; 9] = [
    "canary-of-rival",
    "sqlite",
    "SQLITE",
    "syntax error",
    "pg_catalog",
    "current_tenant",
    "tokio_postgres",
    "near \"",
    "invalid input syntax",
];

fn assert_harmless(answer: &Answer, what: &str, injection: &str) {
    assert!(answer.status < 500, "{what}: {answer:?}");
    // What was sent may come back, escaped; all else may not.
    let body = answer
        .body
        .replace(injection, "")
        .replace(&in_json(injection), "");
    if !injection.contains("canary") && !injection.contains("current_tenant") {
        for leak in LEAKS {
            assert!(!body.contains(leak), "{what}: {leak} in {answer:?}");
        }
    }
}

struct Scene {
    data: DataDir,
    hub: Hub,
    admin: Person,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        for org in ["acme", "canary-of-rival"] {
            data.add_org(org);
        }
        crowd::seed(&data, "acme");
        crowd::fleet(&data, "acme", 5);
        crowd::open_some_anomalies(&data, 3);
        data.enrol("canary-of-rival", "canary-of-rival-agent");
        let hub = Hub::start(&data);
        Person::added(&data, &hub, "canary-of-rival", "admin");
        let admin = Person::added(&data, &hub, "acme", "admin");
        Self { data, hub, admin }
    }
}

#[test]
fn sql_in_an_address_is_text_that_finds_nothing() {
    let mut scene = Scene::new();
    let before = picture(&scene.data);
    let addresses = addresses(&scene.data);
    assert!(addresses.len() > 70, "{}", addresses.len());
    for injection in INJECTIONS {
        let escaped = in_address(injection);
        for address in &addresses {
            let path = address.replace("{}", &escaped);
            for person in [&scene.admin, &Person::anonymous()] {
                let answer = person.get(&scene.hub, &path);
                assert_harmless(&answer, &path, injection);
                let has_items = answer.status == 200 && answer.body.contains("\"agent_id\"");
                assert!(!has_items, "{path}: {answer:?}");
            }
        }
    }
    assert_eq!(picture(&scene.data), before);
    assert_sound(&scene.data);
    scene.hub.assert_alive();
}

#[test]
fn sql_in_a_form_or_a_body_is_text_that_changes_nothing() {
    let mut scene = Scene::new();
    let before = picture(&scene.data);
    for injection in INJECTIONS {
        for (path, kind, body) in POSTS {
            let path = path.replace("{}", &in_address(injection));
            let text = if kind == FORM {
                in_address(injection)
            } else {
                in_json(injection)
            };
            let body = body.replace("{}", &text);
            for person in [&scene.admin, &Person::anonymous()] {
                let answer = person.post(&scene.hub, &path, &body, &[("content-type", kind)]);
                assert_harmless(&answer, &path, injection);
                assert!(!(200..300).contains(&answer.status), "{path}: {answer:?}");
            }
        }
    }
    assert_eq!(picture(&scene.data), before);
    assert_sound(&scene.data);
    scene.hub.assert_alive();
}

#[test]
fn sql_in_a_header_is_text_that_opens_nothing() {
    let mut scene = Scene::new();
    let before = picture(&scene.data);
    let paths = [
        "/ingest",
        "/api/v1/ingest",
        "/api/v1/agents/pin",
        "/integrity/run",
    ];
    for injection in INJECTIONS.iter().filter(|injection| injection.is_ascii()) {
        for header in HEADERS {
            let forms = [
                (*injection).to_owned(),
                format!("Bearer {injection}"),
                format!("Bearer ms_{injection}"),
                format!("monsys={injection}"),
            ];
            for value in &forms {
                let headers = [(header, value.as_str()), ("content-type", JSON)];
                for path in paths {
                    let answer = Person::anonymous().post(&scene.hub, path, "{}", &headers);
                    let what = format!("{header}: {value} to {path}");
                    assert_harmless(&answer, &what, injection);
                    assert!(!(200..300).contains(&answer.status), "{what}: {answer:?}");
                }
            }
        }
        // All at once, as a device would send them.
        let all = HEADERS.map(|header| (header, *injection));
        let answer = Person::anonymous().post(&scene.hub, "/ingest", "{}", &all);
        assert_harmless(&answer, "all headers", injection);
    }
    assert_eq!(picture(&scene.data), before);
    assert_sound(&scene.data);
    scene.hub.assert_alive();
}

#[test]
fn a_name_that_is_sql_is_a_name() {
    let scene = Scene::new();
    for (n, injection) in INJECTIONS.iter().enumerate() {
        let name = format!("{n} {injection}");
        let agent = scene.data.enrol("acme", &name);
        let found = scene.admin.get(
            &scene.hub,
            &format!("/api/v1/agents?text={}", in_address(&name)),
        );
        let found = found.json();
        assert_eq!(found["total"], 1, "{name}: {found}");
        assert_eq!(found["items"][0]["name"], name.as_str());
        assert_eq!(found["items"][0]["agent_id"], agent.id.to_string());
        agent.report(&scene.hub, (1, 1), 1.0, "0.1.0");
        let samples = scene.admin.get(
            &scene.hub,
            &format!("/v1/metrics?device_id={}", in_address(&name)),
        );
        assert_eq!(samples.json()["total"], 1, "{name}");
    }
    let page = scene
        .admin
        .get(&scene.hub, "/api/v1/agents?limit=200")
        .json();
    let names: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert!(names.is_sorted());
    assert_eq!(names.len(), INJECTIONS.len() + 5);
}

#[test]
fn sql_that_an_agent_says_of_its_machine_is_text() {
    let mut scene = Scene::new();
    let agent = scene.data.enrol("acme", "web-1");
    let mut n_said = 0;
    for (injection, seq) in INJECTIONS.iter().zip(1..) {
        let at = now().to_rfc3339();
        let body = json!({
            "v": 1, "type": "endpoint", "aud": agent.audience.as_str(),
            "agent_id": agent.id.to_string(), "agent_version": "0.1.0", "epoch": 1, "seq": seq,
            "captured_at": at, "sent_at": at,
            "data": {
                "processes": [
                    {"name": injection, "pid": 1, "exe": injection, "username": injection},
                ],
                "listeners": [{"ip": "::1", "port": 22, "process": injection}],
                "auth": [{"service": injection, "outcome": "failure", "count": 1}],
                "persistence": [{"kind": injection, "path": injection}],
                "health": [{"collector": injection, "state": "ok", "reason": injection}],
            },
        });
        agent
            .send(&scene.hub, body.to_string().as_bytes())
            .accepted();
        n_said += 1;
    }
    let sql = "SELECT processes FROM endpoint_snapshots ORDER BY time";
    let stored = rows(&scene.data, sql, [], |row| row.get::<_, String>(0));
    let names = stored.iter().map(|text| {
        let processes: Value = serde_json::from_str(text).unwrap();
        processes[0]["name"].as_str().unwrap().to_owned()
    });
    assert_eq!(names.collect::<Vec<_>>(), INJECTIONS);
    assert_eq!(stored.len(), n_said);
    assert_sound(&scene.data);
    scene.hub.assert_alive();
}
