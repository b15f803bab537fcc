//! Promises about devices and their nonces.

use core::future::poll_fn;
use core::task::Poll;
use std::vec::Vec;

use super::fixture::{name, now, position};
use super::{BlockOn, Fixture};
use crate::id::AgentId;
use crate::limit;
use crate::name::DisplayName;
use crate::position::ContentHash;
use crate::store::{
    IngestBatch, IngestOutcome, KeyState, NewAgent, NewCredential, NonceDigest, NonceOutcome,
    NonceUse, PublicKey, SharedKey, SignatureStatus, StoreError, StoreFuture,
};
use crate::time::{Span, Timestamp};

pub(super) fn suite<W: BlockOn>(f: &Fixture<'_, W>) {
    devices_are_found_by_their_names_and_have_no_token(f);
    a_nonce_is_used_once_per_device(f);
    a_nonce_that_comes_many_times_at_once_passes_once(f);
    a_nonce_that_passed_stays_used_whatever_the_outcome(f);
    a_nonce_is_forgotten_after_660_seconds_and_not_before(f);
    a_request_that_is_refused_later_spends_its_nonce(f);
    payloads_have_a_nonce_exactly_when_they_come_from_a_device(f);
    one_device_cannot_make_the_store_remember_without_end(f);
}

fn devices_are_found_by_their_names_and_have_no_token<W: BlockOn>(f: &Fixture<'_, W>) {
    let (device, other) = (f.enrol(0, 40), f.enrol_device(1, 41));
    let find = |org: &str, name: &str| {
        let found = f.wait.block_on(f.store.agent_by_device(org, name));
        found.expect("a readable store")
    };
    let record = find("other", &name(41)).expect("the device of the other tenant");
    assert_eq!((record.agent, record.tenant), (other, f.tenants[1]));
    assert_eq!(record.key.expose_bytes(), &[41; 32]);
    assert!(!record.is_revoked);
    for (org, device) in [
        ("one", name(41)),
        ("other", name(40)),
        ("nobody", name(41)),
        ("other", "OTHER".into()),
        ("other", "".into()),
    ] {
        assert!(find(org, &device).is_none(), "{org}/{device} is no device");
    }
    assert!(find("one", &name(40)).is_none(), "a token is no device key");
    let pin = |tenant, agent| f.store.pin(tenant, agent, PublicKey([1; 32]), now());
    assert_eq!(
        f.wait.block_on(pin(f.tenants[1], other)),
        Err(StoreError::NotFound),
        "a device pins no key"
    );
    let key_of = |tenant: usize, agent| {
        let listed = f.wait.block_on(f.store.agents(f.tenants[tenant], 1, now()));
        let listed = listed.expect("a list").into_iter();
        listed
            .filter(|a| a.agent == agent)
            .map(|a| a.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(Vec::from([KeyState::Shared]), key_of(1, other));
    assert_eq!(Vec::from([KeyState::Unpinned]), key_of(0, device));
    assert_eq!(f.wait.block_on(f.store.revoke(f.tenants[1], other)), Ok(()));
    let revoked = find("other", &name(41));
    assert!(revoked.is_some_and(|record| record.is_revoked));
    for unnameable in ["web 1", "web/1", "w\u{e4}b", &"a".repeat(65)] {
        let new = NewAgent {
            agent: AgentId::from_random_bytes([42; 16]),
            tenant: f.tenants[1],
            name: DisplayName::parse(unnameable).expect("a name of an agent"),
            credential: NewCredential::Device {
                key: SharedKey::from_secret_bytes(&[1; 32]),
            },
            enrolled_at: now(),
        };
        let refused = f.wait.block_on(f.store.enrol(&new));
        assert!(
            matches!(refused, Err(StoreError::Refused { .. })),
            "no header can carry {unnameable:?}"
        );
    }
}

fn a_nonce_is_used_once_per_device<W: BlockOn>(f: &Fixture<'_, W>) {
    let (device, same_tenant) = (f.enrol_device(0, 43), f.enrol_device(0, 44));
    let other_tenant = f.enrol_device(1, 45);
    assert_eq!(f.commit(&f.request(device, 1, 7)), IngestOutcome::Accepted);
    assert_eq!(
        f.commit(&f.request(device, 2, 7)),
        IngestOutcome::NonceUsed,
        "a new position does not make a nonce new"
    );
    assert_eq!(
        f.commit(&f.request(device, 1, 7)),
        IngestOutcome::NonceUsed,
        "the nonce is decided about before the position"
    );
    assert_eq!(f.commit(&f.request(device, 2, 8)), IngestOutcome::Accepted);
    assert_eq!(
        f.commit(&f.request(same_tenant, 1, 7)),
        IngestOutcome::Accepted,
        "another device may use the same nonce"
    );
    let foreign = IngestBatch {
        tenant: f.tenants[1],
        ..f.request(other_tenant, 1, 7)
    };
    assert_eq!(f.commit(&foreign), IngestOutcome::Accepted);
    let twice = [f.request(device, 3, 9), f.request(device, 4, 9)];
    assert_eq!(
        f.wait.block_on(f.store.commit(&twice)),
        Ok([IngestOutcome::Accepted, IngestOutcome::NonceUsed].to_vec()),
        "also within one transaction"
    );
    assert_eq!(
        f.facts(0, device).window.n_metrics(),
        3,
        "what was refused is not stored"
    );
    let facts = f.facts(0, device);
    assert!(facts.last_verified_at.is_some(), "a MAC verifies");
}

fn a_nonce_that_comes_many_times_at_once_passes_once<W: BlockOn>(f: &Fixture<'_, W>) {
    let device = f.enrol_device(0, 54);
    let requests: Vec<_> = (1..=16).map(|seq| f.request(device, seq, 1)).collect();
    let commits = requests
        .iter()
        .map(|batch| f.store.commit(core::slice::from_ref(batch)))
        .collect();
    let outcomes = f.wait.block_on(all_at_once(commits));
    let outcomes = outcomes.expect("a store that takes payloads").concat();
    let count = |wanted| {
        outcomes
            .iter()
            .filter(|outcome| **outcome == wanted)
            .count()
    };
    assert_eq!(count(IngestOutcome::Accepted), 1);
    assert_eq!(count(IngestOutcome::NonceUsed), 15);
}

fn a_nonce_that_passed_stays_used_whatever_the_outcome<W: BlockOn>(f: &Fixture<'_, W>) {
    let device = f.enrol_device(0, 46);
    let first = f.request(device, 5, 1);
    assert_eq!(f.commit(&first), IngestOutcome::Accepted);
    let again = |nonce| IngestBatch {
        nonce: Some(digest(nonce)),
        ..first.clone()
    };
    let other = |nonce| IngestBatch {
        content: ContentHash([99; 32]),
        ..again(nonce)
    };
    let in_epoch = |nonce, epoch| IngestBatch {
        position: position(epoch, 1),
        ..again(nonce)
    };
    for (batch, outcome) in [
        (again(2), IngestOutcome::Duplicate),
        (other(3), IngestOutcome::Replay),
        (in_epoch(4, 3), IngestOutcome::Accepted),
        (in_epoch(5, 2), IngestOutcome::StaleEpoch { min_epoch: 4 }),
        (in_epoch(6, 1 << 50), IngestOutcome::OutOfRange),
    ] {
        assert_eq!(f.commit(&batch), outcome);
        assert_eq!(
            f.commit(&batch),
            IngestOutcome::NonceUsed,
            "after {outcome:?}"
        );
    }
}

fn a_nonce_is_forgotten_after_660_seconds_and_not_before<W: BlockOn>(f: &Fixture<'_, W>) {
    let device = f.enrol_device(0, 47);
    let spend = |at| f.spend(device, 1, at);
    let micros = Span::from_micros;
    let kept = Span::from_secs(limit::NONCE_KEPT_S);
    assert_eq!(spend(now()), NonceOutcome::Spent);
    let last = now().saturating_add(kept);
    for used in [now(), now().saturating_add(micros(1)), last] {
        assert_eq!(spend(used), NonceOutcome::Used, "at {used}");
    }
    let past = now().saturating_sub(Span::from_secs(86_400));
    assert_eq!(spend(past), NonceOutcome::Used, "used in the future");
    assert_eq!(
        spend(last.saturating_add(micros(1))),
        NonceOutcome::Spent,
        "forgotten after 660 s"
    );
    assert_eq!(
        spend(last.saturating_add(micros(2))),
        NonceOutcome::Used,
        "and remembered anew"
    );
}

fn a_request_that_is_refused_later_spends_its_nonce<W: BlockOn>(f: &Fixture<'_, W>) {
    let device = f.enrol_device(0, 48);
    assert_eq!(f.spend(device, 1, now()), NonceOutcome::Spent);
    assert_eq!(f.spend(device, 1, now()), NonceOutcome::Used);
    assert_eq!(f.commit(&f.request(device, 1, 1)), IngestOutcome::NonceUsed);
    assert_eq!(f.commit(&f.request(device, 1, 2)), IngestOutcome::Accepted);
    assert_eq!(f.spend(device, 2, now()), NonceOutcome::Used);
    let of = |tenant: usize, agent| NonceUse {
        tenant: f.tenants[tenant],
        agent,
        nonce: digest(3),
        at: now(),
    };
    let foreign = f.wait.block_on(f.store.spend_nonce(&of(1, device)));
    assert_eq!(foreign, Err(StoreError::NotFound));
    let agent = f.enrol(0, 49);
    let no_device = f.wait.block_on(f.store.spend_nonce(&of(0, agent)));
    assert!(matches!(no_device, Err(StoreError::Refused { .. })));
}

fn payloads_have_a_nonce_exactly_when_they_come_from_a_device<W: BlockOn>(f: &Fixture<'_, W>) {
    let (agent, device) = (f.enrol(0, 50), f.enrol_device(0, 51));
    let without = IngestBatch {
        nonce: None,
        ..f.request(device, 1, 1)
    };
    let unverified = IngestBatch {
        signature: SignatureStatus::Unpinned,
        ..f.request(device, 1, 2)
    };
    let good = f.request(device, 2, 3);
    for wrong in [f.request(agent, 1, 1), without, unverified] {
        let both = [good.clone(), wrong];
        assert!(f.wait.block_on(f.store.commit(&both)).is_err());
    }
    assert_eq!(
        f.commit(&good),
        IngestOutcome::Accepted,
        "an error leaves nothing of the call, its nonces included"
    );
}

fn one_device_cannot_make_the_store_remember_without_end<W: BlockOn>(f: &Fixture<'_, W>) {
    let (loud, quiet) = (f.enrol_device(0, 52), f.enrol_device(0, 53));
    let last = u32::from(limit::NONCES_PER_DEVICE_MAX);
    // One position for all: a nonce counts whatever became of the payload.
    let requests: Vec<_> = (1..=last).map(|nonce| f.request(loud, 1, nonce)).collect();
    let outcomes = f.wait.block_on(f.store.commit(&requests));
    let outcomes = outcomes.expect("a store that takes payloads");
    assert_eq!(outcomes.first(), Some(&IngestOutcome::Accepted));
    let rest = outcomes.iter().skip(1);
    assert!(rest.clone().all(|o| *o == IngestOutcome::Duplicate));
    let at = f.request(loud, 1, 0).received_at;
    let in_a_minute = at.saturating_add(Span::from_secs(60));
    let full = |retry_after_s| NonceOutcome::Full { retry_after_s };
    assert_eq!(f.spend(loud, last + 1, in_a_minute), full(601));
    assert_eq!(
        f.commit(&f.request(loud, 2, last + 1)),
        IngestOutcome::NoncesFull { retry_after_s: 660 }
    );
    assert_eq!(
        f.spend(loud, 1, in_a_minute),
        NonceOutcome::Used,
        "nothing is forgotten for a new one, and used comes before full"
    );
    assert_eq!(f.spend(quiet, 1, in_a_minute), NonceOutcome::Spent);
    let later = at.saturating_add(Span::from_secs(limit::NONCE_KEPT_S + 1));
    assert_eq!(
        f.spend(loud, last + 1, later),
        NonceOutcome::Spent,
        "there is room again when the oldest are forgotten"
    );
}

impl<W: BlockOn> Fixture<'_, W> {
    /// A payload of a device of the first tenant, received at `now`.
    fn request(&self, device: AgentId, seq: i64, nonce: u32) -> IngestBatch {
        IngestBatch {
            nonce: Some(digest(nonce)),
            ..self.metrics(device, seq, 600)
        }
    }

    fn spend(&self, agent: AgentId, nonce: u32, at: Timestamp) -> NonceOutcome {
        let spent = NonceUse {
            tenant: self.tenants[0],
            agent,
            nonce: digest(nonce),
            at,
        };
        let outcome = self.wait.block_on(self.store.spend_nonce(&spent));
        outcome.expect("a store that takes nonces")
    }
}

/// Waits for all answers together, so that a store is asked again before it has answered.
pub(super) fn all_at_once<'a, T: Send + Unpin + 'a>(
    asked: Vec<StoreFuture<'a, T>>,
) -> StoreFuture<'a, Vec<T>> {
    let mut asked: Vec<_> = asked.into_iter().map(|future| (future, None)).collect();
    Box::pin(poll_fn(move |context| {
        for (future, answer) in asked.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let Poll::Ready(answered) = future.as_mut().poll(context) {
                *answer = Some(answered);
            }
        }
        if asked.iter().any(|(_, answer)| answer.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(
            asked
                .iter_mut()
                .filter_map(|(_, answer)| answer.take())
                .collect(),
        )
    }))
}

fn digest(nonce: u32) -> NonceDigest {
    let mut bytes = [0; 32];
    for (slot, byte) in bytes.iter_mut().zip(nonce.to_be_bytes()) {
        *slot = byte;
    }
    NonceDigest(bytes)
}
