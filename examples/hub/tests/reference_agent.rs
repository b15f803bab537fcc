//! The reference agent against the real hub, in both profiles, through the command lines of both.
//!
//! The agent is the one inside the hub's own program, which is the same code as `monsys-agent`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use monsys_core::time::{Span, Timestamp};
use monsys_wire::SigningKey;
use monsys_wire::answer::AgentSelf;
use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE};
use monsys_wire::rotate::RotateRequest;
use serde_json::Value;

use support::hub::program;
use support::store::{number, rows};
use support::{DataDir, Dice, Hub, PATIENCE, now, poll};

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
fn a_device_with_a_wrong_clock_delivers_at_once_and_shows_its_raw_clock() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let hour = 3_600;
    let years = 56 * 365 * 24 * hour;
    // The last one believes that it is 1970.
    for (name, seconds) in [("fast", hour), ("slow", -hour), ("reset", -years)] {
        let machine = Machine::new(&data, name);
        let (enrolled, file) = enrol_device(&data, name);
        assert_eq!(init_device(&machine, &hub, &enrolled, &file).0, 0);
        let before = n_samples(&data);
        let daemon = machine.daemon_ahead(Span::from_secs(seconds));
        poll("samples arrive", PATIENCE, || {
            (n_samples(&data) >= before + 3).then_some(())
        });
        let log = terminate(daemon);
        assert!(log.contains("hub takes payloads"), "{log}");
        assert!(
            !log.contains("\"stale\""),
            "corrected before it counts: {log}"
        );
        // Signals of the first look too: the hub is asked for its time before that.
        assert!(!log.contains("set aside"), "{log}");
        let sql = "SELECT m.captured_at, m.time FROM metrics m \
                   JOIN agents a ON a.id = m.agent_id WHERE a.name = ?1";
        let time = |text: String| Timestamp::parse_rfc3339(&text.replace(' ', "T")).unwrap();
        let times = rows(&data, sql, [name], |row| Ok((row.get(0)?, row.get(1)?)));
        assert!(times.len() >= 3, "{name}");
        let ahead = |(captured_at, received_at): (String, String)| {
            time(captured_at).since(time(received_at)).millis() / 1_000
        };
        // The first one: while the daemon runs, its clock runs sixty times as fast.
        let first = times.into_iter().map(ahead).min().unwrap();
        let expected = seconds - 600..seconds + 1_800;
        assert!(expected.contains(&first), "{name}: {first} s ahead");
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

/// An agent of its own key, enrolled.
fn init_agent(data: &DataDir, hub: &Hub, machine: &Machine) -> Value {
    let enrolled = data.json(&["agent", "enrol", "--org", "acme", "--name", "web-1"]);
    let token = enrolled["token"].as_str().unwrap();
    machine.json(&["init", "--hub", &hub.url(""), "--token", token])
}

/// What the hub says about the agent, and the token to ask with.
fn as_the_hub_knows_it(machine: &Machine, hub: &Hub) -> (AgentSelf, String) {
    let config = fs::read_to_string(machine.file("agent.toml")).unwrap();
    let token = config.split("token = \"").nth(1).unwrap();
    let token = token.split('"').next().unwrap().to_owned();
    let request = support::agent::client()
        .get(hub.url("/api/v1/agents/self"))
        .header(AUTHORIZATION, format!("Bearer {token}"));
    let answer = support::agent::read(request.call().unwrap()).unwrap();
    let known = AgentSelf::read(answer.body.as_bytes()).unwrap();
    (known, token)
}

fn pinned(machine: &Machine, hub: &Hub) -> String {
    let (known, _) = as_the_hub_knows_it(machine, hub);
    known.pinned.unwrap().to_string()
}

fn key_in(path: &Path) -> SigningKey {
    SigningKey::parse_secret_hex(fs::read_to_string(path).unwrap().trim()).unwrap()
}

#[test]
fn identity_shows_the_key_as_the_hub_shows_it() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    init_agent(&data, &hub, &machine);
    let identity = machine.json(&["identity"]);
    let (known, _) = as_the_hub_knows_it(&machine, &hub);
    assert_eq!(identity["agent_id"], known.agent_id.to_string());
    assert_eq!(identity["aud"], known.audience.as_str());
    assert_eq!(identity["public_key"], pinned(&machine, &hub));
    let listed = data.json(&["agent", "list"]);
    assert_eq!(listed["items"][0]["public_key"], identity["public_key"]);
    let (_, shown, _) = machine.run(&["identity"]);
    let listed = data.run(&["agent", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let key = identity["public_key"].as_str().unwrap();
    assert!(
        shown.contains(key) && listed.contains(key),
        "{shown}{listed}"
    );
    // Where the hub changes the key, it prints the same text.
    let other = SigningKey::from_secret_bytes([9; 32]);
    let (agent, key) = (
        known.agent_id.to_string(),
        other.verifying_key().to_string(),
    );
    let shown = data.json(&["agent", "rotate-key", &agent, "--public-key", &key]);
    fs::write(
        machine.file("signing.key"),
        other.to_secret_hex().as_slice(),
    )
    .unwrap();
    assert_eq!(machine.json(&["identity"])["public_key"], shown["pinned"]);
}

#[test]
fn a_change_of_keys_is_signed_by_the_old_one_and_a_running_daemon_takes_the_new_one() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    init_agent(&data, &hub, &machine);
    let daemon = machine.daemon_ahead(Span::from_secs(1));
    let mut former = vec![pinned(&machine, &hub)];
    for _ in 0..5 {
        let before = n_samples(&data);
        let rotated = machine.json(&["rotate-key"]);
        let key = rotated["public_key"].as_str().unwrap().to_owned();
        assert_eq!(pinned(&machine, &hub), key);
        assert!(!former.contains(&key));
        former.push(key);
        poll("samples go on", PATIENCE, || {
            (n_samples(&data) >= before + 3).then_some(())
        });
    }
    assert_eq!(mode(&machine.file("signing.key")), 0o600);
    assert!(!machine.file("signing.key.next").exists());
    let log = terminate(daemon);
    assert!(log.contains("another key is in force"), "{log}");
    assert!(!log.contains("hub does not take"), "{log}");
    let sql = "SELECT count(*) FROM integrity_anomalies WHERE kind IN ('signature_invalid', 'unsigned_payload')";
    assert_eq!(
        number(&data, sql, []),
        0,
        "no payload carried the wrong key"
    );
}

#[test]
fn a_change_of_keys_goes_on_after_a_crash_at_each_step() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    init_agent(&data, &hub, &machine);
    let (key, next) = (
        machine.file("signing.key"),
        machine.file("signing.key.next"),
    );
    let make_next = |byte| {
        let made = SigningKey::from_secret_bytes([byte; 32]);
        fs::write(&next, made.to_secret_hex().as_slice()).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
        made
    };
    // The next key was made, and the hub not asked.
    let made = make_next(1);
    assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
    let (code, out, _) = machine.run(&["doctor"]);
    assert_eq!(code, 1);
    assert!(out.contains("rotate-key to be repeated"), "{out}");
    machine.json(&["rotate-key"]);
    assert_eq!(pinned(&machine, &hub), made.verifying_key().to_string());
    // The hub said yes, and the answer was lost; whatever runs next finishes it.
    for (byte, command) in [(2, &["run-once"][..]), (3, &["rotate-key"])] {
        let made = make_next(byte);
        let (known, token) = as_the_hub_knows_it(&machine, &hub);
        let body = RotateRequest::compose(&key_in(&key), &made, &known.audience, known.agent_id);
        let request = support::agent::client()
            .post(hub.url("/api/v1/agents/rotate-key"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, JSON_TYPE);
        assert_eq!(request.send(&body).unwrap().status(), 200);
        machine.json(command);
        assert_eq!(pinned(&machine, &hub), made.verifying_key().to_string());
        assert_eq!(
            machine.json(&["identity"])["public_key"],
            pinned(&machine, &hub)
        );
        assert!(!next.exists());
    }
    assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
    assert_eq!(machine.json(&["doctor"])["ok"], true);
    // A hub that is away changes nothing and leaves nothing behind.
    let (before, url) = (fs::read(&key).unwrap(), hub.addr);
    hub.kill();
    let (code, _, err) = machine.run(&["rotate-key"]);
    assert_eq!(code, 69, "{err}");
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(!next.exists());
    let hub = Hub::start_at(&data, url);
    assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
    assert_eq!(n_anomalies(&data), 0);
    drop(hub);
}

#[test]
fn a_change_of_keys_killed_at_random_moments_locks_nobody_out() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    init_agent(&data, &hub, &machine);
    let mut dice = Dice(17);
    let mut n_unfinished = 0;
    for _ in 0..12 {
        let mut child = machine.agent(&["rotate-key"]).spawn().unwrap();
        support::pause(dice.moment(1..45));
        child.kill().unwrap();
        child.wait().unwrap();
        n_unfinished += usize::from(machine.file("signing.key.next").exists());
        assert_eq!(machine.json(&["run-once"])["answer"], "accepted");
        assert_eq!(
            machine.json(&["identity"])["public_key"],
            pinned(&machine, &hub)
        );
    }
    machine.json(&["rotate-key"]);
    assert_eq!(machine.json(&["doctor"])["ok"], true);
    assert_eq!(n_anomalies(&data), 0);
    eprintln!("{n_unfinished} of 12 were killed in the middle");
}

#[test]
fn the_key_of_a_device_is_replaced_by_the_one_that_its_hub_made() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let machine = Machine::new(&data, "machine");
    let (enrolled, file) = enrol_device(&data, "web-1");
    assert_eq!(init_device(&machine, &hub, &enrolled, &file).0, 0);
    let former = fs::read(machine.file("device.key")).unwrap();
    let rotated = data.json(&["agent", "rotate-key", "acme/web-1"]);
    assert_eq!(
        machine.run(&["run-once"]).0,
        78,
        "the old one is worth nothing"
    );
    let handed_over = file.to_str().unwrap();
    let (code, _, err) = machine.run(&["rotate-key", "--key-file", handed_over]);
    assert_eq!(code, 78, "{err}");
    assert_eq!(fs::read(machine.file("device.key")).unwrap(), former);
    assert_eq!(
        machine.run(&["rotate-key"]).0,
        2,
        "it cannot make one itself"
    );
    fs::write(&file, rotated["key"].as_str().unwrap()).unwrap();
    machine.json(&["rotate-key", "--key-file", handed_over]);
    assert_eq!(mode(&machine.file("device.key")), 0o600);
    let sent = machine.json(&["run-once"]);
    assert_eq!(
        (&sent["answer"], &sent["pending"]),
        (&"accepted".into(), &0.into())
    );
    assert_eq!(n_anomalies(&data), 0);
}

/// Copies a directory of files and directories.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// When each sample that the hub has was captured.
fn captured(data: &DataDir) -> BTreeSet<String> {
    let sql = "SELECT captured_at FROM metrics";
    rows(data, sql, [], |row| row.get(0)).into_iter().collect()
}

#[test]
fn a_restored_backup_of_the_data_directory_loses_no_sample() {
    for profile in ["ed25519", "hmac"] {
        let data = DataDir::new();
        data.add_org("acme");
        let hub = Hub::start(&data);
        let machine = Machine::new(&data, "machine");
        if profile == "hmac" {
            let (enrolled, file) = enrol_device(&data, "web-1");
            assert_eq!(init_device(&machine, &hub, &enrolled, &file).0, 0);
        } else {
            init_agent(&data, &hub, &machine);
        }
        let (backup, addr) = (data.path().join("backup"), hub.addr);
        let accepted = || {
            let sent = machine.json(&["run-once"]);
            assert_eq!(sent["answer"], "accepted", "{sent}");
            assert_eq!(sent["pending"], 0, "{sent}");
            sent["epoch"].as_i64().unwrap()
        };
        let restore = || {
            fs::remove_dir_all(&machine.root).unwrap();
            copy(&backup, &machine.root);
        };
        assert_eq!(accepted(), 1);
        // The backup is made while one sample is undelivered.
        hub.kill();
        assert_eq!(machine.run(&["run-once"]).0, 69);
        copy(&machine.root, &backup);
        let hub = Hub::start_at(&data, addr);
        for _ in 0..2 {
            assert_eq!(accepted(), 1);
        }
        assert_eq!(captured(&data).len(), 4);
        // Its next positions were used by other samples: a replay to the hub, a new epoch here.
        restore();
        assert_eq!(accepted(), 2, "{profile}");
        assert_eq!(captured(&data).len(), 5, "{profile}");
        // Restored again it meets the former epoch, then the present one.
        restore();
        assert_eq!(accepted(), 3, "{profile}");
        assert_eq!(captured(&data).len(), 6, "{profile}");
        // And then an epoch that the hub has forgotten: it says where to go on.
        restore();
        assert_eq!(accepted(), 4, "{profile}");
        assert_eq!(captured(&data).len(), 7, "{profile}");
        assert!(
            !machine.file("quarantine").exists(),
            "nothing was set aside"
        );
        drop(hub);
    }
}
