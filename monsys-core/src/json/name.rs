//! The order of member names: UTF-16 code units (RFC 8785 §3.2.3), without converting to UTF-16.
//!
//! UTF-8 bytes sort like code points. UTF-16 differs in one place: characters beyond U+FFFF are
//! written with surrogates, which sort below U+E000..U+FFFF. In UTF-8 that is a lead byte of F0 to
//! F4 against a lead byte EE or EF; raising the latter above the former makes it memory order.
//! Sorting by code point is the most common error of canonicalizers.
//!
//! Names are compared by [`key`]s of seven bytes, which decide nearly always, and else by
//! [`Chunk`]s of seven bytes of what they spell.

use core::cmp::Ordering;

use super::word;

/// The first seven bytes of the name in `start..end`, zeros behind a shorter one. A key with a top
/// bit set decides nothing: the name holds an escape, or characters beyond ASCII early on.
///
/// Zeros are no bytes of a name without escapes, so equal keys that decide are those of equal
/// names, or of names of seven bytes and more.
#[inline(always)]
pub(super) fn key(bytes: &[u8], start: usize, end: usize, has_escape: bool) -> u64 {
    if has_escape {
        return u64::MAX;
    }
    match word::load(bytes, start) {
        Some(loaded) => word::sort_key(loaded, word::mark_at(end - start)),
        // Near the end of the text the name itself decides.
        None => u64::MAX,
    }
}

/// The same key for a name of `n_bytes` without escapes behind the first byte of a chunk.
#[inline(always)]
pub(super) fn key_of(chunk: &[u8; 9], n_bytes: usize) -> u64 {
    let [_, name @ ..] = *chunk;
    u64::from_be_bytes(name) & KEPT[n_bytes & 63]
}

/// Whether a key can decide.
#[inline(always)]
pub(super) const fn is_decisive(key: u64) -> bool {
    key & word::HIGH == 0
}

/// Compares two names in canonical spelling, without quotes, by the UTF-16 units of what they spell.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a_at, mut b_at) = (0, 0);
    loop {
        let a_chunk = Chunk::read(a, &mut a_at);
        let b_chunk = Chunk::read(b, &mut b_at);
        if a_chunk != b_chunk || a_chunk.is_last() {
            return a_chunk.cmp(&b_chunk);
        }
    }
}

/// Seven bytes of what a name spells, made to sort like UTF-16, and how many there were: up to
/// seven at the end of the name, eight before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chunk(pub(super) u64);

impl Chunk {
    /// Reads the chunk at `at` and moves behind it.
    pub(super) fn read(raw: &[u8], at: &mut usize) -> Self {
        let mut spelled = 0;
        for n_read in 0..7 {
            let Some(byte) = next_byte(raw, at) else {
                return Self(spelled << (8 * (7 - n_read)) << 8 | n_read);
            };
            spelled = spelled << 8 | u64::from(raised(byte));
        }
        let is_last = *at >= raw.len();
        Self(spelled << 8 | if is_last { 7 } else { 8 })
    }

    /// Whether the name ends in this chunk.
    pub(super) const fn is_last(self) -> bool {
        self.0 & 0xFF < 8
    }
}

/// The next byte that a name in canonical spelling spells.
#[inline(always)]
fn next_byte(raw: &[u8], at: &mut usize) -> Option<u8> {
    let byte = *raw.get(*at)?;
    *at += 1;
    if byte != b'\\' {
        return Some(byte);
    }
    let letter = *raw.get(*at)?;
    *at += 1;
    Some(match letter {
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 0x0C,
        b'r' => b'\r',
        b'u' => {
            // Canonical: two zeros and two lower-case digits of a control character.
            let digits = raw.get(*at + 2..*at + 4).unwrap_or_default();
            *at += 4;
            digits.iter().fold(0, |code, digit| {
                let value = char::from(*digit).to_digit(16).unwrap_or_default();
                code << 4 | u8::try_from(value).unwrap_or_default()
            })
        }
        quote_or_backslash => quote_or_backslash,
    })
}

/// Moves the lead bytes of U+E000..U+FFFF above those of U+10000 and beyond.
const fn raised(byte: u8) -> u8 {
    match byte {
        0xEE | 0xEF => byte | 0x10,
        _ => byte,
    }
}

/// What a key keeps of eight bytes, by the length of the name; looked up, which is two steps.
const KEPT: [u64; 64] = {
    let mut kept = [!0xFF; 64];
    let mut n_bytes = 0;
    while n_bytes < 7 {
        kept[n_bytes] = !(u64::MAX >> (8 * n_bytes));
        n_bytes += 1;
    }
    kept
};

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    const CHARACTERS: [char; 9] = [
        'a',
        '\u{7F}',
        '\u{E9}',
        '\u{D7FF}',
        '\u{E000}',
        '\u{FB33}',
        '\u{FFFF}',
        '\u{10000}',
        '😀',
    ];

    #[test]
    fn both_comparisons_agree_with_utf16() {
        let mut words: Vec<String> = alloc::vec![String::new()];
        for first in CHARACTERS {
            words.push(String::from(first));
            for second in CHARACTERS {
                words.push([first, second].iter().collect());
            }
        }
        for a in &words {
            for b in &words {
                let expected = a.encode_utf16().cmp(b.encode_utf16());
                assert_eq!(compare(a.as_bytes(), b.as_bytes()), expected, "{a:?} {b:?}");
                let mut text = String::from("\"");
                text.push_str(a);
                text.push_str("\":12345678");
                let (a_key, b_key) = (
                    key(text.as_bytes(), 1, 1 + a.len(), false),
                    key(b"        ", 0, 0, false),
                );
                if is_decisive(a_key) {
                    assert!(a.is_ascii() || a.len() > 7);
                    assert_eq!(a_key.cmp(&b_key), a.as_str().cmp(""));
                }
            }
        }
    }
}
