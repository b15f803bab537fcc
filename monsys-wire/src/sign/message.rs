//! The exact bytes that are signed, one constructor for each purpose.

use alloc::vec::Vec;

use monsys_core::id::AgentId;

use super::VerifyingKey;
use crate::audience::Audience;

/// Bytes to be signed, with the line that says what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// The message of one payload: `monsys-ingest-v1`, line feed, canonical body.
    #[must_use]
    pub fn ingest(canonical_body: &[u8]) -> Self {
        let mut message = Self::reusable();
        message.set_ingest(canonical_body);
        message
    }

    /// The message by which an agent binds its key: `monsys-pin-v1`, hub, agent, key, each with a
    /// line feed.
    #[must_use]
    pub fn pin(audience: &Audience, agent_id: AgentId, key: &VerifyingKey) -> Self {
        let text = alloc::format!("monsys-pin-v1\n{audience}\n{agent_id}\n{key}\n");
        Self {
            bytes: text.into_bytes(),
        }
    }

    /// The message by which old and new key agree on a change: `monsys-rotate-v1`, hub, agent, old,
    /// new, each with a line feed.
    #[must_use]
    pub fn rotate(
        audience: &Audience,
        agent_id: AgentId,
        old: &VerifyingKey,
        new: &VerifyingKey,
    ) -> Self {
        let text = alloc::format!("monsys-rotate-v1\n{audience}\n{agent_id}\n{old}\n{new}\n");
        Self {
            bytes: text.into_bytes(),
        }
    }

    /// Bytes without a purpose, for the vectors of others.
    #[cfg(test)]
    pub(super) fn bare(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
        }
    }

    /// An empty buffer that becomes a message with [`Message::set_ingest`].
    pub(crate) const fn reusable() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Makes this the message of another payload, keeping the buffer.
    pub(crate) fn set_ingest(&mut self, canonical_body: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(INGEST);
        self.bytes.extend_from_slice(canonical_body);
    }

    /// The bytes, as another implementation would sign them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

const INGEST: &[u8] = b"monsys-ingest-v1\n";
