//! Which rows count: of each subject, source and key the newest.
//!
//! What: the rule of `signal_current` over any rows, so that a score from the current table and one
//! from the history are the same. What not: whether a row is live; a newer one that has expired
//! still hides an older one. Cost: one comparison a row in the order in which stores list (subject
//! type, subject, source, key, byte by byte); other orders are sorted first. Memory: two words a
//! row, kept.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::view::SignalView;

/// A row that counts, and the first field in which it differs from the one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Winner {
    pub(crate) row: usize,
    pub(crate) differs: Differs,
}

/// Closed: the parts of a slot, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Differs {
    Subject,
    Source,
    Key,
}

/// The rows that count, in the order of their slots.
#[derive(Debug, Default)]
pub(crate) struct Current {
    order: Vec<usize>,
    pub(crate) winners: Vec<Winner>,
}

impl Current {
    /// Chooses anew.
    pub(crate) fn select(&mut self, rows: &[SignalView<'_>]) {
        if self.scan(rows.iter().enumerate()) {
            return;
        }
        let mut order = core::mem::take(&mut self.order);
        order.clear();
        order.extend(0..rows.len());
        let view = |row: &usize| rows.get(*row);
        order.sort_unstable_by(|a, b| match (view(a), view(b)) {
            (Some(a), Some(b)) => a.cmp_slot(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        self.scan(order.iter().filter_map(|row| Some((*row, rows.get(*row)?))));
        self.order = order;
    }

    /// Says no at the first row that lies before its neighbour.
    fn scan<'r, 'a: 'r>(
        &mut self,
        mut rows: impl Iterator<Item = (usize, &'r SignalView<'a>)>,
    ) -> bool {
        self.winners.clear();
        let Some(mut best) = rows.next() else {
            return true;
        };
        let mut differs = Differs::Subject;
        for (row, view) in rows {
            match step(best.1, view) {
                Step::Back => return false,
                Step::Same if view.supersedes(best.1) => best = (row, view),
                Step::Same => {}
                Step::On(next) => {
                    self.winners.push(Winner {
                        row: best.0,
                        differs,
                    });
                    best = (row, view);
                    differs = next;
                }
            }
        }
        self.winners.push(Winner {
            row: best.0,
            differs,
        });
        true
    }
}

enum Step {
    Back,
    Same,
    On(Differs),
}

fn step(from: &SignalView<'_>, to: &SignalView<'_>) -> Step {
    let (ordering, differs) = if from.subject != to.subject {
        (from.subject.cmp(&to.subject), Differs::Subject)
    } else if from.source != to.source {
        (from.source.cmp(to.source), Differs::Source)
    } else {
        (from.key.cmp(to.key), Differs::Key)
    };
    match ordering {
        Ordering::Less => Step::On(differs),
        Ordering::Equal => Step::Same,
        Ordering::Greater => Step::Back,
    }
}
