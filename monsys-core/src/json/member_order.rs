//! Members of an object brought into the order of their names.
//!
//! Sorted by keys of seven bytes first; names that a key does not tell apart are sorted by what
//! follows, seven bytes at a time, in place and without recursion. Each byte of a name is read
//! once, whatever the names are: long common prefixes cost what their bytes cost.

use alloc::vec::Vec;

use super::name::{self, Chunk};

/// A member of an open object. Ranges are places in the text that is being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// The opening quote of the name.
    pub(super) start: usize,
    /// The closing quote of the name.
    pub(super) name_end: usize,
    /// Behind the value.
    pub(super) end: usize,
    /// The opening quote in the input.
    pub(super) offset: usize,
    pub(super) key: u64,
}

/// The order of the members of one object, and what finding it takes.
#[derive(Debug, Default)]
pub(super) struct MemberOrder {
    entries: Vec<Entry>,
    undecided: Vec<Run>,
}

/// A member and the bytes of its name that decide at the moment.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    index: usize,
    /// Bytes of the name that have been read.
    at: usize,
}

/// Neighbours that have been equal so far.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
}

impl MemberOrder {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            undecided: Vec::new(),
        }
    }

    /// The order of two members of which the second sorts before the first.
    pub(super) fn set_swapped(&mut self) {
        let entry = |index| Entry {
            key: 0,
            index,
            at: 0,
        };
        self.entries.clear();
        self.entries.extend([entry(1), entry(0)]);
    }

    /// Finds the order of members whose names `raw` tells. An error is the offset in the input of
    /// the first name that was there before.
    pub(super) fn sort<'n>(
        &mut self,
        members: &[Member],
        raw: impl Fn(&Member) -> &'n [u8],
    ) -> Result<(), usize> {
        let Self { entries, undecided } = self;
        let all_keys = members.iter().fold(0, |all, member| all | member.key);
        let is_decisive = name::is_decisive(all_keys);
        entries.clear();
        entries.extend(members.iter().enumerate().map(|(index, member)| Entry {
            key: if is_decisive { member.key } else { 0 },
            index,
            at: 0,
        }));
        undecided.clear();
        if is_decisive {
            entries.sort_unstable_by_key(|entry| entry.key);
        }
        if entries.is_sorted_by(|a, b| a.key < b.key) {
            return Ok(());
        }
        push_equal_runs(entries, 0, undecided);
        let mut repeated = None;
        while let Some(run) = undecided.pop() {
            let same = entries.get_mut(run.start..run.end).unwrap_or_default();
            for entry in same.iter_mut() {
                let name = members.get(entry.index).map(&raw).unwrap_or_default();
                entry.key = Chunk::read(name, &mut entry.at).0;
            }
            same.sort_unstable_by_key(|entry| entry.key);
            let first = undecided.len();
            push_equal_runs(same, run.start, undecided);
            let mut kept = first;
            for index in first..undecided.len() {
                let Some(run) = undecided.get(index).copied() else {
                    break;
                };
                let same = entries.get(run.start..run.end).unwrap_or_default();
                if same.first().is_some_and(|entry| Chunk(entry.key).is_last()) {
                    repeated = repeated
                        .into_iter()
                        .chain(second_offset(same, members))
                        .min();
                } else if let Some(slot) = undecided.get_mut(kept) {
                    *slot = run;
                    kept += 1;
                }
            }
            undecided.truncate(kept);
        }
        repeated.map_or(Ok(()), Err)
    }

    /// The indices of the members, in order.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|entry| entry.index)
    }
}

/// Notes where neighbours have the same key; `offset` is the place of the first entry.
fn push_equal_runs(entries: &[Entry], offset: usize, undecided: &mut Vec<Run>) {
    let mut start = offset;
    for same in entries.chunk_by(|a, b| a.key == b.key) {
        let end = start + same.len();
        if same.len() > 1 {
            undecided.push(Run { start, end });
        }
        start = end;
    }
}

/// Where in the input the second of members of the same name stands.
fn second_offset(same: &[Entry], members: &[Member]) -> Option<usize> {
    let offsets = || {
        same.iter()
            .filter_map(|entry| members.get(entry.index))
            .map(|member| member.offset)
    };
    let first = offsets().min()?;
    offsets().filter(|offset| *offset > first).min()
}
