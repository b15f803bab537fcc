//! How often passwords may be tried, such that nobody can shut out somebody else.
//!
//! Three bounds on failures, each in a window that moves:
//! - of one address for one person: 5 in a minute (row A1);
//! - of one address for anybody: 30 in a minute, against one password for many people;
//! - of anybody for one person: with 50 in ten minutes, an address has 1 a minute for this person in
//!   place of 5. That slows a guess that comes from many addresses, and still lets the owner in at the
//!   first right password, from anywhere.
//!
//! A person is never refused for what others do elsewhere. For what others do at the same address,
//! such as behind the same proxy, neither: a browser in which the person logged in before shows that
//! by a cookie that we signed, and has a window of its own (OWASP, "Slow Down Online Guessing Attacks
//! with Device Cookies"). It is bound to this person, so that it is no use for another.
//!
//! An attempt counts as failed from its beginning, so that many at once gain nothing; one that
//! succeeds, or that the hub could not judge, is taken back. Time is an argument. Memory is bounded:
//! so many keys, and so many failures of each. A restart forgets all of it, and
//! replicas do not know each other's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Most keys that one bound remembers.
const KEYS_MAX: usize = 8_192;
const MINUTE: Duration = Duration::from_secs(60);

/// Who is tried: an organisation and a login name as typed, whether or not they exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tried([u8; 32]);

impl Tried {
    /// Takes both names as typed.
    pub(crate) fn new(org: &str, email: &str) -> Self {
        let length = u64::try_from(org.len()).unwrap_or(u64::MAX);
        let digest = Sha256::new()
            .chain_update(length.to_be_bytes())
            .chain_update(org)
            .chain_update(email);
        Self(digest.finalize().into())
    }

    /// Returns what a device cookie is bound to.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Where an attempt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// An address about which nothing more is known.
    Address(IpAddr),
    /// A browser in which this person logged in before, by the digest of its cookie.
    Device([u8; 32]),
}

/// There were too many failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockedOut {
    /// After how many seconds trying again is not refused.
    pub(crate) retry_after_s: u32,
}

/// All bounds on failures.
pub(crate) struct Lockout {
    of_place: Mutex<Failures<(Place, Tried)>>,
    of_address: Mutex<Failures<IpAddr>>,
    of_person: Mutex<Failures<Tried>>,
}

impl Default for Lockout {
    fn default() -> Self {
        Self {
            of_place: Mutex::new(Failures::new(OF_PLACE_MAX, MINUTE)),
            of_address: Mutex::new(Failures::new(OF_ADDRESS_MAX, MINUTE)),
            of_person: Mutex::new(Failures::new(OF_PERSON_MAX, 10 * MINUTE)),
        }
    }
}

/// Failures of one person at one place in a minute.
const OF_PLACE_MAX: usize = 5;
/// The same while the person is under attack.
const OF_PLACE_ATTACKED_MAX: usize = 1;
/// Failures of one address in a minute.
const OF_ADDRESS_MAX: usize = 30;
/// Failures of one person from anywhere in ten minutes that are an attack.
const OF_PERSON_MAX: usize = 50;

impl Lockout {
    /// Begins an attempt, which counts as failed until it is taken back.
    ///
    /// # Errors
    /// When there were too many failures; this attempt is then none.
    pub(crate) fn begin(&self, place: Place, tried: Tried, now: Instant) -> Result<(), LockedOut> {
        let is_attacked = lock(&self.of_person)
            .wait(&tried, OF_PERSON_MAX, now)
            .is_some();
        if let Place::Address(address) = place {
            let mut of_address = lock(&self.of_address);
            refuse(of_address.wait(&address, OF_ADDRESS_MAX, now))?;
            self.begin_at(place, tried, is_attacked, now)?;
            of_address.add(address, now);
        } else {
            self.begin_at(place, tried, false, now)?;
        }
        lock(&self.of_person).add(tried, now);
        Ok(())
    }

    fn begin_at(
        &self,
        place: Place,
        tried: Tried,
        is_attacked: bool,
        now: Instant,
    ) -> Result<(), LockedOut> {
        let max = if is_attacked {
            OF_PLACE_ATTACKED_MAX
        } else {
            OF_PLACE_MAX
        };
        let mut of_place = lock(&self.of_place);
        refuse(of_place.wait(&(place, tried), max, now))?;
        of_place.add((place, tried), now);
        Ok(())
    }

    /// Takes an attempt back that the hub could not judge.
    pub(crate) fn take_back(&self, place: Place, tried: Tried) {
        lock(&self.of_place).remove_one(&(place, tried));
        if let Place::Address(address) = place {
            lock(&self.of_address).remove_one(&address);
        }
        lock(&self.of_person).remove_one(&tried);
    }

    /// Takes an attempt back that succeeded, and what the person mistyped there before.
    pub(crate) fn succeeded(&self, place: Place, tried: Tried) {
        let n_failures = lock(&self.of_place).forget(&(place, tried));
        for _ in 0..n_failures {
            if let Place::Address(address) = place {
                lock(&self.of_address).remove_one(&address);
            }
            lock(&self.of_person).remove_one(&tried);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(wait: Option<Duration>) -> Result<(), LockedOut> {
    let Some(wait) = wait else { return Ok(()) };
    // Rounded up, so that whoever waits as told is not refused again.
    let seconds = wait.as_millis().div_ceil(1_000).max(1);
    let retry_after_s = u32::try_from(seconds).unwrap_or(u32::MAX);
    Err(LockedOut { retry_after_s })
}

/// When failures happened, by key, the oldest first.
struct Failures<K> {
    /// As many as are ever counted, of one key.
    n_kept: usize,
    span: Duration,
    at: BTreeMap<K, Vec<Instant>>,
}

impl<K: Ord + Clone> Failures<K> {
    const fn new(n_kept: usize, span: Duration) -> Self {
        Self {
            n_kept,
            span,
            at: BTreeMap::new(),
        }
    }

    /// How long until there are less than so many in the window; `None` when there are.
    fn wait(&self, key: &K, max: usize, now: Instant) -> Option<Duration> {
        let at = self.at.get(key)?;
        // The last but `max` must have left the window.
        let decisive = at.len().checked_sub(max).and_then(|i| at.get(i))?;
        let age = now.saturating_duration_since(*decisive);
        self.span.checked_sub(age).filter(|wait| !wait.is_zero())
    }

    fn add(&mut self, key: K, now: Instant) {
        if self.at.len() >= KEYS_MAX && !self.at.contains_key(&key) {
            self.make_room(now);
        }
        let (span, n_kept) = (self.span, self.n_kept);
        let at = self.at.entry(key).or_default();
        at.retain(|then| now.saturating_duration_since(*then) < span);
        if at.len() >= n_kept {
            at.remove(0);
        }
        at.push(now);
    }

    fn remove_one(&mut self, key: &K) {
        if let Some(at) = self.at.get_mut(key) {
            at.pop();
            if at.is_empty() {
                self.at.remove(key);
            }
        }
    }

    /// Forgets all failures of a key, and returns how many there were.
    fn forget(&mut self, key: &K) -> usize {
        self.at.remove(key).map_or(0, |at| at.len())
    }

    /// Forgets what has left the window, and the key that was quiet longest when nothing has.
    fn make_room(&mut self, now: Instant) {
        let span = self.span;
        self.at.retain(|_, at| {
            at.last()
                .is_some_and(|then| now.saturating_duration_since(*then) < span)
        });
        if self.at.len() >= KEYS_MAX {
            let quiet = self.at.iter().min_by_key(|(_, at)| at.last().copied());
            let quiet = quiet.map(|(key, _)| key.clone());
            if let Some(quiet) = quiet {
                self.at.remove(&quiet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Place {
        Place::Address(IpAddr::V4((0x0a00_0000 + n).into()))
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a1_the_sixth_failure_of_a_minute_waits_until_the_first_is_a_minute_old() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let owner = Tried::new("acme", "ada@acme.example");
        for second in 0..5 {
            assert_eq!(
                lockout.begin(address(1), owner, after(start, second)),
                Ok(())
            );
        }
        let refused = |second| lockout.begin(address(1), owner, after(start, second));
        assert_eq!(refused(10), Err(LockedOut { retry_after_s: 50 }));
        assert_eq!(refused(59), Err(LockedOut { retry_after_s: 1 }));
        assert_eq!(refused(60), Ok(()));
        assert_eq!(refused(60), Err(LockedOut { retry_after_s: 1 }));
        let other = Tried::new("acme", "bob@acme.example");
        assert_eq!(lockout.begin(address(1), other, start), Ok(()));
        assert_eq!(lockout.begin(address(2), owner, start), Ok(()));
    }

    #[test]
    fn a1_whoever_succeeds_begins_anew_and_what_was_not_judged_does_not_count() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let owner = Tried::new("acme", "ada@acme.example");
        for _ in 0..100 {
            assert!(lockout.begin(address(1), owner, start).is_ok());
            lockout.take_back(address(1), owner);
        }
        for _ in 0..20 {
            for _ in 0..5 {
                assert!(lockout.begin(address(1), owner, start).is_ok());
            }
            lockout.succeeded(address(1), owner);
        }
    }

    #[test]
    fn a1_one_address_tries_many_people_30_times_a_minute() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let person = |n: u32| Tried::new("acme", &format!("{n}@acme.example"));
        assert!((0..30).all(|n| lockout.begin(address(1), person(n), start).is_ok()));
        assert!(lockout.begin(address(1), person(31), start).is_err());
        assert!(lockout.begin(address(2), person(31), start).is_ok());
    }

    #[test]
    fn a1_an_attack_from_everywhere_slows_a_person_down_and_shuts_nobody_out() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let owner = Tried::new("acme", "ada@acme.example");
        for n in 0..1_000 {
            // Each new address has its try, whatever happened before.
            assert_eq!(lockout.begin(address(n), owner, start), Ok(()));
            let more = (0..9).filter(|_| lockout.begin(address(n), owner, start).is_ok());
            assert_eq!(more.count(), if n < 10 { 4 } else { 0 }, "{n}");
        }
        // The owner mistypes once, waits a minute, and is in.
        assert_eq!(lockout.begin(address(20_000), owner, start), Ok(()));
        assert!(lockout.begin(address(20_000), owner, start).is_err());
        assert_eq!(
            lockout.begin(address(20_000), owner, after(start, 60)),
            Ok(())
        );
    }

    #[test]
    fn a1_a_browser_of_the_owner_is_not_shut_out_by_others_at_the_same_address() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let owner = Tried::new("acme", "ada@acme.example");
        while lockout.begin(address(1), owner, start).is_ok() {}
        for n in 0..100 {
            let _ = lockout.begin(address(1), Tried::new("acme", &n.to_string()), start);
        }
        let browser = Place::Device([1; 32]);
        for _ in 0..5 {
            assert_eq!(lockout.begin(browser, owner, start), Ok(()));
        }
        assert!(
            lockout.begin(browser, owner, start).is_err(),
            "it may be stolen"
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        for n in 0..8_300_u32 {
            let _ = lockout.begin(address(n), Tried::new("", &n.to_string()), start);
        }
        assert!(lock(&lockout.of_place).at.len() <= KEYS_MAX);
        assert!(lock(&lockout.of_address).at.len() <= KEYS_MAX);
        assert!(lock(&lockout.of_person).at.len() <= KEYS_MAX);
    }

    #[test]
    fn names_that_run_together_are_different_people() {
        assert_ne!(Tried::new("ab", "c"), Tried::new("a", "bc"));
    }
}
