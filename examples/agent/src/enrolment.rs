//! What an enrolled agent is: its configuration, its key, and how it makes payloads.
//!
//! What: loading both from a data directory, composing and signing. What not: enrolling; that is
//! the command `init`. Cost: two small files.

use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::time::Timestamp;
use monsys_wire::compose::{ComposeError, Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::{Signature, SigningKey};

use crate::config::{Config, DataDir};
use crate::error::AgentError;
use crate::key;
use crate::send::client::HubClient;

/// An agent that may send.
#[derive(Debug)]
pub struct Enrolment {
    config: Config,
    key: SigningKey,
    version: AgentVersion,
}

impl Enrolment {
    /// Loads the agent of a data directory.
    ///
    /// # Errors
    /// [`AgentError::Config`] or [`AgentError::Key`].
    pub fn load(data: &DataDir) -> Result<Self, AgentError> {
        let config = Config::load(&data.config())?;
        let key = key::load(&data.key())?;
        Ok(Self {
            config,
            key,
            version: version()?,
        })
    }

    /// Makes a client of the agent's hub.
    ///
    /// # Errors
    /// [`AgentError::Ca`] or [`AgentError::Config`].
    pub fn client(&self, data: &DataDir) -> Result<HubClient, AgentError> {
        let Config { hub, token, ca, .. } = Config::load(&data.config())?;
        Ok(HubClient::new(hub, token, ca.as_deref())?)
    }

    /// Writes the canonical body of what was measured as it is spooled, with `sent_at` still to be
    /// set.
    ///
    /// # Errors
    /// [`ComposeError`]; none for what the collectors made, which keep to the limits of a body.
    pub fn compose(
        &self,
        data: Outbound<'_>,
        position: Position,
        captured_at: Timestamp,
    ) -> Result<OutgoingBody, ComposeError> {
        OutgoingBody::compose(&OutgoingPayload {
            audience: &self.config.audience,
            agent_id: self.config.agent_id,
            agent_version: &self.version,
            position,
            captured_at,
            sent_at: captured_at,
            data,
        })
    }

    /// Signs a body.
    pub fn sign(&self, body: &OutgoingBody) -> Signature {
        body.sign(&self.key)
    }

    /// Returns the configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the key.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// Makes a spooled body ready for one attempt.
///
/// # Errors
/// [`ComposeError`] for bytes that are no body.
pub fn prepare(
    spooled: &[u8],
    position: Position,
    sent_at: Timestamp,
) -> Result<OutgoingBody, ComposeError> {
    OutgoingBody::restore(spooled)?
        .with_position(position)?
        .with_sent_at(sent_at)
}

fn version() -> Result<AgentVersion, AgentError> {
    AgentVersion::parse(env!("CARGO_PKG_VERSION"))
        .map_err(|_| AgentError::Usage("the version of this build is no version".to_owned()))
}
