//! A hub ends without its clients noticing: who comes next goes elsewhere, who is there is answered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::refusal::assert_refusal;
use support::store::number;
use support::{DataDir, Hub, PATIENCE, TestAgent, poll, raw};

/// A request of which the last byte is missing.
fn begin(hub: &Hub, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(hub.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&request[..request.len() - 1]).unwrap();
    // Answered, so the hub has seen what came before.
    assert_eq!(raw::get(hub.addr, "/healthz").status, 200);
    stream
}

fn finish(mut stream: TcpStream, request: &[u8]) -> raw::Answer {
    stream.write_all(&request[request.len() - 1..]).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    raw::Answer::parse(&bytes).unwrap()
}

fn scene() -> (DataDir, TestAgent) {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    (data, agent)
}

#[test]
fn a_hub_that_ends_is_not_ready_first_and_answers_what_is_under_way() {
    let (data, agent) = scene();
    let mut hub = Hub::start_with(&data, &[("MONSYS_DRAIN_DELAY", "3s")]);
    assert_eq!(raw::get(hub.addr, "/readyz").status, 200);
    let request = agent.raw(agent.metrics((1, 1), 4.2).as_bytes());
    let under_way = begin(&hub, &request);
    let asked = Instant::now();
    hub.terminate();
    let not_ready = poll("the hub is not ready", PATIENCE, || {
        let answer = raw::get(hub.addr, "/readyz");
        (answer.status != 200).then_some(answer)
    });
    assert_refusal(&not_ready, 503, "ending");
    assert!(not_ready.header("retry-after").is_some());
    assert!(asked.elapsed() < Duration::from_secs(2), "told at once");
    // Whoever has not heard of it yet is served all the same.
    assert_eq!(raw::get(hub.addr, "/healthz").status, 200);
    agent.report(&hub, (1, 2), 5.0, "0.1.0");
    poll("nobody is accepted any more", PATIENCE, || {
        TcpStream::connect(hub.addr).is_err().then_some(())
    });
    assert!(asked.elapsed() >= Duration::from_secs(3), "after the delay");
    let answer = finish(under_way, &request);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(hub.wait(PATIENCE).success(), "{}", hub.log());
    assert_eq!(number(&data, "SELECT count(*) FROM metrics", []), 2);
    support::store::assert_sound(&data);
}

#[test]
fn what_keeps_a_connection_open_is_asked_to_come_again_on_another() {
    let (data, _) = scene();
    let hub = Hub::start_with(&data, &[("MONSYS_DRAIN_DELAY", "5s")]);
    let mut stream = TcpStream::connect(hub.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
    let mut ask = || {
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        let mut byte = [0];
        while raw::Answer::parse(&bytes).is_none_or(|answer| !answer.body.ends_with('}')) {
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            bytes.push(byte[0]);
        }
        raw::Answer::parse(&bytes).unwrap()
    };
    assert_eq!(ask().header("connection"), None);
    hub.terminate();
    poll("the hub is not ready", PATIENCE, || {
        (raw::get(hub.addr, "/readyz").status == 503).then_some(())
    });
    assert_eq!(ask().header("connection"), Some("close"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and it is closed");
}

#[test]
fn a_hub_that_is_asked_twice_ends_at_once_and_loses_nothing() {
    let (data, agent) = scene();
    let mut hub = Hub::start(&data);
    agent.report(&hub, (1, 1), 4.2, "0.1.0");
    let request = agent.raw(agent.metrics((1, 2), 4.2).as_bytes());
    let _under_way = begin(&hub, &request);
    hub.terminate();
    poll("nobody is accepted any more", PATIENCE, || {
        TcpStream::connect(hub.addr).is_err().then_some(())
    });
    let asked = Instant::now();
    hub.terminate();
    assert_eq!(hub.wait(PATIENCE).code(), Some(69), "{}", hub.log());
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert!(hub.log().contains("asked twice"), "{}", hub.log());
    assert_eq!(number(&data, "SELECT count(*) FROM metrics", []), 1);
    support::store::assert_sound(&data);
}

/// A service manager's side of the protocols: it holds the socket, and hears what the hub says.
struct Manager {
    listener: TcpListener,
    hears: UnixDatagram,
    at: std::path::PathBuf,
}

impl Manager {
    fn new(data: &DataDir) -> Self {
        let at = data.path().join("notify");
        let hears = UnixDatagram::bind(&at).unwrap();
        hears.set_read_timeout(Some(PATIENCE)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            listener,
            hears,
            at,
        }
    }

    /// Starts a hub with the socket as its descriptor 3, as systemd does.
    fn start(&self, data: &DataDir) -> Child {
        let plain = data.program();
        let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "manager"]);
        shell
            .arg(plain.get_program())
            .args(["run", "--data"])
            .arg(data.path());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let socket = OwnedFd::from(self.listener.try_clone().unwrap());
        shell
            .env("NOTIFY_SOCKET", &self.at)
            .env("WATCHDOG_USEC", "200000");
        shell
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        shell.spawn().unwrap()
    }

    /// Hears until a word was said.
    fn hear(&self, word: &str) {
        let mut buffer = [0; 256];
        poll(word, PATIENCE, || {
            let n = self.hears.recv(&mut buffer).unwrap();
            let said = std::str::from_utf8(&buffer[..n]).unwrap();
            said.lines().any(|line| line == word).then_some(())
        });
    }

    fn stop(&self, mut hub: Child) {
        let id = hub.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.unwrap().success());
        self.hear("STOPPING=1");
        assert!(hub.wait().unwrap().success());
    }
}

#[test]
fn a_socket_that_the_service_manager_holds_outlives_the_hub() {
    let (data, agent) = scene();
    let manager = Manager::new(&data);
    let addr = manager.listener.local_addr().unwrap();
    let url = format!("http://{addr}");
    // Nobody runs yet, and nobody is refused: who comes waits for the hub.
    let waiting = std::thread::spawn(move || raw::get(addr, "/healthz").status);
    let hub = manager.start(&data);
    assert_eq!(waiting.join().unwrap(), 200);
    manager.hear("READY=1");
    manager.hear("WATCHDOG=1");
    manager.hear("WATCHDOG=1");
    let sent = agent.try_send(&url, agent.metrics((1, 1), 4.2).as_bytes());
    assert_eq!(sent.unwrap().status, 202);
    manager.stop(hub);
    let waiting = std::thread::spawn(move || raw::get(addr, "/healthz").status);
    let hub = manager.start(&data);
    assert_eq!(waiting.join().unwrap(), 200, "came between two hubs");
    manager.hear("READY=1");
    manager.stop(hub);
}

#[test]
fn what_is_passed_and_is_no_listening_socket_is_refused() {
    let (data, _) = scene();
    let plain = data.program();
    for (count, script) in [
        (
            1,
            "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"",
        ),
        (
            2,
            "exec 3</dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\"",
        ),
    ] {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "manager"])
            .arg(plain.get_program());
        let output = shell
            .args(["run", "--data"])
            .arg(data.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{count}: {said}");
        assert!(said.contains("LISTEN_FDS"), "{said}");
    }
}
