//! HTTP to one hub: blocking, bounded in time and size, without redirects.
//!
//! What: the requests of contract §3 that an agent makes. What not: proving who sends, which the
//! enrolment does; retrying; and no answer
//! leads to another address. Timeouts run on the real clock, also where the agent's own is
//! accelerated. Cost: a connection that is kept while the hub keeps it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use monsys_core::time::Timestamp;
use monsys_wire::answer::AgentSelf;
use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, DATE, JSON_TYPE, RETRY_AFTER};
use monsys_wire::reject::Code;
use monsys_wire::spool::retry_after;
use monsys_wire::{BearerToken, answer as wire};
use thiserror::Error;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Body, Proxy};

use super::answer::{Answer, Fault};
use super::resolve::Remembering;
use crate::hub_url::HubUrl;

/// A hub, and how to reach it.
#[derive(Debug)]
pub struct HubClient {
    agent: ureq::Agent,
    addresses: Remembering,
    hub: HubUrl,
}

/// What goes with the body of a payload: where it is sent, and the proof of who sends it. It has no
/// `Debug`: the headers of the ed25519 profile hold the token.
pub struct SignedRequest {
    /// The path at the hub.
    pub path: &'static str,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back for a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub answer: Answer,
    /// What the hub's clock shows, if it said so.
    pub server_time: Option<Timestamp>,
}

/// Says why the certificates of a file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaError {
    /// The file cannot be read.
    #[error("certificates at {} cannot be read", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("no certificate at {}: expected PEM", path.display())]
    Malformed {
        /// Where it is.
        path: PathBuf,
    },
}

/// Says why the hub did not answer a question about the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer, or none that makes sense.
    #[error("hub not reached: {}", .0.as_str())]
    Unreachable(Fault),
    /// The hub does not accept the caller.
    #[error("hub refused: {}", code.map_or("no reason given", Code::as_str))]
    Denied {
        /// Why.
        code: Option<Code>,
    },
    /// The hub is busy.
    #[error("hub is busy: expected another attempt later")]
    Busy,
}

impl HubClient {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Errors
    /// [`CaError`] for the file of certificates, if one is given.
    pub fn new(hub: HubUrl, ca: Option<&Path>) -> Result<Self, CaError> {
        let roots = ca.map(load_roots).transpose()?;
        let tls = roots.map_or_else(TlsConfig::default, |roots| {
            TlsConfig::builder().root_certs(roots).build()
        });
        // A proxy of the environment is for the network, not for this machine.
        let proxy = if hub.is_loopback() {
            None
        } else {
            Proxy::try_from_env()
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            // Longer than a cadence, which else would make a new connection with every sample.
            .max_idle_age(IDLE_MAX)
            .max_response_header_size(ANSWER_HEAD_BYTES_MAX)
            .user_agent(concat!("monsys-agent/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .proxy(proxy)
            .build();
        let addresses = Remembering::default();
        let connector = DefaultConnector::default();
        Ok(Self {
            agent: ureq::Agent::with_parts(config, connector, addresses.clone()),
            addresses,
            hub,
        })
    }

    /// Sends one payload.
    pub fn ingest(&self, body: &[u8], signed: &SignedRequest, timeout: Duration) -> Reply {
        let mut request = self
            .agent
            .post(self.hub.join(signed.path))
            .header(CONTENT_TYPE, JSON_TYPE);
        for (name, value) in &signed.headers {
            request = request.header(*name, value);
        }
        let request = request
            .config()
            .timeout_global(Some(timeout.min(REQUEST_TIMEOUT)))
            .build();
        let answered = request
            .send(body)
            .map_err(|error| fault(&error))
            .and_then(Answered::read);
        match answered {
            Ok(answered) => answered.into_reply(),
            Err(fault) => {
                self.addresses.forget();
                Reply {
                    answer: Answer::Unreachable(fault),
                    server_time: None,
                }
            }
        }
    }

    /// Asks the hub who this agent is.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn agents_self(&self, token: &BearerToken) -> Result<AgentSelf, CallError> {
        let request = self
            .agent
            .get(self.hub.join("/api/v1/agents/self"))
            .header(AUTHORIZATION, token.to_header_value());
        let answered = finish(request.call())?;
        AgentSelf::read(&answered.body).ok_or(CallError::Unreachable(Fault::Nonsense))
    }

    /// Asks the hub to pin a key.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Denied`] with `pin_refused` when another key is pinned or the
    /// time for it is over.
    pub fn pin(&self, token: &BearerToken, body: &str) -> Result<(), CallError> {
        let request = self
            .agent
            .post(self.hub.join("/api/v1/agents/pin"))
            .header(AUTHORIZATION, token.to_header_value())
            .header(CONTENT_TYPE, JSON_TYPE);
        finish(request.send(body)).map(|_| ())
    }

    /// Asks the hub to go from the pinned key to another.
    ///
    /// # Errors
    /// [`CallError`]; without an answer it is unknown which of the two is pinned.
    pub fn rotate_key(&self, token: &BearerToken, body: &str) -> Result<(), CallError> {
        let request = self
            .agent
            .post(self.hub.join("/api/v1/agents/rotate-key"))
            .header(AUTHORIZATION, token.to_header_value())
            .header(CONTENT_TYPE, JSON_TYPE);
        finish(request.send(body)).map(|_| ())
    }
}

struct Answered {
    status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answered {
    fn into_reply(self) -> Reply {
        Reply {
            answer: Answer::read(self.status, self.retry_after, &self.body),
            server_time: wire::Answer::read(self.status, &self.body).server_time,
        }
    }

    fn read(response: Response<Body>) -> Result<Self, Fault> {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let retry_after = header(RETRY_AFTER);
        let retry_after = retry_after.and_then(|text| retry_after::wait(text, header(DATE)));
        let body = response
            .into_body()
            .into_with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec();
        Ok(Self {
            status,
            retry_after,
            body: body.map_err(|error| fault(&error))?,
        })
    }
}

fn finish(result: Result<Response<Body>, ureq::Error>) -> Result<Answered, CallError> {
    let answered = result
        .map_err(|error| fault(&error))
        .and_then(Answered::read)
        .map_err(CallError::Unreachable)?;
    let read = wire::Answer::read(answered.status, &answered.body);
    match answered.status {
        200..=299 => Ok(answered),
        429 | 503 => Err(CallError::Busy),
        300..=399 => Err(CallError::Unreachable(Fault::Redirect)),
        401 | 403 => Err(CallError::Denied { code: read.code }),
        400..=499 if read.code.is_some() => Err(CallError::Denied { code: read.code }),
        500..=599 => Err(CallError::Unreachable(Fault::HubError)),
        _ => Err(CallError::Unreachable(Fault::Nonsense)),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's errors are open"
)]
const fn fault(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::HostNotFound => Fault::Name,
        ureq::Error::Timeout(_) => Fault::Timeout,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => Fault::Tls,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(_, _) => Fault::TooLong,
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => Fault::Redirect,
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => Fault::Nonsense,
        _ => Fault::Connection,
    }
}

fn load_roots(path: &Path) -> Result<RootCerts, CaError> {
    let pem = fs::read(path).map_err(|source| CaError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        if let Ok(PemItem::Certificate(certificate)) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(CaError::Malformed {
            path: path.to_owned(),
        });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// A request must end within two thirds of a cadence of 15 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_MAX: Duration = Duration::from_secs(60);
/// The longest answer is a refusal with 32 violations, some 8 KiB.
const ANSWER_BYTES_MAX: u64 = 65_536;
const ANSWER_HEAD_BYTES_MAX: usize = 16_384;
