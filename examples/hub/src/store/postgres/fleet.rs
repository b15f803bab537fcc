//! Many agents at once in PostgreSQL.
//!
//! A page is found first, by a statement that reads nothing but agents, and then read by another,
//! so that anomalies and samples are looked up for its own rows only.

use std::collections::BTreeMap;
use std::sync::Arc;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::store::StoreFuture;
use monsys_core::time::{Span, Timestamp};
use tokio_postgres::Row;

use super::PostgresStore;
use super::agent::{SUMMARY, summary};
use super::fault::Fault;
use super::horizon;
use super::partition::Table;
use super::transaction::{Plan, Tx};
use crate::store::fleet::{NAMED_MAX, NAMES_MAX, VERSIONS_MAX};
use crate::store::{
    AgentName, FleetCounts, FleetCursor, FleetFilter, FleetOrder, FleetPage, FleetRow, FleetStore,
    LastSample,
};

impl FleetStore for PostgresStore {
    fn fleet(
        &self,
        tenant: TenantId,
        filter: &FleetFilter,
        (order, after): (FleetOrder, Option<FleetCursor>),
        (n_rows, n_recent): (u32, u32),
        now: Timestamp,
    ) -> StoreFuture<'_, FleetPage> {
        let after = after.filter(|after| after.order == order);
        let asked = Arc::new((filter.clone(), after));
        self.run(Plan::read("fleet", tenant), move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (filter, after) = (&asked.0, asked.1.as_ref());
                let mut found = find(tx, tenant, filter, (order, after), n_rows).await?;
                let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
                let has_more = found.len() > n_rows;
                found.truncate(n_rows);
                let ids: Vec<_> = found.iter().map(|(agent, _)| *agent).collect();
                Ok(FleetPage {
                    rows: read_rows(tx, tenant, &ids, n_recent, now).await?,
                    next: found.pop().map(|(_, cursor)| cursor).filter(|_| has_more),
                    n_matching: count_matching(tx, tenant, filter).await?,
                })
            })
        })
    }

    fn fleet_of(
        &self,
        tenant: TenantId,
        mut agents: Vec<AgentId>,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<FleetRow>> {
        agents.truncate(NAMED_MAX);
        let agents: Arc<[AgentId]> = agents.into();
        self.run(Plan::read("fleet of", tenant), move |tx| {
            let agents = Arc::clone(&agents);
            Box::pin(async move { read_rows(tx, tenant, &agents, n_recent, now).await })
        })
    }

    fn fleet_names(
        &self,
        tenant: TenantId,
        filter: &FleetFilter,
    ) -> StoreFuture<'_, Vec<AgentName>> {
        let filter = Arc::new(filter.clone());
        self.run(Plan::read("fleet names", tenant), move |tx| {
            let filter = Arc::clone(&filter);
            Box::pin(async move {
                let sql = NAMES.to_owned() + MATCHING + " ORDER BY a.name LIMIT $7";
                let (text, limit) = (filter.folded_text(), i64::from(NAMES_MAX));
                let rows = tx
                    .rows(
                        &sql,
                        &[
                            &tenant,
                            &text,
                            &filter.is_device(),
                            &filter.version,
                            &filter.presence_word(),
                            &filter.fresh_since,
                            &limit,
                        ],
                    )
                    .await?;
                let name = |row: &Row| {
                    Ok(AgentName {
                        agent: row.try_get(0)?,
                        name: row.try_get(1)?,
                        is_revoked: row.try_get(2)?,
                    })
                };
                rows.iter().map(name).collect()
            })
        })
    }

    fn fleet_counts(
        &self,
        tenant: TenantId,
        fresh_since: Timestamp,
    ) -> StoreFuture<'_, FleetCounts> {
        self.run(Plan::read("fleet counts", tenant), move |tx| {
            Box::pin(async move { counts(tx, tenant, fresh_since).await })
        })
    }
}

/// Finds the agents of a page and one more, each with the place behind it.
async fn find(
    tx: &Tx,
    tenant: TenantId,
    filter: &FleetFilter,
    (order, after): (FleetOrder, Option<&FleetCursor>),
    n_rows: u32,
) -> Result<Vec<(AgentId, FleetCursor)>, Fault> {
    let (key, joined, behind) = match order {
        FleetOrder::Name => ("0::bigint", "", BEHIND_NAME),
        FleetOrder::LastSeen => ("k.seen", SEEN, BEHIND_SEEN),
        FleetOrder::Worst => ("coalesce(o.worst, 6)::bigint", WORST, BEHIND_WORST),
    };
    let sql = format!(
        "SELECT a.id, a.name, {key} FROM agents a {joined}WHERE a.tenant_id = $1 \
         {MATCHING} {behind} LIMIT $9"
    );
    let rows = tx
        .rows(
            &sql,
            &[
                &tenant,
                &filter.folded_text(),
                &filter.is_device(),
                &filter.version,
                &filter.presence_word(),
                &filter.fresh_since,
                &after.map(|after| after.key),
                // No name is empty, so that this lies before all of them.
                &after.map_or("", |after| after.name.as_str()),
                &(i64::from(n_rows) + 1),
            ],
        )
        .await?;
    let place = |row: &Row| {
        let cursor = FleetCursor {
            order,
            key: row.try_get(2)?,
            name: row.try_get(1)?,
        };
        Ok((row.try_get(0)?, cursor))
    };
    rows.iter().map(place).collect()
}

async fn count_matching(tx: &Tx, tenant: TenantId, filter: &FleetFilter) -> Result<u64, Fault> {
    let sql = "SELECT count(*) FROM agents a WHERE a.tenant_id = $1 ".to_owned() + MATCHING;
    let row = tx
        .one(
            &sql,
            &[
                &tenant,
                &filter.folded_text(),
                &filter.is_device(),
                &filter.version,
                &filter.presence_word(),
                &filter.fresh_since,
            ],
        )
        .await?;
    let counted: i64 = row.try_get(0)?;
    Ok(counted.unsigned_abs())
}

/// Reads agents in the order in which they are named.
async fn read_rows(
    tx: &Tx,
    tenant: TenantId,
    agents: &[AgentId],
    n_recent: u32,
    now: Timestamp,
) -> Result<Vec<FleetRow>, Fault> {
    let sql = SUMMARY.to_owned() + " AND a.id = ANY($5)";
    let since = now.saturating_sub(Span::from_secs(limit::WINDOW_S));
    let n_recent = i64::from(n_recent);
    let rows = tx
        .rows(&sql, &[&tenant, &since, &now, &n_recent, &agents])
        .await?;
    let summaries = rows.iter().map(|row| Ok((row.try_get(0)?, summary(row)?)));
    let mut summaries = summaries.collect::<Result<BTreeMap<AgentId, _>, Fault>>()?;
    let kept_since = horizon::of(tx, Table::Metrics).await?;
    let rows = tx.rows(LAST, &[&tenant, &agents, &kept_since]).await?;
    let samples = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, last_sample(row)?)));
    let mut samples = samples.collect::<Result<BTreeMap<AgentId, _>, Fault>>()?;
    let named = agents.iter().filter_map(|agent| {
        Some(FleetRow {
            agent: summaries.remove(agent)?,
            last: samples.remove(agent),
        })
    });
    Ok(named.collect())
}

fn last_sample(row: &Row) -> Result<LastSample, Fault> {
    Ok(LastSample {
        at: row.try_get(1)?,
        cpu_usage_percent: row.try_get(2)?,
        load1: row.try_get(3)?,
        mem_total_bytes: row.try_get(4)?,
        mem_used_bytes: row.try_get(5)?,
        uptime_seconds: row.try_get(6)?,
    })
}

async fn counts(tx: &Tx, tenant: TenantId, fresh_since: Timestamp) -> Result<FleetCounts, Fault> {
    let sql = "SELECT count(*) FILTER (WHERE revoked_at IS NULL AND last_seen_at >= $2), \
               count(*) FILTER (WHERE revoked_at IS NULL AND last_seen_at < $2), \
               count(*) FILTER (WHERE revoked_at IS NULL AND last_seen_at IS NULL), \
               count(revoked_at) FROM agents WHERE tenant_id = $1 AND id <> $1";
    let row = tx.one(sql, &[&tenant, &fresh_since]).await?;
    let sql = "SELECT version, count(*) FROM agents WHERE tenant_id = $1 AND id <> $1 \
               AND revoked_at IS NULL AND version IS NOT NULL \
               GROUP BY version ORDER BY count(*) DESC, version LIMIT $2";
    let versions = tx.rows(sql, &[&tenant, &i64::from(VERSIONS_MAX)]).await?;
    let versions = versions
        .iter()
        .map(|row| Ok((row.try_get(0)?, count(row, 1)?)));
    Ok(FleetCounts {
        n_fresh: count(&row, 0)?,
        n_silent: count(&row, 1)?,
        n_never_seen: count(&row, 2)?,
        n_revoked: count(&row, 3)?,
        versions: versions.collect::<Result<_, Fault>>()?,
    })
}

fn count(row: &Row, index: usize) -> Result<u64, Fault> {
    let count: i64 = row.try_get(index)?;
    Ok(count.unsigned_abs())
}

const NAMES: &str = "SELECT a.id, a.name, a.revoked_at IS NOT NULL FROM agents a \
    WHERE a.tenant_id = $1 ";

/// Joins the microseconds since 1970 when an agent was last seen; the least number for never.
const SEEN: &str = "CROSS JOIN LATERAL (SELECT coalesce(\
    (extract(epoch FROM a.last_seen_at) * 1000000)::bigint, '-9223372036854775808'::bigint) \
    AS seen) k ";

/// In the order of names every place has the same value, and the name decides.
const BEHIND_NAME: &str = "AND coalesce($7::bigint, 0) = 0 AND a.name > $8 ORDER BY a.name";

const BEHIND_SEEN: &str = "AND ($7::bigint IS NULL OR k.seen < $7 OR k.seen = $7 \
    AND a.name > $8) ORDER BY k.seen DESC, a.name";

const BEHIND_WORST: &str = "AND ($7::bigint IS NULL \
    OR (coalesce(o.worst, 6)::bigint, a.name) > ($7::bigint, $8)) \
    ORDER BY coalesce(o.worst, 6), a.name";

/// Joins the worst severity among the open anomalies of each agent.
const WORST: &str = "LEFT JOIN (SELECT i.agent_id, min(i.severity_rank) AS worst \
    FROM integrity_anomalies i WHERE i.tenant_id = $1 AND i.resolved_at IS NULL \
    GROUP BY i.agent_id) o ON o.agent_id = a.id ";

/// Which agents match; the hub's own row does not.
const MATCHING: &str = "AND a.id <> $1 AND ($2::text IS NULL OR strpos(lower(a.name), $2) > 0 \
    OR strpos(a.id::text, $2) = 1) \
    AND ($3::boolean IS NULL OR (a.device_key IS NOT NULL) = $3) \
    AND ($4::text IS NULL OR a.version = $4) \
    AND ($5::text IS NULL OR $5 = CASE WHEN a.revoked_at IS NOT NULL THEN 'revoked' \
    WHEN a.last_seen_at IS NULL THEN 'never_seen' WHEN a.last_seen_at < $6::timestamptz \
    THEN 'silent' ELSE 'fresh' END)";

/// The newest sample of each agent that is named.
const LAST: &str = "SELECT a.id, s.time, s.cpu_usage_percent, s.load1, s.mem_total_bytes, \
    s.mem_used_bytes, s.uptime_seconds FROM agents a CROSS JOIN LATERAL (\
    SELECT m.time, m.cpu_usage_percent, m.load1, m.mem_total_bytes, m.mem_used_bytes, \
    m.uptime_seconds FROM metrics m WHERE m.tenant_id = $1 AND m.agent_id = a.id \
    AND m.time >= $3 ORDER BY m.time DESC, m.epoch DESC, m.seq DESC LIMIT 1) s \
    WHERE a.tenant_id = $1 AND a.id = ANY($2)";
