//! The hub's own scanner: it looks at the certificates of configured endpoints.
//!
//! This folder is the shell: sockets, names, handshakes, a schedule. What a look means is decided
//! in `monsys_signals::scan`; what is found is written by the emitter like any other signal. A look
//! sends a greeting and no application data, ends as soon as the certificate and the proof of its
//! key are there, and is bounded in time, bytes and addresses. Nothing is redirected, and the
//! address that was checked is the address that is connected to, so that a name cannot lead the
//! hub into its own network.

mod address;
mod certificate;
mod config;
mod handshake;
mod lookup;
mod round;
mod schedule;

pub(crate) use self::config::{ScanChoices, ScanConfig, TargetEntry};
pub(crate) use self::round::{Look, Scanner, Watched, scan, watched};
pub(crate) use self::schedule::watch;
