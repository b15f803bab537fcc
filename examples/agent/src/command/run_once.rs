//! `run-once`: measure, send, end; with `--print` only show the bytes.

use std::sync::Mutex;
use std::thread;

use monsys_core::position::Position;
use monsys_wire::spool::Gap;
use serde::Serialize;

use super::first_tick::measure;
use crate::clock::{Clock, Deadline, HubClock};
use crate::collect::root::Root;
use crate::config::DataDir;
use crate::enrolment::{Enrolment, prepare};
use crate::error::{AgentError, Outcome};
use crate::live::LiveEnrolment;
use crate::output::{self, Form};
use crate::sampling::{health_of_gaps, health_of_spool};
use crate::send::answer::Answer;
use crate::send::client::REQUEST_TIMEOUT;
use crate::sender::{Sender, Step, lock};
use crate::spool::{Spool, SpoolError, SpoolLimits, inspect};

#[derive(Serialize)]
struct Sent {
    epoch: u64,
    seq: u64,
    answer: &'static str,
    reason: Option<&'static str>,
    delivered: u64,
    refused: u64,
    pending: usize,
}

/// What came of sending.
#[derive(Default)]
struct Delivery {
    /// The last answer to the metrics that were measured.
    answer: Option<Answer>,
    n_delivered: u64,
    /// Payloads that the hub will never take.
    n_refused: u64,
}

/// Prints exactly the bytes that would be sent, without using up a position: one body a line.
///
/// In the spool metrics come last and are sent first; here they are the first line, so that a
/// reader of one line has them.
///
/// # Errors
/// [`AgentError`] when there is no configuration, no key, or no measurement.
pub fn print(data: &DataDir, root: &Root) -> Result<Outcome, AgentError> {
    let enrolment = Enrolment::load(data)?;
    let status = inspect(&data.spool(), SpoolLimits::standard())?;
    let part = |n: u64| i64::try_from(n).map_err(|_| SpoolError::Exhausted);
    let clock = Clock::system();
    let gaps: Vec<Gap> = status.gaps.iter().map(Gap::from).collect();
    // Nothing is asked of the hub: what would be sent now is dated by this machine's clock.
    let hub_clock = HubClock::unknown();
    let backups = &enrolment.config().backups;
    let (_, measured) = measure(root, clock, backups, hub_clock, health_of_gaps(&gaps));
    let captured_at = measured.captured_at();
    let mut lines = Vec::new();
    for (seq, payload) in (status.next_seq..).zip(measured.payloads()?) {
        let position =
            Position::new(part(status.epoch)?, part(seq)?).map_err(|_| SpoolError::Exhausted)?;
        let body = enrolment
            .compose(payload, position, captured_at)
            .and_then(|body| prepare(body.as_bytes(), position, clock.now()))
            .map_err(SpoolError::Compose)?;
        lines.push(body);
    }
    lines.rotate_right(1);
    for body in &lines {
        output::bytes(body.as_bytes());
        output::bytes(b"\n");
    }
    Ok(Outcome::Success)
}

/// Measures, spools, sends the sample and then the backlog, as far as the hub takes it.
///
/// # Errors
/// [`AgentError`] when nothing could be measured or spooled. An unreachable hub is an outcome: what
/// was measured stays in the spool.
pub fn send(data: &DataDir, root: &Root, form: Form) -> Result<Outcome, AgentError> {
    let clock = Clock::system();
    let live = LiveEnrolment::open(data)?;
    let enrolment = live.current();
    let mut sender = Sender::new(data, clock);
    let mut spool = Spool::open(&data.spool(), SpoolLimits::standard())?;
    let health = health_of_spool(&mut spool);
    let backups = &enrolment.config().backups;
    let (mut sampler, measured) = thread::scope(|scope| {
        // Beside the interval that measuring takes anyway; a hub that is away is waited for once.
        scope.spawn(|| sender.learn_time(&enrolment));
        measure(root, clock, backups, sender.hub_clock(), health)
    });
    let number = sampler.spool(&measured, &enrolment, &mut spool)?;
    let spool = Mutex::new(spool);
    // Which key the hub has is asked once the sample is safe; without an answer nothing is sent.
    let delivery = match live.hold() {
        Ok(held) => deliver(&mut sender, held.enrolment(), &spool, number),
        Err(AgentError::Call(_)) => Delivery::default(),
        Err(error) => return Err(error),
    };
    let spool = lock(&spool);
    let position = spool
        .ledger()
        .position(number)
        .ok_or(SpoolError::Exhausted)?;
    let sent = Sent {
        epoch: position.epoch(),
        seq: position.seq(),
        answer: delivery.answer.map_or("not_sent", Answer::as_str),
        reason: delivery.answer.and_then(Answer::reason),
        delivered: delivery.n_delivered,
        refused: delivery.n_refused,
        pending: spool.ledger().n_pending(),
    };
    let reason = sent
        .reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    let lines = [
        format!(
            "payload {}.{} {}{reason}",
            sent.epoch, sent.seq, sent.answer
        ),
        format!(
            "{} delivered, {} refused, {} pending",
            sent.delivered, sent.refused, sent.pending
        ),
    ];
    output::show(form, &sent, &lines);
    Ok(outcome(&delivery))
}

/// Sends until nothing is pending or the hub does not take a payload; `number` is that of the
/// metrics that were measured.
fn deliver(
    sender: &mut Sender,
    enrolment: &Enrolment,
    spool: &Mutex<Spool>,
    number: u64,
) -> Delivery {
    let deadline = Deadline::after(REQUEST_TIMEOUT * 6);
    let (mut delivery, mut n_moved) = (Delivery::default(), 0);
    while deadline.remaining().is_some() {
        let Step::Tried {
            number: tried,
            answer: latest,
            wait,
        } = sender.step(enrolment, spool, REQUEST_TIMEOUT)
        else {
            break;
        };
        if tried == number {
            delivery.answer = Some(latest);
        }
        match latest {
            Answer::Accepted | Answer::Duplicate => delivery.n_delivered += 1,
            Answer::Refused(_) => delivery.n_refused += 1,
            // Renumbered: one more attempt tells whether the hub takes it where it is.
            Answer::StaleEpoch { .. } | Answer::Replay if n_moved < RENUMBERINGS_MAX => {
                n_moved += 1
            }
            Answer::StaleEpoch { .. }
            | Answer::Replay
            | Answer::Denied(_)
            | Answer::RetryAfter(_)
            | Answer::Foreign { .. }
            | Answer::Unreachable(_) => break,
        }
        thread::sleep(wait);
    }
    delivery
}

const fn outcome(delivery: &Delivery) -> Outcome {
    match delivery.answer {
        Some(Answer::Accepted | Answer::Duplicate) if delivery.n_refused > 0 => Outcome::Finding,
        Some(Answer::Accepted | Answer::Duplicate) => Outcome::Success,
        Some(Answer::Refused(_) | Answer::Replay | Answer::StaleEpoch { .. }) => Outcome::Finding,
        Some(Answer::Denied(_)) => Outcome::Configuration,
        Some(Answer::RetryAfter(_) | Answer::Foreign { .. } | Answer::Unreachable(_)) | None => {
            Outcome::Unavailable
        }
    }
}

/// More would mean that two agents share an identity.
const RENUMBERINGS_MAX: u32 = 4;
