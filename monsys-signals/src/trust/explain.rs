//! Who takes how much: every milli-point of the deduction belongs to one signal.
//!
//! The deduction of a category is split over its findings in proportion to points times rank, and
//! what rounding leaves goes to the largest remainders, ties by slot; so contributions and score
//! sum to exactly 100 points.

use alloc::vec::Vec;
use core::cmp::Reverse;

use monsys_core::Timestamp;

use super::tally::{self, PerCategory, WEIGHTS};
use super::{Coverage, MilliPoints, Scratch, Standing, TrustScore, rank, select};
use crate::catalog::{Catalog, Category};
use crate::view::{Grade, SignalView};

/// A score with the reason of every point of it. It borrows from the scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation<'s> {
    trust: TrustScore,
    contributions: &'s [Contribution],
    unmapped: &'s [usize],
    unknown: &'s [usize],
}

/// What one finding takes from the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contribution {
    /// Which of the rows that were handed in.
    pub row: usize,
    /// Where it counts.
    pub category: Category,
    /// What it weighs alone: its severity, faded if its source fades.
    pub points: MilliPoints,
    /// Its rank in the category, from 1: the heaviest first, then by source and key.
    pub rank: usize,
    /// What it takes from the score.
    pub taken: MilliPoints,
}

impl<'s> Explanation<'s> {
    /// Returns the score that is explained.
    pub const fn trust(&self) -> TrustScore {
        self.trust
    }

    /// Returns every finding that weighs anything, by category and rank. What they take and the
    /// score sum to 100 points.
    pub const fn contributions(&self) -> &'s [Contribution] {
        self.contributions
    }

    /// Returns the live rows whose source is in no category; they take nothing.
    pub const fn unmapped(&self) -> &'s [usize] {
        self.unmapped
    }

    /// Returns the live rows whose severity is no known word; they take nothing.
    pub const fn unknown(&self) -> &'s [usize] {
        self.unknown
    }
}

/// Returns the score of one subject at a moment, explained. Rows are read as by
/// [`score`](super::score).
///
/// ```
/// # use monsys_core::Timestamp;
/// # use monsys_signals::{Catalog, SignalView, trust};
/// # let (rows, now): (Vec<SignalView<'_>>, _) = (Vec::new(), Timestamp::MIN);
/// let mut scratch = trust::Scratch::new();
/// let explained = trust::explain(&rows, &Catalog::standard(), &mut scratch, now);
/// let taken: u32 = explained.contributions().iter().map(|c| c.taken.get()).sum();
/// assert_eq!(explained.trust().score().get() + taken, 100_000);
/// ```
pub fn explain<'s>(
    rows: &[SignalView<'_>],
    catalog: &Catalog,
    scratch: &'s mut Scratch,
    now: Timestamp,
) -> Explanation<'s> {
    select(rows, catalog, &mut scratch.current, now);
    let sorted = &mut scratch.sorted;
    sorted.clear();
    for winner in &scratch.current.winners {
        match winner.standing {
            Standing::Expired => continue,
            Standing::Unmapped => sorted.unmapped.push(winner.row),
            Standing::Counted(category, points) => {
                *sorted.coverage.covered.at_mut(category) = true;
                sorted.findings.at_mut(category).push(points, winner.row);
            }
        }
        if rows
            .get(winner.row)
            .is_some_and(|row| row.grade == Grade::Unknown)
        {
            sorted.unknown.push(winner.row);
        }
    }
    let mut trust = TrustScore::unobserved();
    trust.coverage = sorted.coverage;
    for category in Category::ALL {
        *trust.deductions.at_mut(category) = sorted.split(category);
    }
    Explanation {
        trust,
        contributions: &sorted.contributions,
        unmapped: &sorted.unmapped,
        unknown: &sorted.unknown,
    }
}

/// The findings of one subject in the order of their ranks.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    findings: PerCategory<Classes>,
    coverage: Coverage,
    pub(super) contributions: Vec<Contribution>,
    shares: Vec<Share>,
    unmapped: Vec<usize>,
    unknown: Vec<usize>,
}

impl Sorted {
    fn clear(&mut self) {
        for category in Category::ALL {
            self.findings.at_mut(category).clear();
        }
        self.coverage = Coverage::default();
        self.contributions.clear();
        self.unmapped.clear();
        self.unknown.clear();
    }

    /// Appends the findings of a category, and returns what they take.
    fn split(&mut self, category: Category) -> u32 {
        let start = self.contributions.len();
        let mut total = 0;
        self.shares.clear();
        self.findings.at_mut(category).each(|finding| {
            let at = self.shares.len();
            let weight = u64::from(finding.points) * rank::of(at + 1);
            total += weight;
            self.shares.push((Reverse(weight), at));
            self.contributions.push(Contribution {
                row: finding.row,
                category,
                points: MilliPoints(finding.points),
                rank: at + 1,
                taken: MilliPoints(0),
            });
        });
        let deduction = tally::deduction(total, category);
        let own = self.contributions.get_mut(start..).unwrap_or_default();
        share(deduction, total, own, &mut self.shares);
        deduction
    }
}

/// Splits a deduction by largest remainder on points times rank, which the shares hold at first.
fn share(deduction: u32, total: u64, contributions: &mut [Contribution], shares: &mut [Share]) {
    if deduction == 0 {
        return;
    }
    let mut left = deduction;
    for (contribution, (Reverse(share), _)) in contributions.iter_mut().zip(shares.iter_mut()) {
        // At most 30,000 × 25,000 × 2^20 < 2^50; the quotient is at most the deduction.
        let scaled = u64::from(deduction) * *share;
        let taken = u32::try_from(scaled / total).unwrap_or(left);
        contribution.taken = MilliPoints(taken);
        left -= taken;
        *share = scaled % total;
    }
    let n_left = usize::try_from(left).unwrap_or(usize::MAX);
    if (1..shares.len()).contains(&n_left) {
        shares.select_nth_unstable(n_left);
    }
    for (_, at) in shares.iter().take(n_left) {
        if let Some(contribution) = contributions.get_mut(*at) {
            contribution.taken.0 += 1;
        }
    }
}

/// A weight or a remainder, and whose it is.
type Share = (Reverse<u64>, usize);

/// A finding by its points, and its place among the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Finding {
    points: u32,
    at: usize,
    row: usize,
}

impl Finding {
    fn rank(&self) -> (Reverse<u32>, usize) {
        (Reverse(self.points), self.at)
    }
}

/// The findings of one category, those of full weight by weight: a sort of four values is four
/// lists.
#[derive(Debug, Default)]
struct Classes {
    n: usize,
    full: [Vec<Finding>; 4],
    faded: Vec<Finding>,
}

impl Classes {
    fn clear(&mut self) {
        self.n = 0;
        self.full.iter_mut().for_each(Vec::clear);
        self.faded.clear();
    }

    fn push(&mut self, points: u32, row: usize) {
        self.n += 1;
        let finding = Finding {
            points,
            at: self.n,
            row,
        };
        let mut classes = WEIGHTS.iter().zip(&mut self.full);
        match classes.find(|(weight, _)| **weight == points) {
            Some((_, class)) => class.push(finding),
            None if points > 0 => self.faded.push(finding),
            None => {}
        }
    }

    /// Visits the findings, the heaviest first, ties by slot.
    fn each(&mut self, mut visit: impl FnMut(&Finding)) {
        self.faded.sort_unstable_by_key(Finding::rank);
        let mut faded = self.faded.iter().peekable();
        for finding in self.full.iter().flatten() {
            while let Some(heavier) = faded.next_if(|faded| faded.rank() < finding.rank()) {
                visit(heavier);
            }
            visit(finding);
        }
        faded.for_each(visit);
    }
}
