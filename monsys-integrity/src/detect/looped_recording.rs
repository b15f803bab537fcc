//! The values repeat with a fixed period. Opt-in.
//!
//! What: there is a period of at most 120 samples with which every value of the window equals, bit
//! by bit, the one a period before; the window holds it at least twice and is not constant (a
//! constant is [`flat_metrics`](super::flat_metrics)). What not: a recording that is longer than half
//! a window, or was started again within it; [`replayed_series`](super::replayed_series) sees some of
//! those. Cost: for an honest agent about a comparison for each period, no allocation; at worst
//! periods × samples comparisons.
//!
//! False positives: 0 of 5,582 genuine windows of 240 values (Numenta series) and 0 of 2,940 (PlanetLab,
//! integers) repeat so (notes §3.2). An honest agent trips it when its machine idles between two or
//! three rounded values in step with the agent, or when the agent averages over a time in which a
//! job comes round exactly. An attacker passes it by a recording of more than half an hour, by one
//! changed digit in each round, or by playing back another machine.

use alloc::format;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, bounds};
use crate::config::Config;
use crate::cycle::Cycle;
use crate::number;

/// Judges whether the window is one recording, played again and again.
pub fn check(facts: &Facts<'_>, config: &Config, _cycle: Cycle) -> Verdict {
    let values = facts.window.cpu_usage_percent;
    let (have, need) = (values.len(), config.loop_samples_min);
    if have < need {
        return Verdict::Insufficient(Insufficiency::TooFew { have, need });
    }
    match shortest_period(values, config.loop_period_max) {
        Some(period) if period > 1 => Verdict::Fail(finding(facts, period, config)),
        Some(_) | None => Verdict::Pass,
    }
}

/// Returns the shortest period, of at most `period_max` and of which there are two in the values.
fn shortest_period(values: &[f64], period_max: usize) -> Option<usize> {
    let most = period_max.min(values.len() / 2);
    (1..=most).find(|period| {
        let later = values.get(*period..).unwrap_or_default();
        let mut pairs = values.iter().zip(later);
        pairs.all(|(one, next)| one.to_bits() == next.to_bits())
    })
}

#[cold]
fn finding(facts: &Facts<'_>, period: usize, config: &Config) -> Finding {
    let window = facts.window;
    let n = window.cpu_usage_percent.len();
    Finding {
        kind: AnomalyKind::LoopedRecording,
        severity: Severity::High,
        summary: format!(
            "the last {n} CPU values repeat every {period} samples — telemetry seems to be a recording"
        ),
        detail: ObjectText::new().finish(),
        evidence: bounds(ObjectText::new(), window)
            .integer("samples", number::whole(n))
            .integer("period_samples", number::whole(period))
            .integer("period_max", number::whole(config.loop_period_max))
            .integer("samples_min", number::whole(config.loop_samples_min))
            .integer("rules_version", RULES_VERSION)
            .finish(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{cycle, failed, sent};

    fn judge(cpu: &[f64]) -> Verdict {
        check(&sent(cpu).view(), &Config::strict(), cycle())
    }

    fn looped(recording: &[f64], n: usize) -> Vec<f64> {
        recording.iter().copied().cycle().take(n).collect()
    }

    /// The plain form: each value is that of its place in the first period.
    fn period_by_places(values: &[f64], period_max: usize) -> Option<usize> {
        (1..=period_max)
            .filter(|p| 2 * p <= values.len())
            .find(|period| {
                let places = values.iter().enumerate();
                let bits = |i: usize| values[i].to_bits();
                places.into_iter().all(|(i, _)| bits(i) == bits(i % period))
            })
    }

    #[test]
    fn a_recording_is_found_whatever_its_length_up_to_half_an_hour() {
        let recording: Vec<f64> = (0..120_i32).map(|i| f64::from(i * i % 97) * 0.37).collect();
        for period in [2, 7, 60, 119, 120] {
            let finding = failed(judge(&looped(&recording[..period], 240)));
            let member = format!(r#""samples": 240, "period_samples": {period}, "#);
            assert!(finding.evidence.contains(&member), "{}", finding.evidence);
        }
        assert_eq!(judge(&looped(&recording, 239)), Verdict::Pass, "not twice");
    }

    #[test]
    fn one_value_off_or_a_constant_passes() {
        let mut values = looped(&[4.0, 5.0, 9.0], 240);
        values[239] = values[239].next_up();
        assert_eq!(judge(&values), Verdict::Pass);
        assert_eq!(judge(&[4.2; 240]), Verdict::Pass);
    }

    #[test]
    fn fewer_than_60_values_say_nothing() {
        let too_few = Insufficiency::TooFew { have: 59, need: 60 };
        let values = looped(&[4.0, 5.0], 60);
        assert_eq!(judge(&values[..59]), Verdict::Insufficient(too_few));
        let _ = failed(judge(&values));
    }

    proptest! {
        #[test]
        fn the_period_is_that_of_the_plain_form(
            recording in prop::collection::vec(0..3_i32, 1..20),
            n in 0..90_usize,
            broken in prop::option::of(0..90_usize),
            period_max in 0..50_usize,
        ) {
            let recording: Vec<f64> = recording.into_iter().map(f64::from).collect();
            let mut values = looped(&recording, n);
            if let Some(value) = broken.and_then(|at| values.get_mut(at)) {
                *value = 7.0;
            }
            let expected = period_by_places(&values, period_max);
            prop_assert_eq!(shortest_period(&values, period_max), expected);
        }
    }
}
