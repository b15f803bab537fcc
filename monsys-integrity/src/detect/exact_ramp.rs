//! The values lie on a straight line. Opt-in.
//!
//! What: over at least 30 values, either no second difference (aₙ₊₂ − 2aₙ₊₁ + aₙ) reaches 1e-6 percent
//! points, or what a linear fit leaves has a standard deviation below 0.001; and the values are not
//! flat, which [`flat_metrics`](super::flat_metrics) says. What not: a curve, steps, or a saw-tooth
//! that turns within the window. Cost: for an honest agent the first few values: one second difference
//! proves that the values bend and another that they keep away from every line (below); otherwise
//! three passes, and no allocation on a pass.
//!
//! Why one second difference suffices: with r the distances from any line, it is
//! r₀ − 2r₁ + r₂, by Cauchy and Schwarz at most √6·√Σr². Fitted best, Σr² is (n − 1)s², so that a
//! second difference beyond s·√(6(n − 1)) proves that what is left deviates by more than s.
//!
//! False positives: no genuine window of 240 values of the Numenta or PlanetLab series, for either
//! rule (notes §3.2). An honest agent trips it if it interpolates between rare measurements. An attacker
//! passes it by a wave, or by noise of a hundredth of a percent point.

use alloc::format;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, bounds};
use crate::config::Config;
use crate::cycle::Cycle;
use crate::deviation::{finite_deviation, n_finite};
use crate::number;

/// By which rule values lie on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Straightness {
    /// No second difference is to be seen.
    Exact,
    /// What the best line leaves is too little to be measured.
    Residual,
}

impl Straightness {
    /// Returns the stable word in the evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Residual => "residual",
        }
    }
}

/// Judges whether the processor use is a line that nobody measured.
pub fn check(facts: &Facts<'_>, config: &Config, _cycle: Cycle) -> Verdict {
    let values = facts.window.cpu_usage_percent;
    let have = values.len().saturating_sub(facts.window.n_not_finite);
    let need = config.ramp_samples_min.max(3);
    if have < need {
        return Verdict::Insufficient(Insufficiency::TooFew { have, need });
    }
    let Some(straightness) = straightness(values, config) else {
        return Verdict::Pass;
    };
    // Flat ones are of another kind.
    match finite_deviation(values) {
        Some(deviation) if deviation >= config.flat_deviation_min => {
            Verdict::Fail(finding(facts, straightness, config))
        }
        Some(_) | None => Verdict::Pass,
    }
}

/// Tells by which rule the values lie on a line. Ones that are not finite lie on none: ingest takes
/// no such value.
fn straightness(values: &[f64], config: &Config) -> Option<Straightness> {
    let n_other = number::from_count(values.len()) - 1.0;
    let residual_min = config.ramp_residual_min;
    // The margin is far above what rounding makes of either side.
    let bend_of_no_line = residual_min * number::sqrt(6.0 * n_other) * (1.0 + 1e-9) + ROUNDING;
    let (mut is_exact, mut may_be_near) = (true, true);
    for bend in bends(values) {
        is_exact &= bend < config.ramp_bend_max;
        may_be_near &= bend <= bend_of_no_line;
        if !is_exact && !may_be_near {
            return None;
        }
    }
    if is_exact {
        return Some(Straightness::Exact);
    }
    let left = residual_deviation(values)?;
    (left < residual_min).then_some(Straightness::Residual)
}

/// The sizes of the second differences.
fn bends(values: &[f64]) -> impl Iterator<Item = f64> + '_ {
    values.windows(3).map(|three| match three {
        [a, b, c] => ((c - b) - (b - a)).abs(),
        _ => 0.0,
    })
}

/// Computes the sample standard deviation of what the best line leaves of the values; `None` when a
/// value is not finite or a sum overflows.
fn residual_deviation(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    let n = number::from_count(values.len());
    let middle = (n - 1.0) / 2.0;
    let places = || {
        values.iter().scan(-middle, |place, value| {
            let at = *place;
            *place += 1.0;
            Some((at, value - first))
        })
    };
    let (sum, moment) = places().fold((0.0, 0.0), |(sum, moment), (at, value)| {
        (sum + value, moment + at * value)
    });
    let (mean, slope) = (sum / n, moment / (n * (n * n - 1.0) / 12.0));
    let squares: f64 = places()
        .map(|(at, value)| (value - mean) - slope * at)
        .map(|left| left * left)
        .sum();
    let variance = squares / (n - 1.0);
    variance.is_finite().then(|| number::sqrt(variance))
}

#[cold]
fn finding(facts: &Facts<'_>, straightness: Straightness, config: &Config) -> Finding {
    let window = facts.window;
    let values = window.cpu_usage_percent;
    let ends = values.first().copied().zip(values.last().copied());
    let (first, last) = ends.unwrap_or_default();
    let n_steps = number::from_count(values.len()) - 1.0;
    Finding {
        kind: AnomalyKind::ExactRamp,
        severity: Severity::High,
        summary: format!(
            "the last {} CPU values lie on a straight line — telemetry seems made up",
            values.len()
        ),
        detail: ObjectText::new().finish(),
        evidence: bounds(ObjectText::new(), window)
            .text("rule", straightness.as_str())
            .integer("samples", number::whole(n_finite(values)))
            .number("first", first)
            .number("last", last)
            .number("slope_per_sample", (last - first) / n_steps)
            .number("bend_max", bends(values).fold(0.0, f64::max))
            .number("residual", residual_deviation(values).unwrap_or_default())
            .number("threshold_bend", config.ramp_bend_max)
            .number("threshold_residual", config.ramp_residual_min)
            .integer("samples_min", number::whole(config.ramp_samples_min))
            .integer("rules_version", RULES_VERSION)
            .finish(),
    }
}

/// What rounding adds to a second difference of percent points, many times over.
const ROUNDING: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::deviation::sample_deviation;
    use crate::fixture::{cycle, failed, sent};

    fn judge(cpu: &[f64]) -> Verdict {
        check(&sent(cpu).view(), &Config::strict(), cycle())
    }

    fn ramp(n: i32, slope: f64) -> Vec<f64> {
        (0..n).map(|i| 7.0 + f64::from(i) * slope).collect()
    }

    /// The plain form: all second differences, then the fit by the textbook's sums over (i, value).
    fn straightness_by_the_book(values: &[f64], config: &Config) -> Option<Straightness> {
        let n = f64::from(u32::try_from(values.len()).unwrap());
        let bends: Vec<f64> = bends(values).collect();
        if bends.iter().all(|bend| *bend < config.ramp_bend_max) {
            return Some(Straightness::Exact);
        }
        let x: Vec<f64> = (0..values.len())
            .map(|i| f64::from(u32::try_from(i).unwrap()))
            .collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
        let (x_mean, y_mean) = (mean(&x), mean(values));
        let xy: f64 = x
            .iter()
            .zip(values)
            .map(|(x, y)| (x - x_mean) * (y - y_mean))
            .sum();
        let xx: f64 = x.iter().map(|x| (x - x_mean) * (x - x_mean)).sum();
        let left: Vec<f64> = x
            .iter()
            .zip(values)
            .map(|(x, y)| y - y_mean - xy / xx * (x - x_mean))
            .collect();
        let deviation = sample_deviation(&left)?;
        (deviation < config.ramp_residual_min).then_some(Straightness::Residual)
    }

    #[test]
    fn a_ramp_is_found_up_and_down_and_however_slow() {
        for slope in [0.1, -0.02, 0.000_1] {
            let finding = failed(judge(&ramp(240, slope)));
            assert!(
                finding
                    .evidence
                    .contains(r#""rule": "exact", "samples": 240"#)
            );
        }
        assert_eq!(judge(&[4.2; 240]), Verdict::Pass, "flat is another kind");
        assert_eq!(
            judge(&ramp(240, 1e-6)),
            Verdict::Pass,
            "flat is another kind"
        );
    }

    #[test]
    fn a_line_with_a_little_noise_is_found_by_what_the_fit_leaves() {
        let noisy = |size: f64| -> Vec<f64> {
            let noise = [0.0, 1.0, -1.0, 1.0, 0.0, -1.0].into_iter().cycle();
            ramp(240, 0.05)
                .iter()
                .zip(noise)
                .map(|(v, e)| v + e * size)
                .collect()
        };
        let finding = failed(judge(&noisy(0.001)));
        assert!(finding.evidence.contains(r#""rule": "residual""#));
        assert_eq!(judge(&noisy(0.002)), Verdict::Pass);
    }

    #[test]
    fn a_wave_a_step_and_a_turn_pass() {
        let wave: Vec<f64> = (0..240_i32)
            .map(|i| 50.0 + (f64::from(i) / 9.0).sin() * 5.0)
            .collect();
        assert_eq!(judge(&wave), Verdict::Pass);
        let mut step = ramp(240, 0.01);
        step[120..].iter_mut().for_each(|value| *value += 1.0);
        assert_eq!(judge(&step), Verdict::Pass);
        let turn: Vec<f64> = (0..240_i32)
            .map(|i| f64::from((i - 120).abs()) * 0.01)
            .collect();
        assert_eq!(judge(&turn), Verdict::Pass);
    }

    #[test]
    fn fewer_than_30_values_say_nothing() {
        let too_few = Insufficiency::TooFew { have: 29, need: 30 };
        assert_eq!(judge(&ramp(29, 0.1)), Verdict::Insufficient(too_few));
        let _ = failed(judge(&ramp(30, 0.1)));
    }

    #[test]
    fn what_is_no_number_or_huge_neither_panics_nor_is_a_line() {
        let mut values = ramp(240, 0.1);
        values[100] = f64::NAN;
        assert_eq!(judge(&values), Verdict::Pass);
        values[100] = 1e300;
        assert_eq!(judge(&values), Verdict::Pass);
        assert_eq!(judge(&[f64::MAX, f64::MIN].repeat(40)), Verdict::Pass);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn the_rule_is_that_of_the_plain_form(
            noise in prop::collection::vec(-1.0_f64..1.0, 30..240),
            size in prop_oneof![Just(0.0), 1e-8..1e-6, 0.000_5..0.005_f64, 0.01..1.0_f64],
            slope in -0.2_f64..0.2,
        ) {
            let places = noise.iter().zip(0_i32..);
            let values: Vec<f64> =
                places.map(|(e, i)| 50.0 + slope * f64::from(i) + e * size).collect();
            let config = Config::strict();
            let (ours, plain) = (straightness(&values, &config), straightness_by_the_book(&values, &config));
            prop_assert_eq!(ours, plain);
        }

        #[test]
        fn noise_near_the_threshold_is_judged_as_by_the_plain_form(
            noise in prop::collection::vec(-1.0_f64..1.0, 30..120),
            stretch in 0.98_f64..1.02,
            slope in -0.2_f64..0.2,
        ) {
            let spread = residual_deviation(&noise).unwrap();
            let places = noise.iter().zip(0_i32..);
            let values: Vec<f64> = places
                .map(|(e, i)| 50.0 + slope * f64::from(i) + e / spread * 0.001 * stretch)
                .collect();
            let config = Config::strict();
            let plain = straightness_by_the_book(&values, &config);
            // Two orders of summing may disagree in the last digits of a tie.
            prop_assume!((residual_deviation(&values).unwrap() / 0.001 - 1.0).abs() > 1e-9);
            prop_assert_eq!(straightness(&values, &config), plain);
        }
    }
}
