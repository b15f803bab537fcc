//! Agents in SQLite.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::DisplayName;
use monsys_core::position::PositionSet;
use monsys_core::severity::Severity;
use monsys_core::store::{
    AgentRecord, AgentStore, AgentSummary, DeviceRecord, KeyState, NewAgent, NewCredential,
    PinOutcome, PublicKey, StoreError, StoreFuture, TokenDigest,
};
use monsys_core::time::{Span, Timestamp};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::account::audit;
use super::column::{OrStoreError, TextColumn, bytes32, first, optional, rows, text};
use super::rings::MetricChange;
use crate::store::Author;

impl TextColumn for DisplayName {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl AgentStore for SqliteStore {
    fn agent_by_token<'a>(
        &'a self,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<AgentRecord>> {
        Box::pin(self.senders.by_token.find(*token))
    }

    fn agent_by_device<'a>(
        &'a self,
        org: &'a str,
        device: &'a str,
    ) -> StoreFuture<'a, Option<DeviceRecord>> {
        Box::pin(
            self.senders
                .by_device
                .find([org.to_owned(), device.to_owned()]),
        )
    }

    fn enrol<'a>(&'a self, agent: &'a NewAgent) -> StoreFuture<'a, ()> {
        let agent = agent.clone();
        self.write(move |connection| insert(connection, &agent))
    }

    fn pin(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: PublicKey,
        now: Timestamp,
    ) -> StoreFuture<'_, PinOutcome> {
        self.write(move |connection| {
            let (pinned, pin_until) = pin_state(connection, tenant, agent)?;
            match pinned {
                Some(pinned) if pinned == key => return Ok(PinOutcome::AlreadyPinned),
                Some(_) => return Ok(PinOutcome::OtherKey),
                None if now > pin_until => return Ok(PinOutcome::TooLate),
                None => {}
            }
            let sql = "UPDATE agents SET public_key = ?3, positions = ?4 \
                       WHERE tenant_id = ?1 AND id = ?2";
            let ids = (tenant.to_string(), agent.to_string());
            let mut statement = connection.prepare_cached(sql).or_store_error()?;
            let fresh = PositionSet::new().to_bytes();
            statement
                .execute(params![ids.0, ids.1, key.0.as_slice(), fresh])
                .or_store_error()?;
            let sql = "DELETE FROM ingest_contents WHERE tenant_id = ?1 AND agent_id = ?2";
            connection
                .execute(sql, params![ids.0, ids.1])
                .or_store_error()?;
            let by = Author::Agent(agent);
            audit(connection, Some(tenant), by, "agent key pinned", &ids.1)?;
            Ok(PinOutcome::Pinned)
        })
    }

    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()> {
        self.write_metrics(move |connection, metrics| revoke(connection, (tenant, agent), metrics))
    }

    fn agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AgentSummary> {
        self.read(move |connection| read_summary(connection, tenant, agent, n_recent, now))
    }

    fn agents(
        &self,
        tenant: TenantId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<AgentSummary>> {
        self.read(move |connection| {
            let sql = SUMMARY.to_owned() + "GROUP BY a.id ORDER BY a.name";
            let mut statement = connection.prepare_cached(&sql).or_store_error()?;
            let mut agents = rows(&mut statement, [tenant.to_string()], summary)?;
            for agent in &mut agents {
                agent.recent_cpu = recent_cpu(connection, tenant, agent.agent, n_recent, now)?;
            }
            Ok(agents)
        })
    }
}

pub(super) fn revoke(
    connection: &Connection,
    (tenant, agent): (TenantId, AgentId),
    metrics: &mut Vec<MetricChange>,
) -> Result<(), StoreError> {
    let sql = "UPDATE agents SET revoked_at = coalesce(revoked_at, ?3) \
               WHERE tenant_id = ?1 AND id = ?2 AND id <> tenant_id";
    let at = crate::clock::wall_now().to_rfc3339();
    let changed = connection
        .execute(sql, params![tenant.to_string(), agent.to_string(), at])
        .or_store_error()?;
    if changed == 0 {
        return Err(StoreError::NotFound);
    }
    let of = (tenant, agent);
    metrics.push(MetricChange::Revoked { of });
    Ok(())
}

/// Reads one agent with its newest readings.
pub(super) fn read_summary(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
    n_recent: u32,
    now: Timestamp,
) -> Result<AgentSummary, StoreError> {
    let sql = SUMMARY.to_owned() + "AND a.id = ?2 GROUP BY a.id";
    let mut statement = connection.prepare_cached(&sql).or_store_error()?;
    let ids = [tenant.to_string(), agent.to_string()];
    let found = first(&mut statement, ids, summary)?;
    let mut found = found.ok_or(StoreError::NotFound)?;
    found.recent_cpu = recent_cpu(connection, tenant, agent, n_recent, now)?;
    Ok(found)
}

pub(super) fn insert(connection: &Connection, agent: &NewAgent) -> Result<(), StoreError> {
    let (mut token, mut public_key, mut pin_until, mut device_key) = (None, None, None, None);
    match &agent.credential {
        NewCredential::Token {
            token: digest,
            key,
            pin_until: until,
        } => {
            token = Some(digest.0.as_slice());
            public_key = key.as_ref().map(|key| key.0.as_slice());
            pin_until = Some(until.to_rfc3339());
        }
        NewCredential::Device { key } => device_key = Some(key.expose_bytes().as_slice()),
    }
    let sql = "INSERT INTO agents (id, tenant_id, name, token_digest, public_key, pin_until, \
               device_key, enrolled_at, positions) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        agent.agent.to_string(),
        agent.tenant.to_string(),
        agent.name.as_str(),
        token,
        public_key,
        pin_until,
        device_key,
        agent.enrolled_at.to_rfc3339(),
        PositionSet::new().to_bytes(),
    ]);
    // A cached statement would keep the key until it is used again.
    statement.clear_bindings();
    inserted.or_store_error().map(drop)
}

pub(super) fn pin_state(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
) -> Result<(Option<PublicKey>, Timestamp), StoreError> {
    let sql = "SELECT public_key, pin_until FROM agents \
               WHERE tenant_id = ?1 AND id = ?2 AND device_key IS NULL AND id <> tenant_id";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let read = |row: &Row<'_>| Ok((bytes32(row, 0)?.map(PublicKey), text(row, 1)?));
    first(
        &mut statement,
        [tenant.to_string(), agent.to_string()],
        read,
    )?
    .ok_or(StoreError::NotFound)
}

fn summary(row: &Row<'_>) -> Result<AgentSummary, StoreError> {
    let worst_rank: Option<u8> = row.get(8).or_store_error()?;
    let key = match (row.get(9).or_store_error()?, bytes32(row, 2)?) {
        (true, _) => KeyState::Shared,
        (false, Some(pinned)) => KeyState::Pinned(PublicKey(pinned)),
        (false, None) => KeyState::Unpinned,
    };
    Ok(AgentSummary {
        agent: text(row, 0)?,
        name: text(row, 1)?,
        key,
        is_revoked: row.get(3).or_store_error()?,
        enrolled_at: text(row, 4)?,
        last_seen_at: optional(row, 5)?,
        version: optional(row, 6)?,
        worst_open: worst_rank.map(severity_of_rank),
        n_open: row.get(7).or_store_error()?,
        recent_cpu: Vec::new(),
    })
}

/// Reads the rank of the generated column, in which the worst is 1.
pub(super) fn severity_of_rank(rank: u8) -> Severity {
    match rank {
        1 => Severity::Critical,
        2 => Severity::High,
        3 => Severity::Medium,
        4 => Severity::Low,
        _ => Severity::Info,
    }
}

/// The rank under which a severity is ordered.
pub(super) const fn rank_of_severity(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 1,
        Severity::High => 2,
        Severity::Medium => 3,
        Severity::Low => 4,
        Severity::Info => 5,
    }
}

fn recent_cpu(
    connection: &Connection,
    tenant: TenantId,
    agent: AgentId,
    n_recent: u32,
    now: Timestamp,
) -> Result<Vec<f64>, StoreError> {
    let sql = "SELECT cpu_usage_percent FROM metrics WHERE tenant_id = ?1 AND agent_id = ?2 \
               AND time > ?3 AND time <= ?4 ORDER BY time DESC, id DESC LIMIT ?5";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let start = now.saturating_sub(Span::from_secs(3_600)).to_rfc3339();
    let parameters = params![
        tenant.to_string(),
        agent.to_string(),
        start,
        now.to_rfc3339(),
        n_recent
    ];
    let mut cpu = rows(&mut statement, parameters, |row| {
        row.get(0).or_store_error()
    })?;
    cpu.reverse();
    Ok(cpu)
}

/// What is read of an agent, in the order in which [`summary`] reads it.
const SUMMARY: &str = "SELECT a.id, a.name, a.public_key, a.revoked_at IS NOT NULL, \
    a.enrolled_at, a.last_seen_at, a.version, count(i.id), min(i.severity_rank), \
    a.device_key IS NOT NULL FROM agents a \
    LEFT JOIN integrity_anomalies i ON i.tenant_id = a.tenant_id AND i.agent_id = a.id \
    AND i.resolved_at IS NULL WHERE a.tenant_id = ?1 AND a.id <> a.tenant_id ";
