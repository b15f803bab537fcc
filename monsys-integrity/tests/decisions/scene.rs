//! Facts of one agent, and a hub without a network: the store in memory and the cycle.

use std::task::{Context, Poll, Waker};

use monsys_core::anomaly::{Action, Anomaly, Finding};
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::EventKind;
use monsys_core::name::{AgentVersion, DisplayName};
use monsys_core::position::{ContentHash, Position};
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::store::{
    AgentStore, AnomalyFilter, AnomalyRow, AnomalyStore, CycleCommit, CycleStore, InMemory,
    IngestBatch, IngestFinding, IngestOutcome, IngestStore, NewAgent, NewCredential, Payload,
    SignatureStatus, StoreFuture, TokenDigest, VersionSeen,
};
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AnomalyKind, Verdict};
use monsys_integrity::{Config, Cycle, finding_signal, reconcile, run_all, version};

/// A reading of the clock, off by so many milliseconds, that arrived at [`at`]`(0)`.
pub(crate) fn clock_of(offsets_ms: &[i64]) -> ClockFacts {
    ClockFacts::from_readings(offsets_ms.iter().map(|offset| ClockReading {
        captured_at: at(*offset),
        sent_at: at(*offset),
        received_at: at(0),
        is_spooled: false,
    }))
}

/// A window of these values, the last now, 15 s apart.
pub(crate) fn window_of(cpu: &[f64]) -> MetricWindow {
    let n = i64::try_from(cpu.len()).unwrap();
    let rows = (1..=n).zip(cpu).map(|(i, cpu)| row((i - n) * 15_000, *cpu));
    MetricWindow::from_rows(WindowBounds::hour_before(at(0)), rows)
}

/// A window of moving values whose metrics came with these gaps, in milliseconds, the last now.
pub(crate) fn window_with_gaps(gaps_ms: &[i64]) -> MetricWindow {
    let mut ms = -gaps_ms.iter().sum::<i64>();
    let mut rows = vec![row(ms, 1.0)];
    for (gap, cpu) in gaps_ms.iter().zip([7.0, 3.0, 11.0].into_iter().cycle()) {
        ms += gap;
        rows.push(row(ms, cpu));
    }
    MetricWindow::from_rows(WindowBounds::hour_before(at(0)), rows)
}

pub(crate) fn row(ms: i64, cpu_usage_percent: f64) -> MetricRow {
    MetricRow {
        received_at: at(ms),
        cpu_usage_percent,
        is_spooled: false,
    }
}

pub(crate) fn versions(current: &str, highest: &str) -> VersionFacts {
    VersionFacts {
        current: Some(version::read(current.into())),
        highest: Some(version::read(highest.into())),
    }
}

/// An agent of which nothing is known.
pub(crate) fn unknown() -> AgentFacts {
    AgentFacts {
        agent: AgentId::from_bytes([7; 16]),
        window: MetricWindow::empty(WindowBounds::hour_before(at(0))),
        clock: ClockFacts::default(),
        version: VersionFacts::default(),
        last_verified_at: None,
        open: vec![],
    }
}

/// What the detector of a kind says by the values of the document.
pub(crate) fn judge(kind: AnomalyKind, facts: &AgentFacts) -> Verdict {
    judge_by(&Config::standard(), kind, facts)
}

pub(crate) fn judge_by(config: &Config, kind: AnomalyKind, facts: &AgentFacts) -> Verdict {
    let cycle = Cycle {
        previous: Some(at(-600_000)),
        now: at(0),
    };
    let facts = facts.view();
    let mut verdicts = run_all(&facts, config, cycle);
    verdicts.find(|(of, _)| *of == kind).unwrap().1
}

pub(crate) fn flat(cpu: &[f64]) -> Verdict {
    let window = window_of(cpu);
    let facts = AgentFacts {
        window,
        ..unknown()
    };
    judge(AnomalyKind::FlatMetrics, &facts)
}

pub(crate) fn failed(verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Fail(finding) => finding,
        Verdict::Pass | Verdict::Insufficient(_) => panic!("expected a failure: {verdict:?}"),
    }
}

/// 2026-05-09T22:03:40Z and so many milliseconds.
pub(crate) fn at(ms: i64) -> Timestamp {
    let start = Timestamp::from_unix_micros(1_778_364_220_000_000).unwrap();
    start.saturating_add(Span::from_millis(ms))
}

/// A store, an organisation, and a clock that the test turns.
pub(crate) struct Hub {
    pub(crate) store: InMemory,
    pub(crate) now: Timestamp,
    n_sent: i64,
}

pub(crate) const TENANT: TenantId = TenantId::from_bytes([1; 16]);
pub(crate) const PERSON: UserId = UserId::from_bytes([5; 16]);

impl Hub {
    pub(crate) fn new() -> Self {
        let store = InMemory::new();
        store.add_tenant(TENANT, DisplayName::parse("acme").unwrap());
        Self {
            store,
            now: at(0),
            n_sent: 0,
        }
    }

    pub(crate) fn enrol(&self, number: u8) -> AgentId {
        let agent = AgentId::from_random_bytes([number; 16]);
        let new = NewAgent {
            agent,
            tenant: TENANT,
            name: DisplayName::parse(&format!("agent-{number}")).unwrap(),
            credential: NewCredential::Token {
                token: TokenDigest([number; 32]),
                key: None,
                pin_until: at(0),
            },
            enrolled_at: at(0),
        };
        done(self.store.enrol(&new));
        agent
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now = self.now.saturating_add(Span::from_secs(seconds));
    }

    /// A verified payload of this moment at the next position.
    pub(crate) fn payload(&mut self, agent: AgentId, cpu: f64, version: &str) -> IngestBatch {
        self.n_sent += 1;
        let hash = u8::try_from(self.n_sent % 251).unwrap();
        IngestBatch {
            tenant: TENANT,
            agent,
            received_at: self.now,
            captured_at: self.now,
            sent_at: self.now,
            nonce: None,
            position: Position::new(1, self.n_sent).unwrap(),
            content: ContentHash([hash; 32]),
            signature: SignatureStatus::Verified,
            version: VersionSeen {
                text: AgentVersion::parse(version).unwrap(),
                triple: version::triple(version),
            },
            payload: Payload::Metrics(MetricSample::of_cpu(CpuPercent::new(cpu).unwrap())),
            finding: None,
        }
    }

    pub(crate) fn commit(&self, batch: IngestBatch) -> IngestOutcome {
        let outcomes = done(self.store.commit(&[batch]));
        outcomes.into_iter().next().unwrap()
    }

    /// Sends an honest sample, which must be accepted.
    pub(crate) fn report(&mut self, agent: AgentId, cpu: f64, version: &str) {
        let batch = self.payload(agent, cpu, version);
        assert_eq!(self.commit(batch), IngestOutcome::Accepted);
    }

    /// What a refused request revealed.
    pub(crate) fn record(&self, agent: AgentId, finding: Finding) {
        let signal = finding_signal(agent, &finding, self.now);
        done(self.store.record(&IngestFinding {
            tenant: TENANT,
            agent,
            at: self.now,
            occurrences: 1,
            finding,
            signal,
        }));
    }

    pub(crate) fn facts(&self) -> Vec<AgentFacts> {
        done(self.store.facts(TENANT, None, 100, self.now)).agents
    }

    /// One cycle of this moment.
    pub(crate) fn cycle(&self) {
        self.cycle_by(&Config::standard());
    }

    pub(crate) fn cycle_by(&self, config: &Config) {
        let lease = done(
            self.store
                .take_lease([1; 16], self.now, Span::from_secs(60)),
        )
        .unwrap();
        let cycle = Cycle {
            previous: lease.previous_cycle,
            now: self.now,
        };
        let report = reconcile(&self.facts(), config, cycle);
        done(self.store.commit_cycle(&CycleCommit {
            tenant: TENANT,
            at: self.now,
            transitions: report.transitions,
        }));
        done(self.store.finish_cycle([1; 16], self.now));
    }

    /// All rows of a kind about an agent, oldest first.
    pub(crate) fn rows(&self, agent: AgentId, kind: AnomalyKind) -> Vec<AnomalyRow> {
        let filter = AnomalyFilter {
            kind: Some(kind),
            agent: Some(agent),
            ..AnomalyFilter::default()
        };
        let page = done(self.store.anomalies(TENANT, filter, 100, self.now));
        let mut rows = page.rows;
        rows.sort_by_key(|row| row.anomaly.detected_at);
        rows
    }

    pub(crate) fn only(&self, agent: AgentId, kind: AnomalyKind) -> Anomaly {
        let [row] = self.rows(agent, kind).try_into().unwrap();
        row.anomaly
    }

    pub(crate) fn resolve(&self, id: AnomalyId) {
        let action = Action::Resolve { note: None };
        done(self.store.act(TENANT, &[id], PERSON, &action, self.now));
    }

    /// What the ledger says of an anomaly, in order.
    pub(crate) fn events(&self, id: AnomalyId) -> Vec<EventKind> {
        let entries = done(self.store.ledger(TENANT, Some(id), 0, 100));
        entries.into_iter().map(|entry| entry.event.kind).collect()
    }
}

/// The answer of a store whose futures are ready at once.
pub(crate) fn done<T>(mut future: StoreFuture<'_, T>) -> T {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("the store in memory answers at once"),
    }
}
