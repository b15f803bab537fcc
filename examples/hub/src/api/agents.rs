//! Agents over HTTP: what an agent learns of itself, how it pins its key, and lists for people.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use monsys_core::id::AgentId;
use monsys_core::store::{AgentRecord, PinOutcome, PublicKey};
use monsys_core::time::Timestamp;
use monsys_integrity::detect::signature_invalid;
use monsys_wire::Reject;
use monsys_wire::answer::AgentSelf;
use monsys_wire::header::{JSON_TYPE, RequestHeaders};
use monsys_wire::pin::PinRequest;
use monsys_wire::rotate::RotateRequest;
use serde::Serialize;
use serde_json::json;

use super::fleet::fresh_since;
use super::problem;
use crate::app::App;
use crate::clock::wall_now;
use crate::security::session::ApiSession;
use crate::store::{Author, KeyChange, KeyOutcome};
use crate::store::{FleetRow, Presence};

/// Longest body of a request about keys, in bytes: a key, two signatures and their names, twice over.
const KEY_BYTES_MAX: usize = 1_024;
/// Processor readings of one agent.
const RECENT_CPU: u32 = 60;

/// `GET /api/v1/agents/self`: who the token belongs to.
pub(crate) async fn own(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let now = app.clock.now();
    match caller(&app, peer, &headers)
        .await
        .and_then(|agent| about(&app, &agent, now))
    {
        Ok(answer) => ([(header::CONTENT_TYPE, JSON_TYPE)], answer.to_json()).into_response(),
        Err(reject) => problem::of_reject(&reject, now),
    }
}

fn about(app: &App, agent: &AgentRecord, now: Timestamp) -> Result<AgentSelf, Reject> {
    Ok(AgentSelf {
        agent_id: agent.agent,
        audience: app.audience.clone(),
        org: agent.tenant_name.as_str().to_owned(),
        name: agent.name.as_str().to_owned(),
        pinned: app.pinned_key(agent)?,
        server_time: now,
    })
}

/// `POST /api/v1/agents/pin`: binds a key to the agent, once.
pub(crate) async fn pin(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let now = app.clock.now();
    let (parts, body) = request.into_parts();
    let pinned = match caller(&app, peer, &parts.headers).await {
        Ok(agent) => pin_key(&app, &agent, body).await,
        Err(reject) => Err(reject),
    };
    key_answer(pinned, now)
}

/// Tells an agent which key it is bound to from here on, or why to none other.
fn key_answer(bound: Result<String, Reject>, now: Timestamp) -> Response {
    match bound {
        Ok(key) => super::json(&json!({"pinned": key, "server_time": now.to_rfc3339()})),
        Err(reject) => problem::of_reject(&reject, now),
    }
}

async fn pin_key(app: &App, agent: &AgentRecord, body: Body) -> Result<String, Reject> {
    let body = read_small(body).await?;
    let proof = PinRequest::parse(&body)?.verify(&app.audience, agent.agent);
    // Without a pinned key there is none that the proof could contradict.
    if proof.is_err() && agent.key.is_some() {
        record(app, agent, signature_invalid::Reason::Mismatch).await;
    }
    let key = proof?;
    // What is known to fail is refused without asking the writer.
    let other = agent
        .key
        .filter(|pinned| *pinned != PublicKey(key.to_bytes()));
    if other.is_some() {
        record(app, agent, signature_invalid::Reason::PinConflict).await;
        return Err(Reject::PinRefused);
    }
    let pinned = app.store.pin(
        agent.tenant,
        agent.agent,
        PublicKey(key.to_bytes()),
        wall_now(),
    );
    let outcome = pinned.await.map_err(|error| app.store_reject(&error))?;
    if outcome == PinOutcome::OtherKey {
        record(app, agent, signature_invalid::Reason::PinConflict).await;
    }
    if outcome == PinOutcome::Pinned {
        tracing::info!(agent = %agent.agent, "key pinned");
    }
    let is_bound = [PinOutcome::Pinned, PinOutcome::AlreadyPinned].contains(&outcome);
    if is_bound {
        Ok(key.to_string())
    } else {
        Err(Reject::PinRefused)
    }
}

/// `POST /api/v1/agents/rotate-key`: goes from the pinned key to another.
pub(crate) async fn rotate_key(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let now = app.clock.now();
    let (parts, body) = request.into_parts();
    let rotated = match caller(&app, peer, &parts.headers).await {
        Ok(agent) => change_key(&app, &agent, body).await,
        Err(reject) => Err(reject),
    };
    key_answer(rotated, now)
}

async fn change_key(app: &App, agent: &AgentRecord, body: Body) -> Result<String, Reject> {
    let body = read_small(body).await?;
    let request = RotateRequest::parse(&body)?;
    let old = app.pinned_key(agent)?.ok_or(Reject::PinRefused)?;
    // Sent again because the answer was lost; that it is the pinned key is no secret to this token.
    if request.is_to(&old) {
        return Ok(old.to_string());
    }
    let proof = request.verify(&app.audience, agent.agent, &old);
    if proof.is_err() {
        record(app, agent, signature_invalid::Reason::Mismatch).await;
    }
    let new = proof?;
    let change = KeyChange::Continue {
        old: PublicKey(old.to_bytes()),
        new: PublicKey(new.to_bytes()),
    };
    let (tenant, by) = (agent.tenant, Author::Agent(agent.agent));
    let rotated = app.store.rotate_agent_key(tenant, agent.agent, change, by);
    match rotated.await.map_err(|error| app.store_reject(&error))? {
        KeyOutcome::Rotated => {
            tracing::info!(agent = %agent.agent, "key rotated");
            Ok(new.to_string())
        }
        KeyOutcome::AlreadyPinned => Ok(new.to_string()),
        // Another key was pinned between the look-up and here.
        KeyOutcome::OtherKey => Err(Reject::PinRefused),
    }
}

async fn read_small(body: Body) -> Result<Bytes, Reject> {
    let too_large = |_| Reject::TooLarge {
        body_bytes_max: KEY_BYTES_MAX,
    };
    axum::body::to_bytes(body, KEY_BYTES_MAX)
        .await
        .map_err(too_large)
}

async fn record(app: &App, agent: &AgentRecord, reason: signature_invalid::Reason) {
    let finding = signature_invalid::finding(reason);
    app.record_finding(agent, finding).await;
}

async fn caller(app: &App, peer: SocketAddr, headers: &HeaderMap) -> Result<AgentRecord, Reject> {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let parsed = RequestHeaders::parse(pairs)?;
    let peer = peer.ip().to_canonical();
    let agent = app.find_agent(peer, parsed.token().digest()).await?;
    if agent.is_revoked {
        Err(Reject::Revoked)
    } else {
        Ok(agent)
    }
}

/// An agent as it is listed.
#[derive(Serialize)]
pub(super) struct ShownAgent {
    agent_id: String,
    name: String,
    profile: &'static str,
    /// Null in the profile that pins no key.
    pinned: Option<bool>,
    revoked: bool,
    presence: &'static str,
    enrolled_at: String,
    last_seen_at: Option<String>,
    version: Option<String>,
    open_anomalies: u32,
    worst: Option<&'static str>,
    cpu_usage_percent: Vec<f64>,
    last_sample: Option<ShownLast>,
}

/// The newest sample of an agent, however old.
#[derive(Serialize)]
struct ShownLast {
    time: String,
    cpu_usage_percent: f64,
    load1: Option<f64>,
    mem_total_bytes: Option<i64>,
    mem_used_bytes: Option<i64>,
    uptime_seconds: Option<f64>,
}

impl ShownAgent {
    /// Shows an agent; heard of since a moment it is fresh.
    pub(super) fn new(row: FleetRow, fresh_since: Timestamp) -> Self {
        let agent = row.agent;
        Self {
            agent_id: agent.agent.to_string(),
            name: agent.name.as_str().to_owned(),
            profile: agent.key.profile().as_str(),
            pinned: agent.key.is_pinned(),
            revoked: agent.is_revoked,
            presence: Presence::of(&agent, fresh_since).as_str(),
            enrolled_at: agent.enrolled_at.to_rfc3339(),
            last_seen_at: agent.last_seen_at.map(|at| at.to_rfc3339()),
            version: agent.version,
            open_anomalies: agent.n_open,
            worst: agent.worst_open.map(|severity| severity.as_str()),
            cpu_usage_percent: agent.recent_cpu,
            last_sample: row.last.map(|last| ShownLast {
                time: last.at.to_rfc3339(),
                cpu_usage_percent: last.cpu_usage_percent,
                load1: last.load1,
                mem_total_bytes: last.mem_total_bytes,
                mem_used_bytes: last.mem_used_bytes,
                uptime_seconds: last.uptime_seconds,
            }),
        }
    }
}

/// `GET /api/v1/agents/{id}`: one agent of the organisation.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = AgentId::parse(&id) else {
        return problem::not_found();
    };
    let now = app.clock.now();
    let read = app
        .store
        .fleet_of(session.user.tenant, vec![id], RECENT_CPU, now);
    match read.await {
        Ok(rows) => match rows.into_iter().next() {
            Some(row) => super::json(&ShownAgent::new(row, fresh_since(now))),
            None => problem::not_found(),
        },
        Err(error) => problem::of_store(&error),
    }
}
