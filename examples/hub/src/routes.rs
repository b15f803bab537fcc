//! The table of all routes: where each is, who may call it, what it is, and what answers.
//!
//! The router and the description of the API are made of this table and of nothing else, so there is
//! no route without a policy, and none that the description does not know.

mod around;
mod openapi;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::MethodRouter;

use self::around::around;
pub(crate) use self::openapi::description;
use self::route::{
    ADMIN_API, ADMIN_PAGE, AGENT, API, Gives, LINK, METRICS, PAGE, PUBLIC_API, PUBLIC_PAGE, Route,
    get, post,
};
use crate::app::App;
use crate::security::policy::Form;
use crate::small_body::let_pass;
use crate::{api, ingest, web};

/// All routes.
fn table() -> Vec<Route> {
    let groups = [
        of_agents(),
        of_fleet(),
        of_integrity(),
        of_actions(),
        of_signals(),
        of_operations(),
        of_people(),
        of_visitors(),
        of_pages(),
        of_forms(),
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
        )
        .takes("Payload")
        .or(202, Gives::Json("Acknowledgement"))
        .gives("Acknowledgement"),
        post(
            AGENT,
            "/ingest",
            ingest::ingest_of_device,
            "Takes a payload with the MAC of a device",
        )
        .takes("Payload")
        .or(202, Gives::Json("Acknowledgement"))
        .gives("Acknowledgement"),
        get(
            AGENT,
            "/api/v1/agents/self",
            agents::own,
            "Tells an agent who its token belongs to",
        )
        .gives("AgentSelf"),
        post(
            AGENT,
            "/api/v1/agents/pin",
            agents::pin,
            "Binds a key to an agent, once",
        )
        .takes("PinRequest")
        .gives("Pinned"),
        post(
            AGENT,
            "/api/v1/agents/rotate-key",
            agents::rotate_key,
            "Puts another key in the place of the pinned one",
        )
        .takes("RotateRequest")
        .gives("Pinned"),
    ]
}

fn of_fleet() -> Vec<Route> {
    use api::{agents, fleet, samples};
    vec![
        get(
            API,
            "/api/v1/agents",
            fleet::list,
            "Lists the agents of the organisation",
        )
        .asks(&[
            "text", "profile", "presence", "version", "order", "cursor", "limit",
        ])
        .gives("AgentPage"),
        get(
            API,
            "/v1/fleet/top",
            fleet::top,
            "Ranks the agents of the organisation by risk",
        )
        .asks(&["org_id", "limit"])
        .gives("FleetTop"),
        get(API, "/api/v1/agents/{id}", agents::one, "Shows one agent").gives("Agent"),
        get(
            API,
            "/v1/metrics",
            samples::list,
            "Lists samples, the newest first",
        )
        .asks(&[
            "org_id",
            "device_id",
            "page",
            "page_size",
            "as_of",
            "cursor",
        ])
        .gives("SamplePage"),
        get(
            API,
            "/api/v1/agents/{id}/series",
            samples::series,
            "Draws a series of samples of an agent in buckets",
        )
        .asks(&["from", "to", "points", "of"])
        .gives("Series"),
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
        )
        .gives("IntegritySummary"),
        get(
            API,
            "/api/v1/integrity/anomalies",
            integrity::anomalies,
            "Lists anomalies, what is open first",
        )
        .asks(&[
            "state",
            "kind",
            "severity",
            "agent_id",
            "attention",
            "cursor",
            "limit",
            "format",
        ])
        .gives("AnomalyPage")
        .or(200, Gives::Text("text/csv")),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/resolve",
            action::resolve_many,
            "Closes several anomalies, all or none",
        )
        .takes("ResolveSeveral")
        .gives("ResolvedSeveral"),
        get(
            API,
            "/api/v1/integrity/anomalies/{id}",
            integrity::anomaly,
            "Shows one anomaly and what happened to it",
        )
        .gives("AnomalyWithEvents"),
    ]
}

fn of_actions() -> Vec<Route> {
    use api::action;
    vec![
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/{id}/resolve",
            action::resolve,
            "Closes an anomaly",
        )
        .takes("Resolve")
        .gives("Anomaly"),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/{id}/acknowledge",
            action::acknowledge,
            "Leaves an anomaly open for a reason",
        )
        .takes("Acknowledge")
        .gives("Anomaly"),
        post(
            ADMIN_API,
            "/api/v1/integrity/anomalies/{id}/snooze",
            action::snooze,
            "Puts an anomaly out of sight until a time",
        )
        .takes("Snooze")
        .gives("Anomaly"),
        get(
            API,
            "/integrity/events",
            api::live::events,
            "Tells a browser when the ledger has grown",
        )
        .asks(&["after"])
        .or(200, Gives::Text("text/event-stream")),
    ]
}

fn of_signals() -> Vec<Route> {
    vec![
        get(
            API,
            "/api/v1/signals",
            api::signals::list,
            "Lists the history of signals, the newest first",
        )
        .asks(&[
            "subject_type",
            "subject_id",
            "source",
            "key",
            "since",
            "cursor",
            "limit",
        ])
        .gives("SignalPage"),
        get(
            API,
            "/api/v1/events",
            api::events::list,
            "Lists what happened lately, the newest first",
        )
        .asks(&["event_kind", "from", "to", "cursor", "limit"])
        .gives("EventPage"),
        get(
            API,
            "/api/v1/trust/{id}",
            api::trust::one,
            "Explains the trust score of an agent",
        )
        .asks(&["at", "target", "format"])
        .gives("Trust")
        .or(200, Gives::Text("text/csv")),
        get(
            API,
            "/api/v1/correlation",
            api::insight::correlation,
            "Lists what hangs together",
        )
        .asks(&["since", "limit", "id", "format"])
        .gives("Incidents")
        .or(200, Gives::Text("text/csv")),
        get(
            API,
            "/api/v1/compliance/pareto",
            api::insight::pareto,
            "Orders controls by what they would bring",
        )
        .asks(&["format"])
        .gives("Pareto")
        .or(200, Gives::Text("text/csv")),
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
        )
        .or(200, Gives::Text("text/plain")),
        get(
            PUBLIC_API,
            "/healthz",
            health::live,
            "Whether the process answers",
        )
        .gives("Health"),
        get(
            PUBLIC_API,
            "/readyz",
            health::ready,
            "Whether the store takes a transaction",
        )
        .gives("Health"),
        get(
            PUBLIC_API,
            "/openapi.json",
            openapi::served,
            "This description",
        )
        .gives("Description"),
    ]
}

fn of_people() -> Vec<Route> {
    use api::{auth, users};
    vec![
        post(
            PUBLIC_API,
            "/auth/api/login",
            auth::log_in,
            "Gives an access token and a refresh token for a password",
        )
        .takes("LoginRequest")
        .gives("TokenPair"),
        post(
            PUBLIC_API,
            "/auth/api/refresh",
            auth::refresh,
            "Gives two new tokens for a refresh token, once",
        )
        .takes("RefreshRequest")
        .gives("TokenPair"),
        post(
            PUBLIC_API,
            "/auth/api/logout",
            auth::log_out,
            "Ends the family of a refresh token",
        )
        .takes("RefreshRequest")
        .or(204, Gives::Nothing),
        get(
            ADMIN_API,
            "/v1/admin/users",
            users::list,
            "Lists the people of the organisation",
        )
        .asks(&["org_id", "cursor", "limit"])
        .gives("UserPage"),
        post(
            ADMIN_API,
            "/v1/admin/users",
            users::add,
            "Adds a person with a password",
        )
        .takes("NewUser")
        .or(201, Gives::Json("AddedUser")),
    ]
}

fn of_visitors() -> Vec<Route> {
    use web::{link, login};
    vec![
        get(PUBLIC_PAGE, "/", web::start, "Leads to the overview").or(303, Gives::Nothing),
        get(PUBLIC_PAGE, "/login", login::form, "The login form")
            .asks(&["notice", "next"])
            .or(200, Gives::Page),
        post(
            PUBLIC_PAGE,
            "/login",
            login::submit,
            "Begins a session for the right password",
        )
        .or(303, Gives::Nothing),
        get(
            LINK,
            "/login/{secret}",
            link::follow,
            "Logs in by a one-time link",
        )
        .or(303, Gives::Nothing),
        get(
            LINK,
            "/setup/{secret}",
            link::set_up_form,
            "The form that makes the first organisation and person",
        )
        .or(200, Gives::Page),
        post(
            LINK,
            "/setup/{secret}",
            link::set_up,
            "Makes the first organisation and person",
        )
        .or(303, Gives::Nothing),
        get(
            LINK,
            "/password/{secret}",
            link::password_form,
            "The form that sets a password by a one-time link",
        )
        .or(200, Gives::Page),
        post(
            LINK,
            "/password/{secret}",
            link::set_password,
            "Sets a password by a one-time link",
        )
        .or(303, Gives::Nothing),
        get(
            PUBLIC_PAGE,
            "/assets/{name}",
            web::asset,
            "Style sheet, script and icon of the pages",
        )
        .or(200, Gives::Text("text/css")),
    ]
}

fn of_pages() -> Vec<Route> {
    use web::{cycle, devices, events, fleet, integrity, login, overview};
    vec![
        post(PAGE, "/logout", login::log_out, "Ends the session").or(303, Gives::Nothing),
        get(
            PAGE,
            "/overview",
            overview::show,
            "The page of how everything stands",
        )
        .or(200, Gives::Page),
        get(PAGE, "/fleet", fleet::show, "The page of scores and risk").or(200, Gives::Page),
        get(PAGE, "/devices", devices::list, "The page of all devices").or(200, Gives::Page),
        get(PAGE, "/events", events::list, "The page of what happened").or(200, Gives::Page),
        get(
            PAGE,
            "/insights",
            web::insights,
            "The page of incidents and of what to repair first",
        )
        .or(200, Gives::Page),
        get(PAGE, "/integrity", integrity::list, "The page of anomalies")
            .asks(&[
                "state",
                "kind",
                "severity",
                "agent_id",
                "attention",
                "after",
            ])
            .or(200, Gives::Page),
        post(
            ADMIN_PAGE,
            "/integrity/run",
            cycle::run,
            "Asks for an integrity cycle now",
        )
        .or(303, Gives::Nothing),
        post(
            ADMIN_PAGE,
            "/integrity/act",
            integrity::act_on_ticked,
            "Does one thing with all anomalies that are ticked",
        )
        .or(303, Gives::Nothing),
        get(
            PAGE,
            "/integrity/{id}",
            integrity::anomaly,
            "The page of one anomaly",
        )
        .asks(&["after"])
        .or(200, Gives::Page),
    ]
}

fn of_forms() -> Vec<Route> {
    use web::{account, agent, integrity};
    vec![
        post(
            ADMIN_PAGE,
            "/integrity/{id}/acknowledge",
            integrity::acknowledge,
            "Leaves an anomaly open for a reason",
        )
        .or(303, Gives::Nothing),
        post(
            ADMIN_PAGE,
            "/integrity/{id}/snooze",
            integrity::snooze,
            "Puts an anomaly out of sight until a time",
        )
        .or(303, Gives::Nothing),
        post(
            ADMIN_PAGE,
            "/integrity/{id}/resolve",
            integrity::resolve,
            "Closes an anomaly",
        )
        .or(303, Gives::Nothing),
        get(PAGE, "/agents/{id}", agent::show, "The page of one agent")
            .asks(&["after"])
            .or(200, Gives::Page),
        get(
            PAGE,
            "/account",
            account::show,
            "The page of one's own account",
        )
        .asks(&["notice"])
        .or(200, Gives::Page),
        post(
            PAGE,
            "/account/password",
            account::change_password,
            "Sets another password for oneself",
        )
        .or(303, Gives::Nothing),
        post(
            PAGE,
            "/account/sessions",
            account::end_others,
            "Ends one's other sessions",
        )
        .or(303, Gives::Nothing),
    ]
}

/// The path of every route, once.
pub(crate) fn paths() -> BTreeSet<&'static str> {
    table().iter().map(|route| route.path).collect()
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
        .layer(from_fn_with_state(Arc::clone(&app), around))
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
    service.fallback(move |request: Request| async move {
        let_pass(request.into_body()).await;
        wrong_method(form, &allowed)
    })
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
    let form = Form::of_address(request.uri().path());
    let_pass(request.into_body()).await;
    match form {
        Form::Page => web::not_found(),
        Form::Api => api::problem::not_found(),
    }
}
