//! The button that runs a cycle now.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{foreign_site, store_away};
use crate::app::App;
use crate::security::session::PageSession;

#[derive(Deserialize)]
pub(crate) struct RunForm {
    #[serde(default)]
    csrf: String,
}

/// `POST /integrity/run`: asks the worker for a cycle, and goes back to the page with a word of what
/// came of it: `started`, `running` (here), `elsewhere` (another hub has the lease) or `too-soon`
/// (one has just ended). Nobody waits for the end of the cycle.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Form(form): Form<RunForm>,
) -> Response {
    if !session.is_csrf_token(&form.csrf) {
        return foreign_site();
    }
    match app.worker.ask().await {
        Ok(asked) => {
            let back = format!("/integrity?run={}", asked.as_str());
            Redirect::to(&back).into_response()
        }
        Err(error) => store_away(&error),
    }
}
