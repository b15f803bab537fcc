//! Subjects measured in turn, round by round, in one thread.
//!
//! Time is CPU time of the thread, because on a shared machine wall time mostly measures the
//! neighbours. Rounds are interleaved so that a slow minute hits every subject alike, and the lower
//! quartile of the rounds counts: disturbance only ever adds.

use std::collections::BTreeMap;
use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// Subjects that are timed against each other.
#[derive(Default)]
pub struct Race<'a> {
    subjects: Vec<Subject<'a>>,
}

struct Subject<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    n_runs: u64,
    nanos: Vec<f64>,
}

/// Nanoseconds a call, by subject.
pub struct Times {
    nanos: BTreeMap<&'static str, f64>,
}

impl<'a> Race<'a> {
    /// Adds a subject.
    pub fn add(&mut self, name: &'static str, run: impl FnMut() + 'a) {
        self.subjects.push(Subject {
            name,
            run: Box::new(run),
            n_runs: 1,
            nanos: Vec::new(),
        });
    }

    /// Runs all rounds.
    pub fn finish(mut self) -> Times {
        for subject in &mut self.subjects {
            subject.calibrate();
        }
        for round in 0..N_ROUNDS {
            for subject in &mut self.subjects {
                let nanos = at_depth(round % N_DEPTHS, &mut || subject.time());
                subject.nanos.push(nanos / subject.n_runs as f64);
            }
        }
        let nanos = self.subjects.iter_mut().map(Subject::lower_quartile);
        Times {
            nanos: nanos.collect(),
        }
    }
}

impl Subject<'_> {
    /// Chooses how often to run so that a slice is long against the clock's resolution.
    fn calibrate(&mut self) {
        loop {
            let nanos = self.time();
            if nanos >= SLICE_NANOS / 4.0 {
                let n_runs = self.n_runs as f64 * SLICE_NANOS / nanos;
                self.n_runs = (n_runs as u64).max(1);
                return;
            }
            self.n_runs *= 2;
        }
    }

    fn time(&mut self) -> f64 {
        let start = thread_nanos();
        for _ in 0..self.n_runs {
            (self.run)();
        }
        thread_nanos() - start
    }

    fn lower_quartile(&mut self) -> (&'static str, f64) {
        self.nanos.sort_by(f64::total_cmp);
        (self.name, self.nanos[self.nanos.len() / 4])
    }
}

impl Times {
    /// The time of one subject.
    pub fn of(&self, name: &str) -> f64 {
        self.nanos[name]
    }
}

/// Calls further down the stack. Signatures were measured to take up to a quarter longer at some
/// places of the stack; every subject meets the same places, and the quartile leaves out the bad.
#[inline(never)]
fn at_depth(depth: usize, time: &mut dyn FnMut() -> f64) -> f64 {
    let padding = black_box([0_u8; 208]);
    let nanos = match depth {
        0 => time(),
        _ => at_depth(depth - 1, time),
    };
    black_box(&padding);
    nanos
}

fn thread_nanos() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

const N_ROUNDS: usize = 22;
const N_DEPTHS: usize = 11;
const SLICE_NANOS: f64 = 4e6;
