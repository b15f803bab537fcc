//! The time line of what happened.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};

use super::integrity::{agent_of_word, no_agent_of_that_name};
use super::{message, page, store_away, viewer};
use crate::api::parameters::Parameters;
use crate::app::App;
use crate::pages::{self, Events, Trail};
use crate::security::session::PageSession;
use crate::store::{ActivityFilter, ActivityKind, ActivityPage, ActivityPlace, HubStore};

/// `GET /events`: what happened, the newest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    mut parameters: Parameters,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let store = app.store.as_ref();
    let agent_word = parameters.take("agent_id");
    let agent = match agent_of_word(store, tenant, Some(&agent_word)).await {
        Ok(agent) => agent,
        Err(StoreError::NotFound) => return no_agent_of_that_name(),
        Err(error) => return store_away(&error),
    };
    let is_place = |text: &str| ActivityPlace::parse(text).is_ok();
    let back = Trail::parse(&parameters.take("back"), is_place);
    let (Some(back), Some(wanted)) = (back, Wanted::parse(&parameters, now)) else {
        return unusable();
    };
    let found = match look_back(store, tenant, wanted.filter, agent).await {
        Ok(found) => found,
        Err(error) => return store_away(&error),
    };
    let csrf = session.csrf_token();
    let view = Events {
        viewer: viewer(&app, &session, &csrf),
        kind: wanted.filter.kind,
        agent: &agent_word,
        range: wanted.range,
        after: wanted.filter.after,
        back: &back,
        page: &found,
        now,
    };
    page(StatusCode::OK, pages::events(&view))
}

struct Wanted {
    filter: ActivityFilter,
    range: &'static str,
}

impl Wanted {
    fn parse(parameters: &Parameters, now: Timestamp) -> Option<Self> {
        let mut wanted = Self {
            filter: ActivityFilter {
                kind: None,
                from: Timestamp::MIN,
                to: Timestamp::MAX,
                after: None,
            },
            range: "",
        };
        for (name, value) in parameters.iter() {
            match name {
                "kind" => wanted.filter.kind = Some(ActivityKind::parse(value)?),
                "range" => {
                    let mut ranges = pages::EVENT_RANGES.into_iter();
                    let (word, seconds) = ranges.find(|(word, _)| *word == value)?;
                    wanted.range = word;
                    wanted.filter.from = now.saturating_sub(Span::from_secs(seconds));
                }
                "cursor" => wanted.filter.after = Some(ActivityPlace::parse(value).ok()?),
                _ => return None,
            }
        }
        Some(wanted)
    }
}

/// Reads a page; of one agent, by looking through a bounded stretch of what happened to all. What
/// is left is the next page's.
async fn look_back(
    store: &dyn HubStore,
    tenant: TenantId,
    mut filter: ActivityFilter,
    agent: Option<AgentId>,
) -> Result<ActivityPage, StoreError> {
    let Some(agent) = agent else {
        return store.activity(tenant, filter, ROWS).await;
    };
    let mut found = ActivityPage::default();
    for _ in 0..STRETCHES_MAX {
        let stretch = store.activity(tenant, filter, ROWS).await?;
        for row in stretch.rows {
            if pages::agent_of(&row.what) == Some(agent) {
                found.rows.push(row);
            }
        }
        found.next = stretch.next;
        filter.after = stretch.next;
        if found.next.is_none() || !found.rows.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn unusable() -> Response {
    message(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Unknown filter",
        "The address of this page is not usable: it holds a word that the form does not offer.",
    )
}

/// Events of a page.
const ROWS: u32 = 50;
/// Reads of one page of one agent: 1,000 events are looked at.
const STRETCHES_MAX: usize = 20;
