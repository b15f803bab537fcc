//! Who may call a route, decided before its handler runs.
//!
//! What: each route has a [`Policy`]; [`enforce`] stands before every handler and refuses whoever may
//! not come in, a person who names another organisation, and a change that another site asks a
//! browser for. Who came in is put into the request, from where handlers take it
//! ([`PageSession`](super::session::PageSession), [`ApiSession`](super::session::ApiSession)). What
//! not: the token of a form, the secret of a link, and the proof of an agent are checked by their
//! handlers, because they stand in what only those read.
//!
//! A handler that takes a session can only be put on a route whose policy finds one: those routes
//! have the state [`Known`], all others the bare application, from which no session can be taken.
//!
//! Cost: one read of the store a request of a person, two for a page.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::metrics_token::may_read;
use super::origin::Site;
use super::principal::{self, Principal};
use super::transport::Transport;
use crate::api::problem;
use crate::app::App;
use crate::small_body::let_pass;
use crate::telemetry::AuthFailure;
use crate::web;

/// Who may call a route, and in which form it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) who: Who,
    pub(crate) form: Form,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Anybody.
    Anyone,
    /// Whoever knows the one-time secret in its path, which the handler checks.
    LinkHolder,
    /// An agent or device; the handler checks its token or MAC.
    Agent,
    /// What reads the metrics: by its token, or from this machine.
    Monitor,
    /// A person of an organisation.
    Person,
    /// A person who may change things.
    Admin,
}

/// In which form a route answers, refusals included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// HTML, for people.
    Page,
    /// JSON, and refusals as RFC 9457 says.
    Api,
}

impl Who {
    /// Returns the word of it in the description of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::LinkHolder => "link",
            Self::Agent => "agent",
            Self::Monitor => "monitor",
            Self::Person => "read_only",
            Self::Admin => "admin",
        }
    }
}

impl Form {
    /// Returns the word of it in the description of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
        }
    }

    /// Finds the form in which an address answers at which there is no route.
    pub(crate) fn of_address(path: &str) -> Self {
        let first = path.split('/').nth(1).unwrap_or_default();
        if ["api", "v1", "auth", "internal", "ingest"].contains(&first) {
            Self::Api
        } else {
            Self::Page
        }
    }
}

/// The state of routes whose callers are known: only there a handler can take a session.
#[derive(Clone)]
pub(crate) struct Known(pub(crate) Arc<App>);

impl FromRef<Known> for Arc<App> {
    fn from_ref(known: &Known) -> Self {
        Self::clone(&known.0)
    }
}

/// Lets a request through to its handler, or says why not.
pub(crate) async fn enforce(
    State((policy, app)): State<(Policy, Arc<App>)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = match policy.who {
        _ if !is_text(&parts.uri) => Err(no_text(policy.form)),
        Who::Anyone | Who::LinkHolder | Who::Agent => Ok(()),
        Who::Monitor => refuse_monitor(&app, &parts).map_or(Ok(()), Err),
        Who::Person | Who::Admin => admit(policy, &app, &parts).await.map(|session| {
            parts.extensions.insert(Arc::new(session));
        }),
    };
    let response = match admitted {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refused) => {
            let_pass(body).await;
            refused
        }
    };
    finished(policy, response)
}

/// Finds who asks, and whether they may.
async fn admit(policy: Policy, app: &App, parts: &Parts) -> Result<Principal, Response> {
    let (uri, headers) = (&parts.uri, &parts.headers);
    let is_read = parts.method.is_safe();
    let store_away = |error| match policy.form {
        Form::Page => web::store_away(&error),
        Form::Api => problem::of_store(&error),
    };
    // Cannot be absent: the transport of each request is learnt before its route is found.
    let transport = parts.extensions.get::<Transport>().copied();
    let found = match transport {
        Some(transport) => principal::find(headers, transport, app).await,
        None => Ok(None),
    };
    let found = found.map_err(store_away)?;
    let found = found.ok_or_else(|| match policy.form {
        Form::Page => to_login(&parts.method, uri),
        Form::Api => problem::unauthorized(),
    })?;
    if !is_read && found.is_by_cookie() {
        refuse_forged(policy.form, app, &found, headers)?;
    }
    if policy.who == Who::Admin && !found.is_admin() {
        app.telemetry.auth_failures.add(AuthFailure::Forbidden);
        return Err(match policy.form {
            Form::Page => web::admin_only(),
            Form::Api => problem::forbidden("expected the role admin"),
        });
    }
    if names_other_organisation(uri, &found) {
        return Err(match policy.form {
            Form::Page => web::other_organisation(),
            Form::Api => problem::forbidden("expected org_id to be the caller's organisation"),
        });
    }
    if policy.form == Form::Page && is_read {
        return found.at_ledger(app).await.map_err(store_away);
    }
    Ok(found)
}

/// Refuses a change that another site asks a browser for, which adds the cookie by itself. A page
/// keeps where it is to itself on plain HTTP, and the token of its form tells, which its handler
/// reads; a call carries a token in a header.
fn refuse_forged(
    form: Form,
    app: &App,
    caller: &Principal,
    headers: &HeaderMap,
) -> Result<(), Response> {
    let failures = &app.telemetry.auth_failures;
    match (form, Site::of(headers)) {
        (Form::Page, Site::Own | Site::Unknown) => Ok(()),
        (Form::Page, Site::Foreign) => {
            failures.add(AuthFailure::Origin);
            Err(web::foreign_site())
        }
        (Form::Api, Site::Unknown | Site::Foreign) => {
            failures.add(AuthFailure::Origin);
            Err(problem::forbidden("expected a request from this site"))
        }
        (Form::Api, Site::Own) if caller.has_csrf_header(headers) => Ok(()),
        (Form::Api, Site::Own) => {
            failures.add(AuthFailure::Csrf);
            let expected = "expected X-CSRF-Token to be a token of this session";
            Err(problem::forbidden(expected))
        }
    }
}

fn refuse_monitor(app: &App, parts: &Parts) -> Option<Response> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let token = app.config.metrics_token.as_ref();
    let may = peer.is_some_and(|peer| may_read(token, peer.ip(), &parts.headers));
    (!may).then(|| {
        app.telemetry.auth_failures.add(AuthFailure::MetricsToken);
        problem::unauthorized_for("the token of the metrics in X-Metrics-Token")
    })
}

/// Leads a browser to the login, and from there back to where it wanted to look.
fn to_login(method: &Method, uri: &Uri) -> Response {
    let wanted = uri.path_and_query().map_or("", |wanted| wanted.as_str());
    if !method.is_safe() || wanted.is_empty() || wanted.len() > NEXT_BYTES_MAX {
        return Redirect::to("/login").into_response();
    }
    let next = utf8_percent_encode(wanted, ESCAPED);
    Redirect::to(&format!("/login?next={next}")).into_response()
}

/// Tells whether a request asks for another organisation than the caller's, which it may name by
/// its identifier or by its name.
fn names_other_organisation(uri: &Uri, session: &Principal) -> bool {
    let Ok(Query(parameters)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return true;
    };
    let user = &session.user;
    let tenant = user.tenant.to_string();
    let is_own = |named: &str| named == tenant || named == user.tenant_name.as_str();
    let mut named = parameters.iter().filter(|(name, _)| name == "org_id");
    named.any(|(_, named)| !named.is_empty() && !is_own(named))
}

/// Tells whether path and query stand for UTF-8, as everything does that is looked for.
fn is_text(uri: &Uri) -> bool {
    let decodes = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .is_ok()
    };
    decodes(uri.path()) && uri.query().is_none_or(decodes)
}

fn no_text(form: Form) -> Response {
    match form {
        Form::Page => web::unreadable(StatusCode::BAD_REQUEST),
        Form::Api => problem::of_status(StatusCode::BAD_REQUEST),
    }
}

/// Gives a refusal the form of its route, whoever made it, and says how to be let in.
fn finished(policy: Policy, response: Response) -> Response {
    let status = response.status();
    let mut response = if is_bare(&response) {
        match policy.form {
            Form::Page => web::unreadable(status),
            Form::Api => problem::of_status(status),
        }
    } else {
        response
    };
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(challenge(policy.who));
        let headers = response.headers_mut();
        headers.entry(header::WWW_AUTHENTICATE).or_insert(challenge);
    }
    response
}

/// Tells whether a refusal is one that the framework wrote, which has no form.
fn is_bare(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    (status.is_client_error() || status.is_server_error()) && is_plain
}

/// How somebody is let in who was not (RFC 9110, section 11.6.1).
const fn challenge(who: Who) -> &'static str {
    match who {
        Who::Monitor => "X-Metrics-Token realm=\"monsys\"",
        Who::Agent => "Bearer realm=\"monsys agents\"",
        Who::Anyone | Who::LinkHolder | Who::Person | Who::Admin => "Bearer realm=\"monsys\"",
    }
}

/// Longest address to which a login leads back, in bytes.
const NEXT_BYTES_MAX: usize = 1_024;
/// What of such an address is escaped, so that it is one value in the address of the login.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
