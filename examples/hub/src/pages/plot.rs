//! Readings over time as lines that can be zoomed.
//!
//! What: paths for an SVG that is as wide as its window of time, the marks of its scales, and the
//! same numbers in words. What not: markup, colours, reading. A line ends where readings are
//! missing: what was not measured is not drawn. Cost: one pass, about 30 bytes a point.

use std::fmt::Write;

use monsys_core::time::{Span, Timestamp};

use super::when::When;

/// What is known of one value in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// When the stretch begins.
    pub(crate) at: Timestamp,
    /// The lowest reading in it.
    pub(crate) low: f64,
    /// The mean of its readings.
    pub(crate) mean: f64,
    /// The highest reading in it.
    pub(crate) high: f64,
}

/// One line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// What people call it.
    pub(crate) name: String,
    /// Oldest first.
    pub(crate) points: Vec<Point>,
}

/// The time that a plot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where it begins.
    pub(crate) from: Timestamp,
    /// Where it ends.
    pub(crate) to: Timestamp,
    /// How long a stretch is that a point stands for.
    pub(crate) step: Span,
}

/// How numbers of a plot are said, and where its scale ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Percent points of a whole.
    Percent,
    /// A number without a unit.
    Plain,
    /// Points of a trust score; the scale ends at 100.
    Score,
}

/// A plot, ready to be drawn in a box of 1000 by 100.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What the highest reading of a stretch and the lowest enclose, where there is one line.
    pub(super) band: Option<String>,
    pub(super) lines: Vec<Line>,
    /// The marks of the scale from the top down.
    pub(super) marks: [String; 3],
    /// The marks of time, from the beginning to the end, evenly.
    pub(super) ticks: Vec<When>,
    /// Whether the marks need the day.
    pub(super) has_days: bool,
    pub(super) from: String,
    pub(super) to: String,
    /// Whether its page can show a part of its window.
    pub(super) can_zoom: bool,
}

/// One line, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    /// The number of its colour.
    pub(super) tone: usize,
    pub(super) path: String,
    pub(super) last: String,
    pub(super) lowest: String,
    pub(super) highest: String,
    pub(super) n_points: usize,
    /// `x:words` joined by `;`: what the script says of the point under the pointer.
    pub(super) spoken: String,
}

impl Unit {
    fn say(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value:.1}\u{a0}%"),
            Self::Plain => format!("{value:.2}"),
            Self::Score => format!("{value:.1}"),
        }
    }

    fn top(self, highest: f64) -> f64 {
        let scales: &[f64] = match self {
            Self::Percent => &[10.0, 25.0, 50.0, 100.0],
            Self::Plain => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0],
            Self::Score => &[100.0],
        };
        let fits = scales.iter().copied().find(|scale| highest <= *scale);
        fits.unwrap_or_else(|| highest.max(scales.last().copied().unwrap_or(1.0)))
    }

    fn mark(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value}\u{a0}%"),
            Self::Plain | Self::Score if value < 10_000.0 => format!("{value}"),
            Self::Plain | Self::Score => format!("{value:.0}"),
        }
    }
}

impl Plot {
    /// Draws lines; `None` when none of them has a point in the window. What is no number is left
    /// out.
    pub(super) fn new(
        (id, title): (&'static str, &'static str),
        unit: Unit,
        window: Window,
        series: &[Series],
    ) -> Option<Self> {
        let seen: Vec<_> = series
            .iter()
            .take(LINES_MAX)
            .map(|of| window.seen(of))
            .collect();
        let all = || seen.iter().flat_map(|(_, points)| points);
        let highest = all().map(|point| point.high).reduce(f64::max)?;
        let axes = Axes {
            window,
            top: unit.top(highest),
        };
        let drawn = seen.iter().enumerate();
        let drawn = drawn.filter_map(|(tone, (name, points))| axes.line(unit, tone, name, points));
        let lines: Vec<_> = drawn.collect();
        let span = window.to.since(window.from).micros();
        let quarter = |n: i64| Span::from_micros(span / 4 * n);
        let ticks = (0..=4).map(|n| window.from.saturating_add(quarter(n)));
        Some(Self {
            id,
            title,
            band: match seen.as_slice() {
                [(_, points)] => Some(axes.band(points)),
                _ => None,
            },
            lines,
            marks: [axes.top, axes.top / 2.0, 0.0].map(|value| unit.mark(value)),
            ticks: ticks.map(|at| When::new(at, window.to)).collect(),
            has_days: span > DAY.micros(),
            from: window.from.to_rfc3339(),
            to: window.to.to_rfc3339(),
            can_zoom: false,
        })
    }

    /// Says that its page can show a part of its window.
    pub(super) fn zoomable(mut self) -> Self {
        self.can_zoom = true;
        self
    }
}

impl Window {
    fn seen(self, series: &Series) -> (&str, Vec<Point>) {
        let is_number = |point: &Point| {
            let numbers = [point.low, point.mean, point.high];
            numbers.iter().all(|number| number.is_finite())
        };
        let is_inside =
            |point: &Point| point.at >= self.from.saturating_sub(self.step) && point.at <= self.to;
        let points = series.points.iter().copied();
        let points = points.filter(|point| is_number(point) && is_inside(point));
        (&series.name, points.collect())
    }
}

struct Axes {
    window: Window,
    top: f64,
}

impl Axes {
    fn x(&self, at: Timestamp) -> f64 {
        let micros = |span: Span| span.micros() as f64;
        let whole = micros(self.window.to.since(self.window.from)).max(1.0);
        (micros(at.since(self.window.from)) / whole).clamp(0.0, 1.0) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - (value / self.top).clamp(0.0, 1.0) * HEIGHT
    }

    /// Whether the stretch after `before` is missing ahead of `next`.
    fn is_gap(&self, before: &Point, next: &Point) -> bool {
        let step = self.window.step.micros().max(1);
        next.at.since(before.at).micros() > step.saturating_mul(GAP_STEPS)
    }

    fn stretches<'p>(&self, points: &'p [Point]) -> impl Iterator<Item = &'p [Point]> {
        points.chunk_by(|before, next| !self.is_gap(before, next))
    }

    fn line(&self, unit: Unit, tone: usize, name: &str, points: &[Point]) -> Option<Line> {
        let last = points.last()?;
        let lowest = points.iter().map(|point| point.low).reduce(f64::min)?;
        let highest = points.iter().map(|point| point.high).reduce(f64::max)?;
        let (mut path, mut spoken) = (String::new(), String::new());
        for stretch in self.stretches(points) {
            let mut verb = 'M';
            for point in stretch {
                // Cannot fail: writing to a String never does.
                let _ = write!(
                    path,
                    "{verb}{:.1} {:.1}",
                    self.x(point.at),
                    self.y(point.mean)
                );
                verb = 'L';
            }
            if let [_] = stretch {
                // A line of no length with round ends is a dot.
                path.push_str("h0");
            }
        }
        for point in points {
            let gap = if spoken.is_empty() { "" } else { ";" };
            let _ = write!(
                spoken,
                "{gap}{:.1}:{}",
                self.x(point.at),
                unit.say(point.mean)
            );
        }
        Some(Line {
            name: name.to_owned(),
            tone,
            path,
            last: unit.say(last.mean),
            lowest: unit.say(lowest),
            highest: unit.say(highest),
            n_points: points.len(),
            spoken,
        })
    }

    fn band(&self, points: &[Point]) -> String {
        let mut path = String::new();
        for stretch in self.stretches(points) {
            let mut verb = 'M';
            let there = stretch.iter().map(|point| (point.at, point.high));
            let back = stretch.iter().rev().map(|point| (point.at, point.low));
            for (at, value) in there.chain(back) {
                // Cannot fail: writing to a String never does.
                let _ = write!(path, "{verb}{:.1} {:.1}", self.x(at), self.y(value));
                verb = 'L';
            }
            path.push('Z');
        }
        path
    }
}

const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 100.0;
/// Lines that can be told apart.
const LINES_MAX: usize = 4;
/// Missing steps after which a line ends: one may be late.
const GAP_STEPS: i64 = 3;
const DAY: Span = Span::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        let begin = Timestamp::parse_rfc3339("2026-11-21T00:00:00Z").unwrap();
        begin.saturating_add(Span::from_secs(seconds))
    }

    fn window() -> Window {
        Window {
            from: at(0),
            to: at(100),
            step: Span::from_secs(10),
        }
    }

    fn series(readings: &[(i64, f64)]) -> Series {
        let point = |(seconds, value): &(i64, f64)| Point {
            at: at(*seconds),
            low: value - 1.0,
            mean: *value,
            high: value + 1.0,
        };
        Series {
            name: String::from("cpu"),
            points: readings.iter().map(point).collect(),
        }
    }

    fn plot(readings: &[(i64, f64)]) -> Option<Plot> {
        Plot::new(("cpu", "CPU"), Unit::Percent, window(), &[series(readings)])
    }

    #[test]
    fn a_point_stands_where_its_time_and_its_value_are() {
        let plot = plot(&[(0, 4.0), (10, 9.0), (20, 4.0)]).unwrap();
        assert_eq!(plot.lines[0].path, "M0.0 60.0L100.0 10.0L200.0 60.0");
        assert_eq!(plot.marks, ["10\u{a0}%", "5\u{a0}%", "0\u{a0}%"]);
        let said = "0.0:4.0\u{a0}%;100.0:9.0\u{a0}%;200.0:4.0\u{a0}%";
        assert_eq!(plot.lines[0].spoken, said);
        assert_eq!(plot.ticks.len(), 5);
        assert_eq!(plot.ticks[4].clock, "00:01:40");
    }

    #[test]
    fn a_line_ends_where_readings_are_missing() {
        let plot = plot(&[(0, 4.0), (10, 4.0), (60, 4.0)]).unwrap();
        assert_eq!(plot.lines[0].path, "M0.0 60.0L100.0 60.0M600.0 60.0h0");
        assert_eq!(plot.band.unwrap().matches('Z').count(), 2);
    }

    #[test]
    fn what_is_no_number_or_outside_is_left_out() {
        assert_eq!(plot(&[]), None);
        assert_eq!(plot(&[(0, f64::NAN), (10, f64::INFINITY)]), None);
        assert_eq!(plot(&[(-500, 1.0), (500, 1.0)]), None);
        let plot = plot(&[(0, f64::NAN), (10, 5.0)]).unwrap();
        assert_eq!(plot.lines[0].n_points, 1);
    }

    #[test]
    fn the_scale_holds_what_is_above_every_fixed_one() {
        let high = [series(&[(0, 5_000.0)])];
        let plot = Plot::new(("load", "Load"), Unit::Plain, window(), &high).unwrap();
        assert_eq!(plot.marks[0], "5001");
        assert_eq!(plot.lines[0].path, "M0.0 0.0h0");
    }
}
