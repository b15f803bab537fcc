//! Every threshold of the detectors, each with the document's value and its source.
//!
//! What: one struct that the caller makes with [`Config::standard`] and may change member by
//! member. What not: limits on input and how far back a window reaches; those stand in
//! `monsys_core::limit`, because the stores read by them. No value in here,
//! however odd, makes a detector panic.

use monsys_core::time::Span;

/// The thresholds of the detectors.
///
/// ```
/// let mut config = monsys_integrity::Config::standard();
/// config.clock_drift_ms_max = 60_000; // stricter than the document
/// assert_eq!(config.flat_samples_min, 30);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How often the cycle runs: 10 minutes (integrity document).
    pub cycle_interval: Span,
    /// How many of the newest metrics the clock is judged by, no fewer and no more: 20 (integrity
    /// document; decision 12).
    pub clock_readings: usize,
    /// Largest mean distance of the two clocks that passes, in milliseconds: 300,000 (integrity
    /// document: 5 min).
    pub clock_drift_ms_max: i64,
    /// Fewest gaps that say something about cadence: 20 (decision 16: with 19 gaps and 40 % packet
    /// loss an honest agent would fire in 21 % of runs).
    pub cadence_gaps_min: usize,
    /// Shortest median gap that passes: 7 s (integrity document).
    pub cadence_gap_low: Span,
    /// Longest median gap that passes: 23 s (integrity document).
    pub cadence_gap_high: Span,
    /// Fewest samples that say something about flatness: 30 (integrity document).
    pub flat_samples_min: usize,
    /// Smallest sample standard deviation that passes, in percent points: 0.001 (integrity
    /// document; 8 times below the smallest of genuine data).
    pub flat_deviation_min: f64,
    /// From here on every value of a flat window is called saturated, in percent points: 99.95. It
    /// names the shape of a finding and changes no verdict.
    pub saturated_percent_min: f64,
}

impl Config {
    /// Returns the values of the integrity document.
    pub const fn standard() -> Self {
        Self {
            cycle_interval: Span::from_secs(600),
            clock_readings: 20,
            clock_drift_ms_max: 300_000,
            cadence_gaps_min: 20,
            cadence_gap_low: Span::from_secs(7),
            cadence_gap_high: Span::from_secs(23),
            flat_samples_min: 30,
            flat_deviation_min: 0.001,
            saturated_percent_min: 99.95,
        }
    }
}
