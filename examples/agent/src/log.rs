//! Logs: to standard error, as JSON unless a person is looking, quiet by default.
//!
//! At `info` there is one line a change of state: start, stop, hub reached, hub lost, payload set
//! aside. `MONSYS_AGENT_LOG` takes a filter. Nothing is logged about the machine but numbers, and
//! never a token, a key or a payload.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::Clock;

/// Starts logging, unless the program around this library logs already.
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("MONSYS_AGENT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(WallTime);
    let logs = logs.with_writer(io::stderr).with_target(false);
    // Fails only when a subscriber is there already, which then has the logs.
    let _ = if io::stderr().is_terminal() {
        logs.try_init()
    } else {
        logs.json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init()
    };
}

struct WallTime;

impl FormatTime for WallTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Clock::system().now())
    }
}
