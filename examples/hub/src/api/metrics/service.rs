//! The metrics of serving: payloads, transactions, requests, connections, refusals.

use monsys_core::store::AuthProfile;

use crate::app::App;
use crate::ingest::GroupCommit;
use crate::telemetry::Telemetry;
use crate::telemetry::page::{Page, Unit};

/// Which program this is.
pub(super) fn of_program(page: &mut Page) {
    let name = "monsys_build_info";
    page.head(
        name,
        "Always 1; the labels say which program this is.",
        "gauge",
    );
    let version = env!("CARGO_PKG_VERSION");
    page.line(format_args!("{name}{{version=\"{version}\"}} 1"));
}

/// What became of payloads, and the memory that bodies take.
pub(super) fn of_payloads(page: &mut Page, app: &App) {
    let name = "monsys_ingest_payloads_total";
    let help = "Payloads by profile and what became of them: stored, or the code of the refusal.";
    page.head(name, help, "counter");
    for (profile, outcome, n) in app.telemetry.ingest.read() {
        let profile = profile.as_str();
        page.line(format_args!(
            "{name}{{profile=\"{profile}\",outcome=\"{outcome}\"}} {n}"
        ));
    }
    let name = "monsys_sanitised_texts_total";
    let help = "Texts of accepted payloads that lost controls, addresses or length, by member.";
    let cleaned = app.telemetry.sanitised_texts();
    page.labelled((name, help, "counter"), "field", cleaned);
    let name = "monsys_ingest_body_bytes";
    let help = "Bytes of bodies in flight beyond the first 4096 of each, of 67108864 at most.";
    page.head(name, help, "gauge");
    for (profile, share) in [
        (AuthProfile::Ed25519, &app.bodies_of_agents),
        (AuthProfile::Hmac, &app.bodies_of_strangers),
    ] {
        let (profile, n) = (profile.as_str(), share.bytes_taken());
        page.line(format_args!("{name}{{profile=\"{profile}\"}} {n}"));
    }
}

/// The queue before the store, and its transactions.
pub(super) fn of_commits(page: &mut Page, group: &GroupCommit) {
    let figures = group.figures();
    let help = "Payloads that wait for a transaction.";
    page.gauge("monsys_ingest_queue_payloads", help, &group.n_waiting());
    let help = "Payloads that found the queue full and were told to come again.";
    page.counter("monsys_ingest_queue_full_total", help, &figures.n_full());
    let help = "Payloads of each transaction of ingest.";
    let sizes = figures.sizes.read();
    page.histogram("monsys_ingest_commit_payloads", help, &sizes, Unit::Count);
    let help = "How long each transaction of ingest took, failed ones included.";
    let took = figures.took_us.read();
    let name = "monsys_ingest_commit_duration_seconds";
    page.histogram(name, help, &took, Unit::Micros);
}

/// Requests by route, and connections.
pub(super) fn of_requests(page: &mut Page, telemetry: &Telemetry) {
    let requests = &telemetry.requests;
    let name = "monsys_http_requests_total";
    page.head(name, "Answers by route and class of status.", "counter");
    for (route, class, n) in requests.by_class() {
        page.line(format_args!(
            "{name}{{route=\"{route}\",status=\"{class}\"}} {n}"
        ));
    }
    let name = "monsys_http_request_duration_seconds";
    let help = "From the head of a request to the head of its answer, by route.";
    page.head(name, help, "histogram");
    for (route, took) in requests.took() {
        page.buckets(name, &format!("route=\"{route}\","), &took, Unit::Micros);
    }
    let help = "Requests that are under way.";
    let n_under_way = requests.n_under_way();
    page.gauge("monsys_http_requests_in_flight", help, &n_under_way);
    let connections = &telemetry.connections;
    let help = "Connections that are open.";
    page.gauge("monsys_http_connections", help, &connections.n_open());
    let help = "Connections that were accepted.";
    let n_opened = connections.n_opened();
    page.counter("monsys_http_accepted_connections_total", help, &n_opened);
    let help = "Connections that were cut off because the hub has no place for more.";
    let n_refused = connections.n_refused();
    page.counter("monsys_http_refused_connections_total", help, &n_refused);
}

/// Who was not let in, who was slowed down, and what the store did not do.
pub(super) fn of_refusals(page: &mut Page, app: &App) {
    let telemetry = &app.telemetry;
    let help = "People and programs that were not let in, by reason; agents are payloads.";
    let family = ("monsys_auth_failures_total", help, "counter");
    page.labelled(family, "reason", telemetry.auth_failures.read());
    let help = "Requests refused because there were too many, by which limit.";
    let family = ("monsys_rate_limited_total", help, "counter");
    let limits = [
        ("organisation", app.org_limit.n_refused()),
        ("address", app.address_limit.n_refused()),
    ];
    page.labelled(family, "limit", limits.into_iter());
    let help = "What the store did not do, by why.";
    let family = ("monsys_store_errors_total", help, "counter");
    page.labelled(family, "error", telemetry.store_faults.read());
}
