//! One tick: what is measured, and how it becomes durable.
//!
//! What: a [`Sampler`] asks the collectors for what is due at a tick ([`Sampler::measure`]) and
//! appends it to the spool ([`Sampler::spool`]): signals, then the snapshot of the endpoint, and
//! metrics always last, so that the freshest payload, which is sent first, is the one whose time the
//! hub watches. Only without a processor figure there are no metrics; the rest is spooled all the
//! same. What not: threads, waiting, sending. Cost: that of the collectors, and one `fdatasync` a
//! payload.

use monsys_core::endpoint::{CollectorHealth, EndpointSnapshot};
use monsys_core::limit;
use monsys_core::sample::MetricSample;
use monsys_core::signal::SignalDraft;
use monsys_core::time::{Span, Timestamp};
use monsys_wire::compose::Outbound;
use monsys_wire::spool::Gap;

use crate::clock::{Clock, HubClock};
use crate::collect::backup::BackupSetting;
use crate::collect::checks::{Checks, says_the_same};
use crate::collect::root::Root;
use crate::collect::snapshot::EndpointCollector;
use crate::collect::{CollectError, Collector, health, health_of};
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::schedule::Schedule;
use crate::spool::{Spool, SpoolError};

/// Measures one machine, tick after tick.
#[derive(Debug)]
pub struct Sampler {
    clock: Clock,
    hub_clock: HubClock,
    metrics: Collector,
    endpoint: EndpointCollector,
    checks: Checks,
    schedule: Schedule,
    /// What the last signals in the spool say.
    said: Vec<SignalDraft>,
    /// How the checks fared when they were last made.
    checked: Vec<CollectorHealth>,
}

/// What was measured at one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    tick: u32,
    captured_at: Timestamp,
    signals: Vec<SignalDraft>,
    endpoint: Option<EndpointSnapshot>,
    metrics: Result<MetricSample, CollectError>,
}

impl Sampler {
    /// Makes a sampler that has measured nothing yet.
    pub fn new(root: &Root, clock: Clock, cadence: Span) -> Self {
        Self {
            clock,
            hub_clock: HubClock::unknown(),
            metrics: Collector::below(root),
            endpoint: EndpointCollector::at(root.clone()),
            checks: Checks::at(root.clone()),
            schedule: Schedule::new(cadence),
            said: Vec::new(),
            checked: Vec::new(),
        }
    }

    /// Dates signals by the hub's clock where this machine's is wrong.
    pub fn follow(&mut self, hub_clock: HubClock) {
        self.hub_clock = hub_clock;
    }

    /// Watches these backups from the next look on.
    pub fn watch(&mut self, backups: &[BackupSetting]) {
        self.checks.watch(backups);
    }

    /// Takes the first reading of processor times, from which the first sample counts.
    pub fn prime(&mut self) {
        self.metrics.prime();
    }

    /// Measures what is due at a tick; `spool` is how the spool fares.
    pub fn measure(&mut self, tick: u32, spool: CollectorHealth) -> Measured {
        // First and stamped at once: what follows takes longer and must not shift it.
        let metrics = self.metrics.sample();
        let captured_at = self.clock.now();
        let signals = self.signals(tick, self.hub_clock.observed(captured_at));
        let endpoint = self.schedule.is_endpoint_due(tick).then(|| {
            let mut others = health_of(metrics.as_ref());
            others.extend_from_slice(&self.checked);
            others.push(spool);
            self.endpoint.snapshot(others)
        });
        Measured {
            tick,
            captured_at,
            signals,
            endpoint,
            metrics,
        }
    }

    /// Makes what was measured durable and returns the number of the metrics in the spool.
    ///
    /// # Errors
    /// [`AgentError::Spool`]: with [`SpoolError::Held`] what was measured waits in memory, otherwise
    /// it stays due. [`AgentError::Collect`]: everything but metrics is durable.
    pub fn spool(
        &mut self,
        measured: &Measured,
        enrolment: &Enrolment,
        spool: &mut Spool,
    ) -> Result<u64, AgentError> {
        let Measured {
            tick,
            captured_at,
            signals,
            endpoint,
            metrics,
        } = measured;
        let mut held = None;
        let mut append = |spool: &mut Spool, data: Outbound<'_>| {
            let appended = spool.append(*captured_at, |position| {
                let body = enrolment.compose(data, position, *captured_at)?;
                Ok(body.as_bytes().to_vec())
            });
            match appended {
                Err(error @ SpoolError::Held { .. }) => {
                    held = Some(error);
                    Ok(None)
                }
                done => done.map(Some),
            }
        };
        if !signals.is_empty() {
            append(spool, Outbound::Signals(signals))?;
            self.schedule.note_signals(*tick);
            self.said.clone_from(signals);
        }
        if let Some(snapshot) = endpoint {
            if let Some(number) = append(spool, Outbound::Endpoint(snapshot))? {
                spool.tell_loss_in(number);
            }
            self.schedule.note_endpoint(*tick);
            self.endpoint.note_durable();
        }
        let sample = metrics.as_ref().map_err(|error| *error)?;
        let number = append(spool, Outbound::Metrics(sample))?;
        match (held, number) {
            (None, Some(number)) => Ok(number),
            (Some(error), _) => Err(error.into()),
            (None, None) => Err(SpoolError::NotPending.into()),
        }
    }

    fn signals(&mut self, tick: u32, now: Timestamp) -> Vec<SignalDraft> {
        if !self.schedule.is_look_due(tick) {
            return Vec::new();
        }
        self.schedule.note_look(tick);
        let checked = self.checks.look(now);
        self.checked = checked.health;
        let is_news = !says_the_same(&checked.signals, &self.said);
        if is_news || self.schedule.are_signals_due(tick) {
            checked.signals
        } else {
            Vec::new()
        }
    }
}

impl Measured {
    /// Returns the device clock when it was measured.
    pub const fn captured_at(&self) -> Timestamp {
        self.captured_at
    }

    /// Returns how each collector fared, if a snapshot was due.
    pub fn health(&self) -> &[CollectorHealth] {
        self.endpoint
            .as_ref()
            .map_or(&[][..], |snapshot| &snapshot.health)
    }

    /// Returns what makes a payload each, in the order of the spool.
    ///
    /// # Errors
    /// [`CollectError`] when there are no metrics.
    pub fn payloads(&self) -> Result<Vec<Outbound<'_>>, CollectError> {
        let sample = self.metrics.as_ref().map_err(|error| *error)?;
        let signals = (!self.signals.is_empty()).then_some(Outbound::Signals(&self.signals));
        let endpoint = self.endpoint.as_ref().map(Outbound::Endpoint);
        let all = signals.into_iter().chain(endpoint);
        Ok(all.chain([Outbound::Metrics(sample)]).collect())
    }
}

/// Tells how the spool fares: what was lost in it and is not with the hub as a loss yet, and
/// whether payloads wait for room.
pub fn health_of_spool(spool: &mut Spool) -> CollectorHealth {
    let n_held = spool.n_held();
    let lost = health_of_gaps(spool.loss());
    if n_held == 0 {
        return lost;
    }
    let waiting = format!("{n_held} payloads wait in memory: nothing can be written");
    let reason = lost.reason.map(|reason| format!("{waiting}; {reason}"));
    health::degraded(SPOOL, &reason.unwrap_or(waiting))
}

/// Tells the same of what was lost.
pub fn health_of_gaps(gaps: &[Gap]) -> CollectorHealth {
    let (Some(first), Some(last)) = (gaps.first(), gaps.last()) else {
        return health::ok(SPOOL);
    };
    let each = gaps.iter().map(Gap::to_string).collect::<Vec<_>>();
    let mut reason = each.join("; ");
    if reason.len() > limit::ENDPOINT_NAME_CHARS_MAX {
        let n_lost: u64 = gaps.iter().map(|gap| gap.n_lost).sum();
        reason = format!(
            "lost {n_lost} payloads in {} gaps, from seq {} of epoch {} to seq {} of epoch {}",
            gaps.len(),
            first.from_seq,
            first.epoch,
            last.to_seq,
            last.epoch
        );
    }
    health::degraded(SPOOL, &reason)
}

/// The name under which the spool is in `health`.
const SPOOL: &str = "spool";

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(gaps: &[Gap]) -> Option<String> {
        let health = health_of_gaps(gaps);
        health.reason.map(|reason| reason.to_string())
    }

    #[test]
    fn losses_are_told_one_by_one_while_they_fit_and_as_a_sum_beyond() {
        assert_eq!(reason(&[]), None);
        let of = |n: u64| Gap::of(1, 10 * n + 1, 10 * n + 2);
        let two = "lost seq 11 to 12 of epoch 1; lost seq 21 to 22 of epoch 1";
        assert_eq!(reason(&[of(1), of(2)]).as_deref(), Some(two));
        let many: Vec<Gap> = (1..=16).map(of).collect();
        let sum = "lost 32 payloads in 16 gaps, from seq 11 of epoch 1 to seq 162 of epoch 1";
        assert_eq!(reason(&many).as_deref(), Some(sum));
    }
}
