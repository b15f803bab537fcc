//! What is shipped beside the programs says what the programs understand, and passes the linters of
//! its trade: units by systemd itself, the Dockerfile by hadolint, the compose file by the schema of
//! its specification. No container is built here, because no daemon is needed to run the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::hub::program;

/// The files, from the root of the repository.
const FILES: [&str; 6] = [
    "examples/hub/packaging/monsys-hub.service",
    "examples/hub/packaging/monsys-hub.socket",
    "examples/hub/packaging/Dockerfile",
    "examples/hub/packaging/compose.yaml",
    "examples/hub/packaging/Dockerfile.dockerignore",
    "examples/agent/packaging/monsys-agent.service",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The reference agent, which the hub's own program can be.
fn agent() -> Command {
    let mut program = program();
    program.arg("agent-process");
    program
}

/// What a program says. Its input stays open meanwhile: the agent inside the hub ends with it.
fn said_by(program: &mut Command) -> Output {
    program.stdin(Stdio::piped());
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    output
}

/// The lines that are no comments.
fn lines(path: &str) -> Vec<String> {
    let text = read(path);
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// Every name of an environment that a text uses.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let ours = words.filter(|word| {
        let is_ours = word.starts_with("MONSYS_") || word.starts_with("EM_");
        is_ours || word.starts_with("DATABASE_URL")
    });
    ours.map(str::to_owned).collect()
}

/// Every name of an environment in the help of all commands of the agent.
fn known_to_the_agent() -> BTreeSet<String> {
    let help = |arguments: &[&str]| {
        let output = said_by(agent().args(arguments).arg("--help"));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let overview = help(&[]);
    let commands = overview
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"));
    let commands = commands.skip(1).take_while(|line| !line.trim().is_empty());
    let mut known = names_in(&overview);
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        known.extend(names_in(&help(&[command])));
    }
    known
}

/// Of some names, those that the hub takes for no setting of its own: it says so when they are set.
fn unknown_to_the_hub(names: &BTreeSet<String>) -> Vec<String> {
    let mut hub = program();
    let output = hub
        .arg("check")
        .envs(names.iter().map(|name| (name, "")))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_refused = |name: &&String| log.contains(&format!("{name} is no setting"));
    names.iter().filter(is_refused).cloned().collect()
}

#[test]
fn every_name_of_an_environment_that_is_shipped_exists() {
    let agent = known_to_the_agent();
    assert!(agent.contains("MONSYS_AGENT_DATA"), "{agent:?}");
    let named = |path: &str| names_in(&read(path));
    let hubs: BTreeSet<_> = FILES.into_iter().flat_map(named).collect();
    assert!(hubs.len() > 10, "{hubs:?}");
    let unknown = unknown_to_the_hub(&hubs);
    let unknown: Vec<_> = unknown
        .iter()
        .filter(|name| !agent.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let wrong = BTreeSet::from(["MONSYS_NO_SUCH_SETTING".to_owned()]);
    assert_eq!(unknown_to_the_hub(&wrong).len(), 1, "the hub tells");
}

/// The command lines of our programs in the files, each as its words behind the program's name.
fn command_lines() -> Vec<(&'static str, Vec<String>)> {
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for path in FILES {
        for line in lines(path) {
            if let Some(command) = line.trim().strip_prefix("ExecStart=") {
                found.push((path, words(command)));
            }
            // In shell scripts of the compose file.
            for program in ["monsys-hub ", "monsys-agent "] {
                for (at, _) in line.match_indices(program) {
                    if path.ends_with(".yaml") {
                        let rest = line[at..].split(['|', '>', ';', '<']).next().unwrap();
                        found.push((path, words(rest)));
                    }
                }
            }
        }
    }
    for (program, command) in [
        ("monsys-hub", "run"),
        ("monsys-hub", "migrate"),
        ("monsys-hub", "health"),
        ("monsys-agent", "daemon"),
    ] {
        let (path, quoted) = (
            "examples/hub/packaging/Dockerfile",
            format!("\"{command}\""),
        );
        let compose = "examples/hub/packaging/compose.yaml";
        assert!(
            [path, compose].map(read).concat().contains(&quoted),
            "{command}"
        );
        found.push((path, vec![program.to_owned(), command.to_owned()]));
    }
    found
}

#[test]
fn every_command_line_that_is_shipped_is_understood() {
    let found = command_lines();
    assert!(found.len() >= 10, "{found:?}");
    for (path, command) in found {
        let (name, arguments) = command.split_first().unwrap();
        let mut program = if name.ends_with("monsys-agent") {
            agent()
        } else {
            program()
        };
        // A flag that is not known is refused before help is given.
        let output = said_by(program.args(arguments).arg("--help"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path}: {command:?}: {said}");
    }
    let unknown = program()
        .args(["run", "--no-such-flag", "--help"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(2), "help forgives nothing");
}

/// Says that something was not checked, or fails where it must be.
fn not_checked(what: &str) {
    let text = format!("!! {what}: not there, so it did not look at the files of packaging/");
    let must = std::env::var_os("MONSYS_REQUIRE_PACKAGING_TOOLS");
    assert!(must.is_none_or(|value| value != "1"), "{text}");
    // Past the test harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn run(program: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).output().ok()
}

/// A linter that .ci/run installs beside the build.
fn linter(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("packaging");
    let installed = place.join("venv/bin").join(name);
    if installed.is_file() {
        installed
    } else {
        name.into()
    }
}

fn assert_clean(output: &Output, what: &str) {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{what}: {said}");
}

#[test]
fn a19_systemd_takes_the_units_and_finds_them_closed() {
    let place =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("units-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let analyze = Path::new("systemd-analyze");
    if run(analyze, &["--version"]).is_none() {
        return not_checked("systemd-analyze");
    }
    let units: Vec<_> = FILES
        .iter()
        .filter(|path| path.ends_with(".service") || path.ends_with(".socket"))
        .map(|path| {
            let unit = place.join(Path::new(path).file_name().unwrap());
            // The programs are not installed where the tests run; this one is.
            let hub = env!("CARGO_BIN_EXE_monsys-hub");
            let text = read(path).replace("/usr/bin/monsys-hub", hub);
            std::fs::write(&unit, text.replace("/usr/bin/monsys-agent", hub)).unwrap();
            unit
        })
        .collect();
    for unit in units {
        let unit = unit.to_str().unwrap();
        let output = run(analyze, &["verify", unit]).unwrap();
        assert_clean(&output, unit);
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if unit.ends_with(".service") {
            // Exposure of at most 2.0 of 10.
            let arguments = ["security", "--offline=true", "--threshold=20", unit];
            assert_clean(&run(analyze, &arguments).unwrap(), unit);
        }
    }
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    let file = root().join("examples/hub/packaging/Dockerfile");
    match run(&linter("hadolint"), &["--no-color", file.to_str().unwrap()]) {
        Some(output) => assert_clean(&output, "hadolint"),
        None => not_checked("hadolint"),
    }
}

#[test]
fn a19_the_compose_file_is_one_by_the_schema_of_compose() {
    let file = root().join("examples/hub/packaging/compose.yaml");
    let arguments = [
        "--builtin-schema",
        "vendor.compose-spec",
        file.to_str().unwrap(),
    ];
    match run(&linter("check-jsonschema"), &arguments) {
        Some(output) => assert_clean(&output, "check-jsonschema"),
        None => not_checked("check-jsonschema"),
    }
}

#[test]
fn images_run_as_somebody_who_owns_nothing_and_say_whether_they_are_well() {
    let text = lines("examples/hub/packaging/Dockerfile").join("\n");
    let stages: Vec<_> = text.split("FROM ").skip(1).collect();
    assert_eq!(stages.len(), 3, "the build, and an image for each program");
    for stage in &stages[1..] {
        let user = stage
            .lines()
            .filter_map(|line| line.strip_prefix("USER "))
            .next_back();
        let user: u32 = user.unwrap().split(':').next().unwrap().parse().unwrap();
        assert!(user > 1_000, "{user}");
        assert!(!stage.contains("cargo") && stage.contains("COPY --from=build"));
    }
    assert!(stages[2].contains("HEALTHCHECK") && stages[2].contains("\"health\""));
    for stage in &stages {
        let image = stage.split_whitespace().next().unwrap();
        let tag = image.split_once(':').expect("an image with a tag").1;
        assert_ne!(tag, "latest", "{image}");
    }
    let ignored = read("examples/hub/packaging/Dockerfile.dockerignore");
    for kept_out in [".git", "**/target", "**/.env", "**/*.key", "**/*.pem"] {
        assert!(ignored.lines().any(|line| line == kept_out), "{kept_out}");
    }
}

#[test]
fn no_secret_is_written_into_what_is_shipped() {
    for path in FILES {
        for line in lines(path) {
            let secret = ["SECRET", "PASSWORD", "TOKEN", "DATABASE_URL", "MIGRATE_URL"];
            let Some((name, value)) = line.trim().split_once([':', '=']) else {
                continue;
            };
            let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            if is_name && secret.iter().any(|word| name.contains(word)) {
                assert!(name.ends_with("_FILE"), "{path}: {line}");
                assert!(value.trim().starts_with('/'), "{path}: {line}");
            }
        }
    }
}
