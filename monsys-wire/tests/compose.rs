//! The sending side: what is composed is canonical, and the schema reads the same values back.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::{Agent, Request};
use monsys_core::limit;
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::{Cores, Count, CpuPercent, Disk, Finite, MetricSample, Network};
use monsys_core::signal::SignalDraft;
use monsys_core::time::Timestamp;
use monsys_wire::compose::{ComposeError, Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::envelope::{Admitted, BodyForm};
use monsys_wire::header::{AUTHORIZATION, SIGNATURE};
use monsys_wire::schema::Payload;
use proptest::prelude::*;

fn time(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn compose(agent: &Agent, data: Outbound<'_>) -> Result<OutgoingBody, ComposeError> {
    OutgoingBody::compose(&OutgoingPayload {
        audience: &agent.hub,
        agent_id: agent.id,
        agent_version: &AgentVersion::parse("0.1.0").unwrap(),
        position: Position::new(1, 17).unwrap(),
        captured_at: time("2026-11-21T01:15:41.123456Z"),
        sent_at: time("2026-11-21T01:15:41.3Z"),
        data,
    })
}

/// Sends a composed body to a hub that takes nothing but canonical ones.
fn deliver(agent: &Agent, body: &OutgoingBody) -> Admitted {
    let request = Request {
        headers: vec![
            (AUTHORIZATION, agent.token.to_header_value().into_bytes()),
            (SIGNATURE, body.sign(&agent.key).to_string().into_bytes()),
        ],
        body: body.as_bytes().to_vec(),
    };
    agent
        .send_as(&request, |owner| owner, BodyForm::Require)
        .unwrap()
}

fn full_sample() -> MetricSample {
    let (count, load) = (|n| Count::new(n).ok(), |x| Finite::new(x).ok());
    MetricSample {
        cpu_usage_percent: CpuPercent::new(1.0 / 3.0).unwrap(),
        cpu_cores: Cores::new(8).ok(),
        load1: load(0.1),
        load5: load(1e-7),
        load15: load(0.0),
        mem_total_bytes: count(limit::SAFE_INTEGER_MAX),
        mem_used_bytes: count(0),
        swap_total_bytes: count(1),
        swap_used_bytes: count(2),
        uptime_seconds: load(123_456.75),
        disks: Some(vec![Disk {
            mount: "/mnt/\"a\\b\"é".into(),
            total_bytes: Count::new(3).unwrap(),
            used_bytes: Count::new(4).unwrap(),
        }]),
        networks: Some(vec![Network {
            interface: "eth0".into(),
            rx_bytes: Count::new(5).unwrap(),
            tx_bytes: Count::new(6).unwrap(),
        }]),
    }
}

fn draft() -> SignalDraft {
    SignalDraft {
        source: "backup_check".to_owned(),
        subject_type: "agent".to_owned(),
        subject_id: String::new(),
        key: "backup.age_hours".to_owned(),
        value: r#"{"value":3,"unit":"h"}"#.to_owned(),
        severity: Some("low".to_owned()),
        observed_at: time("2026-11-21T01:00:00Z"),
        ttl_seconds: Some(60),
    }
}

#[test]
fn a_metrics_payload_arrives_as_it_was_measured() {
    let agent = Agent::new();
    let sample = full_sample();
    let admitted = deliver(
        &agent,
        &compose(&agent, Outbound::Metrics(&sample)).unwrap(),
    );
    assert_eq!(admitted.payload, Payload::Metrics(sample));
    assert_eq!(admitted.captured_at, time("2026-11-21T01:15:41.123456Z"));
    let least = MetricSample::of_cpu(CpuPercent::new(4.2).unwrap());
    let body = compose(&agent, Outbound::Metrics(&least)).unwrap();
    assert_eq!(
        body.as_str(),
        agent
            .body("metrics", kit::METRICS)
            .replace("41.3Z", "41.300000Z")
    );
}

#[test]
fn signals_arrive_with_canonical_values() {
    let agent = Agent::new();
    let sent = [
        draft(),
        SignalDraft {
            severity: None,
            ttl_seconds: None,
            subject_id: "x".to_owned(),
            ..draft()
        },
    ];
    let admitted = deliver(&agent, &compose(&agent, Outbound::Signals(&sent)).unwrap());
    let Payload::Signals(received) = admitted.payload else {
        panic!("signals were sent")
    };
    let canonical = sent.map(|draft| SignalDraft {
        value: r#"{"unit":"h","value":3}"#.to_owned(),
        ..draft
    });
    assert_eq!(received, canonical);
}

#[test]
fn a_retry_changes_sent_at_and_nothing_else() {
    let agent = Agent::new();
    let body = compose(&agent, Outbound::Metrics(&full_sample())).unwrap();
    let restored = OutgoingBody::restore(body.as_bytes()).unwrap();
    assert_eq!(restored, body);
    let retry = restored.with_sent_at(time("2026-11-22T00:00:00Z")).unwrap();
    let (first, second) = (deliver(&agent, &body), deliver(&agent, &retry));
    assert_eq!(second.sent_at, time("2026-11-22T00:00:00Z"));
    assert_eq!(second.content_hash, first.content_hash);
    assert_eq!(second.position, first.position);
    assert!(second.is_late() && !first.is_late());
    let moved = retry.with_position(Position::new(2, 5).unwrap()).unwrap();
    let moved = deliver(&agent, &moved);
    assert_eq!((moved.position.epoch(), moved.position.seq()), (2, 5));
    assert_eq!(moved.payload, first.payload);
    assert_ne!(moved.content_hash, first.content_hash);
}

#[test]
fn what_a_hub_would_refuse_is_not_composed() {
    let agent = Agent::new();
    let signals = |drafts: &[SignalDraft]| compose(&agent, Outbound::Signals(drafts)).map(|_| ());
    assert_eq!(signals(&[]), Err(ComposeError::SignalCount));
    assert_eq!(
        signals(&vec![draft(); 1001]),
        Err(ComposeError::SignalCount)
    );
    let large = SignalDraft {
        value: format!(r#"{{"value":"{}"}}"#, "x".repeat(1000)),
        ..draft()
    };
    assert_eq!(signals(&vec![large; 1000]), Err(ComposeError::TooLarge));
    let broken = SignalDraft {
        value: "{".to_owned(),
        ..draft()
    };
    assert!(matches!(signals(&[broken]), Err(ComposeError::Json(_))));
    let mut huge = full_sample();
    huge.load1 = Finite::new(1e300).ok();
    assert!(matches!(
        compose(&agent, Outbound::Metrics(&huge)),
        Err(ComposeError::Json(_))
    ));
    for damaged in [
        &b"\xff"[..],
        b"{}",
        b"[1]",
        b"{\"epoch\":1, \"seq\":1}",
        b"",
    ] {
        assert!(OutgoingBody::restore(damaged).is_err());
    }
}

proptest! {
    #[test]
    fn any_sample_survives_the_way(cpu in 0.0..=100.0_f64, load in 0.0..1e15_f64, n in 0..=limit::SAFE_INTEGER_MAX, name in "[^\\p{C}@]{1,20}") {
        let agent = Agent::new();
        let mut sample = full_sample();
        sample.cpu_usage_percent = CpuPercent::new(cpu).unwrap();
        sample.load1 = Finite::new(load).ok();
        sample.mem_used_bytes = Count::new(n).ok();
        sample.networks.as_mut().unwrap()[0].interface = name.into();
        let body = compose(&agent, Outbound::Metrics(&sample)).unwrap();
        prop_assert_eq!(deliver(&agent, &body).payload, Payload::Metrics(sample));
    }
}
