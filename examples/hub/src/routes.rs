//! The table of all routes: where each is, who may call it, what it is, and what answers.
//!
//! The router and the description of the API are made of this table and of nothing else, so there is
//! no route without a policy, and none that the description does not know.

mod openapi;
mod route;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;

pub(crate) use self::openapi::description;
use self::route::{
    ADMIN_API, ADMIN_PAGE, AGENT, API, LINK, METRICS, PAGE, PUBLIC_API, PUBLIC_PAGE, Route, get,
    post,
};
use crate::app::App;
use crate::security::headers::set_headers;
use crate::security::patience::answer_in_time;
use crate::security::policy::Form;
use crate::security::transport::{enforce_https, learn};
use crate::small_body::SMALL_BODY_BYTES_MAX;
use crate::telemetry::observe::observe;
use crate::{api, ingest, web};

/// All routes.
fn table() -> Vec<Route> {
    let groups = [
        of_agents(),
        of_integrity(),
        of_signals(),
        of_operations(),
        of_visitors(),
        of_pages(),
    ];
    groups.into_iter().flatten().collect()
}

fn of_agents() -> Vec<Route> {
    use api::agents;
    vec![
        post(
            AGENT,
            "/api/v1/ingest",
            ingest::ingest,
            "Takes a payload that an agent signed",
        ),
        post(
            AGENT,
            "/ingest",
            ingest::ingest_of_device,
            "Takes a payload with the MAC of a device",
        ),
        get(
            AGENT,
            "/api/v1/agents/self",
            agents::own,
            "Tells an agent who its token belongs to",
        ),
        post(
            AGENT,
            "/api/v1/agents/pin",
            agents::pin,
            "Binds a key to an agent, once",
        ),
        post(
            AGENT,
            "/api/v1/agents/rotate-key",
            agents::rotate_key,
            "Puts another key in the place of the pinned one",
        ),
        get(
            API,
            "/api/v1/agents",
            api::fleet::list,
            "Lists the agents of the organisation",
        ),
        get(
            API,
            "/v1/fleet/top",
            api::fleet::top,
            "Ranks the agents of the organisation by risk",
        ),
        get(API, "/api/v1/agents/{id}", agents::one, "Shows one agent"),
        get(
            API,
            "/v1/metrics",
            api::samples::list,
            "Lists samples, the newest first",
        ),
        get(
            API,
            "/api/v1/agents/{id}/series",
            api::samples::series,
            "Draws a series of samples of an agent in buckets",
        ),
    ]
}

fn of_integrity() -> Vec<Route> {
    use api::{action, integrity};
    vec![
        get(
            API,
            "/api/v1/integrity/summary",
            integrity::summary,
            "Counts the open anomalies of each kind",
        ),
        get(
            API,
            "/api/v1/integrity/anomalies",
            integrity::anomalies,
            "Lists anomalies, what is open first",
        ),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/resolve",
            action::resolve_many,
            "Closes several anomalies, all or none",
        ),
        get(
            API,
            "/api/v1/integrity/anomalies/{id}",
            integrity::anomaly,
            "Shows one anomaly and what happened to it",
        ),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/{id}/resolve",
            action::resolve,
            "Closes an anomaly",
        ),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/{id}/acknowledge",
            action::acknowledge,
            "Leaves an anomaly open for a reason",
        ),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/{id}/snooze",
            action::snooze,
            "Puts an anomaly out of sight until a time",
        ),
        get(
            API,
            "/integrity/events",
            api::live::events,
            "Tells a browser when the ledger has grown",
        ),
    ]
}

fn of_signals() -> Vec<Route> {
    vec![
        get(
            API,
            "/api/v1/signals",
            api::signals::list,
            "Lists the history of signals, the newest first",
        ),
        get(
            API,
            "/api/v1/events",
            api::events::list,
            "Lists what happened lately, the newest first",
        ),
        get(
            API,
            "/api/v1/trust/{id}",
            api::trust::one,
            "Explains the trust score of an agent",
        ),
        get(
            API,
            "/api/v1/correlation",
            api::insight::correlation,
            "Lists what hangs together",
        ),
        get(
            API,
            "/api/v1/compliance/pareto",
            api::insight::pareto,
            "Orders controls by what they would bring",
        ),
    ]
}

fn of_operations() -> Vec<Route> {
    use api::{health, metrics};
    vec![
        get(
            METRICS,
            "/internal/metrics",
            metrics::metrics,
            "The metrics of this hub for Prometheus",
        ),
        get(
            PUBLIC_API,
            "/healthz",
            health::live,
            "Whether the process answers",
        ),
        get(
            PUBLIC_API,
            "/readyz",
            health::ready,
            "Whether the store takes a transaction",
        ),
    ]
}

fn of_visitors() -> Vec<Route> {
    vec![
        get(PUBLIC_PAGE, "/", web::start, "Leads to the overview"),
        get(PUBLIC_PAGE, "/login", web::login, "How to log in"),
        get(
            LINK,
            "/login/{secret}",
            web::follow_link,
            "Logs in by a one-time link",
        ),
        get(
            LINK,
            "/setup/{secret}",
            web::set_up_form,
            "The form that makes the first organisation and person",
        ),
        post(
            LINK,
            "/setup/{secret}",
            web::set_up,
            "Makes the first organisation and person",
        ),
        get(
            PUBLIC_PAGE,
            "/assets/{name}",
            web::asset,
            "Style sheet, script and icon of the pages",
        ),
    ]
}

fn of_pages() -> Vec<Route> {
    use web::{agent, cycle, devices, events, fleet, integrity, overview};
    vec![
        post(PAGE, "/logout", web::log_out, "Ends the session"),
        get(
            PAGE,
            "/overview",
            overview::show,
            "The page of how everything stands",
        ),
        get(PAGE, "/fleet", fleet::show, "The page of scores and risk"),
        get(PAGE, "/devices", devices::list, "The page of all devices"),
        get(PAGE, "/events", events::list, "The page of what happened"),
        get(
            PAGE,
            "/insights",
            web::insights,
            "The page of incidents and of what to repair first",
        ),
        get(PAGE, "/integrity", integrity::list, "The page of anomalies"),
        post(
            ADMIN_PAGE,
            "/integrity/run",
            cycle::run,
            "Asks for an integrity cycle now",
        ),
        post(
            ADMIN_PAGE,
            "/integrity/act",
            integrity::act_on_ticked,
            "Does one thing with all anomalies that are ticked",
        ),
        get(
            PAGE,
            "/integrity/{id}",
            integrity::anomaly,
            "The page of one anomaly",
        ),
        post(
            ADMIN_PAGE,
            "/integrity/{id}/acknowledge",
            integrity::acknowledge,
            "Leaves an anomaly open for a reason",
        ),
        post(
            ADMIN_PAGE,
            "/integrity/{id}/snooze",
            integrity::snooze,
            "Puts an anomaly out of sight until a time",
        ),
        post(
            ADMIN_PAGE,
            "/integrity/{id}/resolve",
            integrity::resolve,
            "Closes an anomaly",
        ),
        get(PAGE, "/agents/{id}", agent::show, "The page of one agent"),
    ]
}

/// Makes the router of the table.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut paths = BTreeMap::<_, Vec<Route>>::new();
    for route in table() {
        paths.entry(route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        router = router.route(path, at_one_path(routes, &app));
    }
    router
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX))
        .layer(from_fn(answer_in_time))
        .layer(from_fn_with_state(Arc::clone(&app), enforce_https))
        .layer(from_fn(set_headers))
        .layer(from_fn_with_state(Arc::clone(&app), learn))
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// Puts the routes of one path together; what none of them takes is refused and told what is.
fn at_one_path(routes: Vec<Route>, app: &Arc<App>) -> MethodRouter<Arc<App>> {
    let form = routes.first().map_or(Form::Api, |route| route.policy.form);
    let allowed: Vec<_> = routes.iter().map(|route| route.verb.allowed()).collect();
    let allowed = allowed.join(", ");
    let mut service = MethodRouter::new();
    for route in routes {
        service = service.merge(route.service(app));
    }
    service.fallback(move || async move { wrong_method(form, &allowed) })
}

fn wrong_method(form: Form, allowed: &str) -> Response {
    let mut response = match form {
        Form::Page => web::wrong_method(),
        Form::Api => api::problem::method_not_allowed(),
    };
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Answers a request for a path that is not there.
async fn not_found(request: Request) -> Response {
    match Form::of_address(request.uri().path()) {
        Form::Page => web::not_found(),
        Form::Api => api::problem::not_found(),
    }
}
