//! What the reference agent says about its machine, in the trust score of the real hub.
//!
//! The agent is the one inside the hub's own program, which is the same code as `monsys-agent`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use support::hub::program;
use support::person::Person;
use support::{DataDir, Hub};

/// Runs a command of the agent over a machine below `root` to its end; its input stays open
/// meanwhile, because the agent ends with it.
fn agent(data: &Path, root: &Path, arguments: &[&str]) {
    let mut command = program();
    command
        .args(["agent-process", "--root"])
        .arg(root)
        .args(arguments)
        .env("MONSYS_AGENT_DATA", data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn file(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn what_an_agent_finds_takes_points_and_what_it_cannot_see_takes_none() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let person = Person::added(&data, &hub, "acme", "read_only");
    let enrolled = data.json(&["agent", "enrol", "--org", "acme", "--name", "web-1"]);
    let [id, token] = ["agent_id", "token"].map(|name| enrolled[name].as_str().unwrap());
    let (root, home) = (data.path().join("root"), data.path().join("machine"));
    fs::create_dir_all(root.join("proc")).unwrap();
    symlink("/proc/stat", root.join("proc/stat")).unwrap();
    file(&root, "etc/ufw/ufw.conf", "ENABLED=no\n");
    file(&root, "run/reboot-required", "");
    agent(
        &home,
        &root,
        &["init", "--hub", &hub.url(""), "--token", token],
    );
    agent(&home, &root, &["run-once"]);

    let path = format!("/api/v1/signals?subject_type=agent&subject_id={id}");
    let page = person.get(&hub, &path).json();
    let said = |key: &str| {
        let items = page["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["key"] == key).unwrap();
        (item["value"]["value"].clone(), item["severity"].clone())
    };
    assert_eq!(said("posture.firewall"), (json!(false), json!("high")));
    assert_eq!(said("posture.reboot_required"), (json!(true), json!("low")));
    for key in [
        "posture.disk_encryption",
        "posture.secure_boot",
        "clock.synchronised",
    ] {
        assert_eq!(said(key), (json!("unknown"), Value::Null), "{key}");
    }

    let trust = person.get(&hub, &format!("/api/v1/trust/{id}")).json();
    let taken = trust["contributions"].as_array().unwrap();
    let keys: Vec<&str> = taken
        .iter()
        .map(|one| one["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["posture.firewall", "posture.reboot_required"],
        "{trust}"
    );
    assert!(
        taken
            .iter()
            .all(|one| one["takes_milli"].as_i64().unwrap() > 0),
        "{trust}"
    );
    assert!(trust["score_milli"].as_i64().unwrap() < 88_000, "{trust}");
}
