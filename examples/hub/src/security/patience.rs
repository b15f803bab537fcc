//! Bounds the time of a request, its body included.

use std::time::Duration;

use axum::response::Response;

use crate::api::problem;

/// How long a client may take to send its body, and the hub to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Answers 408 when a request is not complete and answered in time; nothing of it was stored that
/// was not acknowledged, and coming again is right.
pub(crate) async fn answer_in_time(answer: impl Future<Output = Response>) -> Response {
    let answered = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    answered.unwrap_or_else(|_| problem::too_slow())
}
