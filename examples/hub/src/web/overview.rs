//! The overview.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use monsys_core::id::TenantId;
use monsys_core::store::{AgentSummary, StoreError};
use monsys_core::time::Timestamp;
use monsys_signals::TrustScore;

use super::{page, store_away, viewer};
use crate::api::fleet::fresh_since;
use crate::app::App;
use crate::pages::{self, Census, Overview, Spread};
use crate::scores::{self, ScoreBoard};
use crate::security::session::PageSession;
use crate::store::{ActivityFilter, HubStore};

/// Agents that are named.
const WORST: usize = 8;
/// Events that are listed.
const EVENTS: u32 = 10;

/// `GET /overview`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let store = app.store.as_ref();
    let read = async {
        let board = scores::board(&app, tenant, now).await?;
        let census = store.fleet_counts(tenant, fresh_since(now)).await?;
        let counts = store.open_counts(tenant).await?;
        let cycles = store.cycles(tenant, 1).await?;
        let worst = riskiest(store, tenant, &board, WORST, now).await?;
        let lately = ActivityFilter {
            kind: None,
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            after: None,
        };
        let events = store.activity(tenant, lately, EVENTS).await?;
        Ok((board, census, counts, cycles, worst, events))
    };
    let (board, census, counts, cycles, worst, events) = match read.await {
        Ok(read) => read,
        Err(error) => return store_away(&error),
    };
    let csrf = session.csrf_token();
    let view = Overview {
        viewer: viewer(&app, &session, &csrf),
        census: Census {
            n_fresh: census.n_fresh,
            n_silent: census.n_silent,
            n_never_seen: census.n_never_seen,
            n_revoked: census.n_revoked,
        },
        fleet: &board.fleet,
        spread: spread(&board),
        worst: &worst,
        counts: &counts,
        events: &events.rows,
        cycle: cycles.first(),
        is_cut: board.is_cut,
        now,
    };
    page(StatusCode::OK, pages::overview(&view))
}

/// Reads who has the lowest scores.
pub(super) async fn riskiest(
    store: &dyn HubStore,
    tenant: TenantId,
    board: &ScoreBoard,
    n_agents: usize,
    now: Timestamp,
) -> Result<Vec<(AgentSummary, TrustScore)>, StoreError> {
    let ids = board.riskiest().take(n_agents).map(|scored| scored.agent);
    let rows = store.fleet_of(tenant, ids.collect(), 1, now).await?;
    let scored = rows.into_iter().filter_map(|row| {
        let scored = board.of(row.agent.agent)?;
        Some((row.agent, scored.trust))
    });
    Ok(scored.collect())
}

pub(super) fn spread(board: &ScoreBoard) -> Spread {
    let mut spread = Spread::default();
    board
        .riskiest()
        .for_each(|scored| spread.add(&scored.trust));
    spread
}
