//! What every store must do, as a suite that a back end runs against itself.
//!
//! What: the promises of the storage contract that a single process can show: positions, duplicates
//! and replays, devices and their nonces, tenancy, one open anomaly per kind, frozen evidence, compare-and-set on closing,
//! what people do with anomalies and the ledger of it,
//! the lease, the order and paging of listings, the history of signals, what of them is current, and
//! what retention leaves. What not: durability and concurrency of several
//! processes; those need a process to kill. A broken promise is a panic that names it. Not stable:
//! a new promise is a new test.
//!
//! ```
//! use monsys_core::id::{TenantId, UserId};
//! use monsys_core::name::DisplayName;
//! use monsys_core::store::conformance::{Fixture, ReadyFutures, suite};
//! use monsys_core::store::InMemory;
//!
//! let store = InMemory::new();
//! let tenants = [1, 2].map(|n| TenantId::from_random_bytes([n; 16]));
//! for (tenant, name) in tenants.into_iter().zip(["one", "other"]) {
//!     store.add_tenant(tenant, DisplayName::parse(name)?);
//! }
//! let user = UserId::from_random_bytes([3; 16]);
//! suite(&Fixture { store: &store, tenants, user, wait: &ReadyFutures });
//! # Ok::<(), monsys_core::name::NameError>(())
//! ```

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a broken promise is a panic"
)]

mod drafts;
mod fixture;
mod ledger;
mod nonces;
mod retention;
mod roster;
mod signals;

use std::task::{Context, Poll, Waker};
use std::vec::Vec;

use self::fixture::{name, now, position, signal, token};
use super::{
    AnomalyCursor, AnomalyFilter, AnomalyState, CycleChanges, CycleCommit, IngestBatch,
    IngestOutcome, PinOutcome, PublicKey, SignatureStatus, Store, StoreError, StoreFuture,
};
use crate::anomaly::{Action, AnomalyKind, Resolution, Transition};
use crate::facts::Version;
use crate::id::{AgentId, TenantId, UserId};
use crate::limit;
use crate::position::ContentHash;
use crate::severity::Severity;
use crate::time::Span;

/// Runs futures to their end; a runtime implements it in one line.
pub trait BlockOn {
    /// Waits for an answer of the store.
    ///
    /// # Errors
    /// Those of the store.
    fn block_on<T>(&self, future: StoreFuture<'_, T>) -> Result<T, StoreError>;
}

/// Waits for stores whose futures are ready at once, as those of `InMemory` are.
#[derive(Debug, Clone, Copy)]
pub struct ReadyFutures;

impl BlockOn for ReadyFutures {
    fn block_on<T>(&self, mut future: StoreFuture<'_, T>) -> Result<T, StoreError> {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("the future of this store is not ready at once"),
        }
    }
}

/// An empty store with two tenants, and how to wait for it.
pub struct Fixture<'a, W: BlockOn> {
    /// The store.
    pub store: &'a dyn Store,
    /// Two tenants named `one` and `other`, which have no agents.
    pub tenants: [TenantId; 2],
    /// A person of the first tenant.
    pub user: UserId,
    /// Runs futures to their end.
    pub wait: &'a W,
}

/// Runs every test on one store, each with agents of its own.
///
/// # Panics
/// When a promise is broken.
pub fn suite<W: BlockOn>(fixture: &Fixture<'_, W>) {
    positions_are_decided_and_used_up_once(fixture);
    pinning_happens_once_and_resets_positions(fixture);
    the_current_version_is_live_and_the_highest_stays(fixture);
    late_payloads_in_open_gaps_are_spooled(fixture);
    positions_of_gaps_beyond_the_bound_are_given_up(fixture);
    one_anomaly_per_kind_is_open_and_its_evidence_stays(fixture);
    closing_is_refused_when_it_was_seen_since(fixture);
    tenants_do_not_see_each_other(fixture);
    listings_are_ordered_and_paged(fixture);
    one_holder_has_the_lease(fixture);
    roster::suite(fixture);
    nonces::suite(fixture);
    signals::suite(fixture);
    ledger::suite(fixture);
    retention::suite(fixture);
}

fn positions_are_decided_and_used_up_once<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 10);
    let first = f.metrics(agent, 5, 1);
    assert_eq!(
        f.commit(&first),
        IngestOutcome::Accepted,
        "a new position is accepted"
    );
    assert_eq!(
        f.commit(&first),
        IngestOutcome::Duplicate,
        "the same content is a duplicate"
    );
    let other = IngestBatch {
        content: ContentHash([9; 32]),
        ..first.clone()
    };
    assert_eq!(
        f.commit(&other),
        IngestOutcome::Replay,
        "other content is a replay"
    );
    let below = f.metrics(agent, 2, 2);
    assert_eq!(
        f.commit(&below),
        IngestOutcome::Accepted,
        "positions below the first are open"
    );
    let next_epoch = IngestBatch {
        position: position(2, 1),
        ..f.metrics(agent, 1, 3)
    };
    assert_eq!(
        f.commit(&next_epoch),
        IngestOutcome::Accepted,
        "a higher epoch is accepted"
    );
    let stale = f.metrics(agent, 6, 4);
    assert_eq!(
        f.commit(&stale),
        IngestOutcome::StaleEpoch { min_epoch: 3 },
        "a lower one is stale"
    );
    assert_eq!(
        f.commit(&first),
        IngestOutcome::Duplicate,
        "the former epoch is remembered"
    );
    let facts = f.facts(0, agent);
    assert_eq!(
        facts.window.n_metrics(),
        3,
        "each accepted payload is stored once"
    );
    let stranger = AgentId::from_bytes([99; 16]);
    let lost = IngestBatch {
        agent: stranger,
        ..f.metrics(agent, 9, 5)
    };
    let refused = f
        .wait
        .block_on(f.store.commit(core::slice::from_ref(&lost)));
    assert_eq!(
        refused,
        Err(StoreError::NotFound),
        "an unknown agent stores nothing"
    );
}

fn pinning_happens_once_and_resets_positions<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 11);
    let unpinned = IngestBatch {
        signature: SignatureStatus::Unpinned,
        ..f.metrics(agent, 7, 1)
    };
    assert_eq!(f.commit(&unpinned), IngestOutcome::Accepted);
    assert_eq!(
        f.facts(0, agent).last_verified_at,
        None,
        "unsigned payloads prove nothing"
    );
    let pin = |key, at| {
        f.wait
            .block_on(f.store.pin(f.tenants[0], agent, PublicKey([key; 32]), at))
    };
    let late = now().saturating_add(Span::from_secs(3_601));
    assert_eq!(pin(1, late), Ok(PinOutcome::TooLate));
    assert_eq!(pin(1, now()), Ok(PinOutcome::Pinned));
    assert_eq!(
        pin(1, late),
        Ok(PinOutcome::AlreadyPinned),
        "the same key again is fine"
    );
    assert_eq!(pin(2, now()), Ok(PinOutcome::OtherKey));
    let checked_before = IngestBatch {
        position: position(1, 8),
        ..unpinned
    };
    let refused = f
        .wait
        .block_on(f.store.commit(core::slice::from_ref(&checked_before)));
    assert_eq!(
        refused,
        Err(StoreError::Outdated),
        "a key was pinned since it was checked"
    );
    let again = f.metrics(agent, 7, 2);
    assert_eq!(
        f.commit(&again),
        IngestOutcome::Accepted,
        "positions start anew"
    );
    let token = token(11);
    let record = f
        .wait
        .block_on(f.store.agent_by_token(&token))
        .expect("a readable store");
    assert_eq!(
        record.map(|record| record.key),
        Some(Some(PublicKey([1; 32])))
    );
}

fn the_current_version_is_live_and_the_highest_stays<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 12);
    for (seq, minor) in [(1, 2), (2, 10), (3, 3)] {
        assert_eq!(
            f.commit(&f.versioned(agent, seq, minor)),
            IngestOutcome::Accepted
        );
    }
    let version = f.facts(0, agent).version;
    assert_eq!(text_of(&version.current), Some("0.3.0"));
    assert_eq!(
        text_of(&version.highest),
        Some("0.10.0"),
        "numbers, not texts, are compared"
    );
    let unsigned = SignatureStatus::Unpinned;
    let forged = IngestBatch {
        signature: unsigned,
        ..f.versioned(agent, 4, 999)
    };
    assert_eq!(f.commit(&forged), IngestOutcome::Accepted);
    let version = f.facts(0, agent).version;
    assert_eq!(
        text_of(&version.highest),
        Some("0.10.0"),
        "only verified payloads move it"
    );
    assert_eq!(text_of(&version.current), Some("0.3.0"));
}

fn positions_of_gaps_beyond_the_bound_are_given_up<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 179);
    let n_gaps = i64::try_from(limit::POSITION_GAPS_MAX).unwrap_or(i64::MAX) + 2;
    for gap in 0..=n_gaps {
        let batch = f.metrics(agent, 2 * gap + 1, 1);
        assert_eq!(f.commit(&batch), IngestOutcome::Accepted);
    }
    let late = (1..=n_gaps).map(|gap| f.commit(&f.metrics(agent, 2 * gap, 1)));
    let n_given_up = late.filter(|outcome| *outcome == IngestOutcome::GivenUp);
    assert_eq!(n_given_up.count(), 2, "two gaps more than are kept");
}

fn late_payloads_in_open_gaps_are_spooled<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 13);
    let late = |seq, minor| {
        let captured_at = now().saturating_sub(Span::from_secs(61));
        IngestBatch {
            captured_at,
            ..f.versioned(agent, seq, minor)
        }
    };
    assert_eq!(
        f.commit(&f.versioned(agent, 10, 2)),
        IngestOutcome::Accepted
    );
    assert_eq!(f.commit(&late(4, 1)), IngestOutcome::Accepted);
    assert_eq!(f.commit(&f.versioned(agent, 3, 1)), IngestOutcome::Accepted);
    assert_eq!(f.commit(&late(11, 2)), IngestOutcome::Accepted);
    let facts = f.facts(0, agent);
    let is_next_to_backlog: Vec<bool> = facts
        .window
        .view()
        .gaps_us
        .iter()
        .map(|gap| *gap < 0)
        .collect();
    assert_eq!(
        is_next_to_backlog,
        [true, true, false],
        "in receive order; late and in a gap, not late alone"
    );
    let clock = facts.clock.view();
    assert_eq!((clock.offsets_ms.len(), clock.n_spooled), (4, 1));
    assert_eq!(
        text_of(&facts.version.current),
        Some("0.2.0"),
        "a backlog has no current version"
    );
}

fn one_anomaly_per_kind_is_open_and_its_evidence_stays<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 14);
    let n_before = f.open_of_kind(0, AnomalyKind::FlatMetrics);
    f.record(
        0,
        agent,
        AnomalyKind::FlatMetrics,
        Severity::Medium,
        "first",
    );
    f.record(0, agent, AnomalyKind::FlatMetrics, Severity::High, "second");
    f.record(0, agent, AnomalyKind::FlatMetrics, Severity::Low, "third");
    assert_eq!(
        f.open_of_kind(0, AnomalyKind::FlatMetrics),
        n_before + 1,
        "one more is open"
    );
    let filter = AnomalyFilter {
        agent: Some(agent),
        ..AnomalyFilter::default()
    };
    let page = f
        .wait
        .block_on(f.store.anomalies(f.tenants[0], filter, 10, now()))
        .expect("a page");
    let [row] = page.rows.as_slice() else {
        panic!("one row per agent and kind")
    };
    assert_eq!(row.anomaly.finding.summary, "first", "evidence is frozen");
    assert_eq!(
        row.anomaly.finding.severity,
        Severity::High,
        "the severity rises and never falls"
    );
    assert_eq!(row.anomaly.occurrences, 3);
    assert_eq!(row.agent_name, name(14));
}

fn closing_is_refused_when_it_was_seen_since<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 15);
    f.record(0, agent, AnomalyKind::ClockDrift, Severity::High, "off");
    let open = f.facts(0, agent).open;
    let [seen] = open.as_slice() else {
        panic!("one is open")
    };
    let close = |last_seen_at| {
        let signal = signal(agent, AnomalyKind::ClockDrift, None);
        let transitions = [Transition::Resolve {
            id: seen.id,
            last_seen_at,
            signal,
        }]
        .to_vec();
        let commit = CycleCommit {
            tenant: f.tenants[0],
            at: now(),
            transitions,
        };
        let changes = f.wait.block_on(f.store.commit_cycle(&commit));
        let n_open = f.facts(0, agent).open.len();
        let n_resolved = u64::from(n_open == 0);
        let n_opened = 0;
        assert_eq!(
            changes,
            Ok(CycleChanges {
                n_opened,
                n_resolved
            }),
            "what changed is counted"
        );
        n_open
    };
    let earlier = seen.last_seen_at.saturating_sub(Span::from_secs(1));
    assert_eq!(close(earlier), 1, "it was seen since");
    assert_eq!(close(seen.last_seen_at), 0);
    let row = f.act(0, &[seen.id], &Action::Resolve { note: None });
    let row = row.expect("a closed anomaly is returned").swap_remove(0);
    let closed = row.anomaly.closed.expect("it is closed");
    assert_eq!(
        closed.resolution,
        Resolution::Auto,
        "a closed row never changes"
    );
    f.record(
        0,
        agent,
        AnomalyKind::ClockDrift,
        Severity::High,
        "off again",
    );
    let open = f.facts(0, agent).open;
    assert!(
        open.iter().all(|again| again.id != seen.id),
        "a new occurrence is a new row"
    );
}

fn tenants_do_not_see_each_other<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(1, 16);
    let kind = AnomalyKind::CadenceAnomaly;
    let before = [0, 1].map(|tenant| f.open_of_kind(tenant, kind));
    f.record(1, agent, kind, Severity::Medium, "fast");
    let after = [0, 1].map(|tenant| f.open_of_kind(tenant, kind));
    assert_eq!(
        after,
        [before[0], before[1] + 1],
        "counts are of one tenant"
    );
    let filter = AnomalyFilter {
        agent: Some(agent),
        ..AnomalyFilter::default()
    };
    let foreign = f
        .wait
        .block_on(f.store.anomalies(f.tenants[0], filter, 10, now()))
        .expect("a page");
    assert!(foreign.rows.is_empty(), "listings are of one tenant");
    let own = f
        .wait
        .block_on(f.store.anomalies(f.tenants[1], filter, 10, now()))
        .expect("a page");
    let id = own.rows.first().map(|row| row.anomaly.id).expect("one row");
    let resolve = f.act(0, &[id], &Action::Resolve { note: None });
    assert_eq!(resolve.err(), Some(StoreError::NotFound));
    let pin = f.store.pin(f.tenants[0], agent, PublicKey([1; 32]), now());
    assert_eq!(f.wait.block_on(pin), Err(StoreError::NotFound));
    assert_eq!(
        f.wait.block_on(f.store.revoke(f.tenants[0], agent)),
        Err(StoreError::NotFound)
    );
    let foreign = IngestBatch {
        tenant: f.tenants[0],
        ..f.metrics(agent, 1, 1)
    };
    let commit = f.store.commit(core::slice::from_ref(&foreign));
    assert_eq!(f.wait.block_on(commit), Err(StoreError::NotFound));
    let agents = f
        .wait
        .block_on(f.store.agents(f.tenants[0], 1, now()))
        .expect("a list");
    assert!(agents.iter().all(|other| other.agent != agent));
    let one = |tenant: usize, agent| {
        let read = f.store.agent(f.tenants[tenant], agent, 1, now());
        f.wait.block_on(read)
    };
    assert_eq!(one(0, agent).err(), Some(StoreError::NotFound));
    let hub = AgentId::of_hub(f.tenants[1]);
    assert_eq!(one(1, hub).err(), Some(StoreError::NotFound));
    let listed = f.store.agents(f.tenants[1], 1, now());
    let listed = f.wait.block_on(listed).expect("a list");
    let own = listed.iter().find(|row| row.agent == agent);
    let own = own.expect("it is listed");
    assert_eq!(one(1, agent).as_ref(), Ok(own), "as it is listed");
    assert_eq!((own.n_open, own.worst_open), (1, Some(Severity::Medium)));
}

fn listings_are_ordered_and_paged<W: BlockOn>(f: &Fixture<'_, W>) {
    let kind = AnomalyKind::VersionDowngrade;
    let severities = [
        Severity::Low,
        Severity::Critical,
        Severity::Medium,
        Severity::High,
    ];
    for (number, severity) in (20..).zip(severities) {
        f.record(1, f.enrol(1, number), kind, severity, "older");
    }
    let mut filter = AnomalyFilter {
        kind: Some(kind),
        ..AnomalyFilter::default()
    };
    filter.state = Some(AnomalyState::Open);
    let mut seen = Vec::new();
    loop {
        let page = f
            .wait
            .block_on(f.store.anomalies(f.tenants[1], filter, 3, now()))
            .expect("a page");
        assert!(page.rows.len() <= 3);
        seen.extend(page.rows.iter().map(|row| row.anomaly.finding.severity));
        if page.next.is_none() {
            break;
        }
        filter.after = page.next;
    }
    let worst_first = [
        Severity::Critical,
        Severity::High,
        Severity::Medium,
        Severity::Low,
    ];
    assert_eq!(seen, worst_first, "worst first, each once");
    // A place that only another organisation has is no place here, whatever would come behind it.
    let foreign = f.enrol(0, 199);
    f.record(0, foreign, kind, Severity::Critical, "elsewhere");
    filter.after = f.listed(0, foreign).first().map(|row| AnomalyCursor {
        state: AnomalyState::Open,
        id: row.anomaly.id,
    });
    assert!(filter.after.is_some(), "a place");
    let page = f
        .wait
        .block_on(f.store.anomalies(f.tenants[1], filter, 3, now()))
        .expect("a page");
    assert!(page.rows.is_empty() && page.next.is_none());
    filter.after = None;
    filter.state = Some(AnomalyState::Resolved);
    let page = f
        .wait
        .block_on(f.store.anomalies(f.tenants[1], filter, 3, now()))
        .expect("a page");
    assert!(page.rows.is_empty(), "none of them is closed");
}

fn one_holder_has_the_lease<W: BlockOn>(f: &Fixture<'_, W>) {
    let ttl = Span::from_secs(300);
    let take = |holder: u8, at| f.wait.block_on(f.store.take_lease([holder; 16], at, ttl));
    let first = take(1, now()).expect("a lease");
    assert!(
        first.is_some_and(|lease| lease.previous_cycle.is_none()),
        "no cycle has run"
    );
    assert_eq!(take(2, now()), Ok(None), "another holder waits");
    assert!(
        take(1, now()).is_ok_and(|lease| lease.is_some()),
        "its holder renews it"
    );
    assert_eq!(
        f.wait.block_on(f.store.finish_cycle([2; 16], now())),
        Ok(())
    );
    assert_eq!(take(2, now()), Ok(None), "nobody ends another's cycle");
    let step_back = now().saturating_sub(Span::from_secs(86_400));
    assert!(
        take(2, step_back).is_ok_and(|lease| lease.is_some()),
        "no lease outlives a clock"
    );
    assert!(
        take(1, now()).is_ok_and(|lease| lease.is_some()),
        "yesterday's has expired"
    );
    let expired = now().saturating_add(ttl);
    assert!(
        take(2, expired).is_ok_and(|lease| lease.is_some()),
        "an expired one is free"
    );
    assert_eq!(
        f.wait.block_on(f.store.finish_cycle([2; 16], expired)),
        Ok(())
    );
    let next = take(1, expired).expect("a lease");
    assert_eq!(next.and_then(|lease| lease.previous_cycle), Some(expired));
}

/// The version as sent.
fn text_of(version: &Option<Version>) -> Option<&str> {
    version.as_ref().map(|version| version.text.as_str())
}
