//! What else the worker does beside its cycles.

use std::sync::Arc;

use monsys_core::name::Source;
use monsys_core::store::{Retention, Swept};
use monsys_core::time::Timestamp;
use monsys_signals::Catalog;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::app::App;
use crate::clock::wall_now;
use crate::standing;

/// Writes waiting findings every second until told to stop.
pub(crate) async fn write_findings(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => app.write_due_findings().await,
            _ = stop.changed() => return,
        }
    }
}

/// Says once which sources take nothing from any score because they are in no category: a writer
/// that was never given one looks like one that finds nothing.
pub(super) async fn name_unmapped(app: &App) {
    let (catalog, now) = (Catalog::standard(), app.clock.now());
    let tenants = app.store.tenants().await.unwrap_or_default();
    for tenant in tenants {
        // A store that does not answer says so elsewhere.
        let Ok(sources) = standing::sources(app.store.as_ref(), tenant, now).await else {
            continue;
        };
        let unmapped = catalog.unmapped(sources.iter().map(Source::as_str));
        if !unmapped.is_empty() {
            tracing::warn!(%tenant, ?unmapped, "sources of no category count in no trust score");
        }
    }
}

/// Removes what is no longer kept; little at a time, because it is done after every cycle.
pub(super) async fn forget_what_is_old(app: &App, now: Timestamp) {
    match app.store.sweep(Retention::standard(), now).await {
        Ok(swept) if swept == Swept::default() => {}
        Ok(swept) => tracing::info!(
            signals = swept.signals,
            current = swept.current,
            metrics = swept.metrics,
            endpoints = swept.endpoints,
            "removed what is no longer kept"
        ),
        Err(error) => tracing::error!(%error, "what is no longer kept was not removed"),
    }
    // Links last by the wall clock, also where a demo's clock runs ahead.
    match app.store.forget_links(wall_now()).await {
        Ok(0) => {}
        Ok(links) => tracing::info!(links, "removed one-time links whose time is over"),
        Err(error) => tracing::error!(%error, "links whose time is over were not removed"),
    }
}
