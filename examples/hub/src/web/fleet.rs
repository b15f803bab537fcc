//! The page of the fleet.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::overview::{riskiest, spread};
use super::{page, store_away, viewer};
use crate::app::App;
use crate::pages::{self, Fleet};
use crate::scores;
use crate::security::session::PageSession;

/// Agents that are ranked.
const RANKED: usize = 50;

/// `GET /fleet`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let store = app.store.as_ref();
    let read = async {
        let board = scores::board(&app, tenant, now).await?;
        let worst = riskiest(store, tenant, &board, RANKED, now).await?;
        let agents: Vec<_> = board.riskiest().map(|scored| scored.agent).collect();
        let trend = app.trends.of(store, tenant, &agents, now).await?;
        Ok((board, worst, trend))
    };
    let (board, worst, trend) = match read.await {
        Ok(read) => read,
        Err(error) => return store_away(&error),
    };
    let csrf = session.csrf_token();
    let view = Fleet {
        viewer: viewer(&app, &session, &csrf),
        fleet: &board.fleet,
        spread: spread(&board),
        worst: &worst,
        trend: &trend,
        unmapped: &board.unmapped,
        is_cut: board.is_cut,
        now,
    };
    page(StatusCode::OK, pages::fleet(&view))
}
