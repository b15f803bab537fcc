//! Decisions allocate nothing, counted by the allocator.
#![allow(clippy::expect_used, reason = "a helper that fails is a failed test")]

use allocation_counter::measure;
use monsys_core::facts::{ClockReading, Facts, VersionFacts};
use monsys_core::time::Timestamp;
use monsys_core::{AgentId, Verdict};
use monsys_integrity::detect::{cadence_anomaly, clock_drift, flat_metrics};
use monsys_integrity::ring::Ring;
use monsys_integrity::{Config, Cycle, run_all, version};

#[test]
fn a_cycle_over_an_honest_agent_allocates_nothing() {
    let mut at_us = START_US;
    let mut ring = filled(&mut at_us, |i| (f64::from(i % 17), 14_999_999));
    let verdicts = unpaid(&mut ring, at(at_us));
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Pass]);
}

/// The longest ways to a pass: values that only their exact deviation clears, and gaps of which
/// half lie below a bound.
#[test]
fn no_pass_allocates_however_near_it_was() {
    let distance = 0.001 * (238.0_f64 / 2.0).sqrt() * 1.000_001;
    let mut at_us = START_US;
    let mut ring = filled(&mut at_us, |i| {
        let cpu = match i {
            3 => 4.20 + distance,
            9 => 4.20 - distance,
            _ => 4.20,
        };
        (cpu, if i % 2 == 0 { 6_999_999 } else { 7_000_001 })
    });
    let verdicts = unpaid(&mut ring, at(at_us));
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Pass]);
}

/// Every kind there is, on values that come close to each: a stretch of 19 played again, a line that
/// bends at its end, two periods but for one value.
#[test]
fn no_pass_of_any_kind_allocates() {
    let line = |i: i32| 20.0 + f64::from(i) * 0.1;
    let bent = |i: i32| line(i) + if i > 235 { 0.05 } else { 0.0 };
    let moving = |i: i32| (f64::from(i) * 0.7).sin() * 40.0 + 50.0;
    let replayed = |i: i32| moving(if (200..219).contains(&i) { i - 150 } else { i });
    let looped = |i: i32| moving(if (119..237).contains(&i) { i - 119 } else { i });
    let few_values = |i: i32| f64::from((i * i % 11) % 3) + if i == 238 { 7.0 } else { 0.0 };
    let series: [&dyn Fn(i32) -> f64; 4] = [&moving, &bent, &replayed, &few_values];
    for (i, cpu) in series.into_iter().enumerate() {
        assert_eq!(judged_by_all(cpu), (0, 0), "series {i}");
    }
    let (n_failed, n_allocated) = judged_by_all(&looped);
    assert_eq!(n_failed, 1, "a long stretch played again");
    assert!(n_allocated > 0, "what is found costs its evidence");
}

/// How many kinds fail on these values, and how many allocations that takes.
fn judged_by_all(cpu: &dyn Fn(i32) -> f64) -> (usize, u64) {
    let mut at_us = START_US;
    let mut ring = filled(&mut at_us, |i| (cpu(i), 14_999_999));
    let config = Config::strict();
    let version = VersionFacts {
        current: Some(version::read("0.1.0".into())),
        highest: Some(version::read("0.1.0".into())),
    };
    let now = at(at_us);
    let cycle = Cycle {
        previous: None,
        now,
    };
    let mut n_failed = 0;
    let decided = measure(|| {
        let view = ring.view(now).expect("times in order");
        let facts = Facts {
            agent: AgentId::from_bytes([7; 16]),
            window: view.window,
            clock: view.clock,
            version: &version,
            last_verified_at: Some(now),
            open: &[],
        };
        let verdicts = run_all(&facts, &config, cycle);
        n_failed = verdicts
            .filter(|(_, verdict)| matches!(verdict, Verdict::Fail(_)))
            .count();
    });
    (n_failed, decided.count_total)
}

const START_US: i64 = 1_778_364_220_000_000;

/// A ring of 239 metrics, each with its value and the gap before it.
fn filled(at_us: &mut i64, metric: impl Fn(i32) -> (f64, i64)) -> Ring {
    let mut ring = Ring::new();
    let fill = measure(|| {
        for i in 0..239_i32 {
            let (cpu, gap_us) = metric(i);
            *at_us += gap_us;
            ring.push(&reading(*at_us), cpu);
        }
    });
    assert!(fill.count_total > 0, "the counter counts");
    ring
}

/// What the detectors say, which must cost no allocation.
fn unpaid(ring: &mut Ring, now: Timestamp) -> [Verdict; 3] {
    let config = Config::standard();
    let version = VersionFacts {
        current: Some(version::read("0.1.0".into())),
        highest: Some(version::read("0.1.0".into())),
    };
    let cycle = Cycle {
        previous: None,
        now,
    };
    let mut verdicts = None;
    let decided = measure(|| {
        let view = ring.view(now).expect("times in order");
        let facts = Facts {
            agent: AgentId::from_bytes([7; 16]),
            window: view.window,
            clock: view.clock,
            version: &version,
            last_verified_at: Some(now),
            open: &[],
        };
        let checks = [
            flat_metrics::check,
            cadence_anomaly::check,
            clock_drift::check,
        ];
        verdicts = Some(checks.map(|check| check(&facts, &config, cycle)));
    });
    assert_eq!(decided.count_total, 0);
    verdicts.expect("was measured")
}

fn reading(at_us: i64) -> ClockReading {
    ClockReading {
        captured_at: at(at_us),
        sent_at: at(at_us),
        received_at: at(at_us),
        is_spooled: false,
    }
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_unix_micros(us).expect("a time")
}
