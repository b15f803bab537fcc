//! What a cycle knows of one agent: dense columns, read once.
//!
//! What: the rows a store reads for the detectors, in receive order. What not: any verdict. Cost:
//! for an honest agent 240 entries per column and hour.

use alloc::string::String;
use alloc::vec::Vec;

use crate::anomaly::OpenAnomaly;
use crate::id::AgentId;
use crate::time::Timestamp;

/// A version as three numbers; what follows them is not compared (integrity document,
/// Limitations).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionTriple {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
}

impl VersionTriple {
    /// Writes the triple so that text order is version order: three 20-digit numbers.
    pub fn to_sort_key(self) -> String {
        alloc::format!("{:020}.{:020}.{:020}", self.major, self.minor, self.patch)
    }
}

/// When one metrics payload was measured, sent and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Device clock when the value was measured.
    pub captured_at: Timestamp,
    /// Device clock at the attempt that arrived.
    pub sent_at: Timestamp,
    /// Hub clock when it arrived.
    pub received_at: Timestamp,
    /// Whether it came from a backlog that the hub knew of.
    pub is_spooled: bool,
}

/// The metrics of one agent received in a window, one column per member, in receive order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricWindow {
    /// Hub clock when each arrived.
    pub received_at: Vec<Timestamp>,
    /// Processor use in percent points.
    pub cpu_usage_percent: Vec<f64>,
    /// Whether each came from a backlog that the hub knew of.
    pub is_spooled: Vec<bool>,
}

/// What the agent says its version is, and the highest it ever said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// The version of the verified payload at the highest position, as sent.
    pub current: Option<String>,
    /// The highest version of any verified payload, as sent.
    pub highest: Option<String>,
}

/// All a cycle knows of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentFacts {
    /// Which agent.
    pub agent: AgentId,
    /// Metrics received in (now − 1 h, now].
    pub window: MetricWindow,
    /// The newest 20 metrics in receive order, however old.
    pub clock: Vec<ClockReading>,
    /// Versions from verified payloads.
    pub version: VersionFacts,
    /// When the last verified payload arrived.
    pub last_verified_at: Option<Timestamp>,
    /// Its open anomalies.
    pub open: Vec<OpenAnomaly>,
}
