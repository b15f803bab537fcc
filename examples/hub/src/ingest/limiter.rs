//! Token buckets: so many requests a second, with a burst of twice that.
//!
//! What: a bucket per key (an organisation, an address), full at first. Where it is known before
//! the work whether a request counts, it is taken from the bucket; where that shows only
//! afterwards, an empty bucket refuses and a request that counted is charged, into debt if need be.
//! The number of buckets is bounded: full ones are forgotten first, and a full bucket is the same
//! as none. Cost: a map look-up under a lock. Time is an argument.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use monsys_wire::Reject;

/// Most keys that are remembered at once.
const KEYS_MAX: usize = 65_536;
/// A request in thousandths, so that slow refills are not lost in rounding.
const REQUEST: i64 = 1_000;

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
    refused: AtomicU64,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Below zero by what was charged when nothing was left.
    level: i64,
    at: Instant,
}

impl<K: Ord + Clone> Limiter<K> {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self {
            rate,
            refused: AtomicU64::new(0),
            buckets: Mutex::new(BTreeMap::new()),
        }
    }

    /// Takes one request from the bucket of a key; refuses when it is empty.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Reject> {
        let Some(rate) = self.rate.0 else {
            return Ok(());
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket_of(&mut buckets, key, now, rate);
        let level = bucket.level_at(now, rate);
        self.refuse_below_one(level, rate)?;
        *bucket = Bucket {
            level: level - REQUEST,
            at: now,
        };
        Ok(())
    }

    /// Refuses when the bucket of a key is empty, and takes nothing.
    pub(crate) fn check(&self, key: &K, now: Instant) -> Result<(), Reject> {
        let Some(rate) = self.rate.0 else {
            return Ok(());
        };
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.get(key) {
            Some(bucket) => self.refuse_below_one(bucket.level_at(now, rate), rate),
            None => Ok(()),
        }
    }

    /// Charges a request that turned out to count. Many that are under way together may drive the
    /// bucket into debt, by one burst at most, so that they gain nothing by coming together.
    pub(crate) fn charge(&self, key: K, now: Instant) {
        let Some(rate) = self.rate.0 else { return };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket_of(&mut buckets, key, now, rate);
        let level = (bucket.level_at(now, rate) - REQUEST).max(-capacity(rate));
        *bucket = Bucket { level, at: now };
    }

    /// How many requests were refused since the start.
    pub(crate) fn n_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn refuse_below_one(&self, level: i64, rate: u32) -> Result<(), Reject> {
        let missing = REQUEST - level;
        if missing <= 0 {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let refill_a_second = i64::from(rate) * REQUEST;
        // Rounded up, and never zero.
        let seconds = (missing + refill_a_second - 1) / refill_a_second;
        Err(Reject::RateLimited {
            retry_after_s: u32::try_from(seconds).unwrap_or(u32::MAX),
        })
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
    fn level_at(&self, now: Instant, rate: u32) -> i64 {
        let elapsed_us = now
            .saturating_duration_since(self.at)
            .as_micros()
            .min(60_000_000);
        let elapsed_us = i64::try_from(elapsed_us).unwrap_or(0);
        let refilled = elapsed_us.saturating_mul(i64::from(rate)) / (1_000_000 / REQUEST);
        (self.level + refilled).min(capacity(rate))
    }
}

fn bucket_of<K: Ord>(
    buckets: &mut BTreeMap<K, Bucket>,
    key: K,
    now: Instant,
    rate: u32,
) -> &mut Bucket {
    if buckets.len() >= KEYS_MAX && !buckets.contains_key(&key) {
        forget(buckets, now, rate);
    }
    buckets.entry(key).or_insert_with(|| Bucket {
        level: capacity(rate),
        at: now,
    })
}

/// Forgets full buckets; when none is full, all: a flood of addresses must not fill the memory.
fn forget<K: Ord>(buckets: &mut BTreeMap<K, Bucket>, now: Instant, rate: u32) {
    buckets.retain(|_, bucket| bucket.level_at(now, rate) < capacity(rate));
    if buckets.len() >= KEYS_MAX {
        buckets.clear();
    }
}

fn capacity(rate: u32) -> i64 {
    2 * i64::from(rate) * REQUEST
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
    fn what_is_only_checked_is_free_and_what_is_charged_is_owed() {
        let (limiter, start) = (Limiter::new(Rate::per_second(100)), Instant::now());
        assert!((0..10_000).all(|_| limiter.check(&"a", start).is_ok()));
        // Nobody of a thousand that came together was refused; all are charged.
        (0..1_000).for_each(|_| limiter.charge("a", start));
        let refused = |after: u64| limiter.check(&"a", start + Duration::from_millis(after));
        assert_eq!(refused(0), Err(Reject::RateLimited { retry_after_s: 3 }));
        assert!(refused(2_000).is_err(), "a burst is owed, and no more");
        assert!(refused(2_010).is_ok());
        assert!(limiter.check(&"b", start).is_ok());
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
