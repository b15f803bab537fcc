//! Signals in memory: history, what is current, and forgetting.

use std::vec::Vec;

use super::state::{Agent, State, Stored};
use super::{InMemory, ready};
use crate::id::TenantId;
use crate::signal::Signal;
use crate::store::{
    CurrentPage, Cutoffs, Maintenance, Retention, SignalCursor, SignalFilter, SignalPage,
    SignalSlot, SignalStore, StoreError, StoreFuture, Subject, Swept,
};
use crate::time::Timestamp;

impl State {
    /// Writes signals: every writer of the store comes through here.
    pub(super) fn put_all(&mut self, tenant: TenantId, signals: &[Signal]) {
        for signal in signals {
            self.put(tenant, signal.clone());
        }
    }

    /// Appends a signal to the history, and takes its slot unless a later one has it.
    pub(super) fn put(&mut self, tenant: TenantId, signal: Signal) {
        let slot = (tenant, SignalSlot::of(&signal));
        let is_latest = |now: &Signal| signal.observed_at() >= now.observed_at();
        if self.current.get(&slot).is_none_or(is_latest) {
            self.current.insert(slot, signal.clone());
        }
        self.n_arrived += 1;
        self.history.push(Stored {
            tenant,
            arrival: self.n_arrived,
            signal,
        });
    }
}

impl Stored {
    const fn place(&self) -> SignalCursor {
        SignalCursor {
            observed_at: self.signal.observed_at(),
            arrival: self.arrival,
        }
    }
}

impl SignalStore for InMemory {
    fn emit(&self, tenant: TenantId, signals: Vec<Signal>) -> StoreFuture<'_, ()> {
        let mut state = self.lock();
        if !signals.is_empty() && !state.tenants.contains_key(&tenant) {
            return ready(Err(StoreError::NotFound));
        }
        state.put_all(tenant, &signals);
        ready(Ok(()))
    }

    fn signals<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<SignalCursor>,
        n_rows: u32,
    ) -> StoreFuture<'a, SignalPage> {
        let state = self.lock();
        let is_wanted = |stored: &&Stored| {
            stored.tenant == tenant
                && filter.admits(&stored.signal)
                && after.is_none_or(|after| stored.place() < after)
        };
        let mut found: Vec<_> = state.history.iter().filter(is_wanted).collect();
        found.sort_by_key(|stored| core::cmp::Reverse(stored.place()));
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        let has_more = found.len() > n_rows;
        found.truncate(n_rows);
        ready(Ok(SignalPage {
            next: found.last().filter(|_| has_more).map(|s| s.place()),
            signals: found.iter().map(|s| s.signal.clone()).collect(),
        }))
    }

    fn current<'a>(
        &'a self,
        tenant: TenantId,
        filter: &'a SignalFilter,
        after: Option<&'a SignalSlot>,
        n_rows: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        let state = self.lock();
        let own = state.current.iter().filter(|((owner, slot), signal)| {
            *owner == tenant
                && filter.admits(signal)
                && signal.is_live(now)
                && after.is_none_or(|after| slot > after)
        });
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        let mut own = own.map(|(_, signal)| signal.clone());
        let signals: Vec<_> = own.by_ref().take(n_rows).collect();
        let last = signals.last().map(SignalSlot::of);
        ready(Ok(CurrentPage {
            next: last.filter(|_| own.next().is_some()),
            signals,
        }))
    }

    fn as_of<'a>(
        &'a self,
        tenant: TenantId,
        subject: &'a Subject,
        after: Option<&'a SignalSlot>,
        n_slots: u32,
        at: Timestamp,
    ) -> StoreFuture<'a, CurrentPage> {
        let state = self.lock();
        let mut own = state.current.iter().filter(|((owner, slot), _)| {
            *owner == tenant
                && slot.subject_type == subject.subject_type
                && slot.subject_id == subject.subject_id
                && after.is_none_or(|after| slot > after)
        });
        let n_slots = usize::try_from(n_slots).unwrap_or(usize::MAX);
        let slots: Vec<_> = own.by_ref().take(n_slots).collect();
        let last = slots.last().map(|((_, slot), _)| slot.clone());
        let stood = slots.iter().filter_map(|((_, slot), latest)| {
            let is_of_slot = |stored: &&Stored| {
                stored.tenant == tenant && SignalSlot::of(&stored.signal) == *slot
            };
            let of_slot = state.history.iter().filter(is_of_slot);
            // What is current outlives the history it came from.
            let latest = (latest.observed_at() <= at).then_some(*latest);
            let until = of_slot.filter(|stored| stored.signal.observed_at() <= at);
            let newest = until.max_by_key(|stored| stored.place());
            latest.or_else(|| newest.map(|stored| &stored.signal))
        });
        ready(Ok(CurrentPage {
            signals: stood.filter(|signal| signal.is_live(at)).cloned().collect(),
            next: last.filter(|_| own.next().is_some()),
        }))
    }
}

impl Maintenance for InMemory {
    fn count_due(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept> {
        let state = self.lock();
        let due = Due {
            cutoffs: retention.cutoffs(now),
            now,
        };
        ready(Ok(due.count(&state)))
    }

    fn sweep(&self, retention: Retention, now: Timestamp) -> StoreFuture<'_, Swept> {
        let mut state = self.lock();
        let due = Due {
            cutoffs: retention.cutoffs(now),
            now,
        };
        let swept = due.count(&state);
        state.history.retain(|stored| !due.history(stored));
        state.current.retain(|_, signal| !due.current(signal));
        for agent in state.agents.values_mut() {
            let Cutoffs {
                metrics, nonces, ..
            } = due.cutoffs;
            agent.metrics.retain(|(r, _)| r.received_at >= metrics);
            agent.endpoints.retain(|(at, _)| *at >= metrics);
            agent.nonces.retain(|_, used_at| *used_at >= nonces);
        }
        ready(Ok(swept))
    }
}

/// What a sweep removes. Content hashes have no time here and stay.
struct Due {
    cutoffs: Cutoffs,
    now: Timestamp,
}

impl Due {
    fn history(&self, stored: &Stored) -> bool {
        stored.signal.observed_at() < self.cutoffs.signals
    }

    fn current(&self, signal: &Signal) -> bool {
        signal.observed_at() < self.cutoffs.signals && !signal.is_live(self.now)
    }

    fn count(&self, state: &State) -> Swept {
        let Cutoffs {
            metrics, nonces, ..
        } = self.cutoffs;
        let of_agents =
            |count: &dyn Fn(&Agent) -> usize| number(state.agents.values().map(count).sum());
        let is_old = |at: Timestamp, kept_since: Timestamp| at < kept_since;
        Swept {
            signals: number(state.history.iter().filter(|s| self.history(s)).count()),
            current: number(state.current.values().filter(|s| self.current(s)).count()),
            metrics: of_agents(&|agent| {
                let times = agent.metrics.iter().map(|(r, _)| r.received_at);
                times.filter(|at| is_old(*at, metrics)).count()
            }),
            endpoints: of_agents(&|agent| {
                let times = agent.endpoints.iter().map(|(at, _)| *at);
                times.filter(|at| is_old(*at, metrics)).count()
            }),
            contents: 0,
            nonces: of_agents(&|agent| {
                let times = agent.nonces.values().copied();
                times.filter(|at| is_old(*at, nonces)).count()
            }),
        }
    }
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
