//! The sample standard deviation, and a proof that it is not small.
//!
//! What: [`sample_deviation`] shifts by the first value and corrects in a second pass, so that a
//! constant series gives exactly 0.0, whatever the constant. `statrs` 0.18 and PostgreSQL's
//! `STDDEV_SAMP(float8)` give 8.6e-15 for 240 × 4.20, and the sum-of-squares formula gives NaN
//! (measured). [`is_surely_at_least`] decides honest windows without that arithmetic.
//!
//! What not: what a small deviation means. Cost: two passes over the values, four where they
//! neither overflow nor vanish only after scaling; no allocation.

use monsys_core::sample::Finite;

use crate::number;

/// Computes the sample standard deviation (n − 1, as `STDDEV_SAMP`; decision 7).
///
/// It is exactly 0.0 for equal values, within a few units in the last place otherwise, and held at
/// [`f64::MAX`] where it would overflow. `None` for fewer than two values.
///
/// ```
/// use monsys_core::sample::Finite;
/// use monsys_integrity::deviation::sample_deviation;
/// let values = [Finite::new(4.20)?; 240];
/// assert_eq!(sample_deviation(&values), Some(0.0));
/// # Ok::<(), monsys_core::sample::SampleError>(())
/// ```
pub fn sample_deviation(values: &[Finite]) -> Option<f64> {
    let (first, rest) = values.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let first = first.get();
    let variance = variance(values, |v| v - first);
    if variance.is_finite() && variance >= VARIANCE_SAFE {
        return Some(number::sqrt(variance));
    }
    Some(scaled_deviation(values, first))
}

/// Tells whether the sample standard deviation cannot lie below `threshold`; false says nothing.
///
/// For any two of n values, s² ≥ (a − b)² / (2(n − 1)). One value that far from the first is a
/// proof, whatever the others are; on honest data it is found after 2 to 4 of them. The margin of
/// 1e-9 is a thousand times the error of [`sample_deviation`], so the two never disagree.
///
/// ```
/// use monsys_core::sample::Finite;
/// use monsys_integrity::deviation::is_surely_at_least;
/// let values = [4.20, 4.25, 4.21].map(|value| Finite::new(value).unwrap());
/// assert!(is_surely_at_least(&values, 0.001));
/// ```
pub fn is_surely_at_least(values: &[Finite], threshold: f64) -> bool {
    let Some((first, rest)) = values.split_first() else {
        return false;
    };
    let first = first.get();
    let n_other = number::from_count(rest.len());
    let distance_squared = 2.0 * threshold * threshold * n_other * (1.0 + 1e-9);
    rest.iter().any(|value| {
        let distance = value.get() - first;
        distance * distance > distance_squared
    })
}

/// The deviation of finite values whose squares overflow or vanish: a power of two brings them
/// into range and back without touching a digit.
fn scaled_deviation(values: &[Finite], first: f64) -> f64 {
    let widest = values
        .iter()
        .fold(0.0_f64, |widest, v| widest.max((v.get() - first).abs()));
    if widest == 0.0 {
        return 0.0;
    }
    let deviation = if widest > 1.0 {
        let first = first * DOWN;
        number::sqrt(variance(values, |v| v * DOWN - first)) * UP
    } else {
        number::sqrt(variance(values, |v| (v - first) * UP)) * DOWN
    };
    deviation.min(f64::MAX)
}

/// The sample variance of what `shift` makes of the values, by the corrected two-pass formula.
fn variance(values: &[Finite], shift: impl Fn(f64) -> f64) -> f64 {
    let n = number::from_count(values.len());
    let mean = sum(values, &shift) / n;
    let residue = sum(values, |v| shift(v) - mean);
    let squares = sum(values, |v| {
        let from_mean = shift(v) - mean;
        from_mean * from_mean
    });
    (squares - residue * residue / n).max(0.0) / (n - 1.0)
}

/// Sums in eight lanes, which the compiler turns into vector additions.
fn sum(values: &[Finite], term: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value.get());
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|v| term(v.get())).sum::<f64>()
}

/// From here on no square that matters was lost to underflow: 1e-240, far above the smallest
/// normal number, 2.2e-308.
const VARIANCE_SAFE: f64 = 1e-240;
/// 2^600: brings differences below 1e-120 up, and huge ones back.
const UP: f64 = f64::from_bits((1_023 + 600) << 52);
/// 2^−600.
const DOWN: f64 = f64::from_bits((1_023 - 600) << 52);

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use statrs::statistics::Statistics;

    use super::*;

    fn finite(values: &[f64]) -> Vec<Finite> {
        values.iter().map(|v| Finite::new(*v).unwrap()).collect()
    }

    fn deviation(values: &[f64]) -> f64 {
        sample_deviation(&finite(values)).unwrap()
    }

    fn is_surely_at_least(values: &[f64], threshold: f64) -> bool {
        super::is_surely_at_least(&finite(values), threshold)
    }

    fn is_close(ours: f64, oracle: f64) -> bool {
        (ours - oracle).abs() <= oracle.abs() * 1e-12
    }

    #[test]
    fn constants_of_the_numerics_table_are_exactly_zero() {
        for constant in [
            4.20,
            99.99,
            1e15,
            1e300,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -0.0,
        ] {
            assert_eq!(deviation(&[constant; 240]).to_bits(), 0);
        }
    }

    #[test]
    fn a_large_offset_costs_no_digits() {
        let values: Vec<f64> = (0..240)
            .map(|i| 1e12 + if i % 2 == 0 { 0.0 } else { 0.5 })
            .collect();
        let s = deviation(&values);
        assert!(is_close(s, 0.25 * (240.0_f64 / 239.0).sqrt()), "{s:?}");
    }

    #[test]
    fn huge_and_tiny_spreads_neither_overflow_nor_vanish() {
        let root_half = 0.5_f64.sqrt();
        for x in [1e300, 1e200, 1e150, 1e-150, 1e-200, 1e-300] {
            let s = deviation(&[0.0, x]);
            assert!(is_close(s, x * root_half), "{x:e}: {s:e}");
        }
        assert_eq!(deviation(&[f64::MAX, f64::MIN]), f64::MAX);
        let smallest = deviation(&[0.0, f64::from_bits(1)]);
        assert!(smallest > 0.0);
    }

    #[test]
    fn fewer_than_two_values_have_no_deviation() {
        assert_eq!(sample_deviation(&[]), None);
        assert_eq!(sample_deviation(&finite(&[1.0])), None);
        assert!(!is_surely_at_least(&[], 0.001));
        assert!(!is_surely_at_least(&[1.0], 0.001));
        assert!(is_surely_at_least(&[f64::MAX, f64::MIN], 0.001));
        assert!(!is_surely_at_least(&[1.0, 2.0], f64::NAN));
    }

    proptest! {
        #[test]
        fn every_finite_constant_is_exactly_zero(
            constant in any::<f64>().prop_filter("finite", |c| c.is_finite()),
            n in 2_usize..300,
        ) {
            prop_assert_eq!(deviation(&vec![constant; n]), 0.0);
            prop_assert_eq!(deviation(&[constant; 240]), 0.0);
        }

        #[test]
        fn the_deviation_is_that_of_statrs(
            values in prop::collection::vec(0.0_f64..100.0, 2..400),
        ) {
            let oracle = values.iter().std_dev();
            let ours = deviation(&values);
            prop_assert!(is_close(ours, oracle), "{} and {}", ours, oracle);
        }

        #[test]
        fn the_deviation_is_that_of_integer_arithmetic(
            parts in prop::collection::vec(0_i32..1_000_000, 2..400),
            offset in prop::sample::select(&[0_i32, 1_000_000, -2_000_000_000]),
        ) {
            // s² · n (n − 1) = n Σx² − (Σx)², exactly; 1/1,024 is exact in a double.
            let wholes: Vec<i128> = parts.iter().map(|p| i128::from(p + offset)).collect();
            let n = i128::try_from(wholes.len()).unwrap();
            let (sum, squares) = (wholes.iter().sum::<i128>(), wholes.iter().map(|x| x * x).sum::<i128>());
            let exact = n * squares - sum * sum;
            let oracle = number::from_i128(exact) / number::from_i128(n * (n - 1));
            let values: Vec<f64> = parts.iter().map(|p| f64::from(p + offset) / 1_024.0).collect();
            let ours = deviation(&values);
            prop_assert!(is_close(ours * 1_024.0, oracle.sqrt()), "{} and {}", ours, oracle.sqrt());
        }

        #[test]
        fn no_numbers_panic_or_give_nan(
            values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 2..60),
        ) {
            let s = deviation(&values);
            prop_assert!(s.is_finite() && s >= 0.0);
            let _ = is_surely_at_least(&values, 0.001);
        }

        #[test]
        fn powers_of_two_scale_exactly(values in prop::collection::vec(0.0_f64..100.0, 2..60)) {
            let s = deviation(&values);
            prop_assume!(s > 0.0);
            for factor in [UP, DOWN] {
                let scaled: Vec<f64> = values.iter().map(|v| v * factor).collect();
                let expected = s * factor;
                prop_assert!(is_close(deviation(&scaled), expected));
            }
        }

        #[test]
        fn the_early_exit_never_disagrees_with_the_deviation(
            unit in prop::collection::vec(-1.0_f64..1.0, 30..240),
            base in 0.0_f64..100.0,
            stretch in 0.9_f64..1.1,
        ) {
            let spread = deviation(&unit);
            let values: Vec<f64> =
                unit.iter().map(|u| base + u / spread * 0.001 * stretch).collect();
            let is_moving = deviation(&values) >= 0.001;
            prop_assert!(is_moving || !is_surely_at_least(&values, 0.001));
        }

        #[test]
        fn one_outlier_at_the_bound_never_disagrees(
            n in 30_usize..240,
            base in 0.0_f64..100.0,
            ulps in -40_i32..40,
        ) {
            // One value apart from n − 1 equal ones: s = distance / √n.
            let distance = 0.001 * number::from_count(n).sqrt() * (1.0 + f64::from(ulps) * 2e-16);
            let mut values = vec![base; n];
            *values.last_mut().unwrap() = base + distance;
            let is_moving = deviation(&values) >= 0.001;
            prop_assert!(is_moving || !is_surely_at_least(&values, 0.001));
        }

        #[test]
        fn two_apart_and_the_rest_between_never_disagrees(
            n in 30_usize..240,
            ulps in -40_i32..40,
        ) {
            // The least deviation two values allow: the others at their middle.
            let n_other = number::from_count(n) - 1.0;
            let distance = 0.001 * (2.0 * n_other).sqrt() * (1.0 + f64::from(ulps) * 1e-10);
            let mut values = vec![distance / 2.0; n];
            *values.first_mut().unwrap() = 0.0;
            *values.last_mut().unwrap() = distance;
            let is_moving = deviation(&values) >= 0.001;
            prop_assert!(is_moving || !is_surely_at_least(&values, 0.001));
            prop_assert!(ulps < 10 || is_surely_at_least(&values, 0.001));
        }
    }
}
