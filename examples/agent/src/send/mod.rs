//! Bringing payloads to the hub.
//!
//! [`client`] speaks HTTP, [`answer`] turns whatever comes back into a closed set of answers, and
//! [`pace`] decides what follows from each: what to do with the payload and when to go on. Deciding
//! is pure and part of [`monsys_wire::spool`]. A hub can tell an agent "taken", "not now", "never"
//! or "move to another epoch", and nothing else: there is no command in an answer, and no redirect
//! is followed.

pub mod client;
mod resolve;

pub use monsys_wire::spool::{answer, pace};
