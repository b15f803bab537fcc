//! The files of the workspace and what a rule says about one of them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::scan;

/// The crates that decide and never act.
pub(crate) const PURE: [&str; 4] = [
    "monsys-core",
    "monsys-signals",
    "monsys-wire",
    "monsys-integrity",
];

/// One text file; `path` is relative to the workspace root and uses `/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file lies in a folder that is compiled for tests and measurements only.
    pub(crate) fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| matches!(part, "tests" | "benches" | "fuzz"))
    }

    /// Whether the file is source of a pure crate.
    pub(crate) fn is_pure(&self) -> bool {
        PURE.iter().any(|name| self.is_source_of(name))
    }

    /// Whether the file lies under the `src` folder of the crate in `folder`.
    pub(crate) fn is_source_of(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with("/src/"))
    }
}

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) text: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, rule: &'static str, text: String) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            text,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            text,
        } = self;
        write!(out, "{path}:{line}: {rule}: {text}")
    }
}

/// Fails the test with one line for each finding.
#[track_caller]
pub(crate) fn none(mut findings: Vec<Finding>) {
    findings.sort();
    findings.dedup();
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} found\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}:1: {error}"))
}

/// Names at the top of the workspace, without dot files.
pub(crate) fn visible_names() -> Vec<String> {
    entries(&root())
        .into_iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// Every text file that people write here. Build output, the history of the repository, fuzz
/// inputs and Cargo's lock files are left out.
pub(crate) fn files() -> Vec<File> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if !is_skipped_folder(&name) {
                    folders.push(path);
                }
            } else if is_text(&name, &path) {
                let inside = path
                    .strip_prefix(&root)
                    .expect("the walk began at the root");
                let relative = inside.to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{relative}:1: not readable text: {error}"));
                found.push(File {
                    path: relative,
                    text,
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

pub(crate) fn rust_files() -> Vec<File> {
    files().into_iter().filter(File::is_rust).collect()
}

/// Paths of the files that are modules declared under test.
pub(crate) fn test_modules(files: &[File]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let scanned = scan::scan(&file.text);
        for name in scan::test_files(&scan::tokens(&scanned.code)) {
            let folder = match file.path.rsplit_once('/') {
                Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
                _ => file.path.trim_end_matches(".rs"),
            };
            paths.insert(format!("{folder}/{name}.rs"));
            paths.insert(format!("{folder}/{name}/mod.rs"));
        }
    }
    paths
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listing
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    paths.sort();
    paths
}

fn is_skipped_folder(name: &str) -> bool {
    matches!(
        name,
        "target" | ".git" | "corpus" | "artifacts" | "node_modules" | "__pycache__" | "venv"
    )
}

fn is_text(name: &str, path: &Path) -> bool {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => matches!(
            ending,
            "rs" | "toml"
                | "md"
                | "sh"
                | "html"
                | "css"
                | "js"
                | "mjs"
                | "py"
                | "sql"
                | "yml"
                | "yaml"
                | "json"
                | "txt"
        ),
        _ => fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_meets_sources_manifests_and_scripts_and_no_build_output() {
        let files = files();
        for wanted in [
            "Cargo.toml",
            "monsys-core/src/lib.rs",
            "monsys-core/tests/tidy.rs",
            "examples/hub/Cargo.toml",
            ".ci/run",
            ".deny.toml",
            "examples/third-party-agent/agent.py",
            "examples/third-party-agent/package-lock.json",
        ] {
            assert!(files.iter().any(|file| file.path == wanted), "{wanted}");
        }
        assert!(!files.iter().any(|file| file.path.contains("target/")));
    }

    #[test]
    fn a_finding_names_file_line_rule_and_reason() {
        let finding = Finding::new("a/b.rs", 7, "purity", "`x`: because".to_owned());
        assert_eq!(finding.to_string(), "a/b.rs:7: purity: `x`: because");
    }

    #[test]
    #[allow(clippy::panic, reason = "the failure itself is examined")]
    fn one_finding_is_enough_to_fail() {
        let outcome = std::panic::catch_unwind(|| {
            none(vec![Finding::new("a.rs", 1, "rule", "text".to_owned())]);
        });
        assert!(outcome.is_err());
        none(Vec::new());
    }

    #[test]
    fn test_modules_are_found_beside_their_parent() {
        let files = [
            File::new("a/src/lib.rs", "#[cfg(test)] mod laws;"),
            File::new("a/src/b.rs", "#[cfg(test)]\nmod real;"),
        ];
        let paths = test_modules(&files);
        assert!(paths.contains("a/src/laws.rs") && paths.contains("a/src/b/real.rs"));
    }
}
