//! What a person does with their own account: another password, an end to other sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::form::Fields;
use super::{foreign_site, message, page, store_away};
use crate::app::App;
use crate::clock::wall_now;
use crate::pages::{self, Account, AccountNotice};
use crate::security::cookie::Jar;
use crate::security::login::{self, Attempt, Refused};
use crate::security::origin::Site;
use crate::security::password::Password;
use crate::security::principal::Principal;
use crate::security::secret::Secret;
use crate::security::session::{PageSession, SESSION_S, session_span};
use crate::security::transport::Transport;
use crate::store::{Author, Holder};

/// `GET /account`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let notice = match query.get("notice").map(String::as_str) {
        Some("password") => Some(AccountNotice::PasswordSet),
        Some("sessions") => Some(AccountNotice::SessionsEnded),
        _ => None,
    };
    render(&app, &session, StatusCode::OK, notice).await
}

/// `POST /account/password`: another password, which ends all sessions but begins one here.
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    transport: Transport,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    if let Some(refusal) = refusal(&session, &headers, &fields) {
        return refusal;
    }
    let typed = |name| Password::from(fields.one(name).unwrap_or_default().to_owned());
    let (current, new) = (typed("current"), typed("password"));
    let wrong = |status, notice| render(&app, &session, status, Some(notice));
    let unusable = StatusCode::UNPROCESSABLE_ENTITY;
    if new.check_new().is_err() || new.is(&current) {
        return wrong(unusable, AccountNotice::NotAPassword).await;
    }
    match is_current(&app, &session, current, (&headers, transport)).await {
        Ok(()) => {}
        Err(Refused::Wrong) => return wrong(unusable, AccountNotice::NotCurrent).await,
        Err(Refused::Store(error)) => return store_away(&error),
        Err(Refused::Busy) => return super::busy(),
        Err(Refused::LockedOut(locked)) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut response = wrong(status, AccountNotice::TooOften).await;
            let wait = HeaderValue::from(locked.retry_after_s);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
            return response;
        }
    }
    let Ok(hashed) = app.auth.hashing.hash(new).await else {
        return super::busy();
    };
    let user = &session.user;
    let set = app
        .store
        .set_password(user.tenant, user.user, hashed, Author::User(user.user));
    match set.await {
        Ok(holder) => go_on(&app, holder, transport, "password").await,
        Err(error) => store_away(&error),
    }
}

/// `POST /account/sessions`: ends all sessions and refresh families, and begins a session here.
pub(crate) async fn end_others(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    transport: Transport,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    if let Some(refusal) = refusal(&session, &headers, &fields) {
        return refusal;
    }
    let user = &session.user;
    let ended = app
        .store
        .end_sessions(user.tenant, user.user, Author::User(user.user));
    match ended.await {
        Ok(holder) => go_on(&app, holder, transport, "sessions").await,
        Err(error) => store_away(&error),
    }
}

/// Checks the password that is to be replaced; who has none yet came by a link and needs none.
async fn is_current(
    app: &App,
    session: &Principal,
    current: Password,
    from: (&HeaderMap, Transport),
) -> Result<(), Refused> {
    if !has_password(app, session).await? {
        return Ok(());
    }
    let attempt = Attempt {
        org: session.user.tenant_name.as_str(),
        username: &session.user.email,
        password: current,
    };
    login::check(app, attempt, from).await.map(drop)
}

async fn has_password(
    app: &App,
    session: &Principal,
) -> Result<bool, monsys_core::store::StoreError> {
    let (org, email) = (session.user.tenant_name.as_str(), &session.user.email);
    let found = app.store.credentials(org.to_owned(), email.clone()).await?;
    Ok(found.is_some_and(|found| found.password.is_some()))
}

/// Opens a new session for somebody whose sessions just ended.
async fn go_on(app: &App, holder: Holder, transport: Transport, notice: &str) -> Response {
    let (secret, now) = (Secret::random(), wall_now());
    let times = (now, now.saturating_add(session_span()));
    match app.store.open_session(holder, secret.digest(), times).await {
        Ok(Some(())) => {
            let place = format!("/account?notice={notice}");
            let mut response = Redirect::to(&place).into_response();
            let cookie = Jar::Session.set(secret.expose(), SESSION_S, transport);
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Ok(None) => Redirect::to("/login").into_response(),
        Err(error) => store_away(&error),
    }
}

async fn render(
    app: &App,
    session: &Principal,
    status: StatusCode,
    notice: Option<AccountNotice>,
) -> Response {
    let has_password = match has_password(app, session).await {
        Ok(has) => has,
        Err(error) => return store_away(&error),
    };
    let csrf = session.csrf_token();
    let view = Account {
        email: &session.user.email,
        organisation: session.user.tenant_name.as_str(),
        role: session.user.role.as_str(),
        csrf: &csrf,
        has_password,
        notice,
    };
    page(status, pages::account(&view))
}

fn refusal(session: &Principal, headers: &HeaderMap, fields: &Fields) -> Option<Response> {
    if !session.is_by_cookie() {
        let sentence = "An account is changed by its person, in a browser. Nothing was changed.";
        return Some(message(StatusCode::FORBIDDEN, "Not allowed", sentence));
    }
    let token = fields.one("csrf").unwrap_or_default();
    let is_foreign = Site::of(headers) == Site::Foreign || !session.is_csrf_token(token);
    is_foreign.then(foreign_site)
}
