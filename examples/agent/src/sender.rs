//! The sender: takes one payload from the spool, brings it to the hub, carries out what follows.
//!
//! What: one attempt at a time ([`Sender::step`]) and the flush at the end. It holds the spool only
//! to read and to note, never while the hub is asked, so that a hanging hub cannot delay a sample.
//! What not: threads and waiting; the daemon has those. Cost: one request and one signature a
//! payload.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use monsys_core::position::is_late;
use monsys_wire::Code;
use monsys_wire::compose::OutgoingBody;

use crate::clock::{Clock, Deadline, HubClock};
use crate::config::DataDir;
use crate::durable;
use crate::enrolment::{Enrolment, prepare};
use crate::error::AgentError;
use crate::send::answer::{Answer, Fault};
use crate::send::client::Reply;
use crate::send::pace::{Attempt, Fate, Pace, Pause, backoff};
use crate::spool::{Spool, SpoolError};

/// Sends what a spool holds.
#[derive(Debug)]
pub struct Sender {
    clock: Clock,
    /// For the header of the hmac profile, and for who dates signals.
    hub_clock: HubClock,
    quarantine: PathBuf,
    pace: Pace,
    /// How the last attempt ended, in one word; a log line is written when it changes.
    link: &'static str,
    n_spool_failures: u32,
    /// Whether the last acknowledgement was not durable; a log line is written when it changes.
    is_spool_failing: bool,
}

/// What one step of a sender came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing is pending.
    Idle,
    /// One payload was tried.
    Tried {
        /// Its number in the spool.
        number: u64,
        /// What the hub said.
        answer: Answer,
        /// How long to wait before the next step.
        wait: Duration,
    },
    /// The spool or the payload could not be used.
    Stalled {
        /// How long to wait before the next step.
        wait: Duration,
    },
}

impl Sender {
    /// Makes a sender.
    pub fn new(data: &DataDir, clock: Clock) -> Self {
        Self {
            clock,
            hub_clock: HubClock::unknown(),
            quarantine: data.quarantine(),
            pace: Pace::default(),
            link: "",
            n_spool_failures: 0,
            is_spool_failing: false,
        }
    }

    /// Returns the hub's clock, which goes right from the first answer on.
    pub fn hub_clock(&self) -> HubClock {
        self.hub_clock.clone()
    }

    /// Asks the hub for its time before anything is sent, so that what a machine with a wrong clock
    /// observes is dated right from the first look on. Without an answer the first attempt tells it.
    pub fn learn_time(&self, enrolment: &Enrolment) {
        match enrolment.ask_time() {
            Ok(there) => self.hub_clock.note(self.clock.now(), there),
            Err(error) => tracing::debug!(error = error.chain(), "the hub's time is not known"),
        }
    }

    /// Tries one payload.
    pub fn step(&mut self, enrolment: &Enrolment, spool: &Mutex<Spool>, timeout: Duration) -> Step {
        match self.try_one(enrolment, spool, timeout) {
            Ok(step) => {
                self.n_spool_failures = 0;
                step
            }
            Err(error) => {
                tracing::warn!(error = AgentError::from(error).chain(), "spool not usable");
                let wait = self
                    .clock
                    .wall_duration(backoff(self.n_spool_failures, random()));
                self.n_spool_failures = self.n_spool_failures.saturating_add(1);
                Step::Stalled {
                    wait: wait.max(STALL_MIN),
                }
            }
        }
    }

    /// Sends what it can before a deadline; stops at the first payload that does not arrive.
    pub fn flush(&mut self, enrolment: &Enrolment, spool: &Mutex<Spool>, deadline: Deadline) {
        while let Some(left) = deadline.remaining() {
            match self.step(enrolment, spool, left) {
                Step::Tried { answer, .. } if answer.is_delivered() => {}
                Step::Idle | Step::Tried { .. } | Step::Stalled { .. } => return,
            }
        }
    }

    fn try_one(
        &mut self,
        enrolment: &Enrolment,
        spool: &Mutex<Spool>,
        timeout: Duration,
    ) -> Result<Step, SpoolError> {
        let now = self.clock.now();
        let (number, position, record, is_stuck) = {
            let mut spool = lock(spool);
            let is_stuck = spool.n_held() > 0;
            let Some(number) = self.pace.choose(spool.ledger(), now) else {
                return Ok(Step::Idle);
            };
            match spool.read(number) {
                Ok((position, record)) => (number, position, record, is_stuck),
                Err(SpoolError::Damaged) => return give_up(&mut spool, number),
                Err(error) => return Err(error),
            }
        };
        // Sent first after an outage, an old sample would be live to the hub and look like a wrong
        // clock. Behind a fresh one it is what it is: backlog. But on a disk that takes nothing no
        // fresh one comes before the backlog goes, and a single late reading is no drift: the hub
        // judges the mean of twenty.
        if is_late(record.captured_at, now) && self.pace.is_ahead(number) && !is_stuck {
            return Ok(Step::Idle);
        }
        let Ok(body) = prepare(&record.body, position, now) else {
            return give_up(&mut lock(spool), number);
        };
        let begin = Instant::now();
        let answer = self.attempt(enrolment, &body, timeout);
        self.note(answer);
        let attempt = Attempt {
            number,
            epoch: position.epoch(),
            answer,
            took: begin.elapsed(),
        };
        let (fate, pause) = self.pace.decide(attempt, random());
        self.carry_out(fate, number, body.as_bytes(), &mut lock(spool))?;
        let wait = match pause {
            Pause::None => Duration::ZERO,
            Pause::Clock(span) => self.clock.wall_duration(span),
            Pause::Wall(wait) => wait,
        };
        Ok(Step::Tried {
            number,
            answer,
            wait,
        })
    }

    fn carry_out(
        &mut self,
        fate: Fate,
        number: u64,
        body: &[u8],
        spool: &mut Spool,
    ) -> Result<(), SpoolError> {
        let noted = match fate {
            Fate::Delivered => spool.acknowledge(number),
            Fate::SetAside { reason } => {
                tracing::warn!(number, reason, "payload set aside");
                if let Err(error) = set_aside(&self.quarantine, number, reason, body) {
                    tracing::warn!(%error, "quarantine not writable");
                }
                spool.set_aside(number)
            }
            Fate::Renumber { epoch } => {
                let n_moved = spool.ledger().n_pending();
                spool.start_epoch(epoch)?;
                tracing::warn!(
                    epoch,
                    n_moved,
                    "undelivered payloads moved into a new epoch"
                );
                Ok(())
            }
            Fate::Kept => spool.settle(),
        };
        self.note_spool(noted);
        Ok(())
    }

    /// A disk that takes no acknowledgement stops no delivery: after a restart the hub is sent a few
    /// payloads again, and takes them for what they are.
    fn note_spool(&mut self, noted: Result<(), SpoolError>) {
        let is_failing = noted.is_err();
        if let (Err(error), false) = (noted, self.is_spool_failing) {
            let error = AgentError::from(error).chain();
            tracing::warn!(error, "acknowledgements are not durable");
        }
        self.is_spool_failing = is_failing;
    }

    /// Sends a body; where the hub takes the time of the header for wrong, once more with the time
    /// that it gave.
    fn attempt(&mut self, enrolment: &Enrolment, body: &OutgoingBody, timeout: Duration) -> Answer {
        let reply = self.request(enrolment, body, timeout);
        let is_corrected = reply.server_time.is_some();
        if is_corrected && reply.answer == Answer::Denied(Some(Code::Stale)) {
            return self.request(enrolment, body, timeout).answer;
        }
        reply.answer
    }

    fn request(&mut self, enrolment: &Enrolment, body: &OutgoingBody, timeout: Duration) -> Reply {
        let hub_now = self.hub_clock.at(self.clock.now());
        let signed = match enrolment.sign(body, hub_now) {
            Ok(signed) => signed,
            Err(error) => {
                tracing::warn!(error = error.chain(), "payload not signed");
                return Reply {
                    answer: Answer::Unreachable(Fault::Connection),
                    server_time: None,
                };
            }
        };
        let client = enrolment.client();
        let reply = client.ingest(body.as_bytes(), &signed, timeout);
        if let Some(there) = reply.server_time {
            self.hub_clock.note(self.clock.now(), there);
        }
        reply
    }

    fn note(&mut self, answer: Answer) {
        let is_delivered = answer.is_delivered();
        let link = if is_delivered {
            LINK_UP
        } else {
            answer.reason().unwrap_or(answer.as_str())
        };
        if link == self.link {
            return;
        }
        self.link = link;
        if is_delivered {
            tracing::info!("hub takes payloads");
        } else {
            tracing::warn!(
                answer = answer.as_str(),
                reason = link,
                "hub does not take payloads"
            );
        }
    }
}

/// Takes the spool, also after a panic elsewhere: every change of it is complete or not at all.
pub(crate) fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_up(spool: &mut Spool, number: u64) -> Result<Step, SpoolError> {
    tracing::warn!(number, "spooled payload is damaged and lost");
    spool.give_up(number)?;
    Ok(Step::Stalled {
        wait: Duration::ZERO,
    })
}

/// Keeps a refused payload for people; the oldest one makes room.
fn set_aside(dir: &Path, number: u64, reason: &str, body: &[u8]) -> io::Result<()> {
    durable::create_private_dir(dir)?;
    durable::replace(&dir.join(format!("{number:020}-{reason}.json")), body)?;
    let mut kept: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir)? {
        kept.push(entry?.path());
    }
    kept.sort_unstable();
    let n_over = kept.len().saturating_sub(QUARANTINE_FILES_MAX);
    kept.iter().take(n_over).try_for_each(fs::remove_file)
}

/// Random bits for jitter; without a random source the middle will do.
fn random() -> u32 {
    getrandom::u32().unwrap_or(1 << 31)
}

/// The word for a hub that takes payloads.
const LINK_UP: &str = "up";
/// Enough to see a pattern, too few to fill a disk.
const QUARANTINE_FILES_MAX: usize = 16;
/// The shortest wait after the spool failed, so that a bad disk costs no processor.
const STALL_MIN: Duration = Duration::from_millis(100);
