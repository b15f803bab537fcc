//! Eight bytes at a time: where a string ends, where a number ends.
//!
//! A mark is the top bit of a byte. Borrows and carries can only mark bytes behind a true mark, so
//! the first mark is always true; callers look at no other before they know the first one's byte.

/// The eight bytes at `at`, the first one lowest; None nearer to the end.
#[inline(always)]
pub(super) fn load(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

/// Marks quotes, backslashes and control characters.
///
/// Flipping bit 1 moves the quote to 0x20 and keeps control characters below it, so that one
/// comparison finds both.
#[inline(always)]
pub(super) const fn string_marks(word: u64) -> u64 {
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5C)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGH
}

/// Marks what is no decimal digit.
#[inline(always)]
pub(super) const fn other_than_digit_marks(word: u64) -> u64 {
    let digits = word ^ (ONES * 0x30);
    (digits.wrapping_add(ONES * 0x76) | digits) & HIGH
}

/// The index of the first marked byte; 8 if there is none.
#[inline(always)]
pub(super) fn first_mark(marks: u64) -> usize {
    // Cannot fail: at most 8.
    usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default()
}

/// The byte at an index below 8.
#[inline(always)]
pub(super) const fn byte_at(word: u64, index: usize) -> u8 {
    word.to_le_bytes()[index & 7]
}

/// The sixteen bytes at `at`; None nearer to the end.
#[inline(always)]
pub(super) fn load_pair(bytes: &[u8], at: usize) -> Option<[u64; 2]> {
    let chunk = bytes.get(at..)?.first_chunk::<16>()?;
    let (words, _) = chunk.as_chunks::<8>();
    match words {
        [first, second] => Some([u64::from_le_bytes(*first), u64::from_le_bytes(*second)]),
        _ => None,
    }
}

/// Marks of two words as those of one, so that finding the first takes no branch: whether a name
/// is longer than eight bytes is what a processor guesses wrong.
#[inline(always)]
pub(super) fn joined(first: u64, second: u64) -> u128 {
    u128::from(first) | u128::from(second) << 64
}

/// The index of the first marked byte of two words; 16 if there is none.
#[inline(always)]
pub(super) fn first_mark_of_pair(marks: u128) -> usize {
    // Cannot fail: at most 16.
    usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default()
}

/// The bytes before an index, at most eight, the first one highest, zeros behind them: sorts as they do.
#[inline(always)]
pub(super) const fn sort_key(word: u64, n_bytes: usize) -> u64 {
    let n_kept = if n_bytes < 8 { n_bytes } else { 8 };
    // Twice half the bits, because a shift by all 64 is none.
    let n_half_bits = 4 * (8 - n_kept);
    let key = word.swap_bytes();
    key >> n_half_bits >> n_half_bits << n_half_bits << n_half_bits
}

/// The top bit of each byte.
pub(super) const HIGH: u64 = ONES << 7;

const ONES: u64 = 0x0101_0101_0101_0101;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte in each place, before and behind bytes that provoke borrows and carries.
    #[test]
    fn the_first_mark_is_that_of_a_plain_scan() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for other in [
                    b'a', b'1', b'"', b'!', b' ', b'#', b'\\', b']', 0x00, 0x80, 0xFF,
                ] {
                    let mut bytes = [other; 8];
                    bytes[place] = byte;
                    let word = u64::from_le_bytes(bytes);
                    let find = |wanted: fn(u8) -> bool| {
                        bytes.iter().position(|byte| wanted(*byte)).unwrap_or(8)
                    };
                    let string = find(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                    assert_eq!(first_mark(string_marks(word)), string, "{bytes:?}");
                    let number = find(|byte| !byte.is_ascii_digit());
                    assert_eq!(
                        first_mark(other_than_digit_marks(word)),
                        number,
                        "{bytes:?}"
                    );
                    assert_eq!(byte_at(word, place), byte);
                }
            }
        }
    }

    #[test]
    fn keys_sort_as_bytes_do() {
        let word = u64::from_le_bytes(*b"abcdefgh");
        assert_eq!(sort_key(word, 8), u64::from_be_bytes(*b"abcdefgh"));
        assert_eq!(sort_key(word, 3), u64::from_be_bytes(*b"abc\0\0\0\0\0"));
        assert_eq!(sort_key(word, 0), 0);
    }
}
