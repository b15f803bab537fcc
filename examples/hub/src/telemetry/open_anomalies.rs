//! How many anomalies are open, over all organisations.
//!
//! Each organisation is a read of its own, because no statement counts across them. So they are
//! counted when somebody asks, and at most so often and so long, however often and by how many
//! scrapers the metrics are read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use monsys_core::anomaly::AnomalyKind;
use monsys_core::store::StoreError;
use tokio::sync::Mutex;

use crate::store::HubStore;

/// Open anomalies, as they were counted last.
#[derive(Default)]
pub(crate) struct OpenAnomalies {
    counted: Mutex<Option<Counted>>,
}

#[derive(Clone)]
struct Counted {
    at: Instant,
    n_open: BTreeMap<AnomalyKind, u64>,
}

impl OpenAnomalies {
    /// Every kind and how many of it are open; `None` when the store has never told.
    pub(crate) async fn read(
        &self,
        store: &dyn HubStore,
    ) -> Option<impl Iterator<Item = (AnomalyKind, u64)>> {
        // Whoever comes while another counts waits for that count.
        let mut counted = self.counted.lock().await;
        let is_fresh = |counted: &Counted| counted.at.elapsed() < FRESH;
        if !counted.as_ref().is_some_and(is_fresh)
            && let Ok(Ok(n_open)) = tokio::time::timeout(COUNT_WITHIN, count(store)).await
        {
            let at = Instant::now();
            *counted = Some(Counted { at, n_open });
        }
        let Counted { n_open, .. } = counted.clone()?;
        let all = AnomalyKind::every();
        Some(all.map(move |kind| (kind, n_open.get(&kind).copied().unwrap_or(0))))
    }
}

async fn count(store: &dyn HubStore) -> Result<BTreeMap<AnomalyKind, u64>, StoreError> {
    let mut n_open = BTreeMap::new();
    for tenant in store.tenants().await? {
        for count in store.open_counts(tenant).await? {
            *n_open.entry(count.kind).or_default() += count.n_open;
        }
    }
    Ok(n_open)
}

/// How long a count is good for: shorter than scrapers usually wait.
const FRESH: Duration = Duration::from_secs(5);
/// How long counting may take; beyond it the last count is shown.
const COUNT_WITHIN: Duration = Duration::from_secs(5);
