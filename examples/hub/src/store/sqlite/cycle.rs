//! What the integrity cycle reads and writes.

use std::sync::Arc;

use monsys_core::anomaly::{Closed, OpenAnomaly, Resolution, Transition};
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId};
use monsys_core::limit;
use monsys_core::store::{
    CycleChanges, CycleCommit, CycleRecord, CycleStore, FactsPage, FleetPresence, Lease, Retention,
    StoreError, StoreFuture,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::ring::Ring;
use monsys_integrity::version;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::action::close;
use super::anomaly::record;
use super::column::{OrStoreError, first, optional, rows, text};
use super::cycle_record::{put_record, records};
use super::ledger::service_user;
use super::maintenance::OF_REPLAYS;
use super::rings::{Rings, ring_of};
use super::signal::put_signal;

impl CycleStore for SqliteStore {
    fn take_lease(
        &self,
        holder: [u8; 16],
        now: Timestamp,
        ttl: Span,
    ) -> StoreFuture<'_, Option<Lease>> {
        self.write(move |connection| {
            let sql = "INSERT INTO leases (name, holder, expires_at) VALUES ('cycle', ?1, ?2) \
                       ON CONFLICT (name) DO UPDATE SET holder = ?1, expires_at = ?2 \
                       WHERE holder = ?1 OR expires_at <= ?3 OR expires_at > ?2";
            let until = now.saturating_add(ttl).to_rfc3339();
            let taken = connection
                .execute(sql, params![holder.as_slice(), until, now.to_rfc3339()])
                .or_store_error()?;
            if taken == 0 {
                return Ok(None);
            }
            let sql = "SELECT value FROM meta WHERE name = 'previous_cycle'";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            Ok(Some(Lease {
                previous_cycle: first(&mut statement, [], |row| text(row, 0))?,
            }))
        })
    }

    fn finish_cycle(&self, holder: [u8; 16], now: Timestamp) -> StoreFuture<'_, ()> {
        let release = move |connection: &Connection| {
            let sql = "UPDATE leases SET expires_at = ?2 WHERE name = 'cycle' AND holder = ?1";
            let held = connection
                .execute(sql, params![holder.as_slice(), now.to_rfc3339()])
                .or_store_error()?;
            if held == 0 {
                return Ok(false);
            }
            let sql = "INSERT INTO meta (name, value) VALUES ('previous_cycle', ?1) \
                       ON CONFLICT (name) DO UPDATE SET value = ?1";
            connection
                .execute(sql, [now.to_rfc3339()])
                .or_store_error()?;
            Ok(true)
        };
        Box::pin(async move {
            if self.write(release).await? {
                for task in OF_REPLAYS {
                    self.forget(task, Retention::standard(), now).await?;
                }
            }
            Ok(())
        })
    }

    fn tenants(&self) -> StoreFuture<'_, Vec<TenantId>> {
        self.read(|connection| {
            let sql = "SELECT id FROM tenants ORDER BY id";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            rows(&mut statement, [], |row| text(row, 0))
        })
    }

    fn active_count(&self, tenant: TenantId) -> StoreFuture<'_, u64> {
        self.read(move |connection| {
            let sql = "SELECT count(*) FROM agents \
                       WHERE tenant_id = ?1 AND revoked_at IS NULL AND id <> tenant_id";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let counted = statement.query_row([tenant.to_string()], |row| row.get::<_, i64>(0));
            counted.or_store_error().map(i64::unsigned_abs)
        })
    }

    fn presence(
        &self,
        tenant: TenantId,
        heard_since: Timestamp,
        silent_since: Timestamp,
    ) -> StoreFuture<'_, FleetPresence> {
        self.read(move |connection| {
            let sql = "SELECT count(*), count(CASE WHEN last_seen_at <= ?3 THEN 1 END) \
                       FROM agents WHERE tenant_id = ?1 AND revoked_at IS NULL \
                       AND id <> tenant_id AND last_seen_at > ?2";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let (heard, silent) = (heard_since.to_rfc3339(), silent_since.to_rfc3339());
            let count = |row: &Row<'_>, i| row.get::<_, i64>(i).map(i64::unsigned_abs);
            let counted = statement.query_row([tenant.to_string(), heard, silent], |row| {
                Ok(FleetPresence {
                    n_heard: count(row, 0)?,
                    n_silent: count(row, 1)?,
                })
            });
            counted.or_store_error()
        })
    }

    fn active_agents(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
    ) -> StoreFuture<'_, Vec<AgentId>> {
        self.read(move |connection| {
            let sql = "SELECT id FROM agents WHERE tenant_id = ?1 AND id > ?2 \
                       AND revoked_at IS NULL AND id <> tenant_id ORDER BY id LIMIT ?3";
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let after = after.map(|after| after.to_string()).unwrap_or_default();
            let parameters = params![tenant.to_string(), after, n_agents];
            rows(&mut statement, parameters, |row| text(row, 0))
        })
    }

    fn facts(
        &self,
        tenant: TenantId,
        after: Option<AgentId>,
        n_agents: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, FactsPage> {
        let rings = Arc::clone(&self.rings);
        let page = Page {
            tenant,
            after,
            n_agents,
            now,
        };
        self.read(move |connection| page.facts(connection, Some(&rings)))
    }

    fn commit_cycle<'a>(&'a self, commit: &'a CycleCommit) -> StoreFuture<'a, CycleChanges> {
        if commit.transitions.is_empty() {
            return Box::pin(std::future::ready(Ok(CycleChanges::default())));
        }
        let commit = commit.clone();
        self.write(move |connection| {
            let mut changes = CycleChanges::default();
            for transition in &commit.transitions {
                apply(
                    connection,
                    commit.tenant,
                    commit.at,
                    transition,
                    &mut changes,
                )?;
            }
            Ok(changes)
        })
    }

    fn record_cycle<'a>(
        &'a self,
        tenant: TenantId,
        record: &'a CycleRecord,
    ) -> StoreFuture<'a, ()> {
        let record = record.clone();
        self.write(move |connection| put_record(connection, tenant, &record))
    }

    fn cycles(&self, tenant: TenantId, n_rows: u32) -> StoreFuture<'_, Vec<CycleRecord>> {
        self.read(move |connection| records(connection, tenant, n_rows))
    }
}

/// A page of agents of which the facts are asked.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) tenant: TenantId,
    pub(super) after: Option<AgentId>,
    pub(super) n_agents: u32,
    pub(super) now: Timestamp,
}

impl Page {
    /// Reads the facts in one transaction, so that they are a picture of one moment; the metrics
    /// only of agents without a ring, which get one. Without rings all is read.
    pub(super) fn facts(
        self,
        connection: &Connection,
        rings: Option<&Rings>,
    ) -> Result<FactsPage, StoreError> {
        let snapshot = connection.unchecked_transaction().or_store_error()?;
        let mut held = rings.map(Rings::hold);
        let mut agents = self.agents(&snapshot)?;
        let mut unknown = Vec::new();
        let is_current = held.as_mut().is_some_and(|held| held.is_current());
        for (index, facts) in agents.iter_mut().enumerate() {
            let of = (self.tenant, facts.agent);
            let Some(held) = held.as_mut().filter(|_| is_current) else {
                unknown.push((index, None));
                continue;
            };
            match held.columns(of, self.now) {
                Some(columns) => (facts.window, facts.clock) = columns,
                None => unknown.push((index, Some(held.start_filling(of)))),
            }
        }
        drop(held);
        self.add_open(&snapshot, &mut agents)?;
        for (index, filling) in unknown {
            let Some(facts) = agents.get_mut(index) else {
                continue;
            };
            let ring = self.read_metrics(&snapshot, facts)?;
            if let (Some(rings), Some(filling)) = (rings, filling) {
                rings.hold().fill((self.tenant, facts.agent), filling, ring);
            }
        }
        Ok(FactsPage::of(agents, self.n_agents))
    }

    /// Reads what the table of agents says.
    fn agents(self, snapshot: &Connection) -> Result<Vec<AgentFacts>, StoreError> {
        let sql = "SELECT id, version, version_highest, last_verified_at FROM agents \
                   WHERE tenant_id = ?1 AND id > ?2 AND revoked_at IS NULL \
                   AND id <> tenant_id ORDER BY id LIMIT ?3";
        let mut statement = snapshot.prepare_cached(sql).or_store_error()?;
        let after = self.after.map(|after| after.to_string());
        let parameters = params![
            self.tenant.to_string(),
            after.unwrap_or_default(),
            self.n_agents
        ];
        let bounds = WindowBounds::hour_before(self.now);
        let start = |row: &Row<'_>| start_of_facts(row, bounds);
        rows(&mut statement, parameters, start)
    }

    /// Adds the open anomalies of all agents of the page.
    fn add_open(self, snapshot: &Connection, agents: &mut [AgentFacts]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (agents.first(), agents.last()) else {
            return Ok(());
        };
        let sql = "SELECT agent_id, id, kind, severity, last_seen_at FROM integrity_anomalies \
                   WHERE tenant_id = ?1 AND agent_id >= ?2 AND agent_id <= ?3 \
                   AND resolved_at IS NULL ORDER BY agent_id, kind";
        let mut statement = snapshot.prepare_cached(sql).or_store_error()?;
        let ids = [
            self.tenant.to_string(),
            first.agent.to_string(),
            last.agent.to_string(),
        ];
        let open = rows(&mut statement, ids, |row| {
            let open = OpenAnomaly {
                id: text(row, 1)?,
                kind: text(row, 2)?,
                severity: text(row, 3)?,
                last_seen_at: text(row, 4)?,
            };
            Ok((text::<AgentId>(row, 0)?, open))
        })?;
        let mut agents = agents.iter_mut().peekable();
        for (agent, open) in open {
            // Both are in order of the agent; what is open of a revoked one is nobody's here.
            while agents.next_if(|facts| facts.agent < agent).is_some() {}
            if let Some(facts) = agents.peek_mut().filter(|facts| facts.agent == agent) {
                facts.open.push(open);
            }
        }
        Ok(())
    }

    /// Reads the metrics of an agent, and makes a ring of them unless one came after the moment
    /// that is asked for: its place is later.
    fn read_metrics(
        self,
        snapshot: &Connection,
        facts: &mut AgentFacts,
    ) -> Result<Option<(Ring, Timestamp)>, StoreError> {
        let (of, bounds) = (
            (self.tenant, facts.agent),
            WindowBounds::hour_before(self.now),
        );
        let window = window(snapshot, of, bounds)?;
        let newest = newest(snapshot, of, self.now)?;
        let ring = if is_after(snapshot, of, self.now)? {
            None
        } else {
            Some(ring_of(&window, &newest))
        };
        facts.window = MetricWindow::from_rows(bounds, window);
        facts.clock = ClockFacts::from_readings(newest.into_iter().map(|(reading, _)| reading));
        Ok(ring)
    }
}

fn start_of_facts(row: &Row<'_>, bounds: WindowBounds) -> Result<AgentFacts, StoreError> {
    Ok(AgentFacts {
        agent: text(row, 0)?,
        window: MetricWindow::empty(bounds),
        clock: ClockFacts::default(),
        version: VersionFacts {
            current: optional(row, 1)?.map(version::read),
            highest: optional(row, 2)?.map(version::read),
        },
        last_verified_at: optional(row, 3)?,
        open: Vec::new(),
    })
}

/// The metrics of a window, in receive order.
fn window(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    bounds: WindowBounds,
) -> Result<Vec<MetricRow>, StoreError> {
    let sql = "SELECT time, cpu_usage_percent, is_spooled FROM metrics \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND time > ?3 AND time <= ?4 \
               ORDER BY time DESC, id DESC LIMIT ?5";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let most = i64::try_from(limit::WINDOW_SAMPLES_MAX).unwrap_or(i64::MAX);
    let parameters = params![
        tenant.to_string(),
        agent.to_string(),
        bounds.from.to_rfc3339(),
        bounds.to.to_rfc3339(),
        most
    ];
    let mut found = rows(&mut statement, parameters, |row| {
        Ok(MetricRow {
            received_at: text(row, 0)?,
            cpu_usage_percent: row.get(1).or_store_error()?,
            is_spooled: row.get(2).or_store_error()?,
        })
    })?;
    found.reverse();
    Ok(found)
}

/// The newest readings of a clock with the processor use beside them, in receive order.
fn newest(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    now: Timestamp,
) -> Result<Vec<(ClockReading, f64)>, StoreError> {
    let sql = "SELECT captured_at, sent_at, time, is_spooled, cpu_usage_percent FROM metrics \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND time <= ?3 \
               ORDER BY time DESC, id DESC LIMIT 20";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), agent.to_string(), now.to_rfc3339()];
    let mut found = rows(&mut statement, parameters, |row| {
        let reading = ClockReading {
            captured_at: text(row, 0)?,
            sent_at: text(row, 1)?,
            received_at: text(row, 2)?,
            is_spooled: row.get(3).or_store_error()?,
        };
        Ok((reading, row.get(4).or_store_error()?))
    })?;
    found.reverse();
    Ok(found)
}

/// Whether a metric was received after a time: then the clock of the hub went back.
fn is_after(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM metrics \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND time > ?3)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), agent.to_string(), now.to_rfc3339()];
    statement
        .query_row(parameters, |row| row.get(0))
        .or_store_error()
}

fn apply(
    connection: &Connection,
    tenant: TenantId,
    at: Timestamp,
    transition: &Transition,
    changes: &mut CycleChanges,
) -> Result<(), StoreError> {
    match transition {
        Transition::Record {
            agent,
            finding,
            occurrences,
            signal,
        } => {
            let of = (tenant, *agent);
            let is_opened = record(connection, of, at, finding, *occurrences, signal)?;
            changes.n_opened += u64::from(is_opened);
        }
        Transition::Resolve {
            id,
            last_seen_at,
            signal,
        } => {
            if close_unseen(connection, tenant, at, (*id, *last_seen_at))? {
                put_signal(connection, tenant, signal)?;
                changes.n_resolved += 1;
            }
        }
    }
    Ok(())
}

/// Closes an anomaly because its check passes, unless it was seen since. Tells whether it did.
fn close_unseen(
    connection: &Connection,
    tenant: TenantId,
    at: Timestamp,
    (id, last_seen_at): (AnomalyId, Timestamp),
) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM integrity_anomalies \
               WHERE tenant_id = ?1 AND id = ?2 AND resolved_at IS NULL AND last_seen_at = ?3";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![
        tenant.to_string(),
        id.to_string(),
        last_seen_at.to_rfc3339()
    ];
    let n_unseen: i64 = statement
        .query_row(parameters, |row| row.get(0))
        .or_store_error()?;
    if n_unseen == 0 {
        return Ok(false);
    }
    let closed = Closed {
        at: at.max(last_seen_at),
        by: service_user(connection, tenant)?,
        resolution: Resolution::Auto,
        note: None,
    };
    close(connection, tenant, id, &closed)?;
    Ok(true)
}
