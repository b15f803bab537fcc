//! The checks whose results are signals: posture of the machine, its clock, its backups.
//!
//! What: asks each check and puts together what they say. What not: whether a result is bad enough
//! to count; a check says `severity`, the hub scores. Cost: that of the checks.

use monsys_core::endpoint::CollectorHealth;
use monsys_core::signal::SignalDraft;
use monsys_core::time::Timestamp;

use super::root::Root;

/// Makes the checks of one machine.
#[derive(Debug)]
pub struct Checks {
    root: Root,
}

/// What one round of checks said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// One signal for each thing that was checked.
    pub signals: Vec<SignalDraft>,
    /// How each check fared.
    pub health: Vec<CollectorHealth>,
}

impl Checks {
    /// Makes the checks of the machine below a root.
    pub const fn at(root: Root) -> Self {
        Self { root }
    }

    /// Makes all checks; what they say is observed at `now`.
    pub fn look(&mut self, now: Timestamp) -> Checked {
        let _ = (&self.root, now);
        Checked::default()
    }
}

/// Tells whether two rounds say the same, whenever they said it.
pub fn says_the_same(one: &[SignalDraft], other: &[SignalDraft]) -> bool {
    let said = |draft: &SignalDraft| {
        let SignalDraft {
            source,
            subject_type,
            subject_id,
            key,
            value,
            severity,
            ..
        } = draft.clone();
        (source, subject_type, subject_id, key, value, severity)
    };
    one.iter().map(said).eq(other.iter().map(said))
}
