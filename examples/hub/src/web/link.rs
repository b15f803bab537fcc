//! One-time links: logging in, setting a password, and making the first person of an empty hub.
//!
//! The secret of a link is in its address, and the forms behind it post to that address: it guards
//! them as a token would. Looking at a form uses nothing up.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use monsys_core::id::{TenantId, UserId};
use monsys_core::name::DisplayName;

use super::form::Fields;
use super::login::{enter, link_spent};
use super::{busy, foreign_site, page, plain_login_refused, store_away};
use crate::app::App;
use crate::clock::wall_now;
use crate::pages::{self, PASSWORD_RULE, SetPassword, Setup};
use crate::random::random_bytes;
use crate::security::origin::Site;
use crate::security::password::Password;
use crate::security::secret::Secret;
use crate::security::session::{is_login_allowed, session_span};
use crate::security::transport::Transport;
use crate::store::{LoginLink, NewUser, Role};

/// `GET /login/{secret}`: uses up a one-time link and begins a session.
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    transport: Transport,
    method: Method,
    Path(secret): Path<String>,
) -> Response {
    if !is_login_allowed(&app, transport) {
        return plain_login_refused();
    }
    // Whoever only asks what is there must not use the link up.
    if method == Method::HEAD {
        return StatusCode::OK.into_response();
    }
    let Some(link) = Secret::parse(&secret) else {
        return link_spent(&app, transport);
    };
    let (session, now) = (Secret::random(), wall_now());
    let expires_at = now.saturating_add(session_span());
    let used = app
        .store
        .log_in(link.digest(), session.digest(), now, expires_at);
    match used.await {
        Ok(Some(())) => enter(&session, transport),
        Ok(None) => link_spent(&app, transport),
        Err(error) => store_away(&error),
    }
}

/// `GET /setup/{secret}`: the form for the first organisation and person.
pub(crate) async fn set_up_form(
    State(app): State<Arc<App>>,
    transport: Transport,
    Path(secret): Path<String>,
) -> Response {
    if let Err(refused) = good(&app, transport, &secret, Purpose::SetUp).await {
        return refused;
    }
    let empty = Setup {
        organisation: "",
        email: "",
        problem: None,
    };
    page(StatusCode::OK, pages::setup(&empty))
}

/// `POST /setup/{secret}`: makes both, and begins the session of that person.
pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    transport: Transport,
    Path(secret): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    if Site::of(&headers) == Site::Foreign {
        return foreign_site();
    }
    let link = match good(&app, transport, &secret, Purpose::SetUp).await {
        Ok(link) => link,
        Err(refused) => return refused,
    };
    let one = |name| fields.one(name).unwrap_or_default();
    let (organisation, email) = (one("organisation").trim(), one("email").trim());
    let again = |problem| {
        let view = Setup {
            organisation,
            email,
            problem: Some(problem),
        };
        page(StatusCode::UNPROCESSABLE_ENTITY, pages::setup(&view))
    };
    let Ok(name) = DisplayName::parse(organisation) else {
        return again("An organisation's name is 1 to 128 bytes long.");
    };
    if DisplayName::parse(email).is_err() || !email.contains('@') {
        return again("An e-mail address has an @ and at most 128 bytes.");
    }
    let password = Password::from(one("password").to_owned());
    if password.check_new().is_err() {
        return again(PASSWORD_RULE);
    }
    let Ok(password) = app.auth.hashing.hash(password).await else {
        return busy();
    };
    let user = NewUser {
        user: UserId::from_random_bytes(random_bytes()),
        tenant: TenantId::from_random_bytes(random_bytes()),
        email: email.to_owned(),
        role: Role::Admin,
        password: Some(password),
    };
    let (session, now) = (Secret::random(), wall_now());
    let times = (now, now.saturating_add(session_span()));
    let set_up = app
        .store
        .set_up(link.digest(), name, user, session.digest(), times);
    match set_up.await {
        Ok(Some(())) => enter(&session, transport),
        Ok(None) => link_spent(&app, transport),
        Err(error) => store_away(&error),
    }
}

/// `GET /password/{secret}`: the form that sets a password.
pub(crate) async fn password_form(
    State(app): State<Arc<App>>,
    transport: Transport,
    Path(secret): Path<String>,
) -> Response {
    if let Err(refused) = good(&app, transport, &secret, Purpose::Password).await {
        return refused;
    }
    let view = SetPassword { problem: None };
    page(StatusCode::OK, pages::set_password(&view))
}

/// `POST /password/{secret}`: sets the password, ends all sessions there were, and begins one.
pub(crate) async fn set_password(
    State(app): State<Arc<App>>,
    transport: Transport,
    Path(secret): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    if Site::of(&headers) == Site::Foreign {
        return foreign_site();
    }
    let link = match good(&app, transport, &secret, Purpose::Password).await {
        Ok(link) => link,
        Err(refused) => return refused,
    };
    let password = Password::from(fields.one("password").unwrap_or_default().to_owned());
    if password.check_new().is_err() {
        let view = SetPassword {
            problem: Some(PASSWORD_RULE),
        };
        return page(StatusCode::UNPROCESSABLE_ENTITY, pages::set_password(&view));
    }
    let Ok(hashed) = app.auth.hashing.hash(password).await else {
        return busy();
    };
    let (session, now) = (Secret::random(), wall_now());
    let times = (now, now.saturating_add(session_span()));
    let spent = app
        .store
        .spend_password_link(link.digest(), hashed, session.digest(), times);
    match spent.await {
        Ok(Some(_)) => enter(&session, transport),
        Ok(None) => link_spent(&app, transport),
        Err(error) => store_away(&error),
    }
}

/// What a link with a form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    SetUp,
    Password,
}

/// Looks at a link without using it up, before any work is done for it.
async fn good(
    app: &App,
    transport: Transport,
    secret: &str,
    purpose: Purpose,
) -> Result<Secret, Response> {
    if !is_login_allowed(app, transport) {
        return Err(plain_login_refused());
    }
    let spent = || link_spent(app, transport);
    let link = Secret::parse(secret).ok_or_else(spent)?;
    let found = app.store.link(link.digest(), wall_now()).await;
    let is_good = match found.map_err(|error| store_away(&error))? {
        Some(LoginLink::SetUp) => purpose == Purpose::SetUp,
        Some(LoginLink::SetPassword(_)) => purpose == Purpose::Password,
        Some(LoginLink::Login(_)) | None => false,
    };
    if is_good { Ok(link) } else { Err(spent()) }
}
