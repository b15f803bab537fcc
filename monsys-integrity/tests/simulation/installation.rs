//! One installed agent: measures, spools, sends. A clone is a second installation under the same
//! identity.

use std::collections::VecDeque;

use monsys_core::anomaly::Finding;
use monsys_core::id::TenantId;
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::store::{IngestBatch, Payload, SignatureStatus, VersionSeen};
use monsys_core::{AgentId, Signal, Timestamp};
use monsys_integrity::detect::unsigned_payload;
use monsys_integrity::{finding_signal, version};

use crate::device::{DeviceClock, Load};
use crate::draw::Draw;
use crate::ring_hub::whole;
use crate::script::{Role, Script};
use crate::spool::{Record, Spool};
use crate::{MS, SECOND, at};

/// One installation.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) script: Script,
    pub(crate) agent: AgentId,
    pub(crate) draw: Draw,
    pub(crate) spool: Spool,
    pub(crate) state: State,
    /// When the next measurement would be without jitter.
    pub(crate) nominal_us: i64,
    /// When it is switched off for good, in seconds.
    pub(crate) stops_at_s: i64,
    pub(crate) is_pinned: bool,
    /// What an intruder recorded, or what will be sent a second time.
    pub(crate) recorded: Vec<IngestBatch>,
    /// The last half hour at 15 s.
    measured: VecDeque<f64>,
    n_measured: usize,
    clock: DeviceClock,
    load: Load,
    said: &'static str,
    batch: IngestBatch,
}

/// What the sender is doing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    Idle,
    /// A request is on its way since a time of the hub's clock.
    InFlight {
        record: Record,
        sent_us: i64,
    },
    Waiting,
}

impl Installation {
    pub(crate) fn new(script: Script, (tenant, agent): (TenantId, AgentId), draw: Draw) -> Self {
        let mut draw = draw;
        Self {
            script,
            agent,
            spool: Spool::new(),
            state: State::Idle,
            nominal_us: draw.between(0, script.interval_s(0) * SECOND),
            stops_at_s: i64::MAX,
            is_pinned: !matches!(script.role, Role::Unpinned | Role::PinnedLate),
            recorded: Vec::new(),
            measured: VecDeque::new(),
            n_measured: 0,
            clock: DeviceClock::new(&mut draw),
            load: Load::new(&mut draw),
            said: "",
            batch: first_batch(tenant, agent),
            draw,
        }
    }

    /// Copies the machine with its spool; the copy has its own load and comes later in each turn.
    pub(crate) fn copy(&self, later_us: i64, draw: Draw) -> Self {
        let mut draw = draw;
        Self {
            spool: self.spool.clone(),
            state: State::Idle,
            nominal_us: self.nominal_us + later_us,
            stops_at_s: self.script.copies_stop_at(),
            recorded: Vec::new(),
            measured: VecDeque::new(),
            clock: self.clock.clone(),
            load: Load::new(&mut draw),
            batch: self.batch.clone(),
            draw,
            ..*self
        }
    }

    /// Measures and tells when to measure again.
    pub(crate) fn measure(&mut self, now_us: i64) -> i64 {
        let s = now_us / SECOND;
        let measured = self.load.step(&mut self.draw);
        self.n_measured += 1;
        self.measured.push_back(measured);
        let before = match self.measured.len() {
            ..=HALF_AN_HOUR => measured,
            _ => self.measured.pop_front().expect("more than half an hour"),
        };
        let known = (self.draw.unit(), before);
        let said = self.script.said_cpu(s, self.n_measured, known);
        let content = self.draw.bits();
        let captured_us = self.device_us(now_us);
        self.spool
            .append(captured_us, said.unwrap_or(measured), content);
        self.nominal_us += self.script.interval_s(s) * SECOND;
        (self.nominal_us + self.draw.between(-100 * MS, 100 * MS)).max(now_us + MS)
    }

    /// Takes the next payload in hand; tells when it will reach the hub.
    pub(crate) fn begin(&mut self, now_us: i64) -> Option<i64> {
        let State::Idle = self.state else { return None };
        let record = self.spool.choose(self.device_us(now_us))?;
        let sent_us = now_us;
        self.state = State::InFlight { record, sent_us };
        Some(now_us + self.draw.between(20 * MS, 200 * MS))
    }

    /// The request as it reaches the hub.
    pub(crate) fn request(&mut self, record: Record, sent_us: i64, now_us: i64) -> &IngestBatch {
        let (epoch, seq) = self.spool.position(record.number);
        self.say_version(self.script.version(sent_us / SECOND));
        let captured_us = record.captured_us - self.script.false_age_us(sent_us / SECOND);
        let sent_us = self.device_us(sent_us);
        let batch = &mut self.batch;
        batch.received_at = at(now_us);
        batch.captured_at = at(captured_us);
        batch.sent_at = at(sent_us);
        batch.position = Position::new(epoch, seq).expect("a position");
        batch.content = whole(record.content);
        let cpu = CpuPercent::new(record.cpu).expect("percent points");
        batch.payload = Payload::Metrics(MetricSample::of_cpu(cpu));
        (batch.signature, batch.finding) = if self.is_pinned {
            (SignatureStatus::Verified, None)
        } else {
            let found = unsigned(self.agent, batch.received_at);
            (SignatureStatus::Unpinned, Some(found))
        };
        batch
    }

    fn say_version(&mut self, said: &'static str) {
        if said != self.said {
            self.said = said;
            self.batch.version = VersionSeen {
                text: AgentVersion::parse(said).expect("a version text"),
                triple: version::triple(said),
            };
        }
    }

    fn device_us(&self, us: i64) -> i64 {
        self.clock.at(us) + self.script.clock_error_us(us)
    }
}

/// Measurements at 15 s.
const HALF_AN_HOUR: usize = 120;

fn unsigned(agent: AgentId, now: Timestamp) -> (Finding, Signal) {
    let finding = unsigned_payload::no_pinned_key();
    let signal = finding_signal(agent, &finding, now);
    (finding, signal)
}

fn first_batch(tenant: TenantId, agent: AgentId) -> IngestBatch {
    let cpu = CpuPercent::new(0.0).expect("percent points");
    IngestBatch {
        tenant,
        agent,
        received_at: at(0),
        captured_at: at(0),
        sent_at: at(0),
        nonce: None,
        position: Position::new(1, 1).expect("a position"),
        content: whole(0),
        signature: SignatureStatus::Verified,
        version: VersionSeen {
            text: AgentVersion::parse("0.0.0").expect("a version text"),
            triple: version::triple("0.0.0"),
        },
        payload: Payload::Metrics(MetricSample::of_cpu(cpu)),
        finding: None,
    }
}
