//! What is seen of every request and every answer, and the goodbye of a hub that ends.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;

use super::request::UnderWay;
use super::store_fault::SeenFault;
use crate::app::App;
use crate::drain;

/// A request that is being answered. One that goes away before has been under way, and is not counted
/// as answered.
pub(crate) struct Observed<'a> {
    app: &'a App,
    since: Instant,
    under_way: UnderWay<'a>,
    template: Option<MatchedPath>,
    method: &'static str,
}

impl<'a> Observed<'a> {
    pub(crate) fn begin(app: &'a App, request: &Request) -> Self {
        Self {
            app,
            since: Instant::now(),
            under_way: app.telemetry.requests.begin(),
            template: request.extensions().get::<MatchedPath>().cloned(),
            method: method_word(request.method()),
        }
    }

    /// Counts the request and how long its answer took to begin.
    pub(crate) fn end(self, response: &mut Response) {
        let Self { app, since, .. } = self;
        drop(self.under_way);
        if let Some(SeenFault(fault)) = response.extensions().get() {
            app.telemetry.store_faults.add(*fault);
        }
        let template = self.template.as_ref().map(MatchedPath::as_str);
        // Never the address itself: secrets of links stand in it.
        tracing::debug!(
            method = self.method,
            template,
            status = response.status().as_u16(),
            took_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
            "request answered"
        );
        let requests = &app.telemetry.requests;
        requests.answered(template, response.status().as_u16(), since);
        if app.ending.has_begun() {
            drain::close(response);
        }
    }
}

/// The words of HTTP; any other is its sender's own text.
fn method_word(method: &Method) -> &'static str {
    const WORDS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = WORDS.into_iter().find(|word| *word == method.as_str());
    known.unwrap_or("other")
}
