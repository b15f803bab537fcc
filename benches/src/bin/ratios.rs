//! Prints how monsys compares with its baselines, all measured in this run.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin ratios -- TOPIC [--json]`
//! prints one line per figure: `name value baseline ratio target ok`, times in nanoseconds of CPU
//! a call, but where the line says more. A target that is missed is printed like any other; the
//! exit code is 0 either way. What `store` measures, and against what, is said in
//! `benches/src/store/`; it takes some minutes, needs PostgreSQL's programs for most of it, and
//! says on the standard error what it does.

use std::process::ExitCode;

use monsys_benches::report::Form;
use monsys_benches::{cycle, integrity, readers, store, wire};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_json = arguments.iter().any(|word| word == "--json");
    let topics: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--json")
        .collect();
    let figures = match topics.as_slice() {
        ["integrity"] => {
            let mut figures = integrity::figures();
            figures.extend(cycle::figures());
            figures
        }
        ["cycle"] => cycle::figures(),
        ["wire"] => wire::figures(),
        ["readers"] => {
            let mut figures = readers::figures();
            figures.extend(store::page::figures());
            figures
        }
        ["store"] => store::figures(),
        _ => {
            eprintln!("usage: ratios cycle|integrity|readers|store|wire [--json]");
            return ExitCode::from(2);
        }
    };
    let form = if is_json { Form::Json } else { Form::Text };
    for figure in figures {
        println!("{}", figure.line(form));
    }
    ExitCode::SUCCESS
}
