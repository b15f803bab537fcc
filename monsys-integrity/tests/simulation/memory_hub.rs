//! A hub on the store in memory, the reference for back ends, driven as the worker drives a store.

use std::task::{Context, Poll, Waker};

use monsys_core::anomaly::{Action, Anomaly, OpenAnomaly};
use monsys_core::facts::Facts;
use monsys_core::id::TenantId;
use monsys_core::ledger::Verifier;
use monsys_core::limit::{CYCLE_PAGE_AGENTS, LEDGER_PAGE_ROWS};
use monsys_core::name::DisplayName;
use monsys_core::store::{
    AgentStore, AnomalyFilter, AnomalyState, AnomalyStore, CycleCommit, CycleStore, InMemory,
    IngestBatch, IngestFinding, IngestOutcome, IngestStore, NewAgent, NewCredential, PinOutcome,
    PublicKey, StoreFuture, TokenDigest,
};
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, AnomalyKind};
use monsys_integrity::{Config, Cycle};

use crate::hub::{Hub, ITSELF, Judged, judge, judge_itself};
use crate::ring_hub::PERSON;

/// The hub.
#[derive(Debug)]
pub(crate) struct MemoryHub {
    tenant: TenantId,
    store: InMemory,
}

impl MemoryHub {
    pub(crate) fn new(tenant: TenantId) -> Self {
        let store = InMemory::new();
        store.add_tenant(tenant, DisplayName::parse("acme").expect("a name"));
        Self { tenant, store }
    }

    fn open_of_itself(&self) -> Option<OpenAnomaly> {
        let filter = AnomalyFilter {
            state: Some(AnomalyState::Open),
            agent: Some(ITSELF),
            ..AnomalyFilter::default()
        };
        let page = self.store.anomalies(self.tenant, filter, 2, Timestamp::MAX);
        let row = answer(page).rows.pop()?.anomaly;
        Some(OpenAnomaly {
            id: row.id,
            kind: row.finding.kind,
            severity: row.finding.severity,
            last_seen_at: row.last_seen_at,
        })
    }

    /// Recomputes the ledger, compares it with the anomalies and tells how many entries it has.
    pub(crate) fn verify(&self) -> u64 {
        let mut verifier = Verifier::new(self.tenant);
        let mut after = 0;
        loop {
            let page = self
                .store
                .ledger(self.tenant, None, after, LEDGER_PAGE_ROWS);
            let page = answer(page);
            let Some(last) = page.last() else { break };
            after = last.seq;
            for entry in &page {
                verifier.entry(entry).expect("the next entry of the chain");
            }
        }
        for anomaly in self.anomalies() {
            verifier.anomaly(&anomaly).expect("what the ledger says");
        }
        let head = answer(self.store.ledger_head(self.tenant));
        verifier.finish(Some(head)).expect("a whole ledger");
        after
    }
}

impl Hub for MemoryHub {
    fn enrol(&mut self, agent: AgentId, is_pinned: bool, at: Timestamp) {
        let [.., low] = agent.to_bytes();
        let mut token = [0; 32];
        token[..16].copy_from_slice(&agent.to_bytes());
        let new = NewAgent {
            agent,
            tenant: self.tenant,
            name: DisplayName::parse(&format!("agent-{agent}")).expect("a name"),
            credential: NewCredential::Token {
                token: TokenDigest(token),
                key: is_pinned.then_some(PublicKey([low; 32])),
                pin_until: at.saturating_add(Span::from_secs(86_400)),
            },
            enrolled_at: at,
        };
        answer(self.store.enrol(&new));
    }

    fn pin(&mut self, agent: AgentId, at: Timestamp) {
        let [.., low] = agent.to_bytes();
        let pinned = self.store.pin(self.tenant, agent, PublicKey([low; 32]), at);
        assert_eq!(answer(pinned), PinOutcome::Pinned);
    }

    fn commit(&mut self, batch: &IngestBatch) -> IngestOutcome {
        let outcomes = answer(self.store.commit(std::slice::from_ref(batch)));
        assert_eq!(outcomes.len(), 1);
        outcomes[0]
    }

    fn record(&mut self, found: &IngestFinding) {
        answer(self.store.record(found));
    }

    fn cycle(&mut self, config: &Config, cycle: Cycle) -> Judged {
        let lease = self
            .store
            .take_lease(HOLDER, cycle.now, Span::from_secs(300));
        let lease = answer(lease).expect("a free lease");
        assert_eq!(lease.previous_cycle, cycle.previous);
        let read = || {
            let page = self
                .store
                .facts(self.tenant, None, CYCLE_PAGE_AGENTS, cycle.now);
            answer(page)
        };
        let page = read();
        assert_eq!(page, read(), "reading changes nothing");
        assert_eq!(page.next, None, "one page holds the fleet");
        let facts: Vec<Facts<'_>> = page.agents.iter().map(Facts::from).collect();
        let judged = judge(&facts, config, cycle);
        let open = self.open_of_itself();
        let itself = judge_itself(open.as_ref(), config, cycle);
        for transitions in [judged.report.transitions.clone(), Vec::from_iter(itself)] {
            answer(self.store.commit_cycle(&CycleCommit {
                tenant: self.tenant,
                at: cycle.now,
                transitions,
            }));
        }
        answer(self.store.finish_cycle(HOLDER, cycle.now));
        judged
    }

    fn resolve(&mut self, agent: AgentId, kind: AnomalyKind, at: Timestamp) {
        let filter = AnomalyFilter {
            state: Some(AnomalyState::Open),
            kind: Some(kind),
            agent: Some(agent),
            ..AnomalyFilter::default()
        };
        let page = answer(self.store.anomalies(self.tenant, filter, 2, at));
        let ids: Vec<_> = page.rows.iter().map(|row| row.anomaly.id).collect();
        assert_eq!(ids.len(), 1, "one open anomaly of the kind");
        let action = Action::Resolve { note: None };
        answer(self.store.act(self.tenant, &ids, PERSON, &action, at));
    }

    fn anomalies(&self) -> Vec<Anomaly> {
        let all = AnomalyFilter::default();
        let page = self
            .store
            .anomalies(self.tenant, all, u32::MAX, Timestamp::MAX);
        let rows = answer(page).rows;
        let mut anomalies: Vec<_> = rows.into_iter().map(|row| row.anomaly).collect();
        anomalies.sort_by_key(|anomaly| anomaly.id);
        anomalies
    }
}

/// Takes the answer of a store that is ready at once.
fn answer<T>(mut future: StoreFuture<'_, T>) -> T {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => answer.expect("a store that answers"),
        Poll::Pending => panic!("the store in memory answers at once"),
    }
}

const HOLDER: [u8; 16] = [1; 16];
