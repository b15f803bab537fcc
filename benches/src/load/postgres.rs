//! Ingest on PostgreSQL: the CPU that the hub spends on a payload against the sum of its parts.
//!
//! Per profile, in one run and in turns, the CPU of: the hub that stores (its process, as the kernel
//! counts it); the hub that answers the same requests with one header spoilt, which it refuses for
//! their form alone once the body has passed by: the HTTP answer, without look-up, verification or
//! store; verifying alone and storing alone (see [`alone`](super::alone)), the latter by so many
//! callers that its batches are as large as those of the hub. Beside it payloads a second, latency,
//! and the CPU of PostgreSQL's own processes.

use std::time::Duration;

use monsys_hub::store::PostgresStore;

use super::alone;
use super::body::Size;
use super::client::{Arrivals, send};
use super::crowd::{Crowd, Profile, Requests};
use super::scene::{N_AGENTS, Scene, micros_each};
use super::{Options, say, usage};
use crate::report::Figure;
use crate::report::Target::{AtMost, Part};
use crate::store::server::{Server, now};
use crate::store::{median, progress};

/// The figures of ingest on PostgreSQL, per profile.
pub(super) fn run(options: &Options) {
    for profile in [Profile::Ed25519, Profile::Hmac] {
        let Some(server) = Server::start() else {
            return;
        };
        of_profile(options, &server, profile);
    }
}

fn of_profile(options: &Options, server: &Server, profile: Profile) {
    let name = profile.as_str();
    progress(&format!(
        "ingest on PostgreSQL, {name}: 2 KB payloads, 10,000 agents, 64 connections"
    ));
    let store = server.store();
    let mut crowd = Crowd::enrol(&server.wait, &store, profile, N_AGENTS);
    let spoilt = spoilt(&mut crowd);
    let scene = Scene::on_server(&options.program, server, crowd, &[]);
    let mut parts = Parts {
        server,
        store,
        scene,
        spoilt,
        n_callers: N_CALLERS[0],
    };
    let time = options.time / N_TURNS;
    let batch = parts.of_hub(time).batch;
    parts.match_batches(batch);
    let mut turns: Vec<Turn> = Vec::new();
    for _ in 0..N_TURNS {
        turns.push(parts.turn(time));
    }
    let of = |of: fn(&Turn) -> f64| median(&mut turns.iter().map(of).collect::<Vec<_>>());
    let [http, verify, stored] = [
        of(|turn| turn.http),
        of(|turn| turn.verify),
        of(|turn| turn.stored),
    ];
    let detail = format!(
        "ns of CPU a payload against HTTP answer {http:.1} + verify {verify:.1} + look-up and store \
         {stored:.1} us; batches of {:.0} against {:.0} alone; PostgreSQL {:.1} us; sender {:.1} us",
        of(|turn| turn.hub.batch),
        of(|turn| turn.batch_alone),
        of(|turn| turn.hub.postgres),
        of(|turn| turn.hub.client),
    );
    let sum = http + verify + stored;
    let figure = Figure::new(
        format!("postgres/{name}, CPU of the hub"),
        of(|turn| turn.hub.micros) * 1e3,
        sum * 1e3,
        AtMost(1.2),
    );
    say(options, &figure.with_detail(detail));
    let rate = of(|turn| turn.hub.rate);
    let detail = format!(
        "payloads/s against the 10,000 expected; closed loop p50 {:.1} p99 {:.1} ms; storing alone \
         {:.0}/s, HTTP answer alone {:.0}/s",
        of(|turn| turn.hub.p50),
        of(|turn| turn.hub.p99),
        of(|turn| turn.rate_alone),
        of(|turn| turn.rate_http),
    );
    let figure = Figure::new(format!("postgres/{name}, rate"), rate, 10_000.0, Part);
    say(options, &figure.with_detail(detail));
    let latency = parts
        .scene
        .latency(options, &format!("postgres/{name}"), rate);
    say(options, &latency);
    parts.scene.kill().remove();
}

/// Requests of this crowd that are refused for the form of one header.
fn spoilt(crowd: &mut Crowd) -> Requests {
    let requests = crowd.requests(N_SPOILT, Size::TwoKilobytes);
    match crowd.profile {
        Profile::Ed25519 => {
            requests.spoilt("authorization: Bearer ms_", "authorization: Bearer ms.")
        }
        Profile::Hmac => requests.spoilt("x-em-timestamp: 1", "x-em-timestamp: x"),
    }
}

struct Parts<'s> {
    server: &'s Server,
    store: PostgresStore,
    scene: Scene,
    spoilt: Requests,
    n_callers: usize,
}

/// What was measured in a turn; times are microseconds of CPU a payload.
struct Turn {
    hub: OfHub,
    http: f64,
    rate_http: f64,
    verify: f64,
    stored: f64,
    rate_alone: f64,
    batch_alone: f64,
}

/// What a hub did with payloads.
struct OfHub {
    micros: f64,
    postgres: f64,
    client: f64,
    rate: f64,
    p50: f64,
    p99: f64,
    batch: f64,
}

impl Parts<'_> {
    fn turn(&mut self, time: Duration) -> Turn {
        let hub = self.of_hub(time);
        let (http, rate_http) = self.of_http(time);
        let n = N_ALONE.min((hub.rate * time.as_secs_f64()) as usize).max(1);
        let (verify, stored, batch_alone) = self.of_store(n, self.n_callers);
        Turn {
            hub,
            http,
            rate_http,
            verify,
            stored: stored.micros,
            rate_alone: stored.rate,
            batch_alone,
        }
    }

    fn of_hub(&mut self, time: Duration) -> OfHub {
        let (since, postgres) = (now(), self.postgres_cpu());
        let (answers, cpu) = self.scene.closed(time);
        answers.assert_nearly_all(202, "PostgreSQL");
        let n = answers.all.len();
        OfHub {
            micros: micros_each(cpu, n),
            postgres: micros_each(self.postgres_cpu() - postgres, n),
            client: answers.client_micros(),
            rate: answers.rate_of(202),
            p50: answers.millis_of(202, 0.5),
            p99: answers.millis_of(202, 0.99),
            batch: self.batch_since(since),
        }
    }

    fn of_http(&self, time: Duration) -> (f64, f64) {
        let cpu = self.scene.hub.cpu();
        let answers = send(&self.scene.plan(Arrivals::Closed, time), &self.spoilt);
        let status = match self.scene.crowd.profile {
            Profile::Ed25519 => 401,
            Profile::Hmac => 400,
        };
        answers.assert_nearly_all(status, "a spoilt header");
        let cpu = self.scene.hub.cpu() - cpu;
        (micros_each(cpu, answers.all.len()), answers.rate_of(status))
    }

    /// Verifies so many, then stores them; tells also how large the batches were.
    fn of_store(&mut self, n: usize, n_callers: usize) -> (f64, alone::StoredAlone, f64) {
        let requests = self.scene.crowd.requests(n, Size::TwoKilobytes);
        let (verify, payloads) = alone::verify(&self.scene.crowd, &requests);
        drop(requests);
        let since = now();
        let (wait, crowd) = (&self.server.wait, &self.scene.crowd);
        let stored = alone::store(wait, &self.store, crowd, payloads, n_callers);
        (verify, stored, self.batch_since(since))
    }

    /// Finds with how many callers the batches are as large as those of the hub.
    fn match_batches(&mut self, wanted: f64) {
        let mut nearest = f64::INFINITY;
        for n_callers in N_CALLERS {
            let (_, _, batch) = self.of_store(N_PROBE, n_callers);
            let distance = (batch / wanted).ln().abs();
            if distance < nearest {
                (nearest, self.n_callers) = (distance, n_callers);
            }
        }
    }

    /// Payloads of a transaction, on average, since then. Each transaction that stored some has an
    /// identifier, which its rows bear.
    fn batch_since(&self, since: monsys_core::time::Timestamp) -> f64 {
        let tenant = self.scene.crowd.tenant;
        let of = |what: &str| {
            let sql = format!(
                "SELECT {what} FROM metrics WHERE tenant_id = '{tenant}' AND time >= '{}'",
                since.to_rfc3339()
            );
            self.server.database.number(&sql) as f64
        };
        of("count(*)") / of("count(DISTINCT xmin::text)").max(1.0)
    }

    fn postgres_cpu(&self) -> Duration {
        usage::cpu_of_tree(self.server.process())
    }
}

const N_TURNS: u32 = 3;
/// Tried in turn, until the batches are as large as those of the hub.
const N_CALLERS: [usize; 7] = [64, 48, 32, 24, 16, 8, 4];
const N_PROBE: usize = 4_000;
const N_ALONE: usize = 40_000;
/// More requests a second than the hub answers for their form alone, for five seconds.
const N_SPOILT: usize = 200_000;
