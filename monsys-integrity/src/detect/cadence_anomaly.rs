//! Payloads come too often or too rarely.
//!
//! What: the median gap between successive metrics payloads of the last hour, by the hub's receive
//! times, is below 7 s or above 23 s; exactly 7 and 23 pass, to the microsecond (integrity
//! document). A gap with a backlog payload at either end is left out: draining a spool is no
//! cadence (decision 17). Fewer than 20 gaps say nothing (decision 16).
//!
//! What not: silence; an agent that sends nothing has no gaps. Cost: half a pass for an honest
//! agent, none where the gaps were counted as they came, otherwise three and a fourth when exactly half of an even number of gaps lie beyond a
//! bound; it looks for the median only for the evidence of a finding.
//!
//! An honest agent trips it when it was configured to another interval, or when more than half of
//! its payloads are lost. A suspended laptop does not: one long gap moves no median. An attacker
//! passes it by sending on time; two clones of one agent pass when they send in step (a median near
//! 7.5 s), three do not.

use alloc::format;
use alloc::string::String;

use monsys_core::anomaly::Finding;
use monsys_core::facts::{Facts, WindowView};
use monsys_core::json::ObjectText;
use monsys_core::time::Span;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, bounds};
use crate::config::Config;
use crate::cycle::Cycle;
use crate::median::{Counts, Place, is_surely_within, n_enough};
use crate::{median, number};

/// Judges the cadence by the gaps of the window.
pub fn check(facts: &Facts<'_>, config: &Config, _cycle: Cycle) -> Verdict {
    let gaps_us = facts.window.gaps_us;
    let (low, high) = (
        whole_us(config.cadence_gap_low),
        whole_us(config.cadence_gap_high),
    );
    let need = config.cadence_gaps_min;
    let is_within = match facts.window.gap_count {
        Some(count) if (count.low_us, count.high_us) == (low, high) => {
            count.n_within >= n_enough(gaps_us.len(), need)
        }
        _ => is_surely_within(gaps_us, low, high, need),
    };
    if is_within {
        return Verdict::Pass;
    }
    let counts = Counts::of(gaps_us, low, high);
    if counts.n() < config.cadence_gaps_min {
        return Verdict::Insufficient(Insufficiency::TooFew {
            have: counts.n(),
            need: config.cadence_gaps_min,
        });
    }
    match counts.place(gaps_us) {
        Place::Within => Verdict::Pass,
        Place::Below | Place::Above => Verdict::Fail(finding(facts.window, config)),
    }
}

/// A bound as the gaps are held: in microseconds, at most [`i32::MAX`] (35 min 47 s).
fn whole_us(bound: Span) -> i32 {
    let us = bound.micros().clamp(-1, i64::from(i32::MAX));
    i32::try_from(us).unwrap_or(i32::MAX)
}

#[cold]
fn finding(window: WindowView<'_>, config: &Config) -> Finding {
    let mut live = window.gaps_us.to_vec();
    live.retain(|gap| *gap >= 0);
    let median_ms = number::from_i128(median::doubled(&mut live).unwrap_or_default()) / 2_000.0;
    Finding {
        kind: AnomalyKind::CadenceAnomaly,
        severity: Severity::Medium,
        summary: format!(
            "a payload every {} s at the median over the last hour, expected {} to {} s",
            seconds(median_ms),
            seconds(span_ms(config.cadence_gap_low)),
            seconds(span_ms(config.cadence_gap_high)),
        ),
        detail: ObjectText::new().finish(),
        evidence: evidence(window, &live, median_ms, config),
    }
}

fn evidence(window: WindowView<'_>, live: &[i32], median_ms: f64, config: &Config) -> String {
    let n_left_out = window.gaps_us.len().saturating_sub(live.len());
    let ms = |us: Option<&i32>| span_ms(Span::from_micros(us.copied().unwrap_or_default().into()));
    bounds(ObjectText::new(), window)
        .integer("gaps", number::whole(live.len()))
        .integer("gaps_next_to_backlog", number::whole(n_left_out))
        .number("median_ms", median_ms)
        .number("min_ms", ms(live.iter().min()))
        .number("max_ms", ms(live.iter().max()))
        .integer("gaps_min", number::whole(config.cadence_gaps_min))
        .number("threshold_low_ms", span_ms(config.cadence_gap_low))
        .number("threshold_high_ms", span_ms(config.cadence_gap_high))
        .integer("rules_version", RULES_VERSION)
        .finish()
}

fn span_ms(span: Span) -> f64 {
    number::from_i64(span.micros()) / 1_000.0
}

/// Seconds for people, to the millisecond and without needless zeros.
fn seconds(ms: f64) -> String {
    let text = format!("{:.3}", ms / 1_000.0);
    String::from(text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use monsys_core::facts::{AgentFacts, MetricRow, MetricWindow, WindowBounds};

    use super::*;
    use crate::fixture::{NOW, cycle, failed, unknown, window_with_gaps};

    fn judge(window: MetricWindow) -> Verdict {
        let facts = AgentFacts {
            window,
            ..unknown()
        };
        check(&facts.view(), &Config::standard(), cycle())
    }

    /// Rows received so many microseconds before [`NOW`].
    fn received(rows: impl IntoIterator<Item = (i64, bool)>) -> MetricWindow {
        let rows = rows.into_iter().map(|(micros_ago, is_spooled)| MetricRow {
            received_at: NOW.saturating_sub(Span::from_micros(micros_ago)),
            cpu_usage_percent: 1.0,
            is_spooled,
        });
        MetricWindow::from_rows(WindowBounds::hour_before(NOW), rows)
    }

    /// The plain form: collect, sort, take the middle, compare.
    fn is_off_by_sorting(gaps_ms: &[i64]) -> bool {
        let mut gaps_ms = gaps_ms.to_vec();
        gaps_ms.sort_unstable();
        let twice = gaps_ms[(gaps_ms.len() - 1) / 2] + gaps_ms[gaps_ms.len() / 2];
        !(14_000..=46_000).contains(&twice)
    }

    #[test]
    fn the_bounds_pass_and_one_millisecond_beyond_fails_for_odd_and_even_counts() {
        for n in [20, 21, 100, 101] {
            for (gap, passes) in [
                (6_999, false),
                (7_000, true),
                (15_000, true),
                (23_000, true),
                (23_001, false),
            ] {
                let verdict = judge(window_with_gaps(&vec![gap; n]));
                assert_eq!(matches!(verdict, Verdict::Pass), passes, "{gap} ms × {n}");
                assert_eq!(
                    matches!(verdict, Verdict::Fail(_)),
                    !passes,
                    "{gap} ms × {n}"
                );
            }
        }
    }

    #[test]
    fn an_even_number_takes_the_sum_of_the_middle_two() {
        let halves = |low, high| [[low; 10], [high; 10]].concat();
        assert_eq!(
            judge(window_with_gaps(&halves(6_999, 7_001))),
            Verdict::Pass
        );
        assert_eq!(judge(window_with_gaps(&halves(1, 13_999))), Verdict::Pass);
        let _ = failed(judge(window_with_gaps(&halves(6_999, 7_000))));
        assert_eq!(
            judge(window_with_gaps(&halves(22_999, 23_001))),
            Verdict::Pass
        );
        let _ = failed(judge(window_with_gaps(&halves(23_000, 23_001))));
    }

    #[test]
    fn the_bounds_hold_to_the_microsecond() {
        for (micros, passes) in [
            (6_999_999, false),
            (7_000_000, true),
            (23_000_000, true),
            (23_000_001, false),
        ] {
            let window = received((0..=20).rev().map(|i| (i * micros, false)));
            assert_eq!(matches!(judge(window), Verdict::Pass), passes, "{micros}");
        }
    }

    #[test]
    fn nineteen_gaps_are_too_few() {
        let too_few = Verdict::Insufficient(Insufficiency::TooFew { have: 19, need: 20 });
        assert_eq!(judge(window_with_gaps(&[1_000; 19])), too_few);
        let nothing = Verdict::Insufficient(Insufficiency::TooFew { have: 0, need: 20 });
        assert_eq!(judge(received([])), nothing);
        assert_eq!(judge(received([(0, false)])), nothing);
    }

    #[test]
    fn gaps_at_either_end_of_a_backlog_are_left_out() {
        let live = (0..=120).map(|i| (i * 15_000_000, false));
        let drained = (1..=400).map(|i| (900_000_000 - i * 10_000, true));
        let mut rows: Vec<_> = live.chain(drained).collect();
        rows.sort_by_key(|(micros_ago, _)| -micros_ago);
        assert_eq!(judge(received(rows.clone())), Verdict::Pass);
        let as_if = |is_spooled| rows.iter().map(move |(ago, _)| (*ago, is_spooled));
        let _ = failed(judge(received(as_if(false))));
        let too_few = Verdict::Insufficient(Insufficiency::TooFew { have: 0, need: 20 });
        assert_eq!(judge(received(as_if(true))), too_few);
    }

    #[test]
    fn one_long_gap_moves_no_median() {
        let mut gaps = [15_000; 60];
        gaps[30] = 1_800_000;
        assert_eq!(judge(window_with_gaps(&gaps)), Verdict::Pass);
    }

    #[test]
    fn gaps_older_than_the_window_do_not_count() {
        let mut gaps = vec![1_000; 200];
        gaps.extend([3_599_999 / 30; 30]);
        let finding = failed(judge(window_with_gaps(&gaps)));
        assert!(
            finding.evidence.contains(r#""gaps": 30, "#),
            "{}",
            finding.evidence
        );
    }

    #[test]
    fn the_finding_shows_the_numbers() {
        let finding = failed(judge(window_with_gaps(&[3_000; 40])));
        assert_eq!(finding.severity, Severity::Medium);
        assert_eq!(
            finding.summary,
            "a payload every 3 s at the median over the last hour, expected 7 to 23 s"
        );
        assert_eq!(finding.detail, "{}");
        assert_eq!(
            finding.evidence,
            "{\"window_from\": \"2026-05-09T21:03:40.000000Z\", \
             \"window_to\": \"2026-05-09T22:03:40.000000Z\", \
             \"first_received_at\": \"2026-05-09T22:01:40.000000Z\", \
             \"last_received_at\": \"2026-05-09T22:03:40.000000Z\", \
             \"gaps\": 40, \"gaps_next_to_backlog\": 0, \"median_ms\": 3000.0, \
             \"min_ms\": 3000.0, \"max_ms\": 3000.0, \"gaps_min\": 20, \"threshold_low_ms\": 7000.0, \
             \"threshold_high_ms\": 23000.0, \"rules_version\": 1}"
        );
    }

    #[test]
    fn seconds_are_written_without_needless_zeros() {
        for (ms, text) in [
            (3_000.0, "3"),
            (3_012.4, "3.012"),
            (100_000.0, "100"),
            (0.2, "0"),
        ] {
            assert_eq!(seconds(ms), text);
        }
    }

    proptest! {
        #[test]
        fn counting_agrees_with_sorting_in_milliseconds(
            gaps_ms in prop::collection::vec(
                prop_oneof![6_990_i64..7_010, 22_990_i64..23_010, 0_i64..40_000],
                20..90,
            ),
        ) {
            let verdict = judge(window_with_gaps(&gaps_ms));
            prop_assert_eq!(matches!(verdict, Verdict::Fail(_)), is_off_by_sorting(&gaps_ms));
        }
    }
}
