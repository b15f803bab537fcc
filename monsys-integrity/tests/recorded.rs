//! Genuine processor use: no window of it is called flat, replayed, looped or a ramp, and the attacks
//! on the same values are found.
//!
//! The values are excerpts of two series of the Numenta Anomaly Benchmark (`data/nab`, with their
//! licence): one of an idle machine and one of a busy one, averages over 5 minutes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its assumption does, and shows its counts to whoever asks for them"
)]

use monsys_core::facts::{
    AgentFacts, ClockFacts, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, AnomalyKind, Verdict};
use monsys_integrity::deviation::{is_spread_over, sample_deviation};
use monsys_integrity::{Config, Cycle, run_all};

const SERIES: [&str; 2] = [
    include_str!("data/nab/ec2_cpu_utilization_53ea38.txt"),
    include_str!("data/nab/ec2_cpu_utilization_825cc2.txt"),
];
const LENGTHS: [usize; 4] = [30, 60, 120, 240];
const OF_SERIES: [AnomalyKind; 4] = [
    AnomalyKind::FlatMetrics,
    AnomalyKind::ReplayedSeries,
    AnomalyKind::LoopedRecording,
    AnomalyKind::ExactRamp,
];

#[test]
fn no_genuine_window_trips_any_detector_of_values() {
    let mut n_windows = 0;
    for values in recorded() {
        for window in windows(&values) {
            n_windows += 1;
            assert_eq!(found(window), [], "{window:?}");
        }
    }
    println!("{n_windows} genuine windows, none found");
    assert_eq!(
        n_windows,
        2 * LENGTHS.map(|n| 260 - n + 1).iter().sum::<usize>()
    );
}

/// The early exit proves that a window moves; it must never contradict the plain deviation, whether
/// the values are as recorded or so coarse that some windows are flat.
#[test]
fn the_early_exit_agrees_with_the_plain_deviation_on_every_window() {
    for scale in [1_000.0, 100.0, 10.0, 1.0] {
        let (mut n_windows, mut n_early, mut n_flat) = (0_u32, 0_u32, 0_u32);
        for values in recorded() {
            let rounded: Vec<f64> = values.iter().map(|v| (v * scale).round() / scale).collect();
            for window in windows(&rounded) {
                let is_flat = sample_deviation(window).unwrap() < 0.001;
                let is_early = is_spread_over(window, window.len(), 0.001);
                assert!(!(is_early && is_flat), "{window:?}");
                let verdict = found(window).contains(&AnomalyKind::FlatMetrics);
                assert_eq!(verdict, is_flat, "{window:?}");
                n_windows += 1;
                n_early += u32::from(is_early);
                n_flat += u32::from(is_flat);
            }
        }
        let digits = scale.log10();
        println!(
            "{digits} decimals: of {n_windows} windows {n_flat} flat, {n_early} decided early"
        );
        // To integers the idle machine stands still, which is why agents do not round.
        let n_still = if scale > 1.0 { 0 } else { n_windows / 2 };
        assert_eq!((n_flat, n_early), (n_still, n_windows - n_still));
    }
}

#[test]
fn a_stretch_of_a_genuine_window_played_again_is_found() {
    for values in recorded() {
        let mut forged = values[..240].to_vec();
        forged.copy_within(50..80, 210);
        assert_eq!(found(&forged), [AnomalyKind::ReplayedSeries]);
    }
}

#[test]
fn half_an_hour_of_genuine_values_in_a_loop_is_found() {
    for values in recorded() {
        let forged: Vec<f64> = values[..90].iter().copied().cycle().take(240).collect();
        let kinds = [AnomalyKind::ReplayedSeries, AnomalyKind::LoopedRecording];
        assert_eq!(found(&forged), kinds);
    }
}

#[test]
fn the_line_between_two_genuine_values_is_found() {
    for values in recorded() {
        let (first, last) = (values[0], values[0] + 3.0);
        let place = |i: u32| first + (last - first) * f64::from(i) / 239.0;
        let forged: Vec<f64> = (0..240).map(place).collect();
        assert_eq!(found(&forged), [AnomalyKind::ExactRamp]);
    }
}

#[test]
fn the_mean_of_genuine_values_sent_for_ever_is_found() {
    for values in recorded() {
        let mean = values.iter().sum::<f64>() / 260.0;
        assert_eq!(found(&[mean; 240]), [AnomalyKind::FlatMetrics]);
    }
}

/// Which of the detectors that read values find something in a window of them.
fn found(values: &[f64]) -> Vec<AnomalyKind> {
    let facts = facts_of(values);
    let (facts, config) = (facts.view(), Config::strict());
    let cycle = Cycle {
        previous: None,
        now: now(),
    };
    let verdicts = run_all(&facts, &config, cycle);
    let failed = verdicts.filter(|(_, verdict)| matches!(verdict, Verdict::Fail(_)));
    let kinds = failed.map(|(kind, _)| kind);
    kinds.filter(|kind| OF_SERIES.contains(kind)).collect()
}

fn recorded() -> [Vec<f64>; 2] {
    SERIES.map(|text| {
        let values: Vec<f64> = text
            .split_whitespace()
            .map(|value| value.parse().unwrap())
            .collect();
        assert_eq!(values.len(), 260);
        values
    })
}

fn windows(values: &[f64]) -> impl Iterator<Item = &[f64]> {
    LENGTHS.into_iter().flat_map(|n| values.windows(n))
}

/// An agent that sent these values, 15 s apart, the last now.
fn facts_of(values: &[f64]) -> AgentFacts {
    let n = i64::try_from(values.len()).unwrap();
    let rows = (1..=n).zip(values).map(|(i, cpu)| MetricRow {
        received_at: now().saturating_sub(Span::from_secs((n - i) * 15)),
        cpu_usage_percent: *cpu,
        is_spooled: false,
    });
    AgentFacts {
        agent: AgentId::from_bytes([7; 16]),
        window: MetricWindow::from_rows(WindowBounds::hour_before(now()), rows),
        clock: ClockFacts::default(),
        version: VersionFacts::default(),
        last_verified_at: None,
        open: vec![],
    }
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
}
