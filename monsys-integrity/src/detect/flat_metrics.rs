//! The processor use does not move.
//!
//! What: over the values of (now − 1 h, now], at least 30 of them finite, the sample standard
//! deviation of the processor use in percent points is below 0.001; exactly 0.001 passes (integrity
//! document; decisions 7 to 11). Values that are infinite or NaN are left out and counted in the
//! evidence. A constant gives exactly 0.0, and the summary and `detail` are those of the document's
//! example 2, byte for byte.
//!
//! What not: whether moving values are true. Cost: for an honest agent the first few
//! values and no allocation ([`crate::deviation::is_spread_over`]); for a still one a few
//! passes, and for the evidence a copy and a sort.
//!
//! An honest agent trips it when its machine is pinned at 100 % for an hour, idles at exactly 0, or
//! rounds to less than two decimals (0 % of genuine windows fire unrounded, 10 % at one decimal,
//! measured on the Numenta series); the shape in the evidence tells these apart. An attacker passes
//! it by adding noise of a hundredth of a percent point or by playing back another machine.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::anomaly::Finding;
use monsys_core::facts::{Facts, WindowBounds, WindowView};
use monsys_core::json::ObjectText;
use monsys_core::time::Span;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, bounds};
use crate::config::Config;
use crate::cycle::Cycle;
use crate::deviation::{finite_deviation, is_spread_over};
use crate::number;

/// What still values look like. It changes no verdict; a policy may weigh a finding by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// All zero: idle, or not measured.
    Zero,
    /// All at the ceiling: a machine that is really busy looks like this.
    Saturated,
    /// All equal.
    Constant,
    /// Not equal, but too close together to be measured.
    Jitter,
}

impl Shape {
    /// Returns the stable word in the evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Saturated => "saturated",
            Self::Constant => "constant",
            Self::Jitter => "jitter",
        }
    }
}

/// Judges whether the processor use moves.
pub fn check(facts: &Facts<'_>, config: &Config, _cycle: Cycle) -> Verdict {
    let values = facts.window.cpu_usage_percent;
    let have = n_finite(&facts.window);
    let need = config.flat_samples_min;
    if have < need {
        return Verdict::Insufficient(Insufficiency::TooFew { have, need });
    }
    let threshold = config.flat_deviation_min;
    let is_surely_moving = |some| is_spread_over(some, values.len(), threshold);
    if is_surely_moving(facts.window.newest_cpu) || is_surely_moving(values) {
        return Verdict::Pass;
    }
    match finite_deviation(values) {
        // One value has no deviation; a rule that asks for no more than that is never broken.
        None => Verdict::Insufficient(Insufficiency::TooFew { have, need: 2 }),
        Some(deviation) if deviation < threshold => {
            Verdict::Fail(finding(facts.window, deviation, config))
        }
        Some(_) => Verdict::Pass,
    }
}

fn n_finite(window: &WindowView<'_>) -> usize {
    let n_values = window.cpu_usage_percent.len();
    n_values.saturating_sub(window.n_not_finite)
}

#[cold]
fn finding(window: WindowView<'_>, deviation: f64, config: &Config) -> Finding {
    let shown = if deviation == 0.0 {
        String::from("0")
    } else {
        format!("{deviation:?}")
    };
    Finding {
        kind: AnomalyKind::FlatMetrics,
        severity: Severity::High,
        summary: format!(
            "CPU stddev = {shown} over the last {} — telemetry seems manipulated",
            period(window.bounds)
        ),
        detail: ObjectText::new()
            .integer("samples", number::whole(n_finite(&window)))
            .number("stddev", deviation)
            .finish(),
        evidence: evidence(window, config),
    }
}

fn period(bounds: WindowBounds) -> String {
    let period = bounds.to.since(bounds.from);
    if period == Span::from_secs(3_600) {
        String::from("hour")
    } else {
        format!("{} s", period.millis() / 1_000)
    }
}

fn evidence(window: WindowView<'_>, config: &Config) -> String {
    let values = window.cpu_usage_percent.iter().copied();
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let min = sorted.first().copied().unwrap_or_default();
    let max = sorted.last().copied().unwrap_or_default();
    bounds(ObjectText::new(), window)
        .text("shape", shape(min, max, config).as_str())
        .integer("distinct", number::whole(n_distinct(&sorted)))
        .number("min", min)
        .number("max", max)
        .integer("excluded", number::whole(window.n_not_finite))
        .integer("samples_min", number::whole(config.flat_samples_min))
        .number("threshold", config.flat_deviation_min)
        .integer("rules_version", RULES_VERSION)
        .finish()
}

fn shape(min: f64, max: f64, config: &Config) -> Shape {
    if min == 0.0 && max == 0.0 {
        Shape::Zero
    } else if min >= config.saturated_percent_min {
        Shape::Saturated
    } else if min == max {
        Shape::Constant
    } else {
        Shape::Jitter
    }
}

/// Counts different values; the two zeros are one.
fn n_distinct(sorted: &[f64]) -> usize {
    sorted.chunk_by(|a, b| a == b).count()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use monsys_core::facts::{AgentFacts, MetricRow, MetricWindow};
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{NOW, at, cycle, failed, sent, unknown};

    fn judge(cpu: &[f64]) -> Verdict {
        check(&sent(cpu).view(), &Config::standard(), cycle())
    }

    fn deviation_of(values: &[f64]) -> f64 {
        crate::deviation::sample_deviation(values).unwrap()
    }

    /// Thirty values of which two are ±d and the others 0: s = d · √(2/29).
    fn with_deviation(target: f64) -> Vec<f64> {
        let distance = target * (29.0_f64 / 2.0).sqrt();
        let mut values = vec![0.0; 30];
        values[3] = distance;
        values[9] = -distance;
        values
    }

    #[test]
    fn example_2_of_the_integrity_document_is_byte_exact() {
        let finding = failed(judge(&[4.20; 240]));
        assert_eq!(finding.kind.as_str(), "flat_metrics");
        assert_eq!(finding.severity.as_str(), "high");
        assert_eq!(
            finding.summary,
            "CPU stddev = 0 over the last hour — telemetry seems manipulated"
        );
        assert_eq!(finding.detail, r#"{"samples": 240, "stddev": 0.0}"#);
        assert_eq!(
            finding.evidence,
            "{\"window_from\": \"2026-05-09T21:03:40.000000Z\", \
             \"window_to\": \"2026-05-09T22:03:40.000000Z\", \
             \"first_received_at\": \"2026-05-09T21:03:55.000000Z\", \
             \"last_received_at\": \"2026-05-09T22:03:40.000000Z\", \
             \"shape\": \"constant\", \"distinct\": 1, \"min\": 4.2, \"max\": 4.2, \
             \"excluded\": 0, \"samples_min\": 30, \"threshold\": 0.001, \"rules_version\": 1}"
        );
    }

    #[test]
    fn twenty_nine_samples_are_too_few_and_thirty_suffice() {
        let too_few = Verdict::Insufficient(Insufficiency::TooFew { have: 29, need: 30 });
        assert_eq!(judge(&[4.20; 29]), too_few);
        let _ = failed(judge(&[4.20; 30]));
        let moving: Vec<f64> = (0..29).map(f64::from).collect();
        assert_eq!(judge(&moving), too_few);
    }

    #[test]
    fn just_below_the_threshold_fails_and_at_or_above_passes() {
        let mut values = with_deviation(0.001);
        // Walks one value by single steps across the threshold: the verdict follows the deviation.
        let (mut n_below, mut n_at, mut n_above) = (0, 0, 0);
        for _ in 0..200 {
            values[3] = values[3].next_down();
        }
        for _ in 0..400 {
            values[3] = values[3].next_up();
            let deviation = deviation_of(&values);
            let is_flat = matches!(judge(&values), Verdict::Fail(_));
            assert_eq!(is_flat, deviation < 0.001, "{deviation:?}");
            n_below += usize::from(deviation < 0.001);
            n_at += usize::from(deviation == 0.001);
            n_above += usize::from(deviation > 0.001);
        }
        assert!(
            n_below > 0 && n_at > 0 && n_above > 0,
            "{n_below} {n_at} {n_above}"
        );
    }

    #[test]
    fn a_small_deviation_is_shown_in_its_shortest_form() {
        for (target, word) in [(0.0005, "0.0005"), (1e-7, "e-7")] {
            let values = with_deviation(target);
            let finding = failed(judge(&values));
            let deviation = deviation_of(&values);
            assert_eq!(
                finding.summary,
                format!(
                    "CPU stddev = {deviation:?} over the last hour — telemetry seems manipulated"
                )
            );
            assert_eq!(
                finding.detail,
                format!(r#"{{"samples": 30, "stddev": {deviation:?}}}"#)
            );
            assert!((deviation / target - 1.0).abs() < 1e-12, "{word}");
            assert!(
                finding
                    .evidence
                    .contains(r#""shape": "jitter", "distinct": 3"#)
            );
        }
    }

    #[test]
    fn shapes_tell_honest_causes_apart() {
        for (value, shape) in [
            (0.0, "zero"),
            (-0.0, "zero"),
            (100.0, "saturated"),
            (99.95, "saturated"),
            (99.949, "constant"),
        ] {
            let finding = failed(judge(&[value; 30]));
            assert!(
                finding.evidence.contains(&format!(r#""shape": "{shape}""#)),
                "{value}"
            );
        }
        let mut nearly = vec![100.0; 240];
        nearly[7] = 99.999;
        assert!(
            failed(judge(&nearly))
                .evidence
                .contains(r#""shape": "saturated", "distinct": 2"#)
        );
        assert_eq!(n_distinct(&[-0.0, 0.0, 1.0]), 2);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_counted() {
        let mut values = vec![4.20; 60];
        values[0] = f64::NAN;
        values[20] = f64::INFINITY;
        values[59] = f64::NEG_INFINITY;
        let finding = failed(judge(&values));
        assert_eq!(finding.detail, r#"{"samples": 57, "stddev": 0.0}"#);
        assert!(finding.evidence.contains(r#""excluded": 3"#));
        let too_few = Verdict::Insufficient(Insufficiency::TooFew { have: 29, need: 30 });
        assert_eq!(
            judge(&[vec![f64::NAN; 40], vec![4.20; 29]].concat()),
            too_few
        );
        let nothing = Verdict::Insufficient(Insufficiency::TooFew { have: 0, need: 30 });
        assert_eq!(judge(&[f64::NAN; 240]), nothing);
    }

    #[test]
    fn huge_values_neither_panic_nor_pass_as_constant() {
        for huge in [1e300, f64::MAX, f64::MIN] {
            assert_eq!(
                failed(judge(&[huge; 240])).detail,
                r#"{"samples": 240, "stddev": 0.0}"#
            );
            let mut one = vec![4.20; 240];
            one[100] = huge;
            assert_eq!(judge(&one), Verdict::Pass);
        }
    }

    #[test]
    fn values_outside_the_window_do_not_count() {
        let row = |ms, cpu_usage_percent| MetricRow {
            received_at: at(ms),
            cpu_usage_percent,
            is_spooled: false,
        };
        let mut rows = vec![row(-3_600_000, 50.0)];
        rows.extend((0..60).map(|i| row((i - 59) * 15_000, 4.20)));
        rows.push(row(1, 50.0));
        let window = MetricWindow::from_rows(WindowBounds::hour_before(NOW), rows);
        let facts = AgentFacts {
            window,
            ..unknown()
        };
        let finding = failed(check(&facts.view(), &Config::standard(), cycle()));
        assert_eq!(finding.detail, r#"{"samples": 60, "stddev": 0.0}"#);
    }

    proptest! {
        #[test]
        fn every_finite_constant_is_flat_with_a_deviation_of_zero(
            constant in any::<f64>().prop_filter("finite", |c| c.is_finite()),
        ) {
            let finding = failed(judge(&[constant; 240]));
            prop_assert_eq!(finding.detail, r#"{"samples": 240, "stddev": 0.0}"#);
        }

        #[test]
        fn the_verdict_is_that_of_the_plain_form(
            unit in prop::collection::vec(-1.0_f64..1.0, 30..240),
            base in 1.0_f64..99.0,
            stretch in 0.99_f64..1.01,
        ) {
            let spread = deviation_of(&unit);
            let values: Vec<f64> =
                unit.iter().map(|u| base + u / spread * 0.001 * stretch).collect();
            let is_flat = deviation_of(&values) < 0.001;
            prop_assert_eq!(matches!(judge(&values), Verdict::Fail(_)), is_flat);
        }
    }
}
