//! The clocks of the hub: one object for all that is stamped, and the wall for people.
//!
//! Payloads, cycles and windows are stamped by the [`Clock`] in the application, which the demo
//! accelerates. Login links, sessions and the audit log follow the wall.

pub(crate) use monsys_agent::clock::Clock;
use monsys_core::time::Timestamp;

/// Reads the wall clock.
pub(crate) fn wall_now() -> Timestamp {
    Clock::system().now()
}
