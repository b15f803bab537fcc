//! Reads a body without believing what it says of its length.
//!
//! The cap holds while the body streams in, and the bytes of all bodies in flight are bounded, so
//! that nobody fills the memory before showing who they are.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use monsys_core::limit;
use monsys_wire::Reject;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;

/// Unit in which bodies in flight are counted.
const BLOCK_BYTES: usize = 4_096;
/// Most bytes of bodies in flight: 64 MiB, a hundred of the largest.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Most blocks of bodies in flight.
pub(crate) const IN_FLIGHT_BLOCKS: usize = IN_FLIGHT_BYTES_MAX / BLOCK_BYTES;
/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads a body of at most [`limit::BODY_BYTES_MAX`] bytes.
pub(super) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), Reject> {
    let too_large = Reject::TooLarge {
        body_bytes_max: limit::BODY_BYTES_MAX,
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit::BODY_BYTES_MAX) {
        return Err(too_large);
    }
    let blocks = declared
        .unwrap_or(limit::BODY_BYTES_MAX)
        .div_ceil(BLOCK_BYTES)
        .max(1);
    let busy = Reject::StoreUnavailable { retry_after_s: 1 };
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    let in_flight = Arc::clone(&app.bodies_in_flight);
    let permit = in_flight.try_acquire_many_owned(blocks).map_err(|_| busy)?;
    let reading = axum::body::to_bytes(body, limit::BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(bytes)) => Ok((bytes, permit)),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large),
        Ok(Err(_)) | Err(_) => Err(cut_off()),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// A body that ends before its declared length is JSON that ends too early.
fn cut_off() -> Reject {
    match monsys_core::json::check(b"") {
        Err(error) => Reject::Malformed {
            error,
            pointer: None,
        },
        Ok(_) => Reject::StoreUnavailable { retry_after_s: 1 },
    }
}
