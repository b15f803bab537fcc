//! People and their API tokens: what they may do, how they are listed, and what is written of them.

use std::sync::Arc;

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;

use super::{Scene, phc};
use crate::store::{Access, ApiTokenPlace, Author, LoginLink, Role, Rotation, UserChange};

impl Scene {
    pub(super) fn a_disabled_person_holds_nothing(&self) {
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

    pub(super) fn the_last_admin_stays(&self) {
        let (store, by) = (self.store(), Author::CommandLine);
        let disable = |user| self.wait(store.set_access(self.tenant, user, Access::Disabled, by));
        let make = |user, role| self.wait(store.set_role(self.tenant, user, role, by));
        // Who administers another organisation is nobody here.
        self.add_elsewhere();
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

    pub(super) fn an_api_token_does_the_less_of_scope_and_role(&self) {
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

    pub(super) fn lists_go_on_where_they_ended(&self) {
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

    pub(super) fn each_change_has_its_entry_and_no_secret(&self) {
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
