//! The device clock is off.
//!
//! What: over the newest 20 metrics in receive order, however old, the mean of |captured −
//! received| is above 300,000 ms (integrity document). It is decided in integers: Σ > 300,000 · 20,
//! each difference cut towards zero to the millisecond, so that 300,000.999 ms counts as 300,000. A
//! reading from a known backlog is measured by its sending (|sent − received|), because its age is
//! no fault of the clock (decision 15). "Server now" of the document is the receive time of that
//! very metric; the time of the cycle would make every silent agent a drifting one.
//!
//! What not: which clock is wrong. The hub's is the reference; whoever also holds the hub passes
//! (integrity document, Limitations). Cost: 20 subtractions.
//!
//! An honest agent trips it with a wrong time zone written as UTC, a dead clock battery, or a
//! single reading off by more than 6,000 s: the mean is the document's, though not robust
//! (decision 14; median and extremes stand in the evidence). An attacker passes it by staying within five
//! minutes, or by stamping what the hub's clock says.

use alloc::format;
use alloc::string::String;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::RULES_VERSION;
use crate::config::Config;
use crate::cycle::Cycle;
use crate::{median, number};

/// Judges the clock by the newest readings.
pub fn check(facts: &Facts<'_>, config: &Config, _cycle: Cycle) -> Verdict {
    let need = config.clock_readings;
    let have = facts.clock.offsets_ms.len();
    let newest = have
        .checked_sub(need)
        .and_then(|older| facts.clock.offsets_ms.get(older..));
    let Some(offsets_ms) = newest else {
        return Verdict::Insufficient(Insufficiency::TooFew { have, need });
    };
    let sum_abs_ms = sum_abs(offsets_ms);
    if sum_abs_ms > allowed_ms(offsets_ms, config) {
        Verdict::Fail(finding(facts, offsets_ms, sum_abs_ms, config))
    } else {
        Verdict::Pass
    }
}

fn sum_abs(offsets_ms: &[i64]) -> i128 {
    offsets_ms
        .iter()
        .map(|ms| i128::from(ms.unsigned_abs()))
        .sum()
}

fn allowed_ms(offsets_ms: &[i64], config: &Config) -> i128 {
    let n = i128::try_from(offsets_ms.len()).unwrap_or(i128::MAX);
    i128::from(config.clock_drift_ms_max).saturating_mul(n)
}

#[cold]
fn finding(facts: &Facts<'_>, offsets_ms: &[i64], sum_abs_ms: i128, config: &Config) -> Finding {
    let mean_abs_ms = number::from_i128(sum_abs_ms) / number::from_count(offsets_ms.len());
    Finding {
        kind: AnomalyKind::ClockDrift,
        severity: Severity::High,
        summary: format!(
            "clock off by {:.0} s on average over the last {} metrics",
            mean_abs_ms / 1_000.0,
            offsets_ms.len()
        ),
        detail: ObjectText::new().finish(),
        evidence: evidence(facts, offsets_ms, mean_abs_ms, config),
    }
}

fn evidence(facts: &Facts<'_>, offsets_ms: &[i64], mean_abs_ms: f64, config: &Config) -> String {
    let sum_ms: i128 = offsets_ms.iter().map(|ms| i128::from(*ms)).sum();
    let doubled_median_ms = median::doubled(&mut offsets_ms.to_vec()).unwrap_or_default();
    let held = |ms: Option<&i64>| ms.copied().unwrap_or_default();
    ObjectText::new()
        .integer("samples", number::whole(offsets_ms.len()))
        .number("mean_abs_ms", mean_abs_ms)
        .number(
            "mean_ms",
            number::from_i128(sum_ms) / number::from_count(offsets_ms.len()),
        )
        .number("median_ms", number::from_i128(doubled_median_ms) / 2.0)
        .integer("min_ms", held(offsets_ms.iter().min()))
        .integer("max_ms", held(offsets_ms.iter().max()))
        .integer("spooled", number::whole(facts.clock.n_spooled))
        .integer("threshold_ms", config.clock_drift_ms_max)
        .integer("rules_version", RULES_VERSION)
        .finish()
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use monsys_core::facts::{AgentFacts, ClockFacts, ClockReading};
    use monsys_core::time::{Span, Timestamp};

    use super::*;
    use crate::fixture::{NOW, at, clock_of, cycle, failed, unknown};

    fn judge(clock: Vec<ClockReading>) -> Verdict {
        let facts = AgentFacts {
            clock: ClockFacts::from_readings(clock),
            ..unknown()
        };
        check(&facts.view(), &Config::standard(), cycle())
    }

    #[test]
    fn the_evidence_has_mean_median_least_and_greatest_in_whatever_order_they_came() {
        let mut offsets_ms = [400_000; 20];
        offsets_ms[3] = 900_000;
        offsets_ms[7] = -500_000;
        let finding = failed(judge(clock_of(&offsets_ms)));
        let expected = "{\"samples\": 20, \"mean_abs_ms\": 430000.0, \"mean_ms\": 380000.0, \
                        \"median_ms\": 400000.0, \"min_ms\": -500000, \"max_ms\": 900000, ";
        assert!(
            finding.evidence.starts_with(expected),
            "{}",
            finding.evidence
        );
    }

    #[test]
    fn a_mean_of_300_000_ms_passes_and_of_300_001_ms_fails() {
        for sign in [1, -1] {
            assert_eq!(judge(clock_of(&[299_999 * sign; 20])), Verdict::Pass);
            assert_eq!(judge(clock_of(&[300_000 * sign; 20])), Verdict::Pass);
            let _ = failed(judge(clock_of(&[300_001 * sign; 20])));
        }
    }

    #[test]
    fn one_millisecond_in_the_sum_decides() {
        let mut offsets = [300_000; 20];
        *offsets.last_mut().unwrap() = -300_001;
        let _ = failed(judge(clock_of(&offsets)));
        *offsets.first_mut().unwrap() = 299_999;
        assert_eq!(judge(clock_of(&offsets)), Verdict::Pass);
    }

    #[test]
    fn parts_of_a_millisecond_are_cut_off() {
        let reading = |micros: i64| ClockReading {
            captured_at: NOW.saturating_add(Span::from_micros(micros)),
            sent_at: NOW,
            received_at: NOW,
            is_spooled: false,
        };
        for sign in [1, -1] {
            assert_eq!(judge(vec![reading(300_000_999 * sign); 20]), Verdict::Pass);
            let _ = failed(judge(vec![reading(300_001_000 * sign); 20]));
        }
    }

    #[test]
    fn nineteen_readings_are_too_few_and_the_newest_twenty_decide() {
        let too_few = Insufficiency::TooFew { have: 19, need: 20 };
        assert_eq!(
            judge(clock_of(&[400_000; 19])),
            Verdict::Insufficient(too_few)
        );
        let mut older_wrong = vec![9_000_000; 30];
        older_wrong.extend([0; 20]);
        assert_eq!(judge(clock_of(&older_wrong)), Verdict::Pass);
        let mut newest_wrong = vec![0; 30];
        newest_wrong.extend([9_000_000; 20]);
        let _ = failed(judge(clock_of(&newest_wrong)));
    }

    #[test]
    fn a_backlog_is_measured_by_its_sending() {
        let spooled = ClockReading {
            captured_at: at(-86_400_000),
            sent_at: at(-40),
            received_at: NOW,
            is_spooled: true,
        };
        assert_eq!(judge(vec![spooled; 20]), Verdict::Pass);
        let live = ClockReading {
            is_spooled: false,
            ..spooled
        };
        let _ = failed(judge(vec![live; 20]));
        let wrong_clock = ClockReading {
            sent_at: at(-360_000),
            ..spooled
        };
        assert!(
            failed(judge(vec![wrong_clock; 20]))
                .evidence
                .contains(r#""spooled": 20"#)
        );
    }

    #[test]
    fn the_finding_says_how_far_and_which_way() {
        let mut offsets = [-360_000; 20];
        *offsets.first_mut().unwrap() = 360_020;
        let finding = failed(judge(clock_of(&offsets)));
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(
            finding.summary,
            "clock off by 360 s on average over the last 20 metrics"
        );
        assert_eq!(finding.detail, "{}");
        assert_eq!(
            finding.evidence,
            "{\"samples\": 20, \"mean_abs_ms\": 360001.0, \"mean_ms\": -323999.0, \
             \"median_ms\": -360000.0, \"min_ms\": -360000, \"max_ms\": 360020, \
             \"spooled\": 0, \"threshold_ms\": 300000, \"rules_version\": 1}"
        );
    }

    #[test]
    fn clocks_at_the_ends_of_history_do_not_overflow() {
        for (captured_at, received_at) in [
            (Timestamp::MIN, Timestamp::MAX),
            (Timestamp::MAX, Timestamp::MIN),
        ] {
            let reading = ClockReading {
                captured_at,
                sent_at: NOW,
                received_at,
                is_spooled: false,
            };
            let _ = failed(judge(vec![reading; 20]));
        }
    }
}
