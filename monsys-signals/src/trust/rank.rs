//! What the k-th worst finding of a category counts: `R_k = round(2^20 / k^1.5)` of 2^20.
//!
//! The first finding counts in full and later ones ever less, so that ten thousand small ones
//! never outweigh a few bad ones (their sum stays below 2.613 of one). The table holds sums, so
//! that a run of findings with the same points is one subtraction; it is made by the compiler, in
//! integers.

/// 2^20: what the worst finding of a category counts.
pub(crate) const ONE: u64 = 1 << 20;

/// The last rank that counts: 2^14. R of the next is 0.
pub(crate) const RANK_MAX: usize = 16_384;

/// `R_1 + … + R_k` for every k up to [`RANK_MAX`]; beyond it the sum stays.
static SUMS: [u32; RANK_MAX + 1] = sums();

/// Returns what the first `n` ranks count together, of [`ONE`].
pub(crate) fn sum(n: usize) -> u64 {
    u64::from(SUMS.get(n.min(RANK_MAX)).copied().unwrap_or(0))
}

/// Returns what rank `k` counts, of [`ONE`]; ranks begin at 1.
pub(crate) fn of(k: usize) -> u64 {
    sum(k) - sum(k.saturating_sub(1))
}

#[expect(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "runs at compile time only, where there is no From; each value is at most 2^20"
)]
const fn sums() -> [u32; RANK_MAX + 1] {
    let mut all = [0; RANK_MAX + 1];
    let mut k = 1;
    while k <= RANK_MAX {
        // floor(sqrt(x) + 1/2) = floor((floor(sqrt(4x)) + 1) / 2), with x = 2^40 / k^3.
        let root = ((1_u64 << 42) / (k as u64).pow(3)).isqrt();
        all[k] = all[k - 1] + root.div_ceil(2) as u32;
        k += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    /// R is the whole number with `(2R − 1)^2 · k^3 ≤ 2^42 < (2R + 1)^2 · k^3`.
    #[test]
    fn every_rank_is_the_rounded_quotient_in_exact_arithmetic() {
        let bound = BigUint::from(1_u8) << 42;
        for k in 1..=RANK_MAX + 10 {
            let cube = BigUint::from(k).pow(3);
            let square = |odd: u64| BigUint::from(odd).pow(2) * &cube;
            let r = of(k);
            assert!(r == 0 || square(2 * r - 1) <= bound, "{k}");
            assert!(square(2 * r + 1) > bound, "{k}");
        }
        assert_eq!((of(1), of(2), of(4)), (ONE, 370_728, ONE / 8));
        assert_eq!((of(RANK_MAX), of(RANK_MAX + 1)), (1, 0));
    }

    #[test]
    fn the_ranks_of_the_vectors_are_those_of_the_table() {
        let vectors = include_str!("../../vectors/trust.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let ranks = vectors["ranks"].as_array().unwrap();
        assert!(ranks.len() > 10);
        for rank in ranks {
            let k = usize::try_from(rank[0].as_u64().unwrap()).unwrap();
            assert_eq!(Some(of(k)), rank[1].as_u64(), "{k}");
        }
    }

    #[test]
    fn ranks_fall_and_all_of_them_count_less_than_2_613_of_the_first() {
        assert!((1..=RANK_MAX).all(|k| of(k) >= of(k + 1)));
        assert!(sum(usize::MAX) * 1_000 < 2_613 * ONE);
        assert_eq!(sum(usize::MAX), sum(RANK_MAX));
    }
}
