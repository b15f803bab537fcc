//! The machine an agent runs on: its clock and its load.

use crate::SECOND;
use crate::draw::Draw;

/// A device clock that is a little off and a little too fast or slow, set right every midnight.
#[derive(Debug, Clone)]
pub(crate) struct DeviceClock {
    offset_us: i64,
    drift_ppm: i64,
}

impl DeviceClock {
    /// Draws a clock within 1 s and 10 ppm: less than 2 s off at any time.
    pub(crate) fn new(draw: &mut Draw) -> Self {
        Self {
            offset_us: draw.between(-1_000_000, 1_000_000),
            drift_ppm: draw.between(-10, 11),
        }
    }

    /// What it shows at a time of the hub's clock.
    pub(crate) fn at(&self, us: i64) -> i64 {
        let since_midnight_s = us % (86_400 * SECOND) / SECOND;
        us + self.offset_us + since_midnight_s * self.drift_ppm
    }
}

/// Processor use of a real machine: it wanders around a level, each value near the one before, and
/// is not rounded.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    level: f64,
    spread: f64,
    value: f64,
}

impl Load {
    /// Draws a machine, from nearly idle to busy.
    pub(crate) fn new(draw: &mut Draw) -> Self {
        let level = 1.0 + 60.0 * draw.unit() * draw.unit();
        Self {
            level,
            spread: 0.02 + 0.05 * level * draw.unit(),
            value: level,
        }
    }

    /// Moves on by one measurement.
    pub(crate) fn step(&mut self, draw: &mut Draw) -> f64 {
        let pull = 0.08 * (self.level - self.value);
        let moved = self.value + pull + self.spread * draw.around_zero();
        // Neither end of the scale holds it: a real machine does not stand still there.
        self.value = if moved < 0.1 { 0.2 - moved } else { moved };
        if self.value > 98.0 {
            self.value = 196.0 - self.value;
        }
        self.value
    }
}
