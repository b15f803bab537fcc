//! Group commit against a transaction for each payload, by the same code of the same store.
//!
//! PostgreSQL: 512 payloads in flight through the hub's queue, against the best of 1, 4, 16 and 64
//! callers who each bring one payload after another in a transaction of its own, on a connection of
//! its own. Then the queue alone for 45 s, with so little room for the log that checkpoints come
//! every few seconds. SQLite has one writer, which groups what waits; its baseline is one caller.

use std::sync::Arc;
use std::time::Duration;

use monsys_core::store::IngestStore;
use monsys_hub::GroupCommit;
use monsys_hub::store::{AccountStore, SqliteStore};

use super::fleet::{Door, Fleet, Sent};
use super::server::{Server, runtime};
use super::{median, progress, quantile};
use crate::report::Figure;
use crate::report::Target::{AtLeast, Part};

/// Group commit on PostgreSQL.
pub fn of_postgres(server: &Server) -> Vec<Figure> {
    progress("group commit on PostgreSQL: 10,000 agents, turns of 2.5 s");
    let store = server.store();
    let fleet = Arc::new(Fleet::enrol(&server.wait, &store, N_AGENTS));
    // A pool has 16 connections.
    let stores: Vec<Arc<dyn IngestStore>> = (0..4)
        .map(|_| Arc::new(server.store()) as Arc<dyn IngestStore>)
        .collect();
    let alone = |n_callers: usize| -> Vec<Door> {
        let door = |caller: usize| Door::Alone(Arc::clone(&stores[caller / 16]));
        (0..n_callers).map(door).collect()
    };
    let group = || vec![Door::Group(GroupCommit::new(Arc::new(store.clone()))); N_IN_FLIGHT];
    let mut grouped = Turns::default();
    let mut singles = [1, 4, 16, 64].map(|n_callers| (n_callers, Turns::default()));
    for _ in 0..N_TURNS {
        for (n_callers, turns) in &mut singles {
            turns.add(&fleet.send(&server.wait, &alone(*n_callers), TURN));
        }
        grouped.add(&fleet.send(&server.wait, &group(), TURN));
    }
    let singles = singles.map(|(n_callers, turns)| (n_callers, turns.rate(), turns));
    let best = singles.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (n_best, best_rate, _) = best.expect("four of them");
    let each: Vec<_> = singles
        .iter()
        .map(|(n, rate, turns)| format!("{n}: {rate:.0}/s {}", turns.latency()))
        .collect();
    let detail = format!(
        "payloads/s; {}; alone best at {n_best} connections ({})",
        grouped.latency(),
        each.join(", ")
    );
    let mut figures = vec![
        Figure::new(
            "group commit/PostgreSQL, 512 in flight",
            grouped.rate(),
            *best_rate,
            AtLeast(4.0),
        )
        .with_detail(detail),
    ];
    figures.extend(sustained(server, &fleet, &group()));
    figures
}

fn sustained(server: &Server, fleet: &Arc<Fleet>, doors: &[Door]) -> Vec<Figure> {
    progress("group commit on PostgreSQL: 45 s with max_wal_size=1GB");
    server.set_wal_size("1GB");
    let before = server.checkpoints();
    let sent = fleet.send(&server.wait, doors, Duration::from_secs(45));
    let n_checkpoints = server.checkpoints() - before;
    server.set_wal_size("16GB");
    let latencies = sent.latencies();
    let [first, middle, last] = sent.rates_of_thirds();
    let p99 = quantile(&latencies, 0.99);
    let detail = format!(
        "payloads/s, last third against first (middle {middle:.0}); whole {:.0}/s = {:.0} rows/s, \
         p50 {:.1} p99 {p99:.1} ms, {n_checkpoints} checkpoints",
        sent.rate(),
        5.5 * sent.rate(),
        quantile(&latencies, 0.5),
    );
    vec![
        Figure::new("group commit/PostgreSQL, 45 s", last, first, AtLeast(0.85))
            .with_detail(detail),
        Figure::new(
            "group commit/PostgreSQL, 45 s: rate",
            sent.rate(),
            20_000.0,
            Part,
        )
        .with_detail("payloads/s against the 20,000 expected"),
        Figure::new("group commit/PostgreSQL, 45 s: p99", p99 * 1e6, 60e6, Part)
            .with_detail("ns against the 60 ms expected"),
    ]
}

/// Group commit on SQLite, synchronous = FULL.
pub fn of_sqlite() -> Vec<Figure> {
    progress("group commit on SQLite, synchronous = FULL");
    let wait = runtime();
    let folder = std::env::temp_dir().join(format!("monsys-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let store = SqliteStore::open(&folder.join("monsys.db")).expect("a store");
    let fleet = Arc::new(Fleet::enrol(&wait, &store, N_AGENTS));
    let alone: [Door; 1] = [Door::Alone(Arc::new(store.clone()))];
    let group = vec![Door::Group(GroupCommit::new(Arc::new(store.clone()))); N_IN_FLIGHT];
    let [mut grouped, mut singles] = [const { Turns::new() }; 2];
    for _ in 0..N_TURNS {
        singles.add(&fleet.send(&wait, &alone, TURN));
        grouped.add(&fleet.send(&wait, &group, TURN));
    }
    store.close();
    std::fs::remove_dir_all(&folder).expect("a folder that goes");
    let detail = format!(
        "payloads/s; {}; alone {}",
        grouped.latency(),
        singles.latency()
    );
    let name = "group commit/SQLite FULL, 512 in flight";
    let figure = Figure::new(name, grouped.rate(), singles.rate(), AtLeast(3.0));
    vec![figure.with_detail(detail)]
}

/// The turns of one subject.
#[derive(Default)]
struct Turns {
    rates: Vec<f64>,
    latencies: Vec<f64>,
}

impl Turns {
    const fn new() -> Self {
        Self {
            rates: Vec::new(),
            latencies: Vec::new(),
        }
    }

    fn add(&mut self, sent: &Sent) {
        self.rates.push(sent.rate());
        self.latencies.extend(sent.latencies());
        self.latencies.sort_by(f64::total_cmp);
    }

    fn rate(&self) -> f64 {
        median(&mut self.rates.clone())
    }

    fn latency(&self) -> String {
        let [p50, p99] = [0.5, 0.99].map(|part| quantile(&self.latencies, part));
        format!("p50 {p50:.1} p99 {p99:.1} ms")
    }
}

const N_AGENTS: usize = 10_000;
const N_IN_FLIGHT: usize = 512;
const N_TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(2_500);
