//! Agents that send as fast as they can, and what must be true of the store afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use monsys_core::position::{Position, PositionSet};
use monsys_core::signal::SignalDraft;
use monsys_wire::compose::{Outbound, OutgoingBody};
use rusqlite::Row;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::store::{anomalies, rows};
use super::{DataDir, Dice, Hub, PATIENCE, TestAgent, now, pause, poll};

const N_SENDERS: usize = 4;
/// Every so many payloads one holds signals.
const SIGNALS_EVERY: i64 = 5;
/// The keys of the signals of one payload, in their order.
const KEYS: [&str; 3] = ["test.one", "test.three", "test.two"];
/// How long an agent waits that was told to come again; far less than it is told to.
const BACK_OFF: Duration = Duration::from_millis(5);

/// How often a test kills: what `MONSYS_KILLS` says, or so often as the whole suite has time for.
pub(crate) fn n_kills(usual: usize) -> usize {
    std::env::var("MONSYS_KILLS").map_or(usual, |number| number.parse().unwrap())
}

/// Senders, each in a thread of its own.
pub(crate) struct Fleet {
    doors: Arc<Doors>,
    threads: Vec<JoinHandle<Spool>>,
}

/// The hubs that there are, and what became of the payloads.
#[derive(Default)]
struct Doors {
    open: Mutex<Open>,
    changed: Condvar,
    acknowledged: Counters,
    unavailable: Counters,
}

#[derive(Default)]
struct Open {
    urls: Vec<String>,
    is_over: bool,
}

/// What each sender has counted.
type Counters = [AtomicU64; N_SENDERS];

impl Fleet {
    /// Enrols the senders, who wait for a hub.
    pub(crate) fn of(data: &DataDir) -> Self {
        let doors = Arc::new(Doors::default());
        let sender = |n| {
            let (spool, doors) = (Spool::new(data, n), Arc::clone(&doors));
            std::thread::spawn(move || doors.send_from(spool, n))
        };
        let threads = (0..N_SENDERS).map(sender).collect();
        Self { doors, threads }
    }

    /// Tells the senders of a hub.
    pub(crate) fn open(&self, hub: &Hub) {
        self.doors.open.lock().unwrap().urls.push(hub.url(""));
        self.doors.changed.notify_all();
    }

    /// Takes note that a hub is about to end. Until it does, who sends to it goes on; a hub of which
    /// this was not said must not break a connection.
    pub(crate) fn shut(&self, hub: &Hub) {
        let mut open = self.doors.open.lock().unwrap();
        open.urls.retain(|url| *url != hub.url(""));
    }

    /// Waits until every sender has had another payload acknowledged.
    pub(crate) fn wait_until_each_delivers(&self) {
        wait_for_each("every sender delivers", &self.doors.acknowledged);
    }

    /// Waits until every sender was told once more that the hub cannot store.
    pub(crate) fn wait_until_each_is_refused(&self) {
        wait_for_each("every sender is refused", &self.doors.unavailable);
    }

    /// How often a hub said that it cannot store.
    pub(crate) fn n_unavailable(&self) -> u64 {
        counts(&self.doors.unavailable).iter().sum()
    }

    /// Lets the senders end after the payload they are at.
    pub(crate) fn end(self) -> Vec<Spool> {
        self.doors.open.lock().unwrap().is_over = true;
        self.doors.changed.notify_all();
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    }
}

fn wait_for_each(what: &str, counters: &Counters) {
    let before = counts(counters);
    poll(what, PATIENCE, || {
        let pairs = counts(counters).into_iter().zip(before);
        let mut grew = pairs.map(|(now, before)| now > before);
        grew.all(|grew| grew).then_some(())
    });
}

fn counts(counters: &Counters) -> [u64; N_SENDERS] {
    counters
        .each_ref()
        .map(|counter| counter.load(Ordering::Relaxed))
}

impl Doors {
    fn send_from(&self, mut spool: Spool, n: usize) -> Spool {
        let mut hub = n;
        while let Some(url) = self.wait(hub) {
            hub += 1;
            while !self.open.lock().unwrap().is_over {
                match spool.send(&url) {
                    Sent::Acknowledged => {
                        self.acknowledged[n].fetch_add(1, Ordering::Relaxed);
                    }
                    Sent::Unavailable => {
                        self.unavailable[n].fetch_add(1, Ordering::Relaxed);
                        pause(BACK_OFF);
                    }
                    Sent::Gone(error) => {
                        let is_expected = !self.open.lock().unwrap().urls.contains(&url);
                        assert!(is_expected, "a hub that lives broke off: {error}");
                        break;
                    }
                }
            }
        }
        spool
    }

    /// The address of some hub, as soon as there is one; none when all is over.
    fn wait(&self, hub: usize) -> Option<String> {
        let none_yet = |open: &mut Open| open.urls.is_empty() && !open.is_over;
        let open = self.open.lock().unwrap();
        let open = self.changed.wait_while(open, none_yet).unwrap();
        if open.is_over {
            return None;
        }
        open.urls.get(hub % open.urls.len()).cloned()
    }
}

/// What became of a payload.
enum Sent {
    Acknowledged,
    Unavailable,
    Gone(ureq::Error),
}

/// An agent that keeps what it must keep.
pub(crate) struct Spool {
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

    /// Sends a payload. One that is not acknowledged is sent again under its position.
    fn send(&mut self, url: &str) -> Sent {
        let (seq, body) = match self.pending.take() {
            Some(pending) => pending,
            None => self.compose(),
        };
        match self.agent.try_send(url, body.as_bytes()) {
            Ok(answer) if matches!(answer.status, 200 | 202) => {
                self.acknowledged.insert(seq, body);
                Sent::Acknowledged
            }
            Ok(answer) => {
                // A hub that ends or has no database may say that it cannot store, and nothing else.
                assert_eq!(answer.status, 503, "{answer:?}");
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                self.pending = Some((seq, body));
                Sent::Unavailable
            }
            Err(error) => {
                self.pending = Some((seq, body));
                Sent::Gone(error)
            }
        }
    }

    fn compose(&mut self) -> (i64, OutgoingBody) {
        let seq = self.next_seq;
        self.next_seq += 1;
        if seq % SIGNALS_EVERY == 0 {
            let drafts = KEYS.map(|key| draft(key, seq));
            let data = Outbound::Signals(&drafts);
            return (seq, self.agent.compose((1, seq), "0.1.0", data));
        }
        (seq, self.agent.metrics((1, seq), cpu_of(&self.dice, seq)))
    }

    /// Delivers what was under way when all ended: stored or not, it is delivered now.
    pub(crate) fn deliver_pending(&mut self, hub: &Hub) {
        if self.pending.is_some() {
            assert!(matches!(self.send(&hub.url("")), Sent::Acknowledged));
        }
        assert!(self.pending.is_none());
    }

    /// Sends everything again, which must change nothing.
    pub(crate) fn repeat(&self, hub: &Hub) {
        for (seq, body) in &self.acknowledged {
            let answer = self.agent.send(hub, body.as_bytes());
            assert_eq!(answer.status, 200, "{seq}: {answer:?}");
        }
    }

    pub(crate) fn n_acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Asserts that the store holds each acknowledged payload once, whole, and nothing twice.
    pub(crate) fn assert_whole(&self, data: &DataDir) {
        let samples = self.samples(data);
        let batches = self.batches(data);
        let contents = self.contents(data);
        let mut positions: Vec<_> = samples.iter().chain(&batches).copied().collect();
        positions.sort_unstable();
        let known: Vec<_> = contents.keys().copied().collect();
        assert_eq!(known, positions, "positions and contents agree");
        for seq in self.acknowledged.keys() {
            assert!(contents.contains_key(seq), "acknowledged {seq} is lost");
        }
        for (seq, content) in &contents {
            let sent = self.acknowledged.get(seq);
            let pending = self.pending.as_ref().filter(|(at, _)| at == seq);
            let sent = sent.or_else(|| pending.map(|(_, body)| body));
            let sent = sent.unwrap_or_else(|| panic!("{seq} is stored and was never sent"));
            assert_eq!(*content, content_hash(sent), "{seq} has another content");
        }
        let highest = known.last().copied();
        assert_eq!(
            self.highest_seen(data),
            highest,
            "what the agent's row says"
        );
        assert_eq!(
            self.current(data),
            batches.last().copied(),
            "what is current"
        );
        let tripped = anomalies(data, &self.agent);
        assert_eq!(tripped, [], "an honest agent trips nothing by retrying");
    }

    /// The positions of the samples, of which none is there twice and each has its own reading.
    fn samples(&self, data: &DataDir) -> Vec<i64> {
        let sql = "SELECT seq, cpu_usage_percent FROM metrics WHERE agent_id = ?1 AND epoch = 1 \
                   ORDER BY seq";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?));
        let stored = rows(data, sql, [self.agent.id.to_string()], read);
        for (seq, cpu) in &stored {
            assert_eq!(*cpu, cpu_of(&self.dice, *seq), "sample {seq}");
        }
        let seqs: Vec<_> = stored.into_iter().map(|(seq, _)| seq).collect();
        assert!(
            seqs.is_sorted_by(|one, next| one < next),
            "a sample is there twice"
        );
        seqs
    }

    /// The positions of the payloads with signals, of which each is there whole and once.
    fn batches(&self, data: &DataDir) -> Vec<i64> {
        let mut batches: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (key, seq) in self.signals(data, "signal_streams") {
            batches.entry(seq).or_default().push(key);
        }
        for (seq, keys) in &batches {
            assert_eq!(keys, &KEYS, "batch {seq} is torn or there twice");
        }
        batches.into_keys().collect()
    }

    /// The position of the payload whose signals are current; all of them are of one.
    fn current(&self, data: &DataDir) -> Option<i64> {
        let current = self.signals(data, "signal_current");
        let (_, seq) = *current.first().as_ref()?;
        let all = KEYS.map(|key| (key.to_owned(), *seq));
        assert_eq!(current, all, "other signals are current");
        Some(*seq)
    }

    fn signals(&self, data: &DataDir, table: &str) -> Vec<(String, i64)> {
        let sql = format!(
            "SELECT signal_key, signal_value FROM {table} WHERE subject_type = 'agent' \
             AND subject_id = ?1 AND source = 'backup_check' ORDER BY signal_key"
        );
        let read = |row: &Row<'_>| {
            let value: Value = serde_json::from_str(&row.get::<_, String>(1)?).unwrap();
            Ok((row.get(0)?, value["value"].as_i64().unwrap()))
        };
        rows(data, &sql, [self.agent.id.to_string()], read)
    }

    fn contents(&self, data: &DataDir) -> BTreeMap<i64, [u8; 32]> {
        let sql = "SELECT seq, content FROM ingest_contents WHERE agent_id = ?1 AND epoch = 1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let stored = rows(data, sql, [self.agent.id.to_string()], read);
        let n_stored = stored.len();
        let contents: BTreeMap<_, _> = stored.into_iter().collect();
        assert_eq!(contents.len(), n_stored, "a position is there twice");
        contents
    }

    /// The highest position in the agent's row, below which none is open.
    fn highest_seen(&self, data: &DataDir) -> Option<i64> {
        let sql = "SELECT positions FROM agents WHERE id = ?1";
        let stored = rows(data, sql, [self.agent.id.to_string()], |row| {
            row.get::<_, Vec<u8>>(0)
        });
        let positions = PositionSet::from_bytes(&stored[0]).unwrap();
        assert_eq!(positions.open_gaps(), 0, "a position is left out");
        let seq = |position: Position| i64::try_from(position.seq()).unwrap();
        positions.highest().map(seq)
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

/// SHA-256 of a body without its member `sent_at`, which is not the first (contract §2).
fn content_hash(body: &OutgoingBody) -> [u8; 32] {
    let text = std::str::from_utf8(body.as_bytes()).unwrap();
    let (before, rest) = text.split_once(r#","sent_at":""#).unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let hash = Sha256::new().chain_update(before).chain_update(after);
    hash.finalize().into()
}
