//! A hub on a store of its own that knows ten thousand agents of one profile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use monsys_hub::store::{AccountStore as _, SqliteStore};
use tokio::runtime::Runtime;

use super::answer::Answers;
use super::body::Size;
use super::client::{Arrivals, Plan, send};
use super::crowd::{Crowd, Profile};
use super::hub::{Hub, Place, Program};
use super::{Options, usage};
use crate::report::Figure;
use crate::report::Target::AtMostNanos;
use crate::store::server::Server;

/// A hub and the agents that it knows.
pub(super) struct Scene {
    pub(super) hub: Hub,
    pub(super) crowd: Crowd,
    place: Place,
    directory: PathBuf,
}

impl Scene {
    /// Enrols agents in a new SQLite store and starts a hub on it.
    pub(super) fn on_sqlite(
        wait: &Runtime,
        program: &Program,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let directory = super::directory(name);
        let store = SqliteStore::open(&directory.join("monsys.db")).expect("a store");
        let crowd = Crowd::enrol(wait, &store, Profile::Ed25519, N_AGENTS);
        store.close();
        let place = Place::Directory(directory.clone());
        Self::start(program, crowd, place, directory, settings)
    }

    /// Starts a hub on the store of a server that knows these agents.
    pub(super) fn on_server(
        program: &Program,
        server: &Server,
        crowd: Crowd,
        settings: &[(&str, &str)],
    ) -> Self {
        let directory = super::directory(&format!("server-{}", crowd.org));
        let place = Place::Server(server.database.url());
        Self::start(program, crowd, place, directory, settings)
    }

    fn start(
        program: &Program,
        crowd: Crowd,
        place: Place,
        directory: PathBuf,
        settings: &[(&str, &str)],
    ) -> Self {
        let hub = Hub::start(program, &place, &directory.join("hub.log"), settings);
        Self {
            hub,
            crowd,
            place,
            directory,
        }
    }

    /// Ends the hub, and starts another on the same store.
    pub(super) fn restart(self, program: &Program, settings: &[(&str, &str)]) -> Self {
        let Self {
            hub,
            crowd,
            place,
            directory,
        } = self;
        drop(hub);
        Self::start(program, crowd, place, directory, settings)
    }

    /// Ends the hub, without a word of warning; the store stays.
    pub(super) fn kill(self) -> Remains {
        drop(self.hub);
        Remains {
            crowd: self.crowd,
            directory: self.directory,
        }
    }

    /// A drive of the usual number of connections.
    pub(super) const fn plan(&self, arrivals: Arrivals, time: Duration) -> Plan {
        Plan {
            addr: self.hub.addr,
            n_connections: N_CONNECTIONS,
            arrivals,
            time,
        }
    }

    /// Sends 2 KB payloads as fast as they are answered; returns also the CPU time of the hub.
    pub(super) fn closed(&mut self, time: Duration) -> (Answers, Duration) {
        let n = (time.as_secs_f64() * RATE_MAX) as usize;
        let requests = self.crowd.requests(n, Size::TwoKilobytes);
        let cpu = self.hub.cpu();
        let answers = send(&self.plan(Arrivals::Closed, time), &requests);
        (answers, self.hub.cpu() - cpu)
    }

    /// Sends 2 KB payloads by a schedule.
    pub(super) fn open(&mut self, a_second: f64, time: Duration) -> Answers {
        let n = (a_second * time.as_secs_f64()) as usize;
        let requests = self.crowd.requests(n, Size::TwoKilobytes);
        send(&self.plan(Arrivals::Open { a_second }, time), &requests)
    }

    /// How long acknowledgements take when payloads are due by a schedule, at four fifths of what
    /// was reached.
    pub(super) fn latency(&mut self, options: &Options, name: &str, capacity: f64) -> Figure {
        let a_second = capacity * 0.8;
        let answers = self.open(a_second, options.time);
        answers.assert_nearly_all(202, name);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| answers.millis_of(202, part));
        let detail = format!(
            "ns, from when a payload was due, {a_second:.0}/s = 0.8 of the capacity; p50 {p50:.1} \
             p99 {p99:.1} p99.9 {p999:.1} ms, {} of {} sent",
            answers.n_sent, answers.n_due,
        );
        let figure = Figure::new(
            format!("{name}/p99 acknowledgement"),
            p99 * 1e6,
            50e6,
            AtMostNanos(50e6),
        );
        figure.with_detail(detail)
    }
}

/// What a hub leaves behind.
pub(super) struct Remains {
    pub(super) crowd: Crowd,
    directory: PathBuf,
}

impl Remains {
    /// The file of a SQLite store.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join("monsys.db")
    }

    /// Removes it.
    pub(super) fn remove(self) -> Crowd {
        remove(&self.directory);
        self.crowd
    }
}

fn remove(directory: &Path) {
    std::fs::remove_dir_all(directory).expect("a directory that goes");
}

/// Microseconds of CPU for each of so many payloads.
pub(super) fn micros_each(cpu: Duration, n: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / n as f64
}

/// Microseconds of CPU that a body of work takes a payload in this thread.
pub(super) fn micros_here(n: usize, work: impl FnOnce()) -> f64 {
    let cpu = usage::cpu_of_thread();
    work();
    micros_each(usage::cpu_of_thread() - cpu, n)
}

pub(super) const N_AGENTS: usize = 10_000;
pub(super) const N_CONNECTIONS: usize = 64;
/// More payloads a second than any hub on such a machine takes; so many are signed beforehand.
const RATE_MAX: f64 = 20_000.0;
