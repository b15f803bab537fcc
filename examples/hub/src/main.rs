//! monsys-hub: verifies agents, judges their honesty, shows what it found.

use std::process::ExitCode;

fn main() -> ExitCode {
    monsys_hub::main()
}
