//! Samples as they are read back in SQLite.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use rusqlite::{CachedStatement, Connection, Row, named_params, params};

use super::SqliteStore;
use super::column::{OrStoreError, first, optional, rows, text};
use crate::store::sample::{COUNTED_MAX, SERIES_SAMPLES_MAX};
use crate::store::{
    Bucket, Buckets, SampleCounts, SampleFilter, SamplePage, SamplePlace, SampleStart, SampleStore,
    SampleTotal, Series, SeriesOf, StoredSample,
};

impl SampleStore for SqliteStore {
    fn samples(
        &self,
        tenant: TenantId,
        filter: SampleFilter,
        start: SampleStart,
        n_rows: u32,
    ) -> StoreFuture<'_, SamplePage> {
        self.read(move |connection| {
            // One read transaction: where the page begins, and its rows, are of one moment.
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            page(&snapshot, tenant, filter, start, n_rows)
        })
    }

    fn sample_total(&self, tenant: TenantId, filter: SampleFilter) -> StoreFuture<'_, SampleTotal> {
        self.read(move |connection| {
            let n_samples = count(connection, tenant, filter, "")?.unsigned_abs();
            Ok(SampleTotal {
                n_samples: n_samples.min(u64::from(COUNTED_MAX)),
                is_exact: n_samples <= u64::from(COUNTED_MAX),
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
        self.read(move |connection| series(connection, (tenant, agent), of, buckets))
    }
}

fn page(
    connection: &Connection,
    tenant: TenantId,
    filter: SampleFilter,
    start: SampleStart,
    n_rows: u32,
) -> Result<SamplePage, StoreError> {
    let (until, before, skip) = match start {
        SampleStart::Behind(place) => (filter.until.min(place.at), place, 0),
        SampleStart::Skip(n) => {
            let Some((until, skip)) = jump(connection, tenant, filter, n)? else {
                return Ok(SamplePage::default());
            };
            (until, before_all(), skip)
        }
    };
    let sql = LISTED.to_owned() + of_agents(filter) + LISTED_ORDER;
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let (epoch, seq) = before.position();
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":agent": filter.agent.map(|agent| agent.to_string()),
        ":until": until.to_rfc3339(),
        ":at": before.at.to_rfc3339(),
        ":of": before.agent.to_string(),
        ":epoch": epoch,
        ":seq": seq,
        ":limit": i64::from(n_rows) + 1,
        ":skip": skip,
    };
    let mut found = rows(&mut statement, parameters, sample)?;
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
fn jump(
    connection: &Connection,
    tenant: TenantId,
    filter: SampleFilter,
    n: u64,
) -> Result<Option<(Timestamp, i64)>, StoreError> {
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    if n == 0 {
        return Ok(Some((filter.until, 0)));
    }
    let sql = AT_PLACE.to_owned() + of_agents(filter) + AT_PLACE_ORDER;
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":agent": filter.agent.map(|agent| agent.to_string()),
        ":until": filter.until.to_rfc3339(),
        ":skip": n,
    };
    let at: Option<Timestamp> = first(&mut statement, parameters, |row| text(row, 0))?;
    let Some(at) = at else { return Ok(None) };
    let n_newer = count(connection, tenant, filter, &at.to_rfc3339())?;
    Ok(Some((at, n - n_newer)))
}

/// Counts the samples behind a moment, which is text that sorts as times do.
fn count(
    connection: &Connection,
    tenant: TenantId,
    filter: SampleFilter,
    after: &str,
) -> Result<i64, StoreError> {
    let sql = COUNTED.to_owned() + of_agents(filter) + COUNTED_END;
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":agent": filter.agent.map(|agent| agent.to_string()),
        ":until": filter.until.to_rfc3339(),
        ":after": after,
        ":limit": i64::from(COUNTED_MAX) + 1,
    };
    let counted = statement.query_row(parameters, |row| row.get(0));
    counted.or_store_error()
}

/// One statement for an agent and one for all: a parameter that may be NULL keeps SQLite from
/// using an index.
const fn of_agents(filter: SampleFilter) -> &'static str {
    match filter.agent {
        Some(_) => "AND m.agent_id = :agent ",
        None => "AND :agent IS NULL ",
    }
}

fn sample(row: &Row<'_>) -> Result<StoredSample, StoreError> {
    let number = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
    let count = |index| row.get::<_, Option<i64>>(index).or_store_error();
    let real = |index| row.get::<_, Option<f64>>(index).or_store_error();
    Ok(StoredSample {
        place: SamplePlace {
            at: text(row, 0)?,
            agent: text(row, 1)?,
            epoch: number(2).or_store_error()?,
            seq: number(3).or_store_error()?,
        },
        agent_name: text(row, 4)?,
        captured_at: text(row, 5)?,
        sent_at: text(row, 6)?,
        is_spooled: row.get(7).or_store_error()?,
        is_verified: row.get(8).or_store_error()?,
        cpu_usage_percent: row.get(9).or_store_error()?,
        counts: SampleCounts {
            cpu_cores: count(10)?,
            mem_total_bytes: count(11)?,
            mem_used_bytes: count(12)?,
            swap_total_bytes: count(13)?,
            swap_used_bytes: count(14)?,
        },
        load: [real(15)?, real(16)?, real(17)?],
        uptime_seconds: real(18)?,
        disks: optional(row, 19)?,
        networks: optional(row, 20)?,
    })
}

/// Reads the pieces from the newest back, as long as there are samples to be read.
fn series(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    of: SeriesOf,
    buckets: Buckets,
) -> Result<Series, StoreError> {
    let snapshot = connection.unchecked_transaction().or_store_error()?;
    let sql = bucket_of(of);
    let mut statement = snapshot.prepare_cached(sql).or_store_error()?;
    let ids = [tenant.to_string(), agent.to_string()];
    let (mut series, mut n_left) = (Series::default(), i64::from(SERIES_SAMPLES_MAX));
    for n in (0..buckets.n_buckets()).rev() {
        let (from, to) = (buckets.start_of(n), buckets.start_of(n + 1));
        let (n_read, bucket) = bucket(&mut statement, &ids, (from, to), n_left + 1)?;
        series.buckets.extend(bucket);
        n_left -= n_read;
        series.is_cut = n_left < 0;
        if series.is_cut {
            break;
        }
    }
    series.buckets.reverse();
    Ok(series)
}

fn bucket(
    statement: &mut CachedStatement<'_>,
    ids: &[String; 2],
    (from, to): (Timestamp, Timestamp),
    n_samples_max: i64,
) -> Result<(i64, Option<Bucket>), StoreError> {
    let times = [from.to_rfc3339(), to.to_rfc3339()];
    let parameters = params![ids[0], ids[1], times[0], times[1], n_samples_max];
    let read = statement.query_row(parameters, |row| {
        let n_samples = row.get::<_, i64>(1)?.unsigned_abs();
        let bucket = |min| {
            Ok::<_, rusqlite::Error>(Bucket {
                at: from,
                n_samples,
                min,
                mean: row.get(3)?,
                max: row.get(4)?,
            })
        };
        let min: Option<f64> = row.get(2)?;
        Ok((row.get(0)?, min.map(bucket).transpose()?))
    });
    read.or_store_error()
}

/// A place before all samples.
fn before_all() -> SamplePlace {
    SamplePlace {
        at: Timestamp::MAX,
        agent: AgentId::from_random_bytes([0xff; 16]),
        epoch: u64::MAX,
        seq: u64::MAX,
    }
}

const fn bucket_of(of: SeriesOf) -> &'static str {
    match of {
        SeriesOf::Cpu => {
            "SELECT count(*), count(s.v), min(s.v), avg(s.v), max(s.v) FROM (\
             SELECT cpu_usage_percent AS v FROM metrics WHERE tenant_id = ?1 AND agent_id = ?2 \
             AND time >= ?3 AND time < ?4 ORDER BY time DESC LIMIT ?5) s"
        }
        SeriesOf::Memory => {
            "SELECT count(*), count(s.v), min(s.v), avg(s.v), max(s.v) FROM (\
             SELECT CASE WHEN mem_total_bytes > 0 \
             THEN 100.0 * mem_used_bytes / mem_total_bytes END AS v \
             FROM metrics WHERE tenant_id = ?1 AND agent_id = ?2 \
             AND time >= ?3 AND time < ?4 ORDER BY time DESC LIMIT ?5) s"
        }
        SeriesOf::Load => {
            "SELECT count(*), count(s.v), min(s.v), avg(s.v), max(s.v) FROM (\
             SELECT load1 AS v FROM metrics WHERE tenant_id = ?1 AND agent_id = ?2 \
             AND time >= ?3 AND time < ?4 ORDER BY time DESC LIMIT ?5) s"
        }
    }
}

const COUNTED: &str = "SELECT count(*) FROM (SELECT 1 FROM metrics m WHERE m.tenant_id = :tenant ";

const COUNTED_END: &str = "AND m.time <= :until AND m.time > :after LIMIT :limit)";

const AT_PLACE: &str = "SELECT m.time FROM metrics m WHERE m.tenant_id = :tenant ";

const AT_PLACE_ORDER: &str = "AND m.time <= :until ORDER BY m.time DESC LIMIT 1 OFFSET :skip";

const LISTED: &str = "SELECT m.time, m.agent_id, m.epoch, m.seq, \
    (SELECT a.name FROM agents a WHERE a.tenant_id = m.tenant_id AND a.id = m.agent_id), \
    m.captured_at, m.sent_at, m.is_spooled, m.is_verified, m.cpu_usage_percent, m.cpu_cores, \
    m.mem_total_bytes, m.mem_used_bytes, m.swap_total_bytes, m.swap_used_bytes, \
    m.load1, m.load5, m.load15, m.uptime_seconds, m.disks, m.networks \
    FROM metrics m WHERE m.tenant_id = :tenant ";

const LISTED_ORDER: &str = "AND m.time <= :until \
    AND (m.time, m.agent_id, m.epoch, m.seq) < (:at, :of, :epoch, :seq) \
    ORDER BY m.time DESC, m.agent_id DESC, m.epoch DESC, m.seq DESC LIMIT :limit OFFSET :skip";
