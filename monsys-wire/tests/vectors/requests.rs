//! Requests of both profiles with what a hub makes of them: values, or a code and its place.

use monsys_core::signal::Signal;
use monsys_core::time::{Span, Timestamp};
use monsys_wire::envelope::hmac::{self, DeviceCredentials, NonceVerdict};
use monsys_wire::envelope::{Admitted, AuthProfile, BodyForm, Credentials, Received, Scratch};
use monsys_wire::header::{
    AUTHORIZATION, CONTENT_TYPE, DEVICE, MAC, NONCE, ORG, SIGNATURE, TIMESTAMP,
};
use monsys_wire::schema::Payload;
use monsys_wire::{Audience, Reject};
use serde_json::{Value, json};

use super::kit::device::Device;
use super::kit::{Agent, METRICS, Request};
use super::{cases, hex, text_of, unhex};

const SIGNALS: &str = r#"{"signals":[{"key":"backup.age_hours","observed_at":"2026-11-21T01:15:00Z","severity":"high","source":"backup_check","subject_type":"agent","value":{"value":30}}]}"#;
const SNAPSHOT: &str = r#"{"auth":[],"health":[],"listeners":[{"ip":"::","port":22,"process":null}],"persistence":[],"processes":[{"exe":null,"name":"sshd","pid":1,"username":"root"}]}"#;

/// Type, what is replaced in a good body by what, code, pointer.
type Change = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
);

/// Bodies that are refused although they are signed.
const REFUSED: [Change; 24] = [
    ("metrics", "hub-1", "hub-2", "wrong_audience", None),
    ("metrics", "03030303-", "03030304-", "wrong_agent", None),
    (
        "metrics",
        "\"aud\":\"hub-1\",",
        "",
        "missing_field",
        Some("/aud"),
    ),
    (
        "metrics",
        "\"epoch\":1",
        "\"epoch\":0",
        "out_of_range",
        Some("/epoch"),
    ),
    (
        "metrics",
        "\"seq\":17",
        "\"seq\":\"17\"",
        "wrong_type",
        Some("/seq"),
    ),
    ("metrics", "\"v\":1", "\"v\":2", "out_of_range", Some("/v")),
    (
        "metrics",
        "\"type\":\"metrics\"",
        "\"type\":\"metric\"",
        "out_of_range",
        Some("/type"),
    ),
    (
        "metrics",
        "\"v\":1",
        "\"v\":1,\"x\":1",
        "unknown_field",
        Some("/x"),
    ),
    (
        "metrics",
        "4.2}",
        "4.2,\"cmdline\":\"a\"}",
        "unknown_field",
        Some("/data/cmdline"),
    ),
    (
        "metrics",
        METRICS,
        "{}",
        "missing_field",
        Some("/data/cpu_usage_percent"),
    ),
    (
        "metrics",
        "4.2",
        "\"4.2\"",
        "wrong_type",
        Some("/data/cpu_usage_percent"),
    ),
    (
        "metrics",
        "4.2",
        "100.1",
        "out_of_range",
        Some("/data/cpu_usage_percent"),
    ),
    (
        "metrics",
        "2026-11-21T01:15:41.123456Z",
        "yesterday",
        "wrong_type",
        Some("/captured_at"),
    ),
    (
        "metrics",
        "0.1.0",
        "0.1\\u0000",
        "out_of_range",
        Some("/agent_version"),
    ),
    (
        "metrics",
        "4.2",
        "9007199254740992",
        "number_range",
        Some("/data/cpu_usage_percent"),
    ),
    (
        "metrics",
        "4.2",
        "4.2,\"cpu_usage_percent\":4.2",
        "duplicate_name",
        Some("/data/cpu_usage_percent"),
    ),
    (
        "metrics",
        "0.1.0",
        "\\udc00",
        "lone_surrogate",
        Some("/agent_version"),
    ),
    (
        "metrics",
        METRICS,
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "depth",
        None,
    ),
    ("metrics", "4.2", "4.2,", "syntax", None),
    (
        "agent_signals",
        SIGNALS,
        "{\"signals\":[]}",
        "out_of_range",
        Some("/data/signals"),
    ),
    (
        "agent_signals",
        "\"severity\":\"high\"",
        "\"severity\":\"bad\"",
        "invalid_signal",
        None,
    ),
    (
        "agent_signals",
        "\"value\":{\"value\":30}",
        "\"x\":0",
        "unknown_field",
        Some("/data/signals/0/x"),
    ),
    (
        "endpoint",
        "\"port\":22",
        "\"port\":0",
        "out_of_range",
        Some("/data/listeners/0/port"),
    ),
    (
        "endpoint",
        "\"exe\":null,",
        "",
        "missing_field",
        Some("/data/processes/0/exe"),
    ),
];

fn data_of(kind: &str) -> &'static str {
    match kind {
        "agent_signals" => SIGNALS,
        "endpoint" => SNAPSHOT,
        _ => METRICS,
    }
}

pub(crate) fn make() -> Value {
    let (agent, device) = (Agent::new(), Device::new());
    let mut cases = Vec::new();
    for kind in ["metrics", "agent_signals", "endpoint"] {
        let body = agent.body(kind, data_of(kind));
        let name = format!("a signed body of type {kind} is accepted");
        cases.push(accepted(&name, "ed25519", &agent.request(&body)));
    }
    let spaced = agent.body("metrics", r#"{ "cpu_usage_percent" : 42e-1 }"#);
    let name = "any spelling of a body has one signature and one content hash";
    cases.push(accepted(name, "ed25519", &agent.request(&spaced)));
    let unsigned = agent.good().with(SIGNATURE, None);
    let name = "without a pinned key no signature is needed";
    cases.push(accepted(name, "ed25519_unpinned", &unsigned));
    cases.push(accepted(
        "a body with a MAC is accepted",
        "hmac",
        &device.good(),
    ));
    for (kind, from, to, code, pointer) in REFUSED {
        let body = agent.body(kind, data_of(kind));
        assert!(body.contains(from), "{from}");
        let request = agent.request(&body.replace(from, to));
        let shown: String = to.chars().take(40).collect();
        let name = format!("{from} as {shown:?} is {code}");
        cases.push(refused(&name, "ed25519", &request, code, pointer, None));
    }
    cases.extend(refused_agents(&agent));
    cases.extend(refused_devices(&device));
    json!({
        "about": "requests as they arrive at the hub hub-1 at now; body is padded with spaces to body_bytes where that is given; form require takes canonical bodies only",
        "hub": {"aud": "hub-1"},
        "agents": {
            "ed25519": {"agent_id": agent.id.to_string(), "secret": "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "public_key": agent.key.verifying_key().to_string(), "token": agent.token.expose_text()},
            "ed25519_unpinned": "the same without a pinned key",
            "ed25519_revoked": "the same, revoked",
            "hmac": {"org": device.identity.org(), "device": device.identity.device(), "key": core::str::from_utf8(device.key.to_secret_hex().as_slice()).unwrap()},
            "hmac_unknown": "the hub knows no such device",
            "hmac_revoked": "the same device, revoked",
            "hmac_moved": "the same device, enrolled in the ed25519 profile since",
        },
        "cases": cases,
    })
}

fn refused_agents(agent: &Agent) -> Vec<Value> {
    let good = || agent.good();
    let all = "ed25519";
    let mut not_utf8 = good();
    not_utf8.body[20] = 0xff;
    let mut other = good();
    other.body = agent
        .body("metrics", r#"{"cpu_usage_percent":4.3}"#)
        .into_bytes();
    let mut twice = good();
    twice
        .headers
        .push((SIGNATURE, good().header(SIGNATURE).to_vec()));
    let beyond = malleable(good().header(SIGNATURE));
    let beyond = good().with(SIGNATURE, Some(&beyond));
    let short = good().with(AUTHORIZATION, Some(b"Bearer ms_short"));
    let mut large = refused(
        "a body of 524289 bytes is too large",
        all,
        &good(),
        "too_large",
        None,
        None,
    );
    large["body_bytes"] = 524_289.into();
    let spaced = agent.request(&agent.body("metrics", r#"{ "cpu_usage_percent":4.2}"#));
    let mut required = refused(
        "another spelling is refused where the canonical one is required",
        all,
        &spaced,
        "not_canonical",
        None,
        None,
    );
    required["form"] = "require".into();
    vec![
        refused(
            "a missing token is unauthorized",
            all,
            &good().with(AUTHORIZATION, None),
            "unauthorized",
            None,
            Some(AUTHORIZATION),
        ),
        refused(
            "a malformed token is unauthorized",
            all,
            &short,
            "unauthorized",
            None,
            Some(AUTHORIZATION),
        ),
        refused(
            "a pinned agent has to sign",
            all,
            &good().with(SIGNATURE, None),
            "unsigned_payload",
            None,
            Some(SIGNATURE),
        ),
        refused(
            "a malformed signature is bad",
            all,
            &good().with(SIGNATURE, Some(b"00")),
            "bad_signature",
            None,
            Some(SIGNATURE),
        ),
        refused(
            "a repeated signature is bad",
            all,
            &twice,
            "bad_signature",
            None,
            Some(SIGNATURE),
        ),
        refused(
            "a signature with S beyond the order is bad",
            all,
            &beyond,
            "bad_signature",
            None,
            Some(SIGNATURE),
        ),
        refused(
            "a signature of another body is bad",
            all,
            &other,
            "bad_signature",
            None,
            Some(SIGNATURE),
        ),
        refused(
            "a revoked agent is refused",
            "ed25519_revoked",
            &good(),
            "revoked",
            None,
            None,
        ),
        refused(
            "bytes that are not UTF-8 are refused",
            all,
            &not_utf8,
            "not_utf8",
            None,
            None,
        ),
        refused(
            "another content type is refused",
            all,
            &good().with(CONTENT_TYPE, Some(b"text/plain")),
            "unsupported_media_type",
            None,
            Some(CONTENT_TYPE),
        ),
        large,
        required,
    ]
}

/// The signature with S + L in the place of S, which lenient verifiers take for the same one.
fn malleable(signature: &[u8]) -> Vec<u8> {
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut bytes = unhex(core::str::from_utf8(signature).unwrap());
    let mut carry = 0;
    for (byte, add) in bytes.iter_mut().skip(32).zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        [*byte, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    hex(&bytes).into_bytes()
}

fn refused_devices(device: &Device) -> Vec<Value> {
    let good = || device.good();
    let mut found = Vec::new();
    for header in [ORG, DEVICE, TIMESTAMP, NONCE, MAC] {
        let name = format!("{header} is needed");
        found.push(refused(
            &name,
            "hmac",
            &good().with(header, None),
            "missing_header",
            None,
            Some(header),
        ));
        let name = format!("{header} has one form");
        found.push(refused(
            &name,
            "hmac",
            &good().with(header, Some(b"+")),
            "bad_header",
            None,
            Some(header),
        ));
    }
    let forged = good().with(MAC, Some(&[b'0'; 64]));
    found.push(refused(
        "a wrong MAC is unauthorized",
        "hmac",
        &forged,
        "unauthorized",
        None,
        None,
    ));
    found.push(refused(
        "an unknown device is unauthorized",
        "hmac_unknown",
        &good(),
        "unauthorized",
        None,
        None,
    ));
    found.push(refused(
        "a revoked device is refused",
        "hmac_revoked",
        &good(),
        "revoked",
        None,
        None,
    ));
    found.push(refused(
        "a device of another profile is refused",
        "hmac_moved",
        &good(),
        "wrong_profile",
        None,
        None,
    ));
    for (offset, code) in [
        (-301, Some("stale")),
        (-300, None),
        (300, None),
        (301, Some("stale")),
    ] {
        let name = format!("a hub whose clock is {offset} s ahead of the timestamp");
        let mut case = match code {
            Some(code) => refused(&name, "hmac", &good(), code, None, Some(TIMESTAMP)),
            None => accepted(&name, "hmac", &good()),
        };
        let now = device.now.saturating_add(Span::from_secs(offset));
        case["now"] = now.to_rfc3339().into();
        found.push(case);
    }
    found
}

fn request_of(name: &str, agent: &str, request: &Request) -> Value {
    let headers: Vec<Value> = request
        .headers
        .iter()
        .map(|(name, value)| json!([name, core::str::from_utf8(value).unwrap()]))
        .collect();
    let mut case = json!({
        "name": name,
        "agent": agent,
        "now": Device::new().now.to_rfc3339(),
        "headers": headers,
    });
    match core::str::from_utf8(&request.body) {
        Ok(text) => case["body"] = text.into(),
        Err(_) => case["body_hex"] = hex(&request.body).into(),
    }
    case
}

fn accepted(name: &str, agent: &str, request: &Request) -> Value {
    let mut case = request_of(name, agent, request);
    let admitted = admit(&case).unwrap();
    case["accepted"] = json!({
        "epoch": admitted.position.epoch(),
        "seq": admitted.position.seq(),
        "content_hash": hex(&admitted.content_hash.0),
    });
    case
}

fn refused(
    name: &str,
    agent: &str,
    request: &Request,
    code: &str,
    pointer: Option<&str>,
    header: Option<&str>,
) -> Value {
    let mut case = request_of(name, agent, request);
    case["refused"] = json!({"code": code});
    if let Some(pointer) = pointer {
        case["refused"]["pointer"] = pointer.into();
    }
    if let Some(header) = header {
        case["refused"]["header"] = header.into();
    }
    case
}

/// What this crate makes of a case, from the file alone but for keys.
fn admit(case: &Value) -> Result<Admitted, Reject> {
    let mut body = match case["body"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(text_of(case, "body_hex")),
    };
    if let Some(length) = case["body_bytes"].as_u64() {
        body.resize(usize::try_from(length).unwrap(), b' ');
    }
    let form = match text_of(case, "form") {
        "require" => BodyForm::Require,
        _ => BodyForm::Accept,
    };
    let now = Timestamp::parse_rfc3339(text_of(case, "now")).unwrap();
    let headers = case["headers"].as_array().unwrap().iter().map(|pair| {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        (name, value.as_bytes())
    });
    let hub = Audience::parse("hub-1").unwrap();
    let who = text_of(case, "agent");
    let mut scratch = Scratch::new();
    if let Some(state) = who.strip_prefix("hmac") {
        let device = Device::new();
        let profile = match state {
            "_moved" => AuthProfile::Ed25519,
            _ => AuthProfile::Hmac,
        };
        let mut known = DeviceCredentials::new(device.id, profile, &device.key);
        if state == "_revoked" {
            known = known.revoked();
        }
        let known = (state != "_unknown").then_some(&known);
        return hmac::Received::new(&body, headers)?
            .authenticate(known, form, &mut scratch)?
            .timely(now)?
            .fresh(NonceVerdict::Unused, &hub)?
            .admit();
    }
    let agent = Agent::new();
    let key = agent.key.verifying_key();
    let mut owner = Credentials::new(agent.id, AuthProfile::Ed25519);
    if who != "ed25519_unpinned" {
        owner = owner.with_pinned_key(&key);
    }
    if who == "ed25519_revoked" {
        owner = owner.revoked();
    }
    let admitted = Received::new(&body, headers)?
        .authenticate(&owner, form, &mut scratch)?
        .fresh(&hub)?
        .admit()?;
    judge_signals(&admitted, now)?;
    Ok(admitted)
}

/// The validator's part, after the hub has put the caller in the place of `subject_id`.
fn judge_signals(admitted: &Admitted, now: Timestamp) -> Result<(), Reject> {
    let Payload::Signals(drafts) = &admitted.payload else {
        return Ok(());
    };
    let mut drafts = drafts.clone();
    for draft in &mut drafts {
        draft.subject_id = admitted.agent_id.to_string();
    }
    let judged = Signal::validate_batch(&drafts, now);
    judged.map_err(|violations| Reject::InvalidSignal { violations })?;
    Ok(())
}

pub(crate) fn verify(file: &Value) {
    for case in cases(file) {
        let name = text_of(case, "name");
        match admit(case) {
            Ok(admitted) => {
                let expected = &case["accepted"];
                assert_eq!(expected["epoch"], admitted.position.epoch(), "{name}");
                assert_eq!(expected["seq"], admitted.position.seq(), "{name}");
                let hash = hex(&admitted.content_hash.0);
                assert_eq!(expected["content_hash"], hash, "{name}");
            }
            Err(reject) => {
                let expected = &case["refused"];
                assert_eq!(expected["code"], reject.code(), "{name}");
                if let Some(pointer) = expected["pointer"].as_str() {
                    assert_eq!(reject.pointer(), Some(pointer), "{name}");
                }
                assert_eq!(expected["header"].as_str(), reject.header(), "{name}");
            }
        }
    }
}
