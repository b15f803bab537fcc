//! What monitoring reads of this hub: the text format of Prometheus, version 0.0.4.
//!
//! Counters begin at zero with the process. Times and spans of cycles are those of the hub's clock,
//! all others those of the machine. What all hubs of a store see alike (open anomalies, the last
//! cycle) is to be read with `max`, the rest with `sum`.

mod service;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use monsys_core::time::Timestamp;

use crate::app::App;
use crate::telemetry::page::Page;
use crate::worker::{Progress, Totals};

/// `GET /internal/metrics`: by the token in `X-Metrics-Token`, or without one from this machine.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    // A store that does not answer is told by what is missing; the counters are there all the same.
    let previous = app.store.meta("previous_cycle").await.ok().flatten();
    let previous = previous.and_then(|text| Timestamp::parse_rfc3339(&text).ok());
    let open = app.telemetry.open_anomalies.read(&*app.store).await;
    let mut page = Page::default();
    service::of_program(&mut page);
    service::of_payloads(&mut page, &app);
    service::of_commits(&mut page, &app.group);
    service::of_requests(&mut page, &app.telemetry);
    service::of_refusals(&mut page, &app);
    of_cycle_now(&mut page, app.worker.progress_of_all());
    of_cycles(&mut page, &app.worker.totals(), previous);
    if let Some(open) = open {
        let help = "Open anomalies of all organisations, as the store has them.";
        let family = ("monsys_integrity_open_anomalies", help, "gauge");
        let samples = open.map(|(kind, n)| (kind.as_str(), n));
        page.labelled(family, "kind", samples);
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, page.into_text()).into_response()
}

fn of_cycle_now(page: &mut Page, progress: Option<Progress>) {
    let running = u64::from(progress.is_some());
    let help = "Whether this hub runs an integrity cycle now.";
    page.gauge("monsys_integrity_cycle_running", help, &running);
    let (judged, active) = progress.map_or((0, 0), |p| (p.n_judged, p.n_agents));
    let help = "Agents that the running cycle has judged.";
    page.gauge("monsys_integrity_cycle_judged_agents", help, &judged);
    let help = "Active agents when the running cycle began.";
    page.gauge("monsys_integrity_cycle_active_agents", help, &active);
    if let Some(progress) = progress {
        let help = "When the running cycle began, Unix time.";
        let since = Seconds::of(progress.since);
        page.gauge("monsys_integrity_cycle_start_time_seconds", help, &since);
    }
}

fn of_cycles(page: &mut Page, totals: &Totals, previous: Option<Timestamp>) {
    if let Some(previous) = previous {
        let help = "When the last finished cycle of any hub on this store began, Unix time.";
        let at = Seconds::of(previous);
        page.gauge("monsys_integrity_last_cycle_time_seconds", help, &at);
    }
    let help = "How long the last cycle of this hub took.";
    let last = Seconds::of_millis(totals.last_took_ms);
    page.gauge("monsys_integrity_last_cycle_duration_seconds", help, &last);
    let help = "How long all cycles of this hub took.";
    let all = Seconds::of_millis(totals.took_ms);
    page.counter("monsys_integrity_cycle_duration_seconds_total", help, &all);
    let name = "monsys_integrity_cycles_total";
    page.head(
        name,
        "Cycles of this hub that ended, by how they did.",
        "counter",
    );
    for (outcome, n) in [
        ("complete", totals.n_complete),
        ("incomplete", totals.n_incomplete),
        ("lease_lost", totals.n_lost),
        ("failed", totals.n_failed),
    ] {
        page.line(format_args!("{name}{{outcome=\"{outcome}\"}} {n}"));
    }
    for (name, help, n) in [
        (
            "monsys_integrity_missed_cycles_total",
            "Cycles that no hub ran when they were due, as this hub found out.",
            totals.n_missed,
        ),
        (
            "monsys_integrity_judged_agents_total",
            "Agents judged in all cycles.",
            totals.n_judged,
        ),
        (
            "monsys_integrity_failed_agents_total",
            "Agents judged not at all or in part in all cycles.",
            totals.n_failed_agents,
        ),
        (
            "monsys_integrity_failed_pages_total",
            "Pages of agents that could not be read or stored in all cycles.",
            totals.n_failed_pages,
        ),
        (
            "monsys_integrity_opened_anomalies_total",
            "Anomalies that cycles of this hub opened.",
            totals.n_opened,
        ),
        (
            "monsys_integrity_resolved_anomalies_total",
            "Anomalies that cycles of this hub closed because their check passes.",
            totals.n_resolved,
        ),
    ] {
        page.counter(name, help, &n);
    }
}

/// A number of seconds, written with its milliseconds.
struct Seconds(i64);

impl Seconds {
    const fn of(time: Timestamp) -> Self {
        Self(time.unix_millis())
    }

    fn of_millis(millis: u64) -> Self {
        Self(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0.div_euclid(1_000), self.0.rem_euclid(1_000));
        write!(f, "{whole}.{rest:03}")
    }
}
