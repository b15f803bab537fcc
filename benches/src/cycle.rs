//! A whole cycle over a fleet, as the worker runs it: every page of facts is read from the store,
//! judged by all detectors and committed. Every agent is honest, so nothing is written; the lease,
//! which the worker renews for each page, is left out, because what it waits for is the disk.
//!
//! 10,000 agents with 240 metrics each, which are the hour that is judged. The metrics are written
//! in SQL, agent by agent, before the store opens the file. On SQLite the first cycle reads all of
//! them and fills the rings; what is measured are the ones after it. On PostgreSQL every cycle reads
//! them, and all pages of its facts are compared with one statement of window functions, which
//! numbers the metrics of each agent from the newest and gathers the same columns.
//!
//! How the time grows is measured with 60 metrics an agent, a quarter of an hour, so that 100,000
//! agents are 6 million rows and 2 GB of disk.
//!
//! Times on SQLite are CPU time of the process, because on a shared machine the wall mostly measures
//! the neighbours, and what is read lies in memory; on PostgreSQL they are of the wall, because most
//! of them pass in the server. It is the median of some turns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use monsys_core::id::TenantId;
use monsys_core::limit;
use monsys_core::store::{CycleCommit, CycleStore, FactsPage};
use monsys_core::time::{Span, Timestamp};
use monsys_hub::store::SqliteStore;
use monsys_integrity::{Config, Cycle, DETECTORS, reconcile_guarded};
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::report::Target::{AtMost, AtMostNanos, Part, TimesFaster};
use crate::report::{Figure, Form};
use crate::store::fleet::Fleet;
use crate::store::server::{Server, now, runtime};
use crate::store::{median, progress};

/// Both stores, and growth.
pub fn figures() -> Vec<Figure> {
    let mut figures = said(with_rings());
    figures.extend(said(growth()));
    if let Some(server) = Server::start() {
        figures.extend(said(of_postgres(&server)));
    }
    figures
}

/// Shows figures as soon as they are known: all together take minutes.
fn said(figures: Vec<Figure>) -> Vec<Figure> {
    for figure in &figures {
        progress(&figure.line(Form::Text));
    }
    figures
}

/// A fleet of 10,000 in an hour of metrics.
fn with_rings() -> Vec<Figure> {
    let scene = Scene::fill("cycle", 10_000, HOUR);
    let first = scene.first_cycle();
    let mut cycles: Vec<_> = (0..N_TURNS).map(|_| scene.cycle()).collect();
    let mut facts: Vec<_> = (0..N_TURNS).map(|_| scene.facts()).collect();
    let (cycle, facts) = (median(&mut cycles), median(&mut facts));
    let (n_agents, n_bytes) = scene.store.windows_in_memory();
    vec![
        Figure::new(
            "cycle/10k agents x 240, rings",
            cycle,
            first,
            AtMostNanos(20e6),
        )
        .with_detail(format!(
            "{:.1} ms; the first, from the file, {:.0} ms; {} bytes an agent",
            cycle / 1e6,
            first / 1e6,
            n_bytes / n_agents
        )),
        Figure::new(
            "cycle/10k agents x 240, rings, facts alone",
            facts,
            cycle,
            Part,
        ),
    ]
}

/// Time for an agent, by the size of the fleet.
fn growth() -> Vec<Figure> {
    let sizes = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000)];
    let an_agent = sizes.map(|(name, n_agents)| {
        let scene = Scene::fill(name, n_agents, QUARTER);
        let first = scene.first_cycle();
        let mut cycles: Vec<_> = (0..N_TURNS).map(|_| scene.cycle()).collect();
        let cycle = median(&mut cycles);
        progress(&format!(
            "cycle: {name} agents x {QUARTER}: {:.1} ms, the first {:.0} ms",
            cycle / 1e6,
            first / 1e6
        ));
        cycle / n_agents as f64
    });
    let [small, middle, large] = an_agent;
    let detail = |cycle: f64, n: f64| format!("ns; {:.1} ms in all", cycle * n / 1e6);
    vec![
        Figure::new("cycle/rings, an agent of 10k, of 1k", middle, small, Part)
            .with_detail(detail(middle, 1e4)),
        Figure::new(
            "cycle/rings, an agent of 100k, of 10k",
            large,
            middle,
            AtMost(1.5),
        )
        .with_detail(detail(large, 1e5)),
    ]
}

/// A fleet in a SQLite file of its own.
struct Scene {
    directory: PathBuf,
    wait: Runtime,
    store: SqliteStore,
    tenant: TenantId,
    n_agents: usize,
    n_metrics: i64,
    now: Timestamp,
}

impl Scene {
    fn fill(name: &str, n_agents: usize, n_metrics: i64) -> Self {
        progress(&format!("cycle: filling {n_agents} agents x {n_metrics}"));
        let directory = format!("monsys-cycle-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let (file, wait, now) = (directory.join("cycle.db"), runtime(), now());
        let store = SqliteStore::open(&file).expect("an open store");
        let tenant = Fleet::enrol(&wait, &store, n_agents).tenant();
        monsys_hub::store::AccountStore::close(&store);
        drop(store);
        fill_file(&file, now, n_metrics);
        let store = SqliteStore::open(&file).expect("an open store");
        Self {
            directory,
            wait,
            store,
            tenant,
            n_agents,
            n_metrics,
            now,
        }
    }

    /// The cycle that reads all metrics; nanoseconds.
    fn first_cycle(&self) -> f64 {
        let nanos = self.cycle();
        assert_eq!(
            self.store.windows_in_memory().0,
            self.n_agents,
            "all filled"
        );
        let facts = self.store.facts(self.tenant, None, 1, self.now);
        let page = self.wait.block_on(facts).expect("a page of facts");
        let n_metrics = page.agents[0].window.n_metrics();
        assert_eq!(n_metrics as i64, self.n_metrics);
        nanos
    }

    fn cycle(&self) -> f64 {
        let start = process_nanos();
        let cycle = cycle(&self.store, self.tenant, self.now);
        let n_agents = self.wait.block_on(cycle);
        let nanos = process_nanos() - start;
        assert_eq!(n_agents, self.n_agents);
        nanos
    }

    fn facts(&self) -> f64 {
        let start = process_nanos();
        let mut after = None;
        loop {
            let page = self
                .store
                .facts(self.tenant, after, limit::CYCLE_PAGE_AGENTS, self.now);
            after = self.wait.block_on(page).expect("a page of facts").next;
            if after.is_none() {
                return process_nanos() - start;
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        monsys_hub::store::AccountStore::close(&self.store);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs a cycle, and returns how many agents were judged.
async fn cycle(store: &dyn CycleStore, tenant: TenantId, now: Timestamp) -> usize {
    let config = Config::standard();
    let cycle = Cycle {
        previous: None,
        now,
    };
    let (mut after, mut n_agents) = (None, 0);
    loop {
        let page = store.facts(tenant, after, limit::CYCLE_PAGE_AGENTS, now);
        let page = page.await.expect("a page of facts");
        let report = reconcile_guarded(DETECTORS, &page.agents, &config, cycle, |check| {
            catch_unwind(AssertUnwindSafe(check)).map_err(|_| String::new())
        });
        assert_eq!((report.transitions.len(), report.errors.len()), (0, 0));
        n_agents += page.agents.len();
        let commit = CycleCommit {
            tenant,
            at: now,
            transitions: report.transitions,
        };
        store.commit_cycle(&commit).await.expect("a commit");
        after = page.next;
        if after.is_none() {
            return n_agents;
        }
    }
}

/// Writes what honest agents sent until now: every 15 s, up to a second late.
fn fill_file(file: &Path, now: Timestamp, n_metrics: i64) {
    let connection = Connection::open(file).expect("the file");
    let first = now.saturating_sub(Span::from_secs(n_metrics * SAMPLE_S));
    let first_s = first.unix_millis() / 1_000 + 1;
    let fill = format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
         UPDATE agents SET version = '0.1.0', version_highest = '0.1.0', \
         last_seen_at = '{now}', last_verified_at = '{now}'; \
         INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
         is_spooled, is_verified, cpu_usage_percent) \
         WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {n_metrics}) \
         SELECT x.tenant_id, x.id, x.at, x.at, x.at, 1, x.n + 1, 0, 1, x.cpu FROM \
             (SELECT a.tenant_id, a.id, s.n, (a.number * 104729 + s.n * 7919) % 2000 / 100.0 AS cpu, \
             strftime('%Y-%m-%dT%H:%M:%f', {first_s} + s.n * {SAMPLE_S} \
                 + (a.number * 37 + s.n * 211) % 1000 / 1000.0, 'unixepoch') || '000Z' AS at \
             FROM (SELECT tenant_id, id, row_number() OVER (ORDER BY id) AS number FROM agents \
             WHERE id <> tenant_id) a \
             CROSS JOIN s) x;"
    );
    connection.execute_batch(&fill).expect("a filled file");
}

/// The same fleet of 10,000 in PostgreSQL.
fn of_postgres(server: &Server) -> Vec<Figure> {
    progress("cycle: PostgreSQL, filling 10,000 agents x 240");
    let (store, superuser, now) = (server.store(), server.superuser(), now());
    let tenant = Fleet::enrol(&server.wait, &store, 10_000).tenant();
    let first = now.saturating_sub(Span::from_secs(HOUR * SAMPLE_S));
    let fill = format!(
        "SELECT monsys_make_partitions('metrics', '{first}', '{now}'); \
         UPDATE agents SET version = '0.1.0', version_highest = '0.1.0', \
         last_seen_at = '{now}', last_verified_at = '{now}'; \
         INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
         is_spooled, is_verified, cpu_usage_percent) \
         SELECT '{tenant}', a.id, x.at, x.at - interval '80 ms', x.at - interval '30 ms', 1, s + 1, \
         false, true, (a.n * 104729 + s * 7919) % 2000 / 100.0 \
         FROM generate_series(0, {HOUR} - 1) s \
         CROSS JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM agents \
             WHERE tenant_id = '{tenant}') a \
         CROSS JOIN LATERAL (SELECT timestamptz '{first}' + interval '1 s' \
             + s * interval '{SAMPLE_S} s' + (a.n * 37 + s * 211) % 1000 * interval '1 ms' AS at) x"
    );
    let run = |sql: &str| {
        server
            .wait
            .block_on(superuser.batch_execute(sql))
            .expect("SQL")
    };
    run(&fill);
    run("VACUUM (ANALYZE) metrics");
    run("VACUUM (ANALYZE) agents");
    run("CHECKPOINT");
    let window_query = window_query(tenant, now);
    let [mut cycles, mut facts, mut windows] = [const { Vec::new() }; 3];
    for turn in 0..=N_TURNS_POSTGRES {
        progress(&format!("cycle: PostgreSQL, turn {turn}"));
        let (cycle, n_agents) = timed(|| server.wait.block_on(cycle(&store, tenant, now)));
        assert_eq!(n_agents, 10_000);
        let (read, pages) = timed(|| server.wait.block_on(pages(&store, tenant, now)));
        let (window, rows) = timed(|| server.wait.block_on(superuser.query(&window_query, &[])));
        let rows = rows.expect("rows");
        let agents: Vec<_> = pages.iter().flat_map(|page| &page.agents).collect();
        assert_eq!(agents.len(), rows.len());
        for (facts, row) in agents.iter().zip(&rows) {
            let cpu: Vec<f64> = row.get(5);
            assert_eq!(
                facts.window.view().cpu_usage_percent,
                cpu,
                "the same metrics"
            );
            assert_eq!(cpu.len() as i64, HOUR);
        }
        // The first turn fills caches.
        if turn > 0 {
            cycles.push(cycle);
            facts.push(read);
            windows.push(window);
        }
    }
    let [cycle, facts, window] = [cycles, facts, windows].map(|mut times| median(&mut times));
    vec![
        Figure::new(
            "cycle/10k agents x 240, PostgreSQL",
            cycle,
            facts,
            AtMostNanos(2e9),
        )
        .with_detail(format!("{:.0} ms; against its facts alone", cycle / 1e6)),
        Figure::new(
            "facts/10k agents x 240, LATERAL against window query",
            facts,
            window,
            TimesFaster(3.0),
        )
        .with_detail(format!("{:.0} ms, {:.0} ms", facts / 1e6, window / 1e6)),
    ]
}

/// All pages of facts.
async fn pages(store: &dyn CycleStore, tenant: TenantId, now: Timestamp) -> Vec<FactsPage> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = store.facts(tenant, after, limit::CYCLE_PAGE_AGENTS, now);
        let page = page.await.expect("a page of facts");
        after = page.next;
        pages.push(page);
        if after.is_none() {
            return pages;
        }
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let answer = run();
    (start.elapsed().as_nanos() as f64, answer)
}

fn process_nanos() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// The facts of all agents by one statement of window functions, as a role that no policy binds.
fn window_query(tenant: TenantId, now: Timestamp) -> String {
    let ago = |seconds: i64| now.saturating_sub(Span::from_secs(seconds));
    format!(
        "SELECT a.id, a.version, a.version_highest, a.last_verified_at, \
         array_agg(x.time ORDER BY x.n DESC) FILTER (WHERE x.time > '{hour}'), \
         array_agg(x.cpu_usage_percent ORDER BY x.n DESC) FILTER (WHERE x.time > '{hour}'), \
         array_agg(x.is_spooled ORDER BY x.n DESC) FILTER (WHERE x.time > '{hour}'), \
         array_agg(x.captured_at ORDER BY x.n DESC) FILTER (WHERE x.n <= 20), \
         array_agg(x.sent_at ORDER BY x.n DESC) FILTER (WHERE x.n <= 20) \
         FROM agents a LEFT JOIN (SELECT m.agent_id, m.time, m.captured_at, m.sent_at, \
             m.is_spooled, m.cpu_usage_percent, row_number() OVER (PARTITION BY m.agent_id \
                 ORDER BY m.time DESC, m.epoch DESC, m.seq DESC) AS n FROM metrics m \
             WHERE m.tenant_id = '{tenant}' AND m.time > '{days}' AND m.time <= '{now}') x \
         ON x.agent_id = a.id AND (x.n <= 20 OR x.time > '{hour}') \
         WHERE a.tenant_id = '{tenant}' AND a.id <> a.tenant_id AND a.revoked_at IS NULL \
         GROUP BY a.tenant_id, a.id ORDER BY a.id",
        hour = ago(limit::WINDOW_S),
        days = ago(14 * 86_400),
    )
}

const N_TURNS: usize = 9;
const N_TURNS_POSTGRES: usize = 3;
const SAMPLE_S: i64 = 15;
/// Metrics of an hour and of a quarter of one.
const HOUR: i64 = 240;
const QUARTER: i64 = 60;
