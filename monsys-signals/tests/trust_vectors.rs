//! The committed vectors, which pin every bit of a score for implementations in any language
//! (law 11). They were computed apart from the crate, in exact fractions.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::subject;
use monsys_core::Timestamp;
use monsys_core::name::Source;
use monsys_signals::trust::{Explanation, Scratch, explain};
use monsys_signals::{Catalog, Category, Decay, Grade, Place, SignalView};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../vectors/trust.json");

#[test]
fn law_11_every_score_and_contribution_is_that_of_the_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut catalog = Catalog::standard();
    for entry in vectors["fading"].as_array().unwrap() {
        let source = Source::parse(entry["source"].as_str().unwrap()).unwrap();
        let is_named = |category: &Category| category.as_str() == entry["category"];
        let category = Category::ALL.into_iter().find(is_named).unwrap();
        let decay = Decay::Linear;
        catalog.insert(source, Place { category, decay });
    }
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 30);
    let mut scratch = Scratch::new();
    for case in cases {
        let signals = case["signals"].as_array().unwrap();
        let rows: Vec<_> = signals.iter().map(view).collect();
        let explained = explain(&rows, &catalog, &mut scratch, time(&case["now"]));
        for (name, found) in found(&explained, &rows) {
            assert_eq!(found, case[name], "{name} of {}", case["name"]);
        }
    }
}

fn found(explained: &Explanation<'_>, rows: &[SignalView<'_>]) -> [(&'static str, Value); 6] {
    let trust = explained.trust();
    let covered = Category::ALL
        .into_iter()
        .filter(|c| trust.coverage().is_covered(*c));
    let covered: Vec<_> = covered.map(Category::as_str).collect();
    let deduction = |c: Category| (c.as_str().to_owned(), trust.deduction(c).get().into());
    let deductions: serde_json::Map<_, Value> = Category::ALL.into_iter().map(deduction).collect();
    let contributions = explained.contributions().iter().map(|c| {
        json!({
            "source": rows[c.row].source,
            "key": rows[c.row].key,
            "category": c.category.as_str(),
            "points": c.points.get(),
            "rank": c.rank,
            "taken": c.taken.get(),
        })
    });
    let slots = |at: &[usize]| {
        let slot = |at: &usize| json!([rows[*at].source, rows[*at].key]);
        Value::Array(at.iter().map(slot).collect())
    };
    [
        ("score", trust.score().get().into()),
        ("covered", covered.into()),
        ("deductions", deductions.into()),
        ("contributions", Value::Array(contributions.collect())),
        ("unmapped", slots(explained.unmapped())),
        ("unknown", slots(explained.unknown())),
    ]
}

fn view(signal: &Value) -> SignalView<'_> {
    SignalView {
        subject: subject(0),
        source: signal["source"].as_str().unwrap(),
        key: signal["key"].as_str().unwrap(),
        grade: Grade::parse(signal["severity"].as_str()),
        observed_at: time(&signal["observed_at"]),
        ttl_seconds: signal["ttl_seconds"].as_i64(),
        arrival: signal["arrival"].as_u64().unwrap(),
    }
}

fn time(micros: &Value) -> Timestamp {
    Timestamp::from_unix_micros(micros.as_i64().unwrap()).unwrap()
}
