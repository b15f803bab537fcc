//! The outermost layer: it sees every request and every answer, and says goodbye for a hub that ends.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::store_fault::SeenFault;
use crate::app::App;
use crate::drain;

/// Counts a request and how long its answer took to begin.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let requests = &app.telemetry.requests;
    let under_way = requests.begin();
    let template = request.extensions().get::<MatchedPath>().cloned();
    let method = method_word(request.method());
    let mut response = next.run(request).await;
    drop(under_way);
    if let Some(SeenFault(fault)) = response.extensions().get() {
        app.telemetry.store_faults.add(*fault);
    }
    let template = template.as_ref().map(MatchedPath::as_str);
    // Never the address itself: secrets of links stand in it.
    tracing::debug!(
        method,
        template,
        status = response.status().as_u16(),
        took_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
        "request answered"
    );
    requests.answered(template, response.status().as_u16(), since);
    if app.ending.has_begun() {
        drain::close(&mut response);
    }
    response
}

/// The words of HTTP; any other is its sender's own text.
fn method_word(method: &Method) -> &'static str {
    const WORDS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = WORDS.into_iter().find(|word| *word == method.as_str());
    known.unwrap_or("other")
}
