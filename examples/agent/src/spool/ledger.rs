//! What is pending and at which position: the deciding half of the spool.
//!
//! Every record has a number which only rises. Its position is `(epoch, number − base)`, so that a
//! new epoch moves everything undelivered by changing two integers, and drops nothing. What not:
//! files; the ledger is told what they hold and says what to keep. Cost: 40 bytes a pending record.

use std::collections::BTreeMap;

use monsys_core::position::Position;

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
}

/// The pending records and the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    epoch: u64,
    base: u64,
    next: u64,
    n_dropped: u64,
    pending: BTreeMap<u64, Place>,
}

impl Ledger {
    /// Takes up what the files hold: the state file, where there is a good one, and every whole
    /// record in the order of the segments.
    ///
    /// Without a state file everything found counts as pending: sending a payload twice is
    /// harmless, losing one is not.
    pub fn restore(state: Option<&State>, found: &[(u64, Located)]) -> Self {
        let mut ledger = state.map_or_else(|| Self::without_state(found), Self::with_state);
        for (segment, record) in found {
            let is_listed = state.is_none_or(|state| {
                record.number >= state.next || is_covered(&state.pending, record.number)
            });
            if is_listed && record.number > ledger.base {
                let place = Place {
                    segment: *segment,
                    offset: record.offset,
                    length: record.length,
                };
                ledger.pending.insert(record.number, place);
            }
            ledger.next = ledger.next.max(record.number.saturating_add(1));
        }
        let n_listed = state.map_or(0, |state| n_pending(&state.pending));
        let n_old = ledger
            .pending
            .range(..state.map_or(0, |state| state.next))
            .count();
        ledger.n_dropped += n_listed.saturating_sub(u64::try_from(n_old).unwrap_or(u64::MAX));
        ledger
    }

    fn with_state(state: &State) -> Self {
        let State {
            epoch,
            base,
            next,
            n_dropped,
            pending: _,
        } = *state;
        Self {
            epoch,
            base,
            next,
            n_dropped,
            pending: BTreeMap::new(),
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

    /// Notes a record that is durable under the number [`Self::next_number`].
    pub fn append(&mut self, place: Place) -> u64 {
        let number = self.next;
        self.pending.insert(number, place);
        self.next += 1;
        number
    }

    /// Gives up the next number, because a record may have reached the disk under it or not.
    pub const fn burn(&mut self) {
        self.next += 1;
    }

    /// Notes that a payload needs no more sending; `false` when that was known.
    pub fn acknowledge(&mut self, number: u64) -> bool {
        self.pending.remove(&number).is_some()
    }

    /// Notes that a payload is lost; `false` when it was not pending.
    pub fn give_up(&mut self, number: u64) -> bool {
        let was_pending = self.pending.remove(&number).is_some();
        self.n_dropped += u64::from(was_pending);
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
        let before = self.pending.len();
        self.pending.retain(|_, place| place.segment != segment);
        let n = u64::try_from(before - self.pending.len()).unwrap_or(u64::MAX);
        self.n_dropped += n;
        n
    }

    /// Returns the position of a record, `None` when it lies outside this epoch.
    pub fn position(&self, number: u64) -> Option<Position> {
        let seq = number.checked_sub(self.base)?;
        Position::new(i64::try_from(self.epoch).ok()?, i64::try_from(seq).ok()?).ok()
    }

    /// Returns the number that the next record gets.
    pub const fn next_number(&self) -> u64 {
        self.next
    }

    /// Returns the current epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns how many payloads were lost undelivered in the life of the spool.
    pub const fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// Returns how many records are pending.
    pub fn n_pending(&self) -> usize {
        self.pending.len()
    }

    /// Returns the lowest pending number.
    pub fn oldest(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(number, _)| *number)
    }

    /// Returns the highest pending number.
    pub fn newest(&self) -> Option<u64> {
        self.pending.last_key_value().map(|(number, _)| *number)
    }

    /// Returns where a pending record stands.
    pub fn place(&self, number: u64) -> Option<Place> {
        self.pending.get(&number).copied()
    }

    /// Returns whether a segment holds a pending record.
    pub fn needs_segment(&self, segment: u64) -> bool {
        self.pending.values().any(|place| place.segment == segment)
    }

    /// Returns what the state file must say.
    pub fn to_state(&self) -> State {
        let mut pending: Vec<(u64, u64)> = Vec::new();
        for number in self.pending.keys() {
            match pending.last_mut() {
                Some((_, high)) if *high + 1 == *number => *high = *number,
                Some(_) | None => pending.push((*number, *number)),
            }
        }
        let Self {
            epoch,
            base,
            next,
            n_dropped,
            pending: _,
        } = *self;
        State {
            epoch,
            base,
            next,
            n_dropped,
            pending,
        }
    }
}

fn is_covered(ranges: &[(u64, u64)], number: u64) -> bool {
    let at = ranges.partition_point(|(_, high)| *high < number);
    ranges.get(at).is_some_and(|(low, _)| *low <= number)
}

fn n_pending(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(low, high)| high - low + 1).sum()
}

#[cfg(test)]
mod tests {
    use monsys_core::time::Timestamp;

    use super::*;

    fn place(number: u64) -> Place {
        Place {
            segment: number / 10,
            offset: number,
            length: 1,
        }
    }

    fn found(numbers: std::ops::Range<u64>) -> Vec<(u64, Located)> {
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
        };
        assert_eq!(Ledger::restore(Some(&state), &found(22..24)).n_dropped(), 4);
    }

    #[test]
    fn without_a_state_file_the_records_tell_epoch_and_base() {
        let ledger = Ledger::restore(None, &found(20..23));
        assert_eq!(positions(&ledger), [(2, 17), (2, 18), (2, 19)]);
        assert_eq!(ledger.next_number(), 23);
    }

    #[test]
    fn dropping_a_segment_counts_what_was_pending_in_it() {
        let mut ledger = filled(12);
        ledger.acknowledge(3);
        assert_eq!(ledger.drop_segment(0), 8);
        assert_eq!((ledger.oldest(), ledger.n_dropped()), (Some(10), 8));
        assert!(ledger.needs_segment(1) && !ledger.needs_segment(0));
    }
}
