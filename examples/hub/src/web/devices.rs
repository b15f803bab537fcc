//! The list of all agents and devices.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{message, page, store_away, viewer};
use crate::api::fleet::{Wanted, fresh_since};
use crate::api::parameters::Parameters;
use crate::app::App;
use crate::pages::{self, Devices, Trail};
use crate::scores;
use crate::security::session::PageSession;
use crate::store::FleetCursor;

/// Readings of one line: 15 minutes at 15 s.
const RECENT_CPU: u32 = 60;
/// Rows of a page.
const ROWS: u32 = 25;

/// `GET /devices`: agents and devices, by the same words as in the API.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    mut parameters: Parameters,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let back = Trail::parse(&parameters.take("back"), |text| {
        FleetCursor::parse(text).is_ok()
    });
    let wanted = Wanted::parse(&parameters, now);
    let (Some(back), Ok(mut wanted)) = (back, wanted) else {
        return unusable();
    };
    wanted.n_rows = ROWS;
    let store = app.store.as_ref();
    let place = (wanted.order, wanted.after.clone());
    let read = async {
        let found = store.fleet(tenant, &wanted.filter, place, (ROWS, RECENT_CPU), now);
        let found = found.await?;
        let counts = store.fleet_counts(tenant, fresh_since(now)).await?;
        Ok((found, counts, scores::board(&app, tenant, now).await?))
    };
    let (found, counts, board) = match read.await {
        Ok(read) => read,
        Err(error) => return store_away(&error),
    };
    let versions: BTreeSet<_> = counts
        .versions
        .iter()
        .map(|(version, _)| &**version)
        .collect();
    let csrf = session.csrf_token();
    let view = Devices {
        viewer: viewer(&app, &session, &csrf),
        filter: &wanted.filter,
        order: wanted.order,
        after: wanted.after.as_ref(),
        back: &back,
        page: &found,
        scores: &|agent| board.of(agent).map(|scored| scored.trust),
        versions: &versions,
        n_agents: counts.n_agents(),
        now,
    };
    page(StatusCode::OK, pages::devices(&view))
}

fn unusable() -> Response {
    message(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Unknown filter",
        "The address of this page is not usable: it holds a word that the form does not offer.",
    )
}
