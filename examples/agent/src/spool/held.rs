//! Payloads that were measured while nothing could be written.
//!
//! A full disk or a read-only one must not stop the sampler. What cannot be spooled waits here, in
//! memory and without a position, until there is room; only then does it get one, so that nothing
//! is ever sent that is not durable. Bounded: about two hours, then the oldest go. Cost: nothing
//! while the disk is well.

use std::collections::VecDeque;

use monsys_core::time::Timestamp;

/// What waits for room, oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    payloads: VecDeque<(Timestamp, Vec<u8>)>,
    bytes: usize,
}

impl Held {
    /// Takes a payload in; returns how many of the oldest had to go for it.
    pub(super) fn push(&mut self, captured_at: Timestamp, body: Vec<u8>) -> u64 {
        self.bytes += body.len();
        self.payloads.push_back((captured_at, body));
        let mut n_lost = 0;
        while self.bytes > HELD_BYTES_MAX && self.pop().is_some() {
            n_lost += 1;
        }
        n_lost
    }

    /// Returns the oldest.
    pub(super) fn first(&self) -> Option<(Timestamp, Vec<u8>)> {
        self.payloads.front().cloned()
    }

    /// Removes the oldest.
    pub(super) fn pop(&mut self) -> Option<(Timestamp, Vec<u8>)> {
        let taken = self.payloads.pop_front();
        self.bytes -= taken.as_ref().map_or(0, |(_, body)| body.len());
        if self.payloads.is_empty() {
            // What an outage of the disk took is given back.
            self.payloads = VecDeque::new();
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.payloads.len()
    }
}

/// Bodies that are held, in bytes: 240 samples an hour of some 700 bytes, and twelve walks over
/// processes and listeners of some 20 KiB.
pub(super) const HELD_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut held = Held::default();
        let n_lost: u64 = (0..5)
            .map(|n| held.push(Timestamp::MIN, vec![n; HELD_BYTES_MAX / 4]))
            .sum();
        assert_eq!((n_lost, held.len()), (1, 4));
        let order: Vec<u8> = std::iter::from_fn(|| held.pop())
            .map(|(_, b)| b[0])
            .collect();
        assert_eq!(order, [1, 2, 3, 4]);
        assert_eq!(held.bytes, 0);
    }
}
