//! The wire of monsys: canonical JSON, signatures, headers, and the way of one payload from bytes
//! to typed values.
//!
//! A payload passes four states, and each step takes the former by value, so that no check can be
//! left out: [`Received`] → [`Authenticated`](envelope::Authenticated) →
//! [`Fresh`](envelope::Fresh) → [`Admitted`]. Devices without a key pair go the same way by
//! [`envelope::hmac`], with one state more. Whatever fails is a [`Reject`], which knows its stable
//! code, its HTTP status and its place, so that every hub answers alike. [`compose`] is the other
//! direction: an agent writes bodies that are canonical as they are written, and [`spool`] decides
//! which of them it keeps and sends. [`manual::wire`] says the same to people who do not read Rust.
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
//! # Examples
//! An agent composes a body, which is canonical as it is written, and signs it. Random bytes and
//! the time come from outside.
//! ```
//! # use monsys_core::{id::AgentId, name::AgentVersion, position::Position};
//! # use monsys_core::{sample::{CpuPercent, MetricSample}, time::Timestamp};
//! use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
//! use monsys_wire::{Audience, SigningKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let body = OutgoingBody::compose(&OutgoingPayload {
//!     audience: &Audience::parse("hub-1")?,
//!     agent_id: AgentId::from_random_bytes([3; 16]),
//!     agent_version: &AgentVersion::parse("0.1.0")?,
//!     position: Position::new(1, 17)?,
//!     captured_at: now,
//!     sent_at: now,
//!     data: Outbound::Metrics(&MetricSample::of_cpu(CpuPercent::new(12.5)?)),
//! })?;
//! let signature = body.sign(&SigningKey::from_secret_bytes([7; 32])).to_string();
//! # assert_eq!(signature.len(), 128);
//! # Ok(())
//! # }
//! ```
//!
//! A hub takes headers and body, looks up whose token it is, and goes on until a step refuses.
//! ```
//! # use monsys_core::id::AgentId;
//! use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Received, Scratch};
//! use monsys_wire::{Admitted, Audience, Reject, VerifyingKey};
//!
//! fn admit(body: &[u8], headers: &[(&str, &[u8])], hub: &Audience) -> Result<Admitted, Reject> {
//!     let received = Received::new(body, headers.iter().copied())?;
//!     let (agent, key) = owner_of(received.token_digest()).ok_or(Reject::Unauthorized)?;
//!     let owner = Credentials::new(agent, AuthProfile::Ed25519).with_pinned_key(&key);
//!     received
//!         .authenticate(&owner, BodyForm::Accept, &mut Scratch::new())?
//!         .fresh(hub)?
//!         .admit()
//! }
//! # fn owner_of(_: [u8; 32]) -> Option<(AgentId, VerifyingKey)> { None }
//! # let hub = Audience::parse("hub-1").unwrap();
//! # let token = monsys_wire::BearerToken::from_random_bytes([9; 32]).to_header_value();
//! # let known = [("authorization", token.as_bytes())];
//! # assert_eq!(admit(b"{}", &known, &hub), Err(Reject::Unauthorized));
//! ```
//!
//! A device signs with the key it shares with its hub; [`envelope::hmac`] is the other end.
//! ```
//! # use monsys_core::time::Timestamp;
//! use monsys_wire::device::Nonce;
//! use monsys_wire::header::SignedHeaders;
//! use monsys_wire::sign::{Claim, DeviceKey};
//! use monsys_wire::{DeviceIdentity, canonical};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = DeviceKey::parse_secret_hex(&"0b".repeat(32))?;
//! let identity = DeviceIdentity::parse("acme", "web-1")?;
//! let nonce = Nonce::from_random_bytes([5; 16]);
//! let claim = Claim::new(&identity, &nonce, Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?);
//! let body = canonical::check(br#"{"v":1}"#)?;
//! let headers = SignedHeaders::new(&claim, &key.mac(&claim, body.as_bytes()));
//! assert_eq!(headers.iter().count(), 5);
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
pub mod rotate;
pub mod schema;
pub mod sign;
pub mod spool;

// The public interface is
pub use audience::Audience;
pub use device::DeviceIdentity;
pub use envelope::{Admitted, Received};
pub use header::{BearerToken, RequestHeaders};
pub use reject::{Code, Reject};
pub use sign::{DeviceKey, Signature, SigningKey, VerifyingKey};
