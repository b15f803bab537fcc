//! What an operator and a service manager see of the daemon.

use std::fs;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use monsys_agent::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::commands::{agent, init};
use crate::hub::{Hub, TempDir, closed_door};

const PATIENCE: Duration = Duration::from_secs(30);

fn daemon(data: &Path) -> Command {
    let origin = Clock::system().now().to_rfc3339();
    let mut command = agent(data);
    command
        .args(["daemon", "--clock-origin", &origin, "--clock-rate", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn send(daemon: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Ends a daemon in order and returns what it logged.
fn end(mut daemon: Child) -> String {
    send(&daemon, Signal::TERM);
    let mut log = String::new();
    let mut stderr = daemon.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    assert!(daemon.wait().unwrap().success(), "{log}");
    log
}

fn wait_for_payloads(hub: &Hub, n: usize) {
    for _ in 0..n {
        hub.events().recv_timeout(PATIENCE).unwrap();
    }
}

/// A service manager that only listens.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 256];
        let n = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    /// The next message that is no sign of life.
    fn next_word(&self) -> String {
        loop {
            let message = self.next();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_readiness_life_reloading_and_the_end() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let path = dir.path().join("notify");
    let name = format!("monsys-agent-test-{:016x}", getrandom::u64().unwrap());
    let addresses = [
        (
            path.to_str().unwrap().to_owned(),
            SocketAddr::from_pathname(&path).unwrap(),
        ),
        (
            format!("@{name}"),
            SocketAddr::from_abstract_name(&name).unwrap(),
        ),
    ];
    for (text, address) in addresses {
        let manager = Manager::at(&address);
        let running = daemon(dir.path())
            .env("NOTIFY_SOCKET", text)
            .env("WATCHDOG_USEC", "100000")
            .spawn()
            .unwrap();
        assert_eq!(manager.next(), "READY=1");
        for _ in 0..3 {
            assert_eq!(manager.next(), "WATCHDOG=1");
        }
        send(&running, Signal::HUP);
        let reloading = manager.next_word();
        let moment = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!(moment.parse::<u64>().unwrap() > 0);
        assert_eq!(manager.next_word(), "READY=1");
        wait_for_payloads(&hub, 1);
        send(&running, Signal::TERM);
        assert_eq!(manager.next_word(), "STOPPING=1");
        let log = end(running);
        assert!(log.contains("configuration read again"), "{log}");
    }
}

#[test]
fn no_life_is_told_for_another_process_or_without_a_watchdog() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let path = dir.path().join("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let running = daemon(dir.path())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000")
        .env("WATCHDOG_PID", "1")
        .spawn()
        .unwrap();
    assert_eq!(manager.next(), "READY=1");
    wait_for_payloads(&hub, 2);
    end(running);
    assert_eq!(manager.next(), "STOPPING=1", "nothing in between");
}

#[test]
fn sighup_takes_an_address_that_was_corrected_and_delivers_at_once() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let config = dir.path().join("agent.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, good.replace(hub.url(), &closed_door())).unwrap();
    let running = daemon(dir.path()).spawn().unwrap();
    assert!(
        hub.events()
            .recv_timeout(Duration::from_millis(900))
            .is_err()
    );
    fs::write(&config, good).unwrap();
    send(&running, Signal::HUP);
    wait_for_payloads(&hub, 3);
    let log = end(running);
    assert!(log.contains("configuration read again"), "{log}");
}

#[test]
fn sighup_takes_no_broken_configuration_and_none_of_another_agent() {
    let (hub, other, dir) = (Hub::start(), Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let config = dir.path().join("agent.toml");
    let good = fs::read_to_string(&config).unwrap();
    let running = daemon(dir.path()).spawn().unwrap();
    wait_for_payloads(&hub, 1);
    let of_other = good.replace(&hub.agent_id.to_string(), &other.agent_id.to_string());
    for bad in [of_other, "hub = \n".to_owned()] {
        fs::write(&config, bad).unwrap();
        send(&running, Signal::HUP);
        wait_for_payloads(&hub, 4);
    }
    let log = end(running);
    assert_eq!(log.matches("configuration not taken").count(), 2, "{log}");
    assert!(log.contains("the agent of the configuration"), "{log}");
    assert!(log.contains("is not TOML, line 1"), "{log}");
    assert!(!log.contains(&hub.token));
}

#[test]
fn a19_nothing_is_logged_while_all_is_well() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let running = daemon(dir.path()).spawn().unwrap();
    wait_for_payloads(&hub, 40);
    let log = end(running);
    assert_eq!(log.lines().count(), 3, "start, hub reached, stop: {log}");
}

#[test]
fn doctor_tells_what_the_agent_can_see_and_how_full_the_spool_is() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    let config = dir.path().join("agent.toml");
    let backup = "backup = [{name = 'db', path = '/root/none', max_age_hours = 26}]\n";
    fs::write(&config, fs::read_to_string(&config).unwrap() + backup).unwrap();
    let output = agent(dir.path())
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let collectors = report["collectors"].as_array().unwrap();
    let names: Vec<_> = collectors
        .iter()
        .map(|sight| sight["collector"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"processes") && names.contains(&"listeners"),
        "{names:?}"
    );
    assert!(names.contains(&"backup_check"), "{names:?}");
    assert!(!names.contains(&"spool"), "{names:?}");
    for sight in collectors {
        let is_ok = sight["state"] == "ok";
        assert_eq!(sight["reason"].is_null(), is_ok, "{sight}");
    }
    let checks = report["checks"].as_array().unwrap();
    let spool = checks
        .iter()
        .find(|check| check["check"] == "spool")
        .unwrap();
    let detail = spool["detail"].as_str().unwrap();
    assert!(detail.starts_with("writable, 0 pending, "), "{detail}");
    assert!(hub.arrived().is_empty(), "doctor sends no data");
}

#[test]
fn completions_and_version_need_no_directory() {
    for arguments in [
        ["completions", "bash"],
        ["completions", "zsh"],
        ["completions", "fish"],
        ["version", "--json"],
    ] {
        let mut command = agent(Path::new(""));
        let output = command
            .env_remove("MONSYS_AGENT_DATA")
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("monsys-agent"), "{arguments:?}");
    }
}
