//! The hub's database. Only this folder knows SQL.
//!
//! A hub sees its database through [`HubStore`]: the storage contract of `monsys-core` and the
//! hub's own accounts. Each back end is written natively.

mod account;
pub(crate) mod archive;
mod credential;
#[cfg(test)]
mod poison;
pub mod postgres;
pub mod sqlite;

use monsys_core::store::Store;

pub use self::account::{
    Access, AccountStore, Actor, LoginLink, NewUser, Role, SessionUser, UserChange, UserSummary,
};
pub use self::credential::{
    ApiTokenPlace, ApiTokenSummary, Author, CredentialStore, Credentials, CredentialsEpoch, Holder,
    KeyChange, KeyOutcome, LAST_USED_COARSE_S, LISTED_MAX, NewApiToken, PasswordPhc,
    REFRESH_ABSOLUTE_S, REFRESH_FAMILIES_MAX, REFRESH_IDLE_S, REFRESH_ROTATIONS_MAX, Rotation,
};
pub use self::postgres::PostgresStore;
pub use self::sqlite::SqliteStore;

/// All that a hub asks of its database.
pub trait HubStore: Store + AccountStore + CredentialStore {}

impl<T: Store + AccountStore + CredentialStore> HubStore for T {}
