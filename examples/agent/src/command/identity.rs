//! `keygen`, `identity` and `version`: who this agent is. None of them shows a secret.

use serde::Serialize;

use crate::config::{Config, DataDir};
use crate::error::{AgentError, Outcome};
use crate::key;
use crate::output::{self, Form};

#[derive(Serialize)]
struct PublicKey {
    public_key: String,
}

#[derive(Serialize)]
struct Identity {
    agent_id: String,
    name: String,
    hub: String,
    aud: String,
    public_key: String,
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

/// Shows the agent's names and public key.
///
/// # Errors
/// [`AgentError::Config`] or [`AgentError::Key`].
pub fn show(data: &DataDir, form: Form) -> Result<Outcome, AgentError> {
    let config = Config::load(&data.config())?;
    let identity = Identity {
        agent_id: config.agent_id.to_string(),
        name: config.name,
        hub: config.hub.as_str().to_owned(),
        aud: config.audience.to_string(),
        public_key: key::load(&data.key())?.verifying_key().to_string(),
    };
    let lines = [
        format!("agent id    {}", identity.agent_id),
        format!("name        {}", identity.name),
        format!("hub         {}", identity.hub),
        format!("hub id      {}", identity.aud),
        format!("public key  {}", identity.public_key),
    ];
    output::show(form, &identity, &lines);
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
