//! The way of one payload in the hmac profile:
//! `Received → Authenticated → Timely → Fresh → Admitted`.
//!
//! Between `Received` and `authenticate` the caller looks up the device; between `Timely` and
//! `fresh` it decides, with [`NonceGuard`](crate::replay::NonceGuard) or a memory of its own,
//! whether the nonce was used before. Only a request whose MAC and timestamp are right gets so far,
//! so nobody without a key writes into that memory. From `Fresh` on it is the way of the ed25519
//! profile.
//!
//! A hub whose store decides in the transaction that stores the payload says
//! [`NonceVerdict::AtCommit`] and makes one round trip instead of two. It then owes two things:
//! [`Admitted::nonce`](super::Admitted::nonce) goes into that transaction; and where `fresh` or
//! anything after it refuses, the nonce ([`Timely::nonce`], taken before) is used up by itself, and
//! if it had been used the answer is [`Reject::Replay`], because the nonce comes first in the order
//! of checks.
//!
//! An unknown device is not an error of the look-up: `authenticate` takes `None`, does the same
//! work without a key, and refuses in the words it uses for a wrong MAC.
//!
//! Cost: as in the ed25519 profile, with one HMAC-SHA256 (about 1.4 µs for 2 KB) for the signature.

use monsys_core::id::AgentId;
use monsys_core::json::Canonical;
use monsys_core::limit;
use monsys_core::store::NonceDigest;
use monsys_core::time::{Span, Timestamp};
use sha2::{Digest, Sha256};

use super::{
    AuthProfile, BodyForm, Fresh, Scratch, SignatureStatus, Standing, check_size, read_head,
};
use crate::audience::Audience;
use crate::header::DeviceHeaders;
use crate::reject::Reject;
use crate::sign::{Claim, DeviceKey};

/// A request whose size and headers are in order. Nothing about it is proved.
#[derive(Debug)]
pub struct Received<'b> {
    headers: DeviceHeaders<'b>,
    body: &'b [u8],
}

/// The device that the caller found.
#[derive(Debug)]
pub struct DeviceCredentials<'k> {
    agent_id: AgentId,
    standing: Standing,
    key: &'k DeviceKey,
}

/// A payload that comes from the device it claims, in good standing; perhaps not for the first
/// time.
#[derive(Debug)]
pub struct Authenticated<'s> {
    agent_id: AgentId,
    claim: Claim<'s>,
    body: Canonical<'s>,
}

/// A payload that was signed within the window; perhaps not for the first time.
#[derive(Debug)]
pub struct Timely<'s> {
    inner: Authenticated<'s>,
}

/// What the caller's memory says about a nonce. Closed: each asks for another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NonceVerdict {
    /// Not used within the time it is remembered, and remembered from now on.
    Unused,
    /// Not decided: the store that takes the payload decides in the same transaction.
    AtCommit,
    /// Used before by this device.
    Used,
    /// Signed at a time for which the memory cannot tell.
    Unknowable,
    /// There is no room to remember it; nothing was forgotten for its sake.
    Full {
        /// When to try again.
        retry_after_s: u32,
    },
}

impl<'b> Received<'b> {
    /// Takes a body and the headers it came with.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] above [`limit::BODY_BYTES_MAX`], then as [`DeviceHeaders::parse`].
    pub fn new(
        body: &'b [u8],
        headers: impl IntoIterator<Item = (&'b str, &'b [u8])>,
    ) -> Result<Self, Reject> {
        check_size(body)?;
        Self::with_headers(body, DeviceHeaders::parse(headers)?)
    }

    /// Takes a body and headers that were read before it.
    ///
    /// # Errors
    /// [`Reject::TooLarge`] above [`limit::BODY_BYTES_MAX`].
    pub fn with_headers(body: &'b [u8], headers: DeviceHeaders<'b>) -> Result<Self, Reject> {
        check_size(body)?;
        Ok(Self { headers, body })
    }

    /// What the request says about itself, by which the caller finds the [`DeviceCredentials`].
    #[must_use]
    pub const fn claim(&self) -> Claim<'b> {
        self.headers.claim()
    }

    /// Checks that the payload comes from the device; `None` if the caller found none.
    ///
    /// # Errors
    /// In this order: [`Reject::Malformed`]; [`Reject::UnauthorizedDevice`] for an unknown device
    /// and for a wrong MAC alike; [`Reject::Revoked`]; [`Reject::WrongProfile`].
    pub fn authenticate<'s>(
        self,
        device: Option<&DeviceCredentials<'_>>,
        form: BodyForm,
        scratch: &'s mut Scratch,
    ) -> Result<Authenticated<'s>, Reject>
    where
        'b: 's,
    {
        let (claim, mac) = (self.headers.claim(), self.headers.mac());
        let body = form.read(self.body, &mut scratch.json)?;
        let Some(device) = device else {
            DeviceKey::verify_for_nobody(&claim, body.as_bytes(), &mac);
            return Err(Reject::UnauthorizedDevice);
        };
        let proof = device.key.verify(&claim, body.as_bytes(), &mac);
        proof.map_err(|_| Reject::UnauthorizedDevice)?;
        device.standing.check(AuthProfile::Hmac)?;
        Ok(Authenticated {
            agent_id: device.agent_id,
            claim,
            body,
        })
    }
}

impl<'k> DeviceCredentials<'k> {
    /// A device in good standing and the key it was enrolled with. An agent that has no such key
    /// is no device: the caller passes `None`.
    #[must_use]
    pub const fn new(agent_id: AgentId, profile: AuthProfile, key: &'k DeviceKey) -> Self {
        Self {
            agent_id,
            standing: Standing::good(profile),
            key,
        }
    }

    /// The device has been revoked.
    #[must_use]
    pub const fn revoked(mut self) -> Self {
        self.standing.is_revoked = true;
        self
    }
}

impl<'s> Authenticated<'s> {
    /// The canonical body, which the MAC covers.
    #[must_use]
    pub const fn body(&self) -> Canonical<'s> {
        self.body
    }

    /// Checks that the request was signed at most 300 s ago and at most 300 s ahead.
    ///
    /// # Errors
    /// [`Reject::Stale`].
    pub fn timely(self, now: Timestamp) -> Result<Timely<'s>, Reject> {
        if skew(&self.claim, now) > Span::from_secs(limit::REQUEST_WINDOW_S) {
            return Err(stale());
        }
        Ok(Timely { inner: self })
    }
}

impl<'s> Timely<'s> {
    /// Organisation, device, timestamp and nonce: what a memory of nonces is asked about.
    #[must_use]
    pub const fn claim(&self) -> Claim<'s> {
        self.inner.claim
    }

    /// The digest of the nonce, by which a store remembers it.
    #[must_use]
    pub fn nonce(&self) -> NonceDigest {
        NonceDigest(Sha256::digest(self.inner.claim.nonce()).into())
    }

    /// Checks that the nonce is new and that the payload was made for this hub by this device, at a
    /// position.
    ///
    /// # Errors
    /// For the nonce [`Reject::Replay`], [`Reject::Stale`] or [`Reject::ReplayCapacity`]; then as
    /// [`super::Authenticated::fresh`].
    pub fn fresh(self, nonce: NonceVerdict, audience: &Audience) -> Result<Fresh<'s>, Reject> {
        let open = match nonce {
            NonceVerdict::Unused => None,
            NonceVerdict::AtCommit => Some(self.nonce()),
            NonceVerdict::Used => return Err(Reject::Replay),
            NonceVerdict::Unknowable => return Err(stale()),
            NonceVerdict::Full { retry_after_s } => {
                return Err(Reject::ReplayCapacity { retry_after_s });
            }
        };
        let Authenticated {
            agent_id,
            claim,
            body,
        } = self.inner;
        let is_caller = |text: &str| text == claim.device();
        let (head, position) = read_head(body, audience, is_caller)?;
        Ok(Fresh {
            agent_id,
            body,
            signature: SignatureStatus::Verified,
            nonce: open,
            head,
            position,
        })
    }
}

/// How far the timestamp of a request is off, either way.
fn skew(claim: &Claim<'_>, now: Timestamp) -> Span {
    let micros = i128::from(claim.unix_s()) * 1_000_000 - i128::from(now.unix_micros());
    Span::from_micros(i64::try_from(micros.abs()).unwrap_or(i64::MAX))
}

fn stale() -> Reject {
    Reject::Stale {
        window_s: u32::try_from(limit::REQUEST_WINDOW_S).unwrap_or(u32::MAX),
    }
}
