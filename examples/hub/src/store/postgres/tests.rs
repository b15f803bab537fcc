//! The store against a PostgreSQL of its own.

use monsys_core::id::{TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::conformance::{BlockOn, Fixture, suite};
use monsys_core::store::{StoreError, StoreFuture};

use super::cluster;
use super::{PostgresPlace, PostgresStore};
use crate::clock::wall_now;
use crate::store::{AccountStore, NewUser, Role};

struct Runtime(tokio::runtime::Runtime);

impl BlockOn for Runtime {
    fn block_on<T>(&self, future: StoreFuture<'_, T>) -> Result<T, StoreError> {
        self.0.block_on(future)
    }
}

#[test]
fn postgres_passes_the_conformance_suite() {
    let Some(database) = cluster::database() else {
        return;
    };
    let wait = Runtime(tokio::runtime::Runtime::new().unwrap());
    let place = PostgresPlace::parse(&database.url()).unwrap();
    let store = wait
        .0
        .block_on(PostgresStore::open(&place, None, wall_now()))
        .unwrap();
    let tenants = [1, 2].map(|n| TenantId::from_random_bytes([n; 16]));
    for (tenant, name) in tenants.into_iter().zip(["one", "other"]) {
        let name = DisplayName::parse(name).unwrap();
        wait.block_on(store.add_tenant(tenant, name)).unwrap();
    }
    let user = UserId::from_random_bytes([3; 16]);
    let (email, role) = ("a@example.invalid".to_owned(), Role::Admin);
    let new = NewUser {
        user,
        tenant: tenants[0],
        email,
        role,
    };
    wait.block_on(store.add_user(new)).unwrap();
    suite(&Fixture {
        store: &store,
        tenants,
        user,
        wait: &wait,
    });
    store.close();
}
