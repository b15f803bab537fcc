//! Reading a ledger again: the first entry or anomaly that is not what was written.

use alloc::collections::BTreeMap;
use alloc::string::String;

use thiserror::Error;

use super::entry::{EventKind, LedgerEntry, LedgerHead, frozen_digest};
use crate::anomaly::{Anomaly, Resolution};
use crate::id::{AnomalyId, TenantId, UserId};
use crate::json::{Cursor, Scratch, canonicalize};
use crate::severity::Severity;
use crate::time::Timestamp;

/// Follows the chain of one tenant from its first entry, then compares each stored anomaly with
/// what the entries say of it.
///
/// ```
/// use monsys_core::Timestamp;
/// use monsys_core::id::{AnomalyId, TenantId, UserId};
/// use monsys_core::ledger::{EventDraft, Fault, LedgerEntry, LedgerHead, Verifier};
/// let tenant = TenantId::from_bytes([3; 16]);
/// let event = EventDraft::seen(
///     AnomalyId::from_bytes([1; 16]), 2, UserId::from_bytes([2; 16]), Timestamp::MIN);
/// let entry = LedgerEntry::after(LedgerHead::EMPTY, tenant, event);
/// let mut verifier = Verifier::new(tenant);
/// let broken = verifier.entry(&LedgerEntry { seq: 2, ..entry }).unwrap_err();
/// assert_eq!(broken.fault, Fault::Number);
/// ```
#[derive(Debug)]
pub struct Verifier {
    tenant: TenantId,
    head: LedgerHead,
    told: BTreeMap<AnomalyId, Told>,
}

/// What the entries tell of one anomaly.
#[derive(Debug)]
struct Told {
    frozen: String,
    severity: Severity,
    closed: Option<(Timestamp, UserId, Resolution, Option<String>)>,
    is_matched: bool,
}

/// The first thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {fault}", place(*.seq, *.anomaly))]
pub struct Broken {
    /// The number of the entry; `None` when the fault is in the row of an anomaly.
    pub seq: Option<u64>,
    /// Which anomaly it is about; `None` when none is.
    pub anomaly: Option<AnomalyId>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with an entry or an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is of another tenant.
    #[error("expected an entry of this tenant")]
    Tenant,
    /// A number is missing, doubled or out of order.
    #[error("expected the next number of the chain")]
    Number,
    /// It does not follow the entry before.
    #[error("expected the hash of the entry before")]
    Link,
    /// Its content is not what was hashed.
    #[error("expected content with this hash")]
    Hash,
    /// Its data is not what such an entry holds, or it comes before the anomaly was opened or after
    /// it was closed.
    #[error("expected an entry that can follow those before it")]
    Order,
    /// The chain ends before or behind where it should.
    #[error("expected the chain to end at the given head")]
    Head,
    /// An anomaly without an entry.
    #[error("expected an entry that opened the anomaly")]
    Unknown,
    /// What was frozen at detection was changed.
    #[error("expected what was detected, unchanged")]
    Frozen,
    /// The severity is not that of the last entry about it.
    #[error("expected the severity of the ledger")]
    Severity,
    /// It was closed or opened without an entry, or by somebody else, or with another note.
    #[error("expected the closing of the ledger")]
    Closing,
    /// The row of an anomaly that the ledger knows is gone.
    #[error("expected the row of an anomaly that was opened")]
    Missing,
}

fn place(seq: Option<u64>, anomaly: Option<AnomalyId>) -> String {
    match (seq, anomaly) {
        (Some(seq), _) => alloc::format!("entry {seq}"),
        (None, Some(anomaly)) => alloc::format!("anomaly {anomaly}"),
        (None, None) => "ledger".into(),
    }
}

impl Verifier {
    /// Begins before the first entry of a tenant.
    pub const fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            head: LedgerHead::EMPTY,
            told: BTreeMap::new(),
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// What is wrong with it; the verifier is of no more use then.
    pub fn entry(&mut self, entry: &LedgerEntry) -> Result<(), Broken> {
        let fault = if entry.tenant != self.tenant {
            Some(Fault::Tenant)
        } else if entry.seq != self.head.seq + 1 {
            Some(Fault::Number)
        } else if entry.prev != self.head.hash {
            Some(Fault::Link)
        } else if entry.recomputed() != entry.hash {
            Some(Fault::Hash)
        } else {
            self.tell(entry).is_none().then_some(Fault::Order)
        };
        self.head = entry.head();
        match fault {
            None => Ok(()),
            Some(fault) => Err(Broken {
                seq: Some(entry.seq),
                anomaly: Some(entry.event.anomaly),
                fault,
            }),
        }
    }

    /// Compares the row of an anomaly with what the entries tell of it; call it for every row after
    /// the last entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn anomaly(&mut self, row: &Anomaly) -> Result<(), Broken> {
        let broken = |fault| Broken {
            seq: None,
            anomaly: Some(row.id),
            fault,
        };
        let told = self.told.get_mut(&row.id);
        let told = told.ok_or_else(|| broken(Fault::Unknown))?;
        told.is_matched = true;
        if row.tenant != self.tenant {
            return Err(broken(Fault::Tenant));
        }
        if alloc::format!("{}", frozen_digest(row)) != told.frozen {
            return Err(broken(Fault::Frozen));
        }
        if row.finding.severity != told.severity {
            return Err(broken(Fault::Severity));
        }
        let closed = row.closed.clone();
        let closed = closed.map(|c| (c.at, c.by, c.resolution, c.note));
        if closed != told.closed {
            return Err(broken(Fault::Closing));
        }
        Ok(())
    }

    /// Ends, after every entry and every row: each anomaly of the ledger has a row, and where the
    /// chain should end is known, it ends there.
    ///
    /// # Errors
    /// What is missing.
    pub fn finish(self, expected: Option<LedgerHead>) -> Result<LedgerHead, Broken> {
        let missing = self.told.iter().find(|(_, told)| !told.is_matched);
        if let Some((anomaly, _)) = missing {
            return Err(Broken {
                seq: None,
                anomaly: Some(*anomaly),
                fault: Fault::Missing,
            });
        }
        if expected.is_some_and(|expected| expected != self.head) {
            return Err(Broken {
                seq: None,
                anomaly: None,
                fault: Fault::Head,
            });
        }
        Ok(self.head)
    }

    /// Where the chain ends so far.
    pub const fn head(&self) -> LedgerHead {
        self.head
    }

    /// Takes in what an entry says; `None` when it cannot follow those before it.
    fn tell(&mut self, entry: &LedgerEntry) -> Option<()> {
        let event = &entry.event;
        let is_open = |told: &&mut Told| told.closed.is_none();
        match event.kind {
            EventKind::Opened => {
                let told = Told {
                    frozen: member(&event.data, "frozen")??,
                    severity: Severity::parse(&member(&event.data, "severity")??).ok()?,
                    closed: None,
                    is_matched: false,
                };
                self.told
                    .insert(event.anomaly, told)
                    .is_none()
                    .then_some(())
            }
            EventKind::SeverityRaised => {
                let told = self.told.get_mut(&event.anomaly).filter(is_open)?;
                let to = Severity::parse(&member(&event.data, "to")??).ok()?;
                let is_higher = to > told.severity;
                told.severity = to;
                is_higher.then_some(())
            }
            EventKind::Resolved => {
                let told = self.told.get_mut(&event.anomaly).filter(is_open)?;
                let resolution = Resolution::parse(&member(&event.data, "resolution")??)?;
                let note = member(&event.data, "note")?;
                told.closed = Some((event.at, event.actor, resolution, note));
                Some(())
            }
            EventKind::Seen | EventKind::Acknowledged | EventKind::Snoozed => {
                self.told.get_mut(&event.anomaly).filter(is_open).map(drop)
            }
            EventKind::BaselineAccepted => self.told.get(&event.anomaly).map(drop),
        }
    }
}

/// Reads a text member of an object, or null; `None` when it is not there or anything else.
#[expect(
    clippy::option_option,
    reason = "absent and null are different things here"
)]
fn member(data: &str, name: &str) -> Option<Option<String>> {
    let mut scratch = Scratch::new();
    let canonical = canonicalize(data.as_bytes(), &mut scratch).ok()?;
    let mut cursor = Cursor::new(canonical);
    if !cursor.enter_object() {
        return None;
    }
    while let Some(found) = cursor.next_name() {
        if found == name {
            return match cursor.text() {
                Some(text) => Some(Some(text.into_owned())),
                None => cursor.null().then_some(None),
            };
        }
        cursor.skip();
    }
    None
}
