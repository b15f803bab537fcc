//! Processor readings as a line.
//!
//! What: coordinates for an SVG and the numbers said in words beside it. What not: markup; the
//! templates hold it. Readings carry no times, so they are spaced evenly. The scale starts at zero
//! and ends at one of four fixed marks, so that a quiet machine looks quiet and a frozen one flat.
//! Cost: one pass, about twelve bytes a reading.

use std::fmt::Write;

/// A line in a box, with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    /// The line: `x,y` pairs.
    pub(super) line: String,
    /// The area below the line as a closed polygon.
    pub(super) area: String,
    /// Where the newest reading is: `x y`.
    pub(super) tip: String,
    /// The upper end of the scale in percent points.
    pub(super) top: String,
    /// The middle of the scale in percent points.
    pub(super) middle: String,
    /// How many readings are drawn.
    pub(super) n_readings: usize,
    /// The newest reading.
    pub(super) last: String,
    /// The lowest reading.
    pub(super) lowest: String,
    /// The highest reading.
    pub(super) highest: String,
}

/// The box a line is drawn in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canvas {
    /// Width in user units.
    pub(super) width: f64,
    /// Height in user units.
    pub(super) height: f64,
    /// What stays free on every side.
    pub(super) margin: f64,
}

impl Chart {
    /// Draws readings, oldest first; `None` when there is none. What is not finite is left out.
    pub(super) fn new(readings: &[f64], canvas: Canvas) -> Option<Self> {
        let finite: Vec<f64> = readings.iter().copied().filter(|r| r.is_finite()).collect();
        let last = *finite.last()?;
        let lowest = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let top = SCALES.into_iter().find(|s| highest <= *s).unwrap_or(100.0);
        let points: Vec<(f64, f64)> = place(&finite, top, canvas);
        let line = join(&points);
        let (left, _) = *points.first()?;
        let (right, y) = *points.last()?;
        let floor = canvas.height - canvas.margin;
        Some(Self {
            area: format!("{left:.1},{floor:.1} {line} {right:.1},{floor:.1}"),
            tip: format!("{right:.1} {y:.1}"),
            line,
            top: format!("{top}"),
            middle: format!("{}", top / 2.0),
            n_readings: finite.len(),
            last: format!("{last:.1}"),
            lowest: format!("{lowest:.1}"),
            highest: format!("{highest:.1}"),
        })
    }
}

/// A single reading stands at the right end, where the newest belongs.
fn place(readings: &[f64], top: f64, canvas: Canvas) -> Vec<(f64, f64)> {
    let width = canvas.width - 2.0 * canvas.margin;
    let height = canvas.height - 2.0 * canvas.margin;
    let n_steps = u32::try_from(readings.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let step = width / f64::from(n_steps.max(1));
    let right = canvas.width - canvas.margin;
    (0..=n_steps)
        .rev()
        .zip(readings)
        .map(|(steps_left, reading)| {
            let share = (reading / top).clamp(0.0, 1.0);
            let x = right - step * f64::from(steps_left);
            (x, canvas.margin + height * (1.0 - share))
        })
        .collect()
}

fn join(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(points.len() * 12);
    for (x, y) in points {
        let gap = if out.is_empty() { "" } else { " " };
        // Cannot fail: writing to a String never does.
        let _ = write!(out, "{gap}{x:.1},{y:.1}");
    }
    out
}

const SCALES: [f64; 4] = [10.0, 25.0, 50.0, 100.0];

#[cfg(test)]
mod tests {
    use super::*;

    const CANVAS: Canvas = Canvas {
        width: 100.0,
        height: 20.0,
        margin: 0.0,
    };

    #[test]
    fn no_reading_draws_nothing() {
        assert_eq!(Chart::new(&[], CANVAS), None);
        assert_eq!(Chart::new(&[f64::NAN, f64::INFINITY], CANVAS), None);
    }

    #[test]
    fn one_reading_is_a_point_at_the_right() {
        let chart = Chart::new(&[5.0], CANVAS).unwrap();
        assert_eq!(chart.line, "100.0,10.0");
        assert_eq!(chart.tip, "100.0 10.0");
        assert_eq!(
            (
                chart.lowest.as_str(),
                chart.last.as_str(),
                chart.top.as_str()
            ),
            ("5.0", "5.0", "10")
        );
    }

    #[test]
    fn constant_readings_are_a_level_line() {
        let chart = Chart::new(&[4.2; 3], CANVAS).unwrap();
        assert_eq!(chart.line, "0.0,11.6 50.0,11.6 100.0,11.6");
        assert_eq!(chart.n_readings, 3);
        let zero = Chart::new(&[0.0, 0.0], CANVAS).unwrap();
        assert_eq!(zero.line, "0.0,20.0 100.0,20.0");
    }

    #[test]
    fn nothing_drawn_is_ever_outside_the_box_or_no_number() {
        let readings = [f64::NAN, -5.0, 1e300, 100.0, f64::NEG_INFINITY, 12.5];
        let chart = Chart::new(&readings, CANVAS).unwrap();
        assert_eq!(chart.n_readings, 4);
        assert_eq!(chart.top, "100");
        for pair in chart.line.split(' ') {
            let (x, y) = pair.split_once(',').unwrap();
            assert!((0.0..=100.0).contains(&x.parse::<f64>().unwrap()));
            assert!((0.0..=20.0).contains(&y.parse::<f64>().unwrap()));
        }
    }

    #[test]
    fn the_scale_is_the_lowest_that_fits() {
        for (highest, top, middle) in [
            (10.0, "10", "5"),
            (10.1, "25", "12.5"),
            (50.0, "50", "25"),
            (99.9, "100", "50"),
        ] {
            let chart = Chart::new(&[0.0, highest], CANVAS).unwrap();
            assert_eq!((chart.top.as_str(), chart.middle.as_str()), (top, middle));
        }
    }
}
