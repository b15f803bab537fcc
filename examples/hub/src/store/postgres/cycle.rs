//! What the integrity cycle reads and writes.

use std::sync::Arc;

use monsys_core::anomaly::{Closed, OpenAnomaly, Resolution, Transition};
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId};
use monsys_core::ledger::EventDraft;
use monsys_core::limit;
use monsys_core::severity::Severity;
use monsys_core::signal::Signal;
use monsys_core::store::{
    CycleChanges, CycleCommit, CycleRecord, CycleStore, FactsPage, FleetPresence, Lease,
    StoreFuture,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::version;
use tokio_postgres::Row;

use super::PostgresStore;
use super::account::meta;
use super::anomaly::record;
use super::column::{DAMAGED, Word};
use super::cycle_record;
use super::fault::Fault;
use super::ledger::Ledger;
use super::partition;
use super::signal::{slice_of, store_signals};
use super::transaction::{Parameters, Plan, Tx};

impl CycleStore for PostgresStore {
    fn take_lease(
        &self,
        holder: [u8; 16],
        now: Timestamp,
        ttl: Span,
    ) -> StoreFuture<'_, Option<Lease>> {
        self.run(Plan::write_hub("take lease").repeatable(), move |tx| {
            Box::pin(async move {
                let sql = "INSERT INTO leases AS l (name, holder, expires_at) \
                           VALUES ('cycle', $1, $2) ON CONFLICT (name) \
                           DO UPDATE SET holder = $1, expires_at = $2 \
                           WHERE l.holder = $1 OR l.expires_at <= $3 OR l.expires_at > $2";
                let until = now.saturating_add(ttl);
                let taken = tx.execute(sql, &[&holder.as_slice(), &until, &now]).await?;
                if taken == 0 {
                    return Ok(None);
                }
                let previous = meta(tx, "previous_cycle").await?;
                let previous = previous.map(|text| Timestamp::parse_rfc3339(&text));
                Ok(Some(Lease {
                    previous_cycle: previous.transpose().map_err(|_| DAMAGED)?,
                }))
            })
        })
    }

    fn finish_cycle(&self, holder: [u8; 16], now: Timestamp) -> StoreFuture<'_, ()> {
        let plan = Plan::write_hub("finish cycle").repeatable();
        let finished = self.run(plan, move |tx| {
            Box::pin(async move {
                let sql = "UPDATE leases SET expires_at = $2 WHERE name = 'cycle' AND holder = $1";
                if tx.execute(sql, &[&holder.as_slice(), &now]).await? == 0 {
                    return Ok(false);
                }
                let sql = "INSERT INTO meta (name, value) VALUES ('previous_cycle', $1) \
                           ON CONFLICT (name) DO UPDATE SET value = $1";
                tx.execute(sql, &[&now.to_rfc3339()]).await?;
                Ok(true)
            })
        });
        Box::pin(async move {
            if finished.await? {
                partition::make_ahead(&self.pool, now).await?;
                partition::drop_old(&self.pool, now).await;
            }
            Ok(())
        })
    }

    fn tenants(&self) -> StoreFuture<'_, Vec<TenantId>> {
        self.run(Plan::read_hub("tenants"), |tx| {
            Box::pin(async move {
                let rows = tx
                    .rows("SELECT id FROM monsys_tenants() ORDER BY id", &[])
                    .await?;
                rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
            })
        })
    }

    fn active_count(&self, tenant: TenantId) -> StoreFuture<'_, u64> {
        self.run(Plan::read("active count", tenant), move |tx| {
            Box::pin(async move {
                let sql = "SELECT count(*) FROM agents \
                           WHERE tenant_id = $1 AND revoked_at IS NULL AND id <> $1";
                let n_active: i64 = tx.one(sql, &[&tenant]).await?.try_get(0)?;
                Ok(n_active.unsigned_abs())
            })
        })
    }

    fn presence(
        &self,
        tenant: TenantId,
        heard_since: Timestamp,
        silent_since: Timestamp,
    ) -> StoreFuture<'_, FleetPresence> {
        self.run(Plan::read("presence", tenant), move |tx| {
            Box::pin(async move {
                let sql = "SELECT count(*), count(*) FILTER (WHERE last_seen_at <= $3) \
                           FROM agents WHERE tenant_id = $1 AND revoked_at IS NULL \
                           AND id <> $1 AND last_seen_at > $2";
                let row = tx.one(sql, &[&tenant, &heard_since, &silent_since]).await?;
                Ok(FleetPresence {
                    n_heard: row.try_get::<_, i64>(0)?.unsigned_abs(),
                    n_silent: row.try_get::<_, i64>(1)?.unsigned_abs(),
                })
            })
        })
    }

    fn active_agents(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
    ) -> StoreFuture<'_, Vec<AgentId>> {
        self.run(Plan::read("active agents", tenant), move |tx| {
            Box::pin(async move {
                let sql = "SELECT id FROM agents WHERE tenant_id = $1 AND id > $2 \
                           AND revoked_at IS NULL AND id <> $1 ORDER BY id LIMIT $3";
                // Before the first: no agent has the identifier of zeros.
                let after = after.unwrap_or(AgentId::from_bytes([0; 16]));
                let rows = tx
                    .rows(sql, &[&tenant, &after, &i64::from(n_agents)])
                    .await?;
                rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
            })
        })
    }

    fn facts(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, FactsPage> {
        self.run(Plan::read("facts", tenant), move |tx| {
            Box::pin(async move { page(tx, tenant, after, n_agents, now).await })
        })
    }

    fn commit_cycle<'a>(&'a self, commit: &'a CycleCommit) -> StoreFuture<'a, CycleChanges> {
        if commit.transitions.is_empty() {
            return Box::pin(std::future::ready(Ok(CycleChanges::default())));
        }
        let commit = Arc::new(commit.clone());
        let written = Arc::clone(&commit);
        let slices = move || {
            let signals = commit
                .transitions
                .iter()
                .map(|transition| match transition {
                    Transition::Record { signal, .. } | Transition::Resolve { signal, .. } => {
                        signal
                    }
                });
            signals.map(slice_of).collect()
        };
        let plan = Plan::write("commit cycle", written.tenant);
        self.run_in_slices(plan, slices, move |tx| {
            let commit = Arc::clone(&written);
            Box::pin(async move {
                let mut ledger = Ledger::lock(tx, commit.tenant).await?;
                let mut changes = CycleChanges::default();
                for transition in &commit.transitions {
                    let of = (commit.tenant, commit.at);
                    apply(tx, &mut ledger, of, transition, &mut changes).await?;
                }
                ledger.write(tx).await?;
                Ok(changes)
            })
        })
    }

    fn record_cycle<'a>(
        &'a self,
        tenant: TenantId,
        record: &'a CycleRecord,
    ) -> StoreFuture<'a, ()> {
        let record = record.clone();
        let plan = Plan::write("record cycle", tenant).repeatable();
        self.run(plan, move |tx| {
            let record = record.clone();
            Box::pin(async move { cycle_record::keep(tx, tenant, &record).await })
        })
    }

    fn cycles(&self, tenant: TenantId, n_rows: u32) -> StoreFuture<'_, Vec<CycleRecord>> {
        self.run(Plan::read("cycles", tenant), move |tx| {
            Box::pin(async move { cycle_record::newest(tx, tenant, n_rows).await })
        })
    }
}

async fn page(
    tx: &Tx,
    tenant: TenantId,
    after: Option<AgentId>,
    n_agents: u32,
    now: Timestamp,
) -> Result<FactsPage, Fault> {
    // Before the first: no agent has the identifier of zeros.
    let after = after.unwrap_or(AgentId::from_bytes([0; 16]));
    let bounds = WindowBounds::hour_before(now);
    let clock_start = now.saturating_sub(Span::from_secs(CLOCK_READINGS_S));
    let most = i64::try_from(limit::WINDOW_SAMPLES_MAX).unwrap_or(i64::MAX);
    let limit = i64::from(n_agents);
    let facts: Parameters<'_> = &[
        &tenant,
        &after,
        &limit,
        &bounds.from,
        &bounds.to,
        &most,
        &clock_start,
    ];
    let answers = tx
        .all_rows(&[(PLAN_FOR_TIMES, &[]), (FACTS, facts)])
        .await?;
    let rows = answers.into_iter().next_back().unwrap_or_default();
    let agents = rows.iter().map(|row| facts_of(row, bounds));
    let agents = agents.collect::<Result<Vec<_>, _>>()?;
    Ok(FactsPage::of(agents, n_agents))
}

fn facts_of(row: &Row, bounds: WindowBounds) -> Result<AgentFacts, Fault> {
    let version =
        |index| Ok::<_, Fault>(row.try_get::<_, Option<String>>(index)?.map(version::read));
    Ok(AgentFacts {
        agent: row.try_get(0)?,
        version: VersionFacts {
            current: version(1)?,
            highest: version(2)?,
        },
        last_verified_at: row.try_get(3)?,
        window: MetricWindow::from_rows(bounds, metric_rows(row)?),
        clock: clock_readings(row)?,
        open: open_anomalies(row)?,
    })
}

fn metric_rows(row: &Row) -> Result<impl Iterator<Item = MetricRow>, Fault> {
    let received = oldest_first::<Timestamp>(row, 4)?;
    let (cpu, spooled) = (oldest_first::<f64>(row, 5)?, oldest_first::<bool>(row, 6)?);
    let columns = received.into_iter().zip(cpu).zip(spooled);
    let metric = |((received_at, cpu_usage_percent), is_spooled)| MetricRow {
        received_at,
        cpu_usage_percent,
        is_spooled,
    };
    Ok(columns.map(metric))
}

fn clock_readings(row: &Row) -> Result<ClockFacts, Fault> {
    let (captured, sent, received) = (
        oldest_first::<Timestamp>(row, 7)?,
        oldest_first::<Timestamp>(row, 8)?,
        oldest_first::<Timestamp>(row, 9)?,
    );
    let spooled = oldest_first::<bool>(row, 10)?;
    let columns = captured.into_iter().zip(sent).zip(received).zip(spooled);
    let reading = |(((captured_at, sent_at), received_at), is_spooled)| ClockReading {
        captured_at,
        sent_at,
        received_at,
        is_spooled,
    };
    Ok(ClockFacts::from_readings(columns.map(reading)))
}

fn open_anomalies(row: &Row) -> Result<Vec<OpenAnomaly>, Fault> {
    let (ids, kinds) = (list::<AnomalyId>(row, 11)?, list::<&str>(row, 12)?);
    let (severities, seen) = (list::<Severity>(row, 13)?, list::<Timestamp>(row, 14)?);
    let columns = ids.into_iter().zip(kinds).zip(severities).zip(seen);
    let open = |(((id, kind), severity), last_seen_at)| {
        Ok(OpenAnomaly {
            id,
            kind: Word::from_word(kind).ok_or(DAMAGED)?,
            severity,
            last_seen_at,
        })
    };
    columns.map(open).collect()
}

/// Reads an array; the aggregate of no rows is NULL.
fn list<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    index: usize,
) -> Result<Vec<T>, Fault> {
    let found: Option<Vec<T>> = row.try_get(index)?;
    Ok(found.unwrap_or_default())
}

/// Reads an array that lists the newest first.
fn oldest_first<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    index: usize,
) -> Result<Vec<T>, Fault> {
    let mut found = list(row, index)?;
    found.reverse();
    Ok(found)
}

async fn apply(
    tx: &Tx,
    ledger: &mut Ledger,
    (tenant, at): (TenantId, Timestamp),
    transition: &Transition,
    changes: &mut CycleChanges,
) -> Result<(), Fault> {
    match transition {
        Transition::Record {
            agent,
            finding,
            occurrences,
            signal,
        } => {
            let of = (tenant, *agent);
            let opened = record(tx, ledger, of, at, finding, *occurrences, signal).await?;
            changes.n_opened += u64::from(opened);
        }
        Transition::Resolve {
            id,
            last_seen_at,
            signal,
        } => {
            let closed = close(tx, ledger, (tenant, at), (*id, *last_seen_at), signal).await?;
            changes.n_resolved += u64::from(closed);
        }
    }
    Ok(())
}

/// Closes an anomaly that was not seen since; tells whether it did.
async fn close(
    tx: &Tx,
    ledger: &mut Ledger,
    (tenant, at): (TenantId, Timestamp),
    (id, last_seen_at): (AnomalyId, Timestamp),
    signal: &Signal,
) -> Result<bool, Fault> {
    let closed = Closed {
        at: at.max(last_seen_at),
        by: ledger.service,
        resolution: Resolution::Auto,
        note: None,
    };
    let sql = "UPDATE integrity_anomalies SET resolved_at = $3, resolution = $5, resolved_by = $6 \
               WHERE tenant_id = $1 AND id = $2 AND resolved_at IS NULL AND last_seen_at = $4";
    let word = closed.resolution.as_str();
    let changed = tx
        .execute(
            sql,
            &[&tenant, &id, &closed.at, &last_seen_at, &word, &closed.by],
        )
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    ledger.add(EventDraft::resolved(id, &closed));
    store_signals(tx, tenant, &[signal]).await?;
    Ok(true)
}

/// How far back clock readings are looked for: as long as metrics are kept. Without a bound every
/// slice there ever was would be opened.
const CLOCK_READINGS_S: i64 = 14 * 86_400;

/// Without the times at hand the planner takes few rows to lie between them, and sorts all that an
/// agent ever sent to find the newest 20: 650 ms a page with 8 days of history, in place of 15.
/// Planning each page costs 1 ms.
const PLAN_FOR_TIMES: &str = "SET LOCAL plan_cache_mode = force_custom_plan";

/// A page of facts in one statement: for each agent its rows are found by the index read backwards,
/// and listed as they are found, newest first: to sort each list again took a third of the time.
/// The index orders by time alone, so the rows of one moment are put in order after the newest are
/// found; otherwise every slice would be opened for each agent.
const FACTS: &str = "SELECT a.id, a.version, a.version_highest, a.last_verified_at, \
    w.received_at, w.cpu, w.is_spooled, \
    c.captured_at, c.sent_at, c.received_at, c.is_spooled, \
    o.ids, o.kinds, o.severities, o.seen \
    FROM (SELECT g.id, g.version, g.version_highest, g.last_verified_at FROM agents g \
        WHERE g.tenant_id = $1 AND g.id > $2 AND g.id <> $1 AND g.revoked_at IS NULL ORDER BY g.id LIMIT $3) a \
    CROSS JOIN LATERAL (SELECT array_agg(x.time) AS received_at, \
        array_agg(x.cpu_usage_percent) AS cpu, array_agg(x.is_spooled) AS is_spooled \
        FROM (SELECT t.time, t.cpu_usage_percent, t.is_spooled FROM \
            (SELECT m.time, m.cpu_usage_percent, m.is_spooled, m.epoch, m.seq FROM metrics m \
            WHERE m.tenant_id = $1 AND m.agent_id = a.id AND m.time > $4 AND m.time <= $5 \
            ORDER BY m.time DESC FETCH FIRST $6 ROWS WITH TIES) t \
            ORDER BY t.time DESC, t.epoch DESC, t.seq DESC LIMIT $6) x) w \
    CROSS JOIN LATERAL (SELECT array_agg(y.captured_at) AS captured_at, \
        array_agg(y.sent_at) AS sent_at, array_agg(y.time) AS received_at, \
        array_agg(y.is_spooled) AS is_spooled \
        FROM (SELECT t.captured_at, t.sent_at, t.time, t.is_spooled FROM \
            (SELECT m.captured_at, m.sent_at, m.time, m.is_spooled, m.epoch, m.seq FROM metrics m \
            WHERE m.tenant_id = $1 AND m.agent_id = a.id AND m.time > $7 AND m.time <= $5 \
            ORDER BY m.time DESC FETCH FIRST 20 ROWS WITH TIES) t \
            ORDER BY t.time DESC, t.epoch DESC, t.seq DESC LIMIT 20) y) c \
    CROSS JOIN LATERAL (SELECT array_agg(i.id ORDER BY i.kind) AS ids, \
        array_agg(i.kind ORDER BY i.kind) AS kinds, \
        array_agg(i.severity ORDER BY i.kind) AS severities, \
        array_agg(i.last_seen_at ORDER BY i.kind) AS seen FROM integrity_anomalies i \
        WHERE i.tenant_id = $1 AND i.agent_id = a.id AND i.resolved_at IS NULL) o \
    ORDER BY a.id";
