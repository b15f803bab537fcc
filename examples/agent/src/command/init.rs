//! `init`: key, proof and configuration, in an order that a crash cannot spoil.
//!
//! In the ed25519 profile the key comes first and is never replaced, the pin second, the
//! configuration last. In the hmac profile the hub made the key, so it is proved first, kept second,
//! and never replaced either: a wrong one is not kept. Repeating the command after a crash at any
//! point ends in the same state. A configuration of another agent or hub is left alone; a new token
//! for the same agent is taken.

use std::path::PathBuf;
use std::sync::Arc;

use monsys_core::text::clean;
use monsys_core::time::Timestamp;
use monsys_wire::answer::AgentSelf;
use monsys_wire::pin::PinRequest;
use monsys_wire::{Audience, BearerToken, DeviceIdentity, DeviceKey};
use serde::Serialize;

use crate::clock::Clock;
use crate::collect::backup::BackupSetting;
use crate::config::{Config, ConfigError, DataDir, Profile};
use crate::device_probe::DeviceProbe;
use crate::error::{AgentError, Outcome};
use crate::hub_url::HubUrl;
use crate::key::{self, KeyFileError};
use crate::output::{self, Form};
use crate::rotation;
use crate::send::client::HubClient;
use crate::spool::{Spool, SpoolError, SpoolLimits};

/// Which hub is meant, and how it is reached.
#[derive(Debug)]
pub struct Target {
    hub: HubUrl,
    ca: Option<PathBuf>,
    clock: Clock,
}

/// Who is to be enrolled. Closed: one for each profile.
#[derive(Debug)]
pub enum Enrollee {
    /// An agent that pins a key of its own.
    Agent {
        /// What `monsys-hub agent enrol` printed.
        token: Arc<BearerToken>,
    },
    /// A device that shares a key with the hub.
    Device {
        /// Its names.
        identity: DeviceIdentity,
        /// The hub's identifier.
        audience: Audience,
        /// What `monsys-hub agent enrol --profile hmac` printed; without it one was kept before.
        key: Option<Box<DeviceKey>>,
    },
}

#[derive(Serialize)]
struct EnrolledAgent {
    agent_id: String,
    name: String,
    org: String,
    aud: String,
    public_key: String,
    /// How far the hub's clock is ahead of this one.
    clock_offset_ms: i64,
}

#[derive(Serialize)]
struct EnrolledDevice {
    org: String,
    device: String,
    aud: String,
    /// How far the hub's clock is ahead of this one.
    clock_offset_ms: i64,
}

impl Target {
    /// Checks what the command line says.
    ///
    /// # Errors
    /// [`AgentError::HubUrl`] or [`AgentError::System`].
    pub(crate) fn new(
        hub: &str,
        allow_plain_http: bool,
        ca: Option<PathBuf>,
        clock: Clock,
    ) -> Result<Self, AgentError> {
        let hub = if allow_plain_http {
            HubUrl::parse_with_plain_http(hub)?
        } else {
            HubUrl::parse(hub)?
        };
        let ca = ca.map(std::path::absolute).transpose();
        let ca = ca.map_err(|source| AgentError::System {
            what: "--ca is no path",
            source,
        })?;
        Ok(Self { hub, ca, clock })
    }

    /// How far the hub's clock is ahead, in milliseconds.
    fn offset_ms(&self, server_time: Timestamp) -> i64 {
        server_time.since(self.clock.now()).millis()
    }
}

/// Enrols the agent of a data directory.
///
/// # Errors
/// [`AgentError::OtherAgent`] and [`AgentError::OtherKey`] may be relied on; nothing is overwritten
/// then.
pub fn init(
    data: &DataDir,
    target: Target,
    enrollee: Enrollee,
    form: Form,
) -> Result<Outcome, AgentError> {
    let former = match Config::load(&data.config()) {
        Ok(config) => Some(config),
        Err(ConfigError::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if former
        .as_ref()
        .is_some_and(|former| former.hub != target.hub)
    {
        return Err(AgentError::OtherAgent("the hub"));
    }
    data.create()?;
    match enrollee {
        Enrollee::Agent { token } => init_agent(data, target, former.as_ref(), token, form),
        Enrollee::Device {
            identity,
            audience,
            key,
        } => {
            let config = Config {
                hub: target.hub.clone(),
                profile: Profile::Hmac(identity.clone()),
                audience,
                name: String::new(),
                ca: target.ca.clone(),
                backups: backups_of(former.as_ref()),
            };
            refuse_other_device(former.as_ref(), &identity, &config.audience)?;
            init_device(data, &target, &identity, &config, key.map(|key| *key))?.show(form);
            Ok(Outcome::Success)
        }
    }
}

/// What people wrote into the configuration is kept when it is written again.
fn backups_of(former: Option<&Config>) -> Vec<BackupSetting> {
    former.map_or_else(Vec::new, |former| former.backups.clone())
}

fn init_agent(
    data: &DataDir,
    target: Target,
    former: Option<&Config>,
    token: Arc<BearerToken>,
    form: Form,
) -> Result<Outcome, AgentError> {
    let key = key::load_or_create(&data.key())?;
    let client = HubClient::new(target.hub.clone(), target.ca.as_deref())?;
    let known = client.agents_self(&token)?;
    let clock_offset_ms = target.offset_ms(known.server_time);
    refuse_other_agent(former, &known)?;
    match &known.pinned {
        Some(pinned) if *pinned == key.verifying_key() => {}
        Some(pinned) if rotation::is_finished_by(data, pinned)? => {}
        // Asking for another key opens a finding at the hub, so it is not even tried.
        Some(_) => return Err(AgentError::OtherKey),
        None => {
            let request = PinRequest::compose(&key, &known.audience, known.agent_id);
            client.pin(&token, &request)?;
        }
    }
    make_spool(data)?;
    let config = Config {
        hub: target.hub,
        profile: Profile::Ed25519 {
            agent_id: known.agent_id,
            token,
        },
        audience: known.audience,
        name: clean(&known.name, NAME_CHARS_MAX),
        ca: target.ca,
        backups: backups_of(former),
    };
    config.save(&data.config())?;
    EnrolledAgent {
        agent_id: config.profile.to_string(),
        name: config.name,
        org: clean(&known.org, NAME_CHARS_MAX),
        aud: config.audience.to_string(),
        public_key: key::load(&data.key())?.verifying_key().to_string(),
        clock_offset_ms,
    }
    .show(form);
    Ok(Outcome::Success)
}

fn init_device(
    data: &DataDir,
    target: &Target,
    identity: &DeviceIdentity,
    config: &Config,
    key: Option<DeviceKey>,
) -> Result<EnrolledDevice, AgentError> {
    let key = match (key, key::load_device(&data.device_key())) {
        (Some(given), Err(KeyFileError::Absent { .. })) => given,
        (Some(given), Ok(kept)) if key::is_same(&given, &kept) => kept,
        (Some(_), Ok(_)) => {
            return Err(KeyFileError::Exists {
                path: data.device_key(),
            }
            .into());
        }
        (None, Ok(kept)) => kept,
        (_, Err(error)) => return Err(error.into()),
    };
    let client = HubClient::new(target.hub.clone(), target.ca.as_deref())?;
    let probe = DeviceProbe {
        client: &client,
        audience: &config.audience,
        identity,
        key: &key,
    };
    let clock_offset_ms = target.offset_ms(probe.ask()?);
    key::keep_device(&data.device_key(), &key)?;
    make_spool(data)?;
    config.save(&data.config())?;
    Ok(EnrolledDevice {
        org: identity.org().to_owned(),
        device: identity.device().to_owned(),
        aud: config.audience.to_string(),
        clock_offset_ms,
    })
}

fn make_spool(data: &DataDir) -> Result<(), AgentError> {
    match Spool::open(&data.spool(), SpoolLimits::standard()) {
        // A running daemon has it, so it is there.
        Ok(_) | Err(SpoolError::InUse { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refuse_other_agent(former: Option<&Config>, known: &AgentSelf) -> Result<(), AgentError> {
    let Some(former) = former else { return Ok(()) };
    if former.audience != known.audience {
        return Err(AgentError::OtherAgent("the hub id"));
    }
    match &former.profile {
        Profile::Ed25519 { agent_id, .. } if *agent_id == known.agent_id => Ok(()),
        Profile::Ed25519 { .. } => Err(AgentError::OtherAgent("the agent")),
        Profile::Hmac(_) => Err(AgentError::OtherAgent("the profile")),
    }
}

fn refuse_other_device(
    former: Option<&Config>,
    identity: &DeviceIdentity,
    audience: &Audience,
) -> Result<(), AgentError> {
    let Some(former) = former else { return Ok(()) };
    if former.audience != *audience {
        return Err(AgentError::OtherAgent("the hub id"));
    }
    match &former.profile {
        Profile::Hmac(known) if known == identity => Ok(()),
        Profile::Hmac(_) => Err(AgentError::OtherAgent("the device")),
        Profile::Ed25519 { .. } => Err(AgentError::OtherAgent("the profile")),
    }
}

impl EnrolledAgent {
    fn show(&self, form: Form) {
        let lines = [
            format!("enrolled as {} ({})", self.name, self.agent_id),
            format!("organisation {}, hub {}", self.org, self.aud),
            format!("public key {}", self.public_key),
        ];
        output::show(form, self, &lines);
    }
}

impl EnrolledDevice {
    fn show(&self, form: Form) {
        let lines = [
            format!("enrolled as {}/{}", self.org, self.device),
            format!("hub {}", self.aud),
        ];
        output::show(form, self, &lines);
    }
}

/// Names are shown on one line.
const NAME_CHARS_MAX: usize = 128;
