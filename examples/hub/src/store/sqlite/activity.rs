//! What happened lately, in SQLite. Joins are written in the order in which they are to be carried
//! out: the newest entries first, then what belongs to each.

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::column::{OrStoreError, optional, rows, text};
use crate::store::activity::{
    Found, SNAPSHOTS_MAX, agent_of, changes, logins, merge, news, number_of, stored,
};
use crate::store::{
    Activity, ActivityFilter, ActivityKind, ActivityPage, ActivityPlace, ActivityStore, Actor,
    Happened,
};

impl ActivityStore for SqliteStore {
    fn activity(
        &self,
        tenant: TenantId,
        filter: ActivityFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, ActivityPage> {
        self.read(move |connection| {
            // One read transaction: the sources are of one moment.
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            let mut found = Vec::new();
            for kind in ActivityKind::ALL {
                if let Some(start) = filter.start_of(kind) {
                    let window = (start, filter.from);
                    found.push(read(&snapshot, tenant, kind, window, n_rows)?);
                }
            }
            Ok(merge(found, n_rows))
        })
    }
}

type Window = ((Timestamp, u128), Timestamp);

fn read(
    connection: &Connection,
    tenant: TenantId,
    kind: ActivityKind,
    ((at, number), from): Window,
    n_rows: u32,
) -> Result<Found, StoreError> {
    let (tenant, at, from) = (tenant.to_string(), at.to_rfc3339(), from.to_rfc3339());
    let n_rows = i64::from(n_rows) + 1;
    let agent = agent_of(number).to_string();
    let number = stored(number);
    let prepare = |sql| connection.prepare_cached(sql).or_store_error();
    let found = match kind {
        ActivityKind::Anomaly => {
            let of = params![tenant, at, number, from, n_rows];
            rows(&mut prepare(EVENTS)?, of, event)?
        }
        ActivityKind::Audit => {
            let of = params![tenant, at, number, from, n_rows];
            rows(&mut prepare(AUDITED)?, of, audited)?
        }
        ActivityKind::Login => {
            let of = params![tenant, at, agent, from, n_rows];
            rows(&mut prepare(LOGINS)?, of, login)?
        }
        ActivityKind::Collector => {
            let of = params![tenant, at, agent, from, SNAPSHOTS_MAX];
            let compared = rows(&mut prepare(HEALTH)?, of, compared)?;
            return Ok(news(compared));
        }
    };
    let seen_to = None;
    Ok(Found {
        rows: found,
        seen_to,
    })
}

fn event(row: &Row<'_>) -> Result<Activity, StoreError> {
    let kind: String = text(row, 2)?;
    let is_service: bool = row.get(9).or_store_error()?;
    let person = Actor::Person(text(row, 8)?);
    let happened = Happened::Anomaly {
        event: monsys_core::ledger::EventKind::parse(&kind).ok_or(StoreError::Damaged)?,
        anomaly: text(row, 3)?,
        kind: text::<AnomalyKind>(row, 4)?,
        severity: text(row, 5)?,
        agent: text(row, 6)?,
        agent_name: text(row, 7)?,
        actor: if is_service { Actor::Worker } else { person },
    };
    numbered(row, ActivityKind::Anomaly, happened)
}

fn audited(row: &Row<'_>) -> Result<Activity, StoreError> {
    let happened = Happened::Audit {
        actor: text(row, 2)?,
        action: text(row, 3)?,
        subject: text(row, 4)?,
    };
    numbered(row, ActivityKind::Audit, happened)
}

fn numbered(row: &Row<'_>, kind: ActivityKind, what: Happened) -> Result<Activity, StoreError> {
    let number: i64 = row.get(1).or_store_error()?;
    let place = ActivityPlace {
        at: text(row, 0)?,
        kind,
        number: number.unsigned_abs().into(),
    };
    Ok(Activity { place, what })
}

fn login(row: &Row<'_>) -> Result<Activity, StoreError> {
    let agent: AgentId = text(row, 1)?;
    let auth: String = text(row, 3)?;
    let what = Happened::Login {
        agent,
        agent_name: text(row, 2)?,
        counts: logins(&auth)?,
    };
    let (at, kind, number) = (text(row, 0)?, ActivityKind::Login, number_of(agent));
    let place = ActivityPlace { at, kind, number };
    Ok(Activity { place, what })
}

/// A snapshot, and what its collectors tell that is new.
fn compared(row: &Row<'_>) -> Result<Activity, StoreError> {
    let agent: AgentId = text(row, 1)?;
    let health: Option<String> = optional(row, 3)?;
    let before: Option<String> = optional(row, 4)?;
    let changes = health.map_or(Ok(Vec::new()), |health| changes(&health, before.as_deref()))?;
    let what = Happened::Collector {
        agent,
        agent_name: text(row, 2)?,
        changes,
    };
    let (at, kind, number) = (text(row, 0)?, ActivityKind::Collector, number_of(agent));
    let place = ActivityPlace { at, kind, number };
    Ok(Activity { place, what })
}

const EVENTS: &str = "SELECT e.at, e.seq, e.kind, e.anomaly_id, i.kind, i.severity, i.agent_id, \
    a.name, u.email, u.role = 'service' FROM integrity_events e \
    CROSS JOIN integrity_anomalies i CROSS JOIN agents a CROSS JOIN users u \
    WHERE e.tenant_id = ?1 AND i.tenant_id = ?1 AND i.id = e.anomaly_id \
    AND a.tenant_id = ?1 AND a.id = i.agent_id AND u.tenant_id = ?1 AND u.id = e.actor \
    AND e.kind <> 'seen' AND (e.at, e.seq) < (?2, ?3) AND e.at >= ?4 \
    ORDER BY e.at DESC, e.seq DESC LIMIT ?5";

const AUDITED: &str = "SELECT at, id, actor, action, subject FROM audit_log \
    WHERE tenant_id = ?1 AND (at, id) < (?2, ?3) AND at >= ?4 ORDER BY at DESC, id DESC LIMIT ?5";

const LOGINS: &str = "SELECT s.time, s.agent_id, (SELECT a.name FROM agents a \
    WHERE a.tenant_id = s.tenant_id AND a.id = s.agent_id), s.auth FROM endpoint_snapshots s \
    WHERE s.tenant_id = ?1 AND s.auth <> '[]' AND (s.time, s.agent_id) < (?2, ?3) \
    AND s.time >= ?4 ORDER BY s.time DESC, s.agent_id DESC LIMIT ?5";

const HEALTH: &str = "SELECT c.time, c.agent_id, c.name, \
    CASE WHEN c.health IS NOT c.before THEN c.health END, c.before FROM (\
    SELECT s.time, s.agent_id, s.health, (SELECT a.name FROM agents a \
    WHERE a.tenant_id = s.tenant_id AND a.id = s.agent_id) AS name, \
    (SELECT p.health FROM endpoint_snapshots p WHERE p.tenant_id = s.tenant_id \
    AND p.agent_id = s.agent_id AND p.time < s.time ORDER BY p.time DESC LIMIT 1) AS before \
    FROM endpoint_snapshots s WHERE s.tenant_id = ?1 AND (s.time, s.agent_id) < (?2, ?3) \
    AND s.time >= ?4 ORDER BY s.time DESC, s.agent_id DESC LIMIT ?5) c";
