//! Sessions: how long they last, over what they may begin, and how handlers take them.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use monsys_core::time::Span;

use super::policy::Known;
use super::principal::Principal;
use super::transport::Transport;
use crate::api::problem;
use crate::app::App;

/// How long a session lasts, in seconds: 12 hours.
pub(crate) const SESSION_S: i64 = 12 * 3_600;
/// How long a one-time link lasts, in seconds: 30 minutes.
pub(crate) const LINK_S: i64 = 30 * 60;

/// Who asks for a page. The ledger was read before the page is, so that its script knows what it need
/// not be told.
pub(crate) struct PageSession(pub(crate) Arc<Principal>);

impl FromRequestParts<Known> for PageSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Known) -> Result<Self, Response> {
        let found = admitted(parts).ok_or_else(|| Redirect::to("/login").into_response());
        found.map(Self)
    }
}

/// Who calls.
pub(crate) struct ApiSession(pub(crate) Arc<Principal>);

impl FromRequestParts<Known> for ApiSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Known) -> Result<Self, Response> {
        admitted(parts).map(Self).ok_or_else(problem::unauthorized)
    }
}

/// Takes whom the policy of the route let in; nobody is let in where there is none.
fn admitted(parts: &Parts) -> Option<Arc<Principal>> {
    parts.extensions.get().map(Arc::clone)
}

/// Returns the span for which a new session is valid.
pub(crate) const fn session_span() -> Span {
    Span::from_secs(SESSION_S)
}

/// Tells whether a password may be sent this way: over HTTPS, and in plain from this machine to
/// itself, unless the operator allows it from elsewhere.
pub(crate) const fn is_login_allowed(app: &App, transport: Transport) -> bool {
    app.config.allow_plain_login || transport.is_https || transport.is_local
}
