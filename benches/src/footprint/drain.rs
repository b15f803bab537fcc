//! How fast a backlog of 24 hours is delivered, and what limits it.
//!
//! The agent rests after each payload of a backlog as long as its answer took, to spare the hub; as
//! installed it reaches half of what stands here. Without that rest
//! ([`inside`](super::inside)) the same backlog goes to a sink that answers at once, and to a hub on
//! SQLite: what the sink gets in a second is the agent's own limit, and must not be below what the
//! hub takes. Each payload is read from the spool, signed, sent, and acknowledged durably.

use std::process::Command;
use std::time::{Duration, Instant};

use monsys_agent::config::DataDir;
use monsys_agent::enrolment::Enrolment;
use monsys_agent::spool::{Spool, SpoolLimits};
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::time::Span;
use monsys_wire::compose::Outbound;

use super::agent::Home;
use super::inside::{Inside, Task};
use super::kernel::{self, Memory};
use super::sink::Sink;
use super::{Options, mebibytes, millis, say};
use crate::load::hub::{Hub, Place, Program};
use crate::report::Figure;
use crate::report::Target::{AtLeast, AtMost};
use crate::store::progress;
use crate::store::server::now;

/// The figures of the backlog.
pub(super) fn run(options: &Options) {
    let sink = Sink::open();
    let home = options.agent.enrol("drain-sink", sink.addr, &sink.token);
    let alone = Drained::of(&home, "a sink that answers at once");
    let detail = format!(
        "payloads/s to a sink that answers at once, {SAMPLES} payloads, against 5/s, at which a day takes twenty minutes; \
         the agent's own CPU {} each; resident {} after the first tenth, {} at the end",
        millis(alone.cpu_nanos / SAMPLES as f64),
        mebibytes(alone.before.resident),
        mebibytes(alone.after.resident),
    );
    let name = "drain/the agent's own limit";
    let figure = Figure::new(name, alone.rate(), PACE, AtLeast(1.0));
    say(options, &figure.with_detail(detail));
    let program = options.hub.clone().unwrap_or_else(Program::build);
    let (hub, directory) = serve(&program);
    let home = options
        .agent
        .enrol("drain-hub", hub.addr, &enrol(&program, &directory));
    let of_hub = Drained::of(&home, "a hub on SQLite");
    drop(hub);
    let _ = std::fs::remove_dir_all(directory);
    let detail = format!("payloads/s to a sink against a hub on SQLite, {SAMPLES} payloads");
    let name = "drain/the agent's limit against the hub's";
    let figure = Figure::new(name, alone.rate(), of_hub.rate(), AtLeast(1.0));
    say(options, &figure.with_detail(detail));
    let (before, after) = (of_hub.before.resident, of_hub.after.resident);
    let detail = format!(
        "bytes resident at the end against after the first tenth; {} and {}",
        mebibytes(after),
        mebibytes(before),
    );
    let figure = Figure::new("drain/memory", after, before, AtMost(1.02));
    say(options, &figure.with_detail(detail));
}

/// What one drain took.
struct Drained {
    time: Duration,
    cpu_nanos: f64,
    before: Memory,
    after: Memory,
}

impl Drained {
    fn of(home: &Home, to: &str) -> Self {
        let data = DataDir::at(&home.path);
        fill(&data);
        progress(&format!("{SAMPLES} payloads to {to}"));
        let started = Instant::now();
        let mut inside = Inside::start(Task::Drain, &home.path);
        inside.await_line("begun");
        let before = kernel::memory(inside.pid());
        inside.await_line("done");
        let time = started.elapsed();
        let after = kernel::memory(inside.pid());
        Self {
            time,
            cpu_nanos: kernel::cpu(inside.pid()).as_nanos() as f64,
            before,
            after,
        }
    }

    fn rate(&self) -> f64 {
        SAMPLES as f64 / self.time.as_secs_f64()
    }
}

/// Spools a sample for each 15 s of the day past, the last of them fresh.
fn fill(data: &DataDir) {
    let enrolment = Enrolment::load(data).expect("an enrolled agent");
    let mut spool = Spool::open(&data.spool(), SpoolLimits::standard()).expect("a spool");
    let end = now();
    for n in (0..SAMPLES).rev() {
        let captured_at = end.saturating_add(Span::from_secs(-15 * n));
        let sample = sample(n);
        let appended = spool.append(captured_at, |position| {
            let body = enrolment.compose(Outbound::Metrics(&sample), position, captured_at)?;
            Ok(body.as_bytes().to_vec())
        });
        appended.expect("a spool");
    }
}

fn sample(n: i64) -> MetricSample {
    let percent = f64::from(i32::try_from(n % 97).expect("a small number"));
    MetricSample::of_cpu(CpuPercent::new(percent + 0.25).expect("a percentage"))
}

fn serve(program: &Program) -> (Hub, std::path::PathBuf) {
    let directory = super::directory("hub");
    admin(program, &directory, &["migrate"]);
    let hub = Hub::start(
        program,
        &Place::Directory(directory.clone()),
        &directory.join("log"),
        &[],
    );
    (hub, directory)
}

/// Enrols an agent and returns its token.
fn enrol(program: &Program, directory: &std::path::Path) -> String {
    admin(program, directory, &["org", "add", "footprint"]);
    let words = [
        "agent",
        "enrol",
        "--org",
        "footprint",
        "--name",
        "this-machine",
        "--json",
    ];
    let said = admin(program, directory, &words);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    said["token"].as_str().expect("a token").to_owned()
}

fn admin(program: &Program, directory: &std::path::Path, words: &[&str]) -> String {
    let output = Command::new(program.path())
        .env_remove("DATABASE_URL")
        .env("MONSYS_DATA", directory)
        .args(words)
        .output()
        .expect("a hub");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// Payloads a second; slower than this a backlog of days would hardly end.
const PACE: f64 = 5.0;
/// A day at 15 s.
const SAMPLES: i64 = 24 * 60 * 4;
