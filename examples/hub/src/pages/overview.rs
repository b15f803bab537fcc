//! The overview: how the fleet stands, at a glance and of bounded size.

use askama::Template;
use monsys_core::store::{AgentSummary, CycleRecord, KindCount};
use monsys_core::time::Timestamp;
use monsys_signals::TrustScore;
use monsys_signals::trust::FleetTrust;

use super::census::{Census, Part, Spread, SpreadBar};
use super::cycle::CycleLine;
use super::events::EventLine;
use super::frame::{Frame, Place, Viewer};
use super::kind::{self, KindCard};
use super::rank::RankLine;
use super::shell::shell_word;
use crate::store::Activity;

/// What the overview shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overview<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// How many agents are in which state.
    pub(crate) census: Census,
    /// Their scores added up.
    pub(crate) fleet: &'a FleetTrust,
    /// How these are spread.
    pub(crate) spread: Spread,
    /// The agents with the lowest scores, worst first.
    pub(crate) worst: &'a [(AgentSummary, TrustScore)],
    /// The open anomalies by kind.
    pub(crate) counts: &'a [KindCount],
    /// What happened lately, the newest first.
    pub(crate) events: &'a [Activity],
    /// How the newest cycle went, if there was one.
    pub(crate) cycle: Option<&'a CycleRecord>,
    /// Whether there was more than was read, so that scores miss findings.
    pub(crate) is_cut: bool,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the overview.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn overview(view: &Overview<'_>) -> Result<String, askama::Error> {
    let mut cards = kind::cards(view.counts, None);
    cards.extend(kind::further(view.counts));
    let page = OverviewPage {
        frame: Frame::new(view.viewer, Place::Overview, view.now),
        n_doubted: view.spread.n_doubted(),
        n_full: view.spread.n_full(),
        n_agents: view.census.n_agents(),
        parts: view.census.parts(),
        n_open: cards.iter().map(|card| card.n_open).sum(),
        verdict: Verdict::of(view),
        score: view.fleet.mean().to_string(),
        n_judged: view.fleet.n_subjects(),
        n_uncovered: view.fleet.n_uncovered(),
        lowest: view.fleet.worst().map(|worst| worst.to_string()),
        bars: view.spread.bars(),
        worst: RankLine::all(view.worst, view.now),
        lines: EventLine::all(view.events, view.now),
        cycle: view.cycle.map(|record| CycleLine::new(record, view.now)),
        is_cut: view.is_cut,
        open: kind::open_words(cards.iter().map(|card| {
            let worst = card.worst.unwrap_or_default();
            (card.kind.as_str(), card.n_open, worst)
        })),
        concerns: kind::concerns(cards),
        organisation_word: shell_word(view.viewer.organisation),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/pages/askama.toml")]
struct OverviewPage<'a> {
    frame: Frame<'a>,
    n_doubted: u64,
    n_full: u64,
    n_agents: u64,
    parts: Vec<Part>,
    n_open: u64,
    verdict: Verdict,
    score: String,
    n_judged: u64,
    n_uncovered: u64,
    lowest: Option<String>,
    bars: Vec<SpreadBar>,
    worst: Vec<RankLine<'a>>,
    lines: Vec<EventLine<'a>>,
    cycle: Option<CycleLine<'a>>,
    is_cut: bool,
    open: String,
    concerns: Vec<KindCard>,
    organisation_word: String,
}

/// What the whole comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// High or critical things are open.
    Alarm,
    /// Something is open.
    Concern,
    /// Nothing is open, and not everything can be told.
    Unsure,
    /// Nothing is open, and everybody reports what can be verified.
    Calm,
}

impl Verdict {
    fn of(view: &Overview<'_>) -> Self {
        let tones = kind::cards(view.counts, None).into_iter();
        let mut tones = tones
            .chain(kind::further(view.counts))
            .map(|card| card.tone);
        if tones.clone().any(|tone| tone == "red") {
            return Self::Alarm;
        }
        if tones.any(|tone| tone != "neutral") {
            return Self::Concern;
        }
        let census = view.census;
        if census.n_silent + census.n_never_seen + view.spread.n_unknown() > 0 {
            return Self::Unsure;
        }
        Self::Calm
    }

    /// The name of its mark and of its colour.
    const fn word(self) -> &'static str {
        match self {
            Self::Alarm => "high",
            Self::Concern => "medium",
            Self::Unsure => "unverified",
            Self::Calm => "trusted",
        }
    }
}
