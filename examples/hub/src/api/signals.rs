//! Signals over HTTP: the history of one organisation, the newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use monsys_core::limit;
use monsys_core::name::{SignalKey, Source, SubjectId, SubjectType};
use monsys_core::signal::Signal;
use monsys_core::store::{SignalCursor, SignalFilter, SignalPage};
use monsys_core::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::problem;
use crate::app::App;
use crate::security::session::ApiSession;

/// Rows of a page when the caller does not say.
pub(crate) const PAGE_ROWS: u32 = 50;

/// A part of the history that somebody asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: SignalFilter,
    pub(crate) after: Option<SignalCursor>,
    pub(crate) n_rows: u32,
}

/// `GET /api/v1/signals`: what was said about whom.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let wanted = match Wanted::parse(query.iter().map(|(name, value)| (&**name, &**value))) {
        Ok(wanted) => wanted,
        Err(expected) => return problem::unprocessable(expected),
    };
    let Wanted {
        filter,
        after,
        n_rows,
    } = wanted;
    let tenant = session.user.tenant;
    match app.store.signals(tenant, &filter, after, n_rows).await {
        Ok(page) => super::json(&Listing::new(&page)),
        Err(error) => problem::of_store(&error),
    }
}

impl Wanted {
    /// Reads the parameters of a listing; an unknown or unusable one is refused by what it should
    /// be. An empty one is as if it were absent.
    pub(crate) fn parse<'a>(
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, &'static str> {
        let mut wanted = Self {
            filter: SignalFilter::default(),
            after: None,
            n_rows: PAGE_ROWS,
        };
        for (name, value) in parameters.filter(|(_, value)| !value.is_empty()) {
            wanted.take(name, value)?;
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let filter = &mut self.filter;
        match name {
            "subject_type" => {
                let expected = "expected subject_type to be lower-case words joined by underscores";
                filter.subject_type = Some(SubjectType::parse(value).map_err(|_| expected)?);
            }
            "subject_id" => {
                let expected =
                    "expected subject_id to be 1 to 256 bytes without control characters";
                filter.subject_id = Some(SubjectId::parse(value).map_err(|_| expected)?);
            }
            "source" => {
                let expected = "expected source to be lower-case words joined by underscores";
                filter.source = Some(Source::parse(value).map_err(|_| expected)?);
            }
            "key" => {
                let expected = "expected key to be lower-case segments joined by dots";
                filter.key = Some(SignalKey::parse(value).map_err(|_| expected)?);
            }
            "since" => {
                let expected = "expected since to be a time such as 2026-11-21T01:15:41Z";
                filter.since = Some(Timestamp::parse_rfc3339(value).map_err(|_| expected)?);
            }
            "cursor" => {
                let cursor = SignalCursor::parse(value);
                self.after = Some(cursor.map_err(|_| "expected cursor to be a next_cursor")?);
            }
            "limit" => {
                self.n_rows = value.parse().unwrap_or(0);
                if !(1..=limit::PAGE_ROWS_MAX).contains(&self.n_rows) {
                    return Err("expected limit to be 1 to 200");
                }
            }
            _ => {
                return Err(
                    "expected the parameters subject_type, subject_id, source, key, since, \
                            cursor, limit",
                );
            }
        }
        Ok(())
    }
}

/// A page of signals as it is shown.
#[derive(Serialize)]
pub(crate) struct Listing<'a> {
    items: Vec<ShownSignal<'a>>,
    next_cursor: Option<String>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(page: &'a SignalPage) -> Self {
        Self {
            items: page.signals.iter().map(ShownSignal::new).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// A signal with the members that it has in a payload, the value byte for byte as it is stored.
#[derive(Serialize)]
struct ShownSignal<'a> {
    source: &'a str,
    subject_type: &'a str,
    subject_id: &'a str,
    key: &'a str,
    value: Option<&'a RawValue>,
    severity: Option<&'static str>,
    observed_at: String,
    ttl_seconds: Option<i64>,
}

impl<'a> ShownSignal<'a> {
    fn new(signal: &'a Signal) -> Self {
        Self {
            source: signal.source().as_str(),
            subject_type: signal.subject_type().as_str(),
            subject_id: signal.subject_id().as_str(),
            key: signal.key().as_str(),
            value: serde_json::from_str(signal.value()).ok(),
            severity: signal.severity().map(|severity| severity.as_str()),
            observed_at: signal.observed_at().to_rfc3339(),
            ttl_seconds: signal.ttl_seconds(),
        }
    }
}
