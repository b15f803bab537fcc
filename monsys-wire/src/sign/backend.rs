//! The doors for other implementations of Ed25519: a faster library, a validated one, a key that
//! never leaves its device.
//!
//! [`SigningKey`] and [`VerifyingKey`] implement both traits and are used unless the caller passes
//! something else; there is no provider to install and none to forget. Keys are still parsed and
//! judged by [`VerifyingKey`] when they are pinned, whoever verifies later.
//!
//! # What an implementation promises
//! - It works on [`Message::as_bytes`] as they are, by RFC 8032 without a prehash or a context.
//! - It accepts the `verify_strict` set and nothing else: S below the order, R canonical and not of
//!   small order, the equation without the cofactor. Another set is another protocol: what one hub
//!   accepts, the next one refuses, and the owner of a key can disown what it signed.
//! - Signing takes the same time for every message of a length. Verifying need not: all it works
//!   on is public.
//! - It prints no secret, in `Debug` or in an error.
//!
//! [`conformance`](super::conformance) checks the second promise; run it in a test. Libraries that
//! follow RFC 8032 to the letter, ring among them, lack only the check of R when keys were judged
//! at pinning: then [`Signature::has_weak_r`] is what is missing. Those that multiply by the
//! cofactor, or verify in batches, cannot be made strict from outside.
//!
//! Cost: one call through a table a payload, which is nothing beside a signature.
//!
//! ```
//! use monsys_wire::sign::{Message, Mismatch, Signature, Verify, conformance};
//! use ring::signature::{ED25519, UnparsedPublicKey};
//!
//! struct RingKey(UnparsedPublicKey<[u8; 32]>);
//!
//! impl Verify for RingKey {
//!     fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch> {
//!         let signed = self.0.verify(message.as_bytes(), &signature.to_bytes());
//!         // ring takes any R that fits.
//!         if signature.has_weak_r() { Err(Mismatch) } else { signed.map_err(|_| Mismatch) }
//!     }
//! }
//!
//! let open = |key: &_| RingKey(UnparsedPublicKey::new(&ED25519, monsys_wire::VerifyingKey::to_bytes(key)));
//! assert_eq!(conformance::verifier(open), Ok(()));
//! ```

use core::convert::Infallible;

use super::{Message, Mismatch, Signature, SigningKey, VerifyingKey};

/// Verifies signatures under one pinned key.
///
/// The module page says what an implementation promises. Shared between threads, since a hub checks
/// in many.
pub trait Verify: Send + Sync {
    /// Verifies a signature with the strict set of checks.
    ///
    /// # Errors
    /// [`Mismatch`] whatever is wrong: with the signature, the key, or the implementation.
    fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch>;
}

/// Signs with one key, which may lie where it can fail to answer.
///
/// The module page says what an implementation promises.
pub trait Sign {
    /// Why no signature was made; [`Infallible`] for a key in memory.
    type Error;

    /// Signs a message.
    ///
    /// # Errors
    /// Those of the place where the key lies.
    fn sign(&self, message: &Message) -> Result<Signature, Self::Error>;

    /// The public half, which the implementation has read before.
    fn verifying_key(&self) -> VerifyingKey;
}

impl Verify for VerifyingKey {
    fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch> {
        self.verify(message, signature)
    }
}

impl Sign for SigningKey {
    type Error = Infallible;

    fn sign(&self, message: &Message) -> Result<Signature, Infallible> {
        Ok(self.sign(message))
    }

    fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key()
    }
}
