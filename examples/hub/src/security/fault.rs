//! A fault of ours while a request is answered: the client hears of it, and the hub goes on.

use std::panic::AssertUnwindSafe;

use axum::response::Response;
use futures_util::FutureExt;

use crate::api::problem;

/// Answers 500 when a handler panics; the log has the place. What it did in a transaction was not
/// committed, and locks are taken so that a panic leaves them usable.
pub(crate) async fn answer_faults(answer: impl Future<Output = Response>) -> Response {
    let answered = AssertUnwindSafe(answer).catch_unwind().await;
    answered.unwrap_or_else(|_| problem::fault())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_by_500() {
        let answer = answer_faults(async { panic!("a fault of ours") }).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
