//! The 32 decisions about the integrity document, a test each, named after the decision.
//!
//! `measured` has those about what a detector says of facts, `stored` those about what becomes of
//! it, driven through the store in memory. Decisions 2 to 6 and 29 are about headers, a page and a
//! query; their tests stand in the hub's `tests/decisions.rs`. `monsys-core/tests/tidy.rs` finds all
//! 32 by name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

#[path = "decisions/measured.rs"]
mod measured;
#[path = "decisions/scene.rs"]
mod scene;
#[path = "decisions/stored.rs"]
mod stored;
