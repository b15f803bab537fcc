//! The pages: who asks, what is read, which page answers.
//!
//! Rendering is in `pages`, which takes values and returns text. Every change of state is a form
//! with the token of its session, and is refused when another site asks for it.

pub(crate) mod agent;
pub(crate) mod cycle;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod fleet;
mod form;
pub(crate) mod integrity;
pub(crate) mod overview;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use monsys_core::id::{TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::StoreError;
use monsys_signals::controls::Controls;
use monsys_signals::correlate::Correlator;
use monsys_signals::{Catalog, pareto, trust};
use serde::Deserialize;

use crate::api::insight;
use crate::app::App;
use crate::clock::wall_now;
use crate::pages::{self, Access, Insights, Login, LoginNotice, Message, Setup, Viewer, assets};
use crate::random::random_bytes;
use crate::security::origin::Site;
use crate::security::secret::Secret;
use crate::security::session::{
    PageSession, Session, clear_cookie, is_login_allowed, session_span, set_cookie,
};
use crate::standing;
use crate::store::{LoginLink, NewUser, Role};
use crate::telemetry::SeenFault;

/// `GET /`: what people look at first.
pub(crate) async fn start() -> Redirect {
    Redirect::to("/overview")
}

/// `GET /assets/{name}`: a file of the pages, by its fingerprint.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = assets::find(&format!("/assets/{name}")) else {
        return message(
            StatusCode::NOT_FOUND,
            "Not found",
            "There is no file at this address.",
        );
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.body).into_response()
}

/// `GET /login`: how to log in.
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let notice = match query.get("notice").map(String::as_str) {
        Some("logged-out") => Some(LoginNotice::LoggedOut),
        _ => headers
            .contains_key(header::COOKIE)
            .then_some(LoginNotice::SessionOver),
    };
    if !is_login_allowed(&app, peer) {
        return plain_login_refused();
    }
    page(StatusCode::OK, pages::login(&Login { notice }))
}

/// `GET /login/{secret}`: uses up a one-time link and begins a session.
pub(crate) async fn follow_link(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    Path(secret): Path<String>,
) -> Response {
    if !is_login_allowed(&app, peer) {
        return plain_login_refused();
    }
    // Whoever only asks what is there must not use the link up.
    if method == Method::HEAD {
        return StatusCode::OK.into_response();
    }
    let Some(link) = Secret::parse(&secret) else {
        return link_spent();
    };
    let (session, now) = (Secret::random(), wall_now());
    let expires_at = now.saturating_add(session_span());
    match app
        .store
        .log_in(link.digest(), session.digest(), now, expires_at)
        .await
    {
        Ok(Some(())) => enter(&session),
        Ok(None) => link_spent(),
        Err(error) => store_away(&error),
    }
}

fn link_spent() -> Response {
    let notice = Some(LoginNotice::LinkSpent);
    page(StatusCode::UNAUTHORIZED, pages::login(&Login { notice }))
}

fn enter(session: &Secret) -> Response {
    let mut response = Redirect::to("/overview").into_response();
    if let Some(cookie) = set_cookie(session) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// `GET /setup/{secret}`: the form for the first organisation and person.
pub(crate) async fn set_up_form(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(secret): Path<String>,
) -> Response {
    if !is_login_allowed(&app, peer) {
        return plain_login_refused();
    }
    let Some(link) = Secret::parse(&secret) else {
        return link_spent();
    };
    match app.store.link(link.digest(), wall_now()).await {
        Ok(Some(LoginLink::SetUp)) => {
            let empty = Setup {
                organisation: "",
                email: "",
                problem: None,
            };
            page(StatusCode::OK, pages::setup(&empty))
        }
        Ok(_) => link_spent(),
        Err(error) => store_away(&error),
    }
}

#[derive(Deserialize)]
pub(crate) struct SetUpForm {
    organisation: String,
    email: String,
}

/// `POST /setup/{secret}`: makes both, and begins the session of that person.
pub(crate) async fn set_up(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    Form(form): Form<SetUpForm>,
) -> Response {
    if !is_login_allowed(&app, peer) {
        return plain_login_refused();
    }
    if Site::of(&headers) == Site::Foreign {
        return foreign_site();
    }
    let Some(link) = Secret::parse(&secret) else {
        return link_spent();
    };
    let (organisation, email) = (form.organisation.trim(), form.email.trim());
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
    let user = NewUser {
        user: UserId::from_random_bytes(random_bytes()),
        tenant: TenantId::from_random_bytes(random_bytes()),
        email: email.to_owned(),
        role: Role::Admin,
        password: None,
    };
    let (session, now) = (Secret::random(), wall_now());
    let times = (now, now.saturating_add(session_span()));
    match app
        .store
        .set_up(link.digest(), name, user, session.digest(), times)
        .await
    {
        Ok(Some(())) => enter(&session),
        Ok(None) => link_spent(),
        Err(error) => store_away(&error),
    }
}

#[derive(Deserialize)]
pub(crate) struct LogOutForm {
    #[serde(default)]
    csrf: String,
}

/// `POST /logout`: ends the session.
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Form(form): Form<LogOutForm>,
) -> Response {
    if !session.is_csrf_token(&form.csrf) {
        return foreign_site();
    }
    if let Err(error) = app.store.log_out(session.digest()).await {
        return store_away(&error);
    }
    let mut response = Redirect::to("/login?notice=logged-out").into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, clear_cookie());
    response
}

fn viewer<'a>(app: &App, session: &'a Session, csrf: &'a str) -> Viewer<'a> {
    Viewer {
        email: &session.user.email,
        organisation: session.user.tenant_name.as_str(),
        csrf,
        ledger_seq: session.ledger_seq,
        access: if session.is_admin() {
            Access::Admin
        } else {
            Access::ReadOnly
        },
        is_demo: app.config.is_demo,
        clock_rate: app.clock.rate(),
    }
}

/// `GET /insights`: what hangs together, and what to repair first.
pub(crate) async fn insights(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let _place = app.wide_reads.enter(tenant).await;
    let since = now.saturating_sub(insight::SPAN);
    let store = app.store.as_ref();
    let read = async {
        let agents = store.agents(tenant, 0, now).await?;
        let history = standing::history(store, tenant, since).await?;
        Ok((agents, history, standing::of_all(store, tenant, now).await?))
    };
    let (agents, history, standing) = match read.await {
        Ok(read) => read,
        Err(error) => return store_away(&error),
    };
    let names = agents
        .into_iter()
        .map(|agent| (agent.agent.to_string(), agent.name.as_str().to_owned()))
        .collect();
    let mut correlator = Correlator::new(tenant);
    correlator.add(&history.views());
    let mut incidents = correlator.incidents();
    insight::newest_first(&mut incidents);
    let (catalog, controls) = (Catalog::standard(), Controls::nist_csf_2());
    let mut scratch = trust::Scratch::new();
    let pareto = pareto::pareto(&standing.views(), &catalog, &controls, &mut scratch, now);
    let csrf = session.csrf_token();
    let view = Insights {
        viewer: viewer(&app, &session, &csrf),
        incidents: &incidents,
        since,
        pareto: &pareto,
        names: &names,
        is_cut: history.is_cut || standing.is_cut,
        now,
    };
    page(StatusCode::OK, pages::insights(&view))
}

fn page(status: StatusCode, rendered: Result<String, askama::Error>) -> Response {
    match rendered {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page was not rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn message(status: StatusCode, title: &str, sentence: &str) -> Response {
    page(status, pages::message(&Message { title, sentence }))
}

/// Answers a request for a page that the store could not serve.
pub(crate) fn store_away(error: &StoreError) -> Response {
    tracing::error!(%error, "store did not answer");
    let sentence = "The store does not answer. Nothing was changed; try again in a moment.";
    let mut response = message(
        StatusCode::SERVICE_UNAVAILABLE,
        "Store unavailable",
        sentence,
    );
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(5));
    SeenFault::mark(&mut response, error);
    response
}

/// Answers a form that another site had a browser send, or whose session is over.
pub(crate) fn foreign_site() -> Response {
    let sentence =
        "This form was not made by this page, or its session is over. Nothing was changed.";
    message(StatusCode::FORBIDDEN, "Not allowed", sentence)
}

/// Answers a person who may look and not change.
pub(crate) fn admin_only() -> Response {
    let sentence = "Only an administrator may do this. Nothing was changed.";
    message(StatusCode::FORBIDDEN, "Not allowed", sentence)
}

/// Answers a person who asks for the data of an organisation that is not theirs.
pub(crate) fn other_organisation() -> Response {
    let sentence = "You see the data of your own organisation only.";
    message(StatusCode::FORBIDDEN, "Not allowed", sentence)
}

/// Answers a request for a path that is not there.
pub(crate) fn not_found() -> Response {
    message(
        StatusCode::NOT_FOUND,
        "Not found",
        "There is no page at this address.",
    )
}

/// Answers a request by a method that a page does not have.
pub(crate) fn wrong_method() -> Response {
    let sentence = "This address is not one to look at, or takes no form. Nothing was changed.";
    message(StatusCode::METHOD_NOT_ALLOWED, "Not a page", sentence)
}

/// Answers a request that could not be read.
pub(crate) fn unreadable(status: StatusCode) -> Response {
    let (title, sentence) = if status.is_server_error() {
        (
            "Internal error",
            "This is a fault of the hub; its log says more.",
        )
    } else {
        (
            "Not readable",
            "This is not a request as a browser sends it. Nothing was changed.",
        )
    };
    message(status, title, sentence)
}

fn plain_login_refused() -> Response {
    let sentence = "Over plain HTTP, people log in from the hub's own machine only. \
                    Put the hub behind HTTPS, or start it with --allow-plain-login.";
    message(StatusCode::FORBIDDEN, "Not over plain HTTP", sentence)
}
