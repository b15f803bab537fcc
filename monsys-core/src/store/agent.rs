//! Agents: who may send, and with which key.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{KeyState, NewCredential, SharedKey, StoreFuture};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// The key as agents show theirs: 64 lower-case hexadecimal digits.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An agent about to be enrolled.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Its identifier, made by the caller.
    pub agent: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it, unique in its tenant.
    pub name: DisplayName,
    /// By what it will prove who it is.
    pub credential: NewCredential,
    /// When it is enrolled.
    pub enrolled_at: Timestamp,
}

/// What the ingest path needs to know of an agent with a token.
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

/// What the ingest path needs to know of a device.
#[derive(Debug, Clone)]
pub struct DeviceRecord {
    /// Its identifier.
    pub agent: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it shares with the hub.
    pub key: SharedKey,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// An agent as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSummary {
    /// Its identifier.
    pub agent: AgentId,
    /// What people call it.
    pub name: DisplayName,
    /// The key that verifies its payloads, which also tells its profile.
    pub key: KeyState,
    /// Whether it was revoked.
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
    /// Finds the agent of a token. This look-up and the next cross the tenants: what the request
    /// claims says which.
    fn agent_by_token<'a>(&'a self, token: &'a TokenDigest)
    -> StoreFuture<'a, Option<AgentRecord>>;

    /// Finds a device by the names of its organisation and of itself; an agent with a token is no
    /// device, whatever its name.
    fn agent_by_device<'a>(
        &'a self,
        org: &'a str,
        device: &'a str,
    ) -> StoreFuture<'a, Option<DeviceRecord>>;

    /// Enrols an agent.
    ///
    /// # Errors
    /// `AlreadyExists` when its name is taken, `NotFound` without such a tenant, `Refused` for a
    /// device whose name is not of the form that `X-EM-Device` needs
    /// ([`is_device_word`](crate::name::is_device_word)).
    fn enrol<'a>(&'a self, agent: &'a NewAgent) -> StoreFuture<'a, ()>;

    /// Pins a key and resets the positions, once.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such agent with a token.
    fn pin(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: PublicKey,
        now: Timestamp,
    ) -> StoreFuture<'_, PinOutcome>;

    /// Revokes an agent: its token or shared key opens nothing from here on.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such agent.
    fn revoke(&self, tenant: TenantId, agent: AgentId) -> StoreFuture<'_, ()>;

    /// Reads one agent, with at most `n_recent` processor readings received in the hour before
    /// `now`. Cost: that agent, however many the tenant has.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such agent; the row of the hub itself is none.
    fn agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AgentSummary>;

    /// Lists the agents of a tenant by name, each with at most `n_recent` processor readings
    /// received in the hour before `now`.
    fn agents(
        &self,
        tenant: TenantId,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<AgentSummary>>;
}
