//! What monitoring reads of this hub: the text format of Prometheus, version 0.0.4.
//!
//! Counters begin at zero with the process. Times and spans are those of the hub's clock.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use monsys_core::time::Timestamp;

use crate::app::App;
use crate::worker::{Progress, Totals};

/// `GET /internal/metrics`: by the token in `X-Metrics-Token`, or without one from this machine.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    // A store that does not answer is told by what is missing; the counters are there all the same.
    let previous = app.store.meta("previous_cycle").await.ok().flatten();
    let previous = previous.and_then(|text| Timestamp::parse_rfc3339(&text).ok());
    let mut page = Page::default();
    of_cycle_now(&mut page, app.worker.progress_of_all());
    of_cycles(&mut page, &app.worker.totals(), previous);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, page.0).into_response()
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

/// A page of metrics; every name and label in it is a constant, so that nothing needs escaping.
#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: &impl std::fmt::Display) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, value: &impl std::fmt::Display) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {value}"));
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A text takes whatever is written to it.
        let _ = writeln!(self.0, "{line}");
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
