//! A fault of ours while a request is answered: the client hears of it, and the hub goes on.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;

use crate::api::problem;

/// Answers 500 when a handler panics; the log has the place. What it did in a transaction was not
/// committed, and locks are taken so that a panic leaves them usable.
pub(crate) async fn answer_faults(request: Request, next: Next) -> Response {
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answered.unwrap_or_else(|_| problem::fault())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn fails() -> &'static str {
        panic!("a fault of ours")
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_by_500() {
        let router = Router::new()
            .route("/", get(fails))
            .layer(from_fn(answer_faults));
        let service = TowerToHyperService::new(router);
        let request = axum::http::Request::new(Body::empty());
        let Ok(answer) = hyper::service::Service::call(&service, request).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
