//! Sessions: from a one-time link to a cookie to a person.
//!
//! On plain HTTP the cookie is `monsys` without `Secure`, and a login works at a loopback address
//! only, unless the operator allows it; contract §4.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use monsys_core::store::StoreError;
use monsys_core::time::Span;

use super::policy::Known;
use super::secret::Secret;
use crate::api::problem;
use crate::app::App;
use crate::clock::wall_now;
use crate::store::{Role, SessionUser};

/// Name of the session cookie on plain HTTP.
const COOKIE: &str = "monsys";
/// How long a session lasts, in seconds: 12 hours.
pub(crate) const SESSION_S: i64 = 12 * 3_600;
/// How long a one-time link lasts, in seconds: 30 minutes.
pub(crate) const LINK_S: i64 = 30 * 60;

/// A logged-in person and the secret of the session.
pub(crate) struct Session {
    pub(crate) user: SessionUser,
    /// The last entry of the ledger before anything else was read; 0 where nothing will be shown.
    pub(crate) ledger_seq: u64,
    secret: Secret,
}

impl Session {
    /// Reads how long the ledger is before a page is read.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn at_ledger(self, app: &App) -> Result<Self, StoreError> {
        let head = app.store.ledger_head(self.user.tenant).await?;
        Ok(Self {
            ledger_seq: head.seq,
            ..self
        })
    }

    /// Returns the token that this session's forms carry.
    pub(crate) fn csrf_token(&self) -> String {
        self.secret.csrf_token()
    }

    /// Tells whether a form carries the token of this session.
    pub(crate) fn is_csrf_token(&self, token: &str) -> bool {
        self.secret.is_csrf_token(token)
    }

    /// Returns what the store keeps of the session's secret.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.secret.digest()
    }

    /// Tells whether the person may change things.
    pub(crate) fn is_admin(&self) -> bool {
        self.user.role == Role::Admin
    }
}

/// The session of a page's request. The ledger was read before the page is, so that its script knows
/// what it need not be told.
pub(crate) struct PageSession(pub(crate) Arc<Session>);

impl FromRequestParts<Known> for PageSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Known) -> Result<Self, Response> {
        let found = admitted(parts).ok_or_else(|| Redirect::to("/login").into_response());
        found.map(Self)
    }
}

/// The session of a call.
pub(crate) struct ApiSession(pub(crate) Arc<Session>);

impl FromRequestParts<Known> for ApiSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Known) -> Result<Self, Response> {
        admitted(parts).map(Self).ok_or_else(problem::unauthorized)
    }
}

/// Takes whom the policy of the route let in; nobody is let in where there is none.
fn admitted(parts: &Parts) -> Option<Arc<Session>> {
    parts.extensions.get().map(Arc::clone)
}

/// Finds whose session a request shows, if it shows one.
///
/// # Errors
/// Those of the store.
pub(crate) async fn find(headers: &HeaderMap, app: &App) -> Result<Option<Session>, StoreError> {
    let Some(secret) = cookie(headers) else {
        return Ok(None);
    };
    let user = app.store.session(secret.digest(), wall_now()).await?;
    Ok(user.map(|user| Session {
        user,
        ledger_seq: 0,
        secret,
    }))
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut found = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value);
    let only = found.next()?;
    // Two cookies of one name are somebody's attempt to plant one.
    if found.next().is_some() {
        None
    } else {
        Secret::parse(only)
    }
}

/// Makes the header value that gives a browser its session.
pub(crate) fn set_cookie(session: &Secret) -> Option<HeaderValue> {
    let value = session.expose();
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={SESSION_S}");
    HeaderValue::try_from(cookie).ok()
}

/// Makes the header value that takes a browser's session away.
pub(crate) fn clear_cookie() -> HeaderValue {
    HeaderValue::from_static("monsys=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// Returns the span for which a new session is valid.
pub(crate) const fn session_span() -> Span {
    Span::from_secs(SESSION_S)
}

/// Tells whether a login may be made over this connection.
pub(crate) fn is_login_allowed(app: &App, peer: SocketAddr) -> bool {
    app.config.allow_plain_login || peer.ip().to_canonical().is_loopback()
}
