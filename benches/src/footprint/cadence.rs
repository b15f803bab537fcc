//! The share of a core that the agent takes as it is installed: every 15 s, with cold caches.
//!
//! From the start of the program, so that starting and the first walk through processes count.
//! Beside it node_exporter is asked and collectd measures as often.

use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::peers::Peers;
use super::sink::{Kind, Sink};
use super::{Options, kernel, millis, say};
use crate::report::Figure;
use crate::report::Target::AtMost;
use crate::store::progress;

/// The figure of the share.
pub(super) fn run(options: &Options) {
    let crowd = Crowd::gather(options.n_processes);
    let sink = Sink::open();
    let home = options.agent.enrol("cadence", sink.addr, &sink.token);
    let mut peers = Peers::start(CADENCE);
    let seconds = options.cadence_time.as_secs();
    progress(&format!(
        "a sample every 15 s for {seconds} s, {}",
        crowd.describe()
    ));
    let cpu = |peers: &Peers| [peers.node.cpu(), peers.collectd.cpu()];
    let before = peers.as_ref().map(cpu);
    let agent = options.agent.start(&home, 1);
    let started = Instant::now();
    let mut n_samples = 0_usize;
    while started.elapsed() < options.cadence_time {
        sink.await_kind(Kind::Metrics, &mut Vec::new());
        n_samples += 1;
        if let Some(peers) = &mut peers {
            peers.node.scrape();
        }
    }
    sink.until_quiet(QUIET);
    let time = started.elapsed().as_nanos() as f64;
    let own = kernel::cpu(agent.pid()).as_nanos() as f64;
    let share = |nanos: f64| format!("{:.4} %", 100.0 * nanos / time);
    let beside = peers.as_ref().zip(before).map(|(peers, before)| {
        let [node, collectd] = cpu(peers);
        let spent = |now: Duration, then: Duration| share((now - then).as_nanos() as f64);
        format!(
            "; node_exporter basic {}, collectd {}",
            spent(node, before[0]),
            spent(collectd, before[1])
        )
    });
    let detail = format!(
        "ns of CPU by ns of time, {n_samples} samples from the start on: {} in all, {}{}",
        millis(own),
        share(own),
        beside.unwrap_or_default(),
    );
    let figure = Figure::new("cadence/share of a core", own, time, AtMost(0.001));
    say(options, &figure.with_detail(detail));
}

const CADENCE: Duration = Duration::from_secs(15);
const QUIET: Duration = Duration::from_millis(200);
