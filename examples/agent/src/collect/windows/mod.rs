//! What Windows says about itself, as far as it can be read on any system: as text.
//!
//! What: parsers of exported run keys ([`run_key`]), of scheduled tasks ([`scheduled_task`]) and of
//! the security log as XML ([`security_log`]), tested on files written after Microsoft's
//! documentation of the formats. What not: asking Windows; that takes calls which this agent, built
//! and measured on Linux, does not have. So every collector of Windows says `unavailable`, on Windows
//! too, and a snapshot is sent all the same ([`look`]). Cost: nothing is read.

use monsys_core::endpoint::AuthCount;

use super::health::{self, Found};

pub mod run_key;
pub mod scheduled_task;
pub mod security_log;

/// Asks the collector of authentication outcomes of Windows, which degrades as the endpoint document
/// says: no counts, and a reason.
pub fn look() -> Found<AuthCount> {
    let reason = if cfg!(windows) {
        "the security log is read by calls that this build does not have"
    } else {
        "expected Windows: there is no security log on this system"
    };
    Found {
        items: Vec::new(),
        health: health::unavailable(COLLECTOR, reason),
    }
}

/// What the collector is called in `health`.
pub const COLLECTOR: &str = "windows_auth";
