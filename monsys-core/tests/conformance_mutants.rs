//! The conformance suite fails a store that breaks a promise: each fault here is one line that a
//! back end could forget, put around the store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets an error fails where it meets it"
)]

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};

use monsys_core::anomaly::Action;
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::{EventKind, LedgerEntry, LedgerHead};
use monsys_core::name::DisplayName;
use monsys_core::position::Position;
use monsys_core::signal::Signal;
use monsys_core::store::conformance::{BlockOn, Fixture, ReadyFutures, suite};
use monsys_core::store::{
    AgentRecord, AgentStore, AgentSummary, AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyStore,
    CurrentPage, CycleChanges, CycleCommit, CycleRecord, CycleStore, DeviceRecord, FactsPage,
    FleetPresence, InMemory, IngestBatch, IngestFinding, IngestOutcome, IngestStore, KindCount,
    Lease, Maintenance, NewAgent, NonceOutcome, NonceUse, PinOutcome, PublicKey, Retention,
    SignalCursor, SignalFilter, SignalPage, SignalSlot, SignalStore, StoreError, StoreFuture,
    Subject, Swept, TokenDigest,
};
use monsys_core::time::{Span, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Listings of anomalies forget the tenant.
    AnomaliesOfAll,
    /// Listings of the history forget the tenant.
    SignalsOfAll,
    /// What is current forgets the tenant.
    CurrentOfAll,
    /// What stood at a moment forgets the tenant.
    AsOfOfAll,
    /// What stood at a moment is what stands now.
    AsOfNow,
    /// Payloads are stored under whichever tenant the agent is of.
    PayloadsOfAll,
    /// Payloads before a bad one of the same call stay.
    PartialCommit,
    /// The end of a batch of signals is lost.
    PartialEmit,
    /// Positions are not looked at.
    NoPositions,
    /// Nonces are not remembered.
    NoNonces,
    /// What is current is read from the history, so that retention moves it.
    CurrentFromHistory,
    /// Nothing expires.
    NoTtl,
    /// Cursors are ignored.
    NoCursor,
    /// A dry run deletes.
    WetDryRun,
    /// Of several anomalies, those before an unknown one are changed.
    HalfAction,
    /// The ledger loses what a person did.
    LostEntry,
    /// The agents of a cycle are counted over all tenants.
    ActiveOfAll,
    HeardOnceIsHeard,
}

struct Faulty {
    inner: InMemory,
    fault: Fault,
    n_commits: AtomicI64,
}

/// The answer of the store in memory, which is ready at once.
fn now<T>(future: StoreFuture<'_, T>) -> Result<T, StoreError> {
    ReadyFutures.block_on(future)
}

fn done<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(ready(answer))
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn tenants(&self) -> Vec<TenantId> {
        now(self.inner.tenants()).unwrap()
    }

    fn tenant_of(&self, agent: AgentId) -> Option<TenantId> {
        self.tenants().into_iter().find(|tenant| {
            let agents = now(self.inner.agents(*tenant, 0, Timestamp::MIN)).unwrap();
            agents.iter().any(|own| own.agent == agent)
        })
    }

    /// The batch as the fault lets the store see it.
    fn seen(&self, batch: &IngestBatch) -> IngestBatch {
        let mut batch = batch.clone();
        if self.has(Fault::PayloadsOfAll) {
            batch.tenant = self.tenant_of(batch.agent).unwrap_or(batch.tenant);
        }
        if self.has(Fault::NoPositions) {
            let epoch = self.n_commits.fetch_add(1, Ordering::Relaxed) + 1;
            batch.position = Position::new(epoch, 1).unwrap();
        }
        batch
    }

    fn history_of(&self, tenant: TenantId) -> Vec<Signal> {
        let any = SignalFilter::default();
        let page = self.inner.signals(tenant, &any, None, u32::MAX);
        now(page).unwrap().signals
    }
}

impl AgentStore for Faulty {
    fn agent_by_token<'a>(
        &'a self,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<AgentRecord>> {
        self.inner.agent_by_token(token)
    }

    fn agent_by_device<'a>(
        &'a self,
        org: &'a str,
        device: &'a str,
    ) -> StoreFuture<'a, Option<DeviceRecord>> {
        self.inner.agent_by_device(org, device)
    }

    fn enrol<'a>(&'a self, agent: &'a NewAgent) -> StoreFuture<'a, ()> {
        self.inner.enrol(agent)
    }

    fn pin(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: PublicKey,
        at: Timestamp,
    ) -> StoreFuture<'_, PinOutcome> {
        self.inner.pin(tenant, agent, key, at)
    }

    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()> {
        self.inner.revoke(tenant, agent)
    }

    fn agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        n_recent: u32,
        at: Timestamp,
    ) -> StoreFuture<'_, AgentSummary> {
        self.inner.agent(tenant, agent, n_recent, at)
    }

    fn agents(
        &self,
        tenant: TenantId,
        n_recent: u32,
        at: Timestamp,
    ) -> StoreFuture<'_, Vec<AgentSummary>> {
        self.inner.agents(tenant, n_recent, at)
    }
}

impl IngestStore for Faulty {
    fn commit<'a>(&'a self, batches: &'a [IngestBatch]) -> StoreFuture<'a, Vec<IngestOutcome>> {
        let seen: Vec<_> = batches.iter().map(|batch| self.seen(batch)).collect();
        if !self.has(Fault::PartialCommit) {
            return done(now(self.inner.commit(&seen)));
        }
        let one = |batch| now(self.inner.commit(std::slice::from_ref(batch)));
        let outcomes: Result<Vec<_>, _> = seen.iter().map(one).collect();
        done(outcomes.map(|outcomes| outcomes.concat()))
    }

    fn spend_nonce<'a>(&'a self, spent: &'a NonceUse) -> StoreFuture<'a, NonceOutcome> {
        if self.has(Fault::NoNonces) {
            return done(Ok(NonceOutcome::Spent));
        }
        self.inner.spend_nonce(spent)
    }

    fn record<'a>(&'a self, finding: &'a IngestFinding) -> StoreFuture<'a, ()> {
        self.inner.record(finding)
    }
}

impl CycleStore for Faulty {
    fn take_lease(
        &self,
        holder: [u8; 16],
        at: Timestamp,
        ttl: Span,
    ) -> StoreFuture<'_, Option<Lease>> {
        self.inner.take_lease(holder, at, ttl)
    }

    fn finish_cycle(&self, holder: [u8; 16], at: Timestamp) -> StoreFuture<'_, ()> {
        self.inner.finish_cycle(holder, at)
    }

    fn tenants(&self) -> StoreFuture<'_, Vec<TenantId>> {
        self.inner.tenants()
    }

    fn active_count(&self, tenant: TenantId) -> StoreFuture<'_, u64> {
        if self.has(Fault::ActiveOfAll) {
            let counts = self.tenants().into_iter();
            let counts = counts.map(|tenant| now(self.inner.active_count(tenant)));
            return done(counts.sum());
        }
        self.inner.active_count(tenant)
    }

    fn presence(
        &self,
        tenant: TenantId,
        heard_since: Timestamp,
        silent_since: Timestamp,
    ) -> StoreFuture<'_, FleetPresence> {
        let heard_since = if self.has(Fault::HeardOnceIsHeard) {
            Timestamp::MIN
        } else {
            heard_since
        };
        self.inner.presence(tenant, heard_since, silent_since)
    }

    fn active_agents(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
    ) -> StoreFuture<'_, Vec<AgentId>> {
        self.inner.active_agents(tenant, after, n_agents)
    }

    fn facts(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
        at: Timestamp,
    ) -> StoreFuture<'_, FactsPage> {
        self.inner.facts(tenant, after, n_agents, at)
    }

    fn commit_cycle<'a>(&'a self, commit: &'a CycleCommit) -> StoreFuture<'a, CycleChanges> {
        self.inner.commit_cycle(commit)
    }

    fn record_cycle<'a>(
        &'a self,
        tenant: TenantId,
        record: &'a CycleRecord,
    ) -> StoreFuture<'a, ()> {
        self.inner.record_cycle(tenant, record)
    }

    fn cycles(&self, tenant: TenantId, n_rows: u32) -> StoreFuture<'_, Vec<CycleRecord>> {
        self.inner.cycles(tenant, n_rows)
    }
}

impl AnomalyStore for Faulty {
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>> {
        self.inner.open_counts(tenant)
    }

    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
        at: Timestamp,
    ) -> StoreFuture<'_, AnomalyPage> {
        if !self.has(Fault::AnomaliesOfAll) {
            return self.inner.anomalies(tenant, filter, n_rows, at);
        }
        let mut page = now(self.inner.anomalies(tenant, filter, n_rows, at)).unwrap();
        for other in self.tenants().into_iter().filter(|other| *other != tenant) {
            let more = now(self.inner.anomalies(other, filter, n_rows, at)).unwrap();
            page.rows.extend(more.rows);
        }
        done(Ok(page))
    }

    fn anomaly(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        at: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow> {
        self.inner.anomaly(tenant, id, at)
    }

    fn act<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [AnomalyId],
        by: UserId,
        action: &'a Action,
        at: Timestamp,
    ) -> StoreFuture<'a, Vec<AnomalyRow>> {
        let whole = now(self.inner.act(tenant, ids, by, action, at));
        if whole.is_err() && self.has(Fault::HalfAction) {
            let in_turn = ids.iter().take_while(|id| {
                let one = self
                    .inner
                    .act(tenant, std::slice::from_ref(id), by, action, at);
                now(one).is_ok()
            });
            assert!(in_turn.count() < ids.len(), "one of them is unknown");
        }
        done(whole)
    }

    fn ledger(
        &self,
        tenant: TenantId,
        anomaly: Option<AnomalyId>,
        after: u64,
        n_rows: u32,
    ) -> StoreFuture<'_, Vec<LedgerEntry>> {
        let mut entries = now(self.inner.ledger(tenant, anomaly, after, n_rows));
        if self.has(Fault::LostEntry)
            && let Ok(entries) = &mut entries
        {
            entries.retain(|entry| entry.event.kind != EventKind::Acknowledged);
        }
        done(entries)
    }

    fn ledger_head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead> {
        self.inner.ledger_head(tenant)
    }
}

impl SignalStore for Faulty {
    fn emit(&self, tenant: TenantId, mut signals: Vec<Signal>) -> StoreFuture<'_, ()> {
        if self.has(Fault::PartialEmit) && signals.len() > 512 {
            signals.truncate(512);
        }
        self.inner.emit(tenant, signals)
    }

    fn signals<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<SignalCursor>,
        n_rows: u32,
    ) -> StoreFuture<'a, SignalPage> {
        let after = after.filter(|_| !self.has(Fault::NoCursor));
        let mut page = now(self.inner.signals(tenant, filter, after, n_rows)).unwrap();
        if self.has(Fault::NoCursor) {
            page.next = None;
        }
        if self.has(Fault::SignalsOfAll) {
            for other in self.tenants().into_iter().filter(|other| *other != tenant) {
                let more = self.history_of(other);
                page.signals
                    .extend(more.into_iter().filter(|s| filter.admits(s)));
            }
        }
        done(Ok(page))
    }

    fn current<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<&'a SignalSlot>,
        n_rows: u32,
        at: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        let at = if self.has(Fault::NoTtl) {
            Timestamp::MIN
        } else {
            at
        };
        let mut page = now(self.inner.current(tenant, filter, after, n_rows, at)).unwrap();
        if self.has(Fault::CurrentFromHistory) {
            let history = self.history_of(tenant);
            page.signals.retain(|signal| history.contains(signal));
        }
        if self.has(Fault::CurrentOfAll) {
            for other in self.tenants().into_iter().filter(|other| *other != tenant) {
                let more = now(self.inner.current(other, filter, after, n_rows, at)).unwrap();
                page.signals.extend(more.signals);
            }
        }
        done(Ok(page))
    }

    fn as_of<'a>(
        &'a self,
        tenant: TenantId,
        subject: &'a Subject,
        after: Option<&'a SignalSlot>,
        n_slots: u32,
        at: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        if self.has(Fault::AsOfNow) {
            let filter = SignalFilter {
                subject_type: Some(subject.subject_type.clone()),
                subject_id: Some(subject.subject_id.clone()),
                ..SignalFilter::default()
            };
            return done(now(self.inner.current(tenant, &filter, after, n_slots, at)));
        }
        let mut page = now(self.inner.as_of(tenant, subject, after, n_slots, at)).unwrap();
        if self.has(Fault::AsOfOfAll) {
            for other in self.tenants().into_iter().filter(|other| *other != tenant) {
                let more = now(self.inner.as_of(other, subject, None, n_slots, at)).unwrap();
                page.signals.extend(more.signals);
            }
        }
        done(Ok(page))
    }
}

impl Maintenance for Faulty {
    fn count_due(&self, retention: Retention, at: Timestamp) -> StoreFuture<'_, Swept> {
        if self.has(Fault::WetDryRun) {
            return self.inner.sweep(retention, at);
        }
        self.inner.count_due(retention, at)
    }

    fn sweep(&self, retention: Retention, at: Timestamp) -> StoreFuture<'_, Swept> {
        self.inner.sweep(retention, at)
    }
}

/// What the suite says about a store with a fault; nothing when it passes.
fn said_about(fault: Fault) -> Option<String> {
    let store = Faulty {
        inner: InMemory::new(),
        fault,
        n_commits: AtomicI64::new(0),
    };
    let tenants = [1, 2].map(|n| TenantId::from_random_bytes([n; 16]));
    for (tenant, name) in tenants.into_iter().zip(["one", "other"]) {
        let name = DisplayName::parse(name).unwrap();
        store.inner.add_tenant(tenant, name);
    }
    let user = UserId::from_random_bytes([3; 16]);
    let fixture = Fixture {
        store: &store,
        tenants,
        user,
        wait: &ReadyFutures,
    };
    let panicked = catch_unwind(AssertUnwindSafe(|| suite(&fixture))).err()?;
    let said = panicked.downcast_ref::<String>().cloned().or_else(|| {
        panicked
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    });
    Some(said.unwrap_or_default())
}

#[test]
fn a_store_without_a_fault_passes() {
    assert_eq!(said_about(Fault::None), None);
}

#[test]
fn s15_a_store_that_drops_a_tenant_filter_fails() {
    for (fault, promise) in [
        (Fault::AnomaliesOfAll, "listings are of one tenant"),
        (Fault::SignalsOfAll, "history"),
        (Fault::CurrentOfAll, "one slot each"),
        (Fault::AsOfOfAll, "of one tenant"),
        (Fault::ActiveOfAll, "counted as they are judged"),
    ] {
        let said = said_about(fault).unwrap_or_default();
        assert!(said.contains(promise), "{fault:?}: {said}");
    }
    assert!(said_about(Fault::PayloadsOfAll).is_some());
}

#[test]
fn a_store_that_commits_in_parts_fails() {
    for fault in [Fault::PartialCommit, Fault::PartialEmit] {
        assert!(said_about(fault).is_some(), "{fault:?}");
    }
}

#[test]
fn a_store_that_does_not_look_at_positions_or_nonces_fails() {
    let said = said_about(Fault::NoPositions).unwrap_or_default();
    assert!(said.contains("duplicate"), "{said}");
    assert!(said_about(Fault::NoNonces).is_some());
}

#[test]
fn s16_a_store_whose_retention_moves_a_score_or_whose_dry_run_deletes_fails() {
    let said = said_about(Fault::CurrentFromHistory).unwrap_or_default();
    assert!(said.contains("what is current never moves"), "{said}");
    let said = said_about(Fault::WetDryRun).unwrap_or_default();
    assert!(said.contains("counting changes nothing"), "{said}");
}

#[test]
fn a_store_that_counts_who_was_ever_heard_fails() {
    let said = said_about(Fault::HeardOnceIsHeard).unwrap_or_default();
    assert!(said.contains("long gone"), "{said}");
}

#[test]
fn a_store_that_cannot_tell_what_stood_at_a_past_moment_fails() {
    let said = said_about(Fault::AsOfNow).unwrap_or_default();
    assert!(said.contains("nothing yet"), "{said}");
}

#[test]
fn a_store_that_keeps_expired_signals_or_ignores_cursors_fails() {
    let said = said_about(Fault::NoTtl).unwrap_or_default();
    assert!(said.contains("not at its end"), "{said}");
    assert!(said_about(Fault::NoCursor).is_some());
}

#[test]
fn a_store_whose_ledger_or_actions_are_not_whole_fails() {
    let said = said_about(Fault::HalfAction).unwrap_or_default();
    assert!(said.contains("all or nothing"), "{said}");
    let said = said_about(Fault::LostEntry).unwrap_or_default();
    assert!(said.contains("no power of two"), "{said}");
}
