//! Bounds the time of a request, its body included.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::api::problem;

/// How long a client may take to send its body, and the hub to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Answers 408 when a request is not complete and answered in time; nothing of it was stored that
/// was not acknowledged, and coming again is right.
pub(crate) async fn answer_in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    answered.unwrap_or_else(|_| problem::too_slow())
}
