//! Signals of the agent: what arrives at a hub from machines made of a few files, measured by a user
//! without rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

use monsys_core::id::AgentId;
use monsys_core::signal::SignalDraft;
use monsys_core::time::Timestamp;
use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::commands::agent;
use crate::hub::{Hub, TempDir};

/// A user without rights; the tests run as root where a container does.
const NOBODY: u32 = 65_534;
const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// A machine below a directory, and the data of an agent without rights that measures it.
struct Machine {
    hub: Hub,
    root: TempDir,
    data: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            hub: Hub::start(),
            root: TempDir::new(),
            data: TempDir::new(),
        };
        fs::set_permissions(machine.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if geteuid().is_root() {
            chown(machine.data.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::create_dir(machine.root.path().join("proc")).unwrap();
        symlink("/proc/stat", machine.root.path().join("proc/stat")).unwrap();
        let (url, token) = (machine.hub.url(), &machine.hub.token);
        machine.run(&["init", "--hub", url, "--token", token]);
        machine
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Takes every right from a file; its owner has none either.
    fn close(&self, path: &str) {
        let path = self.root.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }

    fn run(&self, args: &[&str]) {
        let mut command = agent(self.data.path());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.arg("--root").arg(self.root.path()).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Measures and sends once; returns signals and snapshot as they arrived.
    fn sent(&self) -> (Vec<Value>, Value) {
        self.run(&["run-once"]);
        let bodies = self.hub.arrived().into_iter().map(|payload| payload.body);
        let bodies: Vec<Value> = bodies
            .map(|body| serde_json::from_str(&body).unwrap())
            .collect();
        let of_type = |kind: &str| bodies.iter().rfind(|body| body["type"] == kind).unwrap();
        let signals = of_type("agent_signals")["data"]["signals"]
            .as_array()
            .unwrap();
        (signals.clone(), of_type("endpoint")["data"].clone())
    }
}

fn signal<'a>(signals: &'a [Value], key: &str) -> &'a Value {
    signals.iter().find(|signal| signal["key"] == key).unwrap()
}

fn health<'a>(endpoint: &'a Value, collector: &str) -> &'a Value {
    let entries = endpoint["health"].as_array().unwrap();
    entries
        .iter()
        .find(|entry| entry["collector"] == collector)
        .unwrap()
}

/// A draft as a hub makes it of a signal.
fn draft(signal: &Value) -> SignalDraft {
    let text = |name: &str| signal[name].as_str().unwrap().to_owned();
    SignalDraft {
        source: text("source"),
        subject_type: text("subject_type"),
        subject_id: String::new(),
        key: text("key"),
        value: signal["value"].to_string(),
        severity: signal["severity"].as_str().map(str::to_owned),
        observed_at: Timestamp::parse_rfc3339(&text("observed_at")).unwrap(),
        ttl_seconds: signal["ttl_seconds"].as_i64(),
    }
}

#[test]
fn answers_arrive_with_their_severities_and_a_hub_admits_them() {
    let machine = Machine::new();
    machine.file("etc/ufw/ufw.conf", "ENABLED=no\n");
    machine.file(SECURE_BOOT, [6, 0, 0, 0, 1]);
    machine.file("run/reboot-required", "");
    machine.file("var/lib/apt/lists/lock", "");
    machine.file("run/systemd/timesync/synchronized", "");
    let (signals, endpoint) = machine.sent();
    for (key, value, severity) in [
        ("posture.firewall", json!(false), json!("high")),
        ("posture.secure_boot", json!(true), Value::Null),
        ("posture.reboot_required", json!(true), json!("low")),
        ("posture.updates_checked", json!(true), Value::Null),
        ("clock.synchronised", json!(true), Value::Null),
        ("posture.disk_encryption", json!("unknown"), Value::Null),
    ] {
        let signal = signal(&signals, key);
        assert_eq!(
            (&signal["value"]["value"], &signal["severity"]),
            (&value, &severity),
            "{key}"
        );
        assert_eq!(signal["ttl_seconds"], 900);
    }
    assert_eq!(health(&endpoint, "clock_check")["state"], "ok");
    assert_eq!(health(&endpoint, "endpoint_posture")["state"], "degraded");
    let drafts: Vec<SignalDraft> = signals.iter().map(draft).collect();
    let now = drafts[0].observed_at;
    let admitted = monsys_signals::admit(drafts, AgentId::from_bytes([7; 16]), now).unwrap();
    assert_eq!(admitted.len(), signals.len());
}

#[test]
fn e5_what_only_root_may_read_is_unknown_with_a_reason_and_no_finding() {
    let machine = Machine::new();
    for (path, content) in [
        ("etc/ufw/ufw.conf", "ENABLED=no\n".as_bytes()),
        (SECURE_BOOT, &[6, 0, 0, 0, 0]),
        (
            "proc/self/mountinfo",
            b"1 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
        ),
        ("var/log/wtmp", b""),
        ("var/log/btmp", b""),
        ("var/log/auth.log", b""),
    ] {
        machine.file(path, content);
        if path != "var/log/wtmp" {
            machine.close(path);
        }
    }
    let (signals, endpoint) = machine.sent();
    for (key, reason) in [
        ("posture.firewall", "the settings of ufw cannot be read"),
        (
            "posture.secure_boot",
            "the variable of the firmware cannot be read",
        ),
        (
            "posture.disk_encryption",
            "mounted file systems cannot be read",
        ),
    ] {
        let signal = signal(&signals, key);
        assert_eq!(
            signal["value"],
            json!({"value": "unknown", "reason": reason})
        );
        assert_eq!(signal["severity"], Value::Null);
    }
    let auth = health(&endpoint, "auth");
    let expected = "/var/log/btmp permission denied; /var/log/auth.log permission denied; \
                    /var/log/secure not there";
    assert_eq!(
        (&auth["state"], &auth["reason"]),
        (&json!("degraded"), &json!(expected))
    );
    let posture = health(&endpoint, "endpoint_posture");
    assert_eq!(posture["state"], "unavailable");
}

#[test]
fn a_backup_that_is_gone_a_late_one_and_a_hidden_one_are_told_apart() {
    let machine = Machine::new();
    let file = machine.data.path().join("agent.toml");
    let written = fs::read_to_string(&file).unwrap();
    let watch = |path: &str| {
        let table = format!(
            "{written}\n[[backup]]\nname = \"nightly\"\npath = \"{path}\"\nmax_age_hours = 24\n"
        );
        fs::write(&file, table).unwrap();
        let (signals, endpoint) = machine.sent();
        let of = |key| {
            let signal = signal(&signals, key);
            (signal["value"]["value"].clone(), signal["severity"].clone())
        };
        let state = health(&endpoint, "backup_check")["state"].clone();
        (of("backup.present"), of("backup.age_hours"), state)
    };
    machine.file("srv/backup/db.dump", "");
    machine.file("srv/hidden/db.dump", "");
    machine.close("srv/hidden");
    let unknown = || (json!("unknown"), Value::Null);
    assert_eq!(
        watch("/srv/backup"),
        (
            (json!(true), Value::Null),
            (json!(0), Value::Null),
            json!("ok")
        )
    );
    assert_eq!(
        watch("/srv/gone"),
        ((json!(false), json!("high")), unknown(), json!("ok"))
    );
    assert_eq!(
        watch("/srv/hidden"),
        (unknown(), unknown(), json!("unavailable"))
    );
    let hidden = machine.root.path().join("srv/hidden");
    fs::set_permissions(hidden, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn p1_names_paths_and_lines_of_the_machine_are_in_no_signal() {
    let machine = Machine::new();
    for path in ["etc/ufw/ufw.conf", SECURE_BOOT, "var/log/auth.log"] {
        machine.file(path, "canary-secret\n");
    }
    machine.file(
        "var/lib/update-notifier/updates-available",
        "canary-secret\n",
    );
    let (signals, endpoint) = machine.sent();
    assert!(!signals.is_empty());
    for value in [json!(signals), endpoint] {
        let text = value.to_string();
        let root = Path::new(machine.root.path())
            .to_string_lossy()
            .into_owned();
        assert!(!text.contains("canary") && !text.contains(&*root), "{text}");
    }
}
