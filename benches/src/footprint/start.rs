//! From the start of the program to its first sample, delivered.
//!
//! A sample is durable before it is sent, so the time to its arrival is no shorter than the one
//! that has the target. The interval of one second that the first processor figure covers is taken
//! off. The median of the starts counts.

use std::time::Duration;

use super::crowd::Crowd;
use super::peers::Peers;
use super::sink::{Kind, Sink};
use super::{Options, millis, say};
use crate::report::Figure;
use crate::report::Target::AtMostNanos;
use crate::store::{median, progress};

/// The figure of the start.
pub(super) fn run(options: &Options) {
    let crowd = Crowd::gather(options.n_processes);
    let sink = Sink::open();
    let home = options.agent.enrol("start", sink.addr, &sink.token);
    progress(&format!("{STARTS} starts, {}", crowd.describe()));
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let agent = options.agent.start(&home, 1);
        let arrival = sink.await_kind(Kind::Metrics, &mut Vec::new());
        let time = arrival.at - agent.started;
        let time = time.checked_sub(CPU_INTERVAL).expect("an interval");
        times.push(time.as_nanos() as f64);
        // It notes the answer before it ends, so that the next one starts without a backlog.
        sink.until_quiet(QUIET);
        drop(agent);
    }
    let peers = Peers::start(Duration::from_secs(10));
    let node = peers.map(|peers| peers.node.first_answer.as_nanos() as f64);
    let longest = times.iter().copied().fold(0.0, f64::max);
    let time = median(&mut times);
    let detail = format!(
        "{STARTS} starts to the arrival of the first sample, less 1 s: median {}, longest {}; \
         node_exporter basic to its first answer {}",
        millis(time),
        millis(longest),
        node.map_or_else(|| "absent".to_owned(), millis),
    );
    let name = "start/first sample durable and delivered";
    let figure = Figure::new(
        name,
        time,
        node.unwrap_or(NANOS_MAX),
        AtMostNanos(NANOS_MAX),
    );
    say(options, &figure.with_detail(detail));
}

const STARTS: usize = 9;
const CPU_INTERVAL: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(300);
const NANOS_MAX: f64 = 20e6;
