//! The ledger: what happened to anomalies, one entry after the other, chained by hash.
//!
//! What: the entry of each change, the hash that binds it to the one before, and the
//! [`Verifier`] that finds the first entry or anomaly which is not what was written. What not:
//! storing entries, which a store does in the transaction of the change itself, and proving that
//! nothing was cut off at the end: for that a [`LedgerHead`] must be kept elsewhere and compared.
//!
//! The hash of an entry is SHA-256 over the ASCII bytes `monsys-ledger-v1\n` and the canonical form
//! (RFC 8785) of `{"actor","anomaly","at","data","kind","prev","seq","tenant","v":1}`, `prev` being
//! the hash of the entry before in lower-case hexadecimal, 64 zeros before the first. There is one
//! chain per tenant, numbered from 1 without a gap. The entry that opens an anomaly holds the
//! digest of what is frozen of it ([`frozen_digest`]), so that a changed row shows too.
//!
//! Cost: one canonical form and one or two blocks of SHA-256 an entry; the verifier keeps about 150
//! bytes per anomaly.

mod entry;
mod verifier;

// The public interface is
pub use entry::{
    Digest32, EventDraft, EventKind, LedgerEntry, LedgerHead, frozen_digest, is_sampled,
};
pub use verifier::{Broken, Fault, Verifier};
