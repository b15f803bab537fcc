//! The integrity page: six cards, filters, the table of anomalies, and how the last cycle went.

use askama::Template;
use monsys_core::anomaly::AnomalyKind;
use monsys_core::severity::Severity;
use monsys_core::store::{
    AnomalyFilter, AnomalyPage, AnomalyState, Attention, CycleRecord, KindCount,
};
use monsys_core::time::Timestamp;

use super::choice::{Choices, entries};
use super::cycle::{self, CycleLine};
use super::filter::{self, OPEN, Origin};
use super::frame::{Access, Frame, Place, Viewer};
use super::kind::{self, KindCard};
use super::row::{self, Actors, Desk, Row};
use crate::worker::Progress;

/// What the integrity page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Integrity<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// The open anomalies of the organisation by kind, whatever the filter.
    pub(crate) counts: &'a [KindCount],
    /// What the page lists.
    pub(crate) filter: AnomalyFilter,
    /// The anomalies that the filter found.
    pub(crate) page: &'a AnomalyPage,
    /// Who did things with them.
    pub(crate) actors: &'a Actors,
    /// How the newest cycle went, if there was one.
    pub(crate) cycle: Option<&'a CycleRecord>,
    /// How far the cycle is that runs at this moment, if one does.
    pub(crate) progress: Option<Progress>,
    /// The word of what came of asking for a cycle.
    pub(crate) asked: &'a str,
    /// Whether every box is ticked.
    pub(crate) is_ticked: bool,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the integrity page.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn integrity(view: &Integrity<'_>) -> Result<String, askama::Error> {
    let cards = kind::cards(view.counts, view.filter.kind);
    let further = kind::further(view.counts);
    let all_cards = || cards.iter().chain(&further);
    let first = AnomalyFilter {
        after: None,
        ..view.filter
    };
    let rows = row::rows(&view.page.rows, view.actors, view.now);
    let page = IntegrityPage {
        frame: Frame::new(view.viewer, Place::Integrity, view.now),
        open: kind::open_words(all_cards().map(|card| {
            let worst = card.worst.unwrap_or_default();
            (card.kind.as_str(), card.n_open, worst)
        })),
        n_open: all_cards().map(|card| card.n_open).sum(),
        choices: choices(&view.filter),
        agent: agent_word(view),
        state: filter::state_word(view.filter.state),
        is_narrowed: first != OPEN,
        n_of: n_of(view),
        first: view.filter.after.map(|_| filter::href(&first)),
        next: view.page.next.map(|after| {
            filter::href(&AnomalyFilter {
                after: Some(after),
                ..view.filter
            })
        }),
        export: export(&first),
        desk: Desk::new(Origin::List(view.filter), &rows, view.is_ticked),
        rows,
        cards,
        further,
        cycle: view.cycle.map(|record| CycleLine::new(record, view.now)),
        progress: view.progress,
        answer: cycle::answer_to(view.asked),
        may_resolve: view.viewer.access == Access::Admin,
        is_agent_shown: true,
    };
    page.render()
}

/// What people call the agent of the filter, as far as a row tells.
fn agent_word(view: &Integrity<'_>) -> String {
    let Some(agent) = view.filter.agent else {
        return String::new();
    };
    let row = view.page.rows.first();
    row.map_or_else(|| agent.to_string(), |row| row.agent_name.clone())
}

/// How many the filter finds in all, where the counts tell.
fn n_of(view: &Integrity<'_>) -> Option<u64> {
    let filter = view.filter;
    let of_kind = AnomalyFilter {
        kind: filter.kind,
        after: filter.after,
        ..OPEN
    };
    if filter != of_kind {
        return None;
    }
    let counts = view.counts.iter();
    let counted = counts.filter(|count| filter.kind.is_none_or(|kind| kind == count.kind));
    Some(counted.map(|count| count.n_open).sum())
}

/// The address of the whole list as a file, without the format, which is added.
fn export(filter: &AnomalyFilter) -> String {
    let query = filter::query(filter);
    let gap = if query.is_empty() { '?' } else { '&' };
    // Pages show what is open unless asked; the API shows all.
    let state = if filter.state == Some(AnomalyState::Open) {
        "state=open&"
    } else {
        ""
    };
    format!("/api/v1/integrity/anomalies{query}{gap}{state}format=")
}

#[derive(Template)]
#[template(path = "integrity.html", config = "src/pages/askama.toml")]
struct IntegrityPage<'a> {
    frame: Frame<'a>,
    cards: Vec<KindCard>,
    further: Vec<KindCard>,
    n_open: u64,
    open: String,
    choices: [Choices<'static>; 4],
    agent: String,
    state: &'static str,
    is_narrowed: bool,
    n_of: Option<u64>,
    first: Option<String>,
    next: Option<String>,
    export: String,
    desk: Desk,
    rows: Vec<Row<'a>>,
    cycle: Option<CycleLine<'a>>,
    progress: Option<Progress>,
    answer: Option<&'static str>,
    may_resolve: bool,
    is_agent_shown: bool,
}

fn choices(filter: &AnomalyFilter) -> [Choices<'static>; 4] {
    let kinds: Vec<_> = AnomalyKind::every().map(AnomalyKind::as_str).collect();
    let mut severities = Severity::ALL.map(Severity::as_str);
    severities.reverse();
    let attentions = Attention::ALL.map(Attention::as_str);
    let (any, kind) = ("", filter.kind.map_or("", AnomalyKind::as_str));
    let severity = filter.severity.map_or("", Severity::as_str);
    let attention = filter.attention.map_or("", Attention::as_str);
    let with_any = |words: &[&'static str], selected: &str| {
        let words = [&[any], words].concat();
        entries(&words, selected)
    };
    [
        Choices {
            name: "state",
            label: "State",
            words: entries(&STATES, filter::state_word(filter.state)),
        },
        Choices {
            name: "attention",
            label: "Attention",
            words: with_any(&attentions, attention),
        },
        Choices {
            name: "kind",
            label: "Kind",
            words: with_any(&kinds, kind),
        },
        Choices {
            name: "severity",
            label: "Severity",
            words: with_any(&severities, severity),
        },
    ]
}

const STATES: [&str; 3] = ["open", "resolved", "all"];
