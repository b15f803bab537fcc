//! The login form, and the way out.
//!
//! A login form has no session yet whose token it could carry. It belongs to a cookie of its own, so
//! that no other site can log a browser in as somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::form::Fields;
use super::{foreign_site, page, plain_login_refused, store_away};
use crate::app::App;
use crate::clock::wall_now;
use crate::pages::{self, Login, LoginNotice};
use crate::security::cookie::Jar;
use crate::security::csrf::Purpose;
use crate::security::login::{self, Attempt, Refused, device_cookie};
use crate::security::next;
use crate::security::origin::Site;
use crate::security::password::Password;
use crate::security::principal;
use crate::security::secret::Secret;
use crate::security::session::{PageSession, SESSION_S, is_login_allowed, session_span};
use crate::security::transport::Transport;
use crate::store::{Holder, SessionUser};
use crate::telemetry::AuthFailure;

/// How long a login form can be sent, in seconds: 12 hours.
const FORM_S: i64 = 12 * 3_600;
/// How long a browser is known as one of a person's, in seconds: 180 days.
const DEVICE_S: i64 = 180 * 86_400;
/// Where a login leads that was not on its way elsewhere.
const START: &str = "/overview";

/// `GET /login`.
pub(crate) async fn form(
    State(app): State<Arc<App>>,
    transport: Transport,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if !is_login_allowed(&app, transport) {
        return plain_login_refused();
    }
    let wanted = query.get("next").and_then(|next| next::checked(next));
    match principal::find(&headers, transport, &app).await {
        Ok(Some(_)) => return Redirect::to(wanted.unwrap_or(START)).into_response(),
        Ok(None) => {}
        Err(error) => return store_away(&error),
    }
    let notice = match query.get("notice").map(String::as_str) {
        Some("logged-out") => Some(LoginNotice::LoggedOut),
        _ => Jar::Session
            .read(&headers, transport)
            .map(|_| LoginNotice::SessionOver),
    };
    let typed = Typed {
        org: "",
        username: "",
        next: wanted.unwrap_or_default(),
    };
    show(&app, (&headers, transport), StatusCode::OK, notice, typed)
}

/// `POST /login`: a new session for the right password.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    transport: Transport,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    if !is_login_allowed(&app, transport) {
        return plain_login_refused();
    }
    let one = |name| fields.one(name).unwrap_or_default();
    let typed = Typed {
        org: one("org"),
        username: one("username"),
        next: next::checked(one("next")).unwrap_or_default(),
    };
    let from = (&headers, transport);
    if !is_own_form(&app, from, one("csrf")) {
        app.telemetry.auth_failures.add(AuthFailure::Csrf);
        let notice = Some(LoginNotice::FormExpired);
        return show(&app, from, StatusCode::FORBIDDEN, notice, typed);
    }
    let password = Password::from(one("password").to_owned());
    if password.check_size().is_err() {
        let notice = Some(LoginNotice::Wrong);
        return show(&app, from, StatusCode::UNPROCESSABLE_ENTITY, notice, typed);
    }
    let attempt = Attempt {
        org: typed.org,
        username: typed.username,
        password,
    };
    let found = match login::check(&app, attempt, from).await {
        Ok(user) => enter_known(&app, from, &user, typed).await,
        Err(refused) => Err(refused),
    };
    match found {
        Ok(entered) => entered,
        Err(refused) => refusal(&app, from, &refused, typed),
    }
}

/// `POST /logout`: ends the session.
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    transport: Transport,
    fields: Fields,
) -> Response {
    if !session.is_csrf_token(fields.one("csrf").unwrap_or_default()) {
        return foreign_site();
    }
    if let Err(error) = app.store.log_out(session.digest()).await {
        return store_away(&error);
    }
    let mut response = Redirect::to("/login?notice=logged-out").into_response();
    let cleared = Jar::Session.clear(transport);
    response.headers_mut().insert(header::SET_COOKIE, cleared);
    response
}

/// Answers with a new session, at the start.
pub(super) fn enter(session: &Secret, transport: Transport) -> Response {
    let mut response = Redirect::to(START).into_response();
    let cookie = Jar::Session.set(session.expose(), SESSION_S, transport);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// The login page for somebody whose link is not good any more.
pub(super) fn link_spent(app: &App, transport: Transport) -> Response {
    app.telemetry.auth_failures.add(AuthFailure::Link);
    let notice = Some(LoginNotice::LinkSpent);
    let nothing = HeaderMap::new();
    let typed = Typed {
        org: "",
        username: "",
        next: "",
    };
    show(
        app,
        (&nothing, transport),
        StatusCode::UNAUTHORIZED,
        notice,
        typed,
    )
}

/// What a person typed, password excepted.
#[derive(Clone, Copy)]
struct Typed<'a> {
    org: &'a str,
    username: &'a str,
    /// Where they were going; empty for nowhere.
    next: &'a str,
}

type From<'a> = (&'a HeaderMap, Transport);

/// Opens a session in the place of the one there was.
async fn enter_known(
    app: &App,
    (headers, transport): From<'_>,
    user: &SessionUser,
    typed: Typed<'_>,
) -> Result<Response, Refused> {
    let (session, now) = (Secret::random(), wall_now());
    let times = (now, now.saturating_add(session_span()));
    let opened = app
        .store
        .open_session(Holder::from(user), session.digest(), times);
    // Disabled, or given another password, a moment ago.
    opened.await?.ok_or(Refused::Wrong)?;
    if let Some(former) = Jar::Session
        .read(headers, transport)
        .and_then(Secret::parse)
    {
        app.store.log_out(former.digest()).await?;
    }
    let place = if typed.next.is_empty() {
        START
    } else {
        typed.next
    };
    let mut response = Redirect::to(place).into_response();
    let device = device_cookie(app, typed.org, typed.username);
    for cookie in [
        Jar::Session.set(session.expose(), SESSION_S, transport),
        Jar::Device.set(&device, DEVICE_S, transport),
        Jar::Login.clear(transport),
    ] {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn is_own_form(app: &App, (headers, transport): From<'_>, token: &str) -> bool {
    let cookie = Jar::Login.read(headers, transport);
    let is_ours = |cookie: &str| {
        let key = &app.auth.csrf;
        key.is_token(Purpose::Login, cookie.as_bytes(), token)
    };
    Site::of(headers) != Site::Foreign && cookie.is_some_and(is_ours)
}

fn refusal(app: &App, from: From<'_>, refused: &Refused, typed: Typed<'_>) -> Response {
    let (status, notice) = match refused {
        Refused::Wrong => (StatusCode::UNAUTHORIZED, LoginNotice::Wrong),
        Refused::LockedOut(_) => (StatusCode::TOO_MANY_REQUESTS, LoginNotice::TooOften),
        Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, LoginNotice::Busy),
        Refused::Store(error) => return store_away(error),
    };
    let mut response = show(app, from, status, Some(notice), typed);
    if let Some(seconds) = refused.retry_after_s() {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Shows the form, with a token that belongs to the cookie it has or gets.
fn show(
    app: &App,
    (headers, transport): From<'_>,
    status: StatusCode,
    notice: Option<LoginNotice>,
    typed: Typed<'_>,
) -> Response {
    let had = Jar::Login.read(headers, transport).and_then(Secret::parse);
    let is_new = had.is_none();
    let cookie = had.unwrap_or_else(Secret::random);
    let key = &app.auth.csrf;
    let csrf = key.token(Purpose::Login, cookie.expose().as_bytes());
    let view = Login {
        notice,
        csrf: &csrf,
        organisation: typed.org,
        username: typed.username,
        next: typed.next,
    };
    let mut response = page(status, pages::login(&view));
    if is_new {
        let cookie = Jar::Login.set(cookie.expose(), FORM_S, transport);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
