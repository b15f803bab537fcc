//! Compares the spelling of many doubles with another printer and with the published digests.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin doubles -- [LINES]` takes the
//! doubles of the number file of RFC 8785's authors, 100,000,000 unless told otherwise. It ends
//! with 1 at the first spelling that differs, whichever way it was made.

#[path = "../../../monsys-core/tests/json_numbers/number_file.rs"]
mod number_file;

use std::process::ExitCode;

use monsys_core::json::{self, Profile, Scratch};
use sha2::{Digest as _, Sha256};

fn main() -> ExitCode {
    let n_lines = match std::env::args().nth(1).map(|text| text.parse::<u64>()) {
        None => LINES,
        Some(Ok(n_lines)) => n_lines,
        Some(Err(error)) => {
            eprintln!("expected a number of lines: {error}");
            return ExitCode::from(2);
        }
    };
    match compare(n_lines) {
        Ok(n_digests) => {
            println!("{n_lines} doubles agree, {n_digests} published digests reached");
            ExitCode::SUCCESS
        }
        Err(difference) => {
            eprintln!("{difference}");
            ExitCode::FAILURE
        }
    }
}

/// How many published digests were met within so many lines.
fn compare(n_lines: u64) -> Result<usize, String> {
    let (mut hash, mut spelling) = (Sha256::new(), String::new());
    let mut scratch = Scratch::new();
    let mut n_digests = 0;
    for (double, n) in number_file::doubles().zip(1..=n_lines) {
        spelling.clear();
        json::append_number(double, &mut spelling);
        agrees(double, &spelling, &mut scratch).map_err(|text| format!("line {n}: {text}"))?;
        hash.update(number_file::line(double, &spelling));
        let mut published = number_file::PUBLISHED.into_iter();
        if let Some((_, digest)) = published.find(|(lines, _)| *lines == n) {
            let ours = number_file::digest_of(&hash);
            if ours != digest {
                return Err(format!("{n} lines: {ours} and not {digest}"));
            }
            n_digests += 1;
        }
        if n.is_multiple_of(PROGRESS) {
            eprintln!("{n} of {n_lines}");
        }
    }
    Ok(n_digests)
}

/// The other printer writes the same, it is canonical, and 17 digits are read as the same double.
fn agrees(double: f64, spelling: &str, scratch: &mut Scratch) -> Result<(), String> {
    let bits = double.to_bits();
    let mut oracle = ryu_js::Buffer::new();
    let other = oracle.format_finite(double);
    if spelling != other {
        return Err(format!("{bits:016x}: {spelling} and not {other}"));
    }
    let lenient = Profile::rfc8785();
    if let Err(error) = json::check_with(spelling.as_bytes(), lenient) {
        return Err(format!("{bits:016x}: {spelling} is not canonical: {error}"));
    }
    let long = format!("{double:.16e}");
    match json::canonicalize_with(long.as_bytes(), scratch, lenient) {
        Ok(made) if made.as_str() == spelling => Ok(()),
        Ok(made) => Err(format!("{bits:016x}: {long} becomes {}", made.as_str())),
        Err(error) => Err(format!("{bits:016x}: {long} is refused: {error}")),
    }
}

const LINES: u64 = 100_000_000;
const PROGRESS: u64 = 1_000_000;
