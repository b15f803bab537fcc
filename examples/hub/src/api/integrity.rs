//! Integrity over HTTP: counts, the list, and the ledger of one anomaly.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, AnomalyId, TenantId};
use monsys_core::ledger::LedgerEntry;
use monsys_core::limit;
use monsys_core::severity::Severity;
use monsys_core::store::{
    AnomalyCursor, AnomalyFilter, AnomalyRow, AnomalyState, Attention, KindCount,
};
use monsys_core::time::Timestamp;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::export::{self, Format};
use super::problem;
use crate::app::App;
use crate::security::session::ApiSession;

/// Rows of a page when the caller does not say.
const PAGE_ROWS: u32 = 50;

/// `GET /api/v1/integrity/summary`: open anomalies per kind.
pub(crate) async fn summary(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
) -> Response {
    match app.store.open_counts(session.user.tenant).await {
        Ok(counts) => {
            // The documented kinds always, each other kind while one of it is open.
            let (kinds, further): (Vec<_>, Vec<_>) = counts
                .iter()
                .partition(|count| AnomalyKind::DOCUMENTED.contains(&count.kind));
            super::json(&json!({
                "kinds": by_kind(&kinds),
                "further": by_kind(&further),
                "running_cycle": running_cycle(&app, session.user.tenant),
                "generated_at": app.clock.now().to_rfc3339(),
            }))
        }
        Err(error) => problem::of_store(&error),
    }
}

/// How far the cycle is that this hub runs now; null when it runs none.
fn running_cycle(app: &App, tenant: TenantId) -> serde_json::Value {
    let progress = app.worker.progress(tenant);
    progress.map_or(serde_json::Value::Null, |progress| {
        json!({
            "since": progress.since.to_rfc3339(),
            "judged_agents": progress.n_judged,
            "active_agents": progress.n_agents,
        })
    })
}

fn by_kind(counts: &[&KindCount]) -> serde_json::Map<String, serde_json::Value> {
    let shown = counts.iter().map(|count| {
        let worst = count.worst.map(Severity::as_str);
        let shown = json!({"open": count.n_open, "worst": worst});
        (count.kind.to_string(), shown)
    });
    shown.collect()
}

#[derive(Serialize)]
pub(super) struct ShownAnomaly<'a> {
    pub(super) id: String,
    pub(super) agent_id: String,
    pub(super) agent_name: &'a str,
    pub(super) kind: &'static str,
    pub(super) severity: &'static str,
    pub(super) summary: &'a str,
    pub(super) detail: Option<&'a RawValue>,
    pub(super) evidence: Option<&'a RawValue>,
    pub(super) detected_at: String,
    pub(super) last_seen_at: String,
    pub(super) occurrences: u64,
    pub(super) resolved_at: Option<String>,
    pub(super) resolved_by: Option<&'a str>,
    pub(super) resolution: Option<&'static str>,
    pub(super) note: Option<&'a str>,
    pub(super) label: &'static str,
    pub(super) previous_id: Option<String>,
    pub(super) last: Option<&'a RawValue>,
    pub(super) acknowledged_at: Option<String>,
    pub(super) acknowledged_until: Option<String>,
    pub(super) acknowledged_reason: Option<&'a str>,
    pub(super) snoozed_until: Option<String>,
    pub(super) snoozed_reason: Option<&'a str>,
}

impl<'a> ShownAnomaly<'a> {
    pub(super) fn new(row: &'a AnomalyRow, now: Timestamp) -> Self {
        let anomaly = &row.anomaly;
        let closed = anomaly.closed.as_ref();
        let acknowledged = anomaly.acknowledged.as_ref();
        let snoozed = anomaly.snoozed.as_ref();
        let last = anomaly.last_detail.as_deref();
        Self {
            id: anomaly.id.to_string(),
            agent_id: anomaly.agent.to_string(),
            agent_name: &row.agent_name,
            kind: anomaly.finding.kind.as_str(),
            severity: anomaly.finding.severity.as_str(),
            summary: &anomaly.finding.summary,
            detail: serde_json::from_str(&anomaly.finding.detail).ok(),
            evidence: serde_json::from_str(&anomaly.finding.evidence).ok(),
            detected_at: anomaly.detected_at.to_rfc3339(),
            last_seen_at: anomaly.last_seen_at.to_rfc3339(),
            occurrences: anomaly.occurrences,
            resolved_at: closed.map(|closed| closed.at.to_rfc3339()),
            resolved_by: row.closed_by.as_deref(),
            resolution: closed.map(|closed| closed.resolution.as_str()),
            note: closed.and_then(|closed| closed.note.as_deref()),
            label: row.label(now).as_str(),
            previous_id: anomaly.previous.map(|id| id.to_string()),
            last: last.and_then(|last| serde_json::from_str(last).ok()),
            acknowledged_at: acknowledged.map(|by| by.at.to_rfc3339()),
            acknowledged_until: acknowledged.and_then(|by| Some(by.until?.to_rfc3339())),
            acknowledged_reason: acknowledged.map(|by| by.reason.as_str()),
            snoozed_until: snoozed.map(|by| by.until.to_rfc3339()),
            snoozed_reason: snoozed.map(|by| by.reason.as_str()),
        }
    }
}

/// `GET /api/v1/integrity/anomalies`: a page of what is open, worst first, and then of what is
/// resolved, newest first; with a format, all of it as a file.
pub(crate) async fn anomalies(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let wanted = match Wanted::parse(&query) {
        Ok(wanted) => wanted,
        Err(expected) => return problem::unprocessable(expected),
    };
    let tenant = session.user.tenant;
    if let Some(format) = wanted.format {
        return export::answer(&app, tenant, wanted.filter, wanted.n_rows, format).await;
    }
    let now = app.clock.now();
    match app
        .store
        .anomalies(tenant, wanted.filter, wanted.n_rows, now)
        .await
    {
        Ok(page) => super::json(&Listing::new(&page.rows, page.next, now)),
        Err(error) => problem::of_store(&error),
    }
}

/// Rows, and where the next ones begin.
#[derive(Serialize)]
pub(super) struct Listing<'a> {
    items: Vec<ShownAnomaly<'a>>,
    next_cursor: Option<String>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(rows: &'a [AnomalyRow], next: Option<AnomalyCursor>, now: Timestamp) -> Self {
        let shown = rows.iter().map(|row| ShownAnomaly::new(row, now));
        Self {
            items: shown.collect(),
            next_cursor: next.map(|cursor| cursor.to_string()),
        }
    }
}

/// What somebody asks of the list.
#[derive(Debug)]
struct Wanted {
    filter: AnomalyFilter,
    n_rows: u32,
    format: Option<Format>,
}

impl Wanted {
    /// Reads the parameters; an unknown or unusable one is refused by what it should be. An empty
    /// one is as if it were absent.
    fn parse(query: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let format = query.get("format").filter(|format| !format.is_empty());
        let format = format.map(|format| Format::parse(format)).transpose()?;
        let mut wanted = Self {
            filter: AnomalyFilter::default(),
            n_rows: format.map_or(PAGE_ROWS, |_| limit::EXPORT_ROWS_MAX),
            format,
        };
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            wanted.take(name, value)?;
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let filter = &mut self.filter;
        match name {
            "state" => {
                filter.state = match value {
                    "open" => Some(AnomalyState::Open),
                    "resolved" => Some(AnomalyState::Resolved),
                    "all" => None,
                    _ => return Err("expected state to be open, resolved or all"),
                };
            }
            "kind" => {
                let expected = "expected kind to be one of the kinds of anomalies";
                filter.kind = Some(AnomalyKind::parse(value).map_err(|_| expected)?);
            }
            "severity" => {
                let expected = "expected severity to be info, low, medium, high or critical";
                filter.severity = Some(Severity::parse(value).map_err(|_| expected)?);
            }
            "agent_id" => {
                let expected = "expected agent_id to be an identifier";
                filter.agent = Some(AgentId::parse(value).map_err(|_| expected)?);
            }
            "attention" => {
                let expected = "expected attention to be needed, acknowledged or snoozed";
                filter.attention = Some(Attention::parse(value).ok_or(expected)?);
            }
            "cursor" => {
                let expected = "expected cursor to be a next_cursor";
                filter.after = Some(AnomalyCursor::parse(value).map_err(|_| expected)?);
            }
            "limit" => self.n_rows = self.limit(value)?,
            "format" => {}
            _ => {
                return Err(
                    "expected the parameters state, kind, severity, agent_id, attention, \
                            cursor, limit, format",
                );
            }
        }
        Ok(())
    }

    fn limit(&self, value: &str) -> Result<u32, &'static str> {
        let (most, expected) = match self.format {
            None => (limit::PAGE_ROWS_MAX, "expected limit to be 1 to 200"),
            Some(_) => (
                limit::EXPORT_ROWS_MAX,
                "expected limit to be 1 to 10000 with a format",
            ),
        };
        let n_rows = value.parse().unwrap_or(0);
        if (1..=most).contains(&n_rows) {
            Ok(n_rows)
        } else {
            Err(expected)
        }
    }
}

/// `GET /api/v1/integrity/anomalies/{id}`: one anomaly with what happened to it.
pub(crate) async fn anomaly(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = AnomalyId::parse(&id) else {
        return problem::not_found();
    };
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let row = match app.store.anomaly(tenant, id, now).await {
        Ok(row) => row,
        Err(error) => return problem::of_store(&error),
    };
    match app
        .store
        .ledger(tenant, Some(id), 0, limit::LEDGER_PAGE_ROWS)
        .await
    {
        Ok(entries) => {
            let events = entries.iter().map(ShownEntry::new).collect();
            let anomaly = ShownAnomaly::new(&row, now);
            super::json(&WithEvents { anomaly, events })
        }
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Serialize)]
struct WithEvents<'a> {
    #[serde(flatten)]
    anomaly: ShownAnomaly<'a>,
    events: Vec<ShownEntry<'a>>,
}

/// An entry of the ledger, as it is shown and as anybody can compute its hash again.
#[derive(Serialize)]
struct ShownEntry<'a> {
    seq: u64,
    kind: &'static str,
    actor: String,
    at: String,
    data: Option<&'a RawValue>,
    prev: String,
    hash: String,
}

impl<'a> ShownEntry<'a> {
    fn new(entry: &'a LedgerEntry) -> Self {
        Self {
            seq: entry.seq,
            kind: entry.event.kind.as_str(),
            actor: entry.event.actor.to_string(),
            at: entry.event.at.to_rfc3339(),
            data: serde_json::from_str(&entry.event.data).ok(),
            prev: entry.prev.to_string(),
            hash: entry.hash.to_string(),
        }
    }
}
