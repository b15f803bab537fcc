//! The agents, payloads and findings that the suite works with.

use std::string::String;

use super::{BlockOn, Fixture};
use crate::anomaly::{Action, AnomalyKind, Finding};
use crate::facts::{AgentFacts, VersionTriple};
use crate::id::{AgentId, AnomalyId};
use crate::name::{AgentVersion, DisplayName};
use crate::position::{ContentHash, Position};
use crate::sample::{CpuPercent, MetricSample};
use crate::severity::Severity;
use crate::signal::{Signal, SignalDraft};
use crate::store::{
    AnomalyRow, IngestBatch, IngestFinding, IngestOutcome, NewAgent, NewCredential, Payload,
    SharedKey, SignatureStatus, StoreError, TokenDigest, VersionSeen,
};
use crate::time::{Span, Timestamp};

impl<W: BlockOn> Fixture<'_, W> {
    pub(super) fn enrol(&self, tenant: usize, number: u8) -> AgentId {
        let credential = NewCredential::Token {
            token: token(number),
            key: None,
            pin_until: now().saturating_add(Span::from_secs(3_600)),
        };
        self.enrol_with(tenant, number, credential)
    }

    /// Enrols a device whose key is its number, 32 times.
    pub(super) fn enrol_device(&self, tenant: usize, number: u8) -> AgentId {
        let key = SharedKey::from_secret_bytes(&[number; 32]);
        self.enrol_with(tenant, number, NewCredential::Device { key })
    }

    fn enrol_with(&self, tenant: usize, number: u8, credential: NewCredential) -> AgentId {
        let agent = AgentId::from_random_bytes([number; 16]);
        let tenant = self
            .tenants
            .get(tenant)
            .copied()
            .expect("one of two tenants");
        let new = NewAgent {
            agent,
            tenant,
            name: DisplayName::parse(&name(number)).expect("a name"),
            credential,
            enrolled_at: now(),
        };
        assert_eq!(self.wait.block_on(self.store.enrol(&new)), Ok(()));
        assert_eq!(
            self.wait.block_on(self.store.enrol(&new)),
            Err(StoreError::AlreadyExists)
        );
        agent
    }

    pub(super) fn metrics(&self, agent: AgentId, seq: i64, second: i64) -> IngestBatch {
        let received_at = now().saturating_add(Span::from_secs(second - 600));
        IngestBatch {
            tenant: self.tenants[0],
            agent,
            received_at,
            captured_at: now(),
            sent_at: now(),
            nonce: None,
            position: position(1, seq),
            content: ContentHash([u8::try_from(seq % 200).unwrap_or(0); 32]),
            signature: SignatureStatus::Verified,
            version: version(1),
            payload: Payload::Metrics(MetricSample::of_cpu(
                CpuPercent::new(4.20).expect("a percent"),
            )),
            finding: None,
        }
    }

    pub(super) fn versioned(&self, agent: AgentId, seq: i64, minor: u64) -> IngestBatch {
        IngestBatch {
            version: version(minor),
            ..self.metrics(agent, seq, seq)
        }
    }

    pub(super) fn commit(&self, batch: &IngestBatch) -> IngestOutcome {
        let outcomes = self
            .wait
            .block_on(self.store.commit(core::slice::from_ref(batch)));
        let outcomes = outcomes.expect("a store that takes payloads");
        assert_eq!(outcomes.len(), 1, "one outcome per payload");
        outcomes[0]
    }

    pub(super) fn facts(&self, tenant: usize, agent: AgentId) -> AgentFacts {
        let tenant = self
            .tenants
            .get(tenant)
            .copied()
            .expect("one of two tenants");
        let mut after = None;
        loop {
            let page = self
                .wait
                .block_on(self.store.facts(tenant, after, 2, now()));
            let page = page.expect("a page of facts");
            if let Some(found) = page.agents.iter().find(|facts| facts.agent == agent) {
                return found.clone();
            }
            after = Some(page.next.expect("the agent is on some page"));
        }
    }

    pub(super) fn record(
        &self,
        tenant: usize,
        agent: AgentId,
        kind: AnomalyKind,
        severity: Severity,
        summary: &str,
    ) {
        let finding = IngestFinding {
            tenant: self
                .tenants
                .get(tenant)
                .copied()
                .expect("one of two tenants"),
            agent,
            at: now(),
            occurrences: 1,
            finding: Finding {
                kind,
                severity,
                summary: summary.into(),
                detail: "{}".into(),
                evidence: "{}".into(),
            },
            signal: signal(agent, kind, Some(severity)),
        };
        assert_eq!(self.wait.block_on(self.store.record(&finding)), Ok(()));
    }

    /// Does what the person of the fixture wants with anomalies.
    pub(super) fn act(
        &self,
        tenant: usize,
        ids: &[AnomalyId],
        action: &Action,
    ) -> Result<Vec<AnomalyRow>, StoreError> {
        let tenant = self.tenants[tenant];
        let acted = self.store.act(tenant, ids, self.user, action, now());
        self.wait.block_on(acted)
    }

    pub(super) fn open_of_kind(&self, tenant: usize, kind: AnomalyKind) -> u64 {
        let tenant = self
            .tenants
            .get(tenant)
            .copied()
            .expect("one of two tenants");
        let counts = self
            .wait
            .block_on(self.store.open_counts(tenant))
            .expect("counts");
        assert!(
            counts
                .iter()
                .map(|count| count.kind)
                .take(6)
                .eq(AnomalyKind::DOCUMENTED),
            "all documented kinds, in order"
        );
        counts
            .iter()
            .filter(|count| count.kind == kind)
            .map(|count| count.n_open)
            .sum()
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").expect("a time")
}

pub(super) fn name(number: u8) -> String {
    std::format!("agent-{number}")
}

pub(super) const fn token(number: u8) -> TokenDigest {
    TokenDigest([number; 32])
}

pub(super) fn position(epoch: i64, seq: i64) -> Position {
    Position::new(epoch, seq).expect("a position")
}

pub(super) fn version(minor: u64) -> VersionSeen {
    VersionSeen {
        text: AgentVersion::parse(&std::format!("0.{minor}.0")).expect("a version"),
        triple: Some(VersionTriple {
            major: 0,
            minor,
            patch: 0,
        }),
    }
}

pub(super) fn signal(agent: AgentId, kind: AnomalyKind, severity: Option<Severity>) -> Signal {
    let draft = SignalDraft {
        source: "integrity_check".into(),
        subject_type: "agent".into(),
        subject_id: std::format!("{agent}"),
        key: kind.signal_key().into(),
        value: r#"{"value":true}"#.into(),
        severity: severity.map(|severity| severity.as_str().into()),
        observed_at: now(),
        ttl_seconds: None,
    };
    Signal::validate(&draft, now()).expect("a valid signal")
}
