//! The page of one agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use monsys_core::id::AgentId;
use monsys_core::store::{AnomalyFilter, StoreError};
use monsys_signals::{Catalog, trust};

use super::integrity::{ROWS, actors_of, read_filter, unusable_address};
use super::{message, page, store_away, viewer};
use crate::app::App;
use crate::pages::{self, AgentView};
use crate::security::session::PageSession;
use crate::standing;

/// Processor readings on the page of one agent: one hour at 15 s.
const CHART_READINGS: u32 = 240;

/// `GET /agents/{id}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Ok(id) = AgentId::parse(&id) else {
        return no_such_agent();
    };
    let filter = match read_filter(&query) {
        Ok(filter) => AnomalyFilter {
            agent: Some(id),
            after: filter.after,
            ..AnomalyFilter::default()
        },
        Err(unknown) => return unusable_address(&unknown),
    };
    let (tenant, now) = (session.user.tenant, app.clock.now());
    if id == AgentId::of_hub(tenant) {
        // The hub sends nothing that such a page shows; what it found about itself is a listing.
        let found = format!("/integrity?state=all&agent_id={id}");
        return Redirect::to(&found).into_response();
    }
    let store = app.store.as_ref();
    let read = async {
        let agent = store.agent(tenant, id, CHART_READINGS, now).await?;
        let found = store.anomalies(tenant, filter, ROWS, now).await?;
        let actors = actors_of(store, tenant, &found.rows).await?;
        let standing = standing::of_agent(store, tenant, id, now).await?;
        Ok((agent, found, actors, standing))
    };
    let (agent, found, actors, standing) = match read.await {
        Ok(read) => read,
        Err(StoreError::NotFound) => return no_such_agent(),
        Err(error) => return store_away(&error),
    };
    let (views, catalog) = (standing.views(), Catalog::standard());
    let mut scratch = trust::Scratch::new();
    let explained = trust::explain(&views, &catalog, &mut scratch, now);
    let csrf = session.csrf_token();
    let view = AgentView {
        viewer: viewer(&app, &session, &csrf),
        agent: &agent,
        standing: &standing,
        explained: &explained,
        page: &found,
        actors: &actors,
        after: filter.after,
        is_ticked: query.get("tick").is_some_and(|tick| tick == "all"),
        now,
    };
    page(StatusCode::OK, pages::agent(&view))
}

fn no_such_agent() -> Response {
    message(
        StatusCode::NOT_FOUND,
        "Not found",
        "There is no such agent in this organisation.",
    )
}
