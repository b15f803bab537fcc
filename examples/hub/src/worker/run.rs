//! One cycle from its lease to its end: organisation by organisation, page by page.

use monsys_core::anomaly::{AnomalyKind, OpenAnomaly, Transition};
use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::store::{AnomalyFilter, AnomalyState, CycleCommit, FleetPresence, StoreError};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::detect::agent_silent;
use monsys_integrity::{Config, Cycle, stalled};

use super::progress::Running;
use super::report::{CycleReport, narrow};
use crate::app::App;

/// A cycle that this hub runs.
pub(super) struct Run<'a> {
    pub(super) app: &'a App,
    pub(super) holder: [u8; 16],
    pub(super) cycle: Cycle,
    /// By which rules the agents of the present organisation are judged.
    pub(super) config: Config,
    /// When the lease was last taken, by the hub's clock.
    pub(super) renewed_at: Timestamp,
    /// How many more reads of this organisation may find the store unavailable before parts of a
    /// page are skipped as they are.
    pub(super) patience: u32,
    pub(super) running: Running<'a>,
}

/// Why a cycle does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// Another hub has the lease and judges all agents itself.
    LeaseLost,
    /// The agents of this organisation cannot be read on.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<'a> Run<'a> {
    /// Takes the lease; `None` while another hub has it.
    ///
    /// # Errors
    /// When the store does not tell who has it.
    pub(super) async fn begin(
        app: &'a App,
        holder: [u8; 16],
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let ttl = Span::from_secs(LEASE_S);
        let Some(lease) = app.store.take_lease(holder, now, ttl).await? else {
            return Ok(None);
        };
        let previous = lease.previous_cycle;
        Ok(Some(Self {
            app,
            holder,
            cycle: Cycle { previous, now },
            config: app.config.integrity.clone(),
            renewed_at: now,
            patience: 0,
            running: app.worker.begin(now),
        }))
    }

    /// Whether another hub ran the cycle while this one was about to take the lease.
    pub(super) fn is_done(&self) -> bool {
        let since = self.cycle.previous.map(|end| self.cycle.now.since(end));
        since.is_some_and(|since| (Span::from_secs(0)..interval()).contains(&since))
    }

    /// Gives the lease back as it was, without a cycle.
    ///
    /// # Errors
    /// When it cannot be given back; it ends by itself.
    pub(super) async fn abandon(mut self) -> Result<(), StoreError> {
        self.running.forget();
        self.app
            .store
            .finish_cycle(self.holder, self.before())
            .await
    }

    /// When the cycle before this one began, or else this one.
    pub(super) fn before(&self) -> Timestamp {
        self.cycle.previous.unwrap_or(self.cycle.now)
    }

    /// Judges all agents of all organisations.
    ///
    /// # Errors
    /// When the organisations cannot be listed, or the end of the cycle cannot be stored.
    pub(super) async fn complete(mut self) -> Result<CycleReport, StoreError> {
        let ended = self.judge_all().await;
        self.running.end(ended.as_ref().ok());
        ended
    }

    async fn judge_all(&mut self) -> Result<CycleReport, StoreError> {
        let mut report = CycleReport {
            at: Some(self.cycle.now),
            ..CycleReport::default()
        };
        let tenants = self.app.store.tenants().await?;
        for tenant in &tenants {
            let n_active = self.app.store.active_count(*tenant).await;
            // What cannot be counted is judged all the same, and says there what is wrong.
            self.running.expect(*tenant, n_active.unwrap_or(0));
        }
        for tenant in tenants {
            let mut own = CycleReport::default();
            let halt = self.judge_tenant(tenant, &mut own).await;
            report.add(&own);
            if halt == Err(Halt::LeaseLost) {
                tracing::error!("the lease of the integrity cycle is lost; whoever has it goes on");
                report.lost_lease = true;
                break;
            }
        }
        report.took_ms = self.took_ms();
        if !report.lost_lease {
            let (holder, now) = (self.holder, self.cycle.now);
            self.app.store.finish_cycle(holder, now).await?;
        }
        Ok(report)
    }

    /// Judges an organisation and keeps how that went.
    async fn judge_tenant(&mut self, tenant: TenantId, own: &mut CycleReport) -> Result<(), Halt> {
        let since = self.took_ms();
        let cycle = self.cycle_of(tenant).await;
        own.missed = narrow(stalled::missed_cycles(cycle, interval()));
        self.heed_fleet(tenant).await;
        let mut halt = self.judge_pages(tenant, own).await;
        if let Err(Halt::Store(error)) = &halt {
            tracing::error!(%tenant, %error, "an organisation was not judged to its end");
            own.failed_pages += 1;
        }
        if halt != Err(Halt::LeaseLost) {
            halt = self.judge_itself(tenant, cycle, own).await;
        }
        own.took_ms = self.took_ms().saturating_sub(since);
        let record = own.to_record(self.cycle.now);
        // Whoever has the lease keeps the record of the cycle.
        if halt != Err(Halt::LeaseLost)
            && let Err(error) = self.app.store.record_cycle(tenant, &record).await
        {
            tracing::error!(%tenant, %error, "how a cycle went was not kept");
        }
        halt
    }

    /// Finds out whether so many agents are silent at once that none of them is to blame.
    async fn heed_fleet(&mut self, tenant: TenantId) {
        if !self.config.is_on(AnomalyKind::AgentSilent) {
            return;
        }
        let (heard_since, silent_since) = agent_silent::fleet_bounds(&self.config, self.cycle.now);
        let counted = self.app.store.presence(tenant, heard_since, silent_since);
        let fleet = counted.await.unwrap_or_else(|error| {
            tracing::error!(%tenant, %error, "who is heard was not counted, so nobody is silent");
            UNKNOWN_FLEET
        });
        agent_silent::heed_fleet(&mut self.config, fleet);
    }

    async fn judge_pages(&mut self, tenant: TenantId, own: &mut CycleReport) -> Result<(), Halt> {
        self.patience = PATIENCE;
        let mut after = None;
        loop {
            self.keep_lease().await?;
            after = self.judge_next_page(tenant, after, own).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Finds out whether this organisation was judged as it should be, and records that as a
    /// finding about the hub.
    async fn judge_itself(
        &mut self,
        tenant: TenantId,
        cycle: Cycle,
        own: &mut CycleReport,
    ) -> Result<(), Halt> {
        let finding = stalled::check(cycle, own.omissions(), interval());
        let hub = AgentId::of_hub(tenant);
        let open = match &finding {
            Some(_) => None,
            None => self.open_stall(tenant, hub).await,
        };
        let step = stalled::transition(hub, open.as_ref(), finding, cycle.now);
        self.store_verdicts(tenant, step.into_iter().collect(), own)
            .await
    }

    async fn open_stall(&self, tenant: TenantId, hub: AgentId) -> Option<OpenAnomaly> {
        let filter = AnomalyFilter {
            state: Some(AnomalyState::Open),
            kind: Some(AnomalyKind::DetectorStalled),
            agent: Some(hub),
            ..AnomalyFilter::default()
        };
        let now = self.cycle.now;
        let found = match self.app.store.anomalies(tenant, filter, 1, now).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%tenant, %error, "what the hub found about itself was not read");
                return None;
            }
        };
        let anomaly = &found.rows.first()?.anomaly;
        Some(OpenAnomaly {
            id: anomaly.id,
            kind: anomaly.finding.kind,
            severity: anomaly.finding.severity,
            last_seen_at: anomaly.last_seen_at,
        })
    }

    /// When the agents of an organisation were judged before. One that never was has missed
    /// nothing, however long the hub has been down.
    async fn cycle_of(&self, tenant: TenantId) -> Cycle {
        let kept = self.app.store.cycles(tenant, 1).await;
        let kept = kept.unwrap_or_else(|error| {
            tracing::error!(%tenant, %error, "how the cycle before went was not read");
            Vec::new()
        });
        let last = kept.first().map(|record| record.at);
        let previous = last.map(|last| self.cycle.previous.map_or(last, |end| end.max(last)));
        Cycle {
            previous,
            ..self.cycle
        }
    }

    /// Renews the lease when a third of it is over: a write for each page would cost more than the
    /// page. While the store does not answer, the lease that is left is good.
    pub(super) async fn keep_lease(&mut self) -> Result<(), Halt> {
        let now = self.app.clock.now();
        let held_s = now.since(self.renewed_at).millis() / 1_000;
        if (0..LEASE_S / 3).contains(&held_s) {
            return Ok(());
        }
        let ttl = Span::from_secs(LEASE_S);
        match self.app.store.take_lease(self.holder, now, ttl).await {
            Ok(Some(_)) => {
                self.renewed_at = now;
                Ok(())
            }
            Err(error) if (0..LEASE_S).contains(&held_s) => {
                tracing::warn!(%error, "the lease of the integrity cycle was not renewed yet");
                Ok(())
            }
            Ok(None) | Err(_) => Err(Halt::LeaseLost),
        }
    }

    fn took_ms(&self) -> u64 {
        let took = self.app.clock.now().since(self.cycle.now);
        u64::try_from(took.millis()).unwrap_or(0)
    }

    pub(super) fn commit_of(&self, tenant: TenantId, transitions: Vec<Transition>) -> CycleCommit {
        CycleCommit {
            tenant,
            at: self.cycle.now,
            transitions,
        }
    }
}

/// A fleet of which nothing is known is taken to be cut off.
const UNKNOWN_FLEET: FleetPresence = FleetPresence {
    n_heard: u64::MAX,
    n_silent: u64::MAX,
};

/// How often agents are judged.
pub(crate) const fn interval() -> Span {
    Config::standard().cycle_interval
}

/// How long a lease holds without being renewed, in seconds of the hub's clock.
pub(super) const LEASE_S: i64 = 300;

/// Reads of an organisation in one cycle that may find the store unavailable. One agent that it
/// cannot read costs ten; a store that reads nothing more must not hold the cycle up for hours.
const PATIENCE: u32 = 32;

/// Most agents of one page.
pub(super) const PAGE_AGENTS: u32 = limit::CYCLE_PAGE_AGENTS;
