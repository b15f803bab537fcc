//! The HTTP API for people's programs: integrity, agents, health.

pub(crate) mod action;
pub(crate) mod agents;
pub(crate) mod auth;
mod csv;
mod export;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod insight;
pub(crate) mod integrity;
pub(crate) mod live;
pub(crate) mod metrics;
mod parameters;
pub(crate) mod problem;
pub(crate) mod samples;
pub(crate) mod signals;
pub(crate) mod trust;
pub(crate) mod users;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

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

/// Reads a body that must be one JSON document of just these members.
///
/// # Errors
/// The answer that says which rule was broken; it never repeats what was sent.
fn strict_json<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|error| {
        let message = error.to_string();
        // serde begins its messages so, and names the member of ours that is meant.
        let begins = |start| message.starts_with(start);
        let expected = "expected one JSON object of just the members of this request, each once";
        if !error.is_data() {
            problem::malformed("syntax", expected)
        } else if begins("duplicate field") {
            problem::malformed("duplicate_name", expected)
        } else if begins("unknown field") {
            problem::unprocessable_as("unknown_field", expected)
        } else if begins("missing field") {
            problem::unprocessable_as("missing_field", expected)
        } else {
            problem::unprocessable_as("wrong_type", expected)
        }
    })
}
