//! Medians without division: the decision by counting, and the value for a report.
//!
//! What: on which side of two bounds a median lies, from how many values lie below and above them.
//! An odd number is always decided by the counts, an even one unless exactly half lie beyond a
//! bound; then the two middle values are the neighbours of the bound and their sum decides. Values
//! below 0 are no values: a column of gaps holds there what does not count. What not: units. Cost:
//! half a pass when all lie between the bounds, otherwise one more, two on a tie; no allocation, no
//! sort.

/// On which side of two bounds a median lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below the lower one.
    Below,
    /// Between them, or on one.
    Within,
    /// Above the upper one.
    Above,
}

/// Tells that more than half of the values that count lie between the bounds, or on one, and that
/// they are at least `n_min`; false says nothing. It stops as soon as it knows.
///
/// Whatever the values below 0 are, and they are at most those not between, the median is within.
///
/// ```
/// use monsys_integrity::median::is_surely_within;
/// assert!(!is_surely_within(&[6, 15, 16, !15], 7, 23, 2)); // two of four
/// assert!(is_surely_within(&[15, 15, 16, !15], 7, 23, 2));
/// ```
pub fn is_surely_within(values: &[i32], low: i32, high: i32, n_min: usize) -> bool {
    let low = low.max(0);
    let enough = n_enough(values.len(), n_min);
    let mut n_within = 0_usize;
    for chunk in values.chunks(CHUNK) {
        // 32-bit sums of comparisons, which the compiler turns into vectors.
        let within = chunk
            .iter()
            .map(|value| u32::from((*value >= low) & (*value <= high)))
            .sum::<u32>();
        n_within += usize::try_from(within).unwrap_or(usize::MAX);
        if n_within >= enough {
            return true;
        }
    }
    false
}

/// How many of `n` values, of which some may not count, must lie between the bounds to be sure that
/// the median does and that at least `n_min` count: more than half.
pub fn n_enough(n: usize, n_min: usize) -> usize {
    n_min.max(n / 2 + 1)
}

/// How many values are looked at between two looks at the count: with 239 gaps, all between the
/// bounds, 128 are read.
const CHUNK: usize = 64;

/// How many values lie on which side of two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    low: i32,
    high: i32,
    n: usize,
    n_below: usize,
    n_above: usize,
}

impl Counts {
    /// Counts values against two bounds, which are themselves within. Values below 0 do not count.
    pub fn of(values: &[i32], low: i32, high: i32) -> Self {
        let (low, high) = (low.max(0), high.max(-1));
        let count = |is: fn(i32, i32) -> bool, bound: i32| {
            values.iter().filter(|value| is(**value, bound)).count()
        };
        let n_out = count(|value, bound| value < bound, 0);
        Self {
            low,
            high,
            n: values.len() - n_out,
            n_below: count(|value, bound| value < bound, low) - n_out,
            n_above: count(|value, bound| value > bound, high),
        }
    }

    /// Returns how many values there are.
    pub const fn n(&self) -> usize {
        self.n
    }

    /// Tells where the median lies; `values` are the same again, read only on a tie. The median of
    /// nothing is within.
    ///
    /// ```
    /// use monsys_integrity::median::{Counts, Place};
    /// let gaps = [1, 6, 9, 30];
    /// assert_eq!(Counts::of(&gaps, 7, 23).place(&gaps), Place::Within); // 6 + 9 ≥ 2 · 7
    /// ```
    pub fn place(&self, values: &[i32]) -> Place {
        if self.is_more_than_half(self.n_below) {
            return Place::Below;
        }
        if self.is_more_than_half(self.n_above) {
            return Place::Above;
        }
        if self.is_half(self.n_below) {
            let (low_side, high_side) = neighbours(values, |v| v < self.low);
            if low_side + high_side < 2 * i64::from(self.low) {
                return Place::Below;
            }
        }
        if self.is_half(self.n_above) {
            let (low_side, high_side) = neighbours(values, |v| v <= self.high);
            if low_side + high_side > 2 * i64::from(self.high) {
                return Place::Above;
            }
        }
        Place::Within
    }

    const fn is_more_than_half(&self, part: usize) -> bool {
        part > self.n - part
    }

    const fn is_half(&self, part: usize) -> bool {
        self.n > 0 && part == self.n - part
    }
}

/// Returns twice the median, which is always an integer: the sum of the two middle values, or
/// twice the one in the middle. Reorders the values, as far as the middle needs it; `None` when
/// there are none.
pub fn doubled<T: Copy + Ord + Into<i128>>(values: &mut [T]) -> Option<i128> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let is_odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable(middle);
    let upper = *upper;
    let lower = match below.iter().max() {
        Some(lower) if !is_odd => *lower,
        _ => upper,
    };
    Some(lower.into() + upper.into())
}

/// The greatest of the values on the low side, and the least of the others.
fn neighbours(values: &[i32], is_low: impl Fn(i32) -> bool) -> (i64, i64) {
    let counted = values.iter().copied().filter(|value| *value >= 0);
    let (greatest, least) = counted.fold((0, i32::MAX), |(greatest, least), value| {
        if is_low(value) {
            (greatest.max(value), least)
        } else {
            (greatest, least.min(value))
        }
    });
    (i64::from(greatest), i64::from(least))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The plain form: leave out what does not count, sort, take the middle, compare.
    fn place_by_sorting(values: &[i32], low: i32, high: i32) -> Place {
        let counted = values.iter().filter(|value| **value >= 0);
        let mut counted: Vec<i64> = counted.map(|value| i64::from(*value)).collect();
        counted.sort_unstable();
        let middle = |i: usize| counted.get(i).copied();
        let twice = middle(counted.len().saturating_sub(1) / 2)
            .zip(middle(counted.len() / 2))
            .map(|(lower, upper)| i128::from(lower) + i128::from(upper));
        assert_eq!(doubled(&mut counted), twice);
        match twice {
            Some(twice) if twice < 2 * i128::from(low) => Place::Below,
            Some(twice) if twice > 2 * i128::from(high) => Place::Above,
            _ => Place::Within,
        }
    }

    fn place(values: &[i32], low: i32, high: i32) -> Place {
        let counts = Counts::of(values, low, high);
        let n_counted = values.iter().filter(|value| **value >= 0).count();
        assert_eq!(counts.n(), n_counted);
        let place = counts.place(values);
        for n_min in [0, n_counted, n_counted + 1] {
            if is_surely_within(values, low, high, n_min) {
                assert_eq!(place, Place::Within);
                assert!(n_counted >= n_min);
            }
        }
        place
    }

    #[test]
    fn ties_are_decided_by_the_two_middle_values() {
        assert_eq!(place(&[6, 8], 7, 23), Place::Within);
        assert_eq!(place(&[5, 8], 7, 23), Place::Below);
        assert_eq!(place(&[22, 24], 7, 23), Place::Within);
        assert_eq!(place(&[22, 25], 7, 23), Place::Above);
        assert_eq!(place(&[1, 40], 7, 23), Place::Within);
        assert_eq!(place(&[1, 100], 7, 23), Place::Above);
        assert_eq!(place(&[i32::MAX, i32::MAX], 7, 23), Place::Above);
        assert_eq!(place(&[], 7, 23), Place::Within);
        assert_eq!(place(&[!5, !8, !1], 7, 23), Place::Within);
        assert_eq!(place(&[!100, 5, !0, 8, i32::MIN], 7, 23), Place::Below);
    }

    #[test]
    fn more_than_half_within_is_known_early_and_half_is_not() {
        let mut gaps = [15; 240];
        assert!(is_surely_within(&gaps, 7, 23, 20));
        assert!(is_surely_within(&gaps, 7, 23, 240));
        assert!(!is_surely_within(&gaps, 7, 23, 241));
        gaps.iter_mut().take(119).for_each(|gap| *gap = 1);
        assert!(is_surely_within(&gaps, 7, 23, 20));
        gaps.iter_mut().take(120).for_each(|gap| *gap = !15);
        assert!(!is_surely_within(&gaps, 7, 23, 20));
        assert!(!is_surely_within(&[], 7, 23, 0));
    }

    #[test]
    fn twice_the_median_is_exact_at_the_ends_of_the_range() {
        assert_eq!(doubled::<i32>(&mut []), None);
        assert_eq!(doubled(&mut [3_i32]), Some(6));
        assert_eq!(doubled(&mut [9_i32, 1, 4]), Some(8));
        assert_eq!(
            doubled(&mut [i64::MAX, i64::MAX]),
            Some(2 * i128::from(i64::MAX))
        );
        assert_eq!(
            doubled(&mut [i64::MIN, i64::MIN]),
            Some(2 * i128::from(i64::MIN))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn counting_agrees_with_sorting(
            values in prop::collection::vec(
                prop_oneof![4 => 0..40, 1 => -40..0, 1 => Just(i32::MIN), 1 => Just(i32::MAX)],
                0..30,
            ),
        ) {
            prop_assert_eq!(place(&values, 7, 23), place_by_sorting(&values, 7, 23));
        }

        #[test]
        fn bounds_at_the_ends_of_the_range_agree_with_sorting(
            values in prop::collection::vec(any::<i32>(), 0..30),
            bounds: (i32, i32),
        ) {
            let (low, high) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            prop_assert_eq!(place(&values, low, high), place_by_sorting(&values, low, high));
        }

        #[test]
        fn order_does_not_matter(mut values in prop::collection::vec(any::<i32>(), 0..30)) {
            let before = place(&values, 7, 23);
            values.reverse();
            prop_assert_eq!(place(&values, 7, 23), before);
        }

        #[test]
        fn an_even_number_around_a_bound_agrees_with_sorting(
            mut half in prop::collection::vec(0..7, 1..12),
            rest in prop::collection::vec(7..30, 12),
        ) {
            let rest: Vec<i32> = rest.into_iter().take(half.len()).collect();
            half.extend(rest);
            prop_assert_eq!(place(&half, 7, 23), place_by_sorting(&half, 7, 23));
        }
    }
}
