//! Pairs of words as small numbers, so that a finding is a few bytes and compares in one step.
//!
//! A hash table of its own, because the standard one draws random keys and agents choose some of
//! the words: a pair that meets too many others with its hash goes to an ordered map, so that no
//! choice of words makes a search long. The numbers follow the order of arrival and never reach
//! output; ties are broken by the words.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Pairs of words, numbered from 0. Words are not empty.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// All words, one after the other: a search reads few and near places.
    text: String,
    names: Vec<Name>,
    /// Open addressing over a power of two; at most half full.
    table: Vec<Place>,
    crowded: BTreeMap<String, u32>,
}

/// Where the words of a pair begin and end.
#[derive(Debug, Clone, Copy)]
struct Name {
    start: usize,
    middle: u32,
    len: u32,
}

/// A part of the hash, and the number plus one; 0 is free.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    tag: u32,
    next: u32,
}

/// Where a pair may be found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint {
    hash: u64,
    number: Option<u32>,
}

impl Names {
    /// Returns the number of a pair, a new one if it is new.
    pub(crate) fn number(&mut self, first: &str, second: &str) -> u32 {
        self.number_of(hash(first, second), first, second)
    }

    /// Returns the number of a pair by its hash and by a [`Self::hint`], which may be old.
    pub(crate) fn number_near(&mut self, hint: Hint, first: &str, second: &str) -> u32 {
        match hint.number {
            Some(number) if self.words(number) == (first, second) => number,
            _ => self.number_of(hint.hash, first, second),
        }
    }

    /// Looks at the first place where a pair may be, without reading its words.
    pub(crate) fn hint(&self, first: &str, second: &str) -> Hint {
        let hash = hash(first, second);
        let place = probes(hash, self.table.len()).next();
        let place = place.and_then(|at| self.table.get(at));
        let number = place.and_then(|place| place.next.checked_sub(1));
        Hint { hash, number }
    }

    fn number_of(&mut self, hash: u64, first: &str, second: &str) -> u32 {
        if let Some(number) = self.find(hash, first, second) {
            return number;
        }
        if self.names.len() * 2 >= self.table.len() {
            self.grow();
        }
        // Cannot fail: names are at most 256 bytes long, and 2^32 of them fit in no memory.
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let number = small(self.names.len());
        self.names.push(Name {
            start: self.text.len(),
            middle: small(first.len()),
            len: small(first.len() + second.len()),
        });
        self.text.push_str(first);
        self.text.push_str(second);
        self.place(number);
        number
    }

    /// Returns how many pairs there are.
    pub(crate) const fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns the words of a number.
    pub(crate) fn words(&self, number: u32) -> (&str, &str) {
        let words = self.names.get(index(number)).and_then(|name| {
            let end = name.start + index(name.len);
            let both = self.text.get(name.start..end)?;
            both.split_at_checked(index(name.middle))
        });
        words.unwrap_or_default()
    }

    /// Compares by the words.
    pub(crate) fn cmp(&self, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        self.words(a).cmp(&self.words(b))
    }

    /// Returns the number of a pair that is there.
    pub(crate) fn known(&self, first: &str, second: &str) -> Option<u32> {
        self.find(hash(first, second), first, second)
    }

    fn find(&self, hash: u64, first: &str, second: &str) -> Option<u32> {
        let tag = tag(hash);
        for at in probes(hash, self.table.len()) {
            let place = self.table.get(at).copied().unwrap_or_default();
            let number = place.next.checked_sub(1)?;
            if place.tag == tag && self.words(number) == (first, second) {
                return Some(number);
            }
        }
        if self.crowded.is_empty() {
            return None;
        }
        self.crowded.get(&joined(first, second)).copied()
    }

    fn grow(&mut self) {
        self.table = vec![Place::default(); (self.table.len() * 2).max(64)];
        self.crowded.clear();
        for number in (0..).take(self.names.len()) {
            self.place(number);
        }
    }

    fn place(&mut self, number: u32) {
        let (first, second) = self.words(number);
        let hash = hash(first, second);
        let free = probes(hash, self.table.len())
            .find(|at| self.table.get(*at).is_some_and(|place| place.next == 0));
        let text = free.is_none().then(|| joined(first, second));
        if let Some(place) = free.and_then(|at| self.table.get_mut(at)) {
            *place = Place {
                tag: tag(hash),
                next: number.saturating_add(1),
            };
        }
        if let Some(text) = text {
            self.crowded.insert(text, number);
        }
    }
}

/// Returns a number as a place in a list.
pub(crate) fn index(number: u32) -> usize {
    // Cannot fail where this many names fit in memory.
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// One text for a pair, different for different pairs.
fn joined(first: &str, second: &str) -> String {
    format!("{}:{first}{second}", first.len())
}

fn probes(hash: u64, len: usize) -> impl Iterator<Item = usize> {
    let mask = len.saturating_sub(1);
    let start = usize::try_from(hash & 0xffff_ffff).unwrap_or(0);
    (0..PROBES_MAX.min(len)).map(move |step| start.wrapping_add(step) & mask)
}

fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// Multiplies word by word and folds; fast and even, and not meant to resist anybody.
fn hash(first: &str, second: &str) -> u64 {
    let mut hash = fold(u64::try_from(first.len()).unwrap_or(0));
    for text in [first, second] {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            hash = fold(hash ^ u64::from_le_bytes(*word));
        }
        let rest = rest.iter().fold(1, |all, byte| all << 8 | u64::from(*byte));
        hash = fold(hash ^ rest);
    }
    hash
}

fn fold(word: u64) -> u64 {
    let word = word ^ 0x9e37_79b9_7f4a_7c15;
    let high = (u128::from(word) * u128::from(FACTOR)) >> 64;
    word.wrapping_mul(FACTOR) ^ u64::try_from(high).unwrap_or(0)
}

const FACTOR: u64 = 0xa076_1d64_78bd_642f;

/// Beyond this many other pairs at its place a pair is looked up in order.
const PROBES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_its_number_and_pairs_are_not_confused() {
        let mut names = Names::default();
        let pairs: Vec<_> = (0..5_000)
            .map(|n| (format!("a{}", n % 70), format!("b{}", n / 70)))
            .collect();
        for _ in 0..2 {
            for (number, (first, second)) in (0..).zip(&pairs) {
                assert_eq!(names.number(first, second), number);
                assert_eq!(names.words(number), (&**first, &**second));
            }
        }
        assert_eq!(names.len(), pairs.len());
        assert_ne!(names.number("ab", "c"), names.number("a", "bc"));
    }

    #[test]
    fn pairs_of_one_place_are_found_and_a_search_stays_short() {
        let mut names = Names::default();
        // Words of one place in every table of up to 2^10 places.
        let words: Vec<_> = (0..600_000_u64)
            .map(|n| format!("{n:x}"))
            .filter(|word| hash("x", word) & 0x3ff == 0)
            .take(400)
            .collect();
        for _ in 0..2 {
            for (number, word) in (0..).zip(&words) {
                assert_eq!(names.number("x", word), number);
            }
        }
        assert_eq!(names.len(), 400);
        assert!(names.table.len() <= 1_024);
        assert!(names.crowded.len() > 300, "{}", names.crowded.len());
    }
}
