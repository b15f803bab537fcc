//! Pure crates name no clock, no randomness, no input or output and no runtime.

use crate::scan;
use crate::tree::{File, Finding};

const RULE: &str = "purity";

/// What a pure crate may not name in code, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", RUNTIME),
    ("axum", RUNTIME),
    ("rusqlite", DATABASE),
    ("tokio_postgres", DATABASE),
    ("rand::", RANDOM),
    ("getrandom", RANDOM),
    ("std::fs", IO),
    ("std::net", IO),
    ("std::env", IO),
    ("std::process", IO),
    ("println!", OUTPUT),
    ("print!", OUTPUT),
    ("eprintln!", OUTPUT),
    ("eprint!", OUTPUT),
    ("Instant", CLOCK),
    ("SystemTime", CLOCK),
    ("Utc::now", CLOCK),
    ("Local::now", CLOCK),
    ("async", ASYNC),
    (".await", ASYNC),
    ("thread::", THREAD),
    ("std::thread", THREAD),
    ("static mut", STATE),
    ("OnceLock", STATE),
    ("LazyLock", STATE),
    ("thread_local", STATE),
    ("HashMap", ORDER),
    ("HashSet", ORDER),
    (
        "unsafe",
        "memory safety is the compiler's work in these crates",
    ),
];

const RUNTIME: &str = "a pure crate names no runtime; the programs under examples do";
const DATABASE: &str = "the storage contract is all a pure crate knows of databases";
const RANDOM: &str = "random bytes are arguments";
const IO: &str = "a pure crate touches no file, socket, environment or process";
const OUTPUT: &str = "a pure crate returns what it found; the programs print it";
const CLOCK: &str = "time is an argument called now";
const ASYNC: &str = "the storage contract returns boxed futures; nothing else waits";
const THREAD: &str = "the caller decides about threads";
const STATE: &str = "no global state: the same input gives the same output";
const ORDER: &str = "its order could reach output; use a BTree collection or a sorted Vec";

/// Every forbidden name in the sources of the pure crates, groups in `use` written out.
pub(crate) fn findings(files: &[File]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.is_pure()) {
        let scanned = scan::scan(&file.text);
        let code = scan::tokens(&scanned.code);
        let paths = scan::use_paths(&code);
        for (name, reason) in FORBIDDEN {
            let mut lines = scan::lines_with(&code, name);
            for path in &paths {
                let spelled = format!("{}::", path.text);
                if !scan::lines_with(&scan::tokens(&spelled), name).is_empty() {
                    lines.push(path.line);
                }
            }
            for line in lines {
                let text = format!("`{name}`: {reason}");
                found.push(Finding::new(&file.path, line, RULE, text));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(source: &str) -> bool {
        !findings(&[File::new("monsys-wire/src/x.rs", source)]).is_empty()
    }

    #[test]
    fn every_forbidden_name_is_caught() {
        for (name, _) in FORBIDDEN {
            assert!(caught(&format!("fn f() {{ {name} }}")), "{name}");
        }
    }

    #[test]
    fn the_forms_people_write_are_caught() {
        for source in [
            "use tokio::sync::mpsc;",
            "use std::{collections::BTreeMap, fs};",
            "use std::{io, net::{TcpStream, UdpSocket}};",
            "use std::thread;",
            "fn f() { let x = std::time::Instant::now(); }",
            "let x = chrono::Utc::now();",
            "async fn f() {}",
            "fn f() { async move { g().await } }",
            "#[cfg(test)] mod tests { use std::collections::HashMap; }",
            "let x = std :: env :: var(y);",
        ] {
            assert!(caught(source), "{source}");
        }
    }

    #[test]
    fn comments_strings_longer_words_and_other_crates_are_left_alone() {
        for source in [
            "//! Never names tokio or std::fs.",
            "/// ```\n/// let x = std::env::var(y);\n/// ```",
            "const A: &str = \"unsafe async println!\";",
            "#![forbid(unsafe_code)]",
            "let operand = operand::x; let instant = Instantly;",
            "use core::future::Future; use std::collections::BTreeMap;",
        ] {
            assert!(!caught(source), "{source}");
        }
        let hub = File::new("examples/hub/src/main.rs", "use tokio::net;");
        assert!(findings(&[hub]).is_empty());
    }
}
