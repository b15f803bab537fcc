//! What a check says: pass, fail, or not enough to say.
//!
//! What: the outcome of one detector for one agent. What not: what follows from it; the life cycle
//! decides that. Absence of data never opens a finding and never resolves one, which is why
//! [`Verdict::Insufficient`] is an outcome of its own and carries its reason.

use alloc::string::String;

use crate::anomaly::Finding;

/// The outcome of one detector for one agent. Closed: adding one is breaking.
///
/// A detector that panics has no verdict; the report of a cycle records that as an outcome of its
/// own, so that a bug of ours neither opens nor resolves anything and is still seen.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Verdict {
    /// The agent was looked at and is honest in this respect.
    Pass,
    /// The agent was looked at and deviates.
    Fail(Finding),
    /// There is not enough to say; nothing changes.
    Insufficient(Insufficiency),
}

/// Why there is not enough to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Insufficiency {
    /// Fewer samples than the rule needs.
    TooFew {
        /// How many there are.
        have: usize,
        /// How many the rule needs.
        need: usize,
    },
    /// The agent never said a version in a verified payload.
    NoVersion,
    /// The version is no numeric triple.
    UnparseableVersion,
    /// No verified payload came in the cycle, so that a clean cycle proves nothing.
    NoVerifiedIngest,
    /// It happened in this very cycle and is already recorded.
    SeenThisCycle,
    /// Nothing was ever accepted from the agent.
    NeverHeard,
    /// So many agents are silent at once that the hub was away, and not they.
    FleetSilent,
    /// No cycle ran lately, so that the hub itself was away.
    HubAway,
}

impl Insufficiency {
    /// Returns the stable word for logs and pages.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooFew { .. } => "too_few",
            Self::NoVersion => "no_version",
            Self::UnparseableVersion => "unparseable_version",
            Self::NoVerifiedIngest => "no_verified_ingest",
            Self::SeenThisCycle => "seen_this_cycle",
            Self::NeverHeard => "never_heard",
            Self::FleetSilent => "fleet_silent",
            Self::HubAway => "hub_away",
        }
    }

    /// Describes the reason in a sentence part.
    pub fn describe(&self) -> String {
        match self {
            Self::TooFew { have, need } => alloc::format!("{have} of {need} samples"),
            Self::NoVersion => "no version in a verified payload".into(),
            Self::UnparseableVersion => "the version is no numeric triple".into(),
            Self::NoVerifiedIngest => "no verified payload in this cycle".into(),
            Self::SeenThisCycle => "recorded in this cycle".into(),
            Self::NeverHeard => "nothing was ever accepted".into(),
            Self::FleetSilent => "many agents are silent at once".into(),
            Self::HubAway => "no cycle ran lately".into(),
        }
    }
}
