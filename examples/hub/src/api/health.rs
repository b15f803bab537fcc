//! Whether the hub lives, and whether it can store.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::problem;
use crate::app::App;

/// `GET /healthz`: the process answers.
pub(crate) async fn live() -> Response {
    super::json(&json!({"status": "ok"}))
}

/// `GET /readyz`: the store takes a transaction, too, and the hub does not end.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.ending.has_begun() {
        return problem::ending();
    }
    match app.store.check_writable().await {
        Ok(_) => super::json(&json!({"status": "ok"})),
        Err(error) => problem::of_store(&error),
    }
}
