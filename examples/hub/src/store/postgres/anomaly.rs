//! Anomalies in PostgreSQL: recorded and listed.

use monsys_core::anomaly::{Acknowledged, Action, Anomaly, AnomalyKind, Closed, Finding, Snoozed};
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
use tokio_postgres::Row;

use super::PostgresStore;
use super::action::{act, slices_of};
use super::column::{rank_of_severity, severity_of_rank, word};
use super::fault::Fault;
use super::ledger::{self, Ledger};
use super::signal::store_signals;
use super::transaction::{Plan, Tx, shared};
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
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyPage> {
        self.run(Plan::read("anomalies", tenant), move |tx| {
            Box::pin(async move { page(tx, tenant, filter, n_rows, now).await })
        })
    }

    fn anomaly(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow> {
        self.run(Plan::read("anomaly", tenant), move |tx| {
            Box::pin(async move {
                let found = of_ids(tx, tenant, &[id], now).await?.pop();
                Ok(found.ok_or(StoreError::NotFound)?)
            })
        })
    }

    fn act<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [AnomalyId],
        by: UserId,
        action: &'a Action,
        now: Timestamp,
    ) -> StoreFuture<'a, Vec<AnomalyRow>> {
        let plan = Plan::write("act", tenant);
        // What is closed stays as it is; to acknowledge again would be another entry.
        let plan = if matches!(action, Action::Resolve { .. }) {
            plan.repeatable()
        } else {
            plan
        };
        let (ids, action) = (shared(ids), action.clone());
        self.run_in_slices(
            plan,
            move || slices_of(now),
            move |tx| {
                let (ids, action) = (ids.clone(), action.clone());
                Box::pin(async move { act(tx, tenant, &ids, by, &action, now).await })
            },
        )
    }

    fn ledger(
        &self,
        tenant: TenantId,
        anomaly: Option<AnomalyId>,
        after: u64,
        n_rows: u32,
    ) -> StoreFuture<'_, Vec<LedgerEntry>> {
        self.run(Plan::read("ledger", tenant), move |tx| {
            Box::pin(async move { ledger::entries(tx, tenant, anomaly, after, n_rows).await })
        })
    }

    fn ledger_head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead> {
        self.run(Plan::read("ledger head", tenant), move |tx| {
            Box::pin(async move { ledger::head(tx, tenant).await })
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
    let is_listed = |c: &KindCount| c.n_open > 0 || AnomalyKind::DOCUMENTED.contains(&c.kind);
    let counts = AnomalyKind::every().map(of_kind).filter(is_listed);
    Ok(counts.collect())
}

async fn page(
    tx: &Tx,
    tenant: TenantId,
    filter: AnomalyFilter,
    n_rows: u32,
    now: Timestamp,
) -> Result<AnomalyPage, Fault> {
    let n_wanted = usize::try_from(n_rows).unwrap_or(usize::MAX);
    let n_wanted = n_wanted.saturating_add(1);
    let mut found = Vec::new();
    for (part, after) in filter.parts() {
        let place = match after {
            None => None,
            Some(id) => place(tx, tenant, part, id).await?,
        };
        if after.is_some() && place.is_none() {
            break;
        }
        let n_missing = n_wanted - found.len();
        if n_missing == 0 {
            break;
        }
        let list = (tenant, part, &filter);
        found.extend(list_part(tx, list, place, n_missing, now).await?);
    }
    Ok(AnomalyPage::cut(found, n_rows))
}

/// Where an anomaly stands in a part of a listing.
struct Place {
    id: AnomalyId,
    rank: i16,
    at: Timestamp,
}

async fn place(
    tx: &Tx,
    tenant: TenantId,
    part: AnomalyState,
    id: AnomalyId,
) -> Result<Option<Place>, Fault> {
    let sql = "SELECT severity_rank, detected_at, resolved_at FROM integrity_anomalies \
               WHERE tenant_id = $1 AND id = $2";
    let Some(row) = tx.first(sql, &[&tenant, &id]).await? else {
        return Ok(None);
    };
    let at: Option<Timestamp> = match part {
        AnomalyState::Open => row.try_get(1)?,
        AnomalyState::Resolved => row.try_get(2)?,
    };
    let rank = row.try_get(0)?;
    Ok(at.map(|at| Place { id, rank, at }))
}

/// Lists one part, from a place on. Each has an index in its order, which an unused filter must not
/// take away; so a filter that is not used is written down as a constant.
async fn list_part(
    tx: &Tx,
    (tenant, part, filter): (TenantId, AnomalyState, &AnomalyFilter),
    place: Option<Place>,
    n_rows: usize,
    now: Timestamp,
) -> Result<Vec<AnomalyRow>, Fault> {
    let mut sql = LISTED.to_owned() + " WHERE i.tenant_id = $1 ";
    sql += match filter.kind {
        Some(_) => "AND i.kind = $4 ",
        None => "AND $4::text IS NULL ",
    };
    sql += match filter.severity {
        Some(_) => "AND i.severity_rank = $5 ",
        None => "AND $5::smallint IS NULL ",
    };
    sql += match filter.agent {
        Some(_) => "AND i.agent_id = $6 ",
        None => "AND $6::uuid IS NULL ",
    };
    sql += filter.attention.map_or("", clause_of);
    sql += match (part, &place) {
        (_, None) => "AND $7::smallint IS NULL AND $8::timestamptz IS NULL AND $9::uuid IS NULL ",
        (AnomalyState::Open, Some(_)) => {
            "AND i.severity_rank >= $7 \
             AND (i.severity_rank > $7 OR (i.detected_at, i.id) < ($8, $9)) "
        }
        (AnomalyState::Resolved, Some(_)) => {
            "AND $7::smallint IS NOT NULL AND (i.resolved_at, i.id) < ($8, $9) "
        }
    };
    sql += match part {
        AnomalyState::Open => {
            "AND i.resolved_at IS NULL \
             ORDER BY i.severity_rank, i.detected_at DESC, i.id DESC LIMIT $10"
        }
        AnomalyState::Resolved => {
            "AND i.resolved_at IS NOT NULL ORDER BY i.resolved_at DESC, i.id DESC LIMIT $10"
        }
    };
    let rows = tx
        .rows(
            &sql,
            &[
                &tenant,
                &since(now),
                &now,
                &filter.kind.map(AnomalyKind::as_str),
                &filter.severity.map(rank_of_severity),
                &filter.agent,
                &place.as_ref().map(|place| place.rank),
                &place.as_ref().map(|place| place.at),
                &place.as_ref().map(|place| place.id),
                &i64::try_from(n_rows).unwrap_or(i64::MAX),
            ],
        )
        .await?;
    rows.iter().map(|row| listed(row, tenant)).collect()
}

/// What is acknowledged holds until its end, or for as long as it is open. `$3` is now.
const fn clause_of(attention: Attention) -> &'static str {
    match attention {
        Attention::Snoozed => "AND i.snoozed_until > $3 ",
        Attention::Acknowledged => {
            "AND (i.snoozed_until IS NULL OR i.snoozed_until <= $3) \
             AND i.acknowledged_at IS NOT NULL \
             AND (i.acknowledged_until IS NULL OR i.acknowledged_until > $3) "
        }
        Attention::Needed => {
            "AND (i.snoozed_until IS NULL OR i.snoozed_until <= $3) \
             AND (i.acknowledged_at IS NULL OR i.acknowledged_until <= $3) "
        }
    }
}

/// Reads anomalies in the order of their identifiers; those that are not there are left out.
pub(super) async fn of_ids(
    tx: &Tx,
    tenant: TenantId,
    ids: &[AnomalyId],
    now: Timestamp,
) -> Result<Vec<AnomalyRow>, Fault> {
    let sql = LISTED.to_owned() + " WHERE i.tenant_id = $1 AND i.id = ANY ($4) ORDER BY i.id";
    let rows = tx.rows(&sql, &[&tenant, &since(now), &now, &ids]).await?;
    rows.iter().map(|row| listed(row, tenant)).collect()
}

/// Since when openings and closings count.
fn since(now: Timestamp) -> Timestamp {
    now.saturating_sub(Span::from_secs(limit::FLAPPING_S))
}

fn listed(row: &Row, tenant: TenantId) -> Result<AnomalyRow, Fault> {
    let (occurrences, n_changes): (i64, i64) = (row.try_get(10)?, row.try_get(26)?);
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
            last_detail: row.try_get(16)?,
            previous: row.try_get(17)?,
            acknowledged: acknowledged(row)?,
            snoozed: snoozed(row)?,
            closed: closed(row)?,
        },
        agent_name: row.try_get(2)?,
        closed_by: row.try_get(13)?,
        n_changes: u32::try_from(n_changes).unwrap_or(u32::MAX),
    })
}

fn closed(row: &Row) -> Result<Option<Closed>, Fault> {
    let Some(at) = row.try_get(11)? else {
        return Ok(None);
    };
    Ok(Some(Closed {
        at,
        by: row.try_get(12)?,
        resolution: word(row, 14)?,
        note: row.try_get(15)?,
    }))
}

fn acknowledged(row: &Row) -> Result<Option<Acknowledged>, Fault> {
    let Some(at) = row.try_get(18)? else {
        return Ok(None);
    };
    Ok(Some(Acknowledged {
        at,
        by: row.try_get(19)?,
        reason: row.try_get(20)?,
        until: row.try_get(21)?,
    }))
}

fn snoozed(row: &Row) -> Result<Option<Snoozed>, Fault> {
    let Some(at) = row.try_get(22)? else {
        return Ok(None);
    };
    Ok(Some(Snoozed {
        at,
        by: row.try_get(23)?,
        reason: row.try_get(24)?,
        until: row.try_get(25)?,
    }))
}

/// Records a finding: opens an anomaly, or counts it on the one that is open, whose severity may
/// rise. Tells whether one was opened.
pub(super) async fn record(
    tx: &Tx,
    ledger: &mut Ledger,
    (tenant, agent): (TenantId, AgentId),
    at: Timestamp,
    finding: &Finding,
    occurrences: u64,
    signal: &Signal,
) -> Result<bool, Fault> {
    let sql = "SELECT id, severity, occurrences, last_seen_at FROM integrity_anomalies \
               WHERE tenant_id = $1 AND agent_id = $2 AND kind = $3 AND resolved_at IS NULL \
               FOR NO KEY UPDATE";
    let kind = finding.kind.as_str();
    let Some(open) = tx.first(sql, &[&tenant, &agent, &kind]).await? else {
        open_new(tx, ledger, (tenant, agent), at, finding, occurrences).await?;
        store_signals(tx, tenant, &[signal]).await?;
        return Ok(true);
    };
    let (id, severity): (AnomalyId, Severity) = (open.try_get(0)?, open.try_get(1)?);
    let (before, seen): (i64, Timestamp) = (open.try_get(2)?, open.try_get(3)?);
    let occurrences = i64::try_from(occurrences).unwrap_or(i64::MAX);
    let (after, last_seen_at) = (before.saturating_add(occurrences), seen.max(at));
    let worst = severity.max(finding.severity);
    let last_detail = finding.to_last_detail();
    let sql = "UPDATE integrity_anomalies SET last_seen_at = $3, occurrences = $4, severity = $5, \
               last_detail = $6::text::json WHERE tenant_id = $1 AND id = $2";
    tx.execute(
        sql,
        &[&tenant, &id, &last_seen_at, &after, &worst, &last_detail],
    )
    .await?;
    let (before, after) = (before.unsigned_abs(), after.unsigned_abs());
    let service = ledger.service;
    if finding.severity > severity {
        let rise = (severity, finding.severity);
        ledger.add(EventDraft::severity_raised(id, rise, service, last_seen_at));
        store_signals(tx, tenant, &[signal]).await?;
    } else if is_sampled(before, after) {
        ledger.add(EventDraft::seen(id, after, service, last_seen_at));
    }
    Ok(false)
}

async fn open_new(
    tx: &Tx,
    ledger: &mut Ledger,
    (tenant, agent): (TenantId, AgentId),
    at: Timestamp,
    finding: &Finding,
    occurrences: u64,
) -> Result<(), Fault> {
    // The last one is the one that no other follows; times of two hubs may lie otherwise.
    let sql = "SELECT i.id FROM integrity_anomalies i \
               WHERE i.tenant_id = $1 AND i.agent_id = $2 AND i.kind = $3 \
               AND NOT EXISTS (SELECT FROM integrity_anomalies n WHERE n.tenant_id = $1 \
               AND n.agent_id = $2 AND n.kind = $3 AND n.previous_id = i.id) \
               ORDER BY i.detected_at DESC LIMIT 1";
    let kind = finding.kind.as_str();
    let previous = tx.first(sql, &[&tenant, &agent, &kind]).await?;
    let opened = Anomaly {
        id: AnomalyId::from_random_bytes(random_bytes()),
        tenant,
        agent,
        finding: finding.clone(),
        detected_at: at,
        last_seen_at: at,
        occurrences,
        last_detail: None,
        previous: previous.map(|row| row.try_get(0)).transpose()?,
        acknowledged: None,
        snoozed: None,
        closed: None,
    };
    // The unique index of open anomalies stands behind the lock of the ledger.
    let sql = "INSERT INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, \
               detail, evidence, detected_at, last_seen_at, occurrences, previous_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7::text::json, $8::text::json, $9, $9, $10, $11)";
    tx.execute(
        sql,
        &[
            &opened.id,
            &tenant,
            &agent,
            &kind,
            &finding.severity,
            &finding.summary,
            &finding.detail,
            &finding.evidence,
            &at,
            &i64::try_from(occurrences).unwrap_or(i64::MAX),
            &opened.previous,
        ],
    )
    .await?;
    ledger.add(EventDraft::opened(&opened, ledger.service));
    Ok(())
}

/// What a listing reads of an anomaly, in the order in which [`listed`] reads it; openings and
/// closings count after `$2` and up to `$3`. Cost of a row: all anomalies of its agent and kind, by
/// their index.
const LISTED: &str = "SELECT i.id, i.agent_id, a.name, i.kind, i.severity, i.summary, \
    i.detail::text, i.evidence::text, i.detected_at, i.last_seen_at, i.occurrences, \
    i.resolved_at, i.resolved_by, u.email, i.resolution, i.note, i.last_detail::text, \
    i.previous_id, i.acknowledged_at, i.acknowledged_by, i.acknowledged_reason, \
    i.acknowledged_until, i.snoozed_at, i.snoozed_by, i.snoozed_reason, i.snoozed_until, \
    c.n_changes FROM integrity_anomalies i \
    JOIN agents a ON a.tenant_id = i.tenant_id AND a.id = i.agent_id \
    LEFT JOIN users u ON u.tenant_id = i.tenant_id AND u.id = i.resolved_by \
    CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE o.detected_at > $2 AND o.detected_at <= $3) \
        + count(*) FILTER (WHERE o.resolved_at > $2 AND o.resolved_at <= $3) AS n_changes \
        FROM integrity_anomalies o WHERE o.tenant_id = i.tenant_id AND o.agent_id = i.agent_id \
        AND o.kind = i.kind) c";
