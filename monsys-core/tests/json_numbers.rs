//! Numbers in their shortest spelling: a million of them against another printer, and a million
//! lines against the digest that the authors of RFC 8785 published.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin doubles` goes on to a hundred
//! million.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

#[path = "json_numbers/number_file.rs"]
mod number_file;

use monsys_core::json::{self, JsonCode, Profile, Scratch};
use sha2::{Digest as _, Sha256};

#[test]
fn a_million_lines_of_the_number_file_have_the_published_digests() {
    let (mut hash, mut spelling) = (Sha256::new(), String::new());
    let mut published = number_file::PUBLISHED.into_iter();
    let mut next = published.next();
    for (double, n) in number_file::doubles().zip(1..=1_000_000) {
        spelling.clear();
        json::append_number(double, &mut spelling);
        hash.update(number_file::line(double, &spelling));
        if let Some((_, digest)) = next.filter(|(lines, _)| *lines == n) {
            assert_eq!(number_file::digest_of(&hash), digest, "{n} lines");
            next = published.next();
        }
    }
    assert_eq!(next.map(|(lines, _)| lines), Some(10_000_000));
}

#[test]
fn a_million_doubles_agree_with_an_independent_printer() {
    let mut random = SplitMix(0x6d6f_6e73_7973);
    let mut oracle = ryu_js::Buffer::new();
    let (mut printed, mut scratch) = (String::new(), Scratch::new());
    let mut n_compared = 0;
    while n_compared < 1_000_000 {
        for value in random.next_values() {
            if !value.is_finite() {
                continue;
            }
            printed.clear();
            json::append_number(value, &mut printed);
            assert_eq!(printed, oracle.format_finite(value));
            let lenient = Profile::rfc8785();
            assert!(
                json::check_with(printed.as_bytes(), lenient).is_ok(),
                "{printed}"
            );
            // More digits than a double has: read back, rounded, printed.
            let long = format!("{value:.30e}");
            let error = json::check_with(long.as_bytes(), lenient).unwrap_err();
            assert_eq!(error.code, JsonCode::NotCanonical);
            let made = json::canonicalize_with(long.as_bytes(), &mut scratch, lenient);
            assert_eq!(made.unwrap().as_str(), printed, "{long}");
            n_compared += 1;
        }
    }
}

#[test]
fn powers_of_two_agree_with_an_independent_printer() {
    let mut oracle = ryu_js::Buffer::new();
    for exponent in -1074..1024 {
        let value = 2_f64.powi(exponent);
        let mut printed = String::new();
        json::append_number(value, &mut printed);
        assert_eq!(printed, oracle.format_finite(value));
    }
}

/// SplitMix64: every bit pattern is equally likely, the sequence is the same each time.
struct SplitMix(u64);

impl SplitMix {
    /// Any bits; few digits and moderate exponents, as telemetry has; and halfway between two
    /// spellings: few bits behind the point, more digits than fit.
    fn next_values(&mut self) -> [f64; 3] {
        let bits = self.next_bits();
        let decimal =
            f64::from(u32::try_from(bits >> 32).unwrap()) / 10_f64.powi((bits % 14) as i32);
        let tie = ((bits >> 12) | 1) as f64 / 2_f64.powi((bits % 30) as i32);
        [f64::from_bits(bits), decimal, tie]
    }

    fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
