//! A set of anomaly kinds, small enough to be asked once an agent.
//!
//! What: one bit a kind, so that a constant can hold it and a look costs a mask. What not: which
//! kinds are on; thresholds decide that. Cost: four bytes.

use crate::anomaly::AnomalyKind;

/// Some anomaly kinds.
///
/// ```
/// use monsys_core::AnomalyKind;
/// use monsys_core::kind_set::KindSet;
/// let set = KindSet::of(&[AnomalyKind::AgentSilent]).with(AnomalyKind::ExactRamp);
/// assert!(set.contains(AnomalyKind::ExactRamp));
/// assert!(!set.contains(AnomalyKind::ClockDrift));
/// assert_eq!(set.iter().count(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u32);

impl KindSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);

    /// Makes a set of these kinds.
    pub const fn of(kinds: &[AnomalyKind]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = kinds;
        while let [kind, others @ ..] = rest {
            set = set.with(*kind);
            rest = others;
        }
        set
    }

    /// Returns the set and this kind.
    #[must_use]
    pub const fn with(self, kind: AnomalyKind) -> Self {
        Self(self.0 | bit(kind))
    }

    /// Returns the set without this kind.
    #[must_use]
    pub const fn without(self, kind: AnomalyKind) -> Self {
        Self(self.0 & !bit(kind))
    }

    /// Tells whether a kind is in it.
    #[inline]
    pub const fn contains(self, kind: AnomalyKind) -> bool {
        self.0 & bit(kind) != 0
    }

    /// Lists the kinds in the order of [`AnomalyKind::every`].
    pub fn iter(self) -> impl Iterator<Item = AnomalyKind> {
        AnomalyKind::every().filter(move |kind| self.contains(*kind))
    }
}

const fn bit(kind: AnomalyKind) -> u32 {
    1 << match kind {
        AnomalyKind::UnsignedPayload => 0,
        AnomalyKind::SignatureInvalid => 1,
        AnomalyKind::ClockDrift => 2,
        AnomalyKind::CadenceAnomaly => 3,
        AnomalyKind::FlatMetrics => 4,
        AnomalyKind::VersionDowngrade => 5,
        AnomalyKind::AgentSilent => 6,
        AnomalyKind::AgentCloned => 7,
        AnomalyKind::SequenceRegress => 8,
        AnomalyKind::ReplayedSeries => 9,
        AnomalyKind::DuplicateFeed => 10,
        AnomalyKind::LoopedRecording => 11,
        AnomalyKind::ExactRamp => 12,
        AnomalyKind::StaleCollector => 13,
        AnomalyKind::VersionUnparseable => 14,
        AnomalyKind::DetectorStalled => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_goes_in_and_out_alone() {
        for kind in AnomalyKind::every() {
            let alone = KindSet::EMPTY.with(kind);
            assert!(alone.iter().eq([kind]));
            assert_eq!(alone.without(kind), KindSet::EMPTY);
        }
        let all = KindSet::of(&AnomalyKind::OPT_IN);
        assert!(all.iter().eq(AnomalyKind::OPT_IN));
    }
}
