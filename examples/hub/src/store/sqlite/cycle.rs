//! What the integrity cycle reads and writes.

use monsys_core::anomaly::{Closed, OpenAnomaly, Resolution, Transition};
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, VersionFacts, WindowBounds,
};
use monsys_core::id::{AgentId, AnomalyId, TenantId};
use monsys_core::limit;
use monsys_core::store::{
    CycleChanges, CycleCommit, CycleRecord, CycleStore, FactsPage, FleetPresence, Lease,
    StoreError, StoreFuture,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::version;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::action::close;
use super::anomaly::record;
use super::column::{OrStoreError, first, optional, rows, text};
use super::cycle_record::{put_record, records};
use super::ledger::service_user;
use super::nonce::forget_nonces;
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
        self.write(move |connection| {
            let sql = "UPDATE leases SET expires_at = ?2 WHERE name = 'cycle' AND holder = ?1";
            let held = connection
                .execute(sql, params![holder.as_slice(), now.to_rfc3339()])
                .or_store_error()?;
            if held == 0 {
                return Ok(());
            }
            let sql = "INSERT INTO meta (name, value) VALUES ('previous_cycle', ?1) \
                       ON CONFLICT (name) DO UPDATE SET value = ?1";
            connection
                .execute(sql, [now.to_rfc3339()])
                .or_store_error()?;
            let old = now
                .saturating_sub(Span::from_secs(limit::CONTENT_HASH_KEPT_S))
                .to_rfc3339();
            let sql = "DELETE FROM ingest_contents WHERE received_at < ?1";
            connection.execute(sql, [old]).or_store_error()?;
            forget_nonces(connection, now)
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
        self.read(move |connection| {
            // One read transaction: the page is a picture of one moment.
            let snapshot = connection.unchecked_transaction().or_store_error()?;
            let sql = "SELECT id, version, version_highest, last_verified_at FROM agents \
                       WHERE tenant_id = ?1 AND id > ?2 AND revoked_at IS NULL \
                       AND id <> tenant_id ORDER BY id LIMIT ?3";
            let mut statement = snapshot.prepare_cached(sql).or_store_error()?;
            let after = after.map(|after| after.to_string()).unwrap_or_default();
            let parameters = params![tenant.to_string(), after, i64::from(n_agents) + 1];
            let bounds = WindowBounds::hour_before(now);
            let start = |row: &Row<'_>| start_of_facts(row, bounds);
            let mut agents = rows(&mut statement, parameters, start)?;
            let n_agents = usize::try_from(n_agents).unwrap_or(usize::MAX);
            let has_more = agents.len() > n_agents;
            agents.truncate(n_agents);
            for facts in &mut agents {
                let agent = facts.agent;
                facts.window = window(&snapshot, tenant, agent, bounds)?;
                facts.clock = clock_readings(&snapshot, tenant, agent, now)?;
                facts.open = open_anomalies(&snapshot, tenant, agent)?;
            }
            let next = agents.last().filter(|_| has_more).map(|facts| facts.agent);
            Ok(FactsPage { agents, next })
        })
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

fn window(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
    bounds: WindowBounds,
) -> Result<MetricWindow, StoreError> {
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
    let newest_first = rows(&mut statement, parameters, |row| {
        Ok(MetricRow {
            received_at: text(row, 0)?,
            cpu_usage_percent: row.get(1).or_store_error()?,
            is_spooled: row.get(2).or_store_error()?,
        })
    })?;
    let rows = newest_first.into_iter().rev();
    Ok(MetricWindow::from_rows(bounds, rows))
}

fn clock_readings(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
    now: Timestamp,
) -> Result<ClockFacts, StoreError> {
    let sql = "SELECT captured_at, sent_at, time, is_spooled FROM metrics \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND time <= ?3 \
               ORDER BY time DESC, id DESC LIMIT 20";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let parameters = params![tenant.to_string(), agent.to_string(), now.to_rfc3339()];
    let newest_first = rows(&mut statement, parameters, |row| {
        Ok(ClockReading {
            captured_at: text(row, 0)?,
            sent_at: text(row, 1)?,
            received_at: text(row, 2)?,
            is_spooled: row.get(3).or_store_error()?,
        })
    })?;
    Ok(ClockFacts::from_readings(newest_first.into_iter().rev()))
}

fn open_anomalies(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
) -> Result<Vec<OpenAnomaly>, StoreError> {
    let sql = "SELECT id, kind, severity, last_seen_at FROM integrity_anomalies \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND resolved_at IS NULL ORDER BY kind";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    rows(
        &mut statement,
        [tenant.to_string(), agent.to_string()],
        |row| {
            Ok(OpenAnomaly {
                id: text(row, 0)?,
                kind: text(row, 1)?,
                severity: text(row, 2)?,
                last_seen_at: text(row, 3)?,
            })
        },
    )
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
