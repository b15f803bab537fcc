//! What each crate may depend on, and how a manifest says so.

use std::collections::BTreeSet;

use crate::scan;
use crate::tree::{File, Finding};

const RULE: &str = "dependencies";
const EDGE: &str = "edges between crates";

/// Exactly what a pure crate builds on. A longer list is a decision, made here and in the manual.
const PURE_DEPENDENCIES: [(&str, &[&str]); 4] = [
    (
        "monsys-core",
        &[
            "chrono",
            "postgres-types",
            "serde_core",
            "sha2",
            "thiserror",
            "uuid",
            "zeroize",
            "zmij",
        ],
    ),
    ("monsys-signals", &["monsys-core", "sha2", "thiserror"]),
    (
        "monsys-wire",
        &[
            "ed25519-dalek",
            "hmac",
            "monsys-core",
            "sha2",
            "thiserror",
            "zeroize",
        ],
    ),
    ("monsys-integrity", &["monsys-core", "semver"]),
];

/// Which of our crates each of our crates may name, in manifests and in sources.
const EDGES: [(&str, &[&str]); 6] = [
    ("monsys-core", &[]),
    ("monsys-signals", &["monsys-core"]),
    ("monsys-wire", &["monsys-core"]),
    ("monsys-integrity", &["monsys-core"]),
    (
        "examples/agent",
        &["monsys-core", "monsys-signals", "monsys-wire"],
    ),
    (
        "examples/hub",
        &[
            "monsys-core",
            "monsys-signals",
            "monsys-wire",
            "monsys-integrity",
            "monsys-agent",
        ],
    ),
];

const OURS: [&str; 6] = [
    "monsys-core",
    "monsys-signals",
    "monsys-wire",
    "monsys-integrity",
    "monsys-agent",
    "monsys-hub",
];

/// Oracles of tests that offer no features to turn off.
const WITHOUT_FEATURES: [&str; 2] = ["serde_json_canonicalizer", "ryu-js"];

/// One `key = value` of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) line: usize,
    pub(crate) has_reason: bool,
}

impl Entry {
    /// The name before `.workspace`.
    fn name(&self) -> &str {
        self.key.split('.').next().unwrap_or(&self.key)
    }

    /// Whether the entry declares a dependency of a crate; target tables included.
    fn is_dependency(&self) -> bool {
        self.section.ends_with("dependencies") && !self.section.starts_with("workspace")
    }

    fn is_normal_dependency(&self) -> bool {
        self.section == "dependencies" || self.section.ends_with(".dependencies")
    }

    fn is_inherited(&self) -> bool {
        let inline = self.value.replace(' ', "");
        self.key.ends_with(".workspace") && self.value == "true"
            || inline.starts_with("{workspace=true")
    }
}

/// The entries of a manifest. Values over several lines are joined; a dependency in a table of
/// its own yields no entry with the usual section, and [`form_findings`] refuses it.
pub(crate) fn entries(text: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut is_open = false;
    let mut has_reason = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if is_open {
            if let Some(entry) = found.last_mut() {
                entry.value.push_str(line);
                is_open = is_unbalanced(&entry.value);
            }
        } else if let Some(header) = line.strip_prefix('[') {
            header
                .split(']')
                .next()
                .unwrap_or_default()
                .clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let value = value.split(" #").next().unwrap_or_default().trim();
            is_open = is_unbalanced(value);
            found.push(Entry {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.to_owned(),
                line: index + 1,
                has_reason,
            });
        }
        has_reason = line.starts_with('#');
    }
    found
}

fn is_unbalanced(value: &str) -> bool {
    let count = |mark: char| value.matches(mark).count();
    count('[') != count(']') || count('{') != count('}')
}

/// The folders of the workspace members, as the root manifest lists them.
pub(crate) fn members(root_manifest: &str) -> Vec<String> {
    entries(root_manifest)
        .iter()
        .filter(|entry| entry.section == "workspace" && entry.key == "members")
        .flat_map(|entry| entry.value.split('"').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// Pure crates whose dependencies are not exactly those of the list.
pub(crate) fn list_findings(folder: &str, manifest: &str) -> Vec<Finding> {
    let Some((_, wanted)) = PURE_DEPENDENCIES.iter().find(|(name, _)| *name == folder) else {
        return Vec::new();
    };
    let path = format!("{folder}/Cargo.toml");
    let entries = entries(manifest);
    let declared: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.is_normal_dependency())
        .collect();
    let mut found = Vec::new();
    for entry in &declared {
        if !wanted.contains(&entry.name()) {
            let text = format!(
                "`{}` is not on the list of {folder}: each crate in a pure crate's tree is one \
                 more to trust",
                entry.name()
            );
            found.push(Finding::new(&path, entry.line, RULE, text));
        }
        if !entry.has_reason {
            let text = format!("`{}` has no comment above it saying why", entry.name());
            found.push(Finding::new(&path, entry.line, RULE, text));
        }
    }
    for name in *wanted {
        if !declared.iter().any(|entry| entry.name() == *name) {
            let text = format!("`{name}` is on the list of {folder} and is not declared");
            found.push(Finding::new(&path, 1, RULE, text));
        }
    }
    found
}

/// Dependencies of a member that are not inherited from the workspace.
pub(crate) fn form_findings(folder: &str, manifest: &str) -> Vec<Finding> {
    let path = format!("{folder}/Cargo.toml");
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let header = line.trim().trim_start_matches('[');
        if line.trim().starts_with('[') && header.contains("dependencies.") {
            let text = "a dependency in a table of its own: write it on one line".to_owned();
            found.push(Finding::new(&path, index + 1, RULE, text));
        }
    }
    for entry in entries(manifest) {
        if entry.is_dependency() && !entry.is_inherited() {
            let text = format!(
                "`{}` does not say `workspace = true`: versions are chosen once, in the root",
                entry.name()
            );
            found.push(Finding::new(&path, entry.line, RULE, text));
        }
    }
    found
}

/// Declarations of the root that leave default features on or give a crate another name.
pub(crate) fn root_findings(manifest: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for entry in entries(manifest) {
        if entry.section != "workspace.dependencies" {
            continue;
        }
        let inline = entry.value.replace(' ', "");
        let is_off = inline.contains("default-features=false");
        if !is_off && !WITHOUT_FEATURES.contains(&entry.name()) {
            let text = format!(
                "`{}` leaves default features on: every feature is asked for by name",
                entry.name()
            );
            found.push(Finding::new("Cargo.toml", entry.line, RULE, text));
        }
        if inline.contains("package=") {
            let text = format!("`{}` hides the name of its package", entry.name());
            found.push(Finding::new("Cargo.toml", entry.line, RULE, text));
        }
    }
    found
}

/// Declarations of the root that no member takes.
pub(crate) fn idle_root_findings(manifest: &str, members: &[(String, String)]) -> Vec<Finding> {
    let taken: BTreeSet<String> = members
        .iter()
        .flat_map(|(_, text)| entries(text))
        .filter(Entry::is_dependency)
        .map(|entry| entry.name().to_owned())
        .collect();
    entries(manifest)
        .iter()
        .filter(|entry| entry.section == "workspace.dependencies")
        .filter(|entry| !taken.contains(entry.name()))
        .map(|entry| {
            let text = format!("`{}` is declared and no member takes it", entry.name());
            Finding::new("Cargo.toml", entry.line, RULE, text)
        })
        .collect()
}

/// Declared dependencies that no source of the crate names: normal ones in `src`, those of tests
/// in any Rust file, examples in comments included.
pub(crate) fn unused_findings(folder: &str, manifest: &str, files: &[File]) -> Vec<Finding> {
    let inside = |file: &&File| {
        let rest = file.path.strip_prefix(folder);
        file.is_rust() && rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let mut in_sources = BTreeSet::new();
    let mut anywhere = BTreeSet::new();
    for file in files.iter().filter(inside) {
        anywhere.extend(names(&file.text));
        if file.is_source_of(folder) {
            in_sources.extend(names(&scan::scan(&file.text).code));
        }
    }
    let mut found = Vec::new();
    for entry in entries(manifest) {
        let name = entry.name().replace('-', "_");
        let used = if entry.is_normal_dependency() && !entry.section.starts_with("dev") {
            &in_sources
        } else {
            &anywhere
        };
        if entry.is_dependency() && !used.contains(&name) {
            let text = format!("`{}` is declared and never named", entry.name());
            let path = format!("{folder}/Cargo.toml");
            found.push(Finding::new(&path, entry.line, RULE, text));
        }
    }
    found
}

fn names(text: &str) -> Vec<String> {
    text.split(|mark: char| mark != '_' && !mark.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Our crates named where the direction of imports forbids it, in the manifest or in code.
pub(crate) fn edge_findings(folder: &str, manifest: &str, files: &[File]) -> Vec<Finding> {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == folder) else {
        let text = format!("{folder} has no place in the direction of imports: add it to EDGES");
        return vec![Finding::new(&format!("{folder}/Cargo.toml"), 1, EDGE, text)];
    };
    let own = format!(
        "monsys-{}",
        folder.rsplit(['-', '/']).next().unwrap_or(folder)
    );
    let is_forbidden = |name: &str| OURS.contains(&name) && name != own && !allowed.contains(&name);
    let text = |name: &str| {
        format!("{folder} names {name}: imports run core ← signals, wire, integrity ← examples")
    };
    let mut found = Vec::new();
    for entry in entries(manifest) {
        if entry.is_dependency() && is_forbidden(entry.name()) {
            let path = format!("{folder}/Cargo.toml");
            found.push(Finding::new(&path, entry.line, EDGE, text(entry.name())));
        }
    }
    let start = format!("{folder}/");
    for file in files.iter().filter(|file| file.path.starts_with(&start)) {
        if !file.is_rust() {
            continue;
        }
        let scanned = scan::scan(&file.text);
        for token in scan::tokens(&scanned.code) {
            let name = token.text.replace('_', "-");
            if is_forbidden(&name) {
                found.push(Finding::new(&file.path, token.line, EDGE, text(&name)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGRITY: &str = "[dependencies]\n# Vocabulary.\nmonsys-core.workspace = true\n\
                             # Versions.\nsemver = { workspace = true }\n";

    fn texts(found: &[Finding]) -> String {
        let texts: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
        texts.join("\n")
    }

    #[test]
    fn entries_know_section_line_value_and_the_comment_above() {
        let text = "[a]\n# why\nb.workspace = true # more\n\nc = [\n  \"d\",\n  \"e\",\n]\nf = 1\n";
        let found = entries(text);
        let shown: Vec<(&str, &str, usize, bool)> = found
            .iter()
            .map(|entry| {
                (
                    entry.name(),
                    entry.value.as_str(),
                    entry.line,
                    entry.has_reason,
                )
            })
            .collect();
        let expected = [
            ("b", "true", 3, true),
            ("c", "[\"d\",\"e\",]", 5, false),
            ("f", "1", 9, false),
        ];
        assert_eq!(shown, expected);
        assert!(found.iter().all(|entry| entry.section == "a"));
    }

    #[test]
    fn members_are_read_from_the_root() {
        let text = "[workspace]\nmembers = [\"a\",\n  \"b/c\"]\nexclude = [\"d\"]\n";
        assert_eq!(members(text), ["a", "b/c"]);
    }

    #[test]
    fn a_list_that_is_exact_passes() {
        assert!(list_findings("monsys-integrity", INTEGRITY).is_empty());
        assert!(form_findings("monsys-integrity", INTEGRITY).is_empty());
    }

    #[test]
    fn a_dependency_too_many_too_few_or_without_reason_is_caught() {
        let more = format!("{INTEGRITY}# Json.\nserde_json.workspace = true\n");
        assert!(texts(&list_findings("monsys-integrity", &more)).contains("not on the list"));
        let target =
            format!("{INTEGRITY}[target.'cfg(unix)'.dependencies]\n# C.\nlibc.workspace = true\n");
        assert!(texts(&list_findings("monsys-integrity", &target)).contains("`libc`"));
        let fewer = INTEGRITY.replace("semver", "#");
        assert!(texts(&list_findings("monsys-integrity", &fewer)).contains("is not declared"));
        let bare = INTEGRITY.replace("# Versions.\n", "");
        assert!(texts(&list_findings("monsys-integrity", &bare)).contains("no comment"));
    }

    #[test]
    fn a_version_of_its_own_is_caught_in_every_form() {
        for line in [
            "[dependencies]\nx = \"1\"",
            "[dev-dependencies]\nx = { version = \"1\" }",
            "[build-dependencies]\nx = { path = \"../x\" }",
            "[dependencies]\nx = { features = [\"workspace = true\"] }",
            "[dependencies.x]\nversion = \"1\"",
            "[target.'cfg(unix)'.dependencies]\nx = \"1\"",
        ] {
            assert!(!form_findings("examples/hub", line).is_empty(), "{line}");
        }
    }

    #[test]
    fn default_features_and_hidden_names_in_the_root_are_caught() {
        let root = |line: &str| root_findings(&format!("[workspace.dependencies]\n{line}\n"));
        assert_eq!(root("x = \"1\"").len(), 1);
        assert_eq!(root("x = { version = \"1\" }").len(), 1);
        let hidden = "x = { version = \"1\", default-features = false, package = \"y\" }";
        assert_eq!(root(hidden).len(), 1);
        assert!(root("x = { version = \"1\", default-features = false }").is_empty());
        assert!(root("ryu-js = \"1\"").is_empty());
    }

    #[test]
    fn a_dependency_that_nothing_names_is_caught() {
        let manifest =
            "[dependencies]\na-b.workspace = true\n[dev-dependencies]\nc.workspace = true\n";
        let source = |text: &str| File::new("x/src/lib.rs", text);
        let test = |text: &str| File::new("x/tests/t.rs", text);
        let unused = |files: &[File]| unused_findings("x", manifest, files).len();
        assert_eq!(unused(&[source("use a_b::C;"), test("use c::D;")]), 0);
        assert_eq!(unused(&[source("use a_b::C; /// c::x")]), 0);
        assert_eq!(unused(&[source("// a_b"), test("use c::D;")]), 1);
        assert_eq!(unused(&[test("use a_b::C; use c::D;")]), 1);
        assert_eq!(unused(&[source("a_bc::x"), test("abc")]), 2);
    }

    #[test]
    fn a_declaration_of_the_root_that_no_member_takes_is_caught() {
        let root = "[workspace.dependencies]\na = \"1\"\nb = \"1\"\n";
        let member = |text: &str| [("x".to_owned(), text.to_owned())];
        let one = member("[dependencies]\na.workspace = true\n");
        assert_eq!(idle_root_findings(root, &one)[0].line, 3);
        let both = member("[dependencies]\na.workspace = true\nb = { workspace = true }\n");
        assert!(idle_root_findings(root, &both).is_empty());
    }

    #[test]
    fn a_forbidden_edge_is_caught_in_manifest_and_source() {
        let manifest = "[dev-dependencies]\nmonsys-wire.workspace = true\n";
        assert_eq!(edge_findings("monsys-signals", manifest, &[]).len(), 1);
        for (folder, path, code) in [
            ("monsys-core", "monsys-core/src/a.rs", "use monsys_wire::B;"),
            (
                "monsys-wire",
                "monsys-wire/tests/a.rs",
                "monsys_integrity::b()",
            ),
            (
                "monsys-integrity",
                "monsys-integrity/src/a.rs",
                "use monsys_signals::{B};",
            ),
            (
                "monsys-integrity",
                "monsys-integrity/src/a.rs",
                "use monsys_hub::B;",
            ),
            (
                "examples/agent",
                "examples/agent/src/a.rs",
                "use monsys_integrity::B;",
            ),
            (
                "examples/agent",
                "examples/agent/src/a.rs",
                "use monsys_hub::B;",
            ),
        ] {
            let found = edge_findings(folder, "", &[File::new(path, code)]);
            assert_eq!(found.len(), 1, "{code}");
        }
        assert_eq!(edge_findings("examples/new", "", &[]).len(), 1);
    }

    #[test]
    fn the_edges_of_the_architecture_pass() {
        let manifest = "[dependencies]\nmonsys-core.workspace = true\n";
        let files = [
            File::new(
                "monsys-wire/src/a.rs",
                "use monsys_core::B; // monsys_signals",
            ),
            File::new("monsys-wire/tests/a.rs", "use monsys_wire::B;"),
        ];
        assert!(edge_findings("monsys-wire", manifest, &files).is_empty());
        let hub = [File::new(
            "examples/hub/src/a.rs",
            "use monsys_agent::B; use monsys_integrity::C;",
        )];
        assert!(edge_findings("examples/hub", "", &hub).is_empty());
    }
}
