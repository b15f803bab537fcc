//! Token buckets: so many requests a second, with a burst of twice that.
//!
//! What: a bucket per key (an organisation, an address), full at first. The number of buckets is
//! bounded: full ones are forgotten first, and a full bucket is the same as none. Cost: a map
//! look-up under a lock. Time is an argument.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use monsys_wire::Reject;

/// Most keys that are remembered at once.
const KEYS_MAX: usize = 65_536;
/// A request in thousandths, so that slow refills are not lost in rounding.
const REQUEST: u64 = 1_000;

/// Requests per second; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) Option<u32>);

impl Rate {
    /// Takes a configured number, where 0 lifts the limit.
    pub(crate) const fn per_second(n: u32) -> Self {
        Self(if n == 0 { None } else { Some(n) })
    }
}

/// A bucket per key.
pub(crate) struct Limiter<K> {
    rate: Rate,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    level: u64,
    at: Instant,
}

impl<K: Ord + Clone> Limiter<K> {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::new(BTreeMap::new()),
        }
    }

    /// Takes one request from the bucket of a key; refuses when it is empty.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Reject> {
        let Some(rate) = self.rate.0 else {
            return Ok(());
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(&key) {
            forget(&mut buckets, now, rate);
        }
        let full = || Bucket {
            level: capacity(rate),
            at: now,
        };
        let bucket = buckets.entry(key).or_insert_with(full);
        let level = bucket.level_at(now, rate);
        let Some(rest) = level.checked_sub(REQUEST) else {
            let missing = (REQUEST - level).div_ceil(u64::from(rate) * REQUEST).max(1);
            return Err(Reject::RateLimited {
                retry_after_s: u32::try_from(missing).unwrap_or(u32::MAX),
            });
        };
        *bucket = Bucket {
            level: rest,
            at: now,
        };
        Ok(())
    }

    /// Gives back what was taken for a request that turned out not to count.
    pub(crate) fn give_back(&self, key: &K, now: Instant) {
        let Some(rate) = self.rate.0 else { return };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            let level = (bucket.level_at(now, rate) + REQUEST).min(capacity(rate));
            *bucket = Bucket { level, at: now };
        }
    }
}

impl Bucket {
    fn level_at(&self, now: Instant, rate: u32) -> u64 {
        let elapsed_us = now
            .saturating_duration_since(self.at)
            .as_micros()
            .min(60_000_000);
        let elapsed_us = u64::try_from(elapsed_us).unwrap_or(0);
        let refilled = elapsed_us.saturating_mul(u64::from(rate)) * REQUEST / 1_000_000;
        (self.level + refilled).min(capacity(rate))
    }
}

/// Forgets full buckets; when none is full, all: a flood of addresses must not fill the memory.
fn forget<K: Ord>(buckets: &mut BTreeMap<K, Bucket>, now: Instant, rate: u32) {
    buckets.retain(|_, bucket| bucket.level_at(now, rate) < capacity(rate));
    if buckets.len() >= KEYS_MAX {
        buckets.clear();
    }
}

fn capacity(rate: u32) -> u64 {
    2 * u64::from(rate) * REQUEST
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_twice_the_rate_passes_and_the_next_waits() {
        let (limiter, start) = (Limiter::new(Rate::per_second(100)), Instant::now());
        assert!((0..200).all(|_| limiter.take("a", start).is_ok()));
        assert_eq!(
            limiter.take("a", start),
            Err(Reject::RateLimited { retry_after_s: 1 })
        );
        assert!(limiter.take("b", start).is_ok(), "others are not affected");
        let later = start + Duration::from_secs(1);
        let passed = (0..200)
            .filter(|_| limiter.take("a", later).is_ok())
            .count();
        assert_eq!(passed, 100);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (limiter, start) = (Limiter::new(Rate::per_second(1)), Instant::now());
        for _ in 0..100 {
            assert!(limiter.take("a", start).is_ok());
            limiter.give_back(&"a", start);
        }
        assert!(limiter.take("a", start).is_ok() && limiter.take("a", start).is_ok());
        assert!(limiter.take("a", start).is_err());
        limiter.give_back(&"b", start);
        assert!(
            limiter.take("b", start).is_ok(),
            "an unknown key is a full bucket"
        );
    }

    #[test]
    fn zero_lifts_the_limit() {
        let (limiter, start) = (Limiter::new(Rate::per_second(0)), Instant::now());
        assert!((0..10_000).all(|_| limiter.take("a", start).is_ok()));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (limiter, start) = (Limiter::new(Rate::per_second(1)), Instant::now());
        for key in 0..200_000_u32 {
            limiter.take(key, start).unwrap();
        }
        assert!(limiter.buckets.lock().unwrap().len() <= KEYS_MAX);
    }
}
