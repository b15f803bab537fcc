//! The public interface, driven as a hub drives it: facts in, steps out, steps carried out.
#![allow(clippy::expect_used, reason = "a helper that fails is a failed test")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use monsys_core::anomaly::{Finding, OpenAnomaly, Transition};
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, Facts, MetricRow, MetricWindow, VersionFacts,
    WindowBounds,
};
use monsys_core::id::AnomalyId;
use monsys_core::time::{Span, Timestamp};
use monsys_core::verdict::Verdict;
use monsys_core::{AgentId, AnomalyKind, Severity};
use monsys_integrity::detect::{signature_invalid, unsigned_payload};
use monsys_integrity::{
    Config, Cycle, DETECTORS, Detector, DetectorError, Report, finding_signal, reconcile,
    reconcile_guarded, version,
};
use proptest::prelude::*;

const T0: i64 = 1_778_364_220_000_000;

#[test]
fn each_attacker_opens_exactly_its_kind_and_the_honest_agent_nothing() {
    let now = at(0);
    let page = [
        honest(1, now),
        AgentFacts {
            clock: clock(now, 360),
            ..honest(2, now)
        },
        AgentFacts {
            window: window(now, 3, moving),
            clock: clock(now, 0),
            ..honest(3, now)
        },
        AgentFacts {
            window: window(now, 15, |_| 4.20),
            ..honest(4, now)
        },
        AgentFacts {
            version: versions("0.1.9", "0.2.0"),
            ..honest(5, now)
        },
    ];
    let report = run(
        &page,
        Cycle {
            previous: None,
            now,
        },
    );
    let found: Vec<(u8, AnomalyKind)> = report.transitions.iter().map(recorded).collect();
    assert_eq!(
        found,
        [
            (2, AnomalyKind::ClockDrift),
            (3, AnomalyKind::CadenceAnomaly),
            (4, AnomalyKind::FlatMetrics),
            (5, AnomalyKind::VersionDowngrade),
        ]
    );
    assert_eq!(report.n_evaluated, 5);
    for tally in &report.tallies {
        let n_attackers = found.iter().filter(|(_, kind)| *kind == tally.kind).count() as u64;
        assert_eq!(
            (tally.n_pass, tally.n_fail, tally.n_insufficient),
            (5 - n_attackers, n_attackers, 0)
        );
    }
}

#[test]
fn a_second_cycle_on_the_resulting_state_only_counts() {
    let mut store = Store::of(vec![
        honest(1, at(0)),
        AgentFacts {
            window: window(at(0), 15, |_| 4.20),
            ..honest(2, at(0))
        },
        AgentFacts {
            clock: clock(at(0), -360),
            ..honest(3, at(0))
        },
    ]);
    let cycle = Cycle {
        previous: None,
        now: at(0),
    };
    let first = store.cycle(cycle);
    let opened = store.open();
    let second = store.cycle(cycle);
    assert_eq!(first, second);
    assert_eq!(store.open(), opened);
    assert_eq!(store.opened, 2);
    assert_eq!(store.counted, 2);
}

#[test]
fn an_event_is_resolved_after_one_whole_clean_cycle() {
    let mut store = Store::of(vec![honest(1, at(0))]);
    store.record(
        0,
        &signature_invalid::finding(signature_invalid::Reason::Mismatch),
        at(-5),
    );
    store.record(0, &unsigned_payload::pinned_but_absent(), at(-5));
    assert_eq!(
        store
            .cycle(Cycle {
                previous: Some(at(-600)),
                now: at(0)
            })
            .transitions,
        []
    );
    store.page[0] = AgentFacts {
        open: store.page[0].open.clone(),
        ..honest(1, at(600))
    };
    let report = store.cycle(Cycle {
        previous: Some(at(0)),
        now: at(600),
    });
    assert_eq!(report.transitions.len(), 2);
    assert_eq!(store.open(), 0);
}

#[test]
fn silence_resolves_nothing() {
    let flat = AgentFacts {
        window: window(at(0), 15, |_| 4.20),
        ..honest(1, at(0))
    };
    let mut store = Store::of(vec![flat]);
    store.record(
        0,
        &signature_invalid::finding(signature_invalid::Reason::Malformed),
        at(-5),
    );
    store.cycle(Cycle {
        previous: Some(at(-600)),
        now: at(0),
    });
    assert_eq!(store.open(), 2);
    for hour in 1..100 {
        let now = at(hour * 3_600);
        store.page[0].window = MetricWindow::empty(WindowBounds::hour_before(now));
        let cycle = Cycle {
            previous: Some(at(hour * 3_600 - 600)),
            now,
        };
        assert_eq!(store.cycle(cycle).transitions, []);
    }
    assert_eq!(store.open(), 2);
}

#[test]
fn a_flat_agent_that_moves_again_is_resolved_and_its_signal_superseded() {
    let flat = AgentFacts {
        window: window(at(0), 15, |_| 4.20),
        ..honest(1, at(0))
    };
    let mut store = Store::of(vec![flat]);
    let opened = store.cycle(Cycle {
        previous: None,
        now: at(0),
    });
    let Transition::Record { signal, .. } = &opened.transitions[0] else {
        panic!("no record")
    };
    assert_eq!(signal.severity(), Some(Severity::High));
    store.page[0].window = window(at(600), 15, moving);
    let report = store.cycle(Cycle {
        previous: Some(at(0)),
        now: at(600),
    });
    let Transition::Resolve {
        signal: after,
        last_seen_at,
        ..
    } = &report.transitions[0]
    else {
        panic!("no resolution")
    };
    assert_eq!(*last_seen_at, at(0));
    assert_eq!(
        (after.key(), after.subject_id()),
        (signal.key(), signal.subject_id())
    );
    assert_eq!(
        (after.severity(), after.value()),
        (None, r#"{"value":false}"#)
    );
    assert_eq!(store.open(), 0);
}

#[test]
fn an_outage_of_a_day_and_its_drain_raise_nothing() {
    let now = at(0);
    let rows = (0..240_i32).flat_map(|i| {
        let minute_part = move |k: i32| MetricRow {
            received_at: now
                .saturating_sub(Span::from_secs(i64::from(239 - i) * 15))
                .saturating_add(Span::from_millis(i64::from(k) * 100)),
            cpu_usage_percent: f64::from(i * i % 23 + k),
            is_spooled: k > 0,
        };
        (0..4).map(minute_part)
    });
    let drained = MetricWindow::from_rows(WindowBounds::hour_before(at(1)), rows);
    let mut readings = vec![reading(now, 0); 20];
    for reading in readings.iter_mut().step_by(2) {
        reading.captured_at = at(-86_400);
        reading.is_spooled = true;
    }
    let facts = AgentFacts {
        window: drained,
        clock: ClockFacts::from_readings(readings),
        ..honest(1, now)
    };
    assert_eq!(
        run(
            &[facts],
            Cycle {
                previous: None,
                now: at(1)
            }
        )
        .transitions,
        []
    );
}

#[test]
fn a_detector_that_panics_is_recorded_and_the_others_of_that_agent_go_on() {
    let broken = |facts: &Facts<'_>, _: &Config, _: Cycle| {
        assert_ne!(facts.agent, AgentId::from_bytes([2; 16]), "a bug");
        Verdict::Pass
    };
    let mut table = DETECTORS.to_vec();
    table[2] = Detector::new(AnomalyKind::ClockDrift, broken);
    let page = [1, 2, 3].map(|tag| AgentFacts {
        window: window(at(0), 15, |_| 4.20),
        open: vec![open_drift(tag)],
        ..honest(tag, at(0))
    });
    let cycle = Cycle {
        previous: None,
        now: at(0),
    };
    let guard = |check: &dyn Fn() -> Verdict| {
        catch_unwind(AssertUnwindSafe(check)).map_err(|_| "it broke".to_owned())
    };
    let report = reconcile_guarded(&table, &page, &Config::standard(), cycle, guard);
    let error = DetectorError {
        agent: page[1].agent,
        kind: AnomalyKind::ClockDrift,
        message: "it broke".to_owned(),
    };
    assert_eq!((report.n_evaluated, report.errors), (3, vec![error]));
    let of = |kind| report.tallies.iter().find(|t| t.kind == kind).copied();
    let drift = of(AnomalyKind::ClockDrift).expect("a line of the table");
    assert_eq!((drift.n_pass, drift.n_fail, drift.n_error), (2, 0, 1));
    let flat = of(AnomalyKind::FlatMetrics).expect("a line of the table");
    assert_eq!((flat.n_fail, flat.n_error), (3, 0));
    let resolved: Vec<_> = report.transitions.iter().filter_map(resolved_id).collect();
    assert_eq!(
        resolved,
        [1, 3].map(|tag| open_drift(tag).id),
        "what the broken one would have judged stays open"
    );
}

proptest! {
    #[test]
    fn the_same_input_gives_the_same_report(
        cpu in prop::collection::vec(0.0_f64..100.0, 1..60),
        gap_s in 1_i64..40,
        drift_s in -700_i64..700,
    ) {
        let now = at(0);
        let facts = AgentFacts {
            window: window(now, gap_s, |i| cpu[i % cpu.len()]),
            clock: clock(now, drift_s),
            ..honest(1, now)
        };
        let page = [facts.clone(), facts];
        let cycle = Cycle { previous: None, now };
        let report = run(&page, cycle);
        prop_assert_eq!(&run(&page.clone(), cycle), &report);
        prop_assert_eq!(report.transitions.len() % 2, 0);
    }

    #[test]
    fn order_of_values_does_not_change_a_flat_verdict(
        mut cpu in prop::collection::vec(4.0_f64..4.01, 60),
    ) {
        let now = at(0);
        let judge = |cpu: &[f64]| {
            let facts = AgentFacts { window: window(now, 15, |i| cpu[i % 60]), ..honest(1, now) };
            run(&[facts], Cycle { previous: None, now }).transitions.len()
        };
        let before = judge(&cpu);
        cpu.reverse();
        prop_assert_eq!(judge(&cpu), before);
    }
}

/// The smallest store: open anomalies of a page, one per agent and kind.
struct Store {
    page: Vec<AgentFacts>,
    opened: usize,
    counted: usize,
}

impl Store {
    fn of(page: Vec<AgentFacts>) -> Self {
        Self {
            page,
            opened: 0,
            counted: 0,
        }
    }

    fn open(&self) -> usize {
        self.page.iter().map(|facts| facts.open.len()).sum()
    }

    fn record(&mut self, row: usize, finding: &Finding, at: Timestamp) {
        let signal = finding_signal(self.page[row].agent, finding, at);
        assert_eq!(signal.key().as_str(), finding.kind.signal_key());
        let open = &mut self.page[row].open;
        match open.iter_mut().find(|a| a.kind == finding.kind) {
            Some(known) => {
                known.last_seen_at = at;
                self.counted += 1;
            }
            None => {
                self.opened += 1;
                let tag = u8::try_from(self.opened).unwrap_or(u8::MAX);
                open.push(OpenAnomaly {
                    id: AnomalyId::from_bytes([tag; 16]),
                    kind: finding.kind,
                    severity: finding.severity,
                    last_seen_at: at,
                });
            }
        }
    }

    fn cycle(&mut self, cycle: Cycle) -> Report {
        let report = run(&self.page, cycle);
        for step in &report.transitions {
            match step {
                Transition::Record {
                    agent,
                    finding,
                    occurrences,
                    ..
                } => {
                    assert_eq!(*occurrences, 1);
                    let row = self.page.iter().position(|facts| facts.agent == *agent);
                    self.record(row.expect("an agent of the page"), finding, cycle.now);
                }
                Transition::Resolve { id, .. } => {
                    self.page
                        .iter_mut()
                        .for_each(|facts| facts.open.retain(|a| a.id != *id));
                }
            }
        }
        report
    }
}

fn run(page: &[AgentFacts], cycle: Cycle) -> Report {
    reconcile(page, &Config::standard(), cycle)
}

fn recorded(step: &Transition) -> (u8, AnomalyKind) {
    match step {
        Transition::Record { agent, finding, .. } => (agent.to_bytes()[0], finding.kind),
        Transition::Resolve { .. } => panic!("nothing was open"),
    }
}

fn resolved_id(step: &Transition) -> Option<AnomalyId> {
    match step {
        Transition::Resolve { id, .. } => Some(*id),
        Transition::Record { .. } => None,
    }
}

fn open_drift(tag: u8) -> OpenAnomaly {
    OpenAnomaly {
        id: AnomalyId::from_bytes([tag; 16]),
        kind: AnomalyKind::ClockDrift,
        severity: Severity::High,
        last_seen_at: at(-600),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(T0 + seconds * 1_000_000).expect("a time of this century")
}

fn honest(tag: u8, now: Timestamp) -> AgentFacts {
    AgentFacts {
        agent: AgentId::from_bytes([tag; 16]),
        window: window(now, 15, moving),
        clock: clock(now, 0),
        version: versions("0.2.0", "0.2.0"),
        last_verified_at: Some(now),
        open: vec![],
    }
}

fn moving(i: usize) -> f64 {
    f64::from(u32::try_from(i * i % 23).unwrap_or(0)) * 1.7
}

fn window(now: Timestamp, gap_s: i64, cpu: impl Fn(usize) -> f64) -> MetricWindow {
    let n = 3_600 / gap_s;
    let rows = (0..n).map(|i| MetricRow {
        received_at: now.saturating_sub(Span::from_secs((n - 1 - i) * gap_s)),
        cpu_usage_percent: cpu(usize::try_from(i).unwrap_or(0)),
        is_spooled: false,
    });
    MetricWindow::from_rows(WindowBounds::hour_before(now), rows)
}

fn clock(now: Timestamp, ahead_s: i64) -> ClockFacts {
    ClockFacts::from_readings([reading(now, ahead_s); 20])
}

fn reading(now: Timestamp, ahead_s: i64) -> ClockReading {
    let captured_at = now.saturating_add(Span::from_secs(ahead_s));
    ClockReading {
        captured_at,
        sent_at: captured_at,
        received_at: now,
        is_spooled: false,
    }
}

fn versions(current: &str, highest: &str) -> VersionFacts {
    VersionFacts {
        current: Some(version::read(current.into())),
        highest: Some(version::read(highest.into())),
    }
}
