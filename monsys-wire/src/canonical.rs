//! Canonical JSON: what is signed and hashed is the canonical form of a body (RFC 8785).
//!
//! The implementation lives in `monsys-core`, because the size and depth of a signal's value are
//! measured in the same form. See [`monsys_core::json`] for what is refused and what it costs.
//!
//! With the feature `serde` an agent that has its own types signs them without a text in between:
//! `to_canonical` writes what [`Message::ingest`](crate::sign::Message::ingest) takes.

pub use monsys_core::json::{
    Canonical, CanonicalText, Cursor, JsonCode, JsonError, Kind, Profile, Scratch, canonicalize,
    canonicalize_with, check, check_with, pointer_at,
};
#[cfg(feature = "serde")]
pub use monsys_core::json::{SerializeError, to_canonical};
