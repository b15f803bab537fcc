//! A store in memory: the reference for back ends, and what examples run on.
//!
//! What: every trait of the contract behind one lock. What not: durability. Cost: linear scans;
//! meant for tests, examples and small embedded uses.

mod anomaly;
mod signal;
mod state;

use alloc::boxed::Box;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use self::anomaly::Applied;
use self::state::{Agent, State};
use super::{
    AgentRecord, AgentStore, AgentSummary, CycleChanges, CycleCommit, CycleRecord, CycleStore,
    DeviceRecord, FactsPage, FleetPresence, IngestBatch, IngestFinding, IngestOutcome, IngestStore,
    Lease, NewAgent, NewCredential, NonceOutcome, NonceUse, PinOutcome, PublicKey, StoreError,
    StoreFuture, TokenDigest,
};
use crate::anomaly::Transition;
use crate::endpoint::EndpointSnapshot;
use crate::id::{AgentId, TenantId};
use crate::limit;
use crate::name::{DisplayName, is_device_word};
use crate::position::PositionSet;
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
/// assert!(store.signal_history(tenant).is_empty());
/// # Ok::<(), monsys_core::name::NameError>(())
/// ```
#[derive(Debug, Default)]
pub struct InMemory {
    state: Mutex<State>,
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
    pub fn signal_history(&self, tenant: TenantId) -> Vec<Signal> {
        let state = self.lock();
        let own = state
            .history
            .iter()
            .filter(|stored| stored.tenant == tenant);
        own.map(|stored| stored.signal.clone()).collect()
    }

    /// Returns the endpoint snapshots of an agent, with the time each was received.
    pub fn endpoints(
        &self,
        tenant: TenantId,
        agent: AgentId,
    ) -> Vec<(Timestamp, EndpointSnapshot)> {
        let mut state = self.lock();
        state
            .agent(tenant, agent)
            .map_or_else(|_| Vec::new(), |agent| agent.endpoints.clone())
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
        let record = |agent: &Agent| match agent.new.credential {
            NewCredential::Token {
                token: own,
                key,
                pin_until,
            } if own == *token => Some(AgentRecord {
                agent: agent.new.agent,
                tenant: agent.new.tenant,
                name: agent.new.name.clone(),
                tenant_name: state.tenants.get(&agent.new.tenant)?.clone(),
                key,
                pin_until,
                is_revoked: agent.is_revoked,
            }),
            NewCredential::Token { .. } | NewCredential::Device { .. } => None,
        };
        ready(Ok(state.agents.values().find_map(record)))
    }

    fn agent_by_device<'a>(
        &'a self,
        org: &'a str,
        device: &'a str,
    ) -> StoreFuture<'a, Option<DeviceRecord>> {
        let state = self.lock();
        let is_of = |agent: &Agent| {
            let tenant = state.tenants.get(&agent.new.tenant);
            tenant.is_some_and(|name| name.as_str() == org) && agent.new.name.as_str() == device
        };
        let record = |agent: &Agent| match &agent.new.credential {
            NewCredential::Device { key } if is_of(agent) => Some(DeviceRecord {
                agent: agent.new.agent,
                tenant: agent.new.tenant,
                key: key.clone(),
                is_revoked: agent.is_revoked,
            }),
            NewCredential::Device { .. } | NewCredential::Token { .. } => None,
        };
        ready(Ok(state.agents.values().find_map(record)))
    }

    fn enrol<'a>(&'a self, agent: &'a NewAgent) -> StoreFuture<'a, ()> {
        let mut state = self.lock();
        if !state.tenants.contains_key(&agent.tenant) {
            return ready(Err(StoreError::NotFound));
        }
        let is_device = matches!(agent.credential, NewCredential::Device { .. });
        if is_device && !is_device_word(agent.name.as_str()) {
            return ready(Err(StoreError::Refused {
                constraint: "device_word".into(),
            }));
        }
        let has_same_token = |other: &Agent| match (&other.new.credential, &agent.credential) {
            (NewCredential::Token { token, .. }, NewCredential::Token { token: own, .. }) => {
                token == own
            }
            (NewCredential::Device { .. }, _) | (_, NewCredential::Device { .. }) => false,
        };
        let is_taken = |other: &Agent| {
            other.new.agent == agent.agent
                || has_same_token(other)
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
        ready(state.agent(tenant, agent).and_then(|agent| {
            let NewCredential::Token {
                key: pinned,
                pin_until,
                ..
            } = &mut agent.new.credential
            else {
                return Err(StoreError::NotFound);
            };
            Ok(match pinned {
                Some(pinned) if *pinned == key => PinOutcome::AlreadyPinned,
                Some(_) => PinOutcome::OtherKey,
                None if now > *pin_until => PinOutcome::TooLate,
                None => {
                    *pinned = Some(key);
                    agent.positions = PositionSet::new();
                    agent.contents.clear();
                    PinOutcome::Pinned
                }
            })
        }))
    }

    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()> {
        ready(
            self.lock()
                .agent(tenant, agent)
                .map(|agent| agent.is_revoked = true),
        )
    }

    fn agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AgentSummary> {
        let state = self.lock();
        let found = state.agents.get(&agent);
        let found = found.filter(|found| found.new.tenant == tenant);
        let summary = found.map(|found| state.summary(found, n_recent, now));
        ready(summary.ok_or(StoreError::NotFound))
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
        // All are looked at before any is stored, so that an error leaves nothing of the call.
        let checked = batches.iter().try_for_each(|batch| state.check(batch));
        let commit = |()| batches.iter().map(|batch| state.commit(batch)).collect();
        ready(checked.and_then(commit))
    }

    fn spend_nonce<'a>(&'a self, spent: &'a NonceUse) -> StoreFuture<'a, NonceOutcome> {
        let mut state = self.lock();
        ready(state.agent(spent.tenant, spent.agent).and_then(|agent| {
            agent.check_nonce(Some(spent.nonce))?;
            Ok(agent.use_nonce(spent.nonce, spent.at))
        }))
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
        let until = now.saturating_add(ttl);
        let is_held =
            |(owner, ends): ([u8; 16], Timestamp)| owner != holder && ends > now && ends <= until;
        if state.lease.is_some_and(is_held) {
            return ready(Ok(None));
        }
        state.lease = Some((holder, until));
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

    fn active_count(&self, tenant: TenantId) -> StoreFuture<'_, u64> {
        let state = self.lock();
        let n_active = state.active_after(tenant, None).count();
        ready(Ok(u64::try_from(n_active).unwrap_or(u64::MAX)))
    }

    fn presence(
        &self,
        tenant: TenantId,
        heard_since: Timestamp,
        silent_since: Timestamp,
    ) -> StoreFuture<'_, FleetPresence> {
        let state = self.lock();
        let seen = state.active_after(tenant, None);
        let seen = seen.filter_map(|agent| agent.last_seen_at);
        let mut presence = FleetPresence::default();
        for last_seen_at in seen.filter(|at| *at > heard_since) {
            presence.n_heard += 1;
            presence.n_silent += u64::from(last_seen_at <= silent_since);
        }
        ready(Ok(presence))
    }

    fn active_agents(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
    ) -> StoreFuture<'_, Vec<AgentId>> {
        let state = self.lock();
        let n_agents = usize::try_from(n_agents).unwrap_or(usize::MAX);
        let active = state.active_after(tenant, after).take(n_agents);
        ready(Ok(active.map(|agent| agent.new.agent).collect()))
    }

    fn facts(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, FactsPage> {
        let state = self.lock();
        let n_most = usize::try_from(n_agents).unwrap_or(usize::MAX);
        let active = state.active_after(tenant, after).take(n_most);
        let agents = active.map(|agent| state.facts(agent, now)).collect();
        ready(Ok(FactsPage::of(agents, n_agents)))
    }

    fn commit_cycle<'a>(&'a self, commit: &'a CycleCommit) -> StoreFuture<'a, CycleChanges> {
        let mut state = self.lock();
        let mut changes = CycleChanges::default();
        for transition in &commit.transitions {
            match state.apply(commit.tenant, commit.at, transition) {
                Applied::Opened => changes.n_opened += 1,
                Applied::Closed => changes.n_resolved += 1,
                Applied::Otherwise => {}
            }
        }
        ready(Ok(changes))
    }

    fn record_cycle<'a>(
        &'a self,
        tenant: TenantId,
        record: &'a CycleRecord,
    ) -> StoreFuture<'a, ()> {
        let mut state = self.lock();
        let since = record
            .at
            .saturating_sub(Span::from_secs(limit::CYCLES_KEPT_S));
        let is_kept = |(owner, kept): &(TenantId, CycleRecord)| {
            *owner != tenant || (kept.at >= since && kept.at != record.at)
        };
        state.cycles.retain(is_kept);
        state.cycles.push((tenant, record.clone()));
        ready(Ok(()))
    }

    fn cycles(&self, tenant: TenantId, n_rows: u32) -> StoreFuture<'_, Vec<CycleRecord>> {
        let state = self.lock();
        let own = state.cycles.iter().filter(|(owner, _)| *owner == tenant);
        let mut found: Vec<_> = own.map(|(_, record)| record.clone()).collect();
        found.sort_by_key(|record| core::cmp::Reverse(record.at));
        found.truncate(usize::try_from(n_rows).unwrap_or(usize::MAX));
        ready(Ok(found))
    }
}
