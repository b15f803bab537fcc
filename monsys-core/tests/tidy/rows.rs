//! What the endpoint document asks for is found by name: a test for each row of the notes about it,
//! a file for each topic that it lists, and for each threat the tests that hold it off.

use std::collections::BTreeSet;

use crate::tree::{File, Finding};

/// Groups of rows and how many each has: ingest, accounts and pages, privacy.
const ROWS: [(char, u32); 3] = [('i', 10), ('a', 19), ('p', 3)];

/// The row of collectors that degrade; its group is about insights, which come with their engine.
const DEGRADED: &str = "e5";

/// Topics that the endpoint document lists under "Testing", as files; those of the insight engine
/// come with it.
const TOPICS: [&str; 8] = [
    "invalid_signature",
    "replay",
    "payload_abuse",
    "jwt_and_rotation",
    "sql_injection",
    "rate_limit",
    "fuzz_no_500",
    "windows_degradation",
];

/// Page of the manual that names the tests against each threat.
pub(crate) const THREATS: &str = "monsys-core/src/manual/threat_model.md";

/// A row without a test whose name begins with it.
pub(crate) fn row_findings(files: &[File]) -> Vec<Finding> {
    let tests = all_tests(files);
    let is_tested = |row: &str| {
        let mut names = tests.iter().map(|(_, name)| name);
        names.any(|name| {
            name.strip_prefix(row)
                .is_some_and(|rest| rest.starts_with('_'))
        })
    };
    let rows = ROWS
        .iter()
        .flat_map(|(group, n)| (1..=*n).map(move |number| format!("{group}{number}")));
    let missing = rows
        .chain([DEGRADED.to_owned()])
        .filter(|row| !is_tested(row));
    let finding = |row: String| {
        let text = format!("row {row} of the notes has no test named `{row}_…`");
        Finding::new("examples/hub/tests", 1, "rows", text)
    };
    missing.map(finding).collect()
}

/// A topic without a file of tests.
pub(crate) fn topic_findings(files: &[File]) -> Vec<Finding> {
    let tests = all_tests(files);
    let missing = TOPICS
        .iter()
        .filter(|topic| !tests.iter().any(|(stem, _)| stem == *topic));
    let finding = |topic: &&str| {
        let text = format!("no test in a file named `{topic}.rs`");
        Finding::new("examples/hub/tests", 1, "topics", text)
    };
    missing.map(finding).collect()
}

/// A line of a table of threats that names no test, or one that is not there.
pub(crate) fn threat_findings(page: &File, files: &[File]) -> Vec<Finding> {
    let tests = all_tests(files);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(page.text.lines()) {
        let is_threat = line.starts_with("| ") && !line.starts_with("| threat");
        let named: Vec<_> = line.split('`').skip(1).step_by(2).collect();
        let mut named = named
            .iter()
            .filter_map(|text| text.split_once("::"))
            .peekable();
        if is_threat && named.peek().is_none() {
            let text = "a threat without a test: expected `file::test`".to_owned();
            found.push(Finding::new(&page.path, number, "threats", text));
        }
        for (stem, name) in named {
            if !tests.contains(&(stem.to_owned(), name.to_owned())) {
                let text = format!("there is no test `{stem}::{name}`");
                found.push(Finding::new(&page.path, number, "threats", text));
            }
        }
    }
    found
}

/// All tests as stem of the file, or of the folder of a `main.rs`, and name.
fn all_tests(files: &[File]) -> BTreeSet<(String, String)> {
    let mut tests = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        // A test of several files is known by its folder.
        let path = file.path.strip_suffix("/main.rs").unwrap_or(&file.path);
        let name = path.rsplit('/').next().unwrap_or_default();
        let stem = name.trim_end_matches(".rs").to_owned();
        let mut is_test = false;
        for line in file.text.lines().map(str::trim_start) {
            if line.starts_with('#') {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                continue;
            }
            let declared = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ");
            if let Some(declared) = declared.filter(|_| is_test) {
                let name = declared.split('(').next().unwrap_or_default();
                tests.insert((stem.clone(), name.to_owned()));
            }
            is_test = false;
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, names: &[&str]) -> File {
        let text: String = names
            .iter()
            .map(|name| format!("#[test]\nfn {name}() {{}}\n"))
            .collect();
        File::new(path, &text)
    }

    #[test]
    fn a_row_without_a_test_is_caught() {
        let rows = ROWS
            .iter()
            .flat_map(|(group, n)| (1..=*n).map(move |number| format!("{group}{number}_holds")));
        let rows: Vec<_> = rows.chain([format!("{DEGRADED}_holds")]).collect();
        let mut names: Vec<_> = rows.iter().map(String::as_str).collect();
        assert!(row_findings(&[file("a/tests/a.rs", &names)]).is_empty());
        names.retain(|name| *name != "a1_holds");
        let found = row_findings(&[file("a/tests/a.rs", &names)]);
        assert_eq!(found.len(), 1, "a19 is not a1");
        let no_test = File::new("a/tests/a.rs", "fn a1_holds() {}");
        assert_eq!(row_findings(&[no_test]).len(), 33);
    }

    #[test]
    fn a_topic_without_a_file_is_caught() {
        let mut files: Vec<_> = TOPICS
            .iter()
            .map(|topic| file(&format!("a/tests/{topic}.rs"), &["holds"]))
            .collect();
        assert!(topic_findings(&files).is_empty());
        files.pop();
        assert_eq!(topic_findings(&files).len(), 1);
    }

    #[test]
    fn a_threat_names_tests_that_are_there() {
        let files = [file("a/tests/login.rs", &["a1_holds"])];
        let page = |text: &str| File::new(THREATS, text);
        let of = |text: &str| threat_findings(&page(text), &files).len();
        assert_eq!(
            of("| threat | tests |\n|---|---|\n| theft | `login::a1_holds` |"),
            0
        );
        assert_eq!(of("| theft | none |"), 1);
        assert_eq!(of("| theft | `login::a1_held` |"), 1);
        assert_eq!(of("words about `monsys::gone` outside the table"), 1);
    }
}
