//! Anomalies: stored findings about an agent's honesty, and the steps of their life.
//!
//! What: the kinds of finding, the finding a detector makes, the row it becomes, what people do
//! with it, and the transitions that change a row. What not: when to open or resolve; the integrity crate
//! decides, a store carries out. At most one anomaly per (agent, kind) is open.

use alloc::string::{String, ToString};
use core::fmt;

use thiserror::Error;

use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::json::ObjectText;
use crate::severity::Severity;
use crate::signal::{Signal, SignalDraft};
use crate::time::Timestamp;

/// What is wrong with an agent, or with the hub that should have judged it.
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
    /// Nothing came for many intervals.
    AgentSilent,
    /// Two installations send as one agent.
    AgentCloned,
    /// A position came again with other content.
    SequenceRegress,
    /// A stretch of values repeats an earlier one bit by bit.
    ReplayedSeries,
    /// Two agents send the same stretch of values.
    DuplicateFeed,
    /// The values repeat with a fixed period.
    LoopedRecording,
    /// The values lie on a straight line.
    ExactRamp,
    /// Payloads keep coming, their data does not change.
    StaleCollector,
    /// The version is no numeric triple.
    VersionUnparseable,
    /// The hub itself missed cycles.
    DetectorStalled,
}

impl AnomalyKind {
    /// The kinds of the integrity document, in its order.
    pub const DOCUMENTED: [Self; 6] = [
        Self::UnsignedPayload,
        Self::SignatureInvalid,
        Self::ClockDrift,
        Self::CadenceAnomaly,
        Self::FlatMetrics,
        Self::VersionDowngrade,
    ];

    /// The kinds that an operator turns on; off in the standard preset.
    pub const OPT_IN: [Self; 9] = [
        Self::AgentSilent,
        Self::AgentCloned,
        Self::SequenceRegress,
        Self::ReplayedSeries,
        Self::DuplicateFeed,
        Self::LoopedRecording,
        Self::ExactRamp,
        Self::StaleCollector,
        Self::VersionUnparseable,
    ];

    /// Lists every kind: the documented ones, the opt-in ones, and what the hub says of itself.
    pub fn every() -> impl Iterator<Item = Self> {
        Self::DOCUMENTED
            .into_iter()
            .chain(Self::OPT_IN)
            .chain([Self::DetectorStalled])
    }

    /// Returns the word used in JSON, SQL and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnsignedPayload => "unsigned_payload",
            Self::SignatureInvalid => "signature_invalid",
            Self::ClockDrift => "clock_drift",
            Self::CadenceAnomaly => "cadence_anomaly",
            Self::FlatMetrics => "flat_metrics",
            Self::VersionDowngrade => "version_downgrade",
            Self::AgentSilent => "agent_silent",
            Self::AgentCloned => "agent_cloned",
            Self::SequenceRegress => "sequence_regress",
            Self::ReplayedSeries => "replayed_series",
            Self::DuplicateFeed => "duplicate_feed",
            Self::LoopedRecording => "looped_recording",
            Self::ExactRamp => "exact_ramp",
            Self::StaleCollector => "stale_collector",
            Self::VersionUnparseable => "version_unparseable",
            Self::DetectorStalled => "detector_stalled",
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
            Self::AgentSilent => "integrity.agent_silent",
            Self::AgentCloned => "integrity.agent_cloned",
            Self::SequenceRegress => "integrity.sequence_regress",
            Self::ReplayedSeries => "integrity.replayed_series",
            Self::DuplicateFeed => "integrity.duplicate_feed",
            Self::LoopedRecording => "integrity.looped_recording",
            Self::ExactRamp => "integrity.exact_ramp",
            Self::StaleCollector => "integrity.stale_collector",
            Self::VersionUnparseable => "integrity.version_unparseable",
            Self::DetectorStalled => "integrity.detector_stalled",
        }
    }

    /// Reads one of the words.
    ///
    /// # Errors
    /// [`UnknownKind`] for any other text.
    pub fn parse(text: &str) -> Result<Self, UnknownKind> {
        Self::every()
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
#[error("unknown anomaly kind: expected one of the integrity kinds")]
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

impl Finding {
    /// Writes what an anomaly keeps of a finding that repeats it ([`Anomaly::last_detail`]).
    pub fn to_last_detail(&self) -> String {
        let (detail, evidence) = (&self.detail, &self.evidence);
        alloc::format!("{{\"detail\":{detail},\"evidence\":{evidence}}}")
    }
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
    /// The detail and evidence of the newest detection, when it was seen more than once: a JSON
    /// object `{"detail":{…},"evidence":{…}}`. What `finding` holds is the first one, frozen.
    pub last_detail: Option<String>,
    /// The closed anomaly of the same agent and kind before this one.
    pub previous: Option<AnomalyId>,
    /// Who has seen it and leaves it open, the newest time.
    pub acknowledged: Option<Acknowledged>,
    /// Until when nobody wants to hear of it, the newest time.
    pub snoozed: Option<Snoozed>,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closed>,
}

impl Anomaly {
    /// Tells whether nobody and nothing has closed it.
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// That a person has seen an open anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: UserId,
    /// Why it stays open.
    pub reason: String,
    /// Until when that holds; `None` for as long as it is open.
    pub until: Option<Timestamp>,
}

/// That a person does not want to hear of an open anomaly for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snoozed {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: UserId,
    /// Why.
    pub reason: String,
    /// Until when, at most [`limit::SNOOZE_S_MAX`](crate::limit::SNOOZE_S_MAX) later.
    pub until: Timestamp,
}

/// What a person does with anomalies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Has seen them and leaves them open.
    Acknowledge {
        /// Why they stay open.
        reason: String,
        /// Until when that holds; `None` for as long as they are open.
        until: Option<Timestamp>,
    },
    /// Does not want to hear of them for a while.
    Snooze {
        /// Why.
        reason: String,
        /// Until when.
        until: Timestamp,
    },
    /// Closes them. A version downgrade that is closed by hand makes the present version the one
    /// that later ones are compared with.
    Resolve {
        /// What the person wrote.
        note: Option<String>,
    },
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

/// The source of every integrity signal.
pub const SIGNAL_SOURCE: &str = "integrity_check";

/// Makes the signal that supersedes a finding which is closed: value false, no severity, sticky.
/// A store writes it in the transaction that closes the anomaly.
///
/// ```
/// use monsys_core::anomaly::closed_signal;
/// use monsys_core::{AgentId, AnomalyKind, Timestamp};
/// let signal = closed_signal(AgentId::from_bytes([7; 16]), AnomalyKind::ClockDrift, Timestamp::MIN);
/// assert_eq!((signal.key().as_str(), signal.severity()), ("integrity.clock_drift", None));
/// ```
pub fn closed_signal(agent: AgentId, kind: AnomalyKind, now: Timestamp) -> Signal {
    let draft = SignalDraft {
        source: SIGNAL_SOURCE.to_string(),
        subject_type: "agent".to_string(),
        subject_id: agent.to_string(),
        key: kind.signal_key().to_string(),
        value: ObjectText::new().boolean("value", false).finish(),
        severity: None,
        observed_at: now,
        ttl_seconds: None,
    };
    match Signal::validate(&draft, now) {
        Ok(signal) => signal,
        // Cannot fail: every name is a constant that the tests check, and the signal is observed at
        // the very moment of the check.
        Err(violations) => panic!("the signal of a closed anomaly is always valid: {violations}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::is_dotted_key;

    #[test]
    fn words_round_trip_and_keys_are_valid() {
        for kind in AnomalyKind::every() {
            assert_eq!(AnomalyKind::parse(kind.as_str()), Ok(kind));
            assert!(is_dotted_key(kind.signal_key()));
            assert_eq!(kind.signal_key(), alloc::format!("integrity.{kind}"));
        }
        assert_eq!(AnomalyKind::parse("clock-drift"), Err(UnknownKind));
    }
}
