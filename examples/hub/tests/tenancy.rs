//! Organisations with the same names everywhere see nothing of each other: every route, as every
//! person, by every identifier, with words planted in every text that somebody can write.
//!
//! What each organisation may see is found by a word that only it has. Identifiers of others are
//! looked for as well, except those that the request itself named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use monsys_core::time::Span;
use monsys_wire::Audience;
use serde_json::{Value, json};
use support::person::Person;
use support::raw::{Wire, request};
use support::routes::{Declared, declared};
use support::{Answer, DataDir, Hub, TestAgent, now};

/// The organisations: their names must differ, and hold the words that nobody else may see.
const ORGS: [&str; 3] = ["zq1alder", "zq2birch", "zq3cedar"];
/// What each of them calls its agent, its device and its people.
const AGENT: &str = "web-1";
const DEVICE: &str = "sensor-1";
const EMAILS: [(&str, &str); 2] = [("same@x.example", "admin"), ("read@x.example", "read_only")];
/// An identifier that nothing has.
const NOTHING: &str = "00000000-0000-4000-8000-000000000000";

/// One organisation and all that is its own.
struct Org {
    word: &'static str,
    agent: TestAgent,
    people: Vec<Person>,
    /// Its agents, its anomalies, itself.
    ids: Vec<String>,
    /// What a page of its own ends with.
    cursors: Vec<(String, String)>,
}

impl Org {
    fn admin(&self) -> &Person {
        &self.people[0]
    }
}

struct Scene {
    data: DataDir,
    hub: Hub,
    routes: Vec<Declared>,
    orgs: Vec<Org>,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        for org in ORGS {
            data.add_org(org);
        }
        let settings = [("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")];
        let hub = Hub::start_with(&data, &settings);
        let mut orgs: Vec<_> = ORGS.map(|word| filled(&data, &hub, word)).into();
        data.cycle();
        if let Some(database) = data.database() {
            database.unfence_if_asked();
        }
        for org in &mut orgs {
            learn(&hub, org);
        }
        let routes = declared(&data);
        Self {
            data,
            hub,
            routes,
            orgs,
        }
    }

    /// The organisations beside one of them.
    fn others<'a>(&'a self, own: &'a Org) -> impl Iterator<Item = &'a Org> {
        self.orgs.iter().filter(|org| org.word != own.word)
    }

    /// Asserts that an answer to somebody of an organisation, or to nobody, holds nothing of others.
    fn assert_nothing_of_others(&self, word: &str, asked: &str, answer: &Answer) {
        let said = format!("{:?}{}", answer.headers, answer.body);
        for other in self.orgs.iter().filter(|org| org.word != word) {
            assert!(
                !said.contains(other.word),
                "{word} sees {}: {asked}: {said}",
                other.word
            );
            let ids = other.ids.iter().filter(|id| !asked.contains(*id));
            for id in ids {
                assert!(
                    !said.contains(id),
                    "{word} sees an id of {}: {asked}: {said}",
                    other.word
                );
            }
        }
    }
}

/// Fills an organisation: everything that somebody can write holds its word.
fn filled(data: &DataDir, hub: &Hub, word: &'static str) -> Org {
    let agent = data.enrol(word, AGENT);
    let marked = data.enrol(word, &format!("host-{word}"));
    let device = data.enrol_device(word, DEVICE);
    for seq in 1..=3 {
        agent.report(hub, (1, seq), 12.5, &format!("1.0.{seq}+{word}"));
        marked.report(hub, (1, seq), 20.0, &format!("2.0.{seq}+{word}"));
        device.report(hub, (1, seq), 30.0);
    }
    for reporter in [&agent, &marked] {
        for (seq, (kind, said)) in (4..).zip(machine_of(word)) {
            let body = payload(
                &reporter.audience,
                (&reporter.id.to_string(), word),
                seq,
                kind,
                &said,
            );
            reporter.send(hub, body.as_bytes()).accepted();
        }
    }
    for (seq, (kind, said)) in (4..).zip(machine_of(word)) {
        let body = payload(&device.audience, (DEVICE, word), seq, kind, &said);
        device.send(hub, &body).accepted();
    }
    let unsigned = agent.metrics((1, 6), 12.5);
    assert_eq!(agent.send_with(hub, unsigned.as_bytes(), None).status, 403);
    let unsigned = marked.metrics((1, 6), 12.5);
    let wrong = "0".repeat(128);
    assert_eq!(
        marked
            .send_with(hub, unsigned.as_bytes(), Some(&wrong))
            .status,
        403
    );
    emit(data, word, &agent);
    let mut people: Vec<_> = EMAILS.map(|who| Person::named(data, hub, word, who)).into();
    people.push(Person::named(
        data,
        hub,
        word,
        (&format!("{word}@x.example"), "admin"),
    ));
    Org {
        word,
        ids: vec![agent.id.to_string(), marked.id.to_string()],
        agent,
        people,
        cursors: Vec::new(),
    }
}

/// The texts that a machine says of itself: each planted as `KIND-of-WORD`.
const TEXTS_OF_A_MACHINE: [&str; 11] = [
    "mount",
    "interface",
    "process",
    "exe",
    "username",
    "listener",
    "service",
    "persistence",
    "path",
    "collector",
    "reason",
];

/// A sample and a snapshot in which every text holds a word.
fn machine_of(word: &str) -> [(&'static str, Value); 2] {
    let text = |kind: &str| format!("{kind}-of-{word}");
    let sample = json!({
        "cpu_usage_percent": 12.5,
        "disks": [{"mount": text("mount"), "total_bytes": 10, "used_bytes": 9}],
        "networks": [{"interface": text("interface"), "rx_bytes": 1, "tx_bytes": 2}],
    });
    let snapshot = json!({
        "processes": [{
            "name": text("process"), "pid": 1, "exe": text("exe"), "username": text("username"),
        }],
        "listeners": [{"ip": "::1", "port": 22, "process": text("listener")}],
        "auth": [{"service": text("service"), "outcome": "failure", "count": 3}],
        "persistence": [{"kind": text("persistence"), "path": text("path")}],
        "health": [{
            "collector": text("collector"), "state": "degraded", "reason": text("reason"),
        }],
    });
    [("metrics", sample), ("endpoint", snapshot)]
}

/// A payload of this moment by whoever calls itself so in an organisation.
fn payload(
    audience: &Audience,
    (name, word): (&str, &str),
    seq: i64,
    kind: &str,
    said: &Value,
) -> String {
    let at = now().to_rfc3339();
    json!({
        "v": 1, "type": kind, "aud": audience.as_str(), "agent_id": name,
        "agent_version": format!("2.5.0+{word}"), "epoch": 1, "seq": seq, "captured_at": at,
        "sent_at": at, "data": said,
    })
    .to_string()
}

/// Signals about the agent and about subjects of the same name in each organisation.
fn emit(data: &DataDir, word: &str, agent: &TestAgent) {
    let at = now().saturating_sub(Span::from_secs(60)).to_rfc3339();
    let signal = |subject_type: &str, subject_id: &str, key: &str| {
        json!({
            "source": "cert_scan", "subject_type": subject_type, "subject_id": subject_id,
            "key": key, "value": {"value": word}, "severity": "high", "observed_at": at,
            "ttl_seconds": 86_400,
        })
    };
    let lines = [
        signal("agent", &agent.id.to_string(), "cert.expiry"),
        signal("domain", "shop.example", "cert.expiry"),
        signal("domain", "shop.example", &format!("cert.{word}")),
        signal("domain", word, "cert.expiry"),
    ];
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    let file = data.path().join(format!("{word}.jsonl"));
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let emitted = data.run(&["signals", "emit", "--org", word, "--file", file]);
    assert!(emitted.status.success(), "{emitted:?}");
}

/// Writes with words what people write, and notes what an organisation has.
fn learn(hub: &Hub, org: &mut Org) {
    let word = org.word;
    let listed = org
        .admin()
        .get(hub, "/api/v1/integrity/anomalies?state=all&limit=1");
    let listed = listed.json();
    let next = listed["next_cursor"].as_str().unwrap().to_owned();
    org.cursors
        .push(("/api/v1/integrity/anomalies".into(), next));
    let all = org
        .admin()
        .get(hub, "/api/v1/integrity/anomalies?state=all")
        .json();
    let anomalies = all["items"].as_array().unwrap().clone();
    assert!(anomalies.len() >= 2, "{all}");
    let ids = anomalies
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned());
    let ids: Vec<_> = ids.collect();
    let resolve = format!("/api/v1/integrity/anomalies/{}/resolve", ids[0]);
    let note = json!({"note": format!("closed by {word}")}).to_string();
    assert_eq!(org.admin().post(hub, &resolve, &note, &JSON).status, 200);
    let acknowledge = format!("/api/v1/integrity/anomalies/{}/acknowledge", ids[1]);
    let reason = json!({"reason": format!("seen by {word}")}).to_string();
    assert_eq!(
        org.admin().post(hub, &acknowledge, &reason, &JSON).status,
        200
    );
    org.ids.extend(ids);
    let agents = org.admin().get(hub, "/api/v1/agents?limit=200").json();
    for agent in agents["items"].as_array().unwrap() {
        let id = agent["agent_id"].as_str().unwrap().to_owned();
        if !org.ids.contains(&id) {
            org.ids.push(id);
        }
    }
    assert_eq!(
        org.ids.len(),
        3 + anomalies.len(),
        "two agents and a device"
    );
    for path in ["/api/v1/signals?limit=1", "/api/v1/agents?limit=1"] {
        let page = org.admin().get(hub, path).json();
        let next = page["next_cursor"].as_str().unwrap().to_owned();
        let path = path.split('?').next().unwrap();
        org.cursors.push((path.into(), next));
    }
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Queries that name something of an organisation, by identifier and by the names all share.
fn queries(org: &Org) -> Vec<String> {
    let mut queries = vec![
        String::new(),
        "state=all".into(),
        "subject_type=domain&subject_id=shop.example".into(),
        format!("agent_id={AGENT}&state=all"),
        format!("text={AGENT}"),
        format!("device_id={AGENT}"),
        format!("device_id={DEVICE}"),
        "format=csv".into(),
        "format=json&state=all".into(),
    ];
    for id in &org.ids {
        queries.push(format!("agent_id={id}&state=all"));
        queries.push(format!("device_id={id}"));
        queries.push(format!("subject_type=agent&subject_id={id}"));
    }
    queries
}

/// What somebody is answered who asks for something.
fn ask(hub: &Hub, person: &Person, path: &str, query: &str) -> Answer {
    let address = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    if path == "/integrity/events" {
        return first_of_stream(hub, person, &address);
    }
    person.get(hub, &address)
}

/// What a stream says in its first moment.
fn first_of_stream(hub: &Hub, person: &Person, address: &str) -> Answer {
    let cookie = person.cookie().map(|cookie| ("Cookie", cookie));
    let headers: Vec<_> = cookie.into_iter().collect();
    let mut wire = Wire::open(hub.addr).send(&request("GET", address, &headers, b""));
    let moment = Duration::from_millis(5);
    while wire.first_answer().is_none() {
        wire.listen(moment);
    }
    wire.listen(moment);
    wire.first_answer().unwrap()
}

#[test]
fn a5_no_word_of_another_organisation_is_in_any_answer() {
    let scene = Scene::new();
    let mut n_asked = 0;
    let mut n_own = 0;
    let mut shown = BTreeSet::new();
    for route in scene.routes.iter().filter(|route| route.is_read()) {
        for org in &scene.orgs {
            let mut names = vec![AGENT.to_owned(), DEVICE.to_owned(), NOTHING.to_owned()];
            names.extend(scene.orgs.iter().flat_map(|org| org.ids.clone()));
            names.truncate(if route.has_name() { names.len() } else { 1 });
            for (name, person) in names
                .iter()
                .flat_map(|name| org.people.iter().map(move |p| (name, p)))
            {
                let path = route.at(name);
                let asked_for = if route.has_name() {
                    vec![String::new()]
                } else {
                    scene.orgs.iter().flat_map(queries).collect()
                };
                for query in BTreeSet::from_iter(asked_for) {
                    let answer = ask(&scene.hub, person, &path, &query);
                    let asked = format!("{path}?{query}");
                    assert!(answer.status < 500, "{asked}: {answer:?}");
                    scene.assert_nothing_of_others(org.word, &asked, &answer);
                    n_asked += 1;
                    n_own += usize::from(answer.body.contains(org.word));
                    let planted = TEXTS_OF_A_MACHINE.map(|kind| format!("{kind}-of-{}", org.word));
                    shown.extend(
                        planted
                            .into_iter()
                            .filter(|text| answer.body.contains(text)),
                    );
                }
            }
        }
    }
    assert!(n_asked > 3_000, "{n_asked}");
    // Otherwise nothing would be shown to anybody.
    assert!(n_own * 10 > n_asked, "{n_own} of {n_asked}");
    assert_eq!(
        shown.len(),
        ORGS.len() * TEXTS_OF_A_MACHINE.len(),
        "{shown:?}"
    );
    println!(
        "{n_asked} answers, {n_own} with an own word, {} texts",
        shown.len()
    );
}

#[test]
fn a5_a_place_in_anothers_pages_leads_into_ones_own() {
    let scene = Scene::new();
    for org in &scene.orgs {
        for (path, cursor) in scene.others(org).flat_map(|other| &other.cursors) {
            for name in ["cursor", "after"] {
                let query = format!("{name}={cursor}");
                let answer = org.admin().get(&scene.hub, &format!("{path}?{query}"));
                scene.assert_nothing_of_others(org.word, &query, &answer);
            }
        }
    }
}

#[test]
fn a5_samples_of_others_are_not_counted_and_move_no_page() {
    let scene = Scene::new();
    for org in &scene.orgs {
        for (which, n) in [(String::new(), 12), (format!("&device_id={AGENT}"), 4)] {
            let page = |of: &str| {
                let answer = org
                    .admin()
                    .get(&scene.hub, &format!("/v1/metrics?{of}{which}"));
                assert_eq!(answer.status, 200, "{of}: {answer:?}");
                answer.json()
            };
            let all = page("page_size=100");
            let items = all["items"].as_array().unwrap();
            assert_eq!((items.len(), &all["total"]), (n, &Value::from(n)));
            let paged: Vec<_> = (1..=n)
                .map(|number| page(&format!("page_size=1&page={number}"))["items"][0].clone())
                .collect();
            assert_eq!(&paged, items);
        }
    }
}

#[test]
fn a5_nobody_is_shown_a_word_of_anybody() {
    let scene = Scene::new();
    let nobody = Person::anonymous();
    for route in &scene.routes {
        for id in scene.orgs.iter().flat_map(|org| &org.ids) {
            let path = route.at(id);
            let answer = if route.is_read() {
                ask(&scene.hub, &nobody, &path, "")
            } else {
                // By hand: some routes refuse an agent before they read what it sends, and close.
                let bytes = request("POST", &path, &JSON, b"{}");
                Wire::open(scene.hub.addr).send(&bytes).end().answer()
            };
            scene.assert_nothing_of_others("", &path, &answer);
        }
    }
}

/// What two answers to one person are compared by; where an answer goes back to is its own address.
fn compared(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter();
    let headers = headers.filter(|(name, _)| name != "date").cloned();
    (answer.status, headers.collect(), answer.body.clone())
}

#[test]
fn a5_what_is_anothers_is_to_the_byte_what_is_not_there() {
    let scene = Scene::new();
    let mut n_compared = 0;
    for route in scene
        .routes
        .iter()
        .filter(|route| route.has_name() && route.is_for_people())
    {
        for org in &scene.orgs {
            let missing = reach(&scene.hub, org.admin(), route, NOTHING);
            assert_eq!(missing.status, 404, "{}: {missing:?}", route.path);
            for id in scene.others(org).flat_map(|other| &other.ids) {
                let anothers = reach(&scene.hub, org.admin(), route, id);
                assert_eq!(
                    compared(&anothers),
                    compared(&missing),
                    "{} {}",
                    route.method,
                    route.path
                );
                n_compared += 1;
            }
        }
    }
    assert!(n_compared > 100, "{n_compared}");
}

/// Calls a route that names one thing, with a body that would be taken.
fn reach(hub: &Hub, person: &Person, route: &Declared, id: &str) -> Answer {
    let path = route.at(id);
    let until = now().saturating_add(Span::from_secs(3_600)).to_rfc3339();
    match (route.is_read(), route.is_page) {
        (true, _) => person.get(hub, &path),
        (false, true) => {
            let form = format!("csrf={}&note=x&reason=x&for=1h", csrf_of(hub, person));
            person.post_form(hub, &path, &form)
        }
        (false, false) => {
            let body = match path.rsplit('/').next().unwrap() {
                "acknowledge" => json!({"reason": "x"}),
                "snooze" => json!({"reason": "x", "until": until}),
                _ => json!({}),
            };
            person.post(hub, &path, &body.to_string(), &JSON)
        }
    }
}

fn csrf_of(hub: &Hub, person: &Person) -> String {
    let page = person.get(hub, "/overview").body;
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// What an organisation has, as its own administrator is shown it.
fn all_of(hub: &Hub, org: &Org) -> Vec<String> {
    let mut shown = Vec::new();
    for path in [
        "/api/v1/integrity/anomalies?state=all",
        "/api/v1/agents",
        "/api/v1/signals",
    ] {
        shown.push(org.admin().get(hub, path).body);
    }
    for id in &org.ids {
        let path = format!("/api/v1/integrity/anomalies/{id}");
        shown.push(org.admin().get(hub, &path).body);
    }
    shown
}

#[test]
fn a5_nothing_of_another_organisation_is_changed() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let before: Vec<_> = scene.orgs.iter().map(|org| all_of(hub, org)).collect();
    for org in &scene.orgs {
        let ids: Vec<_> = scene.others(org).flat_map(|other| &other.ids).collect();
        for id in &ids {
            for route in scene
                .routes
                .iter()
                .filter(|route| !route.is_read() && route.has_name())
            {
                if route.is_for_people() {
                    assert_eq!(
                        reach(hub, org.admin(), route, id).status,
                        404,
                        "{}",
                        route.path
                    );
                }
            }
        }
        let many = json!({"ids": ids, "note": "x"}).to_string();
        let path = "/api/v1/integrity/anomalies/resolve";
        assert_eq!(org.admin().post(hub, path, &many, &JSON).status, 404);
        let ticked: String = ids.iter().map(|id| format!("&id={id}")).collect();
        let form = format!(
            "csrf={}&do=resolve&reason=x{ticked}",
            csrf_of(hub, org.admin())
        );
        assert_eq!(
            org.admin().post_form(hub, "/integrity/act", &form).status,
            404
        );
        // A form's token of one session is none of another's.
        let other = scene.others(org).next().unwrap();
        let form = format!("csrf={}", csrf_of(hub, other.admin()));
        assert_eq!(org.admin().post_form(hub, "/logout", &form).status, 403);
    }
    let after: Vec<_> = scene.orgs.iter().map(|org| all_of(hub, org)).collect();
    assert_eq!(before, after);
}

#[test]
fn a5_an_agent_writes_and_reads_for_itself_alone() {
    let scene = Scene::new();
    let [one, other] = [&scene.orgs[0], &scene.orgs[1]];
    let before = all_of(&scene.hub, other);
    // The token of one with the identifier of the other, signed by the one.
    let sample = other.agent.metrics((1, 9), 99.0);
    let answer = one.agent.send(&scene.hub, sample.as_bytes());
    assert_eq!(answer.code(), "wrong_agent", "{answer:?}");
    one.agent.report(&scene.hub, (1, 9), 55.0, "3.0.0");
    assert_eq!(all_of(&scene.hub, other), before);
    let bearer = one.agent.bearer();
    let asked = request(
        "GET",
        "/api/v1/agents/self",
        &[("Authorization", &bearer)],
        b"",
    );
    let own = Wire::open(scene.hub.addr).send(&asked).end().answer();
    assert_eq!(own.json()["org"], one.word);
    scene.assert_nothing_of_others(one.word, "self", &own);
    assert_eq!(scene.data.cycle()["failed_pages"], 0);
    assert_eq!(all_of(&scene.hub, other)[1..], before[1..]);
}
