//! Transcripts of positions: what a hub decides, one payload after the other.

use std::collections::BTreeMap;

use monsys_core::position::{Admission, ContentHash, Position, PositionSet};
use serde_json::{Value, json};

use super::{cases, text_of};

/// Epoch, seq, content, answer.
type Step = (i64, i64, u8, &'static str);

const TRANSCRIPTS: [(&str, &[Step]); 9] = [
    (
        "a retry changes nothing",
        &[
            (1, 1, 1, "accepted"),
            (1, 1, 1, "duplicate"),
            (1, 2, 2, "accepted"),
        ],
    ),
    (
        "other content under a used position is a replay",
        &[
            (1, 1, 1, "accepted"),
            (1, 1, 9, "replay"),
            (1, 1, 1, "duplicate"),
        ],
    ),
    (
        "the freshest comes first and the backlog fills the gap",
        &[
            (1, 1, 1, "accepted"),
            (1, 5, 5, "accepted"),
            (1, 2, 2, "accepted"),
            (1, 4, 4, "accepted"),
            (1, 3, 3, "accepted"),
            (1, 3, 3, "duplicate"),
        ],
    ),
    (
        "positions below the first one seen are an open gap",
        &[
            (1, 10, 10, "accepted"),
            (1, 1, 1, "accepted"),
            (1, 9, 9, "accepted"),
        ],
    ),
    (
        "a lost spool begins a new epoch",
        &[
            (1, 7, 7, "accepted"),
            (2, 1, 8, "accepted"),
            (2, 2, 9, "accepted"),
        ],
    ),
    (
        "a restored spool is told the next epoch",
        &[
            (3, 1, 1, "accepted"),
            (2, 1, 2, "stale_epoch:4"),
            (4, 1, 2, "accepted"),
        ],
    ),
    (
        "the former epoch is remembered",
        &[
            (1, 1, 1, "accepted"),
            (2, 1, 2, "accepted"),
            (1, 1, 1, "duplicate"),
            (1, 2, 3, "stale_epoch:3"),
        ],
    ),
    (
        "an epoch jumps by a million at most",
        &[
            (1, 1, 1, "accepted"),
            (1_000_002, 1, 2, "out_of_range"),
            (1_000_001, 1, 2, "accepted"),
        ],
    ),
    (
        "the first epoch is at most 2^40",
        &[
            (1_099_511_627_777, 1, 1, "out_of_range"),
            (1_099_511_627_776, 1, 1, "accepted"),
        ],
    ),
];

pub(crate) fn make() -> Value {
    let transcripts = TRANSCRIPTS.iter().map(|(name, steps)| {
        let steps: Vec<Value> = steps
            .iter()
            .map(|(epoch, seq, content, answer)| {
                json!({"epoch": epoch, "seq": seq, "content": content, "answer": answer})
            })
            .collect();
        json!({"name": name, "steps": steps})
    });
    json!({
        "about": "each case begins with an agent of which nothing was seen; content stands for everything but sent_at; stale_epoch is followed by min_epoch",
        "cases": transcripts.collect::<Vec<_>>(),
    })
}

pub(crate) fn verify(file: &Value) {
    for case in cases(file) {
        let mut set = PositionSet::new();
        let mut stored: BTreeMap<(u64, u64), ContentHash> = BTreeMap::new();
        for step in case["steps"].as_array().unwrap() {
            let number = |member: &str| step[member].as_i64().unwrap();
            let position = Position::new(number("epoch"), number("seq")).unwrap();
            let content = ContentHash([u8::try_from(number("content")).unwrap(); 32]);
            let key = (position.epoch(), position.seq());
            let answer = match set.admit(position, content, stored.get(&key).copied()) {
                Admission::Fresh { .. } => {
                    stored.insert(key, content);
                    "accepted".to_owned()
                }
                Admission::Duplicate => "duplicate".to_owned(),
                Admission::Replay | Admission::GivenUp => "replay".to_owned(),
                Admission::StaleEpoch { min_epoch } => format!("stale_epoch:{min_epoch}"),
                Admission::OutOfRange => "out_of_range".to_owned(),
            };
            let name = text_of(case, "name");
            assert_eq!(answer, text_of(step, "answer"), "{name}: {step}");
        }
    }
}
