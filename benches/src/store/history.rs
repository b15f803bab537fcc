//! Reading and forgetting metrics while their history grows from 1 to 20 million rows.
//!
//! 10,000 agents, a sample each 6 minutes, so that a day has 2.4 million rows and 20 million are
//! 8.3 days, each a slice of its own. The rows are made by the superuser in SQL, slice by slice;
//! they lie in the past, because the database drops nothing that is younger than 14 days.
//!
//! The facts of a cycle are read by the store, page by page, as the role of the application: for
//! each agent the newest 20 metrics of the last 14 days, its window of the last hour, its versions
//! and its open anomalies. The baseline reads the same columns of the same metrics for all agents
//! in one statement: a LATERAL query as in the notes, pruned to the slices that hold these rows by
//! time bounds, by a role that no policy binds, and nothing of it leaves the server but counts.
//!
//! Retention of a day is the statement by which the store drops a slice, and its whole sweep, which
//! counts first, against DELETE of the same rows from a plain table with the same 20 million rows and
//! the same index: what there would be without slices. VACUUM, which has to follow one day, is not
//! counted.

use std::time::{Duration, Instant};

use monsys_core::id::TenantId;
use monsys_core::limit;
use monsys_core::store::{CycleStore, Maintenance, Retention};
use monsys_core::time::{Span, Timestamp};
use monsys_hub::store::PostgresStore;
use tokio_postgres::Client;

use super::fleet::Fleet;
use super::server::{Server, now};
use super::{median, progress};
use crate::report::Figure;
use crate::report::Target::{AtMost, Part, TimesFaster};

/// Facts against LATERAL, small against large, DROP against DELETE.
pub fn figures(server: &Server) -> Vec<Figure> {
    progress("history: 10,000 agents");
    let store = server.store();
    let fleet = Fleet::enrol(&server.wait, &store, N_AGENTS);
    let scene = Scene {
        server,
        store,
        superuser: server.superuser(),
        tenant: fleet.tenant(),
        start: first_day(),
    };
    scene.run("ANALYZE agents");
    let mut figures = Vec::new();
    let mut n_samples = 0;
    let mut read = Vec::new();
    for until in [100, 2_000] {
        scene.load(n_samples, until);
        n_samples = until;
        let now = scene.time_of(until);
        read.push(scene.facts(now, until * N_AGENTS as i64, &mut figures));
    }
    let ratio = Figure::new(
        "facts/20 M rows, against 1 M",
        read[1],
        read[0],
        AtMost(1.2),
    );
    figures.push(ratio.with_detail("ns for all agents"));
    figures.extend(scene.retention());
    figures
}

struct Scene<'s> {
    server: &'s Server,
    store: PostgresStore,
    superuser: Client,
    tenant: TenantId,
    /// When the first sample of all came.
    start: Timestamp,
}

impl Scene<'_> {
    /// Makes the samples of all agents from one number to another, each slice in one statement.
    fn load(&self, first: i64, until: i64) {
        progress(&format!(
            "history: loading up to {until} samples of each agent"
        ));
        let start = Instant::now();
        let (from, to) = (self.time_of(first), self.time_of(until));
        let args = format!("'metrics', '{}', '{}'", from.to_rfc3339(), to.to_rfc3339());
        self.run(&format!("SELECT monsys_make_partitions({args})"));
        let mut at = first;
        while at < until {
            let end = ((at / SAMPLES_A_DAY + 1) * SAMPLES_A_DAY).min(until);
            self.run(&samples(self.tenant, self.start, at, end));
            at = end;
        }
        self.run("VACUUM (ANALYZE) metrics");
        self.run("CHECKPOINT");
        progress(&format!(
            "history: loaded in {:.0} s",
            start.elapsed().as_secs_f64()
        ));
    }

    /// The facts of all agents; nanoseconds.
    fn facts(&self, now: Timestamp, n_rows: i64, figures: &mut Vec<Figure>) -> f64 {
        progress(&format!("history: facts at {n_rows} rows"));
        let lateral = lateral(self.tenant, now);
        let [mut facts, mut laterals] = [Vec::new(), Vec::new()];
        for turn in 0..=N_TURNS {
            let (lateral, n_lateral) = timed(|| self.count(&lateral));
            let (read, n_facts) = timed(|| self.server.wait.block_on(self.read_facts(now)));
            assert_eq!(n_facts, n_lateral, "the same metrics");
            // The first turn fills caches.
            if turn > 0 {
                facts.push(read.as_nanos() as f64);
                laterals.push(lateral.as_nanos() as f64);
            }
        }
        let [facts, lateral] = [facts, laterals].map(|mut times| median(&mut times));
        let name = format!("facts/10,000 agents, {} M rows", n_rows / 1_000_000);
        let detail = format!("ns; {:.0} ms, LATERAL {:.0} ms", facts / 1e6, lateral / 1e6);
        figures.push(Figure::new(name, facts, lateral, AtMost(1.2)).with_detail(detail));
        facts
    }

    /// How many metrics were read, of the window and of the newest 20.
    async fn read_facts(&self, now: Timestamp) -> i64 {
        let mut n_metrics = 0;
        let mut after = None;
        loop {
            let page = self
                .store
                .facts(self.tenant, after, limit::CYCLE_PAGE_AGENTS, now);
            let page = page.await.expect("a page of facts");
            let agents = page.agents.iter();
            let read =
                agents.map(|facts| facts.clock.view().offsets_ms.len() + facts.window.n_metrics());
            n_metrics += read.sum::<usize>() as i64;
            after = page.next;
            if after.is_none() {
                return n_metrics;
            }
        }
    }

    /// Forgets the first days one by one: in turns by the statement with which a sweep drops slices,
    /// and by a whole sweep.
    fn retention(&self) -> Vec<Figure> {
        let [mut drops, mut sweeps, mut deletes, mut vacuums] = [const { Vec::new() }; 4];
        let kept = Retention::standard();
        let app = self.server.superuser();
        let wait = &self.server.wait;
        wait.block_on(app.batch_execute("SET ROLE monsys_app"))
            .expect("the role of the application");
        self.copy_all();
        for day in 0..N_DAYS_DROPPED {
            progress(&format!("history: retention of day {day}"));
            let end = self
                .start
                .saturating_add(Span::from_secs((day + 1) * DAY_S));
            self.run("CHECKPOINT");
            let slice = slice_ending(end);
            let delete = format!(
                "DELETE FROM metrics_plain WHERE tenant_id = '{}' AND time < '{}'",
                self.tenant,
                end.to_rfc3339()
            );
            let (deleted, n_deleted) =
                timed(|| wait.block_on(self.superuser.execute(&delete, &[])));
            let (vacuumed, ()) = timed(|| self.run("VACUUM metrics_plain"));
            deletes.push(deleted.as_nanos() as f64);
            vacuums.push((deleted + vacuumed).as_nanos() as f64);
            // A moment later all of the day is out of date.
            let before = end.saturating_add(Span::from_millis(1));
            if day % 2 == 0 {
                let drop = "SELECT monsys_drop_partitions($1, $2)";
                let dropped = timed(|| wait.block_on(app.query(drop, &[&"metrics", &before])));
                assert_eq!(dropped.1.expect("dropped slices").len(), 1);
                drops.push(dropped.0.as_nanos() as f64);
            } else {
                let now = before.saturating_add(kept.metrics);
                let (swept, gone) = timed(|| wait.block_on(self.store.sweep(kept, now)));
                let n_deleted = n_deleted.expect("deleted rows");
                assert_eq!(gone.expect("a sweep").metrics, n_deleted, "the same rows");
                sweeps.push(swept.as_nanos() as f64);
            }
            let left = format!("SELECT count(*) FROM pg_class WHERE relname = '{slice}'");
            assert_eq!(self.count(&left), 0);
        }
        let all = [drops, sweeps, deletes, vacuums].map(|mut times| median(&mut times));
        let [drop, sweep, delete, vacuum] = all;
        let name = "retention/a day of 2.4 M rows";
        let detail = format!("ns; {:.0} ms, DELETE {:.0} ms", drop / 1e6, delete / 1e6);
        vec![
            Figure::new(
                format!("{name}, DROP against DELETE"),
                drop,
                delete,
                TimesFaster(50.0),
            )
            .with_detail(detail),
            Figure::new(
                format!("{name}, against DELETE and VACUUM"),
                drop,
                vacuum,
                Part,
            )
            .with_detail(format!("ns; VACUUM {:.0} ms more", (vacuum - delete) / 1e6)),
            Figure::new(format!("{name}, whole sweep"), sweep, delete, Part).with_detail(format!(
                "ns; {:.0} ms, which count what is dropped",
                sweep / 1e6
            )),
        ]
    }

    /// Copies all metrics into one plain table; its index is made afterwards, dense and in order.
    fn copy_all(&self) {
        progress("history: copying all metrics into a plain table");
        self.run("CREATE TABLE metrics_plain (LIKE metrics INCLUDING CONSTRAINTS)");
        self.run("INSERT INTO metrics_plain SELECT * FROM metrics");
        self.run("CREATE INDEX ON metrics_plain (tenant_id, agent_id, time)");
        self.run("VACUUM (ANALYZE) metrics_plain");
    }

    /// When the sample of this number came from the last agent.
    fn time_of(&self, sample: i64) -> Timestamp {
        self.start
            .saturating_add(Span::from_secs(sample * SAMPLE_S))
    }

    fn run(&self, sql: &str) {
        let ran = self.server.wait.block_on(self.superuser.batch_execute(sql));
        ran.expect("a statement that runs");
    }

    fn count(&self, sql: &str) -> i64 {
        let row = self
            .server
            .wait
            .block_on(self.superuser.query_one(sql, &[]));
        row.expect("a number").get(0)
    }
}

/// The name of the slice that ends at a time.
fn slice_ending(end: Timestamp) -> String {
    let date = end.saturating_sub(Span::from_secs(DAY_S)).to_rfc3339();
    format!("metrics_{}", date[..10].replace('-', ""))
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let answer = run();
    (start.elapsed(), answer)
}

/// Writes samples of all agents, in the order in which they come. Each sample is of another second,
/// and of the 10,000 agents each has its own moment in it.
fn samples(tenant: TenantId, start: Timestamp, first: i64, until: i64) -> String {
    format!(
        "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
         is_spooled, is_verified, cpu_usage_percent, cpu_cores, load1, load5, load15, \
         mem_total_bytes, mem_used_bytes, swap_total_bytes, swap_used_bytes, uptime_seconds) \
         SELECT '{tenant}', a.id, x.at, x.at - interval '80 ms', x.at - interval '30 ms', 1, s + 1, \
         false, true, (s * 7 + a.n) % 1000 / 10.0, 4, 0.5, 0.4, 0.3, \
         16777216000, 9000000000 + s * 4096, 0, 0, 86400 + s * 360 \
         FROM generate_series({first}, {until} - 1) s \
         CROSS JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM agents \
             WHERE tenant_id = '{tenant}') a \
         CROSS JOIN LATERAL (SELECT timestamptz '{start}' + s * interval '{SAMPLE_S} s' \
             + a.n * interval '30 ms' AS at) x",
        start = start.to_rfc3339(),
    )
}

/// The same metrics as facts read, found for each agent by the index in slices that are named by
/// time: the window of the last hour, and the newest 20, which are at most 3 hours old.
fn lateral(tenant: TenantId, now: Timestamp) -> String {
    let ago = |seconds: i64| now.saturating_sub(Span::from_secs(seconds)).to_rfc3339();
    let now_text = now.to_rfc3339();
    format!(
        "SELECT sum(w.n + c.n)::bigint FROM agents a \
         CROSS JOIN LATERAL (SELECT count(*) AS n, max(x.cpu_usage_percent) AS cpu, \
             bool_or(x.is_spooled) AS is_spooled FROM (SELECT m.time, m.cpu_usage_percent, \
             m.is_spooled FROM metrics m WHERE m.tenant_id = a.tenant_id AND m.agent_id = a.id \
             AND m.time > '{hour}' AND m.time <= '{now_text}' ORDER BY m.time DESC LIMIT 240) x) w \
         CROSS JOIN LATERAL (SELECT count(*) AS n, avg(y.sent_at - y.time) AS delta, \
             max(y.captured_at) AS captured_at, bool_or(y.is_spooled) AS is_spooled FROM (SELECT \
             m.time, m.captured_at, m.sent_at, m.is_spooled FROM metrics m \
             WHERE m.tenant_id = a.tenant_id AND m.agent_id = a.id AND m.time > '{three}' \
             AND m.time <= '{now_text}' ORDER BY m.time DESC LIMIT 20) y) c \
         WHERE a.tenant_id = '{tenant}'",
        hour = ago(3_600),
        three = ago(3 * 3_600),
    )
}

/// Midnight, so long ago that the database drops what came then.
fn first_day() -> Timestamp {
    let days = now().unix_micros() / 1_000_000 / DAY_S - 40;
    Timestamp::from_unix_micros(days * DAY_S * 1_000_000).expect("a time of this century")
}

const N_AGENTS: usize = 10_000;
const SAMPLE_S: i64 = 360;
const DAY_S: i64 = 86_400;
const SAMPLES_A_DAY: i64 = DAY_S / SAMPLE_S;
const N_TURNS: usize = 5;
const N_DAYS_DROPPED: i64 = 6;
