//! Snapshots of the endpoint: what is sent, what never is, and what happens where sources are
//! missing or unreadable.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use monsys_agent::collect::root::Root;
use monsys_agent::collect::snapshot::EndpointCollector;
use monsys_core::endpoint::EndpointSnapshot;
use monsys_core::limit;
use rustix::process::geteuid;
use serde_json::Value;

use crate::commands::{agent, init};
use crate::hub::{Hub, TempDir};

/// A user without rights; the tests run as root where a container does.
const NOBODY: u32 = 65_534;

/// How long the programs sleep, which nobody but they shall know.
const SECRET_ARGUMENT: &str = "271828.18";
const SECRET_VARIABLE: &str = "secret-of-the-environment";

/// A running program with a name of the test's choosing; ends with the test.
struct Running(Child);

impl Running {
    /// Starts a copy of `sleep` under another name.
    fn start(dir: &Path, name: &[u8]) -> Self {
        let copy = dir.join(OsStr::from_bytes(name));
        fs::copy("/bin/sleep", &copy).unwrap();
        let child = Command::new(&copy)
            .arg(SECRET_ARGUMENT)
            .env("SECRET", SECRET_VARIABLE)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Enrols an agent and returns the endpoint body that `run-once --print` shows.
fn printed(hub: &Hub, data: &Path, root: &Path) -> Value {
    assert!(init(hub, data).status.success());
    let output = agent(data)
        .args(["run-once", "--print", "--root"])
        .arg(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    of_type(&String::from_utf8(output.stdout).unwrap(), "endpoint")
}

fn of_type(printed: &str, kind: &str) -> Value {
    let mut bodies = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    bodies.find(|body: &Value| body["type"] == kind).unwrap()
}

fn health<'a>(body: &'a Value, collector: &str) -> &'a Value {
    let entries = body["data"]["health"].as_array().unwrap();
    let mut of_collector = entries
        .iter()
        .filter(|entry| entry["collector"] == collector);
    let entry = of_collector.next().unwrap();
    assert!(of_collector.next().is_none(), "one entry each: {entries:?}");
    entry
}

fn members(value: &Value) -> Vec<&str> {
    let names = value.as_object().unwrap().keys();
    names.map(String::as_str).collect()
}

#[test]
fn p1_a_snapshot_of_this_machine_has_the_closed_set_of_members_and_no_other() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let body = printed(&hub, dir.path(), Path::new("/"));
    let lists = [
        ("auth", ["count", "outcome", "service"].as_slice()),
        ("health", &["collector", "reason", "state"]),
        ("listeners", &["ip", "port", "process"]),
        ("persistence", &["kind", "path"]),
        ("processes", &["exe", "name", "pid", "username"]),
    ];
    assert_eq!(members(&body["data"]), lists.map(|(list, _)| list));
    for (list, names) in lists {
        for element in body["data"][list].as_array().unwrap() {
            assert_eq!(members(element), names, "{list}");
        }
    }
    let own = socket.local_addr().unwrap().port();
    let listeners = body["data"]["listeners"].as_array().unwrap();
    assert!(listeners.iter().any(|listener| listener["port"] == own));
    let processes = body["data"]["processes"].as_array().unwrap();
    let pid = std::process::id();
    let process = processes.iter().find(|process| process["pid"] == pid);
    let exe = std::env::current_exe().unwrap();
    assert_eq!(process.unwrap()["exe"].as_str(), exe.to_str());
    for collector in ["cpu", "memory", "load", "disks", "networks", "spool"] {
        assert_eq!(health(&body, collector)["state"], "ok");
    }
}

#[test]
fn p1_command_lines_environments_and_contents_are_in_no_payload() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let _running = Running::start(dir.path(), b"plain");
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc/cron.d")).unwrap();
    fs::write(root.join("etc/cron.d/job"), "* * * * * root secret-command").unwrap();
    fs::write(
        root.join("etc/passwd"),
        "root:secret-hash:0:0:Secret Name:/root:/secret-shell\n",
    )
    .unwrap();
    symlink("/proc", root.join("proc")).unwrap();
    let data = dir.path().join("data");
    let body = printed(&hub, &data, &root).to_string();
    assert!(
        body.contains("/etc/cron.d/job") && body.contains("\"plain\""),
        "{body}"
    );
    for secret in [SECRET_ARGUMENT, SECRET_VARIABLE, "secret-", "Secret Name"] {
        assert!(!body.contains(secret), "{secret}");
    }
}

#[test]
fn p2_names_of_running_programs_are_cleaned_before_they_are_spooled() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let cases: [(&[u8], &str); 7] = [
        (b"two\nlines", "twolines"),
        (b"a b) S 1 (c", "a b) S 1 (c"),
        (b"back\\slash\\n", "back\\slash\\n"),
        ("\u{202e}txt.exe".as_bytes(), "txt.exe"),
        (b"bob@example.org", "[redacted-email]"),
        (b"bad\xff\xfe", "bad\u{fffd}\u{fffd}"),
        (b"esc\x1b[31m\x7f", "esc[31m"),
    ];
    let running = cases.map(|(name, _)| Running::start(dir.path(), name));
    let data = dir.path().join("data");
    assert!(init(&hub, &data).status.success());
    let output = agent(&data).args(["run-once", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let arrived: Vec<String> = hub
        .arrived()
        .into_iter()
        .map(|payload| payload.body)
        .collect();
    let body = of_type(&arrived.join("\n"), "endpoint");
    for (child, (_, expected)) in running.iter().zip(cases) {
        let processes = body["data"]["processes"].as_array().unwrap();
        let process = processes
            .iter()
            .find(|process| process["pid"] == child.0.id());
        let process = process.unwrap();
        assert_eq!(process["name"], expected);
        let exe = format!("{}/{expected}", dir.path().display());
        assert_eq!(process["exe"], exe);
    }
}

#[test]
fn a_program_whose_file_was_removed_is_said_to_run_a_deleted_one() {
    let dir = TempDir::new();
    let running = Running::start(dir.path(), b"gone");
    fs::remove_file(dir.path().join("gone")).unwrap();
    let snapshot = EndpointCollector::at(Root::system()).snapshot(Vec::new());
    let process = snapshot
        .processes
        .iter()
        .find(|process| process.pid == running.0.id());
    let exe = process.unwrap().exe.as_ref().unwrap().as_str();
    assert_eq!(exe, format!("{}/gone (deleted)", dir.path().display()));
}

#[test]
fn processes_that_vanish_while_they_are_read_are_left_out() {
    let dir = TempDir::new();
    let mut collector = EndpointCollector::at(Root::system());
    let first = Running::start(dir.path(), b"brief");
    drop(first);
    let copy = dir.path().join("brief");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                Command::new(&copy).arg("0").status().unwrap();
            }
        });
        for _ in 0..50 {
            let EndpointSnapshot {
                processes, health, ..
            } = collector.snapshot(Vec::new());
            assert!(
                processes
                    .iter()
                    .any(|process| process.pid == std::process::id())
            );
            let of_processes = health
                .iter()
                .find(|entry| entry.collector.as_str() == "processes");
            let reason = of_processes
                .unwrap()
                .reason
                .as_ref()
                .map(ToString::to_string);
            assert!(!reason.is_some_and(|reason| reason.contains("not readable")));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A captured machine with many processes of long names.
fn crowded(dir: &Path, n_processes: usize) {
    fs::create_dir_all(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let exe = format!("/opt/{}/\"quoted\"", "é".repeat(100));
    for pid in 1..=n_processes {
        let process = dir.join(format!("proc/{pid}"));
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("comm"), format!("program-{pid}\n")).unwrap();
        symlink(&exe, process.join("exe")).unwrap();
    }
    // A processor that is never idle: the figures of the machine itself.
    for file in ["stat", "mounts"] {
        symlink(Path::new("/proc").join(file), dir.join("proc").join(file)).unwrap();
    }
}

#[test]
fn a_machine_with_more_processes_than_a_payload_holds_is_cut_and_accepted() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let root = dir.path().join("root");
    crowded(&root, 5_000);
    let data = dir.path().join("data");
    assert!(init(&hub, &data).status.success());
    let output = agent(&data)
        .args(["run-once", "--json", "--root"])
        .arg(&root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let arrived: Vec<String> = hub
        .arrived()
        .into_iter()
        .map(|payload| payload.body)
        .collect();
    let largest = arrived.iter().map(String::len).max().unwrap();
    assert!((limit::BODY_BYTES_MAX - 10_000..=limit::BODY_BYTES_MAX).contains(&largest));
    let body = of_type(&arrived.join("\n"), "endpoint");
    let n_sent = body["data"]["processes"].as_array().unwrap().len();
    assert!(
        (1_000..limit::ENDPOINT_PROCESSES_MAX).contains(&n_sent),
        "{n_sent}"
    );
    let processes = health(&body, "processes");
    assert_eq!(processes["state"], "degraded");
    let reason = processes["reason"].as_str().unwrap();
    let expected = format!("{n_sent} of 4096 fit into one payload; 4096 of 5000 processes");
    assert_eq!(reason, expected);
}

/// Lets an agent without rights measure and send, and returns the snapshot that arrived.
fn sent_without_rights(root: &Path) -> Value {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let without_rights = |args: &[&str]| {
        let mut command = agent(dir.path());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.arg("--root").arg(root).args(args).output().unwrap()
    };
    if geteuid().is_root() {
        chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let made = without_rights(&["init", "--hub", hub.url(), "--token", &hub.token]);
    assert!(made.status.success(), "{made:?}");
    let output = without_rights(&["run-once", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let arrived = hub.arrived().into_iter().map(|payload| payload.body);
    of_type(&arrived.collect::<Vec<_>>().join("\n"), "endpoint")
}

#[test]
fn e5_an_agent_without_rights_says_what_it_misses_and_ends_well() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let body = sent_without_rights(Path::new("/"));
    let reason = |collector| {
        let entry = health(&body, collector);
        assert_eq!(entry["state"], "degraded", "{entry}");
        entry["reason"].as_str().unwrap()
    };
    assert!(reason("processes").ends_with("needs CAP_SYS_PTRACE"));
    // The owner of the test's own socket is hidden from another user only.
    if geteuid().is_root() {
        assert!(reason("listeners").ends_with("needs CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"));
        let own = socket.local_addr().unwrap().port();
        let listeners = body["data"]["listeners"].as_array().unwrap();
        let listener = listeners.iter().find(|listener| listener["port"] == own);
        assert_eq!(listener.unwrap()["process"], Value::Null);
    }
}

#[test]
fn e5_sources_that_are_not_there_are_named_and_end_nothing() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("proc")).unwrap();
    symlink("/proc/stat", root.join("proc/stat")).unwrap();
    let body = printed(&hub, &dir.path().join("data"), &root);
    for collector in [
        "load",
        "memory",
        "disks",
        "networks",
        "processes",
        "listeners",
        "persistence",
    ] {
        let entry = health(&body, collector);
        assert_eq!(entry["state"], "unavailable", "{entry}");
        assert!(
            entry["reason"].as_str().unwrap().starts_with("expected "),
            "{entry}"
        );
    }
    assert_eq!(health(&body, "cpu")["state"], "ok");
    for list in ["processes", "listeners", "persistence"] {
        assert_eq!(body["data"][list].as_array().map(Vec::len), Some(0));
    }
}

#[test]
fn e5_directories_that_cannot_be_listed_are_named_and_the_rest_is_sent() {
    let dir = TempDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(dir.path().join("etc/cron.d")).unwrap();
    fs::write(dir.path().join("etc/cron.d/job"), "").unwrap();
    let crontabs = dir.path().join("var/spool/cron/crontabs");
    fs::create_dir_all(&crontabs).unwrap();
    fs::write(crontabs.join("alice"), "").unwrap();
    symlink("/proc", dir.path().join("proc")).unwrap();
    fs::set_permissions(&crontabs, fs::Permissions::from_mode(0o000)).unwrap();
    let body = sent_without_rights(dir.path());
    fs::set_permissions(&crontabs, fs::Permissions::from_mode(0o700)).unwrap();
    let entry = health(&body, "persistence");
    let reason = "1 directories not listed, first /var/spool/cron/crontabs: permission denied";
    assert_eq!(
        (&entry["state"], &entry["reason"]),
        (&"degraded".into(), &reason.into())
    );
    assert_eq!(
        body["data"]["persistence"].as_array().map(Vec::len),
        Some(1)
    );
}
