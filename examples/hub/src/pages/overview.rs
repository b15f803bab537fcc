//! The overview: what needs attention, and every agent with its newest readings.

use std::collections::BTreeMap;

use askama::Template;
use monsys_core::store::{AgentSummary, KeyState, KindCount};
use monsys_core::time::Timestamp;
use monsys_signals::trust::FleetTrust;
use monsys_signals::{Category, TrustScore};

use super::chart::{self, Chart};
use super::frame::{Frame, Place, Viewer};
use super::kind::{self, KindCard};
use super::trust::Trust;
use super::waterfall::Waterfall;
use super::when::When;

/// What the overview shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overview<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// The agents of the organisation, in any order.
    pub(crate) agents: &'a [AgentSummary],
    /// The scores of those that anything stands about, by identifier.
    pub(crate) scores: &'a BTreeMap<String, TrustScore>,
    /// Sources that were seen and are in no category.
    pub(crate) unmapped: &'a [&'a str],
    /// Whether there was more than was read, so that scores miss findings.
    pub(crate) is_cut: bool,
    /// Its open anomalies by kind.
    pub(crate) counts: &'a [KindCount],
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the overview.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn overview(view: &Overview<'_>) -> Result<String, askama::Error> {
    let mut agents: Vec<_> = view.agents.iter().collect();
    agents.sort_by_key(|agent| (Trust::of(agent).rank(), agent.name.as_str()));
    let agents: Vec<_> = agents
        .into_iter()
        .map(|a| AgentLine::new(a, view.scores, view.now))
        .collect();
    let cards = kind::cards(view.counts, None);
    let n_of = |trust: Trust| agents.iter().filter(|line| line.trust == trust).count();
    let mut fleet = FleetTrust::new();
    let judged = agents.iter().filter(|line| line.trust != Trust::Revoked);
    judged.for_each(|line| fleet.add(&line.score));
    let page = OverviewPage {
        frame: Frame::new(view.viewer, Place::Overview, view.now),
        n_open: cards.iter().map(|card| card.n_open).sum(),
        n_doubted: agents.iter().filter(|line| line.is_doubted()).count(),
        n_unverified: n_of(Trust::Unverified),
        n_silent: n_of(Trust::Silent),
        n_trusted: n_of(Trust::Trusted),
        n_judged: fleet.n_subjects(),
        n_uncovered: fleet.n_uncovered(),
        worst: fleet.worst().map(|worst| worst.to_string()),
        waterfall: Waterfall::of_fleet(&fleet),
        caption: "What each category takes from the mean of 100 points",
        unmapped: view.unmapped,
        is_cut: view.is_cut,
        open: kind::open_words(cards.iter().map(|card| {
            (
                card.kind.as_str(),
                card.n_open,
                card.worst.unwrap_or_default(),
            )
        })),
        concerns: concerns(cards),
        organisation_word: shell_word(view.viewer.organisation),
        agents,
    };
    page.render()
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/pages/askama.toml")]
struct OverviewPage<'a> {
    frame: Frame<'a>,
    agents: Vec<AgentLine<'a>>,
    concerns: Vec<KindCard>,
    n_open: u64,
    n_doubted: usize,
    n_unverified: usize,
    n_silent: usize,
    n_trusted: usize,
    n_judged: u64,
    n_uncovered: u64,
    worst: Option<String>,
    waterfall: Waterfall,
    caption: &'static str,
    unmapped: &'a [&'a str],
    is_cut: bool,
    open: String,
    organisation_word: String,
}

struct AgentLine<'a> {
    id: String,
    name: &'a str,
    trust: Trust,
    score: TrustScore,
    n_covered: usize,
    n_categories: usize,
    spark: Option<Chart>,
    key: KeyState,
    version: Option<&'a str>,
    n_open: u32,
    last_seen: Option<When>,
}

impl<'a> AgentLine<'a> {
    fn new(agent: &'a AgentSummary, scores: &BTreeMap<String, TrustScore>, now: Timestamp) -> Self {
        let id = agent.agent.to_string();
        let score = scores.get(&id).copied();
        let score = score.unwrap_or_else(TrustScore::unobserved);
        Self {
            id,
            score,
            n_covered: score.coverage().n_covered(),
            n_categories: Category::ALL.len(),
            name: agent.name.as_str(),
            trust: Trust::of(agent),
            spark: Chart::new(&agent.recent_cpu, SPARK),
            key: agent.key,
            version: agent.version.as_deref(),
            n_open: agent.n_open,
            last_seen: agent.last_seen_at.map(|at| When::new(at, now)),
        }
    }

    const fn is_doubted(&self) -> bool {
        matches!(self.trust, Trust::Doubted(_))
    }
}

/// The kinds of which something is open, worst first; equal ones stay in the document's order.
fn concerns(cards: Vec<KindCard>) -> Vec<KindCard> {
    let mut concerns: Vec<_> = cards.into_iter().filter(|card| card.n_open > 0).collect();
    concerns.sort_by_key(|card| {
        SEVERITY_ORDER
            .iter()
            .position(|word| card.worst == Some(word))
    });
    concerns
}

/// Quotes a name for a shell, because the command shown is there to be copied.
fn shell_word(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// As wide and high as the template's drawing.
const SPARK: chart::Canvas = chart::Canvas {
    width: 132.0,
    height: 30.0,
    margin: 3.0,
};

const SEVERITY_ORDER: [&str; 5] = ["critical", "high", "medium", "low", "info"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_the_shell() {
        assert_eq!(shell_word("acme"), "acme");
        assert_eq!(shell_word("Bob's $(shop)"), r"'Bob'\''s $(shop)'");
        assert_eq!(shell_word("-rf"), "'-rf'");
        assert_eq!(shell_word(""), "''");
    }
}
