//! The data of each payload type, in a body that is otherwise good.

use monsys_core::id::AgentId;
use monsys_core::signal::Signal;
use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Received, Scratch};
use monsys_wire::header::{AUTHORIZATION, BearerToken};
use monsys_wire::schema::Payload;
use monsys_wire::{Admitted, Audience, Reject};

use super::verdict;

/// Data fits at most one type; what fits can be composed again from its values, and the hub reads
/// the same values from that; the validator of signals takes whatever the schema takes.
pub fn schemas(data: &[u8]) {
    let outcomes = KINDS.map(|kind| (kind, admit(&body(kind, data))));
    let n_fitting = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
    assert!(n_fitting.count() <= 1, "data fits one type at most");
    for (kind, outcome) in outcomes {
        match outcome {
            Ok(admitted) => {
                assert_eq!(word_of(&admitted.payload), kind);
                comes_back(&admitted);
                judge(&admitted);
            }
            Err(reject) => verdict::is_fair(&reject),
        }
    }
}

/// Composes what was admitted and admits it again, twice.
fn comes_back(admitted: &Admitted) {
    let first = recompose(admitted);
    let again = match admit(first.as_bytes()) {
        Ok(again) => again,
        Err(reject) => panic!("what was admitted is refused: {reject}"),
    };
    assert_eq!(again.payload, admitted.payload, "the same values");
    assert_eq!(again.position, admitted.position);
    let times = (again.captured_at, again.sent_at);
    assert_eq!(times, (admitted.captured_at, admitted.sent_at));
    assert_eq!(recompose(&again), first, "the same bytes");
}

fn recompose(admitted: &Admitted) -> OutgoingBody {
    let data = match &admitted.payload {
        Payload::Metrics(sample) => Outbound::Metrics(sample),
        Payload::Signals(drafts) => Outbound::Signals(drafts),
        Payload::Endpoint(snapshot) => Outbound::Endpoint(snapshot),
        other => panic!("a type without a way back: {other:?}"),
    };
    let composed = OutgoingBody::compose(&OutgoingPayload {
        audience: &hub(),
        agent_id: admitted.agent_id,
        agent_version: &admitted.agent_version,
        position: admitted.position,
        captured_at: admitted.captured_at,
        sent_at: admitted.sent_at,
        data,
    });
    match composed {
        Ok(body) => body,
        Err(error) => panic!("what was admitted cannot be composed: {error}"),
    }
}

/// The validator answers with one signal for each draft, or with broken rules.
fn judge(admitted: &Admitted) {
    let Payload::Signals(drafts) = &admitted.payload else {
        return;
    };
    let mut drafts = drafts.clone();
    for draft in &mut drafts {
        draft.subject_id = admitted.agent_id.to_string();
    }
    match Signal::validate_batch(&drafts, verdict::now()) {
        Ok(signals) => assert_eq!(signals.len(), drafts.len()),
        Err(violations) => {
            assert!(!violations.is_empty());
            assert!(violations.shown().len() <= violations.total());
            let shown = violations.shown().iter();
            let mut places = shown.map(|violation| violation.index);
            assert!(places.all(|index| index < drafts.len()));
            verdict::is_fair(&Reject::InvalidSignal { violations });
        }
    }
}

fn word_of(payload: &Payload) -> &'static str {
    match payload {
        Payload::Metrics(_) => "metrics",
        Payload::Signals(_) => "agent_signals",
        Payload::Endpoint(_) => "endpoint",
        _ => "another type",
    }
}

fn body(kind: &str, data: &[u8]) -> Vec<u8> {
    let before = concat!(
        r#"{"agent_id":"03030303-0303-4303-8303-030303030303","agent_version":"0.1.0","#,
        r#""aud":"hub-1","captured_at":"2026-11-21T01:15:41.123456Z","data":"#
    );
    let after = format!(
        r#","epoch":1,"sent_at":"2026-11-21T01:15:41.3Z","seq":17,"type":"{kind}","v":1}}"#
    );
    [before.as_bytes(), data, after.as_bytes()].concat()
}

/// Sends a body as an agent that has no pinned key, so that no time goes into signatures.
fn admit(body: &[u8]) -> Result<Admitted, Reject> {
    let agent_id = AgentId::from_random_bytes([3; 16]);
    let owner = Credentials::new(agent_id, AuthProfile::Ed25519);
    let authorization = BearerToken::from_random_bytes([9; 32]).to_header_value();
    let headers = [(AUTHORIZATION, authorization.as_bytes())];
    Received::new(body, headers)?
        .authenticate(&owner, BodyForm::Accept, &mut Scratch::new())?
        .fresh(&hub())?
        .admit()
}

fn hub() -> Audience {
    let Ok(hub) = Audience::parse("hub-1") else {
        panic!("hub-1 is an audience")
    };
    hub
}

const KINDS: [&str; 3] = ["metrics", "agent_signals", "endpoint"];
