//! What holds of people and of what they prove who they are with, in each store.

use std::path::PathBuf;
use std::sync::Arc;

use monsys_core::id::{ApiTokenId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};

use super::postgres::cluster;
use super::postgres::cluster::Database;
use super::{
    Access, ApiTokenPlace, Author, Credentials, HubStore, LoginLink, NewApiToken, NewUser,
    PasswordPhc, PostgresStore, Role, Rotation, SessionUser, SqliteStore, UserChange,
};
use crate::clock::wall_now;
use crate::store::postgres::PostgresPlace;
use crate::store::{Holder, REFRESH_ABSOLUTE_S, REFRESH_FAMILIES_MAX, REFRESH_IDLE_S};

/// Each law with its name, on a store of its own.
const LAWS: [(&str, fn(&Scene)); 14] = [
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
    ("rotation", Scene::a_refresh_token_is_used_once),
    ("race", Scene::of_two_rotations_at_once_one_is_a_reuse),
    ("age", Scene::refresh_tokens_end_by_idleness_and_by_age),
    ("families", Scene::with_too_many_logins_the_oldest_ends),
    ("void", Scene::a_disabled_person_holds_nothing),
    ("admin", Scene::the_last_admin_stays),
    ("scope", Scene::an_api_token_does_the_less_of_scope_and_role),
    ("lists", Scene::lists_go_on_where_they_ended),
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

    fn only_who_may_log_in_has_credentials(&self) {
        let found = self.credentials("acme", "admin@acme.example").unwrap();
        assert_eq!(found.user.user, self.admin);
        assert_eq!(found.user.role, Role::Admin);
        assert_eq!(found.password, Some(phc("first")));
        for (org, email) in [
            ("acme", "nobody@acme.example"),
            ("other", "admin@acme.example"),
            ("", ""),
            ("acme", "integrity-worker@monsys.invalid"),
            ("acme", "ADMIN@acme.example"),
            ("acme' OR '1'='1", "admin@acme.example"),
        ] {
            assert!(self.credentials(org, email).is_none(), "{org} {email}");
        }
        let disable = self.store().set_access(
            self.tenant,
            self.reader,
            Access::Disabled,
            Author::User(self.admin),
        );
        assert_eq!(self.wait(disable), Ok(UserChange::Done));
        assert!(self.credentials("acme", "reader@acme.example").is_none());
    }

    fn a_new_password_makes_void_what_was_held(&self) {
        let before = self.holder(self.reader);
        assert_eq!(self.open_session(before, 10), Some(()));
        assert_eq!(self.session(10).unwrap().user, self.reader);
        self.open_family(11, self.now);
        let by = Author::User(self.reader);
        let set = self
            .store()
            .set_password(self.tenant, self.reader, phc("second"), by);
        let after = self.wait(set).unwrap();
        assert!(after.epoch > before.epoch);
        assert_eq!(self.person(self.reader).epoch, after.epoch);
        assert!(self.session(10).is_none());
        assert!(matches!(self.rotate(11, 12, self.now), Rotation::Unknown));
        let found = self.credentials("acme", "reader@acme.example").unwrap();
        assert_eq!(found.password, Some(phc("second")));
        let nobody = UserId::from_random_bytes([99; 16]);
        let set = self.store().set_password(self.tenant, nobody, phc("x"), by);
        assert_eq!(self.wait(set), Err(StoreError::NotFound));
        let elsewhere = TenantId::from_random_bytes([98; 16]);
        let set = self
            .store()
            .set_password(elsewhere, self.reader, phc("x"), by);
        assert_eq!(self.wait(set), Err(StoreError::NotFound));
    }

    fn a_session_opens_only_for_who_still_holds(&self) {
        let before = self.holder(self.reader);
        let end = self
            .store()
            .end_sessions(self.tenant, self.reader, Author::CommandLine);
        let after = self.wait(end).unwrap();
        assert_eq!(self.open_session(before, 10), None);
        let opened = self.store().open_family(before, [11; 32], self.now);
        assert_eq!(self.wait(opened), Ok(None));
        assert_eq!(self.open_session(after, 10), Some(()));
        assert!(self.session(10).is_some());
        self.wait(self.store().log_out([10; 32])).unwrap();
        assert!(self.session(10).is_none());
        let elsewhere = Holder {
            tenant: TenantId::from_random_bytes([98; 16]),
            ..after
        };
        assert_eq!(self.open_session(elsewhere, 12), None);
    }

    fn a_hash_is_replaced_only_where_it_was_verified(&self) {
        let holder = self.holder(self.reader);
        let replace = |verified, rehashed| {
            let store = self.store();
            self.wait(store.replace_phc_if_same(holder, phc(verified), phc(rehashed)))
        };
        assert_eq!(replace("other", "stolen"), Ok(false));
        assert_eq!(replace("first", "stronger"), Ok(true));
        assert_eq!(replace("first", "late"), Ok(false));
        let found = self.credentials("acme", "reader@acme.example").unwrap();
        assert_eq!(found.password, Some(phc("stronger")));
        assert_eq!(found.user.epoch, holder.epoch, "nothing became void");
    }

    fn a_set_password_link_works_once_and_uses_up_the_others(&self) {
        let store = self.store();
        let links = [
            (20, LoginLink::SetPassword(self.reader)),
            (21, LoginLink::SetPassword(self.reader)),
            (22, LoginLink::Login(self.reader)),
            (23, LoginLink::SetPassword(self.admin)),
        ];
        for (secret, link) in links {
            let added = store.add_link([secret; 32], link, self.later(60), Author::CommandLine);
            assert_eq!(self.wait(added), Ok(()));
            let found = self.wait(store.link([secret; 32], self.now));
            assert_eq!(found, Ok(Some(link)));
        }
        let times = (self.now, self.later(3_600));
        let spend = |link: u8, session: u8, times| {
            let spent = store.spend_password_link([link; 32], phc("chosen"), [session; 32], times);
            self.wait(spent).unwrap()
        };
        assert_eq!(spend(22, 30, times), None, "a login link sets no password");
        let at = self.later(61);
        assert_eq!(spend(20, 30, (at, self.later(3_600))), None, "too late");
        let logged_in = store.log_in([20; 32], [30; 32], self.now, self.later(60));
        assert_eq!(self.wait(logged_in), Ok(None), "it is no login link");
        let holder = spend(20, 31, times).unwrap();
        assert_eq!(holder, self.holder(self.reader));
        assert_eq!(self.session(31).unwrap().user, self.reader);
        for used in [20, 21, 22] {
            assert_eq!(self.wait(store.link([used; 32], self.now)), Ok(None));
        }
        assert!(self.wait(store.link([23; 32], self.now)).unwrap().is_some());
        assert_eq!(spend(20, 32, times), None);
        let found = self.credentials("acme", "reader@acme.example").unwrap();
        assert_eq!(found.password, Some(phc("chosen")));
    }

    fn a_refresh_token_is_used_once(&self) {
        self.open_family(10, self.now);
        self.open_family(50, self.now);
        let Rotation::Rotated(user) = self.rotate(10, 11, self.now) else {
            panic!("the first use");
        };
        assert_eq!(user.user, self.reader);
        assert!(matches!(
            self.rotate(11, 12, self.now),
            Rotation::Rotated(_)
        ));
        let reused = format!("hub|refresh token reused|{}", self.reader);
        assert_eq!(self.n_entries(&reused), 0);
        for _ in 0..2 {
            assert!(matches!(self.rotate(10, 13, self.now), Rotation::Reused));
        }
        assert_eq!(self.n_entries(&reused), 1, "written once");
        assert!(matches!(self.rotate(12, 14, self.now), Rotation::Unknown));
        assert!(matches!(self.rotate(99, 15, self.now), Rotation::Unknown));
        // Another login of the same person goes on.
        assert!(matches!(
            self.rotate(50, 51, self.now),
            Rotation::Rotated(_)
        ));
        self.wait(self.store().end_family([51; 32], self.now))
            .unwrap();
        assert!(matches!(self.rotate(51, 52, self.now), Rotation::Unknown));
    }

    fn of_two_rotations_at_once_one_is_a_reuse(&self) {
        for round in 0..10_u8 {
            let first = 100 + 3 * round;
            self.open_family(first, self.now);
            let [one, other] = [0, 1].map(|place| {
                let (hub, now) = (Arc::clone(&self.hubs[usize::from(place)]), self.now);
                let next = [first + 1 + place; 32];
                let rotate = async move { hub.rotate_refresh([first; 32], next, now).await };
                self.runtime.spawn(rotate)
            });
            let outcomes = [one, other].map(|task| self.wait(task).unwrap().unwrap());
            let count = |is: fn(&Rotation) -> bool| outcomes.iter().filter(|o| is(o)).count();
            assert_eq!(
                count(|o| matches!(o, Rotation::Rotated(_))),
                1,
                "{outcomes:?}"
            );
            assert_eq!(count(|o| matches!(o, Rotation::Reused)), 1, "{outcomes:?}");
            for next in [first + 1, first + 2] {
                assert!(matches!(self.rotate(next, 1, self.now), Rotation::Unknown));
            }
        }
    }

    fn refresh_tokens_end_by_idleness_and_by_age(&self) {
        self.open_family(10, self.now);
        let idle = self.later(REFRESH_IDLE_S);
        assert!(matches!(self.rotate(10, 11, idle), Rotation::Expired));
        let just_before = self.later(REFRESH_IDLE_S - 1);
        assert!(matches!(
            self.rotate(10, 11, just_before),
            Rotation::Rotated(_)
        ));
        let mut shown = 11;
        for week in 2..=4 {
            let at = self.later(week * (REFRESH_IDLE_S - 1));
            assert!(matches!(
                self.rotate(shown, shown + 1, at),
                Rotation::Rotated(_)
            ));
            shown += 1;
        }
        let end = self.later(REFRESH_ABSOLUTE_S);
        assert!(matches!(self.rotate(shown, 90, end), Rotation::Expired));
        let last = self.later(REFRESH_ABSOLUTE_S - 1);
        assert!(matches!(self.rotate(shown, 90, last), Rotation::Rotated(_)));
        assert!(matches!(self.rotate(90, 91, end), Rotation::Expired));
        // What is over is forgotten with the next login, and what was not stays.
        self.open_family(200, self.later(REFRESH_ABSOLUTE_S));
        assert!(matches!(self.rotate(90, 91, last), Rotation::Unknown));
    }

    fn with_too_many_logins_the_oldest_ends(&self) {
        let most = u8::try_from(REFRESH_FAMILIES_MAX).unwrap();
        for secret in 1..=most + 1 {
            self.open_family(secret, self.later(i64::from(secret)));
        }
        let at = self.later(100);
        assert!(matches!(self.rotate(1, 201, at), Rotation::Unknown));
        assert!(matches!(self.rotate(2, 202, at), Rotation::Rotated(_)));
        assert!(matches!(
            self.rotate(most + 1, 203, at),
            Rotation::Rotated(_)
        ));
    }

    fn a_disabled_person_holds_nothing(&self) {
        let (store, by) = (self.store(), Author::User(self.admin));
        let holder = self.holder(self.reader);
        assert_eq!(self.open_session(holder, 10), Some(()));
        self.open_family(11, self.now);
        self.add_token(12, self.reader, Role::ReadOnly);
        let link = LoginLink::Login(self.reader);
        let added = store.add_link([13; 32], link, self.later(60), by);
        assert_eq!(self.wait(added), Ok(()));
        let set = |access| self.wait(store.set_access(self.tenant, self.reader, access, by));
        assert_eq!(set(Access::Disabled), Ok(UserChange::Done));
        assert_eq!(set(Access::Disabled), Ok(UserChange::Unchanged));
        assert!(self.session(10).is_none());
        assert!(matches!(self.rotate(11, 14, self.now), Rotation::Unknown));
        assert!(self.token_user(12, self.now).is_none());
        assert_eq!(self.wait(store.link([13; 32], self.now)), Ok(None));
        assert!(
            self.wait(store.user_now(self.tenant, self.reader))
                .unwrap()
                .is_none()
        );
        let times = (self.now, self.later(60));
        let opened = store.open_session(holder, [15; 32], times);
        assert_eq!(self.wait(opened), Ok(None));
        // Enabled again they log in anew; what they held stays void, an API token is not.
        assert_eq!(set(Access::Enabled), Ok(UserChange::Done));
        assert!(self.session(10).is_none());
        assert!(self.token_user(12, self.now).is_some());
        assert!(self.credentials("acme", "reader@acme.example").is_some());
        let nobody = UserId::from_random_bytes([99; 16]);
        let set = store.set_access(self.tenant, nobody, Access::Disabled, by);
        assert_eq!(self.wait(set), Err(StoreError::NotFound));
    }

    fn the_last_admin_stays(&self) {
        let (store, by) = (self.store(), Author::CommandLine);
        let disable = |user| self.wait(store.set_access(self.tenant, user, Access::Disabled, by));
        let make = |user, role| self.wait(store.set_role(self.tenant, user, role, by));
        assert_eq!(disable(self.admin), Ok(UserChange::LastAdmin));
        assert_eq!(make(self.admin, Role::ReadOnly), Ok(UserChange::LastAdmin));
        assert_eq!(self.person(self.admin).role, Role::Admin);
        let before = self.holder(self.reader);
        assert_eq!(make(self.reader, Role::Admin), Ok(UserChange::Done));
        assert_eq!(make(self.reader, Role::Admin), Ok(UserChange::Unchanged));
        assert!(self.holder(self.reader).epoch > before.epoch);
        // Two who disable each other at the same moment: one of them stays.
        let tasks = [(0, self.admin), (1, self.reader)].map(|(place, other)| {
            let (hub, tenant) = (Arc::clone(&self.hubs[place]), self.tenant);
            let disable = async move { hub.set_access(tenant, other, Access::Disabled, by).await };
            self.runtime.spawn(disable)
        });
        let outcomes = tasks.map(|task| self.wait(task).unwrap().unwrap());
        let n_done = outcomes.iter().filter(|o| **o == UserChange::Done).count();
        assert_eq!(n_done, 1, "{outcomes:?}");
        assert!(outcomes.contains(&UserChange::LastAdmin), "{outcomes:?}");
    }

    fn an_api_token_does_the_less_of_scope_and_role(&self) {
        let (store, by) = (self.store(), Author::CommandLine);
        self.add_token(10, self.admin, Role::ReadOnly);
        self.add_token(11, self.reader, Role::Admin);
        let token = self.add_token(12, self.admin, Role::Admin);
        let role = |secret| self.token_user(secret, self.now).map(|user| user.role);
        assert_eq!(role(10), Some(Role::ReadOnly));
        assert_eq!(role(11), Some(Role::ReadOnly));
        assert_eq!(role(12), Some(Role::Admin));
        assert_eq!(role(13), None);
        let promoted = store.set_role(self.tenant, self.reader, Role::Admin, by);
        assert_eq!(self.wait(promoted), Ok(UserChange::Done));
        assert_eq!(role(11), Some(Role::Admin));
        let demoted = store.set_role(self.tenant, self.admin, Role::ReadOnly, by);
        assert_eq!(self.wait(demoted), Ok(UserChange::Done));
        assert_eq!(role(12), Some(Role::ReadOnly));
        assert!(self.token_user(12, self.later(86_400)).is_none(), "expired");
        for _ in 0..2 {
            assert_eq!(
                self.wait(store.revoke_token(self.tenant, token, by)),
                Ok(())
            );
        }
        assert_eq!(role(12), None);
        assert_eq!(
            self.n_entries(&format!("command line|API token revoked|{token}")),
            1
        );
        let elsewhere = TenantId::from_random_bytes([98; 16]);
        let revoked = store.revoke_token(elsewhere, token, by);
        assert_eq!(self.wait(revoked), Err(StoreError::NotFound));
    }

    fn lists_go_on_where_they_ended(&self) {
        let store = self.store();
        let page = |after: Option<&str>| {
            let listed = store.users(self.tenant, after.map(str::to_owned), 1);
            self.wait(listed).unwrap()
        };
        let first = page(None);
        assert_eq!(first[0].email, "admin@acme.example");
        assert!(first[0].has_password && first[0].disabled_at.is_none());
        assert_eq!(page(Some(&first[0].email))[0].email, "reader@acme.example");
        assert!(page(Some("reader@acme.example")).is_empty());
        let tokens = [20, 21, 22].map(|secret| self.add_token(secret, self.admin, Role::Admin));
        assert!(self.token_user(21, self.now).is_some());
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let listed = self.wait(store.tokens(self.tenant, after, 2)).unwrap();
            let Some(last) = listed.last() else { break };
            after = Some(ApiTokenPlace {
                created_at: last.created_at,
                token: last.token,
            });
            seen.extend(listed);
        }
        let ids: Vec<_> = seen.iter().map(|token| token.token).collect();
        assert_eq!(ids, [tokens[2], tokens[1], tokens[0]]);
        assert_eq!(seen[1].last_used_at, Some(self.now));
        assert_eq!(seen[0].last_used_at, None);
        assert_eq!(seen[0].owner, "admin@acme.example");
        let elsewhere = TenantId::from_random_bytes([98; 16]);
        assert!(
            self.wait(store.tokens(elsewhere, None, 9))
                .unwrap()
                .is_empty()
        );
        assert!(
            self.wait(store.users(elsewhere, None, 9))
                .unwrap()
                .is_empty()
        );
    }

    fn each_change_has_its_entry_and_no_secret(&self) {
        let (store, by) = (self.store(), Author::User(self.admin));
        let times = (self.now, self.later(60));
        assert_eq!(self.open_session(self.holder(self.reader), 10), Some(()));
        self.wait(store.log_out([10; 32])).unwrap();
        self.wait(store.log_out([10; 32])).unwrap();
        self.open_family(11, self.now);
        self.wait(store.end_family([11; 32], self.now)).unwrap();
        let link = LoginLink::SetPassword(self.reader);
        self.wait(store.add_link([12; 32], link, self.later(60), by))
            .unwrap();
        let spent = store.spend_password_link([12; 32], phc("chosen"), [13; 32], times);
        assert!(self.wait(spent).unwrap().is_some());
        let set = |access| self.wait(store.set_access(self.tenant, self.reader, access, by));
        assert_eq!(set(Access::Disabled), Ok(UserChange::Done));
        assert_eq!(set(Access::Enabled), Ok(UserChange::Done));
        let made = store.set_role(self.tenant, self.reader, Role::Admin, by);
        assert_eq!(self.wait(made), Ok(UserChange::Done));
        let token = self.add_token(14, self.admin, Role::Admin);
        self.wait(store.revoke_token(self.tenant, token, by))
            .unwrap();
        let (admin, reader) = (self.admin, self.reader);
        let expected = [
            "hub|organisation added|acme".to_owned(),
            format!("command line|user added|{admin}"),
            format!("command line|user added|{reader}"),
            format!("{reader}|logged in|session"),
            format!("{reader}|logged out|session"),
            format!("{reader}|logged in|tokens"),
            format!("{reader}|logged out|tokens"),
            format!("{admin}|set-password link made|{reader}"),
            format!("{reader}|password set|{reader}"),
            format!("{reader}|logged in|session"),
            format!("{admin}|user disabled|{reader}"),
            format!("{admin}|user enabled|{reader}"),
            format!("{admin}|user made admin|{reader}"),
            format!("command line|API token created|{token}"),
            format!("{admin}|API token revoked|{token}"),
        ];
        assert_eq!(self.audit(), expected);
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
