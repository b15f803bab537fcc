//! Anomalies in PostgreSQL: recorded, listed, closed.

use monsys_core::anomaly::{Anomaly, AnomalyKind, Closed, Finding};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::severity::Severity;
use monsys_core::signal::Signal;
use monsys_core::store::{
    AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyState, AnomalyStore, KindCount, StoreError,
    StoreFuture,
};
use monsys_core::time::Timestamp;
use tokio_postgres::Row;

use super::PostgresStore;
use super::account::audit;
use super::column::{severity_of_rank, word};
use super::fault::Fault;
use super::signal::store_signals;
use super::transaction::{Plan, Tx};
use crate::random::random_bytes;

impl AnomalyStore for PostgresStore {
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>> {
        self.run(Plan::read("open counts", tenant), move |tx| {
            Box::pin(async move { open_counts(tx, tenant).await })
        })
    }

    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, AnomalyPage> {
        self.run(Plan::read("anomalies", tenant), move |tx| {
            Box::pin(async move { page(tx, tenant, filter, n_rows).await })
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
        self.run(Plan::write("resolve", tenant).repeatable(), move |tx| {
            let note = note.clone();
            Box::pin(async move {
                // An accelerated clock may have run ahead of the one that was used to detect it.
                let sql = "UPDATE integrity_anomalies \
                           SET resolved_at = greatest($3, last_seen_at), resolved_by = $4, \
                           resolution = 'manual', note = $5 \
                           WHERE tenant_id = $1 AND id = $2 AND resolved_at IS NULL";
                let changed = tx.execute(sql, &[&tenant, &id, &now, &by, &note]).await?;
                if changed == 1 {
                    let (by, id) = (by.to_string(), id.to_string());
                    audit(tx, Some(tenant), &by, "anomaly resolved", &id).await?;
                }
                let sql = LISTED.to_owned() + " WHERE i.tenant_id = $1 AND i.id = $2";
                let found = tx.first(&sql, &[&tenant, &id]).await?;
                listed(&found.ok_or(StoreError::NotFound)?, tenant)
            })
        })
    }
}

async fn open_counts(tx: &Tx, tenant: TenantId) -> Result<Vec<KindCount>, Fault> {
    let sql = "SELECT kind, count(*), min(severity_rank) FROM integrity_anomalies \
               WHERE tenant_id = $1 AND resolved_at IS NULL GROUP BY kind";
    let mut found: Vec<KindCount> = Vec::new();
    for row in tx.rows(sql, &[&tenant]).await? {
        let n_open: i64 = row.try_get(1)?;
        found.push(KindCount {
            kind: word(&row, 0)?,
            n_open: n_open.unsigned_abs(),
            worst: Some(severity_of_rank(row.try_get(2)?)),
        });
    }
    let of_kind = |kind| {
        let count = found.iter().find(|count| count.kind == kind).copied();
        count.unwrap_or(KindCount {
            kind,
            n_open: 0,
            worst: None,
        })
    };
    Ok(AnomalyKind::ALL.into_iter().map(of_kind).collect())
}

async fn page(
    tx: &Tx,
    tenant: TenantId,
    filter: AnomalyFilter,
    n_rows: u32,
) -> Result<AnomalyPage, Fault> {
    let sql = LISTED.to_owned()
        + " WHERE i.tenant_id = $1 \
           AND ($2::boolean IS NULL OR (i.resolved_at IS NULL) = $2) \
           AND ($3::text IS NULL OR i.kind = $3) \
           AND ($4::text IS NULL OR i.severity = $4) \
           AND ($5::uuid IS NULL OR i.agent_id = $5) \
           AND ($6::uuid IS NULL OR EXISTS (SELECT 1 FROM integrity_anomalies p \
               WHERE p.tenant_id = $1 AND p.id = $6 \
               AND (i.severity_rank > p.severity_rank OR (i.severity_rank = p.severity_rank \
               AND (i.detected_at < p.detected_at \
               OR (i.detected_at = p.detected_at AND i.id < p.id)))))) \
           ORDER BY i.severity_rank, i.detected_at DESC, i.id DESC LIMIT $7";
    let found = tx
        .rows(
            &sql,
            &[
                &tenant,
                &filter.state.map(|state| state == AnomalyState::Open),
                &filter.kind.map(AnomalyKind::as_str),
                &filter.severity.map(Severity::as_str),
                &filter.agent,
                &filter.after,
                &(i64::from(n_rows) + 1),
            ],
        )
        .await?;
    let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let has_more = found.len() > n_rows;
    let rows = found.iter().take(n_rows).map(|row| listed(row, tenant));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let next = rows.last().filter(|_| has_more).map(|row| row.anomaly.id);
    Ok(AnomalyPage { rows, next })
}

fn listed(row: &Row, tenant: TenantId) -> Result<AnomalyRow, Fault> {
    let occurrences: i64 = row.try_get(10)?;
    let closed = match row.try_get::<_, Option<Timestamp>>(11)? {
        None => None,
        Some(at) => Some(Closed {
            at,
            by: row.try_get(12)?,
            resolution: word(row, 14)?,
            note: row.try_get(15)?,
        }),
    };
    Ok(AnomalyRow {
        anomaly: Anomaly {
            id: row.try_get(0)?,
            tenant,
            agent: row.try_get(1)?,
            finding: Finding {
                kind: word(row, 3)?,
                severity: row.try_get(4)?,
                summary: row.try_get(5)?,
                detail: row.try_get(6)?,
                evidence: row.try_get(7)?,
            },
            detected_at: row.try_get(8)?,
            last_seen_at: row.try_get(9)?,
            occurrences: occurrences.unsigned_abs(),
            closed,
        },
        agent_name: row.try_get(2)?,
        closed_by: row.try_get(13)?,
    })
}

/// Records a finding: opens an anomaly, or counts it on the one that is open, whose severity may
/// rise. Tells whether one was opened.
pub(super) async fn record(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    at: Timestamp,
    finding: &Finding,
    occurrences: u64,
    signal: &Signal,
) -> Result<bool, Fault> {
    let occurrences = i64::try_from(occurrences).unwrap_or(i64::MAX);
    let kind = finding.kind.as_str();
    // The unique index of open anomalies decides between two hubs; the loser counts.
    let sql = "INSERT INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, \
               detail, evidence, detected_at, last_seen_at, occurrences) \
               VALUES ($1, $2, $3, $4, $5, $6, $7::text::json, $8::text::json, $9, $9, $10) \
               ON CONFLICT (tenant_id, agent_id, kind) WHERE resolved_at IS NULL DO NOTHING";
    let opened = tx
        .execute(
            sql,
            &[
                &AnomalyId::from_random_bytes(random_bytes()),
                &tenant,
                &agent,
                &kind,
                &finding.severity,
                &finding.summary,
                &finding.detail,
                &finding.evidence,
                &at,
                &occurrences,
            ],
        )
        .await?;
    if opened == 1 {
        store_signals(tx, tenant, &[signal]).await?;
        return Ok(true);
    }
    let sql = "SELECT id, severity FROM integrity_anomalies WHERE tenant_id = $1 \
               AND agent_id = $2 AND kind = $3 AND resolved_at IS NULL FOR UPDATE";
    // Closed between the two statements: the transaction runs again and opens a new one.
    let open = tx.first(sql, &[&tenant, &agent, &kind]).await?;
    let open = open.ok_or(Fault::Conflict)?;
    let (id, severity): (AnomalyId, Severity) = (open.try_get(0)?, open.try_get(1)?);
    let sql = "UPDATE integrity_anomalies SET last_seen_at = greatest(last_seen_at, $3), \
               occurrences = occurrences + $4, severity = $5 WHERE tenant_id = $1 AND id = $2";
    let worst = severity.max(finding.severity);
    tx.execute(sql, &[&tenant, &id, &at, &occurrences, &worst])
        .await?;
    if finding.severity > severity {
        store_signals(tx, tenant, &[signal]).await?;
    }
    Ok(false)
}

/// What a listing reads of an anomaly, in the order in which [`listed`] reads it.
const LISTED: &str = "SELECT i.id, i.agent_id, a.name, i.kind, i.severity, i.summary, \
    i.detail::text, i.evidence::text, i.detected_at, i.last_seen_at, i.occurrences, \
    i.resolved_at, i.resolved_by, u.email, i.resolution, i.note FROM integrity_anomalies i \
    JOIN agents a ON a.tenant_id = i.tenant_id AND a.id = i.agent_id \
    LEFT JOIN users u ON u.tenant_id = i.tenant_id AND u.id = i.resolved_by";
