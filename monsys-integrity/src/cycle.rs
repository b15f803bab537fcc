//! When a cycle runs, and when the one before it ran.

use monsys_core::time::Timestamp;

/// The moment of a cycle, by the hub's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    /// The `now` of the previous finished cycle; `None` before the second one.
    pub previous: Option<Timestamp>,
    /// The `now` of this one, read once.
    pub now: Timestamp,
}
