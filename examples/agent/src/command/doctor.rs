//! `doctor`: every condition of sending, checked without sending a payload, and what the agent can
//! see of this machine.
//!
//! In the ed25519 profile the signature is checked by asking to pin the key that is pinned already,
//! which the hub verifies and answers without a change (contract §3); in the hmac profile by a
//! request without data ([`crate::device_probe`]). A check that could not be made is told apart from
//! one that failed.

use monsys_core::time::{Span, Timestamp};
use monsys_wire::answer::AgentSelf;
use monsys_wire::pin::PinRequest;
use monsys_wire::{BearerToken, DeviceIdentity, DeviceKey, SigningKey};
use serde::Serialize;

use super::first_tick::measure;
use crate::clock::{Clock, HubClock};
use crate::collect::health;
use crate::collect::root::Root;
use crate::config::{Config, DataDir, Profile};
use crate::device_probe::DeviceProbe;
use crate::durable;
use crate::enrolment::{Credential, Enrolment};
use crate::error::{AgentError, Outcome};
use crate::key;
use crate::output::{self, Form};
use crate::rotation;
use crate::send::client::CallError;
use crate::spool::{SpoolLimits, inspect};

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
    /// What the agent can see of this machine; less than all is no fault.
    collectors: Vec<Sight>,
}

#[derive(Serialize)]
struct Sight {
    collector: String,
    state: &'static str,
    reason: Option<String>,
}

/// Makes all checks and shows them.
///
/// # Errors
/// None at present; what goes wrong is the result of a check.
pub fn run(data: &DataDir, root: &Root, form: Form) -> Result<Outcome, AgentError> {
    let enrolment = Enrolment::load(data);
    let mut checks = vec![check_key(data)];
    checks.push(from_result(
        "config",
        enrolment
            .as_ref()
            .map(|e| e.config().hub.as_str().to_owned())
            .map_err(AgentError::chain),
    ));
    checks.push(check_spool(data));
    match &enrolment {
        Ok(enrolment) => checks.extend(check_hub(enrolment)),
        Err(_) => checks.extend(AT_HUB.map(not_made)),
    }
    let worst = |state| checks.iter().any(|check| check.state == state);
    let outcome = match (worst(State::Failed), worst(State::Unknown)) {
        (true, _) => Outcome::Finding,
        (false, true) => Outcome::Unavailable,
        (false, false) => Outcome::Success,
    };
    let collectors = look(root, enrolment.as_ref().ok());
    let lines = checks.iter().map(line).chain(collectors.iter().map(seen));
    let lines: Vec<String> = lines.collect();
    output::show(
        form,
        &Report {
            ok: outcome == Outcome::Success,
            checks,
            collectors,
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
    if let Err(error) = written {
        return from_result("spool", Err(error));
    }
    let status = match inspect(&data.spool(), SpoolLimits::standard()) {
        Ok(status) => status,
        Err(error) => return from_result("spool", Err(AgentError::from(error).chain())),
    };
    let detail = format!(
        "writable, {} pending, {} of {} bytes, {} lost in its life",
        status.pending, status.bytes, status.bytes_max, status.dropped
    );
    let is_filling = status.bytes > status.bytes_max / 10 * 9;
    Check {
        check: "spool",
        state: if is_filling { State::Failed } else { State::Ok },
        detail,
    }
}

/// Measures once and tells how each collector fared.
fn look(root: &Root, enrolment: Option<&Enrolment>) -> Vec<Sight> {
    let backups = enrolment.map_or(&[][..], |enrolment| &enrolment.config().backups);
    let spool = health::ok("spool");
    let (_, measured) = measure(root, Clock::system(), backups, HubClock::unknown(), spool);
    // What becomes of the spool is a check of its own.
    let seen = measured
        .health()
        .iter()
        .filter(|entry| entry.collector.as_str() != "spool");
    seen.map(|entry| Sight {
        collector: entry.collector.as_str().to_owned(),
        state: entry.state.as_str(),
        reason: entry.reason.as_ref().map(ToString::to_string),
    })
    .collect()
}

fn seen(sight: &Sight) -> String {
    let reason = sight.reason.as_deref().unwrap_or_default();
    let line = format!("{:<12}{:<20}{reason}", sight.state, sight.collector);
    line.trim_end().to_owned()
}

/// Whether the key of the profile is there and private; without a configuration, a signing key.
fn check_key(data: &DataDir) -> Check {
    if rotation::is_unfinished(data) {
        return Check {
            check: "key",
            state: State::Failed,
            detail: "a change of keys was interrupted: expected rotate-key to be repeated"
                .to_owned(),
        };
    }
    match Config::load(&data.config()).map(|config| config.profile) {
        Ok(Profile::Hmac(_)) => from_result(
            "key",
            key::load_device(&data.device_key()).map(|_| "shared with the hub".to_owned()),
        ),
        Ok(Profile::Ed25519 { .. }) | Err(_) => from_result(
            "key",
            key::load(&data.key()).map(|key| key.verifying_key().to_string()),
        ),
    }
}

fn check_hub(enrolment: &Enrolment) -> [Check; 4] {
    match enrolment.credential() {
        Credential::Ed25519 { key, token } => check_as_agent(enrolment, key, token),
        Credential::Hmac { key, identity } => check_as_device(enrolment, key, identity),
    }
}

fn check_as_agent(enrolment: &Enrolment, key: &SigningKey, token: &BearerToken) -> [Check; 4] {
    let known = match enrolment.client().agents_self(token) {
        Ok(known) => known,
        Err(error) => return not_reached(error),
    };
    let signature = check_signature(enrolment, key, token, &known);
    [
        reached(),
        check_identity(enrolment, &known),
        check_clock(known.server_time),
        signature,
    ]
}

fn check_as_device(
    enrolment: &Enrolment,
    key: &DeviceKey,
    identity: &DeviceIdentity,
) -> [Check; 4] {
    let probe = DeviceProbe {
        client: enrolment.client(),
        audience: &enrolment.config().audience,
        identity,
        key,
    };
    match probe.ask() {
        Ok(server_time) => [
            reached(),
            Check {
                check: "identity",
                state: State::Ok,
                detail: identity.to_string(),
            },
            check_clock(server_time),
            Check {
                check: "signature",
                state: State::Ok,
                detail: "accepted".to_owned(),
            },
        ],
        Err(AgentError::Call(error)) => not_reached(error),
        Err(error) => {
            let [_, identity, clock, signature] = AT_HUB.map(not_made);
            let hub = Check {
                check: "hub",
                state: State::Unknown,
                detail: error.chain(),
            };
            [hub, identity, clock, signature]
        }
    }
}

fn reached() -> Check {
    Check {
        check: "hub",
        state: State::Ok,
        detail: "reached".to_owned(),
    }
}

fn not_reached(error: CallError) -> [Check; 4] {
    let state = match error {
        CallError::Denied { .. } => State::Failed,
        CallError::Unreachable(_) | CallError::Busy => State::Unknown,
    };
    let [_, identity, clock, signature] = AT_HUB.map(not_made);
    let hub = Check {
        check: "hub",
        state,
        detail: error.to_string(),
    };
    [hub, identity, clock, signature]
}

fn check_identity(enrolment: &Enrolment, known: &AgentSelf) -> Check {
    let config = enrolment.config();
    let own = config.profile.to_string();
    let is_same = own == known.agent_id.to_string() && config.audience == known.audience;
    let (state, detail) = if is_same {
        (State::Ok, own)
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

fn check_clock(server_time: Timestamp) -> Check {
    let offset = Clock::system().now().since(server_time);
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

fn check_signature(
    enrolment: &Enrolment,
    key: &SigningKey,
    token: &BearerToken,
    known: &AgentSelf,
) -> Check {
    let check = |state, detail: String| Check {
        check: "signature",
        state,
        detail,
    };
    match &known.pinned {
        None => return check(State::Failed, "no key is pinned: run init".to_owned()),
        Some(pinned) if *pinned != key.verifying_key() => {
            return check(State::Failed, AgentError::OtherKey.to_string());
        }
        Some(_) => {}
    }
    let request = PinRequest::compose(key, &known.audience, known.agent_id);
    match enrolment.client().pin(token, &request) {
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
    format!("{state:<12}{:<20}{}", check.check, check.detail)
}

/// What only a hub can tell.
const AT_HUB: [&str; 4] = ["hub", "identity", "clock", "signature"];
/// Beyond this a person should look; the hub's own threshold is none of the agent's business.
const OFFSET_WARNING: Span = Span::from_secs(60);
