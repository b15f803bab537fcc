//! One agent: what is known of it, what it measured, its anomalies, and what it said of its machine.

use std::collections::BTreeSet;

use askama::Template;
use monsys_core::store::{AgentSummary, AnomalyCursor, AnomalyPage, KeyState};
use monsys_core::time::Timestamp;
use monsys_signals::Category;
use monsys_signals::trust::Explanation;

use super::endpoint::Endpoint;
use super::filter::Origin;
use super::frame::{Access, Frame, Place, Viewer};
use super::plot::Plot;
use super::readings::{self, Disk, Pick, Readings};
use super::row::{self, Actors, Desk, Row};
use super::trust::Trust;
use super::waterfall::Waterfall;
use super::when::When;
use crate::standing::Standing;
use crate::store::StoredSnapshot;

/// What the page of an agent shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentView<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// The agent.
    pub(crate) agent: &'a AgentSummary,
    /// What stands about it.
    pub(crate) standing: &'a Standing,
    /// Its score, explained from that.
    pub(crate) explained: &'a Explanation<'a>,
    /// What it measured.
    pub(crate) readings: &'a Readings,
    /// What it last said of its machine.
    pub(crate) snapshot: Option<&'a StoredSnapshot>,
    /// What is looked for in that.
    pub(crate) find: &'a str,
    /// Its anomalies, those that are open first.
    pub(crate) page: &'a AnomalyPage,
    /// Who did things with them.
    pub(crate) actors: &'a Actors,
    /// The last anomaly of the page before, if this is not the first.
    pub(crate) after: Option<AnomalyCursor>,
    /// Whether every box is ticked.
    pub(crate) is_ticked: bool,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the page of an agent.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn agent(view: &AgentView<'_>) -> Result<String, askama::Error> {
    let agent = view.agent;
    let here = |after| Origin::Agent(agent.agent, after);
    let rows = row::rows(&view.page.rows, view.actors, view.now);
    let score = view.explained.trust();
    let page = AgentPage {
        frame: Frame::new(view.viewer, Place::Agent, view.now),
        id: agent.agent.to_string(),
        name: agent.name.as_str(),
        trust: Trust::of(agent),
        profile: agent.key.profile().as_str(),
        key: agent.key,
        is_revoked: agent.is_revoked,
        version: agent.version.as_deref(),
        n_open: agent.n_open,
        enrolled: When::new(agent.enrolled_at, view.now),
        last_seen: agent.last_seen_at.map(|at| When::new(at, view.now)),
        score: score.score().to_string(),
        n_covered: score.coverage().n_covered(),
        n_categories: Category::ALL.len(),
        waterfall: Waterfall::of_findings(view.standing, view.explained),
        caption: "What each finding takes from 100 points",
        unmapped: unmapped(view),
        n_unknown: view.explained.unknown().len(),
        plots: readings::plots(view.readings),
        picks: readings::picks(&view.readings.reach, agent.agent, view.now),
        from: When::new(view.readings.reach.from, view.now),
        to: When::new(view.readings.reach.to, view.now),
        disks: &view.readings.disks,
        is_series_cut: view.readings.is_cut,
        endpoint: view
            .snapshot
            .map(|stored| Endpoint::new(stored, view.find, view.now)),
        find: view.find,
        open: row::open_among(&rows),
        desk: Desk::new(here(view.after), &rows, view.is_ticked),
        rows,
        n_of: None,
        next: view.page.next.map(|after| here(Some(after)).page()),
        first: view.after.map(|_| here(None).page()),
        may_resolve: view.viewer.access == Access::Admin,
        is_agent_shown: false,
        state: "all",
    };
    page.render()
}

/// The sources that were seen and are in no category, each once.
fn unmapped<'a>(view: &AgentView<'a>) -> Vec<&'a str> {
    let rows = view.explained.unmapped().iter();
    let signals = rows.filter_map(|row| view.standing.signals.get(*row));
    let sources: BTreeSet<_> = signals.map(|signal| signal.source().as_str()).collect();
    sources.into_iter().collect()
}

#[derive(Template)]
#[template(path = "agent.html", config = "src/pages/askama.toml")]
struct AgentPage<'a> {
    frame: Frame<'a>,
    id: String,
    name: &'a str,
    trust: Trust,
    profile: &'static str,
    key: KeyState,
    is_revoked: bool,
    version: Option<&'a str>,
    n_open: u32,
    enrolled: When,
    last_seen: Option<When>,
    score: String,
    n_covered: usize,
    n_categories: usize,
    waterfall: Waterfall,
    caption: &'static str,
    unmapped: Vec<&'a str>,
    n_unknown: usize,
    plots: Vec<Plot>,
    picks: [Vec<Pick>; 2],
    from: When,
    to: When,
    disks: &'a [Disk],
    is_series_cut: bool,
    endpoint: Option<Endpoint<'a>>,
    find: &'a str,
    open: String,
    desk: Desk,
    rows: Vec<Row<'a>>,
    n_of: Option<u64>,
    next: Option<String>,
    first: Option<String>,
    may_resolve: bool,
    is_agent_shown: bool,
    state: &'static str,
}
