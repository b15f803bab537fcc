//! Numbers that `core` lacks: conversions without a cast, and the square root.
//!
//! What: each floating-point result is the correctly rounded one (IEEE 754, ties to even). What
//! not: a root of the processor, which `core` does not offer. Cost: the root is four steps of
//! Newton's method and two 128-bit products that make it exact.

/// Converts an integer; exact up to 2^53, correctly rounded beyond.
pub(crate) fn from_i64(value: i64) -> f64 {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    let high = i32::from_be_bytes([a, b, c, d]);
    let low = u32::from_be_bytes([e, f, g, h]);
    f64::from(high) * TWO_POW_32 + f64::from(low)
}

/// Converts a sum, held within 64 bits; the sums here are far smaller.
pub(crate) fn from_i128(value: i128) -> f64 {
    let limit = if value < 0 { i64::MIN } else { i64::MAX };
    from_i64(i64::try_from(value).unwrap_or(limit))
}

/// Converts a number of things; exact up to 2^53.
pub(crate) fn from_count(count: usize) -> f64 {
    from_i64(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Converts a number of things to the integer that a JSON writer takes.
pub(crate) fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Takes the square root. Zero, infinity and NaN are their own, a negative number has none (NaN).
pub(crate) fn sqrt(value: f64) -> f64 {
    if value < 0.0 {
        return f64::NAN;
    }
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let (mantissa, exponent) = even_parts(value);
    // 2^106 ≤ radicand < 2^108, so 2^53 ≤ root < 2^54: one bit more than a double keeps. The root
    // of an even number is no odd integer, so that bit never means a tie.
    let rounded = (integer_root(mantissa) + 1) >> 1;
    let biased = (exponent / 2 - 26) + BIAS + 52;
    f64::from_bits((biased.cast_unsigned() << 52) | (rounded & FRACTION))
}

/// Returns the integer root of m · 2^54 for 2^52 ≤ m < 2^54, rounded down.
///
/// A double comes within a few units of it, whatever its rounding errors; the products decide.
fn integer_root(mantissa: u64) -> u64 {
    let near = near_root(mantissa);
    let mut root = ((near.to_bits() & FRACTION) | (FRACTION + 1)) << 1;
    let radicand = u128::from(mantissa) << 54;
    let square = |root: u64| u128::from(root) * u128::from(root);
    while square(root) > radicand {
        root -= 1;
    }
    while square(root + 1) <= radicand {
        root += 1;
    }
    root
}

/// Returns about √(m / 2^52), held within 1 ≤ root < 2, by Newton's method for 1/√x.
fn near_root(mantissa: u64) -> f64 {
    let is_upper = mantissa >> 53;
    let fraction = (mantissa >> is_upper) & FRACTION;
    let x = f64::from_bits(((BIAS.cast_unsigned() + is_upper) << 52) | fraction);
    let half = 0.5 * x;
    let mut inverse = f64::from_bits(INVERSE_ROOT - (x.to_bits() >> 1));
    for _ in 0..4 {
        inverse *= 1.5 - half * inverse * inverse;
    }
    (x * inverse).clamp(1.0, 2.0_f64.next_down())
}

/// Splits a positive finite number into m · 2^e with e even and 2^52 ≤ m < 2^54.
fn even_parts(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let field = (bits >> 52).cast_signed();
    let (mantissa, exponent) = if field == 0 {
        let shift = (bits & FRACTION).leading_zeros() - 11;
        ((bits & FRACTION) << shift, 1 - BIAS - 52 - i64::from(shift))
    } else {
        ((bits & FRACTION) | (FRACTION + 1), field - BIAS - 52)
    };
    if exponent % 2 == 0 {
        (mantissa, exponent)
    } else {
        (mantissa << 1, exponent - 1)
    }
}

const TWO_POW_32: f64 = 4_294_967_296.0;
const BIAS: i64 = 1_023;
const FRACTION: u64 = (1 << 52) - 1;
/// Less half the bits of a double, this is its inverse root to 4 %.
const INVERSE_ROOT: u64 = 0x5fe6_eb50_c7b5_37a9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn roots_at_the_edges_are_those_of_the_processor() {
        for x in [
            0.0,
            f64::from_bits(1),
            f64::MIN_POSITIVE,
            1e-6,
            0.25,
            1.0,
            2.0,
            4.0_f64.next_down(),
            f64::MAX,
            f64::INFINITY,
        ] {
            assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits(), "{x:e}");
        }
        assert!(sqrt(f64::NAN).is_nan());
        assert!(sqrt(-1.0).is_nan());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn every_root_is_that_of_the_processor(bits in 0_u64..0x7ff0_0000_0000_0000) {
            let x = f64::from_bits(bits);
            prop_assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits());
        }

        #[test]
        #[expect(clippy::as_conversions, reason = "the cast is the reference")]
        fn every_integer_converts_as_a_cast_does(value: i64) {
            prop_assert_eq!(from_i64(value), value as f64);
        }
    }
}
