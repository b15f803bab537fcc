//! The detectors: one file per kind, and the table that lists them.
//!
//! A detector is a function of the facts of one agent, the thresholds and the cycle. It keeps
//! nothing between calls. Four decide from measurements; the two about signatures are events that
//! the hub records at ingest, and in the cycle they only say whether a whole cycle went by clean.
//! Adding a kind is one file here and one line in [`DETECTORS`].
//!
//! Each file says what an honest agent can do to trip it and what an attacker can do to pass it.

use monsys_core::AnomalyKind;
use monsys_core::facts::{Arrivals, Facts, WindowView};
use monsys_core::json::ObjectText;
use monsys_core::verdict::Verdict;

use crate::config::Config;
use crate::cycle::Cycle;

pub mod cadence_anomaly;
pub mod clock_drift;
mod event;
pub mod flat_metrics;
pub mod signature_invalid;
pub mod unsigned_payload;
pub mod version_downgrade;

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

/// All detectors, in the order of the integrity document.
pub const DETECTORS: &[Detector] = &[
    Detector {
        kind: AnomalyKind::UnsignedPayload,
        check: unsigned_payload::check,
    },
    Detector {
        kind: AnomalyKind::SignatureInvalid,
        check: signature_invalid::check,
    },
    Detector {
        kind: AnomalyKind::ClockDrift,
        check: clock_drift::check,
    },
    Detector {
        kind: AnomalyKind::CadenceAnomaly,
        check: cadence_anomaly::check,
    },
    Detector {
        kind: AnomalyKind::FlatMetrics,
        check: flat_metrics::check,
    },
    Detector {
        kind: AnomalyKind::VersionDowngrade,
        check: version_downgrade::check,
    },
];

/// The version of the rules, in the evidence of every finding they make. Whoever changes a rule
/// raises it, so that an old finding can be read by the rule that made it.
pub const RULES_VERSION: u32 = 1;

/// Runs every detector over one agent, in the order of the integrity document.
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
    fn the_table_has_every_kind_once_and_in_order() {
        assert!(DETECTORS.iter().map(|d| d.kind).eq(AnomalyKind::DOCUMENTED));
    }

    #[test]
    fn an_honest_agent_passes_everything() {
        for (kind, verdict) in run_all(&honest().view(), &Config::standard(), cycle()) {
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
            for (kind, verdict) in run_all(&facts.view(), &Config::standard(), Cycle { previous, now }) {
                if let Verdict::Fail(finding) = verdict {
                    prop_assert_eq!(finding.kind, kind);
                }
            }
        }

        #[test]
        fn no_thresholds_panic(bits: u64, number: i64, count: usize) {
            let mut config = Config::standard();
            config.flat_deviation_min = f64::from_bits(bits);
            config.clock_drift_ms_max = number;
            config.clock_readings = count;
            config.cadence_gaps_min = count;
            config.flat_samples_min = count;
            config.cadence_gap_low = monsys_core::time::Span::from_micros(number);
            config.cadence_gap_high = config.cadence_gap_low;
            for (_, verdict) in run_all(&honest().view(), &config, cycle()) {
                drop(verdict);
            }
        }
    }
}
