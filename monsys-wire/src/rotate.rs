//! Changing keys: an agent goes from its pinned key to another, and proves that it has both.
//!
//! The new key is out of reach until both proofs are checked: [`RotateRequest::verify`] is the only
//! way to it. Which key is pinned is the store's answer; a request made for another one is refused,
//! because the pinned one did not sign it.
//!
//! ```
//! use monsys_core::id::AgentId;
//! use monsys_wire::rotate::RotateRequest;
//! use monsys_wire::{Audience, SigningKey};
//!
//! let (old, new) = (SigningKey::from_secret_bytes([1; 32]), SigningKey::from_secret_bytes([2; 32]));
//! let hub = Audience::parse("hub-1").unwrap();
//! let agent = AgentId::from_bytes([3; 16]);
//! let body = RotateRequest::compose(&old, &new, &hub, agent);
//! let request = RotateRequest::parse(body.as_bytes()).unwrap();
//! assert_eq!(request.verify(&hub, agent, &old.verifying_key()).unwrap(), new.verifying_key());
//! // Made by somebody who has not got the pinned key.
//! let body = RotateRequest::compose(&new, &new, &hub, agent);
//! let request = RotateRequest::parse(body.as_bytes()).unwrap();
//! assert!(request.verify(&hub, agent, &old.verifying_key()).is_err());
//! ```

use alloc::string::String;

use monsys_core::id::AgentId;
use monsys_core::json::{self, Cursor, ObjectText};

use crate::audience::Audience;
use crate::envelope::malformed;
use crate::pin::{KEY_BYTES_MAX, read_key, read_signature};
use crate::reject::{Reject, SignatureFault};
use crate::schema::field;
use crate::sign::{Message, Sign, Signature, SigningKey, VerifyingKey};

/// The body of a request to change keys; nothing is proved yet.
#[derive(Debug, Clone)]
pub struct RotateRequest {
    new: VerifyingKey,
    by_old: Signature,
    by_new: Signature,
}

impl RotateRequest {
    /// Writes the body by which the owner of both keys asks to go from one to the other.
    #[must_use]
    pub fn compose(
        old: &SigningKey,
        new: &SigningKey,
        audience: &Audience,
        agent_id: AgentId,
    ) -> String {
        match Self::compose_with(old, new, audience, agent_id) {
            Ok(body) => body,
            Err(never) => match never {},
        }
    }

    /// Writes the same body with keys of another implementation.
    ///
    /// # Errors
    /// Those of the implementation.
    pub fn compose_with<S: Sign + ?Sized>(
        old: &S,
        new: &S,
        audience: &Audience,
        agent_id: AgentId,
    ) -> Result<String, S::Error> {
        let public = new.verifying_key();
        let message = Message::rotate(audience, agent_id, &old.verifying_key(), &public);
        let (by_old, by_new) = (old.sign(&message)?, new.sign(&message)?);
        Ok(ObjectText::new()
            .text("public_key", &alloc::format!("{public}"))
            .text("signature_new", &alloc::format!("{by_new}"))
            .text("signature_old", &alloc::format!("{by_old}"))
            .finish())
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Reject::TooLarge`], [`Reject::Malformed`], then per member [`Reject::UnknownField`],
    /// [`Reject::MissingField`], [`Reject::WrongType`], and [`Reject::OutOfRange`] for other forms
    /// and for keys that are weak, torsioned or not canonical.
    pub fn parse(body: &[u8]) -> Result<Self, Reject> {
        if body.len() > KEY_BYTES_MAX {
            return Err(Reject::TooLarge {
                body_bytes_max: KEY_BYTES_MAX,
            });
        }
        let mut scratch = json::Scratch::new();
        let canonical =
            json::canonicalize(body, &mut scratch).map_err(|error| malformed(error, body))?;
        let mut cursor = Cursor::new(canonical);
        field::enter_object(&mut cursor)?;
        let new = field::member(&mut cursor, "public_key", read_key)?;
        let by_new = field::member(&mut cursor, "signature_new", read_signature)?;
        let by_old = field::member(&mut cursor, "signature_old", read_signature)?;
        field::leave_object(&mut cursor)?;
        Ok(Self {
            new: field::required(&cursor, new, "public_key")?,
            by_new: field::required(&cursor, by_new, "signature_new")?,
            by_old: field::required(&cursor, by_old, "signature_old")?,
        })
    }

    /// Whether the request asks for this key.
    #[must_use]
    pub fn is_to(&self, key: &VerifyingKey) -> bool {
        self.new == *key
    }

    /// Checks that the sender has the secret halves of the pinned key and of the new one, and hands
    /// out the new one.
    ///
    /// # Errors
    /// [`Reject::BadSignature`] unless both keys signed the change from `old` at this hub, for this
    /// agent.
    pub fn verify(
        self,
        audience: &Audience,
        agent_id: AgentId,
        old: &VerifyingKey,
    ) -> Result<VerifyingKey, Reject> {
        let message = Message::rotate(audience, agent_id, old, &self.new);
        let is_of_old = old.verify(&message, &self.by_old).is_ok();
        if is_of_old && self.new.verify(&message, &self.by_new).is_ok() {
            Ok(self.new)
        } else {
            Err(Reject::BadSignature {
                reason: SignatureFault::Mismatch,
            })
        }
    }
}
