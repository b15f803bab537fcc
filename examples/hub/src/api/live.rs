//! `GET /integrity/events`: a browser hears that the ledger has grown, as server-sent events.
//!
//! Each event is named `ledger` and carries the number of the ledger's last entry, as its `id` and
//! as `{"seq":n}`. An event named `beat` says every 15 s that the hub still speaks: it is no comment,
//! because scripts do not see those, and a page must tell a quiet hub from a dead one. Who names the last number it knows, in `Last-Event-ID` as browsers do when they
//! come back or in `after`, hears at once when there is more. A stream ends with its session.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use monsys_core::id::TenantId;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::problem;
use crate::app::App;
use crate::live::{HUB_VIEWERS_MAX, NoPlace, SESSION_VIEWERS_MAX, TENANT_VIEWERS_MAX, Viewer};
use crate::security::principal::{self, Proof};
use crate::security::session::ApiSession;

/// How often a stream says that it lives, and looks whether its session does. Proxies give up on
/// silence after 30 s or more.
const BEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back to a stream that broke.
const COME_BACK_AFTER: Duration = Duration::from_secs(2);

/// Opens the stream of a session.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Ok(known) = known(&query, &headers) else {
        return problem::unprocessable("expected at most the parameter after, a whole number");
    };
    let (tenant, proof) = (session.user.tenant, session.proof());
    // The place first: what the ledger holds then is read after it, and what comes later is heard.
    let viewer = match app.live.enter(tenant, session.digest()) {
        Ok(viewer) => viewer,
        Err(no_place) => return no_stream(no_place),
    };
    let told = match app.store.ledger_head(tenant).await {
        Ok(head) => head.seq,
        Err(error) => return problem::of_store(&error),
    };
    let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let greeting = Event::default().retry(COME_BACK_AFTER).id(told.to_string());
    let greeting = if known == Some(told) {
        greeting
    } else {
        greeting.event(NAME).data(data(told))
    };
    let watched = Watched {
        app,
        viewer,
        tenant,
        proof,
        told,
        beat,
        greeting: Some(greeting),
    };
    let events = stream::unfold(watched, |mut watched| async move {
        let event = watched.next().await?;
        Some((Ok::<_, Infallible>(event), watched))
    });
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that keep answers until they are whole know this word.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Sse::new(events)).into_response()
}

/// Reads the last number that a browser knows. A `Last-Event-ID` that we never gave is not known.
fn known(query: &BTreeMap<String, String>, headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut after = None;
    for (name, value) in query {
        if name != "after" {
            return Err(());
        }
        after = Some(value.parse().map_err(|_| ())?);
    }
    let last = headers.get("last-event-id");
    let last = last.map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    Ok(last.unwrap_or(after))
}

fn no_stream(no_place: NoPlace) -> Response {
    let at_most = |n: usize, whose: &str| format!("expected at most {n} streams of one {whose}");
    match no_place {
        NoPlace::Session => problem::no_stream(429, &at_most(SESSION_VIEWERS_MAX, "session")),
        NoPlace::Tenant => problem::no_stream(429, &at_most(TENANT_VIEWERS_MAX, "organisation")),
        NoPlace::Hub => problem::no_stream(503, &at_most(HUB_VIEWERS_MAX, "hub")),
        NoPlace::Ending => problem::no_stream(503, "expected a hub that does not end"),
    }
}

/// A stream under way.
struct Watched {
    app: Arc<App>,
    viewer: Viewer,
    tenant: TenantId,
    proof: Proof,
    /// The number of the entry that the browser was told of last.
    told: u64,
    beat: Interval,
    greeting: Option<Event>,
}

impl Watched {
    /// Waits for what comes next; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        tokio::select! {
            grown = self.viewer.grown_beyond(self.told) => {
                self.told = grown?;
                let event = Event::default().event(NAME).id(self.told.to_string());
                Some(event.data(data(self.told)))
            }
            _ = self.beat.tick() => {
                self.is_allowed().await.then(|| Event::default().event("beat").data("{}"))
            }
        }
    }

    /// Tells whether the session still lets its holder see this organisation.
    async fn is_allowed(&self) -> bool {
        let found = principal::user_of(self.proof, &self.app).await;
        found.is_ok_and(|user| user.is_some_and(|user| user.tenant == self.tenant))
    }
}

fn data(seq: u64) -> String {
    format!("{{\"seq\":{seq}}}")
}

/// The name of an event that says something.
const NAME: &str = "ledger";
