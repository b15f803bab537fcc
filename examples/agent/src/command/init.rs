//! `init`: key, pin and configuration, in an order that a crash cannot spoil.
//!
//! The key comes first and is never replaced, the pin second, the configuration last, so that
//! repeating the command after a crash at any point ends in the same state. A configuration of
//! another agent or hub is left alone; a new token for the same agent is taken.

use std::path::{Path, PathBuf};

use monsys_core::text::clean;
use monsys_wire::BearerToken;
use monsys_wire::answer::AgentSelf;
use monsys_wire::pin::PinRequest;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, DataDir, read_secret};
use crate::error::{AgentError, Outcome};
use crate::hub_url::HubUrl;
use crate::key;
use crate::output::{self, Form};
use crate::send::client::HubClient;
use crate::spool::{Spool, SpoolError, SpoolLimits};

/// What is to be enrolled where.
#[derive(Debug)]
pub struct Request {
    hub: HubUrl,
    token: BearerToken,
    ca: Option<PathBuf>,
    clock: Clock,
}

#[derive(Serialize)]
struct Enrolled {
    agent_id: String,
    name: String,
    org: String,
    aud: String,
    public_key: String,
    /// How far the hub's clock is ahead of this one.
    clock_offset_ms: i64,
}

impl Request {
    /// Checks what the command line says.
    ///
    /// # Errors
    /// [`AgentError::HubUrl`] or [`AgentError::Usage`]; neither repeats the token.
    pub(crate) fn new(
        hub: &str,
        allow_plain_http: bool,
        token: &str,
        ca: Option<PathBuf>,
        clock: Clock,
    ) -> Result<Self, AgentError> {
        let hub = if allow_plain_http {
            HubUrl::parse_with_plain_http(hub)?
        } else {
            HubUrl::parse(hub)?
        };
        let token = BearerToken::parse(token.trim().as_bytes()).ok_or_else(|| {
            AgentError::Usage("not a token: expected ms_ and 43 base64url characters".to_owned())
        })?;
        let ca = ca.map(std::path::absolute).transpose();
        let ca = ca.map_err(|source| AgentError::System {
            what: "--ca is no path",
            source,
        })?;
        Ok(Self {
            hub,
            token,
            ca,
            clock,
        })
    }
}

/// Enrols the agent of a data directory.
///
/// # Errors
/// [`AgentError::OtherAgent`] and [`AgentError::OtherKey`] may be relied on; nothing is overwritten
/// then.
pub fn init(data: &DataDir, request: Request, form: Form) -> Result<Outcome, AgentError> {
    let former = match Config::load(&data.config()) {
        Ok(config) => Some(config),
        Err(ConfigError::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if former
        .as_ref()
        .is_some_and(|former| former.hub != request.hub)
    {
        return Err(AgentError::OtherAgent("the hub"));
    }
    data.create()?;
    let key = key::load_or_create(&data.key())?;
    let client = HubClient::new(request.hub.clone(), request.token, request.ca.as_deref())?;
    let known = client.agents_self()?;
    let offset = known.server_time.since(request.clock.now());
    refuse_other_agent(former.as_ref(), &known)?;
    match &known.pinned {
        Some(pinned) if *pinned == key.verifying_key() => {}
        // Asking for another key opens a finding at the hub, so it is not even tried.
        Some(_) => return Err(AgentError::OtherKey),
        None => client.pin(&PinRequest::compose(&key, &known.audience, known.agent_id))?,
    }
    match Spool::open(&data.spool(), SpoolLimits::standard()) {
        // A running daemon has it, so it is there.
        Ok(_) | Err(SpoolError::InUse { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let config = Config {
        hub: request.hub,
        token: client.into_token(),
        agent_id: known.agent_id,
        audience: known.audience,
        name: clean(&known.name, NAME_CHARS_MAX),
        ca: request.ca,
    };
    config.save(&data.config())?;
    let enrolled = Enrolled {
        agent_id: config.agent_id.to_string(),
        name: config.name,
        org: clean(&known.org, NAME_CHARS_MAX),
        aud: config.audience.to_string(),
        public_key: key.verifying_key().to_string(),
        clock_offset_ms: offset.millis(),
    };
    show(&enrolled, form);
    Ok(Outcome::Success)
}

/// Reads the token from a file.
///
/// # Errors
/// [`AgentError::System`].
pub fn read_token(path: &Path) -> Result<String, AgentError> {
    read_secret(path).map_err(|source| AgentError::System {
        what: "the token file cannot be read",
        source,
    })
}

fn refuse_other_agent(former: Option<&Config>, known: &AgentSelf) -> Result<(), AgentError> {
    match former {
        Some(former) if former.audience != known.audience => {
            Err(AgentError::OtherAgent("the hub id"))
        }
        Some(former) if former.agent_id != known.agent_id => {
            Err(AgentError::OtherAgent("the agent"))
        }
        Some(_) | None => Ok(()),
    }
}

fn show(enrolled: &Enrolled, form: Form) {
    let lines = [
        format!("enrolled as {} ({})", enrolled.name, enrolled.agent_id),
        format!("organisation {}, hub {}", enrolled.org, enrolled.aud),
        format!("public key {}", enrolled.public_key),
    ];
    output::show(form, enrolled, &lines);
}

/// Names are shown on one line.
const NAME_CHARS_MAX: usize = 128;
