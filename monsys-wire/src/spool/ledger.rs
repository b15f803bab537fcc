//! What is pending, at which position, and what was lost.
//!
//! Every record has a number which only rises. Its position is `(epoch, number − base)`, so that a
//! new epoch moves everything undelivered by changing two integers, and drops nothing. What not:
//! files; the ledger is told what they hold and says what to keep. Cost: about 50 bytes a pending
//! record.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use monsys_core::position::Position;
use monsys_core::time::Timestamp;

use super::gap::{Gap, Gaps};
use super::record::Located;
use super::state::State;

/// Which segment a record stands in, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Name of the segment: the number of its first record.
    pub segment: u64,
    /// Where it begins there.
    pub offset: u64,
    /// Its length there.
    pub length: u64,
    /// When what it holds was measured.
    pub captured_at: Timestamp,
}

/// The pending records and the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    epoch: u64,
    base: u64,
    next: u64,
    n_dropped: u64,
    pending: BTreeMap<u64, Place>,
    gaps: Gaps,
}

impl Ledger {
    /// Takes up what the files hold: the state file, where there is a good one, and every whole
    /// record in the order of the segments.
    ///
    /// What should be there and is not is noted as lost. Without a state file everything found
    /// counts as pending and nothing as lost, because what is missing may have been delivered:
    /// sending a payload twice is harmless, losing one is not.
    #[must_use]
    pub fn restore(state: Option<&State>, found: &[(u64, Located)]) -> Self {
        let mut ledger = state.map_or_else(|| Self::without_state(found), Self::with_state);
        for (segment, record) in found {
            let is_listed = state.is_none_or(|state| {
                record.number >= state.next || is_covered(&state.pending, record.number)
            });
            // The last number is never given away, so that there is always a next one.
            if is_listed && record.number > ledger.base && record.number < u64::MAX {
                let place = Place {
                    segment: *segment,
                    offset: record.offset,
                    length: record.length,
                    captured_at: record.captured_at,
                };
                ledger.pending.insert(record.number, place);
                ledger.next = ledger.next.max(record.number + 1);
            }
        }
        if let Some(state) = state {
            let spooled_since = (state.next, ledger.next - 1);
            let listed = state.pending.iter().copied();
            for (low, high) in listed.chain([spooled_since]) {
                ledger.note_missing(low, high);
            }
            let Self { gaps, pending, .. } = &mut ledger;
            gaps.keep_told(|number| pending.contains_key(&number));
        }
        ledger
    }

    fn with_state(state: &State) -> Self {
        let State {
            epoch,
            base,
            next,
            n_dropped,
            pending: _,
            ref gaps,
        } = *state;
        Self {
            epoch,
            base,
            next,
            n_dropped,
            pending: BTreeMap::new(),
            gaps: gaps.clone(),
        }
    }

    fn without_state(found: &[(u64, Located)]) -> Self {
        let mut ledger = Self::with_state(&State::empty());
        let newest = found
            .iter()
            .map(|(_, record)| record)
            .max_by_key(|record| record.number);
        if let Some(newest) = newest {
            let first = found
                .iter()
                .map(|(_, r)| r.number)
                .min()
                .unwrap_or(newest.number);
            ledger.epoch = newest.epoch.max(1);
            ledger.base = newest
                .number
                .saturating_sub(newest.seq)
                .min(first.saturating_sub(1));
        }
        ledger
    }

    /// Notes as lost what of a range of numbers is not pending, in steps of what is.
    fn note_missing(&mut self, low: u64, high: u64) {
        let mut missing: Vec<(u64, u64)> = Vec::new();
        let mut from = low;
        if low <= high {
            for number in self.pending.range(low..=high).map(|(number, _)| *number) {
                if from < number {
                    missing.push((from, number - 1));
                }
                from = number + 1;
            }
        }
        if from <= high {
            missing.push((from, high));
        }
        for (low, high) in missing {
            self.note_lost(low, high);
        }
    }

    fn note_lost(&mut self, low: u64, high: u64) {
        self.n_dropped = self
            .n_dropped
            .saturating_add((high - low).saturating_add(1));
        let seq = |number: u64| number.saturating_sub(self.base).max(1);
        let gap = Gap::of(self.epoch, seq(low), seq(high));
        self.gaps.note(gap);
    }

    /// Notes a record that is durable under the number [`Self::next_number`].
    pub fn append(&mut self, place: Place) -> u64 {
        let number = self.next;
        self.pending.insert(number, place);
        self.next = self.next.saturating_add(1);
        number
    }

    /// Gives up the next number, because a record may have reached the disk under it or not.
    pub const fn burn(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// Notes that a payload which was measured will never be spooled: it takes the next position,
    /// so that its loss is a gap like any other.
    pub fn lose_next(&mut self) {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.note_lost(number, number);
    }

    /// Notes that the hub has a payload, and what it reported; `false` when it was not pending.
    pub fn acknowledge(&mut self, number: u64) -> bool {
        self.gaps.told(number);
        self.pending.remove(&number).is_some()
    }

    /// Notes that a payload is kept elsewhere and not sent any more; `false` when it was not
    /// pending. What it reported is reported again.
    pub fn set_aside(&mut self, number: u64) -> bool {
        let was_pending = self.pending.remove(&number).is_some();
        let Self { gaps, pending, .. } = self;
        gaps.keep_told(|number| pending.contains_key(&number));
        was_pending
    }

    /// Notes that a payload is lost; `false` when it was not pending.
    pub fn give_up(&mut self, number: u64) -> bool {
        let was_pending = self.set_aside(number);
        if was_pending {
            self.note_lost(number, number);
        }
        was_pending
    }

    /// Moves everything pending into a higher epoch, from seq 1, in the same order.
    ///
    /// Returns `false` and changes nothing when `epoch` is not higher.
    pub fn start_epoch(&mut self, epoch: u64) -> bool {
        if epoch <= self.epoch {
            return false;
        }
        self.epoch = epoch;
        self.base = self.oldest().unwrap_or(self.next) - 1;
        true
    }

    /// Forgets the pending records of a segment; returns how many there were.
    pub fn drop_segment(&mut self, segment: u64) -> u64 {
        let of_segment = self.pending.iter().filter(|(_, p)| p.segment == segment);
        let numbers: Vec<u64> = of_segment.map(|(number, _)| *number).collect();
        for number in &numbers {
            self.give_up(*number);
        }
        u64::try_from(numbers.len()).unwrap_or(u64::MAX)
    }

    /// Notes that a report of [`Self::gaps`] is being written, so that what is lost before it is
    /// spooled is not taken for told.
    pub fn say_gaps(&mut self) {
        self.gaps.say();
    }

    /// Notes that a spooled payload holds that report: its gaps are forgotten once it is
    /// acknowledged.
    pub fn tell_gaps_in(&mut self, number: u64) {
        if self.pending.contains_key(&number) {
            self.gaps.tell_in(number);
        }
    }

    /// Returns the position of a record, `None` when it lies outside this epoch.
    #[must_use]
    pub fn position(&self, number: u64) -> Option<Position> {
        let seq = number.checked_sub(self.base)?;
        Position::new(i64::try_from(self.epoch).ok()?, i64::try_from(seq).ok()?).ok()
    }

    /// Returns the number that the next record gets.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// Returns the current epoch.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns how many payloads were lost undelivered in the life of the spool.
    #[must_use]
    pub const fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// Returns the losses that the hub was not told of yet.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        self.gaps.as_slice()
    }

    /// Returns how many records are pending.
    #[must_use]
    pub fn n_pending(&self) -> usize {
        self.pending.len()
    }

    /// Returns the numbers and places of what is pending, oldest first.
    pub fn pending(&self) -> impl DoubleEndedIterator<Item = (u64, &Place)> + Clone {
        self.pending.iter().map(|(number, place)| (*number, place))
    }

    /// Returns the lowest pending number.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(number, _)| *number)
    }

    /// Returns the highest pending number.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.pending.last_key_value().map(|(number, _)| *number)
    }

    /// Returns where a pending record stands.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<Place> {
        self.pending.get(&number).copied()
    }

    /// Returns whether a segment holds a pending record.
    #[must_use]
    pub fn needs_segment(&self, segment: u64) -> bool {
        self.pending.values().any(|place| place.segment == segment)
    }

    /// Returns what the state file must say.
    #[must_use]
    pub fn to_state(&self) -> State {
        let mut pending: Vec<(u64, u64)> = Vec::new();
        for number in self.pending.keys() {
            match pending.last_mut() {
                Some((_, high)) if *high + 1 == *number => *high = *number,
                Some(_) | None => pending.push((*number, *number)),
            }
        }
        State {
            epoch: self.epoch,
            base: self.base,
            next: self.next,
            n_dropped: self.n_dropped,
            pending,
            gaps: self.gaps.clone(),
        }
    }
}

fn is_covered(ranges: &[(u64, u64)], number: u64) -> bool {
    let at = ranges.partition_point(|(_, high)| *high < number);
    ranges.get(at).is_some_and(|(low, _)| *low <= number)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn place(number: u64) -> Place {
        Place {
            segment: number / 10,
            offset: number,
            length: 1,
            captured_at: Timestamp::MIN,
        }
    }

    fn found(numbers: core::ops::Range<u64>) -> Vec<(u64, Located)> {
        let captured_at = Timestamp::MIN;
        let located = |number| Located {
            number,
            epoch: 2,
            seq: number - 3,
            captured_at,
            offset: 0,
            length: 1,
        };
        numbers
            .map(|number| (number / 10, located(number)))
            .collect()
    }

    fn filled(n: u64) -> Ledger {
        let mut ledger = Ledger::restore(None, &[]);
        (1..=n).for_each(|number| assert_eq!(ledger.append(place(number)), number));
        ledger
    }

    fn positions(ledger: &Ledger) -> Vec<(u64, u64)> {
        let position = |number| {
            ledger
                .position(number)
                .map(|p| (p.epoch(), p.seq()))
                .unwrap()
        };
        ledger
            .pending
            .keys()
            .map(|number| position(*number))
            .collect()
    }

    #[test]
    fn a_new_spool_counts_from_epoch_1_and_seq_1() {
        assert_eq!(positions(&filled(2)), [(1, 1), (1, 2)]);
    }

    #[test]
    fn a_new_epoch_moves_all_undelivered_in_order_and_drops_nothing() {
        let mut ledger = filled(6);
        for number in [1, 2, 5] {
            assert!(ledger.acknowledge(number));
        }
        assert!(ledger.start_epoch(9));
        assert_eq!(positions(&ledger), [(9, 1), (9, 2), (9, 4)]);
        ledger.append(place(7));
        assert_eq!(positions(&ledger).last(), Some(&(9, 5)));
        assert_eq!(ledger.n_dropped(), 0);
    }

    #[test]
    fn an_epoch_that_is_not_higher_changes_nothing() {
        let mut ledger = filled(3);
        let before = ledger.clone();
        assert!(!ledger.start_epoch(1) && !ledger.start_epoch(0));
        assert_eq!(ledger, before);
    }

    #[test]
    fn a_new_epoch_of_an_empty_spool_starts_at_seq_1() {
        let mut ledger = filled(3);
        (1..=3).for_each(|number| assert!(ledger.acknowledge(number)));
        assert!(ledger.start_epoch(2));
        ledger.append(place(4));
        assert_eq!(positions(&ledger), [(2, 1)]);
    }

    #[test]
    fn state_and_records_restore_the_ledger() {
        let mut ledger = filled(8);
        ledger.acknowledge(2);
        ledger.acknowledge(8);
        let state = ledger.to_state();
        assert_eq!(state.pending, [(1, 1), (3, 7)]);
        let located = |number| Located {
            number,
            epoch: 1,
            seq: number,
            captured_at: Timestamp::MIN,
            offset: number,
            length: 1,
        };
        let mut records: Vec<_> = (1..=8).map(|n| (n / 10, located(n))).collect();
        assert_eq!(Ledger::restore(Some(&state), &records), ledger);
        records.push((0, located(9)));
        ledger.append(Place {
            segment: 0,
            ..place(9)
        });
        assert_eq!(
            Ledger::restore(Some(&state), &records),
            ledger,
            "9 came after the state"
        );
    }

    #[test]
    fn counters_go_on_when_every_record_is_gone() {
        let state = State {
            epoch: 3,
            base: 7,
            next: 12,
            n_dropped: 0,
            pending: Vec::new(),
            gaps: Gaps::default(),
        };
        let mut ledger = Ledger::restore(Some(&state), &[]);
        ledger.append(place(12));
        assert_eq!(positions(&ledger), [(3, 5)]);
    }

    #[test]
    fn listed_records_that_rotted_are_counted_as_dropped() {
        let state = State {
            epoch: 1,
            base: 0,
            next: 30,
            n_dropped: 1,
            pending: vec![(20, 24)],
            gaps: Gaps::default(),
        };
        let ledger = Ledger::restore(Some(&state), &found(22..24));
        assert_eq!(ledger.n_dropped(), 4);
        assert_eq!(ledger.gaps(), [Gap::of(1, 20, 21), Gap::of(1, 24, 24)]);
        let again = Ledger::restore(Some(&ledger.to_state()), &found(22..24));
        assert_eq!(again, ledger, "a loss is noted once");
    }

    #[test]
    fn a_record_that_rotted_after_the_state_was_written_is_a_gap() {
        let state = State {
            epoch: 2,
            base: 3,
            next: 20,
            n_dropped: 0,
            pending: Vec::new(),
            gaps: Gaps::default(),
        };
        let mut records = found(20..24);
        records.remove(1);
        let ledger = Ledger::restore(Some(&state), &records);
        assert_eq!(positions(&ledger), [(2, 17), (2, 19), (2, 20)]);
        assert_eq!(ledger.gaps(), [Gap::of(2, 18, 18)]);
    }

    #[test]
    fn a_gap_is_kept_until_a_payload_that_reports_it_is_acknowledged() {
        let mut ledger = filled(6);
        assert!(ledger.give_up(2) && !ledger.give_up(2));
        ledger.say_gaps();
        ledger.give_up(3);
        ledger.tell_gaps_in(5);
        ledger.tell_gaps_in(77);
        assert!(ledger.acknowledge(4));
        let told = Gap {
            told_in: Some(5),
            ..Gap::of(1, 2, 2)
        };
        assert_eq!(ledger.gaps(), [told, Gap::of(1, 3, 3)]);
        assert!(ledger.acknowledge(5));
        assert_eq!(ledger.gaps(), [Gap::of(1, 3, 3)]);
        ledger.say_gaps();
        ledger.tell_gaps_in(6);
        assert!(ledger.set_aside(6), "the hub refused the report");
        assert_eq!(ledger.gaps(), [Gap::of(1, 3, 3)]);
    }

    #[test]
    fn what_was_never_spooled_is_lost_at_a_position_of_its_own() {
        let mut ledger = filled(2);
        ledger.lose_next();
        ledger.lose_next();
        ledger.append(place(5));
        assert_eq!(positions(&ledger), [(1, 1), (1, 2), (1, 5)]);
        assert_eq!(ledger.gaps(), [Gap::of(1, 3, 4)]);
    }

    #[test]
    fn without_a_state_file_the_records_tell_epoch_and_base() {
        let ledger = Ledger::restore(None, &found(20..23));
        assert_eq!(positions(&ledger), [(2, 17), (2, 18), (2, 19)]);
        assert_eq!(ledger.next_number(), 23);
    }

    #[test]
    fn hostile_files_lead_to_no_position_outside_the_range() {
        let mut records = found(u64::MAX - 2..u64::MAX);
        records.extend(found(20..22));
        records.push((
            0,
            Located {
                number: u64::MAX,
                ..records[0].1
            },
        ));
        let state = State {
            pending: vec![(1, u64::MAX - 1)],
            next: u64::MAX,
            ..State::empty()
        };
        for state in [None, Some(&state)] {
            let mut ledger = Ledger::restore(state, &records);
            assert_eq!(ledger.position(ledger.next_number()), None);
            assert!(ledger.start_epoch(u64::MAX));
            assert_eq!(
                State::parse(&alloc::format!("{}", ledger.to_state())),
                Some(ledger.to_state())
            );
        }
    }

    #[test]
    fn dropping_a_segment_counts_what_was_pending_in_it() {
        let mut ledger = filled(12);
        ledger.acknowledge(3);
        assert_eq!(ledger.drop_segment(0), 8);
        assert_eq!((ledger.oldest(), ledger.n_dropped()), (Some(10), 8));
        assert_eq!(ledger.gaps(), [Gap::of(1, 1, 2), Gap::of(1, 4, 9)]);
        assert!(ledger.needs_segment(1) && !ledger.needs_segment(0));
    }
}
