//! Agents in PostgreSQL.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::position::PositionSet;
use monsys_core::store::{
    AgentRecord, AgentStore, AgentSummary, DeviceRecord, KeyState, NewAgent, NewCredential,
    PinOutcome, PublicKey, StoreError, StoreFuture, TokenDigest,
};
use monsys_core::time::{Span, Timestamp};
use tokio_postgres::Row;

use super::PostgresStore;
use super::account::audit;
use super::column::{bytes32, severity_of_rank, word};
use super::fault::Fault;
use super::transaction::{Plan, Tx};
use crate::store::Author;

impl AgentStore for PostgresStore {
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
        self.run(Plan::write("enrol", agent.tenant), move |tx| {
            let agent = agent.clone();
            Box::pin(async move { insert(tx, &agent).await })
        })
    }

    fn pin(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: PublicKey,
        now: Timestamp,
    ) -> StoreFuture<'_, PinOutcome> {
        self.run(Plan::write("pin", tenant).repeatable(), move |tx| {
            Box::pin(async move { pin_key(tx, (tenant, agent), key, now).await })
        })
    }

    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()> {
        let at = crate::clock::wall_now();
        self.run(Plan::write("revoke", tenant).repeatable(), move |tx| {
            Box::pin(async move { revoke(tx, (tenant, agent), at).await })
        })
    }

    fn agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AgentSummary> {
        self.run(Plan::read("agent", tenant), move |tx| {
            Box::pin(async move {
                let sql = SUMMARY.to_owned() + " AND a.id = $5";
                let start = now.saturating_sub(Span::from_secs(3_600));
                let found = tx
                    .first(&sql, &[&tenant, &start, &now, &i64::from(n_recent), &agent])
                    .await?;
                summary(&found.ok_or(StoreError::NotFound)?)
            })
        })
    }

    fn agents(
        &self,
        tenant: TenantId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<AgentSummary>> {
        self.run(Plan::read("agents", tenant), move |tx| {
            Box::pin(async move {
                let sql = SUMMARY.to_owned() + " ORDER BY a.name";
                let start = now.saturating_sub(Span::from_secs(3_600));
                let rows = tx
                    .rows(&sql, &[&tenant, &start, &now, &i64::from(n_recent)])
                    .await?;
                rows.iter().map(summary).collect()
            })
        })
    }
}

pub(super) async fn revoke(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    at: Timestamp,
) -> Result<(), Fault> {
    let sql = "UPDATE agents SET revoked_at = coalesce(revoked_at, $3) \
               WHERE tenant_id = $1 AND id = $2 AND id <> $1";
    match tx.execute(sql, &[&tenant, &agent, &at]).await? {
        0 => Err(StoreError::NotFound.into()),
        _ => Ok(()),
    }
}

pub(super) async fn insert(tx: &Tx, agent: &NewAgent) -> Result<(), Fault> {
    let (mut token, mut public_key, mut pin_until, mut device_key) = (None, None, None, None);
    match &agent.credential {
        NewCredential::Token {
            token: digest,
            key,
            pin_until: until,
        } => {
            token = Some(digest.0.as_slice());
            public_key = key.as_ref().map(|key| key.0.as_slice());
            pin_until = Some(*until);
        }
        NewCredential::Device { key } => device_key = Some(key.expose_bytes().as_slice()),
    }
    let sql = "INSERT INTO agents (id, tenant_id, name, token_digest, public_key, pin_until, \
               device_key, enrolled_at, positions) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.execute(
        sql,
        &[
            &agent.agent,
            &agent.tenant,
            &agent.name.as_str(),
            &token,
            &public_key,
            &pin_until,
            &device_key,
            &agent.enrolled_at,
            &PositionSet::new().to_bytes(),
        ],
    )
    .await
    .map(drop)
}

async fn pin_key(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
    key: PublicKey,
    now: Timestamp,
) -> Result<PinOutcome, Fault> {
    let (pinned, pin_until) = pin_state(tx, (tenant, agent)).await?;
    match pinned {
        // Where an earlier try of this very transaction may have pinned it, it did.
        Some(pinned) if pinned == key && tx.is_repeated => return Ok(PinOutcome::Pinned),
        Some(pinned) if pinned == key => return Ok(PinOutcome::AlreadyPinned),
        Some(_) => return Ok(PinOutcome::OtherKey),
        None if now > pin_until => return Ok(PinOutcome::TooLate),
        None => {}
    }
    let sql = "UPDATE agents SET public_key = $3, positions = $4 WHERE tenant_id = $1 AND id = $2";
    let fresh = PositionSet::new().to_bytes();
    tx.execute(sql, &[&tenant, &agent, &key.0.as_slice(), &fresh])
        .await?;
    let sql = "DELETE FROM ingest_contents WHERE tenant_id = $1 AND agent_id = $2";
    tx.execute(sql, &[&tenant, &agent]).await?;
    let (by, subject) = (Author::Agent(agent), agent.to_string());
    audit(tx, Some(tenant), by, "agent key pinned", &subject).await?;
    Ok(PinOutcome::Pinned)
}

/// Reads the pinned key of an agent and until when it may pin one, and locks its row.
pub(super) async fn pin_state(
    tx: &Tx,
    (tenant, agent): (TenantId, AgentId),
) -> Result<(Option<PublicKey>, Timestamp), Fault> {
    let sql = "SELECT public_key, pin_until FROM agents \
               WHERE tenant_id = $1 AND id = $2 AND id <> $1 AND device_key IS NULL FOR NO KEY UPDATE";
    let found = tx.first(sql, &[&tenant, &agent]).await?;
    let row = found.ok_or(StoreError::NotFound)?;
    Ok((bytes32(&row, 0)?.map(PublicKey), row.try_get(1)?))
}

pub(super) fn summary(row: &Row) -> Result<AgentSummary, Fault> {
    let key = match (row.try_get(7)?, bytes32(row, 2)?) {
        (true, _) => KeyState::Shared,
        (false, Some(pinned)) => KeyState::Pinned(PublicKey(pinned)),
        (false, None) => KeyState::Unpinned,
    };
    let n_open: i64 = row.try_get(8)?;
    let worst: Option<i16> = row.try_get(9)?;
    let recent_cpu: Option<Vec<f64>> = row.try_get(10)?;
    Ok(AgentSummary {
        agent: row.try_get(0)?,
        name: word(row, 1)?,
        key,
        is_revoked: row.try_get(3)?,
        enrolled_at: row.try_get(4)?,
        last_seen_at: row.try_get(5)?,
        version: row.try_get(6)?,
        worst_open: worst.map(severity_of_rank),
        n_open: u32::try_from(n_open).unwrap_or(u32::MAX),
        recent_cpu: recent_cpu.unwrap_or_default(),
    })
}

/// What is read of an agent, in the order in which [`summary`] reads it; readings after `$2` and up
/// to `$3`, the newest `$4`.
pub(super) const SUMMARY: &str = "SELECT a.id, a.name, a.public_key, a.revoked_at IS NOT NULL, \
    a.enrolled_at, a.last_seen_at, a.version, a.device_key IS NOT NULL, \
    o.n_open, o.worst, r.cpu FROM agents a \
    CROSS JOIN LATERAL (SELECT count(*) AS n_open, min(i.severity_rank) AS worst \
    FROM integrity_anomalies i WHERE i.tenant_id = $1 AND i.agent_id = a.id \
    AND i.resolved_at IS NULL) o \
    CROSS JOIN LATERAL (SELECT array_agg(n.cpu_usage_percent \
    ORDER BY n.time, n.epoch, n.seq) AS cpu FROM (\
    SELECT m.cpu_usage_percent, m.time, m.epoch, m.seq FROM metrics m \
    WHERE m.tenant_id = $1 AND m.agent_id = a.id \
    AND m.time > $2 AND m.time <= $3 \
    ORDER BY m.time DESC, m.epoch DESC, m.seq DESC LIMIT $4) n) r \
    WHERE a.tenant_id = $1 AND a.id <> $1";
