//! Prints what the agent costs the machine that it measures, beside others, all in this run.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin footprint -- [PART…] [--seconds N]
//! [--cadence-seconds N] [--samples N] [--processes N] [--agent PROGRAM] [--hub PROGRAM] [--json]`
//! prints one line per figure: `name value baseline ratio target ok`, then what the numbers are.
//! Parts are those of the list in `benches/src/footprint/`, or `all`, which is also what none means.
//! Agent and hub are built in release mode, unless programs are named. A target that is missed is
//! printed like any other; the exit code is 0 either way. Without the peers, and without a way to
//! fetch them, their baselines are absent, and one loud line says so.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use monsys_benches::footprint::{Options, PARTS, Program, run_inside};
use monsys_benches::load;
use monsys_benches::report::Form;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let Some(code) = run_inside(&words) {
        return code;
    }
    let Some((options, parts)) = parse(words.into_iter()) else {
        let names = PARTS.map(|(name, _)| name).join("|");
        eprintln!(
            "usage: footprint [all|{names}] [--seconds N] [--cadence-seconds N] [--samples N] \
             [--processes N] [--agent PROGRAM] [--hub PROGRAM] [--json]"
        );
        return ExitCode::from(2);
    };
    describe_host();
    for (name, run) in PARTS {
        if parts.is_empty() || parts.iter().any(|part| part == name || part == "all") {
            run(&options);
        }
    }
    ExitCode::SUCCESS
}

/// What to measure and which parts; `None` where the words say nothing known.
fn parse(mut words: impl Iterator<Item = String>) -> Option<(Options, Vec<String>)> {
    let (mut parts, mut form) = (Vec::new(), Form::Text);
    let (mut agent, mut hub) = (None, None);
    let (mut seconds, mut cadence_seconds) = (SECONDS, CADENCE_SECONDS);
    let (mut n_samples, mut n_processes) = (SAMPLES, PROCESSES);
    let above_zero = |word: Option<String>| word?.parse::<u64>().ok().filter(|n| *n > 0);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => seconds = above_zero(words.next())?,
            "--cadence-seconds" => cadence_seconds = above_zero(words.next())?,
            "--samples" => n_samples = above_zero(words.next())?,
            "--processes" => n_processes = words.next()?.parse().ok()?,
            "--agent" => agent = Some(Program::given(PathBuf::from(words.next()?))),
            "--hub" => hub = Some(load::Program::given(PathBuf::from(words.next()?))),
            "--json" => form = Form::Json,
            "all" => parts.push(word),
            part if PARTS.iter().any(|(name, _)| *name == part) => parts.push(word),
            _ => return None,
        }
    }
    let options = Options {
        agent: agent.unwrap_or_else(Program::build),
        hub,
        time: Duration::from_secs(seconds),
        cadence_time: Duration::from_secs(cadence_seconds),
        n_samples,
        n_processes,
        form,
    };
    Some((options, parts))
}

/// Says how busy the host is with other work, which shows in all absolute figures.
fn describe_host() {
    let n_cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split(' ').take(3).collect();
    eprintln!(
        "# {n_cores} processors, load {} at the start",
        load.join(" ")
    );
}

const SECONDS: u64 = 60;
const CADENCE_SECONDS: u64 = 120;
const SAMPLES: u64 = 10_000;
/// Those of the table.
const PROCESSES: usize = 180;
