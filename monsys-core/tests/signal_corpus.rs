//! The kit `vectors/signals.json`: the validator's verdict on every text, and what it costs.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an error fails where it meets it"
)]

use std::collections::BTreeSet;

use allocation_counter::measure;
use monsys_core::json::Scratch;
use monsys_core::signal::{Rule, Signal, SignalDraft, SignalRef};
use monsys_core::time::Timestamp;
use serde_json::Value;

const KIT: &str = include_str!("../vectors/signals.json");

struct Case {
    name: String,
    draft: SignalDraft,
    rule: Option<String>,
    database: Option<Value>,
}

fn now() -> Timestamp {
    let kit: Value = serde_json::from_str(KIT).unwrap();
    Timestamp::parse_rfc3339(kit["now"].as_str().unwrap()).unwrap()
}

fn cases() -> Vec<Case> {
    let kit: Value = serde_json::from_str(KIT).unwrap();
    let cases = kit["cases"].as_array().unwrap();
    cases.iter().map(|case| read(&kit["base"], case)).collect()
}

fn read(base: &Value, case: &Value) -> Case {
    let mut fields = base.clone();
    let field = case["field"].as_str().unwrap();
    fields[field] = match (case.get("parts"), case.get("number")) {
        (Some(parts), _) => joined(parts).into(),
        (None, Some(number)) => number.clone(),
        (None, None) => case["text"].clone(),
    };
    let text = |name: &str| fields[name].as_str().unwrap().to_owned();
    Case {
        name: case["name"].as_str().unwrap().to_owned(),
        draft: SignalDraft {
            source: text("source"),
            subject_type: text("subject_type"),
            subject_id: text("subject_id"),
            key: text("key"),
            value: text("value"),
            severity: fields["severity"].as_str().map(str::to_owned),
            observed_at: Timestamp::parse_rfc3339(&text("observed_at")).unwrap(),
            ttl_seconds: fields["ttl_seconds"].as_i64(),
        },
        rule: case["rule"].as_str().map(str::to_owned),
        database: case.get("database").cloned(),
    }
}

fn joined(parts: &Value) -> String {
    let part = |part: &Value| {
        let times = usize::try_from(part[1].as_u64().unwrap()).unwrap();
        part[0].as_str().unwrap().repeat(times)
    };
    parts.as_array().unwrap().iter().map(part).collect()
}

/// The one rule that the check finds broken.
fn verdict(draft: &SignalDraft, now: Timestamp) -> Option<Rule> {
    let broken = SignalRef::from(draft).check(&mut Scratch::new(), now);
    assert!(broken.iter().count() <= 1, "one field, one rule");
    broken.iter().next()
}

#[test]
fn s1_to_s7_every_text_of_the_kit_gets_its_verdict() {
    let now = now();
    for case in cases() {
        let found = verdict(&case.draft, now);
        assert_eq!(
            found.map(Rule::as_str),
            case.rule.as_deref(),
            "{}",
            case.name
        );
        let made = Signal::validate(&case.draft, now);
        assert_eq!(made.is_ok(), found.is_none(), "{}", case.name);
        if let (Err(violations), Some(rule)) = (made, found) {
            assert_eq!(violations.total(), 1, "{}", case.name);
            let first = violations.first();
            assert_eq!((first.index, first.rule), (0, rule), "{}", case.name);
        }
    }
}

#[test]
fn s9_the_kit_is_large_and_says_what_databases_say() {
    let cases = cases();
    assert!(cases.len() >= 300, "{}", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "each proves something of its own");
    let now = now();
    for case in &cases {
        let rule = verdict(&case.draft, now);
        let differs = rule.is_some_and(|rule| !rule.is_checked_by_databases());
        assert_eq!(case.database.is_some(), differs, "{}", case.name);
    }
    for rule in ["source_format", "subject_type_format", "subject_id_format"] {
        let of_rule = |case: &&Case| case.rule.as_deref() == Some(rule);
        assert!(cases.iter().filter(of_rule).count() >= 20, "{rule}");
    }
}

#[test]
fn every_other_text_keeps_its_verdict_when_its_neighbours_are_broken() {
    let now = now();
    for case in cases() {
        let broken = SignalDraft {
            ttl_seconds: Some(0),
            ..case.draft
        };
        let rules: Vec<_> = SignalRef::from(&broken)
            .check(&mut Scratch::new(), now)
            .iter()
            .map(|rule| rule.as_str().to_owned())
            .filter(|rule| rule != "ttl_seconds_range")
            .collect();
        let expected = case.rule.filter(|rule| rule != "ttl_seconds_range");
        assert_eq!(rules, Vec::from_iter(expected), "{}", case.name);
    }
}

#[test]
fn checking_what_is_valid_allocates_nothing() {
    let now = now();
    let mut scratch = Scratch::new();
    let cases: Vec<_> = cases().into_iter().filter(|c| c.rule.is_none()).collect();
    for case in &cases {
        let draft = SignalRef::from(&case.draft);
        let signal = Signal::validate(&case.draft, now).unwrap();
        let canonical = SignalRef {
            value: signal.value(),
            ..draft
        };
        let mut fresh = Scratch::new();
        let count = measure(|| assert!(canonical.check(&mut fresh, now).is_empty()));
        assert_eq!(count.count_total, 0, "canonical: {}", case.name);
        assert!(draft.check(&mut scratch, now).is_empty());
    }
    for case in &cases {
        let draft = SignalRef::from(&case.draft);
        let count = measure(|| assert!(draft.check(&mut scratch, now).is_empty()));
        assert_eq!(count.count_total, 0, "any spelling, warm: {}", case.name);
    }
}

#[test]
fn checking_what_is_refused_for_its_form_allocates_nothing() {
    let now = now();
    for case in cases() {
        let is_value = case.draft.value != r#"{"value":12}"#;
        if case.rule.is_none() || is_value {
            continue;
        }
        let draft = SignalRef::from(&case.draft);
        let mut scratch = Scratch::new();
        let count = measure(|| assert!(!draft.check(&mut scratch, now).is_empty()));
        assert_eq!(count.count_total, 0, "{}", case.name);
    }
}
