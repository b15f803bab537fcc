//! What an agent keeps until the hub has it, and in which order it sends: the rules of contract §2
//! as the reference agent follows them (freshest first, then the backlog from its oldest, retries
//! under the same position, full jitter).

use std::collections::VecDeque;

use monsys_core::store::IngestOutcome;

use crate::draw::Draw;
use crate::{MS, SECOND};

/// One measured payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// Its number in the life of the installation.
    pub(crate) number: u64,
    /// Device clock when it was measured.
    pub(crate) captured_us: i64,
    /// Processor use.
    pub(crate) cpu: f64,
    /// What stands for its content.
    pub(crate) content: u64,
}

/// Undelivered payloads in order of their numbers, and the state of the sender.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    pending: VecDeque<Record>,
    next: u64,
    epoch: u64,
    base: u64,
    settled: u64,
    n_failures: u32,
    n_replays: u32,
}

impl Spool {
    pub(crate) const fn new() -> Self {
        Self {
            pending: VecDeque::new(),
            next: 1,
            epoch: 1,
            base: 0,
            settled: 0,
            n_failures: 0,
            n_replays: 0,
        }
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn n_pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn append(&mut self, captured_us: i64, cpu: f64, content: u64) {
        let number = self.next;
        self.next += 1;
        self.pending.push_back(Record {
            number,
            captured_us,
            cpu,
            content,
        });
    }

    /// The next payload to send at a time of the device clock. An old one that would be the
    /// freshest waits for a fresh one, as in the reference agent.
    pub(crate) fn choose(&self, device_us: i64) -> Option<Record> {
        let newest = self.pending.back()?;
        let chosen = if newest.number > self.settled {
            newest
        } else {
            self.pending.front()?
        };
        let is_late = device_us - chosen.captured_us > 60 * SECOND;
        (!is_late || chosen.number <= self.settled).then_some(*chosen)
    }

    /// Epoch and sequence number of a payload.
    pub(crate) fn position(&self, number: u64) -> (i64, i64) {
        let whole = |n: u64| i64::try_from(n).expect("a small number");
        (whole(self.epoch), whole(number - self.base))
    }

    /// Carries out what the hub answered and tells how long to wait.
    pub(crate) fn answered(&mut self, number: u64, outcome: IngestOutcome, draw: &mut Draw) -> i64 {
        match outcome {
            IngestOutcome::Accepted | IngestOutcome::Duplicate => self.settle(number),
            IngestOutcome::Replay | IngestOutcome::GivenUp if self.n_replays < 2 => {
                self.n_replays += 1;
                self.start_epoch(self.epoch + 1);
                0
            }
            IngestOutcome::Replay | IngestOutcome::GivenUp => self.settle(number),
            IngestOutcome::StaleEpoch { min_epoch } => {
                self.start_epoch(min_epoch);
                self.failed(draw)
            }
            other => panic!("no agent of the script is answered {other:?}"),
        }
    }

    /// Notes an attempt without an answer and tells how long to wait: between 0 and twice as long
    /// as after the one before, from 1 s to 300 s.
    pub(crate) fn failed(&mut self, draw: &mut Draw) -> i64 {
        let longest = (SECOND << self.n_failures.min(9)).min(300 * SECOND);
        self.n_failures += 1;
        draw.between(0, longest)
    }

    /// The counters are lost: what is undelivered moves into a new life of the spool, where again
    /// the freshest goes first.
    pub(crate) fn start_epoch(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.settled = 0;
            self.base = self.pending.front().map_or(self.next, |r| r.number) - 1;
        }
    }

    /// The spool is that of a backup: its counters are those of long ago.
    pub(crate) fn set_back(&mut self, n_payloads: u64) {
        self.pending.clear();
        self.next -= n_payloads;
        self.settled = self.next - 1;
    }

    fn settle(&mut self, number: u64) -> i64 {
        if let Ok(at) = self.pending.binary_search_by_key(&number, |r| r.number) {
            self.pending.remove(at);
        }
        self.settled = self.settled.max(number);
        (self.n_failures, self.n_replays) = (0, 0);
        // Five payloads of backlog a second.
        if number < self.settled { 200 * MS } else { 0 }
    }
}
