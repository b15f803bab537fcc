//! The batcher against a plain model: a list of payloads and a rule that says which are refused.

use alloc::collections::BTreeMap;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::id::{AgentId, TenantId};
use crate::name::AgentVersion;
use crate::position::{ContentHash, Position};
use crate::sample::{CpuPercent, MetricSample};
use crate::store::{Payload, SignatureStatus, VersionSeen};
use crate::time::Timestamp;

const LIMITS: BatcherLimits = BatcherLimits {
    n_writers: 2,
    n_payloads_max: 8,
    n_waiting_max: 40,
};

fn payload(tenant: u8, agent: u8, seq: i64) -> IngestBatch {
    let now = Timestamp::from_unix_micros(1_795_223_741_000_000).unwrap();
    IngestBatch {
        tenant: TenantId::from_random_bytes([tenant; 16]),
        agent: AgentId::from_random_bytes([agent; 16]),
        received_at: now,
        captured_at: now,
        sent_at: now,
        nonce: None,
        position: Position::new(1, seq).unwrap(),
        content: ContentHash([0; 32]),
        signature: SignatureStatus::Verified,
        version: VersionSeen {
            text: AgentVersion::parse("0.1.0").unwrap(),
            triple: None,
        },
        payload: Payload::Metrics(MetricSample::of_cpu(CpuPercent::new(1.0).unwrap())),
        finding: None,
    }
}

fn accepted(batch: &Batch<u64>) -> Result<Vec<IngestOutcome>, StoreError> {
    Ok(vec![IngestOutcome::Accepted; batch.payloads().len()])
}

#[test]
fn a_batch_fills_while_others_are_under_way() {
    let mut batcher = Batcher::new(LIMITS);
    assert!(batcher.start().is_none(), "nothing waits");
    batcher.push(payload(1, 1, 1), 1).unwrap();
    let first = batcher.start().unwrap();
    assert_eq!(first.payloads().len(), 1, "nobody waits for company");
    batcher.push(payload(1, 1, 2), 2).unwrap();
    let second = batcher.start().unwrap();
    for seq in 3..13 {
        batcher
            .push(payload(1, 1, seq), seq.unsigned_abs())
            .unwrap();
    }
    assert!(batcher.start().is_none(), "both writers are busy");
    let outcome = accepted(&first);
    let answered = batcher.finish(first, outcome);
    assert_eq!(answered.len(), 1);
    let third = batcher.start().unwrap();
    assert_eq!(third.payloads().len(), LIMITS.n_payloads_max);
    assert_eq!(batcher.n_waiting(), 2);
    for batch in [second, third] {
        let outcome = accepted(&batch);
        batcher.finish(batch, outcome);
    }
    assert!(!batcher.is_idle());
}

#[test]
fn a_full_queue_refuses_and_keeps_what_it_has() {
    let mut batcher = Batcher::new(LIMITS);
    for seq in 1..=40 {
        assert_eq!(batcher.push(payload(1, 1, seq), seq), Ok(()));
    }
    assert_eq!(batcher.push(payload(1, 1, 41), 41), Err(Busy));
    assert_eq!(batcher.n_waiting(), 40);
}

#[test]
fn payloads_stand_by_tenant_and_agent_and_else_in_the_order_of_arrival() {
    let mut batcher = Batcher::new(LIMITS);
    let arrived = [(2, 1, 1), (1, 2, 1), (2, 1, 2), (1, 1, 5), (1, 2, 0)];
    for (ticket, (tenant, agent, seq)) in (0_u64..).zip(arrived) {
        batcher
            .push(payload(tenant, agent, seq + 1), ticket)
            .unwrap();
    }
    let batch = batcher.start().unwrap();
    let outcome = accepted(&batch);
    let answered = batcher.finish(batch, outcome);
    let tickets: Vec<u64> = answered.iter().map(|answered| answered.ticket).collect();
    assert_eq!(tickets, [3, 1, 4, 0, 2]);
}

#[test]
fn an_answer_for_other_payloads_is_none_for_ours() {
    let mut batcher = Batcher::new(LIMITS);
    batcher.push(payload(1, 1, 1), 1_u64).unwrap();
    let batch = batcher.start().unwrap();
    let answered = batcher.finish(batch, Ok(Vec::new()));
    assert_eq!(answered[0].outcome, Err(StoreError::Unavailable));
}

proptest! {
    /// Whatever the store refuses and whenever it is away: each payload is answered once, a refused
    /// one alone hears of it, and its neighbours are stored, once.
    #[test]
    fn every_payload_is_answered_once_and_refusals_take_nobody_along(
        poisoned in prop::collection::vec(prop::bool::weighted(0.1), 1..40),
        away in prop::collection::vec(prop::bool::weighted(0.05), 400),
        takes_second in prop::collection::vec(any::<bool>(), 400),
    ) {
        let mut batcher = Batcher::new(LIMITS);
        for (index, _) in poisoned.iter().enumerate() {
            let seq = i64::try_from(index).unwrap() + 1;
            batcher.push(payload(1, u8::try_from(index % 5).unwrap(), seq), index).unwrap();
        }
        let refusal = StoreError::Refused { constraint: "rule".into() };
        let mut answers = BTreeMap::new();
        let mut stored = BTreeMap::new();
        let mut under_way: Vec<Batch<usize>> = Vec::new();
        let (mut away, mut takes_second) = (away.into_iter(), takes_second.into_iter());
        let mut n_commits = 0;
        loop {
            under_way.extend(core::iter::from_fn(|| batcher.start()));
            prop_assert!(under_way.len() <= LIMITS.n_writers);
            if under_way.is_empty() {
                break;
            }
            let last = under_way.len() - 1;
            let batch = under_way.remove(if takes_second.next().unwrap_or(false) { last } else { 0 });
            n_commits += 1;
            let seqs = batch.payloads().iter().map(|payload| payload.position.seq());
            let indices: Vec<usize> = seqs.map(|seq| usize::try_from(seq).unwrap() - 1).collect();
            let outcome = if away.next().unwrap_or(false) {
                Err(StoreError::Unavailable)
            } else if indices.iter().any(|index| poisoned[*index]) {
                Err(refusal.clone())
            } else {
                for index in &indices {
                    *stored.entry(*index).or_insert(0) += 1;
                }
                Ok(vec![IngestOutcome::Accepted; indices.len()])
            };
            for Answered { ticket, outcome } in batcher.finish(batch, outcome) {
                prop_assert!(answers.insert(ticket, outcome).is_none(), "answered once");
            }
        }
        prop_assert!(batcher.is_idle());
        prop_assert_eq!(answers.len(), poisoned.len());
        for (index, outcome) in &answers {
            let expected_stores = usize::from(*outcome == Ok(IngestOutcome::Accepted));
            prop_assert_eq!(stored.get(index).copied().unwrap_or(0), expected_stores);
            prop_assert!(*outcome != Err(refusal.clone()) || poisoned[*index]);
            prop_assert!(*outcome != Ok(IngestOutcome::Accepted) || !poisoned[*index]);
        }
        prop_assert!(n_commits <= 2 * poisoned.len() + 5);
    }
}
