//! Medians without division: the decision by counting, and the value for a report.
//!
//! What: on which side of two bounds a median lies, from how many values lie below and above them.
//! An odd number is always decided by the counts, an even one unless exactly half lie beyond a
//! bound; then the two middle values are the neighbours of the bound and their sum decides. What
//! not: units; values are any integers. Cost: one pass, two on a tie; no allocation, no sort.

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

/// How many values lie on which side of two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    low: i64,
    high: i64,
    n: usize,
    n_below: usize,
    n_above: usize,
}

impl Counts {
    /// Counts values against two bounds, which are themselves within.
    pub fn of(values: impl Iterator<Item = i64>, low: i64, high: i64) -> Self {
        let start = Self {
            low,
            high,
            n: 0,
            n_below: 0,
            n_above: 0,
        };
        values.fold(start, |counts, value| Self {
            n: counts.n + 1,
            n_below: counts.n_below + usize::from(value < low),
            n_above: counts.n_above + usize::from(value > high),
            ..counts
        })
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
    /// let gaps = [1_i64, 6, 9, 30];
    /// let counts = Counts::of(gaps.into_iter(), 7, 23);
    /// assert_eq!(counts.place(gaps.into_iter()), Place::Within); // 6 + 9 ≥ 2 · 7
    /// ```
    pub fn place(&self, values: impl Iterator<Item = i64> + Clone) -> Place {
        if self.is_more_than_half(self.n_below) {
            return Place::Below;
        }
        if self.is_more_than_half(self.n_above) {
            return Place::Above;
        }
        if self.is_half(self.n_below) {
            let (low_side, high_side) = neighbours(values.clone(), |v| v < self.low);
            if low_side + high_side < 2 * i128::from(self.low) {
                return Place::Below;
            }
        }
        if self.is_half(self.n_above) {
            let (low_side, high_side) = neighbours(values, |v| v <= self.high);
            if low_side + high_side > 2 * i128::from(self.high) {
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
/// twice the one in the middle. Sorts the values; `None` when there are none.
pub fn doubled(values: &mut [i64]) -> Option<i128> {
    values.sort_unstable();
    let lower = values.get(values.len().checked_sub(1)? / 2)?;
    let upper = values.get(values.len() / 2)?;
    Some(i128::from(*lower) + i128::from(*upper))
}

/// The greatest of the values on the low side, and the least of the others.
fn neighbours(values: impl Iterator<Item = i64>, is_low: impl Fn(i64) -> bool) -> (i128, i128) {
    let (greatest, least) = values.fold((i64::MIN, i64::MAX), |(greatest, least), value| {
        if is_low(value) {
            (greatest.max(value), least)
        } else {
            (greatest, least.min(value))
        }
    });
    (i128::from(greatest), i128::from(least))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The plain form: sort, take the middle, compare.
    fn place_by_sorting(values: &[i64], low: i64, high: i64) -> Place {
        match doubled(&mut values.to_vec()) {
            Some(twice) if twice < 2 * i128::from(low) => Place::Below,
            Some(twice) if twice > 2 * i128::from(high) => Place::Above,
            _ => Place::Within,
        }
    }

    fn place(values: &[i64], low: i64, high: i64) -> Place {
        let values = values.iter().copied();
        Counts::of(values.clone(), low, high).place(values)
    }

    #[test]
    fn ties_are_decided_by_the_two_middle_values() {
        assert_eq!(place(&[6, 8], 7, 23), Place::Within);
        assert_eq!(place(&[5, 8], 7, 23), Place::Below);
        assert_eq!(place(&[22, 24], 7, 23), Place::Within);
        assert_eq!(place(&[22, 25], 7, 23), Place::Above);
        assert_eq!(place(&[1, 40], 7, 23), Place::Within);
        assert_eq!(place(&[1, 100], 7, 23), Place::Above);
        assert_eq!(place(&[], 7, 23), Place::Within);
    }

    #[test]
    fn twice_the_median_is_exact_at_the_ends_of_the_range() {
        assert_eq!(doubled(&mut []), None);
        assert_eq!(doubled(&mut [3]), Some(6));
        assert_eq!(doubled(&mut [9, 1, 4]), Some(8));
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
                prop_oneof![4 => 0_i64..40, 1 => Just(i64::MIN), 1 => Just(i64::MAX)],
                0..30,
            ),
        ) {
            prop_assert_eq!(place(&values, 7, 23), place_by_sorting(&values, 7, 23));
        }

        #[test]
        fn order_does_not_matter(mut values in prop::collection::vec(any::<i64>(), 0..30)) {
            let before = place(&values, -7, 23);
            values.reverse();
            prop_assert_eq!(place(&values, -7, 23), before);
        }

        #[test]
        fn an_even_number_around_a_bound_agrees_with_sorting(
            mut half in prop::collection::vec(0_i64..7, 1..12),
            rest in prop::collection::vec(7_i64..30, 12),
        ) {
            let rest: Vec<i64> = rest.into_iter().take(half.len()).collect();
            half.extend(rest);
            prop_assert_eq!(place(&half, 7, 23), place_by_sorting(&half, 7, 23));
        }
    }
}
