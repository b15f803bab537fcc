//! Collectors of another system degrade: no counts, a reason, and a snapshot that is sent all the
//! same (endpoint document, "Testing": Windows auth collector graceful degradation).

use monsys_agent::collect::auth::Counts;
use monsys_agent::collect::windows::{self, run_key, scheduled_task, security_log};
use monsys_core::endpoint::{CollectorState, EndpointSnapshot};
use monsys_core::id::AgentId;
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::time::Timestamp;
use monsys_wire::Audience;
use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};

/// The body of a snapshot with what the collector found.
fn body(snapshot: &EndpointSnapshot) -> OutgoingBody {
    let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap();
    let payload = OutgoingPayload {
        audience: &Audience::parse("hub-1").unwrap(),
        agent_id: AgentId::from_bytes([3; 16]),
        agent_version: &AgentVersion::parse("0.1.0").unwrap(),
        position: Position::new(1, 1).unwrap(),
        captured_at: now,
        sent_at: now,
        data: Outbound::Endpoint(snapshot),
    };
    OutgoingBody::compose(&payload).unwrap()
}

#[test]
fn e5_the_windows_auth_collector_is_unavailable_elsewhere_and_says_why() {
    let found = windows::look();
    assert_eq!(found.items, []);
    assert_eq!(found.health.state, CollectorState::Unavailable);
    let reason = found.health.reason.unwrap();
    assert_eq!(
        reason.as_str().starts_with("expected Windows"),
        !cfg!(windows)
    );
}

#[test]
fn e5_a_snapshot_without_it_is_sent_and_says_so() {
    let found = windows::look();
    let snapshot = EndpointSnapshot {
        auth: found.items,
        health: vec![found.health],
        ..EndpointSnapshot::default()
    };
    let body = body(&snapshot);
    let expected = r#""data":{"auth":[],"health":[{"collector":"windows_auth","reason":"expected Windows: there is no security log on this system","state":"unavailable"}],"#;
    assert!(body.as_str().contains(expected), "{}", body.as_str());
    // What a hub reads first: the body is whole and in its own spelling.
    assert_eq!(OutgoingBody::restore(body.as_bytes()).unwrap(), body);
}

#[test]
fn e5_exports_that_are_cut_or_garbled_end_nothing() {
    let export = "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_A\\Run]\r\n\"a\"=\"b\"\r\n";
    let task = "<Task ><RegistrationInfo><URI>\\a</URI></RegistrationInfo></Task>";
    let event =
        "<Event ><System><EventID>4624</EventID></System><Data Name='LogonType'>2</Data></Event>";
    assert_eq!(run_key::parse(export).unwrap(), ["HKEY_A\\Run\\a"]);
    assert_eq!(scheduled_task::parse(task).as_deref(), Some("\\a"));
    for text in [export, task, event] {
        for end in 0..=text.len() {
            let (head, tail) = text.split_at(end);
            let garbled = format!("{head}\u{fffd}\0{tail}");
            for text in [head, tail, &garbled] {
                let _ = (run_key::parse(text), scheduled_task::parse(text));
                security_log::count(text, &mut Counts::default());
            }
        }
    }
    let mut counts = Counts::default();
    security_log::count(event, &mut counts);
    assert_eq!(counts.to_list().len(), 1);
}
