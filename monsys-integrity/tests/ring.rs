//! A ring against the rows of a store, and the detectors against plain forms of their rules, on
//! honest and hostile histories.
#![allow(clippy::expect_used, reason = "a helper that fails is a failed test")]

use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, Facts, MetricRow, MetricWindow, VersionFacts,
    WindowBounds,
};
use monsys_core::limit::WINDOW_SAMPLES_MAX;
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, Verdict};
use monsys_integrity::detect::{cadence_anomaly, clock_drift, flat_metrics};
use monsys_integrity::deviation::{is_spread_over, sample_deviation};
use monsys_integrity::ring::{CLOCK_READINGS, Ring, View};
use monsys_integrity::{Config, Cycle};
use proptest::prelude::*;

const T0: i64 = 1_778_364_220_000_000;
const HOUR_US: i64 = 3_600_000_000;

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
        let proven = is_spread_over(&values, values.len(), 0.001);
        assert!(!proven || deviation >= 0.001, "{deviation:?} of {values:?}");
        n_proven += u32::from(proven);
        n_flat += u32::from(deviation < 0.001);
        n_moving += u32::from(deviation >= 0.001);
    }
    println!("{n_flat} flat, {n_moving} moving, {n_proven} of them proven early");
    assert!(n_flat > 50_000 && n_moving > 50_000 && n_proven > 1_000);
}

#[test]
fn two_hundred_thousand_rings_near_the_thresholds_are_judged_as_by_the_plain_rules() {
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
        let outcomes = assert_plain(&metrics, at(at_us), &Config::standard());
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
fn metrics_at_the_ends_of_the_window_are_those_of_the_store() {
    for first in [-HOUR_US - 1, -HOUR_US, 1 - HOUR_US] {
        let mut metrics: Vec<Metric> = (0..60)
            .map(|i| metric(T0 - (60 - i) * 15_000_000, 4.20))
            .collect();
        metrics.insert(0, metric(T0 + first, 50.0));
        let n_inside = 60 + usize::from(first > -HOUR_US);
        let mut ring = assert_same(&metrics, at(T0));
        assert_eq!(ring.len(), n_inside);
        assert!(ring.view(at(T0)).is_some());
    }
}

#[test]
fn more_metrics_than_a_window_holds_leave_the_newest() {
    let n = WINDOW_SAMPLES_MAX as i64 + 100;
    let metrics: Vec<Metric> = (0..n)
        .map(|i| metric(T0 - (n - i) * 1_000, if i < 100 { 99.0 } else { 4.20 }))
        .collect();
    let [flat, ..] = assert_plain(&metrics, at(T0), &Config::standard());
    assert_eq!(flat, Outcome::Fail);
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
fn a_ring_says_nothing_of_an_hour_before_the_one_it_showed() {
    let metrics: Vec<Metric> = (0..300)
        .map(|i| metric(T0 - (300 - i) * 15_000_000, 4.20))
        .collect();
    let mut ring = assert_same(&metrics, at(T0));
    assert!(ring.view(at(T0 - 1)).is_none());
    assert_eq!(
        ring.view(at(T0)).map(shown),
        Some(shown_by_rows(&metrics, at(T0)))
    );
    // Where the later hour let nothing go, the one before is still there.
    let mut ring = assert_same(&metrics[61..], at(T0));
    let before = at(T0 - 14_000_000);
    assert_eq!(
        ring.view(before).map(shown),
        Some(shown_by_rows(&metrics[61..], before))
    );
}

#[test]
fn silence_empties_the_window_and_keeps_the_clock() {
    let metrics: Vec<Metric> = (0..60)
        .map(|i| metric(T0 - (60 - i) * 15_000_000, 4.20))
        .collect();
    let later = at(T0 + 2 * HOUR_US);
    let outcomes = assert_plain(&metrics, later, &Config::standard());
    assert_eq!(
        outcomes,
        [Outcome::Insufficient, Outcome::Insufficient, Outcome::Pass]
    );
}

#[test]
fn a_ring_that_was_read_every_cycle_shows_what_one_read_once_shows() {
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
            assert_eq!(shown(view), shown_by_rows(&metrics, now), "step {step}");
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
    fn every_history_is_shown_as_by_the_store_and_judged_as_by_the_plain_rules(
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
        assert_plain(&metrics, at(at_us + late_us), &Config::standard());
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
            prop_assert_eq!(shown(view), shown_by_rows(&metrics, now));
        }
    }

    #[test]
    fn other_thresholds_are_judged_as_by_the_plain_rules(
        gaps_us in prop::collection::vec(any_gap_us(), 0..40),
        (low, high) in (threshold_us(), threshold_us()),
        drift_ms in any::<i64>(),
        flat in prop_oneof![any::<f64>(), Just(0.0), Just(1e-300), Just(1e-160)],
        (n_flat, n_gaps, n_clock) in (0_usize..40, 1_usize..24, 0_usize..24),
        cpu in prop::collection::vec(any_cpu(), 40),
    ) {
        let mut config = Config::standard();
        (config.cadence_gap_low, config.cadence_gap_high) =
            (Span::from_micros(low.min(high)), Span::from_micros(low.max(high)));
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
        assert_plain(&metrics, at(at_us), &config);
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

/// What a detector says, without its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Pass,
    Fail,
    Insufficient,
}

/// Asserts that a ring shows what the rows of a store show, and returns it.
fn assert_same(metrics: &[Metric], now: Timestamp) -> Ring {
    let mut ring = filled(metrics);
    let view = ring.view(now).expect("times in order");
    assert_eq!(shown(view), shown_by_rows(metrics, now), "{metrics:?}");
    ring
}

/// Asserts besides that flatness, cadence and clock are judged as by the plain rules.
fn assert_plain(metrics: &[Metric], now: Timestamp, config: &Config) -> [Outcome; 3] {
    let mut ring = assert_same(metrics, now);
    let view = ring.view(now).expect("times in order");
    let version = VersionFacts::default();
    let facts = Facts {
        agent: AgentId::from_bytes([7; 16]),
        window: view.window,
        clock: view.clock,
        version: &version,
        last_verified_at: None,
        open: &[],
    };
    let cycle = Cycle {
        previous: None,
        now,
    };
    let checks = [
        flat_metrics::check,
        cadence_anomaly::check,
        clock_drift::check,
    ];
    let outcomes = checks.map(|check| outcome(&check(&facts, config, cycle)));
    let plain = plain(metrics, now, config);
    assert_eq!(outcomes, plain, "{metrics:?}");
    outcomes
}

fn filled(metrics: &[Metric]) -> Ring {
    let mut ring = Ring::new();
    for metric in metrics {
        ring.push(&metric.reading, metric.cpu);
    }
    ring
}

/// All that a view shows, with the bits of its values, because NaN is no NaN's equal.
fn shown(view: View<'_>) -> (Vec<u64>, String) {
    let bits = view
        .window
        .cpu_usage_percent
        .iter()
        .map(|cpu| cpu.to_bits());
    let (window, clock) = (view.window, view.clock);
    let n_newest = window.newest_cpu.len();
    let newest = window.newest_cpu.iter().map(|cpu| cpu.to_bits());
    let bits: Vec<u64> = bits.collect();
    assert!(newest.eq(bits[bits.len() - n_newest..].iter().copied()));
    if let Some(count) = window.gap_count {
        let gaps_us = window.gaps_us.iter();
        let counted = gaps_us.filter(|gap| count.is_within(**gap)).count();
        assert_eq!(count.n_within, counted, "counted as they came");
    }
    let others = (
        window.bounds,
        window.arrivals,
        window.gaps_us,
        window.n_not_finite,
        clock,
    );
    (bits, format!("{others:?}"))
}

/// The same of the rows that a store would read: the newest of the window, and the newest 20.
fn shown_by_rows(metrics: &[Metric], now: Timestamp) -> (Vec<u64>, String) {
    let facts = facts(metrics, now);
    let facts = facts.view();
    shown(View {
        window: facts.window,
        clock: facts.clock,
    })
}

fn facts(metrics: &[Metric], now: Timestamp) -> AgentFacts {
    let rows = rows(metrics, now).into_iter().map(|m| MetricRow {
        received_at: m.reading.received_at,
        cpu_usage_percent: m.cpu,
        is_spooled: m.reading.is_spooled,
    });
    let newest = newest(metrics).iter().map(|m| m.reading);
    AgentFacts {
        agent: AgentId::from_bytes([7; 16]),
        window: MetricWindow::from_rows(WindowBounds::hour_before(now), rows),
        clock: ClockFacts::from_readings(newest),
        version: VersionFacts::default(),
        last_verified_at: None,
        open: vec![],
    }
}

fn rows(metrics: &[Metric], now: Timestamp) -> Vec<&Metric> {
    let bounds = WindowBounds::hour_before(now);
    let inside = |m: &&Metric| bounds.contains(m.reading.received_at);
    let mut rows: Vec<&Metric> = metrics.iter().filter(inside).collect();
    rows.split_off(rows.len().saturating_sub(WINDOW_SAMPLES_MAX))
}

fn newest(metrics: &[Metric]) -> &[Metric] {
    &metrics[metrics.len().saturating_sub(CLOCK_READINGS)..]
}

/// The rules word by word: deviation of all, median by sorting, mean of distances.
fn plain(metrics: &[Metric], now: Timestamp, config: &Config) -> [Outcome; 3] {
    let rows = rows(metrics, now);
    let finite: Vec<f64> = rows
        .iter()
        .map(|m| m.cpu)
        .filter(|cpu| cpu.is_finite())
        .collect();
    let flat = match sample_deviation(&finite) {
        _ if finite.len() < config.flat_samples_min => Outcome::Insufficient,
        None => Outcome::Insufficient,
        Some(deviation) => fails_if(deviation < config.flat_deviation_min),
    };
    let live = rows
        .windows(2)
        .filter(|pair| pair.iter().all(|m| !m.reading.is_spooled));
    let mut gaps_us: Vec<i64> = live
        .map(|pair| {
            pair[1]
                .reading
                .received_at
                .since(pair[0].reading.received_at)
                .micros()
        })
        .collect();
    gaps_us.sort_unstable();
    let n = gaps_us.len();
    let cadence = if n < config.cadence_gaps_min {
        Outcome::Insufficient
    } else {
        let held = |us: i64| i128::from(us.min(i64::from(i32::MAX)));
        let doubled = held(gaps_us[(n - 1) / 2]) + held(gaps_us[n / 2]);
        let (low, high) = (
            config.cadence_gap_low.micros(),
            config.cadence_gap_high.micros(),
        );
        fails_if(doubled < 2 * held(low) || doubled > 2 * held(high))
    };
    let offsets = newest(metrics).iter().map(|m| m.reading.offset_ms());
    let offsets: Vec<i64> = offsets.collect();
    let drift = match offsets.len().checked_sub(config.clock_readings) {
        None => Outcome::Insufficient,
        Some(older) => {
            let distances = offsets[older..]
                .iter()
                .map(|ms| i128::from(ms.unsigned_abs()));
            let allowed = i128::from(config.clock_drift_ms_max)
                * i128::try_from(config.clock_readings).expect("a small number");
            fails_if(distances.sum::<i128>() > allowed)
        }
    };
    [flat, cadence, drift]
}

const fn fails_if(is_off: bool) -> Outcome {
    if is_off { Outcome::Fail } else { Outcome::Pass }
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
