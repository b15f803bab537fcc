//! One payload on its way from bytes to a durable acknowledgement.
//!
//! The order of checks is that of contract §3. Everything decided here is decided by the pure
//! crates; this file only reads, asks, stores and answers. A refusal that says something about the
//! agent itself is recorded as a finding.

mod body;
mod gate;
mod limiter;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use monsys_core::anomaly::Finding;
use monsys_core::signal::{Rule, Violation, Violations};
use monsys_core::store::{
    AgentRecord, IngestBatch, IngestOutcome, IngestStore, Payload, SignatureStatus, VersionSeen,
};
use monsys_core::time::Timestamp;
use monsys_integrity::detect::{signature_invalid, unsigned_payload};
use monsys_integrity::{finding_signal, version};
use monsys_wire::answer::Acknowledgement;
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials};
use monsys_wire::header::{JSON_TYPE, RequestHeaders};
use monsys_wire::reject::SignatureFault;
use monsys_wire::{Admitted, Received, Reject, schema};

pub(crate) use self::body::IN_FLIGHT_BLOCKS;
pub(crate) use self::gate::FindingGate;
pub(crate) use self::limiter::{Limiter, Rate};
use crate::api::problem;
use crate::app::App;

/// `POST /api/v1/ingest`: the ed25519 profile.
pub(crate) async fn ingest(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let outcome = accept(&app, peer.ip().to_canonical(), &parts.headers, body).await;
    let now = app.clock.now();
    match outcome {
        Ok(acknowledgement) => {
            let counter = match acknowledgement {
                Acknowledgement::Accepted => &app.counters.accepted,
                Acknowledgement::Duplicate => &app.counters.duplicate,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            acknowledge(acknowledgement, now)
        }
        Err(reject) => {
            app.counters.rejected.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(code = reject.code(), "payload refused");
            problem::of_reject(&reject, now)
        }
    }
}

async fn accept(
    app: &App,
    peer: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Acknowledgement, Reject> {
    let pairs = || {
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
    };
    let known = match RequestHeaders::parse(pairs()) {
        Ok(parsed) => app.find_agent(peer, parsed.token().digest()).await,
        Err(reject) => Err(reject),
    };
    let agent = match known {
        Ok(agent) => agent,
        Err(reject) => {
            body::drain(headers, body).await?;
            return Err(reject);
        }
    };
    let body = body::read(app, headers, body).await?;
    let received_at = app.clock.now();
    let received = Received::new(&body.bytes, pairs())?;
    let admitted = match authenticate(app, received, &agent) {
        Ok(admitted) => admitted,
        Err(reject) => {
            match finding_of(&reject) {
                Some(finding) => app.record_finding(&agent, finding).await,
                None => app.authenticated(peer),
            }
            return Err(reject);
        }
    };
    app.authenticated(peer);
    app.org_limit.take(agent.tenant, Instant::now())?;
    let batch = batch(admitted, &agent, received_at)?;
    store(app, batch).await
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
        .authenticate(&owner, BodyForm::Accept, &mut scratch)
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

fn batch(
    admitted: Admitted,
    agent: &AgentRecord,
    received_at: Timestamp,
) -> Result<IngestBatch, Reject> {
    let payload = match admitted.payload {
        schema::Payload::Metrics(sample) => Payload::Metrics(sample),
        schema::Payload::Signals(drafts) => {
            let admitted = monsys_signals::agent::admit(drafts, agent.agent, received_at);
            Payload::Signals(admitted.map_err(|violations| Reject::InvalidSignal { violations })?)
        }
        schema::Payload::Endpoint(snapshot) => Payload::Endpoint(snapshot),
        _ => return Err(Reject::WrongProfile),
    };
    let is_unpinned = admitted.signature == SignatureStatus::Unpinned;
    let finding = is_unpinned.then(|| {
        let finding = unsigned_payload::no_pinned_key();
        let signal = finding_signal(agent.agent, &finding, received_at);
        (finding, signal)
    });
    let triple = version::triple(admitted.agent_version.as_str());
    Ok(IngestBatch {
        tenant: agent.tenant,
        agent: agent.agent,
        received_at,
        captured_at: admitted.captured_at,
        sent_at: admitted.sent_at,
        position: admitted.position,
        content: admitted.content_hash,
        signature: admitted.signature,
        version: VersionSeen {
            text: admitted.agent_version,
            triple,
        },
        payload,
        finding,
    })
}

async fn store(app: &App, batch: IngestBatch) -> Result<Acknowledgement, Reject> {
    let outcomes = app.store.commit(std::slice::from_ref(&batch)).await;
    let outcomes = outcomes.map_err(|error| app.store_reject(&error))?;
    match outcomes.first() {
        Some(IngestOutcome::Accepted) => Ok(Acknowledgement::Accepted),
        Some(IngestOutcome::Duplicate) => Ok(Acknowledgement::Duplicate),
        Some(IngestOutcome::Replay) => Err(Reject::Replay),
        Some(IngestOutcome::StaleEpoch { min_epoch }) => Err(Reject::StaleEpoch {
            min_epoch: *min_epoch,
        }),
        Some(IngestOutcome::TooManyKeys { index }) => {
            let mut violations = Violations::default();
            violations.push(Violation {
                index: *index,
                rule: Rule::LiveKeys,
            });
            Err(Reject::InvalidSignal { violations })
        }
        Some(IngestOutcome::OutOfRange) => Err(Reject::OutOfRange {
            pointer: "/epoch".into(),
            expected: "an epoch that follows the current one",
        }),
        _ => Err(Reject::StoreUnavailable { retry_after_s: 5 }),
    }
}

fn acknowledge(acknowledgement: Acknowledgement, now: Timestamp) -> Response {
    let status = StatusCode::from_u16(acknowledgement.status()).unwrap_or(StatusCode::OK);
    let headers = [(header::CONTENT_TYPE, JSON_TYPE)];
    (status, headers, acknowledgement.to_json(now)).into_response()
}
