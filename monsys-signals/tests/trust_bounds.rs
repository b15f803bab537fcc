//! The trust score at its edges: bounded time, no overflow, and the laws hold.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::{Draw, NOW, at, catalog, keys, row};
use monsys_core::limit::{FIXES_MAX, SIGNAL_TTL_S_MAX};
use monsys_core::{Severity, Timestamp};
use monsys_signals::trust::{
    FixError, MilliPoints, Scratch, explain, score, smallest_fix, what_if,
};
use monsys_signals::{Grade, SignalView};

fn milli(rows: &[SignalView<'_>], now: Timestamp) -> u32 {
    let mut scratch = Scratch::new();
    let trust = score(rows, &catalog(), &mut scratch, now);
    let catalog = catalog();
    let explained = explain(rows, &catalog, &mut scratch, now);
    let taken: u32 = explained
        .contributions()
        .iter()
        .map(|c| c.taken.get())
        .sum();
    assert_eq!(explained.trust(), trust);
    assert_eq!(trust.score().get() + taken, 100_000);
    trust.score().get()
}

#[test]
fn overlapping_and_duplicate_rows_count_once_and_the_newest_counts() {
    let old = row("backup_check", "a.a", Severity::High);
    let new = SignalView {
        observed_at: at(1),
        grade: Grade::Graded(Severity::Low),
        ..old
    };
    assert_eq!(milli(&[old, old, old], at(1)), milli(&[old], at(1)));
    assert_eq!(milli(&[old, new], at(1)), 98_000);
    assert_eq!(milli(&[new, old, new], at(1)), 98_000);
    // A newer row that has expired still hides the older one, as in the current table.
    let short = SignalView {
        ttl_seconds: Some(1),
        ..new
    };
    assert_eq!(milli(&[old, short], at(2)), 100_000);
}

#[test]
fn of_rows_observed_at_one_moment_the_later_arrival_counts_then_the_worse() {
    let low = SignalView {
        arrival: 2,
        ..row("backup_check", "a.a", Severity::Low)
    };
    let high = SignalView {
        arrival: 1,
        ..row("backup_check", "a.a", Severity::High)
    };
    assert_eq!(milli(&[low, high], NOW), 98_000);
    assert_eq!(milli(&[high, low], NOW), 98_000);
    let equal = SignalView { arrival: 2, ..high };
    assert_eq!(milli(&[low, equal], NOW), 90_000);
    assert_eq!(milli(&[equal, low], NOW), 90_000);
}

#[test]
fn now_may_lie_before_every_row_and_at_the_ends_of_time() {
    let mut rows = Draw(9).rows(200);
    rows.iter_mut()
        .for_each(|row| row.subject = kit::subject(0));
    for now in [at(-1_000_000), Timestamp::MIN, Timestamp::MAX] {
        assert!(milli(&rows, now) <= 100_000);
    }
    let early = milli(&rows, Timestamp::MIN);
    let clamped: Vec<_> = rows.iter().map(|row| row.observed_at).collect();
    assert!(early <= milli(&rows, *clamped.iter().max().unwrap()));
    for observed_at in [Timestamp::MIN, Timestamp::MAX] {
        let edge = SignalView {
            observed_at,
            ..row("fading_scan", "a.a", Severity::Critical)
        };
        assert_eq!(milli(&[edge], NOW), 85_000);
    }
}

#[test]
fn a_time_to_live_at_its_bound_fades_without_overflow() {
    let long = |ttl: i64| SignalView {
        ttl_seconds: Some(ttl),
        ..row("fading_scan", "a.a", Severity::High)
    };
    assert_eq!(milli(&[long(SIGNAL_TTL_S_MAX)], NOW), 88_000);
    assert_eq!(
        milli(&[long(SIGNAL_TTL_S_MAX)], at(SIGNAL_TTL_S_MAX / 2)),
        94_000
    );
    assert_eq!(
        milli(&[long(SIGNAL_TTL_S_MAX)], at(SIGNAL_TTL_S_MAX - 1)),
        100_000
    );
    assert_eq!(milli(&[long(i64::MAX)], at(SIGNAL_TTL_S_MAX / 2)), 94_000);
    assert_eq!(milli(&[long(i64::MIN)], NOW), 88_000);
    assert_eq!(milli(&[long(0)], at(1)), 100_000);
}

#[test]
fn unknown_severities_of_old_rows_weigh_nothing_and_are_listed() {
    let odd = SignalView {
        grade: Grade::parse(Some("urgent")),
        ..row("cert_scan", "a.a", Severity::Low)
    };
    let mut scratch = Scratch::new();
    let catalog = catalog();
    let explained = explain(&[odd], &catalog, &mut scratch, NOW);
    assert_eq!(explained.trust().score(), MilliPoints::FULL);
    assert_eq!(explained.trust().coverage().n_covered(), 1);
    assert_eq!(
        (explained.unknown(), explained.contributions().len()),
        (&[0][..], 0)
    );
}

#[test]
fn a_subject_with_a_million_signals_is_scored_in_and_out_of_order() {
    let names = keys(1_000_000);
    let sources = [
        "backup_check",
        "cert_scan",
        "fading_scan",
        "integrity_check",
    ];
    let mut draw = Draw(2);
    let mut rows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, key)| SignalView {
            grade: draw.of(&kit::GRADES),
            ttl_seconds: Some(3_600),
            observed_at: at(-1_800),
            ..row(sources[n / 250_000], key, Severity::Low)
        })
        .collect();
    let ordered = milli(&rows, NOW);
    assert_eq!(ordered, 100_000 - 10_000 - 10_000 - 15_000 - 30_000);
    draw.shuffle(&mut rows);
    assert_eq!(milli(&rows, NOW), ordered);
}

#[test]
fn a_target_above_full_and_a_plan_without_end_are_refused() {
    let rows: Vec<_> = keys(3_000)
        .into_iter()
        .map(|key| row("integrity_check", key, Severity::Critical))
        .collect();
    let mut scratch = Scratch::new();
    let mut fix = |rows: &[SignalView<'_>], target| {
        smallest_fix(
            rows,
            MilliPoints::new(target),
            &catalog(),
            &mut scratch,
            NOW,
        )
    };
    assert_eq!(fix(&rows, 100_001), Err(FixError::TargetAboveFull));
    assert_eq!(fix(&rows, 100_000), Err(FixError::TooMany));
    assert_eq!(
        fix(&rows[..FIXES_MAX], 100_000).unwrap().rows.len(),
        FIXES_MAX
    );
    assert_eq!(fix(&rows, 70_000).unwrap().rows, [0; 0]);
    assert_eq!(fix(&[], 100_000).unwrap().rows, [0; 0]);
}

#[test]
fn no_set_of_fewer_repairs_reaches_the_target() {
    let (catalog, mut scratch, mut draw) = (catalog(), Scratch::new(), Draw(3));
    let mut n_planned = 0;
    for _ in 0..400 {
        let mut rows = draw.rows(10);
        rows.sort_by(|a, b| a.cmp_slot(b));
        rows.dedup_by(|a, b| a.cmp_slot(b).is_eq());
        let now = score(&rows, &catalog, &mut scratch, NOW).score().get();
        let target = now + u32::try_from(draw.below(u64::from(100_001 - now))).unwrap();
        let target = MilliPoints::new(target);
        // Every set of rows, by number and then by what it brings.
        let mut best: Vec<Option<MilliPoints>> = vec![None; rows.len() + 1];
        for set in 0_u32..1 << rows.len() {
            let is_fixed = |row: &SignalView<'_>| {
                rows.iter()
                    .zip(0..)
                    .any(|(other, bit)| set >> bit & 1 == 1 && other == row)
            };
            let after = what_if(&rows, is_fixed, &catalog, &mut scratch, NOW).score();
            let n = usize::try_from(set.count_ones()).unwrap();
            best[n] = best[n].max(Some(after));
        }
        let (n_fixes, score) = best
            .iter()
            .enumerate()
            .find_map(|(n, best)| best.filter(|best| *best >= target).map(|best| (n, best)))
            .unwrap();
        let fix = smallest_fix(&rows, target, &catalog, &mut scratch, NOW).unwrap();
        assert_eq!((fix.rows.len(), fix.score), (n_fixes, score), "{rows:?}");
        let repaired = |row: &SignalView<'_>| fix.rows.iter().any(|at| rows[*at] == *row);
        assert_eq!(
            what_if(&rows, repaired, &catalog, &mut scratch, NOW).score(),
            fix.score
        );
        n_planned += usize::from(n_fixes > 1);
    }
    assert!(n_planned > 50, "{n_planned}");
}
