//! The agent measures and sends. It starts, stops and looks into no other program, whoever asks.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use monsys_agent::config::DataDir;
use monsys_agent::{Clock, Daemon, DaemonOptions};
use object::{Object, ObjectSymbol};
use seccompiler::{TargetArch, apply_filter, compile_from_json};

use crate::commands;
use crate::hub::{Hub, TempDir};

/// System calls by which a program starts, ends or looks into another.
const CALLS: [&str; 8] = [
    "execve",
    "execveat",
    "kill",
    "tkill",
    "tgkill",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
];

/// Functions of the C library that come to the same.
const FUNCTIONS: [&str; 14] = [
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "fexecve",
    "fork",
    "vfork",
    "kill",
    "killpg",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "ptrace",
    "system",
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
        let daemon = Daemon::open(&data, DaemonOptions::standard(Clock::system())).unwrap();
        let stop = daemon.stop_handle();
        let run = thread::spawn(move || daemon.run());
        let _ = hub.events().recv_timeout(Duration::from_secs(30));
        assert!(!hub.arrived().is_empty());
        stop.stop();
        run.join().unwrap().unwrap()
    });
    let report = report.join().unwrap();
    assert!(report.n_samples >= 1, "{report:?}");
    assert_eq!(report.spool.pending, 0, "{report:?}");
}
