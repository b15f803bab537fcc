//! The program as a process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use monsys_agent::Clock;
use monsys_wire::answer::Acknowledgement;
use monsys_wire::canonical;
use monsys_wire::{BearerToken, Reject, SigningKey};
use serde_json::Value;

use crate::hub::{Hub, Reply, TempDir, closed_door};

pub(crate) fn agent(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monsys-agent"));
    command.env_clear().env("MONSYS_AGENT_DATA", data);
    command
}

pub(crate) fn init(hub: &Hub, data: &Path) -> Output {
    agent(data)
        .args(["init", "--json", "--hub", hub.url(), "--token", &hub.token])
        .output()
        .unwrap()
}

pub(crate) fn run(data: &Path, args: &[&str]) -> (i32, String, String) {
    let output = agent(data).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(data: &Path, args: &[&str]) -> (i32, Value) {
    let (code, out, err) = run(data, args);
    (
        code,
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")),
    )
}

/// The metrics among what `run-once --print` shows: the first line.
fn metrics(printed: &str) -> Value {
    let body: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(body["type"], "metrics");
    body
}

#[test]
fn init_pins_once_can_be_repeated_and_never_shows_a_secret() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let (code, made) = json(dir.path(), &["keygen", "--json"]);
    assert_eq!(code, 0);
    let first = init(&hub, dir.path());
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let enrolled: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(enrolled["agent_id"], hub.agent_id.to_string());
    assert_eq!(enrolled["public_key"], made["public_key"]);
    assert_eq!(hub.pinned().as_deref(), made["public_key"].as_str());
    let again = init(&hub, dir.path());
    assert!(again.status.success());
    assert_eq!(hub.n_pins(), 1);
    let secret = fs::read_to_string(dir.path().join("signing.key")).unwrap();
    for output in [first, again] {
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!shown.contains(&hub.token) && !shown.contains(secret.trim()));
    }
    for file in ["signing.key", "agent.toml"] {
        let mode = fs::metadata(dir.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn init_goes_on_after_a_crash_at_any_step() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let config = fs::read(dir.path().join("agent.toml")).unwrap();
    fs::remove_file(dir.path().join("agent.toml")).unwrap();
    assert!(
        init(&hub, dir.path()).status.success(),
        "pinned, not configured"
    );
    assert_eq!(fs::read(dir.path().join("agent.toml")).unwrap(), config);
    fs::remove_dir_all(dir.path().join("spool")).unwrap();
    assert!(
        init(&hub, dir.path()).status.success(),
        "configured, no spool"
    );
}

#[test]
fn init_leaves_another_hub_another_agent_and_another_key_alone() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let config = fs::read(dir.path().join("agent.toml")).unwrap();
    let other = Hub::start();
    assert_eq!(init(&other, dir.path()).status.code(), Some(78));
    assert_eq!(fs::read(dir.path().join("agent.toml")).unwrap(), config);
    let elsewhere = TempDir::new();
    hub.pin(&SigningKey::from_secret_bytes([1; 32]).verifying_key());
    let n_pins = hub.n_pins();
    assert_eq!(init(&hub, elsewhere.path()).status.code(), Some(78));
    assert_eq!(hub.n_pins(), n_pins, "asking would open a finding");
    assert!(!elsewhere.path().join("agent.toml").exists());
}

#[test]
fn the_token_may_come_from_the_environment_or_a_file() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let file = dir.path().join("token");
    fs::write(&file, format!("{}\n", hub.token)).unwrap();
    for (name, value) in [
        ("MONSYS_TOKEN", hub.token.as_str()),
        ("MONSYS_TOKEN_FILE", file.to_str().unwrap()),
    ] {
        let mut command = agent(&dir.path().join("data"));
        let status = command
            .args(["init", "--hub", hub.url()])
            .env(name, value)
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "{name}");
    }
}

#[test]
fn run_once_print_shows_canonical_bytes_and_sends_nothing() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    init(&hub, dir.path());
    let (code, out, _) = run(dir.path(), &["run-once", "--print"]);
    assert_eq!(code, 0);
    for line in out.lines() {
        assert!(canonical::check(line.as_bytes()).is_ok(), "{line}");
    }
    let body = metrics(&out);
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "agent_id",
            "agent_version",
            "aud",
            "captured_at",
            "data",
            "epoch",
            "sent_at",
            "seq",
            "type",
            "v"
        ]
    );
    let cpu = body["data"]["cpu_usage_percent"].as_f64().unwrap();
    assert!((0.0..=100.0).contains(&cpu));
    assert!(body["data"]["mem_total_bytes"].as_i64().unwrap() > 1_000_000);
    let positions = |out: &str| {
        let position = |line| {
            let body: Value = serde_json::from_str(line).unwrap();
            (
                body["epoch"].as_u64().unwrap(),
                body["seq"].as_u64().unwrap(),
            )
        };
        out.lines().map(position).collect::<Vec<_>>()
    };
    let n_lines = u64::try_from(out.lines().count()).unwrap();
    let (mut sorted, highest) = (positions(&out), (1, n_lines));
    assert_eq!(
        sorted[0], highest,
        "metrics are shown first and spooled last"
    );
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        (1..=n_lines).map(|seq| (1, seq)).collect::<Vec<_>>()
    );
    let (_, again, _) = run(dir.path(), &["run-once", "--print"]);
    assert_eq!(
        positions(&again),
        positions(&out),
        "no position was used up"
    );
    assert!(hub.arrived().is_empty());
}

#[test]
fn a_payload_has_no_other_member_than_the_contract_names() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    init(&hub, dir.path());
    let (_, out, _) = run(dir.path(), &["run-once", "--print"]);
    let body = metrics(&out);
    let known = [
        "cpu_usage_percent",
        "cpu_cores",
        "load1",
        "load5",
        "load15",
        "mem_total_bytes",
        "mem_used_bytes",
        "swap_total_bytes",
        "swap_used_bytes",
        "uptime_seconds",
        "disks",
        "networks",
    ];
    for (name, value) in body["data"].as_object().unwrap() {
        assert!(known.contains(&name.as_str()), "{name}");
        let inner: &[&str] = if name == "disks" {
            &["mount", "total_bytes", "used_bytes"]
        } else {
            &["interface", "rx_bytes", "tx_bytes"]
        };
        for item in value.as_array().into_iter().flatten() {
            assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), inner);
        }
    }
}

#[test]
fn run_once_delivers_and_an_absent_hub_keeps_the_sample() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    init(&hub, dir.path());
    hub.answer_next(Reply::Cut);
    let (code, sent) = json(dir.path(), &["run-once", "--json"]);
    assert_eq!((code, sent["answer"].as_str()), (69, Some("unreachable")));
    let n_payloads = sent["pending"].as_u64().unwrap();
    assert!(n_payloads >= 2, "metrics and a snapshot: {sent}");
    let (code, sent) = json(dir.path(), &["run-once", "--json"]);
    let count = |name: &str| sent[name].as_u64().unwrap();
    assert_eq!(
        (code, count("delivered"), count("pending")),
        (0, 2 * n_payloads, 0)
    );
    assert_eq!(
        (sent["answer"].as_str(), count("seq")),
        (Some("accepted"), 2 * n_payloads)
    );
    let arrived: Vec<u64> = hub
        .arrived()
        .iter()
        .map(|payload| payload.position.seq())
        .collect();
    let mut freshest_first = vec![n_payloads, 2 * n_payloads];
    freshest_first.extend((1..2 * n_payloads).collect::<Vec<u64>>());
    assert_eq!(arrived, freshest_first);
    assert!(hub.arrived()[1].body.contains("\"type\":\"metrics\""));
    hub.answer_next(Reply::Refuse(Reject::TooLarge { body_bytes_max: 1 }));
    assert_eq!(json(dir.path(), &["run-once", "--json"]).0, 1);
    // Metrics go first and are taken; what is refused is the next one.
    let accepted = Acknowledgement::Accepted.to_json(Clock::system().now());
    hub.answer_next(Reply::Raw(202, "", accepted));
    hub.answer_next(Reply::Refuse(Reject::TooLarge { body_bytes_max: 1 }));
    let (code, sent) = json(dir.path(), &["run-once", "--json"]);
    assert_eq!(
        (code, &sent["answer"], &sent["refused"]),
        (1, &"accepted".into(), &1.into())
    );
    hub.answer_next(Reply::Refuse(Reject::Revoked));
    assert_eq!(json(dir.path(), &["run-once", "--json"]).0, 78);
}

#[test]
fn spool_identity_version_and_doctor_tell_what_is() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert_eq!(
        json(dir.path(), &["doctor", "--json"]).0,
        1,
        "nothing is configured"
    );
    init(&hub, dir.path());
    let (code, status) = json(dir.path(), &["spool", "status", "--json"]);
    assert_eq!(
        (code, &status["epoch"], &status["next_seq"]),
        (0, &Value::from(1), &Value::from(1))
    );
    let (_, identity) = json(dir.path(), &["identity", "--json"]);
    assert_eq!(identity["public_key"].as_str(), hub.pinned().as_deref());
    assert_eq!(
        json(dir.path(), &["version", "--json"]).1["version"],
        env!("CARGO_PKG_VERSION")
    );
    let (code, report) = json(dir.path(), &["doctor", "--json"]);
    assert_eq!((code, &report["ok"]), (0, &Value::from(true)), "{report}");
    assert!(hub.arrived().is_empty(), "doctor sends no data");
    let key = dir.path().join("signing.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, report) = json(dir.path(), &["doctor", "--json"]);
    assert_eq!((code, &report["ok"]), (1, &Value::from(false)));
}

#[test]
fn exit_codes_follow_the_contract() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let token = &hub.token;
    let gone = closed_door();
    let wrong = BearerToken::from_random_bytes([0; 32])
        .expose_text()
        .replace("ms_", "sm_");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["run-once"], 78, "expected one made by init"),
        (&["daemon"], 78, "expected one made by init"),
        (&["deamon"], 2, "daemon"),
        (&["run-once", "--prinnt"], 2, "--print"),
        (
            &[
                "daemon",
                "--clock-origin",
                "2026-11-21T00:00:00Z",
                "--clock-rate",
                "61",
            ],
            2,
            "1 to 60",
        ),
        (&["init", "--hub", hub.url()], 2, "--token"),
        (
            &["init", "--hub", "http://hub.example", "--token", token],
            2,
            "https",
        ),
        (
            &["init", "--hub", &gone, "--token", token],
            69,
            "not reached",
        ),
        (
            &["init", "--hub", &gone, "--token", &wrong],
            2,
            "not a token",
        ),
    ];
    for (args, expected, hint) in cases {
        let (code, out, err) = run(dir.path(), args);
        assert_eq!((code, out.as_str()), (expected, ""), "{args:?}: {err}");
        assert!(err.contains(hint), "{args:?}: {err}");
        assert!(
            !err.contains(token) && !err.contains(&wrong),
            "{args:?}: {err}"
        );
    }
    assert_eq!(run(dir.path(), &["--help"]).0, 0);
}

#[test]
fn a_second_agent_on_the_same_data_is_refused() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    init(&hub, dir.path());
    let spool = monsys_agent::spool::Spool::open(
        &dir.path().join("spool"),
        monsys_agent::spool::SpoolLimits::standard(),
    )
    .unwrap();
    let (code, _, err) = run(dir.path(), &["daemon"]);
    assert_eq!(code, 69);
    assert!(err.contains("expected no other agent"), "{err}");
    drop(spool);
}
