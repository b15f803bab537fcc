//! The way of one payload: `Received → Authenticated → Fresh → Admitted`.
//!
//! Each step takes the former by value and answers with a [`Reject`]; the order of checks is that
//! of contract §3. Between `Received` and `authenticate` the caller looks up whose token it is;
//! after `Admitted` it decides, in its store, about the position.
//!
//! An attacker without a token learns nothing: only [`Reject::Unauthorized`] comes before the
//! look-up. One with a stolen token cannot reach the JSON reader while a key is pinned, unless a
//! well-formed signature came along.
//!
//! This file is the way of the ed25519 profile; [`hmac`] is that of devices, and joins it at
//! [`Fresh`].
//!
//! Cost: one look over the headers; a pass over the body to check or make its canonical form; one
//! signature (about 40 µs, which is nearly all of it); a walk over the members; one SHA-256.

use core::fmt;

use monsys_core::id::AgentId;
use monsys_core::json::{self, Canonical, JsonCode, JsonError};
use monsys_core::limit;
use monsys_core::name::AgentVersion;
use monsys_core::position::{ContentHash, Position, is_late};
use monsys_core::store::NonceDigest;
pub use monsys_core::store::{AuthProfile, SignatureStatus};
use monsys_core::time::Timestamp;

use crate::audience::Audience;
use crate::header::{RequestHeaders, SignatureHeader};
use crate::reject::{Reject, SignatureFault};
use crate::schema::{CleanedTexts, Head, Payload, Taken};
use crate::sign::{Message, Verify};

pub mod hmac;

/// A request whose size and headers are in order. Nothing about it is proved.
#[derive(Debug)]
pub struct Received<'b> {
    headers: RequestHeaders,
    body: &'b [u8],
}

/// Who the caller found the token to belong to.
#[derive(Clone)]
pub struct Credentials<'k> {
    agent_id: AgentId,
    standing: Standing,
    pinned: Option<&'k dyn Verify>,
}

/// How the hub stands to an agent, whatever it proves.
#[derive(Debug, Clone, Copy)]
struct Standing {
    profile: AuthProfile,
    is_revoked: bool,
}

/// Which spellings of a body are taken. Closed: contract §3 names these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyForm {
    /// Any; what is not canonical is made so.
    Accept,
    /// The canonical one only.
    Require,
}

/// The buffers of a worker that checks payloads, kept from one to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    json: json::Scratch,
    message: Option<Message>,
}

/// A payload that comes from the agent it claims, as far as that agent can prove it.
#[derive(Debug)]
pub struct Authenticated<'s> {
    agent_id: AgentId,
    body: Canonical<'s>,
    signature: SignatureStatus,
}

/// A payload that was made for this hub by this agent, at a position.
#[derive(Debug)]
pub struct Fresh<'s> {
    agent_id: AgentId,
    body: Canonical<'s>,
    signature: SignatureStatus,
    nonce: Option<NonceDigest>,
    head: Head<'s>,
    position: Position,
}

/// A payload that is right in every respect but what only a store can judge: its position, and a
/// nonce that was left to the store.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Admitted {
    /// Who sent it.
    pub agent_id: AgentId,
    /// Whether its signature was verified.
    pub signature: SignatureStatus,
    /// The nonce that was left to the transaction which stores the payload, see
    /// [`NonceVerdict::AtCommit`](hmac::NonceVerdict::AtCommit); `None` where nothing about one is
    /// open.
    pub nonce: Option<NonceDigest>,
    /// Its place in the life of the spool.
    pub position: Position,
    /// SHA-256 of the canonical body without `sent_at`: what must not change under the position.
    pub content_hash: ContentHash,
    /// Device clock when it was captured.
    pub captured_at: Timestamp,
    /// Device clock at this attempt.
    pub sent_at: Timestamp,
    /// The version the agent says it has.
    pub agent_version: AgentVersion,
    /// What it holds.
    pub payload: Payload,
    /// Which of its texts are kept otherwise than they were sent.
    pub cleaned: CleanedTexts,
}

impl<'b> Received<'b> {
    /// Takes a body and the headers it came with.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] above [`limit::BODY_BYTES_MAX`], then as [`RequestHeaders::parse`].
    pub fn new<'h>(
        body: &'b [u8],
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<Self, Reject> {
        check_size(body)?;
        Self::with_headers(body, RequestHeaders::parse(headers)?)
    }

    /// Takes a body and headers that were read before it, as a hub does which looks the agent up
    /// first and reads the body of nobody else.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] above [`limit::BODY_BYTES_MAX`].
    pub fn with_headers(body: &'b [u8], headers: RequestHeaders) -> Result<Self, Reject> {
        check_size(body)?;
        Ok(Self { headers, body })
    }

    /// The digest of the claimed token, by which the caller finds the [`Credentials`]. Where it
    /// finds none, [`Reject::Unauthorized`] is the answer.
    #[must_use]
    pub fn token_digest(&self) -> [u8; 32] {
        self.headers.token().digest()
    }

    /// The signature header as it came.
    #[must_use]
    pub const fn signature_header(&self) -> SignatureHeader {
        self.headers.signature()
    }

    /// Checks that the payload comes from the owner of the token.
    ///
    /// Without a pinned key there is nothing to check a signature against: the payload is taken
    /// as [`SignatureStatus::Unpinned`].
    ///
    /// # Errors
    /// In this order: [`Reject::BadSignature`] for a malformed header, [`Reject::UnsignedPayload`]
    /// if a key is pinned and no signature came, both before the body is read;
    /// [`Reject::Malformed`]; [`Reject::BadSignature`]; [`Reject::Revoked`];
    /// [`Reject::WrongProfile`].
    pub fn authenticate<'s>(
        self,
        credentials: &Credentials<'_>,
        form: BodyForm,
        scratch: &'s mut Scratch,
    ) -> Result<Authenticated<'s>, Reject>
    where
        'b: 's,
    {
        let signature = self.headers.signature().well_formed()?;
        if credentials.pinned.is_some() && signature.is_none() {
            return Err(Reject::UnsignedPayload);
        }
        let Scratch { json, message } = scratch;
        let body = form.read(self.body, json)?;
        let status = match (credentials.pinned, signature) {
            (Some(key), Some(signature)) => {
                let message = message.get_or_insert_with(Message::reusable);
                message.set_ingest(body.as_bytes());
                key.verify(message, &signature)
                    .map_err(|_| Reject::BadSignature {
                        reason: SignatureFault::Mismatch,
                    })?;
                SignatureStatus::Verified
            }
            (Some(_), None) => return Err(Reject::UnsignedPayload),
            (None, _) => SignatureStatus::Unpinned,
        };
        credentials.standing.check(AuthProfile::Ed25519)?;
        Ok(Authenticated {
            agent_id: credentials.agent_id,
            body,
            signature: status,
        })
    }
}

impl<'k> Credentials<'k> {
    /// An agent in good standing without a pinned key.
    #[must_use]
    pub const fn new(agent_id: AgentId, profile: AuthProfile) -> Self {
        Self {
            agent_id,
            standing: Standing::good(profile),
            pinned: None,
        }
    }

    /// The agent's pinned key: a [`VerifyingKey`](crate::VerifyingKey), or one of another
    /// implementation.
    #[must_use]
    pub const fn with_pinned_key(mut self, key: &'k dyn Verify) -> Self {
        self.pinned = Some(key);
        self
    }

    /// The agent has been revoked.
    #[must_use]
    pub const fn revoked(mut self) -> Self {
        self.standing.is_revoked = true;
        self
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("agent_id", &self.agent_id)
            .field("standing", &self.standing)
            .field("is_pinned", &self.pinned.is_some())
            .finish()
    }
}

impl Standing {
    const fn good(profile: AuthProfile) -> Self {
        Self {
            profile,
            is_revoked: false,
        }
    }

    /// Whether the agent may send in this profile.
    fn check(self, profile: AuthProfile) -> Result<(), Reject> {
        if self.is_revoked {
            Err(Reject::Revoked)
        } else if self.profile != profile {
            Err(Reject::WrongProfile)
        } else {
            Ok(())
        }
    }
}

impl BodyForm {
    /// The canonical form of a body.
    fn read<'s>(
        self,
        body: &'s [u8],
        scratch: &'s mut json::Scratch,
    ) -> Result<Canonical<'s>, Reject> {
        // Most bodies are canonical already, and to find that out is quicker than to make them so.
        let checked = match (self, json::check(body)) {
            (Self::Accept, Err(error)) if error.code == JsonCode::NotCanonical => {
                json::canonicalize(body, scratch)
            }
            (Self::Accept | Self::Require, checked) => checked,
        };
        checked.map_err(|error| malformed(error, body))
    }
}

impl Scratch {
    /// Empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            json: json::Scratch::new(),
            message: None,
        }
    }
}

impl<'s> Authenticated<'s> {
    /// The canonical body, which the signature covers.
    #[must_use]
    pub const fn body(&self) -> Canonical<'s> {
        self.body
    }

    /// Whether the signature was verified.
    #[must_use]
    pub const fn signature(&self) -> SignatureStatus {
        self.signature
    }

    /// Checks that the payload was made for this hub by the owner of the token, at a position.
    ///
    /// # Errors
    /// [`Reject::WrongType`] for a body that is not an object; then for `aud`, `agent_id`, `epoch`
    /// and `seq`, in this order, [`Reject::MissingField`], [`Reject::WrongType`], and
    /// [`Reject::WrongAudience`], [`Reject::WrongAgent`] or [`Reject::OutOfRange`].
    pub fn fresh(self, audience: &Audience) -> Result<Fresh<'s>, Reject> {
        let Self {
            agent_id,
            body,
            signature,
        } = self;
        let is_caller = |text: &str| AgentId::parse(text) == Ok(agent_id);
        let (head, position) = read_head(body, audience, is_caller)?;
        Ok(Fresh {
            agent_id,
            body,
            signature,
            nonce: None,
            head,
            position,
        })
    }
}

impl Fresh<'_> {
    /// The position that the payload claims.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Whether the signature was verified.
    #[must_use]
    pub const fn signature(&self) -> SignatureStatus {
        self.signature
    }

    /// Checks every member against the schema.
    ///
    /// # Errors
    /// [`Reject::OutOfRange`] where a string or name holds U+0000, for another `v` and for an
    /// unknown `type`; then [`Reject::UnknownField`]; then, member by member,
    /// [`Reject::MissingField`], [`Reject::WrongType`] or [`Reject::OutOfRange`].
    pub fn admit(self) -> Result<Admitted, Reject> {
        let Self {
            agent_id,
            body,
            signature,
            nonce,
            mut head,
            position,
        } = self;
        refuse_nul(body)?;
        let kind = head.payload_kind()?;
        let good = head.good_payload(kind)?;
        head.refuse_unknown()?;
        let agent_version = head.agent_version()?;
        let captured_at = head.captured_at()?;
        let sent_at = head.sent_at()?;
        let Taken { payload, cleaned } = match good {
            Some(taken) => taken,
            None => head.payload(kind)?,
        };
        Ok(Admitted {
            agent_id,
            signature,
            nonce,
            position,
            content_hash: head.content_hash(),
            captured_at,
            sent_at,
            agent_version,
            payload,
            cleaned,
        })
    }
}

impl Admitted {
    /// Whether the payload was captured more than 60 s before it was sent. If the hub saw its
    /// position as an open gap, too, it is spooled.
    #[must_use]
    pub fn is_late(&self) -> bool {
        is_late(self.captured_at, self.sent_at)
    }
}

/// Reads what stands around the data and checks for whom, by whom and where it is.
fn read_head<'s>(
    body: Canonical<'s>,
    audience: &Audience,
    is_caller: impl FnOnce(&str) -> bool,
) -> Result<(Head<'s>, Position), Reject> {
    let head = Head::read(body)?;
    head.check_audience(audience)?;
    head.check_agent(is_caller)?;
    let position = head.position()?;
    Ok((head, position))
}

fn check_size(body: &[u8]) -> Result<(), Reject> {
    if body.len() > limit::BODY_BYTES_MAX {
        return Err(Reject::TooLarge {
            body_bytes_max: limit::BODY_BYTES_MAX,
        });
    }
    Ok(())
}

/// The rejection of a text, with the place it points to.
pub(crate) fn malformed(error: JsonError, bytes: &[u8]) -> Reject {
    Reject::Malformed {
        error,
        pointer: error.pointer(bytes),
    }
}

/// Refuses U+0000, which JSON can spell and databases cannot store.
pub(crate) fn refuse_nul(body: Canonical<'_>) -> Result<(), Reject> {
    match body.nul_offset() {
        None => Ok(()),
        Some(offset) => Err(Reject::OutOfRange {
            pointer: json::pointer_at(body.as_bytes(), offset).unwrap_or_default(),
            expected: "text without U+0000",
        }),
    }
}
