//! The rows of the agents that sent something: locked, read, and written once.

use std::collections::BTreeMap;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::position::PositionSet;
use monsys_core::store::{IngestBatch, SignatureStatus, StoreError};
use monsys_core::time::Timestamp;
use tokio_postgres::Row;

use super::super::column::DAMAGED;
use super::super::fault::Fault;
use super::super::nonce::check_profile;
use super::super::row_values::{Form, RowValues, value};

/// The agents of one tenant, by their identifiers.
pub(super) struct AgentStates(BTreeMap<AgentId, AgentState>);

struct AgentState {
    positions: PositionSet,
    profile: Profile,
    change: Option<Change>,
}

/// By what an agent proves who it is.
struct Profile {
    is_pinned: bool,
    is_revoked: bool,
    is_device: bool,
}

/// What accepted payloads change of an agent.
struct Change {
    last_seen_at: Timestamp,
    last_verified_at: Option<Timestamp>,
    version: Option<String>,
    highest: Option<(String, String)>,
}

impl Profile {
    fn of(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            is_pinned: row.try_get(2)?,
            is_revoked: row.try_get(3)?,
            is_device: row.try_get(4)?,
        })
    }

    fn check(&self, batch: &IngestBatch) -> Result<(), Fault> {
        let can_verify = self.is_pinned || self.is_device;
        if self.is_revoked || (can_verify && batch.signature == SignatureStatus::Unpinned) {
            return Err(StoreError::Outdated.into());
        }
        check_profile(self.is_device, batch.nonce)
    }
}

/// The agents of some payloads, in order and each once.
pub(super) fn agents_of(batches: &[&IngestBatch]) -> Vec<AgentId> {
    let mut ids: Vec<AgentId> = batches.iter().map(|batch| batch.agent).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl AgentStates {
    /// Reads the rows of [`LOCK`], and makes sure that what the requests were checked against
    /// still holds: a key pinned since, or an agent revoked since, makes the sender come again.
    pub(super) fn of(rows: &[Row], batches: &[&IngestBatch]) -> Result<Self, Fault> {
        let mut states = BTreeMap::new();
        for row in rows {
            let agent: AgentId = row.try_get(0)?;
            let positions = PositionSet::from_bytes(row.try_get(1)?).map_err(|_| DAMAGED)?;
            let (profile, change) = (Profile::of(row)?, None);
            let state = AgentState {
                positions,
                profile,
                change,
            };
            states.insert(agent, state);
        }
        for batch in batches {
            let state = states.get(&batch.agent).ok_or(StoreError::NotFound)?;
            state.profile.check(batch)?;
        }
        Ok(Self(states))
    }

    pub(super) fn positions(&self, agent: AgentId) -> Result<&PositionSet, Fault> {
        let state = self.0.get(&agent).ok_or(StoreError::NotFound)?;
        Ok(&state.positions)
    }

    /// Takes note of a payload that was accepted.
    pub(super) fn accept(
        &mut self,
        batch: &IngestBatch,
        positions: PositionSet,
        fills_gap: bool,
    ) -> Result<(), Fault> {
        let state = self.0.get_mut(&batch.agent).ok_or(StoreError::NotFound)?;
        state.positions = positions;
        let is_verified = batch.signature == SignatureStatus::Verified;
        let change = state.change.get_or_insert(Change {
            last_seen_at: batch.received_at,
            last_verified_at: None,
            version: None,
            highest: None,
        });
        change.last_seen_at = batch.received_at;
        if !is_verified {
            return Ok(());
        }
        change.last_verified_at = Some(batch.received_at);
        let version = batch.version.text.as_str();
        if !fills_gap {
            change.version = Some(version.to_owned());
        }
        if let Some(triple) = batch.version.triple {
            let key = triple.to_sort_key();
            if change
                .highest
                .as_ref()
                .is_none_or(|(known, _)| key > *known)
            {
                change.highest = Some((key, version.to_owned()));
            }
        }
        Ok(())
    }

    /// What changed.
    pub(super) fn into_rows(self, tenant: TenantId) -> RowValues<'static> {
        let mut values = Vec::new();
        for (agent, state) in self.0 {
            let Some(change) = state.change else {
                continue;
            };
            let (key, highest) = change.highest.unzip();
            values.extend([
                value(tenant),
                value(agent),
                value(state.positions.to_bytes()),
                value(change.last_seen_at),
                value(change.last_verified_at),
                value(change.version),
                value(key),
                value(highest),
            ]);
        }
        RowValues {
            form: &CHANGE,
            values,
        }
    }
}

/// Locks agents in the order of their identifiers, so that two transactions never wait for each
/// other.
pub(super) const LOCK: &str = "SELECT id, positions, public_key IS NOT NULL, \
    revoked_at IS NOT NULL, device_key IS NOT NULL FROM agents \
    WHERE tenant_id = $1 AND id = ANY ($2) ORDER BY id FOR NO KEY UPDATE";

static CHANGE: Form = Form::new(
    "WITH v (tenant_id, id, positions, seen, verified, version, key, highest) AS (",
    &[
        "uuid",
        "uuid",
        "bytea",
        "timestamptz",
        "timestamptz",
        "text",
        "text",
        "text",
    ],
    ") UPDATE agents a SET positions = v.positions, last_seen_at = v.seen, \
     last_verified_at = coalesce(v.verified, a.last_verified_at), \
     version = coalesce(v.version, a.version), \
     version_highest = CASE WHEN v.key > a.version_highest_key THEN v.highest \
     ELSE a.version_highest END, \
     version_highest_key = greatest(v.key, a.version_highest_key) FROM v \
     WHERE a.tenant_id = v.tenant_id AND a.id = v.id",
);
