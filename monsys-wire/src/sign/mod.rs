//! Signatures, and the messages they are made of.
//!
//! The hmac profile shares a [`DeviceKey`] with each device instead; its MAC covers a [`Claim`] and
//! the canonical body, and is compared in constant time.
//!
//! Every message begins with the line that names its purpose, so that a signature made for one
//! purpose is worth nothing for another; its parts are joined by line feeds, which none of them can
//! contain. Verification is the `verify_strict` set of ed25519-dalek: canonical S and R, no point
//! of small order. There is no batch verification, because batches accept what strict refuses; see
//! [`VerifyingKey::verify`]. Another implementation takes the place of ours by [`Verify`] and
//! [`Sign`].
//!
//! ```
//! use monsys_wire::{SigningKey, VerifyingKey, sign::Message};
//!
//! let key = SigningKey::from_secret_bytes([1; 32]);
//! let message = Message::ingest(b"{}");
//! let signature = key.sign(&message);
//! assert!(key.verifying_key().verify(&message, &signature).is_ok());
//! assert!(VerifyingKey::parse_hex(&"0".repeat(64)).is_err()); // a point of small order
//! ```

mod backend;
pub mod conformance;
mod ed25519;
pub(crate) mod hmac;
mod message;
#[cfg(test)]
mod wycheproof_tests;

// The public interface is
pub use backend::{Sign, Verify};
pub use ed25519::{KeyError, Mismatch, Signature, SigningKey, VerifyingKey};
pub use hmac::{Claim, DeviceKey, Mac};
pub use message::Message;
