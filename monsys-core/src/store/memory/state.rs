//! What the store in memory holds, and how each change is applied to it.

use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;

use crate::anomaly::{Anomaly, OpenAnomaly, Transition};
use crate::endpoint::EndpointSnapshot;
use crate::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, Version, VersionFacts,
    VersionTriple, WindowBounds,
};
use crate::id::{AgentId, TenantId};
use crate::ledger::LedgerEntry;
use crate::limit;
use crate::name::DisplayName;
use crate::position::{Admission, ContentHash, Position, PositionSet};
use crate::signal::Signal;
use crate::store::{
    AgentSummary, AnomalyRow, CycleRecord, IngestBatch, IngestOutcome, KeyState, NewAgent,
    NewCredential, NonceDigest, NonceOutcome, NoncesKept, Payload, SignalSlot, SignatureStatus,
    StoreError, nonces_kept_since,
};
use crate::time::{Span, Timestamp};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tenants: BTreeMap<TenantId, DisplayName>,
    pub(super) agents: BTreeMap<AgentId, Agent>,
    pub(super) anomalies: Vec<Anomaly>,
    /// Signals in order of arrival.
    pub(super) history: Vec<Stored>,
    pub(super) n_arrived: u64,
    pub(super) current: BTreeMap<(TenantId, SignalSlot), Signal>,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) cycles: Vec<(TenantId, CycleRecord)>,
    pub(super) lease: Option<([u8; 16], Timestamp)>,
    pub(super) previous_cycle: Option<Timestamp>,
}

/// A signal of the history.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) tenant: TenantId,
    pub(super) arrival: u64,
    pub(super) signal: Signal,
}

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) new: NewAgent,
    pub(super) is_revoked: bool,
    pub(super) positions: PositionSet,
    pub(super) contents: BTreeMap<Position, ContentHash>,
    pub(super) nonces: BTreeMap<NonceDigest, Timestamp>,
    pub(super) metrics: Vec<(ClockReading, f64)>,
    pub(super) endpoints: Vec<(Timestamp, EndpointSnapshot)>,
    pub(super) version: VersionFacts,
    pub(super) highest: Option<VersionTriple>,
    /// The triple of `version.current`.
    pub(super) last_seen_at: Option<Timestamp>,
    pub(super) last_verified_at: Option<Timestamp>,
}

impl Agent {
    pub(super) const fn new(new: NewAgent) -> Self {
        Self {
            new,
            is_revoked: false,
            positions: PositionSet::new(),
            contents: BTreeMap::new(),
            nonces: BTreeMap::new(),
            metrics: Vec::new(),
            endpoints: Vec::new(),
            version: VersionFacts {
                current: None,
                highest: None,
            },
            highest: None,
            last_seen_at: None,
            last_verified_at: None,
        }
    }

    pub(super) const fn key_state(&self) -> KeyState {
        match &self.new.credential {
            NewCredential::Token { key: None, .. } => KeyState::Unpinned,
            NewCredential::Token { key: Some(key), .. } => KeyState::Pinned(*key),
            NewCredential::Device { .. } => KeyState::Shared,
        }
    }

    /// Refuses a device's payload without a nonce, and another's with one: a caller that mixes the
    /// profiles up must not get round the nonces.
    pub(super) fn check_nonce(&self, nonce: Option<NonceDigest>) -> Result<(), StoreError> {
        let is_device = self.key_state() == KeyState::Shared;
        if nonce.is_some() == is_device {
            return Ok(());
        }
        Err(StoreError::Refused {
            constraint: "nonce_of_device".into(),
        })
    }

    pub(super) fn use_nonce(&mut self, nonce: NonceDigest, now: Timestamp) -> NonceOutcome {
        let since = nonces_kept_since(now);
        self.nonces.retain(|_, used_at| *used_at >= since);
        let kept = NoncesKept {
            n_nonces: u64::try_from(self.nonces.len()).unwrap_or(u64::MAX),
            oldest: self.nonces.values().min().copied(),
        };
        let outcome = NonceOutcome::decide(self.nonces.get(&nonce).copied(), kept, now);
        if outcome == NonceOutcome::Spent {
            self.nonces.insert(nonce, now);
        }
        outcome
    }

    pub(super) fn in_receive_order(&self) -> Vec<(ClockReading, f64)> {
        let mut received = self.metrics.clone();
        received.sort_by_key(|(reading, _)| reading.received_at);
        received
    }

    pub(super) fn note_version(&mut self, batch: &IngestBatch, fills_gap: bool) {
        let version = || {
            Some(Version {
                text: String::from(batch.version.text.as_str()),
                triple: batch.version.triple,
            })
        };
        if !fills_gap {
            self.version.current = version();
        }
        if batch.version.triple > self.highest {
            self.highest = batch.version.triple;
            self.version.highest = version();
        }
    }
}

impl State {
    /// The agents of a tenant that are not revoked, after one, in order of their identifiers.
    pub(super) fn active_after(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
    ) -> impl Iterator<Item = &Agent> {
        self.agents.values().filter(move |agent| {
            agent.new.tenant == tenant
                && !agent.is_revoked
                && after.is_none_or(|after| agent.new.agent > after)
        })
    }

    pub(super) fn agent(
        &mut self,
        tenant: TenantId,
        agent: AgentId,
    ) -> Result<&mut Agent, StoreError> {
        let found = self
            .agents
            .get_mut(&agent)
            .filter(|agent| agent.new.tenant == tenant);
        found.ok_or(StoreError::NotFound)
    }

    /// Makes sure that what the request was checked against still holds.
    pub(super) fn check(&mut self, batch: &IngestBatch) -> Result<(), StoreError> {
        let agent = self.agent(batch.tenant, batch.agent)?;
        let is_unpinned = batch.signature == SignatureStatus::Unpinned;
        if agent.is_revoked || (is_unpinned && agent.key_state().can_verify()) {
            return Err(StoreError::Outdated);
        }
        agent.check_nonce(batch.nonce)
    }

    pub(super) fn commit(&mut self, batch: &IngestBatch) -> Result<IngestOutcome, StoreError> {
        let too_many = self.key_too_many(batch);
        let agent = self.agent(batch.tenant, batch.agent)?;
        let nonce = batch.nonce.map(|n| agent.use_nonce(n, batch.received_at));
        match nonce {
            None | Some(NonceOutcome::Spent) => {}
            Some(NonceOutcome::Used) => return Ok(IngestOutcome::NonceUsed),
            Some(NonceOutcome::Full { retry_after_s }) => {
                return Ok(IngestOutcome::NoncesFull { retry_after_s });
            }
        }
        let known = agent.contents.get(&batch.position).copied();
        let fills_gap = match agent.positions.admit(batch.position, batch.content, known) {
            Admission::Duplicate => return Ok(IngestOutcome::Duplicate),
            Admission::Replay => return Ok(IngestOutcome::Replay),
            Admission::GivenUp => return Ok(IngestOutcome::GivenUp),
            Admission::StaleEpoch { min_epoch } => {
                return Ok(IngestOutcome::StaleEpoch { min_epoch });
            }
            Admission::OutOfRange => return Ok(IngestOutcome::OutOfRange),
            Admission::Fresh { fills_gap } => fills_gap,
        };
        if let Some(index) = too_many {
            return Ok(IngestOutcome::TooManyKeys { index });
        }
        let is_spooled = fills_gap && batch.is_late();
        agent.contents.insert(batch.position, batch.content);
        agent.last_seen_at = Some(batch.received_at);
        if batch.signature == SignatureStatus::Verified {
            agent.last_verified_at = Some(batch.received_at);
            agent.note_version(batch, fills_gap);
        }
        match &batch.payload {
            Payload::Metrics(sample) => {
                let (captured_at, sent_at) = (batch.captured_at, batch.sent_at);
                let received_at = batch.received_at;
                let reading = ClockReading {
                    captured_at,
                    sent_at,
                    received_at,
                    is_spooled,
                };
                agent
                    .metrics
                    .push((reading, sample.cpu_usage_percent.get()));
            }
            Payload::Endpoint(snapshot) => {
                agent.endpoints.push((batch.received_at, snapshot.clone()));
            }
            Payload::Signals(signals) => {
                self.put_all(batch.tenant, signals);
            }
        }
        if let Some((finding, signal)) = &batch.finding {
            let (finding, signal) = (finding.clone(), signal.clone());
            let agent = batch.agent;
            let record = Transition::Record {
                agent,
                finding,
                occurrences: 1,
                signal,
            };
            self.apply(batch.tenant, batch.received_at, &record);
        }
        Ok(IngestOutcome::Accepted)
    }

    /// Finds the first signal beyond the live keys that an agent may have of one source.
    fn key_too_many(&self, batch: &IngestBatch) -> Option<usize> {
        let Payload::Signals(signals) = &batch.payload else {
            return None;
        };
        let now = batch.received_at;
        let subject = std::format!("{}", batch.agent);
        let own = self.current.iter().filter(|((tenant, slot), signal)| {
            *tenant == batch.tenant
                && slot.subject_type.as_str() == "agent"
                && slot.subject_id.as_str() == subject
                && signal.is_live(now)
        });
        let mut live: BTreeSet<_> = own
            .map(|(_, signal)| (signal.source(), signal.key()))
            .collect();
        signals.iter().position(|signal| {
            live.insert((signal.source(), signal.key()));
            let of_source = live.iter().filter(|(source, _)| *source == signal.source());
            of_source.count() > limit::LIVE_KEYS_PER_SOURCE_MAX
        })
    }

    pub(super) fn open_of(&self, agent: AgentId) -> impl Iterator<Item = &Anomaly> {
        self.anomalies
            .iter()
            .filter(move |a| a.is_open() && a.agent == agent)
    }

    pub(super) fn facts(&self, agent: &Agent, now: Timestamp) -> AgentFacts {
        let bounds = WindowBounds::hour_before(now);
        let received = agent.in_receive_order();
        let inside = received
            .iter()
            .filter(|(r, _)| bounds.contains(r.received_at));
        let skip = inside
            .clone()
            .count()
            .saturating_sub(limit::WINDOW_SAMPLES_MAX);
        let rows = inside.skip(skip).map(|(reading, cpu)| MetricRow {
            received_at: reading.received_at,
            cpu_usage_percent: *cpu,
            is_spooled: reading.is_spooled,
        });
        let open = self.open_of(agent.new.agent).map(|a| OpenAnomaly {
            id: a.id,
            kind: a.finding.kind,
            severity: a.finding.severity,
            last_seen_at: a.last_seen_at,
        });
        let skip = received.len().saturating_sub(20);
        AgentFacts {
            agent: agent.new.agent,
            window: MetricWindow::from_rows(bounds, rows),
            clock: ClockFacts::from_readings(
                received.iter().skip(skip).map(|(reading, _)| *reading),
            ),
            version: agent.version.clone(),
            last_verified_at: agent.last_verified_at,
            open: open.collect(),
        }
    }

    pub(super) fn summary(&self, agent: &Agent, n_recent: u32, now: Timestamp) -> AgentSummary {
        let start = now.saturating_sub(Span::from_secs(3_600));
        let recent: Vec<f64> = agent
            .metrics
            .iter()
            .filter(|(r, _)| r.received_at > start)
            .map(|(_, cpu)| *cpu)
            .collect();
        let skip = recent
            .len()
            .saturating_sub(usize::try_from(n_recent).unwrap_or(usize::MAX));
        let open: Vec<_> = self.open_of(agent.new.agent).collect();
        AgentSummary {
            agent: agent.new.agent,
            name: agent.new.name.clone(),
            key: agent.key_state(),
            is_revoked: agent.is_revoked,
            enrolled_at: agent.new.enrolled_at,
            last_seen_at: agent.last_seen_at,
            version: agent.version.current.as_ref().map(|v| v.text.clone()),
            worst_open: open.iter().map(|a| a.finding.severity).max(),
            n_open: u32::try_from(open.len()).unwrap_or(u32::MAX),
            recent_cpu: recent.into_iter().skip(skip).collect(),
        }
    }

    pub(super) fn row(&self, anomaly: &Anomaly, now: Timestamp) -> AnomalyRow {
        let since = now.saturating_sub(Span::from_secs(limit::FLAPPING_S));
        let is_lately = |at: Timestamp| at > since && at <= now;
        let same = self.anomalies.iter().filter(|other| {
            other.tenant == anomaly.tenant
                && other.agent == anomaly.agent
                && other.finding.kind == anomaly.finding.kind
        });
        let n_changes = same.fold(0, |n, other| {
            let closed = other.closed.as_ref().is_some_and(|c| is_lately(c.at));
            n + u32::from(is_lately(other.detected_at)) + u32::from(closed)
        });
        let name = self
            .agents
            .get(&anomaly.agent)
            .map(|agent| agent.new.name.as_str());
        AnomalyRow {
            anomaly: anomaly.clone(),
            agent_name: String::from(name.unwrap_or_default()),
            closed_by: anomaly
                .closed
                .as_ref()
                .map(|closed| std::format!("{}", closed.by)),
            n_changes,
        }
    }
}
