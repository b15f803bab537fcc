//! The storage contract: what a hub asks of its database.
//!
//! What: narrow traits cut by use, object-safe, naming no runtime. What not: SQL, schemas,
//! connections. Every method that reads or writes data of an organisation takes its tenant. A
//! method that changes something is atomic: it happens completely or not at all, and it is durable
//! before its future is ready.
//!
//! A back end proves itself by the suite in `conformance` (feature of that name). [`InMemory`] (feature `std`) implements all of them and is the reference for back ends.
//!
//! Cost: one boxed future per call; calls carry batches.

mod agent;
mod anomaly;
mod batcher;
#[cfg(feature = "conformance")]
pub mod conformance;
mod credential;
mod cycle;
mod emitter;
mod ingest;
mod maintenance;
#[cfg(feature = "std")]
mod memory;
mod nonce;
mod signal;

use alloc::boxed::Box;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;

use thiserror::Error;

pub use self::agent::{
    AgentRecord, AgentStore, AgentSummary, DeviceRecord, NewAgent, PinOutcome, PublicKey,
    TokenDigest,
};
pub use self::anomaly::{
    AnomalyCursor, AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyState, AnomalyStore, Attention,
    KindCount, Label,
};
pub use self::batcher::{Answered, Batch, Batcher, BatcherLimits, Busy};
pub use self::credential::{AuthProfile, KeyState, NewCredential, SharedKey};
pub use self::cycle::{
    CycleChanges, CycleCommit, CycleFault, CycleRecord, CycleStore, FactsPage, FleetPresence, Lease,
};
pub use self::emitter::{EmitError, EmitFuture, Emitter};
pub use self::ingest::{
    IngestBatch, IngestFinding, IngestOutcome, IngestStore, Payload, SignatureStatus, VersionSeen,
};
pub use self::maintenance::{Cutoffs, Maintenance, Retention, Swept};
#[cfg(feature = "std")]
pub use self::memory::InMemory;
pub use self::nonce::{NonceDigest, NonceOutcome, NonceUse, NoncesKept, nonces_kept_since};
pub use self::signal::{
    CurrentPage, CursorError, SignalCursor, SignalFilter, SignalPage, SignalSlot, SignalStore,
    Subject,
};

/// The answer of a store, later: object-safe, and bound to no runtime.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database is away, full or too busy; nothing was stored, and trying again is right.
    #[error("store unavailable: expected a writable database")]
    Unavailable,
    /// A row broke a rule of the database; nothing was stored, and trying again is useless.
    #[error("row refused by rule {constraint}: expected data that passed the validator")]
    Refused {
        /// The rule by its name in the schema.
        constraint: String,
    },
    /// What a payload was checked against changed before it could be stored: a key was pinned or the
    /// agent revoked. Nothing was stored; checking it again is right.
    #[error("outdated: expected a payload checked against the present key of its agent")]
    Outdated,
    /// No such row under this tenant.
    #[error("not found: expected the identifier of a row of this tenant")]
    NotFound,
    /// The name or key is taken.
    #[error("already exists: expected a name that is not taken")]
    AlreadyExists,
    /// A stored row is not what was written.
    #[error("stored data damaged: expected the form this version writes")]
    Damaged,
}

/// All that a hub needs of one store.
pub trait Store:
    AgentStore + IngestStore + CycleStore + AnomalyStore + SignalStore + Maintenance
{
}

impl<T> Store for T where
    T: AgentStore + IngestStore + CycleStore + AnomalyStore + SignalStore + Maintenance
{
}
