//! One payload on its way from bytes to a durable acknowledgement.
//!
//! The order of checks is that of contract §3, in both profiles: `ed25519` and `hmac` hold what each
//! has of its own, `batch` what comes after a payload is known to come from whom it claims. Everything
//! decided here is decided by the pure crates; these files only read, ask, store and answer. While
//! the queue before the store is full, a payload is refused as soon as its headers are read.

mod batch;
mod body;
mod clones;
mod ed25519;
mod gate;
mod group;
mod hmac;
mod limiter;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use monsys_core::store::AuthProfile;
use monsys_wire::Reject;
use monsys_wire::answer::Acknowledgement;
use monsys_wire::header::JSON_TYPE;

pub(crate) use self::body::InFlight;
pub(crate) use self::clones::CloneWatch;
pub(crate) use self::ed25519::ingest;
pub(crate) use self::gate::FindingGate;
pub use self::group::GroupCommit;
pub(crate) use self::hmac::ingest_of_device;
pub(crate) use self::limiter::{Limiter, Rate};
use crate::api::problem;
use crate::app::App;

/// Headers as the wire crate reads them.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// Counts what became of a payload, and says so.
fn answer(app: &App, profile: AuthProfile, outcome: Result<Acknowledgement, Reject>) -> Response {
    let now = app.clock.now();
    let acknowledgement = match outcome {
        Ok(acknowledgement) => acknowledgement,
        Err(reject) => {
            app.telemetry.ingest.refused(profile, reject.kind());
            tracing::debug!(code = reject.code(), "payload refused");
            return problem::of_reject(&reject, now);
        }
    };
    app.telemetry.ingest.acknowledged(profile, acknowledgement);
    let status = StatusCode::from_u16(acknowledgement.status()).unwrap_or(StatusCode::OK);
    let headers = [(header::CONTENT_TYPE, JSON_TYPE)];
    (status, headers, acknowledgement.to_json(now)).into_response()
}
