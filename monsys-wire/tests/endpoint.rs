//! `endpoint` payloads: every member, type, range and limit.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::Agent;
use monsys_core::endpoint::{
    AuthCount, AuthOutcome, CollectorHealth, CollectorState, EndpointSnapshot, EndpointText,
    Listener, Persistence, Process,
};
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::Count;
use monsys_core::time::Timestamp;
use monsys_wire::compose::{ComposeError, Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::schema::{CleanedTexts, Payload, TextMember};

const FULL: &str = concat!(
    r#"{"auth":[{"count":3,"outcome":"failure","service":"sshd"}],"#,
    r#""health":[{"collector":"processes","reason":null,"state":"ok"},"#,
    r#"{"collector":"auth","reason":"no journal","state":"unavailable"}],"#,
    r#""listeners":[{"ip":"::1","port":22,"process":"sshd"},"#,
    r#"{"ip":"0.0.0.0","port":65535,"process":null}],"#,
    r#""persistence":[{"kind":"systemd_unit","path":"/etc/systemd/system/a.service"}],"#,
    r#""processes":[{"exe":"/usr/sbin/sshd","name":"sshd","pid":812,"username":"root"},"#,
    r#"{"exe":null,"name":"kthreadd","pid":2,"username":null}]}"#
);
const EMPTY: &str = r#"{"auth":[],"health":[],"listeners":[],"persistence":[],"processes":[]}"#;

fn snapshot() -> EndpointSnapshot {
    let name = EndpointText::name;
    EndpointSnapshot {
        processes: vec![
            Process {
                name: name("sshd"),
                pid: 812,
                exe: Some(EndpointText::path("/usr/sbin/sshd")),
                username: Some(name("root")),
            },
            Process {
                name: name("kthreadd"),
                pid: 2,
                exe: None,
                username: None,
            },
        ],
        listeners: vec![
            Listener {
                ip: "::1".parse().unwrap(),
                port: 22,
                process: Some(name("sshd")),
            },
            Listener {
                ip: "0.0.0.0".parse().unwrap(),
                port: 65_535,
                process: None,
            },
        ],
        auth: vec![AuthCount {
            service: name("sshd"),
            outcome: AuthOutcome::Failure,
            count: Count::new(3).unwrap(),
        }],
        persistence: vec![Persistence {
            kind: name("systemd_unit"),
            path: EndpointText::path("/etc/systemd/system/a.service"),
        }],
        health: vec![
            CollectorHealth {
                collector: name("processes"),
                state: CollectorState::Ok,
                reason: None,
            },
            CollectorHealth {
                collector: name("auth"),
                state: CollectorState::Unavailable,
                reason: Some(name("no journal")),
            },
        ],
    }
}

fn admitted(data: &str) -> EndpointSnapshot {
    let agent = Agent::new();
    let body = agent.body("endpoint", data);
    let Payload::Endpoint(snapshot) = agent.send(&agent.request(&body)).unwrap().payload else {
        panic!("a snapshot was sent")
    };
    snapshot
}

#[test]
fn every_member_is_read() {
    assert_eq!(admitted(FULL), snapshot());
    assert_eq!(admitted(EMPTY), EndpointSnapshot::default());
}

#[test]
fn what_is_composed_is_admitted_with_the_same_values() {
    let agent = Agent::new();
    let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap();
    let compose = |snapshot: &EndpointSnapshot| {
        OutgoingBody::compose(&OutgoingPayload {
            audience: &agent.hub,
            agent_id: agent.id,
            agent_version: &AgentVersion::parse("0.1.0").unwrap(),
            position: Position::new(1, 1).unwrap(),
            captured_at: now,
            sent_at: now,
            data: Outbound::Endpoint(snapshot),
        })
    };
    let body = compose(&snapshot()).unwrap();
    assert!(body.as_str().contains(FULL));
    let request = agent.request(body.as_str());
    let sent = agent.send(&request).unwrap().payload;
    assert_eq!(sent, Payload::Endpoint(snapshot()));
    let mut long = snapshot();
    long.health = vec![long.health[0].clone(); 65];
    assert_eq!(compose(&long), Err(ComposeError::ListLength));
}

#[test]
fn p2_texts_that_were_cleaned_are_counted_by_member() {
    let agent = Agent::new();
    let cleaned = |data: &str| {
        let body = agent.body("endpoint", data);
        agent.send(&agent.request(&body)).unwrap().cleaned
    };
    assert_eq!(cleaned(FULL), CleanedTexts::default());
    let spoiled = FULL.replace("sshd", "bob@example.org");
    assert_ne!(spoiled, FULL);
    let counts: Vec<_> = cleaned(&spoiled).iter().collect();
    let expected = FULL.matches("sshd").count();
    let n = |(_, n): &(TextMember, u32)| usize::try_from(*n).unwrap();
    assert_eq!(counts.iter().map(n).sum::<usize>(), expected, "{counts:?}");
    assert!(counts.contains(&(TextMember::AuthService, 1)), "{counts:?}");
}

#[test]
fn p1_every_member_is_needed_and_no_other_is_taken() {
    let agent = Agent::new();
    let refusal = |data: &str| agent.refusal(&agent.body("endpoint", data));
    let members = [
        (
            "/data",
            ["auth", "health", "listeners", "persistence", "processes"].as_slice(),
        ),
        ("/data/auth/0", &["count", "outcome", "service"]),
        ("/data/health/0", &["collector", "reason", "state"]),
        ("/data/listeners/0", &["ip", "port", "process"]),
        ("/data/persistence/0", &["kind", "path"]),
        ("/data/processes/0", &["exe", "name", "pid", "username"]),
    ];
    for (place, names) in members {
        let path = place.strip_prefix("/data").unwrap();
        for name in names {
            let mut data: serde_json::Value = serde_json::from_str(FULL).unwrap();
            let object = data.pointer_mut(path).unwrap().as_object_mut().unwrap();
            object.remove(*name).unwrap();
            let pointer = Some(format!("{place}/{name}"));
            assert_eq!(refusal(&data.to_string()), ("missing_field", pointer));
        }
        let mut data: serde_json::Value = serde_json::from_str(FULL).unwrap();
        let object = data.pointer_mut(path).unwrap().as_object_mut().unwrap();
        object.insert("cmdline".to_owned(), "mysql -psecret".into());
        let pointer = Some(format!("{place}/cmdline"));
        assert_eq!(refusal(&data.to_string()), ("unknown_field", pointer));
    }
}

#[test]
fn members_have_types_and_ranges() {
    let agent = Agent::new();
    let cases = [
        (
            "\"pid\":812",
            "\"pid\":-1",
            "out_of_range",
            "/processes/0/pid",
        ),
        (
            "\"pid\":812",
            "\"pid\":4294967296",
            "out_of_range",
            "/processes/0/pid",
        ),
        (
            "\"pid\":812",
            "\"pid\":1.5",
            "wrong_type",
            "/processes/0/pid",
        ),
        (
            "\"sshd\",\"pid\"",
            "null,\"pid\"",
            "wrong_type",
            "/processes/0/name",
        ),
        ("\"root\"", "7", "wrong_type", "/processes/0/username"),
        (
            "\"::1\"",
            "\"localhost\"",
            "out_of_range",
            "/listeners/0/ip",
        ),
        (
            "\"::1\"",
            "\"fe80::1%eth0\"",
            "out_of_range",
            "/listeners/0/ip",
        ),
        ("\"::1\"", "1", "wrong_type", "/listeners/0/ip"),
        (
            "\"port\":22",
            "\"port\":0",
            "out_of_range",
            "/listeners/0/port",
        ),
        (
            "\"port\":22",
            "\"port\":65536",
            "out_of_range",
            "/listeners/0/port",
        ),
        (
            "\"failure\"",
            "\"Failure\"",
            "out_of_range",
            "/auth/0/outcome",
        ),
        (
            "\"count\":3",
            "\"count\":-3",
            "out_of_range",
            "/auth/0/count",
        ),
        ("\"ok\"", "\"fine\"", "out_of_range", "/health/0/state"),
        ("\"ok\"", "null", "wrong_type", "/health/0/state"),
        ("[{\"kind\"", "{\"x\":[{\"kind\"", "syntax", "/persistence"),
    ];
    for (from, to, code, pointer) in cases {
        let (found, place) = agent.refusal(&agent.body("endpoint", &FULL.replace(from, to)));
        assert_eq!(found, code, "{to}");
        if code != "syntax" {
            assert_eq!(place, Some(format!("/data{pointer}")), "{to}");
        }
    }
    let nul = FULL.replace("no journal", "no\\u0000journal");
    let pointer = Some("/data/health/1/reason".to_owned());
    let refused = agent.refusal(&agent.body("endpoint", &nul));
    assert_eq!(refused, ("out_of_range", pointer));
}

#[test]
fn lists_end_at_their_limits() {
    let agent = Agent::new();
    let elements = [
        (
            "auth",
            r#"{"count":1,"outcome":"success","service":"a"}"#,
            256,
        ),
        (
            "health",
            r#"{"collector":"a","reason":null,"state":"ok"}"#,
            64,
        ),
        ("listeners", r#"{"ip":"::","port":1,"process":null}"#, 1_024),
        ("persistence", r#"{"kind":"a","path":"b"}"#, 4_096),
        (
            "processes",
            r#"{"exe":null,"name":"a","pid":1,"username":null}"#,
            4_096,
        ),
    ];
    for (list, element, n_max) in elements {
        let of = |n: usize| {
            let filled = format!("\"{list}\":[{}]", vec![element; n].join(","));
            EMPTY.replace(&format!("\"{list}\":[]"), &filled)
        };
        admitted(&of(n_max));
        let refused = agent.refusal(&agent.body("endpoint", &of(n_max + 1)));
        assert_eq!(refused, ("out_of_range", Some(format!("/data/{list}"))));
    }
}

#[test]
fn p2_foreign_text_is_cleaned_and_cut_and_never_refused() {
    let exe = "/".repeat(5_000);
    let data = FULL
        .replace("/usr/sbin/sshd", &exe)
        .replace("\"root\"", "\"bob@example.org\\u202e\"");
    let process = &admitted(&data).processes[0];
    assert_eq!(process.exe.as_ref().unwrap().as_str().len(), 1_024);
    let username = process.username.as_ref().unwrap();
    assert_eq!(username.as_str(), "[redacted-email]");
    let nameless = admitted(&FULL.replace("\"kthreadd\"", "\"\\u202e\""));
    assert_eq!(nameless.processes[1].name.as_str(), "");
}
