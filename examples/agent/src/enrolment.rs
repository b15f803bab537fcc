//! What an enrolled agent is: its configuration, its key, and how it makes payloads.
//!
//! What: loading both from a data directory, composing, and proving to the hub who sends, in either
//! profile. What not: enrolling; that is the command `init`. Cost: two small files.

use std::io;
use std::sync::Arc;

use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::time::Timestamp;
use monsys_wire::compose::{ComposeError, Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::device::Nonce;
use monsys_wire::header::{AUTHORIZATION, SIGNATURE};
use monsys_wire::sign::Claim;
use monsys_wire::{BearerToken, DeviceIdentity, DeviceKey, SigningKey};

use crate::config::{Config, DataDir, Profile};
use crate::device_probe::DeviceProbe;
use crate::error::AgentError;
use crate::key;
use crate::send::client::{HubClient, SignedRequest};

/// An agent that may send.
#[derive(Debug)]
pub struct Enrolment {
    config: Config,
    credential: Credential,
    version: AgentVersion,
    client: HubClient,
}

/// What an agent proves itself with. Closed: one for each profile.
#[derive(Debug)]
pub enum Credential {
    /// A key pair and a token.
    Ed25519 {
        /// The key.
        key: SigningKey,
        /// The token.
        token: Arc<BearerToken>,
    },
    /// A key that the hub has too.
    Hmac {
        /// The key.
        key: DeviceKey,
        /// Whose it is.
        identity: DeviceIdentity,
    },
}

impl Enrolment {
    /// Loads the agent of a data directory.
    ///
    /// # Errors
    /// [`AgentError::Config`], [`AgentError::Key`] or [`AgentError::Ca`].
    pub fn load(data: &DataDir) -> Result<Self, AgentError> {
        let config = Config::load(&data.config())?;
        let credential = Credential::load(data, &config.profile)?;
        let client = HubClient::new(config.hub.clone(), config.ca.as_deref())?;
        Ok(Self {
            config,
            credential,
            version: version()?,
            client,
        })
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
            agent_id: &self.config.profile,
            agent_version: &self.version,
            position,
            captured_at,
            sent_at: captured_at,
            data,
        })
    }

    /// Proves for one attempt that this agent sends a body, when the hub's clock shows `hub_now`.
    ///
    /// # Errors
    /// [`AgentError::System`] without a random source, in the hmac profile.
    pub fn sign(
        &self,
        body: &OutgoingBody,
        hub_now: Timestamp,
    ) -> Result<SignedRequest, AgentError> {
        match &self.credential {
            Credential::Ed25519 { key, token } => Ok(SignedRequest {
                path: "/api/v1/ingest",
                headers: vec![
                    (AUTHORIZATION, token.to_header_value()),
                    (SIGNATURE, body.sign(key).to_string()),
                ],
            }),
            Credential::Hmac { key, identity } => sign_as_device(body, identity, key, hub_now),
        }
    }

    /// Asks the hub what its clock shows. Nothing is stored for it. Cost: one request.
    ///
    /// # Errors
    /// [`AgentError::Call`], [`AgentError::System`] without a random source.
    pub fn ask_time(&self) -> Result<Timestamp, AgentError> {
        match &self.credential {
            Credential::Ed25519 { token, .. } => Ok(self.client.agents_self(token)?.server_time),
            Credential::Hmac { key, identity } => DeviceProbe {
                client: &self.client,
                audience: &self.config.audience,
                identity,
                key,
            }
            .ask_time(),
        }
    }

    /// Returns the configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what the agent proves itself with.
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the client of the agent's hub.
    pub const fn client(&self) -> &HubClient {
        &self.client
    }
}

impl Credential {
    fn load(data: &DataDir, profile: &Profile) -> Result<Self, AgentError> {
        Ok(match profile {
            Profile::Ed25519 { token, .. } => Self::Ed25519 {
                key: key::load(&data.key())?,
                token: Arc::clone(token),
            },
            Profile::Hmac(identity) => Self::Hmac {
                key: key::load_device(&data.device_key())?,
                identity: identity.clone(),
            },
        })
    }
}

/// Signs one request of a device under a nonce of its own.
///
/// # Errors
/// [`AgentError::System`] without a random source: a nonce that could be guessed is none.
pub fn sign_as_device(
    body: &OutgoingBody,
    identity: &DeviceIdentity,
    key: &DeviceKey,
    hub_now: Timestamp,
) -> Result<SignedRequest, AgentError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| AgentError::System {
        what: "no nonce can be made",
        source: io::Error::other(error),
    })?;
    let nonce = Nonce::from_random_bytes(random);
    let signed = body.sign_as_device(&Claim::new(identity, &nonce, hub_now), key);
    let headers = signed.iter().map(|(name, value)| (name, value.to_owned()));
    Ok(SignedRequest {
        path: "/ingest",
        headers: headers.collect(),
    })
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
