//! Memory over ten thousand samples.
//!
//! The agent runs as a library in a process of its own ([`inside`](super::inside)), where its
//! cadence is 20 ms, with walks through processes and listeners as often as its clock says. Memory
//! is read all along. What comes only with use, such as buffers, is there after the first quarter;
//! from then on the highest reading must not rise by a hundredth. The allocator's own caches fill by
//! a page now and then for longer; one allocation that stayed for each sample would be more than
//! four hundredths. That none stays is counted in the agent's test `growth`.

use super::crowd::Crowd;
use super::inside::{Inside, Task};
use super::kernel::{self, Memory};
use super::sink::{Kind, Sink};
use super::{Options, mebibytes, say};
use crate::report::Figure;
use crate::report::Target::AtMost;
use crate::store::progress;

/// The figures of growth.
pub(super) fn run(options: &Options) {
    let crowd = Crowd::gather(options.n_processes);
    let sink = Sink::open();
    let home = options.agent.enrol("growth", sink.addr, &sink.token);
    progress(&format!(
        "memory over {} samples, {}",
        options.n_samples,
        crowd.describe()
    ));
    let inside = Inside::start(Task::Daemon, &home.path);
    let each = (options.n_samples / N_READINGS).max(1);
    let mut readings = Vec::new();
    let mut others = Vec::new();
    for n in 1..=options.n_samples {
        sink.await_kind(Kind::Metrics, &mut others);
        if n % each == 0 {
            readings.push(kernel::memory(inside.pid()));
        }
    }
    let n_snapshots = others
        .iter()
        .filter(|other| other.kind == Kind::Endpoint)
        .count();
    let parts: [Part; 2] = [
        ("resident", |memory| memory.resident),
        ("private", |memory| memory.private_dirty),
    ];
    for (name, of) in parts {
        let values: Vec<_> = readings.iter().map(of).collect();
        let quarter = values.len() / 4;
        let highest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
        let (before, after) = (
            highest(&values[quarter..2 * quarter]),
            highest(&values[2 * quarter..]),
        );
        let shown = values.iter().step_by((values.len() / 8).max(1));
        let shown: Vec<_> = shown.map(|value| mebibytes(*value)).collect();
        let detail = format!(
            "bytes, highest of the second half against the second quarter of {} samples with \
             {n_snapshots} snapshots; {}",
            options.n_samples,
            shown.join(", "),
        );
        let figure = Figure::new(format!("growth/{name}"), after, before, AtMost(GROWTH_MAX));
        say(options, &figure.with_detail(detail));
    }
}

/// What is read of a process: its name, and which memory it is.
type Part = (&'static str, fn(&Memory) -> f64);

const N_READINGS: u64 = 200;
const GROWTH_MAX: f64 = 1.01;
