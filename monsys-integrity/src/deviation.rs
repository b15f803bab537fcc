//! The sample standard deviation, and a proof that it is not small.
//!
//! What: [`sample_deviation`] shifts by the first value and corrects in a second pass, so that a
//! constant series gives exactly 0.0, whatever the constant. `statrs` 0.18 and PostgreSQL's
//! `STDDEV_SAMP(float8)` give 8.6e-15 for 240 × 4.20, and the sum-of-squares formula gives NaN
//! (measured). [`is_spread_over`] decides honest windows without that arithmetic.
//!
//! What not: what a small deviation means. Cost: two passes over the values, four where they
//! neither overflow nor vanish only after scaling; no allocation.

use crate::number;

/// Computes the sample standard deviation (n − 1, as `STDDEV_SAMP`; decision 7).
///
/// It is exactly 0.0 for equal values, within a few units in the last place otherwise, and held at
/// [`f64::MAX`] where it would overflow. `None` for fewer than two values, or when one is infinite
/// or NaN.
///
/// ```
/// use monsys_integrity::deviation::sample_deviation;
/// assert_eq!(sample_deviation(&[4.20; 240]), Some(0.0));
/// assert_eq!(sample_deviation(&[1.0, f64::NAN]), None);
/// ```
pub fn sample_deviation(values: &[f64]) -> Option<f64> {
    let series = Series {
        values,
        n: values.len(),
    };
    let (first, _) = values.split_first()?;
    match series.quick_deviation(*first)? {
        Quick::Exact(deviation) => Some(deviation),
        Quick::Unsure if are_finite(values) => Some(series.scaled_deviation(*first)),
        Quick::Unsure => None,
    }
}

/// Computes the sample standard deviation of the values that are finite (decision 11), to the bit
/// that of [`sample_deviation`] for those alone. `None` when fewer than two are.
///
/// ```
/// use monsys_integrity::deviation::finite_deviation;
/// assert_eq!(finite_deviation(&[4.20, f64::NAN, 4.20]), Some(0.0));
/// assert_eq!(finite_deviation(&[4.20, f64::NAN]), None);
/// ```
pub fn finite_deviation(values: &[f64]) -> Option<f64> {
    let n = n_finite(values);
    if n == values.len() {
        return sample_deviation(values);
    }
    let series = Series { values, n };
    let first = values.iter().copied().find(|v| v.is_finite())?;
    match series.quick_deviation(first)? {
        Quick::Exact(deviation) => Some(deviation),
        Quick::Unsure => Some(series.scaled_deviation(first)),
    }
}

/// Counts the values that are neither infinite nor NaN.
pub fn n_finite(values: &[f64]) -> usize {
    values.iter().filter(|v| v.is_finite()).count()
}

/// Tells whether two of some finite values lie so far apart that the sample standard deviation of
/// all finite ones, at most `n` with these among them, cannot be below `threshold`; false says
/// nothing.
///
/// For any two of n values, s² ≥ (a − b)² / (2(n − 1)). One value that far from the first is a
/// proof, whatever the others are; values left out only lower n, which makes the bound stricter
/// than needed. The margin of 1e-9 is a thousand times the error of [`sample_deviation`], so the
/// two never disagree. Reads no further than the eight values among which the first such is, which
/// on honest data are the first eight.
///
/// ```
/// use monsys_integrity::deviation::is_spread_over;
/// assert!(is_spread_over(&[4.20, 4.21, 4.25], 240, 0.001));
/// assert!(!is_spread_over(&[4.20, f64::INFINITY, f64::NAN], 3, 0.001));
/// ```
#[inline]
pub fn is_spread_over(values: &[f64], n: usize, threshold: f64) -> bool {
    let Some(first) = values.iter().copied().find(|v| v.is_finite()) else {
        return false;
    };
    let n_other = number::from_count(n) - 1.0;
    let distance_squared = 2.0 * threshold * threshold * n_other * (1.0 + 1e-9);
    // Below, the square of the threshold lost digits.
    if distance_squared < SQUARE_SAFE {
        return false;
    }
    // Eight at a time without a branch between them: which of the first few is far is chance, that
    // one of eight is can be foretold, so that a processor runs ahead to the next agent.
    values.chunks(8).any(|chunk| {
        let far = chunk.iter().map(|value| {
            let distance = value - first;
            // The difference of finite values may be infinite, and is then far.
            (distance * distance > distance_squared) & value.is_finite()
        });
        far.fold(false, |any, is_far| any | is_far)
    })
}

/// Tells whether all values are finite: zero times a value is zero for these alone.
#[inline]
fn are_finite(values: &[f64]) -> bool {
    let series = Series {
        values,
        n: values.len(),
    };
    let [sum] = series.sums(|v| [v * 0.0]);
    sum == 0.0
}

/// The finite values among some.
#[derive(Clone, Copy)]
struct Series<'a> {
    values: &'a [f64],
    /// How many are finite; when all, nothing is asked of each.
    n: usize,
}

/// A deviation by the short way.
enum Quick {
    /// No square overflowed, none that matters vanished.
    Exact(f64),
    /// One did, or a value is not finite.
    Unsure,
}

impl Series<'_> {
    /// `None` for fewer than two values.
    fn quick_deviation(self, first: f64) -> Option<Quick> {
        if self.n < 2 {
            return None;
        }
        // Of moving values this reads two.
        if first.is_finite() && self.values.iter().all(|v| *v == first) {
            return Some(Quick::Exact(0.0));
        }
        let variance = self.variance(|v| v - first);
        if variance.is_finite() && variance >= SQUARE_SAFE {
            return Some(Quick::Exact(number::sqrt(variance)));
        }
        Some(Quick::Unsure)
    }

    /// The deviation of finite values whose squares overflow or vanish: a power of two brings them
    /// into range and back without touching a digit.
    fn scaled_deviation(self, first: f64) -> f64 {
        let finite = self.values.iter().filter(|v| v.is_finite());
        let widest = finite.fold(0.0_f64, |widest, v| widest.max((v - first).abs()));
        if widest == 0.0 {
            return 0.0;
        }
        let deviation = if widest > 1.0 {
            let first = first * DOWN;
            number::sqrt(self.variance(|v| v * DOWN - first)) * UP
        } else {
            number::sqrt(self.variance(|v| (v - first) * UP)) * DOWN
        };
        deviation.min(f64::MAX)
    }

    /// The sample variance of what `shift` makes of the values, by the corrected two-pass formula.
    #[inline]
    fn variance(self, shift: impl Fn(f64) -> f64) -> f64 {
        let n = number::from_count(self.n);
        let [sum] = self.sums(|v| [shift(v)]);
        let mean = sum / n;
        let [residue, squares] = self.sums(|v| {
            let from_mean = shift(v) - mean;
            [from_mean, from_mean * from_mean]
        });
        (squares - residue * residue / n).max(0.0) / (n - 1.0)
    }

    /// Sums what `term` makes of each finite value, in eight lanes, which the compiler turns into
    /// vector additions. What is not finite takes no lane, so that the sum is that of the others
    /// alone, to the bit.
    #[inline]
    fn sums<const K: usize>(self, term: impl Fn(f64) -> [f64; K]) -> [f64; K] {
        let mut lanes = [[0.0; 8]; K];
        if self.n == self.values.len() {
            let (chunks, rest) = self.values.as_chunks::<8>();
            for chunk in chunks {
                add(&mut lanes, chunk, &term);
            }
            return total(&lanes, rest, &term);
        }
        let (mut chunk, mut n_waiting) = ([0.0; 8], 0);
        for value in self.values.iter().copied().filter(|v| v.is_finite()) {
            if let Some(slot) = chunk.get_mut(n_waiting) {
                *slot = value;
            }
            n_waiting += 1;
            if n_waiting == 8 {
                add(&mut lanes, &chunk, &term);
                n_waiting = 0;
            }
        }
        total(&lanes, chunk.get(..n_waiting).unwrap_or_default(), &term)
    }
}

/// Adds one value to each lane of each sum.
#[inline]
fn add<const K: usize>(
    lanes: &mut [[f64; 8]; K],
    chunk: &[f64; 8],
    term: &impl Fn(f64) -> [f64; K],
) {
    let terms = chunk.map(term);
    for (k, lanes) in lanes.iter_mut().enumerate() {
        for (lane, terms) in lanes.iter_mut().zip(&terms) {
            *lane += terms.get(k).copied().unwrap_or_default();
        }
    }
}

/// Adds up the lanes of each sum and the values that filled none.
#[inline]
fn total<const K: usize>(
    lanes: &[[f64; 8]; K],
    rest: &[f64],
    term: &impl Fn(f64) -> [f64; K],
) -> [f64; K] {
    let mut totals = [0.0; K];
    for value in rest {
        for (total, term) in totals.iter_mut().zip(term(*value)) {
            *total += term;
        }
    }
    for (total, lanes) in totals.iter_mut().zip(lanes) {
        *total += lanes.iter().sum::<f64>();
    }
    totals
}

/// From here on no square that matters was lost to underflow: 1e-240, far above the smallest
/// normal number, 2.2e-308.
const SQUARE_SAFE: f64 = 1e-240;
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
            assert_eq!(
                sample_deviation(&[constant; 240]).map(f64::to_bits),
                Some(0)
            );
        }
    }

    #[test]
    fn a_large_offset_costs_no_digits() {
        let values: Vec<f64> = (0..240)
            .map(|i| 1e12 + if i % 2 == 0 { 0.0 } else { 0.5 })
            .collect();
        let deviation = sample_deviation(&values).unwrap();
        assert!(
            is_close(deviation, 0.25 * (240.0_f64 / 239.0).sqrt()),
            "{deviation:?}"
        );
    }

    #[test]
    fn huge_and_tiny_spreads_neither_overflow_nor_vanish() {
        let root_half = 0.5_f64.sqrt();
        for x in [1e300, 1e200, 1e150, 1e-150, 1e-200, 1e-300] {
            let deviation = sample_deviation(&[0.0, x]).unwrap();
            assert!(is_close(deviation, x * root_half), "{x:e}: {deviation:e}");
        }
        assert_eq!(sample_deviation(&[f64::MAX, f64::MIN]), Some(f64::MAX));
        let smallest = sample_deviation(&[0.0, f64::from_bits(1)]).unwrap();
        assert!(smallest > 0.0);
    }

    #[test]
    fn what_is_no_number_has_no_deviation() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(sample_deviation(&[1.0, bad, 2.0]), None);
            assert_eq!(sample_deviation(&[bad, 1.0]), None);
            assert_eq!(sample_deviation(&[bad; 240]), None);
        }
        assert_eq!(sample_deviation(&[]), None);
        assert_eq!(sample_deviation(&[1.0]), None);
    }

    #[test]
    fn the_early_exit_looks_at_finite_values_alone() {
        let mut values = vec![f64::NAN; 40];
        values.push(1.0);
        assert!(!is_spread_over(&values, values.len(), 0.001));
        values.push(50.0);
        assert!(is_spread_over(&values, values.len(), 0.001));
        assert!(!is_spread_over(&[], 0, 0.001));
        assert!(is_spread_over(&[f64::MAX, f64::MIN], 2, 0.001));
        assert!(!is_spread_over(&[1.0, 2.0], 2, f64::NAN));
    }

    #[test]
    fn an_infinite_value_is_no_proof_of_movement() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!is_spread_over(&[bad, 4.20, 4.20], 3, 0.001));
            assert!(!is_spread_over(&[4.20, bad, 4.20], 3, 0.001));
            assert!(is_spread_over(&[bad, 4.20, 4.25], 3, 0.001));
        }
    }

    #[test]
    fn thresholds_whose_square_vanishes_prove_nothing() {
        for threshold in [0.0, 1e-150, 1e-160, 1e-200, f64::from_bits(1)] {
            assert!(!is_spread_over(&[0.0, threshold / 1e3, 0.0], 3, threshold));
        }
    }

    proptest! {
        #[test]
        fn every_finite_constant_is_exactly_zero(
            constant in any::<f64>().prop_filter("finite", |c| c.is_finite()),
            n in 2_usize..300,
        ) {
            prop_assert_eq!(sample_deviation(&vec![constant; n]), Some(0.0));
            prop_assert_eq!(sample_deviation(&[constant; 240]), Some(0.0));
        }

        #[test]
        fn the_deviation_is_that_of_statrs(
            values in prop::collection::vec(0.0_f64..100.0, 2..400),
        ) {
            let oracle = values.iter().std_dev();
            let ours = sample_deviation(&values).unwrap();
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
            let ours = sample_deviation(&values).unwrap();
            prop_assert!(is_close(ours * 1_024.0, oracle.sqrt()), "{} and {}", ours, oracle.sqrt());
        }

        #[test]
        fn no_numbers_panic_or_give_nan(values in prop::collection::vec(any::<f64>(), 0..60)) {
            if let Some(deviation) = sample_deviation(&values) {
                prop_assert!(deviation.is_finite() && deviation >= 0.0);
            }
            let _ = is_spread_over(&values, values.len(), 0.001);
        }

        #[test]
        fn what_is_not_finite_changes_no_bit(
            values in prop::collection::vec((any::<f64>(), 0.0_f64..100.0, 0_u8..4), 0..60),
        ) {
            let values: Vec<f64> =
                values.iter().map(|(any, usual, pick)| if *pick == 0 { *any } else { *usual }).collect();
            let mut holes = Vec::new();
            for (at, value) in values.iter().enumerate() {
                if at % 5 == 2 {
                    holes.push([f64::NAN, f64::INFINITY, f64::NEG_INFINITY][at % 3]);
                }
                holes.push(*value);
            }
            let finite: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
            let (ours, alone) = (finite_deviation(&holes), sample_deviation(&finite));
            prop_assert_eq!(ours.map(f64::to_bits), alone.map(f64::to_bits));
        }

        #[test]
        fn powers_of_two_scale_exactly(values in prop::collection::vec(0.0_f64..100.0, 2..60)) {
            let deviation = sample_deviation(&values).unwrap();
            prop_assume!(deviation > 0.0);
            for factor in [UP, DOWN] {
                let scaled: Vec<f64> = values.iter().map(|v| v * factor).collect();
                let expected = deviation * factor;
                prop_assert!(is_close(sample_deviation(&scaled).unwrap(), expected));
            }
        }

        #[test]
        fn the_early_exit_never_disagrees_with_the_deviation(
            unit in prop::collection::vec(-1.0_f64..1.0, 30..240),
            base in 0.0_f64..100.0,
            stretch in 0.9_f64..1.1,
        ) {
            let spread = sample_deviation(&unit).unwrap();
            let values: Vec<f64> =
                unit.iter().map(|u| base + u / spread * 0.001 * stretch).collect();
            let is_moving = sample_deviation(&values).unwrap() >= 0.001;
            prop_assert!(is_moving || !is_spread_over(&values, values.len(), 0.001));
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
            let is_moving = sample_deviation(&values).unwrap() >= 0.001;
            prop_assert!(is_moving || !is_spread_over(&values, values.len(), 0.001));
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
            let is_moving = sample_deviation(&values).unwrap() >= 0.001;
            prop_assert!(is_moving || !is_spread_over(&values, values.len(), 0.001));
            prop_assert!(ulps < 10 || is_spread_over(&values, values.len(), 0.001));
        }
    }
}
