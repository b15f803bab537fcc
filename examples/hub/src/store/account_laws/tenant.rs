//! One organisation, asked about with the name and the identifiers of another.

use monsys_core::id::{AgentId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::{NewAgent, NewCredential, SharedKey, StoreError, TokenDigest};

use super::{Scene, phc};
use crate::store::{Access, Author, FleetFilter, FleetOrder, NewUser, Role};

impl Scene {
    pub(super) fn nobody_is_found_or_changed_from_another_organisation(&self) {
        let (store, by) = (self.store(), Author::CommandLine);
        let elsewhere = self.add_elsewhere();
        let email = "reader@acme.example".to_owned();
        let found = self.wait(store.user_by_email(elsewhere, email.clone()));
        assert_eq!(found, Ok(None));
        let found = self.wait(store.user_by_email(self.tenant, email));
        assert_eq!(found, Ok(Some(self.reader)));
        let found = self.wait(store.actors(elsewhere, vec![self.reader]));
        assert!(found.unwrap().is_empty());
        let found = self.wait(store.user_now(elsewhere, self.reader));
        assert!(found.unwrap().is_none());

        let before = self.person(self.reader).epoch;
        let set = self.wait(store.set_access(elsewhere, self.reader, Access::Disabled, by));
        assert_eq!(set, Err(StoreError::NotFound));
        let set = self.wait(store.set_role(elsewhere, self.reader, Role::Admin, by));
        assert_eq!(set, Err(StoreError::NotFound));
        let ended = self.wait(store.end_sessions(elsewhere, self.reader, by));
        assert_eq!(ended.err(), Some(StoreError::NotFound));
        let set = self.wait(store.set_password(elsewhere, self.reader, phc("second"), by));
        assert_eq!(set.err(), Some(StoreError::NotFound));
        let reader = self.person(self.reader);
        assert_eq!((reader.epoch, reader.role), (before, Role::ReadOnly));
        assert!(self.credentials("acme", "reader@acme.example").is_some());
    }

    /// Adds another organisation with an admin of its own.
    pub(super) fn add_elsewhere(&self) -> TenantId {
        let elsewhere = TenantId::from_random_bytes([70; 16]);
        let name = DisplayName::parse("other").unwrap();
        self.wait(self.store().add_tenant(elsewhere, name)).unwrap();
        let new = NewUser {
            user: UserId::from_random_bytes([71; 16]),
            tenant: elsewhere,
            email: "admin@other.example".to_owned(),
            role: Role::Admin,
            password: Some(phc("first")),
        };
        self.wait(self.store().add_user(new, Author::CommandLine))
            .unwrap();
        elsewhere
    }

    pub(super) fn no_agent_is_found_or_changed_from_another_organisation(&self) {
        let (store, by) = (self.store(), Author::CommandLine);
        let elsewhere = self.add_elsewhere();
        let [agent, device] = [73, 74].map(|n| AgentId::from_random_bytes([n; 16]));
        let credentials = [
            (
                agent,
                "host",
                NewCredential::Token {
                    token: TokenDigest([75; 32]),
                    key: None,
                    pin_until: self.later(60),
                },
            ),
            (
                device,
                "device",
                NewCredential::Device {
                    key: SharedKey::from_secret_bytes(&[76; 32]),
                },
            ),
        ];
        for (agent, name, credential) in credentials {
            let new = NewAgent {
                agent,
                tenant: self.tenant,
                name: DisplayName::parse(name).unwrap(),
                credential,
                enrolled_at: self.now,
            };
            self.wait(store.enrol_agent(new, by)).unwrap();
        }
        for (name, agent) in [("host", agent), ("device", device)] {
            let found = self.wait(store.agent_by_name(self.tenant, name.to_owned()));
            assert_eq!(found, Ok(Some(agent)));
            let found = self.wait(store.agent_by_name(elsewhere, name.to_owned()));
            assert_eq!(found, Ok(None));
        }
        for (tenant, n_agents) in [(self.tenant, 2), (elsewhere, 0)] {
            self.assert_fleet(tenant, n_agents);
        }
        let changed = store.rotate_agent_token(elsewhere, agent, TokenDigest([77; 32]), by);
        assert_eq!(self.wait(changed), Err(StoreError::NotFound));
        let changed = store.rotate_device_key(
            elsewhere,
            device,
            SharedKey::from_secret_bytes(&[78; 32]),
            by,
        );
        assert_eq!(self.wait(changed), Err(StoreError::NotFound));
        let revoked = store.revoke_agent(elsewhere, agent, by);
        assert_eq!(self.wait(revoked), Err(StoreError::NotFound));
        for token in [[75; 32], [77; 32]] {
            let known = self
                .wait(store.agent_by_token(&TokenDigest(token)))
                .unwrap();
            assert_eq!(known.is_some(), token == [75; 32]);
            assert!(known.is_none_or(|known| !known.is_revoked));
        }
    }

    /// Asserts how many agents an organisation has, in each figure and list of them.
    fn assert_fleet(&self, tenant: TenantId, n_agents: u64) {
        let all = FleetFilter::all(self.now);
        let by_name = (FleetOrder::Name, None);
        let page = self.wait(self.store().fleet(tenant, &all, by_name, (9, 1), self.now));
        let page = page.unwrap();
        let names = self.wait(self.store().fleet_names(tenant, &all)).unwrap();
        let counts = self.wait(self.store().fleet_counts(tenant, self.now));
        assert_eq!(counts.unwrap().n_agents(), n_agents);
        assert_eq!(page.n_matching, n_agents);
        for n_listed in [page.rows.len(), names.len()] {
            assert_eq!(u64::try_from(n_listed), Ok(n_agents));
        }
    }
}
