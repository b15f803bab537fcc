//! What cannot be seen from outside in a moment: the lease over time, and how far a cycle is.

use std::path::PathBuf;
use std::sync::Arc;

use monsys_core::anomaly::{AnomalyKind, Finding};
use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::{AgentVersion, DisplayName};
use monsys_core::position::{ContentHash, Position};
use monsys_core::severity::Severity;
use monsys_core::store::{
    AnomalyFilter, IngestBatch, IngestOutcome, NewAgent, NewCredential, Payload, PublicKey,
    SignatureStatus, TokenDigest, VersionSeen,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::{Config, stalled};
use tokio::runtime::Runtime;

use super::progress::{Progress, Totals};
use super::report::CycleReport;
use super::run::{Halt, LEASE_S, PAGE_AGENTS, Run};
use crate::app::App;
use crate::clock::{Clock, wall_now};
use crate::config::Choices;
use crate::store::postgres::{PostgresPlace, cluster};
use crate::store::{HubStore, PostgresStore, SqliteStore};

const ONE: TenantId = TenantId::from_bytes([0x11; 16]);
const OTHER: TenantId = TenantId::from_bytes([0x22; 16]);
const HERE: [u8; 16] = [1; 16];
const ELSEWHERE: [u8; 16] = [2; 16];

/// A store with two organisations, of which the first has one agent more than a page.
struct Scene {
    runtime: Runtime,
    store: Arc<dyn HubStore>,
    n_agents: u32,
    directory: Option<PathBuf>,
}

impl Scene {
    /// Runs a test on each store.
    fn each(test: impl Fn(&Self)) {
        test(&Self::on_sqlite("each", PAGE_AGENTS + 1));
        if let Some(database) = cluster::database() {
            let place = PostgresPlace::parse(&database.url()).unwrap();
            let runtime = Runtime::new().unwrap();
            let store = runtime.block_on(PostgresStore::open(&place, None, wall_now()));
            let store: Arc<dyn HubStore> = Arc::new(store.unwrap());
            test(&Self::filled(runtime, store, PAGE_AGENTS + 1));
        }
    }

    fn on_sqlite(name: &str, n_agents: u32) -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let name = format!("monsys-worker-{name}-{}-{thread}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let store = SqliteStore::open(&directory.join("monsys.db")).unwrap();
        let mut scene = Self::filled(Runtime::new().unwrap(), Arc::new(store), n_agents);
        scene.directory = Some(directory);
        scene
    }

    fn filled(runtime: Runtime, store: Arc<dyn HubStore>, n_agents: u32) -> Self {
        for (tenant, name) in [(ONE, "one"), (OTHER, "other")] {
            let name = DisplayName::parse(name).unwrap();
            runtime.block_on(store.add_tenant(tenant, name)).unwrap();
        }
        // All at once, so that they share transactions.
        let enrolling: Vec<_> = (0..n_agents)
            .map(|n| (Arc::clone(&store), enrolled(n)))
            .map(|(store, agent)| runtime.spawn(async move { store.enrol(&agent).await }))
            .collect();
        for enrolled in enrolling {
            runtime.block_on(enrolled).unwrap().unwrap();
        }
        Self {
            runtime,
            store,
            n_agents,
            directory: None,
        }
    }

    /// A hub whose clock is ahead of the wall by so many seconds.
    fn hub(&self, ahead_s: i64) -> Arc<App> {
        self.hub_by(Config::standard(), ahead_s)
    }

    /// The same, with other rules.
    fn hub_by(&self, integrity: Config, ahead_s: i64) -> Arc<App> {
        // Twice as fast since then: where it is ahead by as much as it is fast.
        let origin = wall_now().saturating_sub(Span::from_secs(ahead_s));
        let clock = match ahead_s {
            0 => Clock::system(),
            _ => Clock::accelerated(origin, 2).unwrap(),
        };
        let mut config = Choices::default().complete(None).unwrap();
        config.integrity = integrity;
        let opened = App::open(Arc::clone(&self.store), clock, config);
        self.runtime.block_on(opened).unwrap()
    }

    fn begin<'a>(&self, hub: &'a App) -> Run<'a> {
        let begun = Run::begin(hub, HERE, hub.clock.now());
        self.runtime.block_on(begun).unwrap().unwrap()
    }

    fn keep_lease(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        self.runtime.block_on(run.keep_lease())
    }

    fn cycle(&self, hub: &App) -> CycleReport {
        let cycle = super::cycle(hub, HERE, hub.clock.now());
        self.runtime.block_on(cycle).unwrap().unwrap()
    }

    /// Lets agents be heard so many seconds ahead of the wall.
    fn hear(&self, agents: std::ops::Range<u32>, ahead_s: i64) {
        let at = wall_now().saturating_add(Span::from_secs(ahead_s));
        let batches: Vec<_> = agents.map(|n| heard(n, at)).collect();
        let stored = self.runtime.block_on(self.store.commit(&batches));
        let accepted = IngestOutcome::Accepted;
        assert!(stored.unwrap().iter().all(|outcome| *outcome == accepted));
    }

    fn n_records(&self, tenant: TenantId) -> usize {
        self.runtime
            .block_on(self.store.cycles(tenant, 10))
            .unwrap()
            .len()
    }

    fn n_anomalies(&self, tenant: TenantId, kind: Option<AnomalyKind>) -> usize {
        let filter = AnomalyFilter {
            kind,
            ..AnomalyFilter::default()
        };
        let found = self.store.anomalies(tenant, filter, 100, wall_now());
        self.runtime.block_on(found).unwrap().rows.len()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.store.close();
        if let Some(directory) = &self.directory {
            std::fs::remove_dir_all(directory).unwrap();
        }
    }
}

fn enrolled(n: u32) -> NewAgent {
    let mut id = [0x33; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let mut token = [0; 32];
    token[..4].copy_from_slice(&n.to_be_bytes());
    NewAgent {
        agent: AgentId::from_random_bytes(id),
        tenant: ONE,
        name: DisplayName::parse(&format!("agent-{n}")).unwrap(),
        credential: NewCredential::Token {
            token: TokenDigest(token),
            key: Some(PublicKey([7; 32])),
            pin_until: wall_now(),
        },
        enrolled_at: wall_now(),
    }
}

/// A payload without samples, which is a sign of life all the same.
fn heard(n: u32, at: Timestamp) -> IngestBatch {
    let content = at.unix_micros().to_be_bytes().repeat(4).try_into();
    IngestBatch {
        tenant: ONE,
        agent: enrolled(n).agent,
        received_at: at,
        captured_at: at,
        sent_at: at,
        nonce: None,
        position: Position::new(1, at.unix_micros() / 1_000_000).unwrap(),
        content: ContentHash(content.unwrap()),
        signature: SignatureStatus::Verified,
        version: VersionSeen {
            text: AgentVersion::parse("0.1.0").unwrap(),
            triple: None,
        },
        payload: Payload::Signals(Vec::new()),
        finding: None,
    }
}

fn ago(seconds: i64) -> Timestamp {
    wall_now().saturating_sub(Span::from_secs(seconds))
}

#[test]
fn a_lease_is_renewed_after_a_third_of_its_time_and_not_before() {
    let scene = Scene::on_sqlite("renewed", 0);
    let hub = scene.hub(0);
    let mut run = scene.begin(&hub);
    for (held_s, is_renewed) in [
        (0, false),
        (LEASE_S / 3 - 5, false),
        (LEASE_S / 3, true),
        (LEASE_S * 5, true),
        // The clock was set back.
        (-3_600, true),
    ] {
        let before = ago(held_s);
        run.renewed_at = before;
        assert_eq!(scene.keep_lease(&mut run), Ok(()), "{held_s}");
        assert_eq!(run.renewed_at != before, is_renewed, "{held_s}");
    }
}

#[test]
fn while_the_store_is_away_a_lease_is_good_to_its_end() {
    let scene = Scene::on_sqlite("away", 0);
    let hub = scene.hub(0);
    let mut run = scene.begin(&hub);
    scene.store.close();
    for (held_s, kept) in [
        (LEASE_S / 3, Ok(())),
        (LEASE_S - 5, Ok(())),
        (LEASE_S, Err(Halt::LeaseLost)),
        (-3_600, Err(Halt::LeaseLost)),
    ] {
        run.renewed_at = ago(held_s);
        assert_eq!(scene.keep_lease(&mut run), kept, "{held_s}");
    }
}

#[test]
fn a_cycle_that_lost_its_lease_stops_says_so_and_stores_nothing() {
    Scene::each(|scene| {
        let (hub, late) = (scene.hub(0), scene.hub(LEASE_S + 100));
        let mut run = scene.begin(&hub);
        let mut own = CycleReport::default();
        let first = scene
            .runtime
            .block_on(run.judge_next_page(ONE, None, &mut own));
        assert!(first.unwrap().is_some(), "there is a second page");
        assert_eq!(own.evaluated, usize::try_from(PAGE_AGENTS).unwrap());
        // The page took so long that the lease ended, and another hub took it.
        let ttl = Span::from_secs(LEASE_S);
        let taken = scene.store.take_lease(ELSEWHERE, late.clock.now(), ttl);
        assert!(scene.runtime.block_on(taken).unwrap().is_some());
        run.app = &late;
        let finding = stalled_finding();
        let step = stalled::transition(AgentId::of_hub(ONE), None, Some(finding), wall_now());
        let stored = run.store_verdicts(ONE, step.into_iter().collect(), &mut own);
        assert_eq!(scene.runtime.block_on(stored), Err(Halt::LeaseLost));
        let report = scene.runtime.block_on(run.complete()).unwrap();
        assert!(report.lost_lease && !report.is_complete());
        assert_eq!(report.evaluated, 0);
        assert_eq!(
            (scene.n_records(ONE), scene.n_anomalies(ONE, None)),
            (0, 0),
            "the other hub writes them"
        );
        let previous = scene
            .runtime
            .block_on(scene.store.meta("previous_cycle"))
            .unwrap();
        assert_eq!(previous, None, "no cycle was finished");
        assert_eq!(hub.worker.totals().n_lost, 1);
    });
}

fn stalled_finding() -> Finding {
    Finding {
        kind: AnomalyKind::DetectorStalled,
        severity: Severity::Medium,
        summary: "a finding".to_owned(),
        detail: "{}".to_owned(),
        evidence: "{}".to_owned(),
    }
}

#[test]
fn a_cycle_that_another_hub_ran_meanwhile_is_not_run_again() {
    Scene::each(|scene| {
        let (hub, other) = (scene.hub(0), scene.hub(0));
        let orders = hub.worker.orders.take().unwrap();
        let mut worker = super::Loop {
            app: Arc::clone(&hub),
            orders,
            holder: HERE,
            due: Timestamp::MIN,
            ended: None,
            under_way: None,
        };
        let ran = super::cycle(&other, ELSEWHERE, other.clock.now());
        assert!(scene.runtime.block_on(ran).unwrap().is_some());
        let previous = || {
            let read = scene.store.meta("previous_cycle");
            scene.runtime.block_on(read).unwrap()
        };
        let before = previous();
        // What was read before it took the lease said that a cycle is due.
        let turn = worker.turn(hub.clock.now(), None);
        scene.runtime.block_on(turn);
        assert_eq!((scene.n_records(ONE), previous()), (1, before));
        assert_eq!(hub.worker.totals(), Totals::default());
        let freed = super::cycle(&other, ELSEWHERE, other.clock.now());
        assert!(scene.runtime.block_on(freed).unwrap().is_some());
    });
}

#[test]
fn an_organisation_sees_how_far_its_own_part_of_the_cycle_is() {
    Scene::each(|scene| {
        let hub = scene.hub(0);
        assert_eq!(hub.worker.progress(ONE), None);
        let mut run = scene.begin(&hub);
        let since = run.cycle.now;
        run.running.expect(ONE, u64::from(scene.n_agents));
        run.running.expect(OTHER, 7);
        let mut own = CycleReport::default();
        let first = run.judge_next_page(ONE, None, &mut own);
        scene.runtime.block_on(first).unwrap();
        let shown = |n_judged: u32, n_agents: u32| {
            let (n_judged, n_agents) = (u64::from(n_judged), u64::from(n_agents));
            Some(Progress {
                since,
                n_judged,
                n_agents,
            })
        };
        assert_eq!(hub.worker.progress(ONE), shown(PAGE_AGENTS, scene.n_agents));
        assert_eq!(hub.worker.progress(OTHER), shown(0, 7));
        assert_eq!(
            hub.worker.progress_of_all(),
            shown(PAGE_AGENTS, scene.n_agents + 7)
        );
        drop(run);
        assert_eq!(hub.worker.progress(ONE), None);
        let broken_off = Totals {
            n_failed: 1,
            ..Totals::default()
        };
        assert_eq!(hub.worker.totals(), broken_off);
    });
}

#[test]
fn a_hub_whose_clock_jumped_three_hours_stalls_once_and_resolves_in_the_next_cycle() {
    Scene::each(|scene| {
        let stall = Some(AnomalyKind::DetectorStalled);
        let first = scene.cycle(&scene.hub(0));
        assert_eq!((first.missed, first.opened), (0, 0), "the first start");
        let later = scene.hub(3 * 3_600);
        let woken = scene.cycle(&later);
        // One for each organisation that was judged before.
        assert_eq!((woken.missed, woken.opened), (17, 2));
        let next = scene.cycle(&scene.hub(3 * 3_600 + 600));
        assert_eq!((next.missed, next.opened, next.resolved), (0, 0, 2));
        for tenant in [ONE, OTHER] {
            assert_eq!(scene.n_anomalies(tenant, stall), 1);
            assert_eq!(scene.n_records(tenant), 3);
        }
        let woken = later.worker.totals();
        assert_eq!((woken.n_complete, woken.n_missed), (1, 17));
    });
}

#[test]
fn agents_that_fall_silent_are_found_and_an_outage_of_many_is_not() {
    let mut rules = Config::standard();
    rules.opt_in = rules.opt_in.with(AnomalyKind::AgentSilent);
    Scene::each(|scene| {
        let silent = Some(AnomalyKind::AgentSilent);
        let opened_at = |ahead_s| {
            scene.cycle(&scene.hub_by(rules.clone(), ahead_s));
            scene.n_anomalies(ONE, silent)
        };
        scene.hear(0..10, 0);
        assert_eq!(opened_at(0), 0, "heard, and nobody else ever was");
        assert_eq!(opened_at(600), 0, "all ten at once are an outage");
        scene.hear(0..8, 1_190);
        assert_eq!(opened_at(1_200), 2, "two of ten are silent");
        scene.hear(0..9, 1_790);
        let hub = scene.hub_by(rules.clone(), 1_800);
        let report = scene.cycle(&hub);
        assert_eq!((report.opened, report.resolved), (0, 1), "one is back");
        scene.hear(0..10, 3_590);
        assert_eq!(opened_at(3_600), 2, "the other too");
        scene.hear(0..8, 7_000);
        assert_eq!(
            opened_at(7_200),
            2,
            "nobody is judged after the hub was away"
        );
        let standard = scene.cycle(&scene.hub(7_800));
        assert_eq!(standard.opened, 0, "by the document nobody is silent");
    });
}
