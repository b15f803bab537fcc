//! How many observations lie below each of a few bounds.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds of durations in microseconds: 1 ms to 10 s. 50 ms is the promise for an acknowledgement.
pub(crate) const LATENCY_US: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000,
];
/// Bounds of the payloads of one transaction, up to the largest batch.
pub(crate) const SIZES: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200];

/// A histogram with fixed bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what lies above all of them.
    cells: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Each bound, and how many observations are not above it.
    pub(crate) at_most: Vec<(u64, u64)>,
    /// All observations.
    pub(crate) count: u64,
    /// Their sum, in the unit of the bounds.
    pub(crate) sum: u64,
}

impl Histogram {
    /// Nothing observed yet.
    pub(crate) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            cells: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Observes a value.
    pub(crate) fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(cell) = self.cells.get(index) {
            cell.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Observes how long something took, in microseconds.
    pub(crate) fn observe_since(&self, start: std::time::Instant) {
        let took = start.elapsed().as_micros();
        self.observe(u64::try_from(took).unwrap_or(u64::MAX));
    }

    /// What there is. The count is that of the cells, so that the two always agree.
    pub(crate) fn read(&self) -> Reading {
        let sum = self.sum.load(Ordering::Relaxed);
        let mut count = 0;
        let mut cells = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        let mut at_most = Vec::with_capacity(self.bounds.len());
        for (bound, cell) in self.bounds.iter().zip(&mut cells) {
            count += cell;
            at_most.push((*bound, count));
        }
        count += cells.sum::<u64>();
        Reading {
            at_most,
            count,
            sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_below_each_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 20, 30]);
        for value in [0, 10, 11, 20, 30, 31, 1_000] {
            histogram.observe(value);
        }
        let reading = Reading {
            at_most: vec![(10, 2), (20, 4), (30, 5)],
            count: 7,
            sum: 1_102,
        };
        assert_eq!(histogram.read(), reading);
    }
}
