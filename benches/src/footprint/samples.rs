//! Memory, size, and the processor time of one sample.
//!
//! The agent's clock runs sixty times as fast, so that it samples every 250 ms and walks through
//! processes and listeners every 5 s. All threads count: measuring, composing, making durable,
//! signing, sending, and noting the answer. After each of its samples the exporters are asked in
//! turn, so that a slow moment of the host hits all. The median of the samples counts. What not:
//! the cold caches of the real cadence; [`cadence`](super::cadence) has those.

use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::kernel::{self, Memory};
use super::peers::Peers;
use super::sink::{Kind, Sink};
use super::{Options, mebibytes, millis, say};
use crate::report::Figure;
use crate::report::Target::{AtMost, AtMostBytes, AtMostNanos, Part};
use crate::store::{median, progress};

/// The figures of memory, size and samples.
pub(super) fn run(options: &Options) {
    let crowd = Crowd::gather(options.n_processes);
    let sink = Sink::open();
    let home = options.agent.enrol("samples", sink.addr, &sink.token);
    let mut peers = Peers::start(TICK);
    progress(&format!("samples one by one, {}", crowd.describe()));
    let agent = options.agent.start(&home, RATE);
    for _ in 0..WARM_TICKS {
        sink.await_kind(Kind::Metrics, &mut Vec::new());
    }
    let measured = Measured::take(options.time, agent.pid(), &sink, peers.as_mut());
    memory(options, kernel::memory(agent.pid()), peers.as_ref());
    size(options, peers.as_ref());
    measured.say(options);
}

/// Processor time of each sample in nanoseconds.
#[derive(Default)]
struct Measured {
    base: Vec<f64>,
    /// The thread that measures and makes durable, alone.
    base_sampler: Vec<f64>,
    /// With a snapshot of processes and listeners in the same tick.
    full: Vec<f64>,
    node: Vec<f64>,
    node_default: Vec<f64>,
    process: Vec<f64>,
    /// Of each cadence of collectd, on the average.
    collectd: Option<f64>,
}

impl Measured {
    fn take(time: Duration, pid: u32, sink: &Sink, mut peers: Option<&mut Peers>) -> Self {
        let mut measured = Self::default();
        let started = Instant::now();
        let collectd = peers.as_ref().map(|peers| peers.collectd.cpu());
        let mut last = kernel::threads(pid);
        let mut n_rounds = 0_usize;
        while started.elapsed() < time {
            let mut others = Vec::new();
            sink.await_kind(Kind::Metrics, &mut others);
            others.extend(sink.until_quiet(QUIET));
            let now = kernel::threads(pid);
            let spent = |from: &[(String, Duration)], to: &[(String, Duration)]| {
                let sum =
                    |all: &[(String, Duration)]| all.iter().map(|(_, t)| *t).sum::<Duration>();
                (sum(to) - sum(from)).as_nanos() as f64
            };
            let (all, sampler) = (spent(&last, &now), spent(&last[..1], &now[..1]));
            last = now;
            let has = |kind| others.iter().any(|arrival| arrival.kind == kind);
            let is_full = has(Kind::Endpoint);
            if has(Kind::Metrics) {
                // This process was held up, and the next sample came in between.
                continue;
            }
            if is_full {
                measured.full.push(all);
            } else if others.is_empty() {
                measured.base.push(all);
                measured.base_sampler.push(sampler);
            }
            n_rounds += 1;
            let Some(peers) = peers.as_mut() else {
                continue;
            };
            measured.node.push(peers.node.scrape());
            if is_full {
                measured.process.push(peers.process.scrape());
            } else if n_rounds.is_multiple_of(RARELY) {
                measured.node_default.push(peers.node_default.scrape());
            }
        }
        let n_cadences = started.elapsed().as_secs_f64() / TICK.as_secs_f64();
        measured.collectd = peers
            .zip(collectd)
            .map(|(peers, before)| (peers.collectd.cpu() - before).as_nanos() as f64 / n_cadences);
        measured
    }

    fn say(mut self, options: &Options) {
        assert!(!self.base.is_empty(), "no sample was measured");
        let n = self.base.len();
        let mean = self.base.iter().sum::<f64>() / n as f64;
        let longest = self.base.iter().copied().fold(0.0, f64::max);
        let base = median(&mut self.base);
        let node = middle(&mut self.node);
        let detail = format!(
            "{n} samples, all threads: median {}, mean {}, longest {}; node_exporter basic {}, \
             default {}; collectd {}",
            millis(base),
            millis(mean),
            millis(longest),
            shown(node),
            shown(middle(&mut self.node_default)),
            shown(self.collectd),
        );
        let name = "sample/base, CPU";
        let figure = Figure::new(
            name,
            base,
            node.unwrap_or(BASE_NANOS_MAX),
            AtMostNanos(BASE_NANOS_MAX),
        );
        say(options, &figure.with_detail(detail));
        let sampler = median(&mut self.base_sampler);
        let name = "sample/base, measured and durable, CPU";
        let figure = Figure::new(name, sampler, base, Part);
        say(
            options,
            &figure.with_detail(format!("of that, {}", millis(sampler))),
        );
        if let Some(node) = node {
            let name = "sample/base against node_exporter with basic collectors";
            say(options, &Figure::new(name, base, node, AtMost(1.0)));
        }
        self.say_full(options, base);
    }

    fn say_full(mut self, options: &Options, base: f64) {
        let n = self.full.len();
        let Some(full) = middle(&mut self.full) else {
            progress("NO SNAPSHOT of processes and listeners came; its figures are absent");
            return;
        };
        let process = middle(&mut self.process);
        let detail = format!(
            "{n} samples with processes and listeners, all threads: median {}, {} more than a base \
             sample; process_exporter {}",
            millis(full),
            millis(full - base),
            shown(process),
        );
        let name = "sample/full, CPU";
        let figure = Figure::new(
            name,
            full,
            process.unwrap_or(FULL_NANOS_MAX),
            AtMostNanos(FULL_NANOS_MAX),
        );
        say(options, &figure.with_detail(detail));
        if let Some(process) = process {
            let name = "sample/full against process_exporter";
            say(options, &Figure::new(name, full, process, AtMost(1.0)));
        }
    }
}

fn memory(options: &Options, own: Memory, peers: Option<&Peers>) {
    let parts: [Of; 2] = [
        ("resident", |memory| memory.resident, RESIDENT_MAX),
        (
            "proportional",
            |memory| memory.proportional,
            PROPORTIONAL_MAX,
        ),
    ];
    for (name, of, at_most) in parts {
        let value = of(own);
        let node = peers.map(|peers| of(peers.node.memory()));
        let beside = peers.map_or_else(String::new, |peers| {
            format!(
                "; node_exporter basic {}, default {}; process_exporter {}; collectd {}",
                mebibytes(of(peers.node.memory())),
                mebibytes(of(peers.node_default.memory())),
                mebibytes(of(peers.process.memory())),
                mebibytes(of(peers.collectd.memory())),
            )
        });
        let detail = format!("bytes, {}{beside}", mebibytes(value));
        let name = format!("memory/{name}");
        let figure = Figure::new(name, value, node.unwrap_or(at_most), AtMostBytes(at_most));
        say(options, &figure.with_detail(detail));
    }
}

fn size(options: &Options, peers: Option<&Peers>) {
    let program = options.agent.path();
    let Some(bytes) = kernel::stripped_bytes(program) else {
        progress("NO SIZE: there is no program strip");
        return;
    };
    let node = peers.map(|peers| peers.node.bytes());
    let beside = peers.map_or_else(String::new, |peers| {
        format!(
            "; node_exporter {:.1} MB, process_exporter {:.1} MB, collectd {:.1} MB without plugins",
            peers.node.bytes() / 1e6,
            peers.process.bytes() / 1e6,
            peers.collectd.bytes() / 1e6,
        )
    });
    let detail = format!("bytes, {:.2} MB{beside}", bytes / 1e6);
    let name = "size/stripped program";
    let figure = Figure::new(name, bytes, node.unwrap_or(SIZE_MAX), AtMostBytes(SIZE_MAX));
    say(options, &figure.with_detail(detail));
}

fn middle(values: &mut [f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median(values))
}

fn shown(nanos: Option<f64>) -> String {
    nanos.map_or_else(|| "absent".to_owned(), millis)
}

/// What is read of a process: its name, which memory it is, and its target.
type Of = (&'static str, fn(Memory) -> f64, f64);

/// The clock's, for which 15 s are [`TICK`].
const RATE: u32 = 60;
const TICK: Duration = Duration::from_millis(250);
/// More than one snapshot of processes is behind them.
const WARM_TICKS: usize = 30;
/// After it all payloads of a tick are delivered and noted, and the next tick is far.
const QUIET: Duration = Duration::from_millis(60);
/// The exporter with all its collectors is asked in one round of so many.
const RARELY: usize = 8;
const RESIDENT_MAX: f64 = 8.0 * 1_048_576.0;
const PROPORTIONAL_MAX: f64 = 5.0 * 1_048_576.0;
const SIZE_MAX: f64 = 6e6;
const BASE_NANOS_MAX: f64 = 2e6;
const FULL_NANOS_MAX: f64 = 8e6;
