//! One metric point of one machine.
//!
//! What: the members of a `metrics` payload (contract §2) as checked values; no number in here is
//! infinite or not a number. What not: names of members in JSON, and whether a value is plausible;
//! that is the detectors' question. Cost: the size of its members.

use alloc::vec::Vec;

use thiserror::Error;

use crate::limit;
use crate::text::ShortText;

/// A floating-point number that is neither infinite nor NaN.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Finite(f64);

/// Processor use of the whole machine in percent points, 0 to 100, unrounded.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CpuPercent(f64);

/// Says why a number is no measured value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Infinite or NaN.
    #[error("expected a finite number")]
    NotFinite,
    /// Outside 0 to 100 percent points.
    #[error("expected percent points from 0 to 100")]
    PercentRange,
    /// Below zero, or beyond the integers that JSON keeps exactly.
    #[error("expected an integer from 0 to 9007199254740991")]
    CountRange,
    /// No core, or more than any machine has.
    #[error("expected 1 to 65536 cores")]
    CoresRange,
    /// A negative load or uptime.
    #[error("expected a number that is not negative")]
    Negative,
}

impl Finite {
    /// Takes a number.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] for infinities and NaN.
    pub const fn new(value: f64) -> Result<Self, SampleError> {
        if value.is_finite() {
            Ok(Self(value))
        } else {
            Err(SampleError::NotFinite)
        }
    }

    /// Takes a number that must not be negative.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`], or [`SampleError::Negative`] below zero.
    pub fn non_negative(value: f64) -> Result<Self, SampleError> {
        let finite = Self::new(value)?;
        if value < 0.0 {
            Err(SampleError::Negative)
        } else {
            Ok(finite)
        }
    }

    /// Returns the number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl CpuPercent {
    /// Takes percent points.
    ///
    /// # Errors
    /// [`SampleError::NotFinite`] for infinities and NaN, [`SampleError::PercentRange`] outside 0
    /// to 100.
    pub fn new(value: f64) -> Result<Self, SampleError> {
        let finite = Finite::new(value)?;
        if (0.0..=100.0).contains(&value) {
            Ok(Self(finite.get()))
        } else {
            Err(SampleError::PercentRange)
        }
    }

    /// Returns percent points.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A counter or size: 0 to 2^53 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(i64);

impl Count {
    /// Takes an integer.
    ///
    /// # Errors
    /// [`SampleError::CountRange`] below zero or above 2^53 − 1.
    pub const fn new(value: i64) -> Result<Self, SampleError> {
        if value < 0 || value > limit::SAFE_INTEGER_MAX {
            return Err(SampleError::CountRange);
        }
        Ok(Self(value))
    }

    /// Returns the integer.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// How many processor cores a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores(i64);

impl Cores {
    /// Takes a number of cores.
    ///
    /// # Errors
    /// [`SampleError::CoresRange`] outside 1 to 65,536.
    pub const fn new(value: i64) -> Result<Self, SampleError> {
        if value < 1 || value > limit::CPU_CORES_MAX {
            return Err(SampleError::CoresRange);
        }
        Ok(Self(value))
    }

    /// Returns the number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted, sanitised.
    pub mount: ShortText,
    /// Its size in bytes.
    pub total_bytes: Count,
    /// What is used of it, in bytes.
    pub used_bytes: Count,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name, sanitised.
    pub interface: ShortText,
    /// Bytes received since it came up.
    pub rx_bytes: Count,
    /// Bytes sent since it came up.
    pub tx_bytes: Count,
}

/// What an agent measured at one moment; `None` is "unknown", never zero.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// Processor use of the whole machine.
    pub cpu_usage_percent: CpuPercent,
    /// Number of processor cores.
    pub cpu_cores: Option<Cores>,
    /// Load average over 1 minute.
    pub load1: Option<Finite>,
    /// Load average over 5 minutes.
    pub load5: Option<Finite>,
    /// Load average over 15 minutes.
    pub load15: Option<Finite>,
    /// Memory size in bytes.
    pub mem_total_bytes: Option<Count>,
    /// Memory in use, in bytes.
    pub mem_used_bytes: Option<Count>,
    /// Swap size in bytes.
    pub swap_total_bytes: Option<Count>,
    /// Swap in use, in bytes.
    pub swap_used_bytes: Option<Count>,
    /// Seconds since the machine started.
    pub uptime_seconds: Option<Finite>,
    /// Mounted file systems; `None` when unknown.
    pub disks: Option<Vec<Disk>>,
    /// Network interfaces; `None` when unknown.
    pub networks: Option<Vec<Network>>,
}

impl MetricSample {
    /// Makes a sample in which only the processor use is known.
    pub const fn of_cpu(cpu_usage_percent: CpuPercent) -> Self {
        Self {
            cpu_usage_percent,
            cpu_cores: None,
            load1: None,
            load5: None,
            load15: None,
            mem_total_bytes: None,
            mem_used_bytes: None,
            swap_total_bytes: None,
            swap_used_bytes: None,
            uptime_seconds: None,
            disks: None,
            networks: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_percent_points_are_taken() {
        for good in [0.0, -0.0, 4.20, 100.0] {
            assert!(CpuPercent::new(good).is_ok(), "{good}");
        }
        for bad in [-0.1, 100.000_001, 1e300] {
            assert_eq!(
                CpuPercent::new(bad),
                Err(SampleError::PercentRange),
                "{bad}"
            );
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(CpuPercent::new(bad), Err(SampleError::NotFinite), "{bad}");
        }
    }

    #[test]
    fn counts_are_what_json_keeps_exactly() {
        assert!(Count::new(limit::SAFE_INTEGER_MAX).is_ok());
        assert_eq!(
            Count::new(limit::SAFE_INTEGER_MAX + 1),
            Err(SampleError::CountRange)
        );
        assert_eq!(Count::new(-1), Err(SampleError::CountRange));
    }
}
