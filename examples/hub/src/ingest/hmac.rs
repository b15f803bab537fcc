//! The hmac profile: a device shares a key with the hub, and each request has a nonce.
//!
//! - An unknown organisation, an unknown device and a wrong MAC are the same from outside. Each
//!   costs one look-up, the whole body, its canonical form and one HMAC, and gets the same bytes.
//! - So bodies are read of people nobody knows. They come out of a share of memory of their own
//!   ([`InFlight`](super::InFlight)): what strangers hold here keeps no agent with a token out.
//! - Nothing raises a finding. A MAC that was captured can be sent again by anybody, and a stale or
//!   repeated request must not frame an honest device.
//! - The nonce is decided about in the transaction that stores the payload. Where something behind
//!   it in the order of checks refuses the request, the nonce is used up by itself, and if it had
//!   been used before, that is the answer.
//! - A request stops counting against its address when its nonce was new, and no earlier: before
//!   that it may be a captured one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use monsys_core::store::{
    AuthProfile, DeviceRecord, IngestOutcome, NonceDigest, NonceOutcome, NonceUse,
};
use monsys_core::time::Timestamp;
use monsys_wire::answer::Acknowledgement;
use monsys_wire::envelope::hmac::{DeviceCredentials, NonceVerdict, Received};
use monsys_wire::header::DeviceHeaders;
use monsys_wire::{Admitted, DeviceKey, Reject};

use super::batch::{self, Sender};
use super::{answer, body, pairs};
use crate::app::App;

/// `POST /ingest`.
pub(crate) async fn ingest_of_device(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let outcome = accept(&app, peer.ip().to_canonical(), &parts.headers, body).await;
    answer(&app, AuthProfile::Hmac, outcome)
}

async fn accept(
    app: &App,
    peer: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Acknowledgement, Reject> {
    let (claim, device) = match look_up(app, peer, headers).await {
        Ok(claimed) => claimed,
        Err(reject) => {
            body::drain(headers, body).await?;
            return Err(reject);
        }
    };
    let body = body::read(&app.bodies_of_strangers, headers, body).await?;
    let received_at = app.clock.now();
    let received = Received::with_headers(&body.bytes, claim)?;
    let timely = match verify(app, received, device, received_at) {
        Ok(timely) => timely,
        Err(reject) => {
            app.unproved(peer);
            return Err(reject);
        }
    };
    let checked = timely
        .admitted
        .and_then(|admitted| batch::build(app, admitted, timely.sender, received_at));
    let ready = match checked {
        Ok(ready) => ready,
        Err(reject) => {
            let spent = spend_nonce(app, timely.sender, timely.nonce, received_at).await;
            if let Err(Reject::Replay | Reject::ReplayCapacity { .. }) = spent {
                app.unproved(peer);
            }
            return Err(spent.err().unwrap_or(reject));
        }
    };
    let outcome = batch::commit(app, ready).await?;
    let is_captured = matches!(
        outcome,
        IngestOutcome::NonceUsed | IngestOutcome::NoncesFull { .. }
    );
    if is_captured {
        app.unproved(peer);
        // The nonce comes before this limit in the order of checks: whoever sends a captured
        // request again must not use up what the organisation may send.
        app.org_limit
            .give_back(&timely.sender.tenant, Instant::now());
    }
    batch::acknowledge(outcome)
}

/// Reads what the request claims and looks for the device; that there is none is no answer yet.
async fn look_up<'h>(
    app: &App,
    peer: IpAddr,
    headers: &'h HeaderMap,
) -> Result<(DeviceHeaders<'h>, Option<DeviceRecord>), Reject> {
    let parsed = DeviceHeaders::parse(pairs(headers))?;
    app.refuse_when_full()?;
    let claim = parsed.claim();
    let device = app.find_device(peer, claim.org(), claim.device()).await?;
    Ok((parsed, device))
}

/// A request that comes from a device and was signed within the window.
struct Timely {
    sender: Sender,
    nonce: NonceDigest,
    /// What it holds, or what is wrong with it beside the nonce.
    admitted: Result<Admitted, Reject>,
}

fn verify(
    app: &App,
    received: Received<'_>,
    device: Option<DeviceRecord>,
    now: Timestamp,
) -> Result<Timely, Reject> {
    // Made for a device that is not there as well: the work must not tell.
    let secret = device.as_ref().map(|device| device.key.expose_bytes());
    let key = DeviceKey::from_secret_bytes(*secret.unwrap_or(&[0; 32]));
    let credentials = device.as_ref().map(|device| {
        let credentials = DeviceCredentials::new(device.agent, AuthProfile::Hmac, &key);
        if device.is_revoked {
            credentials.revoked()
        } else {
            credentials
        }
    });
    let mut scratch = app.scratch.take();
    let timely = received
        .authenticate(credentials.as_ref(), app.config.body_form, &mut scratch)
        .and_then(|authenticated| authenticated.timely(now))
        .map(|timely| {
            let nonce = timely.nonce();
            let fresh = timely.fresh(NonceVerdict::AtCommit, &app.audience);
            (nonce, fresh.and_then(|fresh| fresh.admit()))
        });
    app.scratch.give_back(scratch);
    let (nonce, admitted) = timely?;
    // Cannot be None: no unknown device authenticates.
    let device = device.ok_or(Reject::UnauthorizedDevice)?;
    let sender = Sender {
        tenant: device.tenant,
        agent: device.agent,
    };
    Ok(Timely {
        sender,
        nonce,
        admitted,
    })
}

/// Uses up the nonce of a request that is refused for something else.
async fn spend_nonce(
    app: &App,
    sender: Sender,
    nonce: NonceDigest,
    at: Timestamp,
) -> Result<(), Reject> {
    let spent = NonceUse {
        tenant: sender.tenant,
        agent: sender.agent,
        nonce,
        at,
    };
    let outcome = app.store.spend_nonce(&spent).await;
    match outcome.map_err(|error| app.store_reject(&error))? {
        NonceOutcome::Spent => Ok(()),
        NonceOutcome::Used => Err(Reject::Replay),
        NonceOutcome::Full { retry_after_s } => Err(Reject::ReplayCapacity { retry_after_s }),
    }
}
