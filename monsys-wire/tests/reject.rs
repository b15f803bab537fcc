//! The table of codes, and the answers that hubs write and agents read.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::Agent;
use monsys_core::signal::{Rule, Violation, Violations};
use monsys_core::time::Timestamp;
use monsys_wire::answer::{Acknowledgement, AgentSelf, Answer, problem_json};
use monsys_wire::{Code, Reject, header};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn codes_and_statuses_are_those_of_the_contract() {
    let contract = [
        (
            400,
            "missing_header bad_header not_utf8 syntax depth duplicate_name number_range lone_surrogate not_canonical",
        ),
        (401, "unauthorized stale"),
        (
            403,
            "unsigned_payload bad_signature wrong_audience wrong_agent wrong_profile revoked pin_refused",
        ),
        (409, "replay stale_epoch"),
        (413, "too_large"),
        (415, "unsupported_media_type"),
        (
            422,
            "unknown_field missing_field wrong_type out_of_range invalid_signal",
        ),
        (429, "rate_limited replay_capacity"),
        (503, "store_unavailable"),
    ];
    let expected: Vec<(u16, &str)> = contract
        .iter()
        .flat_map(|(status, codes)| codes.split(' ').map(|code| (*status, code)))
        .collect();
    let table: Vec<(u16, &str)> = Code::ALL
        .iter()
        .map(|code| (code.status(), code.as_str()))
        .collect();
    assert_eq!(table, expected);
    for code in Code::ALL {
        assert_eq!(Code::from_name(code.as_str()), Some(code));
        assert!(!code.title().is_empty());
    }
    assert_eq!(Code::from_name("teapot"), None);
}

#[test]
fn the_specification_names_every_code_and_header() {
    let page = include_str!("../src/manual/wire.md");
    for code in Code::ALL {
        let quoted = format!("`{}`", code.as_str());
        assert!(page.contains(&quoted), "{quoted}");
    }
    let page = page.to_ascii_lowercase();
    for name in kit::device::HEADERS {
        assert!(page.contains(name), "{name}");
    }
    assert!(page.contains(header::SIGNATURE) && page.contains(header::AUTHORIZATION));
}

#[test]
fn problems_say_what_was_expected_and_where() {
    let wrong = Reject::OutOfRange {
        pointer: "/data/load1".to_owned(),
        expected: "a number that is not negative",
    };
    let problem = json(&problem_json(&wrong, now()));
    assert_eq!(problem["type"], "urn:monsys:error:out_of_range");
    assert_eq!(problem["status"], 422);
    assert_eq!(problem["code"], "out_of_range");
    assert_eq!(problem["pointer"], "/data/load1");
    assert_eq!(problem["detail"], "expected a number that is not negative");
    assert_eq!(problem.get("header"), None);
    let unsigned = json(&problem_json(&Reject::UnsignedPayload, now()));
    assert_eq!(unsigned["header"], "x-monsys-signature");
    let stale = json(&problem_json(&Reject::Stale { window_s: 300 }, now()));
    assert_eq!(stale["server_time"], "2026-11-21T01:15:41.000000Z");
    assert_eq!(
        Reject::RateLimited { retry_after_s: 3 }.retry_after_s(),
        Some(3)
    );
    assert_eq!(Reject::Replay.retry_after_s(), None);
}

#[test]
fn broken_rules_are_listed_and_counted() {
    let mut violations = Violations::default();
    for index in 0..100 {
        violations.push(Violation {
            index,
            rule: Rule::Severity,
        });
    }
    let problem = json(&problem_json(&Reject::InvalidSignal { violations }, now()));
    assert_eq!(problem["n_violations"], 100);
    assert_eq!(problem["violations"].as_array().unwrap().len(), 32);
    assert_eq!(problem["violations"][1]["index"], 1);
    assert_eq!(problem["violations"][1]["field"], "severity");
    assert_eq!(problem["violations"][1]["rule"], "severity_word");
}

#[test]
fn no_answer_repeats_what_the_sender_wrote() {
    let agent = Agent::new();
    let body = agent.body("metrics", r#"{"cpu_usage_percent":"<script>"}"#);
    let reject = agent.send(&agent.request(&body)).unwrap_err();
    let answer = problem_json(&reject, now());
    assert!(!answer.contains("script") && !reject.to_string().contains("script"));
}

#[test]
fn agents_read_what_hubs_write() {
    for (ack, status, word) in [
        (Acknowledgement::Accepted, 202, "accepted"),
        (Acknowledgement::Duplicate, 200, "duplicate"),
    ] {
        let text = ack.to_json(now());
        assert_eq!(json(&text)["status"], word);
        assert_eq!(json(&text)["duplicate"], ack == Acknowledgement::Duplicate);
        let answer = Answer::read(ack.status(), text.as_bytes());
        assert_eq!(
            (ack.status(), answer.is_delivered(), answer.server_time),
            (status, true, Some(now()))
        );
    }
    let stale = Reject::StaleEpoch { min_epoch: 7 };
    let answer = Answer::read(stale.status(), problem_json(&stale, now()).as_bytes());
    assert_eq!(
        (answer.code, answer.min_epoch, answer.is_delivered()),
        (Some(Code::StaleEpoch), Some(7), false)
    );
    let garbage = Answer::read(503, b"<html>");
    assert_eq!((garbage.code, garbage.is_worth_retrying()), (None, true));
    let newer = Answer::read(
        409,
        br#"{"code":"stale_epoch","min_epoch":2,"new":[{}],"server_time":7}"#,
    );
    assert_eq!((newer.min_epoch, newer.server_time), (Some(2), None));
}

#[test]
fn an_agent_learns_about_itself() {
    let agent = Agent::new();
    let mut about = AgentSelf {
        agent_id: agent.id,
        audience: agent.hub.clone(),
        org: "Acme \"1\"".to_owned(),
        name: "web-1".to_owned(),
        pinned: None,
        server_time: now(),
    };
    assert_eq!(
        AgentSelf::read(about.to_json().as_bytes()),
        Some(about.clone())
    );
    about.pinned = Some(agent.key.verifying_key());
    assert_eq!(
        AgentSelf::read(about.to_json().as_bytes()),
        Some(about.clone())
    );
    assert_eq!(
        AgentSelf::read(about.to_json().replace("hub-1", "").as_bytes()),
        None
    );
}
