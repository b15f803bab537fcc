//! The detectors: one file per kind, and the table that lists them.
//!
//! A detector is a function of the facts of one agent, the thresholds and the cycle. It keeps
//! nothing between calls. Some decide from measurements; those about signatures and positions are
//! events that the hub records at ingest, and in the cycle they only say whether a whole cycle went by clean.
//! After the kinds of the document come those that an operator turns on
//! ([`Config::opt_in`](crate::Config::opt_in)). Adding a kind is one file here and one line in
//! [`DETECTORS`].
//!
//! Each file says what an honest agent can do to trip it and what an attacker can do to pass it.

use monsys_core::AnomalyKind;
use monsys_core::facts::{Arrivals, Facts, WindowView};
use monsys_core::json::ObjectText;
use monsys_core::verdict::Verdict;

use crate::config::Config;
use crate::cycle::Cycle;

pub mod agent_cloned;
pub mod agent_silent;
pub mod cadence_anomaly;
pub mod clock_drift;
pub mod duplicate_feed;
mod event;
pub mod exact_ramp;
pub mod flat_metrics;
pub mod looped_recording;
pub mod replayed_series;
pub mod sequence_regress;
pub mod signature_invalid;
pub mod unsigned_payload;
pub mod version_downgrade;
pub mod version_unparseable;

/// One row of the table: a kind and the function that judges it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Detector {
    /// What it looks for.
    pub kind: AnomalyKind,
    /// How it judges.
    pub check: fn(&Facts<'_>, &Config, Cycle) -> Verdict,
}

impl Detector {
    /// Makes a row, for a table of the caller's own.
    pub const fn new(kind: AnomalyKind, check: fn(&Facts<'_>, &Config, Cycle) -> Verdict) -> Self {
        Self { kind, check }
    }
}

/// All detectors: those of the integrity document in its order, then the opt-in ones that look at one
/// agent; what two agents share is found by [`duplicate_feed::FeedIndex`].
pub const DETECTORS: &[Detector] = &[
    Detector::new(AnomalyKind::UnsignedPayload, unsigned_payload::check),
    Detector::new(AnomalyKind::SignatureInvalid, signature_invalid::check),
    Detector::new(AnomalyKind::ClockDrift, clock_drift::check),
    Detector::new(AnomalyKind::CadenceAnomaly, cadence_anomaly::check),
    Detector::new(AnomalyKind::FlatMetrics, flat_metrics::check),
    Detector::new(AnomalyKind::VersionDowngrade, version_downgrade::check),
    Detector::new(AnomalyKind::AgentSilent, agent_silent::check),
    Detector::new(AnomalyKind::AgentCloned, agent_cloned::check),
    Detector::new(AnomalyKind::SequenceRegress, sequence_regress::check),
    Detector::new(AnomalyKind::ReplayedSeries, replayed_series::check),
    Detector::new(AnomalyKind::LoopedRecording, looped_recording::check),
    Detector::new(AnomalyKind::ExactRamp, exact_ramp::check),
    Detector::new(AnomalyKind::VersionUnparseable, version_unparseable::check),
];

/// The version of the rules, in the evidence of every finding they make. Whoever changes a rule
/// raises it, so that an old finding can be read by the rule that made it.
pub const RULES_VERSION: u32 = 1;

/// Runs every detector that is on over one agent, in the order of the table.
///
/// ```
/// # use monsys_core::facts::{AgentFacts, ClockFacts, MetricWindow, VersionFacts, WindowBounds};
/// # use monsys_core::{AgentId, Timestamp, Verdict};
/// # use monsys_integrity::{Config, Cycle, run_all};
/// # let now = Timestamp::MIN;
/// # let facts = AgentFacts { agent: AgentId::from_bytes([7; 16]),
/// #     window: MetricWindow::empty(WindowBounds::hour_before(now)), clock: ClockFacts::default(),
/// #     version: VersionFacts::default(), last_verified_at: None, open: vec![] };
/// let cycle = Cycle { previous: None, now };
/// for (kind, verdict) in run_all(&facts.view(), &Config::standard(), cycle) {
///     println!("{kind}: {verdict:?}");
/// }
/// ```
pub fn run_all<'a>(
    facts: &'a Facts<'a>,
    config: &'a Config,
    cycle: Cycle,
) -> impl Iterator<Item = (AnomalyKind, Verdict)> + 'a {
    DETECTORS
        .iter()
        .filter(|d| config.is_on(d.kind))
        .map(move |d| (d.kind, (d.check)(facts, config, cycle)))
}

/// Writes when a window reaches from and to, and when its first and last metric arrived.
fn bounds(object: ObjectText, window: WindowView<'_>) -> ObjectText {
    let object = object
        .text("window_from", &window.bounds.from.to_rfc3339())
        .text("window_to", &window.bounds.to.to_rfc3339());
    match window.arrivals {
        Some(Arrivals { first, last }) => object
            .text("first_received_at", &first.to_rfc3339())
            .text("last_received_at", &last.to_rfc3339()),
        None => object,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{NOW, cycle, honest, unknown};
    use crate::version;
    use monsys_core::facts::{
        AgentFacts, ClockFacts, ClockReading, MetricRow, MetricWindow, WindowBounds,
    };
    use monsys_core::time::Timestamp;

    #[test]
    fn the_table_has_the_documented_kinds_in_order_and_no_kind_twice() {
        let kinds = || DETECTORS.iter().map(|d| d.kind);
        assert!(kinds().take(6).eq(AnomalyKind::DOCUMENTED));
        for (i, kind) in kinds().enumerate() {
            assert!(kinds().skip(i + 1).all(|later| later != kind), "{kind}");
        }
    }

    #[test]
    fn a_kind_that_is_off_is_not_run() {
        let facts = honest();
        let facts = facts.view();
        let kinds = |config: &Config| {
            let judged = run_all(&facts, config, cycle());
            judged.map(|(kind, _)| kind).collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(kinds(&Config::standard()), AnomalyKind::DOCUMENTED);
        assert_eq!(kinds(&Config::strict()).len(), DETECTORS.len());
        let mut config = Config::standard();
        config.opt_in = config.opt_in.with(AnomalyKind::ExactRamp);
        let on = kinds(&config);
        assert_eq!((on.len(), on.last()), (7, Some(&AnomalyKind::ExactRamp)));
    }

    #[test]
    fn an_honest_agent_passes_everything() {
        for (kind, verdict) in run_all(&honest().view(), &Config::strict(), cycle()) {
            assert_eq!(verdict, Verdict::Pass, "{kind}");
        }
    }

    #[test]
    fn of_an_unknown_agent_nothing_is_said_and_nothing_is_found() {
        for (kind, verdict) in run_all(&unknown().view(), &Config::standard(), cycle()) {
            let is_event = matches!(
                kind,
                AnomalyKind::UnsignedPayload | AnomalyKind::SignatureInvalid
            );
            match verdict {
                Verdict::Pass => assert!(is_event, "{kind}"),
                Verdict::Insufficient(_) => assert!(!is_event, "{kind}"),
                Verdict::Fail(_) => panic!("{kind}"),
            }
        }
    }

    fn any_time() -> impl Strategy<Value = Timestamp> {
        prop_oneof![
            Just(Timestamp::MIN),
            Just(Timestamp::MAX),
            Just(NOW),
            (Timestamp::MIN.unix_micros()..=Timestamp::MAX.unix_micros())
                .prop_map(|micros| Timestamp::from_unix_micros(micros).unwrap()),
        ]
    }

    prop_compose! {
        fn any_reading()(
            captured_at in any_time(),
            sent_at in any_time(),
            received_at in any_time(),
            is_spooled: bool,
        ) -> ClockReading {
            ClockReading { captured_at, sent_at, received_at, is_spooled }
        }
    }

    prop_compose! {
        fn any_row()(
            received_at in any_time(),
            cpu_usage_percent: f64,
            is_spooled: bool,
        ) -> MetricRow {
            MetricRow { received_at, cpu_usage_percent, is_spooled }
        }
    }

    prop_compose! {
        fn any_facts()(
            rows in prop::collection::vec(any_row(), 0..50),
            to in any_time(),
            clock in prop::collection::vec(any_reading(), 0..30),
            current in prop::option::of("\\PC{0,12}|[0-9]{1,2}\\.[0-9]\\.[0-9]"),
            highest in prop::option::of("\\PC{0,12}|[0-9]{1,2}\\.[0-9]\\.[0-9]"),
            last_verified_at in prop::option::of(any_time()),
            seen in any_time(),
            kind in prop::sample::select(&AnomalyKind::DOCUMENTED),
        ) -> AgentFacts {
            AgentFacts {
                window: MetricWindow::from_rows(WindowBounds::hour_before(to), rows),
                clock: ClockFacts::from_readings(clock),
                version: monsys_core::facts::VersionFacts {
                    current: current.map(version::read),
                    highest: highest.map(version::read),
                },
                last_verified_at,
                open: alloc::vec![crate::fixture::open(kind, seen)],
                ..unknown()
            }
        }
    }

    proptest! {
        #[test]
        fn no_facts_panic(
            facts in any_facts(),
            previous in prop::option::of(any_time()),
            now in any_time(),
        ) {
            for (kind, verdict) in run_all(&facts.view(), &Config::strict(), Cycle { previous, now }) {
                if let Verdict::Fail(finding) = verdict {
                    prop_assert_eq!(finding.kind, kind);
                }
            }
        }

        #[test]
        fn no_thresholds_panic(bits: u64, number: i64, count: usize) {
            let mut config = Config::strict();
            config.flat_deviation_min = f64::from_bits(bits);
            config.clock_drift_ms_max = number;
            config.clock_readings = count;
            config.cadence_gaps_min = count;
            config.flat_samples_min = count;
            config.replay_block = count % 300;
            config.replay_distinct_min = count % 300;
            config.loop_period_max = count;
            config.loop_samples_min = count;
            config.ramp_samples_min = count;
            config.ramp_bend_max = f64::from_bits(bits);
            config.ramp_residual_min = f64::from_bits(bits.rotate_left(17));
            config.cadence_gap_low = monsys_core::time::Span::from_micros(number);
            config.cadence_gap_high = config.cadence_gap_low;
            for (_, verdict) in run_all(&honest().view(), &config, cycle()) {
                drop(verdict);
            }
        }
    }
}
