//! Findings as sixteen bytes, and how they are brought into order.
//!
//! Findings are sorted by time once, in passes that write to few places at a time; those of a
//! subject or a key are then dealt out and keep that order. So what a finding costs hardly grows
//! with their number, and names are compared only between findings of one group and one moment.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use monsys_core::time::Span;
use monsys_core::{Severity, Timestamp};

use crate::names::{Names, index};

/// A finding by the numbers of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Microseconds since [`Timestamp::MIN`], less than 2^59, above three bits of severity.
    when: u64,
    pub(super) subject: u32,
    pub(super) slot: u32,
}

impl Found {
    pub(super) fn new(at: Timestamp, severity: Severity, subject: u32, slot: u32) -> Self {
        let severity = Severity::ALL.iter().position(|one| *one == severity);
        let severity = severity.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
        Self {
            when: micros(at) << SEVERITY_BITS | severity,
            subject,
            slot,
        }
    }

    /// Microseconds since the first moment there is.
    pub(super) const fn micros(&self) -> u64 {
        self.when >> SEVERITY_BITS
    }

    pub(super) fn at(&self) -> Timestamp {
        let micros = i64::try_from(self.micros()).unwrap_or(i64::MAX);
        Timestamp::MIN.saturating_add(Span::from_micros(micros))
    }

    pub(super) fn severity(&self) -> Severity {
        let at = usize::try_from(self.when & SEVERITY_MASK).unwrap_or(0);
        Severity::ALL.get(at).copied().unwrap_or(Severity::Info)
    }

    /// Whether it is near to one that is not later.
    pub(super) const fn is_near(&self, earlier: &Self, micros: u64) -> bool {
        self.micros() - earlier.micros() <= micros
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.micros(), self.subject, self.slot) == (other.micros(), other.subject, other.slot)
    }
}

/// Microseconds since the first moment there is.
pub(super) fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.since(Timestamp::MIN).micros()).unwrap_or(0)
}

/// Deals findings out by a group, of which there are so many; in a group they lie by time, subject,
/// source and key, each once: of those that were handed in twice the worst.
pub(super) fn group(
    by_time: &[Found],
    to: &mut Vec<Found>,
    (n_groups, group_of): (usize, impl Fn(&Found) -> u32),
    (subjects, slots): (&Names, &Names),
) {
    fit(to, by_time);
    deal(by_time, to, &mut vec![0; n_groups], &group_of);
    let is_tied = |a: &Found, b: &Found| a.micros() == b.micros() && group_of(a) == group_of(b);
    sort_tied(to, is_tied, (subjects, slots));
    // Of findings that were handed in twice the worse one stays: it was sorted first.
    to.dedup_by(|a, b| a.is_same(b));
}

/// Makes as much room as findings take.
fn fit(spare: &mut Vec<Found>, found: &[Found]) {
    spare.truncate(found.len());
    spare.extend_from_slice(found.get(spare.len()..).unwrap_or_default());
}

/// Sorts by time; the order of equals does not matter.
pub(super) fn sort_by_time(found: &mut Vec<Found>, spare: &mut Vec<Found>) {
    if found.len() < RADIX_MIN {
        found.sort_unstable_by_key(Found::micros);
        return;
    }
    fit(spare, found);
    let times = found.iter().map(Found::micros);
    let (min, max) = times.fold((u64::MAX, 0), |(min, max), at| (at.min(min), at.max(max)));
    let n_bits = u64::BITS - max.saturating_sub(min).leading_zeros();
    let n_passes = n_bits.div_ceil(DIGIT_BITS);
    let width = n_bits.div_ceil(n_passes.max(1));
    let mut places = vec![0; 1 << width];
    for pass in 0..n_passes {
        let digit = |found: &Found| {
            let digit = (found.micros() - min) >> (pass * width) & ((1 << width) - 1);
            u32::try_from(digit).unwrap_or(0)
        };
        deal(found, spare, &mut places, digit);
        core::mem::swap(found, spare);
    }
}

/// Writes each finding to the next place of its group, in linear time.
fn deal(from: &[Found], to: &mut [Found], places: &mut [usize], group_of: impl Fn(&Found) -> u32) {
    places.fill(0);
    for found in from {
        if let Some(n) = places.get_mut(index(group_of(found))) {
            *n += 1;
        }
    }
    let mut start = 0;
    for place in &mut *places {
        start += core::mem::replace(place, start);
    }
    for found in from {
        if let Some(place) = places.get_mut(index(group_of(found))) {
            if let Some(to) = to.get_mut(*place) {
                *to = *found;
            }
            *place += 1;
        }
    }
}

/// Sorts the findings of each group and moment by their names.
fn sort_tied(
    found: &mut [Found],
    is_tied: impl Fn(&Found, &Found) -> bool,
    (subjects, slots): (&Names, &Names),
) {
    let (mut n_subjects, mut n_slots) = (0, 0);
    for tied in found.chunk_by(&is_tied).filter(|tied| tied.len() > 1) {
        let (n, mut pairs) = (order(tied.len()), tied.windows(2));
        n_slots += n;
        let is_mixed = |pair: &[Found]| matches!(pair, [a, b] if a.subject != b.subject);
        n_subjects += if pairs.any(is_mixed) { n } else { 0 };
    }
    if n_slots == 0 {
        return;
    }
    let (subjects, slots) = (Words::new(subjects, n_subjects), Words::new(slots, n_slots));
    for tied in found.chunk_by_mut(is_tied).filter(|tied| tied.len() > 1) {
        tied.sort_unstable_by(|a, b| {
            let ordering = subjects.cmp(a.subject, b.subject);
            let ordering = ordering.then_with(|| slots.cmp(a.slot, b.slot));
            ordering.then(b.severity().cmp(&a.severity()))
        });
    }
}

/// The order of numbers by their words: looked up, or ranked beforehand if that compares fewer
/// words.
enum Words<'c> {
    Looked(&'c Names),
    Ranked(Vec<u32>),
}

impl<'c> Words<'c> {
    fn new(names: &'c Names, n_compared: usize) -> Self {
        if n_compared > order(names.len()) {
            Self::Ranked(names.ranks())
        } else {
            Self::Looked(names)
        }
    }

    fn cmp(&self, a: u32, b: u32) -> Ordering {
        match self {
            Self::Looked(names) => names.cmp(a, b),
            Self::Ranked(ranks) => ranks.get(index(a)).cmp(&ranks.get(index(b))),
        }
    }
}

/// About how often a sort of so many compares.
fn order(n: usize) -> usize {
    n.saturating_mul(index(n.max(1).ilog2()))
}

const SEVERITY_BITS: u32 = 3;
const SEVERITY_MASK: u64 = (1 << SEVERITY_BITS) - 1;

/// How many bits one pass sorts by: 2,048 places to write to stay in the caches.
const DIGIT_BITS: u32 = 11;

/// Fewer findings are sorted by comparing.
const RADIX_MIN: usize = 512;
