//! The metrics of one agent in memory, fed at ingest and judged without a copy.
//!
//! What: a [`Ring`] holds, of each metric received in the hour before the newest one, the processor
//! use and the gap to the one before, and of the newest 20 the offset of the device clock.
//! [`Ring::view`] cuts it to (now − 1 h, now], and [`decide`] says of flatness, cadence and clock
//! what the detectors of [`crate::detect`] say of the same metrics. Values and times are those the
//! store was given, so that a ring read back from the store decides alike.
//!
//! What not: evidence. Of an agent that does not pass, the facts are read from the store and the
//! detectors make the finding. A ring that cannot know what a store would answer, because the hub's
//! clock went back, gives no view at all; it is then filled anew.
//!
//! Cost: 12 bytes a metric, 3.4 kB for an honest agent. A push allocates only while the ring
//! grows, a decision never: about 125 gaps, 20 offsets and two to four values are read.

use alloc::vec::Vec;

use monsys_core::facts::ClockReading;
use monsys_core::limit::WINDOW_SAMPLES_MAX;
use monsys_core::time::{Span, Timestamp};

use crate::config::Config;
use crate::detect::clock_drift::offset_ms;
use crate::deviation::{finite_deviation, is_spread_over};
use crate::median::{Counts, Place};

/// How far back a ring reaches: 1 hour, as [`Config::window`] of the integrity document. With
/// another window the detectors judge other metrics than a ring does.
pub const SPAN: Span = Span::from_secs(3_600);

/// How many of the newest clock readings a ring keeps, as [`Config::clock_readings`] of the
/// integrity document.
pub const CLOCK_READINGS: usize = 20;

/// The last hour of one agent, a column for each question.
#[derive(Debug, Clone)]
pub struct Ring {
    cpu_usage_percent: Vec<f64>,
    /// The gap before each metric in microseconds, complemented next to a backlog. That of the
    /// first is never read.
    gaps_us: Vec<i32>,
    /// Metrics before this one have left the hour.
    start: usize,
    n_not_finite: usize,
    /// Gaps next to a backlog; that of the first counts nowhere.
    n_backlog_gaps: usize,
    offsets_ms: [i64; CLOCK_READINGS],
    n_offsets: usize,
    first_at: Timestamp,
    last_at: Timestamp,
    is_last_spooled: bool,
    is_ordered: bool,
}

/// What a ring holds of one window.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Processor use in percent points; may hold what is not finite.
    cpu_usage_percent: &'a [f64],
    n_not_finite: usize,
    /// Between successive metrics, complemented next to a backlog.
    gaps_us: &'a [i32],
    n_backlog_gaps: usize,
    /// From the first metric to the last.
    span_us: i64,
    /// In receive order, at most [`CLOCK_READINGS`].
    offsets_ms: &'a [i64],
}

/// What a detector says, without its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The agent is honest in this respect.
    Pass,
    /// It deviates.
    Fail,
    /// There is not enough to say.
    Insufficient,
}

/// What the three detectors that read a window say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the processor use moves.
    pub flat_metrics: Outcome,
    /// Whether payloads come as often as expected.
    pub cadence_anomaly: Outcome,
    /// Whether the device clock is right.
    pub clock_drift: Outcome,
}

impl Decision {
    /// Tells whether every one passes, so that nothing has to be read from the store.
    pub fn is_pass(&self) -> bool {
        self.flat_metrics == Outcome::Pass
            && self.cadence_anomaly == Outcome::Pass
            && self.clock_drift == Outcome::Pass
    }
}

/// Judges a window as the detectors of the same names do.
///
/// ```
/// use monsys_core::facts::ClockReading;
/// use monsys_core::time::{Span, Timestamp};
/// use monsys_integrity::Config;
/// use monsys_integrity::ring::{Outcome, Ring, decide};
///
/// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// let mut ring = Ring::new();
/// for ago_s in (0..240).rev().map(|n| n * 15) {
///     let at = now.saturating_sub(Span::from_secs(ago_s));
///     let reading =
///         ClockReading { captured_at: at, sent_at: at, received_at: at, is_spooled: false };
///     ring.push(&reading, 4.20);
/// }
/// let view = ring.view(now).expect("times in order");
/// let decision = decide(&view, &Config::standard());
/// assert_eq!(decision.flat_metrics, Outcome::Fail);
/// assert_eq!(decision.cadence_anomaly, Outcome::Pass);
/// # Ok::<(), monsys_core::time::TimeError>(())
/// ```
#[inline]
pub fn decide(view: &View<'_>, config: &Config) -> Decision {
    Decision {
        flat_metrics: view.flat_metrics(config),
        cadence_anomaly: view.cadence_anomaly(config),
        clock_drift: view.clock_drift(config),
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

impl Ring {
    /// Makes an empty ring.
    pub const fn new() -> Self {
        Self {
            cpu_usage_percent: Vec::new(),
            gaps_us: Vec::new(),
            start: 0,
            n_not_finite: 0,
            n_backlog_gaps: 0,
            offsets_ms: [0; CLOCK_READINGS],
            n_offsets: 0,
            first_at: Timestamp::MIN,
            last_at: Timestamp::MIN,
            is_last_spooled: false,
            is_ordered: true,
        }
    }

    /// Adds a metric, in receive order, and lets go what was received an hour before it or more,
    /// or is beyond the newest [`WINDOW_SAMPLES_MAX`].
    ///
    /// One received before its predecessor means that the hub's clock went back. The place of such
    /// a metric among those already gone is not known, so there is no view until [`Ring::clear`].
    pub fn push(&mut self, reading: &ClockReading, cpu_usage_percent: f64) {
        let is_next = self.n_offsets > 0;
        if is_next && reading.received_at < self.last_at {
            self.is_ordered = false;
            return;
        }
        self.evict_until(reading.received_at.saturating_sub(SPAN));
        if self.len() == WINDOW_SAMPLES_MAX {
            self.evict_first();
        }
        let gap = self.gap_us(reading);
        if self.is_empty() {
            self.first_at = reading.received_at;
        } else {
            self.n_backlog_gaps += usize::from(gap < 0);
        }
        self.make_room();
        self.cpu_usage_percent.push(cpu_usage_percent);
        self.gaps_us.push(gap);
        self.n_not_finite += usize::from(!cpu_usage_percent.is_finite());
        self.last_at = reading.received_at;
        self.is_last_spooled = reading.is_spooled;
        self.push_offset(offset_ms(reading));
    }

    /// Forgets everything, before a ring is filled from the store.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Lets go what lies outside (now − 1 h, now] and borrows the rest.
    ///
    /// `None` when a metric came out of order or after `now`: the hub's clock went back.
    pub fn view(&mut self, now: Timestamp) -> Option<View<'_>> {
        if !self.is_ordered || self.last_at > now {
            return None;
        }
        self.evict_until(now.saturating_sub(SPAN));
        let used = self.start..;
        let gaps_us = self.gaps_us.get(used.clone()).unwrap_or_default();
        Some(View {
            cpu_usage_percent: self.cpu_usage_percent.get(used).unwrap_or_default(),
            n_not_finite: self.n_not_finite,
            gaps_us: gaps_us.get(1..).unwrap_or_default(),
            n_backlog_gaps: self.n_backlog_gaps,
            span_us: self.last_at.since(self.first_at).micros(),
            offsets_ms: self.offsets_ms.get(CLOCK_READINGS - self.n_offsets..)?,
        })
    }

    /// Returns how many metrics it holds.
    pub const fn len(&self) -> usize {
        self.cpu_usage_percent.len() - self.start
    }

    /// Tells whether it holds no metric.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how much memory it takes, in bytes.
    pub const fn n_bytes(&self) -> usize {
        size_of::<Self>()
            + self.cpu_usage_percent.capacity() * size_of::<f64>()
            + self.gaps_us.capacity() * size_of::<i32>()
    }

    /// The gap before a metric. Less than an hour lies between the ends of a ring, so that at most
    /// one gap is too long for 32 bits (35 min); it is held at the limit and found from the others.
    fn gap_us(&self, reading: &ClockReading) -> i32 {
        let gap = reading.received_at.since(self.last_at).micros();
        let gap = i32::try_from(gap).unwrap_or(i32::MAX);
        if self.is_last_spooled || reading.is_spooled {
            !gap
        } else {
            gap
        }
    }

    fn evict_until(&mut self, until: Timestamp) {
        while !self.is_empty() && self.first_at <= until {
            self.evict_first();
        }
    }

    fn evict_first(&mut self) {
        let first = self.cpu_usage_percent.get(self.start);
        self.n_not_finite -= usize::from(first.is_some_and(|value| !value.is_finite()));
        self.start += 1;
        if let Some(gap) = self.gaps_us.get(self.start) {
            self.n_backlog_gaps -= usize::from(*gap < 0);
            self.first_at = match magnitude(*gap) {
                i32::MAX => self.first_from_last(),
                us => self.first_at.saturating_add(Span::from_micros(us.into())),
            };
        }
    }

    /// When the first metric arrived, from the last and the gaps between.
    fn first_from_last(&self) -> Timestamp {
        let between = self.gaps_us.get(self.start + 1..).unwrap_or_default();
        let us = between.iter().map(|gap| i64::from(magnitude(*gap))).sum();
        self.last_at.saturating_sub(Span::from_micros(us))
    }

    /// Moves the columns to the front when they are full, or lengthens them by a fixed step, so
    /// that a million agents waste little.
    fn make_room(&mut self) {
        if self.gaps_us.len()
            < self
                .gaps_us
                .capacity()
                .min(self.cpu_usage_percent.capacity())
        {
            return;
        }
        if self.start > 0 {
            self.cpu_usage_percent.drain(..self.start);
            self.gaps_us.drain(..self.start);
            self.start = 0;
        }
        // At least a sixteenth is free, so that moving costs each push sixteen metrics at most.
        let n_free = STEP.max(self.len() / 16);
        if self.gaps_us.capacity() - self.len() < n_free {
            self.cpu_usage_percent.reserve_exact(n_free);
            self.gaps_us.reserve_exact(n_free);
        }
    }

    fn push_offset(&mut self, offset_ms: i64) {
        self.offsets_ms.rotate_left(1);
        if let Some(newest) = self.offsets_ms.last_mut() {
            *newest = offset_ms;
        }
        self.n_offsets = CLOCK_READINGS.min(self.n_offsets + 1);
    }
}

impl View<'_> {
    fn flat_metrics(&self, config: &Config) -> Outcome {
        let n_finite = self.cpu_usage_percent.len() - self.n_not_finite;
        let threshold = config.flat_deviation_min;
        if n_finite < config.flat_samples_min {
            return Outcome::Insufficient;
        }
        if is_spread_over(self.cpu_usage_percent, threshold) {
            return Outcome::Pass;
        }
        match finite_deviation(self.cpu_usage_percent) {
            None => Outcome::Insufficient,
            Some(deviation) if deviation < threshold => Outcome::Fail,
            Some(_) => Outcome::Pass,
        }
    }

    fn cadence_anomaly(&self, config: &Config) -> Outcome {
        let n_live = self.gaps_us.len() - self.n_backlog_gaps;
        if n_live < config.cadence_gaps_min {
            return Outcome::Insufficient;
        }
        let (low, high) = (
            config.cadence_gap_low.micros(),
            config.cadence_gap_high.micros(),
        );
        if is_mostly_within(self.gaps_us, n_live, low, high) {
            return Outcome::Pass;
        }
        match Counts::of(self.live_gaps_us(), low, high).place(self.live_gaps_us()) {
            Place::Within => Outcome::Pass,
            Place::Below | Place::Above => Outcome::Fail,
        }
    }

    /// The gaps between metrics that neither came from a backlog.
    fn live_gaps_us(&self) -> impl Iterator<Item = i64> + Clone {
        let live = self.gaps_us.iter().filter(|gap| **gap >= 0);
        live.map(|gap| match *gap {
            i32::MAX => self.long_gap_us(),
            us => i64::from(us),
        })
    }

    /// The one gap that may not fit, from the whole and the others.
    fn long_gap_us(&self) -> i64 {
        let held = self.gaps_us.iter().map(|gap| i64::from(magnitude(*gap)));
        self.span_us - held.sum::<i64>() + i64::from(i32::MAX)
    }

    fn clock_drift(&self, config: &Config) -> Outcome {
        let need = config.clock_readings;
        let older = self.offsets_ms.len().checked_sub(need);
        let Some(newest) = older.and_then(|older| self.offsets_ms.get(older..)) else {
            return Outcome::Insufficient;
        };
        // Twenty distances of ten thousand years are 6e15 ms, far inside 64 bits.
        let sum: i64 = newest.iter().map(|ms| ms.saturating_abs()).sum();
        let need = i64::try_from(need).unwrap_or(i64::MAX);
        if sum > config.clock_drift_ms_max.saturating_mul(need) {
            Outcome::Fail
        } else {
            Outcome::Pass
        }
    }
}

/// Tells whether more than half of `n_live` gaps lie between two bounds, and with them the median;
/// false says nothing. Stops at the block that proves it, about the middle of honest data.
#[inline]
fn is_mostly_within(gaps_us: &[i32], n_live: usize, low: i64, high: i64) -> bool {
    // A complement is negative and a gap held at the limit is above any such bound.
    let (Ok(low), Ok(high)) = (i32::try_from(low), i32::try_from(high)) else {
        return false;
    };
    if low < 0 || high < low || high == i32::MAX {
        return false;
    }
    // One signed comparison for both bounds: low is moved to the least number there is.
    let (shift, top) = (i32::MIN.wrapping_sub(low), i32::MIN + (high - low));
    let mut n_within = 0_usize;
    let (blocks, rest) = gaps_us.as_chunks::<BLOCK>();
    for block in blocks.iter().map(<[i32; BLOCK]>::as_slice).chain([rest]) {
        let within = block
            .iter()
            .map(|gap| i32::from(gap.wrapping_add(shift) <= top));
        n_within += usize::try_from(within.sum::<i32>()).unwrap_or_default();
        if n_within > n_live - n_within.min(n_live) {
            return true;
        }
    }
    false
}

const fn magnitude(gap_us: i32) -> i32 {
    if gap_us < 0 { !gap_us } else { gap_us }
}

/// Metrics by which a ring grows: 240 of an hour fit in 256.
const STEP: usize = 16;
/// Gaps that are counted before the count is looked at.
const BLOCK: usize = 64;
