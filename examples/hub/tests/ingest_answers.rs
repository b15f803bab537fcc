//! Every refusal of contract §3 that the ed25519 profile can meet: its status, its code, its place,
//! and that it stores nothing but the finding.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_wire::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, JSON_TYPE, SIGNATURE};

use support::agent::INGEST;
use support::raw::{Wire, get, request};
use support::refusal::{assert_refusal, assert_security_headers};
use support::store::{Stored, anomalies};
use support::{Answer, DataDir, Hub, TestAgent};

/// Stands in bodies and headers, and must not come back.
const CANARY: &str = "canary-7f3a";

/// A hub, an agent with a pinned key, and the next position that is free.
struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
    seq: i64,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        let hub = Hub::start(&data);
        Self {
            data,
            hub,
            agent,
            seq: 1,
        }
    }

    /// An honest body at the next position; its version holds the canary.
    fn body(&self) -> String {
        let version = format!("0.1.0-{CANARY}");
        let body = self.agent.metrics_of((1, self.seq), 4.2, &version);
        body.as_str().to_owned()
    }

    /// The honest body with one place changed; `@name` is that member and the comma after it.
    fn spoiled(&self, from: &str, to: &str) -> String {
        let body = self.body();
        let member = from.strip_prefix('@').map(|name| {
            let start = body.find(&format!("\"{name}\":")).unwrap();
            let end = start + body[start..].find(",\"").unwrap() + 1;
            &body[start..end]
        });
        let from = member.unwrap_or(from);
        // The reading alone: a time may hold the same digits.
        let changed = match from {
            "4.2" => body.replacen(":4.2}", &format!(":{to}}}"), 1),
            _ => body.replacen(from, to, 1),
        };
        assert_ne!(changed, body, "{from} does not stand in {body}");
        changed
    }

    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Wire::open(self.hub.addr)
            .send(&request("POST", INGEST, headers, body))
            .end()
            .answer()
    }

    /// Sends what is to be refused, and asserts that it left nothing behind but findings, gave
    /// nothing of itself back, and did not use up its position.
    fn refused(&mut self, send: impl FnOnce(&Self) -> Answer, status: u16, code: &str) -> Answer {
        let before = Stored::of(&self.data);
        let answer = send(self);
        assert_refusal(&answer, status, code);
        assert_eq!(Stored::of(&self.data), before, "{answer:?}");
        for secret in [CANARY, &self.agent.token] {
            assert!(!answer.body.contains(secret), "{answer:?}");
            let is_in_headers = answer
                .headers
                .iter()
                .any(|(_, value)| value.contains(secret));
            assert!(!is_in_headers, "{answer:?}");
        }
        self.agent
            .send(&self.hub, self.body().as_bytes())
            .accepted();
        self.seq += 1;
        answer
    }

    /// As [`Self::refused`], for a body with a signature of its own.
    fn refused_body(&mut self, body: &[u8], status: u16, code: &str) -> Answer {
        self.refused(|scene| scene.agent.send(&scene.hub, body), status, code)
    }

    /// As [`Self::refused_body`], for a member at fault.
    fn refused_member(&mut self, from: &str, to: &str, code: &str, pointer: &str) {
        let body = self.spoiled(from, to);
        let answer = self.refused_body(body.as_bytes(), 422, code);
        assert_eq!(answer.json()["pointer"], pointer, "{from} → {to}");
    }
}

#[test]
fn an_honest_payload_is_accepted_and_answers_as_documented() {
    let scene = Scene::new();
    let body = scene.body();
    let answer = scene.agent.send(&scene.hub, body.as_bytes()).accepted();
    assert_security_headers(&answer);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let members = answer.json();
    assert_eq!(members["status"], "accepted");
    assert_eq!(members["duplicate"], false);
    assert_eq!(members["server_time"].as_str().unwrap().len(), 27);
    let again = scene.agent.send(&scene.hub, body.as_bytes());
    assert_eq!(again.status, 200);
    assert_security_headers(&again);
    assert_eq!(again.json()["status"], "duplicate");
    assert_eq!(again.json()["duplicate"], true);
}

#[test]
fn i3_every_way_not_to_be_known_answers_the_same() {
    let mut scene = Scene::new();
    let bearer = scene.agent.bearer();
    let unknown = format!("Bearer ms_{}", "A".repeat(43));
    let ways: [(&str, Vec<&str>); 12] = [
        ("missing", vec![]),
        ("empty", vec![""]),
        ("unknown", vec![&unknown]),
        ("of another scheme", vec!["Basic bXM6bXM="]),
        ("without scheme", vec![&bearer[7..]]),
        ("too short", vec![&bearer[..bearer.len() - 1]]),
        (
            "too long",
            vec!["Bearer ms_canary-7f3acanary-7f3acanary-7f3acanary-7f3a"],
        ),
        (
            "of other letters",
            vec!["Bearer ms_canary-7f3a!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"],
        ),
        ("with two spaces", vec!["Bearer  ms_canary-7f3a"]),
        ("repeated", vec![&bearer, &bearer]),
        ("repeated, first unknown", vec![&unknown, &bearer]),
        (
            "two in one",
            vec!["Bearer ms_canary-7f3a, Bearer ms_canary-7f3a"],
        ),
    ];
    let mut bodies = Vec::new();
    for (way, values) in &ways {
        let answer = scene.refused(
            |scene| {
                let body = scene.body();
                let signature = scene.agent.sign(body.as_bytes());
                let mut headers: Vec<_> = values.iter().map(|v| (AUTHORIZATION, *v)).collect();
                headers.extend([(SIGNATURE, signature.as_str()), (CONTENT_TYPE, JSON_TYPE)]);
                scene.post(&headers, body.as_bytes())
            },
            401,
            "unauthorized",
        );
        let mut kinds: Vec<_> = answer.headers.clone();
        kinds.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        bodies.push((way, answer.body, kinds));
    }
    let (_, body, headers) = bodies.first().unwrap();
    for (way, other_body, other_headers) in &bodies {
        assert_eq!((other_body, other_headers), (body, headers), "{way}");
    }
    assert_eq!(
        anomalies(&scene.data, &scene.agent),
        [],
        "nobody raises a finding from outside"
    );
}

#[test]
fn a_stolen_token_without_a_signature_is_refused_and_found() {
    let mut scene = Scene::new();
    for signature in [None, Some("")] {
        let answer = scene.refused(
            |scene| {
                scene
                    .agent
                    .send_with(&scene.hub, scene.body().as_bytes(), signature)
            },
            403,
            "unsigned_payload",
        );
        assert_eq!(answer.json()["header"], SIGNATURE);
    }
    let found = anomalies(&scene.data, &scene.agent);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].kind.as_str(), found[0].severity.as_str()),
        ("unsigned_payload", "high")
    );
}

#[test]
fn a_signature_that_proves_nothing_is_refused_and_found() {
    let mut scene = Scene::new();
    let other = scene.data.enrol("acme", "beta");
    let good = scene.agent.sign(scene.body().as_bytes());
    let ways: [(&str, Vec<String>); 8] = [
        ("too short", vec![good[..127].to_owned()]),
        ("too long", vec![format!("{good}0")]),
        ("upper case", vec![good.to_uppercase()]),
        (
            "no hexadecimal",
            vec![format!("{CANARY}{}", &good[CANARY.len()..])],
        ),
        ("prefixed", vec![format!("0x{}", &good[2..])]),
        ("repeated", vec![good.clone(), good.clone()]),
        ("by another key", vec![other.sign(scene.body().as_bytes())]),
        ("all zero", vec!["0".repeat(128)]),
    ];
    for (way, values) in &ways {
        let answer = scene.refused(
            |scene| {
                let bearer = scene.agent.bearer();
                let mut headers = vec![(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, JSON_TYPE)];
                headers.extend(values.iter().map(|value| (SIGNATURE, value.as_str())));
                scene.post(&headers, scene.body().as_bytes())
            },
            403,
            "bad_signature",
        );
        assert_eq!(answer.json()["header"], SIGNATURE, "{way}");
    }
    let of_former_body = scene.agent.sign(scene.body().as_bytes());
    scene.seq += 1;
    let send = |scene: &Scene| {
        scene
            .agent
            .send_with(&scene.hub, scene.body().as_bytes(), Some(&of_former_body))
    };
    scene.refused(send, 403, "bad_signature");
    let found = anomalies(&scene.data, &scene.agent);
    assert_eq!(found.len(), 1);
    let (kind, severity) = (found[0].kind.as_str(), found[0].severity.as_str());
    assert_eq!((kind, severity), ("signature_invalid", "critical"));
    assert_eq!(found[0].evidence, r#"{"reason": "malformed"}"#);
}

#[test]
fn without_a_pinned_key_a_payload_is_accepted_with_a_medium_finding() {
    let scene = Scene::new();
    let agent = scene.data.enrol_without_key("acme", "keyless");
    let send = |seq, signature| {
        agent.send_with(
            &scene.hub,
            agent.metrics((1, seq), 4.2).as_bytes(),
            signature,
        )
    };
    send(1, None).accepted();
    let unverifiable = "a".repeat(128);
    send(2, Some(&unverifiable)).accepted();
    let found = anomalies(&scene.data, &agent);
    assert_eq!(found.len(), 1);
    let (kind, severity) = (found[0].kind.as_str(), found[0].severity.as_str());
    assert_eq!(
        (kind, severity, found[0].occurrences),
        ("unsigned_payload", "medium", 2)
    );
    assert_eq!(found[0].detail, "{}");
    let before = Stored::of(&scene.data);
    assert_refusal(&send(3, Some("zz")), 403, "bad_signature");
    assert_eq!(Stored::of(&scene.data), before);
}

#[test]
fn i6_only_plain_json_is_read() {
    let mut scene = Scene::new();
    for (name, value) in [
        (CONTENT_TYPE, "text/plain"),
        (CONTENT_TYPE, "application/json; charset=latin1"),
        (CONTENT_TYPE, "application/jsonl"),
        (CONTENT_TYPE, "multipart/form-data; boundary=canary-7f3a"),
        (CONTENT_ENCODING, "gzip"),
        (CONTENT_ENCODING, "identity, gzip"),
    ] {
        let answer = scene.refused(
            |scene| {
                let (bearer, body) = (scene.agent.bearer(), scene.body());
                let signature = scene.agent.sign(body.as_bytes());
                let headers = [
                    (AUTHORIZATION, bearer.as_str()),
                    (SIGNATURE, signature.as_str()),
                    (name, value),
                ];
                scene.post(&headers, body.as_bytes())
            },
            415,
            "unsupported_media_type",
        );
        assert_eq!(answer.json()["header"], name, "{value}");
    }
}

#[test]
fn what_is_not_json_is_refused_by_what_is_wrong_with_it() {
    let mut scene = Scene::new();
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let (one_too_deep, absurd) = (deep(31), deep(20_000));
    for (from, to, code) in [
        ("{", "", "syntax"),
        ("{", "\u{feff}{", "syntax"),
        ("\"v\":1}", "\"v\":1", "syntax"),
        ("\"v\":1}", "\"v\":1,}", "syntax"),
        ("\"v\":1}", "\"v\":1}{}", "syntax"),
        ("\"v\":1}", "\"v\":1} canary-7f3a", "syntax"),
        ("\"v\":1}", "'v':1}", "syntax"),
        ("\"v\":1}", "\"v\":/**/1}", "syntax"),
        ("4.2", "NaN", "syntax"),
        ("4.2", "-NaN", "syntax"),
        ("4.2", "Infinity", "syntax"),
        ("4.2", "-Infinity", "syntax"),
        ("4.2", "nan", "syntax"),
        ("4.2", "+4.2", "syntax"),
        ("4.2", "04.2", "syntax"),
        ("4.2", ".2", "syntax"),
        ("4.2", "4.", "syntax"),
        ("4.2", "4e", "syntax"),
        ("4.2", "0x4", "syntax"),
        ("4.2", "-", "syntax"),
        ("4.2", "True", "syntax"),
        (CANARY, "a\u{1}b", "syntax"),
        (CANARY, "\\x41", "syntax"),
        (CANARY, "\\u12", "syntax"),
        ("4.2", &one_too_deep, "depth"),
        ("4.2", &absurd, "depth"),
        ("\"v\":1", "\"v\":1,\"v\":1", "duplicate_name"),
        ("\"v\":1", "\"v\":1,\"\\u0076\":1", "duplicate_name"),
        ("4.2", "4.2,\"cpu_usage_percent\":4.2", "duplicate_name"),
        ("4.2", "1e400", "number_range"),
        ("4.2", "-1e400", "number_range"),
        ("4.2", "9007199254740992", "number_range"),
        ("4.2", "-9007199254740992", "number_range"),
        ("4.2", "9007199254740991.6", "number_range"),
        (CANARY, "\\ud800", "lone_surrogate"),
        (CANARY, "\\udc00\\ud800", "lone_surrogate"),
        (CANARY, "\\ud800\\u0041", "lone_surrogate"),
    ] {
        let body = scene.spoiled(from, to);
        scene.refused_body(body.as_bytes(), 400, code);
    }
    for empty in ["", " ", "\n"] {
        scene.refused_body(empty.as_bytes(), 400, "syntax");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut scene = Scene::new();
    for bytes in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ] {
        let body = scene.body();
        let (before, after) = body.split_once(CANARY).unwrap();
        let body = [before.as_bytes(), bytes, after.as_bytes()].concat();
        scene.refused_body(&body, 400, "not_utf8");
    }
}

#[test]
fn a_payload_for_another_hub_or_of_another_agent_is_refused() {
    let mut scene = Scene::new();
    let other = scene.data.enrol("acme", "beta");
    let (hub, agent) = (scene.agent.audience.to_string(), scene.agent.id.to_string());
    for (from, to, code) in [
        (hub.as_str(), "canary-7f3a", "wrong_audience"),
        (&hub, "", "wrong_audience"),
        (&agent, &other.id.to_string(), "wrong_agent"),
        (&agent, "canary-7f3a", "wrong_agent"),
    ] {
        let body = scene.spoiled(from, to);
        scene.refused_body(body.as_bytes(), 403, code);
    }
    assert_eq!(anomalies(&scene.data, &scene.agent), []);
    assert_eq!(anomalies(&scene.data, &other), []);
}

#[test]
fn a_revoked_agent_is_told_so_and_only_with_a_good_signature() {
    let scene = Scene::new();
    let send = || scene.agent.send(&scene.hub, scene.body().as_bytes());
    send().accepted();
    scene
        .data
        .json(&["agent", "revoke", &scene.agent.id.to_string()]);
    let before = Stored::of(&scene.data);
    assert_refusal(&send(), 403, "revoked");
    let unsigned = scene
        .agent
        .send_with(&scene.hub, scene.body().as_bytes(), None);
    assert_refusal(&unsigned, 403, "unsigned_payload");
    assert_eq!(Stored::of(&scene.data), before);
}

#[test]
fn i7_every_member_is_needed_known_of_its_type_and_in_its_range() {
    let mut scene = Scene::new();
    for (from, to, code, pointer) in [
        ("@agent_id", "", "missing_field", "/agent_id"),
        ("@agent_id", r#""agent_id":7,"#, "wrong_type", "/agent_id"),
        ("@aud", "", "missing_field", "/aud"),
        ("@aud", r#""aud":null,"#, "wrong_type", "/aud"),
        (r#""epoch":1,"#, "", "missing_field", "/epoch"),
        (r#""epoch":1"#, r#""epoch":0"#, "out_of_range", "/epoch"),
        (r#""epoch":1"#, r#""epoch":-1"#, "out_of_range", "/epoch"),
        (r#""epoch":1"#, r#""epoch":"1""#, "wrong_type", "/epoch"),
        (r#""epoch":1"#, r#""epoch":1.5"#, "wrong_type", "/epoch"),
        ("@seq", r#""seq":0,"#, "out_of_range", "/seq"),
        ("@seq", r#""seq":true,"#, "wrong_type", "/seq"),
        ("@seq", "", "missing_field", "/seq"),
        (r#","v":1"#, "", "missing_field", "/v"),
        (r#""v":1"#, r#""v":2"#, "out_of_range", "/v"),
        (r#""v":1"#, r#""v":"1""#, "wrong_type", "/v"),
        (
            r#""v":1"#,
            r#""v":1,"x":"canary-7f3a""#,
            "unknown_field",
            "/x",
        ),
        (r#""metrics""#, r#""canary-7f3a""#, "out_of_range", "/type"),
        (r#""metrics""#, "null", "wrong_type", "/type"),
        (r#""type":"metrics","#, "", "missing_field", "/type"),
        (CANARY, "\\u0000", "out_of_range", "/agent_version"),
        (
            r#""0.1.0-canary-7f3a""#,
            r#""""#,
            "out_of_range",
            "/agent_version",
        ),
        (
            r#""0.1.0-canary-7f3a""#,
            "1",
            "wrong_type",
            "/agent_version",
        ),
        (
            r#""agent_version":"0.1.0-canary-7f3a","#,
            "",
            "missing_field",
            "/agent_version",
        ),
        (
            "@captured_at",
            r#""captured_at":7,"#,
            "wrong_type",
            "/captured_at",
        ),
        ("@captured_at", "", "missing_field", "/captured_at"),
        ("@sent_at", r#""sent_at":null,"#, "wrong_type", "/sent_at"),
        (
            r#"{"cpu_usage_percent":4.2}"#,
            "{}",
            "missing_field",
            "/data/cpu_usage_percent",
        ),
        (r#"{"cpu_usage_percent":4.2}"#, "[]", "wrong_type", "/data"),
        ("4.2", "100.1", "out_of_range", "/data/cpu_usage_percent"),
        ("4.2", "-1", "out_of_range", "/data/cpu_usage_percent"),
        (
            "4.2",
            "-0.000001",
            "out_of_range",
            "/data/cpu_usage_percent",
        ),
        (
            "4.2",
            "9007199254740991",
            "out_of_range",
            "/data/cpu_usage_percent",
        ),
        ("4.2", "\"4.2\"", "wrong_type", "/data/cpu_usage_percent"),
        ("4.2", "null", "wrong_type", "/data/cpu_usage_percent"),
        (
            "4.2",
            r#"4.2,"password":"canary-7f3a""#,
            "unknown_field",
            "/data/password",
        ),
        ("4.2", r#"4.2,"load1":-1"#, "out_of_range", "/data/load1"),
        (
            "4.2",
            r#"4.2,"mem_used_bytes":0.5"#,
            "wrong_type",
            "/data/mem_used_bytes",
        ),
        (
            "4.2",
            r#"4.2,"disks":[{"mount":"canary-7f3a"}]"#,
            "missing_field",
            "/data/disks/0/total_bytes",
        ),
    ] {
        scene.refused_member(from, to, code, pointer);
    }
}

#[test]
fn times_are_rfc_3339_and_nothing_else() {
    let mut scene = Scene::new();
    for (member, text, code) in [
        ("captured_at", "canary-7f3a", "wrong_type"),
        ("captured_at", "2026-11-21", "wrong_type"),
        ("captured_at", "2026-11-21T01:15:41", "wrong_type"),
        ("captured_at", "2026-12-31T23:59:60Z", "wrong_type"),
        ("captured_at", "2026-02-30T00:00:00Z", "wrong_type"),
        ("captured_at", "2026-11-21T24:00:00Z", "wrong_type"),
        (
            "captured_at",
            "2026-11-21T01:15:41.1234567890Z",
            "wrong_type",
        ),
        ("sent_at", "", "wrong_type"),
        ("sent_at", "0001-01-01T00:00:00+23:00", "out_of_range"),
    ] {
        let body = scene.body();
        let (before, rest) = body.split_once(&format!(r#""{member}":""#)).unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        let body = format!(r#"{before}"{member}":"{text}"{after}"#);
        let answer = scene.refused_body(body.as_bytes(), 422, code);
        assert_eq!(answer.json()["pointer"], format!("/{member}"), "{text}");
    }
}

#[test]
fn a_page_by_another_method_and_an_unknown_path_are_refused_in_the_same_form() {
    let scene = Scene::new();
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = request(method, INGEST, &[], b"");
        let answer = Wire::open(scene.hub.addr).send(&request).end().answer();
        assert_refusal(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"), "RFC 9110 §15.5.6");
    }
    let head = Wire::open(scene.hub.addr)
        .send(&request("HEAD", INGEST, &[], b""))
        .end()
        .answer();
    assert_eq!(head.status, 405);
    for path in ["/api/v1/nothing", "/api/v1/ingest/", "/api/", "/v1/nothing"] {
        assert_refusal(&get(scene.hub.addr, path), 404, "not_found");
    }
    for path in [
        "/nothing",
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/assets/nothing",
    ] {
        let answer = get(scene.hub.addr, path);
        assert_eq!(answer.status, 404, "{path}");
        assert_security_headers(&answer);
    }
    for path in ["/healthz", "/readyz", "/login"] {
        let answer = get(scene.hub.addr, path);
        assert_eq!(answer.status, 200, "{path}");
        assert_security_headers(&answer);
    }
}
