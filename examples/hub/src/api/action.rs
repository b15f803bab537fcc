//! What administrators do with anomalies over HTTP: resolve, acknowledge, snooze.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use monsys_core::anomaly::Action;
use monsys_core::id::AnomalyId;
use monsys_core::limit;
use monsys_core::time::{Span, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::integrity::ShownAnomaly;
use super::problem;
use crate::app::App;
use crate::security::principal::Principal;
use crate::security::session::ApiSession;
use crate::small_body::SmallBody;

/// `POST /api/v1/integrity/anomalies/{id}/resolve`: closes by hand; again changes nothing.
pub(crate) async fn resolve(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
    SmallBody(body): SmallBody,
) -> Response {
    let expected = "expected an object with at most the text note";
    let parsed = body_of::<ResolveRequest>(&body, expected).and_then(|request| {
        Ok(Action::Resolve {
            note: checked_note(request.note)?,
        })
    });
    one(&app, &session, &id, parsed).await
}

/// `POST /api/v1/integrity/anomalies/{id}/acknowledge`: seen, and left open for a reason.
pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
    SmallBody(body): SmallBody,
) -> Response {
    let expected = "expected an object with the text reason and at most the time until";
    let parsed = body_of::<HoldRequest>(&body, expected).and_then(|request| {
        Ok(Action::Acknowledge {
            reason: checked_reason(request.reason)?,
            until: request
                .until
                .map(|until| checked_until(&until, app.clock.now()))
                .transpose()?,
        })
    });
    one(&app, &session, &id, parsed).await
}

/// `POST /api/v1/integrity/anomalies/{id}/snooze`: out of sight until a time, for a reason.
pub(crate) async fn snooze(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
    SmallBody(body): SmallBody,
) -> Response {
    let expected = "expected an object with the text reason and the time until";
    let parsed = body_of::<HoldRequest>(&body, expected).and_then(|request| {
        let until = request.until.ok_or(Refusal::Unusable(expected))?;
        Ok(Action::Snooze {
            reason: checked_reason(request.reason)?,
            until: checked_until(&until, app.clock.now())?,
        })
    });
    one(&app, &session, &id, parsed).await
}

/// `POST /api/v1/integrity/anomalies/resolve`: closes up to 200 at once, all or none.
pub(crate) async fn resolve_many(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    SmallBody(body): SmallBody,
) -> Response {
    let expected = "expected an object with ids, a list of 1 to 200 identifiers, and the text note";
    let parsed = body_of::<ManyRequest>(&body, expected).and_then(|request| {
        if !(1..=limit::ACTION_ANOMALIES_MAX).contains(&request.ids.len()) {
            return Err(Refusal::Unusable(expected));
        }
        let ids = request.ids.iter().map(|id| AnomalyId::parse(id));
        let ids = ids.collect::<Result<Vec<_>, _>>();
        let note = Some(checked_reason(request.note)?);
        Ok((
            ids.map_err(|_| Refusal::NotFound)?,
            Action::Resolve { note },
        ))
    });
    let (ids, action) = match parsed {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal.answer(),
    };
    let (user, now) = (&session.user, app.clock.now());
    match app
        .store
        .act(user.tenant, &ids, user.user, &action, now)
        .await
    {
        Ok(rows) => {
            let items: Vec<_> = rows.iter().map(|row| ShownAnomaly::new(row, now)).collect();
            super::json(&json!({"items": items}))
        }
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ResolveRequest {
    note: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct HoldRequest {
    reason: Option<String>,
    until: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ManyRequest {
    ids: Vec<String>,
    note: Option<String>,
}

/// Why nothing is done, by what was expected.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    NotFound,
    Unusable(&'static str),
}

impl From<&'static str> for Refusal {
    fn from(expected: &'static str) -> Self {
        Self::Unusable(expected)
    }
}

impl Refusal {
    fn answer(self) -> Response {
        match self {
            Self::NotFound => problem::not_found(),
            Self::Unusable(expected) => problem::unprocessable(expected),
        }
    }
}

/// Does something with one anomaly and answers its row.
async fn one(
    app: &App,
    session: &Principal,
    id: &str,
    action: Result<Action, Refusal>,
) -> Response {
    let action = match action {
        Ok(action) => action,
        Err(refusal) => return refusal.answer(),
    };
    let Ok(id) = AnomalyId::parse(id) else {
        return problem::not_found();
    };
    let (user, now) = (&session.user, app.clock.now());
    match app
        .store
        .act(user.tenant, &[id], user.user, &action, now)
        .await
    {
        Ok(rows) => match rows.first() {
            Some(row) => super::json(&ShownAnomaly::new(row, now)),
            None => problem::not_found(),
        },
        Err(error) => problem::of_store(&error),
    }
}

/// Reads a body; an empty one is an object without members.
fn body_of<T: Default + for<'a> Deserialize<'a>>(
    body: &[u8],
    expected: &'static str,
) -> Result<T, Refusal> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|_| Refusal::Unusable(expected))
}

/// Checks a note: what one of the stores cannot hold is refused on each.
///
/// # Errors
/// What was expected.
pub(crate) fn checked_note(note: Option<String>) -> Result<Option<String>, &'static str> {
    let Some(note) = note else { return Ok(None) };
    if note.len() > limit::NOTE_BYTES_MAX {
        return Err("expected a note or reason of at most 4096 bytes");
    }
    if note.contains('\0') {
        return Err("expected a note or reason without U+0000");
    }
    Ok(Some(note))
}

/// Checks a reason: a note that says something.
///
/// # Errors
/// What was expected.
pub(crate) fn checked_reason(reason: Option<String>) -> Result<String, &'static str> {
    let reason = checked_note(reason)?.filter(|reason| !reason.trim().is_empty());
    reason.ok_or("expected a reason, a text that is not blank")
}

/// Checks an end: a time to come, not too far away.
///
/// # Errors
/// What was expected.
pub(crate) fn checked_until(until: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    let latest = now.saturating_add(Span::from_secs(limit::SNOOZE_S_MAX));
    let until = Timestamp::parse_rfc3339(until).ok();
    until
        .filter(|until| *until > now && *until <= latest)
        .ok_or("expected until to be a time to come within 90 days, as RFC 3339")
}
