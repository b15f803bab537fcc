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
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

#[test]
fn the_corpus_of_check_holds() {
    replay("check", bodies::check);
}

#[test]
fn the_corpus_of_canonicalize_holds() {
    replay("canonicalize", bodies::canonicalize);
}

#[test]
fn the_corpus_of_schemas_holds() {
    replay("schemas", bodies::schemas);
}

#[test]
fn the_corpus_of_headers_holds() {
    replay("headers", bodies::headers);
}

#[test]
fn the_corpus_of_envelope_ed25519_holds() {
    replay("envelope_ed25519", bodies::envelope_ed25519);
}

#[test]
fn the_corpus_of_envelope_hmac_holds() {
    replay("envelope_hmac", bodies::envelope_hmac);
}

#[test]
fn the_corpus_of_spool_holds() {
    replay("spool", bodies::spool);
}

#[test]
fn every_target_has_a_corpus_that_is_replayed() {
    let here = fs::read_to_string(file_of("monsys-wire/tests/corpus.rs")).unwrap();
    let targets = fs::read_dir(file_of("fuzz/fuzz_targets")).unwrap();
    for target in targets {
        let path = target.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            here.contains(&format!("replay(\"{name}\", bodies::{name})")),
            "{name}"
        );
    }
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = file_of("fuzz/corpus").join(target);
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

/// A path from the root, also for a package deeper down that runs the same file.
fn file_of(path: &str) -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.find(|folder| folder.join("fuzz/corpus").is_dir());
    root.unwrap().join(path)
}
