//! Prints how monsys compares with its baselines, all measured in this run.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin ratios -- TOPIC [--json]`
//! prints one line per figure: `name value baseline ratio target ok`, times in nanoseconds of CPU
//! a call. A target that is missed is printed like any other; the exit code is 0 either way.

use std::process::ExitCode;

use monsys_benches::report::Form;
use monsys_benches::wire;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let form = match words.as_slice() {
        ["wire"] => Form::Text,
        ["wire", "--json"] | ["--json", "wire"] => Form::Json,
        _ => {
            eprintln!("usage: ratios wire [--json]");
            return ExitCode::from(2);
        }
    };
    for figure in wire::figures() {
        println!("{}", figure.line(form));
    }
    ExitCode::SUCCESS
}
