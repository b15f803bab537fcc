//! The hub under load: the program that operators run, driven over HTTP with real signed payloads.
//!
//! What: the table "Must reach" of the hub, each line by a module of its own: [`sqlite`],
//! [`postgres`], [`python`], [`memory`], [`login`], [`overload`]. Payloads are signed before they
//! are needed, distinct agents take turns, and each agent's positions come in order. What not: a
//! network; all run on one machine and share its processors, so the sender's own cost is printed.

mod alone;
mod answer;
mod body;
mod bound;
mod client;
mod crowd;
pub(crate) mod hub;
mod login;
mod memory;
mod overload;
mod postgres;
mod python;
mod scene;
mod sqlite;
mod usage;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::hub::Program;
use crate::report::{Figure, Form};

/// What to measure, and how long.
pub struct Options {
    /// The hub.
    pub program: Program,
    /// How long each drive of a figure takes.
    pub time: Duration,
    /// How many payloads the figure of memory takes.
    pub n_payloads: u64,
    /// How many of those a second; as fast as they are answered where it is not said.
    pub payload_rate: Option<u32>,
    /// How figures are written.
    pub form: Form,
}

/// A part: its name, and what measures it.
type Part = (&'static str, fn(&Options));

/// The parts, in the order of the table.
pub const PARTS: [Part; 6] = [
    ("sqlite", sqlite::run),
    ("postgres", postgres::run),
    ("python", python::run),
    ("memory", memory::run),
    ("login", login::run),
    ("overload", overload::run),
];

/// Writes a figure when it is known: some parts take long.
fn say(options: &Options, figure: &Figure) {
    println!("{}", figure.line(options.form));
}

/// An empty directory of this process's own, beside the program that runs.
fn directory(name: &str) -> PathBuf {
    let name = format!("monsys-load-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(Path::new(&path)).expect("a directory");
    path
}
