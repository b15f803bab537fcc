//! The hub's database. Only this folder knows SQL.
//!
//! A hub sees its database through [`HubStore`]: the storage contract of `monsys-core` and the
//! hub's own accounts. Each back end is written natively.

mod account;
pub(crate) mod archive;
mod doctor;
#[cfg(test)]
mod poison;
pub mod postgres;
pub mod sqlite;

use monsys_core::store::Store;

pub use self::account::{AccountStore, Actor, LoginLink, NewUser, Role, SessionUser};
pub use self::postgres::PostgresStore;
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
pub trait HubStore: Store + AccountStore {}

impl<T: Store + AccountStore> HubStore for T {}
