//! What the findings of one subject weigh: counted, not sorted.
//!
//! Findings that do not fade have one of four weights, so that a category is four counts and its
//! deduction four subtractions of rank sums. Findings that fade are kept one by one and sorted.

use alloc::vec::Vec;

use super::rank;
use crate::catalog::{Category, Decay, Place};
use crate::view::SignalView;

use monsys_core::{Severity, Timestamp};

/// The weights above zero, in milli-points, heaviest first.
pub(super) const WEIGHTS: [u32; 4] = [25_000, 12_000, 5_000, 2_000];

/// Returns what a severity weighs, in milli-points: info 0, low 2, medium 5, high 12, critical 25
/// points.
pub(super) const fn weight(severity: Severity) -> u32 {
    let [critical, high, medium, low] = WEIGHTS;
    match severity {
        Severity::Info => 0,
        Severity::Low => low,
        Severity::Medium => medium,
        Severity::High => high,
        Severity::Critical => critical,
    }
}

/// Returns what a live signal weighs, in milli-points, rounded down.
pub(super) fn points(view: &SignalView<'_>, place: Place, now: Timestamp) -> u32 {
    let full = view.grade.severity().map_or(0, weight);
    match (place.decay, view.ttl_micros()) {
        (Decay::Step, _) | (Decay::Linear, None) => full,
        (Decay::Linear, Some(ttl)) => {
            // At most 25,000 × 3.2 × 10^14 < 2^63.
            let left = ttl.saturating_sub(view.age_micros(now));
            u32::try_from(u64::from(full) * left / ttl).unwrap_or(full)
        }
    }
}

/// One value for each category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct PerCategory<T>([T; 7]);

impl<T> PerCategory<T> {
    pub(super) fn at(&self, category: Category) -> &T {
        let [
            integrity,
            posture,
            vulnerability,
            identity,
            backup,
            certificates,
            clock,
        ] = &self.0;
        match category {
            Category::Integrity => integrity,
            Category::Posture => posture,
            Category::Vulnerability => vulnerability,
            Category::Identity => identity,
            Category::Backup => backup,
            Category::Certificates => certificates,
            Category::Clock => clock,
        }
    }

    pub(super) fn at_mut(&mut self, category: Category) -> &mut T {
        let [
            integrity,
            posture,
            vulnerability,
            identity,
            backup,
            certificates,
            clock,
        ] = &mut self.0;
        match category {
            Category::Integrity => integrity,
            Category::Posture => posture,
            Category::Vulnerability => vulnerability,
            Category::Identity => identity,
            Category::Backup => backup,
            Category::Certificates => certificates,
            Category::Clock => clock,
        }
    }
}

/// The findings of one category.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    /// By [`WEIGHTS`].
    counts: [usize; 4],
    faded: Vec<u32>,
}

impl Weighed {
    pub(super) fn clear(&mut self) {
        self.counts = [0; 4];
        self.faded.clear();
    }

    pub(super) fn push(&mut self, points: u32) {
        let classes = WEIGHTS.iter().zip(&mut self.counts);
        match classes.into_iter().find(|(weight, _)| **weight == points) {
            Some((_, count)) => *count += 1,
            None if points > 0 => self.faded.push(points),
            None => {}
        }
    }

    /// Returns what the category takes from the score, in milli-points: one floor, then the cap.
    pub(super) fn deduction(&mut self, category: Category) -> u32 {
        self.faded.sort_unstable_by(|a, b| b.cmp(a));
        deduction(total(self.counts, self.faded.iter().copied()), category)
    }

    /// Returns what it would take without some of its findings. Only after [`Self::deduction`],
    /// which sorts.
    pub(super) fn deduction_without(&self, category: Category, repaired: &mut Self) -> u32 {
        let mut counts = self.counts;
        for (count, repaired) in counts.iter_mut().zip(repaired.counts) {
            *count = count.saturating_sub(repaired);
        }
        repaired.faded.sort_unstable_by(|a, b| b.cmp(a));
        let mut repaired = repaired.faded.iter().peekable();
        let kept = self.faded.iter().copied();
        let kept = kept.filter(|points| repaired.next_if(|repaired| *repaired == points).is_none());
        deduction(total(counts, kept), category)
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self.counts, [0, 0, 0, 0]) && self.faded.is_empty()
    }
}

/// Sums points times rank, of [`rank::ONE`], over counts by [`WEIGHTS`] and points, both falling.
fn total(counts: [usize; 4], faded: impl Iterator<Item = u32>) -> u64 {
    let mut ranked = Ranked::default();
    let mut faded = faded.peekable();
    for (points, count) in WEIGHTS.into_iter().zip(counts) {
        while let Some(heavier) = faded.next_if(|faded| *faded > points) {
            ranked.take(heavier, 1);
        }
        ranked.take(points, count);
    }
    faded.for_each(|points| ranked.take(points, 1));
    ranked.total
}

/// Returns what findings of a category take, from their points times ranks, in milli-points.
pub(super) fn deduction(total: u64, category: Category) -> u32 {
    u32::try_from(total / rank::ONE).map_or_else(|_| cap(category), |raw| raw.min(cap(category)))
}

/// Returns the most that a category takes, in milli-points.
pub(super) const fn cap(category: Category) -> u32 {
    category.cap_points() * 1_000
}

#[derive(Default)]
struct Ranked {
    n: usize,
    /// At most 25,000 × 2.613 × 2^20 < 2^37.
    total: u64,
}

impl Ranked {
    fn take(&mut self, points: u32, count: usize) {
        let before = self.n;
        self.n = before.saturating_add(count);
        self.total += u64::from(points) * (rank::sum(self.n) - rank::sum(before));
    }
}
