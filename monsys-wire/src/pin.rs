//! Pinning: an agent binds its key to its enrolment, once, and proves that it has the secret.
//!
//! The key is out of reach until the proof is checked: [`PinRequest::verify`] is the only way to
//! it. Whether pinning is still allowed, and whether another key is pinned, is the store's answer.

use alloc::string::String;

use monsys_core::id::AgentId;
use monsys_core::json::{self, Cursor, ObjectText};

use crate::audience::Audience;
use crate::envelope::malformed;
use crate::reject::{Reject, SignatureFault};
use crate::schema::field;
use crate::sign::{Message, Sign, Signature, SigningKey, VerifyingKey};

/// The body of a request to pin a key; nothing is proved yet.
#[derive(Debug, Clone)]
pub struct PinRequest {
    key: VerifyingKey,
    signature: Signature,
}

impl PinRequest {
    /// Writes the body by which the owner of `key` asks to pin it.
    #[must_use]
    pub fn compose(key: &SigningKey, audience: &Audience, agent_id: AgentId) -> String {
        match Self::compose_with(key, audience, agent_id) {
            Ok(body) => body,
            Err(never) => match never {},
        }
    }

    /// Writes the same body with a key of another implementation.
    ///
    /// # Errors
    /// Those of the implementation.
    pub fn compose_with<S: Sign + ?Sized>(
        signer: &S,
        audience: &Audience,
        agent_id: AgentId,
    ) -> Result<String, S::Error> {
        let public = signer.verifying_key();
        let signature = signer.sign(&Message::pin(audience, agent_id, &public))?;
        Ok(ObjectText::new()
            .text("public_key", &alloc::format!("{public}"))
            .text("signature", &alloc::format!("{signature}"))
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
        let key = field::member(&mut cursor, "public_key", read_key)?;
        let signature = field::member(&mut cursor, "signature", read_signature)?;
        field::leave_object(&mut cursor)?;
        Ok(Self {
            key: field::required(&cursor, key, "public_key")?,
            signature: field::required(&cursor, signature, "signature")?,
        })
    }

    /// Checks that the sender has the secret half, and hands out the key.
    ///
    /// # Errors
    /// [`Reject::BadSignature`] unless the key signed the pin message of this hub and agent.
    pub fn verify(self, audience: &Audience, agent_id: AgentId) -> Result<VerifyingKey, Reject> {
        let message = Message::pin(audience, agent_id, &self.key);
        match self.key.verify(&message, &self.signature) {
            Ok(()) => Ok(self.key),
            Err(_) => Err(Reject::BadSignature {
                reason: SignatureFault::Mismatch,
            }),
        }
    }
}

pub(crate) fn read_key(cursor: &mut Cursor<'_>) -> Result<VerifyingKey, Reject> {
    let text = field::text(cursor)?;
    let expected = "64 lower-case hexadecimal digits of a key of prime order";
    field::within(cursor, VerifyingKey::parse_hex(&text), expected)
}

pub(crate) fn read_signature(cursor: &mut Cursor<'_>) -> Result<Signature, Reject> {
    let text = field::text(cursor)?;
    let signature = Signature::parse_hex(text.as_bytes());
    field::within(
        cursor,
        signature.ok_or(()),
        "128 lower-case hexadecimal digits",
    )
}

/// Largest body of a request about keys: a key, two signatures and their names fit twice.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;
