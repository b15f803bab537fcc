//! What one agent costs in a cycle: flatness and cadence of 240 metrics.
//!
//! Every group starts with its plain baseline, so that ratios come from one run. P is one pass that
//! sums 240 values in eight lanes: as fast as reading them can be. Run it with
//! `cargo bench --manifest-path benches/Cargo.toml`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use monsys_core::AgentId;
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::detect::{cadence_anomaly, clock_drift, flat_metrics};
use monsys_integrity::deviation::{is_spread_over, sample_deviation};
use monsys_integrity::median::is_surely_within;
use monsys_integrity::{Config, Cycle, run_all, version};
use statrs::statistics::Statistics;

criterion_group!(benches, deviation, cadence, agent);
criterion_main!(benches);

fn deviation(c: &mut Criterion) {
    let (honest, flat) = (honest_cpu(), vec![4.20; N]);
    let mut group = c.benchmark_group("deviation/240");
    group.bench_function("P: eight-lane sum", |b| {
        b.iter(|| eight_lane_sum(black_box(&honest)))
    });
    group.bench_function("flat decision, honest", |b| {
        b.iter(|| is_spread_over(black_box(&honest), N, 0.001))
    });
    group.bench_function("exact deviation, honest", |b| {
        b.iter(|| sample_deviation(black_box(&honest)))
    });
    group.bench_function("exact deviation, constant", |b| {
        b.iter(|| sample_deviation(black_box(&flat)))
    });
    group.bench_function("statrs 0.19 std_dev, honest", |b| {
        b.iter(|| black_box(&honest).iter().std_dev())
    });
    group.finish();
}

fn cadence(c: &mut Criterion) {
    let gaps: Vec<i32> = (0..239)
        .map(|i| 15_000_000 + i * 7_919 % 1_013 * 1_000)
        .collect();
    let mut group = c.benchmark_group("median/239");
    group.bench_function("by counting", |b| {
        b.iter(|| is_surely_within(black_box(&gaps), 7_000_000, 23_000_000, 20))
    });
    group.bench_function("by sorting", |b| {
        b.iter(|| {
            let mut sorted = black_box(&gaps).clone();
            sorted.sort_unstable();
            sorted[119] < 7_000_000 || sorted[119] > 23_000_000
        })
    });
    group.finish();
}

fn agent(c: &mut Criterion) {
    let config = Config::standard();
    let cycle = Cycle {
        previous: None,
        now: at(0),
    };
    let honest = facts(honest_cpu());
    let flat = facts(vec![4.20; N]);
    let mut group = c.benchmark_group("agent/240");
    group.bench_function("flat_metrics, honest", |b| {
        b.iter(|| flat_metrics::check(&black_box(&honest).view(), &config, cycle))
    });
    group.bench_function("flat_metrics, constant", |b| {
        b.iter(|| flat_metrics::check(&black_box(&flat).view(), &config, cycle))
    });
    group.bench_function("cadence_anomaly, honest", |b| {
        b.iter(|| cadence_anomaly::check(&black_box(&honest).view(), &config, cycle))
    });
    group.bench_function("clock_drift, honest", |b| {
        b.iter(|| clock_drift::check(&black_box(&honest).view(), &config, cycle))
    });
    group.bench_function("all six, honest", |b| {
        b.iter(|| run_all(&black_box(&honest).view(), &config, cycle).count())
    });
    group.bench_function("statrs and sort, honest", |b| {
        b.iter(|| statrs_and_sort(black_box(&honest)))
    });
    group.finish();
}

/// The obvious composition: libraries for the deviation, a sort for the median.
fn statrs_and_sort(facts: &AgentFacts) -> (bool, bool) {
    let window = facts.window.view();
    let is_flat = window.cpu_usage_percent.iter().std_dev() < 0.001;
    let mut gaps = window.gaps_us.to_vec();
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    (is_flat, !(7_000_000..=23_000_000).contains(&median))
}

fn eight_lane_sum(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

fn honest_cpu() -> Vec<f64> {
    (0..N).map(|i| 4.2 + (i * i % 17) as f64 * 0.37).collect()
}

fn facts(cpu_usage_percent: Vec<f64>) -> AgentFacts {
    let reading = ClockReading {
        captured_at: at(-1),
        sent_at: at(-1),
        received_at: at(0),
        is_spooled: false,
    };
    let rows = (0..N as i64).zip(cpu_usage_percent);
    let rows = rows.map(|(i, cpu_usage_percent)| MetricRow {
        received_at: arrival(i),
        cpu_usage_percent,
        is_spooled: false,
    });
    AgentFacts {
        agent: AgentId::from_bytes([7; 16]),
        window: MetricWindow::from_rows(WindowBounds::hour_before(at(1)), rows),
        clock: ClockFacts::from_readings([reading; 20]),
        version: VersionFacts {
            current: Some(version::read("0.1.0".into())),
            highest: Some(version::read("0.1.0".into())),
        },
        last_verified_at: Some(at(0)),
        open: vec![],
    }
}

/// Every 15 s, up to a second late, the last one in time.
fn arrival(i: i64) -> Timestamp {
    let jitter_ms = i * 7_919 % 1_013;
    at((i - N as i64) * 15).saturating_add(Span::from_millis(jitter_ms))
}

fn at(seconds: i64) -> Timestamp {
    let now = Timestamp::from_unix_micros(1_778_364_220_000_000).expect("a time of this century");
    now.saturating_add(Span::from_secs(seconds))
}

/// What an honest agent sends in an hour.
const N: usize = 240;
