//! Anomalies in SQLite: recorded and listed.

use monsys_core::anomaly::{
    Acknowledged, Action, Anomaly, AnomalyKind, Closed, Finding, Resolution, Snoozed,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::{EventDraft, LedgerEntry, LedgerHead, is_sampled};
use monsys_core::limit;
use monsys_core::severity::Severity;
use monsys_core::signal::Signal;
use monsys_core::store::{
    AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyState, AnomalyStore, Attention, KindCount,
    StoreError, StoreFuture,
};
use monsys_core::time::{Span, Timestamp};
use rusqlite::{Connection, Row, ToSql, named_params, params};

use super::agent::{rank_of_severity, severity_of_rank};
use super::column::{OrStoreError, TextColumn, first, optional, rows, text};
use super::ledger::{append, service_user};
use super::signal::put_signal;
use super::{SqliteStore, action, ledger};
use crate::random::random_bytes;

impl AnomalyStore for SqliteStore {
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(COUNTS).or_store_error()?;
            let found = rows(&mut statement, [tenant.to_string()], |row| {
                let n_open: i64 = row.get(1).or_store_error()?;
                Ok(KindCount {
                    kind: text(row, 0)?,
                    n_open: n_open.unsigned_abs(),
                    worst: Some(severity_of_rank(row.get(2).or_store_error()?)),
                })
            })?;
            let of_kind = |kind| {
                let count = found.iter().find(|count| count.kind == kind).copied();
                count.unwrap_or(KindCount {
                    kind,
                    n_open: 0,
                    worst: None,
                })
            };
            let is_listed =
                |c: &KindCount| c.n_open > 0 || AnomalyKind::DOCUMENTED.contains(&c.kind);
            let counts = AnomalyKind::every().map(of_kind).filter(is_listed);
            Ok(counts.collect())
        })
    }

    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyPage> {
        self.read(move |connection| {
            let n_wanted = usize::try_from(n_rows)
                .unwrap_or(usize::MAX)
                .saturating_add(1);
            let mut found = Vec::new();
            for (part, after) in filter.parts() {
                let place = match after {
                    None => None,
                    Some(id) => place(connection, tenant, part, id)?,
                };
                if after.is_some() && place.is_none() {
                    break;
                }
                let n_missing = n_wanted - found.len();
                if n_missing == 0 {
                    break;
                }
                let list = (tenant, part, &filter);
                found.extend(list_part(connection, list, place, n_missing, now)?);
            }
            Ok(AnomalyPage::cut(found, n_rows))
        })
    }

    fn anomaly(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow> {
        self.read(move |connection| one(connection, tenant, id, now))
    }

    fn act<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [AnomalyId],
        by: UserId,
        action: &'a Action,
        now: Timestamp,
    ) -> StoreFuture<'a, Vec<AnomalyRow>> {
        if ids.len() > limit::ACTION_ANOMALIES_MAX {
            let constraint = "action_anomalies_max".into();
            return Box::pin(std::future::ready(Err(StoreError::Refused { constraint })));
        }
        let (ids, action) = (ids.to_vec(), action.clone());
        self.write(move |connection| {
            // All are looked up before any is changed.
            for id in &ids {
                one(connection, tenant, *id, now)?;
            }
            for id in &ids {
                action::act(connection, (tenant, *id), by, &action, now)?;
            }
            ids.iter()
                .map(|id| one(connection, tenant, *id, now))
                .collect()
        })
    }

    fn ledger(
        &self,
        tenant: TenantId,
        anomaly: Option<AnomalyId>,
        after: u64,
        n_rows: u32,
    ) -> StoreFuture<'_, Vec<LedgerEntry>> {
        self.read(move |connection| ledger::entries(connection, tenant, anomaly, after, n_rows))
    }

    fn ledger_head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead> {
        self.read(move |connection| ledger::head(connection, tenant))
    }
}

/// Where an anomaly stands in a part of a listing.
struct Place {
    id: AnomalyId,
    rank: u8,
    at: Timestamp,
}

fn place(
    connection: &Connection,
    tenant: TenantId,
    part: AnomalyState,
    id: AnomalyId,
) -> Result<Option<Place>, StoreError> {
    let sql = "SELECT severity_rank, detected_at, resolved_at FROM integrity_anomalies \
               WHERE tenant_id = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ids = [tenant.to_string(), id.to_string()];
    let found = first(&mut statement, ids, |row| {
        let at = match part {
            AnomalyState::Open => Some(text(row, 1)?),
            AnomalyState::Resolved => optional(row, 2)?,
        };
        Ok((row.get(0).or_store_error()?, at))
    })?;
    Ok(found.and_then(|(rank, at)| Some(Place { id, rank, at: at? })))
}

/// Lists one part, from a place on.
fn list_part(
    connection: &Connection,
    (tenant, part, filter): (TenantId, AnomalyState, &AnomalyFilter),
    place: Option<Place>,
    n_rows: usize,
    now: Timestamp,
) -> Result<Vec<AnomalyRow>, StoreError> {
    let (tenant_text, since, at) = (tenant.to_string(), lately_since(now), now.to_rfc3339());
    let n_rows = i64::try_from(n_rows).unwrap_or(i64::MAX);
    let kind = filter.kind.map(AnomalyKind::as_str);
    let rank = filter.severity.map(rank_of_severity);
    let agent = filter.agent.map(|agent| agent.to_string());
    let place = place.map(|place| (place.rank, place.at.to_rfc3339(), place.id.to_string()));
    let mut parameters: Vec<(&str, &dyn ToSql)> = vec![
        (":tenant", &tenant_text),
        (":since", &since),
        (":now", &at),
        (":limit", &n_rows),
    ];
    parameters.extend(kind.iter().map(|kind| (":kind", kind as &dyn ToSql)));
    parameters.extend(rank.iter().map(|rank| (":rank", rank as &dyn ToSql)));
    parameters.extend(agent.iter().map(|agent| (":agent", agent as &dyn ToSql)));
    if let Some((after_rank, after_at, after)) = &place {
        parameters.push((":after_at", after_at));
        parameters.push((":after", after));
        if part == AnomalyState::Open {
            parameters.push((":after_rank", after_rank));
        }
    }
    let sql = sql_of_part(part, filter, place.is_some());
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    rows(&mut statement, &*parameters, |row| listed(row, tenant))
}

/// Each part has an index in its order, which an unused filter must not take away; so only those
/// that are used are written down. What is of one agent is found by the index of the agent and
/// sorted, which the plus signs ask for: they take a column from the indexes.
fn sql_of_part(part: AnomalyState, filter: &AnomalyFilter, is_behind: bool) -> String {
    let mut sql = LISTED.to_owned() + "WHERE i.tenant_id = :tenant ";
    if filter.kind.is_some() {
        sql += "AND i.kind = :kind ";
    }
    if filter.severity.is_some() {
        sql += "AND i.severity_rank = :rank ";
    }
    if filter.agent.is_some() {
        sql += "AND i.agent_id = :agent ";
    }
    sql += filter.attention.map_or("", clause_of);
    let free = if filter.agent.is_some() { "+" } else { "" };
    if is_behind {
        sql += &match part {
            AnomalyState::Open => format!(
                "AND {free}i.severity_rank >= :after_rank AND (i.severity_rank > :after_rank \
                 OR (i.detected_at, i.id) < (:after_at, :after)) "
            ),
            AnomalyState::Resolved => {
                format!("AND ({free}i.resolved_at, i.id) < (:after_at, :after) ")
            }
        };
    }
    sql += &match part {
        AnomalyState::Open => format!(
            "AND i.resolved_at IS NULL \
             ORDER BY {free}i.severity_rank, i.detected_at DESC, i.id DESC LIMIT :limit"
        ),
        AnomalyState::Resolved => format!(
            "AND {free}i.resolved_at IS NOT NULL \
             ORDER BY {free}i.resolved_at DESC, i.id DESC LIMIT :limit"
        ),
    };
    sql
}

/// What is acknowledged holds until its end, or for as long as it is open.
const fn clause_of(attention: Attention) -> &'static str {
    match attention {
        Attention::Snoozed => "AND i.snoozed_until > :now ",
        Attention::Acknowledged => {
            "AND (i.snoozed_until IS NULL OR i.snoozed_until <= :now) \
             AND i.acknowledged_at IS NOT NULL \
             AND (i.acknowledged_until IS NULL OR i.acknowledged_until > :now) "
        }
        Attention::Needed => {
            "AND (i.snoozed_until IS NULL OR i.snoozed_until <= :now) \
             AND (i.acknowledged_at IS NULL OR i.acknowledged_until <= :now) "
        }
    }
}

fn one(
    connection: &Connection,
    tenant: TenantId,
    id: AnomalyId,
    now: Timestamp,
) -> Result<AnomalyRow, StoreError> {
    let sql = LISTED.to_owned() + "WHERE i.tenant_id = :tenant AND i.id = :id";
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let parameters = named_params! {
        ":tenant": tenant.to_string(),
        ":id": id.to_string(),
        ":since": lately_since(now),
        ":now": now.to_rfc3339(),
    };
    let found = first(&mut statement, parameters, |row| listed(row, tenant))?;
    found.ok_or(StoreError::NotFound)
}

/// The moment after which an opening or closing is lately.
fn lately_since(now: Timestamp) -> String {
    let since = now.saturating_sub(Span::from_secs(limit::FLAPPING_S));
    since.to_rfc3339()
}

fn listed(row: &Row<'_>, tenant: TenantId) -> Result<AnomalyRow, StoreError> {
    let occurrences: i64 = row.get(10).or_store_error()?;
    let closed = match optional::<Timestamp>(row, 11)? {
        None => None,
        Some(at) => Some(Closed {
            at,
            by: text(row, 12)?,
            resolution: text(row, 14)?,
            note: optional(row, 15)?,
        }),
    };
    Ok(AnomalyRow {
        anomaly: Anomaly {
            id: text(row, 0)?,
            tenant,
            agent: text(row, 1)?,
            finding: Finding {
                kind: text(row, 3)?,
                severity: text(row, 4)?,
                summary: text(row, 5)?,
                detail: text(row, 6)?,
                evidence: text(row, 7)?,
            },
            detected_at: text(row, 8)?,
            last_seen_at: text(row, 9)?,
            occurrences: occurrences.unsigned_abs(),
            last_detail: optional(row, 16)?,
            previous: optional(row, 17)?,
            acknowledged: acknowledged(row)?,
            snoozed: snoozed(row)?,
            closed,
        },
        agent_name: text(row, 2)?,
        closed_by: optional(row, 13)?,
        n_changes: row.get(26).or_store_error()?,
    })
}

fn acknowledged(row: &Row<'_>) -> Result<Option<Acknowledged>, StoreError> {
    let Some(at) = optional(row, 18)? else {
        return Ok(None);
    };
    Ok(Some(Acknowledged {
        at,
        by: text(row, 19)?,
        reason: text(row, 20)?,
        until: optional(row, 21)?,
    }))
}

fn snoozed(row: &Row<'_>) -> Result<Option<Snoozed>, StoreError> {
    let Some(at) = optional(row, 22)? else {
        return Ok(None);
    };
    Ok(Some(Snoozed {
        at,
        by: text(row, 23)?,
        reason: text(row, 24)?,
        until: text(row, 25)?,
    }))
}

impl TextColumn for Resolution {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// What the record of a finding needs to know of the anomaly that is open.
struct Open {
    id: AnomalyId,
    severity: Severity,
    last_seen_at: Timestamp,
    occurrences: u64,
}

/// Records a finding: opens an anomaly, or counts it on the one that is open, whose severity may
/// rise. Tells whether one was opened.
pub(super) fn record(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    at: Timestamp,
    finding: &Finding,
    occurrences: u64,
    signal: &Signal,
) -> Result<bool, StoreError> {
    let sql = "SELECT id, severity, last_seen_at, occurrences FROM integrity_anomalies \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND kind = ?3 AND resolved_at IS NULL";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), agent.to_string(), finding.kind.as_str()];
    let open = first(&mut statement, parameters, |row| {
        let occurrences: i64 = row.get(3).or_store_error()?;
        Ok(Open {
            id: text(row, 0)?,
            severity: text(row, 1)?,
            last_seen_at: text(row, 2)?,
            occurrences: occurrences.unsigned_abs(),
        })
    })?;
    let Some(open) = open else {
        let opened = Anomaly {
            id: AnomalyId::from_random_bytes(random_bytes()),
            tenant,
            agent,
            finding: finding.clone(),
            detected_at: at,
            last_seen_at: at,
            occurrences,
            last_detail: None,
            previous: previous(connection, (tenant, agent), finding.kind)?,
            acknowledged: None,
            snoozed: None,
            closed: None,
        };
        insert(connection, &opened)?;
        let actor = service_user(connection, tenant)?;
        append(connection, tenant, EventDraft::opened(&opened, actor))?;
        put_signal(connection, tenant, signal)?;
        return Ok(true);
    };
    let is_worse = finding.severity > open.severity;
    count(connection, tenant, &open, (at, finding, occurrences))?;
    if is_worse {
        put_signal(connection, tenant, signal)?;
    }
    Ok(false)
}

/// Finds the newest anomaly of an agent and kind: of those that were detected at one time, the one
/// that the ledger spoke of last.
fn previous(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    kind: AnomalyKind,
) -> Result<Option<AnomalyId>, StoreError> {
    let sql = "SELECT i.id FROM integrity_anomalies i \
               WHERE i.tenant_id = ?1 AND i.agent_id = ?2 AND i.kind = ?3 \
               ORDER BY i.detected_at DESC, (SELECT max(e.seq) FROM integrity_events e \
               WHERE e.tenant_id = ?1 AND e.anomaly_id = i.id) DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), agent.to_string(), kind.as_str()];
    first(&mut statement, parameters, |row| text(row, 0))
}

fn insert(connection: &Connection, opened: &Anomaly) -> Result<(), StoreError> {
    let sql = "INSERT INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, \
               summary, detail, evidence, detected_at, last_seen_at, occurrences, previous_id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let finding = &opened.finding;
    let inserted = statement.execute(params![
        opened.id.to_string(),
        opened.tenant.to_string(),
        opened.agent.to_string(),
        finding.kind.as_str(),
        finding.severity.as_str(),
        finding.summary,
        finding.detail,
        finding.evidence,
        opened.detected_at.to_rfc3339(),
        opened.last_seen_at.to_rfc3339(),
        i64::try_from(opened.occurrences).unwrap_or(i64::MAX),
        opened.previous.map(|previous| previous.to_string()),
    ]);
    inserted.or_store_error().map(drop)
}

/// Counts a finding on the anomaly that is open, and writes down what the ledger keeps of it.
fn count(
    connection: &Connection,
    tenant: TenantId,
    open: &Open,
    (at, finding, occurrences): (Timestamp, &Finding, u64),
) -> Result<(), StoreError> {
    let last_seen_at = open.last_seen_at.max(at);
    let (before, after) = (
        open.occurrences,
        open.occurrences.saturating_add(occurrences),
    );
    let sql = "UPDATE integrity_anomalies SET last_seen_at = ?3, occurrences = ?4, \
               severity = ?5, last_detail = ?6 WHERE tenant_id = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let updated = statement.execute(params![
        tenant.to_string(),
        open.id.to_string(),
        last_seen_at.to_rfc3339(),
        i64::try_from(after).unwrap_or(i64::MAX),
        open.severity.max(finding.severity).as_str(),
        finding.to_last_detail(),
    ]);
    updated.or_store_error()?;
    let is_worse = finding.severity > open.severity;
    if !is_worse && !is_sampled(before, after) {
        return Ok(());
    }
    let actor = service_user(connection, tenant)?;
    let event = if is_worse {
        let rise = (open.severity, finding.severity);
        EventDraft::severity_raised(open.id, rise, actor, last_seen_at)
    } else {
        EventDraft::seen(open.id, after, actor, last_seen_at)
    };
    append(connection, tenant, event)
}

/// Cost: the open ones, in an index of their own.
const COUNTS: &str = "SELECT kind, count(*), min(severity_rank) FROM integrity_anomalies \
    WHERE tenant_id = ?1 AND resolved_at IS NULL GROUP BY kind";

/// What a listing reads of an anomaly, in the order in which [`listed`] reads it; `:since` and
/// `:now` are the ends of lately.
const LISTED: &str = "SELECT i.id, i.agent_id, a.name, i.kind, i.severity, i.summary, i.detail, \
    i.evidence, i.detected_at, i.last_seen_at, i.occurrences, i.resolved_at, i.resolved_by, \
    u.email, i.resolution, i.note, i.last_detail, i.previous_id, i.acknowledged_at, \
    i.acknowledged_by, i.acknowledged_reason, i.acknowledged_until, i.snoozed_at, i.snoozed_by, \
    i.snoozed_reason, i.snoozed_until, (SELECT count(*) FROM integrity_anomalies o \
        WHERE o.tenant_id = i.tenant_id AND o.agent_id = i.agent_id AND o.kind = i.kind \
        AND o.detected_at > :since AND o.detected_at <= :now) \
    + (SELECT count(*) FROM integrity_anomalies c \
        WHERE c.tenant_id = i.tenant_id AND c.agent_id = i.agent_id AND c.kind = i.kind \
        AND c.resolved_at > :since AND c.resolved_at <= :now) \
    FROM integrity_anomalies i \
    JOIN agents a ON a.tenant_id = i.tenant_id AND a.id = i.agent_id \
    LEFT JOIN users u ON u.tenant_id = i.tenant_id AND u.id = i.resolved_by ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listing_and_the_counts_have_an_index_of_their_own() {
        let connection = Connection::open_in_memory().unwrap();
        let schema = include_str!("migrations/0001_start.sql");
        connection.execute_batch(schema).unwrap();
        let plan = |sql: &str| -> String {
            let sql = format!("EXPLAIN QUERY PLAN {sql}");
            let mut statement = connection.prepare(&sql).unwrap();
            let (mut rows, mut plan) = (statement.raw_query(), String::new());
            while let Some(row) = rows.next().unwrap() {
                plan += &(row.get::<_, String>(3).unwrap() + "\n");
            }
            plan
        };
        let of_agent = AnomalyFilter {
            agent: Some(AgentId::from_random_bytes([1; 16])),
            ..AnomalyFilter::default()
        };
        let of_kind = AnomalyFilter {
            kind: Some(AnomalyKind::FlatMetrics),
            attention: Some(Attention::Needed),
            ..AnomalyFilter::default()
        };
        let (open, resolved) = (AnomalyState::Open, AnomalyState::Resolved);
        for is_behind in [false, true] {
            for (part, filter, index) in [
                (open, AnomalyFilter::default(), "integrity_anomalies_listed"),
                (open, of_kind, "integrity_anomalies_counted"),
                (open, of_agent, "one_open_anomaly_per_kind"),
                (
                    resolved,
                    AnomalyFilter::default(),
                    "integrity_anomalies_resolved",
                ),
                (resolved, of_agent, "integrity_anomalies_by_kind"),
            ] {
                let plan = plan(&sql_of_part(part, &filter, is_behind));
                assert!(plan.contains(&format!("i USING INDEX {index} (")), "{plan}");
                let is_sorted = plan.contains("USE TEMP B-TREE FOR ORDER BY");
                assert_eq!(is_sorted, filter.agent.is_some(), "{plan}");
            }
        }
        let plan = plan(COUNTS);
        assert!(plan.contains("INDEX integrity_anomalies_counted"), "{plan}");
    }
}
