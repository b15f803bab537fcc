//! `doctor`: every condition of sending, checked without sending a payload.
//!
//! The signature is checked by asking to pin the key that is pinned already, which the hub verifies
//! and answers without a change (contract §3). A check that could not be made is told apart from
//! one that failed.

use monsys_core::time::Span;
use monsys_wire::answer::AgentSelf;
use monsys_wire::pin::PinRequest;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::DataDir;
use crate::durable;
use crate::enrolment::Enrolment;
use crate::error::{AgentError, Outcome};
use crate::key;
use crate::output::{self, Form};
use crate::send::client::{CallError, HubClient};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Failed,
    Unknown,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    state: State,
    detail: String,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

/// Makes all checks and shows them.
///
/// # Errors
/// None at present; what goes wrong is the result of a check.
pub fn run(data: &DataDir, form: Form) -> Result<Outcome, AgentError> {
    let enrolment = Enrolment::load(data);
    let mut checks = vec![
        from_result(
            "key",
            key::load(&data.key()).map(|key| key.verifying_key().to_string()),
        ),
        from_result(
            "config",
            enrolment
                .as_ref()
                .map(|e| e.config().hub.as_str().to_owned())
                .map_err(AgentError::chain),
        ),
        check_spool(data),
    ];
    let client = enrolment
        .as_ref()
        .ok()
        .and_then(|enrolment| enrolment.client(data).ok());
    match (&enrolment, client) {
        (Ok(enrolment), Some(client)) => checks.extend(check_hub(enrolment, &client)),
        (_, _) => checks.extend(["hub", "identity", "clock", "signature"].map(not_made)),
    }
    let worst = |state| checks.iter().any(|check| check.state == state);
    let outcome = match (worst(State::Failed), worst(State::Unknown)) {
        (true, _) => Outcome::Finding,
        (false, true) => Outcome::Unavailable,
        (false, false) => Outcome::Success,
    };
    let lines: Vec<String> = checks.iter().map(line).collect();
    output::show(
        form,
        &Report {
            ok: outcome == Outcome::Success,
            checks,
        },
        &lines,
    );
    Ok(outcome)
}

fn check_spool(data: &DataDir) -> Check {
    let probe = data.spool().join("doctor");
    let written = durable::create_private_dir(&data.spool())
        .and_then(|()| durable::replace(&probe, b"probe\n"))
        .and_then(|()| std::fs::remove_file(&probe));
    from_result("spool", written.map(|()| "writable".to_owned()))
}

fn check_hub(enrolment: &Enrolment, client: &HubClient) -> [Check; 4] {
    let known = match client.agents_self() {
        Ok(known) => known,
        Err(error) => {
            let state = match error {
                CallError::Denied { .. } => State::Failed,
                CallError::Unreachable(_) | CallError::Busy => State::Unknown,
            };
            let hub = Check {
                check: "hub",
                state,
                detail: error.to_string(),
            };
            return [
                hub,
                not_made("identity"),
                not_made("clock"),
                not_made("signature"),
            ];
        }
    };
    let hub = Check {
        check: "hub",
        state: State::Ok,
        detail: "reached".to_owned(),
    };
    let signature = check_signature(enrolment, client, &known);
    [
        hub,
        check_identity(enrolment, &known),
        check_clock(&known),
        signature,
    ]
}

fn check_identity(enrolment: &Enrolment, known: &AgentSelf) -> Check {
    let config = enrolment.config();
    let is_same = config.agent_id == known.agent_id && config.audience == known.audience;
    let (state, detail) = if is_same {
        (State::Ok, config.agent_id.to_string())
    } else {
        (
            State::Failed,
            "the hub knows this token as another agent".to_owned(),
        )
    };
    Check {
        check: "identity",
        state,
        detail,
    }
}

fn check_clock(known: &AgentSelf) -> Check {
    let offset = Clock::system().now().since(known.server_time);
    let state = if offset.abs() < OFFSET_WARNING {
        State::Ok
    } else {
        State::Failed
    };
    let detail = format!("{} ms ahead of the hub", offset.millis());
    Check {
        check: "clock",
        state,
        detail,
    }
}

fn check_signature(enrolment: &Enrolment, client: &HubClient, known: &AgentSelf) -> Check {
    let check = |state, detail: String| Check {
        check: "signature",
        state,
        detail,
    };
    match &known.pinned {
        None => return check(State::Failed, "no key is pinned: run init".to_owned()),
        Some(pinned) if *pinned != enrolment.key().verifying_key() => {
            return check(State::Failed, AgentError::OtherKey.to_string());
        }
        Some(_) => {}
    }
    let request = PinRequest::compose(enrolment.key(), &known.audience, known.agent_id);
    match client.pin(&request) {
        Ok(()) => check(State::Ok, "accepted".to_owned()),
        Err(error @ CallError::Denied { .. }) => check(State::Failed, error.to_string()),
        Err(error) => check(State::Unknown, error.to_string()),
    }
}

fn from_result<E: ToString>(check: &'static str, result: Result<String, E>) -> Check {
    match result {
        Ok(detail) => Check {
            check,
            state: State::Ok,
            detail,
        },
        Err(error) => Check {
            check,
            state: State::Failed,
            detail: error.to_string(),
        },
    }
}

fn not_made(check: &'static str) -> Check {
    Check {
        check,
        state: State::Unknown,
        detail: "not checked".to_owned(),
    }
}

fn line(check: &Check) -> String {
    let state = match check.state {
        State::Ok => "ok",
        State::Failed => "FAILED",
        State::Unknown => "unknown",
    };
    format!("{state:8}{:10}{}", check.check, check.detail)
}

/// Beyond this a person should look; the hub's own threshold is none of the agent's business.
const OFFSET_WARNING: Span = Span::from_secs(60);
