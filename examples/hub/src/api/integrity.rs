//! Integrity over HTTP: counts, listing, closing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, AnomalyId};
use monsys_core::limit;
use monsys_core::severity::Severity;
use monsys_core::store::{AnomalyFilter, AnomalyRow, AnomalyState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::problem;
use crate::app::App;
use crate::security::origin::Site;
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
            let kinds: serde_json::Map<_, _> = counts
                .iter()
                .map(|count| {
                    let worst = count.worst.map(Severity::as_str);
                    (
                        count.kind.to_string(),
                        json!({"open": count.n_open, "worst": worst}),
                    )
                })
                .collect();
            super::json(&json!({"kinds": kinds, "generated_at": app.clock.now().to_rfc3339()}))
        }
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Serialize)]
struct ShownAnomaly<'a> {
    id: String,
    agent_id: String,
    agent_name: &'a str,
    kind: &'static str,
    severity: &'static str,
    summary: &'a str,
    detail: Option<&'a RawValue>,
    evidence: Option<&'a RawValue>,
    detected_at: String,
    last_seen_at: String,
    occurrences: u64,
    resolved_at: Option<String>,
    resolved_by: Option<&'a str>,
    resolution: Option<&'static str>,
    note: Option<&'a str>,
}

impl<'a> ShownAnomaly<'a> {
    fn new(row: &'a AnomalyRow) -> Self {
        let anomaly = &row.anomaly;
        let closed = anomaly.closed.as_ref();
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
        }
    }
}

/// `GET /api/v1/integrity/anomalies`: worst first, newest first.
pub(crate) async fn anomalies(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let (filter, n_rows) = match parse_query(&query) {
        Ok(parsed) => parsed,
        Err(expected) => return problem::unprocessable(expected),
    };
    match app
        .store
        .anomalies(session.user.tenant, filter, n_rows)
        .await
    {
        Ok(page) => {
            let items: Vec<_> = page.rows.iter().map(ShownAnomaly::new).collect();
            let next_cursor = page.next.map(|id| id.to_string());
            super::json(&Listing { items, next_cursor })
        }
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Serialize)]
struct Listing<'a> {
    items: Vec<ShownAnomaly<'a>>,
    next_cursor: Option<String>,
}

/// Reads the filters of a listing; an unknown or unusable one is refused by what it should be.
pub(crate) fn parse_query(
    query: &BTreeMap<String, String>,
) -> Result<(AnomalyFilter, u32), &'static str> {
    let mut filter = AnomalyFilter::default();
    let mut n_rows = PAGE_ROWS;
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        match name.as_str() {
            "state" => {
                filter.state = match value.as_str() {
                    "open" => Some(AnomalyState::Open),
                    "resolved" => Some(AnomalyState::Resolved),
                    "all" => None,
                    _ => return Err("expected state to be open, resolved or all"),
                };
            }
            "kind" => {
                let kind = AnomalyKind::parse(value);
                filter.kind = Some(kind.map_err(|_| "expected kind to be one of the six kinds")?);
            }
            "severity" => {
                let severity = Severity::parse(value);
                filter.severity =
                    Some(severity.map_err(
                        |_| "expected severity to be info, low, medium, high or critical",
                    )?);
            }
            "agent_id" => {
                let agent = AgentId::parse(value);
                filter.agent = Some(agent.map_err(|_| "expected agent_id to be an identifier")?);
            }
            "cursor" => {
                let after = AnomalyId::parse(value);
                filter.after = Some(after.map_err(|_| "expected cursor to be a next_cursor")?);
            }
            "limit" => {
                n_rows = value.parse().unwrap_or(0);
                if !(1..=limit::PAGE_ROWS_MAX).contains(&n_rows) {
                    return Err("expected limit to be 1 to 200");
                }
            }
            _ => {
                return Err(
                    "expected the parameters state, kind, severity, agent_id, cursor, limit",
                );
            }
        }
    }
    Ok((filter, n_rows))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ResolveRequest {
    note: Option<String>,
}

/// `POST /api/v1/integrity/anomalies/{id}/resolve`: closes by hand; again changes nothing.
pub(crate) async fn resolve(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if Site::of(&headers) != Site::Own {
        return problem::forbidden("expected a request from this site");
    }
    if !session.is_admin() {
        return problem::forbidden("expected the role admin");
    }
    let request = if body.is_empty() {
        Ok(ResolveRequest::default())
    } else {
        serde_json::from_slice(&body)
    };
    let Ok(ResolveRequest { note }) = request else {
        return problem::unprocessable("expected an object with at most the text note");
    };
    if note
        .as_ref()
        .is_some_and(|note| note.len() > limit::NOTE_BYTES_MAX)
    {
        return problem::unprocessable("expected a note of at most 4096 bytes");
    }
    // What one of the stores cannot hold is refused on each.
    if note.as_ref().is_some_and(|note| note.contains('\0')) {
        return problem::unprocessable("expected a note without U+0000");
    }
    let Ok(id) = AnomalyId::parse(&id) else {
        return problem::not_found();
    };
    let (user, now) = (&session.user, app.clock.now());
    match app
        .store
        .resolve(user.tenant, id, user.user, note, now)
        .await
    {
        Ok(row) => super::json(&ShownAnomaly::new(&row)),
        Err(error) => problem::of_store(&error),
    }
}
