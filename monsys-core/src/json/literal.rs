//! The three words of JSON, and white space.

use super::error::JsonError;

/// Reads `true`, `false` or `null` at `start`; the index behind it.
#[inline(always)]
pub(super) fn scan(bytes: &[u8], start: usize, word: &[u8]) -> Result<usize, JsonError> {
    let rest = bytes.get(start..).unwrap_or_default();
    if rest.starts_with(word) {
        return Ok(start + word.len());
    }
    match word
        .iter()
        .zip(rest)
        .position(|(expected, found)| expected != found)
    {
        Some(common) => Err(JsonError::syntax(start + common)),
        None => Err(JsonError::syntax(bytes.len())),
    }
}

/// The index of the first byte from `at` that is no white space (RFC 8259 §2).
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| is_space(*byte)) {
        at += 1;
    }
    at
}

/// Whether a byte is white space between tokens.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
