//! The score of many subjects together: their mean, as exactly explained as one score.
//!
//! What: sums, and a mean whose parts and score sum to 100 points again. What not: a verdict on a
//! fleet; one bad agent among a thousand good ones hardly moves a mean, so the worst is kept too.

use core::cmp::Reverse;

use super::tally::PerCategory;
use super::{MilliPoints, TrustScore};
use crate::catalog::Category;

/// Scores of many subjects, added up. Cost: 7 additions a subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetTrust {
    n_subjects: u64,
    n_uncovered: u64,
    deductions: PerCategory<u64>,
    worst: Option<MilliPoints>,
}

impl FleetTrust {
    /// Makes a fleet of nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subject.
    pub fn add(&mut self, trust: &TrustScore) {
        self.n_subjects += 1;
        if trust.coverage().n_covered() == 0 {
            self.n_uncovered += 1;
        }
        for category in Category::ALL {
            *self.deductions.at_mut(category) += u64::from(trust.deduction(category).get());
        }
        let score = trust.score();
        self.worst = Some(self.worst.map_or(score, |worst| worst.min(score)));
    }

    /// Returns how many subjects were added.
    pub const fn n_subjects(&self) -> u64 {
        self.n_subjects
    }

    /// Returns how many of them nothing is known about: they have 100 points all the same.
    pub const fn n_uncovered(&self) -> u64 {
        self.n_uncovered
    }

    /// Returns the lowest score among them; `None` for a fleet of nobody.
    pub const fn worst(&self) -> Option<MilliPoints> {
        self.worst
    }

    /// Returns what each category takes from the mean, in the order of [`Category::ALL`].
    ///
    /// What rounding down leaves of the whole deduction goes to the largest remainders, ties to the
    /// earlier category, so that 100 points minus these is [`Self::mean`].
    pub fn mean_deductions(&self) -> [(Category, MilliPoints); 7] {
        let n = self.n_subjects.max(1);
        let quotient = |total: u64| u32::try_from(total / n).unwrap_or(u32::MAX);
        let totals = Category::ALL.map(|category| (category, *self.deductions.at(category)));
        let mut shares = totals.map(|(category, total)| (category, quotient(total)));
        let whole = quotient(totals.iter().map(|(_, total)| total).sum());
        let left = whole - shares.iter().map(|(_, share)| share).sum::<u32>();
        let mut by_remainder = totals;
        by_remainder.sort_by_key(|(_, total)| Reverse(total % n));
        for (category, _) in by_remainder.iter().take(usize::try_from(left).unwrap_or(0)) {
            if let Some((_, share)) = shares.iter_mut().find(|(of, _)| of == category) {
                *share += 1;
            }
        }
        shares.map(|(category, share)| (category, MilliPoints(share)))
    }

    /// Returns the mean score, rounded up to a milli-point; 100 points for a fleet of nobody.
    pub fn mean(&self) -> MilliPoints {
        let left = |left: MilliPoints, (_, share)| left - share;
        self.mean_deductions()
            .into_iter()
            .fold(MilliPoints::FULL, left)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn trust(deductions: [u32; 7]) -> TrustScore {
        let mut trust = TrustScore::unobserved();
        for (category, deduction) in Category::ALL.into_iter().zip(deductions) {
            let cap = category.cap_points() * 1_000;
            *trust.deductions.at_mut(category) = deduction.min(cap);
        }
        trust
    }

    #[test]
    fn nobody_has_full_points_and_one_has_its_own() {
        let mut fleet = FleetTrust::new();
        assert_eq!((fleet.mean(), fleet.worst()), (MilliPoints::FULL, None));
        let one = trust([1, 2, 3, 4, 5, 6, 7]);
        fleet.add(&one);
        assert_eq!(
            (fleet.mean(), fleet.worst()),
            (one.score(), Some(one.score()))
        );
        assert_eq!((fleet.n_subjects(), fleet.n_uncovered()), (1, 1));
    }

    proptest! {
        #[test]
        fn parts_and_mean_sum_to_a_hundred_points(
            all in proptest::collection::vec(proptest::array::uniform7(0_u32..40_000), 1..40),
        ) {
            let all: Vec<_> = all.into_iter().map(trust).collect();
            let mut fleet = FleetTrust::new();
            all.iter().for_each(|one| fleet.add(one));
            let n = u64::try_from(all.len()).unwrap();
            let total: u64 = all.iter().map(|one| u64::from(one.score().get())).sum();
            prop_assert_eq!(u64::from(fleet.mean().get()), total.div_ceil(n));
            prop_assert_eq!(fleet.worst(), all.iter().map(TrustScore::score).min());
            for (category, share) in fleet.mean_deductions() {
                let sum: u64 = all.iter().map(|one| u64::from(one.deduction(category).get())).sum();
                prop_assert!(u64::from(share.get()) == sum / n || u64::from(share.get()) == sum / n + 1);
            }
        }
    }
}
