//! One page of agents: read, judged, stored. What cannot be read or stored is found by halves, so
//! that one bad row costs its own agent a verdict and nobody else.

use std::ops::Range;
use std::sync::PoisonError;

use monsys_core::anomaly::{AnomalyKind, Transition};
use monsys_core::facts::AgentFacts;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::StoreError;

use super::judge::{judge_feeds, judge_page};
use super::report::{CycleReport, narrow};
use super::run::{Halt, PAGE_AGENTS, Run};

impl Run<'_> {
    /// Judges the page after an agent and answers where the next one begins; `None` after the last.
    ///
    /// # Errors
    /// When the lease is lost, or it cannot even be found out who is on the page.
    pub(super) async fn judge_next_page(
        &mut self,
        tenant: TenantId,
        after: Option<AgentId>,
        own: &mut CycleReport,
    ) -> Result<Option<AgentId>, Halt> {
        let now = self.cycle.now;
        let read = self.app.store.facts(tenant, after, PAGE_AGENTS, now).await;
        let error = match read {
            Ok(page) => {
                self.judge(tenant, &page.agents, own).await?;
                return Ok(page.next);
            }
            Err(error) => error,
        };
        tracing::error!(%tenant, %error, "a page of agents was not read");
        let on_page = self.app.store.active_agents(tenant, after, PAGE_AGENTS);
        let on_page = on_page.await?;
        self.judge_by_halves(tenant, (after, &on_page), error, own)
            .await?;
        let is_full = on_page.len() == narrow(u64::from(PAGE_AGENTS));
        Ok(on_page.last().copied().filter(|_| is_full))
    }

    /// Judges those agents of a page whose facts can be read, after the page as a whole could not.
    ///
    /// Cost: two reads for each agent of the page at most.
    async fn judge_by_halves(
        &mut self,
        tenant: TenantId,
        (after, agents): (Option<AgentId>, &[AgentId]),
        error: StoreError,
        own: &mut CycleReport,
    ) -> Result<(), Halt> {
        let mut unread = Vec::new();
        let mut failed = Some((0..agents.len(), error));
        loop {
            if let Some((span, error)) = failed.take() {
                let is_away = error == StoreError::Unavailable;
                let alone = agents.get(span.start).filter(|_| span.len() == 1);
                if is_away && self.patience == 0 {
                    own.failed_pages += 1;
                } else if let Some(agent) = alone {
                    own.fail(*agent, None, &format!("facts not read: {error}"));
                } else if !span.is_empty() {
                    unread.extend(halves(span));
                }
                // It told who is on the page, so it is there: a damaged block and a statement that
                // takes too long look the same as a store that is not.
                self.patience -= u32::from(is_away && self.patience > 0);
            }
            let Some(span) = unread.pop() else {
                return Ok(());
            };
            self.keep_lease().await?;
            match self.facts_of(tenant, (after, agents), span.clone()).await {
                Ok(found) => self.judge(tenant, &found, own).await?,
                Err(error) => failed = Some((span, error)),
            }
        }
    }

    /// Reads the facts of some of the agents of a page that lie side by side.
    async fn facts_of(
        &self,
        tenant: TenantId,
        (after, agents): (Option<AgentId>, &[AgentId]),
        span: Range<usize>,
    ) -> Result<Vec<AgentFacts>, StoreError> {
        let before = span.start.checked_sub(1).and_then(|i| agents.get(i));
        let last = span.end.checked_sub(1).and_then(|i| agents.get(i));
        let n_agents = u32::try_from(span.len()).unwrap_or(PAGE_AGENTS);
        let after = before.copied().or(after);
        let read = self
            .app
            .store
            .facts(tenant, after, n_agents, self.cycle.now);
        let mut found = read.await?.agents;
        // One of them may have been revoked since they were listed, and another come after them.
        found.retain(|facts| last.is_some_and(|last| facts.agent <= *last));
        Ok(found)
    }

    async fn judge(
        &mut self,
        tenant: TenantId,
        agents: &[AgentFacts],
        own: &mut CycleReport,
    ) -> Result<(), Halt> {
        let mut transitions = judge_page(agents, &self.config, self.cycle, own);
        if self.config.is_on(AnomalyKind::DuplicateFeed) {
            let mut feeds = self
                .app
                .feeds
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let page = (tenant, agents);
            let shared = judge_feeds(&mut feeds, page, &self.config, self.cycle, own);
            transitions.extend(shared);
        }
        self.running.judged(tenant, agents.len());
        self.store_verdicts(tenant, transitions, own).await
    }

    /// Stores what follows from the verdicts, in one transaction if the store takes them all.
    ///
    /// # Errors
    /// When the lease is lost; nothing is stored then.
    pub(super) async fn store_verdicts(
        &mut self,
        tenant: TenantId,
        transitions: Vec<Transition>,
        own: &mut CycleReport,
    ) -> Result<(), Halt> {
        let mut waiting = vec![transitions];
        while let Some(transitions) = waiting.pop() {
            if transitions.is_empty() {
                continue;
            }
            self.keep_lease().await?;
            let mut commit = self.commit_of(tenant, transitions);
            let error = match self.app.store.commit_cycle(&commit).await {
                Ok(changes) => {
                    own.transitions += commit.transitions.len();
                    own.opened += narrow(changes.n_opened);
                    own.resolved += narrow(changes.n_resolved);
                    continue;
                }
                Err(error) => error,
            };
            tracing::error!(%tenant, %error, "verdicts were not stored");
            match commit.transitions.as_slice() {
                // They may have been stored all the same; to store them again would count twice.
                _ if error == StoreError::Unavailable => own.failed_pages += 1,
                [only] => {
                    let (agent, kind) = about(tenant, only);
                    own.fail(agent, kind, &format!("verdict not stored: {error}"));
                }
                both => {
                    let second = commit.transitions.split_off(both.len() / 2);
                    waiting.extend([second, commit.transitions]);
                }
            }
        }
        Ok(())
    }
}

/// What a transition is about. One that closes an anomaly names its agent in the signal only.
fn about(tenant: TenantId, transition: &Transition) -> (AgentId, Option<AnomalyKind>) {
    match transition {
        Transition::Record { agent, finding, .. } => (*agent, Some(finding.kind)),
        Transition::Resolve { signal, .. } => {
            let agent = AgentId::parse(signal.subject_id().as_str());
            let key = signal.key().as_str();
            let kind = AnomalyKind::every().find(|kind| kind.signal_key() == key);
            (agent.unwrap_or_else(|_| AgentId::of_hub(tenant)), kind)
        }
    }
}

/// The halves of a span, the first one last, where it is taken from.
fn halves(span: Range<usize>) -> [Range<usize>; 2] {
    let middle = span.start + span.len() / 2;
    [middle..span.end, span.start..middle]
}
