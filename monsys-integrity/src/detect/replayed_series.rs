//! A stretch of values repeats an earlier one bit by bit. Opt-in.
//!
//! What: in the window there are two stretches of 20 values that do not overlap, equal bit by bit,
//! with at least 6 different values. What not: the same stretch in another hour, or of another
//! agent ([`duplicate_feed`](super::duplicate_feed)). Cost: for n samples n²/40 comparisons of
//! one value each (1,440 for an hour of honest data), no allocation. A stretch of 20 holds exactly
//! one place whose number is a multiple of 20, so only values there are looked for, and the
//! neighbourhood is read where one is found. A flood of [`WINDOW_SAMPLES_MAX`] values costs some
//! millions of comparisons.
//!
//! False positives: 0 of 11 Numenta series, also when rounded to a decimal or to integers, and 0 of
//! 1,958 PlanetLab series; stretches of 10 would fire in up to 1.5 % of genuine windows, and without
//! the floor of 6 different values 3.7 % at one decimal would (notes §3.2). An honest agent trips it when it
//! sends its backlog a second time under new positions, as after a restored machine image. An
//! attacker passes it by a recording longer than the window, or by noise in the last digit.
//!
//! [`WINDOW_SAMPLES_MAX`]: monsys_core::limit::WINDOW_SAMPLES_MAX

use alloc::format;
use core::cell::OnceCell;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::{RULES_VERSION, bounds};
use crate::config::Config;
use crate::cycle::Cycle;
use crate::number;

/// Judges whether a stretch of the window was there before.
pub fn check(facts: &Facts<'_>, config: &Config, _cycle: Cycle) -> Verdict {
    let values = facts.window.cpu_usage_percent;
    let block = config.replay_block.max(1);
    let (have, need) = (values.len(), block.saturating_mul(2));
    if have < need {
        return Verdict::Insufficient(Insufficiency::TooFew { have, need });
    }
    match find_repeat(values, block, config.replay_distinct_min) {
        None => Verdict::Pass,
        Some(repeat) => Verdict::Fail(finding(facts, repeat, config)),
    }
}

/// Where two equal stretches begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repeat {
    earlier: usize,
    later: usize,
}

/// Finds two equal stretches of `block` values, at least `block` apart, that hold `distinct_min`
/// different values.
fn find_repeat(values: &[f64], block: usize, distinct_min: usize) -> Option<Repeat> {
    let mut anchors = (0..values.len()).step_by(block);
    anchors.find_map(|anchor| {
        let wanted = values.get(anchor)?.to_bits();
        let first = anchor + block;
        let mut later = values.get(first..)?.iter().zip(first..);
        let is_rich = is_rich_around(values, anchor, block, distinct_min);
        later.find_map(|(value, at)| {
            if value.to_bits() != wanted || !is_rich() {
                return None;
            }
            repeat_around(values, (anchor, at), (block, distinct_min))
        })
    })
}

/// Asks, once it matters, whether the values around an anchor differ enough that a stretch among
/// them can: of a still series no place is read twice.
fn is_rich_around(
    values: &[f64],
    anchor: usize,
    block: usize,
    distinct_min: usize,
) -> impl Fn() -> bool + '_ {
    let known = OnceCell::new();
    move || {
        *known.get_or_init(|| {
            let start = (anchor + 1).saturating_sub(block);
            let end = values.len().min(anchor.saturating_add(block));
            has_distinct(values.get(start..end).unwrap_or_default(), distinct_min)
        })
    }
}

/// Reads how far the neighbourhoods of two equal values are equal, and takes the first stretch of
/// them that differs enough in itself.
fn repeat_around(
    values: &[f64],
    (anchor, at): (usize, usize),
    (block, distinct_min): (usize, usize),
) -> Option<Repeat> {
    let is_equal = |(one, other): &(&f64, &f64)| one.to_bits() == other.to_bits();
    let (before, after) = (values.get(..anchor)?, values.get(anchor..)?);
    let (at_before, at_after) = (values.get(..at)?, values.get(at..)?);
    let back = before.iter().rev().zip(at_before.iter().rev());
    let n_back = back.take(block - 1).take_while(is_equal).count();
    let forth = after.iter().zip(at_after);
    let n_forth = forth.take(block).take_while(is_equal).count();
    let n_starts = (n_back + n_forth + 1).checked_sub(block)?;
    let (earlier, later) = (anchor - n_back, at - n_back);
    let mut starts = 0..n_starts;
    let skipped = starts.find(|skip| {
        let start = earlier + skip;
        let stretch = values.get(start..start + block).unwrap_or_default();
        has_distinct(stretch, distinct_min)
    })?;
    Some(Repeat {
        earlier: earlier + skipped,
        later: later + skipped,
    })
}

/// Tells whether there are at least `least` different values; reads no further than needed.
pub(crate) fn has_distinct(values: &[f64], least: usize) -> bool {
    let bits = |value: &f64| value.to_bits();
    let is_new = |(i, value): &(usize, &f64)| {
        let before = values.get(..*i).unwrap_or_default();
        before.iter().all(|other| bits(other) != bits(value))
    };
    let new = values.iter().enumerate().filter(is_new);
    new.take(least).count() == least
}

#[cold]
fn finding(facts: &Facts<'_>, repeat: Repeat, config: &Config) -> Finding {
    let window = facts.window;
    let values = window.cpu_usage_percent;
    let n = values.len();
    let apart = repeat.later - repeat.earlier;
    let pairs = values.get(repeat.earlier..).unwrap_or_default();
    let n_equal = pairs
        .iter()
        .zip(values.get(repeat.later..).unwrap_or_default())
        .take_while(|(one, other)| one.to_bits() == other.to_bits())
        .count();
    Finding {
        kind: AnomalyKind::ReplayedSeries,
        severity: Severity::High,
        summary: format!(
            "{n_equal} CPU values repeat those of {apart} samples before bit by bit — telemetry \
             seems to be replayed"
        ),
        detail: ObjectText::new().finish(),
        evidence: bounds(ObjectText::new(), window)
            .integer("samples", number::whole(n))
            .integer("equal", number::whole(n_equal))
            .integer("earlier_samples_ago", number::whole(n - 1 - repeat.earlier))
            .integer("later_samples_ago", number::whole(n - 1 - repeat.later))
            .number(
                "first_value",
                values.get(repeat.earlier).copied().unwrap_or_default(),
            )
            .integer("block", number::whole(config.replay_block))
            .integer("distinct_min", number::whole(config.replay_distinct_min))
            .integer("rules_version", RULES_VERSION)
            .finish(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{cycle, failed, sent};

    fn judge(cpu: &[f64]) -> Verdict {
        check(&sent(cpu).view(), &Config::strict(), cycle())
    }

    /// Values of which no two are equal.
    fn moving(n: usize) -> Vec<f64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f64::from(u32::try_from(state >> 32).unwrap()) / 4e7
        };
        (0..n).map(|_| next()).collect()
    }

    /// The plain form: every pair of places, compared value by value.
    fn is_repeated_by_pairs(values: &[f64], block: usize, distinct_min: usize) -> bool {
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        let blocks: Vec<&[u64]> = bits.windows(block).collect();
        let is_rich = |block: &[u64]| {
            let distinct: std::collections::BTreeSet<_> = block.iter().collect();
            distinct.len() >= distinct_min
        };
        (0..blocks.len()).any(|i| {
            let later = blocks.iter().skip(i + block);
            is_rich(blocks[i]) && later.into_iter().any(|other| *other == blocks[i])
        })
    }

    #[test]
    fn a_stretch_of_20_played_again_is_found_wherever_it_stands() {
        for (from, to) in [(0, 20), (0, 220), (33, 101), (57, 77), (200, 220)] {
            let mut values = moving(240);
            assert_eq!(judge(&values), Verdict::Pass);
            values.copy_within(from..from + 20, to);
            let finding = failed(judge(&values));
            let member = format!(
                r#""equal": 20, "earlier_samples_ago": {}, "later_samples_ago": {}, "#,
                239 - from,
                239 - to
            );
            assert!(finding.evidence.contains(&member), "{}", finding.evidence);
        }
    }

    #[test]
    fn nineteen_values_or_five_different_ones_pass() {
        let mut values = moving(240);
        values.copy_within(40..59, 140);
        assert_eq!(judge(&values), Verdict::Pass);
        let mut idle = moving(240);
        for i in 0..20 {
            let value = f64::from(u32::try_from(i % 5).unwrap());
            idle[50 + i] = value;
            idle[150 + i] = value;
        }
        assert_eq!(judge(&idle), Verdict::Pass);
        idle[57] = 50.0;
        idle[157] = 50.0;
        let _ = failed(judge(&idle));
    }

    #[test]
    fn stretches_that_overlap_are_no_replay() {
        let mut values = moving(60);
        let period = moving(19);
        for i in 0..39 {
            values[i] = period[i % 19];
        }
        assert_eq!(judge(&values), Verdict::Pass, "19 apart, 20 long");
    }

    #[test]
    fn fewer_than_two_stretches_say_nothing() {
        let too_few = Insufficiency::TooFew { have: 39, need: 40 };
        assert_eq!(judge(&moving(39)), Verdict::Insufficient(too_few));
        assert_eq!(judge(&moving(40)), Verdict::Pass);
    }

    #[test]
    fn a_constant_and_a_flood_of_two_values_pass() {
        assert_eq!(judge(&[4.2; 240]), Verdict::Pass);
        let two: Vec<f64> = (0..4_096_u32)
            .map(|i| f64::from(i.count_ones() % 2))
            .collect();
        assert!(find_repeat(&two, 20, 6).is_none());
        assert!(find_repeat(&vec![0.0; 8_192], 20, 6).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn the_verdict_is_that_of_the_plain_form(
            values in prop::collection::vec(0..3_i32, 0..60),
            copied in (0..60_usize, 0..60_usize, 0..20_usize),
            block in 1..9_usize,
            distinct_min in 0..5_usize,
        ) {
            let mut values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let (from, to, length) = copied;
            if from + length <= values.len() && to + length <= values.len() {
                values.copy_within(from..from + length, to);
            }
            let repeat = find_repeat(&values, block, distinct_min);
            let expected = is_repeated_by_pairs(&values, block, distinct_min);
            prop_assert_eq!(repeat.is_some(), expected);
            if let Some(Repeat { earlier, later }) = repeat {
                prop_assert!(later >= earlier + block);
                prop_assert_eq!(&values[earlier..earlier + block], &values[later..later + block]);
                prop_assert!(has_distinct(&values[earlier..earlier + block], distinct_min));
            }
        }
    }
}
