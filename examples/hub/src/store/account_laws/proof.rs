//! Passwords, sessions, links and refresh tokens: how they begin, and what ends them.

use std::sync::Arc;

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;

use super::{Scene, phc};
use crate::store::{
    Access, Author, Holder, LoginLink, REFRESH_ABSOLUTE_S, REFRESH_FAMILIES_MAX, REFRESH_IDLE_S,
    Role, Rotation, UserChange,
};

impl Scene {
    pub(super) fn only_who_may_log_in_has_credentials(&self) {
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

    pub(super) fn a_new_password_makes_void_what_was_held(&self) {
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

    pub(super) fn a_session_opens_only_for_who_still_holds(&self) {
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

    pub(super) fn a_hash_is_replaced_only_where_it_was_verified(&self) {
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

    pub(super) fn a_set_password_link_works_once_and_uses_up_the_others(&self) {
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

    pub(super) fn a_link_is_kept_until_its_time_is_over(&self) {
        let store = self.store();
        for (secret, link, seconds) in [
            (20, LoginLink::SetPassword(self.reader), 60),
            (21, LoginLink::Login(self.admin), 61),
            (22, LoginLink::SetUp, 60),
            (23, LoginLink::Login(self.admin), 3_600),
        ] {
            let until = self.later(seconds);
            let added = store.add_link([secret; 32], link, until, Author::CommandLine);
            assert_eq!(self.wait(added), Ok(()));
        }
        // One that was used goes as well.
        let times = (self.now, self.later(3_600));
        let spent = store.spend_password_link([20; 32], phc("chosen"), [30; 32], times);
        assert!(self.wait(spent).unwrap().is_some());
        let forgotten = |seconds| self.wait(store.forget_links(self.later(seconds)));
        assert_eq!(forgotten(59), Ok(0));
        assert_eq!(forgotten(60), Ok(2));
        assert_eq!(forgotten(61), Ok(1));
        assert_eq!(forgotten(61), Ok(0));
        let left = self.wait(store.link([23; 32], self.later(61)));
        assert_eq!(left, Ok(Some(LoginLink::Login(self.admin))));
    }

    pub(super) fn a_refresh_token_is_used_once(&self) {
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

    pub(super) fn of_two_rotations_at_once_one_is_a_reuse(&self) {
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

    pub(super) fn refresh_tokens_end_by_idleness_and_by_age(&self) {
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

    pub(super) fn with_too_many_logins_the_oldest_ends(&self) {
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
}
