//! How often services let someone in, and how often they refused, since the snapshot before.
//!
//! What: new records of `wtmp` (someone is in) and `btmp` (someone was refused) count for the service
//! `session`; new lines of the authentication log (`auth.log` of Debian, `secure` of Fedora) count
//! for the service that wrote them, of a closed set ([`Service`]). One login can stand in both, so
//! the service `session` is not to be added to the others. What not: who, from where, and with what;
//! no name and no address is kept, not even in memory. `lastlog2`, `wtmpdb` and the journal are
//! data bases that only programs of their own read, and this agent starts none: where nothing else
//! is there, the collector is unavailable and says so.
//!
//! Every user of a machine can write into its authentication log (logger(1)), so a count is what the
//! log says and no proof. Counting begins at the end of each file when the agent starts; what
//! happened while it did not run is in no count, and `run-once` alone counts nothing. What was counted stays until the snapshot that tells it is durable. Cost: one
//! `stat` a file, and one pass over what is new, in 64 KiB of memory.

use std::collections::BTreeMap;

use monsys_core::endpoint::{AuthCount, AuthOutcome, CollectorHealth, EndpointText};
use monsys_core::sample::Count;

use super::health::{self, Found};
use super::root::Root;

pub mod line;
pub mod record;
pub mod tail;

use line::LineBreaker;
use tail::{Tail, TailState};

/// Who decides about a login. Closed, so that no word of a log reaches a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// A display manager: gdm, lightdm, sddm.
    Display,
    /// The console.
    Login,
    /// A share or a service over the network, on Windows.
    Network,
    /// A remote desktop, on Windows.
    RemoteDesktop,
    /// The system's own records of sessions, whoever opened them.
    Session,
    /// The OpenSSH server.
    Sshd,
    /// `su`.
    Su,
    /// `sudo`.
    Sudo,
}

impl Service {
    /// Returns the word in a payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Display => "display",
            Self::Login => "login",
            Self::Network => "network",
            Self::RemoteDesktop => "remote_desktop",
            Self::Session => "session",
            Self::Sshd => "sshd",
            Self::Su => "su",
            Self::Sudo => "sudo",
        }
    }
}

/// Counts by service and outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<(Service, AuthOutcome), u64>);

impl Counts {
    /// Adds what one service decided `n` times.
    pub fn add(&mut self, service: Service, outcome: AuthOutcome, n: u64) {
        let count = self.0.entry((service, outcome)).or_default();
        *count = count.saturating_add(n);
    }

    /// Returns the counts of a payload, in the order of services.
    pub fn to_list(&self) -> Vec<AuthCount> {
        let one = |((service, outcome), n): (&(Service, AuthOutcome), &u64)| {
            let n = i64::try_from(*n).unwrap_or(COUNT_MAX).min(COUNT_MAX);
            Some(AuthCount {
                service: EndpointText::name(service.as_str()),
                outcome: *outcome,
                count: Count::new(n).ok()?,
            })
        };
        self.0.iter().filter_map(one).collect()
    }
}

/// Follows the files of one machine.
#[derive(Debug)]
pub struct AuthCollector {
    root: Root,
    wtmp: Tail,
    btmp: Tail,
    logs: [(Tail, LineBreaker); 2],
    counts: Counts,
}

impl AuthCollector {
    /// Makes a collector of the machine below a root, which counts from its first look on.
    pub fn at(root: Root) -> Self {
        let lines = |path: &str| Tail::of_lines(&root.path(path));
        let logs = LOGS.map(|path| (lines(path), LineBreaker::default()));
        Self {
            wtmp: Tail::of_records(&root.path(WTMP)),
            btmp: Tail::of_records(&root.path(BTMP)),
            logs,
            counts: Counts::default(),
            root,
        }
    }

    /// Counts what is new; returns everything since the last snapshot that became durable.
    pub fn look(&mut self) -> Found<AuthCount> {
        let Self {
            wtmp,
            btmp,
            logs,
            counts,
            ..
        } = self;
        let logins = wtmp.read(&mut |piece| record::count(piece, AuthOutcome::Success, counts));
        let refusals = btmp.read(&mut |piece| record::count(piece, AuthOutcome::Failure, counts));
        let logs = logs
            .each_mut()
            .map(|(tail, breaker)| tail.read(&mut |piece| breaker.count(piece, counts)));
        Found {
            items: self.counts.to_list(),
            health: self.health(logins, refusals, logs),
        }
    }

    /// Forgets what was counted: a snapshot with it is durable.
    pub fn note_told(&mut self) {
        self.counts = Counts::default();
    }

    fn health(&self, wtmp: TailState, btmp: TailState, logs: [TailState; 2]) -> CollectorHealth {
        let is_log_read = logs.iter().any(|state| state.is_read());
        let is_complete = is_log_read || wtmp.is_read() && btmp.is_read();
        let [first, second] = logs;
        let states = [
            (WTMP, wtmp),
            (BTMP, btmp),
            (LOGS[0], first),
            (LOGS[1], second),
        ];
        let is_skipped = states.iter().any(|(_, state)| *state == TailState::Skipped);
        // Of the two names of a log a system has one.
        let is_other =
            |path, state: &TailState| !state.is_read() && is_log_read && LOGS.contains(path);
        let mut reasons: Vec<String> = states
            .iter()
            .filter(|(path, state)| *state != TailState::Read && !is_other(path, state))
            .map(|(path, state)| format!("/{path} {}", state.as_str()))
            .collect();
        if !is_complete {
            let databases = DATABASES
                .iter()
                .filter(|path| self.root.path(path).exists());
            reasons.extend(databases.map(|path| format!("/{path} is a data base, not read")));
        }
        let reason = reasons.join("; ");
        if is_complete && !is_skipped {
            health::ok(COLLECTOR)
        } else if states.iter().any(|(_, state)| state.is_read()) {
            health::degraded(COLLECTOR, &reason)
        } else {
            health::unavailable(COLLECTOR, &reason)
        }
    }
}

/// What the collector is called in `health`.
pub const COLLECTOR: &str = "auth";

const WTMP: &str = "var/log/wtmp";
const BTMP: &str = "var/log/btmp";
const LOGS: [&str; 2] = ["var/log/auth.log", "var/log/secure"];
/// What holds logins too and is not read: wtmpdb, lastlog2, the journal.
const DATABASES: [&str; 3] = [
    "var/lib/wtmpdb/wtmp.db",
    "var/lib/lastlog/lastlog2.db",
    "var/log/journal",
];
/// Largest number that every reader of JSON keeps (contract §2).
const COUNT_MAX: i64 = 9_007_199_254_740_991;

#[cfg(test)]
#[cfg(unix)]
mod tests;
