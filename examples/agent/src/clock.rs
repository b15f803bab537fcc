//! The one clock of a program: what stamps asks it, and nothing else reads the system's.
//!
//! What: the time of day ([`Clock::now`]), how long to wait in reality for a span of clock time
//! ([`Clock::wall_duration`]), and the ticks of a cadence that does not drift ([`Ticker`]). An
//! accelerated clock agrees with the wall at its origin and runs `rate` times as fast; every
//! program of one demonstration is given the same origin and rate, so that they agree with each
//! other. What not: correcting the device's clock; a wrong clock is shown to the hub as it is
//! (decision 2). Cost: one system call a reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use monsys_core::time::{Span, Timestamp};
use thiserror::Error;

/// A source of the time of day; a copy is the same clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    origin: Timestamp,
    rate: u32,
}

/// Says that a clock cannot run at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("clock rate {rate} out of range: expected 1 to {RATE_MAX}")]
pub struct RateError {
    /// What was asked for.
    pub rate: u32,
}

impl Clock {
    /// The clock of the machine.
    pub const fn system() -> Self {
        Self {
            origin: Timestamp::MIN,
            rate: 1,
        }
    }

    /// A clock that shows `origin` when the wall does, and runs `rate` times as fast.
    ///
    /// # Errors
    /// [`RateError`] when `rate` is not 1 to [`RATE_MAX`].
    pub const fn accelerated(origin: Timestamp, rate: u32) -> Result<Self, RateError> {
        if rate == 0 || rate > RATE_MAX {
            return Err(RateError { rate });
        }
        Ok(Self { origin, rate })
    }

    /// Reads the clock.
    pub fn now(&self) -> Timestamp {
        self.at_wall(wall_now())
    }

    /// Returns what this clock shows when the wall shows `wall`.
    pub fn at_wall(&self, wall: Timestamp) -> Timestamp {
        if self.rate == 1 {
            return wall;
        }
        let elapsed = wall.since(self.origin).micros();
        self.origin.saturating_add(Span::from_micros(
            elapsed.saturating_mul(i64::from(self.rate)),
        ))
    }

    /// Converts a span of this clock's time into a time to wait; a negative one is no wait.
    pub fn wall_duration(&self, span: Span) -> Duration {
        let micros = u64::try_from(span.micros()).unwrap_or(0);
        Duration::from_micros(micros / u64::from(self.rate))
    }

    /// Returns how many times faster than the wall it runs.
    pub const fn rate(&self) -> u32 {
        self.rate
    }
}

/// What the hub's clock shows, as far as its answers told; a copy is the same clock.
///
/// For the header of the hmac profile (contract §3) and for the time of signals, which a hub refuses
/// from the future and from long ago (§6). `captured_at` and `sent_at` stay the raw clock.
#[derive(Debug, Clone, Default)]
pub struct HubClock {
    offset_us: Arc<AtomicI64>,
}

impl HubClock {
    /// A clock of which nothing is known, so that it is taken for this machine's.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Notes that the hub's clock showed `there` when this machine's showed `here`.
    pub fn note(&self, here: Timestamp, there: Timestamp) {
        let offset = there.since(here);
        self.offset_us.store(offset.micros(), Ordering::Relaxed);
    }

    /// Returns what it shows when this machine's shows `here`.
    pub fn at(&self, here: Timestamp) -> Timestamp {
        here.saturating_add(self.offset())
    }

    /// Returns the time of an observation that was made when this machine's clock showed `here`: by
    /// this clock, unless it is so wrong that the hub's is needed.
    pub fn observed(&self, here: Timestamp) -> Timestamp {
        if self.offset().abs() > WRONG_BY {
            self.at(here)
        } else {
            here
        }
    }

    /// Returns how far it is ahead.
    pub fn offset(&self) -> Span {
        Span::from_micros(self.offset_us.load(Ordering::Relaxed))
    }
}

/// Ticks at `start + n × interval` on the monotonic clock, which no change of the date moves.
///
/// Each tick is counted from the start and not from the one before, so nothing adds up over days.
/// Ticks that passed while the machine was busy are left out: there is never a burst.
///
/// The clock is `CLOCK_MONOTONIC`, which stands still while the machine sleeps, and not
/// `CLOCK_BOOTTIME`. After a sleep the next sample comes when what was left of the interval is over,
/// at most one interval after waking, and the grid moves by the length of the sleep. With
/// `CLOCK_BOOTTIME` it would come at the moment of waking, when the processor is busiest and the
/// network is not there yet; and waits of the standard library run on the other clock.
#[derive(Debug, Clone, Copy)]
pub struct Ticker {
    start: Instant,
    grid: Grid,
}

impl Ticker {
    /// Starts ticking; the first tick is at once.
    pub fn start(clock: Clock, interval: Span) -> Self {
        Self {
            start: Instant::now(),
            grid: Grid::new(clock.wall_duration(interval)),
        }
    }

    /// Returns the tick it is at, from 0 at the start; those that were left out count.
    pub const fn n_ticks(&self) -> u32 {
        self.grid.n_ticks
    }

    /// Moves on to the first tick that is still to come and returns its time.
    pub fn advance(&mut self) -> Instant {
        self.start + self.grid.advance(self.start.elapsed())
    }
}

/// The ticks of a cadence as times since its start, without a clock.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    interval: Duration,
    n_ticks: u32,
}

impl Grid {
    /// Starts at the tick 0, which is at the start.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(1)),
            n_ticks: 0,
        }
    }

    /// Moves on to the first tick after `elapsed`, never to the same one twice, and returns its time.
    pub fn advance(&mut self, elapsed: Duration) -> Duration {
        let passed = elapsed.as_micros() / self.interval.as_micros().max(1);
        let upcoming = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
        self.n_ticks = upcoming.max(self.n_ticks.saturating_add(1));
        self.interval.saturating_mul(self.n_ticks)
    }
}

/// A moment until which something is waited for, on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment after `wait` from now.
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// The given moment.
    pub const fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// Returns what is left until then; `None` when it is past.
    pub fn remaining(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// The fastest clock: at 60, a cadence of 15 s is one of 250 ms, which a busy machine still keeps.
pub const RATE_MAX: u32 = 60;

/// A clock that is off by more needs correction; a hub takes signals from 300 s ahead.
const WRONG_BY: Span = Span::from_secs(60);

pub(crate) fn wall_now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m),
    };
    Timestamp::from_unix_micros(micros).unwrap_or(if micros < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn an_accelerated_clock_agrees_with_the_wall_at_its_origin() {
        let origin = time("2026-11-21T01:00:00Z");
        let clock = Clock::accelerated(origin, 40).unwrap();
        assert_eq!(clock.at_wall(origin), origin);
        assert_eq!(
            clock.at_wall(time("2026-11-21T01:00:01Z")),
            time("2026-11-21T01:00:40Z")
        );
        assert_eq!(
            clock.at_wall(time("2026-11-21T00:59:59.5Z")),
            time("2026-11-21T00:59:40Z")
        );
    }

    #[test]
    fn rates_outside_1_to_60_are_refused() {
        for rate in [0, 61, u32::MAX] {
            assert_eq!(
                Clock::accelerated(Timestamp::MIN, rate),
                Err(RateError { rate })
            );
        }
        assert_eq!(
            Clock::accelerated(Timestamp::MIN, 60).map(|clock| clock.rate()),
            Ok(60)
        );
    }

    #[test]
    fn spans_shrink_by_the_rate_and_never_turn_negative() {
        let clock = Clock::accelerated(Timestamp::MIN, 40).unwrap();
        assert_eq!(
            clock.wall_duration(Span::from_secs(15)),
            Duration::from_millis(375)
        );
        assert_eq!(clock.wall_duration(Span::from_secs(-15)), Duration::ZERO);
        assert_eq!(
            Clock::system().wall_duration(Span::from_secs(15)),
            Duration::from_secs(15)
        );
    }

    #[test]
    fn the_system_clock_shows_the_wall() {
        let before = wall_now();
        let shown = Clock::system().now();
        assert!(before <= shown && shown <= wall_now());
    }

    #[test]
    fn the_hubs_clock_is_where_its_last_answer_put_it() {
        let hub = HubClock::unknown();
        let here = time("1970-01-01T00:00:10Z");
        assert_eq!(hub.at(here), here);
        hub.note(here, time("2026-11-21T01:00:00Z"));
        assert_eq!(
            hub.at(time("1970-01-01T00:00:25Z")),
            time("2026-11-21T01:00:15Z")
        );
        hub.note(time("2026-11-21T02:00:00Z"), time("2026-11-21T01:00:00Z"));
        assert_eq!(hub.offset(), Span::from_secs(-3600));
        assert_eq!(hub.clone().observed(here), hub.at(here), "an hour is wrong");
        for seconds in [-60, 0, 60] {
            hub.note(here, here.saturating_add(Span::from_secs(seconds)));
            assert_eq!(hub.observed(here), here, "{seconds} s are not");
        }
    }

    #[test]
    fn late_ticks_are_left_out_and_the_grid_stays() {
        let tick = |last, elapsed_ms| {
            let mut grid = Grid::new(INTERVAL);
            grid.n_ticks = last;
            grid.advance(Duration::from_millis(elapsed_ms)).as_secs() / 15
        };
        assert_eq!(tick(0, 900), 1);
        assert_eq!(tick(1, 14_999), 2, "never the same tick twice");
        assert_eq!(tick(1, 15_001), 2);
        assert_eq!(tick(2, 100_000), 7, "five ticks were slept through");
    }

    /// A clock that tests wind: waking up takes a while, and so does sampling.
    struct Simulated {
        elapsed: Duration,
        dice: u64,
    }

    impl Simulated {
        fn pass(&mut self, longest: Duration) {
            // The generator of Knuth's MMIX; the upper bits are the good ones.
            self.dice = self
                .dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let share = u32::try_from(self.dice >> 44).unwrap();
            self.elapsed += longest * share / (1 << 20);
        }
    }

    #[test]
    fn thirty_days_of_late_wakings_leave_no_drift_and_no_tick_out() {
        let days = Duration::from_secs(30 * 86_400);
        let mut clock = Simulated {
            elapsed: Duration::ZERO,
            dice: 7,
        };
        let mut grid = Grid::new(INTERVAL);
        let mut n_ticks = 0;
        while clock.elapsed < days {
            clock.pass(Duration::from_millis(400));
            let tick = grid.advance(clock.elapsed);
            n_ticks += 1;
            assert_eq!(tick, INTERVAL * n_ticks, "the {n_ticks}th tick");
            assert!(tick > clock.elapsed, "it is still to come");
            clock.elapsed = tick;
            clock.pass(Duration::from_millis(50));
        }
        assert_eq!(n_ticks, 172_800);
    }

    #[test]
    fn after_a_standstill_of_any_length_there_is_one_tick_and_no_burst() {
        for hours in [1, 24, 24 * 365] {
            let mut grid = Grid::new(INTERVAL);
            let before = grid.advance(Duration::ZERO);
            let woken = before + Duration::from_secs(hours * 3_600) + Duration::from_millis(70);
            let next = grid.advance(woken);
            assert!(next > woken && next <= woken + INTERVAL);
            assert_eq!(grid.advance(next), next + INTERVAL);
        }
    }

    const INTERVAL: Duration = Duration::from_secs(15);
}
