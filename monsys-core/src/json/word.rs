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

/// As [`string_marks`], with marks on some bytes beyond ASCII as well: three steps less for names,
/// which seldom have any.
#[inline(always)]
pub(super) const fn name_marks(word: u64) -> u64 {
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5C)).wrapping_sub(ONES);
    (quote_or_control | backslash) & HIGH
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

/// Two words that were joined, the lower one first.
#[inline(always)]
pub(super) fn halves(joined: u128) -> [u64; 2] {
    let low = joined & u128::from(u64::MAX);
    // Cannot fail: both are below 2^64.
    [low, joined >> 64].map(|half| u64::try_from(half).unwrap_or_default())
}

/// The index of the first marked byte of two words; 16 if there is none.
#[inline(always)]
pub(super) fn first_mark_of_pair(marks: u128) -> usize {
    // Cannot fail: at most 16.
    usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default()
}

/// The bytes before the first mark, at most seven, the first one highest, zeros behind them: sorts
/// as they do.
#[inline(always)]
pub(super) const fn sort_key(word: u64, marks: u64) -> u64 {
    // All bits up to the mark, which is the top bit of its byte; without a mark all there are.
    let up_to_mark = marks ^ marks.wrapping_sub(1);
    (word & up_to_mark >> 8).swap_bytes()
}

/// A mark on the byte at an index; none at 8 and beyond.
#[inline(always)]
pub(super) const fn mark_at(index: usize) -> u64 {
    if index < 8 { 0x80 << (8 * index) } else { 0 }
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
        let key = |n_bytes| sort_key(word, mark_at(n_bytes));
        assert_eq!(key(9), u64::from_be_bytes(*b"abcdefg\0"));
        assert_eq!(key(8), u64::from_be_bytes(*b"abcdefg\0"));
        assert_eq!(key(7), u64::from_be_bytes(*b"abcdefg\0"));
        assert_eq!(key(3), u64::from_be_bytes(*b"abc\0\0\0\0\0"));
        assert_eq!(key(0), 0);
    }
}
