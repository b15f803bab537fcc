//! Bodies of people's requests: forms, notes, reasons.
//!
//! One that is too large is let pass by for a while before it is refused. A browser that is still
//! sending when the connection closes shows that, and never the answer that says what was wrong.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http_body_util::BodyExt;

use crate::api::problem;

/// Largest body of anything but a payload, in bytes: forms, notes and keys fit many times.
pub(crate) const SMALL_BODY_BYTES_MAX: usize = 65_536;
/// How much of a body is let pass by before it is refused, in bytes: 4 MiB.
const PASSED_BYTES_MAX: usize = 4 << 20;

/// A body for the API; a larger one is 413.
pub(crate) struct SmallBody(pub(crate) Vec<u8>);

impl<S: Send + Sync> FromRequest<S> for SmallBody {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        match read(request.into_body()).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(Unread::TooLarge) => Err(problem::too_large()),
            Err(Unread::CutOff) => Err(problem::unprocessable("expected a complete body")),
        }
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than [`SMALL_BODY_BYTES_MAX`].
    TooLarge,
    /// It ended before its end.
    CutOff,
}

/// Lets the body of a request that is refused pass by, for a while.
pub(crate) async fn let_pass(body: Body) {
    // What was in it does not matter any more.
    let _ = read(body).await;
}

/// Reads a body without believing what it says of its length.
pub(crate) async fn read(mut body: Body) -> Result<Vec<u8>, Unread> {
    let (mut bytes, mut n_passed) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::CutOff)?;
        let data = frame.data_ref().map_or(&[][..], AsRef::as_ref);
        n_passed += data.len();
        if n_passed > PASSED_BYTES_MAX {
            break;
        }
        if n_passed > SMALL_BODY_BYTES_MAX {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(data);
        }
    }
    if n_passed > SMALL_BODY_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_whole_or_refused() {
        let read_of = async |length| read(Body::from(vec![b'x'; length])).await;
        for length in [0, 1, SMALL_BODY_BYTES_MAX] {
            assert_eq!(read_of(length).await.map(|bytes| bytes.len()), Ok(length));
        }
        for length in [SMALL_BODY_BYTES_MAX + 1, PASSED_BYTES_MAX + 1] {
            assert_eq!(read_of(length).await, Err(Unread::TooLarge));
        }
    }
}
