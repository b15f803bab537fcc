//! The small file beside the segments: counters, and which payloads are still to be delivered.
//!
//! What: its text form, closed by a checksum. A record whose number is `next` or higher was spooled
//! after the file was written and is pending; of the lower ones only those listed are. What not:
//! writing it durably; the spool does. Cost: one line a gap in what was delivered.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::crc32c::crc32c;
use super::gap::{Gap, Gaps};

/// What must survive a restart besides the payloads themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The life of the spool (contract §2).
    pub epoch: u64,
    /// `seq` of a record is its number less this.
    pub base: u64,
    /// The number that the next record gets.
    pub next: u64,
    /// How many payloads were dropped undelivered because the spool was full or the disk bad.
    pub n_dropped: u64,
    /// Pending numbers below `next`, as inclusive ranges in rising order.
    pub pending: Vec<(u64, u64)>,
    /// Losses that the hub was not told of yet.
    pub gaps: Gaps,
}

impl State {
    /// A spool in which nothing was ever put.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            epoch: 1,
            base: 0,
            next: 1,
            n_dropped: 0,
            pending: Vec::new(),
            gaps: Gaps::default(),
        }
    }

    /// Reads the text form; `None` when it is damaged or was written by another version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.rfind("crc32c ")?;
        let (content, checksum) = text.split_at_checked(at)?;
        if checksum.strip_prefix("crc32c ")?.trim_end() != checksum_of(content) {
            return None;
        }
        let mut lines = content.lines();
        if lines.next() != Some(TITLE) {
            return None;
        }
        let mut value = |name: &str| {
            lines
                .next()?
                .strip_prefix(name)?
                .strip_prefix(' ')?
                .parse::<u64>()
                .ok()
        };
        let (epoch, base) = (value("epoch")?, value("base")?);
        let (next, n_dropped) = (value("next")?, value("dropped")?);
        let (mut pending, mut gaps) = (Vec::new(), Vec::new());
        for line in lines {
            if let Some(numbers) = line.strip_prefix("pending ") {
                let [low, high] = numbers_of(numbers)?;
                pending.push((low, high));
            } else {
                gaps.push(gap(line)?);
            }
        }
        let state = Self {
            epoch,
            base,
            next,
            n_dropped,
            pending,
            gaps: Gaps::from_stored(gaps)?,
        };
        state.is_consistent().then_some(state)
    }

    fn is_consistent(&self) -> bool {
        let mut below = self.base;
        let in_order = self.pending.iter().all(|(low, high)| {
            let follows = below < *low && low <= high;
            below = *high;
            follows
        });
        in_order && below < self.next && self.epoch > 0
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            epoch,
            base,
            next,
            n_dropped,
            pending,
            gaps,
        } = self;
        let mut content =
            format!("{TITLE}\nepoch {epoch}\nbase {base}\nnext {next}\ndropped {n_dropped}\n");
        for (low, high) in pending {
            writeln!(content, "pending {low} {high}")?;
        }
        for gap in gaps.as_slice() {
            let Gap {
                epoch,
                from_seq,
                to_seq,
                n_lost,
                told_in,
            } = *gap;
            let told_in = told_in.unwrap_or(0);
            writeln!(
                content,
                "gap {epoch} {from_seq} {to_seq} {n_lost} {told_in}"
            )?;
        }
        let checksum = checksum_of(&content);
        writeln!(f, "{content}crc32c {checksum}")
    }
}

fn checksum_of(content: &str) -> String {
    format!("{:08x}", crc32c(content.as_bytes()))
}

fn gap(line: &str) -> Option<Gap> {
    let [epoch, from_seq, to_seq, n_lost, told_in] = numbers_of(line.strip_prefix("gap ")?)?;
    Some(Gap {
        epoch,
        from_seq,
        to_seq,
        n_lost,
        told_in: (told_in > 0).then_some(told_in),
    })
}

fn numbers_of<const N: usize>(text: &str) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut words = text.split(' ');
    for slot in &mut numbers {
        *slot = words.next()?.parse().ok()?;
    }
    words.next().is_none().then_some(numbers)
}

const TITLE: &str = "monsys-spool 1";

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn state() -> State {
        let told = Gap {
            n_lost: 2,
            told_in: Some(21),
            ..Gap::of(3, 5, 7)
        };
        State {
            epoch: 4,
            base: 10,
            next: 31,
            n_dropped: 2,
            pending: vec![(11, 11), (20, 30)],
            gaps: Gaps::from_stored(vec![told, Gap::of(4, 2, 9)]).unwrap(),
        }
    }

    #[test]
    fn the_text_form_round_trips() {
        for state in [State::empty(), state()] {
            assert_eq!(State::parse(&state.to_string()), Some(state));
        }
    }

    #[test]
    fn a_change_of_any_byte_and_a_cut_anywhere_is_seen() {
        let text = state().to_string();
        for at in 0..text.len() - 1 {
            assert_eq!(State::parse(&text[..at]), None, "cut at {at}");
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(State::parse(&changed), None, "changed at {at}");
        }
    }

    #[test]
    fn states_that_contradict_themselves_are_refused() {
        let bad = [
            State {
                epoch: 0,
                ..state()
            },
            State {
                next: 30,
                ..state()
            },
            State {
                base: 11,
                ..state()
            },
            State {
                pending: vec![(20, 19)],
                ..state()
            },
            State {
                pending: vec![(12, 15), (15, 16)],
                ..state()
            },
        ];
        for state in bad {
            assert_eq!(State::parse(&state.to_string()), None, "{state:?}");
        }
    }
}
