//! The pages: who asks, what is read, which page answers.
//!
//! Rendering is in `pages`, which takes values and returns text. Every change of state is a form
//! with the token of its session, and is refused when another site asks for it.

pub(crate) mod account;
pub(crate) mod agent;
pub(crate) mod cycle;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod fleet;
mod form;
pub(crate) mod integrity;
pub(crate) mod link;
pub(crate) mod login;
pub(crate) mod overview;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use monsys_core::store::StoreError;
use monsys_signals::controls::Controls;
use monsys_signals::correlate::Correlator;
use monsys_signals::{Catalog, pareto, trust};

use crate::api::insight;
use crate::app::App;
use crate::pages::{self, Access, Insights, Message, Viewer, assets};
use crate::security::password::BUSY_RETRY_AFTER_S;
use crate::security::principal::Principal;
use crate::security::session::PageSession;
use crate::standing;
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

fn viewer<'a>(app: &App, session: &'a Principal, csrf: &'a str) -> Viewer<'a> {
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
        let history = standing::history(store, tenant, since).await?;
        Ok((history, standing::of_all(store, tenant, now).await?))
    };
    let (history, standing) = match read.await {
        Ok(read) => read,
        Err(error) => return store_away(&error),
    };
    let mut correlator = Correlator::new(tenant);
    correlator.add(&history.views());
    let mut incidents = correlator.incidents();
    insight::newest_first(&mut incidents);
    let shown = pages::agents_of_incidents(&incidents);
    let names = match store.fleet_of(tenant, shown, 0, now).await {
        Ok(rows) => rows
            .into_iter()
            .map(|row| {
                (
                    row.agent.agent.to_string(),
                    row.agent.name.as_str().to_owned(),
                )
            })
            .collect(),
        Err(error) => return store_away(&error),
    };
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

/// Answers a form for which there is no place among the passwords under way.
fn busy() -> Response {
    let sentence = "Too many passwords are checked at this moment. Nothing was changed; try again.";
    let mut response = message(StatusCode::SERVICE_UNAVAILABLE, "Busy", sentence);
    let wait = HeaderValue::from(BUSY_RETRY_AFTER_S);
    response.headers_mut().insert(header::RETRY_AFTER, wait);
    response
}

fn plain_login_refused() -> Response {
    let sentence = "Over plain HTTP, people log in from the hub's own machine only. \
                    Put the hub behind HTTPS, or start it with --allow-plain-login.";
    message(StatusCode::FORBIDDEN, "Not over plain HTTP", sentence)
}
