//! What happened lately, over HTTP: one list of anomalies, logins, collectors and the audit log.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use monsys_core::limit;
use monsys_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::parameters::{self, Parameters};
use super::problem;
use crate::app::App;
use crate::security::session::ApiSession;
use crate::store::{
    Activity, ActivityFilter, ActivityKind, ActivityPage, ActivityPlace, Actor, Happened,
};

/// Rows of a page when the caller does not say.
const PAGE_ROWS: u32 = 50;

/// What somebody asks of the list.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: ActivityFilter,
    pub(crate) n_rows: u32,
}

impl Wanted {
    /// Reads the parameters; an unknown or unusable one is refused by what it should be.
    pub(crate) fn parse(parameters: &Parameters) -> Result<Self, &'static str> {
        let mut wanted = Self {
            filter: ActivityFilter {
                kind: None,
                from: Timestamp::MIN,
                to: Timestamp::MAX,
                after: None,
            },
            n_rows: PAGE_ROWS,
        };
        for (name, value) in parameters.iter() {
            wanted.take(name, value)?;
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let filter = &mut self.filter;
        match name {
            "kind" => {
                let expected = "expected kind to be anomaly, login, collector or audit";
                filter.kind = Some(ActivityKind::parse(value).ok_or(expected)?);
            }
            "from" => {
                let expected = "expected from to be a time such as 2026-11-21T01:15:41Z";
                filter.from = Timestamp::parse_rfc3339(value).map_err(|_| expected)?;
            }
            "to" => {
                let expected = "expected to to be a time such as 2026-11-21T02:15:41Z";
                filter.to = Timestamp::parse_rfc3339(value).map_err(|_| expected)?;
            }
            "cursor" => {
                let place = ActivityPlace::parse(value);
                filter.after = Some(place.map_err(|_| "expected cursor to be a next_cursor")?);
            }
            "limit" => {
                let expected = "expected limit to be 1 to 200";
                self.n_rows = parameters::count(value, limit::PAGE_ROWS_MAX, expected)?;
            }
            _ => return Err("expected the parameters kind, from, to, cursor, limit"),
        }
        Ok(())
    }
}

/// `GET /api/v1/events`: what happened lately, the newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    parameters: Parameters,
) -> Response {
    let wanted = match Wanted::parse(&parameters) {
        Ok(wanted) => wanted,
        Err(expected) => return problem::unprocessable(expected),
    };
    let read = app
        .store
        .activity(session.user.tenant, wanted.filter, wanted.n_rows);
    match read.await {
        Ok(page) => super::json(&Listing::new(&page)),
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Serialize)]
struct Listing {
    items: Vec<Map<String, Value>>,
    /// Also on a page that has fewer rows than were asked for.
    next_cursor: Option<String>,
}

impl Listing {
    fn new(page: &ActivityPage) -> Self {
        Self {
            items: page.rows.iter().map(shown).collect(),
            next_cursor: page.next.map(|place| place.to_string()),
        }
    }
}

/// What all have in common, and the members of its kind.
fn shown(activity: &Activity) -> Map<String, Value> {
    let own = match &activity.what {
        Happened::Anomaly {
            event,
            anomaly,
            kind,
            severity,
            agent,
            agent_name,
            actor,
        } => json!({
            "event": event.as_str(), "anomaly_id": anomaly.to_string(),
            "anomaly_kind": kind.as_str(), "severity": severity.as_str(),
            "agent_id": agent.to_string(), "agent_name": agent_name,
            "actor": match actor {
                Actor::Person(email) => email,
                Actor::Worker => "hub",
            },
        }),
        Happened::Login {
            agent,
            agent_name,
            counts,
        } => {
            let counts = counts.iter().map(|of| {
                json!({"service": of.service, "outcome": of.outcome.as_str(), "count": of.count})
            });
            json!({
                "agent_id": agent.to_string(), "agent_name": agent_name,
                "logins": counts.collect::<Vec<_>>(),
            })
        }
        Happened::Collector {
            agent,
            agent_name,
            changes,
        } => {
            let changes = changes.iter().map(|of| {
                json!({
                    "collector": of.collector, "state": of.state.as_str(), "reason": of.reason,
                    "was": of.was.as_str(),
                })
            });
            json!({
                "agent_id": agent.to_string(), "agent_name": agent_name,
                "collectors": changes.collect::<Vec<_>>(),
            })
        }
        Happened::Audit {
            actor,
            action,
            subject,
        } => json!({"actor": actor, "action": action, "subject": subject}),
    };
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(activity.place.to_string()));
    shown.insert("at".to_owned(), json!(activity.place.at.to_rfc3339()));
    shown.insert("kind".to_owned(), json!(activity.place.kind.as_str()));
    if let Value::Object(own) = own {
        shown.extend(own);
    }
    shown
}
