//! Emitting signals in PostgreSQL: validated, under forced row-level security and CHECKs, into the
//! history and into what is current, in one transaction.
//!
//! The baseline writes the same rows into the same table of the history by a role that no policy
//! binds, and nothing else: batches by one binary COPY, single rows by a bare prepared INSERT that
//! commits by itself. That the emitter also keeps `signal_current` is work that the baseline is
//! spared; how much it is can be seen from the part "history alone", which writes the rows to the
//! history as the store does (`VALUES` of 512 rows, as the role of the application), and nothing
//! else.

use std::error::Error;
use std::pin::pin;
use std::time::{Duration, Instant};

use monsys_core::id::TenantId;
use monsys_core::name::DisplayName;
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{Emitter, SignalStore};
use monsys_core::time::Span;
use monsys_hub::store::AccountStore;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::server::{Server, now};
use super::{median, progress, quantile};
use crate::report::Figure;
use crate::report::Target::{AtLeast, Part};

/// Batches against COPY, single rows against INSERT.
pub fn figures(server: &Server) -> Vec<Figure> {
    let scene = Scene::new(server);
    let mut figures = scene.single();
    for (n_rows, n_turns) in [(1_000, 60), (10_000, 12)] {
        figures.extend(scene.batches(n_rows, n_turns));
    }
    figures
}

struct Scene<'s> {
    server: &'s Server,
    store: monsys_hub::store::PostgresStore,
    superuser: Client,
    app: Client,
    tenant: TenantId,
}

impl<'s> Scene<'s> {
    fn new(server: &'s Server) -> Self {
        let store = server.store();
        let tenant = TenantId::from_random_bytes([1; 16]);
        let name = DisplayName::parse("acme").expect("a name");
        let added = server.wait.block_on(store.add_tenant(tenant, name));
        added.expect("a new tenant");
        let app = server.superuser();
        let become_app = "SET ROLE monsys_app; SET search_path = public";
        server
            .wait
            .block_on(app.batch_execute(become_app))
            .expect("the role of the application");
        Self {
            server,
            store,
            superuser: server.superuser(),
            app,
            tenant,
        }
    }

    fn single(&self) -> Vec<Figure> {
        progress("emitting single rows");
        let [mut emits, mut inserts] = [Vec::new(), Vec::new()];
        let wait = &self.server.wait;
        let insert = wait.block_on(self.superuser.prepare(&format!(
            "INSERT INTO signal_streams ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        )));
        let insert = insert.expect("a statement");
        for turn in 0..N_SINGLES {
            let drafts = drafts(turn % N_SUBJECTS, 1);
            let inserted = timed(|| {
                let row = insert_one(&self.superuser, &insert, self.tenant, &drafts[0]);
                wait.block_on(row);
            });
            let emitted = timed(|| {
                let emitter = Emitter::new(&self.store);
                let emitted = wait.block_on(emitter.emit(self.tenant, &drafts[0], now()));
                emitted.expect("a stored signal");
            });
            if turn >= N_SINGLES / 10 {
                emits.push(emitted.as_secs_f64());
                inserts.push(inserted.as_secs_f64());
            }
        }
        let [emit, insert] = [&mut emits, &mut inserts].map(|times| 1.0 / median(times));
        let p99 = |times: &[f64]| quantile(times, 0.99) * 1e3;
        let detail = format!(
            "rows/s; p50 {:.3} p99 {:.3} ms, INSERT p50 {:.3} p99 {:.3} ms",
            1e3 / emit,
            p99(&emits),
            1e3 / insert,
            p99(&inserts),
        );
        let figure = Figure::new("emit/1 row, against INSERT", emit, insert, AtLeast(0.8));
        vec![figure.with_detail(detail)]
    }

    fn batches(&self, n_rows: usize, n_turns: usize) -> Vec<Figure> {
        progress(&format!("emitting batches of {n_rows} rows"));
        let wait = &self.server.wait;
        let inserts = wait.block_on(prepare_inserts(&self.app));
        let [mut emits, mut copies, mut histories] = [const { Vec::new() }; 3];
        for turn in 0..n_turns + 2 {
            let drafts = drafts(0, n_rows);
            let copied = timed(|| {
                wait.block_on(copy(&self.superuser, self.tenant, &drafts));
            });
            let emitted = timed(|| wait.block_on(self.emit(&drafts)));
            let history = timed(|| {
                wait.block_on(history_alone(&self.app, &inserts, self.tenant, &drafts));
            });
            // The first turns fill caches and make the places.
            if turn >= 2 {
                emits.push(emitted.as_secs_f64());
                copies.push(copied.as_secs_f64());
                histories.push(history.as_secs_f64());
            }
        }
        let rate = |times: &mut Vec<f64>| n_rows as f64 / median(times);
        let [emit, copy, history] = [&mut emits, &mut copies, &mut histories].map(rate);
        let p99 = |times: &[f64]| quantile(times, 0.99) * 1e3;
        let detail = format!(
            "rows/s; p99 {:.1} ms, COPY {:.1} ms",
            p99(&emits),
            p99(&copies)
        );
        let name = format!("emit_batch/{n_rows} rows, against COPY");
        vec![
            Figure::new(&name, emit, copy, AtLeast(0.85)).with_detail(detail),
            Figure::new(format!("{name}: history alone"), history, copy, Part)
                .with_detail("rows/s; without validation and signal_current"),
        ]
    }

    /// As the hub does: through the emitter, and where a file holds more rows than a batch of the
    /// emitter may have, validated as a whole and stored at once.
    async fn emit(&self, drafts: &[SignalDraft]) {
        let emitter = Emitter::new(&self.store);
        if drafts.len() <= monsys_core::limit::SIGNALS_PER_BATCH_MAX {
            let emitted = emitter.emit_batch(self.tenant, drafts, now()).await;
            emitted.expect("stored signals");
        } else {
            let signals = Signal::validate_batch(drafts, now()).expect("valid signals");
            let emitted = self.store.emit(self.tenant, signals).await;
            emitted.expect("stored signals");
        }
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Signals about different subjects, as a scanner finds them in one pass.
fn drafts(first: usize, n_rows: usize) -> Vec<SignalDraft> {
    let at = now();
    let draft = |index: usize| SignalDraft {
        source: "cert_scan".into(),
        subject_type: "endpoint".into(),
        subject_id: format!("host-{:05}.example:443", (first + index) % N_SUBJECTS),
        key: "cert.expiry_days".into(),
        value: format!(
            r#"{{"issuer":"example authority","value":{}}}"#,
            index % 400
        ),
        severity: index.is_multiple_of(3).then(|| "medium".into()),
        observed_at: at.saturating_sub(Span::from_micros(index as i64)),
        ttl_seconds: index.is_multiple_of(2).then_some(86_400),
    };
    (0..n_rows).map(draft).collect()
}

async fn insert_one(client: &Client, insert: &Statement, tenant: TenantId, draft: &SignalDraft) {
    let value = Jsonb(&draft.value);
    let parameters = row(&tenant, &value, draft);
    let inserted = client.execute(insert, &parameters);
    assert_eq!(inserted.await.expect("an inserted row"), 1);
}

async fn copy(client: &Client, tenant: TenantId, drafts: &[SignalDraft]) {
    let sql = format!("COPY signal_streams ({COLUMNS}) FROM STDIN (FORMAT binary)");
    let sink = client.copy_in(&sql).await.expect("COPY");
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for draft in drafts {
        let value = Jsonb(&draft.value);
        let columns = row(&tenant, &value, draft);
        let written = writer.as_mut().write(&columns);
        written.await.expect("a row that is sent");
    }
    let n_rows = writer.finish().await.expect("copied rows");
    assert_eq!(n_rows, drafts.len() as u64);
}

/// Rows as the store writes them to the history, in statements of its sizes.
async fn history_alone(
    client: &Client,
    inserts: &[(usize, Statement)],
    tenant: TenantId,
    drafts: &[SignalDraft],
) {
    let begin = format!("BEGIN; SET LOCAL app.current_tenant = '{tenant}'");
    client.batch_execute(&begin).await.expect("a transaction");
    let mut rest = drafts;
    while !rest.is_empty() {
        let fits = inserts.iter().find(|(size, _)| *size <= rest.len());
        let (size, insert) = fits.expect("a statement of one row");
        let (rows, later) = rest.split_at(*size);
        let json: Vec<_> = rows.iter().map(|draft| Jsonb(&draft.value)).collect();
        let rows = rows.iter().zip(&json);
        let parameters: Vec<_> = rows
            .flat_map(|(draft, json)| row(&tenant, json, draft))
            .collect();
        let inserted = client.execute(insert, &parameters).await;
        assert_eq!(inserted.expect("inserted rows"), *size as u64);
        rest = later;
    }
    client.batch_execute("COMMIT").await.expect("a commit");
}

async fn prepare_inserts(client: &Client) -> Vec<(usize, Statement)> {
    let mut inserts = Vec::new();
    for size in [512, 64, 8, 1] {
        let row = |n: usize| {
            let parameters: Vec<_> = (1..=9)
                .map(|column| format!("${}", 9 * n + column))
                .collect();
            format!("({})", parameters.join(", "))
        };
        let rows: Vec<_> = (0..size).map(row).collect();
        let sql = format!(
            "INSERT INTO signal_streams ({COLUMNS}) VALUES {}",
            rows.join(", ")
        );
        inserts.push((size, client.prepare(&sql).await.expect("a statement")));
    }
    inserts
}

/// The columns of a row in the order of [`COLUMNS`].
fn row<'r>(
    tenant: &'r TenantId,
    value: &'r Jsonb<'r>,
    draft: &'r SignalDraft,
) -> [&'r (dyn ToSql + Sync); 9] {
    [
        tenant,
        &draft.source,
        &draft.subject_type,
        &draft.subject_id,
        &draft.key,
        value,
        &draft.severity,
        &draft.observed_at,
        &draft.ttl_seconds,
    ]
}

/// JSON text as a value of jsonb: a byte for the form, then the text.
#[derive(Debug)]
struct Jsonb<'a>(&'a str);

impl ToSql for Jsonb<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&[1]);
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

const COLUMNS: &str = "tenant_id, source, subject_type, subject_id, signal_key, signal_value, \
    severity, observed_at, ttl_seconds";

const TYPES: [Type; 9] = [
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::JSONB,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::INT8,
];

/// Emitters of the same subjects come again and again.
const N_SUBJECTS: usize = 10_000;
const N_SINGLES: usize = 1_500;
