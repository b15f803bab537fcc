//! The integrity page: six cards, filters, and the table of anomalies.

use askama::Template;
use monsys_core::anomaly::AnomalyKind;
use monsys_core::severity::Severity;
use monsys_core::store::{AnomalyFilter, AnomalyPage, AnomalyState, KindCount};
use monsys_core::time::Timestamp;

use super::filter;
use super::frame::{Access, Frame, Place, Viewer};
use super::kind::{self, KindCard};
use super::row::{self, Row};

/// What the integrity page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Integrity<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// The open anomalies of the organisation by kind, whatever the filter.
    pub(crate) counts: &'a [KindCount],
    /// What the page lists.
    pub(crate) filter: AnomalyFilter,
    /// The anomalies the filter found.
    pub(crate) page: &'a AnomalyPage,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the integrity page.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn integrity(view: &Integrity<'_>) -> Result<String, askama::Error> {
    let cards = kind::cards(view.counts, view.filter.kind);
    let first = AnomalyFilter {
        after: None,
        ..view.filter
    };
    let page = IntegrityPage {
        frame: Frame::new(view.viewer, Place::Integrity, view.now),
        open: kind::open_words(cards.iter().map(|card| {
            (
                card.kind.as_str(),
                card.n_open,
                card.worst.unwrap_or_default(),
            )
        })),
        n_open: cards.iter().map(|card| card.n_open).sum(),
        cards,
        states: choices(&STATES, filter::state_word(view.filter.state)),
        kinds: choices(
            &AnomalyKind::DOCUMENTED.map(AnomalyKind::as_str),
            view.filter.kind.map_or("", AnomalyKind::as_str),
        ),
        severities: choices(
            &["critical", "high", "medium", "low", "info"],
            view.filter.severity.map_or("", Severity::as_str),
        ),
        agent: view.filter.agent.map(|id| id.to_string()),
        state: filter::state_word(view.filter.state),
        is_narrowed: first != OPEN,
        first: view.filter.after.map(|_| filter::href(&first)),
        next: view.page.next.map(|id| {
            filter::href(&AnomalyFilter {
                after: Some(id),
                ..view.filter
            })
        }),
        rows: row::rows(&view.page.rows, view.now),
        may_resolve: view.viewer.access == Access::Admin,
        is_agent_shown: true,
    };
    page.render()
}

#[derive(Template)]
#[template(path = "integrity.html", config = "src/pages/askama.toml")]
struct IntegrityPage<'a> {
    frame: Frame<'a>,
    cards: Vec<KindCard>,
    n_open: u64,
    open: String,
    states: Vec<Choice>,
    kinds: Vec<Choice>,
    severities: Vec<Choice>,
    agent: Option<String>,
    state: &'static str,
    is_narrowed: bool,
    first: Option<String>,
    next: Option<String>,
    rows: Vec<Row<'a>>,
    may_resolve: bool,
    is_agent_shown: bool,
}

/// One entry of a selection.
struct Choice {
    word: &'static str,
    is_selected: bool,
}

fn choices(words: &[&'static str], selected: &str) -> Vec<Choice> {
    words
        .iter()
        .map(|word| Choice {
            word,
            is_selected: *word == selected,
        })
        .collect()
}

const STATES: [&str; 3] = ["open", "resolved", "all"];

const OPEN: AnomalyFilter = AnomalyFilter {
    state: Some(AnomalyState::Open),
    kind: None,
    severity: None,
    agent: None,
    attention: None,
    after: None,
};
