//! Every threshold of the detectors, each with its value and its source.
//!
//! What: one struct that the caller makes with [`Config::standard`] or [`Config::strict`] and may
//! change member by member. What not: limits on input and how far back a window reaches; those
//! stand in `monsys_core::limit`, because the stores read by them. No value in here, however odd,
//! makes a detector panic.

use monsys_core::anomaly::OpenAnomaly;
use monsys_core::kind_set::KindSet;
use monsys_core::time::Span;
use monsys_core::{AnomalyKind, Severity};

/// What becomes of an open anomaly when its check passes (decision 27).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clearing {
    /// It is closed by the first pass.
    Auto,
    /// It stays open until a person closes it, when it is at least so bad; otherwise as `Auto`.
    LatchFrom(Severity),
}

/// The thresholds of the detectors, and which of them run.
///
/// ```
/// let mut config = monsys_integrity::Config::standard();
/// config.clock_drift_ms_max = 60_000; // stricter than the document
/// assert_eq!(config.flat_samples_min, 30);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How often the cycle runs: 10 minutes (integrity document).
    pub cycle_interval: Span,
    /// How many of the newest metrics the clock is judged by, no fewer and no more: 20 (integrity
    /// document; decision 12).
    pub clock_readings: usize,
    /// Largest mean distance of the two clocks that passes, in milliseconds: 300,000 (integrity
    /// document: 5 min).
    pub clock_drift_ms_max: i64,
    /// Fewest gaps that say something about cadence: 20 (decision 16: with 19 gaps and 40 % packet
    /// loss an honest agent would fire in 21 % of runs).
    pub cadence_gaps_min: usize,
    /// Shortest median gap that passes: 7 s (integrity document).
    pub cadence_gap_low: Span,
    /// Longest median gap that passes: 23 s (integrity document).
    pub cadence_gap_high: Span,
    /// Fewest samples that say something about flatness: 30 (integrity document).
    pub flat_samples_min: usize,
    /// Smallest sample standard deviation that passes, in percent points: 0.001 (integrity
    /// document; 8 times below the smallest of genuine data).
    pub flat_deviation_min: f64,
    /// From here on every value of a flat window is called saturated, in percent points: 99.95. It
    /// names the shape of a finding and changes no verdict.
    pub saturated_percent_min: f64,
    /// Which of [`AnomalyKind::OPT_IN`] are looked for; kinds of the document always are, whatever
    /// stands here. What is open of a kind that is off stays open until a person closes it: nobody
    /// checks whether it would pass.
    pub opt_in: KindSet,
    /// Kinds of which a cycle says nothing although they are on, because what they go by is
    /// disturbed for all agents alike ([`agent_silent`](crate::detect::agent_silent)).
    pub inhibited: KindSet,
    /// What a pass does to an open anomaly, where that is not [`Clearing::Auto`] (decision 27).
    pub latches: &'static [(AnomalyKind, Clearing)],
    /// Length of the stretch that a replay repeats, in samples: 20 (notes §3.2: 0 of 11 and 0 of
    /// 1,958 genuine series; of 10, up to 1.5 % of windows fire).
    pub replay_block: usize,
    /// Fewest different values of such a stretch: 6 (notes §3.2: with fewer, 3.7 % of genuine
    /// windows at one decimal fire, because idle machines repeat themselves).
    pub replay_distinct_min: usize,
    /// Longest period of a looped recording, in samples: 120 (notes §3.2: 0 of 5,582 and 0 of 2,940
    /// genuine windows of 240). A window shows a period twice or says nothing of it.
    pub loop_period_max: usize,
    /// Fewest samples that say something about a loop: 60, two periods of 30.
    pub loop_samples_min: usize,
    /// Fewest samples that say something about a ramp: 30, as for flatness.
    pub ramp_samples_min: usize,
    /// From here on a second difference is none of an exact ramp, in percent points: 1e-6 (notes
    /// §3.2: no genuine window).
    pub ramp_bend_max: f64,
    /// Smallest standard deviation of what is left after a linear fit that passes, in percent
    /// points: 0.001, that of flatness (notes §3.2, residual flatness: no genuine window).
    pub ramp_residual_min: f64,
    /// How long nothing may come from an agent before it is silent: 5 min, which is 20 intervals
    /// (notes §3.2).
    pub silent_after: Span,
    /// From this share of the agents that were heard lately on, silence is taken to be that of the
    /// hub, and no agent is called silent; in percent: 30 (notes §5.1).
    pub silent_fleet_percent: u64,
    /// Fewest silent agents that are a fleet: 3. One machine of two that is switched off is 50 %
    /// and no outage.
    pub silent_fleet_min: u64,
    /// How far back lately reaches: 24 h, so that machines which are gone for good count no more.
    pub silent_fleet_heard: Span,
    /// How often a refusal follows an accepted payload after a refusal before that is no accident: 3.
    /// One installation that lost its counters takes one turn.
    pub clone_turns_min: u64,
    /// Within how long of the first refusal: 1 h, the window of all other kinds.
    pub clone_within: Span,
    /// How far from its arrival a refused payload may have been sent, by its own clock, to count:
    /// 5 min, as the clock may drift.
    pub clone_sent_within: Span,
}

impl Config {
    /// Returns the values of the integrity document: its six kinds, each closed by a passing check.
    pub const fn standard() -> Self {
        Self {
            cycle_interval: Span::from_secs(600),
            clock_readings: 20,
            clock_drift_ms_max: 300_000,
            cadence_gaps_min: 20,
            cadence_gap_low: Span::from_secs(7),
            cadence_gap_high: Span::from_secs(23),
            flat_samples_min: 30,
            flat_deviation_min: 0.001,
            saturated_percent_min: 99.95,
            opt_in: KindSet::EMPTY,
            inhibited: KindSet::EMPTY,
            latches: &[],
            replay_block: 20,
            replay_distinct_min: 6,
            loop_period_max: 120,
            loop_samples_min: 60,
            ramp_samples_min: 30,
            ramp_bend_max: 1e-6,
            ramp_residual_min: 0.001,
            silent_after: Span::from_secs(300),
            silent_fleet_percent: 30,
            silent_fleet_min: 3,
            silent_fleet_heard: Span::from_secs(86_400),
            clone_turns_min: 3,
            clone_within: Span::from_secs(3_600),
            clone_sent_within: Span::from_secs(300),
        }
    }

    /// Returns the same thresholds with every opt-in kind on that has a rule. A bad signature, a pinned agent's
    /// payload without one and a lower version stay open until a person closes them (architecture,
    /// decision 7): an attacker cannot make them go away by behaving for a cycle.
    ///
    /// ```
    /// use monsys_core::AnomalyKind;
    /// use monsys_integrity::Config;
    /// assert!(Config::strict().is_on(AnomalyKind::ExactRamp));
    /// assert!(!Config::standard().is_on(AnomalyKind::ExactRamp));
    /// ```
    pub const fn strict() -> Self {
        let mut config = Self::standard();
        config.opt_in = OF_STRICT;
        config.latches = STRICT_LATCHES;
        config
    }

    /// Expects a payload in every such interval: the median gap passes from 7/15 of it to 23/15
    /// (decision 19; for 15 s the bounds of the document).
    pub const fn expect_every(&mut self, interval: Span) {
        let us = interval.micros();
        let (whole, rest) = (us / 15, us % 15);
        self.cadence_gap_low = Span::from_micros(whole * 7 + rest * 7 / 15);
        let high = whole.saturating_mul(23);
        self.cadence_gap_high = Span::from_micros(high.saturating_add(rest * 23 / 15));
    }

    /// Tells whether a kind is looked for.
    #[inline]
    pub const fn is_on(&self, kind: AnomalyKind) -> bool {
        !OPT_IN.contains(kind) || self.opt_in.contains(kind)
    }

    /// Returns what a pass does to an open anomaly of this kind.
    pub fn clearing(&self, kind: AnomalyKind) -> Clearing {
        let of_kind = self.latches.iter().find(|(of, _)| *of == kind);
        of_kind.map_or(Clearing::Auto, |(_, clearing)| *clearing)
    }

    /// Tells whether a passing check leaves this one open.
    pub fn is_latched(&self, open: &OpenAnomaly) -> bool {
        match self.clearing(open.kind) {
            Clearing::Auto => false,
            Clearing::LatchFrom(severity) => open.severity >= severity,
        }
    }
}

const OPT_IN: KindSet = KindSet::of(&AnomalyKind::OPT_IN);

/// The opt-in kinds that have a rule. Whoever adds one adds it here.
const OF_STRICT: KindSet = KindSet::of(&[
    AnomalyKind::AgentSilent,
    AnomalyKind::AgentCloned,
    AnomalyKind::SequenceRegress,
    AnomalyKind::ReplayedSeries,
    AnomalyKind::DuplicateFeed,
    AnomalyKind::LoopedRecording,
    AnomalyKind::ExactRamp,
    AnomalyKind::VersionUnparseable,
]);

/// Architecture, decision 7. An unsigned payload without a pinned key is medium and no attack on
/// one, so it does not latch.
const STRICT_LATCHES: &[(AnomalyKind, Clearing)] = &[
    (
        AnomalyKind::SignatureInvalid,
        Clearing::LatchFrom(Severity::Info),
    ),
    (
        AnomalyKind::UnsignedPayload,
        Clearing::LatchFrom(Severity::High),
    ),
    (
        AnomalyKind::VersionDowngrade,
        Clearing::LatchFrom(Severity::Info),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_preset_is_the_document_and_nothing_more() {
        let config = Config::standard();
        for kind in AnomalyKind::DOCUMENTED {
            assert!(config.is_on(kind), "{kind}");
            assert_eq!(config.clearing(kind), Clearing::Auto, "{kind}");
        }
        for kind in AnomalyKind::OPT_IN {
            assert!(!config.is_on(kind), "{kind}");
        }
        assert!(config.is_on(AnomalyKind::DetectorStalled));
    }

    #[test]
    fn the_strict_preset_has_every_kind_and_the_same_thresholds() {
        let strict = Config::strict();
        let with_rule = crate::DETECTORS.iter().map(|d| d.kind);
        for kind in AnomalyKind::every() {
            let has_rule = with_rule.clone().any(|of| of == kind);
            let has_table_of_its_own = matches!(
                kind,
                AnomalyKind::DetectorStalled | AnomalyKind::DuplicateFeed
            );
            assert_eq!(
                strict.is_on(kind),
                has_rule || has_table_of_its_own,
                "{kind}"
            );
        }
        let standard = Config {
            opt_in: KindSet::EMPTY,
            latches: &[],
            ..strict
        };
        assert_eq!(standard, Config::standard());
    }

    #[test]
    fn other_intervals_scale_exactly_and_none_overflows() {
        let bounds = |us| {
            let mut config = Config::standard();
            config.expect_every(Span::from_micros(us));
            (
                config.cadence_gap_low.micros(),
                config.cadence_gap_high.micros(),
            )
        };
        assert_eq!(bounds(15), (7, 23));
        assert_eq!(bounds(1), (0, 1));
        assert_eq!(bounds(29), (13, 44));
        let (low, high) = bounds(i64::MAX);
        assert!(low > i64::MAX / 15 * 6 && high >= i64::MAX / 2);
        let _ = bounds(i64::MIN);
    }
}
