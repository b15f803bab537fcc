//! Which rows count: of each subject, source and key the newest.
//!
//! What: the rule of `signal_current` over any rows, so that a score from the current table and one
//! from the history are the same. What not: whether a row is live; a newer one that has expired
//! still hides an older one. Cost: one comparison a row in the order in which stores list (subject
//! type, subject, source, key, byte by byte); other orders are sorted first. Memory: two words a
//! row, kept. What a row counts is found while it is at hand, so that memory is read once.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::view::SignalView;

/// A row that counts: what it counts, and the first field in which it differs from the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Winner<T> {
    pub(crate) row: usize,
    pub(crate) differs: Differs,
    pub(crate) standing: T,
}

/// Closed: the parts of a slot, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Differs {
    Subject,
    Source,
    Key,
}

/// The rows that count, in the order of their slots.
#[derive(Debug)]
pub(crate) struct Current<T> {
    order: Vec<usize>,
    pub(crate) winners: Vec<Winner<T>>,
}

impl<T> Default for Current<T> {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            winners: Vec::new(),
        }
    }
}

impl<T> Current<T> {
    /// Chooses anew. `judge` sees each row that counts, in order, and in what it differs from the
    /// one before; if rows were out of order it sees all of them again.
    pub(crate) fn select<'a>(
        &mut self,
        rows: &[SignalView<'a>],
        mut judge: impl FnMut(&SignalView<'a>, Differs) -> T,
    ) {
        if self.scan(rows.iter().enumerate(), &mut judge) {
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
        let sorted = order.iter().filter_map(|row| Some((*row, rows.get(*row)?)));
        self.scan(sorted, &mut judge);
        self.order = order;
    }

    /// Says no at the first row that lies before its neighbour.
    fn scan<'r, 'a: 'r>(
        &mut self,
        mut rows: impl Iterator<Item = (usize, &'r SignalView<'a>)>,
        judge: &mut impl FnMut(&SignalView<'a>, Differs) -> T,
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
                    self.push(best, differs, judge);
                    best = (row, view);
                    differs = next;
                }
            }
        }
        self.push(best, differs, judge);
        true
    }

    fn push<'a>(
        &mut self,
        (row, view): (usize, &SignalView<'a>),
        differs: Differs,
        judge: &mut impl FnMut(&SignalView<'a>, Differs) -> T,
    ) {
        self.winners.push(Winner {
            row,
            differs,
            standing: judge(view, differs),
        });
    }
}

enum Step {
    Back,
    Same,
    On(Differs),
}

fn step(from: &SignalView<'_>, to: &SignalView<'_>) -> Step {
    let (a, b) = (from.subject, to.subject);
    let is_same_subject =
        is_same(a.subject_type, b.subject_type) && is_same(a.subject_id, b.subject_id);
    let (ordering, differs) = if !is_same_subject {
        (a.cmp(&b), Differs::Subject)
    } else if !is_same(from.source, to.source) {
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

/// Equality of words, those of up to 16 bytes without a call: most names are short, and a quarter
/// of a score was spent here.
fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        4..8 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        _ => a == b,
    }
}
