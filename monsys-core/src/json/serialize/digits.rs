//! The decimal digits of an integer, eight at a time.
//!
//! Integers are most of what telemetry holds. All digits of eight are found at once in one word,
//! which takes less time than one after the other.

use alloc::vec::Vec;

/// Appends an integer below 10^16.
#[inline]
pub(super) fn push(integer: u64, out: &mut Vec<u8>) {
    if integer < EIGHT_DIGITS {
        push_leading(eight_digits(integer), out);
    } else {
        push_leading(eight_digits(integer / EIGHT_DIGITS), out);
        let low = eight_digits(integer % EIGHT_DIGITS) | ASCII_ZEROS;
        out.extend_from_slice(&low.to_le_bytes());
    }
}

/// Appends eight digits without the zeros that lead.
#[inline(always)]
fn push_leading(digits: u64, out: &mut Vec<u8>) {
    // The last digit is written even if it is zero.
    let n_leading_bits = (digits | (1 << 56)).trailing_zeros() & !7;
    let shifted = (digits | ASCII_ZEROS) >> n_leading_bits;
    // Cannot fail: at most 7.
    let n_leading = usize::try_from(n_leading_bits / 8).unwrap_or_default();
    let end = out.len() + 8 - n_leading;
    out.extend_from_slice(&shifted.to_le_bytes());
    out.truncate(end);
}

/// Eight digits, one a byte, the first one lowest: halves, then pairs, then all.
#[inline(always)]
const fn eight_digits(integer: u64) -> u64 {
    let halves = (integer / 10_000) | ((integer % 10_000) << 32);
    // Division by 100 of numbers below 10^4.
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let pairs = hundreds | ((halves - 100 * hundreds) << 16);
    // Division by 10 of numbers below 100.
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    tens | ((pairs - 10 * tens) << 8)
}

const EIGHT_DIGITS: u64 = 100_000_000;
const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn assert_digits(integer: u64) {
        let mut out = Vec::new();
        push(integer, &mut out);
        assert_eq!(str::from_utf8(&out).unwrap(), integer.to_string());
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for integer in 0..100_000 {
            assert_digits(integer);
        }
        let mut power = 1;
        while power < 10_u64.pow(16) {
            for integer in [power - 1, power, power + 1, power * 9 + 7] {
                assert_digits(integer.min(9_999_999_999_999_999));
            }
            power *= 10;
        }
        let mut state = 1_u64;
        for _ in 0..100_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            assert_digits((state >> (state % 50 + 11)).min(9_007_199_254_740_991));
        }
    }
}
