//! What people do with anomalies in PostgreSQL, one transaction for as many as a page lists.

use std::collections::{BTreeMap, BTreeSet};

use monsys_core::anomaly::{
    Acknowledged, Action, AnomalyKind, Closed, Resolution, Snoozed, closed_signal,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::EventDraft;
use monsys_core::limit;
use monsys_core::signal::Signal;
use monsys_core::store::{AnomalyRow, StoreError};
use monsys_core::time::Timestamp;
use monsys_integrity::version::triple;

use super::account::audit;
use super::anomaly::of_ids;
use super::column::{DAMAGED, Word};
use super::fault::Fault;
use super::ledger::Ledger;
use super::partition::{Slice, Table};
use super::signal::store_signals;
use super::transaction::Tx;
use crate::store::Author;

/// What an action needs to know of an open anomaly.
#[derive(Debug, Clone, Copy)]
struct Open {
    agent: AgentId,
    kind: AnomalyKind,
    last_seen_at: Timestamp,
}

/// Where the signals of what closes now go.
pub(super) fn slices_of(now: Timestamp) -> Vec<Slice> {
    vec![Slice {
        table: Table::Signals,
        at: now,
    }]
}

/// Does what a person wants; answers the rows in the order of `ids`.
pub(super) async fn act(
    tx: &Tx,
    tenant: TenantId,
    ids: &[AnomalyId],
    by: UserId,
    action: &Action,
    now: Timestamp,
) -> Result<Vec<AnomalyRow>, Fault> {
    if ids.len() > limit::ACTION_ANOMALIES_MAX {
        return Err(Fault::Answer(StoreError::Refused {
            constraint: "action_anomalies_max".into(),
        }));
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT id, agent_id, kind FROM integrity_anomalies \
               WHERE tenant_id = $1 AND id = ANY ($2)";
    let known = tx.rows(sql, &[&tenant, &ids]).await?;
    let distinct: BTreeSet<&AnomalyId> = ids.iter().collect();
    // All are there before any is changed: they never go away.
    if known.len() != distinct.len() {
        return Err(StoreError::NotFound.into());
    }
    if matches!(action, Action::Resolve { .. }) {
        // Agents before the ledger, as ingest does.
        let sql = "SELECT a.id FROM agents a WHERE a.tenant_id = $1 AND a.id = ANY ( \
                   SELECT i.agent_id FROM integrity_anomalies i WHERE i.tenant_id = $1 \
                   AND i.id = ANY ($2) AND i.kind = 'version_downgrade') \
                   ORDER BY a.id FOR NO KEY UPDATE";
        tx.rows(sql, &[&tenant, &ids]).await?;
    }
    let mut ledger = Ledger::lock(tx, tenant).await?;
    let mut open = open_of(tx, tenant, ids).await?;
    let mut signals = Vec::new();
    for id in ids {
        let Some(row) = open.get(id).copied() else {
            continue;
        };
        // What is done is never before what was seen, whatever the clocks of two hubs say.
        let doing = (by, now.max(row.last_seen_at));
        let signal = apply(tx, &mut ledger, (tenant, *id), row, action, doing).await?;
        if signal.is_some() {
            open.remove(id);
        }
        signals.extend(signal);
    }
    ledger.write(tx).await?;
    let signals: Vec<&Signal> = signals.iter().collect();
    if !signals.is_empty() {
        store_signals(tx, tenant, &signals).await?;
    }
    in_order(&of_ids(tx, tenant, ids, now).await?, ids)
}

/// Locks those that are open.
async fn open_of(
    tx: &Tx,
    tenant: TenantId,
    ids: &[AnomalyId],
) -> Result<BTreeMap<AnomalyId, Open>, Fault> {
    let sql = "SELECT id, agent_id, kind, last_seen_at FROM integrity_anomalies \
               WHERE tenant_id = $1 AND id = ANY ($2) AND resolved_at IS NULL \
               ORDER BY id FOR NO KEY UPDATE";
    let rows = tx.rows(sql, &[&tenant, &ids]).await?;
    let open = rows.iter().map(|row| {
        let open = Open {
            agent: row.try_get(1)?,
            kind: Word::from_word(row.try_get(2)?).ok_or(DAMAGED)?,
            last_seen_at: row.try_get(3)?,
        };
        Ok((row.try_get(0)?, open))
    });
    open.collect()
}

/// Changes one anomaly; answers the signal that supersedes it where it closes.
async fn apply(
    tx: &Tx,
    ledger: &mut Ledger,
    (tenant, id): (TenantId, AnomalyId),
    open: Open,
    action: &Action,
    (by, at): (UserId, Timestamp),
) -> Result<Option<Signal>, Fault> {
    let (actor, subject) = (Author::User(by), id.to_string());
    match action {
        Action::Acknowledge { reason, until } => {
            let sql = "UPDATE integrity_anomalies SET acknowledged_at = $3, acknowledged_by = $4, \
                       acknowledged_reason = $5, acknowledged_until = $6 \
                       WHERE tenant_id = $1 AND id = $2";
            tx.execute(sql, &[&tenant, &id, &at, &by, reason, until])
                .await?;
            let (reason, until) = (reason.clone(), *until);
            let seen = Acknowledged {
                at,
                by,
                reason,
                until,
            };
            ledger.add(EventDraft::acknowledged(id, &seen));
            audit(tx, Some(tenant), actor, "anomaly acknowledged", &subject).await?;
            Ok(None)
        }
        Action::Snooze { reason, until } => {
            let sql = "UPDATE integrity_anomalies SET snoozed_at = $3, snoozed_by = $4, \
                       snoozed_reason = $5, snoozed_until = $6 WHERE tenant_id = $1 AND id = $2";
            tx.execute(sql, &[&tenant, &id, &at, &by, reason, until])
                .await?;
            let (reason, until) = (reason.clone(), *until);
            let snoozed = Snoozed {
                at,
                by,
                reason,
                until,
            };
            ledger.add(EventDraft::snoozed(id, &snoozed));
            audit(tx, Some(tenant), actor, "anomaly snoozed", &subject).await?;
            Ok(None)
        }
        Action::Resolve { note } => {
            let note = note.clone();
            resolve(tx, ledger, (tenant, id), open, (by, at), note).await?;
            audit(tx, Some(tenant), actor, "anomaly resolved", &subject).await?;
            Ok(Some(closed_signal(open.agent, open.kind, at)))
        }
        other => {
            tracing::error!(?other, "an action that this store does not know");
            Err(Fault::Answer(StoreError::Refused {
                constraint: "action_known".into(),
            }))
        }
    }
}

async fn resolve(
    tx: &Tx,
    ledger: &mut Ledger,
    (tenant, id): (TenantId, AnomalyId),
    open: Open,
    (by, at): (UserId, Timestamp),
    note: Option<String>,
) -> Result<(), Fault> {
    let sql = "UPDATE integrity_anomalies SET resolved_at = $3, resolved_by = $4, \
               resolution = $5, note = $6 WHERE tenant_id = $1 AND id = $2";
    let resolution = Resolution::Manual;
    let word = resolution.as_str();
    tx.execute(sql, &[&tenant, &id, &at, &by, &word, &note])
        .await?;
    let closed = Closed {
        at,
        by,
        resolution,
        note,
    };
    ledger.add(EventDraft::resolved(id, &closed));
    if open.kind == AnomalyKind::VersionDowngrade
        && let Some((from, to)) = accept_baseline(tx, tenant, open.agent).await?
    {
        ledger.add(EventDraft::baseline_accepted(id, (&from, &to), by, at));
    }
    Ok(())
}

/// Makes the present version of an agent the one that later ones are compared with; answers both
/// where they differ.
async fn accept_baseline(
    tx: &Tx,
    tenant: TenantId,
    agent: AgentId,
) -> Result<Option<(String, String)>, Fault> {
    let sql = "SELECT version_highest, version FROM agents WHERE tenant_id = $1 AND id = $2 \
               AND version_highest <> version";
    let Some(row) = tx.first(sql, &[&tenant, &agent]).await? else {
        return Ok(None);
    };
    let (from, to): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    // A version that is no three numbers stands below all that are.
    let key = triple(&to).map_or_else(String::new, |triple| triple.to_sort_key());
    let sql = "UPDATE agents SET version_highest = $3, version_highest_key = $4 \
               WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, &[&tenant, &agent, &to, &key]).await?;
    Ok(Some((from, to)))
}

/// The rows in the order of the identifiers, one for each.
fn in_order(rows: &[AnomalyRow], ids: &[AnomalyId]) -> Result<Vec<AnomalyRow>, Fault> {
    let by_id: BTreeMap<AnomalyId, &AnomalyRow> =
        rows.iter().map(|row| (row.anomaly.id, row)).collect();
    let ordered = ids.iter().map(|id| by_id.get(id).copied().cloned());
    ordered.map(|row| row.ok_or(DAMAGED)).collect()
}
