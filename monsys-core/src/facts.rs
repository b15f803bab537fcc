//! What a cycle knows of one agent: dense columns, read once.
//!
//! What: the columns that the detectors read, made from the rows of a store by one rule
//! ([`MetricWindow::from_rows`]), and a borrowed view of them ([`Facts`]), so that columns kept
//! elsewhere are judged without a copy. What not: any verdict. Cost: for an honest agent 240 values
//! and 239 gaps an hour, 12 bytes for each pair.

use alloc::string::String;
use alloc::vec::Vec;

use crate::anomaly::OpenAnomaly;
use crate::id::AgentId;
use crate::limit;
use crate::time::{Span, Timestamp};

/// A version as three numbers; what follows them is not compared (integrity document,
/// Limitations).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionTriple {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
}

impl VersionTriple {
    /// Writes the triple so that text order is version order: three 20-digit numbers.
    pub fn to_sort_key(self) -> String {
        alloc::format!("{:020}.{:020}.{:020}", self.major, self.minor, self.patch)
    }
}

/// When one metrics payload was measured, sent and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Device clock when the value was measured.
    pub captured_at: Timestamp,
    /// Device clock at the attempt that arrived.
    pub sent_at: Timestamp,
    /// Hub clock when it arrived.
    pub received_at: Timestamp,
    /// Whether it came from a backlog that the hub knew of.
    pub is_spooled: bool,
}

impl ClockReading {
    /// Returns how far the device clock was ahead of the hub's, in milliseconds cut towards zero.
    ///
    /// A reading from a known backlog is measured by its sending, because its age is no fault of
    /// the clock (decision 15).
    pub const fn offset_ms(&self) -> i64 {
        let device = if self.is_spooled {
            self.sent_at
        } else {
            self.captured_at
        };
        device.since(self.received_at).millis()
    }
}

/// One metric as a store keeps it, as far as a window needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricRow {
    /// Hub clock when it arrived.
    pub received_at: Timestamp,
    /// Processor use in percent points; what is not finite is counted and judged by nobody.
    pub cpu_usage_percent: f64,
    /// Whether it came from a backlog that the hub knew of.
    pub is_spooled: bool,
}

/// From when to when a window reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBounds {
    /// The start, exclusive.
    pub from: Timestamp,
    /// The end, inclusive: the `now` of the cycle.
    pub to: Timestamp,
}

impl WindowBounds {
    /// Returns the hour that ends at `now`: (now − 1 h, now] (integrity document, query of
    /// example 2).
    pub fn hour_before(now: Timestamp) -> Self {
        Self {
            from: now.saturating_sub(Span::from_secs(limit::WINDOW_S)),
            to: now,
        }
    }

    /// Tells whether a metric received then is inside.
    pub fn contains(&self, received_at: Timestamp) -> bool {
        received_at > self.from && received_at <= self.to
    }
}

/// When the first and the last metric of a window arrived, by the hub's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrivals {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

/// The time between two arrivals, as a column holds it: microseconds, not below 0, held at
/// [`i32::MAX`] (35 min 47 s). The gap next to a backlog is held as its complement, which is
/// negative: draining a spool is no cadence (decision 17), but how long it took is kept.
///
/// ```
/// use monsys_core::facts::gap_us;
/// use monsys_core::time::Span;
/// assert_eq!(gap_us(Span::from_secs(15), false), 15_000_000);
/// assert_eq!(!gap_us(Span::from_secs(15), true), 15_000_000);
/// ```
pub fn gap_us(gap: Span, is_next_to_backlog: bool) -> i32 {
    let us = i32::try_from(gap.micros().max(0)).unwrap_or(i32::MAX);
    if is_next_to_backlog { !us } else { us }
}

/// The metrics of one agent received in a window, in receive order, one column for each question.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricWindow {
    bounds: WindowBounds,
    arrivals: Option<Arrivals>,
    cpu_usage_percent: Vec<f64>,
    gaps_us: Vec<i32>,
    n_not_finite: usize,
}

impl MetricWindow {
    /// Makes a window without metrics.
    pub const fn empty(bounds: WindowBounds) -> Self {
        Self {
            bounds,
            arrivals: None,
            cpu_usage_percent: Vec::new(),
            gaps_us: Vec::new(),
            n_not_finite: 0,
        }
    }

    /// Makes the columns from the rows of a store: the one place where the rules about gaps and
    /// about what is no number stand.
    ///
    /// Rows come in receive order. Those outside the bounds are left out as if they were not there,
    /// because one row of a wrong hour would change a verdict; of those inside, the store hands in
    /// the newest [`limit::WINDOW_SAMPLES_MAX`]. A row received before its predecessor has a gap
    /// of 0.
    ///
    /// ```
    /// use monsys_core::facts::{MetricRow, MetricWindow, WindowBounds};
    /// use monsys_core::time::{Span, Timestamp};
    /// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
    /// let row = |ago_s| MetricRow {
    ///     received_at: now.saturating_sub(Span::from_secs(ago_s)),
    ///     cpu_usage_percent: 4.2,
    ///     is_spooled: false,
    /// };
    /// let rows = [row(3_600), row(30), row(15), row(0)];
    /// let window = MetricWindow::from_rows(WindowBounds::hour_before(now), rows);
    /// assert_eq!(window.view().gaps_us, [15_000_000, 15_000_000]); // the first is an hour old
    /// # Ok::<(), monsys_core::time::TimeError>(())
    /// ```
    pub fn from_rows(bounds: WindowBounds, rows: impl IntoIterator<Item = MetricRow>) -> Self {
        let rows = rows.into_iter();
        let mut window = Self::empty(bounds);
        window.cpu_usage_percent.reserve(rows.size_hint().0);
        window.gaps_us.reserve(rows.size_hint().0);
        let mut is_last_spooled = false;
        for row in rows.filter(|row| bounds.contains(row.received_at)) {
            let first = match window.arrivals {
                Some(Arrivals { first, last }) => {
                    let gap = row.received_at.since(last);
                    window
                        .gaps_us
                        .push(gap_us(gap, is_last_spooled || row.is_spooled));
                    first
                }
                None => row.received_at,
            };
            is_last_spooled = row.is_spooled;
            window.arrivals = Some(Arrivals {
                first,
                last: row.received_at,
            });
            window.cpu_usage_percent.push(row.cpu_usage_percent);
            window.n_not_finite += usize::from(!row.cpu_usage_percent.is_finite());
        }
        window
    }

    /// Returns how many metrics lie in the window.
    pub const fn n_metrics(&self) -> usize {
        self.cpu_usage_percent.len()
    }

    /// Borrows the columns.
    pub fn view(&self) -> WindowView<'_> {
        WindowView {
            bounds: self.bounds,
            arrivals: self.arrivals,
            cpu_usage_percent: &self.cpu_usage_percent,
            newest_cpu: &[],
            gaps_us: &self.gaps_us,
            gap_count: None,
            n_not_finite: self.n_not_finite,
        }
    }
}

/// How many gaps lie between two bounds, or on one; those next to a backlog do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapCount {
    /// The lower bound, in microseconds.
    pub low_us: i32,
    /// The upper bound, in microseconds.
    pub high_us: i32,
    /// How many gaps.
    pub n_within: usize,
}

impl GapCount {
    /// Tells whether a gap lies between the bounds. A complement is below 0 and never does.
    pub const fn is_within(&self, gap_us: i32) -> bool {
        gap_us >= 0 && gap_us >= self.low_us && gap_us <= self.high_us
    }
}

/// The columns of a window, wherever they are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowView<'a> {
    /// From when to when it reaches.
    pub bounds: WindowBounds,
    /// When the first and the last metric arrived; `None` when there is none.
    pub arrivals: Option<Arrivals>,
    /// Processor use in percent points, in receive order; may hold what is not finite.
    pub cpu_usage_percent: &'a [f64],
    /// A few of these values once more, where they lie near at hand; may be empty. They must be
    /// true: a detector that they convince does not look at the others.
    pub newest_cpu: &'a [f64],
    /// The time between successive arrivals, as [`gap_us`] writes it.
    pub gaps_us: &'a [i32],
    /// How many of the gaps lie between two bounds, where that was counted as they came. It must be
    /// true: a detector with these bounds believes it and does not look at the gaps.
    pub gap_count: Option<GapCount>,
    /// How many values are infinite or NaN and count nowhere (decision 11).
    pub n_not_finite: usize,
}

impl From<WindowView<'_>> for MetricWindow {
    /// Copies the columns. What a view only repeats or has counted is left out, so that a window is
    /// the same wherever it was kept.
    fn from(view: WindowView<'_>) -> Self {
        Self {
            bounds: view.bounds,
            arrivals: view.arrivals,
            cpu_usage_percent: view.cpu_usage_percent.into(),
            gaps_us: view.gaps_us.into(),
            n_not_finite: view.n_not_finite,
        }
    }
}

/// The newest readings of a device clock, in receive order, however old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockFacts {
    offsets_ms: Vec<i64>,
    n_spooled: usize,
}

impl ClockFacts {
    /// Makes the column from the newest readings, in receive order.
    pub fn from_readings(readings: impl IntoIterator<Item = ClockReading>) -> Self {
        let mut facts = Self::default();
        for reading in readings {
            facts.offsets_ms.push(reading.offset_ms());
            facts.n_spooled += usize::from(reading.is_spooled);
        }
        facts
    }

    /// Borrows the column.
    pub fn view(&self) -> ClockView<'_> {
        ClockView {
            offsets_ms: &self.offsets_ms,
            n_spooled: self.n_spooled,
        }
    }
}

/// The readings of a device clock, wherever they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockView<'a> {
    /// How far the device clock was ahead ([`ClockReading::offset_ms`]), in receive order.
    pub offsets_ms: &'a [i64],
    /// How many of them came from a known backlog.
    pub n_spooled: usize,
}

impl From<ClockView<'_>> for ClockFacts {
    /// Copies the column.
    fn from(view: ClockView<'_>) -> Self {
        Self {
            offsets_ms: view.offsets_ms.into(),
            n_spooled: view.n_spooled,
        }
    }
}

/// A version as sent, and what could be read of it. It is read once, when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// As sent.
    pub text: String,
    /// As three numbers; `None` when it is no version.
    pub triple: Option<VersionTriple>,
}

/// What the agent says its version is, and the highest it ever said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// The version of the verified payload at the highest position.
    pub current: Option<Version>,
    /// The highest version of any verified payload.
    pub highest: Option<Version>,
}

/// All a cycle knows of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentFacts {
    /// Which agent.
    pub agent: AgentId,
    /// Metrics received in (now − 1 h, now].
    pub window: MetricWindow,
    /// The newest 20 metrics in receive order, however old.
    pub clock: ClockFacts,
    /// Versions from verified payloads.
    pub version: VersionFacts,
    /// When the last verified payload arrived.
    pub last_verified_at: Option<Timestamp>,
    /// Its open anomalies.
    pub open: Vec<OpenAnomaly>,
}

impl AgentFacts {
    /// Borrows everything, as the detectors take it.
    pub fn view(&self) -> Facts<'_> {
        Facts {
            agent: self.agent,
            window: self.window.view(),
            clock: self.clock.view(),
            version: &self.version,
            last_verified_at: self.last_verified_at,
            open: &self.open,
        }
    }
}

/// All a cycle knows of one agent, wherever it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts<'a> {
    /// Which agent.
    pub agent: AgentId,
    /// Metrics received in (now − 1 h, now].
    pub window: WindowView<'a>,
    /// The newest 20 metrics in receive order, however old.
    pub clock: ClockView<'a>,
    /// Versions from verified payloads.
    pub version: &'a VersionFacts,
    /// When the last verified payload arrived.
    pub last_verified_at: Option<Timestamp>,
    /// Its open anomalies.
    pub open: &'a [OpenAnomaly],
}

impl<'a> From<&'a AgentFacts> for Facts<'a> {
    fn from(facts: &'a AgentFacts) -> Self {
        facts.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_778_364_220_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(NOW + micros).unwrap()
    }

    fn row(micros: i64, is_spooled: bool) -> MetricRow {
        MetricRow {
            received_at: at(micros),
            cpu_usage_percent: 4.2,
            is_spooled,
        }
    }

    fn window(rows: impl IntoIterator<Item = MetricRow>) -> MetricWindow {
        MetricWindow::from_rows(WindowBounds::hour_before(at(0)), rows)
    }

    #[test]
    fn the_lower_bound_is_exclusive_and_the_upper_inclusive() {
        let hour = 3_600_000_000;
        let rows = [-hour, 1 - hour, 0, 1].map(|micros| row(micros, false));
        let window = window(rows);
        let arrivals = Arrivals {
            first: at(1 - hour),
            last: at(0),
        };
        assert_eq!(window.view().arrivals, Some(arrivals));
        assert_eq!(window.view().gaps_us, [i32::MAX]);
        assert_eq!(window.n_metrics(), 2);
    }

    #[test]
    fn gaps_at_either_end_of_a_backlog_are_complements() {
        let rows = [(-50, false), (-40, false), (-30, true), (-10, false)]
            .map(|(seconds, is_spooled)| row(seconds * 1_000_000, is_spooled));
        assert_eq!(
            window(rows).view().gaps_us,
            [10_000_000, !10_000_000, !20_000_000]
        );
    }

    #[test]
    fn what_is_no_number_is_counted_and_leaves_its_gaps() {
        let rows = [f64::NAN, 1.0, f64::INFINITY].map(|cpu_usage_percent| MetricRow {
            cpu_usage_percent,
            ..row(-7, false)
        });
        let window = window(rows);
        assert_eq!(window.view().cpu_usage_percent.len(), 3);
        assert_eq!(window.view().n_not_finite, 2);
        assert_eq!(window.view().gaps_us, [0, 0]);
        assert_eq!(window.n_metrics(), 3);
    }

    #[test]
    fn gaps_are_held_within_32_bits() {
        for (micros, us) in [
            (-1, 0),
            (0, 0),
            (6_999_999, 6_999_999),
            (i64::from(i32::MAX) + 1, i32::MAX),
            (i64::MAX, i32::MAX),
            (i64::MIN, 0),
        ] {
            assert_eq!(gap_us(Span::from_micros(micros), false), us, "{micros}");
            assert_eq!(gap_us(Span::from_micros(micros), true), !us, "{micros}");
        }
    }

    #[test]
    fn times_out_of_order_or_at_the_ends_of_history_do_not_panic() {
        let times = [Timestamp::MAX, Timestamp::MIN, at(0), Timestamp::MIN];
        for now in [Timestamp::MIN, at(0), Timestamp::MAX] {
            let rows = times.map(|received_at| MetricRow {
                received_at,
                ..row(0, true)
            });
            let bounds = WindowBounds::hour_before(now);
            let n_inside = times.iter().filter(|t| bounds.contains(**t)).count();
            assert_eq!(MetricWindow::from_rows(bounds, rows).n_metrics(), n_inside);
        }
    }

    #[test]
    fn a_backlog_is_measured_by_its_sending() {
        let reading = ClockReading {
            captured_at: at(-86_400_000_000),
            sent_at: at(-40_999),
            received_at: at(0),
            is_spooled: true,
        };
        assert_eq!(reading.offset_ms(), -40);
        let live = ClockReading {
            is_spooled: false,
            ..reading
        };
        assert_eq!(live.offset_ms(), -86_400_000);
        let facts = ClockFacts::from_readings([reading, live]);
        assert_eq!(facts.view().offsets_ms, [-40, -86_400_000]);
        assert_eq!(facts.view().n_spooled, 1);
    }
}
