//! The program `monsys-agent`; everything is in the library.

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    monsys_agent::run(std::env::args_os())
}

/// Says with the exit code for what is unavailable that there is no agent for this system.
#[cfg(not(unix))]
fn main() -> ExitCode {
    ExitCode::from(69)
}
