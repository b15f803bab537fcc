//! Compares what was found with what had to be found, and names every difference.

use monsys_core::anomaly::{Anomaly, Resolution};

use crate::expected::{End, Expected, of_the_hub};
use crate::hub::ITSELF;
use crate::script::{DAY, Role};
use crate::world::{Plan, agent_id};
use crate::{MIDNIGHT, SECOND};

/// Every anomaly that had to be found was, in time, and no other.
pub(crate) fn assert_exactly(
    plan: &Plan,
    anomalies: &[Anomaly],
    expected: impl Fn(Role) -> Vec<Expected>,
) {
    let of_agents = plan.scripts.iter().enumerate().map(|(n, script)| {
        let wanted = expected(script.role).into_iter();
        let wanted = wanted.filter_map(|e| e.on_day(script.day_s, plan.end_s));
        (agent_id(n), format!("{script:?}"), wanted.collect())
    });
    let days = (0..=plan.end_s / DAY).map(|day| day * DAY);
    let of_itself = days.filter_map(|day_s| of_the_hub().on_day(day_s, plan.end_s));
    let of_itself = (ITSELF, String::from("the hub"), of_itself.collect());
    let all: Vec<(_, _, Vec<Expected>)> = of_agents.chain([of_itself]).collect();
    let differences: Vec<String> = all
        .iter()
        .filter_map(|(agent, who, wanted)| {
            let found: Vec<&Anomaly> = anomalies.iter().filter(|a| a.agent == *agent).collect();
            let is_met =
                found.len() == wanted.len() && wanted.iter().zip(&found).all(|(w, f)| meets(w, f));
            let told: Vec<_> = found.iter().map(|anomaly| tell(anomaly)).collect();
            (!is_met).then(|| format!("{who}\n  expected {wanted:?}\n  found {told:#?}"))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let n_expected: usize = all.iter().map(|(_, _, wanted)| wanted.len()).sum();
    assert_eq!(anomalies.len(), n_expected);
    println!(
        "{n_expected} anomalies of {} agents and the hub, exactly as written down",
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
