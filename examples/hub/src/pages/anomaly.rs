//! One anomaly: what it says, what supports it, what a person may do with it, and what happened to
//! it.

use askama::Template;
use monsys_core::id::UserId;
use monsys_core::ledger::LedgerEntry;
use monsys_core::store::AnomalyRow;
use monsys_core::time::Timestamp;

use super::filter::{Origin, agent_href};
use super::frame::{Access, Frame, Place, Viewer};
use super::kind;
use super::members::Members;
use super::row::{Actors, Ending, Hold, who};
use super::when::When;

/// What the page of an anomaly shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnomalyView<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// The anomaly.
    pub(crate) row: &'a AnomalyRow,
    /// What happened to it, in order.
    pub(crate) events: &'a [LedgerEntry],
    /// Whether more happened afterwards.
    pub(crate) has_more: bool,
    /// The number of the ledger behind which the events begin.
    pub(crate) after: u64,
    /// Who did things.
    pub(crate) actors: &'a Actors,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the page of an anomaly.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn anomaly(view: &AnomalyView<'_>) -> Result<String, askama::Error> {
    let (anomaly, actors, now) = (&view.row.anomaly, view.actors, view.now);
    let finding = &anomaly.finding;
    let is_open = anomaly.is_open();
    let origin = Origin::Anomaly(anomaly.id);
    let (severity, kind) = (finding.severity.as_str(), finding.kind.as_str());
    let events: Vec<_> = view
        .events
        .iter()
        .map(|entry| Event::new(entry, view))
        .collect();
    let last = view.events.last().filter(|_| view.has_more);
    let page = AnomalyPage {
        frame: Frame::new(view.viewer, Place::Anomaly, now),
        open: kind::open_words(is_open.then_some((kind, 1, severity))),
        id: anomaly.id.to_string(),
        severity,
        kind,
        meaning: kind::meaning(finding.kind),
        agent_href: agent_href(anomaly),
        agent_name: &view.row.agent_name,
        label: view.row.label(now).as_str(),
        summary: &finding.summary,
        detected: When::new(anomaly.detected_at, now),
        last_seen: When::new(anomaly.last_seen_at, now),
        occurrences: anomaly.occurrences,
        acknowledged: (anomaly.acknowledged.as_ref()).map(|a| Hold::acknowledged(a, actors, now)),
        snoozed: (anomaly.snoozed.as_ref()).map(|s| Hold::snoozed(s, actors, now)),
        ending: (anomaly.closed.as_ref()).map(|closed| Ending::new(closed, actors, now)),
        previous: anomaly.previous.map(|id| id.to_string()),
        detail: &finding.detail,
        evidence: Members::of(&finding.evidence).0,
        evidence_text: &finding.evidence,
        last_detail: anomaly.last_detail.as_deref(),
        events,
        next: last.map(|entry| format!("{}?after={}", origin.page(), entry.seq)),
        first: (view.after > 0).then(|| origin.page()),
        may_act: is_open && view.viewer.access == Access::Admin,
        query: origin.query(),
    };
    page.render()
}

/// One thing that happened.
struct Event<'a> {
    seq: u64,
    kind: &'static str,
    at: When,
    by: &'a str,
    data: Vec<(String, String)>,
    /// The beginning of the hash; the whole is in the API.
    hash: String,
}

impl<'a> Event<'a> {
    fn new(entry: &LedgerEntry, view: &AnomalyView<'a>) -> Self {
        let event = &entry.event;
        let actor: UserId = event.actor;
        Self {
            seq: entry.seq,
            kind: event.kind.as_str(),
            at: When::new(event.at, view.now),
            by: who(view.actors, actor),
            data: Members::of(&event.data).0,
            hash: entry.hash.to_string().chars().take(HASH_DIGITS).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "anomaly.html", config = "src/pages/askama.toml")]
struct AnomalyPage<'a> {
    frame: Frame<'a>,
    open: String,
    id: String,
    severity: &'static str,
    kind: &'static str,
    meaning: Option<&'static str>,
    agent_href: String,
    agent_name: &'a str,
    label: &'static str,
    summary: &'a str,
    detected: When,
    last_seen: When,
    occurrences: u64,
    acknowledged: Option<Hold<'a>>,
    snoozed: Option<Hold<'a>>,
    ending: Option<Ending<'a>>,
    previous: Option<String>,
    detail: &'a str,
    evidence: Vec<(String, String)>,
    evidence_text: &'a str,
    last_detail: Option<&'a str>,
    events: Vec<Event<'a>>,
    next: Option<String>,
    first: Option<String>,
    may_act: bool,
    query: String,
}

/// Digits of a hash that people compare by eye.
const HASH_DIGITS: usize = 12;
