//! The HTTP API for people's programs: integrity, agents, health.

pub(crate) mod action;
pub(crate) mod agents;
mod csv;
pub(crate) mod events;
mod export;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod insight;
pub(crate) mod integrity;
pub(crate) mod live;
pub(crate) mod metrics;
pub(crate) mod parameters;
pub(crate) mod problem;
pub(crate) mod samples;
pub(crate) mod signals;
pub(crate) mod trust;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Answers with a JSON document.
pub(crate) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            // Every value here is made of texts and finite numbers.
            tracing::error!(%error, "an answer could not be written");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
