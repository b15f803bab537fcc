//! Samples as they are read back in PostgreSQL.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::StoreFuture;
use monsys_core::time::Timestamp;
use tokio_postgres::Row;

use super::PostgresStore;
use super::fault::Fault;
use super::horizon;
use super::partition::Table;
use super::transaction::{Plan, Tx};
use crate::store::sample::{COUNTED_MAX, SERIES_SAMPLES_MAX};
use crate::store::{
    Bucket, Buckets, SampleCounts, SampleFilter, SamplePage, SamplePlace, SampleStart, SampleStore,
    SampleTotal, Series, SeriesOf, StoredSample,
};

impl SampleStore for PostgresStore {
    fn samples(
        &self,
        tenant: TenantId,
        filter: SampleFilter,
        start: SampleStart,
        n_rows: u32,
    ) -> StoreFuture<'_, SamplePage> {
        self.run(Plan::read("samples", tenant), move |tx| {
            Box::pin(async move { page(tx, tenant, filter, start, n_rows).await })
        })
    }

    fn sample_total(&self, tenant: TenantId, filter: SampleFilter) -> StoreFuture<'_, SampleTotal> {
        self.run(Plan::read("sample total", tenant), move |tx| {
            Box::pin(async move {
                let kept_since = horizon::of(tx, Table::Metrics).await?;
                let sql = COUNTED.to_owned() + of_agents(filter).which + COUNTED_END;
                let limit = i64::from(COUNTED_MAX) + 1;
                let row = tx
                    .one(
                        &sql,
                        &[&tenant, &filter.agent, &filter.until, &kept_since, &limit],
                    )
                    .await?;
                let n_samples = row.try_get::<_, i64>(0)?.unsigned_abs();
                Ok(SampleTotal {
                    n_samples: n_samples.min(u64::from(COUNTED_MAX)),
                    is_exact: n_samples <= u64::from(COUNTED_MAX),
                })
            })
        })
    }

    fn series(
        &self,
        tenant: TenantId,
        agent: AgentId,
        of: SeriesOf,
        buckets: Buckets,
    ) -> StoreFuture<'_, Series> {
        self.run(Plan::read("series", tenant), move |tx| {
            Box::pin(async move { series(tx, (tenant, agent), of, buckets).await })
        })
    }
}

async fn page(
    tx: &Tx,
    tenant: TenantId,
    filter: SampleFilter,
    start: SampleStart,
    n_rows: u32,
) -> Result<SamplePage, Fault> {
    let kept_since = horizon::of(tx, Table::Metrics).await?;
    let (until, before, skip) = match start {
        SampleStart::Behind(place) => (filter.until.min(place.at), Some(place), 0),
        SampleStart::Skip(n) => {
            let Some((until, skip)) = jump(tx, tenant, filter, kept_since, n).await? else {
                return Ok(SamplePage::default());
            };
            (until, None, skip)
        }
    };
    let of = of_agents(filter);
    let behind = before.map_or("", |_| of.behind);
    let sql = LISTED.to_owned() + of.which + of.until + behind + of.order + LISTED_END;
    let limit = i64::from(n_rows) + 1;
    let rows = if let Some(before) = before {
        let (epoch, seq) = before.position();
        tx.rows(
            &sql,
            &[
                &tenant,
                &filter.agent,
                &until,
                &kept_since,
                &limit,
                &skip,
                &before.at,
                &before.agent,
                &epoch,
                &seq,
            ],
        )
        .await?
    } else {
        tx.rows(
            &sql,
            &[&tenant, &filter.agent, &until, &kept_since, &limit, &skip],
        )
        .await?
    };
    let found: Result<Vec<_>, Fault> = rows.iter().map(sample).collect();
    let mut found = found?;
    let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let has_more = found.len() > n_rows;
    found.truncate(n_rows);
    Ok(SamplePage {
        next: found.last().filter(|_| has_more).map(|last| last.place),
        rows: found,
    })
}

/// Finds where the page behind so many samples begins: at the samples of which moment, and behind
/// how many of those. Two walks along an index, which spare as many rows.
async fn jump(
    tx: &Tx,
    tenant: TenantId,
    filter: SampleFilter,
    kept_since: Timestamp,
    n: u64,
) -> Result<Option<(Timestamp, i64)>, Fault> {
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    if n == 0 {
        return Ok(Some((filter.until, 0)));
    }
    let of = of_agents(filter);
    let sql = AT_PLACE.to_owned() + of.which + of.until + of.order + AT_PLACE_END;
    let found = tx
        .first(
            &sql,
            &[&tenant, &filter.agent, &filter.until, &kept_since, &n],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let at: Timestamp = row.try_get(0)?;
    let sql = COUNTED.to_owned() + of.which + of.until + of.newer + NEWER_END;
    let row = tx
        .one(&sql, &[&tenant, &filter.agent, &filter.until, &at])
        .await?;
    Ok(Some((at, n - row.try_get::<_, i64>(0)?)))
}

/// How a statement reads samples in the order of time: those of an agent and those of all have an
/// index of their own each.
struct OfAgents {
    which: &'static str,
    until: &'static str,
    newer: &'static str,
    behind: &'static str,
    order: &'static str,
}

const fn of_agents(filter: SampleFilter) -> OfAgents {
    match filter.agent {
        Some(_) => OfAgents {
            which: "AND m.agent_id = $2 ",
            until: "AND m.time <= $3 AND m.time >= $4 ",
            newer: "AND m.time > $4",
            behind: "AND (m.time, m.agent_id, m.epoch, m.seq) < ($7, $8, $9, $10) ",
            order: "ORDER BY m.time DESC",
        },
        // In the words of the index alone: without statistics a plain bound would make the other
        // index look as good, and its rows would have to be sorted.
        None => OfAgents {
            which: "AND $2::uuid IS NULL ",
            until: "AND m.time AT TIME ZONE 'UTC' <= $3::timestamptz AT TIME ZONE 'UTC' \
                    AND m.time AT TIME ZONE 'UTC' >= $4::timestamptz AT TIME ZONE 'UTC' ",
            newer: "AND m.time AT TIME ZONE 'UTC' > $4::timestamptz AT TIME ZONE 'UTC'",
            behind: "AND (m.time AT TIME ZONE 'UTC', m.agent_id, m.epoch, m.seq) \
                     < ($7::timestamptz AT TIME ZONE 'UTC', $8, $9, $10) ",
            order: "ORDER BY m.time AT TIME ZONE 'UTC' DESC",
        },
    }
}

fn sample(row: &Row) -> Result<StoredSample, Fault> {
    let number = |index| row.try_get::<_, i64>(index).map(i64::unsigned_abs);
    Ok(StoredSample {
        place: SamplePlace {
            at: row.try_get(0)?,
            agent: row.try_get(1)?,
            epoch: number(2)?,
            seq: number(3)?,
        },
        agent_name: row.try_get(4)?,
        captured_at: row.try_get(5)?,
        sent_at: row.try_get(6)?,
        is_spooled: row.try_get(7)?,
        is_verified: row.try_get(8)?,
        cpu_usage_percent: row.try_get(9)?,
        counts: SampleCounts {
            cpu_cores: row.try_get(10)?,
            mem_total_bytes: row.try_get(11)?,
            mem_used_bytes: row.try_get(12)?,
            swap_total_bytes: row.try_get(13)?,
            swap_used_bytes: row.try_get(14)?,
        },
        load: [row.try_get(15)?, row.try_get(16)?, row.try_get(17)?],
        uptime_seconds: row.try_get(18)?,
        disks: row.try_get(19)?,
        networks: row.try_get(20)?,
    })
}

async fn series(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    of: SeriesOf,
    buckets: Buckets,
) -> Result<Series, Fault> {
    let kept_since = horizon::of(tx, Table::Metrics).await?;
    let (from, to) = (buckets.from(), buckets.end());
    let limit = i64::from(SERIES_SAMPLES_MAX) + 1;
    let rows = tx
        .rows(
            series_of(of),
            &[
                &tenant,
                &agent,
                &from,
                &to,
                &kept_since,
                &limit,
                &buckets.width().micros(),
            ],
        )
        .await?;
    let (mut series, mut n_read) = (Series::default(), 0);
    for row in &rows {
        n_read += row.try_get::<_, i64>(1)?;
        let min: Option<f64> = row.try_get(3)?;
        let Some(min) = min else { continue };
        series.buckets.push(Bucket {
            at: row.try_get(0)?,
            n_samples: row.try_get::<_, i64>(2)?.unsigned_abs(),
            min,
            mean: row.try_get(4)?,
            max: row.try_get(5)?,
        });
    }
    series.is_cut = n_read > i64::from(SERIES_SAMPLES_MAX);
    Ok(series)
}

const fn series_of(of: SeriesOf) -> &'static str {
    match of {
        SeriesOf::Cpu => {
            "SELECT date_bin($7::bigint * interval '1 microsecond', s.time, $3) AS at, count(*), \
             count(s.v), min(s.v), avg(s.v), max(s.v) FROM (\
             SELECT m.time, m.cpu_usage_percent AS v FROM metrics m \
             WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.time >= $3 AND m.time < $4 \
             AND m.time >= $5 ORDER BY m.time DESC LIMIT $6) s GROUP BY 1 ORDER BY 1"
        }
        SeriesOf::Memory => {
            "SELECT date_bin($7::bigint * interval '1 microsecond', s.time, $3) AS at, count(*), \
             count(s.v), min(s.v), avg(s.v), max(s.v) FROM (\
             SELECT m.time, CASE WHEN m.mem_total_bytes > 0 THEN \
             100 * m.mem_used_bytes::double precision / m.mem_total_bytes END AS v \
             FROM metrics m \
             WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.time >= $3 AND m.time < $4 \
             AND m.time >= $5 ORDER BY m.time DESC LIMIT $6) s GROUP BY 1 ORDER BY 1"
        }
        SeriesOf::Load => {
            "SELECT date_bin($7::bigint * interval '1 microsecond', s.time, $3) AS at, count(*), \
             count(s.v), min(s.v), avg(s.v), max(s.v) FROM (\
             SELECT m.time, m.load1 AS v FROM metrics m \
             WHERE m.tenant_id = $1 AND m.agent_id = $2 AND m.time >= $3 AND m.time < $4 \
             AND m.time >= $5 ORDER BY m.time DESC LIMIT $6) s GROUP BY 1 ORDER BY 1"
        }
    }
}

const COUNTED: &str = "SELECT count(*) FROM (SELECT FROM metrics m WHERE m.tenant_id = $1 ";

const COUNTED_END: &str = "AND m.time <= $3 AND m.time >= $4 LIMIT $5) n";

const NEWER_END: &str = ") n";

const AT_PLACE: &str = "SELECT m.time FROM metrics m WHERE m.tenant_id = $1 ";

const AT_PLACE_END: &str = " LIMIT 1 OFFSET $5";

const LISTED: &str = "SELECT m.time, m.agent_id, m.epoch, m.seq, \
    (SELECT a.name FROM agents a WHERE a.tenant_id = $1 AND a.id = m.agent_id), \
    m.captured_at, m.sent_at, m.is_spooled, m.is_verified, m.cpu_usage_percent, m.cpu_cores, \
    m.mem_total_bytes, m.mem_used_bytes, m.swap_total_bytes, m.swap_used_bytes, \
    m.load1, m.load5, m.load15, m.uptime_seconds, m.disks::text, m.networks::text \
    FROM metrics m WHERE m.tenant_id = $1 ";

const LISTED_END: &str = ", m.agent_id DESC, m.epoch DESC, m.seq DESC LIMIT $5 OFFSET $6";
