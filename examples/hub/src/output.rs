//! The one place that prints: results go to standard output, everything else is logged.

#![allow(
    clippy::print_stdout,
    reason = "this module is the program's standard output"
)]
#![allow(
    clippy::print_stderr,
    reason = "a failed command says why before it ends"
)]

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Prints a line of a result. A reader that went away is not an error.
pub(crate) fn line(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints why a command failed.
pub(crate) fn failure(text: impl Display) {
    eprintln!("monsys-hub: {text}");
}

/// Shows on a terminal how far a command is; each call replaces the last one.
pub(crate) fn progress(text: impl Display) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        let _ = io::stderr().flush();
    }
}
