//! From the digits of a plain decimal to the nearest double, where two multiplications decide.
//!
//! The decimal is an integer of at most 19 digits divided by 10^k, k at most 27. Its digits are
//! multiplied with 2^b / 5^k, kept to 128 bits and rounded up; the product is off by less than one
//! unit of its last place. Only when half a unit of the double lies within that is the answer left
//! open, and the standard library decides. This is Lemire's method ("Number Parsing at a Gigabyte
//! per Second", 2021) with a bound in the place of its case analysis.

use super::word;

/// A plain decimal as a double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Nearest {
    pub(super) value: f64,
    /// The digits are proved to be those that ECMAScript prints; if false they may be.
    pub(super) is_shortest: bool,
}

/// The double nearest to a token `int.fraction` without sign and exponent, whose point is at
/// `point`; None where that is not decided here.
#[inline(always)]
pub(super) fn nearest(token: &[u8], point: usize) -> Option<Nearest> {
    let n_fraction = token.len().checked_sub(point + 1)?;
    if point + n_fraction > DIGITS_MAX {
        return None;
    }
    let int = digits_value(token, 0, point)?;
    let fraction = digits_value(token, point + 1, token.len())?;
    // Cannot overflow: at most 19 digits in all.
    let digits = int * POWERS_OF_TEN.get(n_fraction)? + fraction;
    let (reciprocal, n_bits) = *RECIPROCALS.get(n_fraction)?;
    if digits == 0 {
        return None;
    }
    let n_leading = digits.leading_zeros();
    let product = multiply(digits << n_leading, reciprocal);
    let n_dropped = (128 - product.leading_zeros()).checked_sub(53)?;
    let dropped = product & ((1 << n_dropped) - 1);
    let half = 1 << (n_dropped - 1);
    if dropped.abs_diff(half) <= 1 {
        return None;
    }
    let mantissa = u64::try_from(product >> n_dropped).ok()? + u64::from(dropped > half);
    let exponent = i64::from(n_dropped) + 64
        - i64::from(n_leading)
        - i64::from(n_bits)
        - i64::try_from(n_fraction).ok()?;
    // A mantissa that was rounded up to 2^53 carries into the exponent, as it should.
    let biased = u64::try_from(exponent + 1_074).ok()?;
    let above = i128::try_from(dropped).ok()? - (i128::from(dropped > half) << n_dropped);
    Some(Nearest {
        value: f64::from_bits((biased << 52) + mantissa),
        is_shortest: digits >= SIXTEEN_DIGITS
            && is_shortest(digits, above, i128::try_from(half).ok()?, {
                i128::try_from(reciprocal >> (64 - n_leading)).ok()?
            }),
    })
}

/// Whether no decimal of one digit less lies as near to the double, and none of as many digits
/// nearer. `above` is how far the decimal lies above its double, `half` half a unit of the double,
/// `unit` a unit of the decimal's last digit; all are off by less than two, ten units by twenty.
///
/// A decimal of fewer digits is one of one digit less, too, so two neighbours stand for all. Below
/// a power of two the next double is nearer than is said here; then less is proved, not more.
#[inline(always)]
fn is_shortest(digits: u64, above: i128, half: i128, unit: i128) -> bool {
    let last = i128::from(digits % 10);
    let lower = above - last * unit;
    let upper = above + (10 - last) * unit;
    lower < -half - MARGIN && upper > half + MARGIN && 2 * above.abs() < unit - MARGIN
}

/// The value of the decimal digits in `start..end`; None nearer than eight bytes to the end of a
/// short token.
#[inline(always)]
fn digits_value(token: &[u8], start: usize, end: usize) -> Option<u64> {
    let mut value = 0_u64;
    let mut at = start;
    while at + 8 <= end {
        value = value * 100_000_000 + eight_digits(word::load(token, at)? ^ ASCII_ZEROS);
        at += 8;
    }
    let n_rest = end - at;
    if n_rest == 0 {
        return Some(value);
    }
    // The last digits move to the end of the word, behind zeros; where the token ends sooner than
    // the word, they are the end of the word before.
    let rest = match word::load(token, at) {
        Some(loaded) => (loaded ^ ASCII_ZEROS) << (8 * (8 - n_rest)),
        None => {
            let loaded = word::load(token, end.checked_sub(8)?)? ^ ASCII_ZEROS;
            loaded >> (8 * (8 - n_rest)) << (8 * (8 - n_rest))
        }
    };
    Some(value * POWERS_OF_TEN.get(n_rest)? + eight_digits(rest))
}

/// The value of the first `n_digits` bytes of two words, which are decimal digits; at most fifteen.
#[inline(always)]
pub(super) fn digits_below_sixteen([first, second]: [u64; 2], n_digits: usize) -> u64 {
    // The digits move to the end of the words, behind zeros.
    let all = u128::from(first ^ ASCII_ZEROS) | u128::from(second ^ ASCII_ZEROS) << 64;
    let [low, high] = word::halves(all << (8 * (16 - n_digits.clamp(1, 16))));
    eight_digits(low) * 100_000_000 + eight_digits(high)
}

/// The value of eight digits, the first one lowest: pairs, then fours, then all.
#[inline(always)]
const fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

/// The upper 128 bits of the product of 192.
#[inline(always)]
const fn multiply(a: u64, b: u128) -> u128 {
    let low = (b & u64::MAX as u128) * a as u128;
    (b >> 64) * a as u128 + (low >> 64)
}

const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;
const DIGITS_MAX: usize = 19;
/// Fewer digits are canonical by their grammar.
const SIXTEEN_DIGITS: u64 = 1_000_000_000_000_000;
const MARGIN: i128 = 64;

const POWERS_OF_TEN: [u64; 20] = {
    let mut powers = [1; 20];
    let mut k = 1;
    while k < 20 {
        powers[k] = powers[k - 1] * 10;
        k += 1;
    }
    powers
};

/// For each k the number 2^b / 5^k, rounded up, with its top bit set, and b.
const RECIPROCALS: [(u128, u32); 20] = {
    let mut table = [(1 << 127, 127); 20];
    let mut power = 1_u128;
    let mut k = 1;
    while k < 20 {
        power *= 5;
        table[k] = reciprocal(power);
        k += 1;
    }
    table
};

/// Long division of 2^b by a number that is no power of two.
const fn reciprocal(divisor: u128) -> (u128, u32) {
    let n_bits = 128 - divisor.leading_zeros();
    let mut quotient = 0_u128;
    let mut remainder = 1_u128 << (n_bits - 1);
    let mut i = 0;
    while i < 128 {
        remainder <<= 1;
        quotient <<= 1;
        if remainder >= divisor {
            remainder -= divisor;
            quotient |= 1;
        }
        i += 1;
    }
    (quotient + 1, 127 + n_bits)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::super::number;
    use super::*;

    fn plain(text: &str) -> Option<f64> {
        Some(nearest(text.as_bytes(), text.find('.')?)?.value)
    }

    #[test]
    fn what_is_decided_is_what_the_standard_library_says() {
        let mut state = 0x6465_6369_u64;
        let mut n_decided = 0;
        for round in 0..200_000_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut text: String = (state | 1 << 63).to_string();
            text.truncate(usize::try_from(2 + round % 18).unwrap());
            let point = 1 + usize::try_from(state >> 40).unwrap() % (text.len() - 1);
            text.insert(point, '.');
            if let Some(value) = plain(&text) {
                n_decided += 1;
                assert_eq!(Ok(value), text.parse(), "{text}");
            }
        }
        assert!(n_decided > 130_000, "{n_decided}");
    }

    #[test]
    fn what_is_proved_shortest_is_what_the_printer_says() {
        let mut state = 0x7368_6f72_u64;
        let (mut n_shortest, mut n_proved) = (0, 0);
        for round in 0..200_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Half of them as a printer writes them, half one unit of the last digit away.
            let random = (state >> 11) as f64 / 2_f64.powi((state % 40) as i32 + 10);
            let mut text = String::from(number::print(random).as_str());
            if round % 2 == 1 {
                let last = text.pop().unwrap();
                text.push(if last == '5' { '6' } else { '5' });
            }
            let point = text.find('.').unwrap_or(text.len());
            let Some(found) = nearest(text.as_bytes(), point) else {
                continue;
            };
            let is_shortest = number::print(found.value).as_str() == text;
            assert!(is_shortest || !found.is_shortest, "{text}");
            n_shortest += u32::from(is_shortest);
            n_proved += u32::from(found.is_shortest);
        }
        assert!(
            n_shortest > 80_000 && n_proved * 10 > n_shortest * 8,
            "{n_proved} {n_shortest}"
        );
    }

    #[test]
    fn a_tie_is_left_to_the_standard_library() {
        // 2^53 + 1 and a half below an odd neighbour.
        for text in [
            "9007199254740993.0",
            "4503599627370496.5",
            "4503599627370497.5",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
        assert_eq!(plain("4503599627370497.51"), Some(4_503_599_627_370_498.0));
    }
}
