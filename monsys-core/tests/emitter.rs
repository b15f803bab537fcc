//! Row S10 of the signals study: `emit` and `emit_batch` store all of a batch or nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an error fails where it meets it"
)]

use std::task::{Context, Poll, Waker};

use monsys_core::id::TenantId;
use monsys_core::limit;
use monsys_core::name::DisplayName;
use monsys_core::signal::{Rule, SignalDraft};
use monsys_core::store::{EmitError, EmitFuture, Emitter, InMemory, StoreError};
use monsys_core::time::{Span, Timestamp};

const TENANT: TenantId = TenantId::from_bytes([1; 16]);

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap()
}

fn store() -> InMemory {
    let store = InMemory::new();
    store.add_tenant(TENANT, DisplayName::parse("acme").unwrap());
    store
}

/// The example of the signals document.
fn draft() -> SignalDraft {
    SignalDraft {
        source: "my_check".into(),
        subject_type: "agent".into(),
        subject_id: "0b5b1a3e-5d0c-4a53-9f0b-6a1c2d3e4f50".into(),
        key: "my.finding".into(),
        value: r#"{"value":42,"extra":"context"}"#.into(),
        severity: Some("high".into()),
        observed_at: now(),
        ttl_seconds: None,
    }
}

fn wait(mut future: EmitFuture<'_>) -> Result<(), EmitError> {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("the store in memory is ready at once"),
    }
}

#[test]
fn s10_one_signal_is_stored() {
    let store = store();
    assert_eq!(
        wait(Emitter::new(&store).emit(TENANT, &draft(), now())),
        Ok(())
    );
    let stored = store.signal_history(TENANT);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].value(), r#"{"extra":"context","value":42}"#);
}

#[test]
fn s10_one_bad_of_a_thousand_stores_nothing_and_is_named() {
    let store = store();
    let emitter = Emitter::new(&store);
    for bad in [0, 500, 999] {
        let mut drafts = vec![draft(); limit::SIGNALS_PER_BATCH_MAX];
        drafts[bad].key = "finding".into();
        let refused = wait(emitter.emit_batch(TENANT, &drafts, now()));
        let Err(EmitError::Invalid(violations)) = refused else {
            unreachable!("one is invalid: {refused:?}")
        };
        assert_eq!(violations.total(), 1);
        assert_eq!(violations.first().index, bad);
        assert_eq!(violations.first().rule, Rule::Key);
        assert!(store.signal_history(TENANT).is_empty(), "nothing is stored");
    }
    let drafts = vec![draft(); limit::SIGNALS_PER_BATCH_MAX];
    assert_eq!(wait(emitter.emit_batch(TENANT, &drafts, now())), Ok(()));
    assert_eq!(store.signal_history(TENANT).len(), drafts.len());
}

#[test]
fn s10_an_empty_batch_is_fine_and_stores_nothing() {
    let store = store();
    let emitter = Emitter::new(&store);
    assert_eq!(wait(emitter.emit_batch(TENANT, &[], now())), Ok(()));
    let stranger = TenantId::from_bytes([9; 16]);
    assert_eq!(wait(emitter.emit_batch(stranger, &[], now())), Ok(()));
    assert!(store.signal_history(TENANT).is_empty());
}

#[test]
fn s10_a_batch_has_a_limit() {
    let store = store();
    let drafts = vec![draft(); limit::SIGNALS_PER_BATCH_MAX + 1];
    let refused = wait(Emitter::new(&store).emit_batch(TENANT, &drafts, now()));
    let n_signals = drafts.len();
    assert_eq!(refused, Err(EmitError::TooMany { n_signals }));
    assert!(store.signal_history(TENANT).is_empty());
}

#[test]
fn eight_thousand_violations_of_one_batch_make_a_bounded_answer() {
    let store = store();
    let bad = SignalDraft {
        source: "Check".into(),
        subject_type: "".into(),
        subject_id: "a\n".into(),
        key: "x".repeat(1_000),
        value: "[]".into(),
        severity: Some("HIGH".into()),
        observed_at: now().saturating_add(Span::from_secs(301)),
        ttl_seconds: Some(0),
    };
    let drafts = vec![bad; limit::SIGNALS_PER_BATCH_MAX];
    let refused = wait(Emitter::new(&store).emit_batch(TENANT, &drafts, now()));
    let Err(EmitError::Invalid(violations)) = refused else {
        unreachable!("all are invalid: {refused:?}")
    };
    assert_eq!(violations.total(), 8_000);
    assert_eq!(violations.shown().len(), limit::VIOLATIONS_SHOWN_MAX);
    let said = EmitError::Invalid(violations).to_string();
    assert!(said.len() < 512 && !said.contains("xxx"), "{said}");
}

#[test]
fn what_the_store_says_is_handed_on() {
    let store = store();
    let stranger = TenantId::from_bytes([9; 16]);
    let refused = wait(Emitter::new(&store).emit(stranger, &draft(), now()));
    assert_eq!(refused, Err(EmitError::Store(StoreError::NotFound)));
}
