//! The agent against a hub of a hundred lines: as a library, and as the process that people start.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by ending"
)]

mod backlog;
mod checks;
mod commands;
mod crashes;
mod disks;
mod endpoint;
mod hostile_hubs;
mod hub;
#[cfg(target_os = "linux")]
mod no_response;
#[cfg(target_os = "linux")]
mod operations;
mod sending;
mod ticks;
mod windows_degradation;
