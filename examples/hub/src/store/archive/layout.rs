//! The tables and columns of an export.
//!
//! The schemas of the two stores differ in what they do not show; this list is what they share.
//! A column that is added to a schema is added here, or to what stays behind: a test holds both
//! schemas against the list.

use self::Kind::{Bytes, Flag, Id, Integer, Json, Real, Text, Time, Value};

/// A table of an export.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    /// The columns of a line, in their order.
    pub(in crate::store) columns: &'static [(&'static str, Kind)],
    /// What the lines are sorted by; rows that are alike in it stay in the order they came.
    pub(in crate::store) order: &'static str,
    /// The column of time that rows are forgotten by, where the table is a log.
    pub(in crate::store) log_time: Option<&'static str>,
}

/// What a column holds, and so how it is spelled. Closed: the format has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// An identifier of 16 bytes, hyphenated.
    Id,
    /// Any text.
    Text,
    /// A time in UTC to the microsecond.
    Time,
    /// Bytes, in hexadecimal digits.
    Bytes,
    /// A whole number.
    Integer,
    /// Any finite number.
    Real,
    /// 0 or 1.
    Flag,
    /// JSON in a text, byte for byte.
    Json,
    /// JSON in a text, in canonical form.
    Value,
}

impl Kind {
    /// What should stand in a column, for messages.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Id => "an identifier of 32 hexadecimal digits",
            Text => "a text",
            Time => "a time such as 2026-11-21T01:15:41.123456Z",
            Bytes => "bytes such as {\"hex\": \"00ff\"}",
            Integer => "a whole number",
            Real => "a number",
            Flag => "0 or 1",
            Json | Value => "a text that is JSON",
        }
    }
}

/// The tables of an export, each behind those that its rows refer to.
pub(in crate::store) const TABLES: &[Table] = &[
    Table {
        name: "meta",
        columns: &[("name", Text), ("value", Text)],
        order: "name",
        log_time: None,
    },
    Table {
        name: "tenants",
        columns: &[("id", Id), ("name", Text), ("created_at", Time)],
        order: "id",
        log_time: None,
    },
    Table {
        name: "users",
        columns: &[
            ("id", Id),
            ("tenant_id", Id),
            ("email", Text),
            ("role", Text),
            ("created_at", Time),
            ("password_phc", Text),
            ("disabled_at", Time),
            ("credentials_epoch", Integer),
        ],
        order: "tenant_id, id",
        log_time: None,
    },
    Table {
        name: "api_tokens",
        columns: &[
            ("tenant_id", Id),
            ("id", Id),
            ("user_id", Id),
            ("name", Text),
            ("scope", Text),
            ("digest", Bytes),
            ("created_at", Time),
            ("expires_at", Time),
            ("revoked_at", Time),
            ("last_used_at", Time),
        ],
        order: "tenant_id, id",
        log_time: None,
    },
    Table {
        name: "agents",
        columns: &[
            ("id", Id),
            ("tenant_id", Id),
            ("name", Text),
            ("token_digest", Bytes),
            ("public_key", Bytes),
            ("pin_until", Time),
            ("device_key", Bytes),
            ("enrolled_at", Time),
            ("revoked_at", Time),
            ("last_seen_at", Time),
            ("last_verified_at", Time),
            ("version", Text),
            ("version_highest", Text),
            ("version_highest_key", Text),
            ("positions", Bytes),
        ],
        order: "tenant_id, id",
        log_time: None,
    },
    Table {
        name: "ingest_contents",
        columns: &[
            ("tenant_id", Id),
            ("agent_id", Id),
            ("epoch", Integer),
            ("seq", Integer),
            ("content", Bytes),
            ("received_at", Time),
        ],
        order: "tenant_id, agent_id, epoch, seq",
        log_time: Some("received_at"),
    },
    Table {
        name: "ingest_nonces",
        columns: &[
            ("tenant_id", Id),
            ("agent_id", Id),
            ("nonce", Bytes),
            ("used_at", Time),
        ],
        order: "tenant_id, agent_id, nonce",
        log_time: Some("used_at"),
    },
    Table {
        name: "metrics",
        columns: &[
            ("tenant_id", Id),
            ("agent_id", Id),
            ("time", Time),
            ("captured_at", Time),
            ("sent_at", Time),
            ("epoch", Integer),
            ("seq", Integer),
            ("is_spooled", Flag),
            ("is_verified", Flag),
            ("cpu_usage_percent", Real),
            ("cpu_cores", Integer),
            ("load1", Real),
            ("load5", Real),
            ("load15", Real),
            ("mem_total_bytes", Integer),
            ("mem_used_bytes", Integer),
            ("swap_total_bytes", Integer),
            ("swap_used_bytes", Integer),
            ("uptime_seconds", Real),
            ("disks", Json),
            ("networks", Json),
        ],
        order: "tenant_id, agent_id, time, epoch, seq",
        log_time: Some("time"),
    },
    Table {
        name: "endpoint_snapshots",
        columns: &[
            ("tenant_id", Id),
            ("agent_id", Id),
            ("time", Time),
            ("captured_at", Time),
            ("processes", Json),
            ("listeners", Json),
            ("auth", Json),
            ("persistence", Json),
            ("health", Json),
        ],
        order: "tenant_id, agent_id, time, captured_at",
        log_time: Some("time"),
    },
    Table {
        name: "signal_streams",
        columns: SIGNAL_COLUMNS,
        order: "tenant_id, observed_at",
        log_time: Some("observed_at"),
    },
    Table {
        name: "signal_current",
        columns: &[
            ("tenant_id", Id),
            ("source", Text),
            ("subject_type", Text),
            ("subject_id", Text),
            ("signal_key", Text),
            ("signal_value", Value),
            ("severity", Text),
            ("observed_at", Time),
            ("ttl_seconds", Integer),
            ("expires_at", Time),
        ],
        order: "tenant_id, subject_type, subject_id, source, signal_key",
        log_time: None,
    },
    Table {
        name: "integrity_anomalies",
        columns: &[
            ("id", Id),
            ("tenant_id", Id),
            ("agent_id", Id),
            ("kind", Text),
            ("severity", Text),
            ("summary", Text),
            ("detail", Json),
            ("evidence", Json),
            ("detected_at", Time),
            ("last_seen_at", Time),
            ("occurrences", Integer),
            ("last_detail", Json),
            ("previous_id", Id),
            ("acknowledged_at", Time),
            ("acknowledged_by", Id),
            ("acknowledged_reason", Text),
            ("acknowledged_until", Time),
            ("snoozed_at", Time),
            ("snoozed_by", Id),
            ("snoozed_reason", Text),
            ("snoozed_until", Time),
            ("resolved_at", Time),
            ("resolved_by", Id),
            ("resolution", Text),
            ("note", Text),
        ],
        order: "tenant_id, id",
        log_time: None,
    },
    Table {
        name: "integrity_events",
        columns: &[
            ("tenant_id", Id),
            ("seq", Integer),
            ("anomaly_id", Id),
            ("kind", Text),
            ("actor", Id),
            ("at", Time),
            ("data", Json),
            ("prev_hash", Bytes),
            ("hash", Bytes),
        ],
        order: "tenant_id, seq",
        log_time: None,
    },
    Table {
        name: "ledger_heads",
        columns: &[("tenant_id", Id), ("seq", Integer), ("hash", Bytes)],
        order: "tenant_id",
        log_time: None,
    },
    Table {
        name: "audit_log",
        columns: &[
            ("id", Integer),
            ("tenant_id", Id),
            ("at", Time),
            ("actor", Text),
            ("action", Text),
            ("subject", Text),
        ],
        order: "id",
        log_time: None,
    },
];

const SIGNAL_COLUMNS: &[(&str, Kind)] = &[
    ("tenant_id", Id),
    ("source", Text),
    ("subject_type", Text),
    ("subject_id", Text),
    ("signal_key", Text),
    ("signal_value", Value),
    ("severity", Text),
    ("observed_at", Time),
    ("ttl_seconds", Integer),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const SQLITE: &str = include_str!("../sqlite/migrations/0001_start.sql");
    const POSTGRES: &str = include_str!("../postgres/migrations/0001_start.sql");

    /// Columns of one back end only, and tables that stay behind.
    const LEFT_BEHIND: [(&str, &[&str]); 7] = [
        ("metrics", &["id"]),
        ("endpoint_snapshots", &["id"]),
        ("signal_streams", &["id", "arrival"]),
        ("signal_current", &["arrival"]),
        ("integrity_anomalies", &["severity_rank"]),
        ("audit_log", &[]),
        ("meta", &[]),
    ];
    const TABLES_LEFT_BEHIND: [&str; 9] = [
        "monsys_schema",
        "integrity_cycles",
        "leases",
        "setup_links",
        "login_links",
        "sessions",
        "refresh_families",
        "refresh_tokens",
        "auditor_tenants",
    ];

    #[test]
    fn an_export_holds_every_column_that_does_not_stay_behind() {
        let left_behind: BTreeMap<_, _> = LEFT_BEHIND.into_iter().collect();
        for schema in [SQLITE, POSTGRES] {
            let tables = tables_of(schema);
            for (name, columns) in &tables {
                if TABLES_LEFT_BEHIND.contains(&name.as_str()) {
                    continue;
                }
                let table = TABLES.iter().find(|table| table.name == name);
                let table = table.unwrap_or_else(|| panic!("{name} is not exported"));
                let left = left_behind.get(name.as_str()).copied().unwrap_or_default();
                let exported: BTreeSet<&str> =
                    table.columns.iter().map(|(name, _)| *name).collect();
                let expected: BTreeSet<&str> = columns
                    .iter()
                    .map(String::as_str)
                    .filter(|name| !left.contains(name))
                    .collect();
                assert_eq!(exported, expected, "{name}");
            }
            for table in TABLES {
                assert!(tables.contains_key(table.name), "{}", table.name);
            }
        }
    }

    /// The columns of the tables that a script makes: a line of four spaces and a word in small
    /// letters begins one.
    fn tables_of(script: &str) -> BTreeMap<String, Vec<String>> {
        let mut tables = BTreeMap::new();
        for definition in script.split("CREATE TABLE ").skip(1) {
            let (name, rest) = definition.split_once(' ').unwrap();
            let body = rest.split("\n)").next().unwrap();
            let columns = body.lines().filter_map(|line| {
                let line = line.strip_prefix("    ")?;
                let is_name = line.starts_with(|first: char| first.is_ascii_lowercase());
                is_name.then(|| line.split(' ').next().unwrap().to_owned())
            });
            tables.insert(name.to_owned(), columns.collect());
        }
        tables
    }
}
