//! Positions: the idempotency key of a payload, and the rules that decide about it.
//!
//! The rules are in [`monsys_core::position`], because the store applies them in its transaction.

pub use monsys_core::position::{Admission, ContentHash, Position, PositionError, PositionSet};
