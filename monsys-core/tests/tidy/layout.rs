//! What lies where: the visible top level, licences, lints, and the words of each crate root.

use crate::manifest;
use crate::tree::{File, Finding};

const TOP_LEVEL: [&str; 12] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "examples",
    "fuzz",
    "monsys-core",
    "monsys-integrity",
    "monsys-signals",
    "monsys-wire",
];

/// Where most of them are tested.
const DECISIONS: &str = "monsys-integrity/tests/decisions.rs";

/// How many decisions the notes about the integrity document list.
const N_DECISIONS: u32 = 32;

const SECTION: &str = "//! # What this crate does not know";

/// Names at the top that are not on the list, and names of the list that are not there.
pub(crate) fn top_level_findings(names: &[String]) -> Vec<Finding> {
    let rule = "top level";
    let extra = names
        .iter()
        .filter(|name| *name != "target" && !TOP_LEVEL.contains(&name.as_str()))
        .map(|name| {
            let text = "a newcomer reads the top level first: settings live in dot files, \
                        everything else in a crate";
            Finding::new(name, 1, rule, text.to_owned())
        });
    let missing = TOP_LEVEL
        .iter()
        .filter(|wanted| !names.iter().any(|name| name == *wanted))
        .map(|wanted| Finding::new(wanted, 1, rule, "is missing".to_owned()));
    extra.chain(missing).collect()
}

/// A licence text of a published crate that differs from that of the root.
pub(crate) fn licence_findings(root: &File, copy: &File) -> Vec<Finding> {
    if root.text == copy.text && !copy.text.trim().is_empty() {
        return Vec::new();
    }
    let text = format!(
        "differs from {}: a published crate carries the licence it names",
        root.path
    );
    vec![Finding::new(&copy.path, 1, "licences", text)]
}

/// A crate root that does not say what the crate does not know.
pub(crate) fn crate_root_findings(root: &File) -> Vec<Finding> {
    if root.text.lines().any(|line| line.trim_end() == SECTION) {
        return Vec::new();
    }
    let text =
        format!("has no line `{SECTION}`: the invariant of a crate is what it must not know");
    vec![Finding::new(&root.path, 1, "crate root", text)]
}

/// A workspace that does not forbid unsafe code for all.
pub(crate) fn workspace_lint_findings(manifest: &File) -> Vec<Finding> {
    let forbids = manifest::entries(&manifest.text).iter().any(|entry| {
        entry.section == "workspace.lints.rust"
            && entry.key == "unsafe_code"
            && entry.value == "\"forbid\""
    });
    if forbids {
        return Vec::new();
    }
    let text = "`unsafe_code` is not \"forbid\" in [workspace.lints.rust]".to_owned();
    vec![Finding::new(&manifest.path, 1, "lints", text)]
}

/// A member that does not take the lints of the workspace.
pub(crate) fn member_lint_findings(manifest: &File) -> Vec<Finding> {
    let entries = manifest::entries(&manifest.text);
    let takes = entries
        .iter()
        .any(|entry| entry.section == "lints" && entry.key == "workspace" && entry.value == "true");
    if takes {
        return Vec::new();
    }
    let text = "[lints] does not say `workspace = true`: unsafe code would be allowed here";
    vec![Finding::new(&manifest.path, 1, "lints", text.to_owned())]
}

/// A lint configuration that lets a clock through.
pub(crate) fn clock_lint_findings(config: &File) -> Vec<Finding> {
    let entries = manifest::entries(&config.text);
    let methods = entries
        .iter()
        .find(|entry| entry.key == "disallowed-methods")
        .map_or("", |entry| entry.value.as_str());
    ["std::time::SystemTime::now", "std::time::Instant::now"]
        .iter()
        .filter(|method| !methods.contains(&format!("\"{method}\"")))
        .map(|method| {
            let text = format!("disallowed-methods does not name {method}: time is an argument");
            Finding::new(&config.path, 1, "lints", text)
        })
        .collect()
}

/// A decision about the integrity document without a test whose name begins with its number.
pub(crate) fn decision_findings(files: &[File]) -> Vec<Finding> {
    let is_tested = |number: u32| {
        let name = format!("#[test]\nfn decision_{number:02}_");
        let tests = files.iter().filter(|file| file.is_test());
        tests.into_iter().any(|file| file.text.contains(&name))
    };
    let missing = (1..=N_DECISIONS).filter(|number| !is_tested(*number));
    let finding = |number| {
        let text = format!("decision {number} has no test named `decision_{number:02}_…`");
        Finding::new(DECISIONS, 1, "decisions", text)
    };
    missing.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_itself_passes_with_or_without_build_output() {
        let mut names: Vec<String> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
        assert!(top_level_findings(&names).is_empty());
        names.push("target".to_owned());
        assert!(top_level_findings(&names).is_empty());
    }

    #[test]
    fn a_name_too_many_or_too_few_at_the_top_is_caught() {
        let mut names: Vec<String> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
        names.push("docs".to_owned());
        assert_eq!(top_level_findings(&names)[0].path, "docs");
        assert_eq!(top_level_findings(&names[1..12])[0].path, "Cargo.lock");
    }

    #[test]
    fn a_decision_without_a_test_of_its_own_is_caught() {
        let test = |number: u32| format!("#[test]\nfn decision_{number:02}_holds() {{}}\n");
        let all: String = (1..=32).map(test).collect();
        let of = |path: &str, text: &str| decision_findings(&[File::new(path, text)]).len();
        assert_eq!(of("a/tests/decisions.rs", &all), 0);
        assert_eq!(of("a/src/decisions.rs", &all), 32, "no test of the outside");
        assert_eq!(of("a/tests/a.rs", &all.replace("_17_", "_seventeen_")), 1);
        assert_eq!(
            of(
                "a/tests/a.rs",
                &all.replace("#[test]\nfn decision_04", "fn decision_04")
            ),
            1
        );
    }

    #[test]
    fn a_licence_that_differs_or_is_empty_is_caught() {
        let root = File::new("LICENSE-MIT", "text");
        let copy = |text: &str| File::new("monsys-core/LICENSE-MIT", text);
        assert!(licence_findings(&root, &copy("text")).is_empty());
        assert_eq!(licence_findings(&root, &copy("texT")).len(), 1);
        assert_eq!(licence_findings(&copy(""), &copy("")).len(), 1);
    }

    #[test]
    fn a_crate_root_without_its_section_is_caught() {
        let root = |text: &str| crate_root_findings(&File::new("monsys-core/src/lib.rs", text));
        assert!(root("//! A.\n//!\n//! # What this crate does not know\n//! B.").is_empty());
        assert_eq!(root("//! What this crate does not know").len(), 1);
        assert_eq!(root("// # What this crate does not know").len(), 1);
    }

    #[test]
    fn lints_that_are_weaker_or_not_taken_are_caught() {
        let root = |text: &str| workspace_lint_findings(&File::new("Cargo.toml", text)).len();
        assert_eq!(root("[workspace.lints.rust]\nunsafe_code = \"forbid\""), 0);
        assert_eq!(root("[workspace.lints.rust]\nunsafe_code = \"deny\""), 1);
        let member = |text: &str| member_lint_findings(&File::new("a/Cargo.toml", text)).len();
        assert_eq!(member("[lints]\nworkspace = true"), 0);
        assert_eq!(member("[package]\nlints.x = true\nworkspace = true"), 1);
    }

    #[test]
    fn a_lint_configuration_without_a_clock_is_caught() {
        let config = |text: &str| clock_lint_findings(&File::new("a/.clippy.toml", text)).len();
        let both = "disallowed-methods = [\n{ path = \"std::time::SystemTime::now\" },\n\
                    { path = \"std::time::Instant::now\" },\n]";
        assert_eq!(config(both), 0);
        assert_eq!(config(&both.replace("Instant", "Duration")), 1);
        assert_eq!(config(&both.replace("disallowed", "allowed")), 2);
        assert_eq!(config("# std::time::SystemTime::now"), 2);
    }
}
