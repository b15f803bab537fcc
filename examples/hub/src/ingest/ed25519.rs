//! The ed25519 profile: a token says who sends, a signature proves it.
//!
//! Whoever shows no valid token takes no memory. A refusal that says something about the agent
//! itself is recorded as a finding; nobody without its token can raise one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use monsys_core::anomaly::Finding;
use monsys_core::store::{AgentRecord, AuthProfile};
use monsys_integrity::detect::{signature_invalid, unsigned_payload};
use monsys_wire::answer::Acknowledgement;
use monsys_wire::envelope::Credentials;
use monsys_wire::reject::SignatureFault;
use monsys_wire::{Admitted, Received, Reject, RequestHeaders};

use super::batch::{self, Sender};
use super::{answer, body, pairs};
use crate::app::App;

/// `POST /api/v1/ingest`.
pub(crate) async fn ingest(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let outcome = accept(&app, peer.ip().to_canonical(), &parts.headers, body).await;
    answer(&app, AuthProfile::Ed25519, outcome)
}

async fn accept(
    app: &App,
    peer: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Acknowledgement, Reject> {
    let (claim, agent) = match look_up(app, peer, headers).await {
        Ok(known) => known,
        Err(reject) => {
            body::drain(headers, body).await?;
            return Err(reject);
        }
    };
    let body = body::read(&app.bodies_of_agents, headers, body).await?;
    let received_at = app.clock.now();
    let received = Received::with_headers(&body.bytes, claim)?;
    let admitted = match authenticate(app, received, &agent) {
        Ok(admitted) => admitted,
        Err(reject) => {
            if let Some(finding) = finding_of(&reject) {
                app.unproved(peer);
                app.record_finding(&agent, finding).await;
            }
            return Err(reject);
        }
    };
    let sender = Sender {
        tenant: agent.tenant,
        agent: agent.agent,
    };
    let ready = batch::build(app, admitted, sender, received_at)?;
    batch::acknowledge(batch::commit(app, ready).await?)
}

async fn look_up(
    app: &App,
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<(RequestHeaders, AgentRecord), Reject> {
    let claim = RequestHeaders::parse(pairs(headers))?;
    app.refuse_when_full()?;
    let agent = app.find_agent(peer, claim.token().digest()).await?;
    Ok((claim, agent))
}

fn authenticate(
    app: &App,
    received: Received<'_>,
    agent: &AgentRecord,
) -> Result<Admitted, Reject> {
    let key = app.pinned_key(agent)?;
    let mut owner = Credentials::new(agent.agent, AuthProfile::Ed25519);
    if let Some(key) = &key {
        owner = owner.with_pinned_key(key);
    }
    if agent.is_revoked {
        owner = owner.revoked();
    }
    let mut scratch = app.scratch.take();
    let admitted = received
        .authenticate(&owner, app.config.body_form, &mut scratch)
        .and_then(|authenticated| authenticated.fresh(&app.audience))
        .and_then(|fresh| fresh.admit());
    app.scratch.give_back(scratch);
    admitted
}

/// Tells what a refused request with a valid token says about its agent.
fn finding_of(reject: &Reject) -> Option<Finding> {
    if *reject == Reject::UnsignedPayload {
        return Some(unsigned_payload::pinned_but_absent());
    }
    let Reject::BadSignature { reason } = reject else {
        return None;
    };
    let is_malformed = *reason == SignatureFault::Malformed;
    Some(signature_invalid::finding(if is_malformed {
        signature_invalid::Reason::Malformed
    } else {
        signature_invalid::Reason::Mismatch
    }))
}
