//! What is due at which tick.
//!
//! Metrics are due at every tick. A snapshot of the endpoint is due at the first tick and every five
//! minutes; signals too, and besides at any tick at which a look found another value than the last
//! one that was spooled. Looks are made every minute. What could not be spooled stays due. Pure: a
//! tick is a number on the grid of the cadence, also where ticks were slept through. What not:
//! measuring, clocks, the spool. Cost: a few comparisons.

use monsys_core::time::Span;

/// Knows what was spooled when, as ticks of one cadence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    look_ticks: u32,
    period_ticks: u32,
    looked: Option<u32>,
    signals: Option<u32>,
    endpoint: Option<u32>,
}

impl Schedule {
    /// Makes the schedule of a process that has spooled nothing yet.
    pub fn new(cadence: Span) -> Self {
        Self {
            look_ticks: ticks(LOOK_EVERY, cadence),
            period_ticks: ticks(PERIOD, cadence),
            looked: None,
            signals: None,
            endpoint: None,
        }
    }

    /// Notes a look at what signals tell.
    pub const fn note_look(&mut self, tick: u32) {
        self.looked = Some(tick);
    }

    /// Notes that signals are durable.
    pub const fn note_signals(&mut self, tick: u32) {
        self.signals = Some(tick);
    }

    /// Notes that a snapshot of the endpoint is durable.
    pub const fn note_endpoint(&mut self, tick: u32) {
        self.endpoint = Some(tick);
    }

    /// Tells whether to look at what signals tell; always when they are due anyway.
    pub const fn is_look_due(&self, tick: u32) -> bool {
        is_due(self.looked, self.look_ticks, tick) || is_due(self.signals, self.period_ticks, tick)
    }

    /// Tells whether signals are due, whatever they tell.
    pub const fn are_signals_due(&self, tick: u32) -> bool {
        is_due(self.signals, self.period_ticks, tick)
    }

    /// Tells whether a snapshot of the endpoint is due.
    pub const fn is_endpoint_due(&self, tick: u32) -> bool {
        is_due(self.endpoint, self.period_ticks, tick)
    }
}

const fn is_due(last: Option<u32>, period: u32, tick: u32) -> bool {
    match last {
        Some(last) => tick.saturating_sub(last) >= period,
        None => true,
    }
}

fn ticks(period: Span, cadence: Span) -> u32 {
    let n_ticks = period.micros() / cadence.micros().max(1);
    u32::try_from(n_ticks).unwrap_or(u32::MAX).max(1)
}

/// How old a snapshot or a signal may become before the next one follows.
const PERIOD: Span = Span::from_secs(300);
/// How long a changed value may go unseen.
const LOOK_EVERY: Span = Span::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks at which something is spooled, of those that are given.
    fn spooled(ticks: impl Iterator<Item = u32>, changes: &[u32]) -> [Vec<u32>; 3] {
        let mut schedule = Schedule::new(Span::from_secs(15));
        let mut found: [Vec<u32>; 3] = Default::default();
        for tick in ticks {
            if schedule.is_look_due(tick) {
                schedule.note_look(tick);
                found[0].push(tick);
                if schedule.are_signals_due(tick) || changes.contains(&tick) {
                    schedule.note_signals(tick);
                    found[1].push(tick);
                }
            }
            if schedule.is_endpoint_due(tick) {
                schedule.note_endpoint(tick);
                found[2].push(tick);
            }
        }
        found
    }

    #[test]
    fn the_first_tick_spools_everything_and_then_every_five_minutes() {
        let [looks, signals, endpoint] = spooled(0..=60, &[]);
        assert_eq!(looks, (0..=60).step_by(4).collect::<Vec<u32>>());
        assert_eq!(signals, [0, 20, 40, 60]);
        assert_eq!(endpoint, [0, 20, 40, 60]);
    }

    #[test]
    fn a_changed_value_is_spooled_at_the_next_look_and_the_period_starts_over() {
        let [_, signals, endpoint] = spooled(0..=40, &[7, 8]);
        assert_eq!(signals, [0, 8, 28]);
        assert_eq!(endpoint, [0, 20, 40]);
    }

    #[test]
    fn ticks_that_were_slept_through_make_it_due_once() {
        let [_, signals, endpoint] = spooled([0, 1, 500, 501, 502].into_iter(), &[]);
        assert_eq!((signals, endpoint), (vec![0, 500], vec![0, 500]));
    }

    #[test]
    fn what_could_not_be_spooled_stays_due() {
        let mut schedule = Schedule::new(Span::from_secs(15));
        schedule.note_look(0);
        assert!(schedule.are_signals_due(1) && schedule.is_endpoint_due(1));
        assert!(schedule.is_look_due(1), "no signals without a look");
        schedule.note_signals(1);
        assert!(!schedule.are_signals_due(2) && schedule.is_endpoint_due(2));
    }

    #[test]
    fn a_cadence_longer_than_the_period_spools_at_every_tick() {
        let schedule = Schedule::new(Span::from_secs(3_600));
        assert_eq!((schedule.look_ticks, schedule.period_ticks), (1, 1));
        let schedule = Schedule::new(Span::from_micros(0));
        assert_eq!(schedule.period_ticks, 300_000_000);
    }
}
