//! What happens around every route, from the outside in: the request is seen, its transport learnt, the
//! headers are set, the time is bounded, a fault of ours is answered, HTTPS is enforced, the body limited.
//!
//! One layer and not seven: for each request axum copies a route with all layers around it, once for every
//! layer, and allocates for each of the copies.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::security::fault::answer_faults;
use crate::security::headers::set_headers;
use crate::security::patience::answer_in_time;
use crate::security::transport::{enforce_https, learn};
use crate::small_body::SMALL_BODY_BYTES_MAX;
use crate::telemetry::observe::Observed;

pub(super) async fn around(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let observed = Observed::begin(&app, &request);
    let mut response = if let Some(transport) = learn(&app, &mut request) {
        DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX).apply(&mut request);
        let answer = async {
            match enforce_https(&app, transport, request).await {
                Ok(request) => next.run(request).await,
                Err(refused) => refused,
            }
        };
        let mut response = answer_in_time(answer_faults(answer)).await;
        set_headers(transport, &mut response);
        response
    } else {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    };
    observed.end(&mut response);
    response
}
