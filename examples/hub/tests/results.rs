//! What commands print: as text, and as JSON when they are asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use support::DataDir;
use support::hub::program;

const CONFIGURATION: i32 = 78;

#[test]
fn check_and_migrate_print_json_when_asked() {
    let data = DataDir::new();
    let checked = data.json(&["check"]);
    assert_eq!(checked["status"], "ok");
    assert!(checked["store"].as_str().unwrap().ends_with("monsys.db"));
    assert!(!data.store_file().exists(), "a check makes no store");
    assert_eq!(data.json(&["migrate"])["status"], "ok");
}

#[test]
fn a_delay_that_is_no_span_is_a_configuration_error() {
    let data = DataDir::new();
    for delay in ["soon", "-1s", "6m"] {
        let output = data.run(&["check", &format!("--drain-delay={delay}")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(CONFIGURATION), "{said}");
        assert!(said.contains("drain delay"), "{said}");
    }
    let file = data.path().join("hub.toml");
    std::fs::write(&file, "[drain]\ndelay = \"5s\"\n").unwrap();
    data.json(&["check", "--config", file.to_str().unwrap()]);
}

/// The commands that a help lists, or none.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:");
    let lines = lines.skip(1).take_while(|line| !line.trim().is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// Every command line down to its last word, with its help.
fn all_commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let mut words: Vec<&str> = path.iter().map(String::as_str).collect();
        words.push("--help");
        let output = program().args(&words).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        let below = listed(&help);
        if below.is_empty() {
            found.push((path.join(" "), help));
        }
        waiting.extend(below.into_iter().map(|name| [&path[..], &[name]].concat()));
    }
    found
}

#[test]
fn a19_every_command_that_prints_a_result_prints_it_as_json_when_asked() {
    // These print a text that is the result itself, or serve.
    let plain = ["run", "worker", "completions"];
    let commands = all_commands();
    for name in [
        "migrate",
        "check",
        "doctor",
        "worker",
        "user add",
        "integrity run",
    ] {
        assert!(commands.iter().any(|(known, _)| known == name), "{name}");
    }
    for (name, help) in commands {
        let has_json = help.contains("--json");
        assert_eq!(has_json, !plain.contains(&name.as_str()), "{name}: {help}");
    }
}
