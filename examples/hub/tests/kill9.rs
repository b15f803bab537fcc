//! What was acknowledged is there: after kill -9 at any moment, and after an orderly end under load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use monsys_core::signal::SignalDraft;
use monsys_wire::compose::{Outbound, OutgoingBody};

use support::raw::Wire;
use support::store::{anomalies, open, rows};
use support::{DataDir, Dice, Hub, TestAgent, now, pause};

const N_SENDERS: usize = 4;
/// Every so many payloads one holds signals.
const SIGNALS_EVERY: i64 = 5;
const SIGNALS: [&str; 3] = ["test.one", "test.two", "test.three"];

/// An agent that sends as fast as it can while there is a hub, and keeps what it must keep.
struct Spool {
    agent: TestAgent,
    dice: Dice,
    next_seq: i64,
    pending: Option<(i64, OutgoingBody)>,
    acknowledged: BTreeMap<i64, OutgoingBody>,
}

impl Spool {
    fn new(data: &DataDir, n: usize) -> Self {
        Self {
            agent: data.enrol("acme", &format!("sender-{n}")),
            dice: Dice(u64::try_from(n).unwrap()),
            next_seq: 1,
            pending: None,
            acknowledged: BTreeMap::new(),
        }
    }

    /// Sends until the hub is gone. What was not acknowledged is sent again under its position.
    fn send_while_there_is(&mut self, url: &str) {
        while self.send_one(url) {}
    }

    fn send_one(&mut self, url: &str) -> bool {
        let (seq, body) = match self.pending.take() {
            Some(pending) => pending,
            None => self.compose(),
        };
        match self.agent.try_send(url, body.as_bytes()) {
            Ok(answer) if matches!(answer.status, 200 | 202) => {
                self.acknowledged.insert(seq, body);
                true
            }
            Ok(answer) => {
                // A hub that ends may say that it cannot store, and nothing else.
                assert_eq!(answer.status, 503, "{answer:?}");
                self.pending = Some((seq, body));
                true
            }
            Err(_) => {
                self.pending = Some((seq, body));
                false
            }
        }
    }

    fn compose(&mut self) -> (i64, OutgoingBody) {
        let seq = self.next_seq;
        self.next_seq += 1;
        if seq % SIGNALS_EVERY == 0 {
            let drafts = SIGNALS.map(|key| draft(key, seq));
            return (
                seq,
                self.agent
                    .compose((1, seq), "0.1.0", Outbound::Signals(&drafts)),
            );
        }
        (seq, self.agent.metrics((1, seq), cpu_of(&self.dice, seq)))
    }
}

/// The reading that belongs to a position, so that a torn row would show.
fn cpu_of(dice: &Dice, seq: i64) -> f64 {
    let mut dice = Dice(dice.0 ^ seq.unsigned_abs());
    f64::from(u32::try_from(dice.below(100_000_000)).unwrap()) / 1_000_000.0
}

fn draft(key: &str, seq: i64) -> SignalDraft {
    SignalDraft {
        source: "backup_check".into(),
        subject_type: "agent".into(),
        subject_id: String::new(),
        key: key.into(),
        value: format!(r#"{{"value":{seq}}}"#),
        severity: None,
        observed_at: now(),
        ttl_seconds: None,
    }
}

/// Threads that each get the address of a hub and say when it is gone.
struct Load {
    orders: Vec<Sender<String>>,
    gone: Receiver<()>,
    threads: Vec<JoinHandle<Spool>>,
}

impl Load {
    fn new(data: &DataDir) -> Self {
        let (say_gone, gone) = mpsc::channel();
        let (mut orders, mut threads) = (Vec::new(), Vec::new());
        for n in 0..N_SENDERS {
            let (order, urls) = mpsc::channel::<String>();
            let mut sender = Spool::new(data, n);
            let say_gone = say_gone.clone();
            threads.push(std::thread::spawn(move || {
                for url in urls {
                    sender.send_while_there_is(&url);
                    say_gone.send(()).unwrap();
                }
                sender
            }));
            orders.push(order);
        }
        Self {
            orders,
            gone,
            threads,
        }
    }

    fn start(&self, hub: &Hub) {
        for order in &self.orders {
            order.send(hub.url("")).unwrap();
        }
    }

    fn wait_until_gone(&self) {
        for _ in 0..N_SENDERS {
            self.gone
                .recv_timeout(support::PATIENCE)
                .expect("senders notice that the hub is gone");
        }
    }

    fn end(self) -> Vec<Spool> {
        drop(self.orders);
        self.threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    }
}

/// Asserts that the store holds each acknowledged payload once, whole, and nothing twice.
fn assert_whole(data: &DataDir, sender: &Spool) {
    let id = sender.agent.id.to_string();
    let sql = "SELECT seq, cpu_usage_percent FROM metrics WHERE agent_id = ?1 AND epoch = 1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?));
    let stored = rows(data, sql, [&id], read);
    let cpu: BTreeMap<i64, f64> = stored.iter().copied().collect();
    assert_eq!(cpu.len(), stored.len(), "a sample is there twice");
    let sql = "SELECT json_extract(signal_value, '$.value'), signal_key FROM signal_streams \
               WHERE subject_id = ?1 AND source = 'backup_check' ORDER BY id";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let mut batches: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (seq, key) in rows(data, sql, [&id], read) {
        batches.entry(seq).or_default().push(key);
    }
    for (seq, keys) in &batches {
        assert_eq!(keys, &SIGNALS, "batch {seq} is torn or there twice");
    }
    for seq in sender.acknowledged.keys() {
        if seq % SIGNALS_EVERY == 0 {
            assert!(
                batches.contains_key(seq),
                "acknowledged batch {seq} is lost"
            );
        } else {
            assert_eq!(
                cpu.get(seq),
                Some(&cpu_of(&sender.dice, *seq)),
                "sample {seq}"
            );
        }
    }
    let n_pending = usize::from(sender.pending.is_some());
    let n_stored = cpu.len() + batches.len();
    assert!(
        n_stored <= sender.acknowledged.len() + n_pending,
        "{n_stored} are stored"
    );
    let sql = "SELECT seq FROM ingest_contents WHERE agent_id = ?1 AND epoch = 1 ORDER BY seq";
    let contents = rows(data, sql, [&id], |row| row.get::<_, i64>(0));
    let mut positions: Vec<_> = cpu.keys().chain(batches.keys()).copied().collect();
    positions.sort_unstable();
    assert_eq!(contents, positions, "positions and contents agree");
    assert_eq!(
        anomalies(data, &sender.agent),
        [],
        "an honest agent trips nothing by retrying"
    );
}

fn assert_sound(data: &DataDir) {
    let verdict: String = open(data)
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    assert!(rows(data, "PRAGMA foreign_key_check", [], |_| Ok(())).is_empty());
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment_and_nothing_is_there_twice() {
    const SEED: u64 = 20_261_121;
    const N_KILLS: usize = 60;
    println!("seed {SEED}");
    let data = DataDir::new();
    data.add_org("acme");
    let load = Load::new(&data);
    let mut dice = Dice(SEED);
    for round in 0..N_KILLS {
        let hub = Hub::start(&data);
        assert!(!hub.log().contains("panicked"), "{}", hub.log());
        load.start(&hub);
        let moment = Duration::from_micros(u64::try_from(5_000 + dice.below(145_000)).unwrap());
        pause(moment);
        hub.kill();
        load.wait_until_gone();
        if round % 10 == 0 {
            assert_sound(&data);
        }
    }
    let mut hub = Hub::start(&data);
    let mut senders = load.end();
    let mut n_acknowledged = 0;
    for sender in &mut senders {
        assert_whole(&data, sender);
        // What was under way when the last hub died: stored or not, it is delivered now.
        assert!(sender.send_one(&hub.url("")));
        assert!(sender.pending.is_none());
        assert_whole(&data, sender);
        for (seq, body) in &sender.acknowledged {
            let answer = sender.agent.send(&hub, body.as_bytes());
            assert_eq!(answer.status, 200, "{seq}: {answer:?}");
        }
        assert_whole(&data, sender);
        n_acknowledged += sender.acknowledged.len();
    }
    assert_sound(&data);
    hub.assert_alive();
    println!("{n_acknowledged} payloads acknowledged over {N_KILLS} kills");
    assert!(
        n_acknowledged > 10 * N_KILLS,
        "only {n_acknowledged}: the hub was hardly under load"
    );
}

#[test]
fn an_orderly_end_under_load_loses_nothing_and_ends_in_time() {
    let data = DataDir::new();
    data.add_org("acme");
    let load = Load::new(&data);
    let mut dice = Dice(7);
    for _ in 0..5 {
        let mut hub = Hub::start(&data);
        load.start(&hub);
        pause(Duration::from_millis(
            u64::try_from(50 + dice.below(200)).unwrap(),
        ));
        let started = Instant::now();
        hub.terminate();
        let status = hub.wait(Duration::from_secs(15));
        assert_eq!(status.code(), Some(0), "{}", hub.log());
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
        assert!(
            TcpStream::connect(hub.addr).is_err(),
            "something still listens"
        );
        assert!(!hub.log().contains("panicked"), "{}", hub.log());
        load.wait_until_gone();
    }
    for sender in load.end() {
        assert!(!sender.acknowledged.is_empty());
        assert_whole(&data, &sender);
    }
    assert_sound(&data);
}

#[test]
fn connections_that_say_nothing_do_not_keep_the_hub_from_ending() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let mut hub = Hub::start(&data);
    let raw = agent.raw(agent.metrics((1, 1), 4.2).as_bytes());
    let silent = Wire::open(hub.addr);
    let half_a_head = Wire::open(hub.addr).send(&raw[..40]);
    let half_a_body = Wire::open(hub.addr).send(&raw[..raw.len() - 10]);
    agent.report(&hub, (1, 2), 4.2, "0.1.0");
    hub.terminate();
    let status = hub.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{}", hub.log());
    assert!(
        TcpStream::connect(hub.addr).is_err(),
        "something still listens"
    );
    drop((silent, half_a_head, half_a_body));
    let seqs = rows(&data, "SELECT seq FROM metrics", [], |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(seqs, [2]);
}
