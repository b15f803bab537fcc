//! Promises about signals: their history, and what of them is current.

use std::string::String;
use std::vec::Vec;

use super::drafts::{Draft, SOURCE, about, key_of, later};
use super::fixture::{now, position, token};
use super::nonces::all_at_once;
use super::{BlockOn, Fixture};
use crate::anomaly::{AnomalyKind, Transition};
use crate::id::{AgentId, TenantId};
use crate::limit;
use crate::name::{SignalKey, Source, SubjectType};
use crate::position::ContentHash;
use crate::severity::Severity;
use crate::signal::Signal;
use crate::store::{
    CycleCommit, IngestBatch, IngestOutcome, Payload, SignalFilter, SignalSlot, StoreError,
};
use crate::time::{Span, Timestamp};

pub(super) fn suite<W: BlockOn>(f: &Fixture<'_, W>) {
    s10_a_batch_is_stored_whole_or_not_at_all(f);
    s14_signals_are_of_one_tenant(f);
    history_is_listed_newest_first_and_filtered(f);
    cursors_stand_still_while_rows_come_and_go(f);
    s8_the_latest_signal_of_a_slot_is_current(f);
    s7_expiring_signals_end_and_sticky_ones_stay(f);
    what_is_current_is_paged_in_the_order_of_its_slots(f);
    what_stood_at_a_past_moment_can_be_read(f);
    payloads_and_findings_are_current_too(f);
    a_refused_payload_leaves_no_signal(f);
    what_comes_many_times_at_once_is_stored_once(f);
    batches_that_come_at_once_are_all_stored(f);
    live_keys_are_those_that_are_current(f);
}

fn s10_a_batch_is_stored_whole_or_not_at_all<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "batch";
    assert_eq!(f.emit(0, Vec::new()), Ok(()), "none is fine");
    let many: Vec<_> = (0..limit::SIGNALS_PER_BATCH_MAX)
        .map(|n| Draft::new(of, n).signal())
        .collect();
    let stranger = TenantId::from_bytes([99; 16]);
    let lost = f.wait.block_on(f.store.emit(stranger, many.clone()));
    assert_eq!(lost, Err(StoreError::NotFound), "no such tenant");
    assert_eq!(f.emit(0, many.clone()), Ok(()));
    assert_eq!(f.history(0, &about(of), 300).len(), many.len());
    assert_eq!(f.current(0, &about(of), 300, now()).len(), many.len());
    // What comes back is what went in, every field of it.
    let full = Draft {
        value: r#"{"a\"\\b":"\u0001é😀","value":[null,-0.5,{"x":true}]}"#,
        severity: Some("critical"),
        ttl_seconds: Some(limit::SIGNAL_TTL_S_MAX),
        at: now().saturating_sub(Span::from_micros(1)),
        ..Draft::new("every field, 100 % of 'it' \u{10ffff}", 1)
    };
    let full = full.signal();
    assert_eq!(f.emit(0, [full.clone()].to_vec()), Ok(()));
    let filter = about(full.subject_id().as_str());
    let full = [full];
    assert_eq!(f.history(0, &filter, 2), full);
    assert_eq!(f.current(0, &filter, 2, now()), full);
}

fn s14_signals_are_of_one_tenant<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "both";
    let mine = Draft::new(of, 1).signal();
    let theirs = Draft {
        severity: Some("high"),
        at: later(1),
        ..Draft::new(of, 1)
    };
    let theirs = theirs.signal();
    assert_eq!(f.emit(0, [mine.clone()].to_vec()), Ok(()));
    assert_eq!(f.emit(1, [theirs.clone()].to_vec()), Ok(()));
    let (mine, theirs) = ([mine], [theirs]);
    assert_eq!(f.history(0, &about(of), 9), mine, "history");
    assert_eq!(f.history(1, &about(of), 9), theirs, "history");
    assert_eq!(f.current(0, &about(of), 9, now()), mine, "one slot each");
    assert_eq!(f.current(1, &about(of), 9, now()), theirs, "one slot each");
    let any = SignalFilter::default();
    let all = f.history(1, &any, 50);
    assert!(!all.contains(&mine[0]), "without a filter too");
    let current = [0, 1].map(|tenant| f.current(tenant, &any, 50, now()));
    assert!(current[0].contains(&mine[0]) && !current[0].contains(&theirs[0]));
    assert!(current[1].contains(&theirs[0]) && !current[1].contains(&mine[0]));
}

fn history_is_listed_newest_first_and_filtered<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "listed";
    let draft = |n: usize, s: i64| Draft {
        at: later(s),
        ..Draft::new(of, n)
    };
    // Two at one time, and one that arrives after what is newer than it.
    let arrived = [
        draft(1, 5),
        draft(2, 9),
        draft(3, 9),
        draft(4, 7),
        draft(1, 6),
    ];
    let arrived = arrived.map(|draft| draft.signal());
    assert_eq!(f.emit(0, arrived[..2].to_vec()), Ok(()));
    assert_eq!(f.emit(0, arrived[2..].to_vec()), Ok(()));
    let [a, b, c, d, e] = arrived;
    let newest_first = [c.clone(), b.clone(), d.clone(), e.clone(), a.clone()];
    for n_rows in [1, 2, 3, 5, 9] {
        let listed = f.history(0, &about(of), n_rows);
        assert_eq!(
            listed, newest_first,
            "by time, then arrival; pages of {n_rows}"
        );
    }
    let only = |change: &dyn Fn(&mut SignalFilter)| {
        let mut filter = about(of);
        change(&mut filter);
        f.history(0, &filter, 2)
    };
    let since = later(7);
    assert_eq!(
        only(&|w| w.since = Some(since)),
        [c, b, d],
        "since is inclusive"
    );
    let key = |n| SignalKey::parse(&key_of(n)).expect("a key");
    assert_eq!(only(&|w| w.key = Some(key(1))), [e, a]);
    assert_eq!(only(&|w| w.key = Some(key(7))), []);
    let source = |text| Some(Source::parse(text).expect("a source"));
    assert_eq!(only(&|w| w.source = source(SOURCE)).len(), 5);
    assert_eq!(only(&|w| w.source = source("other_check")), []);
    let kind = |text| Some(SubjectType::parse(text).expect("a type"));
    assert_eq!(only(&|w| w.subject_type = kind("domain")), []);
    assert_eq!(only(&|w| w.subject_type = None).len(), 5);
}

fn cursors_stand_still_while_rows_come_and_go<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "paged";
    let at = |n: usize, s| Draft {
        at: later(s),
        ..Draft::new(of, n)
    };
    let four: Vec<_> = (1..=4).map(|n| at(n, 0).signal()).collect();
    assert_eq!(f.emit(0, four.clone()), Ok(()));
    let page = |after| {
        let filter = about(of);
        let page = f.store.signals(f.tenants[0], &filter, after, 2);
        f.wait.block_on(page).expect("a page")
    };
    let first = page(None);
    assert_eq!(first.signals, [four[3].clone(), four[2].clone()]);
    assert!(first.next.is_some(), "there is more");
    let newer = [at(5, 0).signal(), at(6, 60).signal()].to_vec();
    assert_eq!(
        f.emit(0, newer),
        Ok(()),
        "newer ones come between two pages"
    );
    let second = page(first.next);
    assert_eq!(
        second.signals,
        [four[1].clone(), four[0].clone()],
        "nothing shifts"
    );
    assert_eq!(second.next, None, "the last page says so");
    assert_eq!(page(first.next), second, "a cursor can be used again");
}

fn s8_the_latest_signal_of_a_slot_is_current<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "superseded";
    let with = |severity, s| Draft {
        severity,
        at: later(s),
        ..Draft::new(of, 1)
    };
    let current = || f.current(0, &about(of), 9, now());
    let finding = with(Some("high"), 10).signal();
    assert_eq!(f.emit(0, [finding.clone()].to_vec()), Ok(()));
    let late = with(Some("critical"), 9).signal();
    assert_eq!(f.emit(0, [late].to_vec()), Ok(()));
    assert_eq!(current(), [finding], "what arrives late changes nothing");
    let same_time = with(Some("low"), 10).signal();
    assert_eq!(f.emit(0, [same_time.clone()].to_vec()), Ok(()));
    assert_eq!(
        current(),
        [same_time],
        "of equal times the later arrival stays"
    );
    for cleared in [with(Some("info"), 11), with(None, 12)] {
        let cleared = cleared.signal();
        assert_eq!(f.emit(0, [cleared.clone()].to_vec()), Ok(()));
        assert_eq!(current(), [cleared], "a newer signal clears a finding");
    }
    let together = [(20, "low"), (25, "medium"), (25, "high"), (22, "critical")];
    let together = together.map(|(s, word)| with(Some(word), s).signal());
    assert_eq!(
        f.emit(0, together.to_vec()),
        Ok(()),
        "one slot often in a batch"
    );
    assert_eq!(current(), [together[2].clone()], "the last of the latest");
    assert_eq!(f.history(0, &about(of), 3).len(), 9, "history keeps all");
}

fn s7_expiring_signals_end_and_sticky_ones_stay<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "expiring";
    let sticky = Draft {
        severity: Some("high"),
        ..Draft::new(of, 1)
    };
    let expiring = Draft {
        ttl_seconds: Some(60),
        ..Draft::new(of, 2)
    };
    let (sticky, expiring) = (sticky.signal(), expiring.signal());
    assert_eq!(
        f.emit(0, [sticky.clone(), expiring.clone()].to_vec()),
        Ok(())
    );
    let at = |micros| now().saturating_add(Span::from_micros(micros));
    let current = |now| f.current(0, &about(of), 1, now);
    let both = [sticky.clone(), expiring];
    assert_eq!(current(at(59_999_999)), both, "live before its end");
    assert_eq!(current(at(60_000_000)), [sticky], "not at its end");
    assert_eq!(current(Timestamp::MAX).len(), 1, "sticky is for ever");
    let short = Draft {
        ttl_seconds: Some(1),
        at: later(1),
        ..Draft::new(of, 1)
    };
    assert_eq!(f.emit(0, [short.signal()].to_vec()), Ok(()));
    assert_eq!(
        current(at(3_000_000)).len(),
        1,
        "superseded does not come back"
    );
    assert_eq!(current(at(60_000_000)), []);
}

fn what_is_current_is_paged_in_the_order_of_its_slots<W: BlockOn>(f: &Fixture<'_, W>) {
    // Byte order, in which upper case, digits and letters with accents stand far apart.
    let subjects = ["p 10", "p 9", "p A", "p a", "p b", "p é"];
    let mut slots = Vec::new();
    for subject in subjects.iter().rev() {
        let two = [2, 1].map(|n| Draft::new(subject, n).signal());
        slots.extend(two.iter().map(SignalSlot::of));
        assert_eq!(f.emit(1, two.to_vec()), Ok(()));
    }
    slots.sort();
    let any = SignalFilter {
        source: Source::parse(SOURCE).ok(),
        ..SignalFilter::default()
    };
    for n_rows in [1, 5, 50] {
        let listed = f.current(1, &any, n_rows, now());
        let listed: Vec<_> = listed.iter().map(SignalSlot::of).collect();
        assert!(listed.is_sorted(), "{listed:?}");
        let own = listed
            .into_iter()
            .filter(|slot| subjects.contains(&slot.subject_id.as_str()));
        assert_eq!(
            own.collect::<Vec<_>>(),
            slots,
            "each once, pages of {n_rows}"
        );
    }
}

fn what_stood_at_a_past_moment_can_be_read<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "replayed";
    let with = |n, severity, s, ttl_seconds| {
        let draft = Draft {
            severity,
            at: later(s),
            ttl_seconds,
            ..Draft::new(of, n)
        };
        draft.signal()
    };
    let first = with(1, Some("high"), 10, None);
    let sticky = with(2, Some("medium"), 15, None);
    let short = with(1, Some("low"), 20, Some(5));
    let late = with(3, None, 30, None);
    let again = with(1, Some("info"), 40, None);
    let same_time = with(1, Some("critical"), 40, None);
    // Not in the order in which they were observed.
    let arrived = [&again, &short, &same_time, &first, &sticky, &late];
    for signal in arrived {
        assert_eq!(f.emit(0, Vec::from([signal.clone()])), Ok(()));
    }
    let foreign = [1, 4].map(|n| with(n, Some("critical"), 12, None));
    assert_eq!(f.emit(1, foreign.to_vec()), Ok(()));
    let (first, sticky) = ([first], [sticky]);
    let stood = |s| f.as_of(0, of, later(s));
    assert_eq!(stood(9), [], "nothing yet");
    assert_eq!(stood(10), first, "what was observed at the moment");
    assert_eq!(stood(14), first, "of one tenant");
    assert_eq!(stood(15), [&first[..], &sticky].concat());
    assert_eq!(stood(24), [&[short][..], &sticky].concat());
    assert_eq!(stood(25), sticky, "superseded does not come back");
    let [sticky] = sticky;
    assert_eq!(stood(30), [sticky.clone(), late.clone()]);
    let last = [same_time, sticky, late];
    assert_eq!(stood(40), last, "of equal times the later arrival");
    assert_eq!(f.current(0, &about(of), 2, later(40)), last, "as it is now");
}

fn payloads_and_findings_are_current_too<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 60);
    let subject = std::format!("{agent}");
    let said = f.said(agent, 1, &["a"]);
    assert_eq!(f.commit(&said), IngestOutcome::Accepted);
    assert_eq!(
        f.current(0, &about(&subject), 9, now()).len(),
        1,
        "a payload"
    );
    let (kind, high) = (AnomalyKind::ClockDrift, Severity::High);
    f.record(0, agent, kind, high, "off");
    let severity = || {
        let filter = SignalFilter {
            source: Source::parse("integrity_check").ok(),
            ..about(&subject)
        };
        let found = f.current(0, &filter, 9, now());
        assert_eq!(found.len(), 1, "one slot for a kind");
        found[0].severity()
    };
    assert_eq!(severity(), Some(high), "a finding of the ingest path");
    let open = f.facts(0, agent).open;
    let commit = CycleCommit {
        tenant: f.tenants[0],
        at: now(),
        transitions: [Transition::Resolve {
            id: open[0].id,
            last_seen_at: open[0].last_seen_at,
            signal: super::fixture::signal(agent, kind, None),
        }]
        .to_vec(),
    };
    let changes = f.wait.block_on(f.store.commit_cycle(&commit));
    assert_eq!(changes.map(|changes| changes.n_resolved), Ok(1));
    assert_eq!(severity(), None, "a finding of a cycle, closed");
    let foreign = f.current(1, &about(&subject), 9, now());
    assert_eq!(foreign, [], "of one tenant");
}

fn a_refused_payload_leaves_no_signal<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 61);
    let subject = std::format!("{agent}");
    let stranger = IngestBatch {
        agent: AgentId::from_bytes([98; 16]),
        ..f.said(agent, 9, &["b"])
    };
    let both = [f.said(agent, 1, &["a"]), stranger];
    let refused = f.wait.block_on(f.store.commit(&both));
    assert_eq!(refused, Err(StoreError::NotFound));
    assert_eq!(
        f.history(0, &about(&subject), 9),
        [],
        "an error leaves nothing of the call"
    );
    let good = f.said(agent, 1, &["a"]);
    assert_eq!(f.commit(&good), IngestOutcome::Accepted);
    assert_eq!(f.commit(&good), IngestOutcome::Duplicate);
    let replay = IngestBatch {
        content: ContentHash([97; 32]),
        ..f.said(agent, 1, &["c"])
    };
    assert_eq!(f.commit(&replay), IngestOutcome::Replay);
    assert_eq!(
        f.history(0, &about(&subject), 9).len(),
        1,
        "each accepted once"
    );
    let record = f.wait.block_on(f.store.agent_by_token(&token(61)));
    assert!(record.is_ok_and(|record| record.is_some()));
}

fn what_comes_many_times_at_once_is_stored_once<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 63);
    let same = [f.said(agent, 1, &["a"])];
    let asked = (0..16).map(|_| f.store.commit(&same)).collect();
    let outcomes = f.wait.block_on(all_at_once(asked));
    let outcomes = outcomes.expect("a store that takes payloads").concat();
    let is = |wanted| move |outcome: &&IngestOutcome| **outcome == wanted;
    let accepted = outcomes.iter().filter(is(IngestOutcome::Accepted));
    assert_eq!(accepted.count(), 1, "one position, one payload");
    let duplicates = outcomes.iter().filter(is(IngestOutcome::Duplicate));
    assert_eq!(duplicates.count(), 15);
    let subject = std::format!("{agent}");
    assert_eq!(f.history(0, &about(&subject), 9).len(), 1);
}

fn batches_that_come_at_once_are_all_stored<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "at once";
    let at = |s| Draft {
        at: later(s),
        ..Draft::new(of, 1)
    };
    let batch = |s| [at(s).signal(), at(20 - s).signal()].to_vec();
    let emit = |s| f.store.emit(f.tenants[0], batch(s));
    let emitted = f.wait.block_on(all_at_once((0..16).map(emit).collect()));
    assert_eq!(emitted.map(|all| all.len()), Ok(16));
    assert_eq!(f.history(0, &about(of), 9).len(), 32, "whole batches");
    let current = f.current(0, &about(of), 9, now());
    let newest: Vec<_> = current.iter().map(Signal::observed_at).collect();
    assert_eq!(newest, [later(20)], "the latest, whichever came last");
}

fn live_keys_are_those_that_are_current<W: BlockOn>(f: &Fixture<'_, W>) {
    let agent = f.enrol(0, 62);
    let most = limit::LIVE_KEYS_PER_SOURCE_MAX;
    let keys: Vec<String> = (0..=most).map(|n| std::format!("k.n{n}")).collect();
    let all = |keys: &[String], ttl_seconds| {
        let subject = std::format!("{agent}");
        let signal = |key: &String| {
            let draft = Draft {
                key: key.clone(),
                ttl_seconds,
                subject_type: "agent",
                ..Draft::new(&subject, 0)
            };
            draft.signal()
        };
        Payload::Signals(keys.iter().map(signal).collect())
    };
    let batch = |seq, payload| IngestBatch {
        payload,
        received_at: now(),
        position: position(1, seq),
        ..f.metrics(agent, seq, 600)
    };
    let subject = std::format!("{agent}");
    let elsewhere = Draft {
        key: "k.elsewhere".into(),
        subject_type: "agent",
        ..Draft::new(&subject, 0)
    };
    let emitted = f.store.emit(f.tenants[1], [elsewhere.signal()].to_vec());
    assert_eq!(f.wait.block_on(emitted), Ok(()));
    // What another tenant says of the agent takes no room here.
    let full = batch(1, all(&keys[..most], Some(60)));
    assert_eq!(f.commit(&full), IngestOutcome::Accepted);
    let one_more = batch(2, all(&keys[most - 1..], None));
    assert_eq!(
        f.commit(&one_more),
        IngestOutcome::TooManyKeys { index: 1 },
        "one key is known, the next is one too many"
    );
    assert_eq!(f.history(0, &about(&subject), 200).len(), most);
    let again = batch(3, all(&keys[..most], Some(60)));
    assert_eq!(
        f.commit(&again),
        IngestOutcome::Accepted,
        "known keys always fit"
    );
    let expired = IngestBatch {
        received_at: later(60),
        ..batch(4, all(&keys[most..], None))
    };
    assert_eq!(f.commit(&expired), IngestOutcome::Accepted, "room again");
}
