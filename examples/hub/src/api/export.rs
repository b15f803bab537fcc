//! The list of anomalies as a file: CSV for a spreadsheet, JSON for a program.
//!
//! A file holds at most [`limit::EXPORT_ROWS_MAX`] rows, read page by page; what is closed while it
//! is made may stand in it twice, once open and once resolved, and nothing is left out. One that is
//! cut says so: as the last line of a table, as `next_cursor` in JSON.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use monsys_core::id::TenantId;
use monsys_core::store::{AnomalyCursor, AnomalyFilter, AnomalyRow, StoreError};
use monsys_core::time::Timestamp;
use serde_json::value::RawValue;

use super::csv::{Csv, is_csv};
use super::integrity::{Listing, ShownAnomaly};
use super::problem;
use crate::app::App;

/// Rows that are read at once.
const READ_ROWS: u32 = 1_000;

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

impl Format {
    pub(super) fn parse(word: &str) -> Result<Self, &'static str> {
        Ok(if is_csv(word)? { Self::Csv } else { Self::Json })
    }
}

/// Answers with at most `n_rows` anomalies as a file.
pub(super) async fn answer(
    app: &App,
    tenant: TenantId,
    filter: AnomalyFilter,
    n_rows: u32,
    format: Format,
) -> Response {
    let _place = app.wide_reads.enter(tenant).await;
    let now = app.clock.now();
    let (rows, next) = match read(app, tenant, filter, n_rows, now).await {
        Ok(read) => read,
        Err(error) => return problem::of_store(&error),
    };
    match format {
        Format::Csv => table(&rows, next, now).answer("anomalies.csv"),
        Format::Json => {
            let mut response = super::json(&Listing::new(&rows, next, now));
            response.headers_mut().insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("attachment; filename=\"anomalies.json\""),
            );
            response
        }
    }
}

async fn read(
    app: &App,
    tenant: TenantId,
    mut filter: AnomalyFilter,
    n_rows: u32,
    now: Timestamp,
) -> Result<(Vec<AnomalyRow>, Option<AnomalyCursor>), StoreError> {
    let mut rows = Vec::new();
    let mut n_missing = n_rows;
    loop {
        let n_asked = n_missing.min(READ_ROWS);
        let page = app.store.anomalies(tenant, filter, n_asked, now).await?;
        rows.extend(page.rows);
        n_missing -= n_asked;
        filter.after = page.next;
        if page.next.is_none() || n_missing == 0 {
            return Ok((rows, page.next));
        }
    }
}

fn table(rows: &[AnomalyRow], next: Option<AnomalyCursor>, now: Timestamp) -> Csv {
    let mut csv = Csv::new(&COLUMNS);
    for row in rows {
        let shown = ShownAnomaly::new(row, now);
        let json = |value: Option<&'_ RawValue>| value.map_or("", RawValue::get).to_owned();
        let time = |time: &Option<String>| time.clone().unwrap_or_default();
        csv.row(&[
            &shown.id,
            &shown.agent_id,
            shown.agent_name,
            shown.kind,
            shown.severity,
            shown.summary,
            &json(shown.detail),
            &json(shown.evidence),
            &shown.detected_at,
            &shown.last_seen_at,
            &shown.occurrences.to_string(),
            shown.label,
            &time(&shown.acknowledged_at),
            &time(&shown.acknowledged_until),
            shown.acknowledged_reason.unwrap_or_default(),
            &time(&shown.snoozed_until),
            shown.snoozed_reason.unwrap_or_default(),
            &time(&shown.resolved_at),
            shown.resolved_by.unwrap_or_default(),
            shown.resolution.unwrap_or_default(),
            shown.note.unwrap_or_default(),
            &time(&shown.previous_id),
        ]);
    }
    if let Some(next) = next {
        let n_rows = rows.len();
        let said = format!("# cut after {n_rows} rows: the next ones begin at cursor {next}");
        csv.row(&[&said]);
    }
    csv
}

const COLUMNS: [&str; 22] = [
    "id",
    "agent_id",
    "agent_name",
    "kind",
    "severity",
    "summary",
    "detail",
    "evidence",
    "detected_at",
    "last_seen_at",
    "occurrences",
    "label",
    "acknowledged_at",
    "acknowledged_until",
    "acknowledged_reason",
    "snoozed_until",
    "snoozed_reason",
    "resolved_at",
    "resolved_by",
    "resolution",
    "note",
    "previous_id",
];
