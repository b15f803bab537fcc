//! The agents of `examples/third-party-agent`: other languages, other libraries, the same wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use support::interpreter::{Interpreter, sources};
use support::raw::Wire;
use support::store::rows;
use support::{DataDir, Hub, PATIENCE};

const LINES_MAX: usize = 80;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Answers to a payload that no hub gives, or that say nothing about it: status, type and body.
const UNDECIDED: [(u16, &str, &str); 12] = [
    (200, JSON, "{}"),
    (200, JSON, "[]"),
    (
        200,
        "text/html",
        "<p>\nlog in, and you are \"accepted\"\n</p>",
    ),
    (202, JSON, r#"{"status":"queued"}"#),
    (302, "text/html", "elsewhere"),
    (400, JSON, r#"{"error":{"code":"x"}}"#),
    (400, JSON, r#"{"code":"syntax"}"#),
    (400, PROBLEM, "{}"),
    (413, "text/html", r#"<p title="code">"code"</p>"#),
    (422, PROBLEM, r#"{"code":["syntax"],"status":"accepted"}"#),
    (409, PROBLEM, "{}"),
    (409, PROBLEM, r#"{"code":"stale_epoch","min_epoch":"7"}"#),
];

/// A hub, and one program with a state of its own.
struct Scene<'a> {
    interpreter: &'a Interpreter,
    profile: Profile,
    data: DataDir,
    hub: Hub,
    token: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Ed25519,
    Hmac,
}

/// Runs a test with each language and profile, all at once: a run is mostly a second of measuring.
fn each(name: &str, test: impl Fn(&Scene<'_>) + Sync) {
    let (interpreters, test) = (Interpreter::all(name), &test);
    std::thread::scope(|threads| {
        for interpreter in &interpreters {
            for profile in [Profile::Ed25519, Profile::Hmac] {
                threads.spawn(move || test(&Scene::new(interpreter, profile)));
            }
        }
    });
}

impl<'a> Scene<'a> {
    fn new(interpreter: &'a Interpreter, profile: Profile) -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let enrol = ["agent", "enrol", "--org", "acme", "--name", "web-1"];
        let token = match profile {
            Profile::Ed25519 => data.json(&enrol)["token"].as_str().unwrap().to_owned(),
            Profile::Hmac => {
                let enrolled = data.json(&[&enrol[..], &["--profile", "hmac"]].concat());
                std::fs::write(data.path().join("device.json"), enrolled.to_string()).unwrap();
                enrolled["key"].as_str().unwrap().to_owned()
            }
        };
        let hub = Hub::start(&data);
        Self {
            interpreter,
            profile,
            data,
            hub,
            token,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// Runs the program once; the token is given until there was a run that ended well.
    fn run_at(&self, addr: SocketAddr) -> Output {
        let (hub, state) = (format!("http://{addr}"), self.path("state.json"));
        let (state, enrolment) = (state.to_str().unwrap(), self.path("device.json"));
        let token = self.stored().is_empty().then_some(self.token.as_str());
        let output = match self.profile {
            Profile::Ed25519 => self
                .interpreter
                .run(&self.data, "agent", &[&hub, state], token),
            Profile::Hmac => {
                let arguments = [&hub, enrolment.to_str().unwrap(), state];
                self.interpreter.run(&self.data, "device", &arguments, None)
            }
        };
        let (said, complaint) = texts(&output);
        for text in [&said, &complaint] {
            assert!(!text.contains(&self.token), "{text}");
        }
        output
    }

    /// Runs the program, which must end well, and returns what it printed: `(epoch, seq)` and the
    /// status or code of each answer.
    fn run(&self) -> Vec<(i64, i64, String)> {
        let output = self.run_at(self.hub.addr);
        let (said, complaint) = texts(&output);
        assert!(output.status.success(), "{said}{complaint}");
        assert_eq!(complaint, "");
        said.lines().map(answer_in).collect()
    }

    /// Runs the program, which must end with exit code 1 and one line that holds these words.
    fn fails(&self, addr: SocketAddr, words: &[&str]) {
        let output = self.run_at(addr);
        let (said, complaint) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{said}{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        for word in words {
            assert!(complaint.contains(word), "{word}: {complaint}");
        }
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(file);
        let mut state = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut state);
        std::fs::write(&path, state.to_string()).unwrap();
    }

    /// Positions of what waits for the next run.
    fn kept(&self) -> Vec<(i64, i64)> {
        let state = std::fs::read(self.path("state.json")).unwrap();
        let state: Value = serde_json::from_slice(&state).unwrap();
        let number = |value: &Value| value.as_i64().unwrap();
        let position = |waiting: &Value| (number(&waiting["epoch"]), number(&waiting["seq"]));
        let queue = state["queue"].as_array().unwrap();
        queue.iter().map(position).collect()
    }

    fn stored(&self) -> Vec<(i64, i64, bool)> {
        let sql = "SELECT epoch, seq, is_verified FROM metrics ORDER BY epoch, seq";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        rows(&self.data, sql, [], read)
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Reads `epoch 1 seq 2 {…}`.
fn answer_in(line: &str) -> (i64, i64, String) {
    let words: Vec<&str> = line.splitn(5, ' ').collect();
    let &["epoch", epoch, "seq", seq, answer] = words.as_slice() else {
        panic!("expected a position and an answer: {line}");
    };
    let answer: Value = serde_json::from_str(answer).unwrap();
    let word = answer["code"]
        .as_str()
        .or_else(|| answer["status"].as_str());
    let word = word.unwrap().to_owned();
    (epoch.parse().unwrap(), seq.parse().unwrap(), word)
}

fn said(epoch: i64, seq: i64, word: &str) -> (i64, i64, String) {
    (epoch, seq, word.to_owned())
}

#[test]
fn it_enrols_measures_signs_and_sends_and_continues_where_it_was() {
    each("sending", |scene| {
        assert_eq!(scene.run(), [said(1, 1, "accepted")]);
        assert_eq!(scene.run(), [said(1, 2, "accepted")]);
        assert_eq!(scene.stored(), [(1, 1, true), (1, 2, true)]);
        let mode = std::fs::metadata(scene.path("state.json")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        let sql = "SELECT cpu_usage_percent, load1 FROM metrics";
        let measured = rows(&scene.data, sql, [], |row| {
            Ok((row.get::<_, f64>(0)?, row.get::<_, f64>(1)?))
        });
        let load1 = load1();
        for (cpu, load) in measured {
            assert!((0.0..=100.0).contains(&cpu), "{cpu}");
            assert!((load - load1).abs() < 2.0 + load1 / 4.0, "{load} {load1}");
        }
        let sql = "SELECT count(*) FROM integrity_anomalies";
        assert_eq!(support::store::number(&scene.data, sql, []), 0);
    });
}

fn load1() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_payload_whose_answer_was_lost_is_a_duplicate_at_the_same_position() {
    each("a lost answer", |scene| {
        scene.run();
        let (addr, relay) = relay_without_answer(scene.hub.addr);
        scene.fails(addr, &["expected a hub at http://127.0.0.1:"]);
        relay.join().unwrap();
        assert_eq!(
            scene.stored().len(),
            2,
            "the hub took what it did not answer"
        );
        let expected = [said(1, 3, "accepted"), said(1, 2, "duplicate")];
        assert_eq!(scene.run(), expected);
        assert_eq!(scene.stored().len(), 3);
    });
}

/// Brings one request to the hub and keeps the answer to itself.
fn relay_without_answer(hub: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let relay = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let answer = Wire::open(hub).send(&request_on(&mut stream)).answer();
        assert_eq!(answer.status(), Some(202));
    });
    (addr, relay)
}

/// Reads a request to its end, which its length tells.
fn request_on(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16_384]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1);
            let length = length.map_or("0", |rest| rest.lines().next().unwrap());
            let length: usize = length.parse().unwrap();
            if body.len() >= length {
                return bytes;
            }
        }
        let n = stream.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "the request ended early: {text}");
        bytes.extend(&buffer[..n]);
    }
}

/// Something on the way that gives each request the same answer, until the tests end.
fn stranger(status: u16, form: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {form}\r\nLocation: /elsewhere\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            request_on(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    addr
}

#[test]
fn an_answer_that_is_not_a_hubs_costs_no_payload() {
    each("answers of strangers", |scene| {
        scene.run();
        for (status, form, body) in UNDECIDED {
            let words = ["expected accepted, duplicate or", &status.to_string()];
            scene.fails(stranger(status, form, body), &words);
        }
        let deep = "[".repeat(60_000);
        for (status, form, body) in [(200, JSON, "{"), (400, PROBLEM, &deep)] {
            let words = ["expected a hub at http://127.0.0.1:"];
            scene.fails(stranger(status, form, body), &words);
        }
        let expected = (2..=15).map(|seq| (1, seq)).collect::<Vec<_>>();
        assert_eq!(scene.kept(), expected);
        let delivered = (2..=16).rev().map(|seq| said(1, seq, "accepted"));
        assert_eq!(scene.run(), delivered.collect::<Vec<_>>());
    });
}

#[test]
fn a_payload_is_given_up_only_for_a_refusal_of_the_payload() {
    each("refusals of a payload", |scene| {
        scene.run();
        let refusals = [
            "syntax",
            "too_large",
            "unsupported_media_type",
            "wrong_type",
        ];
        for (status, code) in [400, 413, 415, 422].into_iter().zip(refusals) {
            let body = json!({ "code": code }).to_string();
            let (printed, complaint) = texts(&scene.run_at(stranger(status, PROBLEM, &body)));
            let (_, _, word) = answer_in(printed.trim_end());
            assert_eq!((word.as_str(), complaint.as_str()), (code, ""));
            assert_eq!(scene.kept(), []);
        }
        for (status, code) in [
            (401, "unauthorized"),
            (403, "revoked"),
            (429, "rate_limited"),
        ] {
            let body = json!({ "code": code }).to_string();
            scene.fails(
                stranger(status, PROBLEM, &body),
                &["expected accepted", code],
            );
        }
        assert_eq!(scene.kept(), [(1, 6), (1, 7), (1, 8)]);
    });
}

#[test]
fn nobody_but_a_hub_enrols_an_agent() {
    for interpreter in &Interpreter::all("enrolment by a stranger") {
        let scene = Scene::new(interpreter, Profile::Ed25519);
        let name = r#"{"aud":"a","agent_id":"b"}"#;
        for (status, form, body, words) in [
            (200, JSON, "{}", ["/api/v1/agents/self", "200"]),
            (200, JSON, "[]", ["/api/v1/agents/self", "200"]),
            (200, "text/html", name, ["/api/v1/agents/self", "200"]),
            (
                400,
                PROBLEM,
                r#"{"code":"x"}"#,
                ["/api/v1/agents/self", "400"],
            ),
            (200, JSON, name, ["pin the key", "200"]),
        ] {
            scene.fails(stranger(status, form, body), &words);
        }
        assert_eq!(scene.run(), [said(1, 1, "accepted")]);
    }
}

#[test]
fn a_state_from_a_backup_begins_a_new_epoch_and_loses_nothing() {
    each("a restored backup", |scene| {
        scene.run();
        std::fs::copy(scene.path("state.json"), scene.path("backup")).unwrap();
        scene.run();
        std::fs::copy(scene.path("backup"), scene.path("state.json")).unwrap();
        let expected = [said(1, 2, "replay"), said(2, 1, "accepted")];
        assert_eq!(scene.run(), expected);
        scene.change("state.json", |state| state["epoch"] = json!(1));
        scene.change("state.json", |state| state["seq"] = json!(40));
        let expected = [said(1, 41, "stale_epoch"), said(3, 1, "accepted")];
        assert_eq!(scene.run(), expected);
        assert_eq!(scene.run(), [said(3, 2, "accepted")]);
    });
}

#[test]
fn without_a_hub_everything_is_kept_and_sent_freshest_first() {
    each("no hub", |scene| {
        scene.run();
        // Bound and closed again: nobody listens there.
        let nowhere = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        scene.fails(nowhere, &["expected a hub at http://127.0.0.1:"]);
        scene.fails(nowhere, &["expected a hub at http://127.0.0.1:"]);
        let expected = [4, 3, 2].map(|seq| said(1, seq, "accepted"));
        assert_eq!(scene.run(), expected);
    });
}

#[test]
fn a_wrong_key_is_refused_and_nothing_is_lost() {
    each("a wrong key", |scene| {
        scene.run();
        let (file, words) = match scene.profile {
            Profile::Ed25519 => ("state.json", ["403", "bad_signature"]),
            Profile::Hmac => ("device.json", ["401", "unauthorized"]),
        };
        let right = std::fs::read(scene.path(file)).unwrap();
        scene.change(file, |state| state["key"] = wrong_key(&state["key"]));
        scene.fails(scene.hub.addr, &words);
        assert_eq!(scene.stored().len(), 1);
        assert_eq!(scene.kept(), [(1, 2)]);
        if scene.profile == Profile::Hmac {
            std::fs::write(scene.path(file), right).unwrap();
            let expected = [said(1, 3, "accepted"), said(1, 2, "accepted")];
            assert_eq!(scene.run(), expected);
        }
    });
}

/// Another key in the same form: 64 digits, or the two members of a JSON Web Key.
fn wrong_key(key: &Value) -> Value {
    if key.is_string() {
        return json!("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    }
    // RFC 8037, appendix A: the key above.
    json!({"kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

#[test]
fn a_token_that_no_hub_gave_enrols_nobody() {
    for interpreter in &Interpreter::all("a wrong token") {
        let mut scene = Scene::new(interpreter, Profile::Ed25519);
        let right = std::mem::replace(&mut scene.token, format!("ms_{}", "A".repeat(43)));
        scene.fails(
            scene.hub.addr,
            &["/api/v1/agents/self", "401", "unauthorized"],
        );
        scene.token = right;
        assert_eq!(
            scene.run(),
            [said(1, 1, "accepted")],
            "with the right token"
        );
    }
}

#[test]
fn a_device_corrects_its_clock_by_the_time_of_the_hub() {
    for interpreter in &Interpreter::all("a wrong clock") {
        let scene = Scene::new(interpreter, Profile::Hmac);
        scene.run();
        scene.change("state.json", |state| {
            let member = state
                .as_object()
                .unwrap()
                .keys()
                .find(|name| name.starts_with("offset"));
            let member = member.unwrap().clone();
            state[member] = json!(-86_400_000);
        });
        assert_eq!(scene.run(), [said(1, 2, "accepted")]);
    }
}

#[test]
fn libraries_that_nobody_here_wrote_agree_with_the_kit() {
    let vectors = sources().join("../../monsys-wire/vectors");
    let data = DataDir::new();
    for interpreter in &Interpreter::all("the kit of named cases") {
        let output = interpreter.run(&data, "vectors", &[vectors.to_str().unwrap()], None);
        let (said, complaint) = texts(&output);
        assert!(output.status.success(), "{said}{complaint}");
        assert!(said.ends_with(" cases checked\n"), "{said}");
    }
}

#[test]
fn the_kit_of_named_cases_has_to_be_named() {
    let data = DataDir::new();
    let elsewhere = data.path().to_str().unwrap();
    for interpreter in &Interpreter::all("no kit of named cases") {
        for arguments in [&[][..], &[elsewhere]] {
            let output = interpreter.run(&data, "vectors", arguments, None);
            let (said, complaint) = texts(&output);
            assert_eq!((output.status.code(), said.as_str()), (Some(1), ""));
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
            let usage = format!("usage: {} FOLDER", interpreter.file("vectors"));
            assert!(complaint.starts_with(&usage), "{complaint}");
        }
    }
}

#[test]
fn each_program_is_complete_in_80_lines() {
    let mut n_programs = 0;
    for entry in std::fs::read_dir(sources()).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("py" | "mjs")) {
            let n_lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(n_lines <= LINES_MAX, "{}: {n_lines} lines", path.display());
            n_programs += 1;
        }
    }
    assert_eq!(n_programs, 6);
}
