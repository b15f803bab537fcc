//! Laws of signatures, MACs and refusals, for any input.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::device::{Device, HEADERS};
use kit::{Agent, Request};
use monsys_core::signal::Signal;
use monsys_core::time::Timestamp;
use monsys_wire::answer::problem_json;
use monsys_wire::device::Nonce;
use monsys_wire::envelope::{AuthProfile, Credentials, Received, hmac};
use monsys_wire::header::{AUTHORIZATION, BearerToken, SIGNATURE};
use monsys_wire::schema::Payload;
use monsys_wire::sign::{Claim, Message, Signature};
use monsys_wire::{Admitted, DeviceIdentity, DeviceKey, Reject, SigningKey, canonical};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

/// A word that every grammar of the wire takes, so that it gets as far as any input does.
const MARKER: &str = "Zq7marker9Kw8secret";

/// Type and good data of each.
const KINDS: [(&str, &str); 3] = [
    (
        "metrics",
        r#"{"cpu_usage_percent":4.2,"disks":[{"mount":"/","total_bytes":2,"used_bytes":1}],"load1":0.5}"#,
    ),
    (
        "agent_signals",
        r#"{"signals":[{"key":"backup.age_hours","observed_at":"2026-11-21T01:15:00Z","severity":"high","source":"backup_check","subject_type":"agent","ttl_seconds":60,"value":{"value":{"a":[30]}}}]}"#,
    ),
    (
        "endpoint",
        r#"{"auth":[{"count":1,"outcome":"failure","service":"sshd"}],"health":[{"collector":"auth","reason":null,"state":"ok"}],"listeners":[{"ip":"::","port":22,"process":null}],"persistence":[{"kind":"unit","path":"/a"}],"processes":[{"exe":null,"name":"sshd","pid":1,"username":"root"}]}"#,
    ),
];

/// Organisation, device, seconds, nonce: what a MAC says about its request.
type Words = (String, String, i64, String);

fn words() -> impl Strategy<Value = Words> {
    let word = "[A-Za-z0-9._-]{1,64}";
    let nonce = "[A-Za-z0-9_-]{16,64}";
    (word, word, 0_i64..253_402_300_800, nonce)
}

proptest! {
    #[test]
    fn a_signature_verifies_for_its_message_and_key_and_for_no_other(
        secret in any::<[u8; 32]>(),
        body in vec(any::<u8>(), 0..200),
        at in any::<Index>(),
        bit in 0_u32..8,
    ) {
        let key = SigningKey::from_secret_bytes(secret);
        let public = key.verifying_key();
        let (message, signature) = (Message::ingest(&body), key.sign(&Message::ingest(&body)));
        prop_assert!(public.verify(&message, &signature).is_ok());
        let mut flipped = signature.to_bytes();
        flipped[at.index(64)] ^= 1_u8 << bit;
        prop_assert!(public.verify(&message, &Signature::from_bytes(flipped)).is_err());
        let longer = Message::ingest(&[&body[..], b"\n"].concat());
        prop_assert!(public.verify(&longer, &signature).is_err());
        let mut other = secret;
        other[at.index(32)] ^= 1_u8 << bit;
        let other = SigningKey::from_secret_bytes(other).verifying_key();
        prop_assert!(other.verify(&message, &signature).is_err());
    }

    #[test]
    fn a_mac_verifies_for_its_claim_body_and_key_and_for_no_other(
        secret in any::<[u8; 32]>(),
        (org, name, seconds, nonce) in words(),
        (other_org, other_name, other_seconds, other_nonce) in words(),
        body in vec(any::<u8>(), 0..200),
        at in any::<Index>(),
        bit in 0_u32..8,
    ) {
        let key = DeviceKey::from_secret_bytes(secret);
        let verify = |org: &str, name: &str, seconds: i64, nonce: &str, body: &[u8], mac| {
            with_claim(org, name, seconds, nonce, |claim| key.verify(claim, body, mac).is_ok())
        };
        let mac = with_claim(&org, &name, seconds, &nonce, |claim| key.mac(claim, &body));
        prop_assert!(verify(&org, &name, seconds, &nonce, &body, &mac));
        prop_assert!(other_org == org || !verify(&other_org, &name, seconds, &nonce, &body, &mac));
        prop_assert!(other_name == name || !verify(&org, &other_name, seconds, &nonce, &body, &mac));
        prop_assert!(
            other_seconds == seconds || !verify(&org, &name, other_seconds, &nonce, &body, &mac)
        );
        prop_assert!(
            other_nonce == nonce || !verify(&org, &name, seconds, &other_nonce, &body, &mac)
        );
        prop_assert!(!verify(&org, &name, seconds, &nonce, &[&body[..], b"\n"].concat(), &mac));
        let mut other = secret;
        other[at.index(32)] ^= 1_u8 << bit;
        let other = DeviceKey::from_secret_bytes(other);
        let accepts =
            with_claim(&org, &name, seconds, &nonce, |claim| other.verify(claim, &body, &mac));
        prop_assert!(accepts.is_err());
    }

    #[test]
    fn any_byte_moved_from_anywhere_to_anywhere_in_a_request_is_refused(
        from in 0_usize..6,
        to in 0_usize..6,
        take in any::<Index>(),
        put in any::<Index>(),
    ) {
        let device = Device::new();
        let moved = move_byte(device.good(), &HEADERS, (from, take), (to, put));
        if moved.body != device.good().body || !same_headers(&moved, &device.good()) {
            prop_assert!(device.send(&moved).is_err(), "{from} to {to}");
        }
        let agent = Agent::new();
        let names = [AUTHORIZATION, SIGNATURE];
        let moved = move_byte(agent.good(), &names, (from % 3, take), (to % 3, put));
        if moved.body != agent.good().body || !same_headers(&moved, &agent.good()) {
            let refused = match agent.send(&moved) {
                Err(_) => true,
                // The token was altered within its form: no hub knows its digest.
                Ok(_) => token_of(&moved).is_some_and(|token| token.digest() != agent.token.digest()),
            };
            prop_assert!(refused, "{from} to {to}");
        }
    }

    #[test]
    fn a_flipped_bit_of_a_token_is_no_token_or_another(at in any::<Index>(), bit in 0_u32..8) {
        let agent = Agent::new();
        let mut value = agent.good().header(AUTHORIZATION).to_vec();
        let at = "Bearer ".len() + at.index(value.len() - "Bearer ".len());
        value[at] ^= 1_u8 << bit;
        let request = agent.good().with(AUTHORIZATION, Some(&value));
        let known = token_of(&request).map(|token| token.digest());
        prop_assert_ne!(known, Some(agent.token.digest()));
    }

    #[test]
    fn what_a_header_holds_is_never_repeated(which in 0_usize..5, at in any::<Index>()) {
        let device = Device::new();
        let request = with_marker(device.good(), HEADERS[which], at);
        refused_in_silence(device.send(&request))?;
        let agent = Agent::new();
        let name = [AUTHORIZATION, SIGNATURE][which % 2];
        let request = with_marker(agent.good(), name, at);
        refused_in_silence(agent.send(&request))?;
    }

    #[test]
    fn what_a_body_holds_is_never_repeated_but_for_names_in_pointers(
        kind in 0_usize..3,
        at in any::<Index>(),
        is_text in any::<bool>(),
    ) {
        let (agent, device) = (Agent::new(), Device::new());
        let (word, data) = KINDS[kind];
        let body = agent.body(word, data);
        let marker = if is_text { format!("\"{MARKER}\"") } else { MARKER.to_owned() };
        let mut spoiled = body;
        spoiled.insert_str(at.index(spoiled.len() + 1), &marker);
        for refusal in [agent.send(&agent.request(&spoiled)), device.send(&device.request(&spoiled))] {
            let Err(reject) = refusal.and_then(|admitted| judged(&admitted)) else {
                continue;
            };
            let pointer = reject.pointer().unwrap_or_default();
            let mut problem: Value = serde_json::from_str(&problem_json(&reject, now())).unwrap();
            problem.as_object_mut().unwrap().remove("pointer");
            prop_assert!(!problem.to_string().contains(MARKER), "{}", problem);
            prop_assert!(!reject.to_string().contains(MARKER));
            prop_assert!(pointer.len() <= monsys_core::json::POINTER_BYTES_MAX);
        }
    }
}

#[test]
fn no_value_of_a_body_is_repeated() {
    let agent = Agent::new();
    let mut n_refused = 0;
    for (word, data) in KINDS {
        let body: Value = serde_json::from_str(&agent.body(word, data)).unwrap();
        let mut places = Vec::new();
        collect_leaves(&body, String::new(), &mut places);
        assert!(places.len() > 10);
        for place in places {
            for value in [Value::from(MARKER), serde_json::json!([{"a": MARKER}])] {
                let mut spoiled = body.clone();
                *spoiled.pointer_mut(&place).unwrap() = value;
                let request = agent.request(&spoiled.to_string());
                let outcome = agent.send(&request).and_then(|admitted| judged(&admitted));
                n_refused += usize::from(outcome.is_err());
                silent(&outcome);
            }
        }
    }
    assert!(n_refused > 60, "{n_refused}");
}

#[test]
fn nothing_that_knows_a_secret_prints_it() {
    let (agent, device) = (Agent::new(), Device::new());
    let (good, from_device) = (agent.good(), device.good());
    let pairs = |request: &Request| -> Vec<(&'static str, Vec<u8>)> { request.headers.clone() };
    let (agent_pairs, device_pairs) = (pairs(&good), pairs(&from_device));
    let received = Received::new(
        &good.body,
        agent_pairs
            .iter()
            .map(|(name, value)| (*name, value.as_slice())),
    );
    let from_device = hmac::Received::new(
        &from_device.body,
        device_pairs
            .iter()
            .map(|(name, value)| (*name, value.as_slice())),
    );
    let public = agent.key.verifying_key();
    let owner = Credentials::new(agent.id, AuthProfile::Ed25519).with_pinned_key(&public);
    let of_device = hmac::DeviceCredentials::new(device.id, AuthProfile::Hmac, &device.key);
    let printed = format!(
        "{received:?} {from_device:?} {owner:?} {of_device:?} {:?} {:?} {:?}",
        agent.key, agent.token, device.key
    );
    let hex = |digits: &[u8]| String::from_utf8(digits.to_vec()).unwrap();
    let secrets = [
        agent.token.expose_text().to_owned(),
        hex(agent.key.to_secret_hex().as_slice()),
        hex(device.key.to_secret_hex().as_slice()),
        format!("{:?}", device.key.expose_bytes().as_slice()),
    ];
    for secret in secrets {
        assert!(!printed.contains(&secret));
    }
}

#[test]
fn what_is_canonical_is_signed_as_it_is() {
    let agent = Agent::new();
    for (word, data) in KINDS {
        let body = agent.body(word, data);
        assert_eq!(canonical::check(body.as_bytes()).unwrap().as_str(), body);
        let mut scratch = canonical::Scratch::new();
        let made = canonical::canonicalize(body.as_bytes(), &mut scratch).unwrap();
        assert_eq!(made.as_str(), body);
        let signature = agent.key.sign(&Message::ingest(body.as_bytes()));
        let header = agent.request(&body).header(SIGNATURE).to_vec();
        assert_eq!(signature.to_string().as_bytes(), header);
    }
}

fn with_claim<T>(
    org: &str,
    name: &str,
    seconds: i64,
    nonce: &str,
    use_claim: impl FnOnce(&Claim<'_>) -> T,
) -> T {
    let identity = DeviceIdentity::parse(org, name).unwrap();
    let nonce = Nonce::parse(nonce).unwrap();
    let when = Timestamp::from_unix_micros(seconds * 1_000_000).unwrap();
    use_claim(&Claim::new(&identity, &nonce, when))
}

/// The request with one byte taken from one part and put into another; the body is the last part.
fn move_byte(
    mut request: Request,
    names: &[&'static str],
    (from, take): (usize, Index),
    (to, put): (usize, Index),
) -> Request {
    let source = part(&mut request, names, from);
    let byte = source.remove(take.index(source.len()));
    let target = part(&mut request, names, to);
    target.insert(put.index(target.len() + 1), byte);
    request
}

fn part<'r>(request: &'r mut Request, names: &[&'static str], which: usize) -> &'r mut Vec<u8> {
    let Some(name) = names.get(which) else {
        return &mut request.body;
    };
    let mut headers = request.headers.iter_mut();
    &mut headers.find(|(known, _)| known == name).unwrap().1
}

fn same_headers(one: &Request, other: &Request) -> bool {
    one.headers == other.headers
}

fn token_of(request: &Request) -> Option<BearerToken> {
    BearerToken::parse(request.header(AUTHORIZATION).strip_prefix(b"Bearer ")?)
}

fn with_marker(request: Request, name: &'static str, at: Index) -> Request {
    let mut value = request.header(name).to_vec();
    let at = at.index(value.len() + 1);
    value.splice(at..at, MARKER.bytes());
    request.with(name, Some(&value))
}

fn refused_in_silence(outcome: Result<Admitted, Reject>) -> Result<(), TestCaseError> {
    let outcome = outcome.map(|_| ());
    prop_assert!(outcome.is_err());
    silent(&outcome);
    Ok(())
}

/// Neither the answer nor what a hub logs of a refusal holds the marker.
fn silent(outcome: &Result<(), Reject>) {
    if let Err(reject) = outcome {
        for text in [
            problem_json(reject, now()),
            reject.to_string(),
            format!("{reject:?}"),
        ] {
            assert!(!text.contains(MARKER), "{text}");
        }
    }
}

/// What the validator of signals says, after the hub has put the caller into `subject_id`.
fn judged(admitted: &Admitted) -> Result<(), Reject> {
    let Payload::Signals(drafts) = &admitted.payload else {
        return Ok(());
    };
    let mut drafts = drafts.clone();
    for draft in &mut drafts {
        draft.subject_id = admitted.agent_id.to_string();
    }
    let judged = Signal::validate_batch(&drafts, now());
    judged.map_err(|violations| Reject::InvalidSignal { violations })?;
    Ok(())
}

fn collect_leaves(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect_leaves(member, format!("{place}/{name}"), places);
            }
        }
        Value::Array(elements) => {
            for (n, element) in elements.iter().enumerate() {
                collect_leaves(element, format!("{place}/{n}"), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => places.push(place),
    }
}

fn now() -> Timestamp {
    Device::new().now
}
