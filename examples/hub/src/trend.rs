//! How the trust of a fleet went: the mean and the lowest score at past moments.
//!
//! What: the scores of all agents as they stood on each even hour, replayed from the history of
//! signals, which is exact as far back as that is kept. What not: a stored series; there is nothing
//! that could disagree with the signals. Cost: one read an agent and moment, so that only fleets of
//! at most [`AGENTS_MAX`] agents have a trend; what was made is shared for [`KEPT`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::StoreError;
use monsys_core::time::{Span, Timestamp};
use monsys_signals::trust::{self, FleetTrust};
use monsys_signals::{Catalog, MilliPoints, TrustScore};

use crate::pages::{Point, Series, Trend, Window};
use crate::standing;
use crate::store::HubStore;

/// Trends that requests share.
#[derive(Debug, Default)]
pub(crate) struct Trends {
    kept: Mutex<BTreeMap<TenantId, (Instant, Arc<Trend>)>>,
}

impl Trends {
    /// Returns the trend of some agents until `now`: of those that something was known about then.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn of(
        &self,
        store: &dyn HubStore,
        tenant: TenantId,
        agents: &[AgentId],
        now: Timestamp,
    ) -> Result<Arc<Trend>, StoreError> {
        if agents.len() > AGENTS_MAX {
            return Ok(Arc::new(Trend::TooMuch));
        }
        if let Some(trend) = self.find(tenant) {
            return Ok(trend);
        }
        let asked = Instant::now();
        let trend = Arc::new(replay(store, tenant, agents, now).await?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| since.elapsed() < KEPT);
        kept.insert(tenant, (asked, Arc::clone(&trend)));
        Ok(trend)
    }

    fn find(&self, tenant: TenantId) -> Option<Arc<Trend>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, trend) = kept.get(&tenant)?;
        (since.elapsed() < KEPT).then(|| Arc::clone(trend))
    }
}

async fn replay(
    store: &dyn HubStore,
    tenant: TenantId,
    agents: &[AgentId],
    now: Timestamp,
) -> Result<Trend, StoreError> {
    let [mut mean, mut lowest] = ["mean", "lowest"].map(|name| Series {
        name: name.to_owned(),
        points: Vec::new(),
    });
    for n in (0..=N_STEPS).rev() {
        let at = now.saturating_sub(Span::from_secs(STEP_S * n));
        let mut fleet = FleetTrust::new();
        for agent in agents {
            let score = score_at(store, tenant, *agent, at).await?;
            // Whatever nothing was known about then may not have been there.
            if score.coverage().n_covered() > 0 {
                fleet.add(&score);
            }
        }
        let Some(worst) = fleet.worst() else { continue };
        mean.points.push(point(at, fleet.mean()));
        lowest.points.push(point(at, worst));
    }
    let window = Window {
        from: now.saturating_sub(Span::from_secs(STEP_S * N_STEPS)),
        to: now,
        step: Span::from_secs(STEP_S),
    };
    Ok(Trend::Known(window, [mean, lowest]))
}

async fn score_at(
    store: &dyn HubStore,
    tenant: TenantId,
    agent: AgentId,
    at: Timestamp,
) -> Result<TrustScore, StoreError> {
    let standing = standing::of_agent_at(store, tenant, agent, at).await?;
    let (views, catalog) = (standing.views(), Catalog::standard());
    Ok(trust::score(
        &views,
        &catalog,
        &mut trust::Scratch::new(),
        at,
    ))
}

fn point(at: Timestamp, score: MilliPoints) -> Point {
    let points = f64::from(score.get()) / 1_000.0;
    Point {
        at,
        low: points,
        mean: points,
        high: points,
    }
}

/// Agents whose history is replayed.
const AGENTS_MAX: usize = 50;
/// A moment an hour, for a day.
const STEP_S: i64 = 3_600;
const N_STEPS: i64 = 24;
/// How long a trend is shared: past scores hardly change, and what is new is shown beside it.
const KEPT: Duration = Duration::from_secs(30);
