//! Logs: to standard error, readable on a terminal and JSON elsewhere, without secrets.
//!
//! What is logged is chosen so that no secret is in it: no headers, no bodies, no addresses of
//! requests. [`Redactor`] stands behind that, for the message of a library that quotes what it was
//! given, and for a line of ours that should not be there. A panic is a line of the log like others.

mod json;
mod redact;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::json::JsonLines;
use self::redact::Redactor;
use crate::config::names::{MIGRATE_URL, TWO_NAMES, find_secret};

/// Starts logging. `default` says what is logged unless `MONSYS_LOG` or `RUST_LOG` says something
/// else.
pub(crate) fn start(default: &str) {
    let filter = ["MONSYS_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| EnvFilter::try_from_env(name).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    let redactor = Arc::new(Redactor::knowing(configured_secrets()));
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    // A second start in one process keeps the first.
    let _ = if io::stderr().is_terminal() {
        logs.with_writer(Redacted(redactor)).try_init()
    } else {
        let lines = JsonLines::new(redactor);
        logs.event_format(lines).with_writer(io::stderr).try_init()
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// What the environment and its files hold that must not be told. What cannot be read is told of
/// when it is needed.
fn configured_secrets() -> impl Iterator<Item = String> {
    let secrets = TWO_NAMES.iter().filter(|two| two.is_secret);
    let names = secrets.map(|two| two.name).chain([MIGRATE_URL]);
    names.filter_map(|name| Some(find_secret(name).ok()??.text))
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured)
        .then(|| backtrace.to_string());
    let reason = panic.payload_as_str();
    tracing::error!(place, reason, backtrace, "a task panicked");
}

/// Standard error, of which every line passes the redactor.
struct Redacted(Arc<Redactor>);

impl<'a> MakeWriter<'a> for Redacted {
    type Writer = RedactedLine<'a>;

    fn make_writer(&'a self) -> RedactedLine<'a> {
        RedactedLine(&self.0)
    }
}

/// One line on its way; it is written whole.
struct RedactedLine<'a>(&'a Redactor);

impl Write for RedactedLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().write_all(self.0.redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
