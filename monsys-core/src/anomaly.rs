//! Anomalies: stored findings about an agent's honesty, and the steps of their life.
//!
//! What: the six kinds of the integrity document, the finding a detector makes, the row it becomes,
//! and the transitions that change a row. What not: when to open or resolve; the integrity crate
//! decides, a store carries out. At most one anomaly per (agent, kind) is open.

use alloc::string::String;
use core::fmt;

use thiserror::Error;

use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::severity::Severity;
use crate::signal::Signal;
use crate::time::Timestamp;

/// What is wrong with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AnomalyKind {
    /// A payload came without a signature.
    UnsignedPayload,
    /// A signature did not verify against the pinned key.
    SignatureInvalid,
    /// The device clock is off.
    ClockDrift,
    /// Payloads come too often or too rarely.
    CadenceAnomaly,
    /// The processor use does not move.
    FlatMetrics,
    /// The agent says a lower version than before.
    VersionDowngrade,
}

impl AnomalyKind {
    /// The kinds in the order of the integrity document.
    pub const ALL: [Self; 6] = [
        Self::UnsignedPayload,
        Self::SignatureInvalid,
        Self::ClockDrift,
        Self::CadenceAnomaly,
        Self::FlatMetrics,
        Self::VersionDowngrade,
    ];

    /// Returns the word used in JSON, SQL and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnsignedPayload => "unsigned_payload",
            Self::SignatureInvalid => "signature_invalid",
            Self::ClockDrift => "clock_drift",
            Self::CadenceAnomaly => "cadence_anomaly",
            Self::FlatMetrics => "flat_metrics",
            Self::VersionDowngrade => "version_downgrade",
        }
    }

    /// Returns the key under which a finding of this kind is also a signal.
    pub const fn signal_key(self) -> &'static str {
        match self {
            Self::UnsignedPayload => "integrity.unsigned_payload",
            Self::SignatureInvalid => "integrity.signature_invalid",
            Self::ClockDrift => "integrity.clock_drift",
            Self::CadenceAnomaly => "integrity.cadence_anomaly",
            Self::FlatMetrics => "integrity.flat_metrics",
            Self::VersionDowngrade => "integrity.version_downgrade",
        }
    }

    /// Reads one of the words.
    ///
    /// # Errors
    /// [`UnknownKind`] for any other text.
    pub fn parse(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|k| k.as_str() == text)
            .ok_or(UnknownKind)
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says that a word is no anomaly kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown anomaly kind: expected one of the six integrity kinds")]
pub struct UnknownKind;

/// What a detector says when a check fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence for people.
    pub summary: String,
    /// A JSON object with exactly the members the integrity document shows, in its order and
    /// spelling; `{}` where it shows none.
    pub detail: String,
    /// A JSON object with everything else that supports the finding.
    pub evidence: String,
}

/// One stored finding with a life.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// Its identifier.
    pub id: AnomalyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which agent it is about.
    pub agent: AgentId,
    /// What is wrong, how bad, and why we say so; frozen at first detection except the severity,
    /// which may rise.
    pub finding: Finding,
    /// When it was first detected, by the hub's clock.
    pub detected_at: Timestamp,
    /// When it was last seen, by the hub's clock.
    pub last_seen_at: Timestamp,
    /// How often it was seen.
    pub occurrences: u64,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closed>,
}

impl Anomaly {
    /// Tells whether nobody and nothing has closed it.
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// How an anomaly ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// By whom; the service user when by itself.
    pub by: UserId,
    /// In which way.
    pub resolution: Resolution,
    /// What the person wrote.
    pub note: Option<String>,
}

/// The ways an anomaly ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// A person closed it.
    Manual,
    /// The check passed again.
    Auto,
}

impl Resolution {
    /// Returns the word used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
        }
    }

    /// Reads one of the words.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Manual, Self::Auto]
            .into_iter()
            .find(|r| r.as_str() == text)
    }
}

/// What the life cycle needs to know of an open anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAnomaly {
    /// Its identifier.
    pub id: AnomalyId,
    /// What is wrong.
    pub kind: AnomalyKind,
    /// How bad it is so far.
    pub severity: Severity,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
}

/// A step in the life of an anomaly, which a store carries out.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// Record a finding: opens an anomaly, or counts it on the one already open for the agent and
    /// kind, whose severity may rise and whose evidence stays.
    Record {
        /// Which agent it is about.
        agent: AgentId,
        /// What was found.
        finding: Finding,
        /// How often since the last record, at least 1.
        occurrences: u64,
        /// The same finding as a signal, stored when an anomaly opens or its severity rises.
        signal: Signal,
    },
    /// Close an open anomaly because its check passes.
    Resolve {
        /// Which one.
        id: AnomalyId,
        /// When the life cycle believed it was last seen; nothing is closed if it was seen since.
        last_seen_at: Timestamp,
        /// The signal that supersedes the finding.
        signal: Signal,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::is_dotted_key;

    #[test]
    fn words_round_trip_and_keys_are_valid() {
        for kind in AnomalyKind::ALL {
            assert_eq!(AnomalyKind::parse(kind.as_str()), Ok(kind));
            assert!(is_dotted_key(kind.signal_key()));
            assert_eq!(kind.signal_key(), alloc::format!("integrity.{kind}"));
        }
        assert_eq!(AnomalyKind::parse("clock-drift"), Err(UnknownKind));
    }
}
