//! What hangs together, and what to repair first.

use std::collections::BTreeMap;

use askama::Template;
use monsys_core::id::AgentId;
use monsys_core::severity::Severity;
use monsys_core::time::{Span, Timestamp};
use monsys_signals::agent;
use monsys_signals::correlate::{Incident, Scope};
use monsys_signals::pareto::Pareto;

use super::frame::{Frame, Place, Viewer};
use super::pareto_chart::ParetoChart;
use super::when::When;
use crate::api::insight::FRAMEWORK;

/// What the page of insights shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insights<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// The incidents since then, the newest first.
    pub(crate) incidents: &'a [Incident<'a>],
    /// From when on incidents were looked for.
    pub(crate) since: Timestamp,
    /// What each control would bring.
    pub(crate) pareto: &'a Pareto<'a>,
    /// The names of the agents of [`agents_of_incidents`] by identifier.
    pub(crate) names: &'a BTreeMap<String, String>,
    /// Whether there was more than was read.
    pub(crate) is_cut: bool,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the page of insights.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn insights(view: &Insights<'_>) -> Result<String, askama::Error> {
    let shown = view.incidents.iter().take(INCIDENTS_MAX);
    let first_at = shown.clone().map(|incident| incident.first_at).min();
    let axis = Axis {
        begin: first_at.unwrap_or(view.since),
        end: view.now,
    };
    let page = InsightsPage {
        frame: Frame::new(view.viewer, Place::Insights, view.now),
        n_incidents: view.incidents.len(),
        n_hidden: view.incidents.len().saturating_sub(INCIDENTS_MAX),
        begin: When::new(axis.begin, view.now),
        incidents: shown
            .map(|incident| Line::new(incident, view, axis))
            .collect(),
        since: When::new(view.since, view.now),
        chart: ParetoChart::new(view.pareto),
        n_uncontrolled: view.pareto.n_uncontrolled(),
        framework: FRAMEWORK,
        is_cut: view.is_cut,
        open: String::new(),
    };
    page.render()
}

/// The agents that the page names: subjects of the incidents that it shows.
pub(crate) fn agents_of_incidents(incidents: &[Incident<'_>]) -> Vec<AgentId> {
    let shown = incidents.iter().take(INCIDENTS_MAX);
    let agents = shown.filter_map(|incident| match incident.scope {
        Scope::Subject(subject) if subject.subject_type == agent::SUBJECT_TYPE => {
            AgentId::parse(subject.subject_id).ok()
        }
        Scope::Subject(_) | Scope::Fleet { .. } => None,
    });
    agents.collect()
}

#[derive(Template)]
#[template(path = "insights.html", config = "src/pages/askama.toml")]
struct InsightsPage<'a> {
    frame: Frame<'a>,
    incidents: Vec<Line>,
    n_incidents: usize,
    n_hidden: usize,
    since: When,
    begin: When,
    chart: Option<ParetoChart>,
    n_uncontrolled: usize,
    framework: &'static str,
    is_cut: bool,
    open: String,
}

/// An incident with its place in time.
struct Line {
    /// The first letters of its name, enough to find it by.
    id: String,
    what: String,
    href: Option<String>,
    is_fleet: bool,
    worst: Severity,
    first: When,
    last: When,
    n_findings: usize,
    n_subjects: usize,
    /// What was found, each key once.
    keys: Vec<String>,
    /// Where its bar begins, of 1000 for the whole time.
    x: String,
    /// How long its bar is.
    width: String,
}

impl Line {
    fn new(incident: &Incident<'_>, view: &Insights<'_>, axis: Axis) -> Self {
        let (what, href) = match incident.scope {
            Scope::Fleet { key } => (key.to_owned(), None),
            Scope::Subject(subject) => {
                // Another kind of thing may have the identifier of an agent.
                let is_agent = subject.subject_type == agent::SUBJECT_TYPE;
                let name = view.names.get(subject.subject_id).filter(|_| is_agent);
                let href = name.map(|_| format!("/agents/{}", subject.subject_id));
                let what = name.map_or(subject.subject_id, String::as_str);
                (what.to_owned(), href)
            }
        };
        let mut keys: Vec<_> = incident.findings.iter().map(|found| found.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let (begin, end) = (axis.place(incident.first_at), axis.place(incident.last_at));
        Self {
            id: incident.id.to_string().chars().take(ID_CHARS).collect(),
            what,
            href,
            is_fleet: matches!(incident.scope, Scope::Fleet { .. }),
            worst: incident.worst,
            first: When::new(incident.first_at, view.now),
            last: When::new(incident.last_at, view.now),
            n_findings: incident.n_findings,
            n_subjects: incident.n_subjects,
            keys: keys.into_iter().take(KEYS_MAX).map(str::to_owned).collect(),
            x: format!("{:.1}", begin.min(1_000.0 - WIDTH_MIN)),
            width: format!("{:.1}", (end - begin).max(WIDTH_MIN)),
        }
    }
}

/// The time that the bars are drawn over: from the first incident shown until now.
#[derive(Clone, Copy)]
struct Axis {
    begin: Timestamp,
    end: Timestamp,
}

impl Axis {
    /// Where a moment lies, of 1000 for the whole time.
    fn place(self, at: Timestamp) -> f64 {
        let span = self.end.since(self.begin).max(Span::from_micros(1));
        let micros = |span: Span| span.micros() as f64;
        let part = micros(at.since(self.begin)) / micros(span);
        part.clamp(0.0, 1.0) * 1_000.0
    }
}

/// Incidents that are shown; the API lists more.
const INCIDENTS_MAX: usize = 50;
/// Keys that are named in the line of an incident.
const KEYS_MAX: usize = 4;
/// Characters of a name that are shown.
const ID_CHARS: usize = 8;
/// So that an incident of one moment can be seen.
const WIDTH_MIN: f64 = 6.0;
