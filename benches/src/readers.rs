//! The readers of signals, against plain sorts of the same rows.
//!
//! The baseline of a figure of trust or Pareto is `sort_unstable_by` over one small entry a signal,
//! its category, its weight and its place, by category and weight: what any reader that ranks has
//! to do at least. Rows come in the order in which stores list them, and shuffled.

use std::hint::black_box;

use monsys_core::name::SignalKey;
use monsys_core::time::Span;
use monsys_core::{Severity, TenantId, Timestamp};
use monsys_signals::controls::{Control, Controls};
use monsys_signals::correlate::Correlator;
use monsys_signals::trust::{self, Scratch};
use monsys_signals::{Catalog, Category, Grade, SignalView, Subject, pareto};

use crate::race::Race;
use crate::report::Figure;
use crate::report::Target::{AtMost, Part};

/// Every figure of the topic, measured.
pub fn figures() -> Vec<Figure> {
    let mut figures = one_subject();
    figures.extend(fleet());
    figures.extend(compliance());
    figures.extend(correlation());
    figures
}

/// One subject with 1,000 findings.
fn one_subject() -> Vec<Figure> {
    let texts = Texts::new(1, 1_000);
    let (catalog, now) = (Catalog::standard(), now());
    let ordered = texts.rows(1, 1_000, 1);
    let mut shuffled = ordered.clone();
    Draw(3).shuffle(&mut shuffled);
    let mut figures = Vec::new();
    for (order, rows, is_target) in [
        ("store order", &ordered, true),
        ("shuffled", &shuffled, false),
    ] {
        let entries = entries(rows, &catalog);
        let (mut for_score, mut for_explain) = (Scratch::new(), Scratch::new());
        let (mut sorted, mut copied) = (entries.clone(), entries.clone());
        let mut race = Race::default();
        race.add("score", || {
            black_box(trust::score(black_box(rows), &catalog, &mut for_score, now));
        });
        race.add("explain", || {
            black_box(trust::explain(
                black_box(rows),
                &catalog,
                &mut for_explain,
                now,
            ));
        });
        race.add("sort", || sort(&entries, &mut sorted, |entry| *entry));
        race.add("copy", || copy(&entries, &mut copied));
        let times = race.finish();
        let baseline = times.of("sort") - times.of("copy");
        let target = if is_target { AtMost(3.0) } else { Part };
        for subject in ["score", "explain"] {
            let name = format!("trust_1k/{subject}, {order}");
            figures.push(Figure::new(name, times.of(subject), baseline, target));
        }
    }
    figures
}

/// Time for a subject of ten findings, in a fleet of 100,000 against one of 10,000.
fn fleet() -> Vec<Figure> {
    let (catalog, now) = (Catalog::standard(), now());
    let texts = Texts::new(100_000, 10);
    let fleets = [("100k", 100_000), ("10k", 10_000)].map(|(name, n)| (name, texts.rows(n, 10, 1)));
    let mut race = Race::default();
    for (name, rows) in &fleets {
        let (mut scratch, catalog) = (Scratch::new(), &catalog);
        race.add(name, move || {
            let scores = trust::scores(black_box(rows), catalog, &mut scratch, now);
            black_box(
                scores
                    .map(|(_, trust)| u64::from(trust.score().get()))
                    .sum::<u64>(),
            );
        });
    }
    let times = race.finish();
    let large = times.of("100k") / 100_000.0;
    let small = times.of("10k") / 10_000.0;
    vec![Figure::new(
        "trust_fleet/a subject of 100k, of 10k",
        large,
        small,
        AtMost(1.2),
    )]
}

/// 100,000 live findings of 1,000 subjects, against one sort of those rows with category and weight
/// beside them, and against a sort of the small entries alone.
fn compliance() -> Vec<Figure> {
    let (catalog, now) = (Catalog::standard(), now());
    let texts = Texts::new(1_000, 100);
    let (rows, controls) = (texts.rows(1_000, 100, 1), texts.controls());
    let small = entries(&rows, &catalog);
    let large: Vec<_> = small.iter().copied().zip(rows.iter().copied()).collect();
    let (mut small_sorted, mut large_sorted) = (small.clone(), large.clone());
    let (mut small_copied, mut large_copied) = (small.clone(), large.clone());
    let mut scratch = Scratch::new();
    let mut race = Race::default();
    race.add("pareto", || {
        let pareto = pareto::pareto(black_box(&rows), &catalog, &controls, &mut scratch, now);
        black_box(pareto.vital().len());
    });
    race.add("sort rows", || sort(&large, &mut large_sorted, |row| row.0));
    race.add("copy rows", || copy(&large, &mut large_copied));
    race.add("sort entries", || {
        sort(&small, &mut small_sorted, |entry| *entry)
    });
    race.add("copy entries", || copy(&small, &mut small_copied));
    let times = race.finish();
    let ours = times.of("pareto");
    let rows = times.of("sort rows") - times.of("copy rows");
    let entries = times.of("sort entries") - times.of("copy entries");
    vec![
        Figure::new("pareto_100k/one sort of the rows", ours, rows, AtMost(2.0)),
        Figure::new("pareto_100k/one sort of small entries", ours, entries, Part),
    ]
}

/// A million findings against a hundred thousand of a week, in no order.
fn correlation() -> Vec<Figure> {
    let (small, large) = (Texts::new(10_000, 50), Texts::new(100_000, 50));
    // A subject of the small fleet has ten findings, so ten keys occur in it; as many in ten times
    // the time, else each key would be hit five times as rarely and nothing be like before.
    let few_keys = Texts::new(10_000, 10);
    let mut figures = Vec::new();
    // More keys, or ten times as dense, is far more than ten times the incidents: how much is shown,
    // not judged.
    let cases = [
        (
            "ten times the fleet",
            &large,
            (100_000, 10, 1),
            AtMost(12.0),
        ),
        (
            "ten times as long",
            &few_keys,
            (10_000, 100, 10),
            AtMost(12.0),
        ),
        (
            "ten times as long, on more keys",
            &small,
            (10_000, 100, 10),
            Part,
        ),
        ("ten times as dense", &small, (10_000, 100, 1), Part),
    ];
    for (name, texts, (n_subjects, n_findings, n_weeks), target) in cases {
        let mut many = texts.rows(n_subjects, n_findings, n_weeks);
        let mut few = small.rows(10_000, 10, 1);
        Draw(4).shuffle(&mut many);
        Draw(5).shuffle(&mut few);
        let (many_words, few_words) = (words(&many), words(&few));
        let (many, few) = (own(&many, &many_words), own(&few, &few_words));
        let mut race = Race::default();
        race.add("1M", || correlate(&many));
        race.add("100k", || correlate(&few));
        let times = race.finish();
        let name = format!("correlate/1M against 100k, {name}");
        figures.push(Figure::new(name, times.of("1M"), times.of("100k"), target));
    }
    figures
}

/// The words of rows, one after the other, as a store reads them.
fn words(rows: &[SignalView<'_>]) -> String {
    let words = rows
        .iter()
        .flat_map(|row| [row.subject.subject_id, row.key]);
    words.collect()
}

/// The rows with words of their own.
fn own<'a>(rows: &[SignalView<'_>], mut words: &'a str) -> Vec<SignalView<'a>> {
    let mut next = |len: usize| {
        let (word, rest) = words.split_at(len);
        words = rest;
        word
    };
    let own = |row: &SignalView<'_>| SignalView {
        subject: Subject {
            subject_type: "agent",
            subject_id: next(row.subject.subject_id.len()),
        },
        source: "cert_scan",
        key: next(row.key.len()),
        grade: row.grade,
        observed_at: row.observed_at,
        ttl_seconds: row.ttl_seconds,
        arrival: row.arrival,
    };
    rows.iter().map(own).collect()
}

fn correlate(rows: &[SignalView<'_>]) {
    let mut correlator = Correlator::new(TenantId::from_bytes([7; 16]));
    correlator.add(black_box(rows));
    black_box(correlator.incidents().len());
}

type Entry = (Category, u32, u32);

fn entries(rows: &[SignalView<'_>], catalog: &Catalog) -> Vec<Entry> {
    let entry = |(at, row): (u32, &SignalView<'_>)| {
        let place = catalog.place_of(row.source).expect("a known source");
        let weight = row.grade.severity().map_or(0, |severity| severity as u32);
        (place.category, weight, at)
    };
    (0..).zip(rows).map(entry).collect()
}

/// Sorts a copy by category and weight.
fn sort<T: Copy>(from: &[T], to: &mut [T], entry: impl Fn(&T) -> Entry) {
    to.copy_from_slice(black_box(from));
    to.sort_unstable_by(|a, b| {
        let (a, b) = (entry(a), entry(b));
        (a.0, a.1).cmp(&(b.0, b.1))
    });
    black_box(to);
}

fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    to.copy_from_slice(black_box(from));
    black_box(to);
}

/// The words of a fleet, owned.
struct Texts {
    subjects: Vec<String>,
    keys: Vec<String>,
}

impl Texts {
    fn new(n_subjects: usize, n_keys: usize) -> Self {
        let mut draw = Draw(1);
        let mut subjects: Vec<_> = (0..n_subjects)
            .map(|_| {
                format!(
                    "{:08x}-{:04x}-4000-8000-{:012x}",
                    draw.below(1 << 32),
                    draw.below(1 << 16),
                    draw.below(1 << 48)
                )
            })
            .collect();
        subjects.sort();
        let keys = (0..n_keys)
            .map(|n| format!("check.finding_{n:04}"))
            .collect();
        Self { subjects, keys }
    }

    /// So many subjects with so many findings each, in the order of a store.
    fn rows(&self, n_subjects: usize, n_findings: usize, n_weeks: u64) -> Vec<SignalView<'_>> {
        let mut draw = Draw(2);
        let step = self.subjects.len() / n_subjects;
        let mut rows = Vec::with_capacity(n_subjects * n_findings);
        for subject_id in self.subjects.iter().step_by(step) {
            for at in 0..n_findings {
                rows.push(SignalView {
                    subject: Subject {
                        subject_type: "agent",
                        subject_id,
                    },
                    source: SOURCES[at * SOURCES.len() / n_findings],
                    key: &self.keys[at % self.keys.len()],
                    grade: Grade::Graded(SEVERITIES[draw.index(SEVERITIES.len())]),
                    observed_at: now()
                        .saturating_sub(Span::from_secs(draw.below(n_weeks * 604_800) as i64)),
                    ttl_seconds: Some(864_000).filter(|_| draw.below(2) == 0),
                    arrival: 0,
                });
            }
        }
        rows
    }
}

impl Texts {
    /// A control for each ten keys.
    fn controls(&self) -> Controls {
        let mut controls = Controls::empty();
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| SignalKey::parse(key).expect("a key"))
            .collect();
        for (n, keys) in keys.chunks(10).enumerate() {
            let control = Control {
                id: format!("C-{n:03}"),
                title: "A control".to_owned(),
                effort: 1,
            };
            controls.insert(control, keys);
        }
        controls
    }
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").expect("a time")
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.index(i + 1));
        }
    }
}

const SOURCES: [&str; 6] = [
    "backup_check",
    "cert_scan",
    "clock_check",
    "dns_check",
    "endpoint_posture",
    "integrity_check",
];
const SEVERITIES: [Severity; 5] = Severity::ALL;
