//! `keygen`, `identity` and `version`: who this agent is. None of them shows a secret.

use serde::Serialize;

use crate::config::{Config, DataDir, Profile};
use crate::error::{AgentError, Outcome};
use crate::key;
use crate::output::{self, Form};

#[derive(Serialize)]
struct PublicKey {
    public_key: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Identity {
    Agent {
        profile: &'static str,
        agent_id: String,
        name: String,
        hub: String,
        aud: String,
        /// As the hub shows it: the whole key, not a digest of it.
        public_key: String,
    },
    Device {
        profile: &'static str,
        org: String,
        device: String,
        hub: String,
        aud: String,
    },
}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// Makes the signing key unless there is one, and shows the public half.
///
/// # Errors
/// [`AgentError::Config`] or [`AgentError::Key`].
pub fn keygen(data: &DataDir, form: Form) -> Result<Outcome, AgentError> {
    data.create()?;
    let key = key::load_or_create(&data.key())?;
    let shown = PublicKey {
        public_key: key.verifying_key().to_string(),
    };
    output::show(form, &shown, std::slice::from_ref(&shown.public_key));
    Ok(Outcome::Success)
}

/// Shows the agent's names and, where it has one, its public key.
///
/// # Errors
/// [`AgentError::Config`] or [`AgentError::Key`].
pub fn show(data: &DataDir, form: Form) -> Result<Outcome, AgentError> {
    let config = Config::load(&data.config())?;
    let (profile, hub) = (config.profile.as_str(), config.hub.as_str().to_owned());
    let aud = config.audience.to_string();
    let at_hub = [
        format!("hub         {hub}"),
        format!("hub id      {aud}"),
        format!("profile     {profile}"),
    ];
    let (identity, lines) = match config.profile {
        Profile::Ed25519 { agent_id, .. } => {
            let public_key = key::load(&data.key())?.verifying_key().to_string();
            let lines = vec![
                format!("agent id    {agent_id}"),
                format!("name        {}", config.name),
                format!("public key  {public_key}"),
            ];
            let identity = Identity::Agent {
                profile,
                agent_id: agent_id.to_string(),
                name: config.name,
                hub,
                aud,
                public_key,
            };
            (identity, lines)
        }
        Profile::Hmac(device) => {
            // A key that is absent or damaged is said here too.
            key::load_device(&data.device_key())?;
            let lines = vec![
                format!("org         {}", device.org()),
                format!("device      {}", device.device()),
            ];
            let identity = Identity::Device {
                profile,
                org: device.org().to_owned(),
                device: device.device().to_owned(),
                hub,
                aud,
            };
            (identity, lines)
        }
    };
    output::show(form, &identity, &[lines, at_hub.to_vec()].concat());
    Ok(Outcome::Success)
}

/// Shows the version.
pub fn version(form: Form) -> Outcome {
    let version = Version {
        name: "monsys-agent",
        version: env!("CARGO_PKG_VERSION"),
    };
    output::show(
        form,
        &version,
        &[format!("{} {}", version.name, version.version)],
    );
    Outcome::Success
}
