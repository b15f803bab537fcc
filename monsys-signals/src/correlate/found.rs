//! Findings as sixteen bytes, and how they are brought into order.
//!
//! Findings are sorted by time once, in passes that write to few places at a time; those of a
//! subject or a key are then dealt out and keep that order. So what a finding costs hardly grows
//! with their number, and names are compared only between findings of one group and one moment.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

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

/// Deals findings out by a group, of which there are so many; in a group they lie by time and then
/// by number, each once: of those that were handed in twice the worst.
pub(super) fn group(
    by_time: &[Found],
    to: &mut Vec<Found>,
    n_groups: usize,
    group_of: impl Fn(&Found) -> u32,
) {
    fit(to, by_time);
    deal(by_time, to, &mut vec![0; n_groups], &group_of);
    let is_tied = |a: &Found, b: &Found| a.micros() == b.micros() && group_of(a) == group_of(b);
    for tied in to.chunk_by_mut(is_tied).filter(|tied| tied.len() > 1) {
        tied.sort_unstable_by_key(|found| (found.subject, found.slot, Reverse(found.when)));
    }
    // Of findings that were handed in twice the worse one stays: it was sorted first.
    to.dedup_by(|a, b| a.is_same(b));
}

/// Puts so many findings of a list by time in front, those of one moment by subject, source and
/// key. Their numbers say who arrived first, so only here words are compared; each about once,
/// however many findings are of one moment.
pub(super) fn sort_first(
    found: &mut [Found],
    mut n_first: usize,
    (subjects, slots): (&Names, &Names),
) {
    let by_words = |a: &Found, b: &Found| {
        let ordering = subjects.cmp(a.subject, b.subject);
        ordering.then_with(|| slots.cmp(a.slot, b.slot))
    };
    for tied in found.chunk_by_mut(|a, b| a.micros() == b.micros()) {
        if n_first == 0 {
            return;
        }
        if tied.len() > n_first {
            tied.select_nth_unstable_by(n_first, by_words);
        }
        let n = tied.len().min(n_first);
        n_first -= n;
        let first = tied.get_mut(..n).unwrap_or_default();
        if first.len() > 1 {
            first.sort_unstable_by(by_words);
        }
    }
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

const SEVERITY_BITS: u32 = 3;
const SEVERITY_MASK: u64 = (1 << SEVERITY_BITS) - 1;

/// How many bits one pass sorts by: 2,048 places to write to stay in the caches.
const DIGIT_BITS: u32 = 11;

/// Fewer findings are sorted by comparing.
const RADIX_MIN: usize = 512;
