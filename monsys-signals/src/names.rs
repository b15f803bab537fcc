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

/// The hash, and the number plus one; 0 is free.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    hash: u32,
    next: u32,
}

/// A pair of which the number is sought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought<'a> {
    first: &'a str,
    second: &'a str,
    hash: u32,
    /// The number of the first pair with its hash, and what is known of that.
    number: u32,
    name: Option<Name>,
}

impl<'a> Sought<'a> {
    pub(crate) fn new(first: &'a str, second: &'a str) -> Self {
        Self {
            first,
            second,
            hash: hash(first, second),
            number: 0,
            name: None,
        }
    }
}

impl Names {
    /// Returns the number of a pair, a new one if it is new.
    pub(crate) fn number(&mut self, first: &str, second: &str) -> u32 {
        self.number_of(hash(first, second), first, second)
    }

    /// Returns the numbers of many pairs, new ones where they are new. Each of the loops reads one
    /// table for all of them, so that waiting for memory overlaps.
    pub(crate) fn numbers(&mut self, sought: &mut [Sought<'_>], mut visit: impl FnMut(u32)) {
        for sought in sought.iter_mut() {
            let hash = sought.hash;
            let places = probes(hash, self.table.len()).filter_map(|at| self.table.get(at));
            let place = { places }.find(|place| place.hash == hash || place.next == 0);
            sought.number = place.map_or(0, |place| place.next).wrapping_sub(1);
        }
        for sought in sought.iter_mut() {
            sought.name = self.names.get(index(sought.number)).copied();
        }
        let text = self.text.as_bytes();
        for sought in sought.iter_mut() {
            let is_likely = |name: &Name| {
                let last = (name.start + index(name.len)).wrapping_sub(1);
                text.get(name.start) == sought.first.as_bytes().first()
                    && text.get(last) == sought.second.as_bytes().last()
            };
            sought.name = sought.name.filter(is_likely);
        }
        for sought in sought.iter_mut() {
            let name = sought.name;
            sought.name = name.filter(|name| self.is_named(*name, sought.first, sought.second));
        }
        for sought in sought {
            visit(match sought.name {
                Some(_) => sought.number,
                None => self.number_of(sought.hash, sought.first, sought.second),
            });
        }
    }

    fn number_of(&mut self, hash: u32, first: &str, second: &str) -> u32 {
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
        self.place(Place {
            hash,
            next: number.saturating_add(1),
        });
        number
    }

    /// Returns how many pairs there are.
    pub(crate) const fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns the words of a number.
    pub(crate) fn words(&self, number: u32) -> (&str, &str) {
        let name = self.names.get(index(number));
        name.map_or_else(Default::default, |name| self.words_of(*name))
    }

    fn words_of(&self, name: Name) -> (&str, &str) {
        let both = self.text.get(name.start..name.start + index(name.len));
        let words = both.and_then(|both| both.split_at_checked(index(name.middle)));
        words.unwrap_or_default()
    }

    #[inline]
    fn is_named(&self, name: Name, first: &str, second: &str) -> bool {
        let both = self.text.as_bytes();
        let both = both.get(name.start..name.start + index(name.len));
        let words = both.and_then(|both| both.split_at_checked(index(name.middle)));
        words.is_some_and(|(a, b)| is_same(a, first.as_bytes()) && is_same(b, second.as_bytes()))
    }

    /// Compares by the words.
    pub(crate) fn cmp(&self, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        self.words(a).cmp(&self.words(b))
    }

    /// Returns the number of a pair that is there.
    #[inline]
    pub(crate) fn known(&self, first: &str, second: &str) -> Option<u32> {
        self.find(hash(first, second), first, second)
    }

    fn find(&self, hash: u32, first: &str, second: &str) -> Option<u32> {
        for at in probes(hash, self.table.len()) {
            let place = self.table.get(at).copied().unwrap_or_default();
            let number = place.next.checked_sub(1)?;
            if place.hash == hash {
                let name = self.names.get(index(number))?;
                if self.is_named(*name, first, second) {
                    return Some(number);
                }
            }
        }
        if self.crowded.is_empty() {
            return None;
        }
        self.crowded.get(&joined(first, second)).copied()
    }

    /// Places say their whole hash, so that no word is read again.
    fn grow(&mut self) {
        let len = (self.table.len() * 2).max(64);
        let old = core::mem::replace(&mut self.table, vec![Place::default(); len]);
        let crowded = core::mem::take(&mut self.crowded);
        for place in old.into_iter().filter(|place| place.next > 0) {
            self.place(place);
        }
        for number in crowded.into_values() {
            let (first, second) = self.words(number);
            self.place(Place {
                hash: hash(first, second),
                next: number.saturating_add(1),
            });
        }
    }

    fn place(&mut self, place: Place) {
        let free = probes(place.hash, self.table.len())
            .find(|at| self.table.get(*at).is_some_and(|place| place.next == 0));
        match free.and_then(|at| self.table.get_mut(at)) {
            Some(free) => *free = place,
            None => {
                let number = place.next.saturating_sub(1);
                let (first, second) = self.words(number);
                self.crowded.insert(joined(first, second), number);
            }
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

fn probes(hash: u32, len: usize) -> impl Iterator<Item = usize> {
    let mask = len.wrapping_sub(1);
    let start = index(hash);
    (0..PROBES_MAX.min(len)).map(move |step| start.wrapping_add(step) & mask)
}

/// Equality, without a call where words are as short as most names are.
#[inline]
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        4..8 => ends::<4>(a) == ends(b),
        8..16 => ends::<8>(a) == ends(b),
        16..32 => ends::<16>(a) == ends(b),
        32..=64 => ends::<32>(a) == ends(b),
        _ => a == b,
    }
}

/// The first and the last bytes, which may overlap.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (text.first_chunk(), text.last_chunk())
}

/// Multiplies sixteen bytes at a time and folds; fast and even, and not meant to resist anybody.
#[inline]
fn hash(first: &str, second: &str) -> u32 {
    let hash = hash_more(hash_more(FACTOR, first.as_bytes()), second.as_bytes());
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// The last bytes are read again with those before them rather than one by one.
#[inline]
fn hash_more(hash: u64, text: &[u8]) -> u64 {
    let (mut hash, len) = (hash, u64::try_from(text.len()).unwrap_or(0));
    for chunk in text.as_chunks::<16>().0 {
        hash = fold(hash, u128::from_le_bytes(*chunk));
    }
    let word = |four: &[u8; 4]| u128::from(u32::from_le_bytes(*four));
    let long = |eight: &[u8; 8]| u128::from(u64::from_le_bytes(*eight));
    let last = match (
        text.last_chunk::<16>(),
        text.first_chunk(),
        text.last_chunk(),
    ) {
        (Some(last), ..) => u128::from_le_bytes(*last),
        (None, Some(first), Some(last)) => long(first) << 64 | long(last),
        _ => match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => word(first) << 64 | word(last),
            _ => text
                .iter()
                .fold(0, |all, byte| all << 8 | u128::from(*byte)),
        },
    };
    fold(hash ^ len, last)
}

fn fold(hash: u64, words: u128) -> u64 {
    let half = |words: u128| u64::try_from(words & u128::from(u64::MAX)).unwrap_or(0);
    let (low, high) = (half(words) ^ hash, half(words >> 64) ^ SALT);
    let product = u128::from(low) * u128::from(high);
    half(product) ^ half(product >> 64)
}

const SALT: u64 = 0x9e37_79b9_7f4a_7c15;
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
