//! A borrowed view of the metrics that lie in the window of a cycle.
//!
//! What: the part of the columns received in (now − window, now]. The store reads just these; the
//! detectors check it once more, because one row of a wrong hour would change a verdict. What not:
//! sorting; columns are in receive order. Cost: a look at both ends, two binary searches when one lies
//! outside; no copy.

use core::ops::Range;

use monsys_core::facts::MetricWindow;
use monsys_core::time::Timestamp;

use crate::config::Config;
use crate::cycle::Cycle;

/// The metrics of the window, one slice per column, all of one length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Lower bound, exclusive.
    pub(crate) from: Timestamp,
    /// Upper bound, inclusive.
    pub(crate) to: Timestamp,
    /// Hub clock when each arrived.
    pub(crate) received_at: &'a [Timestamp],
    /// Processor use in percent points.
    pub(crate) cpu_usage_percent: &'a [f64],
    /// Whether each came from a backlog.
    pub(crate) is_spooled: &'a [bool],
}

impl<'a> Window<'a> {
    /// Cuts the columns to the window of the cycle. Columns of different lengths are cut to the
    /// shortest.
    pub(crate) fn of(columns: &'a MetricWindow, config: &Config, cycle: Cycle) -> Self {
        let MetricWindow {
            received_at,
            cpu_usage_percent,
            is_spooled,
        } = columns;
        let (from, to) = (cycle.now.saturating_sub(config.window), cycle.now);
        let n = received_at
            .len()
            .min(cpu_usage_percent.len())
            .min(is_spooled.len());
        let times = received_at.get(..n).unwrap_or_default();
        let rows = inside(times, from, to);
        Self {
            from,
            to,
            received_at: times.get(rows.clone()).unwrap_or_default(),
            cpu_usage_percent: cpu_usage_percent.get(rows.clone()).unwrap_or_default(),
            is_spooled: is_spooled.get(rows).unwrap_or_default(),
        }
    }
}

/// The rows in (from, to]. The two ends say it for a window that a store cut already.
fn inside(times: &[Timestamp], from: Timestamp, to: Timestamp) -> Range<usize> {
    match (times.first(), times.last()) {
        (Some(first), Some(last)) if *first > from && *last <= to => 0..times.len(),
        _ => times.partition_point(|t| *t <= from)..times.partition_point(|t| *t <= to),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use monsys_core::time::Span;

    use super::*;
    use crate::fixture::{NOW, at};

    const CYCLE: Cycle = Cycle {
        previous: None,
        now: NOW,
    };

    #[test]
    fn the_lower_bound_is_exclusive_and_the_upper_inclusive() {
        let columns = MetricWindow {
            received_at: vec![
                at(-3_600_000),
                at(-3_600_000).saturating_add(Span::from_micros(1)),
                NOW,
                at(1),
            ],
            cpu_usage_percent: vec![1.0, 2.0, 3.0, 4.0],
            is_spooled: vec![false; 4],
        };
        let window = Window::of(&columns, &Config::standard(), CYCLE);
        assert_eq!(window.cpu_usage_percent, [2.0, 3.0]);
        assert_eq!(window.received_at.len(), 2);
        assert_eq!(window.is_spooled.len(), 2);
    }

    #[test]
    fn columns_of_different_lengths_are_cut_to_the_shortest() {
        let columns = MetricWindow {
            received_at: vec![at(-3), at(-2), at(-1)],
            cpu_usage_percent: vec![1.0, 2.0],
            is_spooled: vec![false; 3],
        };
        let window = Window::of(&columns, &Config::standard(), CYCLE);
        assert_eq!(window.received_at.len(), 2);
        assert_eq!(window.is_spooled.len(), 2);
    }

    #[test]
    fn times_out_of_order_or_at_the_ends_of_history_do_not_panic() {
        let mut columns = MetricWindow {
            received_at: vec![Timestamp::MAX, Timestamp::MIN, NOW, Timestamp::MIN],
            cpu_usage_percent: vec![1.0; 4],
            is_spooled: vec![false; 4],
        };
        for now in [Timestamp::MIN, NOW, Timestamp::MAX] {
            let cycle = Cycle {
                previous: None,
                now,
            };
            let _ = Window::of(&columns, &Config::standard(), cycle);
            columns.received_at.reverse();
        }
    }
}
