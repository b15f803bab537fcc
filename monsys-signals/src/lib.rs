//! What signals mean: who may send which, and what each counts for.
//!
//! A signal is one row about a subject; its form is checked in `monsys_core` and checked only once.
//! This crate adds what an agent may claim ([`agent::admit`]), to which category of the trust score
//! a source belongs ([`catalog`]), what the looks of agents and of scanners mean ([`check`],
//! [`scan`]), and the readers of the one table of signals: [`trust`] scores a
//! subject and explains every point, [`correlate`] joins what hangs together, [`pareto`] orders
//! controls by what they bring. It is pure and builds without `std`.
//!
//! # What this crate does not know
//! Bytes on the wire, keys and signatures, SQL, and whether the agent that sent a signal is honest.
//!
//! # Example
//! ```
//! use monsys_core::{AgentId, Timestamp};
//! use monsys_signals::{SignalDraft, admit};
//!
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let caller = AgentId::from_bytes([7; 16]);
//! let draft = SignalDraft {
//!     source: "backup_check".into(),
//!     subject_type: "agent".into(),
//!     subject_id: "someone else".into(),
//!     key: "backup.age_hours".into(),
//!     value: r#"{"value":30}"#.into(),
//!     severity: Some("low".into()),
//!     observed_at: now,
//!     ttl_seconds: None,
//! };
//! let signals = admit(vec![draft], caller, now).unwrap();
//! assert_eq!(signals[0].subject_id().as_str(), caller.to_string());
//! # Ok::<(), monsys_core::time::TimeError>(())
//! ```
#![no_std]
#![warn(clippy::indexing_slicing, clippy::as_conversions)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod agent;
pub mod catalog;
pub mod check;
pub mod controls;
pub mod correlate;
mod current;
pub mod manual;
mod names;
pub mod pareto;
pub mod scan;
pub mod trust;
pub mod view;

// The public interface is
pub use agent::admit;
pub use catalog::{Catalog, Category, Decay, Place, category_of};
pub use controls::Controls;
pub use monsys_core::signal::{Rule, Signal, SignalDraft, Violation, Violations};
pub use monsys_core::store::{EmitError, Emitter};
pub use trust::{MilliPoints, TrustScore};
pub use view::{Grade, SignalView, Subject};
