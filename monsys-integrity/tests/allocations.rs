//! Decisions allocate nothing, counted by the allocator.
#![allow(clippy::expect_used, reason = "a helper that fails is a failed test")]

use allocation_counter::measure;
use monsys_core::facts::ClockReading;
use monsys_core::time::Timestamp;
use monsys_integrity::Config;
use monsys_integrity::ring::{Decision, Outcome, Ring, decide};

#[test]
fn no_decision_allocates_whatever_it_says() {
    let config = Config::standard();
    // Honest; flat; flat among values that are not finite; gaps of which half lie below a bound.
    let mut decisions = Vec::new();
    for kind in ["honest", "flat", "holes", "tied"] {
        let mut at_us = 1_778_364_220_000_000;
        let mut ring = Ring::new();
        let fill = measure(|| {
            for i in 0..239_i32 {
                at_us += match kind {
                    "tied" if i % 2 == 0 => 6_999_999,
                    _ => 14_999_999,
                };
                let cpu = match kind {
                    "honest" => f64::from(i % 17),
                    "holes" if i % 3 == 0 => f64::INFINITY,
                    _ => 4.20,
                };
                ring.push(&reading(at_us), cpu);
            }
        });
        assert!(fill.count_total > 0, "the counter counts");
        let mut decision = None;
        let decided = measure(|| {
            let view = ring.view(at(at_us)).expect("times in order");
            decision = Some(decide(&view, &config));
        });
        assert_eq!(decided.count_total, 0, "{kind}");
        decisions.extend(decision);
    }
    let is_flat = |d: &Decision| d.flat_metrics == Outcome::Fail;
    assert_eq!(
        decisions.iter().map(is_flat).collect::<Vec<_>>(),
        [false, true, true, true]
    );
}

fn reading(at_us: i64) -> ClockReading {
    ClockReading {
        captured_at: at(at_us),
        sent_at: at(at_us),
        received_at: at(at_us),
        is_spooled: at_us % 40 == 0,
    }
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_unix_micros(us).expect("a time")
}
