//! Compares what was found with what had to be found, and names every difference.

use monsys_core::anomaly::{Anomaly, Resolution};

use crate::expected::{End, Expected};
use crate::script::Role;
use crate::world::{Plan, number_of};
use crate::{MIDNIGHT, SECOND};

/// Every anomaly that had to be found was, in time, and no other.
pub(crate) fn assert_exactly(
    plan: &Plan,
    anomalies: &[Anomaly],
    expected: impl Fn(Role) -> Vec<Expected>,
) {
    let mut differences = Vec::new();
    let mut n_expected = 0;
    for (n, script) in plan.scripts.iter().enumerate() {
        let wanted: Vec<Expected> = expected(script.role)
            .into_iter()
            .filter_map(|e| e.on_day(script.day_s, plan.end_s))
            .collect();
        n_expected += wanted.len();
        let of_agent = anomalies.iter().filter(|a| number_of(a.agent) == n);
        let found: Vec<&Anomaly> = of_agent.collect();
        let is_met =
            found.len() == wanted.len() && wanted.iter().zip(&found).all(|(w, f)| meets(w, f));
        if !is_met {
            let told = found.iter().map(|anomaly| tell(anomaly));
            differences.push(format!(
                "agent {n}, {script:?}\n  expected {wanted:?}\n  found {:#?}",
                told.collect::<Vec<_>>()
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(anomalies.len(), n_expected);
    println!(
        "{n_expected} anomalies of {} agents, exactly as written down",
        plan.scripts.len()
    );
}

fn meets(expected: &Expected, found: &Anomaly) -> bool {
    let (from, to) = expected.opened;
    let detected = found.detected_at.unix_micros() - MIDNIGHT;
    expected.kind == found.finding.kind
        && expected.severity == found.finding.severity
        && (from * SECOND..=to * SECOND).contains(&detected)
        && expected.end == end(found)
}

fn end(found: &Anomaly) -> End {
    let Some(closed) = &found.closed else {
        return End::Open;
    };
    let us = closed.at.unix_micros() - MIDNIGHT;
    // A closing between two seconds is no cycle, so no row can ask for it.
    let second = if us % SECOND == 0 { us / SECOND } else { -1 };
    match closed.resolution {
        Resolution::Auto => End::Auto(second),
        _ => End::Manual(second),
    }
}

fn tell(found: &Anomaly) -> String {
    let us = found.detected_at.unix_micros() - MIDNIGHT;
    format!(
        "{} {:?} at {}: {} {}, {:?}",
        found.finding.kind,
        found.finding.severity,
        clock(us / SECOND),
        found.finding.summary,
        found.finding.evidence,
        found.closed.as_ref().map(|closed| {
            let us = closed.at.unix_micros() - MIDNIGHT;
            format!("{} {:?}", clock(us / SECOND), closed.resolution)
        })
    )
}

fn clock(s: i64) -> String {
    format!(
        "day {} {:02}:{:02}:{:02}",
        s / 86_400,
        s / 3_600 % 24,
        s / 60 % 60,
        s % 60
    )
}
