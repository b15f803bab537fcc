//! The one word that says how far an agent is trusted.
//!
//! What: a state with its word, its rank and a sentence. What not: thresholds; an agent counts as
//! silent when the store has no reading of it from the last hour, which is all the store hands out.

use monsys_core::severity::Severity;
use monsys_core::store::AgentSummary;

/// How far an agent is trusted, what needs attention first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// At least one anomaly is open; the worst severity among them.
    Doubted(Severity),
    /// No key is pinned, so nothing it sends can be verified.
    Unverified,
    /// It was heard before, but has no reading from the last hour.
    Silent,
    /// It was enrolled and has sent nothing yet.
    Waiting,
    /// What it sends is verified, and nothing is open.
    Trusted,
    /// It was revoked.
    Revoked,
}

impl Trust {
    pub(super) fn of(agent: &AgentSummary) -> Self {
        if let Some(worst) = agent.worst_open {
            return Self::Doubted(worst);
        }
        if agent.is_revoked {
            return Self::Revoked;
        }
        if agent.last_seen_at.is_none() {
            return Self::Waiting;
        }
        if !agent.key.can_verify() {
            return Self::Unverified;
        }
        if agent.recent_cpu.is_empty() {
            return Self::Silent;
        }
        Self::Trusted
    }

    /// The word shown; also the name of its mark and of its colour.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Doubted(severity) => severity.as_str(),
            Self::Unverified => "unverified",
            Self::Silent => "silent",
            Self::Waiting => "waiting",
            Self::Trusted => "trusted",
            Self::Revoked => "revoked",
        }
    }

    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Doubted(_) => "the worst severity among its open anomalies",
            Self::Unverified => "no key is pinned, so nothing it sends can be verified",
            Self::Silent => "no reading arrived in the last hour",
            Self::Waiting => "enrolled, nothing arrived yet",
            Self::Trusted => "what it sends is verified and no anomaly is open",
            Self::Revoked => "it was revoked",
        }
    }
}
