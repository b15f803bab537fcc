//! Prints what a hub bears, all measured in this run.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin load -- [PART…] [--seconds N]
//! [--payloads N] [--payload-rate N] [--hub PROGRAM] [--json]` prints one line per figure:
//! `name value baseline ratio target ok`, then what the numbers are. Parts are those of the list in
//! `benches/src/load/`, or `all`, which is also what none means; each part says at its module what
//! it measures, and against what. The hub is built in release mode, unless a program is named. A
//! target that is missed is printed like any other; the exit code is 0 either way. Without
//! PostgreSQL's programs the parts that need them are left out with one loud line.

use std::process::ExitCode;
use std::time::Duration;

use monsys_benches::load::{Options, PARTS, Program};
use monsys_benches::report::Form;

fn main() -> ExitCode {
    let Some((options, parts)) = parse(std::env::args().skip(1)) else {
        let names = PARTS.map(|(name, _)| name).join("|");
        eprintln!(
            "usage: load [all|{names}] [--seconds N] [--payloads N] [--payload-rate N] \
             [--hub PROGRAM] [--json]"
        );
        return ExitCode::from(2);
    };
    for (name, run) in PARTS {
        if parts.is_empty() || parts.iter().any(|part| part == name || part == "all") {
            run(&options);
        }
    }
    ExitCode::SUCCESS
}

/// What to measure and which parts; `None` where the words say nothing known.
fn parse(mut words: impl Iterator<Item = String>) -> Option<(Options, Vec<String>)> {
    let (mut parts, mut program, mut form) = (Vec::new(), None, Form::Text);
    let (mut seconds, mut n_payloads, mut payload_rate) = (SECONDS, PAYLOADS, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => seconds = words.next()?.parse().ok().filter(|n| *n > 0)?,
            "--payloads" => n_payloads = words.next()?.parse().ok().filter(|n| *n > 0)?,
            "--payload-rate" => {
                let rate = words.next()?.parse().ok().filter(|n: &u32| *n > 0)?;
                payload_rate = Some(rate);
            }
            "--hub" => program = Some(Program::given(words.next()?.into())),
            "--json" => form = Form::Json,
            "all" => parts.push(word),
            part if PARTS.iter().any(|(name, _)| *name == part) => parts.push(word),
            _ => return None,
        }
    }
    let options = Options {
        program: program.unwrap_or_else(Program::build),
        time: Duration::from_secs(seconds),
        n_payloads,
        payload_rate,
        form,
    };
    Some((options, parts))
}

const SECONDS: u64 = 15;
/// Those of the promise.
const PAYLOADS: u64 = 10_000_000;
