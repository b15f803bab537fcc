//! Decisions about what a detector says of facts.

use monsys_core::facts::{AgentFacts, ClockFacts, ClockReading, MetricWindow, WindowBounds};
use monsys_core::sample::{CpuPercent, SampleError};
use monsys_core::time::Span;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};
use monsys_integrity::detect::unsigned_payload;
use monsys_integrity::deviation::sample_deviation;
use monsys_integrity::{Config, Cycle, reconcile};

use super::scene::{
    at, clock_of, failed, flat, judge, judge_by, row, unknown, versions, window_of,
    window_with_gaps,
};

fn cadence(window: MetricWindow) -> Verdict {
    let facts = AgentFacts {
        window,
        ..unknown()
    };
    judge(AnomalyKind::CadenceAnomaly, &facts)
}

fn drift(clock: ClockFacts) -> Verdict {
    let facts = AgentFacts { clock, ..unknown() };
    judge(AnomalyKind::ClockDrift, &facts)
}

fn downgrade(current: &str, highest: &str) -> Verdict {
    let version = versions(current, highest);
    let facts = AgentFacts {
        version,
        ..unknown()
    };
    judge(AnomalyKind::VersionDowngrade, &facts)
}

const fn too_few(have: usize, need: usize) -> Verdict {
    Verdict::Insufficient(Insufficiency::TooFew { have, need })
}

#[test]
fn decision_01_a_pinned_key_without_a_header_is_the_row_of_example_1() {
    let finding = unsigned_payload::pinned_but_absent();
    assert_eq!(finding.kind.as_str(), "unsigned_payload");
    assert_eq!(finding.severity.as_str(), "high");
    assert_eq!(
        finding.summary,
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature"
    );
    assert_eq!(finding.detail, "{}");
}

#[test]
fn decision_07_the_deviation_is_that_of_a_sample() {
    // Of 2, 4, 4, 4, 5, 5, 7, 9 the population's is exactly 2, the sample's √(32/7).
    let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
    let deviation = sample_deviation(&values).unwrap();
    assert!((deviation - (32.0_f64 / 7.0).sqrt()).abs() < 1e-15);
    // Fifteen values each of ±d: the sample's deviation is d·√(30/29), so that d = 0.00099 is below
    // the threshold by the population's formula and above it by the sample's.
    let around = |d: f64| -> Vec<f64> {
        let pair = [50.0 - d, 50.0 + d];
        pair.into_iter().cycle().take(30).collect()
    };
    assert_eq!(flat(&around(0.000_99)), Verdict::Pass);
    assert_eq!(failed(flat(&around(0.000_98))).severity, Severity::High);
}

#[test]
fn decision_08_processor_use_is_in_finite_percent_points_from_0_to_100() {
    for good in [0.0, 4.2, 100.0] {
        assert!(CpuPercent::new(good).is_ok());
    }
    for outside in [-0.001, 100.001, 400.0, 1e300] {
        assert_eq!(CpuPercent::new(outside), Err(SampleError::PercentRange));
    }
    for no_number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(CpuPercent::new(no_number), Err(SampleError::NotFinite));
    }
    // As a fraction the same machine would look flat.
    let percent: Vec<f64> = (0..240_i32)
        .map(|i| 5.0 + f64::from(i % 7) * 0.02)
        .collect();
    let fraction: Vec<f64> = percent.iter().map(|p| p / 100.0).collect();
    assert_eq!(flat(&percent), Verdict::Pass);
    let _ = failed(flat(&fraction));
}

#[test]
fn decision_09_a_constant_has_a_deviation_of_0_and_the_row_of_example_2() {
    let finding = failed(flat(&[4.20; 240]));
    assert_eq!(
        finding.summary,
        "CPU stddev = 0 over the last hour — telemetry seems manipulated"
    );
    assert_eq!(finding.detail, r#"{"samples": 240, "stddev": 0.0}"#);
    for constant in [4.20, 99.99, 1e15, 1e300, f64::MAX] {
        let deviation = sample_deviation(&[constant; 240]).unwrap();
        assert_eq!(deviation.to_bits(), 0, "{constant:e}");
    }
}

#[test]
fn decision_10_a_small_deviation_is_of_the_same_kind_in_its_shortest_form() {
    let mut values = [4.0; 240];
    values[17] = 4.01;
    let deviation = sample_deviation(&values).unwrap();
    assert!(deviation > 0.0 && deviation < 0.001);
    let finding = failed(flat(&values));
    assert_eq!(finding.kind, AnomalyKind::FlatMetrics);
    let shown = format!("{deviation:?}");
    assert_eq!(shown.parse::<f64>().unwrap().to_bits(), deviation.to_bits());
    assert_eq!(
        finding.summary,
        format!("CPU stddev = {shown} over the last hour — telemetry seems manipulated")
    );
    assert_eq!(
        finding.detail,
        format!(r#"{{"samples": 240, "stddev": {shown}}}"#)
    );
}

#[test]
fn decision_11_what_is_no_number_is_left_out_and_counted() {
    let mut values = vec![4.20; 33];
    values[0] = f64::NAN;
    values[12] = f64::INFINITY;
    values[32] = f64::NEG_INFINITY;
    let finding = failed(flat(&values));
    assert_eq!(finding.detail, r#"{"samples": 30, "stddev": 0.0}"#);
    assert!(finding.evidence.contains(r#""excluded": 3"#));
    values[1] = f64::NAN;
    assert_eq!(flat(&values), too_few(29, 30));
}

#[test]
fn decision_12_fewer_than_20_metrics_neither_open_nor_resolve() {
    let hour = 3_600_000;
    for offset_ms in [0, 9 * hour] {
        let clock = clock_of(&[offset_ms; 19]);
        assert_eq!(drift(clock.clone()), too_few(19, 20));
        let drifting = monsys_core::anomaly::OpenAnomaly {
            id: monsys_core::id::AnomalyId::from_bytes([9; 16]),
            kind: AnomalyKind::ClockDrift,
            severity: Severity::High,
            last_seen_at: at(-hour),
        };
        for open in [vec![], vec![drifting]] {
            let clock = clock.clone();
            let facts = AgentFacts {
                clock,
                open,
                ..unknown()
            };
            let cycle = Cycle {
                previous: Some(at(-600_000)),
                now: at(0),
            };
            let report = reconcile(&[facts], &Config::standard(), cycle);
            assert_eq!(report.transitions, []);
        }
    }
}

#[test]
fn decision_14_the_mean_is_that_of_the_document_and_the_evidence_shows_how_robust_it_is() {
    let mut offsets = [0; 20];
    offsets[11] = -6_000_000;
    assert_eq!(drift(clock_of(&offsets)), Verdict::Pass);
    offsets[11] = -6_000_001;
    let finding = failed(drift(clock_of(&offsets)));
    for member in [
        r#""mean_abs_ms": 300000.05"#,
        r#""mean_ms": -300000.05"#,
        r#""median_ms": 0.0"#,
        r#""min_ms": -6000001"#,
        r#""max_ms": 0"#,
    ] {
        assert!(finding.evidence.contains(member), "{}", finding.evidence);
    }
}

#[test]
fn decision_15_a_backlog_is_measured_by_its_sending_and_what_is_live_by_its_capture() {
    let backlog = ClockReading {
        captured_at: at(-3_600_000),
        sent_at: at(-30),
        received_at: at(0),
        is_spooled: true,
    };
    assert_eq!(
        drift(ClockFacts::from_readings([backlog; 20])),
        Verdict::Pass
    );
    let live = ClockReading {
        is_spooled: false,
        ..backlog
    };
    let _ = failed(drift(ClockFacts::from_readings([live; 20])));
}

#[test]
fn decision_16_cadence_is_the_median_of_20_gaps_between_payloads_of_an_hour() {
    assert_eq!(cadence(window_with_gaps(&[1_000; 19])), too_few(19, 20));
    let _ = failed(cadence(window_with_gaps(&[1_000; 20])));
    // What was received more than an hour ago has no gap: of 400, the last 180 lie inside.
    let older_fast = [vec![1_000; 220], vec![20_000; 180]].concat();
    assert_eq!(cadence(window_with_gaps(&older_fast)), Verdict::Pass);
    for (gap, is_passing) in [
        (6_999, false),
        (7_000, true),
        (23_000, true),
        (23_001, false),
    ] {
        for n in [40, 41] {
            let verdict = cadence(window_with_gaps(&vec![gap; n]));
            assert_eq!(verdict == Verdict::Pass, is_passing, "{gap} ms × {n}");
        }
    }
}

#[test]
fn decision_17_gaps_next_to_a_backlog_are_left_out_and_counted() {
    // Ten minutes of backlog come in steps of 0.1 s among live payloads 15 s apart.
    let live = (0..120_i64).map(|i| row(i * 15_000 - 1_800_000, 3.0));
    let drained = (0..40_i64).map(|i| monsys_core::facts::MetricRow {
        is_spooled: true,
        ..row(i * 100 - 890_000, 5.0)
    });
    let mut rows: Vec<_> = live.chain(drained).collect();
    rows.sort_by_key(|row| row.received_at);
    let of = |rows: Vec<_>| MetricWindow::from_rows(WindowBounds::hour_before(at(0)), rows);
    assert_eq!(cadence(of(rows.clone())), Verdict::Pass);
    rows.retain(|row| row.is_spooled || row.received_at > at(-200_000));
    let fast_after = (0..25_i64).map(|i| row(i - 30, 2.0));
    rows.extend(fast_after);
    rows.sort_by_key(|row| row.received_at);
    let finding = failed(cadence(of(rows)));
    assert!(
        finding.evidence.contains(r#""gaps_next_to_backlog": 40"#),
        "{}",
        finding.evidence
    );
}

#[test]
fn decision_18_a_suspended_machine_passes() {
    let mut nap = [15_000; 100];
    nap[40] = 1_900_000;
    assert_eq!(cadence(window_with_gaps(&nap)), Verdict::Pass);
    // Eight hours: of the window only what came after waking is left.
    let mut night = [15_000; 100];
    night[40] = 8 * 3_600_000;
    assert_eq!(cadence(window_with_gaps(&night)), Verdict::Pass);
    // Modern standby, awake for a fifth of the time: a minute awake, four asleep.
    let standby: Vec<i64> = (0..50)
        .map(|i| if i % 5 == 4 { 240_000 } else { 15_000 })
        .collect();
    assert_eq!(cadence(window_with_gaps(&standby)), Verdict::Pass);
}

#[test]
fn decision_19_another_interval_scales_both_bounds() {
    let mut config = Config::standard();
    config.expect_every(Span::from_secs(15));
    assert_eq!(config, Config::standard());
    config.expect_every(Span::from_secs(60));
    assert_eq!(config.cadence_gap_low, Span::from_secs(28));
    assert_eq!(config.cadence_gap_high, Span::from_secs(92));
    let facts = |gap_ms| AgentFacts {
        window: window_with_gaps(&[gap_ms; 30]),
        ..unknown()
    };
    let judge_of = |gap_ms| judge_by(&config, AnomalyKind::CadenceAnomaly, &facts(gap_ms));
    assert_eq!(judge_of(60_000), Verdict::Pass);
    assert_eq!(judge_of(28_000), Verdict::Pass);
    let _ = failed(judge_of(27_999));
    let _ = failed(judge_of(92_001));
    let _ = failed(judge(AnomalyKind::CadenceAnomaly, &facts(60_000)));
}

#[test]
fn decision_22_what_follows_the_numbers_is_not_compared() {
    for (current, highest) in [
        ("0.1.0-beta1", "0.1.0"),
        ("0.1.0+x", "0.1.0"),
        ("0.1.0", "0.1.0-beta1"),
    ] {
        assert_eq!(downgrade(current, highest), Verdict::Pass, "{current}");
    }
}

#[test]
fn decision_23_every_numeric_triple_counts_whatever_its_major() {
    let finding = failed(downgrade("2.9.9", "3.0.0"));
    assert_eq!(
        finding.summary,
        "agent version went from 3.0.0 down to 2.9.9"
    );
    let most = "18446744073709551615.0.0";
    let _ = failed(downgrade("18446744073709551614.9.9", most));
    assert_eq!(downgrade(most, "0.1.0"), Verdict::Pass);
}

#[test]
fn decision_24_what_is_no_version_says_nothing() {
    let nothing = Verdict::Insufficient(Insufficiency::UnparseableVersion);
    for text in [
        "v1.2.3",
        "1.2",
        "01.2.3",
        "banana",
        "18446744073709551616.0.0",
    ] {
        assert_eq!(downgrade(text, "9.0.0"), nothing, "{text}");
    }
}

#[test]
fn decision_31_flatness_looks_at_the_processor_use_of_the_whole_machine_alone() {
    let moving: Vec<f64> = (0..240_i32).map(|i| f64::from(i % 11)).collect();
    assert_eq!(flat(&moving), Verdict::Pass);
    let facts = AgentFacts {
        window: window_of(&[12.5; 240]),
        ..unknown()
    };
    let summary = failed(judge(AnomalyKind::FlatMetrics, &facts)).summary;
    assert!(summary.starts_with("CPU stddev"), "{summary}");
}
