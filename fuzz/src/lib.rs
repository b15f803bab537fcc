//! What must hold for any bytes whatever, as plain functions.
//!
//! The fuzz targets call them with mutated bytes, and a test of the wire crate with each file of
//! the committed corpora, so that a finding stays found on stable. One file of bodies for each
//! subject; run a target with `cargo +nightly fuzz run --features libfuzzer canonicalize`.

mod canonical;
mod envelope;
mod headers;
mod schemas;
mod spool;
mod verdict;

// The targets are
pub use canonical::{canonicalize, check};
pub use envelope::{envelope_ed25519, envelope_hmac};
pub use headers::headers;
pub use schemas::schemas;
pub use spool::spool;
