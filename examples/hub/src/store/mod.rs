//! The hub's database. Only this folder knows SQL.
//!
//! A hub sees its database through [`HubStore`]: the storage contract of `monsys-core`, the
//! hub's own accounts, and what its pages and listings read. Each back end is written natively.

mod account;
#[cfg(test)]
mod account_laws;
mod activity;
pub(crate) mod archive;
mod credential;
mod doctor;
mod fleet;
mod look_up;
mod payload_text;
#[cfg(test)]
mod poison;
pub mod postgres;
mod sample;
mod snapshot;
pub mod sqlite;

use monsys_core::store::Store;

pub use self::account::{
    Access, AccountStore, Actor, LoginLink, NewUser, Role, SessionUser, UserChange, UserSummary,
};
pub use self::activity::{
    Activity, ActivityFilter, ActivityKind, ActivityPage, ActivityPlace, ActivityStore,
    CollectorChange, Happened, LoginCount,
};
pub use self::credential::{
    ApiTokenPlace, ApiTokenSummary, Author, CredentialStore, Credentials, CredentialsEpoch, Holder,
    KeyChange, KeyOutcome, LAST_USED_COARSE_S, LISTED_MAX, NewApiToken, PasswordPhc,
    REFRESH_ABSOLUTE_S, REFRESH_FAMILIES_MAX, REFRESH_IDLE_S, REFRESH_ROTATIONS_MAX, Rotation,
};
pub use self::fleet::{
    AgentName, FleetCounts, FleetCursor, FleetFilter, FleetOrder, FleetPage, FleetRow, FleetStore,
    LastSample, Presence,
};
pub use self::postgres::PostgresStore;
pub use self::sample::{
    Bucket, Buckets, SampleCounts, SampleFilter, SamplePage, SamplePlace, SampleStart, SampleStore,
    SampleTotal, Series, SeriesOf, StoredSample,
};
pub use self::snapshot::{SnapshotStore, StoredSnapshot};
pub use self::sqlite::SqliteStore;

/// Which schema a store has, and which one this program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchemaVersion {
    /// The version that is there; 0 is none.
    pub(crate) found: i64,
    /// The version that `migrate` brings it to.
    pub(crate) newest: i64,
}

/// All that a hub asks of its database.
pub trait HubStore:
    Store + AccountStore + CredentialStore + ActivityStore + FleetStore + SampleStore + SnapshotStore
{
}

impl<
    T: Store
        + AccountStore
        + CredentialStore
        + ActivityStore
        + FleetStore
        + SampleStore
        + SnapshotStore,
> HubStore for T
{
}
