//! What hangs together, and what to repair first, over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use monsys_core::limit;
use monsys_core::time::{Span, Timestamp};
use monsys_signals::controls::Controls;
use monsys_signals::correlate::{Correlator, Finding, Incident, Scope};
use monsys_signals::pareto::{self, Item, Pareto};
use monsys_signals::{Catalog, trust};
use serde::Serialize;

use super::csv::{Csv, is_csv};
use super::problem;
use crate::app::App;
use crate::security::session::ApiSession;
use crate::standing;

/// How far back incidents are looked for when the caller does not say: a day.
pub(crate) const SPAN: Span = Span::from_secs(86_400);
/// How far back incidents are looked for at most: a week.
const SPAN_MAX: Span = Span::from_secs(7 * 86_400);
/// Incidents of an answer when the caller does not say.
const INCIDENTS: usize = 50;
/// Findings of an incident in an answer that lists several.
const FINDINGS: usize = 20;

/// What somebody asks about incidents.
#[derive(Debug)]
struct Wanted {
    since: Timestamp,
    n_incidents: usize,
    id: Option<String>,
    is_csv: bool,
}

/// `GET /api/v1/correlation`: the incidents of the last day, or since a moment, the newest first.
pub(crate) async fn correlation(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let wanted = match Wanted::parse(&query, now) {
        Ok(wanted) => wanted,
        Err(expected) => return problem::unprocessable(expected),
    };
    let _place = app.wide_reads.enter(tenant).await;
    let read = standing::history(app.store.as_ref(), tenant, wanted.since).await;
    let standing = match read {
        Ok(standing) => standing,
        Err(error) => return problem::of_store(&error),
    };
    let mut correlator = Correlator::new(tenant);
    correlator.add(&standing.views());
    let mut incidents = correlator.incidents();
    newest_first(&mut incidents);
    if wanted.is_csv {
        return incidents_csv(&incidents);
    }
    let n_found = incidents.len();
    let n_findings = if let Some(id) = &wanted.id {
        incidents.retain(|incident| incident.id.to_string() == *id);
        if incidents.is_empty() {
            return problem::not_found();
        }
        limit::INCIDENT_FINDINGS_MAX
    } else {
        incidents.truncate(wanted.n_incidents);
        FINDINGS
    };
    super::json(&ShownIncidents {
        since: wanted.since.to_rfc3339(),
        total: n_found,
        complete: !standing.is_cut,
        items: incidents
            .iter()
            .map(|incident| ShownIncident::new(incident, n_findings))
            .collect(),
    })
}

/// Puts the incidents first that last longest into the present.
pub(crate) fn newest_first(incidents: &mut [Incident<'_>]) {
    incidents.sort_by_key(|incident| std::cmp::Reverse((incident.last_at, incident.worst)));
}

impl Wanted {
    fn parse(query: &BTreeMap<String, String>, now: Timestamp) -> Result<Self, &'static str> {
        let mut wanted = Self {
            since: now.saturating_sub(SPAN),
            n_incidents: INCIDENTS,
            id: None,
            is_csv: false,
        };
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "since" => {
                    let since = Timestamp::parse_rfc3339(value).ok();
                    let in_reach =
                        |since: &Timestamp| *since <= now && *since >= now.saturating_sub(SPAN_MAX);
                    wanted.since = since.filter(in_reach).ok_or(
                        "expected since to be a time such as 2026-11-21T01:15:41Z, at most a \
                         week ago and not in the future",
                    )?;
                }
                "limit" => {
                    let n = value.parse().unwrap_or(0);
                    if !(1..=limit::PAGE_ROWS_MAX).contains(&n) {
                        return Err("expected limit to be 1 to 200");
                    }
                    wanted.n_incidents = usize::try_from(n).unwrap_or(INCIDENTS);
                }
                "id" => wanted.id = Some(value.clone()),
                "format" => wanted.is_csv = is_csv(value)?,
                _ => return Err("expected the parameters since, limit, id, format"),
            }
        }
        Ok(wanted)
    }
}

fn incidents_csv(incidents: &[Incident<'_>]) -> Response {
    let mut csv = Csv::new(&[
        "id",
        "scope",
        "subject_type",
        "subject_id",
        "key",
        "worst",
        "first_at",
        "last_at",
        "findings",
        "subjects",
    ]);
    for incident in incidents {
        let (scope, subject_type, subject_id, key) = scope_words(incident.scope);
        csv.row(&[
            &incident.id.to_string(),
            scope,
            subject_type.unwrap_or_default(),
            subject_id.unwrap_or_default(),
            key.unwrap_or_default(),
            incident.worst.as_str(),
            &incident.first_at.to_rfc3339(),
            &incident.last_at.to_rfc3339(),
            &incident.n_findings.to_string(),
            &incident.n_subjects.to_string(),
        ]);
    }
    csv.answer("incidents.csv")
}

type ScopeWords<'a> = (
    &'static str,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
);

fn scope_words(scope: Scope<'_>) -> ScopeWords<'_> {
    match scope {
        Scope::Subject(subject) => (
            "subject",
            Some(subject.subject_type),
            Some(subject.subject_id),
            None,
        ),
        Scope::Fleet { key } => ("fleet", None, None, Some(key)),
    }
}

#[derive(Serialize)]
struct ShownIncidents<'a> {
    since: String,
    /// How many there are, of which `items` are the newest.
    total: usize,
    /// Whether all signals since then were read.
    complete: bool,
    items: Vec<ShownIncident<'a>>,
}

#[derive(Serialize)]
struct ShownIncident<'a> {
    id: String,
    scope: &'static str,
    subject_type: Option<&'a str>,
    subject_id: Option<&'a str>,
    key: Option<&'a str>,
    worst: &'static str,
    first_at: String,
    last_at: String,
    n_findings: usize,
    n_subjects: usize,
    findings: Vec<ShownFinding<'a>>,
    /// Findings that are counted and not listed.
    unlisted: usize,
}

#[derive(Serialize)]
struct ShownFinding<'a> {
    observed_at: String,
    subject_type: &'a str,
    subject_id: &'a str,
    source: &'a str,
    key: &'a str,
    severity: &'static str,
}

impl<'a> ShownIncident<'a> {
    fn new(incident: &Incident<'a>, n_findings: usize) -> Self {
        let (scope, subject_type, subject_id, key) = scope_words(incident.scope);
        let listed = incident.findings.iter().take(n_findings);
        let findings: Vec<_> = listed.map(ShownFinding::new).collect();
        Self {
            id: incident.id.to_string(),
            scope,
            subject_type,
            subject_id,
            key,
            worst: incident.worst.as_str(),
            first_at: incident.first_at.to_rfc3339(),
            last_at: incident.last_at.to_rfc3339(),
            n_findings: incident.n_findings,
            n_subjects: incident.n_subjects,
            unlisted: incident.n_findings - findings.len(),
            findings,
        }
    }
}

impl<'a> ShownFinding<'a> {
    fn new(finding: &Finding<'a>) -> Self {
        Self {
            observed_at: finding.observed_at.to_rfc3339(),
            subject_type: finding.subject.subject_type,
            subject_id: finding.subject.subject_id,
            source: finding.source,
            key: finding.key,
            severity: finding.severity.as_str(),
        }
    }
}

/// `GET /api/v1/compliance/pareto`: which control would bring the organisation the most points.
pub(crate) async fn pareto(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut as_csv = false;
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        let read = match name.as_str() {
            "format" => is_csv(value),
            _ => Err("expected the parameter format"),
        };
        match read {
            Ok(read) => as_csv = read,
            Err(expected) => return problem::unprocessable(expected),
        }
    }
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let _place = app.wide_reads.enter(tenant).await;
    let standing = match standing::of_all(app.store.as_ref(), tenant, now).await {
        Ok(standing) => standing,
        Err(error) => return problem::of_store(&error),
    };
    let (catalog, controls) = (Catalog::standard(), Controls::nist_csf_2());
    let mut scratch = trust::Scratch::new();
    let pareto = pareto::pareto(&standing.views(), &catalog, &controls, &mut scratch, now);
    if as_csv {
        return pareto_csv(&pareto);
    }
    let n_vital = pareto.vital().len();
    super::json(&ShownPareto {
        framework: FRAMEWORK,
        at: now.to_rfc3339(),
        items: items(&pareto).collect(),
        vital: n_vital,
        uncontrolled: pareto.n_uncontrolled(),
        complete: !standing.is_cut,
    })
}

/// What the controls are of.
pub(crate) const FRAMEWORK: &str = "NIST CSF 2.0";

#[derive(Serialize)]
struct ShownPareto<'a> {
    framework: &'static str,
    at: String,
    items: Vec<ShownItem<'a>>,
    /// How many of the first items are the vital few.
    vital: usize,
    /// Live findings that stand under no control.
    uncontrolled: usize,
    /// Whether all signals were read.
    complete: bool,
}

#[derive(Serialize)]
struct ShownItem<'a> {
    control: &'a str,
    title: &'a str,
    gain_milli: u64,
    cumulative_permille: u32,
    vital: bool,
    efficient: bool,
    effort: u64,
    findings: u64,
    subjects: u64,
}

fn items<'a>(pareto: &'a Pareto<'a>) -> impl Iterator<Item = ShownItem<'a>> {
    let n_vital = pareto.vital().len();
    let shown = move |(n, item): (usize, &'a Item<'a>)| ShownItem {
        control: &item.control.id,
        title: &item.control.title,
        gain_milli: item.gain,
        cumulative_permille: item.cumulative_permille,
        vital: n < n_vital,
        efficient: item.is_efficient,
        effort: item.effort,
        findings: item.n_findings,
        subjects: item.n_subjects,
    };
    pareto.items().iter().enumerate().map(shown)
}

fn pareto_csv(pareto: &Pareto<'_>) -> Response {
    let mut csv = Csv::new(&[
        "control",
        "title",
        "gain",
        "cumulative_permille",
        "vital",
        "efficient",
        "effort",
        "findings",
        "subjects",
    ]);
    for item in items(pareto) {
        csv.row(&[
            item.control,
            item.title,
            &points(item.gain_milli),
            &item.cumulative_permille.to_string(),
            if item.vital { "true" } else { "false" },
            if item.efficient { "true" } else { "false" },
            &item.effort.to_string(),
            &item.findings.to_string(),
            &item.subjects.to_string(),
        ]);
    }
    csv.answer("pareto.csv")
}

/// Points of a whole fleet, which may be more than a hundred.
pub(crate) fn points(milli: u64) -> String {
    format!("{}.{:03}", milli / 1_000, milli % 1_000)
}
