//! Very many agents and anomalies, written into the store of a hub by SQL that both databases know.

use std::fmt::Write;

use monsys_core::id::{AgentId, AnomalyId};
use monsys_core::time::{Span, Timestamp};

use super::store::{change, rows};
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

/// Enrols the device `seed`, of which the others are copies.
pub(crate) fn seed(data: &DataDir, org: &str) {
    let enrolled = [
        "agent",
        "enrol",
        "--org",
        org,
        "--name",
        "seed",
        "--profile",
        "hmac",
    ];
    data.json(&enrolled);
}

/// Makes `n` agents in an organisation that has the device `seed`, which becomes one of them: of
/// three versions, heard of lately, long ago or never, and each with a few samples.
pub(crate) fn fleet(data: &DataDir, org: &str, n: usize) {
    let mut dice = Dice(23);
    let tenant = format!("(SELECT id FROM tenants WHERE name = '{org}')");
    let of_seed = |column: &str| {
        format!("(SELECT {column} FROM agents WHERE name = 'seed' AND tenant_id = {tenant})")
    };
    let [key, enrolled_at, positions] = ["device_key", "enrolled_at", "positions"].map(of_seed);
    let agents: Vec<_> = (1..n)
        .map(|_| AgentId::from_random_bytes(random_bytes(&mut dice)))
        .collect();
    let ago = |seconds: usize| {
        let span = Span::from_secs(i64::try_from(seconds).unwrap());
        now().saturating_sub(span).to_rfc3339()
    };
    let seen = agents.iter().zip(0..).map(|(_, number)| match number % 5 {
        0 => None,
        1 => Some(ago(7_200 + dice.below(10_000))),
        _ => Some(ago(1 + dice.below(1_800))),
    });
    let seen: Vec<Option<String>> = seen.collect();
    let rows = agents
        .iter()
        .zip(&seen)
        .zip(1..)
        .map(|((agent, seen), number)| {
            let (seen, version) = match seen {
                Some(at) => (format!("'{at}'"), format!("'0.{}.0'", number % 3)),
                None => ("NULL".to_owned(), "NULL".to_owned()),
            };
            format!(
                "('{agent}', {tenant}, 'web-{number:05}.example.net', {key}, {enrolled_at}, \
             {positions}, {seen}, {version})"
            )
        });
    let into = "agents (id, tenant_id, name, device_key, enrolled_at, positions, last_seen_at, \
                version)";
    insert(data, into, rows);
    let samples = agents.iter().zip(&seen).filter_map(|(agent, seen)| {
        let at = Timestamp::parse_rfc3339(seen.as_ref()?).unwrap();
        Some((agent, at))
    });
    let samples = samples.flat_map(|(agent, last)| {
        (0..3).map(move |seq| {
            let at = last
                .saturating_sub(Span::from_secs(15 * (2 - seq)))
                .to_rfc3339();
            (agent, at, seq + 1)
        })
    });
    let rows = samples.map(|(agent, at, seq)| {
        let cpu = dice.below(100);
        format!("({tenant}, '{agent}', '{at}', '{at}', '{at}', 1, {seq}, false, true, {cpu}.5)")
    });
    let into = "metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, is_spooled, \
                is_verified, cpu_usage_percent)";
    insert(data, into, rows);
}

/// Opens `n` anomalies of one agent each in the organisation of the device `seed`.
pub(crate) fn open_some_anomalies(data: &DataDir, n: usize) {
    let mut dice = Dice(29);
    let sql = "SELECT id, tenant_id FROM agents WHERE id <> tenant_id AND tenant_id = \
               (SELECT tenant_id FROM agents WHERE name = 'seed') ORDER BY name";
    let agents = rows(data, sql, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    let at = now().to_rfc3339();
    let rows = agents
        .iter()
        .take(n)
        .zip(0..)
        .map(|((agent, tenant), number)| {
            let [kind, severity, summary, detail, evidence] = KINDS[number % KINDS.len()];
            let id = AnomalyId::from_random_bytes(random_bytes(&mut dice));
            format!(
                "('{id}', '{tenant}', '{agent}', '{kind}', '{severity}', '{summary}', '{detail}', \
             '{evidence}', '{at}', '{at}', 1)"
            )
        });
    let into = "integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, detail, \
                evidence, detected_at, last_seen_at, occurrences)";
    insert(data, into, rows);
}

/// Says something of several severities about most agents of an organisation, by the command.
pub(crate) fn say_something(data: &DataDir, org: &str, every: usize) {
    let mut dice = Dice(31);
    let tenant = format!("(SELECT id FROM tenants WHERE name = '{org}')");
    let sql = format!("SELECT id FROM agents WHERE id <> tenant_id AND tenant_id = {tenant}");
    let agents = rows(data, &sql, [], |row| row.get::<_, String>(0));
    let at = now().saturating_sub(Span::from_secs(60)).to_rfc3339();
    let keys = [
        ("backup_check", "backup.age_hours"),
        ("clock_check", "clock.synchronised"),
        ("endpoint_posture", "posture.disk_encryption"),
    ];
    let severities = ["info", "low", "medium", "high", "critical"];
    let mut lines = String::new();
    for agent in agents.iter().zip(0..).filter(|(_, n)| n % every != 0) {
        for (source, key) in keys {
            let severity = severities[dice.below(severities.len())];
            writeln!(
                lines,
                r#"{{"source":"{source}","subject_type":"agent","subject_id":"{}","key":"{key}","value":{{"value":1}},"severity":"{severity}","observed_at":"{at}"}}"#,
                agent.0
            )
            .unwrap();
        }
    }
    let file = data.path().join("said.jsonl");
    std::fs::write(&file, lines).unwrap();
    let emitted = data.run(&[
        "signals",
        "emit",
        "--org",
        org,
        "--file",
        file.to_str().unwrap(),
    ]);
    assert!(emitted.status.success(), "{emitted:?}");
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
