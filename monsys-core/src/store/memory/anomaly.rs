//! Anomalies and their ledger in memory.

use std::vec::Vec;

use super::state::State;
use super::{InMemory, ready};
use crate::anomaly::{
    Acknowledged, Action, Anomaly, AnomalyKind, Closed, Finding, Resolution, Snoozed, Transition,
    closed_signal,
};
use crate::id::{AgentId, AnomalyId, TenantId, UserId};
use crate::ledger::{EventDraft, LedgerEntry, LedgerHead, is_sampled};
use crate::limit;
use crate::severity::Severity;
use crate::signal::Signal;
use crate::store::{
    AnomalyCursor, AnomalyFilter, AnomalyPage, AnomalyRow, AnomalyState, AnomalyStore, Attention,
    KindCount, StoreError, StoreFuture,
};
use crate::time::Timestamp;

/// What became of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// An anomaly was opened.
    Opened,
    /// An anomaly was closed.
    Closed,
    /// Something was counted, or nothing changed.
    Otherwise,
}

impl AnomalyStore for InMemory {
    fn open_counts(&self, tenant: TenantId) -> StoreFuture<'_, Vec<KindCount>> {
        let state = self.lock();
        let count = |kind| {
            let open = state.anomalies.iter().filter(|a| a.is_open());
            let of_kind: Vec<_> = open
                .filter(|a| a.tenant == tenant && a.finding.kind == kind)
                .collect();
            KindCount {
                kind,
                n_open: u64::try_from(of_kind.len()).unwrap_or(u64::MAX),
                worst: of_kind.iter().map(|a| a.finding.severity).max(),
            }
        };
        let is_listed = |c: &KindCount| c.n_open > 0 || AnomalyKind::DOCUMENTED.contains(&c.kind);
        ready(Ok(AnomalyKind::every()
            .map(count)
            .filter(is_listed)
            .collect()))
    }

    fn anomalies(
        &self,
        tenant: TenantId,
        filter: AnomalyFilter,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyPage> {
        let state = self.lock();
        let mut found = Vec::new();
        for (part, after) in filter.parts() {
            let anomaly = after.and_then(|id| state.found(tenant, id).ok());
            let from = anomaly.and_then(|anomaly| place(anomaly, part));
            if after.is_some() && from.is_none() {
                break;
            }
            let admitted = state.anomalies.iter();
            let admitted = admitted.filter(|a| a.tenant == tenant && filter.admits(a, now));
            // In another state it has no place in this part.
            let of_part = admitted.filter(|a| AnomalyCursor::behind(a).state == part);
            let mut of_part: Vec<_> = of_part.filter_map(|a| Some((place(a, part)?, a))).collect();
            of_part.retain(|(at, _)| from.is_none_or(|from| *at < from));
            of_part.sort_by(|(a, _), (b, _)| b.cmp(a));
            found.extend(of_part.into_iter().map(|(_, a)| state.row(a, now)));
        }
        let n_rows_more = usize::try_from(n_rows).unwrap_or(usize::MAX - 1) + 1;
        found.truncate(n_rows_more);
        ready(Ok(AnomalyPage::cut(found, n_rows)))
    }

    fn anomaly(
        &self,
        tenant: TenantId,
        id: AnomalyId,
        now: Timestamp,
    ) -> StoreFuture<'_, AnomalyRow> {
        let state = self.lock();
        ready(state.found(tenant, id).map(|a| state.row(a, now)))
    }

    fn act<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [AnomalyId],
        by: UserId,
        action: &'a Action,
        now: Timestamp,
    ) -> StoreFuture<'a, Vec<AnomalyRow>> {
        let mut state = self.lock();
        if ids.len() > limit::ACTION_ANOMALIES_MAX {
            return ready(Err(StoreError::Refused {
                constraint: "action_anomalies_max".into(),
            }));
        }
        // All are looked up before any is changed.
        let known = ids
            .iter()
            .try_for_each(|id| state.found(tenant, *id).map(drop));
        if let Err(missing) = known {
            return ready(Err(missing));
        }
        for id in ids {
            state.act(*id, by, action, now);
        }
        ready(
            ids.iter()
                .map(|id| Ok(state.row(state.found(tenant, *id)?, now)))
                .collect(),
        )
    }

    fn ledger(
        &self,
        tenant: TenantId,
        anomaly: Option<AnomalyId>,
        after: u64,
        n_rows: u32,
    ) -> StoreFuture<'_, Vec<LedgerEntry>> {
        let state = self.lock();
        let wanted = state.ledger.iter().filter(|entry| {
            entry.tenant == tenant
                && entry.seq > after
                && anomaly.is_none_or(|anomaly| anomaly == entry.event.anomaly)
        });
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        ready(Ok(wanted.take(n_rows).cloned().collect()))
    }

    fn ledger_head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead> {
        ready(Ok(self.lock().head(tenant)))
    }
}

impl AnomalyFilter {
    /// Tells whether an anomaly is of the wanted state, kind, severity, agent and attention at
    /// `now`; `after` is not looked at.
    pub fn admits(&self, anomaly: &Anomaly, now: Timestamp) -> bool {
        let is_wanted_state = match self.state {
            None => true,
            Some(AnomalyState::Open) => anomaly.is_open(),
            Some(AnomalyState::Resolved) => !anomaly.is_open(),
        };
        is_wanted_state
            && self.kind.is_none_or(|kind| kind == anomaly.finding.kind)
            && self
                .severity
                .is_none_or(|severity| severity == anomaly.finding.severity)
            && self.agent.is_none_or(|agent| agent == anomaly.agent)
            && (self.attention)
                .is_none_or(|attention| Attention::of(anomaly, now) == Some(attention))
    }
}

/// Where an anomaly stands in a part of a listing: what is higher comes first.
fn place(
    anomaly: &Anomaly,
    part: AnomalyState,
) -> Option<(Option<Severity>, Timestamp, AnomalyId)> {
    match part {
        AnomalyState::Open => Some((
            Some(anomaly.finding.severity),
            anomaly.detected_at,
            anomaly.id,
        )),
        AnomalyState::Resolved => Some((None, anomaly.closed.as_ref()?.at, anomaly.id)),
    }
}

impl State {
    /// Carries out one step.
    pub(super) fn apply(
        &mut self,
        tenant: TenantId,
        at: Timestamp,
        transition: &Transition,
    ) -> Applied {
        match transition {
            Transition::Record {
                agent,
                finding,
                occurrences,
                signal,
            } => self.record((tenant, *agent), at, finding, *occurrences, signal),
            Transition::Resolve {
                id,
                last_seen_at,
                signal,
            } => {
                let is_it = |a: &&mut Anomaly| {
                    a.id == *id
                        && a.tenant == tenant
                        && a.is_open()
                        && a.last_seen_at == *last_seen_at
                };
                let Some(open) = self.anomalies.iter_mut().find(is_it) else {
                    return Applied::Otherwise;
                };
                let closed = Closed {
                    at: at.max(open.last_seen_at),
                    by: SERVICE,
                    resolution: Resolution::Auto,
                    note: None,
                };
                open.closed = Some(closed.clone());
                self.write(tenant, EventDraft::resolved(*id, &closed));
                self.put(tenant, signal.clone());
                Applied::Closed
            }
        }
    }

    fn record(
        &mut self,
        (tenant, agent): (TenantId, AgentId),
        at: Timestamp,
        finding: &Finding,
        occurrences: u64,
        signal: &Signal,
    ) -> Applied {
        let is_same =
            |a: &&Anomaly| a.tenant == tenant && a.agent == agent && a.finding.kind == finding.kind;
        let newest = self.anomalies.iter().rfind(is_same);
        let Some(open) = newest.filter(|a| a.is_open()).map(|a| a.id) else {
            let number = u128::try_from(self.anomalies.len() + 1).unwrap_or(u128::MAX);
            let opened = Anomaly {
                id: AnomalyId::from_bytes(number.to_be_bytes()),
                tenant,
                agent,
                finding: finding.clone(),
                detected_at: at,
                last_seen_at: at,
                occurrences,
                last_detail: None,
                previous: newest.map(|a| a.id),
                acknowledged: None,
                snoozed: None,
                closed: None,
            };
            self.write(tenant, EventDraft::opened(&opened, SERVICE));
            self.anomalies.push(opened);
            self.put(tenant, signal.clone());
            return Applied::Opened;
        };
        let Some(row) = self.anomalies.iter_mut().find(|a| a.id == open) else {
            return Applied::Otherwise;
        };
        let (before, severity) = (row.occurrences, row.finding.severity);
        row.last_seen_at = row.last_seen_at.max(at);
        row.occurrences = before.saturating_add(occurrences);
        row.last_detail = Some(finding.to_last_detail());
        row.finding.severity = severity.max(finding.severity);
        let (after, last_seen_at) = (row.occurrences, row.last_seen_at);
        if finding.severity > severity {
            let rise = (severity, finding.severity);
            self.write(
                tenant,
                EventDraft::severity_raised(open, rise, SERVICE, last_seen_at),
            );
            self.put(tenant, signal.clone());
        } else if is_sampled(before, after) {
            self.write(tenant, EventDraft::seen(open, after, SERVICE, last_seen_at));
        }
        Applied::Otherwise
    }

    fn act(&mut self, id: AnomalyId, by: UserId, action: &Action, now: Timestamp) {
        let is_it = |a: &&mut Anomaly| a.id == id && a.is_open();
        let Some(row) = self.anomalies.iter_mut().find(is_it) else {
            return;
        };
        let (tenant, agent, kind) = (row.tenant, row.agent, row.finding.kind);
        // What is done is never before what was seen, whatever the clocks of two hubs say.
        let at = now.max(row.last_seen_at);
        match action {
            Action::Acknowledge { reason, until } => {
                let (reason, until) = (reason.clone(), *until);
                let seen = Acknowledged {
                    at,
                    by,
                    reason,
                    until,
                };
                row.acknowledged = Some(seen.clone());
                self.write(tenant, EventDraft::acknowledged(id, &seen));
            }
            Action::Snooze { reason, until } => {
                let (reason, until) = (reason.clone(), *until);
                let snoozed = Snoozed {
                    at,
                    by,
                    reason,
                    until,
                };
                row.snoozed = Some(snoozed.clone());
                self.write(tenant, EventDraft::snoozed(id, &snoozed));
            }
            Action::Resolve { note } => {
                let closed = Closed {
                    at,
                    by,
                    resolution: Resolution::Manual,
                    note: note.clone(),
                };
                row.closed = Some(closed.clone());
                self.write(tenant, EventDraft::resolved(id, &closed));
                if kind == AnomalyKind::VersionDowngrade {
                    self.accept_baseline(agent, |from, to| {
                        EventDraft::baseline_accepted(id, (from, to), by, at)
                    });
                }
                self.put(tenant, closed_signal(agent, kind, at));
            }
        }
    }

    /// Makes the present version of an agent the one that later ones are compared with.
    fn accept_baseline(&mut self, agent: AgentId, event: impl FnOnce(&str, &str) -> EventDraft) {
        let Some(row) = self.agents.get_mut(&agent) else {
            return;
        };
        let (Some(from), Some(to)) = (row.version.highest.clone(), row.version.current.clone())
        else {
            return;
        };
        if from == to {
            return;
        }
        row.highest = to.triple;
        row.version.highest = Some(to.clone());
        let tenant = row.new.tenant;
        self.write(tenant, event(&from.text, &to.text));
    }

    fn write(&mut self, tenant: TenantId, event: EventDraft) {
        let entry = LedgerEntry::after(self.head(tenant), tenant, event);
        self.ledger.push(entry);
    }

    fn head(&self, tenant: TenantId) -> LedgerHead {
        let mut own = self.ledger.iter().filter(|entry| entry.tenant == tenant);
        own.next_back().map_or(LedgerHead::EMPTY, LedgerEntry::head)
    }

    fn found(&self, tenant: TenantId, id: AnomalyId) -> Result<&Anomaly, StoreError> {
        let is_it = |a: &&Anomaly| a.tenant == tenant && a.id == id;
        self.anomalies
            .iter()
            .find(is_it)
            .ok_or(StoreError::NotFound)
    }
}

/// Who closes what by itself.
const SERVICE: UserId = UserId::from_bytes([0; 16]);
