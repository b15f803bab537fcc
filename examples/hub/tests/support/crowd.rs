//! Very many anomalies, written into the store of a hub by SQL that both databases know.

use std::fmt::Write;

use monsys_core::id::{AgentId, AnomalyId};
use monsys_core::time::Span;

use super::store::change;
use super::{DataDir, Dice, now};

/// What the six detectors write, as long as they write it.
const KINDS: [[&str; 5]; 6] = [
    [
        "unsigned_payload",
        "high",
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature",
        "{}",
        r#"{"detector_version":1}"#,
    ],
    [
        "signature_invalid",
        "critical",
        "signature does not verify against the pinned signing_pubkey",
        "{}",
        r#"{"detector_version":1,"reason":"bad_signature"}"#,
    ],
    [
        "clock_drift",
        "high",
        "device clock is 612.0 s off on average over the last 20 metrics",
        r#"{"samples": 20, "avg_abs_drift_s": 612.0}"#,
        r#"{"detector_version":1,"max_ms":613000,"mean_ms":612000,"median_ms":612000,"min_ms":611000}"#,
    ],
    [
        "cadence_anomaly",
        "medium",
        "median gap between ingests is 61.0 s, expected 7 to 23 s",
        r#"{"samples": 60, "median_gap_s": 61.0}"#,
        r#"{"detector_version":1,"high_ms":23000,"low_ms":7000,"median_ms":61000}"#,
    ],
    [
        "flat_metrics",
        "high",
        "CPU stddev = 0 over the last hour — telemetry seems manipulated",
        r#"{"samples": 240, "stddev": 0.0}"#,
        r#"{"detector_version":1,"distinct":1,"max":4.2,"min":4.2,"shape":"constant"}"#,
    ],
    [
        "version_downgrade",
        "low",
        "agent_version went from 0.2.0 back to 0.1.9",
        r#"{"from": "0.2.0", "to": "0.1.9"}"#,
        r#"{"detector_version":1}"#,
    ],
];

/// Opens `n` anomalies in an organisation that has the device `seed`, six for each of as many agents
/// as that takes. Returns an agent among them.
pub(crate) fn open_anomalies(data: &DataDir, n: usize) -> AgentId {
    let mut dice = Dice(11);
    let agents: Vec<_> = (0..n.div_ceil(KINDS.len()))
        .map(|_| AgentId::from_random_bytes(random_bytes(&mut dice)))
        .collect();
    let of_seed = |column: &str| format!("(SELECT {column} FROM agents WHERE name = 'seed')");
    let tenant = of_seed("tenant_id");
    let columns = ["device_key", "enrolled_at", "positions"]
        .map(of_seed)
        .join(", ");
    insert(
        data,
        "agents (id, tenant_id, name, device_key, enrolled_at, positions)",
        {
            agents.iter().zip(1..).map(|(agent, number)| {
                format!("('{agent}', {tenant}, 'web-{number:04}.example.net', {columns})")
            })
        },
    );
    let start = now().saturating_sub(Span::from_secs(86_400));
    let rows = (0..n).map(|number| {
        let [kind, severity, summary, detail, evidence] = KINDS[number % KINDS.len()];
        let agent = agents[number / KINDS.len()];
        let id = AnomalyId::from_random_bytes(random_bytes(&mut dice));
        let seconds = i64::try_from(dice.below(86_400)).unwrap();
        let at = start.saturating_add(Span::from_secs(seconds)).to_rfc3339();
        let times = 1 + dice.below(90);
        format!(
            "('{id}', {tenant}, '{agent}', '{kind}', '{severity}', '{summary}', '{detail}', \
             '{evidence}', '{at}', '{at}', {times})"
        )
    });
    let into = "integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, detail, \
                evidence, detected_at, last_seen_at, occurrences)";
    insert(data, into, rows);
    agents[0]
}

/// Statements of a hundred rows: a command line holds no more.
fn insert(data: &DataDir, into: &str, rows: impl Iterator<Item = String>) {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut sql = format!("INSERT INTO {into} VALUES ");
        for (number, row) in rows.by_ref().take(100).enumerate() {
            let gap = if number > 0 { ", " } else { "" };
            write!(sql, "{gap}{row}").unwrap();
        }
        change(data, &sql);
    }
}

fn random_bytes(dice: &mut Dice) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&dice.roll().to_le_bytes());
    bytes[8..].copy_from_slice(&dice.roll().to_le_bytes());
    bytes
}
