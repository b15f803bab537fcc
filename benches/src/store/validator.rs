//! What stands before the stores: the validator, against reading the same bytes as UTF-8.

use std::hint::black_box;

use monsys_core::json::Scratch;
use monsys_core::signal::{Signal, SignalDraft, SignalRef};
use monsys_core::time::Timestamp;
use serde_json::Value;

use crate::race::Race;
use crate::report::Figure;
use crate::report::Target::{AtMost, Part};

const KIT: &str = include_str!("../../../monsys-core/vectors/signals.json");

/// The validator on the committed kit.
pub fn figures() -> Vec<Figure> {
    let kit: Value = serde_json::from_str(KIT).expect("our kit");
    let now = time(&kit["now"]);
    let cases = kit["cases"].as_array().expect("a list of cases");
    let all: Vec<_> = cases.iter().map(|case| draft(&kit["base"], case)).collect();
    let valid: Vec<_> = all.iter().filter_map(|d| canonical(d, now)).collect();
    let plain = vec![canonical(&draft_of(&kit["base"]), now).expect("the base is valid")];
    let mut figures = validator("validator/kit", &all, now);
    figures.extend(validator("validator/valid of the kit", &valid, now));
    figures.extend(validator("validator/one plain signal", &plain, now));
    figures
}

/// Time for one draft of the drafts, beside that of reading each field, and of reading all fields
/// as one text.
fn validator(name: &str, drafts: &[SignalDraft], now: Timestamp) -> Vec<Figure> {
    let borrowed: Vec<_> = drafts.iter().map(SignalRef::from).collect();
    let joined: String = borrowed.iter().flat_map(fields).collect();
    let mut scratch = Scratch::new();
    let mut race = Race::default();
    race.add("check", || {
        for draft in &borrowed {
            black_box(black_box(draft).check(&mut scratch, now));
        }
    });
    race.add("fields", || {
        for draft in &borrowed {
            for field in fields(black_box(draft)) {
                black_box(str::from_utf8(black_box(field.as_bytes())).is_ok());
            }
        }
    });
    race.add("joined", || {
        black_box(str::from_utf8(black_box(joined.as_bytes())).is_ok());
    });
    let times = race.finish();
    let count = drafts.len() as f64;
    let of = |subject| times.of(subject) / count;
    vec![
        Figure::new(name, of("check"), of("fields"), AtMost(4.0)),
        Figure::new(
            format!("{name}, against one text"),
            of("check"),
            of("joined"),
            Part,
        ),
    ]
}

fn fields<'a>(draft: &SignalRef<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let texts = [
        draft.source,
        draft.subject_type,
        draft.subject_id,
        draft.key,
        draft.value,
    ];
    texts.into_iter().chain(draft.severity)
}

/// The draft as senders of this project write it, if it is valid.
fn canonical(draft: &SignalDraft, now: Timestamp) -> Option<SignalDraft> {
    let signal = Signal::validate(draft, now).ok()?;
    Some(SignalDraft {
        value: signal.value().to_owned(),
        ..draft.clone()
    })
}

fn draft(base: &Value, case: &Value) -> SignalDraft {
    let mut fields = base.clone();
    let field = case["field"].as_str().expect("a field");
    fields[field] = match (case.get("parts"), case.get("number")) {
        (Some(parts), _) => joined(parts).into(),
        (None, Some(number)) => number.clone(),
        (None, None) => case["text"].clone(),
    };
    draft_of(&fields)
}

fn draft_of(fields: &Value) -> SignalDraft {
    let text = |name: &str| fields[name].as_str().expect("a text").to_owned();
    SignalDraft {
        source: text("source"),
        subject_type: text("subject_type"),
        subject_id: text("subject_id"),
        key: text("key"),
        value: text("value"),
        severity: fields["severity"].as_str().map(str::to_owned),
        observed_at: time(&fields["observed_at"]),
        ttl_seconds: fields["ttl_seconds"].as_i64(),
    }
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(value.as_str().expect("a text")).expect("a time")
}

fn joined(parts: &Value) -> String {
    let part = |part: &Value| {
        let times = usize::try_from(part[1].as_u64().expect("a count")).expect("a small count");
        part[0].as_str().expect("a text").repeat(times)
    };
    parts.as_array().expect("a list").iter().map(part).collect()
}
