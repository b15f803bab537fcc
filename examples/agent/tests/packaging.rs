//! What is shipped beside the agent says what the agent does, and the tools of its trade take it.
//!
//! The unit itself is shown to systemd by the hub's tests, together with the hub's own.

#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap()
}

/// The values of a key of the unit.
fn unit(key: &str) -> Vec<String> {
    let text = read("packaging/monsys-agent.service");
    let values = text.lines().filter_map(|line| line.strip_prefix(key));
    values
        .filter_map(|rest| rest.strip_prefix('='))
        .map(str::to_owned)
        .collect()
}

/// The lines of a file that are no comments.
fn lines(name: &str) -> Vec<String> {
    let text = read(name);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn deb() -> Table {
    let manifest: Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    deb.as_table().unwrap().clone()
}

/// Source, destination and mode of what the package installs.
fn assets() -> Vec<[String; 3]> {
    let deb = deb();
    let assets = deb["assets"].as_array().unwrap().iter();
    let words = |asset: &Value| {
        let words = asset.as_array().unwrap().iter();
        let words: Vec<_> = words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect();
        words.try_into().unwrap()
    };
    assets.map(words).collect()
}

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

#[test]
fn a19_the_unit_uses_what_the_daemon_offers() {
    // Readiness, reloading and life: tests/agent/operations.rs hears them.
    assert_eq!(unit("Type"), ["notify"]);
    assert_eq!(unit("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let watchdog: u64 = unit("WatchdogSec")[0].parse().unwrap();
    let cadence = monsys_agent::daemon::CADENCE.millis() / 1_000;
    let cadence = u64::try_from(cadence).unwrap();
    assert!(
        watchdog >= 4 * cadence,
        "two signs of life between two samples"
    );
    // A wrong command line and a wrong configuration stay what they are.
    assert_eq!(unit("RestartPreventExitStatus"), ["2 78"]);
}

#[test]
fn the_unit_the_user_and_the_directory_are_of_one_mind() {
    assert_eq!(unit("User"), ["monsys-agent"]);
    assert_eq!(unit("StateDirectory"), ["monsys-agent"]);
    assert_eq!(unit("StateDirectoryMode"), ["0700"]);
    let user = lines("packaging/monsys-agent.sysusers").concat();
    assert!(user.starts_with("u monsys-agent - "), "{user}");
    let directory = lines("packaging/monsys-agent.tmpfiles").concat();
    assert_eq!(
        directory,
        "d /var/lib/monsys-agent 0700 monsys-agent monsys-agent"
    );
    assert!(user.ends_with(" /var/lib/monsys-agent"), "{user}");
}

#[test]
fn the_unit_gives_no_capability_and_no_way_to_write_elsewhere() {
    for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(unit(key), [""], "{key}");
    }
    assert_eq!(unit("ProtectSystem"), ["strict"]);
    assert_eq!(unit("NoNewPrivileges"), ["yes"]);
    assert!(unit("ReadWritePaths").is_empty());
}

#[test]
fn everything_that_the_package_installs_is_there() {
    let assets = assets();
    let (program, files) = assets.split_first().unwrap();
    assert_eq!(program[0], "target/release/monsys-agent");
    assert_eq!(
        format!("/{}monsys-agent daemon", program[1]),
        unit("ExecStart")[0]
    );
    for [source, _, mode] in files {
        assert!(file(source).is_file(), "{source}");
        assert_eq!(mode, "644", "{source}");
    }
    let installed: Vec<_> = files.iter().map(|asset| asset[1].as_str()).collect();
    let script = read("packaging/deb/postinst");
    for (tool, place) in [
        (
            "systemd-sysusers monsys-agent.conf",
            "usr/lib/sysusers.d/monsys-agent.conf",
        ),
        (
            "systemd-tmpfiles --create monsys-agent.conf",
            "usr/lib/tmpfiles.d/monsys-agent.conf",
        ),
    ] {
        assert!(installed.contains(&place), "{place}");
        assert!(script.contains(tool), "{tool}");
    }
    let deb = deb();
    let license = deb["license-file"].as_array().unwrap()[0].as_str().unwrap();
    for named in [license, deb["changelog"].as_str().unwrap()] {
        assert!(file(named).is_file(), "{named}");
    }
    let version = format!("monsys-agent ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(read("packaging/changelog").starts_with(&version));
    assert_eq!(deb["name"].as_str(), Some(env!("CARGO_PKG_NAME")));
    let scripts = deb["maintainer-scripts"].as_str().unwrap();
    for name in SCRIPTS {
        let mode = fs::metadata(file(scripts).join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755, "{name}");
    }
}

#[test]
fn the_scripts_of_the_package_are_sound() {
    for name in SCRIPTS {
        let path = file("packaging/deb").join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("#!/bin/sh\n") && text.contains("\nset -e\n"),
            "{name}"
        );
        let parsed = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(parsed.status.success(), "{name}: {parsed:?}");
        match Command::new("shellcheck").arg(&path).output() {
            Ok(found) => assert!(
                found.status.success(),
                "{name}: {}",
                String::from_utf8_lossy(&found.stdout)
            ),
            // Past the test harness, which would keep it to itself.
            Err(_) => drop(writeln!(
                std::io::stderr(),
                "!! no shellcheck: {name} was only parsed"
            )),
        }
    }
}

#[test]
fn removing_keeps_what_was_not_delivered_and_purging_does_not() {
    let scripts = SCRIPTS.map(|name| read(&format!("packaging/deb/{name}")));
    let removals = scripts.concat().matches("rm -rf").count();
    assert_eq!(removals, 1);
    let (_, purge) = scripts[2].split_once("= purge ]").unwrap();
    let purge = purge.split("\nfi").next().unwrap();
    assert!(purge.contains("rm -rf /var/lib/monsys-agent"), "{purge}");
}

#[test]
fn systemd_makes_the_user_and_its_directory_of_what_is_shipped() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packaging-root");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("etc")).unwrap();
    let into = format!("--root={}", root.display());
    let calls: [(&str, &[&str], &str); 2] = [
        (
            "systemd-sysusers",
            &[&into],
            "packaging/monsys-agent.sysusers",
        ),
        (
            "systemd-tmpfiles",
            &[&into, "--create"],
            "packaging/monsys-agent.tmpfiles",
        ),
    ];
    let is_root = fs::metadata(&root).unwrap().uid() == 0;
    for (tool, arguments, shipped) in calls {
        let called = Command::new(tool)
            .args(arguments)
            .arg(file(shipped))
            .output();
        let Some(output) = called.ok().filter(|_| is_root) else {
            // Past the test harness, which would keep it to itself.
            drop(writeln!(
                std::io::stderr(),
                "!! no {tool}, or no right to use it: {shipped} was only read"
            ));
            return;
        };
        assert!(output.status.success(), "{tool}: {output:?}");
    }
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(
        users.contains("monsys-agent:") && users.contains("/nologin"),
        "{users}"
    );
    let directory = fs::metadata(root.join("var/lib/monsys-agent")).unwrap();
    assert_eq!(directory.permissions().mode() & 0o7777, 0o700);
    assert_ne!(directory.uid(), 0);
    fs::remove_dir_all(&root).unwrap();
}
