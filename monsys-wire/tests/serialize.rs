//! Values of other types than ours, signed without a text in between; and what that allocates.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use allocation_counter::measure;
use kit::Agent;
use monsys_core::json::{self, Scratch};
use monsys_wire::envelope::BodyForm;
use serde::Serialize;

/// The body of contract §2, fields in the order in which it shows them.
#[derive(Serialize)]
struct Body<'a, T> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    aud: &'a str,
    agent_id: String,
    agent_version: &'a str,
    epoch: u64,
    seq: u64,
    captured_at: &'a str,
    sent_at: &'a str,
    data: T,
}

#[derive(Serialize)]
struct Metrics {
    cpu_usage_percent: f64,
    cpu_cores: Option<u32>,
    load5: Option<f64>,
    disks: Vec<Disk>,
}

#[derive(Serialize)]
struct Disk {
    used_bytes: u64,
    total_bytes: u64,
    mount: &'static str,
}

/// What leaves no short cut: escapes, names in disorder, long texts, digits in full.
#[derive(Serialize)]
struct Everything {
    z: BTreeMap<u16, IpAddr>,
    escaped: &'static str,
    #[serde(rename = "na\tme")]
    name: (f64, f32, i64, char),
    #[serde(flatten)]
    rest: BTreeMap<&'static str, Option<bool>>,
    disks: Vec<Disk>,
    long: &'static str,
}

fn body<T>(agent: &Agent, data: T) -> Body<'static, T> {
    Body {
        v: 1,
        kind: "metrics",
        aud: "hub-1",
        agent_id: agent.id.to_string(),
        agent_version: "0.1.0",
        epoch: 1,
        seq: 17,
        captured_at: "2026-11-21T01:15:41.123456Z",
        sent_at: "2026-11-21T01:15:41.3Z",
        data,
    }
}

fn disks() -> Vec<Disk> {
    let disk = |used_bytes| Disk {
        used_bytes,
        total_bytes: 512_110_190_592,
        mount: "/var/lib/data",
    };
    (0..40).map(|n| disk(n * 7_777_777)).collect()
}

#[test]
fn a_hub_takes_the_body_as_it_is_written() {
    let agent = Agent::new();
    let data = Metrics {
        cpu_usage_percent: 12.5,
        cpu_cores: Some(8),
        load5: None,
        disks: disks(),
    };
    let mut scratch = Scratch::new();
    let body = body(&agent, data);
    let text = json::to_canonical(&body, &mut scratch).unwrap();
    let request = agent.request(text.as_str());
    let admitted = agent.send_as(&request, |owner| owner, BodyForm::Require);
    assert_eq!(admitted.unwrap().position.seq(), 17);
}

#[test]
fn a_value_is_written_without_allocating_once_the_buffers_have_grown() {
    let everything = Everything {
        z: [(2, IpAddr::V4(Ipv4Addr::LOCALHOST)), (10, [0; 16].into())].into(),
        escaped: "line\nline \u{1} \"quoted\" and more than sixteen bytes of it",
        name: (0.1 + 0.2, 0.1, -1, '😀'),
        rest: [("a", None), ("b\\", Some(true)), ("é", Some(false))].into(),
        disks: disks(),
        long: "no escape at all but more than sixteen bytes",
    };
    let value = body(&Agent::new(), everything);
    let mut scratch = Scratch::new();
    let cold = measure(|| assert!(json::to_canonical(&value, &mut scratch).is_ok()));
    assert!(cold.count_total > 0, "the counter counts");
    let warm = measure(|| assert!(json::to_canonical(&value, &mut scratch).is_ok()));
    assert_eq!(warm.count_total, 0);
    let refused = (value, f64::NAN);
    let warm = measure(|| assert!(json::to_canonical(&refused, &mut scratch).is_err()));
    assert_eq!(warm.count_total, 0);
    let warm = measure(|| assert!(json::to_canonical(&refused.0, &mut scratch).is_ok()));
    assert_eq!(warm.count_total, 0, "an error costs no buffers");
}
