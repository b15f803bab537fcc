//! Which payloads were lost, so that nobody takes their absence for silence.
//!
//! A gap is a range of seqs in one epoch of which some payloads will never come: the spool was full
//! and its oldest went, the disk did not return them, or they were measured while nothing could be
//! written. It is kept until a payload that reports it is with the hub. What not: positions that
//! were given to nothing (a write that failed may use one up); nothing was lost there. Cost: at most
//! [`GAPS_MAX`] of them; one more joins the two that lie nearest.
//!
//! ```
//! use monsys_wire::spool::Gap;
//!
//! let mut gap = Gap::of(1, 5, 16);
//! assert_eq!(gap.to_string(), "lost seq 5 to 16 of epoch 1");
//! gap.n_lost = 9;
//! assert_eq!(gap.to_string(), "lost 9 payloads from seq 5 to 16 of epoch 1");
//! ```

use alloc::vec::Vec;
use core::fmt;

/// A range of positions in which payloads were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The epoch in which the positions were.
    pub epoch: u64,
    /// The lowest seq that was lost.
    pub from_seq: u64,
    /// The highest seq that was lost.
    pub to_seq: u64,
    /// How many were lost from the one to the other; fewer than all where gaps were joined.
    pub n_lost: u64,
    /// The number of the record that reports it, if one does; 0 while that one is being written.
    pub told_in: Option<u64>,
}

impl Gap {
    /// A range that was lost as a whole and is reported by no record yet.
    #[must_use]
    pub const fn of(epoch: u64, from_seq: u64, to_seq: u64) -> Self {
        Self {
            epoch,
            from_seq,
            to_seq,
            n_lost: to_seq.saturating_sub(from_seq).saturating_add(1),
            told_in: None,
        }
    }

    const fn is_whole(&self) -> bool {
        self.n_lost > self.to_seq.saturating_sub(self.from_seq)
    }

    /// What can be said of both at once; `None` where they lie in two epochs.
    fn joined(&self, other: &Self) -> Option<Self> {
        (self.epoch == other.epoch).then(|| Self {
            epoch: self.epoch,
            from_seq: self.from_seq.min(other.from_seq),
            to_seq: self.to_seq.max(other.to_seq),
            n_lost: self.n_lost.saturating_add(other.n_lost),
            told_in: None,
        })
    }

    fn is_consistent(&self) -> bool {
        let is_range = 0 < self.from_seq && self.from_seq <= self.to_seq;
        self.epoch > 0 && self.n_lost > 0 && is_range
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            epoch,
            from_seq,
            to_seq,
            n_lost,
            told_in: _,
        } = *self;
        if !self.is_whole() {
            let range = format_args!("from seq {from_seq} to {to_seq} of epoch {epoch}");
            let plural = if n_lost == 1 { "" } else { "s" };
            return write!(f, "lost {n_lost} payload{plural} {range}");
        }
        if from_seq == to_seq {
            return write!(f, "lost seq {from_seq} of epoch {epoch}");
        }
        write!(f, "lost seq {from_seq} to {to_seq} of epoch {epoch}")
    }
}

/// The gaps that are still to be reported, in the order in which they were noticed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gaps(Vec<Gap>);

impl Gaps {
    /// Takes over gaps that were stored; `None` when they are none.
    #[must_use]
    pub fn from_stored(gaps: Vec<Gap>) -> Option<Self> {
        let are_gaps = gaps.len() <= GAPS_MAX && gaps.iter().all(Gap::is_consistent);
        are_gaps.then_some(Self(gaps))
    }

    /// Notes that a range was lost.
    pub(super) fn note(&mut self, gap: Gap) {
        if let Some(last) = self.0.last_mut() {
            let goes_on = last.epoch == gap.epoch
                && last.to_seq.checked_add(1) == Some(gap.from_seq)
                && last.told_in.is_none();
            if let (true, Some(joined)) = (goes_on, last.joined(&gap)) {
                *last = joined;
                return;
            }
        }
        self.0.push(gap);
        if self.0.len() > GAPS_MAX {
            self.join_nearest();
        }
    }

    fn join_nearest(&mut self) {
        let distance = |pair: &[Gap]| match pair {
            [a, b] if a.epoch == b.epoch => a.to_seq.abs_diff(b.from_seq),
            _ => u64::MAX,
        };
        let pairs = self.0.windows(2).enumerate();
        let nearest = pairs.min_by_key(|(_, pair)| distance(pair));
        let at = nearest.map_or(0, |(at, _)| at);
        let first = self.0.remove(at);
        // Gaps of so many epochs are nothing that happens; the oldest of them is only counted.
        if let Some(second) = self.0.get_mut(at)
            && let Some(joined) = first.joined(second)
        {
            *second = joined;
        }
    }

    /// Notes that a report of all that are known is being written: what is lost from here on is not
    /// in it.
    pub(super) fn say(&mut self) {
        for gap in &mut self.0 {
            gap.told_in = gap.told_in.or(Some(UNWRITTEN));
        }
    }

    /// Notes which record holds the report.
    pub(super) fn tell_in(&mut self, number: u64) {
        let said = self.0.iter_mut().filter(|gap| gap.told_in.is_some());
        said.for_each(|gap| gap.told_in = Some(number));
    }

    /// Forgets those that a delivered record reported.
    pub(super) fn told(&mut self, number: u64) {
        self.0.retain(|gap| gap.told_in != Some(number));
    }

    /// Notes which records there still are: a gap that a lost one reported is to be told again.
    pub(super) fn keep_told(&mut self, is_pending: impl Fn(u64) -> bool) {
        for gap in &mut self.0 {
            let is_there = |number: &u64| *number == UNWRITTEN || is_pending(*number);
            gap.told_in = gap.told_in.filter(is_there);
        }
    }

    /// Returns them.
    #[must_use]
    pub fn as_slice(&self) -> &[Gap] {
        &self.0
    }
}

/// How many gaps are told apart.
pub const GAPS_MAX: usize = 16;
/// No record has this number.
const UNWRITTEN: u64 = 0;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn gaps(ranges: impl IntoIterator<Item = (u64, u64)>) -> Gaps {
        let mut gaps = Gaps::default();
        for (from, to) in ranges {
            gaps.note(Gap::of(1, from, to));
        }
        gaps
    }

    #[test]
    fn a_gap_that_goes_on_stays_one_until_it_is_reported() {
        let mut gaps = gaps([(5, 9), (10, 12)]);
        assert_eq!(gaps.as_slice(), [Gap::of(1, 5, 12)]);
        gaps.say();
        gaps.note(Gap::of(1, 13, 13));
        gaps.tell_in(40);
        assert_eq!(gaps.as_slice().len(), 2);
        gaps.told(40);
        assert_eq!(gaps.as_slice(), [Gap::of(1, 13, 13)]);
    }

    #[test]
    fn so_many_gaps_are_joined_where_they_lie_nearest_and_no_loss_is_forgotten() {
        let at = |n: u64| if n < 10 { 100 * n } else { 100 * n + 70 };
        let mut gaps = gaps((1..=16).map(|n| (at(n), at(n))));
        gaps.note(Gap::of(1, at(16) + 3, at(16) + 4));
        assert_eq!(gaps.as_slice().len(), GAPS_MAX);
        let last = gaps.as_slice().last().unwrap();
        assert_eq!((last.from_seq, last.to_seq, last.n_lost), (1_670, 1_674, 3));
        assert_eq!(
            last.to_string(),
            "lost 3 payloads from seq 1670 to 1674 of epoch 1"
        );
    }

    #[test]
    fn gaps_of_two_epochs_are_never_joined() {
        let mut gaps = Gaps::default();
        for epoch in 1..=20 {
            gaps.note(Gap::of(epoch, 1, 1));
        }
        let left: Vec<u64> = gaps.as_slice().iter().map(|gap| gap.epoch).collect();
        assert_eq!(left, (5..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_report_that_was_lost_is_made_again() {
        let mut gaps = gaps([(5, 9)]);
        gaps.say();
        gaps.tell_in(40);
        gaps.keep_told(|number| number == 40);
        assert_eq!(gaps.as_slice()[0].told_in, Some(40));
        gaps.keep_told(|_| false);
        assert_eq!(gaps.as_slice()[0].told_in, None);
    }

    #[test]
    fn stored_gaps_that_contradict_themselves_are_none() {
        for bad in [Gap::of(0, 1, 1), Gap::of(1, 0, 1), Gap::of(1, 2, 1)] {
            assert_eq!(Gaps::from_stored(vec![bad]), None, "{bad:?}");
        }
        assert_eq!(Gaps::from_stored(vec![Gap::of(1, 1, 1); 17]), None);
    }

    #[test]
    fn one_lost_payload_is_said_as_one() {
        assert_eq!(Gap::of(2, 7, 7).to_string(), "lost seq 7 of epoch 2");
    }
}
