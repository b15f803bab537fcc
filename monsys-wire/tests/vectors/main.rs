//! The kit of named cases for other implementations: written, compared and verified here.
//!
//! `MONSYS_UPDATE_VECTORS=1 cargo test -p monsys-wire --test vectors` writes `monsys-wire/vectors`.
//! Without the variable each file must be what the program would write. What a case expects is
//! written down by hand; only signatures, hashes and their inputs are computed.

#![allow(
    clippy::disallowed_methods,
    reason = "the kit is files, and one variable says that they are to be written"
)]
#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod answers;
mod canonical;
mod ed25519;
mod keys;
#[path = "../kit/mod.rs"]
mod kit;
mod nonces;
mod positions;
mod requests;

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use monsys_wire::Code;
use serde_json::Value;

#[test]
fn texts_have_their_canonical_form_or_refusal() {
    canonical::verify(&kept("canonical", &canonical::make()));
}

#[test]
fn numbers_have_their_shortest_form() {
    canonical::verify_numbers(&kept("numbers", &canonical::make_numbers()));
}

#[test]
fn keys_and_messages_have_their_signatures() {
    keys::verify(&kept("keys", &keys::make()));
}

#[test]
fn signatures_that_verifiers_disagree_about_are_refused() {
    ed25519::verify(&kept("ed25519", &ed25519::make()));
}

#[test]
fn requests_are_accepted_or_refused() {
    requests::verify(&kept("requests", &requests::make()));
}

#[test]
fn every_code_has_its_answer() {
    answers::verify(&kept("answers", &answers::make()));
}

#[test]
fn positions_are_decided() {
    positions::verify(&kept("positions", &positions::make()));
}

#[test]
fn nonces_are_decided() {
    nonces::verify(&kept("nonces", &nonces::make()));
}

/// What no bytes of a request can bring about, with the reason.
const STATE_OF_THE_HUB: [(&str, &str); 3] = [
    ("pin_refused", "another key is pinned, or time has run out"),
    ("rate_limited", "others were served before"),
    ("store_unavailable", "the hub cannot write"),
];

#[test]
fn every_code_has_a_case_that_brings_it_about_or_a_reason_why_none_can() {
    let mut found = BTreeSet::new();
    for made in [requests::make(), canonical::make()] {
        for case in cases(&made) {
            let codes = [&case["code"], &case["refused"]["code"]];
            found.extend(
                codes
                    .into_iter()
                    .filter_map(|code| code.as_str().map(str::to_owned)),
            );
        }
    }
    for made in [positions::make(), nonces::make()] {
        for case in cases(&made) {
            for step in case["steps"].as_array().unwrap() {
                let answer = text_of(step, "answer")
                    .split(':')
                    .next()
                    .unwrap_or_default();
                found.insert(answer.to_owned());
            }
        }
    }
    for code in Code::ALL {
        let reason = STATE_OF_THE_HUB
            .iter()
            .find(|(name, _)| *name == code.as_str());
        assert_eq!(
            found.contains(code.as_str()),
            reason.is_none(),
            "{}: {reason:?}",
            code.as_str()
        );
    }
}

/// The file as it is on disk, which is what the program writes.
fn kept(name: &str, made: &Value) -> Value {
    let path = crate_folder().join(format!("vectors/{name}.json"));
    if env::var("MONSYS_UPDATE_VECTORS").is_ok_and(|value| value == "1") {
        let text = serde_json::to_string_pretty(made).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert!(kept == *made, "{name}.json is not what would be written");
    for case in cases(&kept) {
        assert!(!text_of(case, "name").is_empty());
    }
    kept
}

/// The folder of the wire crate, also for a package below it that runs the same file.
fn crate_folder() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let with_kit = folders.find(|folder| folder.join("vectors/keys.json").is_file());
    with_kit.unwrap()
}

fn cases(file: &Value) -> &[Value] {
    file["cases"].as_array().unwrap()
}

fn text_of<'v>(case: &'v Value, member: &str) -> &'v str {
    case[member].as_str().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}
