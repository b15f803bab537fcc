//! What the hub's tests share: a data directory, the real program, agents, people, raw HTTP.
//!
//! Nothing here knows the inside of the hub. It is started as a user starts it, spoken to over
//! HTTP, and looked into through a connection to its SQLite file that cannot write.

#![allow(dead_code, reason = "each test file uses another part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

pub(crate) mod agent;
pub(crate) mod axe;
pub(crate) mod browser;
pub(crate) mod crowd;
pub(crate) mod device;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod hub;
pub(crate) mod interpreter;
pub(crate) mod login;
pub(crate) mod person;
pub(crate) mod postgres;
pub(crate) mod raw;
pub(crate) mod refusal;
pub(crate) mod routes;
pub(crate) mod store;
pub(crate) mod tls;

use std::ops::Range;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use monsys_core::time::Timestamp;

pub(crate) use self::agent::TestAgent;
pub(crate) use self::hub::{DataDir, Hub};
pub(crate) use self::raw::Answer;

/// Longest that anything a test waits for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the clock.
pub(crate) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_micros(i64::try_from(since_1970.as_micros()).unwrap()).unwrap()
}

/// Asks again and again until something is there, or the deadline is.
pub(crate) fn poll<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        pause(Duration::from_millis(20));
    }
}

/// Lets other threads run for a while.
pub(crate) fn pause(span: Duration) {
    let (_sender, nothing_comes) = mpsc::channel::<()>();
    let _ = nothing_comes.recv_timeout(span);
}

/// Numbers that look random and are the same in each run: SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n` − 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(n).unwrap()).unwrap()
    }

    /// A span of at least so many milliseconds, and less than so many.
    pub(crate) fn moment(&mut self, ms: Range<usize>) -> Duration {
        let us = 1_000 * ms.start + self.below(1_000 * ms.len());
        Duration::from_micros(u64::try_from(us).unwrap())
    }
}
