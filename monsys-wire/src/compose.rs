//! The sending side: bodies that are canonical as they are written, and their signatures.
//!
//! A body is composed once, when it is spooled. At each attempt [`OutgoingBody::with_sent_at`]
//! changes that one member, and nothing else, so that the hub can tell a retry from a replay; the
//! signature is made anew. When the hub answers `stale_epoch`, [`OutgoingBody::with_position`]
//! moves what was not delivered into the new epoch.
//!
//! What it does not do: keep bodies, choose positions, or send. Cost: linear, one allocation for
//! the text and one check of what was written.

mod endpoint;
mod member;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use monsys_core::endpoint::EndpointSnapshot;
use monsys_core::id::AgentId;
use monsys_core::json::{CanonicalText, Cursor, JsonError};
use monsys_core::limit;
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::MetricSample;
use monsys_core::signal::SignalDraft;
use monsys_core::time::Timestamp;
use thiserror::Error;

use crate::audience::Audience;
use crate::device::DeviceIdentity;
use crate::header::SignedHeaders;
use crate::schema::{LAYOUT_VERSION, PayloadKind};
use crate::sign::{Claim, DeviceKey, Message, Sign, Signature, SigningKey};
use member::Object;

/// A payload to be sent.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingPayload<'a, S = AgentId> {
    /// The hub it is meant for.
    pub audience: &'a Audience,
    /// Who sends it: an [`AgentId`], or a [`DeviceIdentity`] in the hmac profile.
    pub agent_id: S,
    /// The sender's version.
    pub agent_version: &'a AgentVersion,
    /// Its place in the life of the spool.
    pub position: Position,
    /// Device clock when it was captured.
    pub captured_at: Timestamp,
    /// Device clock at this attempt.
    pub sent_at: Timestamp,
    /// What it holds.
    pub data: Outbound<'a>,
}

/// What a sender calls itself in `agent_id`.
pub trait Sender {
    /// The name; it has neither quotes nor backslashes nor control characters.
    fn name(&self) -> impl Display;
}

/// What a payload to be sent holds. Open: more types will come.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Outbound<'a> {
    /// One sample.
    Metrics(&'a MetricSample),
    /// 1 to 1,000 signals about the sender.
    Signals(&'a [SignalDraft]),
    /// One snapshot of the machine.
    Endpoint(&'a EndpointSnapshot),
}

/// The body of a payload: canonical JSON that the hub's schema takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingBody {
    text: CanonicalText,
}

/// Why no body can be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// A number or a signal's value is not JSON in the accepted profile.
    #[error("expected values that JSON can hold")]
    Json(#[from] JsonError),
    /// No signal, or too many for one payload.
    #[error("expected 1 to 1000 signals")]
    SignalCount,
    /// A list of a snapshot is longer than a hub accepts.
    #[error("expected lists of a snapshot within their limits")]
    ListLength,
    /// The body is larger than a hub accepts.
    #[error("expected a body of at most 524288 bytes")]
    TooLarge,
    /// A restored text is not a body.
    #[error("expected a canonical body with the members of a payload")]
    NotABody,
}

impl Sender for AgentId {
    fn name(&self) -> impl Display {
        self
    }
}

impl Sender for &DeviceIdentity {
    fn name(&self) -> impl Display {
        self.device()
    }
}

impl OutgoingBody {
    /// Writes the body of a payload.
    ///
    /// # Errors
    /// [`ComposeError`]; a sample from the vocabulary fails only when a number exceeds 2^53 − 1.
    pub fn compose<S: Sender>(payload: &OutgoingPayload<'_, S>) -> Result<Self, ComposeError> {
        let kind = match payload.data {
            Outbound::Metrics(_) => PayloadKind::Metrics,
            Outbound::Signals(_) => PayloadKind::AgentSignals,
            Outbound::Endpoint(_) => PayloadKind::Endpoint,
        };
        // Members in canonical order; the check below would find a mistake.
        let body = Object::new()
            .display("agent_id", &payload.agent_id.name())
            .text("agent_version", payload.agent_version.as_str())
            .text("aud", payload.audience.as_str())
            .display("captured_at", &payload.captured_at)
            .raw("data", &data(payload.data)?)
            .count("epoch", payload.position.epoch())
            .display("sent_at", &payload.sent_at)
            .count("seq", payload.position.seq())
            .text("type", kind.as_str())
            .integer("v", LAYOUT_VERSION)
            .finish();
        Self::from_text(body)
    }

    /// Takes a body back from the spool.
    ///
    /// # Errors
    /// [`ComposeError::Json`] or [`ComposeError::NotABody`] for damaged bytes.
    pub fn restore(bytes: &[u8]) -> Result<Self, ComposeError> {
        let text = core::str::from_utf8(bytes).map_err(|_| ComposeError::NotABody)?;
        let body = Self::from_text(String::from(text))?;
        let is_whole = ["epoch", "seq", "sent_at"]
            .into_iter()
            .all(|name| body.find(name).is_some());
        if is_whole {
            Ok(body)
        } else {
            Err(ComposeError::NotABody)
        }
    }

    /// The same body for another attempt.
    ///
    /// # Errors
    /// None for a body that was composed or restored.
    pub fn with_sent_at(&self, sent_at: Timestamp) -> Result<Self, ComposeError> {
        self.replace("sent_at", &alloc::format!("\"{sent_at}\""))
    }

    /// The same payload at another position, which makes it another payload for the hub.
    ///
    /// # Errors
    /// None for a body that was composed or restored.
    pub fn with_position(&self, position: Position) -> Result<Self, ComposeError> {
        self.replace("epoch", &alloc::format!("{}", position.epoch()))?
            .replace("seq", &alloc::format!("{}", position.seq()))
    }

    /// Signs the body.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Signature {
        key.sign(&Message::ingest(self.as_bytes()))
    }

    /// Signs the body with a key of another implementation.
    ///
    /// # Errors
    /// Those of the implementation.
    pub fn sign_with<S: Sign + ?Sized>(&self, signer: &S) -> Result<Signature, S::Error> {
        signer.sign(&Message::ingest(self.as_bytes()))
    }

    /// Signs the body for one request in the hmac profile. Each attempt takes another claim: a hub
    /// takes a nonce once.
    #[must_use]
    pub fn sign_as_device(&self, claim: &Claim<'_>, key: &DeviceKey) -> SignedHeaders {
        SignedHeaders::new(claim, &key.mac(claim, self.as_bytes()))
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_str().as_bytes()
    }

    /// The text to show.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    fn from_text(text: String) -> Result<Self, ComposeError> {
        if text.len() > limit::BODY_BYTES_MAX {
            return Err(ComposeError::TooLarge);
        }
        Ok(Self {
            text: CanonicalText::from_canonical(text)?,
        })
    }

    fn replace(&self, name: &str, value: &str) -> Result<Self, ComposeError> {
        let (start, end) = self.find(name).ok_or(ComposeError::NotABody)?;
        let text = self.as_str();
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(end..).unwrap_or_default();
        Self::from_text([before, value, after].concat())
    }

    /// Where the value of an outermost member lies.
    fn find(&self, name: &str) -> Option<(usize, usize)> {
        let mut cursor = Cursor::new(self.text.as_canonical());
        if !cursor.enter_object() {
            return None;
        }
        while let Some(found) = cursor.next_name() {
            let start = cursor.offset();
            cursor.skip();
            if found == name {
                return Some((start, cursor.offset()));
            }
        }
        None
    }
}

fn data(data: Outbound<'_>) -> Result<String, ComposeError> {
    match data {
        Outbound::Metrics(sample) => Ok(metrics(sample)),
        Outbound::Signals(drafts) => signals(drafts),
        Outbound::Endpoint(snapshot) => endpoint::endpoint(snapshot),
    }
}

fn metrics(sample: &MetricSample) -> String {
    let disks = sample.disks.as_ref().map(|disks| {
        member::array(disks.iter().map(|disk| {
            Object::new()
                .text("mount", &disk.mount)
                .integer("total_bytes", disk.total_bytes.get())
                .integer("used_bytes", disk.used_bytes.get())
                .finish()
        }))
    });
    let networks = sample.networks.as_ref().map(|networks| {
        member::array(networks.iter().map(|network| {
            Object::new()
                .text("interface", &network.interface)
                .integer("rx_bytes", network.rx_bytes.get())
                .integer("tx_bytes", network.tx_bytes.get())
                .finish()
        }))
    });
    Object::new()
        .optional(sample.cpu_cores, |object, cores| {
            object.integer("cpu_cores", cores.get())
        })
        .number("cpu_usage_percent", sample.cpu_usage_percent.get())
        .optional(disks, |object, disks| object.raw("disks", &disks))
        .optional(sample.load1, |object, load| {
            object.number("load1", load.get())
        })
        .optional(sample.load15, |object, load| {
            object.number("load15", load.get())
        })
        .optional(sample.load5, |object, load| {
            object.number("load5", load.get())
        })
        .optional(sample.mem_total_bytes, |object, n| {
            object.integer("mem_total_bytes", n.get())
        })
        .optional(sample.mem_used_bytes, |object, n| {
            object.integer("mem_used_bytes", n.get())
        })
        .optional(networks, |object, networks| {
            object.raw("networks", &networks)
        })
        .optional(sample.swap_total_bytes, |object, n| {
            object.integer("swap_total_bytes", n.get())
        })
        .optional(sample.swap_used_bytes, |object, n| {
            object.integer("swap_used_bytes", n.get())
        })
        .optional(sample.uptime_seconds, |object, s| {
            object.number("uptime_seconds", s.get())
        })
        .finish()
}

fn signals(drafts: &[SignalDraft]) -> Result<String, ComposeError> {
    if !(1..=limit::SIGNALS_PER_BATCH_MAX).contains(&drafts.len()) {
        return Err(ComposeError::SignalCount);
    }
    let mut written = Vec::with_capacity(drafts.len());
    for draft in drafts {
        written.push(signal(draft)?);
    }
    Ok(Object::new()
        .raw("signals", &member::array(written.into_iter()))
        .finish())
}

fn signal(draft: &SignalDraft) -> Result<String, ComposeError> {
    let value = CanonicalText::parse(draft.value.as_bytes())?;
    let subject_id = (!draft.subject_id.is_empty()).then_some(draft.subject_id.as_str());
    Ok(Object::new()
        .text("key", &draft.key)
        .display("observed_at", &draft.observed_at)
        .optional(draft.severity.as_deref(), |object, word| {
            object.text("severity", word)
        })
        .text("source", &draft.source)
        .optional(subject_id, |object, id| object.text("subject_id", id))
        .text("subject_type", &draft.subject_type)
        .optional(draft.ttl_seconds, |object, ttl| {
            object.integer("ttl_seconds", ttl)
        })
        .raw("value", value.as_str())
        .finish())
}
