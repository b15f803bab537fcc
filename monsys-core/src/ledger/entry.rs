//! One entry: what it says, and the hash that binds it to the one before.

use alloc::string::{String, ToString};
use core::fmt;

use sha2::{Digest, Sha256};

use crate::anomaly::{Acknowledged, Anomaly, Closed, Snoozed};
use crate::id::{AnomalyId, TenantId, UserId};
use crate::json::{ObjectText, Scratch, canonicalize};
use crate::severity::Severity;
use crate::time::Timestamp;

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest32([u8; 32]);

impl Digest32 {
    /// What stands before the first entry: 32 zeros.
    pub const ZERO: Self = Self([0; 32]);

    /// Takes the 32 bytes of an existing value.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Reads 64 lower-case hexadecimal digits; `None` for anything else.
    pub fn parse_hex(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What happened to an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It was detected.
    Opened,
    /// It was detected again; not every time has an entry ([`is_sampled`]).
    Seen,
    /// It became worse.
    SeverityRaised,
    /// A person has seen it and leaves it open.
    Acknowledged,
    /// A person does not want to hear of it for a while.
    Snoozed,
    /// A person, or the service user because its check passes, closed it.
    Resolved,
    /// The lower version was accepted as the one to compare later ones with.
    BaselineAccepted,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Opened,
        Self::Seen,
        Self::SeverityRaised,
        Self::Acknowledged,
        Self::Snoozed,
        Self::Resolved,
        Self::BaselineAccepted,
    ];

    /// Returns the word used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Seen => "seen",
            Self::SeverityRaised => "severity_raised",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Resolved => "resolved",
            Self::BaselineAccepted => "baseline_accepted",
        }
    }

    /// Reads one of the words.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A change that is to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    /// What it happened to.
    pub anomaly: AnomalyId,
    /// What happened.
    pub kind: EventKind,
    /// Who did it; the service user for what the hub does by itself.
    pub actor: UserId,
    /// When, by the hub's clock.
    pub at: Timestamp,
    /// What belongs to it, a JSON object in canonical form.
    pub data: String,
}

impl EventDraft {
    /// An anomaly was detected; `actor` is the service user.
    pub fn opened(anomaly: &Anomaly, actor: UserId) -> Self {
        let finding = &anomaly.finding;
        let data = ObjectText::new()
            .text("agent", &anomaly.agent.to_string())
            .text("frozen", &frozen_digest(anomaly).to_string())
            .text("kind", finding.kind.as_str());
        let data = match anomaly.previous {
            Some(previous) => data.text("previous", &previous.to_string()),
            None => data.null("previous"),
        };
        let data = data
            .text("severity", finding.severity.as_str())
            .text("summary", &finding.summary);
        Self::of(
            anomaly.id,
            EventKind::Opened,
            actor,
            anomaly.detected_at,
            data,
        )
    }

    /// It was detected again.
    pub fn seen(anomaly: AnomalyId, occurrences: u64, actor: UserId, at: Timestamp) -> Self {
        let data = ObjectText::new().integer("occurrences", occurrences);
        Self::of(anomaly, EventKind::Seen, actor, at, data)
    }

    /// It became worse.
    pub fn severity_raised(
        anomaly: AnomalyId,
        (from, to): (Severity, Severity),
        actor: UserId,
        at: Timestamp,
    ) -> Self {
        let data = ObjectText::new()
            .text("from", from.as_str())
            .text("to", to.as_str());
        Self::of(anomaly, EventKind::SeverityRaised, actor, at, data)
    }

    /// A person has seen it.
    pub fn acknowledged(anomaly: AnomalyId, by: &Acknowledged) -> Self {
        let data = ObjectText::new().text("reason", &by.reason);
        let data = match by.until {
            Some(until) => data.text("until", &until.to_rfc3339()),
            None => data.null("until"),
        };
        Self::of(anomaly, EventKind::Acknowledged, by.by, by.at, data)
    }

    /// A person does not want to hear of it for a while.
    pub fn snoozed(anomaly: AnomalyId, by: &Snoozed) -> Self {
        let data = ObjectText::new()
            .text("reason", &by.reason)
            .text("until", &by.until.to_rfc3339());
        Self::of(anomaly, EventKind::Snoozed, by.by, by.at, data)
    }

    /// It was closed.
    pub fn resolved(anomaly: AnomalyId, closed: &Closed) -> Self {
        let data = match &closed.note {
            Some(note) => ObjectText::new().text("note", note),
            None => ObjectText::new().null("note"),
        };
        let data = data.text("resolution", closed.resolution.as_str());
        Self::of(anomaly, EventKind::Resolved, closed.by, closed.at, data)
    }

    /// The present version of the agent was accepted in place of a higher one.
    pub fn baseline_accepted(
        anomaly: AnomalyId,
        (from, to): (&str, &str),
        by: UserId,
        at: Timestamp,
    ) -> Self {
        let data = ObjectText::new().text("from", from).text("to", to);
        Self::of(anomaly, EventKind::BaselineAccepted, by, at, data)
    }

    fn of(
        anomaly: AnomalyId,
        kind: EventKind,
        actor: UserId,
        at: Timestamp,
        data: ObjectText,
    ) -> Self {
        let text = data.finish();
        let mut scratch = Scratch::new();
        // What is no I-JSON, such as half a surrogate pair, cannot be in a Rust text.
        let data = match canonicalize(text.as_bytes(), &mut scratch) {
            Ok(canonical) => canonical.as_str().to_string(),
            Err(_) => text,
        };
        Self {
            anomaly,
            kind,
            actor,
            at,
            data,
        }
    }
}

/// Where a ledger ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerHead {
    /// The number of the last entry; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest32,
}

impl LedgerHead {
    /// The head of a ledger without entries.
    pub const EMPTY: Self = Self {
        seq: 0,
        hash: Digest32::ZERO,
    };
}

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Whose ledger.
    pub tenant: TenantId,
    /// Its number, from 1 without a gap.
    pub seq: u64,
    /// What it says.
    pub event: EventDraft,
    /// The hash of the entry before.
    pub prev: Digest32,
    /// Its own hash.
    pub hash: Digest32,
}

impl LedgerEntry {
    /// Makes the entry that follows `head`.
    ///
    /// ```
    /// use monsys_core::Timestamp;
    /// use monsys_core::id::{AnomalyId, TenantId, UserId};
    /// use monsys_core::ledger::{EventDraft, LedgerEntry, LedgerHead};
    /// let event = EventDraft::seen(
    ///     AnomalyId::from_bytes([1; 16]), 2, UserId::from_bytes([2; 16]), Timestamp::MIN);
    /// let entry = LedgerEntry::after(LedgerHead::EMPTY, TenantId::from_bytes([3; 16]), event);
    /// assert_eq!((entry.seq, entry.hash), (1, entry.recomputed()));
    /// ```
    pub fn after(head: LedgerHead, tenant: TenantId, event: EventDraft) -> Self {
        let mut entry = Self {
            tenant,
            seq: head.seq + 1,
            event,
            prev: head.hash,
            hash: Digest32::ZERO,
        };
        entry.hash = entry.recomputed();
        entry
    }

    /// Returns the head of a ledger that ends with this entry.
    pub const fn head(&self) -> LedgerHead {
        LedgerHead {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// Computes the hash from all other members.
    pub fn recomputed(&self) -> Digest32 {
        hash(DOMAIN_ENTRY, &self.to_json())
    }

    /// Writes what is hashed, not yet in canonical form.
    fn to_json(&self) -> String {
        let event = &self.event;
        let body = ObjectText::new()
            .text("actor", &event.actor.to_string())
            .text("anomaly", &event.anomaly.to_string())
            .text("at", &event.at.to_rfc3339())
            .text("kind", event.kind.as_str())
            .text("prev", &self.prev.to_string())
            .integer("seq", self.seq)
            .text("tenant", &self.tenant.to_string())
            .integer("v", 1)
            .finish();
        // The data is JSON already; a member is put before the closing brace.
        let body = body.strip_suffix('}').unwrap_or(&body);
        alloc::format!("{body},\"data\":{}}}", event.data)
    }
}

/// Computes the digest of what never changes of an anomaly: SHA-256 over `monsys-anomaly-v1\n` and
/// the canonical form of `{"agent","detail","detected_at","evidence","id","kind","previous",
/// "summary","tenant"}`. The severity is not in it; it may rise, and each rise has its entry.
pub fn frozen_digest(anomaly: &Anomaly) -> Digest32 {
    let finding = &anomaly.finding;
    let body = ObjectText::new()
        .text("agent", &anomaly.agent.to_string())
        .text("detected_at", &anomaly.detected_at.to_rfc3339())
        .text("id", &anomaly.id.to_string())
        .text("kind", finding.kind.as_str());
    let body = match anomaly.previous {
        Some(previous) => body.text("previous", &previous.to_string()),
        None => body.null("previous"),
    };
    let body = body
        .text("summary", &finding.summary)
        .text("tenant", &anomaly.tenant.to_string())
        .finish();
    let body = body.strip_suffix('}').unwrap_or(&body);
    let (detail, evidence) = (&finding.detail, &finding.evidence);
    let body = alloc::format!("{body},\"detail\":{detail},\"evidence\":{evidence}}}");
    hash(DOMAIN_ANOMALY, &body)
}

/// Tells whether the step from one number of occurrences to another has an entry: whenever it
/// reaches or passes a power of two, so that a flood adds 64 entries to a ledger at most.
pub const fn is_sampled(before: u64, after: u64) -> bool {
    after.leading_zeros() < before.leading_zeros()
}

/// What is no JSON, which no store returns that was not tampered with, is hashed as it is.
fn hash(domain: &str, body: &str) -> Digest32 {
    let mut scratch = Scratch::new();
    let canonical = canonicalize(body.as_bytes(), &mut scratch);
    let digest = Sha256::new().chain_update(domain);
    let digest = match &canonical {
        Ok(canonical) => digest.chain_update(canonical.as_str()),
        Err(_) => digest.chain_update(body),
    };
    Digest32(digest.finalize().into())
}

const DOMAIN_ENTRY: &str = "monsys-ledger-v1\n";
const DOMAIN_ANOMALY: &str = "monsys-anomaly-v1\n";
