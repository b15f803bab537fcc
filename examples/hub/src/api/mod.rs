//! The HTTP API for people's programs: integrity, agents, health.

pub(crate) mod action;
pub(crate) mod agents;
pub(crate) mod auth;
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

/// Why a body is not the one JSON document of just these members that it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NotStrict(&'static str);

impl NotStrict {
    /// Says which rule was broken; never repeats what was sent.
    fn answer(self) -> Response {
        let expected = "expected one JSON object of just the members of this request, each once";
        match self.0 {
            code @ ("syntax" | "duplicate_name") => problem::malformed(code, expected),
            code => problem::unprocessable_as(code, expected),
        }
    }
}

/// Reads a body that must be one JSON document of just these members.
fn strict_json<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, NotStrict> {
    serde_json::from_slice(body).map_err(|error| {
        let message = error.to_string();
        // serde begins its messages so, and names the member of ours that is meant.
        let begins = |start| message.starts_with(start);
        NotStrict(if !error.is_data() {
            "syntax"
        } else if begins("duplicate field") {
            "duplicate_name"
        } else if begins("unknown field") {
            "unknown_field"
        } else if begins("missing field") {
            "missing_field"
        } else {
            "wrong_type"
        })
    })
}
