//! Judges whether a monitoring agent is still honest, from what it sent.
//!
//! Six detectors look at the facts a store keeps of an agent and answer pass, fail or "not enough
//! to say" (integrity document). [`reconcile::reconcile`] runs all of them over a page of agents
//! and returns the steps a store then carries out: a finding is recorded, an anomaly whose check
//! passes again is resolved. Nothing goes to the agent, and nothing is asked of it.
//!
//! The crate is pure and builds without `std`: `now` is the last argument of what needs it, the
//! same facts give the same report, byte for byte, and no fact, however hostile, makes it panic.
//!
//! # What this crate does not know
//! HTTP, headers and keys (a signature arrives as a verdict of the wire crate), SQL, how a payload
//! was encoded, who is told of a finding, and what a finding costs in a trust score.
//!
//! # Example
//! ```
//! use monsys_core::facts::{AgentFacts, ClockFacts, MetricWindow, VersionFacts, WindowBounds};
//! use monsys_core::{AgentId, Timestamp};
//! use monsys_integrity::{Config, Cycle, reconcile, version::read};
//!
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let [current, highest] = ["0.1.9", "0.2.0"].map(|text| Some(read(text.into())));
//! let facts = AgentFacts {
//!     agent: AgentId::from_bytes([7; 16]),
//!     window: MetricWindow::empty(WindowBounds::hour_before(now)),
//!     clock: ClockFacts::default(),
//!     version: VersionFacts { current, highest },
//!     last_verified_at: None,
//!     open: vec![],
//! };
//! let cycle = Cycle { previous: None, now };
//! let report = reconcile(&[facts], &Config::standard(), cycle);
//! assert_eq!(report.transitions.len(), 1); // a downgrade; the empty window says nothing
//! # Ok::<(), monsys_core::time::TimeError>(())
//! ```
#![no_std]
#![warn(clippy::indexing_slicing, clippy::as_conversions)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
pub mod cycle;
pub mod detect;
pub mod deviation;
pub mod lifecycle;
pub mod median;
mod number;
pub mod reconcile;
pub mod ring;
pub mod signal;
pub mod stalled;
pub mod version;

#[cfg(test)]
mod fixture;

// The public interface is
pub use config::Config;
pub use cycle::Cycle;
pub use detect::{DETECTORS, Detector, run_all};
pub use reconcile::{DetectorError, Report, reconcile, reconcile_guarded};
pub use signal::{finding_signal, resolved_signal};
