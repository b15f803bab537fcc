//! The order of member names: UTF-16 code units (RFC 8785 §3.2.3), without converting to UTF-16.
//!
//! UTF-8 bytes sort like code points. UTF-16 differs in one place: characters beyond U+FFFF are
//! written with surrogates, which sort below U+E000..U+FFFF. In UTF-8 that is a lead byte of F0 or
//! more against a lead byte EE or EF, so one comparison of bytes is swapped and the rest is
//! memory order. Sorting by code point is the most common error of canonicalizers.

use core::cmp::Ordering;

use super::string::Decoded;

/// A name in its canonical spelling, without the quotes.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) raw: &'a str,
    pub(super) has_escape: bool,
}

/// Compares two names by the UTF-16 units of what they spell.
pub(super) fn compare(a: Name<'_>, b: Name<'_>) -> Ordering {
    if a.has_escape || b.has_escape {
        Decoded::new(a.raw)
            .map(unit_order)
            .cmp(Decoded::new(b.raw).map(unit_order))
    } else {
        compare_plain(a.raw.as_bytes(), b.raw.as_bytes())
    }
}

fn compare_plain(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(x, y)| x != y) {
        None => a.len().cmp(&b.len()),
        // Equal prefixes: both bytes are lead bytes, or both continue the same character.
        Some((x, y)) if *x >= 0xEE && *y >= 0xEE && (*x >= 0xF0) != (*y >= 0xF0) => y.cmp(x),
        Some((x, y)) => x.cmp(y),
    }
}

/// A key that sorts characters as their UTF-16 units do.
const fn unit_order(character: char) -> (u8, char) {
    match character {
        '\0'..='\u{D7FF}' => (0, character),
        '\u{10000}'.. => (1, character),
        '\u{E000}'..='\u{FFFF}' => (2, character),
    }
}

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
                let name = |raw, has_escape| Name { raw, has_escape };
                assert_eq!(
                    compare(name(a, false), name(b, false)),
                    expected,
                    "{a:?} {b:?}"
                );
                assert_eq!(
                    compare(name(a, true), name(b, false)),
                    expected,
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
