//! What happened lately, in PostgreSQL.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::ledger::EventKind;
use monsys_core::store::StoreFuture;
use monsys_core::time::Timestamp;
use tokio_postgres::Row;

use super::PostgresStore;
use super::column::word;
use super::fault::Fault;
use super::horizon;
use super::partition::Table;
use super::transaction::{Plan, Tx};
use crate::store::activity::{
    Found, SNAPSHOTS_MAX, agent_of, changes, logins, merge, news, number_of, stored,
};
use crate::store::{
    Activity, ActivityFilter, ActivityKind, ActivityPage, ActivityPlace, ActivityStore, Actor,
    Happened,
};

impl ActivityStore for PostgresStore {
    fn activity(
        &self,
        tenant: TenantId,
        filter: ActivityFilter,
        n_rows: u32,
    ) -> StoreFuture<'_, ActivityPage> {
        self.run(Plan::read("activity", tenant), move |tx| {
            Box::pin(async move {
                let mut found = Vec::new();
                for kind in ActivityKind::ALL {
                    if let Some(start) = filter.start_of(kind) {
                        let window = (start, filter.from);
                        found.push(read(tx, tenant, kind, window, n_rows).await?);
                    }
                }
                Ok(merge(found, n_rows))
            })
        })
    }
}

type Window = ((Timestamp, u128), Timestamp);

async fn read(
    tx: &Tx,
    tenant: TenantId,
    kind: ActivityKind,
    ((at, number), from): Window,
    n_rows: u32,
) -> Result<Found, Fault> {
    let n_rows = i64::from(n_rows) + 1;
    let (agent, number) = (agent_of(number), stored(number));
    let kept_since = horizon::of(tx, Table::EndpointSnapshots).await?.max(from);
    let rows = match kind {
        ActivityKind::Anomaly => {
            let rows = tx
                .rows(EVENTS, &[&tenant, &at, &number, &from, &n_rows])
                .await?;
            rows.iter().map(event).collect::<Result<Vec<_>, _>>()?
        }
        ActivityKind::Audit => {
            let rows = tx
                .rows(AUDITED, &[&tenant, &at, &number, &from, &n_rows])
                .await?;
            rows.iter().map(audited).collect::<Result<Vec<_>, _>>()?
        }
        ActivityKind::Login => {
            let rows = tx
                .rows(LOGINS, &[&tenant, &at, &agent, &kept_since, &n_rows])
                .await?;
            rows.iter().map(login).collect::<Result<Vec<_>, _>>()?
        }
        ActivityKind::Collector => {
            let n_snapshots = i64::from(SNAPSHOTS_MAX);
            let rows = tx
                .rows(HEALTH, &[&tenant, &at, &agent, &kept_since, &n_snapshots])
                .await?;
            return Ok(news(rows.iter().map(compared).collect::<Result<_, _>>()?));
        }
    };
    Ok(Found {
        rows,
        seen_to: None,
    })
}

fn event(row: &Row) -> Result<Activity, Fault> {
    let is_service: bool = row.try_get(9)?;
    let person = Actor::Person(row.try_get(8)?);
    let happened = Happened::Anomaly {
        event: word::<EventKind>(row, 2)?,
        anomaly: row.try_get(3)?,
        kind: word(row, 4)?,
        severity: row.try_get(5)?,
        agent: row.try_get(6)?,
        agent_name: row.try_get(7)?,
        actor: if is_service { Actor::Worker } else { person },
    };
    numbered(row, ActivityKind::Anomaly, happened)
}

fn audited(row: &Row) -> Result<Activity, Fault> {
    let happened = Happened::Audit {
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        subject: row.try_get(4)?,
    };
    numbered(row, ActivityKind::Audit, happened)
}

fn numbered(row: &Row, kind: ActivityKind, what: Happened) -> Result<Activity, Fault> {
    let number: i64 = row.try_get(1)?;
    let place = ActivityPlace {
        at: row.try_get(0)?,
        kind,
        number: number.unsigned_abs().into(),
    };
    Ok(Activity { place, what })
}

fn login(row: &Row) -> Result<Activity, Fault> {
    let agent: AgentId = row.try_get(1)?;
    let what = Happened::Login {
        agent,
        agent_name: row.try_get(2)?,
        counts: logins(row.try_get(3)?)?,
    };
    of_agent(row, ActivityKind::Login, agent, what)
}

/// A snapshot, and what its collectors tell that is new.
fn compared(row: &Row) -> Result<Activity, Fault> {
    let agent: AgentId = row.try_get(1)?;
    let health: Option<&str> = row.try_get(3)?;
    let before: Option<&str> = row.try_get(4)?;
    let what = Happened::Collector {
        agent,
        agent_name: row.try_get(2)?,
        changes: health.map_or(Ok(Vec::new()), |health| changes(health, before))?,
    };
    of_agent(row, ActivityKind::Collector, agent, what)
}

fn of_agent(
    row: &Row,
    kind: ActivityKind,
    agent: AgentId,
    what: Happened,
) -> Result<Activity, Fault> {
    let (at, number) = (row.try_get(0)?, number_of(agent));
    let place = ActivityPlace { at, kind, number };
    Ok(Activity { place, what })
}

const EVENTS: &str = "SELECT e.at, e.seq, e.kind, e.anomaly_id, i.kind, i.severity, i.agent_id, \
    a.name, u.email, u.role = 'service' FROM integrity_events e \
    JOIN integrity_anomalies i ON i.tenant_id = $1 AND i.id = e.anomaly_id \
    JOIN agents a ON a.tenant_id = $1 AND a.id = i.agent_id \
    JOIN users u ON u.tenant_id = $1 AND u.id = e.actor \
    WHERE e.tenant_id = $1 AND e.kind <> 'seen' AND (e.at, e.seq) < ($2, $3) AND e.at >= $4 \
    ORDER BY e.at DESC, e.seq DESC LIMIT $5";

const AUDITED: &str = "SELECT at, id, actor, action, subject FROM audit_log \
    WHERE tenant_id = $1 AND (at, id) < ($2, $3) AND at >= $4 ORDER BY at DESC, id DESC LIMIT $5";

const LOGINS: &str = "SELECT s.time, s.agent_id, (SELECT a.name FROM agents a \
    WHERE a.tenant_id = $1 AND a.id = s.agent_id), s.auth::text FROM endpoint_snapshots s \
    WHERE s.tenant_id = $1 AND s.auth::text <> '[]' AND (s.time, s.agent_id) < ($2, $3) \
    AND s.time >= $4 ORDER BY s.time DESC, s.agent_id DESC LIMIT $5";

const HEALTH: &str = "SELECT c.time, c.agent_id, c.name, \
    CASE WHEN c.health IS DISTINCT FROM c.before THEN c.health END, c.before FROM (\
    SELECT s.time, s.agent_id, s.health::text AS health, (SELECT a.name FROM agents a \
    WHERE a.tenant_id = $1 AND a.id = s.agent_id) AS name, \
    (SELECT p.health::text FROM endpoint_snapshots p WHERE p.tenant_id = $1 \
    AND p.agent_id = s.agent_id AND p.time < s.time ORDER BY p.time DESC LIMIT 1) AS before \
    FROM endpoint_snapshots s WHERE s.tenant_id = $1 \
    AND (s.time AT TIME ZONE 'UTC', s.agent_id) < ($2::timestamptz AT TIME ZONE 'UTC', $3) \
    AND s.time AT TIME ZONE 'UTC' >= $4::timestamptz AT TIME ZONE 'UTC' \
    ORDER BY s.time AT TIME ZONE 'UTC' DESC, s.agent_id DESC LIMIT $5) c";
