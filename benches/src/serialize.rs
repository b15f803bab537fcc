//! The sending side: a derived struct to canonical text, against serde_json's text in any order.

use std::hint::black_box;

use monsys_core::json::{self, Scratch};
use serde::Serialize;

use crate::payload::Random;
use crate::race::Race;
use crate::report::Figure;
use crate::report::Target::{AtMost, Part};

/// The body of contract §2, fields in the order in which it shows them.
#[derive(Serialize)]
struct Body {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    aud: String,
    agent_id: String,
    agent_version: String,
    epoch: u64,
    seq: u64,
    captured_at: String,
    sent_at: String,
    data: Metrics,
}

#[derive(Serialize)]
struct Metrics {
    cpu_usage_percent: f64,
    cpu_cores: Option<u32>,
    load1: Option<f64>,
    load5: Option<f64>,
    load15: Option<f64>,
    mem_total_bytes: Option<u64>,
    mem_used_bytes: Option<u64>,
    swap_total_bytes: Option<u64>,
    swap_used_bytes: Option<u64>,
    uptime_seconds: Option<u64>,
    disks: Vec<Disk>,
    networks: Vec<Network>,
}

#[derive(Serialize)]
struct Disk {
    mount: String,
    total_bytes: u64,
    used_bytes: u64,
}

#[derive(Serialize)]
struct Network {
    interface: String,
    rx_bytes: u64,
    tx_bytes: u64,
}

/// The same body, fields in canonical order.
#[derive(Serialize)]
struct SortedBody {
    agent_id: String,
    agent_version: String,
    aud: String,
    captured_at: String,
    data: SortedMetrics,
    epoch: u64,
    sent_at: String,
    seq: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    v: u8,
}

#[derive(Serialize)]
struct SortedMetrics {
    cpu_cores: Option<u32>,
    cpu_usage_percent: f64,
    disks: Vec<Disk>,
    load1: Option<f64>,
    load15: Option<f64>,
    load5: Option<f64>,
    mem_total_bytes: Option<u64>,
    mem_used_bytes: Option<u64>,
    networks: Vec<Network>,
    swap_total_bytes: Option<u64>,
    swap_used_bytes: Option<u64>,
    uptime_seconds: Option<u64>,
}

/// A struct, fields in the order of the contract and in canonical order.
pub fn figures() -> Vec<Figure> {
    let (body, sorted) = (body(), sorted_body());
    let mut scratches = [(); 2].map(|()| Scratch::new());
    let [unsorted_scratch, sorted_scratch] = &mut scratches;
    let canonical = json::to_canonical(&body, unsorted_scratch).expect("our payload");
    assert_eq!(
        Ok(canonical.as_str().to_owned()),
        json::to_canonical(&sorted, sorted_scratch).map(|text| text.to_string()),
        "both are the same body"
    );
    assert_eq!(
        serde_json::to_string(&sorted).expect("our payload"),
        canonical.as_str(),
        "the same work but for the order"
    );
    let mut race = Race::default();
    race.add("ours", || {
        black_box(json::to_canonical(black_box(&body), unsorted_scratch).is_ok());
    });
    race.add("to_vec", || {
        black_box(serde_json::to_vec(black_box(&body)).is_ok());
    });
    race.add("ours, sorted", || {
        black_box(json::to_canonical(black_box(&sorted), sorted_scratch).is_ok());
    });
    race.add("to_vec, sorted", || {
        black_box(serde_json::to_vec(black_box(&sorted)).is_ok());
    });
    let times = race.finish();
    vec![
        Figure::new(
            "to_canonical_struct/serde_json_to_vec",
            times.of("ours"),
            times.of("to_vec"),
            AtMost(1.25),
        ),
        Figure::new(
            "to_canonical_struct_sorted/serde_json_to_vec",
            times.of("ours, sorted"),
            times.of("to_vec, sorted"),
            Part,
        ),
    ]
}

fn body() -> Body {
    Body {
        v: 1,
        kind: "metrics",
        aud: "hub-1".to_owned(),
        agent_id: "7b1f6c1e-52f1-4f2b-9d1a-0242ac120002".to_owned(),
        agent_version: "0.1.0".to_owned(),
        epoch: 1,
        seq: 17,
        captured_at: "2026-11-21T01:15:41.123456Z".to_owned(),
        sent_at: "2026-11-21T01:15:41.3Z".to_owned(),
        data: metrics(),
    }
}

fn metrics() -> Metrics {
    let mut random = Random(6);
    let mut percent = || Random::below(&mut random, 10_000) as f64 / 100.0;
    let (cpu_usage_percent, loads) = (percent(), [percent(), percent(), percent()]);
    let disks = (0..10).map(|i| Disk {
        mount: format!("/var/lib/data{i}"),
        total_bytes: 512_110_190_592,
        used_bytes: random.below(1 << 38),
    });
    let disks = disks.collect();
    let networks = (0..12).map(|i| Network {
        interface: format!("eth{i}"),
        rx_bytes: random.below(1 << 45),
        tx_bytes: random.below(1 << 45),
    });
    Metrics {
        cpu_usage_percent,
        cpu_cores: Some(8),
        load1: Some(loads[0]),
        load5: Some(loads[1]),
        load15: Some(loads[2]),
        mem_total_bytes: Some(33_554_432_000),
        mem_used_bytes: Some(17_179_869_184),
        swap_total_bytes: Some(0),
        swap_used_bytes: Some(0),
        uptime_seconds: Some(864_000),
        disks,
        networks: networks.collect(),
    }
}

fn sorted_body() -> SortedBody {
    let (body, metrics) = (body(), metrics());
    SortedBody {
        agent_id: body.agent_id,
        agent_version: body.agent_version,
        aud: body.aud,
        captured_at: body.captured_at,
        data: SortedMetrics {
            cpu_cores: metrics.cpu_cores,
            cpu_usage_percent: metrics.cpu_usage_percent,
            disks: metrics.disks,
            load1: metrics.load1,
            load15: metrics.load15,
            load5: metrics.load5,
            mem_total_bytes: metrics.mem_total_bytes,
            mem_used_bytes: metrics.mem_used_bytes,
            networks: metrics.networks,
            swap_total_bytes: metrics.swap_total_bytes,
            swap_used_bytes: metrics.swap_used_bytes,
            uptime_seconds: metrics.uptime_seconds,
        },
        epoch: body.epoch,
        sent_at: body.sent_at,
        seq: body.seq,
        kind: body.kind,
        v: body.v,
    }
}
