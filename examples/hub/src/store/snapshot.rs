//! What an agent last said of its machine, read back.
//!
//! What: the newest endpoint snapshot of one agent, typed again from the columns. What not: history;
//! events have their own reading. Cost: one row, of at most half a megabyte.

use std::net::IpAddr;

use monsys_core::endpoint::{
    AuthCount, AuthOutcome, CollectorHealth, CollectorState, EndpointSnapshot, EndpointText,
    Listener, Persistence, Process,
};
use monsys_core::id::{AgentId, TenantId};
use monsys_core::sample::Count;
use monsys_core::store::{StoreError, StoreFuture};
use monsys_core::time::Timestamp;
use serde::Deserialize;

/// A snapshot and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// When it was received.
    pub at: Timestamp,
    /// What was seen.
    pub seen: EndpointSnapshot,
}

/// Reading snapshots of the machines of one organisation.
pub trait SnapshotStore: Send + Sync {
    /// Reads the newest snapshot of an agent; `None` when there is none.
    ///
    /// # Errors
    /// `Damaged` when it is not what was written, `Unavailable` when the database is away.
    fn last_snapshot(
        &self,
        tenant: TenantId,
        agent: AgentId,
    ) -> StoreFuture<'_, Option<StoredSnapshot>>;
}

/// The columns of a row as texts, in the order of the table.
pub(super) struct SnapshotTexts<'a> {
    pub(super) processes: &'a str,
    pub(super) listeners: &'a str,
    pub(super) auth: &'a str,
    pub(super) persistence: &'a str,
    pub(super) health: &'a str,
}

impl SnapshotTexts<'_> {
    /// Reads the columns; `Damaged` when one is not what this version writes.
    pub(super) fn parse(&self) -> Result<EndpointSnapshot, StoreError> {
        Ok(EndpointSnapshot {
            processes: list(self.processes, |of: ProcessRow| {
                Some(Process {
                    name: EndpointText::name(&of.name),
                    pid: of.pid,
                    exe: of.exe.map(|text| EndpointText::path(&text)),
                    username: of.username.map(|text| EndpointText::name(&text)),
                })
            })?,
            listeners: list(self.listeners, |of: ListenerRow| {
                Some(Listener {
                    ip: of.ip,
                    port: of.port,
                    process: of.process.map(|text| EndpointText::name(&text)),
                })
            })?,
            auth: list(self.auth, |of: AuthRow| {
                Some(AuthCount {
                    service: EndpointText::name(&of.service),
                    outcome: AuthOutcome::from_word(&of.outcome)?,
                    count: Count::new(of.count).ok()?,
                })
            })?,
            persistence: list(self.persistence, |of: PersistenceRow| {
                Some(Persistence {
                    kind: EndpointText::name(&of.kind),
                    path: EndpointText::path(&of.path),
                })
            })?,
            health: list(self.health, |of: HealthRow| {
                Some(CollectorHealth {
                    collector: EndpointText::name(&of.collector),
                    state: CollectorState::from_word(&of.state)?,
                    reason: of.reason.map(|text| EndpointText::name(&text)),
                })
            })?,
        })
    }
}

fn list<'a, R: Deserialize<'a>, T>(
    text: &'a str,
    read: impl Fn(R) -> Option<T>,
) -> Result<Vec<T>, StoreError> {
    let rows: Vec<R> = serde_json::from_str(text).map_err(|_| StoreError::Damaged)?;
    let rows = rows.into_iter().map(read);
    rows.collect::<Option<_>>().ok_or(StoreError::Damaged)
}

#[derive(Deserialize)]
struct ProcessRow {
    name: String,
    pid: u32,
    exe: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct ListenerRow {
    ip: IpAddr,
    port: u16,
    process: Option<String>,
}

#[derive(Deserialize)]
struct AuthRow {
    service: String,
    outcome: String,
    count: i64,
}

#[derive(Deserialize)]
struct PersistenceRow {
    kind: String,
    path: String,
}

#[derive(Deserialize)]
struct HealthRow {
    collector: String,
    state: String,
    reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: SnapshotTexts<'_> = SnapshotTexts {
        processes: "[]",
        listeners: "[]",
        auth: "[]",
        persistence: "[]",
        health: "[]",
    };

    #[test]
    fn what_is_not_what_was_written_is_damaged() {
        assert_eq!(EMPTY.parse(), Ok(EndpointSnapshot::default()));
        for auth in [
            "",
            "{}",
            r#"[{"service":"sshd","outcome":"maybe","count":1}]"#,
            r#"[{"service":"sshd","outcome":"success","count":-1}]"#,
            r#"[{"service":"sshd"}]"#,
        ] {
            let texts = SnapshotTexts { auth, ..EMPTY };
            assert_eq!(texts.parse(), Err(StoreError::Damaged), "{auth}");
        }
    }
}
