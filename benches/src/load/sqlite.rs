//! Ingest on SQLite: what is stored durably against what the same hub verifies and discards.
//!
//! Two hubs of one program, each on a file of its own, take turns. The baseline needs no hook in
//! the program: with `MONSYS_ORG_RATE=1` every payload but one a second is answered 429, and the
//! limit of an organisation stands behind all other checks but the position (contract §3), which
//! the store decides. So the baseline reads, looks the agent up, verifies, walks the schema and
//! answers, and stores nothing. This holds for the ed25519 profile; a device's nonce is used up in
//! the store whatever the limit says.

use super::scene::{Scene, micros_each};
use super::{Options, say};
use crate::report::Figure;
use crate::report::Target::AtLeast;
use crate::store::server::runtime;
use crate::store::{median, progress};

/// The figures of ingest on SQLite.
pub(super) fn run(options: &Options) {
    progress("ingest on SQLite: 2 KB payloads, 10,000 agents, 64 connections, two hubs in turns");
    let wait = runtime();
    let start =
        |name, settings: &[(&str, &str)]| Scene::on_sqlite(&wait, &options.program, name, settings);
    let mut storing = start("sqlite-storing", &[]);
    let mut discarding = start("sqlite-discarding", &[("MONSYS_ORG_RATE", "1")]);
    let time = options.time / N_TURNS;
    let [mut stored, mut discarded, mut p50s, mut p99s] = [const { Vec::new() }; 4];
    let [mut stored_cpu, mut discarded_cpu, mut client_cpu] = [const { Vec::new() }; 3];
    for turn in 0..=N_TURNS {
        let (answers, cpu) = storing.closed(time);
        answers.assert_nearly_all(202, "storing");
        let (refused, refused_cpu) = discarding.closed(time);
        let is_discarded = refused.n_of(429) * 100 > refused.all.len() * 99;
        assert!(is_discarded, "discarding: {}", refused.statuses());
        // The first turn warms up.
        if turn > 0 {
            stored.push(answers.rate_of(202));
            discarded.push(refused.rate_of(429));
            p50s.push(answers.millis_of(202, 0.5));
            p99s.push(answers.millis_of(202, 0.99));
            stored_cpu.push(micros_each(cpu, answers.all.len()));
            discarded_cpu.push(micros_each(refused_cpu, refused.all.len()));
            client_cpu.push(answers.client_micros());
        }
    }
    discarding.kill().remove();
    let rate = median(&mut stored);
    let detail = format!(
        "payloads/s against the same hub that verifies and answers 429 (MONSYS_ORG_RATE=1: all \
         checks, nothing stored); CPU of the hub {:.0} us a payload against {:.0}, of the sender \
         {:.1}; closed loop p50 {:.1} p99 {:.1} ms",
        median(&mut stored_cpu),
        median(&mut discarded_cpu),
        median(&mut client_cpu),
        median(&mut p50s),
        median(&mut p99s),
    );
    let figure = Figure::new("sqlite/ingest", rate, median(&mut discarded), AtLeast(0.5));
    say(options, &figure.with_detail(detail));
    say(options, &storing.latency(options, "sqlite", rate));
    storing.kill().remove();
}

const N_TURNS: u32 = 3;
