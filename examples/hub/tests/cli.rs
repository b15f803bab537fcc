//! Commands end with the exit codes of contract §1 and say what they expected.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::net::TcpListener;
use std::process::Output;

use support::hub::program;
use support::store::{number, open_writable};
use support::{DataDir, Hub};

const USAGE: i32 = 2;
const UNAVAILABLE: i32 = 69;
const IO: i32 = 74;
const CONFIGURATION: i32 = 78;

/// A key that may be pinned: the public one of RFC 8032 §7.1, test 1.
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Asserts how a command ended, that nothing stands on stdout, and returns what it said.
fn assert_ends(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(!said.contains("panicked"), "{said}");
    assert!(!said.is_empty(), "a command that fails says why");
    said
}

fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn an_unknown_flag_or_command_is_refused_with_the_nearest_name() {
    let said = assert_ends(&run(&["run", "--adr", "127.0.0.1:0"]), USAGE);
    assert!(said.contains("--addr"), "{said}");
    let said = assert_ends(&run(&["agent", "enrol", "--ogr", "acme"]), USAGE);
    assert!(said.contains("--org"), "{said}");
    let said = assert_ends(&run(&["versoin"]), USAGE);
    assert!(said.contains("version"), "{said}");
    assert_ends(&run(&[]), USAGE);
    assert_ends(&run(&["run", "--addr", "nowhere"]), USAGE);
}

#[test]
fn an_unknown_organisation_is_an_error_and_never_a_new_tenant() {
    let data = DataDir::new();
    data.add_org("acme");
    let enrol = ["agent", "enrol", "--org", "amce", "--name", "alpha"];
    let said = assert_ends(&data.run(&enrol), USAGE);
    assert!(said.contains("amce"), "{said}");
    let add = [
        "user",
        "add",
        "--org",
        "amce",
        "--email",
        "a@b.example",
        "--role",
        "admin",
    ];
    assert_ends(&data.run(&add), USAGE);
    let listed = data.json(&["org", "list"]);
    let names: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|org| &org["org"])
        .collect();
    assert_eq!(names, ["acme"]);
    assert_eq!(
        number(
            &data,
            "SELECT count(*) FROM agents WHERE id <> tenant_id",
            []
        ),
        0
    );
}

#[test]
fn names_are_taken_once() {
    let data = DataDir::new();
    data.add_org("acme");
    assert_ends(&data.run(&["org", "add", "acme"]), USAGE);
    let enrol = ["agent", "enrol", "--org", "acme", "--name", "alpha"];
    let first = data.json(&enrol);
    assert_ends(&data.run(&enrol), USAGE);
    data.add_org("other");
    data.json(&["agent", "enrol", "--org", "other", "--name", "alpha"]);
    let listed = data.json(&["agent", "list"]);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| a["agent_id"] == first["agent_id"])
    );
    let add = [
        "user",
        "add",
        "--org",
        "acme",
        "--email",
        "a@b.example",
        "--role",
        "admin",
    ];
    data.json(&add);
    assert_ends(&data.run(&add), USAGE);
}

#[test]
fn names_that_are_none_are_refused() {
    let data = DataDir::new();
    data.add_org("acme");
    let long = "x".repeat(129);
    for name in ["", "a\nb", "\u{1b}[31m", &long] {
        assert_ends(&data.run(&["org", "add", name]), USAGE);
        assert_ends(
            &data.run(&["agent", "enrol", "--org", "acme", "--name", name]),
            USAGE,
        );
    }
    assert_eq!(number(&data, "SELECT count(*) FROM tenants", []), 1);
    assert_eq!(
        number(
            &data,
            "SELECT count(*) FROM agents WHERE id <> tenant_id",
            []
        ),
        0
    );
}

#[test]
fn an_enrolment_prints_what_the_agent_needs() {
    let data = DataDir::new();
    data.add_org("acme");
    let keyed = [
        "agent",
        "enrol",
        "--org",
        "acme",
        "--name",
        "alpha",
        "--public-key",
        KEY,
    ];
    let enrolled = data.json(&keyed);
    let members: Vec<_> = enrolled.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["agent_id", "aud", "org", "token"]);
    let token = enrolled["token"].as_str().unwrap();
    assert!(token.starts_with("ms_") && token.len() == 46, "{token}");
    assert_eq!(enrolled["org"], "acme");
    let sql = "SELECT count(*) FROM agents WHERE public_key = unhex(?1)";
    assert_eq!(number(&data, sql, [KEY]), 1);
    let text = std::fs::read(data.store_file()).unwrap();
    assert!(
        !text
            .windows(token.len())
            .any(|window| window == token.as_bytes())
    );
}

#[test]
fn an_enrolment_of_a_device_prints_its_key_once() {
    let data = DataDir::new();
    data.add_org("acme");
    let enrol = ["agent", "enrol", "--org", "acme", "--profile", "hmac"];
    let enrolled = data.json(&[&enrol[..], &["--name", "web-1"]].concat());
    let members: Vec<_> = enrolled.as_object().unwrap().keys().collect();
    assert_eq!(members, ["aud", "device", "key", "org"]);
    assert_eq!(enrolled["org"], "acme");
    assert_eq!(enrolled["device"], "web-1");
    let key = enrolled["key"].as_str().unwrap();
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    assert!(key.len() == 64 && key.bytes().all(is_digit), "{key}");
    let printed = printed(&data.run(&[&enrol[..], &["--name", "web-2"]].concat()));
    for line in [
        "org       acme",
        "device    web-2",
        "key       ",
        "aud       ",
    ] {
        assert!(printed.contains(line), "{printed}");
    }
    assert!(!printed.contains(key), "each device has a key of its own");
    let listed = data.json(&["agent", "list"]);
    let device = &listed["items"][0];
    assert_eq!(device["profile"], "hmac");
    assert!(device["pinned"].is_null() && !listed.to_string().contains(key));
    let text = data.run(&["agent", "list"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("  acme/web-1  hmac  shared key"), "{text}");
}

#[test]
fn what_belongs_to_the_other_profile_or_to_no_header_is_a_usage_error() {
    let data = DataDir::new();
    data.add_org("acme");
    data.add_org("Acme Inc.");
    let enrol = |org: &str, name: &str, more: &[&str]| {
        let start = [
            "agent",
            "enrol",
            "--profile",
            "hmac",
            "--org",
            org,
            "--name",
            name,
        ];
        data.run(&[&start[..], more].concat())
    };
    for more in [["--public-key", KEY], ["--pin-within", "24h"]] {
        let said = assert_ends(&enrol("acme", "web-1", &more), USAGE);
        assert!(said.contains(more[0]) && said.contains("ed25519"), "{said}");
    }
    let long = "a".repeat(65);
    for (org, name) in [
        ("acme", "web 1"),
        ("acme", "a/b"),
        ("acme", &long),
        ("Acme Inc.", "web-1"),
    ] {
        let said = assert_ends(&enrol(org, name, &[]), USAGE);
        assert!(
            said.contains("expected 1 to 64 of A-Z a-z 0-9 . _ -"),
            "{said}"
        );
        let is_org = said.contains("organisation name");
        assert_eq!(is_org, org != "acme", "{said}");
    }
    let agents = "SELECT count(*) FROM agents WHERE id <> tenant_id";
    assert_eq!(number(&data, agents, []), 0);
    assert_ends(&enrol("nobody", "web-1", &[]), USAGE);
}

#[test]
fn a_device_is_revoked_by_its_names_or_its_identifier() {
    let data = DataDir::new();
    data.add_org("acme");
    data.enrol_device("acme", "web-1");
    data.enrol_device("acme", "web-2");
    let agent = data.enrol("acme", "alpha");
    for unknown in [
        "acme/web-3",
        "nobody/web-1",
        "acme/alpha",
        "web-1",
        "/",
        "acme/web-1/",
    ] {
        let said = assert_ends(&data.run(&["agent", "revoke", unknown]), USAGE);
        assert!(said.contains("ORG/DEVICE"), "{said}");
    }
    data.json(&["agent", "revoke", "acme/web-1"]);
    let listed = data.json(&["agent", "list"]);
    let second = listed["items"][2]["agent_id"].as_str().unwrap();
    data.json(&["agent", "revoke", second]);
    let listed = data.json(&["agent", "list"]);
    let items = listed["items"].as_array().unwrap();
    let revoked: Vec<_> = items.iter().map(|item| item["revoked"].as_bool()).collect();
    assert_eq!(revoked, [Some(false), Some(true), Some(true)]);
    assert_eq!(items[0]["agent_id"], agent.id.to_string());
}

#[test]
fn a_key_that_verifiers_disagree_about_is_not_pinned() {
    let data = DataDir::new();
    data.add_org("acme");
    let (zeros, upper) = ("0".repeat(64), KEY.to_uppercase());
    let one = format!("01{}", "0".repeat(62));
    let not_canonical = format!("ee{}7f", "f".repeat(60));
    for key in [
        zeros.as_str(),
        &one,
        &not_canonical,
        &upper,
        &KEY[1..],
        "banana",
        "",
    ] {
        let enrol = [
            "agent",
            "enrol",
            "--org",
            "acme",
            "--name",
            "alpha",
            "--public-key",
            key,
        ];
        assert_ends(&data.run(&enrol), USAGE);
    }
    for span in ["", "24", "-1h", "1.5h", "forever"] {
        let within = format!("--pin-within={span}");
        assert_ends(
            &data.run(&["agent", "enrol", "--org", "acme", "--name", "a", &within]),
            USAGE,
        );
    }
    assert_eq!(
        number(
            &data,
            "SELECT count(*) FROM agents WHERE id <> tenant_id",
            []
        ),
        0
    );
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused_with_the_nearest_name() {
    let data = DataDir::new();
    let file = data.path().join("hub.toml");
    let check = || run(&["check", "--config", file.to_str().unwrap()]);
    for (text, expected) in [
        ("org_rat = 5", "org_rate"),
        ("addres_rate = 5", "address_rate"),
        ("org_rate = ", ""),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = assert_ends(&check(), CONFIGURATION);
        assert!(said.contains(expected), "{text}: {said}");
        assert!(said.contains("hub.toml"), "{text}: {said}");
    }
    std::fs::write(&file, "org_rate = 5\naddr = \"127.0.0.1:0\"\n").unwrap();
    printed(&check());
    std::fs::remove_file(&file).unwrap();
    assert_ends(&check(), CONFIGURATION);
    assert!(!data.store_file().exists(), "a check makes no store");
}

#[test]
fn a_value_of_another_type_is_refused_by_the_name_of_its_key() {
    let data = DataDir::new();
    let file = data.path().join("hub.toml");
    for (text, key) in [
        ("org_rate = \"many\"", "org_rate"),
        ("addr = \"nowhere\"", "addr"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(&["check", "--config", file.to_str().unwrap()]);
        let said = assert_ends(&output, CONFIGURATION);
        assert!(said.contains(key), "{text}: {said}");
    }
}

#[test]
fn another_database_is_not_replaced_by_sqlite_silently() {
    let data = DataDir::new();
    let commands: [&[&str]; 4] = [
        &["run", "--addr", "127.0.0.1:0"],
        &["check"],
        &["migrate"],
        &["org", "list"],
    ];
    for command in commands {
        let ends_with = |url: &str, code| {
            let mut program = program();
            program.env("DATABASE_URL", url);
            program.args(command).arg("--data").arg(data.path());
            let said = assert_ends(&program.output().unwrap(), code);
            assert!(!said.contains("s3cret"), "{said}");
            said
        };
        for url in [
            "mysql://u:s3cret@db.example/x",
            "postgres://u:s3cret@db.example/x?sslmode=verify-ca",
            "postgres://u:s3cret@db.example/x?sslrootcert=absent.pem",
            "postgres:///x?password=s3cret",
            "s3cret",
        ] {
            let said = ends_with(url, CONFIGURATION);
            assert!(said.contains("DATABASE_URL"), "{said}");
        }
        // Nobody listens on the port that is reserved for counting.
        if command != ["check"] {
            ends_with("postgres://u:s3cret@127.0.0.1:1/x", UNAVAILABLE);
        }
    }
    assert!(!data.store_file().exists());
}

#[test]
fn health_says_whether_a_hub_can_store() {
    // Bound and closed again: nobody listens there.
    let addr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let output = run(&["health", "--addr", &addr]);
    assert_eq!(output.status.code(), Some(UNAVAILABLE));
    let data = DataDir::new();
    let hub = Hub::start(&data);
    let addr = hub.addr.to_string();
    assert_eq!(printed(&run(&["health", "--addr", &addr])).trim(), "ok");
    let json = printed(&run(&["health", "--addr", &addr, "--json"]));
    assert_eq!(json.trim(), r#"{"status":"ok"}"#);
}

#[test]
fn an_address_that_is_taken_is_unavailable() {
    let (data, other) = (DataDir::new(), DataDir::new());
    let hub = Hub::start(&data);
    let output = other.run(&["run", "--addr", &hub.addr.to_string()]);
    let said = assert_ends(&output, UNAVAILABLE);
    assert!(said.contains(&hub.addr.to_string()), "{said}");
}

#[test]
fn version_completions_and_help_go_to_standard_output() {
    let version: serde_json::Value =
        serde_json::from_str(&printed(&run(&["version", "--json"]))).unwrap();
    assert_eq!(version["version"], "0.1.0");
    assert_eq!(printed(&run(&["version"])).trim(), "monsys-hub 0.1.0");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            printed(&run(&["completions", shell])).contains("monsys-hub"),
            "{shell}"
        );
    }
    let help = printed(&run(&["run", "--help"]));
    for word in [
        "--addr",
        "MONSYS_ADDR",
        "127.0.0.1:8080",
        "MONSYS_ORG_RATE",
        "1000",
        "--pg-connections",
        "MONSYS_PG_CONNECTIONS",
    ] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
}

#[test]
fn the_environment_is_a_twin_of_every_flag() {
    let data = DataDir::new();
    let mut program = program();
    program
        .env("MONSYS_DATA", data.path())
        .args(["org", "add", "acme", "--json"]);
    printed(&program.output().unwrap());
    assert_eq!(number(&data, "SELECT count(*) FROM tenants", []), 1);
}

#[test]
fn a_demo_store_is_refused_by_run_and_by_a_cycle() {
    let data = DataDir::new();
    data.add_org("acme");
    let sql = "INSERT INTO meta (name, value) VALUES ('is_demo', '1')";
    open_writable(&data).execute(sql, []).unwrap();
    let said = assert_ends(&data.run(&["run", "--addr", "127.0.0.1:0"]), CONFIGURATION);
    assert!(said.contains("demo"), "{said}");
    assert_ends(&data.run(&["integrity", "run"]), CONFIGURATION);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let data = DataDir::new();
    data.add_org("acme");
    open_writable(&data)
        .pragma_update(None, "user_version", 1_000)
        .unwrap();
    let commands: [&[&str]; 4] = [
        &["run", "--addr", "127.0.0.1:0"],
        &["org", "list"],
        &["migrate"],
        &["integrity", "run"],
    ];
    for command in commands {
        let said = assert_ends(&data.run(command), CONFIGURATION);
        assert!(said.contains("1000"), "{said}");
    }
    assert_eq!(
        number(&data, "SELECT user_version FROM pragma_user_version", []),
        1_000
    );
}

#[test]
fn a_file_that_is_no_store_and_a_directory_that_is_none_are_io_failures() {
    let data = DataDir::new();
    std::fs::write(
        data.store_file(),
        "this is no database, and long enough to be read as one",
    )
    .unwrap();
    assert_ends(&data.run(&["org", "list"]), IO);
    let text = std::fs::read_to_string(data.store_file()).unwrap();
    assert!(text.starts_with("this is no database"));
    let below_a_file = data.store_file().join("deeper");
    let output = run(&["org", "list", "--data", below_a_file.to_str().unwrap()]);
    assert_ends(&output, IO);
}

#[test]
fn the_store_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let parent = DataDir::new();
    let made = parent.path().join("state");
    printed(&run(&[
        "org",
        "add",
        "acme",
        "--data",
        made.to_str().unwrap(),
    ]));
    let mode = std::fs::metadata(&made).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn an_unknown_agent_is_not_revoked() {
    let data = DataDir::new();
    data.add_org("acme");
    for id in ["banana", "00000000-0000-4000-8000-000000000000"] {
        assert_ends(&data.run(&["agent", "revoke", id]), USAGE);
    }
}

#[test]
fn a_cycle_without_agents_reports_nothing() {
    let data = DataDir::new();
    data.add_org("acme");
    let report = data.cycle();
    assert_eq!(
        (&report["evaluated"], &report["opened"]),
        (&0.into(), &0.into())
    );
}

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
        let said = assert_ends(
            &data.run(&["check", &format!("--drain-delay={delay}")]),
            CONFIGURATION,
        );
        assert!(said.contains("drain delay"), "{said}");
    }
    let file = data.path().join("hub.toml");
    std::fs::write(&file, "[drain]\ndelay = \"5s\"\n").unwrap();
    data.json(&["check", "--config", file.to_str().unwrap()]);
}
