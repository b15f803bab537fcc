//! The agent as a library, in a process of its own that this program starts of itself.
//!
//! What: the two things that the program of the operator takes too long for: ten thousand samples,
//! and a backlog without the rest between two of its payloads, by which the agent spares the hub.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;

use monsys_agent::config::DataDir;
use monsys_agent::enrolment::Enrolment;
use monsys_agent::send::client::REQUEST_TIMEOUT;
use monsys_agent::sender::{Sender, Step};
use monsys_agent::spool::{Spool, SpoolLimits};
use monsys_agent::{Clock, Daemon, DaemonOptions};
use monsys_core::time::Span;

use crate::store::server::now;

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Samples every 20 ms, and delivers.
    Daemon,
    /// Delivers what is spooled, as fast as the hub takes it.
    Drain,
}

/// The process; killed in the end.
pub(super) struct Inside {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Inside {
    pub(super) fn start(task: Task, data: &Path) -> Self {
        let word = match task {
            Task::Daemon => DAEMON,
            Task::Drain => DRAIN,
        };
        let program = std::env::current_exe().expect("a program");
        let mut child = Command::new(program)
            .arg(word)
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, output }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says how far it is: `begun` after a tenth, `done` at the end of its task,
    /// after which it lives on.
    pub(super) fn await_line(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe");
        assert_eq!(line.trim_end(), expected);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does a task where the words name one; `None` where they are words of a person.
pub fn run(words: &[String]) -> Option<ExitCode> {
    let [task, data] = words else {
        return None;
    };
    let data = DataDir::at(Path::new(data));
    match task.as_str() {
        DAEMON => daemon(&data),
        DRAIN => drain(&data),
        _ => return None,
    }
    println!("done");
    // What was used stays to be seen until the other side has read it.
    let _ = std::io::stdin().read(&mut [0]);
    Some(ExitCode::SUCCESS)
}

fn daemon(data: &DataDir) {
    let clock = Clock::accelerated(now(), RATE).expect("a rate");
    let mut options = DaemonOptions::standard(clock);
    options.cadence = CADENCE;
    let daemon = Daemon::open(data, options).expect("an agent");
    daemon.run().expect("an agent at work");
}

fn drain(data: &DataDir) {
    let enrolment = Enrolment::load(data).expect("an enrolled agent");
    let mut sender = Sender::new(data, Clock::system());
    let spool = Spool::open(&data.spool(), SpoolLimits::standard()).expect("a spool");
    let n_begun = spool.ledger().n_pending() / 10;
    let spool = Mutex::new(spool);
    for n in 0.. {
        if n == n_begun {
            println!("begun");
        }
        match sender.step(&enrolment, &spool, REQUEST_TIMEOUT) {
            Step::Idle => return,
            Step::Tried { answer, .. } => assert!(answer.is_delivered(), "{answer:?}"),
            Step::Stalled { .. } => panic!("the spool is not usable"),
        }
    }
}

const DAEMON: &str = "inside-daemon";
const DRAIN: &str = "inside-drain";
const RATE: u32 = 60;
/// 20 ms of the wall, in which at least one tick of the processor's counters passes.
const CADENCE: Span = Span::from_millis(1_200);
