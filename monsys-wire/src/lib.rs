//! The wire of monsys: canonical JSON, signatures, headers, and the way of one payload from bytes
//! to typed values.
//!
//! A payload passes four states, and each step takes the former by value, so that no check can be
//! left out: [`Received`] → [`Authenticated`](envelope::Authenticated) →
//! [`Fresh`](envelope::Fresh) → [`Admitted`]. Devices without a key pair go the same way by
//! [`envelope::hmac`], with one state more. Whatever fails is a [`Reject`], which knows its stable
//! code, its HTTP status and its place, so that every hub answers alike. [`compose`] is the other
//! direction: an agent writes bodies that are canonical as they are written. [`manual::wire`] says
//! the same to people who do not read Rust.
//!
//! # What this crate does not know
//! Storage, and whether a token or position is known: the caller looks an agent up between two
//! steps and decides about the position after the last. What a value means, or whether a signal is
//! valid. Sockets, clocks, randomness: secrets and times are arguments. Any HTTP crate: headers
//! come as names and bytes.
//!
//! The crate is `no_std` with `alloc` and allocates nothing for a payload that is refused before
//! its schema, apart from buffers which the caller keeps.
//!
//! # Example
//! ```
//! use monsys_core::id::AgentId;
//! use monsys_core::name::AgentVersion;
//! use monsys_core::position::Position;
//! use monsys_core::sample::{CpuPercent, MetricSample};
//! use monsys_core::time::Timestamp;
//! use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
//! use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Received, Scratch};
//! use monsys_wire::header::{AUTHORIZATION, BearerToken, SIGNATURE};
//! use monsys_wire::{Audience, SigningKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The agent. Random bytes and the time come from outside.
//! let (key, token) = (SigningKey::from_secret_bytes([7; 32]), BearerToken::from_random_bytes([9; 32]));
//! let agent_id = AgentId::from_random_bytes([3; 16]);
//! let audience = Audience::parse("hub-1")?;
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let body = OutgoingBody::compose(&OutgoingPayload {
//!     audience: &audience,
//!     agent_id,
//!     agent_version: &AgentVersion::parse("0.1.0")?,
//!     position: Position::new(1, 17)?,
//!     captured_at: now,
//!     sent_at: now,
//!     data: Outbound::Metrics(&MetricSample::of_cpu(CpuPercent::new(12.5)?)),
//! })?;
//! let (authorization, signature) = (token.to_header_value(), body.sign(&key).to_string());
//!
//! // The hub. Between two steps it looks up whose token this is.
//! let headers = [
//!     (AUTHORIZATION, authorization.as_bytes()),
//!     (SIGNATURE, signature.as_bytes()),
//! ];
//! let mut scratch = Scratch::new();
//! let received = Received::new(body.as_bytes(), headers)?;
//! assert_eq!(received.token_digest(), token.digest());
//! let pinned = key.verifying_key();
//! let owner = Credentials::new(agent_id, AuthProfile::Ed25519).with_pinned_key(&pinned);
//! let admitted = received
//!     .authenticate(&owner, BodyForm::Accept, &mut scratch)?
//!     .fresh(&audience)?
//!     .admit()?;
//! assert_eq!(admitted.position.seq(), 17);
//! # Ok(())
//! # }
//! ```
#![no_std]

extern crate alloc;

pub mod answer;
pub mod audience;
mod base64url;
pub mod canonical;
pub mod compose;
pub mod device;
pub mod envelope;
pub mod header;
mod hex;
pub mod manual;
pub mod pin;
pub mod position;
pub mod reject;
pub mod replay;
pub mod schema;
pub mod sign;

// The public interface is
pub use audience::Audience;
pub use device::DeviceIdentity;
pub use envelope::{Admitted, Received};
pub use header::{BearerToken, RequestHeaders};
pub use reject::{Code, Reject};
pub use sign::{DeviceKey, Signature, SigningKey, VerifyingKey};
