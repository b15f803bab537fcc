//! Positions: which payload of an agent this is, and whether it was here before.
//!
//! What: the position rules of contract §2 as a pure value. A position `(epoch, seq)` is given to a
//! payload when it is spooled and never changes, so it is the idempotency key; the set of seen
//! positions is kept as ranges with at most 64 open gaps. What not: storing the set or the content
//! hashes; a store keeps both in its ingest transaction. Cost: an agent in step costs one range, a
//! few bytes; admission is a binary search over at most 65 ranges.
//!
//! An honest agent trips nothing here by retrying, crashing or draining a backlog. One that lost
//! its counters is told the epoch to go on with ([`Admission::StaleEpoch`]). An attacker who
//! replays a captured payload gets [`Admission::Duplicate`], which changes nothing.

use alloc::vec::Vec;

use thiserror::Error;

use crate::limit;
use crate::time::{Span, Timestamp};

/// The place of a payload in the life of a spool: `epoch` counts lives, `seq` payloads from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    epoch: u64,
    seq: u64,
}

/// Says that a pair of numbers is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("position out of range: expected epoch and seq from 1 to 9007199254740991")]
pub struct PositionError;

impl Position {
    /// Takes an epoch and a sequence number.
    ///
    /// # Errors
    /// [`PositionError`] when either is below 1 or above 2^53 − 1.
    pub fn new(epoch: i64, seq: i64) -> Result<Self, PositionError> {
        let part = |n: i64| match u64::try_from(n) {
            Ok(n @ 1..) if n <= limit::SAFE_INTEGER_MAX.unsigned_abs() => Ok(n),
            _ => Err(PositionError),
        };
        Ok(Self {
            epoch: part(epoch)?,
            seq: part(seq)?,
        })
    }

    /// Returns the life of the spool, from 1.
    pub const fn epoch(self) -> u64 {
        self.epoch
    }

    /// Returns the number of the payload in its epoch, from 1.
    pub const fn seq(self) -> u64 {
        self.seq
    }
}

/// SHA-256 of a canonical payload without its `sent_at`: what must not change under a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// What becomes of a payload at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// Not seen before: accepted, and the position is used up.
    Fresh {
        /// The position lay in a gap that was open before: it may be a drained backlog.
        fills_gap: bool,
    },
    /// Seen with the same content, or too long ago to compare.
    Duplicate,
    /// Seen with other content.
    Replay,
    /// In a gap that was closed because there were too many: whether it was here before is not
    /// known, so it is refused. A backlog that comes late over a bad line meets it.
    GivenUp,
    /// From a former life of the spool.
    StaleEpoch {
        /// The lowest epoch under which it would be accepted.
        min_epoch: u64,
    },
    /// The epoch jumps further than any honest spool does.
    OutOfRange,
}

/// The positions seen of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PositionSet {
    current: Option<Lane>,
    former: Option<Lane>,
}

/// Says that stored bytes are no position set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("stored positions are damaged: expected the form written by to_bytes")]
pub struct DamagedPositions;

impl PositionSet {
    /// Makes the set of an agent of which nothing was seen, as after pinning a key.
    pub const fn new() -> Self {
        Self {
            current: None,
            former: None,
        }
    }

    /// Decides about a payload and, when it is fresh, uses up its position.
    ///
    /// `stored` is the content hash kept for this very position, if there still is one.
    pub fn admit(
        &mut self,
        position: Position,
        content: ContentHash,
        stored: Option<ContentHash>,
    ) -> Admission {
        let Some(current) = &mut self.current else {
            return self.start(position);
        };
        if position.epoch == current.epoch {
            return current.admit(position.seq, content, stored);
        }
        if position.epoch < current.epoch {
            let min_epoch = current.epoch + 1;
            let former = self
                .former
                .as_ref()
                .filter(|lane| lane.epoch == position.epoch);
            return match former {
                Some(lane) if lane.is_seen(position.seq) => {
                    lane.compare(position.seq, content, stored)
                }
                _ => Admission::StaleEpoch { min_epoch },
            };
        }
        if position.epoch - current.epoch > limit::EPOCH_JUMP_MAX {
            return Admission::OutOfRange;
        }
        self.former = self.current.take();
        self.current = Some(Lane::starting_at(position));
        Admission::Fresh { fills_gap: false }
    }

    fn start(&mut self, position: Position) -> Admission {
        if position.epoch > limit::EPOCH_FIRST_MAX {
            return Admission::OutOfRange;
        }
        self.current = Some(Lane::starting_at(position));
        Admission::Fresh { fills_gap: false }
    }

    /// Tells whether a payload at this position was accepted, or given up. For one that was not, it
    /// does not matter what [`admit`](Self::admit) is told of stored content, so nobody need look.
    pub fn has_seen(&self, position: Position) -> bool {
        let mut lanes = self.current.iter().chain(&self.former);
        lanes.any(|lane| lane.epoch == position.epoch && lane.is_seen(position.seq))
    }

    /// Returns the current epoch, if any payload was accepted yet.
    pub fn epoch(&self) -> Option<u64> {
        self.current.as_ref().map(|lane| lane.epoch)
    }

    /// Returns the highest position accepted in the current epoch.
    pub fn highest(&self) -> Option<Position> {
        let lane = self.current.as_ref()?;
        Some(Position {
            epoch: lane.epoch,
            seq: lane.seen.last()?.high,
        })
    }

    /// Returns how many gaps of the current epoch are open.
    pub fn open_gaps(&self) -> usize {
        self.current.as_ref().map_or(0, Lane::gap_count)
    }

    /// Writes the set in a compact form that [`Self::from_bytes`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = alloc::vec![FORM];
        for lane in [&self.current, &self.former].into_iter().flatten() {
            put(&mut out, lane.epoch);
            put_ranges(&mut out, &lane.seen);
            put_ranges(&mut out, &lane.closed);
        }
        out
    }

    /// Reads a set written by [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`DamagedPositions`] when the bytes are anything else; nothing is guessed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedPositions> {
        let Some((&FORM, mut rest)) = bytes.split_first() else {
            return Err(DamagedPositions);
        };
        let mut lanes = [None, None];
        for lane in &mut lanes {
            if rest.is_empty() {
                break;
            }
            *lane = Some(Lane {
                epoch: take(&mut rest)?,
                seen: take_ranges(&mut rest)?,
                closed: take_ranges(&mut rest)?,
            });
        }
        if !rest.is_empty() {
            return Err(DamagedPositions);
        }
        let [current, former] = lanes;
        Ok(Self { current, former })
    }
}

/// Tells whether a payload was captured so long before it was sent that it counts as spooled, if
/// the hub saw its position as an open gap (contract §2).
pub fn is_late(captured_at: Timestamp, sent_at: Timestamp) -> bool {
    sent_at.since(captured_at) > Span::from_secs(limit::SPOOLED_AFTER_S)
}

/// Inclusive at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    low: u64,
    high: u64,
}

/// One epoch: `seen` is sorted, its ranges neither touch nor overlap, and it covers `closed`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lane {
    epoch: u64,
    seen: Vec<Range>,
    closed: Vec<Range>,
}

impl Lane {
    fn starting_at(position: Position) -> Self {
        let first = Range {
            low: position.seq,
            high: position.seq,
        };
        Self {
            epoch: position.epoch,
            seen: alloc::vec![first],
            closed: Vec::new(),
        }
    }

    fn admit(&mut self, seq: u64, content: ContentHash, stored: Option<ContentHash>) -> Admission {
        if self.is_seen(seq) {
            return self.compare(seq, content, stored);
        }
        let fills_gap = self.seen.last().is_some_and(|last| seq < last.high);
        self.insert(seq);
        while self.gap_count() > limit::POSITION_GAPS_MAX {
            self.close_shortest_gap();
        }
        Admission::Fresh { fills_gap }
    }

    fn is_seen(&self, seq: u64) -> bool {
        covers(&self.seen, seq)
    }

    fn compare(&self, seq: u64, content: ContentHash, stored: Option<ContentHash>) -> Admission {
        match stored {
            Some(known) if known == content => Admission::Duplicate,
            Some(_) => Admission::Replay,
            None if covers(&self.closed, seq) => Admission::GivenUp,
            None => Admission::Duplicate,
        }
    }

    fn insert(&mut self, seq: u64) {
        let at = self.seen.partition_point(|range| range.high < seq);
        self.seen.insert(
            at,
            Range {
                low: seq,
                high: seq,
            },
        );
        join_touching(&mut self.seen);
    }

    fn gap_count(&self) -> usize {
        let below_first = self.seen.first().is_some_and(|first| first.low > 1);
        self.seen.len().saturating_sub(1) + usize::from(below_first)
    }

    fn close_shortest_gap(&mut self) {
        let mut below = 0;
        let mut shortest: Option<Range> = None;
        for range in &self.seen {
            if range.low > below + 1 {
                let gap = Range {
                    low: below + 1,
                    high: range.low - 1,
                };
                if shortest.is_none_or(|s| gap.high - gap.low < s.high - s.low) {
                    shortest = Some(gap);
                }
            }
            below = range.high;
        }
        let Some(gap) = shortest else { return };
        for ranges in [&mut self.seen, &mut self.closed] {
            let at = ranges.partition_point(|range| range.high < gap.low);
            ranges.insert(at, gap);
            join_touching(ranges);
        }
        if self.closed.len() > limit::POSITION_CLOSED_MAX {
            join_nearest(&mut self.closed);
        }
    }
}

fn covers(ranges: &[Range], seq: u64) -> bool {
    let at = ranges.partition_point(|range| range.high < seq);
    ranges.get(at).is_some_and(|range| range.low <= seq)
}

fn join_touching(ranges: &mut Vec<Range>) {
    ranges.dedup_by(|next, kept| {
        let is_touching = next.low <= kept.high.saturating_add(1);
        if is_touching {
            kept.high = kept.high.max(next.high);
        }
        is_touching
    });
}

fn join_nearest(ranges: &mut Vec<Range>) {
    let distance = |pair: &[Range]| match pair {
        [a, b] => b.low - a.high,
        _ => u64::MAX,
    };
    let nearest = ranges
        .windows(2)
        .enumerate()
        .min_by_key(|(_, pair)| distance(pair));
    let Some((at, _)) = nearest else { return };
    let joined = ranges.remove(at + 1);
    if let Some(kept) = ranges.get_mut(at) {
        kept.high = joined.high;
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_ranges(out: &mut Vec<u8>, ranges: &[Range]) {
    put(out, u64::try_from(ranges.len()).unwrap_or(u64::MAX));
    let mut below = 0;
    for range in ranges {
        put(out, range.low - below);
        put(out, range.high - range.low);
        below = range.high;
    }
}

fn take(rest: &mut &[u8]) -> Result<u64, DamagedPositions> {
    let mut value: u64 = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(DamagedPositions)?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DamagedPositions)
}

fn take_ranges(rest: &mut &[u8]) -> Result<Vec<Range>, DamagedPositions> {
    let count = take(rest)?;
    if count > u64::try_from(limit::POSITION_GAPS_MAX + 1).unwrap_or(0) {
        return Err(DamagedPositions);
    }
    let mut below = 0_u64;
    let mut ranges = Vec::new();
    for _ in 0..count {
        let low = below.checked_add(take(rest)?).ok_or(DamagedPositions)?;
        let high = low.checked_add(take(rest)?).ok_or(DamagedPositions)?;
        if low == 0 || low == below {
            return Err(DamagedPositions);
        }
        ranges.push(Range { low, high });
        below = high;
    }
    Ok(ranges)
}

/// First byte of the stored form; another form gets another number.
const FORM: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ContentHash = ContentHash([1; 32]);
    const B: ContentHash = ContentHash([2; 32]);

    fn at(epoch: i64, seq: i64) -> Position {
        Position::new(epoch, seq).unwrap()
    }

    fn fresh(set: &mut PositionSet, epoch: i64, seq: i64) -> Admission {
        set.admit(at(epoch, seq), A, None)
    }

    #[test]
    fn zero_and_negative_positions_are_out_of_range() {
        for (epoch, seq) in [(0, 1), (1, 0), (-1, 1), (1, limit::SAFE_INTEGER_MAX + 1)] {
            assert_eq!(Position::new(epoch, seq), Err(PositionError));
        }
    }

    #[test]
    fn positions_below_the_first_seen_are_an_open_gap() {
        let mut set = PositionSet::new();
        assert_eq!(
            fresh(&mut set, 1, 17),
            Admission::Fresh { fills_gap: false }
        );
        assert_eq!(fresh(&mut set, 1, 5), Admission::Fresh { fills_gap: true });
        assert_eq!(
            fresh(&mut set, 1, 18),
            Admission::Fresh { fills_gap: false }
        );
        assert_eq!(set.open_gaps(), 2);
    }

    #[test]
    fn seen_positions_are_duplicates_or_replays_by_content() {
        let mut set = PositionSet::new();
        assert_eq!(fresh(&mut set, 1, 1), Admission::Fresh { fills_gap: false });
        assert_eq!(set.admit(at(1, 1), A, Some(A)), Admission::Duplicate);
        assert_eq!(set.admit(at(1, 1), B, Some(A)), Admission::Replay);
        assert_eq!(set.admit(at(1, 1), B, None), Admission::Duplicate);
    }

    #[test]
    fn a_lower_epoch_is_stale_unless_seen_in_the_former_one() {
        let mut set = PositionSet::new();
        assert_eq!(fresh(&mut set, 3, 7), Admission::Fresh { fills_gap: false });
        assert_eq!(fresh(&mut set, 5, 1), Admission::Fresh { fills_gap: false });
        assert_eq!(set.admit(at(3, 7), A, Some(A)), Admission::Duplicate);
        assert_eq!(
            fresh(&mut set, 3, 8),
            Admission::StaleEpoch { min_epoch: 6 }
        );
        assert_eq!(
            fresh(&mut set, 4, 1),
            Admission::StaleEpoch { min_epoch: 6 }
        );
        assert_eq!(set.epoch(), Some(5));
    }

    #[test]
    fn epochs_jump_at_most_a_million() {
        let mut set = PositionSet::new();
        let first_max = i64::try_from(limit::EPOCH_FIRST_MAX).unwrap();
        assert_eq!(fresh(&mut set, first_max + 1, 1), Admission::OutOfRange);
        assert_eq!(fresh(&mut set, 1, 1), Admission::Fresh { fills_gap: false });
        assert_eq!(fresh(&mut set, 1_000_002, 1), Admission::OutOfRange);
        assert_eq!(
            fresh(&mut set, 1_000_001, 1),
            Admission::Fresh { fills_gap: false }
        );
    }

    #[test]
    fn the_65th_gap_closes_the_shortest_one() {
        let mut set = PositionSet::new();
        let mut seq = 1;
        assert_eq!(
            fresh(&mut set, 1, seq),
            Admission::Fresh { fills_gap: false }
        );
        for width in 2..=65 {
            seq += width + 1;
            assert_eq!(
                fresh(&mut set, 1, seq),
                Admission::Fresh { fills_gap: false }
            );
        }
        assert_eq!(set.open_gaps(), 64);
        assert_eq!(
            fresh(&mut set, 1, seq + 100),
            Admission::Fresh { fills_gap: false }
        );
        assert_eq!(set.open_gaps(), 64);
        assert_eq!(
            fresh(&mut set, 1, 2),
            Admission::GivenUp,
            "the gap of two closed"
        );
        assert_eq!(
            fresh(&mut set, 1, 5),
            Admission::Fresh { fills_gap: true },
            "three stays open"
        );
    }

    #[test]
    fn a_payload_is_late_beyond_60_s_and_not_at_them() {
        let sent_at = Timestamp::parse_rfc3339("2026-11-21T00:01:00Z").unwrap();
        assert!(!is_late(
            sent_at.saturating_sub(Span::from_secs(60)),
            sent_at
        ));
        assert!(is_late(
            sent_at.saturating_sub(Span::from_micros(60_000_001)),
            sent_at
        ));
        assert!(!is_late(
            sent_at.saturating_add(Span::from_secs(3_600)),
            sent_at
        ));
    }

    #[test]
    fn an_agent_in_step_costs_a_few_bytes() {
        let mut set = PositionSet::new();
        for seq in 1..=10_000 {
            assert_eq!(
                fresh(&mut set, 1, seq),
                Admission::Fresh { fills_gap: false }
            );
        }
        assert!(set.to_bytes().len() <= 8, "{}", set.to_bytes().len());
    }

    proptest! {
        #[test]
        fn admission_agrees_with_a_plain_set(seqs in prop::collection::vec(1_i64..40, 1..60)) {
            let mut set = PositionSet::new();
            let mut plain = alloc::collections::BTreeSet::new();
            for seq in seqs {
                let highest = plain.last().copied();
                let expected = if plain.insert(seq) {
                    Admission::Fresh { fills_gap: highest.is_some_and(|h| seq < h) }
                } else {
                    Admission::Duplicate
                };
                prop_assert_eq!(fresh(&mut set, 1, seq), expected);
                prop_assert_eq!(&PositionSet::from_bytes(&set.to_bytes()).unwrap(), &set);
            }
        }

        #[test]
        fn of_a_position_not_seen_the_stored_content_does_not_matter(
            before in prop::collection::vec((1_i64..5, 1_i64..40), 0..40),
            epoch in 1_i64..6,
            seq in 1_i64..40,
        ) {
            let mut set = PositionSet::new();
            for (epoch, seq) in before {
                let _ = fresh(&mut set, epoch, seq);
            }
            let answers = [None, Some(A), Some(B)].map(|stored| {
                set.clone().admit(at(epoch, seq), A, stored)
            });
            let is_seen = set.has_seen(at(epoch, seq));
            prop_assert_eq!(is_seen, answers[1] != answers[2]);
            if !is_seen {
                prop_assert_eq!(&answers[0], &answers[1]);
            }
        }

        #[test]
        fn gaps_stay_bounded_and_bytes_round_trip(seqs in prop::collection::vec(1_i64..2_000, 1..400)) {
            let mut set = PositionSet::new();
            for seq in seqs {
                let _ = fresh(&mut set, 1, seq);
                prop_assert!(set.open_gaps() <= limit::POSITION_GAPS_MAX);
            }
            prop_assert_eq!(&PositionSet::from_bytes(&set.to_bytes()).unwrap(), &set);
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = PositionSet::from_bytes(&bytes);
        }
    }
}
