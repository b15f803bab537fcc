//! Agents: who may send, and with which key.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::StoreFuture;
use crate::id::{AgentId, TenantId};
use crate::name::DisplayName;
use crate::severity::Severity;
use crate::time::Timestamp;

/// SHA-256 of a bearer token: what is stored of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// The bytes of an Ed25519 public key. That they are a good key is checked before they get here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// An agent about to be enrolled.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Its identifier, made by the caller.
    pub agent: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it, unique in its tenant.
    pub name: DisplayName,
    /// The digest of its token.
    pub token: TokenDigest,
    /// Its key, when known from the start.
    pub key: Option<PublicKey>,
    /// Until when it may pin a key by itself.
    pub pin_until: Timestamp,
    /// When it is enrolled.
    pub enrolled_at: Timestamp,
}

/// What the ingest path needs to know of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its identifier.
    pub agent: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub name: DisplayName,
    /// What people call its organisation.
    pub tenant_name: DisplayName,
    /// Its pinned key.
    pub key: Option<PublicKey>,
    /// Until when it may pin a key by itself.
    pub pin_until: Timestamp,
    /// Whether its token was revoked.
    pub is_revoked: bool,
}

/// An agent as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSummary {
    /// Its identifier.
    pub agent: AgentId,
    /// What people call it.
    pub name: DisplayName,
    /// Whether a key is pinned.
    pub is_pinned: bool,
    /// Whether its token was revoked.
    pub is_revoked: bool,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When its last accepted payload arrived.
    pub last_seen_at: Option<Timestamp>,
    /// The version of its newest verified live payload.
    pub version: Option<String>,
    /// The worst severity among its open anomalies.
    pub worst_open: Option<Severity>,
    /// How many of its anomalies are open.
    pub n_open: u32,
    /// Its newest processor readings in percent points, oldest first.
    pub recent_cpu: Vec<f64>,
}

/// What became of an attempt to pin a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinOutcome {
    /// The key is pinned, and positions start anew.
    Pinned,
    /// This very key was pinned before; nothing changed.
    AlreadyPinned,
    /// Another key is pinned; nothing changed.
    OtherKey,
    /// The time for pinning is over; nothing changed.
    TooLate,
}

/// Enrolment and look-up of agents.
pub trait AgentStore: Send + Sync {
    /// Finds the agent of a token. The one look-up without a tenant: the token says which.
    fn agent_by_token<'a>(&'a self, token: &'a TokenDigest)
    -> StoreFuture<'a, Option<AgentRecord>>;

    /// Enrols an agent.
    ///
    /// # Errors
    /// `AlreadyExists` when its name is taken, `NotFound` without such a tenant.
    fn enrol<'a>(&'a self, agent: &'a NewAgent) -> StoreFuture<'a, ()>;

    /// Pins a key and resets the positions, once.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such agent.
    fn pin(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: PublicKey,
        now: Timestamp,
    ) -> StoreFuture<'_, PinOutcome>;

    /// Revokes the token of an agent.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such agent.
    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()>;

    /// Lists the agents of a tenant by name, each with at most `n_recent` processor readings
    /// received in the hour before `now`.
    fn agents(
        &self,
        tenant: TenantId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<AgentSummary>>;
}
