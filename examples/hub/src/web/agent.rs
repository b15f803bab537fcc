//! The page of one agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{AnomalyFilter, StoreError};
use monsys_core::time::Span;
use monsys_signals::{Catalog, trust};

use super::integrity::{ROWS, actors_of, read_filter, unusable_address};
use super::{message, page, store_away, viewer};
use crate::app::App;
use crate::pages::{self, AgentView, Disk, Point, Reach, Readings, UnknownWord};
use crate::security::session::PageSession;
use crate::standing;
use crate::store::{Bucket, Buckets, HubStore, SampleFilter, SampleStart, SeriesOf};

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
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    let Ok(reach) = Reach::parse(word("range"), (word("from"), word("to")), now) else {
        return unusable_address(&UnknownWord { field: "range" });
    };
    if id == AgentId::of_hub(tenant) {
        // The hub sends nothing that such a page shows; what it found about itself is a listing.
        let found = format!("/integrity?state=all&agent_id={id}");
        return Redirect::to(&found).into_response();
    }
    let store = app.store.as_ref();
    let read = async {
        let agent = store.agent(tenant, id, 1, now).await?;
        let found = store.anomalies(tenant, filter, ROWS, now).await?;
        let actors = actors_of(store, tenant, &found.rows).await?;
        let standing = standing::of_agent(store, tenant, id, now).await?;
        let snapshot = store.last_snapshot(tenant, id).await?;
        let readings = readings(store, tenant, id, reach).await?;
        Ok((agent, found, actors, standing, snapshot, readings))
    };
    let (agent, found, actors, standing, snapshot, readings) = match read.await {
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
        readings: &readings,
        snapshot: snapshot.as_ref(),
        find: query.get("find").map_or("", String::as_str),
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

/// Reads what an agent measured in a window, and how full its disks are.
async fn readings(
    store: &dyn HubStore,
    tenant: TenantId,
    agent: AgentId,
    reach: Reach,
) -> Result<Readings, StoreError> {
    let Some(buckets) = Buckets::new(reach.from, reach.to, POINTS) else {
        return Err(StoreError::Damaged);
    };
    let (mut drawn, mut is_cut) = (Vec::new(), false);
    for (of, name) in DRAWN {
        let series = store.series(tenant, agent, of, buckets).await?;
        is_cut |= series.is_cut;
        drawn.push(pages::Series {
            name: name.to_owned(),
            points: series.buckets.iter().map(point).collect(),
        });
    }
    let filter = SampleFilter {
        agent: Some(agent),
        until: reach.to,
    };
    let last = store
        .samples(tenant, filter, SampleStart::Skip(0), 1)
        .await?;
    let disks = last.rows.first().and_then(|sample| sample.disks.as_deref());
    Ok(Readings {
        reach,
        step: buckets.width().max(CADENCE),
        drawn,
        disks: Disk::all(disks.unwrap_or_default()),
        is_cut,
    })
}

fn point(bucket: &Bucket) -> Point {
    Point {
        at: bucket.at,
        low: bucket.min,
        mean: bucket.mean,
        high: bucket.max,
    }
}

/// What is drawn, in this order, and what people call it.
const DRAWN: [(SeriesOf, &str); 3] = [
    (SeriesOf::Cpu, "CPU"),
    (SeriesOf::Memory, "in use"),
    (SeriesOf::Load, "last minute"),
];
/// Pieces of time in a plot: as many as readings in an hour.
const POINTS: u32 = 240;
/// How often an agent sends.
const CADENCE: Span = Span::from_secs(15);
