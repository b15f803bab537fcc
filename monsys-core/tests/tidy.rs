//! The rules of the code base that a machine can check, one test each.
//!
//! Every rule is a function from texts to findings, tested beside itself on texts that break it;
//! here each one meets the real tree. A failure names file, line, rule and reason.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a check of the sources reads files, and a file that cannot be read fails the check"
)]

#[path = "tidy/layout.rs"]
mod layout;
#[path = "tidy/manifest.rs"]
mod manifest;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/resolved.rs"]
mod resolved;
#[path = "tidy/rows.rs"]
mod rows;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/tenancy.rs"]
mod tenancy;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/words.rs"]
mod words;

use tree::{File, Finding, PURE};

#[test]
fn pure_crates_name_no_clock_no_randomness_no_io_and_no_runtime() {
    tree::none(purity::findings(&tree::rust_files()));
}

#[test]
fn files_and_functions_are_short() {
    tree::none(size::findings(&tree::rust_files()));
}

#[test]
fn pure_crates_depend_on_exactly_what_is_listed() {
    tree::none(per_pure_manifest(manifest::list_findings));
}

#[test]
fn every_dependency_is_declared_once_in_the_root_without_default_features() {
    let mut findings = manifest::root_findings(&tree::read("Cargo.toml"));
    for (folder, text) in member_manifests() {
        findings.extend(manifest::form_findings(&folder, &text));
    }
    tree::none(findings);
}

#[test]
fn every_dependency_is_used() {
    let files = tree::rust_files();
    let members = member_manifests();
    let mut findings = manifest::idle_root_findings(&tree::read("Cargo.toml"), &members);
    for (folder, text) in &members {
        findings.extend(manifest::unused_findings(folder, text, &files));
    }
    tree::none(findings);
}

#[test]
fn imports_run_one_way() {
    let files = tree::rust_files();
    let findings = member_manifests()
        .iter()
        .flat_map(|(folder, text)| manifest::edge_findings(folder, text, &files))
        .collect();
    tree::none(findings);
}

#[test]
fn only_the_wire_crate_knows_header_names() {
    tree::none(words::header_findings(&tree::rust_files()));
}

#[test]
fn only_the_stores_of_the_hub_speak_sql() {
    tree::none(words::sql_findings(&tree::rust_files()));
}

#[test]
fn s15_every_statement_on_data_of_an_organisation_names_its_tenant() {
    tree::none(tenancy::findings(&tree::files()));
}

#[test]
fn file_names_say_what_is_inside() {
    tree::none(words::file_name_findings(&tree::rust_files()));
}

#[test]
fn no_code_is_unfinished_and_no_test_sleeps_or_is_left_out() {
    tree::none(words::unfinished_code_findings(&tree::rust_files()));
}

#[test]
fn no_text_is_marked_unfinished() {
    tree::none(words::unfinished_text_findings(&tree::files()));
}

#[test]
fn no_text_names_a_path_of_one_machine() {
    tree::none(words::machine_path_findings(&tree::files()));
}

#[test]
fn no_text_names_the_host_of_a_registry() {
    tree::none(words::registry_findings(&tree::files()));
}

#[test]
fn the_visible_top_level_is_as_listed() {
    tree::none(layout::top_level_findings(&tree::visible_names()));
}

#[test]
fn pure_crates_carry_the_licence_texts_of_the_root() {
    let mut findings = Vec::new();
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let root = file(name);
        for folder in PURE {
            let copy = file(&format!("{folder}/{name}"));
            findings.extend(layout::licence_findings(&root, &copy));
        }
    }
    tree::none(findings);
}

#[test]
fn every_pure_crate_says_what_it_does_not_know() {
    tree::none(per_pure_file("src/lib.rs", layout::crate_root_findings));
}

#[test]
fn each_of_the_32_decisions_about_the_integrity_document_has_a_test_named_after_it() {
    tree::none(layout::decision_findings(&tree::rust_files()));
}

#[test]
fn each_row_of_the_notes_about_the_endpoint_document_has_a_test_named_after_it() {
    tree::none(rows::row_findings(&tree::rust_files()));
}

#[test]
fn each_topic_that_the_endpoint_document_tests_has_a_file_of_tests() {
    tree::none(rows::topic_findings(&tree::rust_files()));
}

#[test]
fn each_threat_names_the_tests_that_hold_it_off() {
    tree::none(rows::threat_findings(
        &file(rows::THREATS),
        &tree::rust_files(),
    ));
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let mut findings = layout::workspace_lint_findings(&file("Cargo.toml"));
    for (folder, text) in member_manifests() {
        let manifest = File::new(&format!("{folder}/Cargo.toml"), &text);
        findings.extend(layout::member_lint_findings(&manifest));
    }
    tree::none(findings);
}

#[test]
fn the_linter_refuses_clocks_in_pure_crates() {
    tree::none(per_pure_file(".clippy.toml", layout::clock_lint_findings));
}

/// PostgreSQL's protocol crate brings its own randomness, so core is asked without it.
#[test]
fn a_pure_crate_alone_turns_on_no_clock_and_reaches_nothing_that_acts() {
    let mut findings = Vec::new();
    for package in PURE {
        for features in [&[][..], &["--no-default-features"], &["--features", "std"]] {
            let tree = resolved::tree(package, features);
            findings.extend(resolved::leak_findings(package, &tree));
        }
    }
    for package in &PURE[1..] {
        let tree = resolved::tree(package, &["--all-features"]);
        findings.extend(resolved::leak_findings(package, &tree));
    }
    let with_postgres = resolved::tree("monsys-core", &["--all-features"]);
    let clocks = resolved::leak_findings("monsys-core", &with_postgres)
        .into_iter()
        .filter(|finding| finding.rule == "resolved features");
    findings.extend(clocks);
    tree::none(findings);
}

#[test]
fn the_wire_crate_stays_light() {
    let tree = resolved::tree("monsys-wire", &["--all-features"]);
    tree::none(resolved::wire_findings(&tree));
}

fn file(path: &str) -> File {
    File::new(path, &tree::read(path))
}

fn per_pure_file(name: &str, rule: impl Fn(&File) -> Vec<Finding>) -> Vec<Finding> {
    PURE.iter()
        .flat_map(|folder| rule(&file(&format!("{folder}/{name}"))))
        .collect()
}

fn per_pure_manifest(rule: impl Fn(&str, &str) -> Vec<Finding>) -> Vec<Finding> {
    PURE.iter()
        .flat_map(|folder| rule(folder, &tree::read(&format!("{folder}/Cargo.toml"))))
        .collect()
}

/// Folder and manifest text of every member. A root that lists none would let all through.
fn member_manifests() -> Vec<(String, String)> {
    let members = manifest::members(&tree::read("Cargo.toml"));
    assert!(
        members.len() >= 6,
        "the root lists its members: {members:?}"
    );
    members
        .into_iter()
        .map(|folder| {
            let text = tree::read(&format!("{folder}/Cargo.toml"));
            (folder, text)
        })
        .collect()
}
