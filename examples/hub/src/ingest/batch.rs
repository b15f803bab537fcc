//! What both profiles have in common, once a payload is known to come from whom it claims.

use std::time::Instant;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::position::Position;
use monsys_core::signal::{Rule, Violation, Violations};
use monsys_core::store::{IngestBatch, IngestOutcome, Payload, SignatureStatus, VersionSeen};
use monsys_core::time::Timestamp;
use monsys_integrity::detect::{agent_cloned, sequence_regress, unsigned_payload};
use monsys_integrity::{finding_signal, version};
use monsys_wire::answer::Acknowledgement;
use monsys_wire::schema::CleanedTexts;
use monsys_wire::{Admitted, Reject, schema};

use crate::app::App;

/// Who sent a payload, as the store knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) tenant: TenantId,
    pub(super) agent: AgentId,
}

/// A payload that can be stored.
pub(super) struct Ready {
    batch: IngestBatch,
    cleaned: CleanedTexts,
}

/// Checks what is left of the schema, then the limit of the organisation; what passes both can be
/// stored.
pub(super) fn build(
    app: &App,
    admitted: Admitted,
    sender: Sender,
    received_at: Timestamp,
) -> Result<Ready, Reject> {
    let cleaned = admitted.cleaned;
    let payload = match admitted.payload {
        schema::Payload::Metrics(sample) => Payload::Metrics(sample),
        schema::Payload::Signals(drafts) => {
            let admitted = monsys_signals::agent::admit(drafts, sender.agent, received_at);
            Payload::Signals(admitted.map_err(|violations| Reject::InvalidSignal { violations })?)
        }
        schema::Payload::Endpoint(snapshot) => Payload::Endpoint(snapshot),
        _ => return Err(Reject::WrongProfile),
    };
    app.org_limit.take(sender.tenant, Instant::now())?;
    let is_unpinned = admitted.signature == SignatureStatus::Unpinned;
    let finding = is_unpinned.then(|| {
        let finding = unsigned_payload::no_pinned_key();
        let signal = finding_signal(sender.agent, &finding, received_at);
        (finding, signal)
    });
    let triple = version::triple(admitted.agent_version.as_str());
    let batch = IngestBatch {
        tenant: sender.tenant,
        agent: sender.agent,
        received_at,
        captured_at: admitted.captured_at,
        sent_at: admitted.sent_at,
        nonce: admitted.nonce,
        position: admitted.position,
        content: admitted.content_hash,
        signature: admitted.signature,
        version: VersionSeen {
            text: admitted.agent_version,
            triple,
        },
        payload,
        finding,
    };
    Ok(Ready { batch, cleaned })
}

/// Stores a payload, unless its nonce or position says no, and records what a refused position
/// reveals.
pub(super) async fn commit(app: &App, ready: Ready) -> Result<IngestOutcome, Reject> {
    let Ready { batch, cleaned } = ready;
    let sent = Sent::of(&batch);
    let outcome = app.group.commit(batch).await;
    let outcome = outcome.map_err(|error| app.store_reject(&error))?;
    if outcome == IngestOutcome::Accepted {
        app.telemetry.count_cleaned(&cleaned);
    }
    heed_position(app, sent, outcome).await;
    Ok(outcome)
}

/// What of a payload is needed once its position was decided.
#[derive(Debug, Clone, Copy)]
struct Sent {
    tenant: TenantId,
    agent: AgentId,
    position: Position,
    sent_at: Timestamp,
    received_at: Timestamp,
}

impl Sent {
    const fn of(batch: &IngestBatch) -> Self {
        Self {
            tenant: batch.tenant,
            agent: batch.agent,
            position: batch.position,
            sent_at: batch.sent_at,
            received_at: batch.received_at,
        }
    }
}

async fn heed_position(app: &App, sent: Sent, outcome: IngestOutcome) {
    let rules = &app.config.integrity;
    let is_replay = outcome == IngestOutcome::Replay;
    if is_replay && rules.is_on(AnomalyKind::SequenceRegress) {
        let finding = sequence_regress::finding(sent.position);
        app.record_found(sent.tenant, sent.agent, finding).await;
    }
    if !rules.is_on(AnomalyKind::AgentCloned) {
        return;
    }
    if outcome == IngestOutcome::Accepted {
        app.clones.accepted(sent.agent);
        return;
    }
    let is_refused = is_replay || matches!(outcome, IngestOutcome::StaleEpoch { .. });
    if !is_refused || !agent_cloned::is_fresh(rules, sent.sent_at, sent.received_at) {
        return;
    }
    let found = app.clones.refused(sent.agent, rules, sent.received_at);
    if let Some(finding) = found {
        app.record_found(sent.tenant, sent.agent, finding).await;
    }
}

/// Tells the sender what became of its payload.
pub(super) fn acknowledge(outcome: IngestOutcome) -> Result<Acknowledgement, Reject> {
    match outcome {
        IngestOutcome::Accepted => Ok(Acknowledgement::Accepted),
        IngestOutcome::Duplicate => Ok(Acknowledgement::Duplicate),
        IngestOutcome::NonceUsed | IngestOutcome::Replay | IngestOutcome::GivenUp => {
            Err(Reject::Replay)
        }
        IngestOutcome::NoncesFull { retry_after_s } => {
            Err(Reject::ReplayCapacity { retry_after_s })
        }
        IngestOutcome::StaleEpoch { min_epoch } => Err(Reject::StaleEpoch { min_epoch }),
        IngestOutcome::TooManyKeys { index } => {
            let mut violations = Violations::default();
            violations.push(Violation {
                index,
                rule: Rule::LiveKeys,
            });
            Err(Reject::InvalidSignal { violations })
        }
        IngestOutcome::OutOfRange => Err(Reject::OutOfRange {
            pointer: "/epoch".into(),
            expected: "an epoch that follows the current one",
        }),
        _ => Err(Reject::StoreUnavailable { retry_after_s: 5 }),
    }
}
