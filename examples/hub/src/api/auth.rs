//! Logging in for programs: a password for two tokens, a refresh token for two new ones.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::problem;
use crate::app::App;
use crate::clock::wall_now;
use crate::security::jwt::{ACCESS_S, RefreshToken};
use crate::security::login::{self, Attempt, Refused};
use crate::security::password::Password;
use crate::security::session::is_login_allowed;
use crate::security::transport::Transport;
use crate::small_body::SmallBody;
use crate::store::{Holder, Rotation, SessionUser};
use crate::telemetry::AuthFailure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    org: String,
    username: String,
    password: Password,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    refresh_token: String,
}

/// `POST /auth/api/login`: an access token and the first refresh token of a family.
pub(crate) async fn log_in(
    State(app): State<Arc<App>>,
    transport: Transport,
    headers: HeaderMap,
    SmallBody(body): SmallBody,
) -> Response {
    if !is_login_allowed(&app, transport) {
        return problem::https_required();
    }
    let request: LoginRequest = match super::strict_json(&body) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    if let Err(expected) = request.password.check_size() {
        return problem::unprocessable(expected);
    }
    let attempt = Attempt {
        org: &request.org,
        username: &request.username,
        password: request.password,
    };
    match login::check(&app, attempt, (&headers, transport)).await {
        Ok(user) => open_family(&app, &user).await,
        Err(refused) => refusal(&refused),
    }
}

/// `POST /auth/api/refresh`: two new tokens for a refresh token, which is good for nothing more. One
/// that was used before ends its family.
pub(crate) async fn refresh(
    State(app): State<Arc<App>>,
    transport: Transport,
    SmallBody(body): SmallBody,
) -> Response {
    if !is_login_allowed(&app, transport) {
        return problem::https_required();
    }
    let request: RefreshRequest = match super::strict_json(&body) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let failures = &app.telemetry.auth_failures;
    let (tokens, now) = (&app.auth.tokens, wall_now());
    let Ok(shown) = tokens.read_refresh(&request.refresh_token, now) else {
        failures.add(AuthFailure::RefreshToken);
        return not_good();
    };
    let next = tokens.next(&shown, now);
    let rotated = app.store.rotate_refresh(shown.digest, next.digest, now);
    match rotated.await {
        Ok(Rotation::Rotated(user)) => pair(&app, &user, &next),
        Ok(Rotation::Reused) => {
            failures.add(AuthFailure::RefreshTokenReused);
            tracing::warn!("a refresh token was used twice: its family ended");
            not_good()
        }
        Ok(Rotation::Unknown | Rotation::Expired) => {
            failures.add(AuthFailure::RefreshToken);
            not_good()
        }
        Err(error) => problem::of_store(&error),
    }
}

/// `POST /auth/api/logout`: ends the family of a refresh token. The access token beside it is good
/// until it expires.
pub(crate) async fn log_out(State(app): State<Arc<App>>, SmallBody(body): SmallBody) -> Response {
    let request: RefreshRequest = match super::strict_json(&body) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let now = wall_now();
    let Ok(shown) = app.auth.tokens.read_refresh(&request.refresh_token, now) else {
        return not_good();
    };
    match app.store.end_family(shown.digest, now).await {
        // A family that ended before is as good.
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => problem::of_store(&error),
    }
}

async fn open_family(app: &App, user: &SessionUser) -> Response {
    let now = wall_now();
    let first = app.auth.tokens.refresh(user, now);
    let opened = app
        .store
        .open_family(Holder::from(user), first.digest, now)
        .await;
    match opened {
        Ok(Some(())) => pair(app, user, &first),
        // Disabled, or given another password, a moment ago.
        Ok(None) => refusal(&Refused::Wrong),
        Err(error) => problem::of_store(&error),
    }
}

fn pair(app: &App, user: &SessionUser, refresh: &RefreshToken) -> Response {
    super::json(&json!({
        "access_token": app.auth.tokens.access(user, wall_now()),
        "refresh_token": refresh.text,
        "token_type": "Bearer",
        "expires_in": ACCESS_S,
    }))
}

fn refusal(refused: &Refused) -> Response {
    let retry_after_s = refused.retry_after_s().unwrap_or_default();
    match refused {
        Refused::Wrong => problem::unauthorized_for(
            "an organisation, a username and a password that belong together",
        ),
        Refused::LockedOut(_) => problem::rate_limited(
            "expected fewer failed logins; wait as Retry-After says",
            retry_after_s,
        ),
        Refused::Busy => problem::busy("expected fewer logins at once", retry_after_s),
        Refused::Store(error) => problem::of_store(error),
    }
}

fn not_good() -> Response {
    problem::unauthorized_for("a refresh token that was not used before")
}
