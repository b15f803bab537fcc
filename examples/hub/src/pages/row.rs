//! Anomalies as rows of the table that two pages share.

use monsys_core::anomaly::{Closed, Resolution};
use monsys_core::store::AnomalyRow;
use monsys_core::time::Timestamp;

use super::kind::open_words;
use super::when::When;

/// One anomaly, ready to be shown. Text that came from outside is as stored; templates escape it.
#[derive(Debug, Clone)]
pub(super) struct Row<'a> {
    pub(super) id: String,
    pub(super) severity: &'static str,
    pub(super) kind: &'static str,
    pub(super) agent_id: String,
    pub(super) agent_name: &'a str,
    pub(super) summary: &'a str,
    pub(super) detail: &'a str,
    pub(super) evidence: Option<&'a str>,
    pub(super) detected: When,
    pub(super) last_seen: When,
    pub(super) occurrences: u64,
    pub(super) ending: Option<Ending<'a>>,
}

/// How an anomaly ended.
#[derive(Debug, Clone)]
pub(super) struct Ending<'a> {
    pub(super) at: When,
    /// In which way and by whom.
    pub(super) how: String,
    pub(super) note: Option<&'a str>,
}

impl<'a> Row<'a> {
    pub(super) fn new(row: &'a AnomalyRow, now: Timestamp) -> Self {
        let anomaly = &row.anomaly;
        let finding = &anomaly.finding;
        let closed_by = row.closed_by.as_deref();
        let evidence = Some(finding.evidence.as_str());
        Self {
            id: anomaly.id.to_string(),
            severity: finding.severity.as_str(),
            kind: finding.kind.as_str(),
            agent_id: anomaly.agent.to_string(),
            agent_name: &row.agent_name,
            summary: &finding.summary,
            detail: &finding.detail,
            evidence: evidence.filter(|text| !matches!(*text, "" | "{}")),
            detected: When::new(anomaly.detected_at, now),
            last_seen: When::new(anomaly.last_seen_at, now),
            occurrences: anomaly.occurrences,
            ending: anomaly
                .closed
                .as_ref()
                .map(|c| Ending::new(c, closed_by, now)),
        }
    }
}

impl<'a> Ending<'a> {
    fn new(closed: &'a Closed, by: Option<&'a str>, now: Timestamp) -> Self {
        let by = by.filter(|name| !name.is_empty());
        let is_auto = closed.resolution == Resolution::Auto;
        let how = match (is_auto, by) {
            (true, None) => String::from("the check passed again"),
            (true, Some(by)) => format!("the check passed again, closed by {by}"),
            (false, None) => String::from("closed by hand"),
            (false, Some(by)) => format!("closed by hand by {by}"),
        };
        Self {
            at: When::new(closed.at, now),
            how,
            note: closed.note.as_deref().filter(|note| !note.is_empty()),
        }
    }
}

/// Makes the rows of a page.
pub(super) fn rows(rows: &[AnomalyRow], now: Timestamp) -> Vec<Row<'_>> {
    rows.iter().map(|row| Row::new(row, now)).collect()
}

/// Returns the open ones among the rows in the form the script compares.
pub(super) fn open_among(rows: &[Row<'_>]) -> String {
    let open = rows.iter().filter(|row| row.ending.is_none());
    open_words(open.map(|row| (row.kind, 1, row.severity)))
}
