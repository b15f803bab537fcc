//! The metrics of one agent in memory, fed at ingest and judged without a copy.
//!
//! What: a [`Ring`] holds, of each metric received in the hour before the newest one, the processor
//! use and the gap to the one before, and of the newest 20 the offset of the device clock.
//! [`Ring::view`] cuts it to (now − 1 h, now] and lends the very columns that
//! [`MetricWindow`](monsys_core::facts::MetricWindow) and
//! [`ClockFacts`](monsys_core::facts::ClockFacts) make of the same rows, so that one set of
//! detectors judges both.
//!
//! What not: any verdict. A ring that cannot know what a store would answer, because the hub's
//! clock went back, gives no view at all; it is then filled anew.
//!
//! Cost: 12 bytes a metric, 3.4 kB for an honest agent. A push allocates only while the ring
//! grows, a view never.
//!
//! ```
//! use monsys_core::facts::ClockReading;
//! use monsys_core::time::{Span, Timestamp};
//! use monsys_integrity::ring::Ring;
//!
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let mut ring = Ring::new();
//! for ago_s in (0..241).rev().map(|n| n * 15) {
//!     let at = now.saturating_sub(Span::from_secs(ago_s));
//!     let reading =
//!         ClockReading { captured_at: at, sent_at: at, received_at: at, is_spooled: false };
//!     ring.push(&reading, 4.20);
//! }
//! let view = ring.view(now).expect("times in order");
//! assert_eq!(view.window.cpu_usage_percent, [4.20; 240]); // the first is an hour old
//! assert_eq!(view.clock.offsets_ms, [0; 20]);
//! # Ok::<(), monsys_core::time::TimeError>(())
//! ```

use alloc::vec::Vec;

use monsys_core::facts::{
    Arrivals, ClockReading, ClockView, GapCount, WindowBounds, WindowView, gap_us,
};
use monsys_core::limit::WINDOW_SAMPLES_MAX;
use monsys_core::time::{Span, Timestamp};

/// How many of the newest clock readings a ring keeps: as many as a store hands in.
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
    /// Of the gaps after the first metric.
    gap_count: GapCount,
    /// The last of the processor use again, the newest at the end, so that an honest agent is
    /// judged without a look at another place in memory.
    newest_cpu: [f64; NEWEST],
    offsets_ms: [i64; CLOCK_READINGS],
    /// Which of those came from a backlog, the newest in the lowest bit.
    spooled: u32,
    n_offsets: usize,
    first_at: Timestamp,
    last_at: Timestamp,
    /// What was received until then has left for its age; an earlier hour would hold some of it.
    aged_until: Timestamp,
    is_last_spooled: bool,
    is_ordered: bool,
}

/// What a ring holds of one window, as the detectors read it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View<'a> {
    /// Metrics received in (now − 1 h, now].
    pub window: WindowView<'a>,
    /// The newest 20 readings of the device clock, however old.
    pub clock: ClockView<'a>,
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

impl Ring {
    /// Makes an empty ring, which counts the gaps between the bounds of the integrity document, so
    /// that the cadence of an honest agent is decided without reading them.
    pub const fn new() -> Self {
        Self {
            cpu_usage_percent: Vec::new(),
            gaps_us: Vec::new(),
            start: 0,
            n_not_finite: 0,
            gap_count: GapCount {
                low_us: 7_000_000,
                high_us: 23_000_000,
                n_within: 0,
            },
            newest_cpu: [0.0; NEWEST],
            offsets_ms: [0; CLOCK_READINGS],
            spooled: 0,
            n_offsets: 0,
            first_at: Timestamp::MIN,
            last_at: Timestamp::MIN,
            aged_until: Timestamp::MIN,
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
        self.evict_outside(WindowBounds::hour_before(reading.received_at));
        if self.len() == WINDOW_SAMPLES_MAX {
            self.evict_first();
        }
        let gap = reading.received_at.since(self.last_at);
        let gap = gap_us(gap, self.is_last_spooled || reading.is_spooled);
        if self.is_empty() {
            self.first_at = reading.received_at;
        } else {
            self.gap_count.n_within += usize::from(self.gap_count.is_within(gap));
        }
        self.make_room();
        self.cpu_usage_percent.push(cpu_usage_percent);
        self.gaps_us.push(gap);
        self.n_not_finite += usize::from(!cpu_usage_percent.is_finite());
        self.last_at = reading.received_at;
        self.is_last_spooled = reading.is_spooled;
        push_newest(&mut self.newest_cpu, cpu_usage_percent);
        push_newest(&mut self.offsets_ms, reading.offset_ms());
        self.spooled = (self.spooled << 1 | u32::from(reading.is_spooled)) & SPOOLED_KEPT;
        self.n_offsets = CLOCK_READINGS.min(self.n_offsets + 1);
    }

    /// Forgets everything, before a ring is filled from the store.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Lets go what lies outside (now − 1 h, now] and borrows the rest.
    ///
    /// `None` when a metric came out of order or after `now`, or what the hour before `now` holds was
    /// let go for a later one: the hub's clock went back. An agent of which nothing is left gives its
    /// memory back.
    pub fn view(&mut self, now: Timestamp) -> Option<View<'_>> {
        let bounds = WindowBounds::hour_before(now);
        if !self.is_ordered || self.last_at > now || bounds.from < self.aged_until {
            return None;
        }
        self.evict_outside(bounds);
        if self.is_empty() && self.start > 0 {
            (self.cpu_usage_percent, self.gaps_us) = (Vec::new(), Vec::new());
            self.start = 0;
        }
        let arrivals = (!self.is_empty()).then_some(Arrivals {
            first: self.first_at,
            last: self.last_at,
        });
        let window = WindowView {
            bounds,
            arrivals,
            cpu_usage_percent: self.cpu_usage_percent.get(self.start..)?,
            newest_cpu: self
                .newest_cpu
                .get(NEWEST - NEWEST.min(self.len())..)
                .unwrap_or_default(),
            gaps_us: self.gaps_us.get(self.start + 1..).unwrap_or_default(),
            gap_count: Some(self.gap_count),
            n_not_finite: self.n_not_finite,
        };
        let clock = ClockView {
            offsets_ms: self.offsets_ms.get(CLOCK_READINGS - self.n_offsets..)?,
            n_spooled: usize::try_from(self.spooled.count_ones()).ok()?,
        };
        Some(View { window, clock })
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

    fn evict_outside(&mut self, bounds: WindowBounds) {
        while !self.is_empty() && self.first_at <= bounds.from {
            self.aged_until = bounds.from;
            self.evict_first();
        }
    }

    fn evict_first(&mut self) {
        let first = self.cpu_usage_percent.get(self.start);
        self.n_not_finite -= usize::from(first.is_some_and(|value| !value.is_finite()));
        self.start += 1;
        if let Some(gap) = self.gaps_us.get(self.start) {
            self.gap_count.n_within -= usize::from(self.gap_count.is_within(*gap));
            self.first_at = match magnitude(*gap) {
                i32::MAX => self.first_from_last(),
                us => self.first_at.saturating_add(Span::from_micros(us.into())),
            };
        }
    }

    /// When the first metric arrived, from the last and the gaps between. Less than an hour lies
    /// between the ends of a ring, so that at most one gap is held at the limit; it was let go.
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
}

/// Lets the oldest go and adds one at the end.
fn push_newest<T: Copy, const N: usize>(newest: &mut [T; N], value: T) {
    newest.rotate_left(1);
    if let Some(last) = newest.last_mut() {
        *last = value;
    }
}

const fn magnitude(gap_us: i32) -> i32 {
    if gap_us < 0 { !gap_us } else { gap_us }
}

/// How many of the newest values lie near at hand: of honest data eight prove that it moves.
const NEWEST: usize = 8;
/// One bit for each reading that is kept.
const SPOOLED_KEPT: u32 = (1 << CLOCK_READINGS) - 1;
/// Metrics by which a ring grows: 240 of an hour fit in 256.
const STEP: usize = 16;
