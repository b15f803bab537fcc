//! Words that stay in one place, or have no place here.
//!
//! Words that no file may hold are put together from halves, so that this file passes as well.

use std::ops::RangeInclusive;

use crate::scan;
use crate::tree::{self, File, Finding};

const HEADERS: [&str; 2] = ["x-monsys-signature", "x-em-"];

/// The integrity document fixes this sentence byte for byte, header name included.
const UNSIGNED_SUMMARY: &str = "agent has a pinned signing_pubkey but sent no X-Monsys-Signature";

const SQL: [&str; 5] = [
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
];

const FILE_NAMES: [&str; 6] = ["utils", "helpers", "common", "types", "manager", "misc"];

const UNFINISHED_CODE: [(&str, &str); 4] = [
    (
        concat!("to", "do!"),
        "unfinished work is an issue, not code",
    ),
    (
        concat!("unimpl", "emented!"),
        "unfinished work is an issue, not code",
    ),
    (
        concat!("#[ig", "nore"),
        "a test that cannot run says so loudly",
    ),
    (
        concat!("should_", "panic"),
        "a test names the error it expects",
    ),
];

const UNFINISHED_TEXT: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

const REGISTRY_HOSTS: [&str; 9] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("//crates", ".io"),
    concat!("registry.", "npmjs"),
    concat!("//pypi", ".org"),
    concat!("files.", "pythonhosted"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
    concat!("sum.", "golang.org"),
];

/// Header names in literals of pure crates, outside the wire crate.
pub(crate) fn header_findings(files: &[File]) -> Vec<Finding> {
    let test_modules = tree::test_modules(files);
    let mut found = Vec::new();
    for file in files {
        let is_home = file.is_source_of("monsys-wire");
        if !file.is_rust() || !file.is_pure() || is_home || test_modules.contains(&file.path) {
            continue;
        }
        for literal in live_literals(file) {
            let may_quote = file.is_source_of("monsys-integrity");
            let is_summary = may_quote && literal.text == UNSIGNED_SUMMARY;
            let text = literal.text.to_ascii_lowercase();
            if HEADERS.iter().any(|name| text.contains(name)) && !is_summary {
                let text = "a header name in a literal: only the wire crate knows the headers";
                found.push(Finding::new(
                    &file.path,
                    literal.line,
                    "header names",
                    text.to_owned(),
                ));
            }
        }
    }
    found
}

/// Statements of SQL in literals, outside the stores of the hub and tests.
pub(crate) fn sql_findings(files: &[File]) -> Vec<Finding> {
    let test_modules = tree::test_modules(files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let is_store = file.path.starts_with("examples/hub/src/store");
        if is_store || file.is_test() || test_modules.contains(&file.path) {
            continue;
        }
        for literal in live_literals(file) {
            let spaced = one_spaced(&literal.text);
            for word in SQL.iter().filter(|word| has_word(&spaced, word)) {
                let text = format!(
                    "`{}` in a literal: only examples/hub/src/store speaks SQL",
                    word.trim_end()
                );
                found.push(Finding::new(&file.path, literal.line, "sql", text));
            }
        }
    }
    found
}

/// File and folder names that say nothing about what is inside.
pub(crate) fn file_name_findings(files: &[File]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .filter(|file| {
            file.path
                .trim_end_matches(".rs")
                .split('/')
                .any(|part| FILE_NAMES.contains(&part))
        })
        .map(|file| {
            let text = "a file is named by a noun of the glossary, not by being a drawer";
            Finding::new(&file.path, 1, "file names", text.to_owned())
        })
        .collect()
}

/// Unfinished code, tests that do not run or that expect any panic, and tests that sleep.
pub(crate) fn unfinished_code_findings(files: &[File]) -> Vec<Finding> {
    let test_modules = tree::test_modules(files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let scanned = scan::scan(&file.text);
        let code = scan::tokens(&scanned.code);
        for (word, reason) in UNFINISHED_CODE {
            for line in scan::lines_with(&code, word) {
                let text = format!("`{word}`: {reason}");
                found.push(Finding::new(&file.path, line, "unfinished code", text));
            }
        }
        let is_test = file.is_test() || test_modules.contains(&file.path);
        let ranges = scan::test_lines(&code);
        for line in scan::lines_with(&code, "thread::sleep") {
            if is_test || within(&ranges, line) {
                let text = "a test that sleeps is slow on a good day and wrong on a bad one; \
                            pass `now`, or wait for the event";
                found.push(Finding::new(
                    &file.path,
                    line,
                    "sleeping test",
                    text.to_owned(),
                ));
            }
        }
    }
    found
}

/// Marks of unfinished text, in any file.
pub(crate) fn unfinished_text_findings(files: &[File]) -> Vec<Finding> {
    line_findings(files, |_, line| {
        let word = UNFINISHED_TEXT.iter().find(|word| has_word(line, word))?;
        Some((
            "unfinished text",
            format!("`{word}`: unfinished work is an issue, not a note"),
        ))
    })
}

/// Paths that exist on one machine only. Test code may show the paths of users and root.
pub(crate) fn machine_path_findings(files: &[File]) -> Vec<Finding> {
    let test_modules = tree::test_modules(files);
    let mut found = Vec::new();
    for file in files {
        let scanned = file.is_rust().then(|| scan::scan(&file.text));
        let ranges = scanned.map_or_else(Vec::new, |scanned| {
            scan::test_lines(&scan::tokens(&scanned.code))
        });
        let is_fixture = file.is_test() || test_modules.contains(&file.path);
        for (index, line) in file.text.lines().enumerate() {
            let may_show = is_fixture || within(&ranges, index + 1);
            let is_personal = !may_show && (has_user_home(line) || has_root_path(line, "/root/"));
            if is_personal || has_root_path(line, concat!("/wo", "rk/")) {
                let text = "a path of one machine: it does not exist where this is read";
                found.push(Finding::new(
                    &file.path,
                    index + 1,
                    "machine paths",
                    text.to_owned(),
                ));
            }
        }
    }
    found
}

/// Hosts of package registries: the ordinary clients know them.
pub(crate) fn registry_findings(files: &[File]) -> Vec<Finding> {
    line_findings(files, |_, line| {
        let host = REGISTRY_HOSTS.iter().find(|host| line.contains(**host))?;
        Some((
            "registry hosts",
            format!("`{host}`: package clients know their registries, nothing else needs to"),
        ))
    })
}

fn line_findings(
    files: &[File],
    judge: impl Fn(&File, &str) -> Option<(&'static str, String)>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some((rule, text)) = judge(file, line) {
                found.push(Finding::new(&file.path, index + 1, rule, text));
            }
        }
    }
    found
}

/// Literals outside the items that exist only under test.
fn live_literals(file: &File) -> Vec<scan::Spelled> {
    let scanned = scan::scan(&file.text);
    let ranges = scan::test_lines(&scan::tokens(&scanned.code));
    scanned
        .strings
        .into_iter()
        .filter(|literal| !within(&ranges, literal.line))
        .collect()
}

fn within(ranges: &[RangeInclusive<usize>], line: usize) -> bool {
    ranges.iter().any(|range| range.contains(&line))
}

/// The text with every run of white space, spelled escapes included, as one space, and a space
/// at the end.
fn one_spaced(text: &str) -> String {
    let text = text.replace("\\n", " ").replace("\\\n", " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ") + " "
}

/// Whether `word` occurs and is not the tail or the head of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |mark: char| mark == '_' || mark.is_alphanumeric();
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let goes_on = !word.ends_with(' ') && after.is_some_and(is_part);
        !before.is_some_and(is_part) && !goes_on
    })
}

/// Whether an absolute path begins with `start`; the same letters inside a longer path are fine.
fn has_root_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|mark| mark.is_alphanumeric() || "_.~-*}>)$".contains(mark))
    })
}

fn has_user_home(line: &str) -> bool {
    let home = concat!("/ho", "me/");
    has_root_path(line, home)
        && line.split(home).skip(1).any(|rest| {
            rest.starts_with(|mark: char| mark.is_ascii_lowercase() || mark.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> [File; 1] {
        [File::new("monsys-core/src/x.rs", text)]
    }

    #[test]
    fn a_header_name_outside_the_wire_crate_is_caught_in_any_case() {
        for text in [
            "const A: &str = \"X-Monsys-Signature\";",
            "f(\"x-em-org\")",
            "f(r#\"sent no X-Monsys-Signature\"#)",
            "f(\"agent has a pinned signing_pubkey but sent no X-Monsys-Signature\")",
        ] {
            assert_eq!(header_findings(&source(text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn the_wire_crate_comments_tests_and_the_fixed_summary_may_name_headers() {
        let summary = format!("const A: &str = \"{UNSIGNED_SUMMARY}\";");
        let files = [
            File::new("monsys-wire/src/header.rs", "f(\"X-EM-Org\")"),
            File::new(
                "monsys-core/src/a.rs",
                "// X-EM-Org\n#[cfg(test)] mod tests { f(\"X-EM-Org\"); }",
            ),
            File::new("monsys-integrity/src/detect/unsigned.rs", &summary),
            File::new("examples/hub/src/x.rs", "f(\"X-EM-Org\")"),
        ];
        assert!(header_findings(&files).is_empty());
    }

    #[test]
    fn sql_outside_the_stores_is_caught_over_lines_too() {
        for text in [
            "f(\"SELECT a FROM b\")",
            "f(\"INSERT\\n  INTO a VALUES (1)\")",
            "f(\"UPDATE \\\n a SET b = 1\")",
            "f(r\"CREATE\n TABLE a (b)\")",
            "f(\"WITH c AS (DELETE FROM a) x\")",
        ] {
            let file = File::new("examples/hub/src/api/x.rs", text);
            assert_eq!(sql_findings(&[file]).len(), 1, "{text}");
        }
    }

    #[test]
    fn sql_in_stores_tests_comments_and_words_like_it_pass() {
        let files = [
            File::new("examples/hub/src/store/sqlite/a.rs", "f(\"SELECT 1\")"),
            File::new("examples/hub/tests/a.rs", "f(\"SELECT 1\")"),
            File::new(
                "examples/hub/src/a.rs",
                "// SELECT 1\nf(\"select an agent, UPDATED \")",
            ),
            File::new(
                "examples/hub/src/b.rs",
                "#[cfg(test)] mod tests { f(\"SELECT 1\"); }",
            ),
        ];
        assert!(sql_findings(&files).is_empty());
    }

    #[test]
    fn drawers_are_caught_as_files_and_as_folders() {
        for path in [
            "a/src/utils.rs",
            "a/tests/common/mod.rs",
            "a/src/b/types.rs",
        ] {
            assert_eq!(
                file_name_findings(&[File::new(path, "")]).len(),
                1,
                "{path}"
            );
        }
        assert!(file_name_findings(&[File::new("a/src/type_names.rs", "")]).is_empty());
    }

    #[test]
    fn unfinished_code_is_caught() {
        for (word, _) in UNFINISHED_CODE {
            let text = format!("fn f() {{ {word} }}");
            assert_eq!(unfinished_code_findings(&source(&text)).len(), 1, "{word}");
        }
        let spoken = format!(
            "/// Never {}\nconst A: &str = \"{}\";",
            UNFINISHED_CODE[0].0, "x"
        );
        assert!(unfinished_code_findings(&source(&spoken)).is_empty());
    }

    #[test]
    fn only_tests_may_not_sleep() {
        let text = "fn f() { std::thread::sleep(x); }";
        assert!(unfinished_code_findings(&source(text)).is_empty());
        let beside = format!("#[cfg(test)] mod tests {{ {text} }}");
        assert_eq!(unfinished_code_findings(&source(&beside)).len(), 1);
        let file = File::new("examples/hub/tests/x.rs", text);
        assert_eq!(unfinished_code_findings(&[file]).len(), 1);
    }

    #[test]
    fn marks_of_unfinished_text_are_caught_as_words_in_any_file() {
        for word in UNFINISHED_TEXT {
            for path in ["README.md", "a/src/b.rs", ".ci/run", "a/Cargo.toml"] {
                let file = File::new(path, &format!("one\n# {word}: later"));
                let found = unfinished_text_findings(&[file]);
                assert_eq!(found.len(), 1, "{path} {word}");
                assert_eq!(found[0].line, 2);
            }
            let longer = File::new("README.md", &format!("{word}X _{word}"));
            assert!(unfinished_text_findings(&[longer]).is_empty(), "{word}");
        }
    }

    #[test]
    fn paths_of_one_machine_are_caught() {
        for path in [
            concat!("/wo", "rk/main"),
            concat!("/ro", "ot/.ssh"),
            concat!("/ho", "me/alice/x"),
        ] {
            let text = format!("const A: &str = \"{path}\";");
            assert_eq!(machine_path_findings(&source(&text)).len(), 1, "{path}");
        }
    }

    #[test]
    fn other_paths_and_test_data_pass() {
        let home = concat!("/ho", "me/");
        for text in [
            format!("f(\"{home}*/.ssh\"); f(\"{home}{{user}}\");"),
            format!("f(\"/proc/{{pid}}{}x\")", concat!("/ro", "ot/")),
            format!("https://example.org{}x", concat!("/wo", "rk/")),
            format!("#[cfg(test)] mod tests {{ f(\"{home}alice/x\"); }}"),
        ] {
            assert!(machine_path_findings(&source(&text)).is_empty(), "{text}");
        }
        let captured = File::new("a/tests/maps.rs", &format!("{home}alice/x"));
        assert!(machine_path_findings(&[captured]).is_empty());
    }

    #[test]
    fn registry_hosts_are_caught() {
        for host in REGISTRY_HOSTS {
            let file = File::new(
                ".github/workflows/ci.yml",
                &format!("run: curl https:{host}"),
            );
            assert_eq!(registry_findings(&[file]).len(), 1, "{host}");
        }
        assert!(registry_findings(&[File::new("README.md", "published on crates.io")]).is_empty());
    }
}
