//! Where one key hits many subjects at once.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::found::Found;
use super::{FLEET_SUBJECTS_MIN, WINDOW_MICROS};
use crate::names::index;

/// Finds the windows in which one key hits enough subjects.
pub(super) struct Windows {
    /// The last count in which each subject was met.
    met: Vec<u32>,
    n_counts: u32,
}

impl Windows {
    pub(super) fn new(n_subjects: usize) -> Self {
        Self {
            met: vec![0; n_subjects],
            n_counts: 0,
        }
    }

    /// Returns where the findings of a key, by time, lie in windows that count; windows that share
    /// a finding are one.
    pub(super) fn hit(own: &[Found]) -> Vec<Range<usize>> {
        let mut hits: Vec<Range<usize>> = Vec::new();
        let mut latest = Latest::default();
        let mut end = 0;
        for (start, first) in own.iter().enumerate() {
            while let Some(next) = own.get(end).filter(|f| f.is_near(first, WINDOW_MICROS)) {
                latest.push(next.subject, end);
                end += 1;
            }
            if latest.is_enough_since(start) {
                match hits.last_mut().filter(|hit| start < hit.end) {
                    Some(hit) => hit.end = end,
                    None => hits.push(start..end),
                }
            }
        }
        hits
    }

    /// Counts the subjects of findings.
    pub(super) fn n_subjects(&mut self, near: &[Found]) -> usize {
        // Cannot wrap: each count is of findings of its own.
        self.n_counts = self.n_counts.wrapping_add(1);
        let n_counts = self.n_counts;
        let is_new = |found: &&Found| {
            let met = self.met.get_mut(index(found.subject));
            met.is_some_and(|met| core::mem::replace(met, n_counts) != n_counts)
        };
        near.iter().filter(is_new).count()
    }
}

/// The subjects met last, each where it was met last, the latest first. Whether a window that ends
/// here holds enough subjects needs no more.
#[derive(Default)]
struct Latest([Option<(u32, usize)>; FLEET_SUBJECTS_MIN]);

impl Latest {
    fn push(&mut self, subject: u32, at: usize) {
        let mut next = Some((subject, at));
        for place in &mut self.0 {
            core::mem::swap(place, &mut next);
            if next.is_none_or(|(displaced, _)| displaced == subject) {
                return;
            }
        }
    }

    fn is_enough_since(&self, start: usize) -> bool {
        let [.., earliest] = self.0;
        earliest.is_some_and(|(_, at)| at >= start)
    }
}
