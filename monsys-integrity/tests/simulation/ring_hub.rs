//! A hub that keeps an hour of each agent in a ring, as the embedded single process does.

use std::collections::BTreeMap;

use monsys_core::anomaly::{Anomaly, Closed, OpenAnomaly, Resolution, Transition};
use monsys_core::facts::{ClockReading, Facts, Version, VersionFacts};
use monsys_core::id::{AnomalyId, TenantId, UserId};
use monsys_core::position::{Admission, ContentHash, Position, PositionSet};
use monsys_core::store::{
    FleetPresence, IngestBatch, IngestFinding, IngestOutcome, Payload, SignatureStatus,
};
use monsys_core::time::{Span, Timestamp};
use monsys_core::{AgentId, AnomalyKind};
use monsys_integrity::detect::agent_silent::fleet_bounds;
use monsys_integrity::ring::Ring;
use monsys_integrity::{Config, Cycle};

use crate::hub::{Hub, ITSELF, Judged, heeding, judge, judge_itself};

/// The hub.
#[derive(Debug)]
pub(crate) struct RingHub {
    tenant: TenantId,
    agents: BTreeMap<AgentId, Agent>,
    anomalies: Vec<Anomaly>,
    /// What is open of the hub itself.
    open: Vec<OpenAnomaly>,
    forgot_at: Timestamp,
}

#[derive(Debug)]
struct Agent {
    positions: PositionSet,
    /// The content of each position and when it came; a content of the simulation is one number.
    contents: BTreeMap<Position, (Timestamp, u64)>,
    ring: Ring,
    version: VersionFacts,
    last_seen_at: Option<Timestamp>,
    last_verified_at: Option<Timestamp>,
    open: Vec<OpenAnomaly>,
}

impl RingHub {
    pub(crate) const fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            agents: BTreeMap::new(),
            anomalies: Vec::new(),
            open: Vec::new(),
            forgot_at: Timestamp::MIN,
        }
    }

    fn agent(&mut self, agent: AgentId) -> &mut Agent {
        self.agents.get_mut(&agent).expect("an enrolled agent")
    }

    fn presence(&self, config: &Config, now: Timestamp) -> FleetPresence {
        let (heard_since, silent_since) = fleet_bounds(config, now);
        let seen = self.agents.values().filter_map(|agent| agent.last_seen_at);
        let heard = seen.filter(|at| *at > heard_since);
        FleetPresence {
            n_heard: heard.clone().count() as u64,
            n_silent: heard.filter(|at| *at <= silent_since).count() as u64,
        }
    }

    fn open(&mut self, agent: AgentId) -> &mut Vec<OpenAnomaly> {
        if agent == ITSELF {
            &mut self.open
        } else {
            &mut self.agent(agent).open
        }
    }

    fn apply(&mut self, at: Timestamp, step: &Transition) {
        match step {
            Transition::Record { .. } => self.count(at, step),
            Transition::Resolve {
                id, last_seen_at, ..
            } => {
                let row = self.row(*id);
                if row.is_open() && row.last_seen_at == *last_seen_at {
                    self.close(*id, at, (SERVICE, Resolution::Auto));
                }
            }
        }
    }

    fn count(&mut self, at: Timestamp, step: &Transition) {
        let Transition::Record {
            agent,
            finding,
            occurrences,
            ..
        } = step
        else {
            return;
        };
        let kind = finding.kind;
        let open = self.open(*agent);
        if let Some(open) = open.iter_mut().find(|open| open.kind == kind) {
            open.last_seen_at = open.last_seen_at.max(at);
            open.severity = open.severity.max(finding.severity);
            let open = *open;
            let row = self.row(open.id);
            row.last_seen_at = open.last_seen_at;
            row.finding.severity = open.severity;
            row.occurrences += occurrences;
            row.last_detail = Some(finding.to_last_detail());
            return;
        }
        let is_same = |a: &&Anomaly| a.agent == *agent && a.finding.kind == kind;
        let previous = self.anomalies.iter().rfind(is_same).map(|a| a.id);
        let number = self.anomalies.len() as u128 + 1;
        let id = AnomalyId::from_bytes(number.to_be_bytes());
        self.anomalies.push(Anomaly {
            id,
            tenant: self.tenant,
            agent: *agent,
            finding: finding.clone(),
            detected_at: at,
            last_seen_at: at,
            occurrences: *occurrences,
            last_detail: None,
            previous,
            acknowledged: None,
            snoozed: None,
            closed: None,
        });
        self.open(*agent).push(OpenAnomaly {
            id,
            kind,
            severity: finding.severity,
            last_seen_at: at,
        });
    }

    fn close(&mut self, id: AnomalyId, at: Timestamp, (by, resolution): (UserId, Resolution)) {
        let row = self.row(id);
        row.closed = Some(Closed {
            at: at.max(row.last_seen_at),
            by,
            resolution,
            note: None,
        });
        let agent = row.agent;
        self.open(agent).retain(|open| open.id != id);
    }

    fn row(&mut self, id: AnomalyId) -> &mut Anomaly {
        let number = usize::try_from(u128::from_be_bytes(id.to_bytes())).expect("a small number");
        &mut self.anomalies[number - 1]
    }
}

impl Hub for RingHub {
    fn enrol(&mut self, agent: AgentId, _is_pinned: bool, _at: Timestamp) {
        let new = Agent {
            positions: PositionSet::new(),
            contents: BTreeMap::new(),
            ring: Ring::new(),
            version: VersionFacts::default(),
            last_seen_at: None,
            last_verified_at: None,
            open: Vec::new(),
        };
        self.agents.insert(agent, new);
    }

    fn pin(&mut self, agent: AgentId, _at: Timestamp) {
        let agent = self.agent(agent);
        agent.positions = PositionSet::new();
        agent.contents.clear();
    }

    fn commit(&mut self, batch: &IngestBatch) -> IngestOutcome {
        let agent = self.agent(batch.agent);
        let known = agent.contents.get(&batch.position);
        let known = known.map(|(_, content)| whole(*content));
        let fills_gap = match agent.positions.admit(batch.position, batch.content, known) {
            Admission::Fresh { fills_gap } => fills_gap,
            Admission::Duplicate => return IngestOutcome::Duplicate,
            Admission::Replay => return IngestOutcome::Replay,
            Admission::GivenUp => return IngestOutcome::GivenUp,
            Admission::StaleEpoch { min_epoch } => return IngestOutcome::StaleEpoch { min_epoch },
            Admission::OutOfRange => return IngestOutcome::OutOfRange,
        };
        let kept = (batch.received_at, number(batch.content));
        agent.contents.insert(batch.position, kept);
        agent.last_seen_at = Some(batch.received_at);
        if batch.signature == SignatureStatus::Verified {
            agent.last_verified_at = Some(batch.received_at);
            agent.note_version(batch, fills_gap);
        }
        if let Payload::Metrics(sample) = &batch.payload {
            let reading = ClockReading {
                captured_at: batch.captured_at,
                sent_at: batch.sent_at,
                received_at: batch.received_at,
                is_spooled: fills_gap && batch.is_late(),
            };
            agent.ring.push(&reading, sample.cpu_usage_percent.get());
        }
        if let Some((finding, signal)) = &batch.finding {
            let (finding, signal) = (finding.clone(), signal.clone());
            let step = Transition::Record {
                agent: batch.agent,
                finding,
                occurrences: 1,
                signal,
            };
            self.apply(batch.received_at, &step);
        }
        IngestOutcome::Accepted
    }

    fn record(&mut self, found: &IngestFinding) {
        let step = Transition::Record {
            agent: found.agent,
            finding: found.finding.clone(),
            occurrences: found.occurrences,
            signal: found.signal.clone(),
        };
        self.apply(found.at, &step);
    }

    fn cycle(&mut self, config: &Config, cycle: Cycle) -> Judged {
        if cycle.now.since(self.forgot_at) > Span::from_secs(6 * 3_600) {
            self.forgot_at = cycle.now;
            let since = cycle.now.saturating_sub(Span::from_secs(86_400));
            for agent in self.agents.values_mut() {
                agent.contents.retain(|_, (at, _)| *at >= since);
            }
        }
        let config = &heeding(config, self.presence(config, cycle.now));
        let page: Vec<Facts<'_>> = self
            .agents
            .iter_mut()
            .map(|(id, agent)| agent.facts(*id, cycle.now))
            .collect();
        let judged = judge(&page, config, cycle);
        for step in &judged.report.transitions {
            self.apply(cycle.now, step);
        }
        let of_itself = judge_itself(self.open.first(), config, cycle);
        if let Some(step) = of_itself {
            self.apply(cycle.now, &step);
        }
        judged
    }

    fn resolve(&mut self, agent: AgentId, kind: AnomalyKind, at: Timestamp) {
        let owner = self.agent(agent);
        let open = owner.open.iter().find(|open| open.kind == kind);
        let id = open.expect("an open anomaly").id;
        if kind == AnomalyKind::VersionDowngrade {
            owner.version.highest = owner.version.current.clone();
        }
        self.close(id, at, (PERSON, Resolution::Manual));
    }

    fn anomalies(&self) -> Vec<Anomaly> {
        self.anomalies.clone()
    }
}

impl Agent {
    fn note_version(&mut self, batch: &IngestBatch, fills_gap: bool) {
        let version = || {
            Some(Version {
                text: batch.version.text.as_str().to_owned(),
                triple: batch.version.triple,
            })
        };
        let is_same = |old: &Version| old.text == batch.version.text.as_str();
        if !fills_gap && !self.version.current.as_ref().is_some_and(is_same) {
            self.version.current = version();
        }
        let highest = self.version.highest.as_ref().and_then(|v| v.triple);
        if batch.version.triple > highest {
            self.version.highest = version();
        }
    }

    fn facts(&mut self, agent: AgentId, now: Timestamp) -> Facts<'_> {
        let view = self.ring.view(now).expect("a clock that never goes back");
        Facts {
            agent,
            window: view.window,
            clock: view.clock,
            version: &self.version,
            last_verified_at: self.last_verified_at,
            open: &self.open,
        }
    }
}

/// The content that a number stands for.
pub(crate) fn whole(number: u64) -> ContentHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ContentHash(bytes)
}

fn number(content: ContentHash) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&content.0[..8]);
    u64::from_be_bytes(bytes)
}

/// Who closes what by itself.
pub(crate) const SERVICE: UserId = UserId::from_bytes([0; 16]);
/// Who closes what by hand.
pub(crate) const PERSON: UserId = UserId::from_bytes([9; 16]);
