//! What holds of people and of what they prove who they are with, in each store.

mod person;
mod proof;
mod tenant;

use std::path::PathBuf;
use std::sync::Arc;

use monsys_core::id::{ApiTokenId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::time::{Span, Timestamp};

use super::postgres::PostgresPlace;
use super::postgres::cluster::{self, Database};
use super::{
    Author, Credentials, Holder, HubStore, NewApiToken, NewUser, PasswordPhc, PostgresStore, Role,
    Rotation, SessionUser, SqliteStore,
};
use crate::clock::wall_now;

/// What is done with a store, and what must hold of it then.
type Law = fn(&Scene);

/// Each law with its name, on a store of its own.
const LAWS: [(&str, Law); 17] = [
    ("credentials", Scene::only_who_may_log_in_has_credentials),
    ("epoch", Scene::a_new_password_makes_void_what_was_held),
    ("session", Scene::a_session_opens_only_for_who_still_holds),
    (
        "rehash",
        Scene::a_hash_is_replaced_only_where_it_was_verified,
    ),
    (
        "link",
        Scene::a_set_password_link_works_once_and_uses_up_the_others,
    ),
    ("old_links", Scene::a_link_is_kept_until_its_time_is_over),
    ("rotation", Scene::a_refresh_token_is_used_once),
    ("race", Scene::of_two_rotations_at_once_one_is_a_reuse),
    ("age", Scene::refresh_tokens_end_by_idleness_and_by_age),
    ("families", Scene::with_too_many_logins_the_oldest_ends),
    ("void", Scene::a_disabled_person_holds_nothing),
    ("admin", Scene::the_last_admin_stays),
    ("scope", Scene::an_api_token_does_the_less_of_scope_and_role),
    ("lists", Scene::lists_go_on_where_they_ended),
    (
        "people_apart",
        Scene::nobody_is_found_or_changed_from_another_organisation,
    ),
    (
        "agents_apart",
        Scene::no_agent_is_found_or_changed_from_another_organisation,
    ),
    ("audit", Scene::each_change_has_its_entry_and_no_secret),
];

#[test]
fn accounts_keep_their_laws_in_sqlite() {
    for (name, law) in LAWS {
        let scene = Scene::in_sqlite(name);
        law(&scene);
    }
}

#[test]
fn accounts_keep_their_laws_in_postgres() {
    for (_, law) in LAWS {
        let Some(database) = cluster::database() else {
            return;
        };
        law(&Scene::in_postgres(database));
    }
}

/// An organisation with an admin and a reader, seen by two hubs.
struct Scene {
    runtime: tokio::runtime::Runtime,
    hubs: [Arc<dyn HubStore>; 2],
    place: Place,
    tenant: TenantId,
    admin: UserId,
    reader: UserId,
    now: Timestamp,
}

enum Place {
    File(PathBuf),
    Server(Database),
}

impl Scene {
    fn in_sqlite(name: &str) -> Self {
        let name = format!("monsys-accounts-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("accounts.db");
        // Two stores on one file are two writers, as of a hub and of a command.
        let hubs = [(); 2].map(|()| SqliteStore::open(&file).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let hubs = hubs.map(|store| Arc::new(store) as Arc<dyn HubStore>);
        Self::filled(runtime, hubs, Place::File(folder))
    }

    fn in_postgres(database: Database) -> Self {
        let place = PostgresPlace::parse(&database.url()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let hubs = [(); 2].map(|()| {
            let opened = runtime.block_on(PostgresStore::open(&place, None, wall_now()));
            Arc::new(opened.unwrap()) as Arc<dyn HubStore>
        });
        database.unfence_if_asked();
        Self::filled(runtime, hubs, Place::Server(database))
    }

    fn filled(
        runtime: tokio::runtime::Runtime,
        hubs: [Arc<dyn HubStore>; 2],
        place: Place,
    ) -> Self {
        let scene = Self {
            runtime,
            hubs,
            place,
            tenant: TenantId::from_random_bytes([1; 16]),
            admin: UserId::from_random_bytes([2; 16]),
            reader: UserId::from_random_bytes([3; 16]),
            now: wall_now(),
        };
        let name = DisplayName::parse("acme").unwrap();
        scene
            .wait(scene.store().add_tenant(scene.tenant, name))
            .unwrap();
        scene.add(scene.admin, "admin@acme.example", Role::Admin);
        scene.add(scene.reader, "reader@acme.example", Role::ReadOnly);
        scene
    }

    fn store(&self) -> &dyn HubStore {
        &*self.hubs[0]
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn later(&self, seconds: i64) -> Timestamp {
        self.now.saturating_add(Span::from_secs(seconds))
    }

    fn add(&self, user: UserId, email: &str, role: Role) {
        let new = NewUser {
            user,
            tenant: self.tenant,
            email: email.to_owned(),
            role,
            password: Some(phc("first")),
        };
        self.wait(self.store().add_user(new, Author::CommandLine))
            .unwrap();
    }

    fn credentials(&self, org: &str, email: &str) -> Option<Credentials> {
        let found = self.store().credentials(org.into(), email.into());
        self.wait(found).unwrap()
    }

    fn person(&self, user: UserId) -> SessionUser {
        let found = self.wait(self.store().user_now(self.tenant, user));
        found.unwrap().unwrap()
    }

    fn holder(&self, user: UserId) -> Holder {
        Holder::from(&self.person(user))
    }

    fn open_session(&self, holder: Holder, secret: u8) -> Option<()> {
        let times = (self.now, self.later(3_600));
        let opened = self.store().open_session(holder, [secret; 32], times);
        self.wait(opened).unwrap()
    }

    fn session(&self, secret: u8) -> Option<SessionUser> {
        let found = self.store().session([secret; 32], self.now);
        self.wait(found).unwrap()
    }

    fn open_family(&self, secret: u8, now: Timestamp) {
        let holder = self.holder(self.reader);
        let opened = self.wait(self.store().open_family(holder, [secret; 32], now));
        assert_eq!(opened, Ok(Some(())));
    }

    fn rotate(&self, shown: u8, next: u8, now: Timestamp) -> Rotation {
        let rotated = self.store().rotate_refresh([shown; 32], [next; 32], now);
        self.wait(rotated).unwrap()
    }

    fn add_token(&self, secret: u8, owner: UserId, scope: Role) -> ApiTokenId {
        let token = ApiTokenId::from_random_bytes([secret; 16]);
        let new = NewApiToken {
            token,
            tenant: self.tenant,
            owner,
            name: DisplayName::parse(&format!("token {secret}")).unwrap(),
            scope,
            digest: [secret; 32],
            created_at: self.later(i64::from(secret)),
            expires_at: self.later(86_400),
        };
        self.wait(self.store().add_token(new, Author::CommandLine))
            .unwrap();
        token
    }

    fn token_user(&self, secret: u8, now: Timestamp) -> Option<SessionUser> {
        let found = self.store().token_user([secret; 32], now);
        self.wait(found).unwrap()
    }

    /// What the audit log holds, oldest first: actor, action and subject.
    fn audit(&self) -> Vec<String> {
        let sql = "SELECT actor || '|' || action || '|' || subject FROM audit_log ORDER BY id";
        match &self.place {
            Place::Server(database) => database.run(sql),
            Place::File(folder) => {
                let beside = rusqlite::Connection::open(folder.join("accounts.db")).unwrap();
                let mut statement = beside.prepare(sql).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            }
        }
    }

    fn n_entries(&self, entry: &str) -> usize {
        self.audit().iter().filter(|found| *found == entry).count()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for hub in &self.hubs {
            hub.close();
        }
        if let Place::File(folder) = &self.place {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Something in the form of a hash.
fn phc(password: &str) -> PasswordPhc {
    PasswordPhc::new(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${password}"))
}
