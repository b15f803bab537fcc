//! The vocabulary of monsys and its storage contract.
//!
//! Everything that two of the other crates need is here, once: identifiers, times, names, limits,
//! canonical JSON, samples, signals, anomalies, verdicts, stream positions, and the traits a store
//! implements. The crate is pure: no clock, no randomness, no input or output. It builds without
//! `std`; the `std` feature, on by default, adds the in-memory store.
//!
//! # What this crate does not know
//! How a payload is laid out on the wire, any SQL, any threshold of a detector, any score. It
//! knows canonical JSON as a form of text, because the size of a signal's value is measured in it.
//!
//! # Example
//! ```
//! use monsys_core::signal::{Signal, SignalDraft};
//! use monsys_core::time::Timestamp;
//!
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let draft = SignalDraft {
//!     source: "cert_scan".into(),
//!     subject_type: "endpoint".into(),
//!     subject_id: "shop.example:443".into(),
//!     key: "cert.expiry_days".into(),
//!     value: r#"{"value":12}"#.into(),
//!     severity: Some("medium".into()),
//!     observed_at: now,
//!     ttl_seconds: Some(86_400),
//! };
//! assert!(Signal::validate(&draft, now).is_ok());
//! let typo = SignalDraft { key: "cert".into(), ..draft };
//! assert_eq!(Signal::validate(&typo, now).unwrap_err().first().rule.as_str(), "signal_key_format");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod anomaly;
pub mod endpoint;
pub mod facts;
pub mod id;
pub mod json;
pub mod kind_set;
pub mod ledger;
pub mod limit;
pub mod manual;
pub mod name;
#[cfg(feature = "postgres")]
pub mod pg;
pub mod position;
pub mod sample;
pub mod severity;
pub mod signal;
pub mod store;
pub mod text;
pub mod time;
pub mod verdict;

// The public interface is
pub use anomaly::{Anomaly, AnomalyKind};
pub use id::{AgentId, TenantId};
pub use severity::Severity;
pub use signal::{Signal, SignalDraft};
pub use time::Timestamp;
pub use verdict::Verdict;
