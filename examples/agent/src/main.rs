//! The program `monsys-agent`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    monsys_agent::run(std::env::args_os())
}
