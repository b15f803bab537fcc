//! The fleet: how its trust has gone, what takes points, and who to look at first.

use askama::Template;
use monsys_core::store::AgentSummary;
use monsys_core::time::Timestamp;
use monsys_signals::TrustScore;
use monsys_signals::trust::FleetTrust;

use super::census::{Spread, SpreadBar};
use super::frame::{Frame, Place, Viewer};
use super::plot::{Plot, Series, Unit, Window};
use super::rank::RankLine;
use super::shell::shell_word;
use super::waterfall::Waterfall;

/// What the page of the fleet shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// All scores added up.
    pub(crate) fleet: &'a FleetTrust,
    /// How these are spread.
    pub(crate) spread: Spread,
    /// The agents with the lowest scores, worst first.
    pub(crate) worst: &'a [(AgentSummary, TrustScore)],
    /// How the scores went.
    pub(crate) trend: &'a Trend,
    /// Sources that were seen and are in no category.
    pub(crate) unmapped: &'a [String],
    /// Whether there was more than was read, so that scores miss findings.
    pub(crate) is_cut: bool,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Scores of a fleet at past moments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trend {
    /// The mean and the lowest score.
    Known(Window, [Series; 2]),
    /// There are more signals than it is made of.
    TooMuch,
}

/// Renders the page of the fleet.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn fleet(view: &Fleet<'_>) -> Result<String, askama::Error> {
    let fleet = view.fleet;
    let page = FleetPage {
        frame: Frame::new(view.viewer, Place::Fleet, view.now),
        n_judged: fleet.n_subjects(),
        n_uncovered: fleet.n_uncovered(),
        lowest: fleet.worst().map(|worst| worst.to_string()),
        waterfall: Waterfall::of_fleet(fleet),
        caption: "What each category takes from the mean of 100 points",
        bars: view.spread.bars(),
        worst: RankLine::all(view.worst, view.now),
        is_too_much: *view.trend == Trend::TooMuch,
        plot: match view.trend {
            Trend::Known(window, series) => {
                Plot::new(("trust", "Trust score"), Unit::Score, *window, series)
            }
            Trend::TooMuch => None,
        },
        unmapped: view.unmapped,
        is_cut: view.is_cut,
        open: String::new(),
        organisation_word: shell_word(view.viewer.organisation),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "fleet.html", config = "src/pages/askama.toml")]
struct FleetPage<'a> {
    frame: Frame<'a>,
    n_judged: u64,
    n_uncovered: u64,
    lowest: Option<String>,
    waterfall: Waterfall,
    caption: &'static str,
    bars: Vec<SpreadBar>,
    worst: Vec<RankLine<'a>>,
    plot: Option<Plot>,
    is_too_much: bool,
    unmapped: &'a [String],
    is_cut: bool,
    open: String,
    organisation_word: String,
}
