//! What people do with anomalies: acknowledge, snooze, close.

use monsys_core::anomaly::{
    Acknowledged, Action, AnomalyKind, Closed, Resolution, Snoozed, closed_signal,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::ledger::EventDraft;
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;
use monsys_integrity::version;
use rusqlite::{Connection, ToSql, params};

use super::account::audit;
use super::column::{OrStoreError, first, optional, text};
use super::ledger::append;
use super::signal::put_signal;
use crate::store::Author;

/// What an action needs to know of an open anomaly.
struct Open {
    agent: AgentId,
    kind: AnomalyKind,
    last_seen_at: Timestamp,
}

/// Acts on one anomaly; one that is closed stays as it is.
pub(super) fn act(
    connection: &Connection,
    (tenant, id): (TenantId, AnomalyId),
    by: UserId,
    action: &Action,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(open) = open_one(connection, tenant, id)? else {
        return Ok(());
    };
    // What is done is never before what was seen, whatever the clocks of two hubs say.
    let at = now.max(open.last_seen_at);
    let done = match action {
        Action::Acknowledge { reason, until } => {
            let (reason, until) = (reason.clone(), *until);
            let seen = Acknowledged {
                at,
                by,
                reason,
                until,
            };
            acknowledge(connection, tenant, id, &seen)?;
            "anomaly acknowledged"
        }
        Action::Snooze { reason, until } => {
            let (reason, until) = (reason.clone(), *until);
            let snoozed = Snoozed {
                at,
                by,
                reason,
                until,
            };
            snooze(connection, tenant, id, &snoozed)?;
            "anomaly snoozed"
        }
        Action::Resolve { note } => {
            let closed = Closed {
                at,
                by,
                resolution: Resolution::Manual,
                note: note.clone(),
            };
            close(connection, tenant, id, &closed)?;
            if open.kind == AnomalyKind::VersionDowngrade {
                accept_baseline(connection, (tenant, open.agent), id, (by, at))?;
            }
            put_signal(
                connection,
                tenant,
                &closed_signal(open.agent, open.kind, at),
            )?;
            "anomaly resolved"
        }
        _ => {
            return Err(StoreError::Refused {
                constraint: "action".into(),
            });
        }
    };
    let (by, id) = (Author::User(by), id.to_string());
    audit(connection, Some(tenant), by, done, &id)
}

fn open_one(
    connection: &Connection,
    tenant: TenantId,
    id: AnomalyId,
) -> Result<Option<Open>, StoreError> {
    let sql = "SELECT agent_id, kind, last_seen_at FROM integrity_anomalies \
               WHERE tenant_id = ?1 AND id = ?2 AND resolved_at IS NULL";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ids = [tenant.to_string(), id.to_string()];
    first(&mut statement, ids, |row| {
        Ok(Open {
            agent: text(row, 0)?,
            kind: text(row, 1)?,
            last_seen_at: text(row, 2)?,
        })
    })
}

fn acknowledge(
    connection: &Connection,
    tenant: TenantId,
    id: AnomalyId,
    seen: &Acknowledged,
) -> Result<(), StoreError> {
    let sql = "UPDATE integrity_anomalies SET acknowledged_at = ?3, acknowledged_by = ?4, \
               acknowledged_reason = ?5, acknowledged_until = ?6 \
               WHERE tenant_id = ?1 AND id = ?2";
    let set = params![
        tenant.to_string(),
        id.to_string(),
        seen.at.to_rfc3339(),
        seen.by.to_string(),
        seen.reason,
        seen.until.map(Timestamp::to_rfc3339),
    ];
    change(connection, sql, set)?;
    append(connection, tenant, EventDraft::acknowledged(id, seen))
}

fn snooze(
    connection: &Connection,
    tenant: TenantId,
    id: AnomalyId,
    snoozed: &Snoozed,
) -> Result<(), StoreError> {
    let sql = "UPDATE integrity_anomalies SET snoozed_at = ?3, snoozed_by = ?4, \
               snoozed_reason = ?5, snoozed_until = ?6 WHERE tenant_id = ?1 AND id = ?2";
    let set = params![
        tenant.to_string(),
        id.to_string(),
        snoozed.at.to_rfc3339(),
        snoozed.by.to_string(),
        snoozed.reason,
        snoozed.until.to_rfc3339(),
    ];
    change(connection, sql, set)?;
    append(connection, tenant, EventDraft::snoozed(id, snoozed))
}

/// Changes what a statement names.
fn change(connection: &Connection, sql: &str, set: &[&dyn ToSql]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    statement.execute(set).or_store_error().map(drop)
}

/// Closes an open anomaly and writes it down.
pub(super) fn close(
    connection: &Connection,
    tenant: TenantId,
    id: AnomalyId,
    closed: &Closed,
) -> Result<(), StoreError> {
    let sql = "UPDATE integrity_anomalies SET resolved_at = ?3, resolved_by = ?4, \
               resolution = ?5, note = ?6 WHERE tenant_id = ?1 AND id = ?2";
    let set = params![
        tenant.to_string(),
        id.to_string(),
        closed.at.to_rfc3339(),
        closed.by.to_string(),
        closed.resolution.as_str(),
        closed.note,
    ];
    change(connection, sql, set)?;
    append(connection, tenant, EventDraft::resolved(id, closed))
}

/// Makes the present version of an agent the one that later ones are compared with.
fn accept_baseline(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    id: AnomalyId,
    (by, at): (UserId, Timestamp),
) -> Result<(), StoreError> {
    let sql = "SELECT version_highest, version FROM agents WHERE tenant_id = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let ids = [tenant.to_string(), agent.to_string()];
    let found = first(&mut statement, ids, |row| {
        Ok((optional::<String>(row, 0)?, optional::<String>(row, 1)?))
    })?;
    let Some((Some(from), Some(to))) = found else {
        return Ok(());
    };
    if from == to {
        return Ok(());
    }
    let key = version::triple(&to).map(|triple| triple.to_sort_key());
    let sql = "UPDATE agents SET version_highest = ?3, version_highest_key = ?4 \
               WHERE tenant_id = ?1 AND id = ?2";
    let set = params![
        tenant.to_string(),
        agent.to_string(),
        to,
        key.unwrap_or_default()
    ];
    change(connection, sql, set)?;
    let event = EventDraft::baseline_accepted(id, (&from, &to), by, at);
    append(connection, tenant, event)
}
