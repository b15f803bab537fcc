//! Promises about what retention removes and what it leaves.

use std::vec::Vec;

use super::drafts::{Draft, about, key_of, later};
use super::fixture::now;
use super::{BlockOn, Fixture};
use crate::endpoint::EndpointSnapshot;
use crate::limit;
use crate::store::{
    IngestBatch, IngestOutcome, NonceDigest, Payload, Retention, SignalFilter, Swept,
};
use crate::time::Span;

/// Runs last: it moves the clock past everything that the other promises stored.
pub(super) fn suite<W: BlockOn>(f: &Fixture<'_, W>) {
    each_row_that_is_due_is_counted_once(f);
    s16_retention_drops_history_and_never_moves_what_is_current(f);
}

fn each_row_that_is_due_is_counted_once<W: BlockOn>(f: &Fixture<'_, W>) {
    let over = Span::from_secs(limit::SIGNAL_RETENTION_S + 1);
    let count = || {
        let due = f
            .store
            .count_due(Retention::standard(), now().saturating_add(over));
        f.wait.block_on(due).expect("a count")
    };
    let before = count();
    let device = f.enrol_device(0, 221);
    let batch = |seq: u8| IngestBatch {
        nonce: Some(NonceDigest([220 + seq; 32])),
        ..f.metrics(device, seq.into(), seq.into())
    };
    let snapshot = IngestBatch {
        payload: Payload::Endpoint(EndpointSnapshot::default()),
        ..batch(2)
    };
    for batch in [batch(1), snapshot] {
        assert_eq!(f.commit(&batch), IngestOutcome::Accepted);
    }
    let expiring = Draft {
        ttl_seconds: Some(60),
        ..Draft::new("due", 1)
    };
    assert_eq!(f.emit(0, [expiring.signal()].to_vec()), Ok(()));
    let after = count();
    let due = Swept {
        signals: before.signals + 1,
        current: before.current + 1,
        metrics: before.metrics + 1,
        endpoints: before.endpoints + 1,
        nonces: before.nonces + 2,
        // A store may keep none of them apart; the promises before this one left some to all others.
        contents: match before.contents {
            0 => 0,
            n => n + 2,
        },
    };
    assert_eq!(after, due, "counted once, and counting changes nothing");
}

fn s16_retention_drops_history_and_never_moves_what_is_current<W: BlockOn>(f: &Fixture<'_, W>) {
    let of = "kept";
    let retention = Retention::standard();
    let year = Span::from_secs(365 * 86_400);
    let sticky = Draft {
        severity: Some("medium"),
        ..Draft::new(of, 1)
    };
    let long = Draft {
        ttl_seconds: Some(2 * 365 * 86_400),
        ..Draft::new(of, 2)
    };
    let short = Draft {
        ttl_seconds: Some(60),
        ..Draft::new(of, 3)
    };
    let three = [sticky.signal(), long.signal(), short.signal()];
    assert_eq!(f.emit(0, three.to_vec()), Ok(()));
    let count = |now| f.wait.block_on(f.store.count_due(retention, now));
    let sweep = |now| f.wait.block_on(f.store.sweep(retention, now));
    let kept = Span::from_secs(limit::SIGNAL_RETENTION_S);
    let last = now().saturating_add(kept);
    let fresh = Draft {
        at: later(300),
        ..Draft::new(of, 4)
    };
    assert_eq!(f.emit(0, [fresh.signal()].to_vec()), Ok(()));
    let today = count(now()).expect("a count");
    let of_today = [today.signals, today.current, today.metrics, today.endpoints];
    assert_eq!(of_today, [0; 4], "nothing of today is due");
    let due = count(last).expect("a count");
    assert!(due.metrics > 0, "metrics are kept for 14 days: {due:?}");
    assert_eq!(sweep(last), Ok(due), "what is counted is what goes");
    assert_eq!(f.history(0, &about(of), 9).len(), 4, "kept for 180 days");
    let in_a_year = now().saturating_add(year);
    let any = SignalFilter::default();
    let before = [0, 1].map(|tenant| f.current(tenant, &any, 200, in_a_year));
    let over = last.saturating_add(Span::from_micros(1));
    let due = count(over).expect("a count");
    assert!(due.signals >= 3, "{due:?}");
    assert_eq!(count(over), Ok(due), "counting changes nothing");
    assert_eq!(
        f.history(0, &about(of), 9).len(),
        4,
        "counting changes nothing"
    );
    assert_eq!(sweep(over), Ok(due), "what is counted is what goes");
    assert_eq!(
        f.history(0, &about(of), 9),
        [fresh.signal()],
        "and not a microsecond longer"
    );
    assert_eq!(sweep(over), Ok(Swept::default()), "nothing is left to do");
    assert!(sweep(in_a_year).is_ok());
    for (tenant, before) in [0, 1].into_iter().zip(before) {
        assert!(!before.is_empty());
        let after = f.current(tenant, &any, 200, in_a_year);
        assert_eq!(after, before, "what is current never moves");
        assert_eq!(f.history(tenant, &any, 200), [], "all history is gone");
    }
    what_never_ended_is_left(f, of);
}

fn what_never_ended_is_left<W: BlockOn>(f: &Fixture<'_, W>, of: &str) {
    let left = f.current(0, &about(of), 9, now());
    let left: Vec<_> = left.iter().map(|s| s.key().as_str()).collect();
    assert_eq!(
        left,
        [key_of(1), key_of(2), key_of(4)],
        "the expired one is gone"
    );
    let stood = f.as_of(0, of, now());
    let stood: Vec<_> = stood.iter().map(|s| s.key().as_str()).collect();
    assert_eq!(stood, [key_of(1), key_of(2)], "and stood at its time too");
}
