//! One snapshot of the machine for an `endpoint` payload.
//!
//! What: asks each collector of endpoint data and puts together what they found and how they fared.
//! What not: when a snapshot is due ([`crate::schedule`]) and how it is written (`monsys-wire`).
//! Cost: that of the collectors.

use monsys_core::endpoint::{CollectorHealth, EndpointSnapshot};

use super::auth::AuthCollector;
use super::process::Running;
use super::root::Root;
use super::socket_owner::SocketOwners;
use super::users::Users;
use super::{fit, listener, persistence, process, read_text};

/// Takes snapshots of one machine.
#[derive(Debug)]
pub struct EndpointCollector {
    root: Root,
    auth: AuthCollector,
    owners: SocketOwners,
}

impl EndpointCollector {
    /// Makes a collector of the machine below a root.
    pub fn at(root: Root) -> Self {
        Self {
            auth: AuthCollector::at(root.clone()),
            owners: SocketOwners::default(),
            root,
        }
    }

    /// Takes a snapshot; `others` is how what is no part of it fares.
    pub fn snapshot(&mut self, others: Vec<CollectorHealth>) -> EndpointSnapshot {
        let passwd = read_text(&self.root.path("etc/passwd"));
        let users = passwd.as_deref().map(Users::parse);
        let proc = self.root.path("proc");
        let Running { found, programs } = process::collect(&proc, users.as_ref());
        let listeners = listener::collect(&proc, &programs, &mut self.owners);
        let homes = users.as_ref().map_or(&[][..], Users::homes);
        let places = persistence::collect(&self.root, homes);
        let logins = self.auth.look();
        let mut health = others;
        health.extend([found.health, listeners.health, logins.health, places.health]);
        let mut snapshot = EndpointSnapshot {
            processes: found.items,
            listeners: listeners.items,
            auth: logins.items,
            persistence: places.items,
            health,
        };
        fit::cut(&mut snapshot);
        snapshot
    }

    /// Notes that the last snapshot is durable: the logins in it are not told again.
    pub fn note_durable(&mut self) {
        self.auth.note_told();
    }
}
