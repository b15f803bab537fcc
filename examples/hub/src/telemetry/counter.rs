//! A counter for each value of a label.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use monsys_wire::schema::TextMember;

/// A label whose values are a closed set.
pub(crate) trait Label: Copy + PartialEq + 'static {
    /// Every value, once.
    const ALL: &'static [Self];

    /// The value as it is shown.
    fn as_str(self) -> &'static str;
}

impl Label for TextMember {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

/// A counter for each value of a label, all of them from zero.
pub(crate) struct Counters<L> {
    cells: Box<[AtomicU64]>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Counters<L> {
    fn default() -> Self {
        Self {
            cells: L::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label> Counters<L> {
    /// Counts one more.
    pub(crate) fn add(&self, label: L) {
        self.add_several(label, 1);
    }

    /// Counts several more.
    pub(crate) fn add_several(&self, label: L, n: u32) {
        let index = L::ALL.iter().position(|known| *known == label);
        if let Some(cell) = index.and_then(|index| self.cells.get(index)) {
            cell.fetch_add(u64::from(n), Ordering::Relaxed);
        }
    }

    /// Every value and how often it was counted.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        L::ALL.iter().map(|label| label.as_str()).zip(counts)
    }
}
