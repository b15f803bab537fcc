//! Ingest: what one accepted payload writes, in one transaction.

use alloc::vec::Vec;

use super::{NonceDigest, NonceOutcome, NonceUse, StoreFuture};
use crate::anomaly::Finding;
use crate::endpoint::EndpointSnapshot;
use crate::facts::VersionTriple;
use crate::id::{AgentId, TenantId};
use crate::name::AgentVersion;
use crate::position::{ContentHash, Position, is_late};
use crate::sample::MetricSample;
use crate::signal::Signal;
use crate::time::Timestamp;

/// Whether the signature of a payload was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureStatus {
    /// Verified against the pinned key, or the MAC against the key of the device.
    Verified,
    /// No key is pinned, so nothing could be verified.
    Unpinned,
}

/// What a payload holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// One metric point.
    Metrics(MetricSample),
    /// Signals of the agent about itself, allowed and valid.
    Signals(Vec<Signal>),
    /// What runs, listens and starts on the machine.
    Endpoint(EndpointSnapshot),
}

/// The version a payload came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSeen {
    /// As sent.
    pub text: AgentVersion,
    /// As three numbers, when it is a version at all.
    pub triple: Option<VersionTriple>,
}

/// One payload, checked in every respect but its position.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestBatch {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who sent it.
    pub agent: AgentId,
    /// Hub clock when it arrived.
    pub received_at: Timestamp,
    /// Device clock when it was captured.
    pub captured_at: Timestamp,
    /// Device clock at the attempt that arrived.
    pub sent_at: Timestamp,
    /// The nonce of the request, which devices have and other agents have not. The transaction
    /// that stores the payload uses it up.
    pub nonce: Option<NonceDigest>,
    /// Its place in the life of the spool.
    pub position: Position,
    /// What must not change under the position.
    pub content: ContentHash,
    /// Whether its signature was checked.
    pub signature: SignatureStatus,
    /// The version it came with.
    pub version: VersionSeen,
    /// What it holds.
    pub payload: Payload,
    /// What accepting it reveals, with the signal of it.
    pub finding: Option<(Finding, Signal)>,
}

impl IngestBatch {
    /// Tells whether the payload was captured so long before it was sent that it counts as spooled
    /// if the hub saw its position as an open gap (contract §2).
    pub fn is_late(&self) -> bool {
        is_late(self.captured_at, self.sent_at)
    }
}

/// What became of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngestOutcome {
    /// Stored.
    Accepted,
    /// The device used the nonce before; nothing changed.
    NonceUsed,
    /// The device used as many nonces as are remembered for one; nothing changed.
    NoncesFull {
        /// When the oldest of them will be forgotten.
        retry_after_s: u32,
    },
    /// Seen before with the same content; nothing changed but the nonce.
    Duplicate,
    /// Its position was used by another content; nothing changed but the nonce.
    Replay,
    /// Its position was given up before it came; nothing changed but the nonce.
    GivenUp,
    /// From a former life of the spool; nothing changed but the nonce.
    StaleEpoch {
        /// The lowest epoch under which it would be accepted.
        min_epoch: u64,
    },
    /// Its position is out of range; nothing changed but the nonce.
    OutOfRange,
    /// One signal more than the agent may have live keys of its source; nothing changed but the
    /// nonce.
    TooManyKeys {
        /// Which signal of the payload, from 0.
        index: usize,
    },
}

/// A finding that a refused request reveals.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestFinding {
    /// Whose agent.
    pub tenant: TenantId,
    /// Which agent.
    pub agent: AgentId,
    /// Hub clock when it happened last.
    pub at: Timestamp,
    /// How often since it was recorded last.
    pub occurrences: u64,
    /// What was found.
    pub finding: Finding,
    /// The same as a signal.
    pub signal: Signal,
}

/// Writing what agents send.
pub trait IngestStore: Send + Sync {
    /// Stores payloads, each completely or not at all, and decides about their nonces, then about
    /// their positions.
    ///
    /// Outcomes come in the order of the input. Two equal nonces of a device never both pass, and
    /// two equal positions never both get [`IngestOutcome::Accepted`], whichever hubs they came
    /// through. A nonce that passed stays used whatever the outcome. A payload under a position
    /// that lay in an open gap and that [`IngestBatch::is_late`] is stored as spooled.
    ///
    /// # Errors
    /// Nothing of the call was stored after any. `Unavailable`: try again. `Outdated`: a key was
    /// pinned or the agent revoked since a payload was checked. `NotFound`: an agent is gone.
    /// `Refused`: a payload of a device without a nonce, or of another agent with one.
    fn commit<'a>(&'a self, batches: &'a [IngestBatch]) -> StoreFuture<'a, Vec<IngestOutcome>>;

    /// Uses up the nonce of a request that is refused for something else, and tells whether it had
    /// been used: then that is what the request is refused for.
    ///
    /// # Errors
    /// `NotFound`: the device is gone. `Refused`: the agent is no device.
    fn spend_nonce<'a>(&'a self, spent: &'a NonceUse) -> StoreFuture<'a, NonceOutcome>;

    /// Records what a refused request revealed: opens an anomaly, or counts it on the open one.
    fn record<'a>(&'a self, finding: &'a IngestFinding) -> StoreFuture<'a, ()>;
}
