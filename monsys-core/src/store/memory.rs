//! A store in memory: the reference for back ends, and what examples run on.
//!
//! What: every trait of the contract behind one lock. What not: durability. Cost: linear scans;
//! meant for tests, examples and small embedded uses.

use std::collections::BTreeMap;
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use alloc::boxed::Box;

use super::{
    AgentRecord, AgentStore, AgentSummary, AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyState,
    AnomalyStore, CycleCommit, CycleStore, FactsPage, IngestBatch, IngestFinding, IngestOutcome,
    IngestStore, KindCount, Lease, NewAgent, Payload, PinOutcome, PublicKey, SignatureStatus,
    StoreError, StoreFuture, TokenDigest,
};
use crate::anomaly::{Anomaly, AnomalyKind, Closed, OpenAnomaly, Resolution, Transition};
use crate::facts::{AgentFacts, ClockReading, MetricWindow, VersionFacts, VersionTriple};
use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::limit;
use crate::name::DisplayName;
use crate::position::{Admission, ContentHash, Position, PositionSet};
use crate::signal::Signal;
use crate::time::{Span, Timestamp};

/// All of the storage contract in memory.
///
/// ```
/// use monsys_core::store::InMemory;
/// use monsys_core::id::TenantId;
/// use monsys_core::name::DisplayName;
///
/// let store = InMemory::new();
/// let tenant = TenantId::from_random_bytes([1; 16]);
/// store.add_tenant(tenant, DisplayName::parse("acme")?);
/// assert!(store.signals(tenant).is_empty());
/// # Ok::<(), monsys_core::name::NameError>(())
/// ```
#[derive(Debug, Default)]
pub struct InMemory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<TenantId, DisplayName>,
    agents: BTreeMap<AgentId, Agent>,
    anomalies: Vec<Anomaly>,
    signals: Vec<(TenantId, Signal)>,
    lease: Option<([u8; 16], Timestamp)>,
    previous_cycle: Option<Timestamp>,
}

#[derive(Debug)]
struct Agent {
    new: NewAgent,
    is_revoked: bool,
    positions: PositionSet,
    contents: BTreeMap<Position, ContentHash>,
    metrics: Vec<(ClockReading, f64)>,
    version: VersionFacts,
    highest: Option<VersionTriple>,
    last_seen_at: Option<Timestamp>,
    last_verified_at: Option<Timestamp>,
}

impl InMemory {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an organisation.
    pub fn add_tenant(&self, tenant: TenantId, name: DisplayName) {
        self.lock().tenants.insert(tenant, name);
    }

    /// Returns the signals stored for a tenant, in order of arrival.
    pub fn signals(&self, tenant: TenantId) -> Vec<Signal> {
        let state = self.lock();
        state
            .signals
            .iter()
            .filter(|(owner, _)| *owner == tenant)
            .map(|(_, s)| s.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is built completely before it is applied, so a panic leaves a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(core::future::ready(answer))
}

impl AgentStore for InMemory {
    fn agent_by_token<'a>(
        &'a self,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<AgentRecord>> {
        let state = self.lock();
        let found = state
            .agents
            .values()
            .find(|agent| agent.new.token == *token);
        ready(Ok(found.and_then(|agent| {
            Some(AgentRecord {
                agent: agent.new.agent,
                tenant: agent.new.tenant,
                name: agent.new.name.clone(),
                tenant_name: state.tenants.get(&agent.new.tenant)?.clone(),
                key: agent.new.key,
                pin_until: agent.new.pin_until,
                is_revoked: agent.is_revoked,
            })
        })))
    }

    fn enrol<'a>(&'a self, agent: &'a NewAgent) -> StoreFuture<'a, ()> {
        let mut state = self.lock();
        if !state.tenants.contains_key(&agent.tenant) {
            return ready(Err(StoreError::NotFound));
        }
        let is_taken = |other: &Agent| {
            other.new.agent == agent.agent
                || other.new.token == agent.token
                || (other.new.tenant == agent.tenant && other.new.name == agent.name)
        };
        if state.agents.values().any(is_taken) {
            return ready(Err(StoreError::AlreadyExists));
        }
        state.agents.insert(agent.agent, Agent::new(agent.clone()));
        ready(Ok(()))
    }

    fn pin(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: PublicKey,
        now: Timestamp,
    ) -> StoreFuture<'_, PinOutcome> {
        let mut state = self.lock();
        ready(state.agent(tenant, agent).map(|agent| match agent.new.key {
            Some(pinned) if pinned == key => PinOutcome::AlreadyPinned,
            Some(_) => PinOutcome::OtherKey,
            None if now > agent.new.pin_until => PinOutcome::TooLate,
            None => {
                agent.new.key = Some(key);
                agent.positions = PositionSet::new();
                agent.contents.clear();
                PinOutcome::Pinned
            }
        }))
    }

    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()> {
        ready(
            self.lock()
                .agent(tenant, agent)
                .map(|agent| agent.is_revoked = true),
        )
    }

    fn agents(
        &self,
        tenant: TenantId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<AgentSummary>> {
        let state = self.lock();
        let own = state
            .agents
            .values()
            .filter(|agent| agent.new.tenant == tenant);
        let mut rows: Vec<_> = own
            .map(|agent| state.summary(agent, n_recent, now))
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        ready(Ok(rows))
    }
}

impl IngestStore for InMemory {
    fn commit<'a>(&'a self, batches: &'a [IngestBatch]) -> StoreFuture<'a, Vec<IngestOutcome>> {
        let mut state = self.lock();
        let owns = |batch: &IngestBatch| {
            state
                .agents
                .get(&batch.agent)
                .is_some_and(|agent| agent.new.tenant == batch.tenant)
        };
        if !batches.iter().all(owns) {
            return ready(Err(StoreError::NotFound));
        }
        ready(batches.iter().map(|batch| state.commit(batch)).collect())
    }

    fn record<'a>(&'a self, found: &'a IngestFinding) -> StoreFuture<'a, ()> {
        let mut state = self.lock();
        if let Err(missing) = state.agent(found.tenant, found.agent) {
            return ready(Err(missing));
        }
        let transition = Transition::Record {
            agent: found.agent,
            finding: found.finding.clone(),
            occurrences: found.occurrences,
            signal: found.signal.clone(),
        };
        state.apply(found.tenant, found.at, &transition);
        ready(Ok(()))
    }
}

impl CycleStore for InMemory {
    fn take_lease(
        &self,
        holder: [u8; 16],
        now: Timestamp,
        ttl: Span,
    ) -> StoreFuture<'_, Option<Lease>> {
        let mut state = self.lock();
        if state
            .lease
            .is_some_and(|(owner, until)| owner != holder && until > now)
        {
            return ready(Ok(None));
        }
        state.lease = Some((holder, now.saturating_add(ttl)));
        ready(Ok(Some(Lease {
            previous_cycle: state.previous_cycle,
        })))
    }

    fn finish_cycle(&self, holder: [u8; 16], now: Timestamp) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        if state.lease.is_some_and(|(owner, _)| owner == holder) {
            state.lease = None;
            state.previous_cycle = Some(now);
        }
        ready(Ok(()))
    }

    fn tenants(&self) -> StoreFuture<'_, Vec<TenantId>> {
        ready(Ok(self.lock().tenants.keys().copied().collect()))
    }

    fn facts(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, FactsPage> {
        let state = self.lock();
        let is_active = |agent: &&Agent| {
            agent.new.tenant == tenant
                && !agent.is_revoked
                && after.is_none_or(|after| agent.new.agent > after)
        };
        let n_agents = usize::try_from(n_agents).unwrap_or(usize::MAX);
        let mut active = state.agents.values().filter(is_active);
        let agents: Vec<_> = active
            .by_ref()
            .take(n_agents)
            .map(|agent| state.facts(agent, now))
            .collect();
        let last = agents.last().map(|facts| facts.agent);
        ready(Ok(FactsPage {
            agents,
            next: active.next().and(last),
        }))
    }

    fn commit_cycle<'a>(&'a self, commit: &'a CycleCommit) -> StoreFuture<'a, usize> {
        let mut state = self.lock();
        let opened = commit
            .transitions
            .iter()
            .filter(|transition| state.apply(commit.tenant, commit.at, transition))
            .count();
        ready(Ok(opened))
    }
}

impl AnomalyStore for InMemory {
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>> {
        let state = self.lock();
        let count = |kind| {
            let of_kind = || {
                let open = state
                    .anomalies
                    .iter()
                    .filter(|a| a.is_open() && a.tenant == tenant);
                open.filter(move |a| a.finding.kind == kind)
            };
            KindCount {
                kind,
                n_open: u64::try_from(of_kind().count()).unwrap_or(u64::MAX),
                worst: of_kind().map(|a| a.finding.severity).max(),
            }
        };
        ready(Ok(AnomalyKind::ALL.into_iter().map(count).collect()))
    }

    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, AnomalyPage> {
        let state = self.lock();
        let mut found: Vec<_> = state
            .anomalies
            .iter()
            .filter(|a| a.tenant == tenant && filter.admits(a))
            .collect();
        found.sort_by(|a, b| {
            let key = |a: &Anomaly| (a.finding.severity, a.detected_at, a.id);
            key(b).cmp(&key(a))
        });
        let start = filter.after.map_or(0, |after| {
            found
                .iter()
                .position(|a| a.id == after)
                .map_or(found.len(), |at| at + 1)
        });
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        let rest = found.get(start..).unwrap_or_default();
        let rows: Vec<_> = rest.iter().take(n_rows).map(|a| state.row(a)).collect();
        let has_more = rest.len() > rows.len();
        let last = rows.last().map(|row| row.anomaly.id);
        ready(Ok(AnomalyPage {
            rows,
            next: last.filter(|_| has_more),
        }))
    }

    fn resolve(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        by: UserId,
        note: Option<String>,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow> {
        let mut state = self.lock();
        let closed = Closed {
            at: now,
            by,
            resolution: Resolution::Manual,
            note,
        };
        let found = state
            .anomalies
            .iter_mut()
            .find(|a| a.tenant == tenant && a.id == id);
        let Some(anomaly) = found else {
            return ready(Err(StoreError::NotFound));
        };
        anomaly.closed.get_or_insert(closed);
        let row = state
            .anomalies
            .iter()
            .find(|a| a.id == id)
            .map(|a| state.row(a));
        ready(row.ok_or(StoreError::NotFound))
    }
}

impl AnomalyFilter {
    /// Tells whether an anomaly is of the wanted state, kind, severity and agent; `after` is not
    /// looked at.
    pub fn admits(&self, anomaly: &Anomaly) -> bool {
        let is_wanted_state = match self.state {
            None => true,
            Some(AnomalyState::Open) => anomaly.is_open(),
            Some(AnomalyState::Resolved) => !anomaly.is_open(),
        };
        is_wanted_state
            && self.kind.is_none_or(|kind| kind == anomaly.finding.kind)
            && self
                .severity
                .is_none_or(|severity| severity == anomaly.finding.severity)
            && self.agent.is_none_or(|agent| agent == anomaly.agent)
    }
}

impl Agent {
    const fn new(new: NewAgent) -> Self {
        Self {
            new,
            is_revoked: false,
            positions: PositionSet::new(),
            contents: BTreeMap::new(),
            metrics: Vec::new(),
            version: VersionFacts {
                current: None,
                highest: None,
            },
            highest: None,
            last_seen_at: None,
            last_verified_at: None,
        }
    }

    fn in_receive_order(&self) -> Vec<(ClockReading, f64)> {
        let mut received = self.metrics.clone();
        received.sort_by_key(|(reading, _)| reading.received_at);
        received
    }

    fn note_version(&mut self, batch: &IngestBatch, is_spooled: bool) {
        let text = || Some(String::from(batch.version.text.as_str()));
        if !is_spooled {
            self.version.current = text();
        }
        if batch.version.triple > self.highest {
            self.highest = batch.version.triple;
            self.version.highest = text();
        }
    }
}

impl State {
    fn agent(&mut self, tenant: TenantId, agent: AgentId) -> Result<&mut Agent, StoreError> {
        let found = self
            .agents
            .get_mut(&agent)
            .filter(|agent| agent.new.tenant == tenant);
        found.ok_or(StoreError::NotFound)
    }

    fn commit(&mut self, batch: &IngestBatch) -> Result<IngestOutcome, StoreError> {
        let agent = self.agent(batch.tenant, batch.agent)?;
        let known = agent.contents.get(&batch.position).copied();
        let is_spooled = match agent.positions.admit(batch.position, batch.content, known) {
            Admission::Duplicate => return Ok(IngestOutcome::Duplicate),
            Admission::Replay => return Ok(IngestOutcome::Replay),
            Admission::StaleEpoch { min_epoch } => {
                return Ok(IngestOutcome::StaleEpoch { min_epoch });
            }
            Admission::OutOfRange => return Ok(IngestOutcome::OutOfRange),
            Admission::Fresh { fills_gap } => fills_gap && batch.is_late(),
        };
        agent.contents.insert(batch.position, batch.content);
        agent.last_seen_at = Some(batch.received_at);
        if batch.signature == SignatureStatus::Verified {
            agent.last_verified_at = Some(batch.received_at);
            agent.note_version(batch, is_spooled);
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
            Payload::Signals(signals) => {
                self.signals
                    .extend(signals.iter().map(|s| (batch.tenant, s.clone())));
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

    /// Carries out one step; tells whether it opened an anomaly.
    fn apply(&mut self, tenant: TenantId, at: Timestamp, transition: &Transition) -> bool {
        match transition {
            Transition::Record {
                agent,
                finding,
                occurrences,
                signal,
            } => {
                let is_same = |a: &&mut Anomaly| {
                    a.is_open() && a.agent == *agent && a.finding.kind == finding.kind
                };
                if let Some(open) = self.anomalies.iter_mut().find(is_same) {
                    open.last_seen_at = at;
                    open.occurrences = open.occurrences.saturating_add(*occurrences);
                    if finding.severity > open.finding.severity {
                        open.finding.severity = finding.severity;
                        self.signals.push((tenant, signal.clone()));
                    }
                    return false;
                }
                let number = u128::try_from(self.anomalies.len() + 1).unwrap_or(u128::MAX);
                self.anomalies.push(Anomaly {
                    id: AnomalyId::from_bytes(number.to_be_bytes()),
                    tenant,
                    agent: *agent,
                    finding: finding.clone(),
                    detected_at: at,
                    last_seen_at: at,
                    occurrences: *occurrences,
                    closed: None,
                });
                self.signals.push((tenant, signal.clone()));
                true
            }
            Transition::Resolve {
                id,
                last_seen_at,
                signal,
            } => {
                let is_it = |a: &&mut Anomaly| {
                    a.id == *id
                        && a.tenant == tenant
                        && a.is_open()
                        && a.last_seen_at == *last_seen_at
                };
                if let Some(open) = self.anomalies.iter_mut().find(is_it) {
                    let by = UserId::from_bytes([0; 16]);
                    open.closed = Some(Closed {
                        at,
                        by,
                        resolution: Resolution::Auto,
                        note: None,
                    });
                    self.signals.push((tenant, signal.clone()));
                }
                false
            }
        }
    }

    fn open_of(&self, agent: AgentId) -> impl Iterator<Item = &Anomaly> {
        self.anomalies
            .iter()
            .filter(move |a| a.is_open() && a.agent == agent)
    }

    fn facts(&self, agent: &Agent, now: Timestamp) -> AgentFacts {
        let mut window = MetricWindow::default();
        let start = now.saturating_sub(Span::from_secs(3_600));
        let is_inside = |r: &ClockReading| r.received_at > start && r.received_at <= now;
        let received = agent.in_receive_order();
        let inside: Vec<_> = received.iter().filter(|(r, _)| is_inside(r)).collect();
        let skip = inside.len().saturating_sub(limit::WINDOW_SAMPLES_MAX);
        for (reading, cpu) in inside.into_iter().skip(skip) {
            window.received_at.push(reading.received_at);
            window.cpu_usage_percent.push(*cpu);
            window.is_spooled.push(reading.is_spooled);
        }
        let open = self.open_of(agent.new.agent).map(|a| OpenAnomaly {
            id: a.id,
            kind: a.finding.kind,
            severity: a.finding.severity,
            last_seen_at: a.last_seen_at,
        });
        let skip = received.len().saturating_sub(20);
        AgentFacts {
            agent: agent.new.agent,
            window,
            clock: received
                .iter()
                .skip(skip)
                .map(|(reading, _)| *reading)
                .collect(),
            version: agent.version.clone(),
            last_verified_at: agent.last_verified_at,
            open: open.collect(),
        }
    }

    fn summary(&self, agent: &Agent, n_recent: u32, now: Timestamp) -> AgentSummary {
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
            is_pinned: agent.new.key.is_some(),
            is_revoked: agent.is_revoked,
            enrolled_at: agent.new.enrolled_at,
            last_seen_at: agent.last_seen_at,
            version: agent.version.current.clone(),
            worst_open: open.iter().map(|a| a.finding.severity).max(),
            n_open: u32::try_from(open.len()).unwrap_or(u32::MAX),
            recent_cpu: recent.into_iter().skip(skip).collect(),
        }
    }

    fn row(&self, anomaly: &Anomaly) -> AnomalyRow {
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
        }
    }
}
