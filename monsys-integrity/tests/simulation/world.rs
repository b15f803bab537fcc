//! The run: one queue of events in the order of the hub's clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use monsys_core::anomaly::{Anomaly, Finding};
use monsys_core::id::TenantId;
use monsys_core::position::Position;
use monsys_core::store::{IngestFinding, IngestOutcome};
use monsys_core::{AgentId, AnomalyKind, Timestamp};
use monsys_integrity::detect::agent_cloned::{self, Interleaving};
use monsys_integrity::detect::{sequence_regress, signature_invalid, unsigned_payload};
use monsys_integrity::{Config, Cycle, Report, finding_signal};

use crate::draw::Draw;
use crate::hub::Hub;
use crate::installation::{Installation, State};
use crate::script::{Incident, Intruder, Role, Script, hub_away_until};
use crate::{SECOND, at};

/// What is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) scripts: Vec<Script>,
    pub(crate) end_s: i64,
    pub(crate) seed: u64,
    pub(crate) config: Config,
    /// Keeps the report of every cycle, to compare two hubs by.
    pub(crate) keeps_reports: bool,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) anomalies: Vec<Anomaly>,
    pub(crate) counts: Counts,
    pub(crate) reports: Vec<Report>,
}

/// How often what happened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) n_measured: u64,
    pub(crate) n_requests: u64,
    pub(crate) n_accepted: u64,
    /// Accepted ones that were sent more than 60 s after they were captured.
    pub(crate) n_late: u64,
    pub(crate) n_duplicates: u64,
    pub(crate) n_replays: u64,
    pub(crate) n_given_up: u64,
    pub(crate) n_stale: u64,
    pub(crate) n_lost: u64,
    pub(crate) n_unreachable: u64,
    pub(crate) n_forged: u64,
    pub(crate) n_pending: u64,
    pub(crate) n_cycles: u64,
    pub(crate) n_undecided: u64,
    pub(crate) n_undecided_open: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Measure(usize),
    /// A wait is over.
    Send(usize),
    /// A request reaches the hub, or would.
    Arrive(usize),
    /// What was delivered is sent a second time.
    Again(usize),
    /// A stolen token is used for the n-th time.
    Intrude(usize, u32),
    Happen(usize, Incident),
    Cycle,
}

/// Runs a plan on a hub to its end.
pub(crate) fn run(plan: &Plan, hub: &mut impl Hub) -> Outcome {
    let mut world = World::new(plan, hub);
    while let Some(Reverse((now_us, _, event))) = world.queue.pop() {
        if now_us > plan.end_s * SECOND {
            break;
        }
        world.now_us = now_us;
        world.take(event);
    }
    let pending = world.installed.iter().map(|i| i.spool.n_pending() as u64);
    world.counts.n_pending = pending.sum();
    Outcome {
        anomalies: world.hub.anomalies(),
        counts: world.counts,
        reports: world.reports,
    }
}

/// Who agent number `n` is; identifiers are in the order of the numbers.
pub(crate) fn agent_id(n: usize) -> AgentId {
    AgentId::from_bytes((n as u128 + 1).to_be_bytes())
}

struct World<'a, H> {
    plan: &'a Plan,
    hub: &'a mut H,
    installed: Vec<Installation>,
    queue: BinaryHeap<Reverse<(i64, u64, Event)>>,
    n_queued: u64,
    now_us: i64,
    previous: Option<Timestamp>,
    /// Agents of which positions were refused lately.
    refused: BTreeMap<AgentId, Interleaving>,
    counts: Counts,
    reports: Vec<Report>,
}

impl<'a, H: Hub> World<'a, H> {
    fn new(plan: &'a Plan, hub: &'a mut H) -> Self {
        let mut world = Self {
            plan,
            hub,
            installed: Vec::new(),
            queue: BinaryHeap::new(),
            n_queued: 0,
            now_us: 0,
            previous: None,
            refused: BTreeMap::new(),
            counts: Counts::default(),
            reports: Vec::new(),
        };
        for (n, script) in plan.scripts.iter().enumerate() {
            let who = (TENANT, agent_id(n));
            let new = Installation::new(*script, who, Draw::new(plan.seed, n as u64));
            world.hub.enrol(new.agent, new.is_pinned, at(0));
            world.push(new.nominal_us, Event::Measure(n));
            if let Some((_, from_s, _)) = script.intruder() {
                world.push(from_s * SECOND, Event::Intrude(n, 0));
            }
            if let Some((what, at_s)) = script.incident() {
                world.push(at_s * SECOND, Event::Happen(n, what));
            }
            world.installed.push(new);
        }
        world.push(CYCLE_US, Event::Cycle);
        world
    }

    fn push(&mut self, at_us: i64, event: Event) {
        self.n_queued += 1;
        self.queue.push(Reverse((at_us, self.n_queued, event)));
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Measure(n) => self.measure(n),
            Event::Send(n) => {
                self.installed[n].state = State::Idle;
                self.begin(n);
            }
            Event::Arrive(n) => self.arrive(n),
            Event::Again(n) => self.again(n),
            Event::Intrude(n, turn) => self.intrude(n, turn),
            Event::Happen(n, what) => self.happen(n, what),
            Event::Cycle => self.cycle(),
        }
    }

    fn measure(&mut self, n: usize) {
        let (now_us, own) = (self.now_us, &mut self.installed[n]);
        if now_us / SECOND >= own.stops_at_s {
            return;
        }
        if let Some(until_s) = own.script.asleep_until(now_us / SECOND) {
            own.nominal_us = until_s * SECOND + own.draw.between(0, SECOND);
            let next_us = own.nominal_us;
            self.push(next_us, Event::Measure(n));
            return;
        }
        let next_us = own.measure(now_us);
        self.counts.n_measured += 1;
        self.push(next_us, Event::Measure(n));
        self.begin(n);
    }

    fn begin(&mut self, n: usize) {
        let (now_us, own) = (self.now_us, &mut self.installed[n]);
        if let Some(arrives_us) = own.begin(now_us) {
            self.push(arrives_us, Event::Arrive(n));
        }
    }

    fn arrive(&mut self, n: usize) {
        let (now_us, own) = (self.now_us, &mut self.installed[n]);
        let s = now_us / SECOND;
        let State::InFlight { record, sent_us } = own.state else {
            panic!("only what was sent arrives");
        };
        if own.script.asleep_until(s).is_some() || s >= own.stops_at_s {
            own.state = State::Idle;
            return;
        }
        if hub_away_until(s).is_some() || own.script.is_cut_off(s) {
            self.counts.n_unreachable += 1;
            let wait_us = own.spool.failed(&mut own.draw);
            return self.wait(n, wait_us);
        }
        let is_lost = own.draw.chance(own.script.loss());
        if is_lost && own.draw.chance(0.5) {
            self.counts.n_lost += 1;
            let wait_us = TIMEOUT_US + own.spool.failed(&mut own.draw);
            return self.wait(n, wait_us);
        }
        let is_kept = own.script.role == Role::SentTwice || own.script.is_recorded(s);
        let batch = own.request(record, sent_us, now_us);
        let outcome = self.hub.commit(batch);
        self.counts.count(outcome);
        let position = (batch.position, batch.sent_at);
        if outcome == IngestOutcome::Accepted {
            self.counts.n_late += u64::from(batch.is_late());
            if is_kept {
                let copy = batch.clone();
                own.recorded.push(copy);
            }
        }
        let agent = own.agent;
        self.heed_position(agent, position, outcome);
        let own = &mut self.installed[n];
        if is_lost {
            // The hub has it, and the agent does not know.
            self.counts.n_lost += 1;
            let wait_us = TIMEOUT_US + own.spool.failed(&mut own.draw);
            return self.wait(n, wait_us);
        }
        let wait_us = own.spool.answered(record.number, outcome, &mut own.draw);
        if own.script.role == Role::SentTwice {
            self.push(now_us + 2 * SECOND, Event::Again(n));
        }
        self.wait(n, wait_us);
    }

    /// Records what a refused position reveals, as the hub does at ingest.
    fn heed_position(
        &mut self,
        agent: AgentId,
        (position, sent_at): (Position, Timestamp),
        outcome: IngestOutcome,
    ) {
        let (config, now) = (&self.plan.config, at(self.now_us));
        let is_replay = outcome == IngestOutcome::Replay;
        if is_replay && config.is_on(AnomalyKind::SequenceRegress) {
            self.record(agent, sequence_regress::finding(position));
        }
        if !config.is_on(AnomalyKind::AgentCloned) {
            return;
        }
        let turns = self.refused.get_mut(&agent);
        if outcome == IngestOutcome::Accepted {
            turns.into_iter().for_each(Interleaving::accepted);
            return;
        }
        let is_refused = is_replay || matches!(outcome, IngestOutcome::StaleEpoch { .. });
        if !is_refused || !agent_cloned::is_fresh(config, sent_at, now) {
            return;
        }
        match turns {
            Some(turns) => {
                let found = turns.refused(config, now);
                found
                    .into_iter()
                    .for_each(|found| self.record(agent, found));
            }
            None => {
                self.refused.insert(agent, Interleaving::begin(now));
            }
        }
    }

    fn record(&mut self, agent: AgentId, finding: Finding) {
        let now = at(self.now_us);
        let signal = finding_signal(agent, &finding, now);
        self.hub.record(&IngestFinding {
            tenant: TENANT,
            agent,
            at: now,
            occurrences: 1,
            finding,
            signal,
        });
    }

    fn wait(&mut self, n: usize, wait_us: i64) {
        if wait_us > 0 {
            self.installed[n].state = State::Waiting;
            self.push(self.now_us + wait_us, Event::Send(n));
        } else {
            self.installed[n].state = State::Idle;
            self.begin(n);
        }
    }

    fn again(&mut self, n: usize) {
        if hub_away_until(self.now_us / SECOND).is_some() {
            return;
        }
        for mut batch in std::mem::take(&mut self.installed[n].recorded) {
            batch.received_at = at(self.now_us);
            let outcome = self.hub.commit(&batch);
            assert_eq!(outcome, IngestOutcome::Duplicate);
            self.counts.count(outcome);
        }
    }

    /// Uses a stolen token; what was recorded is sent again, the newest first.
    fn intrude(&mut self, n: usize, turn: u32) {
        let (now_us, own) = (self.now_us, &mut self.installed[n]);
        let Some((what, from_s, to_s)) = own.script.intruder() else {
            return;
        };
        let now = at(now_us);
        let finding = match what {
            Intruder::Unsigned => unsigned_payload::pinned_but_absent(),
            Intruder::WronglySigned => {
                signature_invalid::finding(signature_invalid::Reason::Mismatch)
            }
            Intruder::Replaying => {
                if let Some(mut batch) = own.recorded.pop() {
                    batch.received_at = now;
                    let outcome = self.hub.commit(&batch);
                    assert_eq!(outcome, IngestOutcome::Duplicate);
                    self.counts.count(outcome);
                }
                return self.next_turn(n, turn, (from_s, to_s));
            }
        };
        let agent = own.agent;
        self.counts.n_forged += 1;
        self.record(agent, finding);
        self.next_turn(n, turn, (from_s, to_s));
    }

    fn next_turn(&mut self, n: usize, turn: u32, (from_s, to_s): (i64, i64)) {
        let next_s = from_s + 15 * i64::from(turn + 1);
        if next_s <= to_s {
            self.push(next_s * SECOND, Event::Intrude(n, turn + 1));
        }
    }

    fn happen(&mut self, n: usize, what: Incident) {
        let (now, own) = (at(self.now_us), &mut self.installed[n]);
        match what {
            Incident::LoseCounters => {
                own.spool.start_epoch(own.spool.epoch() + 1);
            }
            Incident::RestoreBackup => own.spool.set_back(1_000),
            Incident::Pin => {
                own.is_pinned = true;
                self.hub.pin(own.agent, now);
            }
            Incident::AcceptVersion => {
                let kind = AnomalyKind::VersionDowngrade;
                self.hub.resolve(own.agent, kind, now);
            }
            Incident::Clone { n_copies } => {
                for copy in 1..=n_copies {
                    let number = self.installed.len();
                    let own = &self.installed[n];
                    let later_us = 15 * SECOND * copy / (n_copies + 1);
                    let draw = Draw::new(self.plan.seed, number as u64);
                    let new = own.copy(later_us, draw);
                    self.push(new.nominal_us, Event::Measure(number));
                    self.installed.push(new);
                }
            }
        }
    }

    fn cycle(&mut self) {
        if let Some(until_s) = hub_away_until(self.now_us / SECOND) {
            return self.push(until_s * SECOND, Event::Cycle);
        }
        let now = at(self.now_us);
        let cycle = Cycle {
            previous: self.previous,
            now,
        };
        let judged = self.hub.cycle(&self.plan.config, cycle);
        self.previous = Some(now);
        self.counts.n_cycles += 1;
        self.counts.n_undecided += judged.n_undecided;
        self.counts.n_undecided_open += judged.n_undecided_open;
        if self.plan.keeps_reports {
            self.reports.push(judged.report);
        }
        self.push(self.now_us + CYCLE_US, Event::Cycle);
    }
}

impl Counts {
    fn count(&mut self, outcome: IngestOutcome) {
        self.n_requests += 1;
        match outcome {
            IngestOutcome::Accepted => self.n_accepted += 1,
            IngestOutcome::Duplicate => self.n_duplicates += 1,
            IngestOutcome::Replay => self.n_replays += 1,
            IngestOutcome::GivenUp => self.n_given_up += 1,
            IngestOutcome::StaleEpoch { .. } => self.n_stale += 1,
            other => panic!("no request of the script ends with {other:?}"),
        }
    }
}

/// Whose agents they are.
pub(crate) const TENANT: TenantId = TenantId::from_bytes([7; 16]);
const CYCLE_US: i64 = 600 * SECOND;
/// How long an agent waits for an answer: ten seconds, as the reference agent.
const TIMEOUT_US: i64 = 10 * SECOND;
