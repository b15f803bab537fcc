//! The reference agent against the real hub, in both profiles, through the command lines of both.
//!
//! The agent is the one inside the hub's own program, which is the same code as `monsys-agent`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use monsys_core::time::{Span, Timestamp};
use serde_json::Value;

use support::hub::program;
use support::store::{number, rows};
use support::{DataDir, Hub, PATIENCE, now, poll};

/// A data directory of an agent, beside that of its hub.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(data: &DataDir, name: &str) -> Self {
        let root = data.path().join(name);
        Self { root }
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .arg("agent-process")
            .args(arguments)
            .env("MONSYS_AGENT_DATA", &self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end; its input stays open meanwhile, because the agent ends with it.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut child = self.agent(arguments).spawn().unwrap();
        let input = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(input);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Starts the daemon under a clock that is ahead of the wall and runs sixty times as fast.
    fn daemon_ahead(&self, by: Span) -> Child {
        let micros = by.micros() / 59;
        let origin = now().saturating_sub(Span::from_micros(micros)).to_rfc3339();
        let clock = ["daemon", "--clock-origin", &origin, "--clock-rate", "60"];
        self.agent(&clock).spawn().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Ends a daemon as a service manager does, and returns what it logged.
fn terminate(mut daemon: Child) -> String {
    let pid = daemon.id().to_string();
    let status = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(status.unwrap().success());
    let mut log = String::new();
    let mut stderr = daemon.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    assert!(daemon.wait().unwrap().success(), "{log}");
    log
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn n_samples(data: &DataDir) -> i64 {
    number(data, "SELECT count(*) FROM metrics", [])
}

fn n_anomalies(data: &DataDir) -> i64 {
    number(data, "SELECT count(*) FROM integrity_anomalies", [])
}

/// An enrolled device, and the file in which its key was handed over.
fn enrol_device(data: &DataDir, name: &str) -> (Value, PathBuf) {
    let arguments = ["agent", "enrol", "--profile", "hmac", "--org", "acme"];
    let enrolled = data.json(&[&arguments[..], &["--name", name]].concat());
    let file = data.path().join(format!("{name}.handed-over"));
    fs::write(&file, format!("{}\n", enrolled["key"].as_str().unwrap())).unwrap();
    (enrolled, file)
}

fn init_device(machine: &Machine, hub: &Hub, enrolled: &Value, file: &Path) -> (i32, String) {
    let text = |member: &str| enrolled[member].as_str().unwrap().to_owned();
    let (org, device, aud) = (text("org"), text("device"), text("aud"));
    let (url, file) = (hub.url(""), file.to_str().unwrap());
    let arguments = [
        "init",
        "--profile",
        "hmac",
        "--hub",
        &url,
        "--org",
        &org,
        "--device",
        &device,
        "--aud",
        &aud,
        "--key-file",
        file,
        "--json",
    ];
    let (code, out, err) = machine.run(&arguments);
    (code, out + &err)
}

#[test]
fn a19_an_agent_with_a_key_of_its_own_is_enrolled_and_delivers() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    let enrolled = data.json(&["agent", "enrol", "--org", "acme", "--name", "web-1"]);
    let token = enrolled["token"].as_str().unwrap();
    let init = machine.json(&["init", "--hub", &hub.url(""), "--token", token]);
    assert_eq!(init["agent_id"], enrolled["agent_id"]);
    for file in ["signing.key", "agent.toml"] {
        assert_eq!(mode(&machine.file(file)), 0o600, "{file}");
    }
    let key = fs::read(machine.file("signing.key")).unwrap();
    let again = machine.json(&["init", "--hub", &hub.url(""), "--token", token]);
    assert_eq!(again["public_key"], init["public_key"]);
    assert_eq!(fs::read(machine.file("signing.key")).unwrap(), key);
    assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
    assert_eq!(machine.json(&["doctor"])["ok"], true);
    assert!(n_samples(&data) >= 1);
    assert_eq!(n_anomalies(&data), 0);
}

#[test]
fn a19_a_device_of_the_hmac_profile_is_enrolled_and_delivers() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    let (enrolled, file) = enrol_device(&data, "web-1");
    let (code, said) = init_device(&machine, &hub, &enrolled, &file);
    assert_eq!(code, 0, "{said}");
    let key = enrolled["key"].as_str().unwrap();
    assert!(!said.contains(key));
    for file in ["device.key", "agent.toml"] {
        assert_eq!(mode(&machine.file(file)), 0o600, "{file}");
    }
    assert_eq!(n_samples(&data), 0, "asking stores nothing");
    let config = fs::read(machine.file("agent.toml")).unwrap();
    // Repeated after a crash before the configuration was written, and without handing over the key.
    fs::remove_file(machine.file("agent.toml")).unwrap();
    fs::remove_file(&file).unwrap();
    let aud = enrolled["aud"].as_str().unwrap();
    let url = hub.url("");
    let repeated = [
        "init",
        "--profile",
        "hmac",
        "--hub",
        &url,
        "--org",
        "acme",
        "--device",
        "web-1",
        "--aud",
        aud,
    ];
    machine.json(&repeated);
    assert_eq!(fs::read(machine.file("agent.toml")).unwrap(), config);
    assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
    assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
    let doctor = machine.json(&["doctor"]);
    assert_eq!(doctor["ok"], true, "{doctor}");
    assert!(n_samples(&data) >= 2);
    assert_eq!(n_anomalies(&data), 0);
    let identity = machine.json(&["identity"]);
    assert_eq!(
        (&identity["org"], &identity["device"]),
        (&enrolled["org"], &enrolled["device"])
    );
}

#[test]
fn a19_init_keeps_no_key_that_the_hub_does_not_know_and_overwrites_none() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    let (enrolled, file) = enrol_device(&data, "web-1");
    let (_, of_other) = enrol_device(&data, "web-2");
    let (code, said) = init_device(&machine, &hub, &enrolled, &of_other);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("unauthorized"), "{said}");
    assert!(!machine.file("device.key").exists() && !machine.file("agent.toml").exists());
    let mut elsewhere = enrolled.clone();
    elsewhere["aud"] = "another-hub".into();
    let (code, said) = init_device(&machine, &hub, &elsewhere, &file);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("wrong_audience"), "{said}");
    assert!(!machine.file("device.key").exists());
    assert_eq!(init_device(&machine, &hub, &enrolled, &file).0, 0);
    let key = fs::read(machine.file("device.key")).unwrap();
    let (code, said) = init_device(&machine, &hub, &enrolled, &of_other);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("never overwritten"), "{said}");
    assert_eq!(fs::read(machine.file("device.key")).unwrap(), key);
    // An agent of the other profile takes nothing over either.
    let agent = data.json(&["agent", "enrol", "--org", "acme", "--name", "web-3"]);
    let token = agent["token"].as_str().unwrap();
    let (code, _, said) = machine.run(&["init", "--hub", &hub.url(""), "--token", token]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("the profile"), "{said}");
}

#[test]
fn a_device_with_a_clock_an_hour_ahead_delivers_at_once_and_shows_its_raw_clock() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    let (enrolled, file) = enrol_device(&data, "web-1");
    assert_eq!(init_device(&machine, &hub, &enrolled, &file).0, 0);
    let daemon = machine.daemon_ahead(Span::from_secs(3_600));
    poll("samples arrive", PATIENCE, || {
        (n_samples(&data) >= 3).then_some(())
    });
    let log = terminate(daemon);
    assert!(log.contains("hub takes payloads"), "{log}");
    assert!(!log.contains("hub does not take"), "no pause: {log}");
    let sql = "SELECT captured_at, time FROM metrics";
    let time = |text: String| Timestamp::parse_rfc3339(&text.replace(' ', "T")).unwrap();
    let times = rows(&data, sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    for (captured_at, received_at) in times {
        let drift = time(captured_at).since(time(received_at));
        assert!(drift > Span::from_secs(3_000), "{} s ahead", drift.millis());
    }
}

#[test]
fn every_sample_of_a_device_has_a_nonce_of_its_own() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    let (enrolled, file) = enrol_device(&data, "web-1");
    assert_eq!(init_device(&machine, &hub, &enrolled, &file).0, 0);
    for _ in 0..3 {
        machine.json(&["run-once"]);
    }
    let sql = "SELECT DISTINCT time FROM metrics";
    let times = rows(&data, sql, [], |row| row.get::<_, String>(0));
    assert_eq!(times.len(), 3, "a nonce that came twice would be a replay");
}
