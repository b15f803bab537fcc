//! The twelve laws of the trust score, by number and name.
//!
//! Law 11, the same bits on every platform, holds because nothing but integers is used; the
//! vectors pin the bits (`trust_vectors.rs`).

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use std::collections::BTreeMap;

use kit::{Draw, NOW, any_rows, at, catalog, keys, row};
use monsys_core::{Severity, Timestamp};
use monsys_signals::trust::{Scratch, TrustScore, explain, score, what_if};
use monsys_signals::view::known_at;
use monsys_signals::{Category, Grade, SignalView};
use proptest::prelude::*;

fn score_at(rows: &[SignalView<'_>], now: Timestamp) -> TrustScore {
    score(rows, &catalog(), &mut Scratch::new(), now)
}

fn milli(rows: &[SignalView<'_>]) -> u32 {
    score_at(rows, NOW).score().get()
}

#[test]
fn law_2_no_signals_are_a_full_score_and_no_coverage() {
    let trust = score_at(&[], NOW);
    assert_eq!(trust, TrustScore::unobserved());
    assert_eq!(
        (trust.score().get(), trust.coverage().n_covered()),
        (100_000, 0)
    );
}

#[test]
fn law_10_ten_thousand_low_signals_take_less_than_5_226_of_a_hundred_points() {
    let rows: Vec<_> = keys(10_000)
        .into_iter()
        .map(|key| row("endpoint_posture", key, Severity::Low))
        .collect();
    let taken = 100_000 - milli(&rows);
    assert!((5_000..=5_226).contains(&taken), "{taken}");
}

#[test]
fn law_10_a_single_critical_signal_takes_25_points_or_the_cap() {
    for (source, category) in [
        ("integrity_check", Category::Integrity),
        ("dns_check", Category::Posture),
        ("fading_scan", Category::Vulnerability),
        ("backup_check", Category::Backup),
        ("cert_scan", Category::Certificates),
        ("clock_check", Category::Clock),
    ] {
        let trust = score_at(&[row(source, "a.a", Severity::Critical)], NOW);
        let expected = (category.cap_points() * 1_000).min(25_000);
        assert_eq!(trust.deduction(category).get(), expected);
        assert_eq!(trust.score().get(), 100_000 - expected);
    }
}

proptest! {
    #[test]
    fn law_1_a_score_lies_between_nothing_and_a_hundred_points(rows in any_rows()) {
        prop_assert!(milli(&rows) <= 100_000);
    }

    #[test]
    fn law_3_a_signal_under_a_new_key_never_raises_the_score(
        rows in any_rows(), mut new in any_rows(),
    ) {
        new.truncate(1);
        new.iter_mut().for_each(|new| new.key = "new.key");
        let before = milli(&rows);
        let after = milli(&[rows, new].concat());
        prop_assert!(after <= before);
    }

    #[test]
    fn law_3_a_worse_severity_never_raises_the_score(
        rows in any_rows(), which: prop::sample::Index, grade in prop::sample::select(&kit::GRADES),
    ) {
        prop_assume!(!rows.is_empty());
        let mut worse = rows.clone();
        // All grades of the slot, so that it is the one that counts.
        let at = which.index(rows.len());
        for row in &mut worse {
            if row.cmp_slot(&rows[at]).is_eq() {
                row.grade = row.grade.max(grade);
            }
        }
        prop_assert!(milli(&worse) <= milli(&rows));
    }

    #[test]
    fn law_4_order_and_duplicates_change_nothing(rows in any_rows(), seed: u64) {
        let mut other = [rows.clone(), rows.clone()].concat();
        Draw(seed).shuffle(&mut other);
        prop_assert_eq!(score_at(&rows, NOW), score_at(&other, NOW));
        let (mut a, mut b) = (Scratch::new(), Scratch::new());
        let explained = |contributions: &[monsys_signals::trust::Contribution], rows: &[SignalView<'_>]| {
            let plain = contributions.iter().map(|c| {
                let row = &rows[c.row];
                (row.source.to_owned(), row.key.to_owned(), c.rank, c.points, c.taken)
            });
            plain.collect::<Vec<_>>()
        };
        prop_assert_eq!(
            explained(explain(&rows, &catalog(), &mut a, NOW).contributions(), &rows),
            explained(explain(&other, &catalog(), &mut b, NOW).contributions(), &other)
        );
    }

    #[test]
    fn law_5_unmapped_sources_leave_score_and_coverage_and_are_listed(rows in any_rows()) {
        let is_mapped = |row: &SignalView<'_>| catalog().place_of(row.source).is_some();
        let (mapped, unmapped): (Vec<_>, Vec<_>) = rows.iter().partition(|row| is_mapped(row));
        prop_assert_eq!(score_at(&rows, NOW), score_at(&mapped, NOW));
        let mut scratch = Scratch::new();
        let catalog = catalog();
        let explained = explain(&rows, &catalog, &mut scratch, NOW);
        prop_assert!(explained.unmapped().iter().all(|at| !is_mapped(&rows[*at])));
        let any_live = score_sources(&unmapped);
        prop_assert_eq!(explained.unmapped().len(), any_live);
    }

    #[test]
    fn law_6_a_category_takes_at_most_its_cap_and_moves_no_other(
        rows in any_rows(), category in prop::sample::select(&Category::ALL),
    ) {
        let is_other = |row: &SignalView<'_>| {
            catalog().place_of(row.source).is_none_or(|place| place.category != category)
        };
        let others: Vec<_> = rows.iter().copied().filter(is_other).collect();
        let (all, without) = (score_at(&rows, NOW), score_at(&others, NOW));
        prop_assert!(all.deduction(category).get() <= category.cap_points() * 1_000);
        prop_assert_eq!(without.deduction(category).get(), 0);
        for other in Category::ALL.into_iter().filter(|other| *other != category) {
            prop_assert_eq!(all.deduction(other), without.deduction(other));
        }
    }

    #[test]
    fn law_7_contributions_and_score_sum_to_a_hundred_points(rows in any_rows()) {
        let mut scratch = Scratch::new();
        let explained = explain(&rows, &catalog(), &mut scratch, NOW);
        prop_assert_eq!(explained.trust(), score_at(&rows, NOW));
        let taken: u32 = explained.contributions().iter().map(|c| c.taken.get()).sum();
        prop_assert_eq!(explained.trust().score().get() + taken, 100_000);
        for category in Category::ALL {
            let own = explained.contributions().iter().filter(|c| c.category == category);
            let taken: u32 = own.clone().map(|c| c.taken.get()).sum();
            prop_assert_eq!(explained.trust().deduction(category).get(), taken);
            prop_assert!(own.clone().map(|c| c.rank).eq(1..=own.clone().count()));
            prop_assert!(own.map(|c| c.points).is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn law_8_without_new_signals_the_score_never_falls(
        rows in any_rows(), mut moments in prop::collection::vec(-5_000_i64..5_000, 2..6),
    ) {
        moments.sort_unstable();
        let scores = moments.iter().map(|s| score_at(&rows, at(*s)).score());
        prop_assert!(scores.collect::<Vec<_>>().is_sorted());
    }

    #[test]
    fn law_9_a_signal_from_the_future_counts_as_if_observed_now(rows in any_rows(), s in -5_000_i64..300) {
        let now = at(s);
        // One row a slot, because the newest counts by its own time.
        let mut one = BTreeMap::new();
        for row in &rows {
            one.insert((row.source, row.key), *row);
        }
        let rows: Vec<_> = one.into_values().collect();
        let clamp = |row: &SignalView<'static>| SignalView { observed_at: row.observed_at.min(now), ..*row };
        let clamped: Vec<_> = rows.iter().map(clamp).collect();
        prop_assert_eq!(score_at(&rows, now), score_at(&clamped, now));
    }

    #[test]
    fn law_12_the_history_replayed_at_a_past_moment_gives_the_score_of_that_moment(
        mut rows in any_rows(), cuts in prop::collection::vec(0_i64..4_000, 1..5), seed: u64,
    ) {
        rows.sort_by_key(|row| row.observed_at);
        for (arrival, row) in (0..).zip(&mut rows) {
            row.arrival = arrival;
        }
        let mut history = rows.clone();
        Draw(seed).shuffle(&mut history);
        for cut in cuts {
            let now = at(-cut);
            // The current table as a store keeps it, one row a slot and no arrivals.
            let mut current = BTreeMap::new();
            for row in rows.iter().filter(|row| row.observed_at <= now) {
                current.insert((row.source, row.key), SignalView { arrival: 0, ..*row });
            }
            let stored: Vec<_> = current.into_values().collect();
            let known: Vec<_> = known_at(history.iter().copied(), now).collect();
            prop_assert_eq!(score_at(&stored, now), score_at(&known, now));
        }
    }

    #[test]
    fn what_if_is_the_score_with_those_findings_at_no_weight(rows in any_rows(), seed: u64) {
        let mut draw = Draw(seed);
        let fixed = [draw.of(&kit::KEYS), draw.of(&kit::KEYS)];
        let is_fixed = |row: &SignalView<'_>| fixed.contains(&row.key);
        let weightless = |row: &SignalView<'static>| match is_fixed(row) {
            true => SignalView { grade: Grade::Ungraded, ..*row },
            false => *row,
        };
        // The row that counts is chosen before its grade goes.
        let newest: Vec<_> = newest(&rows).iter().map(weightless).collect();
        let guessed = what_if(&rows, is_fixed, &catalog(), &mut Scratch::new(), NOW);
        prop_assert_eq!(guessed, score_at(&newest, NOW));
        prop_assert!(guessed.score() >= score_at(&rows, NOW).score());
    }

    #[test]
    fn an_unknown_severity_weighs_nothing_covers_and_is_listed(rows in any_rows()) {
        let mut scratch = Scratch::new();
        let known = |row: &SignalView<'static>| match row.grade {
            Grade::Unknown => SignalView { grade: Grade::Graded(Severity::Info), ..*row },
            Grade::Ungraded | Grade::Graded(_) => *row,
        };
        let rows = newest(&rows);
        let expected: Vec<_> = (0..rows.len())
            .filter(|at| rows[*at].grade == Grade::Unknown && rows[*at].is_live(NOW))
            .collect();
        let renamed: Vec<_> = rows.iter().map(known).collect();
        prop_assert_eq!(score_at(&rows, NOW), score_at(&renamed, NOW));
        let catalog = catalog();
        prop_assert_eq!(explain(&rows, &catalog, &mut scratch, NOW).unknown(), expected);
    }
}

/// One row a slot, in order: the newest, then the later arrival, the worse, the longer.
fn newest(rows: &[SignalView<'static>]) -> Vec<SignalView<'static>> {
    let mut newest: BTreeMap<_, SignalView<'static>> = BTreeMap::new();
    let ttl = |row: &SignalView<'_>| row.ttl_seconds.unwrap_or(i64::MAX);
    let rank = |row: &SignalView<'_>| (row.observed_at, row.arrival, row.grade, ttl(row));
    for row in rows {
        let best = newest.entry((row.source, row.key)).or_insert(*row);
        if rank(row) > rank(best) {
            *best = *row;
        }
    }
    newest.into_values().collect()
}

fn score_sources(rows: &[SignalView<'static>]) -> usize {
    let rows = newest(rows);
    rows.iter().filter(|row| row.is_live(NOW)).count()
}
