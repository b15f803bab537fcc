//! Replays the committed corpora of the fuzz targets.

#![allow(
    clippy::disallowed_methods,
    reason = "the test reads files and runs a build"
)]
#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the fuzz crate is included as a module"
)]

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

#[test]
fn the_corpus_of_canonical_holds() {
    replay("canonical", bodies::canonical);
}

#[test]
fn the_corpus_of_envelope_holds() {
    replay("envelope", bodies::envelope);
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{} files", files.len());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        // Named for the panic message of a failing file.
        let name = file.display().to_string();
        let outcome = std::panic::catch_unwind(|| body(&bytes));
        assert!(outcome.is_ok(), "{name}");
    }
}
