//! What people do with anomalies, and the ledger that keeps it.

use std::vec;
use std::vec::Vec;

use super::fixture::now;
use super::{BlockOn, Fixture};
use crate::anomaly::{Action, AnomalyKind, Resolution};
use crate::id::{AgentId, AnomalyId};
use crate::ledger::{EventKind, LedgerEntry, Verifier};
use crate::name::SubjectId;
use crate::severity::Severity;
use crate::store::{
    AnomalyCursor, AnomalyFilter, AnomalyRow, AnomalyState, Attention, CycleFault, CycleRecord,
    Label, SignalFilter, StoreError,
};
use crate::time::Span;

pub(super) fn suite<W: BlockOn>(f: &Fixture<'_, W>) {
    each_change_has_its_entry(f);
    an_action_on_an_unknown_anomaly_changes_nothing(f);
    a_closed_anomaly_takes_no_action(f);
    what_fires_again_is_a_new_row_that_names_the_last(f);
    a_downgrade_closed_by_hand_moves_the_baseline(f);
    a_listing_shows_what_is_open_before_what_was_closed_last(f);
    a_page_that_is_turned_after_a_closing_misses_nothing_open(f);
    what_waits_for_a_person_is_listed_apart(f);
    the_chain_of_each_tenant_verifies(f);
    cycles_are_kept_newest_first(f);
}

fn each_change_has_its_entry<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 150);
    let kind = AnomalyKind::UnsignedPayload;
    f.record(0, agent, kind, Severity::Medium, "no key");
    f.record(0, agent, kind, Severity::Medium, "no key");
    f.record(0, agent, kind, Severity::Medium, "no key");
    f.record(0, agent, kind, Severity::High, "no signature");
    let id = f.only(agent).anomaly.id;
    let reason = || "seen by the night shift".into();
    let until = now().saturating_add(Span::from_secs(3_600));
    let acknowledge = Action::Acknowledge {
        reason: reason(),
        until: None,
    };
    let row = f.act(0, &[id], &acknowledge).expect("a row").swap_remove(0);
    assert_eq!(row.label(now()), Label::Acknowledged);
    let seen = row.anomaly.acknowledged.expect("it is acknowledged");
    assert_eq!((seen.by, seen.reason, seen.until), (f.user, reason(), None));
    let snooze = Action::Snooze {
        reason: reason(),
        until,
    };
    let row = f.act(0, &[id], &snooze).expect("a row").swap_remove(0);
    assert_eq!(row.label(now()), Label::Snoozed, "snoozed goes first");
    assert_eq!(row.label(until), Label::Acknowledged, "until then");
    let last = row.anomaly.last_detail.as_deref();
    assert_eq!(last, Some(r#"{"detail":{},"evidence":{}}"#));
    let note = Some("it was a test".into());
    let row = f.act(0, &[id], &Action::Resolve { note: note.clone() });
    let closed = row.expect("a row").swap_remove(0).anomaly.closed;
    let closed = closed.expect("it is closed");
    assert_eq!((closed.by, closed.note), (f.user, note));
    assert_eq!(closed.resolution, Resolution::Manual);
    let words = [
        EventKind::Opened,
        EventKind::Seen,
        EventKind::SeverityRaised,
        EventKind::Acknowledged,
        EventKind::Snoozed,
        EventKind::Resolved,
    ];
    let entries = f.entries(Some(id));
    let kinds: Vec<_> = entries.iter().map(|entry| entry.event.kind).collect();
    assert_eq!(kinds, words, "the third time seen is no power of two");
    assert_eq!(f.entries_of(1, Some(id)), [], "entries are of one tenant");
    let by_person = entries.iter().filter(|e| e.event.actor == f.user).count();
    assert_eq!(by_person, 3, "who did what");
    let about = SignalFilter {
        subject_id: Some(SubjectId::parse(&std::format!("{agent}")).expect("a subject")),
        ..SignalFilter::default()
    };
    let signals = f.store.signals(f.tenants[0], &about, None, 10);
    let signals = f.wait.block_on(signals).expect("signals").signals;
    let severities: Vec<_> = signals.iter().map(|signal| signal.severity()).collect();
    assert!(severities.contains(&None), "closed by hand is superseded");
}

fn an_action_on_an_unknown_anomaly_changes_nothing<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 151);
    f.record(0, agent, AnomalyKind::ClockDrift, Severity::High, "off");
    let other = f.enrol(1, 152);
    f.record(1, other, AnomalyKind::ClockDrift, Severity::High, "off");
    let id = f.only(agent).anomaly.id;
    let foreign = f.listed(1, other).swap_remove(0).anomaly.id;
    let head = f.head(0);
    for bad in [foreign, AnomalyId::from_random_bytes([99; 16])] {
        for action in actions() {
            let answer = f.act(0, &[id, bad], &action);
            assert_eq!(answer.err(), Some(StoreError::NotFound));
        }
        let read = f.store.anomaly(f.tenants[0], bad, now());
        assert_eq!(f.wait.block_on(read).err(), Some(StoreError::NotFound));
    }
    let row = f.only(agent);
    assert!(row.anomaly.is_open(), "all or nothing");
    assert_eq!(
        (row.anomaly.acknowledged, row.anomaly.snoozed),
        (None, None)
    );
    assert_eq!(f.head(0), head, "nothing was written down");
}

fn a_closed_anomaly_takes_no_action<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 153);
    f.record(0, agent, AnomalyKind::FlatMetrics, Severity::High, "flat");
    let id = f.only(agent).anomaly.id;
    let close = Action::Resolve {
        note: Some("first".into()),
    };
    let first = f.act(0, &[id], &close).expect("a row");
    let head = f.head(0);
    for action in actions() {
        assert_eq!(f.act(0, &[id], &action).as_ref(), Ok(&first));
    }
    assert_eq!(f.head(0), head, "nothing was written down");
    assert_eq!(f.act(0, &[], &close), Ok(vec![]));
}

fn what_fires_again_is_a_new_row_that_names_the_last<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 154);
    let mut last = None;
    for round in 1..=3_u32 {
        f.record(0, agent, AnomalyKind::ClockDrift, Severity::High, "off");
        let open = f.listed(0, agent);
        let open = open.iter().find(|row| row.anomaly.is_open());
        let row = open.expect("one is open").clone();
        assert_eq!(row.anomaly.previous, last, "the one before");
        assert_eq!(row.n_changes, 2 * round - 1, "openings and closings");
        let label = match round {
            1 => Label::Open,
            2 => Label::Regressed,
            _ => Label::Flapping,
        };
        assert_eq!(row.label(now()), label);
        last = Some(row.anomaly.id);
        let closed = f.act(0, &[row.anomaly.id], &Action::Resolve { note: None });
        assert!(closed.is_ok());
    }
    let tomorrow = now().saturating_add(Span::from_secs(86_400));
    let later = f
        .store
        .anomaly(f.tenants[0], last.expect("three"), tomorrow);
    let later = f.wait.block_on(later).expect("a row");
    assert_eq!(later.n_changes, 0, "a day later it has calmed down");
}

fn a_downgrade_closed_by_hand_moves_the_baseline<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 155);
    for (seq, minor) in [(1, 3), (2, 1)] {
        let batch = f.versioned(agent, seq, minor);
        let commit = f.store.commit(core::slice::from_ref(&batch));
        assert!(f.wait.block_on(commit).is_ok());
    }
    let kind = AnomalyKind::VersionDowngrade;
    f.record(0, agent, kind, Severity::High, "0.3.0 became 0.1.0");
    let highest = || {
        f.facts(0, agent)
            .version
            .highest
            .map(|version| version.text)
    };
    assert_eq!(highest().as_deref(), Some("0.3.0"));
    let id = f.only(agent).anomaly.id;
    let closed = f.act(0, &[id], &Action::Resolve { note: None });
    assert!(closed.is_ok());
    assert_eq!(highest().as_deref(), Some("0.1.0"), "the accepted one");
    let entries = f.entries(Some(id));
    let last = entries.last().expect("an entry");
    assert_eq!(last.event.kind, EventKind::BaselineAccepted);
    assert_eq!(last.event.actor, f.user);
    assert_eq!(last.event.data, r#"{"from":"0.3.0","to":"0.1.0"}"#);
}

fn a_listing_shows_what_is_open_before_what_was_closed_last<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 160);
    let kinds = [
        (AnomalyKind::ClockDrift, Severity::Medium),
        (AnomalyKind::FlatMetrics, Severity::Critical),
        (AnomalyKind::CadenceAnomaly, Severity::High),
        (AnomalyKind::UnsignedPayload, Severity::Low),
    ];
    for (kind, severity) in kinds {
        f.record(0, agent, kind, severity, "found");
    }
    let kinds_of = |rows: &[AnomalyRow]| -> Vec<_> {
        let kinds = rows.iter().map(|row| row.anomaly.finding.kind);
        kinds.collect()
    };
    let rows = f.listed(0, agent);
    // The worst is closed first, so that neither severity nor detection orders what is closed.
    for (row, at) in rows.iter().take(2).zip(1..) {
        let later = now().saturating_add(Span::from_secs(at));
        let close = Action::Resolve { note: None };
        let ids = [row.anomaly.id];
        let closed = f.store.act(f.tenants[0], &ids, f.user, &close, later);
        assert!(f.wait.block_on(closed).is_ok());
    }
    let expected = [
        AnomalyKind::ClockDrift,
        AnomalyKind::UnsignedPayload,
        AnomalyKind::CadenceAnomaly,
        AnomalyKind::FlatMetrics,
    ];
    assert_eq!(kinds_of(&f.listed(0, agent)), expected);
    for n_rows in 1..=4 {
        let all = AnomalyFilter {
            agent: Some(agent),
            ..AnomalyFilter::default()
        };
        assert_eq!(
            kinds_of(&f.paged(0, all, n_rows)),
            expected,
            "{n_rows} a page"
        );
    }
    let closed = AnomalyFilter {
        state: Some(AnomalyState::Resolved),
        agent: Some(agent),
        ..AnomalyFilter::default()
    };
    assert_eq!(kinds_of(&f.paged(0, closed, 1)), expected[2..]);
    let high = AnomalyFilter {
        severity: Some(Severity::High),
        ..closed
    };
    assert_eq!(kinds_of(&f.paged(0, high, 1)), expected[2..3]);
}

fn a_page_that_is_turned_after_a_closing_misses_nothing_open<W: BlockOn>(f: &Fixture<'_, W>) {
    let kind = AnomalyKind::AgentSilent;
    for number in 161..=164 {
        f.record(0, f.enrol(0, number), kind, Severity::High, "silent");
    }
    let all = AnomalyFilter {
        kind: Some(kind),
        ..AnomalyFilter::default()
    };
    let page = |filter| {
        let page = f.store.anomalies(f.tenants[0], filter, 2, now());
        f.wait.block_on(page).expect("a page")
    };
    let first = page(all);
    let ids: Vec<_> = first.rows.iter().map(|row| row.anomaly.id).collect();
    let closed = f.act(0, &ids, &Action::Resolve { note: None });
    assert!(closed.is_ok());
    let next = page(AnomalyFilter {
        after: first.next,
        ..all
    });
    let is_new = |row: &AnomalyRow| row.anomaly.is_open() && !ids.contains(&row.anomaly.id);
    assert!(next.rows.len() == 2 && next.rows.iter().all(is_new));
    let nowhere = |state, id| AnomalyFilter {
        after: Some(AnomalyCursor { state, id }),
        ..all
    };
    let unknown = AnomalyId::from_random_bytes([99; 16]);
    let open = next.rows[0].anomaly.id;
    for nowhere in [
        nowhere(AnomalyState::Open, unknown),
        nowhere(AnomalyState::Resolved, unknown),
        nowhere(AnomalyState::Resolved, open),
    ] {
        let page = page(nowhere);
        assert!(page.rows.is_empty() && page.next.is_none(), "{nowhere:?}");
    }
}

fn what_waits_for_a_person_is_listed_apart<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 165);
    let kinds = [
        AnomalyKind::ClockDrift,
        AnomalyKind::FlatMetrics,
        AnomalyKind::CadenceAnomaly,
    ];
    for kind in kinds {
        f.record(0, agent, kind, Severity::High, "found");
    }
    let rows = f.listed(0, agent);
    let id_of = |kind| {
        let row = rows.iter().find(|row| row.anomaly.finding.kind == kind);
        row.expect("a row").anomaly.id
    };
    let until = now().saturating_add(Span::from_secs(60));
    let reason = || "because".into();
    let snooze = Action::Snooze {
        reason: reason(),
        until,
    };
    let acknowledge = Action::Acknowledge {
        reason: reason(),
        until: Some(until),
    };
    assert!(f.act(0, &[id_of(kinds[0])], &snooze).is_ok());
    assert!(f.act(0, &[id_of(kinds[1])], &acknowledge).is_ok());
    let listed = |attention, at| {
        let filter = AnomalyFilter {
            agent: Some(agent),
            attention: Some(attention),
            ..AnomalyFilter::default()
        };
        let page = f.store.anomalies(f.tenants[0], filter, 9, at);
        let rows = f.wait.block_on(page).expect("a page").rows;
        let mut kinds: Vec<_> = rows.iter().map(|row| row.anomaly.finding.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(listed(Attention::Snoozed, now()), kinds[..1]);
    assert_eq!(listed(Attention::Acknowledged, now()), kinds[1..2]);
    assert_eq!(listed(Attention::Needed, now()), kinds[2..]);
    let mut all = kinds.to_vec();
    all.sort_unstable();
    assert_eq!(listed(Attention::Needed, until), all, "from then on");
    assert_eq!(listed(Attention::Snoozed, until), []);
}

fn the_chain_of_each_tenant_verifies<W: BlockOn>(f: &Fixture<'_, W>) {
    for tenant in [0, 1] {
        let entries = f.entries_of(tenant, None);
        let mut verifier = Verifier::new(f.tenants[tenant]);
        for entry in &entries {
            assert_eq!(verifier.entry(entry), Ok(()));
        }
        let mut filter = AnomalyFilter::default();
        loop {
            let page = f.store.anomalies(f.tenants[tenant], filter, 7, now());
            let page = f.wait.block_on(page).expect("a page");
            for row in &page.rows {
                assert_eq!(verifier.anomaly(&row.anomaly), Ok(()));
            }
            if page.next.is_none() {
                break;
            }
            filter.after = page.next;
        }
        let head = f.head(tenant);
        assert!(head.seq > 0, "something happened");
        assert_eq!(verifier.finish(Some(head)), Ok(head));
    }
}

fn cycles_are_kept_newest_first<W: BlockOn>(f: &Fixture<'_, W>) {
    let record = |at| CycleRecord {
        at,
        took_ms: 12,
        n_agents: 3,
        n_opened: 1,
        n_resolved: 0,
        n_missed: 2,
        n_failed_pages: 0,
        faults: vec![CycleFault {
            agent: AgentId::from_random_bytes([150; 16]),
            kind: Some(AnomalyKind::FlatMetrics),
            message: "it said \"no\"".into(),
        }],
    };
    let old = now().saturating_sub(Span::from_secs(15 * 86_400));
    let earlier = now().saturating_sub(Span::from_secs(600));
    let keep = |tenant: usize, at| {
        let record = record(at);
        let kept = f.store.record_cycle(f.tenants[tenant], &record);
        assert_eq!(f.wait.block_on(kept), Ok(()));
    };
    for at in [old, earlier, now(), now()] {
        keep(0, at);
    }
    let cycles = |tenant: usize, n| f.wait.block_on(f.store.cycles(f.tenants[tenant], n));
    assert_eq!(cycles(0, 9), Ok(vec![record(now()), record(earlier)]));
    assert_eq!(cycles(0, 1), Ok(vec![record(now())]));
    assert_eq!(cycles(1, 9), Ok(vec![]), "of one tenant");
    keep(1, now().saturating_add(Span::from_secs(30 * 86_400)));
    keep(1, now());
    assert_eq!(
        cycles(0, 9).map(|kept| kept.len()),
        Ok(2),
        "neither forgotten nor replaced by those of another tenant"
    );
}

fn actions() -> [Action; 3] {
    let reason = || "because".into();
    [
        Action::Acknowledge {
            reason: reason(),
            until: None,
        },
        Action::Snooze {
            reason: reason(),
            until: now().saturating_add(Span::from_secs(60)),
        },
        Action::Resolve {
            note: Some(reason()),
        },
    ]
}

impl<W: BlockOn> Fixture<'_, W> {
    /// All rows of a filter, read in pages.
    fn paged(&self, tenant: usize, mut filter: AnomalyFilter, n_rows: u32) -> Vec<AnomalyRow> {
        let mut found = Vec::new();
        loop {
            let page = self
                .store
                .anomalies(self.tenants[tenant], filter, n_rows, now());
            let page = self.wait.block_on(page).expect("a page");
            found.extend(page.rows);
            filter.after = page.next;
            if filter.after.is_none() {
                return found;
            }
        }
    }

    pub(super) fn listed(&self, tenant: usize, agent: AgentId) -> Vec<AnomalyRow> {
        let filter = AnomalyFilter {
            agent: Some(agent),
            ..AnomalyFilter::default()
        };
        let page = self
            .store
            .anomalies(self.tenants[tenant], filter, 99, now());
        self.wait.block_on(page).expect("a page").rows
    }

    fn only(&self, agent: AgentId) -> AnomalyRow {
        let mut rows = self.listed(0, agent);
        assert_eq!(rows.len(), 1, "one anomaly");
        rows.swap_remove(0)
    }

    fn head(&self, tenant: usize) -> crate::ledger::LedgerHead {
        let head = self.store.ledger_head(self.tenants[tenant]);
        self.wait.block_on(head).expect("a head")
    }

    fn entries(&self, anomaly: Option<AnomalyId>) -> Vec<LedgerEntry> {
        self.entries_of(0, anomaly)
    }

    fn entries_of(&self, tenant: usize, anomaly: Option<AnomalyId>) -> Vec<LedgerEntry> {
        let mut entries: Vec<LedgerEntry> = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry| entry.seq);
            let page = self.store.ledger(self.tenants[tenant], anomaly, after, 3);
            let page = self.wait.block_on(page).expect("entries");
            if page.is_empty() {
                return entries;
            }
            assert!(page.len() <= 3, "a page of entries");
            entries.extend(page);
        }
    }
}
