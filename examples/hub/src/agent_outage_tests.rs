//! A day without a hub: what the reference agent spooled meanwhile drains into a real hub, behind
//! what is fresh, and the judge of its honesty finds nothing.
//!
//! The agent's spool and sender are the ones of its daemon, over HTTP; only what it measures is made
//! up, because a busy test machine looks like a forged one. Hub and agent follow a clock that runs
//! faster, and that shows a day later when the hub is back.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use monsys_agent::clock::{Deadline, Ticker};
use monsys_agent::config::{Config, DataDir};
use monsys_agent::enrolment::Enrolment;
use monsys_agent::sender::{Sender, Step};
use monsys_agent::spool::{Spool, SpoolLimits};
use monsys_core::anomaly::AnomalyKind;
use monsys_core::endpoint::EndpointSnapshot;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::name::DisplayName;
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::signal::SignalDraft;
use monsys_core::store::{
    AnomalyFilter, AnomalyRow, NewAgent, NewCredential, PublicKey, TokenDigest,
};
use monsys_core::time::{Span, Timestamp};
use monsys_wire::BearerToken;
use monsys_wire::compose::Outbound;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::app::App;
use crate::clock::{Clock, wall_now};
use crate::config::Choices;
use crate::random::random_bytes;
use crate::server::Hub;
use crate::store::SqliteStore;
use crate::worker;

const RATE: u32 = 40;
const CADENCE: Span = Span::from_secs(15);
const OUTAGE: Span = Span::from_secs(86_400);
/// A snapshot of the endpoint and signals every five minutes: two payloads beside the metrics.
const TICKS_PER_SNAPSHOT: u64 = 20;

#[test]
fn a_day_of_backlog_drains_into_a_hub_without_a_finding() {
    let scene = Scene::new();
    let begin = wall_now().saturating_sub(Span::from_secs(26 * 3_600));
    let clock = clock_at(begin);
    let mut agent = Agent::new(&scene, clock);
    // The agent is heard for ten minutes before the hub goes away.
    let hub = scene.serve(clock);
    agent.live(|_, n_ticks| n_ticks >= 40);
    assert!(scene.judge(&hub.app).is_empty());
    let n_before = scene.end(hub);
    assert_eq!(n_before, agent.n_spooled, "all of it arrived live");

    let away = clock.now();
    agent.measure_alone(away);
    let n_backlog = agent.n_pending();

    let clock = clock_at(away.saturating_add(OUTAGE).saturating_add(CADENCE));
    agent.set_clock(clock);
    let hub = scene.serve(clock);
    let wall = Instant::now();
    agent.live(|spool, _| spool.ledger().n_pending() == 0);
    let drained = wall.elapsed();
    // Another ten minutes, so that the hub judges what came in; it judged during the drain too.
    agent.live(|_, n_ticks| n_ticks >= 48);
    let app = Arc::clone(&hub.app);
    let findings = scene.judge(&app);
    let n_refused = app.telemetry.ingest.n_refused();
    let n_after = scene.end(hub);
    println!(
        "{n_backlog} payloads of a day drained in {:.1} s: {:.0} a second, one at a time, \
         {:.2} ms for an answer; {} attempts in all",
        drained.as_secs_f64(),
        f64::from(u32::try_from(n_backlog).unwrap()) / drained.as_secs_f64(),
        agent.asked.as_secs_f64() * 1_000.0 / f64::from(agent.n_asked),
        agent.n_asked
    );
    // The hub was away itself, and says so of itself; of the agent it finds nothing.
    let [(of, AnomalyKind::DetectorStalled, _)] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert_eq!(*of, AgentId::of_hub(scene.tenant), "{findings:?}");
    assert_eq!((agent.n_undelivered, n_refused), (0, 0));
    assert_eq!(n_before + n_after, agent.n_spooled, "each counted once");
    assert!(n_backlog > 6_300, "{n_backlog}");
}

/// A clock of [`RATE`] that shows a time now.
fn clock_at(shown: Timestamp) -> Clock {
    let wall = wall_now();
    let ahead = wall.since(shown).micros() / (i64::from(RATE) - 1);
    let origin = wall.saturating_add(Span::from_micros(ahead));
    Clock::accelerated(origin, RATE).unwrap()
}

/// Where hub and agent live.
struct Scene {
    runtime: Runtime,
    directory: PathBuf,
    addr: SocketAddr,
    tenant: TenantId,
}

/// A hub that serves.
struct Serving {
    app: Arc<App>,
    hub: Hub,
}

impl Scene {
    fn new() -> Self {
        let name = format!("monsys-hub-outage-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let runtime = Runtime::new().unwrap();
        // The port is the agent's way to the hub, whoever serves it at the time.
        let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = addr.local_addr().unwrap();
        let tenant = TenantId::from_random_bytes(random_bytes());
        Self {
            runtime,
            directory,
            addr,
            tenant,
        }
    }

    fn open(&self, clock: Clock) -> Arc<App> {
        let store = SqliteStore::open(&self.directory.join("monsys.db")).unwrap();
        let config = Choices::default().complete(None).unwrap();
        let opened = App::open(Arc::new(store), clock, config);
        self.runtime.block_on(opened).unwrap()
    }

    fn serve(&self, clock: Clock) -> Serving {
        let app = self.open(clock);
        let door = app.config.serving.door().unwrap();
        let started = Arc::clone(&app);
        let hub = self.runtime.block_on(async {
            let listener = TcpListener::bind(self.addr).await.unwrap();
            Hub::start(started, listener, door, Vec::new())
        });
        Serving { app, hub }
    }

    /// Ends a hub and returns how many payloads it accepted.
    fn end(&self, serving: Serving) -> u64 {
        let n_accepted = serving.app.telemetry.ingest.n_accepted();
        self.runtime.block_on(serving.hub.end());
        n_accepted
    }

    /// Runs a cycle and returns everything that was ever found, and of whom.
    fn judge(&self, app: &App) -> Vec<(AgentId, AnomalyKind, String)> {
        self.runtime.block_on(async {
            while worker::cycle(app, random_bytes(), app.clock.now())
                .await
                .unwrap()
                .is_none()
            {
                tokio::task::yield_now().await;
            }
            let filter = AnomalyFilter::default();
            let rows = limit::PAGE_ROWS_MAX;
            let page = app
                .store
                .anomalies(self.tenant, filter, rows, app.clock.now());
            let found = page.await.unwrap().rows.into_iter();
            let of = |row: AnomalyRow| {
                let (agent, finding) = (row.anomaly.agent, row.anomaly.finding);
                (agent, finding.kind, format!("{finding:?}"))
            };
            found.map(of).collect()
        })
    }

    /// Enrols an agent at the hub and on its own side.
    fn enrol(&self, data: &DataDir, app: &App) -> Enrolment {
        let key = monsys_agent::key::create(&data.key()).unwrap();
        let token = BearerToken::from_random_bytes(random_bytes());
        let agent = AgentId::from_random_bytes(random_bytes());
        let new = NewAgent {
            agent,
            tenant: self.tenant,
            name: DisplayName::parse("away-for-a-day").unwrap(),
            credential: NewCredential::Token {
                token: TokenDigest(token.digest()),
                key: Some(PublicKey(key.verifying_key().to_bytes())),
                pin_until: wall_now(),
            },
            enrolled_at: app.clock.now(),
        };
        let name = DisplayName::parse("acme").unwrap();
        self.runtime.block_on(async {
            app.store.add_tenant(self.tenant, name).await.unwrap();
            app.store.enrol(&new).await.unwrap();
        });
        let text = format!(
            "hub = \"http://{}\"\ntoken = \"{}\"\nagent_id = \"{agent}\"\naud = \"{}\"\n",
            self.addr,
            token.expose_text(),
            app.audience.as_str()
        );
        let config = Config::parse(&data.config(), &text).unwrap();
        config.save(&data.config()).unwrap();
        Enrolment::load(data).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The agent, without threads: its spool and sender are those of the daemon.
struct Agent {
    clock: Clock,
    data: DataDir,
    enrolment: Enrolment,
    sender: Sender,
    spool: Mutex<Spool>,
    n_ticks: u64,
    n_spooled: u64,
    n_undelivered: u32,
    n_asked: u32,
    asked: Duration,
    /// Nobody speaks here, so that waiting for it takes its time.
    silence: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

impl Agent {
    fn new(scene: &Scene, clock: Clock) -> Self {
        let path: &Path = &scene.directory.join("agent");
        std::fs::create_dir_all(path).unwrap();
        let data = DataDir::at(path);
        let app = scene.open(clock);
        let enrolment = scene.enrol(&data, &app);
        app.store.close();
        Self {
            clock,
            sender: Sender::new(&data, clock),
            spool: Mutex::new(Spool::open(&data.spool(), SpoolLimits::standard()).unwrap()),
            data,
            enrolment,
            n_ticks: 0,
            n_spooled: 0,
            n_undelivered: 0,
            n_asked: 0,
            asked: Duration::ZERO,
            silence: mpsc::channel(),
        }
    }

    /// Goes on with another clock, as after a restart.
    fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.sender = Sender::new(&self.data, clock);
    }

    fn n_pending(&self) -> usize {
        self.spool.lock().unwrap().ledger().n_pending()
    }

    /// Spools what one tick measures, metrics last.
    fn measure(&mut self, captured_at: Timestamp) {
        let random = f64::from(u32::from_le_bytes(random_bytes())) / f64::from(u32::MAX);
        let sample = MetricSample::of_cpu(CpuPercent::new(5.0 + 60.0 * random).unwrap());
        let (endpoint, signals) = (EndpointSnapshot::default(), [in_step(captured_at)]);
        let mut payloads = Vec::new();
        if self.n_ticks.is_multiple_of(TICKS_PER_SNAPSHOT) {
            payloads.extend([Outbound::Signals(&signals), Outbound::Endpoint(&endpoint)]);
        }
        payloads.push(Outbound::Metrics(&sample));
        self.n_ticks += 1;
        let mut spool = self.spool.lock().unwrap();
        for data in payloads {
            let composed = |position| {
                let body = self.enrolment.compose(data, position, captured_at)?;
                Ok(body.as_bytes().to_vec())
            };
            spool.append(captured_at, composed).unwrap();
            self.n_spooled += 1;
        }
    }

    /// Measures for as long as the outage lasts, without waiting for the time to pass.
    fn measure_alone(&mut self, away: Timestamp) {
        let mut at = away;
        while at.since(away) < OUTAGE {
            at = at.saturating_add(CADENCE);
            self.measure(at);
        }
    }

    /// Measures at each tick and sends in between, until it is enough.
    fn live(&mut self, is_enough: impl Fn(&Spool, u64) -> bool) {
        let mut ticker = Ticker::start(self.clock, CADENCE);
        for n_ticks in 1.. {
            self.measure(self.clock.now());
            let deadline = Deadline::at(ticker.advance());
            while let Some(left) = deadline.remaining() {
                let wait = self.step().unwrap_or(left);
                let _ = self.silence.1.recv_timeout(wait.min(left));
            }
            if is_enough(&self.spool.lock().unwrap(), n_ticks) {
                return;
            }
        }
    }

    /// Tries one payload; `None` when there is none.
    fn step(&mut self) -> Option<Duration> {
        let begin = Instant::now();
        let limit = Duration::from_secs(10);
        match self.sender.step(&self.enrolment, &self.spool, limit) {
            Step::Idle => None,
            Step::Stalled { wait } => Some(wait),
            Step::Tried { answer, wait, .. } => {
                self.asked += begin.elapsed();
                self.n_asked += 1;
                self.n_undelivered += u32::from(!answer.is_delivered());
                Some(wait)
            }
        }
    }
}

/// A signal as the agent's look at its own clock makes it.
fn in_step(observed_at: Timestamp) -> SignalDraft {
    SignalDraft {
        source: "clock_check".to_owned(),
        subject_type: "agent".to_owned(),
        subject_id: String::new(),
        key: "clock.synchronised".to_owned(),
        value: r#"{"value":true}"#.to_owned(),
        severity: None,
        observed_at,
        ttl_seconds: Some(900),
    }
}
