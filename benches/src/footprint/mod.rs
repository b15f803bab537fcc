//! What the agent costs the machine that it measures, beside what others cost it: the table "Must
//! reach" of the agent.
//!
//! What: the program that operators run, as a process of its own, seen through what the kernel
//! counts, while its payloads arrive at a [`sink`] that answers at once. In the same run and on the
//! same host run node_exporter, collectd and process_exporter, the packages of Debian ([`peers`]).
//! The host has as many processes as the table says ([`crowd`]). Each part is a module of its own:
//! [`samples`], [`cadence`], [`start`], [`growth`], [`drain`]. What not: other hosts; that other
//! work runs on this one shows in all figures of a run, and less in their ratios.

mod agent;
mod cadence;
mod crowd;
mod drain;
mod growth;
mod inside;
mod kernel;
mod peers;
mod samples;
mod sink;
mod start;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::agent::Program;
pub use self::inside::run as run_inside;
use crate::load::hub;
use crate::report::{Figure, Form};

/// What to measure, and how long.
pub struct Options {
    /// The agent.
    pub agent: Program,
    /// The hub, built when the part that needs one asks for it.
    pub hub: Option<hub::Program>,
    /// How long samples are measured one by one.
    pub time: Duration,
    /// How long the agent is watched at its own cadence.
    pub cadence_time: Duration,
    /// How many samples the figure of growth takes.
    pub n_samples: u64,
    /// How many processes the host has at least.
    pub n_processes: usize,
    /// How figures are written.
    pub form: Form,
}

/// A part: its name, and what measures it.
type Part = (&'static str, fn(&Options));

/// The parts, in the order of the table.
pub const PARTS: [Part; 5] = [
    ("samples", samples::run),
    ("cadence", cadence::run),
    ("start", start::run),
    ("growth", growth::run),
    ("drain", drain::run),
];

/// Writes a figure when it is known: some parts take long.
fn say(options: &Options, figure: &Figure) {
    println!("{}", figure.line(options.form));
}

/// An empty directory of this process's own.
fn directory(name: &str) -> PathBuf {
    let name = format!("monsys-footprint-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(Path::new(&path)).expect("a directory");
    path
}

fn millis(nanos: f64) -> String {
    format!("{:.2} ms", nanos / 1e6)
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.2} MiB", bytes / f64::from(1 << 20))
}
