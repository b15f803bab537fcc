//! The trust score against a plain reading of its definition with big integers.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use std::collections::BTreeMap;

use kit::{Draw, NOW, catalog};
use monsys_core::Timestamp;
use monsys_core::severity::Severity;
use monsys_signals::trust::{Scratch, explain, score, scores};
use monsys_signals::{Catalog, Category, Decay, SignalView, Subject};
use num_bigint::BigUint;

type Contributions = BTreeMap<(String, String), u32>;

/// Points of milli-points, ranks and shares, all as they stand in the definition.
struct Reference {
    score: u32,
    covered: usize,
    contributions: Contributions,
}

fn rank(k: usize) -> BigUint {
    let cube = BigUint::from(k).pow(3);
    let doubled = BigUint::sqrt(&((BigUint::from(1_u8) << 42) / cube));
    (doubled + 1_u8) >> 1
}

fn reference(
    rows: &[SignalView<'_>],
    catalog: &Catalog,
    ranks: &[BigUint],
    now: Timestamp,
) -> Reference {
    let mut newest: BTreeMap<_, &SignalView<'_>> = BTreeMap::new();
    let order = |row: &SignalView<'_>| {
        let ttl = row.ttl_seconds.unwrap_or(i64::MAX);
        (row.observed_at, row.arrival, row.grade, ttl)
    };
    for row in rows {
        let best = newest.entry((row.source, row.key)).or_insert(row);
        if order(row) > order(best) {
            *best = row;
        }
    }
    let mut deducted = 0;
    let mut covered = 0;
    let mut contributions = Contributions::new();
    for category in Category::ALL {
        let mut points = Vec::new();
        let mut is_covered = false;
        for ((source, key), row) in &newest {
            let age = (now.unix_micros() - row.observed_at.unix_micros()).max(0);
            let ttl = row.ttl_seconds.map(|s| i128::from(s) * 1_000_000);
            if ttl.is_some_and(|ttl| i128::from(age) >= ttl) {
                continue;
            }
            let Some(place) = catalog
                .place_of(source)
                .filter(|place| place.category == category)
            else {
                continue;
            };
            is_covered = true;
            let weight: u32 = match row.grade.severity() {
                None | Some(Severity::Info) => 0,
                Some(Severity::Low) => 2_000,
                Some(Severity::Medium) => 5_000,
                Some(Severity::High) => 12_000,
                Some(Severity::Critical) => 25_000,
            };
            let mut p = BigUint::from(weight);
            if let (Decay::Linear, Some(ttl)) = (place.decay, ttl) {
                let left = BigUint::try_from(ttl - i128::from(age)).unwrap();
                p = p * left / BigUint::try_from(ttl).unwrap();
            }
            if p > BigUint::ZERO {
                points.push((p, (*source, *key)));
            }
        }
        covered += usize::from(is_covered);
        // Stable: ties stay in the order of source and key.
        points.sort_by(|a, b| b.0.cmp(&a.0));
        let weighted: Vec<_> = points.iter().zip(ranks).map(|((p, _), r)| p * r).collect();
        let total: BigUint = weighted.iter().sum();
        let raw: BigUint = &total >> 20;
        let taken = raw.min(BigUint::from(category.cap_points() * 1_000));
        let mut shares: Vec<_> = weighted
            .iter()
            .map(|w| &taken * w / &total.clone().max(1_u8.into()))
            .collect();
        let left = &taken - shares.iter().sum::<BigUint>();
        let mut by_remainder: Vec<_> = (0..weighted.len()).collect();
        by_remainder.sort_by_key(|i| std::cmp::Reverse(&taken * &weighted[*i] % &total));
        for i in by_remainder.iter().take(usize::try_from(left).unwrap()) {
            shares[*i] += 1_u8;
        }
        for ((_, (source, key)), share) in points.iter().zip(shares) {
            let share = u32::try_from(share).unwrap();
            contributions.insert(((*source).to_owned(), (*key).to_owned()), share);
        }
        deducted += u32::try_from(taken).unwrap();
    }
    Reference {
        score: 100_000 - deducted,
        covered,
        contributions,
    }
}

#[test]
fn scores_of_a_hundred_thousand_random_tenants_agree_with_big_integers() {
    let (catalog, mut scratch, mut draw) = (catalog(), Scratch::new(), Draw(6));
    let ranks: Vec<_> = (1..200).map(rank).collect();
    let mut n_subjects = 0;
    for _ in 0..100_000 {
        let rows = draw.rows(12);
        let mut by_subject: BTreeMap<Subject<'_>, Vec<SignalView<'_>>> = BTreeMap::new();
        for row in &rows {
            by_subject.entry(row.subject).or_default().push(*row);
        }
        let expected: Vec<_> = by_subject
            .iter()
            .map(|(subject, rows)| (*subject, reference(rows, &catalog, &ranks, NOW)))
            .collect();
        let found: Vec<_> = scores(&rows, &catalog, &mut scratch, NOW)
            .map(|(subject, trust)| (subject, trust.score().get(), trust.coverage().n_covered()))
            .collect();
        let plain = expected.iter().map(|(s, e)| (*s, e.score, e.covered));
        assert_eq!(found, plain.collect::<Vec<_>>(), "{rows:?}");
        for ((_, expected), rows) in expected.iter().zip(by_subject.values()) {
            n_subjects += 1;
            assert_eq!(
                score(rows, &catalog, &mut scratch, NOW).score().get(),
                expected.score
            );
            let explained = explain(rows, &catalog, &mut scratch, NOW);
            let found: Contributions = explained
                .contributions()
                .iter()
                .map(|c| {
                    (
                        (rows[c.row].source.to_owned(), rows[c.row].key.to_owned()),
                        c.taken.get(),
                    )
                })
                .collect();
            assert_eq!(found, expected.contributions, "{rows:?}");
        }
    }
    println!("{n_subjects} subjects");
    assert!(n_subjects > 100_000);
}

#[test]
fn full_subjects_agree_with_big_integers() {
    let (catalog, mut scratch, mut draw) = (catalog(), Scratch::new(), Draw(7));
    let ranks: Vec<_> = (1..200).map(rank).collect();
    for _ in 0..2_000 {
        let one = |row| SignalView {
            subject: kit::subject(0),
            ..row
        };
        let rows: Vec<_> = draw.rows(150).into_iter().map(one).collect();
        let expected = reference(&rows, &catalog, &ranks, NOW);
        let explained = explain(&rows, &catalog, &mut scratch, NOW);
        assert_eq!(explained.trust().score().get(), expected.score);
        let taken: u32 = explained
            .contributions()
            .iter()
            .map(|c| c.taken.get())
            .sum();
        assert_eq!(taken, expected.contributions.values().sum());
    }
}
