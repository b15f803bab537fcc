//! A ring and the early exit against the plain detectors, on honest and hostile histories.
#![allow(clippy::expect_used, reason = "a helper that fails is a failed test")]

use monsys_core::facts::{AgentFacts, ClockReading, MetricWindow, VersionFacts};
use monsys_core::limit::WINDOW_SAMPLES_MAX;
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, Verdict};
use monsys_integrity::detect::{cadence_anomaly, clock_drift, flat_metrics};
use monsys_integrity::deviation::{is_spread_over, is_surely_at_least, sample_deviation};
use monsys_integrity::ring::{CLOCK_READINGS, Decision, Outcome, Ring, SPAN, decide};
use monsys_integrity::{Config, Cycle};
use proptest::prelude::*;

const T0: i64 = 1_778_364_220_000_000;

#[test]
fn two_hundred_thousand_windows_near_the_threshold_agree_with_the_plain_form() {
    let mut draw = Draw(1);
    let (mut n_flat, mut n_moving, mut n_proven) = (0, 0, 0);
    for round in 0..200_000_u32 {
        let n = if round % 50 == 0 {
            240
        } else {
            30 + draw.below(20)
        };
        let values = near_threshold(n as usize, &mut draw);
        let deviation = sample_deviation(&values).expect("finite values");
        let proven = is_spread_over(&values, 0.001);
        assert_eq!(is_surely_at_least(&values, 30, 0.001), proven);
        assert!(!proven || deviation >= 0.001, "{deviation:?} of {values:?}");
        n_proven += u32::from(proven);
        n_flat += u32::from(deviation < 0.001);
        n_moving += u32::from(deviation >= 0.001);
    }
    println!("{n_flat} flat, {n_moving} moving, {n_proven} of them proven early");
    assert!(n_flat > 50_000 && n_moving > 50_000 && n_proven > 1_000);
}

#[test]
fn two_hundred_thousand_rings_near_the_thresholds_agree_with_the_detectors() {
    let mut draw = Draw(2);
    let mut seen = [[0_u32; 3]; 3];
    for _ in 0..200_000 {
        let n = 28 + draw.below(8) as usize;
        let cpu = near_threshold(n, &mut draw);
        let bound_us = [7_000_000, 23_000_000][draw.index(2)];
        let mut at_us = T0 - 1_800_000_000;
        let drift_ms = 299_999 + draw.below(3) as i64;
        let metrics: Vec<Metric> = cpu
            .into_iter()
            .map(|cpu| {
                at_us += bound_us + [-1, -1, 0, 1, 1][draw.index(5)];
                let reading = reading(at_us, drift_ms, draw.below(12) == 0);
                Metric { reading, cpu }
            })
            .collect();
        let decision = assert_agreement(&metrics, at(at_us));
        let outcomes = [
            decision.flat_metrics,
            decision.cadence_anomaly,
            decision.clock_drift,
        ];
        for (seen, outcome) in seen.iter_mut().zip(outcomes) {
            seen[outcome as usize] += 1;
        }
    }
    println!("pass, fail, insufficient of flat, cadence, drift: {seen:?}");
    for [n_pass, n_fail, _] in seen {
        assert!(n_pass > 10_000 && n_fail > 10_000);
    }
}

#[test]
fn metrics_at_the_ends_of_the_window_are_those_of_the_detectors() {
    let hour = SPAN.micros();
    for first in [-hour - 1, -hour, 1 - hour] {
        let mut metrics: Vec<Metric> = (0..60)
            .map(|i| metric(T0 - (60 - i) * 15_000_000, 4.20))
            .collect();
        metrics.insert(0, metric(T0 + first, 50.0));
        assert_agreement(&metrics, at(T0));
    }
}

#[test]
fn more_metrics_than_a_window_holds_leave_the_newest() {
    let n = WINDOW_SAMPLES_MAX as i64 + 100;
    let metrics: Vec<Metric> = (0..n)
        .map(|i| metric(T0 - (n - i) * 1_000, if i < 100 { 99.0 } else { 4.20 }))
        .collect();
    let decision = assert_agreement(&metrics, at(T0));
    assert_eq!(decision.flat_metrics, Outcome::Fail);
}

#[test]
fn a_ring_says_nothing_once_the_clock_of_the_hub_went_back() {
    let mut ring = filled(&[metric(T0 - 10, 1.0), metric(T0, 1.0)]);
    assert!(ring.view(at(T0)).is_some());
    assert!(ring.view(at(T0 - 1)).is_none());
    ring.push(&reading(T0 - 5, 0, false), 1.0);
    assert!(ring.view(at(T0)).is_none());
    ring.clear();
    assert!(ring.view(at(T0)).is_some());
    assert!(ring.is_empty());
}

#[test]
fn silence_empties_the_window_and_keeps_the_clock() {
    let metrics: Vec<Metric> = (0..60)
        .map(|i| metric(T0 - (60 - i) * 15_000_000, 4.20))
        .collect();
    let decision = assert_agreement(&metrics, at(T0 + 2 * SPAN.micros()));
    assert_eq!(decision.flat_metrics, Outcome::Insufficient);
    assert_eq!(decision.cadence_anomaly, Outcome::Insufficient);
    assert_eq!(decision.clock_drift, Outcome::Pass);
}

#[test]
fn a_ring_that_was_read_every_cycle_decides_as_one_read_once() {
    let mut draw = Draw(3);
    let (mut ring, mut metrics, mut at_us) = (Ring::new(), Vec::new(), T0);
    for step in 0..6_000_u32 {
        let gap_s = match draw.below(600) {
            0 => 2_000 + draw.below(3_000),
            _ => 6 + draw.below(12),
        };
        at_us += gap_s as i64 * 1_000_000 + draw.below(1_000_000) as i64;
        let cpu = if draw.below(50) == 0 { f64::NAN } else { 4.20 };
        let reading = reading(at_us, 0, draw.below(20) == 0);
        ring.push(&reading, cpu);
        metrics.push(Metric { reading, cpu });
        if step % 40 == 0 {
            let now = at(at_us + draw.below(30_000_000) as i64);
            let view = ring.view(now).expect("times in order");
            let expected = plain(&metrics, now, &Config::standard());
            assert_eq!(decide(&view, &Config::standard()), expected, "step {step}");
        }
    }
    assert!(ring.len() < 400, "{}", ring.len());
}

fn any_cpu() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => Just(4.20),
        2 => 4.199_f64..4.201,
        1 => prop::sample::select(&[f64::NAN, f64::INFINITY, 1e300, -1e300, f64::MAX, 0.0][..]),
        1 => any::<f64>(),
    ]
}

fn any_gap_us() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 6_999_998_i64..7_000_003,
        4 => 22_999_998_i64..23_000_003,
        4 => 0_i64..40_000_000,
        1 => prop::sample::select(&[0, 2_147_483_646, 2_147_483_647, 2_147_483_648, 3_599_999_999,
            3_600_000_000, 3_600_000_001][..]),
    ]
}

fn any_offset_ms() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 299_998_i64..300_003,
        1 => -300_003_i64..-299_997,
        1 => prop::sample::select(&[-1_778_364_220_000, 251_000_000_000_000, 0][..]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_history_is_decided_as_by_the_detectors(
        rows in prop::collection::vec(
            (any_gap_us(), any_cpu(), any_offset_ms(), prop::bool::weighted(0.1)), 0..140),
        late_us in prop_oneof![Just(0_i64), 0_i64..4_000_000_000],
    ) {
        let mut at_us = T0;
        let metrics: Vec<Metric> = rows
            .into_iter()
            .map(|(gap_us, cpu, offset_ms, is_spooled)| {
                at_us += gap_us;
                Metric { reading: reading(at_us, offset_ms, is_spooled), cpu }
            })
            .collect();
        assert_agreement(&metrics, at(at_us + late_us));
    }

    #[test]
    fn a_ring_agrees_or_says_nothing_whatever_the_clocks(
        times in prop::collection::vec(any_time(), 0..60),
        now in any_time(),
    ) {
        let metrics: Vec<Metric> = times
            .into_iter()
            .map(|received_at| {
                let captured_at = at(T0);
                let reading =
                    ClockReading { captured_at, sent_at: captured_at, received_at, is_spooled: false };
                Metric { reading, cpu: 4.20 }
            })
            .collect();
        let is_ordered = metrics.is_sorted_by_key(|m| m.reading.received_at)
            && metrics.last().is_none_or(|m| m.reading.received_at <= now);
        let mut ring = filled(&metrics);
        let view = ring.view(now);
        prop_assert_eq!(view.is_some(), is_ordered);
        if let Some(view) = view {
            let expected = plain(&metrics, now, &Config::standard());
            prop_assert_eq!(decide(&view, &Config::standard()), expected);
        }
    }

    #[test]
    fn other_thresholds_are_decided_as_by_the_detectors(
        gaps_us in prop::collection::vec(any_gap_us(), 0..40),
        (low, high) in (threshold_us(), threshold_us()),
        drift_ms in any::<i64>(),
        flat in prop_oneof![any::<f64>(), Just(0.0), Just(1e-300), Just(1e-160)],
        (n_flat, n_gaps, n_clock) in (0_usize..40, 0_usize..24, 0_usize..24),
        cpu in prop::collection::vec(any_cpu(), 40),
    ) {
        let mut config = Config::standard();
        (config.cadence_gap_low, config.cadence_gap_high) =
            (Span::from_micros(low), Span::from_micros(high));
        (config.clock_drift_ms_max, config.flat_deviation_min) = (drift_ms, flat);
        (config.flat_samples_min, config.cadence_gaps_min) = (n_flat, n_gaps);
        config.clock_readings = n_clock;
        let mut at_us = T0;
        let metrics: Vec<Metric> = gaps_us
            .into_iter()
            .zip(cpu)
            .map(|(gap_us, cpu)| {
                at_us += gap_us;
                metric(at_us, cpu)
            })
            .collect();
        let mut ring = filled(&metrics);
        let view = ring.view(at(at_us)).expect("times in order");
        prop_assert_eq!(decide(&view, &config), plain(&metrics, at(at_us), &config));
    }
}

fn threshold_us() -> impl Strategy<Value = i64> {
    prop_oneof![
        any_gap_us(),
        any::<i64>(),
        prop::sample::select(&[i64::MIN, -1, 0, 2_147_483_647, i64::MAX][..]),
    ]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        1 => prop::sample::select(&[Timestamp::MIN, Timestamp::MAX][..]),
        1 => prop::sample::select(&[0_i64, 253_370_764_800_000_000][..]).prop_map(at),
        12 => (T0..T0 + 3_000_000).prop_map(at),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Metric {
    reading: ClockReading,
    cpu: f64,
}

/// Asserts that a ring and the detectors decide alike, and returns how.
fn assert_agreement(metrics: &[Metric], now: Timestamp) -> Decision {
    let config = Config::standard();
    let mut ring = filled(metrics);
    let decision = decide(&ring.view(now).expect("times in order"), &config);
    assert_eq!(decision, plain(metrics, now, &config), "{metrics:?}");
    decision
}

fn filled(metrics: &[Metric]) -> Ring {
    let mut ring = Ring::new();
    for metric in metrics {
        ring.push(&metric.reading, metric.cpu);
    }
    ring
}

/// What the detectors say of what a store would read: the newest of the window, and the newest 20.
fn plain(metrics: &[Metric], now: Timestamp, config: &Config) -> Decision {
    let from = now.saturating_sub(SPAN);
    let inside = |m: &&Metric| m.reading.received_at > from && m.reading.received_at <= now;
    let rows: Vec<&Metric> = metrics.iter().filter(inside).collect();
    let rows = &rows[rows.len().saturating_sub(WINDOW_SAMPLES_MAX)..];
    let newest = &metrics[metrics.len().saturating_sub(CLOCK_READINGS)..];
    let facts = AgentFacts {
        agent: AgentId::from_bytes([7; 16]),
        window: MetricWindow {
            received_at: rows.iter().map(|m| m.reading.received_at).collect(),
            cpu_usage_percent: rows.iter().map(|m| m.cpu).collect(),
            is_spooled: rows.iter().map(|m| m.reading.is_spooled).collect(),
        },
        clock: newest.iter().map(|m| m.reading).collect(),
        version: VersionFacts::default(),
        last_verified_at: None,
        open: vec![],
    };
    let cycle = Cycle {
        previous: None,
        now,
    };
    Decision {
        flat_metrics: outcome(&flat_metrics::check(&facts, config, cycle)),
        cadence_anomaly: outcome(&cadence_anomaly::check(&facts, config, cycle)),
        clock_drift: outcome(&clock_drift::check(&facts, config, cycle)),
    }
}

fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Pass => Outcome::Pass,
        Verdict::Fail(_) => Outcome::Fail,
        Verdict::Insufficient(_) => Outcome::Insufficient,
    }
}

fn metric(at_us: i64, cpu: f64) -> Metric {
    Metric {
        reading: reading(at_us, 0, false),
        cpu,
    }
}

fn reading(at_us: i64, offset_ms: i64, is_spooled: bool) -> ClockReading {
    let received_at = at(at_us);
    let captured_at = received_at.saturating_add(Span::from_millis(offset_ms));
    ClockReading {
        captured_at,
        sent_at: captured_at,
        received_at,
        is_spooled,
    }
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_unix_micros(us).expect("a time")
}

/// Values whose deviation lies within a millionth of the threshold, or on it: three shapes, of
/// which two are the least deviation that two values far apart allow.
fn near_threshold(n: usize, draw: &mut Draw) -> Vec<f64> {
    let base = draw.unit() * 100.0;
    let unit: Vec<f64> = match draw.below(3) {
        0 => (0..n).map(|_| draw.unit()).collect(),
        1 => {
            let mut unit = vec![0.0; n];
            (unit[0], unit[n - 1]) = (-1.0, 1.0);
            unit
        }
        _ => {
            let mut unit = vec![0.0; n];
            unit[draw.index(n)] = 1.0;
            unit
        }
    };
    let spread = sample_deviation(&unit).expect("finite values");
    let width = [1e-14, 1e-9, 1e-6][draw.index(3)];
    let stretch = 0.001 / spread * (1.0 + (draw.unit() - 0.5) * width);
    unit.iter().map(|u| base + u * stretch).collect()
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1_u64 << 53) as f64
    }
}
