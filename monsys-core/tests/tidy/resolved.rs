//! What cargo resolves for a pure crate alone: features that leak and the size of the tree.
//!
//! A check of the whole workspace unifies features and hides a clock that another crate turned
//! on, so cargo is asked crate by crate.

use std::collections::BTreeSet;
use std::process::Command;

use crate::tree::{self, Finding};

/// Normal dependencies of the wire crate with all its features. Third-party agents link this
/// crate: each one more is one more they have to trust.
const WIRE_CRATES_MAX: usize = 34;

/// Runtimes, databases, sources of randomness, clients: a pure crate reaches none of them.
const UNREACHABLE: [&str; 8] = [
    "axum",
    "getrandom",
    "iana-time-zone",
    "rand",
    "rusqlite",
    "tokio",
    "tokio-postgres",
    "ureq",
];

/// The tree of one crate alone, one package a line: `name version [features]`.
pub(crate) fn tree(package: &str, features: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(tree::root())
        .args(["tree", "--offline", "--locked", "--package", package])
        .args(["--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p} [{f}]"])
        .args(features)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", env!("CARGO")));
    assert!(
        output.status.success(),
        "cargo tree --package {package} {features:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Features of chrono that read the clock, and crates that act.
pub(crate) fn leak_findings(package: &str, tree: &str) -> Vec<Finding> {
    let path = format!("{package}/Cargo.toml");
    let mut found = Vec::new();
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if UNREACHABLE.contains(&name) {
            let text = format!("{package} alone builds {name}: a pure crate reaches no such thing");
            found.push(Finding::new(&path, 1, "resolved crates", text));
        }
        for feature in features(line) {
            if name == "chrono" && matches!(feature, "clock" | "now" | "default") {
                let text =
                    format!("{package} alone turns on chrono's `{feature}`: time is an argument");
                found.push(Finding::new(&path, 1, "resolved features", text));
            }
        }
    }
    found
}

fn features(line: &str) -> impl Iterator<Item = &str> {
    let list = line.split_once('[').map_or("", |(_, tail)| tail);
    list.split(']').next().unwrap_or_default().split(',')
}

/// A wire crate that has grown heavy.
pub(crate) fn wire_findings(tree: &str) -> Vec<Finding> {
    let count = crates(tree);
    if count <= WIRE_CRATES_MAX {
        return Vec::new();
    }
    let text = format!("{count} crates in the tree, at most {WIRE_CRATES_MAX}");
    vec![Finding::new(
        "monsys-wire/Cargo.toml",
        1,
        "resolved crates",
        text,
    )]
}

/// Distinct packages of a tree, the root not counted.
fn crates(tree: &str) -> usize {
    let packages: BTreeSet<&str> = tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split(" [").next())
        .filter(|package| !package.is_empty())
        .collect();
    packages.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_leaked_is_caught() {
        let line =
            |features: &str| format!("monsys-core v0.1.0 []\nchrono v0.4.45 [{features}] (*)\n");
        assert!(leak_findings("monsys-core", &line("alloc,std")).is_empty());
        for feature in ["clock", "alloc,now,std", "default"] {
            assert_eq!(
                leak_findings("monsys-core", &line(feature)).len(),
                1,
                "{feature}"
            );
        }
    }

    #[test]
    fn a_crate_that_acts_is_caught() {
        let tree = "monsys-core v0.1.0 [std]\nrand_core v0.10.1 []\nrand v0.10.3 [std]\n";
        assert_eq!(leak_findings("monsys-core", tree).len(), 1);
    }

    #[test]
    fn the_hub_shows_that_leaks_can_be_seen() {
        let found = leak_findings("monsys-hub", &tree("monsys-hub", &[]));
        assert!(found.iter().any(|finding| finding.text.contains("tokio")));
    }

    #[test]
    fn packages_are_counted_once_and_the_root_is_not() {
        let tree = "root v1 [a]\nb v1 [c]\nb v2 []\nb v1 [c] (*)\n";
        assert_eq!(crates(tree), 2);
    }

    #[test]
    fn a_tree_of_35_crates_is_caught_and_one_of_34_is_not() {
        let tree = |count: usize| {
            let lines: Vec<String> = (0..=count).map(|n| format!("x{n} v1 []")).collect();
            lines.join("\n")
        };
        assert!(wire_findings(&tree(34)).is_empty());
        assert_eq!(wire_findings(&tree(35)).len(), 1);
    }
}
