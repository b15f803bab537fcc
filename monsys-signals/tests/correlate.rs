//! Incidents: their definition against a plain reading of it, and that nothing but the set of
//! findings matters.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use std::collections::{BTreeMap, BTreeSet};

use kit::{Draw, GRADES, KEYS, NOW, at, keys, row, subject};
use monsys_core::time::Span;
use monsys_core::{Severity, TenantId, Timestamp, limit};
use monsys_signals::correlate::{Correlator, FLEET_SUBJECTS_MIN, Incident, Scope, WINDOW};
use monsys_signals::{Grade, SignalView, Subject};
use proptest::prelude::*;

const TENANT: TenantId = TenantId::from_bytes([7; 16]);

fn correlator(rows: &[SignalView<'_>]) -> Correlator {
    let mut correlator = Correlator::new(TENANT);
    correlator.add(rows);
    correlator
}

/// Findings of few subjects, keys and moments, so that they meet.
fn any_findings() -> impl Strategy<Value = Vec<SignalView<'static>>> {
    let one = any::<u64>().prop_map(|seed| {
        let mut draw = Draw(seed);
        SignalView {
            subject: subject(usize::try_from(draw.below(5)).unwrap()),
            source: draw.of(&kit::SOURCES[..2]),
            key: draw.of(&KEYS[..3]),
            grade: draw.of(&GRADES),
            observed_at: at(i64::try_from(draw.below(40)).unwrap() * 150),
            ttl_seconds: None,
            arrival: 0,
        }
    });
    prop::collection::vec(one, 0..40)
}

type Plain = (String, Timestamp, Timestamp, usize, usize, Severity);

fn plain(incidents: &[Incident<'_>]) -> BTreeSet<Plain> {
    let one = |i: &Incident<'_>| {
        let scope = format!("{:?}", i.scope);
        (
            scope,
            i.first_at,
            i.last_at,
            i.n_findings,
            i.n_subjects,
            i.worst,
        )
    };
    incidents.iter().map(one).collect()
}

/// Joins by hand whatever the definition joins, pair by pair.
fn reference(rows: &[SignalView<'static>]) -> BTreeSet<Plain> {
    let mut found: BTreeMap<_, Severity> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.grade.is_finding()) {
        let severity = row.grade.severity().unwrap();
        let worst = found
            .entry((row.subject, row.observed_at, row.source, row.key))
            .or_insert(severity);
        *worst = severity.max(*worst);
    }
    let found: Vec<_> = found.into_iter().collect();
    let is_near = |a: Timestamp, b: Timestamp| b.since(a).abs() <= WINDOW;
    let mut incidents = BTreeSet::new();
    let mut put = |scope: Scope<'_>, members: Vec<usize>| {
        let at = |i: &usize| found[*i].0.1;
        let subjects: BTreeSet<_> = members.iter().map(|i| found[*i].0.0).collect();
        incidents.insert((
            format!("{scope:?}"),
            members.iter().map(at).min().unwrap(),
            members.iter().map(at).max().unwrap(),
            members.len(),
            subjects.len(),
            members.iter().map(|i| found[*i].1).max().unwrap(),
        ));
    };
    let near =
        |a: usize, b: usize| found[a].0.0 == found[b].0.0 && is_near(found[a].0.1, found[b].0.1);
    for members in components(found.len(), near) {
        let slots: BTreeSet<_> = members
            .iter()
            .map(|i| (found[*i].0.2, found[*i].0.3))
            .collect();
        if slots.len() > 1 {
            put(Scope::Subject(found[members[0]].0.0), members);
        }
    }
    for key in KEYS {
        let own: Vec<_> = (0..found.len()).filter(|i| found[*i].0.3 == key).collect();
        let window = |start: usize| -> Vec<usize> {
            let from = found[start].0.1;
            let is_in = |i: &&usize| found[**i].0.1 >= from && found[**i].0.1.since(from) <= WINDOW;
            own.iter().filter(is_in).copied().collect()
        };
        let windows: Vec<_> = own
            .iter()
            .map(|start| window(*start))
            .filter(|window| {
                let subjects: BTreeSet<_> = window.iter().map(|i| found[*i].0.0).collect();
                subjects.len() >= FLEET_SUBJECTS_MIN
            })
            .collect();
        let share = |a: usize, b: usize| windows[a].iter().any(|i| windows[b].contains(i));
        for joined in components(windows.len(), share) {
            let members: BTreeSet<_> = joined.iter().flat_map(|w| windows[*w].clone()).collect();
            put(Scope::Fleet { key }, members.into_iter().collect());
        }
    }
    incidents
}

/// Union-find without any art.
fn components(n: usize, is_joined: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut label: Vec<_> = (0..n).collect();
    for a in 0..n {
        for b in 0..n {
            if is_joined(a, b) && label[a] != label[b] {
                let (from, to) = (label[a], label[b]);
                label
                    .iter_mut()
                    .filter(|l| **l == from)
                    .for_each(|l| *l = to);
            }
        }
    }
    let mut all: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (member, label) in label.into_iter().enumerate() {
        all.entry(label).or_default().push(member);
    }
    all.into_values().collect()
}

#[test]
fn findings_fifteen_minutes_apart_are_one_incident_and_a_microsecond_more_makes_two() {
    let pair = |gap: Span| {
        let first = row("cert_scan", "a.a", Severity::Low);
        let second = SignalView {
            observed_at: NOW.saturating_add(gap),
            ..row("cert_scan", "a.b", Severity::High)
        };
        correlator(&[first, second]).incidents().len()
    };
    assert_eq!(pair(WINDOW), 1);
    assert_eq!(pair(Span::from_micros(WINDOW.micros() + 1)), 0);
}

#[test]
fn one_check_that_repeats_itself_is_no_incident() {
    let again = |n: i64| SignalView {
        observed_at: at(n * 60),
        ..row("cert_scan", "a.a", Severity::High)
    };
    let rows: Vec<_> = (0..100).map(again).collect();
    assert_eq!(correlator(&rows).incidents(), []);
}

#[test]
fn one_key_on_three_subjects_within_the_window_is_a_fleet_incident() {
    let hit = |n: usize, s: i64| SignalView {
        subject: subject(n),
        observed_at: at(s),
        ..row("cert_scan", "a.a", Severity::Medium)
    };
    assert_eq!(
        correlator(&[hit(0, 0), hit(1, 450), hit(2, 900)])
            .incidents()
            .len(),
        1
    );
    assert_eq!(
        correlator(&[hit(0, 0), hit(1, 450), hit(2, 901)])
            .incidents()
            .len(),
        0
    );
    assert_eq!(
        correlator(&[hit(0, 0), hit(1, 450), hit(1, 460)])
            .incidents()
            .len(),
        0
    );
    // A chain of windows is one incident, and its two ends need not be near each other.
    let chain = [
        hit(0, 0),
        hit(1, 450),
        hit(2, 900),
        hit(3, 1_300),
        hit(4, 1_800),
    ];
    let mut correlator = correlator(&chain);
    let incidents = correlator.incidents();
    assert_eq!(
        (
            incidents.len(),
            incidents[0].n_findings,
            incidents[0].n_subjects
        ),
        (1, 5, 5)
    );
}

#[test]
fn an_incident_lists_a_thousand_findings_and_counts_the_rest() {
    let rows: Vec<_> = keys(5_000)
        .into_iter()
        .map(|key| row("cert_scan", key, Severity::Low))
        .collect();
    let mut correlator = correlator(&rows);
    let incidents = correlator.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].findings.len(), limit::INCIDENT_FINDINGS_MAX);
    assert_eq!(
        (incidents[0].n_findings, incidents[0].n_unlisted()),
        (5_000, 4_000)
    );
    assert_eq!(incidents[0].findings[999].key, rows[999].key);
}

#[test]
fn a_hundred_thousand_findings_at_one_moment_are_listed_in_the_order_of_their_names() {
    let keys = keys(1_000);
    let ids: Vec<_> = (0..100).map(|n| format!("web-{n:03}")).collect();
    let mut rows = Vec::new();
    for key in &keys {
        for id in &ids {
            let subject = Subject {
                subject_type: "agent",
                subject_id: id,
            };
            rows.push(SignalView {
                subject,
                ..row("cert_scan", key, Severity::Low)
            });
        }
    }
    Draw(1).shuffle(&mut rows);
    let mut correlator = correlator(&rows);
    let incidents = correlator.incidents();
    assert_eq!(incidents.len(), 100 + 1_000);
    for incident in incidents {
        let names = incident
            .findings
            .iter()
            .map(|f| (f.subject, f.source, f.key));
        assert!(names.is_sorted());
    }
}

/// Enough findings that they are sorted without comparing, over days and over one moment.
#[test]
fn thousands_of_findings_are_those_of_the_definition_in_any_order() {
    for (seed, n_steps, step_s) in [(1, 2_000, 150), (2, 40, 86_400), (3, 1, 1), (4, 300, 3_600)] {
        let mut draw = Draw(seed);
        let mut rows: Vec<_> = (0..1_200)
            .map(|_| SignalView {
                subject: subject(usize::try_from(draw.below(5)).unwrap()),
                observed_at: at(i64::try_from(draw.below(n_steps)).unwrap() * step_s),
                ..row(
                    draw.of(&kit::SOURCES[..2]),
                    draw.of(&KEYS[..3]),
                    draw.of(&Severity::ALL),
                )
            })
            .collect();
        let mut first = correlator(&rows);
        assert_eq!(plain(&first.incidents()), reference(&rows));
        draw.shuffle(&mut rows);
        let mut other = correlator(&rows);
        assert_eq!(first.incidents(), other.incidents());
        // What was read and sorted once takes more findings like any other.
        let (head, tail) = rows.split_at(700);
        let mut halves = correlator(head);
        halves.incidents();
        halves.add(tail);
        assert_eq!(halves.incidents(), other.incidents());
    }
}

#[test]
fn of_findings_of_one_moment_the_first_by_name_are_listed() {
    let keys = keys(1_500);
    let mut rows: Vec<_> = keys
        .iter()
        .map(|key| row("cert_scan", key, Severity::Low))
        .collect();
    let early = |n: i64| SignalView {
        observed_at: at(-n),
        ..row("dns_check", keys[0], Severity::Low)
    };
    rows.extend((1..=10).map(early));
    Draw(5).shuffle(&mut rows);
    let mut correlator = correlator(&rows);
    let incidents = correlator.incidents();
    assert_eq!((incidents.len(), incidents[0].n_unlisted()), (1, 510));
    let (early, tied) = incidents[0].findings.split_at(10);
    assert!(early.is_sorted_by(|a, b| a.observed_at < b.observed_at));
    let listed: Vec<_> = tied.iter().map(|found| found.key).collect();
    let mut expected: Vec<_> = keys.iter().map(|key| &**key).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected[..990]);
}

#[test]
fn the_name_of_an_incident_is_pinned() {
    let second = row("cert_scan", "a.b", Severity::High);
    let mut correlator = correlator(&[row("cert_scan", "a.a", Severity::Low), second]);
    assert_eq!(
        correlator.incidents()[0].id.to_string(),
        "054b71298320000922e0ff5e9a3ba2a46e7c04dc5080c8db147a8276c8017ca3"
    );
    let mut other = Correlator::new(TenantId::from_bytes([8; 16]));
    other.add(&[row("cert_scan", "a.a", Severity::Low), second]);
    assert_ne!(other.incidents()[0].id, correlator.incidents()[0].id);
}

#[test]
fn what_is_forgotten_is_in_no_incident() {
    let late = SignalView {
        observed_at: at(600),
        ..row("cert_scan", "a.b", Severity::High)
    };
    let mut correlator = correlator(&[row("cert_scan", "a.a", Severity::Low), late]);
    assert_eq!(correlator.incidents().len(), 1);
    correlator.forget_before(at(1));
    assert_eq!((correlator.incidents().len(), correlator.n_kept()), (0, 1));
}

proptest! {
    #[test]
    fn incidents_are_those_of_the_definition(rows in any_findings()) {
        let mut correlator = correlator(&rows);
        prop_assert_eq!(plain(&correlator.incidents()), reference(&rows));
    }

    #[test]
    fn order_batches_and_duplicates_change_nothing(
        rows in any_findings(), n_batches in 1_usize..5, seed: u64,
    ) {
        let mut draw = Draw(seed);
        let mut other = rows.clone();
        other.extend_from_slice(&rows[..rows.len() / 2]);
        draw.shuffle(&mut other);
        let mut incremental = Correlator::new(TENANT);
        for batch in other.chunks(other.len() / n_batches + 1) {
            incremental.add(batch);
            // Reading between two batches leaves no trace.
            incremental.incidents();
        }
        let mut batch = correlator(&rows);
        prop_assert_eq!(incremental.incidents(), batch.incidents());
        let ids: BTreeSet<_> = batch.incidents().iter().map(|i| i.id).collect();
        prop_assert_eq!(ids.len(), batch.incidents().len());
    }

    #[test]
    fn what_is_no_finding_is_in_no_incident(rows in any_findings()) {
        let is_finding = |row: &SignalView<'_>| !matches!(
            row.grade,
            Grade::Ungraded | Grade::Unknown | Grade::Graded(Severity::Info)
        );
        let findings: Vec<_> = rows.iter().copied().filter(is_finding).collect();
        let (mut all, mut own) = (correlator(&rows), correlator(&findings));
        prop_assert_eq!(all.incidents(), own.incidents());
    }
}
