//! Nonces of the hmac profile: what makes one request of a device differ from any other.
//!
//! A nonce is used once per device within [`limit::NONCE_KEPT_S`] seconds of the hub's clock,
//! inclusive. It is used up by the request, not by the payload: it stays used when the position is
//! a duplicate or a replay. A row from the future, which a clock that was set back leaves behind,
//! counts as used.

use core::fmt;

use crate::id::{AgentId, TenantId};
use crate::limit;
use crate::time::{Span, Timestamp};

/// SHA-256 of a nonce: what is stored of it, of one size whatever the device chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NonceDigest(pub [u8; 32]);

impl fmt::Debug for NonceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceDigest(…)")
    }
}

/// The nonce of a request that was proved to come from its device, and is refused for something
/// that comes after the nonce in the order of checks (contract §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceUse {
    /// Whose device.
    pub tenant: TenantId,
    /// Which device.
    pub agent: AgentId,
    /// Its nonce.
    pub nonce: NonceDigest,
    /// Hub clock when the request arrived.
    pub at: Timestamp,
}

/// What became of a nonce. Closed: each asks for another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceOutcome {
    /// It was not used before, and is from here on.
    Spent,
    /// It was used before by this device.
    Used,
    /// The device used [`limit::NONCES_PER_DEVICE_MAX`] others; nothing was forgotten for this one.
    Full {
        /// When the oldest of them will be forgotten.
        retry_after_s: u32,
    },
}

impl NonceOutcome {
    /// Decides about a nonce at `now`, from when it was used last and what else the device used.
    pub fn decide(used_at: Option<Timestamp>, kept: NoncesKept, now: Timestamp) -> Self {
        if used_at.is_some_and(|at| at >= nonces_kept_since(now)) {
            return Self::Used;
        }
        if kept.n_nonces < u64::from(limit::NONCES_PER_DEVICE_MAX) {
            return Self::Spent;
        }
        let oldest = kept.oldest.unwrap_or(now);
        let wait = oldest.saturating_add(nonce_span()).since(now);
        let wait_s = wait.micros() / 1_000_000 + 1;
        Self::Full {
            retry_after_s: u32::try_from(wait_s.clamp(1, limit::NONCE_KEPT_S)).unwrap_or(1),
        }
    }
}

/// The nonces that a device used since [`nonces_kept_since`], those from the future included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoncesKept {
    /// How many.
    pub n_nonces: u64,
    /// When the oldest of them was used.
    pub oldest: Option<Timestamp>,
}

/// The earliest time of a use that still counts at `now`.
pub fn nonces_kept_since(now: Timestamp) -> Timestamp {
    now.saturating_sub(nonce_span())
}

const fn nonce_span() -> Span {
    Span::from_secs(limit::NONCE_KEPT_S)
}
