//! The time line of what happened, the newest first.

use askama::Template;
use monsys_core::endpoint::{AuthOutcome, CollectorState};
use monsys_core::id::AgentId;
use monsys_core::ledger::EventKind;
use monsys_core::severity::Severity;
use monsys_core::time::Timestamp;

use super::address::address;
use super::choice::{Choices, entries};
use super::frame::{Frame, Place, Viewer};
use super::kind::meaning;
use super::trail::Trail;
use super::when::When;
use crate::store::{
    Activity, ActivityKind, ActivityPage, ActivityPlace, Actor, CollectorChange, Happened,
    LoginCount,
};

/// The spans that are offered, in seconds.
pub(crate) const EVENT_RANGES: [(&str, i64); 4] = [
    ("1h", 3_600),
    ("24h", 86_400),
    ("7d", 604_800),
    ("30d", 2_592_000),
];

/// What the time line shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// Of one kind.
    pub(crate) kind: Option<ActivityKind>,
    /// Of one agent, as typed; foreign text.
    pub(crate) agent: &'a str,
    /// Within one of the spans; empty is any.
    pub(crate) range: &'static str,
    /// Where the page begins, if it is not the first.
    pub(crate) after: Option<ActivityPlace>,
    /// The pages before.
    pub(crate) back: &'a Trail,
    /// What happened.
    pub(crate) page: &'a ActivityPage,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the time line.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn events(view: &Events<'_>) -> Result<String, askama::Error> {
    let here = view.after.map(|after| after.to_string());
    let (before, rest) = view.back.backward();
    let go = |cursor: &str, back: &str| {
        let kind = view.kind.map_or("", ActivityKind::as_str);
        let parameters = [
            ("kind", kind),
            ("agent_id", view.agent),
            ("range", view.range),
            ("cursor", cursor),
            ("back", back),
        ];
        address("/events", &parameters)
    };
    let page = EventsPage {
        frame: Frame::new(view.viewer, Place::Events, view.now),
        open: String::new(),
        choices: choices(view),
        agent: view.agent,
        is_narrowed: view.kind.is_some() || !view.agent.is_empty() || !view.range.is_empty(),
        lines: EventLine::all(&view.page.rows, view.now),
        first: here.as_ref().map(|_| go("", "")),
        before: here.as_ref().map(|_| go(before.unwrap_or_default(), &rest)),
        next: view
            .page
            .next
            .map(|next| go(&next.to_string(), &view.back.forward(here.as_deref()))),
    };
    page.render()
}

/// Tells whose event it is; an entry of the audit log is nobody's.
pub(crate) const fn agent_of(what: &Happened) -> Option<AgentId> {
    match what {
        Happened::Anomaly { agent, .. }
        | Happened::Login { agent, .. }
        | Happened::Collector { agent, .. } => Some(*agent),
        Happened::Audit { .. } => None,
    }
}

#[derive(Template)]
#[template(path = "events.html", config = "src/pages/askama.toml")]
struct EventsPage<'a> {
    frame: Frame<'a>,
    open: String,
    choices: [Choices<'a>; 2],
    agent: &'a str,
    is_narrowed: bool,
    lines: Vec<EventLine<'a>>,
    first: Option<String>,
    before: Option<String>,
    next: Option<String>,
}

/// What began or became worse has the mark of its severity, what ended the one of trust.
fn mark(event: EventKind, severity: Severity) -> &'static str {
    if event == EventKind::Resolved {
        return "trusted";
    }
    if [EventKind::Opened, EventKind::SeverityRaised].contains(&event) {
        return severity.as_str();
    }
    "waiting"
}

fn choices<'a>(view: &Events<'a>) -> [Choices<'a>; 2] {
    let kinds = ActivityKind::ALL.map(ActivityKind::as_str);
    let ranges = EVENT_RANGES.map(|(word, _)| word);
    let with_any = |words: &[&'static str], selected| {
        let words: Vec<_> = [""].iter().chain(words).copied().collect();
        entries(&words, selected)
    };
    [
        Choices {
            name: "kind",
            label: "Kind",
            words: with_any(&kinds, view.kind.map_or("", ActivityKind::as_str)),
        },
        Choices {
            name: "range",
            label: "Within",
            words: with_any(&ranges, view.range),
        },
    ]
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) struct EventLine<'a> {
    pub(super) id: String,
    /// The day, where it is another one than in the line above.
    pub(super) day: Option<String>,
    pub(super) at: When,
    /// What happened, in a word, and the mark that goes with it.
    pub(super) event: &'a str,
    pub(super) mark: &'static str,
    /// Whose agent: its page and its name.
    pub(super) agent: Option<(String, &'a str)>,
    /// Where more is said of it.
    pub(super) href: Option<String>,
    /// In a word of the vocabulary, and in others.
    pub(super) code: &'a str,
    pub(super) text: String,
    pub(super) by: &'a str,
}

impl<'a> EventLine<'a> {
    pub(super) fn all(rows: &'a [Activity], now: Timestamp) -> Vec<Self> {
        let mut day = String::new();
        let line = |row: &'a Activity| {
            let mut line = Self::new(row, now);
            let this = line.at.exact.get(..10).unwrap_or_default();
            if this != day {
                this.clone_into(&mut day);
                line.day = Some(day.clone());
            }
            line
        };
        rows.iter().map(line).collect()
    }

    fn new(row: &'a Activity, now: Timestamp) -> Self {
        let line = Self {
            id: row.place.to_string(),
            day: None,
            at: When::new(row.place.at, now),
            event: row.place.kind.as_str(),
            mark: "info",
            agent: None,
            href: None,
            code: "",
            text: String::new(),
            by: "",
        };
        match &row.what {
            Happened::Anomaly {
                event,
                anomaly,
                kind,
                severity,
                agent,
                agent_name,
                actor,
            } => Self {
                event: event.as_str(),
                mark: mark(*event, *severity),
                href: Some(format!("/integrity/{anomaly}")),
                code: kind.as_str(),
                text: meaning(*kind).unwrap_or_default().to_owned(),
                by: match actor {
                    Actor::Person(email) => email,
                    Actor::Worker => "the integrity worker",
                },
                ..line.of(*agent, agent_name)
            },
            Happened::Login {
                agent,
                agent_name,
                counts,
            } => line.of(*agent, agent_name).of_logins(*agent, counts),
            Happened::Collector {
                agent,
                agent_name,
                changes,
            } => line.of(*agent, agent_name).of_collectors(*agent, changes),
            Happened::Audit {
                actor,
                action,
                subject,
            } => Self {
                code: action,
                text: subject.clone(),
                by: actor,
                ..line
            },
        }
    }

    fn of(self, agent: AgentId, name: &'a str) -> Self {
        Self {
            agent: Some((format!("/agents/{agent}"), name)),
            ..self
        }
    }

    fn of_logins(self, agent: AgentId, counts: &[LoginCount]) -> Self {
        let is_refused = |count: &LoginCount| count.outcome == AuthOutcome::Failure;
        let said = counts.iter().map(|count| {
            let word = if is_refused(count) {
                "refused"
            } else {
                "let in"
            };
            format!("{} {word} {}", count.service, count.count)
        });
        Self {
            mark: if counts.iter().any(is_refused) {
                "medium"
            } else {
                "info"
            },
            href: Some(format!("/agents/{agent}#auth")),
            text: said.collect::<Vec<_>>().join(", "),
            ..self
        }
    }

    fn of_collectors(self, agent: AgentId, changes: &[CollectorChange]) -> Self {
        let is_well = |change: &CollectorChange| change.state == CollectorState::Ok;
        let said = changes.iter().map(|change| {
            let reason = change.reason.as_deref().unwrap_or_default();
            let gap = if reason.is_empty() { "" } else { ": " };
            let (was, is) = (change.was.as_str(), change.state.as_str());
            format!("{} {was} \u{2192} {is}{gap}{reason}", change.collector)
        });
        Self {
            mark: if changes.iter().all(is_well) {
                "trusted"
            } else {
                "medium"
            },
            href: Some(format!("/agents/{agent}#health")),
            text: said.collect::<Vec<_>>().join("; "),
            ..self
        }
    }
}
