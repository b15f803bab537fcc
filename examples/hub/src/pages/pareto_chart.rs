//! Controls by what they bring: bars, and how far the first of them reach.
//!
//! What: coordinates for an SVG and the rows of the table behind it. What not: markup, and which
//! control brings what. The chart has room for a dozen; the table has them all.

use std::fmt::Write;

use monsys_signals::pareto::Pareto;

use crate::api::insight::points;

/// A Pareto chart with its table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ParetoChart {
    /// The bars, those that bring most first.
    pub(super) bars: Vec<Bar>,
    /// The line of what they bring together: `x,y` pairs.
    pub(super) line: String,
    /// Every control.
    pub(super) rows: Vec<ControlRow>,
    /// How many of them are the vital few.
    pub(super) n_vital: usize,
    /// How wide the drawing is.
    pub(super) width: usize,
}

/// One bar of the chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    /// The identifier of the control.
    pub(super) id: String,
    /// Its left end.
    pub(super) x: String,
    /// Its middle.
    pub(super) middle: String,
    /// Its upper end.
    pub(super) y: String,
    /// Its height.
    pub(super) height: String,
    /// Whether it is one of the vital few.
    pub(super) is_vital: bool,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ControlRow {
    /// The identifier of the control.
    pub(super) id: String,
    /// What it is about.
    pub(super) title: String,
    /// The points that the fleet would gain.
    pub(super) gain: String,
    /// How far it and those before it reach, in percent.
    pub(super) reaches: String,
    /// What the repairs take.
    pub(super) effort: u64,
    /// How many findings stand under it.
    pub(super) n_findings: u64,
    /// On how many subjects.
    pub(super) n_subjects: u64,
    /// Whether it is one of the vital few.
    pub(super) is_vital: bool,
    /// Whether no other brings as much for less.
    pub(super) is_efficient: bool,
}

impl ParetoChart {
    /// Draws the controls; `None` when there is no finding under any.
    pub(super) fn new(pareto: &Pareto<'_>) -> Option<Self> {
        let (items, n_vital) = (pareto.items(), pareto.vital().len());
        let most = items.first()?.gain.max(1);
        let mut chart = Self {
            bars: Vec::new(),
            line: String::new(),
            rows: Vec::new(),
            n_vital,
            width: items.len().clamp(BARS_MIN, BARS_MAX) * STEP,
        };
        for (n, item) in items.iter().enumerate() {
            let is_vital = n < n_vital;
            if n < BARS_MAX {
                let left = n * STEP;
                let height = HEIGHT * (item.gain as f64 / most as f64);
                let reach = HEIGHT * (1.0 - f64::from(item.cumulative_permille) / 1_000.0);
                chart.bars.push(Bar {
                    id: item.control.id.clone(),
                    x: (left + MARGIN).to_string(),
                    middle: (left + STEP / 2).to_string(),
                    y: format!("{:.1}", TOP + HEIGHT - height),
                    height: format!("{height:.1}"),
                    is_vital,
                });
                // Writing to a text cannot fail.
                let _ = write!(chart.line, "{},{:.1} ", left + STEP / 2, TOP + reach);
            }
            let permille = item.cumulative_permille;
            chart.rows.push(ControlRow {
                id: item.control.id.clone(),
                title: item.control.title.clone(),
                gain: points(item.gain),
                reaches: format!("{}.{} %", permille / 10, permille % 10),
                effort: item.effort,
                n_findings: item.n_findings,
                n_subjects: item.n_subjects,
                is_vital,
                is_efficient: item.is_efficient,
            });
        }
        Some(chart)
    }
}

/// Bars that the chart has room for.
const BARS_MAX: usize = 12;
/// Bars for which it leaves room at least, so that a single one is no wall.
const BARS_MIN: usize = 6;
/// From one bar to the next, in user units.
const STEP: usize = 80;
/// What stays free on each side of a bar.
const MARGIN: usize = 12;
/// The height of the highest bar.
const HEIGHT: f64 = 160.0;
/// What stays free above it.
const TOP: f64 = 8.0;
