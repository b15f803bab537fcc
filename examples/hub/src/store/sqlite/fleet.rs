//! Many agents at once in SQLite.
//!
//! A page is found first, by a statement that reads nothing but agents, and then read row by row:
//! SQLite would otherwise look up the anomalies and samples of every agent that it sorts.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, named_params, params};

use super::SqliteStore;
use super::agent::read_summary;
use super::column::{OrStoreError, first, rows, text};
use crate::store::fleet::{NAMED_MAX, NAMES_MAX, VERSIONS_MAX};
use crate::store::{
    AgentName, FleetCounts, FleetCursor, FleetFilter, FleetOrder, FleetPage, FleetRow, FleetStore,
    LastSample,
};

impl FleetStore for SqliteStore {
    fn fleet(
        &self,
        tenant: TenantId,
        filter: &FleetFilter,
        (order, after): (FleetOrder, Option<FleetCursor>),
        (n_rows, n_recent): (u32, u32),
        now: Timestamp,
    ) -> StoreFuture<'_, FleetPage> {
        let filter = filter.clone();
        let after = after.filter(|after| after.order == order);
        self.read(move |connection| {
            // One read transaction: the page and its count are a picture of one moment.
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            let place = (order, after.as_ref());
            let mut found = find(&snapshot, tenant, &filter, place, n_rows)?;
            let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
            let has_more = found.len() > n_rows;
            found.truncate(n_rows);
            let read =
                |(agent, _): &(AgentId, _)| read_row(&snapshot, tenant, *agent, n_recent, now);
            Ok(FleetPage {
                rows: found.iter().map(read).collect::<Result<_, _>>()?,
                next: found.pop().map(|(_, cursor)| cursor).filter(|_| has_more),
                n_matching: count_matching(&snapshot, tenant, &filter)?,
            })
        })
    }

    fn fleet_of(
        &self,
        tenant: TenantId,
        agents: Vec<AgentId>,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<FleetRow>> {
        self.read(move |connection| {
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            let mut found = Vec::new();
            for agent in agents.into_iter().take(NAMED_MAX) {
                match read_row(&snapshot, tenant, agent, n_recent, now) {
                    Ok(row) => found.push(row),
                    Err(StoreError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
    }

    fn fleet_names(
        &self,
        tenant: TenantId,
        filter: &FleetFilter,
    ) -> StoreFuture<'_, Vec<AgentName>> {
        let filter = filter.clone();
        self.read(move |connection| {
            let sql = NAMES.to_owned() + MATCHING + " ORDER BY a.name LIMIT :limit";
            let mut statement = connection.prepare_cached(&sql).or_store_error()?;
            let parameters = named_params! {
                ":tenant": tenant.to_string(),
                ":text": filter.folded_text(),
                ":is_device": filter.is_device(),
                ":presence": filter.presence_word(),
                ":version": filter.version,
                ":fresh_since": filter.fresh_since.to_rfc3339(),
                ":limit": NAMES_MAX,
            };
            rows(&mut statement, parameters, |row| {
                Ok(AgentName {
                    agent: text(row, 0)?,
                    name: text(row, 1)?,
                    is_revoked: row.get(2).or_store_error()?,
                })
            })
        })
    }

    fn fleet_counts(
        &self,
        tenant: TenantId,
        fresh_since: Timestamp,
    ) -> StoreFuture<'_, FleetCounts> {
        self.read(move |connection| {
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            let mut counts = count_presence(&snapshot, tenant, fresh_since)?;
            counts.versions = count_versions(&snapshot, tenant)?;
            Ok(counts)
        })
    }
}

/// Finds the agents of a page and one more, each with the place behind it.
fn find(
    connection: &Connection,
    tenant: TenantId,
    filter: &FleetFilter,
    (order, after): (FleetOrder, Option<&FleetCursor>),
    n_rows: u32,
) -> Result<Vec<(AgentId, FleetCursor)>, StoreError> {
    let (key, behind) = match order {
        // Every place has the same value, and the name decides.
        FleetOrder::Name => (
            "0",
            " AND coalesce(:after_key, 0) = 0 AND a.name > :after_name ORDER BY a.name",
        ),
        FleetOrder::LastSeen => (
            "coalesce(a.last_seen_at, '')",
            " AND (:after_key IS NULL OR coalesce(a.last_seen_at, '') < :after_key \
             OR coalesce(a.last_seen_at, '') = :after_key AND a.name > :after_name) \
             ORDER BY coalesce(a.last_seen_at, '') DESC, a.name",
        ),
        FleetOrder::Worst => (
            "coalesce(o.worst, 6)",
            " AND (:after_key IS NULL OR (coalesce(o.worst, 6), a.name) > (:after_key, :after_name)) \
             ORDER BY coalesce(o.worst, 6), a.name",
        ),
    };
    let worst = if order == FleetOrder::Worst {
        WORST
    } else {
        ""
    };
    let sql = format!(
        "SELECT a.id, a.name, {key} FROM agents a {worst}WHERE a.tenant_id = :tenant \
         {MATCHING}{behind} LIMIT :limit"
    );
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let after_key = after.map(|after| match order {
        FleetOrder::LastSeen => Value::from(seen_text(after.key)),
        FleetOrder::Name | FleetOrder::Worst => Value::from(after.key),
    });
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":text": filter.folded_text(),
        ":is_device": filter.is_device(),
        ":presence": filter.presence_word(),
        ":version": filter.version,
        ":fresh_since": filter.fresh_since.to_rfc3339(),
        ":after_key": after_key,
        // No name is empty, so that this lies before all of them.
        ":after_name": after.map_or("", |after| after.name.as_str()),
        ":limit": i64::from(n_rows) + 1,
    };
    rows(&mut statement, parameters, |row| {
        let name = text(row, 1)?;
        let key = match order {
            FleetOrder::LastSeen => seen_key(row)?,
            FleetOrder::Name | FleetOrder::Worst => row.get(2).or_store_error()?,
        };
        Ok((text(row, 0)?, FleetCursor { order, key, name }))
    })
}

/// How the moment of a cursor stands in its column; nothing for never.
fn seen_text(key: i64) -> String {
    Timestamp::from_unix_micros(key).map_or_else(|_| String::new(), Timestamp::to_rfc3339)
}

fn seen_key(row: &Row<'_>) -> Result<i64, StoreError> {
    let seen: String = text(row, 2)?;
    if seen.is_empty() {
        return Ok(i64::MIN);
    }
    let seen = Timestamp::parse_rfc3339(&seen).map_err(|_| StoreError::Damaged)?;
    Ok(seen.unix_micros())
}

fn count_matching(
    connection: &Connection,
    tenant: TenantId,
    filter: &FleetFilter,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM agents a WHERE a.tenant_id = :tenant ".to_owned() + MATCHING;
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":text": filter.folded_text(),
        ":is_device": filter.is_device(),
        ":presence": filter.presence_word(),
        ":version": filter.version,
        ":fresh_since": filter.fresh_since.to_rfc3339(),
    };
    let counted = statement.query_row(parameters, |row| row.get::<_, i64>(0));
    counted.or_store_error().map(i64::unsigned_abs)
}

fn read_row(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
    n_recent: u32,
    now: Timestamp,
) -> Result<FleetRow, StoreError> {
    let agent_row = read_summary(connection, tenant, agent, n_recent, now)?;
    let sql = "SELECT time, cpu_usage_percent, load1, mem_total_bytes, mem_used_bytes, \
               uptime_seconds FROM metrics WHERE tenant_id = ?1 AND agent_id = ?2 \
               ORDER BY time DESC, id DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ids = params![tenant.to_string(), agent.to_string()];
    let last = first(&mut statement, ids, |row| {
        Ok(LastSample {
            at: text(row, 0)?,
            cpu_usage_percent: row.get(1).or_store_error()?,
            load1: row.get(2).or_store_error()?,
            mem_total_bytes: row.get(3).or_store_error()?,
            mem_used_bytes: row.get(4).or_store_error()?,
            uptime_seconds: row.get(5).or_store_error()?,
        })
    })?;
    Ok(FleetRow {
        agent: agent_row,
        last,
    })
}

fn count_presence(
    connection: &Connection,
    tenant: TenantId,
    fresh_since: Timestamp,
) -> Result<FleetCounts, StoreError> {
    let sql = "SELECT count(CASE WHEN revoked_at IS NULL AND last_seen_at >= ?2 THEN 1 END), \
               count(CASE WHEN revoked_at IS NULL AND last_seen_at < ?2 THEN 1 END), \
               count(CASE WHEN revoked_at IS NULL AND last_seen_at IS NULL THEN 1 END), \
               count(revoked_at) FROM agents WHERE tenant_id = ?1 AND id <> tenant_id";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), fresh_since.to_rfc3339()];
    let counted = statement.query_row(parameters, |row| {
        let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        Ok(FleetCounts {
            n_fresh: count(0)?,
            n_silent: count(1)?,
            n_never_seen: count(2)?,
            n_revoked: count(3)?,
            versions: Vec::new(),
        })
    });
    counted.or_store_error()
}

fn count_versions(
    connection: &Connection,
    tenant: TenantId,
) -> Result<Vec<(String, u64)>, StoreError> {
    let sql = "SELECT version, count(*) FROM agents WHERE tenant_id = ?1 AND id <> tenant_id \
               AND revoked_at IS NULL AND version IS NOT NULL \
               GROUP BY version ORDER BY count(*) DESC, version LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    rows(
        &mut statement,
        params![tenant.to_string(), VERSIONS_MAX],
        |row| {
            let count: i64 = row.get(1).or_store_error()?;
            Ok((text(row, 0)?, count.unsigned_abs()))
        },
    )
}

const NAMES: &str = "SELECT a.id, a.name, a.revoked_at IS NOT NULL FROM agents a \
    WHERE a.tenant_id = :tenant ";

/// Joins the worst severity among the open anomalies of each agent.
const WORST: &str = "LEFT JOIN (SELECT i.agent_id, min(i.severity_rank) AS worst \
    FROM integrity_anomalies i WHERE i.tenant_id = :tenant AND i.resolved_at IS NULL \
    GROUP BY i.agent_id) o ON o.agent_id = a.id ";

/// Which agents match; the hub's own row does not.
const MATCHING: &str = "AND a.id <> a.tenant_id \
    AND (:text IS NULL OR instr(lower(a.name), :text) > 0 OR instr(a.id, :text) = 1) \
    AND (:is_device IS NULL OR (a.device_key IS NOT NULL) = :is_device) \
    AND (:version IS NULL OR a.version = :version) \
    AND (:presence IS NULL OR :presence = CASE WHEN a.revoked_at IS NOT NULL THEN 'revoked' \
    WHEN a.last_seen_at IS NULL THEN 'never_seen' WHEN a.last_seen_at < :fresh_since THEN 'silent' \
    ELSE 'fresh' END)";
