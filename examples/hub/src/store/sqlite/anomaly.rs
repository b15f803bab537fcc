//! Anomalies in SQLite: recorded, listed, closed.

use monsys_core::anomaly::{Anomaly, AnomalyKind, Closed, Finding, Resolution};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::severity::Severity;
use monsys_core::signal::Signal;
use monsys_core::store::{
    AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyState, AnomalyStore, KindCount, StoreError,
    StoreFuture,
};
use monsys_core::time::Timestamp;
use rusqlite::{Connection, Row, named_params, params};

use super::SqliteStore;
use super::agent::severity_of_rank;
use super::column::{OrStoreError, TextColumn, first, optional, rows, text};
use super::signal::put_signal;
use crate::random::random_bytes;

impl AnomalyStore for SqliteStore {
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>> {
        self.read(move |connection| {
            let sql = "SELECT kind, count(*), min(severity_rank) FROM integrity_anomalies \
                       WHERE tenant_id = ?1 AND resolved_at IS NULL GROUP BY kind";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
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
            Ok(AnomalyKind::ALL.into_iter().map(of_kind).collect())
        })
    }

    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, AnomalyPage> {
        self.read(move |connection| {
            let sql = LISTED.to_owned()
                + "WHERE i.tenant_id = :tenant \
                 AND (:is_open IS NULL OR (i.resolved_at IS NULL) = :is_open) \
                 AND (:kind IS NULL OR i.kind = :kind) \
                 AND (:severity IS NULL OR i.severity = :severity) \
                 AND (:agent IS NULL OR i.agent_id = :agent) \
                 AND (:after IS NULL OR EXISTS (SELECT 1 FROM integrity_anomalies p \
                     WHERE p.tenant_id = :tenant AND p.id = :after \
                     AND (i.severity_rank > p.severity_rank OR (i.severity_rank = p.severity_rank \
                     AND (i.detected_at < p.detected_at \
                     OR (i.detected_at = p.detected_at AND i.id < p.id)))))) \
                 ORDER BY i.severity_rank, i.detected_at DESC, i.id DESC LIMIT :limit";
            let mut statement = connection.prepare_cached(&sql).or_store_error()?;
            let parameters = named_params! {
                ":tenant": tenant.to_string(),
                ":is_open": filter.state.map(|state| state == AnomalyState::Open),
                ":kind": filter.kind.map(AnomalyKind::as_str),
                ":severity": filter.severity.map(Severity::as_str),
                ":agent": filter.agent.map(|agent| agent.to_string()),
                ":after": filter.after.map(|after| after.to_string()),
                ":limit": i64::from(n_rows) + 1,
            };
            let mut found = rows(&mut statement, parameters, |row| listed(row, tenant))?;
            let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
            let has_more = found.len() > n_rows;
            found.truncate(n_rows);
            let next = found.last().filter(|_| has_more).map(|row| row.anomaly.id);
            Ok(AnomalyPage { rows: found, next })
        })
    }

    fn resolve(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        by: UserId,
        note: Option<String>,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow> {
        self.write(move |connection| {
            // An accelerated clock may have run ahead of the one that was used to detect it.
            let sql = "UPDATE integrity_anomalies SET resolved_at = max(?3, last_seen_at), \
                       resolved_by = ?4, resolution = 'manual', note = ?5 \
                       WHERE tenant_id = ?1 AND id = ?2 AND resolved_at IS NULL";
            let changed = connection
                .execute(
                    sql,
                    params![
                        tenant.to_string(),
                        id.to_string(),
                        now.to_rfc3339(),
                        by.to_string(),
                        note
                    ],
                )
                .or_store_error()?;
            if changed == 1 {
                super::account::audit(
                    connection,
                    Some(tenant),
                    &by.to_string(),
                    "anomaly resolved",
                    &id.to_string(),
                )?;
            }
            one(connection, tenant, id)
        })
    }
}

fn one(connection: &Connection, tenant: TenantId, id: AnomalyId) -> Result<AnomalyRow, StoreError> {
    let sql = LISTED.to_owned() + "WHERE i.tenant_id = ?1 AND i.id = ?2";
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let found = first(
        &mut statement,
        [tenant.to_string(), id.to_string()],
        |row| listed(row, tenant),
    )?;
    found.ok_or(StoreError::NotFound)
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
            closed,
        },
        agent_name: text(row, 2)?,
        closed_by: optional(row, 13)?,
    })
}

impl TextColumn for Resolution {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
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
    let (tenant_id, agent_id) = (tenant.to_string(), agent.to_string());
    let occurrences = i64::try_from(occurrences).unwrap_or(i64::MAX);
    let sql = "SELECT id, severity FROM integrity_anomalies \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND kind = ?3 AND resolved_at IS NULL";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant_id, agent_id, finding.kind.as_str()];
    let open = first(&mut statement, parameters, |row| {
        Ok((text::<AnomalyId>(row, 0)?, text::<Severity>(row, 1)?))
    })?;
    let Some((id, severity)) = open else {
        let sql = "INSERT INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, \
                   summary, detail, evidence, detected_at, last_seen_at, occurrences) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)";
        let mut statement = connection.prepare_cached(sql).or_store_error()?;
        let inserted = statement.execute(params![
            AnomalyId::from_random_bytes(random_bytes()).to_string(),
            tenant_id,
            agent_id,
            finding.kind.as_str(),
            finding.severity.as_str(),
            finding.summary,
            finding.detail,
            finding.evidence,
            at.to_rfc3339(),
            occurrences,
        ]);
        inserted.or_store_error()?;
        put_signal(connection, tenant, signal)?;
        return Ok(true);
    };
    let sql = "UPDATE integrity_anomalies SET last_seen_at = max(last_seen_at, ?3), \
               occurrences = occurrences + ?4, severity = ?5 WHERE tenant_id = ?1 AND id = ?2";
    let worst = severity.max(finding.severity);
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let updated = statement.execute(params![
        tenant_id,
        id.to_string(),
        at.to_rfc3339(),
        occurrences,
        worst.as_str()
    ]);
    updated.or_store_error()?;
    if finding.severity > severity {
        put_signal(connection, tenant, signal)?;
    }
    Ok(false)
}

/// What a listing reads of an anomaly, in the order in which [`listed`] reads it.
const LISTED: &str = "SELECT i.id, i.agent_id, a.name, i.kind, i.severity, i.summary, i.detail, \
    i.evidence, i.detected_at, i.last_seen_at, i.occurrences, i.resolved_at, i.resolved_by, \
    u.email, i.resolution, i.note FROM integrity_anomalies i \
    JOIN agents a ON a.tenant_id = i.tenant_id AND a.id = i.agent_id \
    LEFT JOIN users u ON u.tenant_id = i.tenant_id AND u.id = i.resolved_by ";
