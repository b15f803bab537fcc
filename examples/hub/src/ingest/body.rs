//! Reads a body without believing what it says of its length.
//!
//! The cap holds while the body streams in, and the bytes of all bodies in flight are bounded, so
//! that nobody fills the memory before showing who they are.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use monsys_core::limit;
use monsys_wire::Reject;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unit in which bodies in flight are counted.
const BLOCK_BYTES: usize = 4_096;
/// Most bytes of bodies in flight beyond their first blocks: 64 MiB, a hundred of the largest.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// The same in blocks.
const IN_FLIGHT_BLOCKS: usize = IN_FLIGHT_BYTES_MAX / BLOCK_BYTES;

/// How many bytes of bodies may be in flight.
///
/// The first block of each body is free: connections are bounded, and so are their first blocks
/// (16,384 of 4 KiB). Whoever holds the rest with large bodies that never end keeps out large
/// bodies only, and a sample fits a block.
#[derive(Clone)]
pub(crate) struct InFlight {
    blocks: Arc<Semaphore>,
}

impl InFlight {
    /// A share of memory of which nothing is taken.
    pub(crate) fn new() -> Self {
        Self::of(IN_FLIGHT_BLOCKS)
    }

    fn of(blocks: usize) -> Self {
        Self {
            blocks: Arc::new(Semaphore::new(blocks)),
        }
    }

    /// How many bytes are taken beyond the first blocks.
    pub(crate) fn bytes_taken(&self) -> usize {
        let free = self.blocks.available_permits();
        IN_FLIGHT_BLOCKS.saturating_sub(free) * BLOCK_BYTES
    }

    fn take(&self, count: usize) -> Result<OwnedSemaphorePermit, Reject> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.blocks).try_acquire_many_owned(count);
        taken.map_err(|_| Reject::StoreUnavailable { retry_after_s: 1 })
    }
}

/// The bytes of a body, and their share of what may be in flight.
pub(super) struct ReceivedBody {
    pub(super) bytes: Vec<u8>,
    blocks: OwnedSemaphorePermit,
}

/// Reads a body of at most [`limit::BODY_BYTES_MAX`] bytes.
pub(super) async fn read(
    in_flight: &InFlight,
    headers: &HeaderMap,
    body: Body,
) -> Result<ReceivedBody, Reject> {
    refuse_declared(headers)?;
    read_frames(in_flight, body).await
}

/// Lets the body of a stranger pass by without keeping it: whoever shows no valid token takes no
/// memory, and still hears first that a body is too large.
pub(super) async fn drain(headers: &HeaderMap, mut body: Body) -> Result<(), Reject> {
    refuse_declared(headers)?;
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        length += frame
            .map_err(|_| cut_off())?
            .data_ref()
            .map_or(0, |data| data.len());
        if length > limit::BODY_BYTES_MAX {
            return Err(too_large());
        }
    }
    Ok(())
}

fn refuse_declared(headers: &HeaderMap) -> Result<(), Reject> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse::<usize>().ok());
    let is_too_large = declared.is_some_and(|length| length > limit::BODY_BYTES_MAX);
    if is_too_large {
        Err(too_large())
    } else {
        Ok(())
    }
}

/// Takes a share for what has come, not for what was promised: holding the share costs bytes.
async fn read_frames(in_flight: &InFlight, mut body: Body) -> Result<ReceivedBody, Reject> {
    let mut received = ReceivedBody {
        bytes: Vec::new(),
        blocks: in_flight.take(0)?,
    };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| cut_off())?.into_data() else {
            continue;
        };
        let length = received.bytes.len() + data.len();
        if length > limit::BODY_BYTES_MAX {
            return Err(too_large());
        }
        let missing = length
            .div_ceil(BLOCK_BYTES)
            .saturating_sub(1)
            .saturating_sub(received.blocks.num_permits());
        received.blocks.merge(in_flight.take(missing)?);
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

const fn too_large() -> Reject {
    Reject::TooLarge {
        body_bytes_max: limit::BODY_BYTES_MAX,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_is_taken_for_what_came_and_given_back() {
        let in_flight = InFlight::of(3);
        let read = |n_bytes| read_frames(&in_flight, Body::from(vec![b' '; n_bytes]));
        let three = read(3 * BLOCK_BYTES).await.unwrap();
        assert_eq!(in_flight.blocks.available_permits(), 1);
        let refused = read(2 * BLOCK_BYTES + 1).await;
        assert_eq!(
            refused.err(),
            Some(Reject::StoreUnavailable { retry_after_s: 1 })
        );
        assert_eq!(
            in_flight.blocks.available_permits(),
            1,
            "a refused body holds nothing"
        );
        drop(three);
        assert_eq!(in_flight.blocks.available_permits(), 3);
    }

    #[tokio::test]
    async fn small_bodies_pass_when_large_ones_have_taken_all() {
        let in_flight = InFlight::of(1);
        let read = |n_bytes| read_frames(&in_flight, Body::from(vec![b' '; n_bytes]));
        let large = read(BLOCK_BYTES + 1).await.unwrap();
        assert!(read(BLOCK_BYTES + 1).await.is_err());
        assert!(read(BLOCK_BYTES).await.is_ok());
        drop(large);
        assert!(read(BLOCK_BYTES + 1).await.is_ok());
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_large() {
        let in_flight = InFlight::new();
        let largest = Body::from(vec![b' '; limit::BODY_BYTES_MAX]);
        assert!(read_frames(&in_flight, largest).await.is_ok());
        let larger = Body::from(vec![b' '; limit::BODY_BYTES_MAX + 1]);
        assert_eq!(
            read_frames(&in_flight, larger).await.err(),
            Some(too_large())
        );
    }
}
