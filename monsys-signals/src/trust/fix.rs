//! The fewest repairs that bring a score to a target.
//!
//! In one category it is best to repair the heaviest findings: whichever m are repaired, the k-th
//! heaviest of the rest is at least the (m + k)-th heaviest of all, and the heaviest m leave
//! exactly those. Between categories there is no such order: a category far beyond its cap gives
//! nothing for the first repairs and much for the last. So every split of the repairs over the
//! categories is weighed, by dynamic programming. The answer is the smallest number there is; of
//! the sets of that number, the one with the highest score, then the one that repairs more in the
//! earlier categories.

use alloc::vec;
use alloc::vec::Vec;

use monsys_core::Timestamp;
use monsys_core::limit::FIXES_MAX;

use super::{Contribution, MilliPoints, Scratch, explain, rank, tally};
use crate::catalog::{Catalog, Category};
use crate::view::SignalView;

/// Repairs that reach a target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fix {
    /// Which of the rows that were handed in, by category and rank.
    pub rows: Vec<usize>,
    /// The score once they are repaired.
    pub score: MilliPoints,
}

/// Says why there is no set of repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FixError {
    /// The caller's target is above the best score.
    #[error("target too high: expected at most 100 points")]
    TargetAboveFull,
    /// Even the best [`FIXES_MAX`] repairs do not reach it.
    #[error("more than {FIXES_MAX} repairs needed")]
    TooMany,
}

/// Returns the fewest repairs that bring the score of a subject to at least `target`. Rows are read
/// as by [`score`](super::score).
///
/// Cost, beyond that of an explanation: 7 × m² / 2 steps and 7 × m words, with m the number of
/// findings, at most [`FIXES_MAX`].
///
/// # Errors
/// [`FixError::TargetAboveFull`] for more than 100 points; [`FixError::TooMany`] when more than
/// [`FIXES_MAX`] repairs are needed.
pub fn smallest_fix(
    rows: &[SignalView<'_>],
    target: MilliPoints,
    catalog: &Catalog,
    scratch: &mut Scratch,
    now: Timestamp,
) -> Result<Fix, FixError> {
    if target > MilliPoints::FULL {
        return Err(FixError::TargetAboveFull);
    }
    let explained = explain(rows, catalog, scratch, now);
    let score = explained.trust().score();
    let wanted = (target - score).get();
    let mut plan = Plan::default();
    for findings in explained
        .contributions()
        .chunk_by(|a, b| a.category == b.category)
    {
        plan.add(findings);
    }
    let n_fixes = plan.smallest(wanted).ok_or(FixError::TooMany)?;
    Ok(plan.fix(n_fixes, score))
}

/// What the best repairs bring, over the categories seen so far.
#[derive(Default)]
struct Plan<'s> {
    stages: Vec<Stage<'s>>,
}

struct Stage<'s> {
    findings: &'s [Contribution],
    /// By number of repairs in this and the earlier categories: the most milli-points they bring.
    best: Vec<u32>,
    /// How many of those repairs are in this category.
    own: Vec<usize>,
}

impl<'s> Plan<'s> {
    fn add(&mut self, findings: &'s [Contribution]) {
        let nothing = vec![0];
        let before = self.stages.last().map_or(&nothing, |stage| &stage.best);
        let gains = gains(findings);
        let n_max = (before.len() + gains.len() - 2).min(FIXES_MAX);
        let mut best = vec![0; n_max + 1];
        let mut own = vec![0; n_max + 1];
        for (here, gain) in gains.iter().enumerate() {
            let sums = best.iter_mut().zip(&mut own).skip(here).zip(before);
            for ((best, own), earlier) in sums {
                if earlier + gain > *best {
                    (*best, *own) = (earlier + gain, here);
                }
            }
        }
        // A repair too many never hurts, so the best of n repairs is at least that of n − 1.
        self.stages.push(Stage {
            findings,
            best,
            own,
        });
    }

    fn smallest(&self, wanted: u32) -> Option<usize> {
        let Some(last) = self.stages.last() else {
            return (wanted == 0).then_some(0);
        };
        last.best.iter().position(|gain| *gain >= wanted)
    }

    fn fix(&self, n_fixes: usize, score: MilliPoints) -> Fix {
        let gained = self.stages.last().and_then(|stage| stage.best.get(n_fixes));
        let mut rows = Vec::with_capacity(n_fixes);
        let mut n_left = n_fixes;
        for stage in self.stages.iter().rev() {
            let own = stage.own.get(n_left).copied().unwrap_or(0);
            n_left = n_left.saturating_sub(own);
            let repaired = stage.findings.iter().take(own).rev();
            rows.extend(repaired.map(|finding| finding.row));
        }
        rows.reverse();
        Fix {
            rows,
            score: MilliPoints(score.0 + gained.copied().unwrap_or(0)),
        }
    }
}

/// By number of repairs in a category: what the heaviest so many bring, in milli-points.
fn gains(findings: &[Contribution]) -> Vec<u32> {
    let category = findings
        .first()
        .map_or(Category::Clock, |first| first.category);
    let n_max = findings.len().min(FIXES_MAX);
    let deduction = |n_fixes: usize| {
        let rest = findings.iter().skip(n_fixes).take(rank::RANK_MAX).zip(1..);
        let total = rest.map(|(finding, k)| u64::from(finding.points.0) * rank::of(k));
        tally::deduction(total.sum(), category)
    };
    let before = deduction(0);
    (0..=n_max).map(|n| before - deduction(n)).collect()
}
