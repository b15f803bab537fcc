//! The agent against a hub of a hundred lines: as a library, and as the process that people start.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by ending"
)]

mod checks;
mod commands;
mod crashes;
mod endpoint;
mod hub;
mod no_response;
mod operations;
mod sending;
mod ticks;
mod windows_degradation;
