//! A whole request of each profile, signed over whatever the bytes are.

use monsys_core::id::AgentId;
use monsys_core::json;
use monsys_wire::compose::OutgoingBody;
use monsys_wire::device::Nonce;
use monsys_wire::envelope::hmac::{self, DeviceCredentials, NonceVerdict};
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Received, Scratch};
use monsys_wire::header::{AUTHORIZATION, BearerToken, SIGNATURE, SignedHeaders};
use monsys_wire::sign::{Claim, Message};
use monsys_wire::{Admitted, Audience, Code, DeviceIdentity, DeviceKey, Reject, SigningKey};

use super::verdict;

/// A body that is admitted is admitted again in canonical form, with the same values; it can be
/// sent again later as the same content; and no other signature will do.
pub fn envelope_ed25519(bytes: &[u8]) {
    let mut buffer = json::Scratch::new();
    let signed = canonical(bytes, &mut buffer);
    let signature = agent_key().sign(&Message::ingest(signed)).to_string();
    let outcome = admit(bytes, signature.as_bytes(), BodyForm::Accept);
    if let Err(reject) = &outcome {
        verdict::is_fair(reject);
        assert_ne!(
            reject.kind(),
            Code::BadSignature,
            "what was signed verifies, whatever it is"
        );
    }
    let is_json = json::canonicalize(bytes, &mut json::Scratch::new()).is_ok();
    let other_body = agent_key().sign(&Message::ingest(b"another body"));
    let flipped = flip(signature.as_bytes(), bytes);
    for other in [other_body.to_string().into_bytes(), flipped] {
        let refused = admit(bytes, &other, BodyForm::Accept);
        let code = refused.map_err(|reject| reject.kind()).err();
        assert!(code.is_some(), "another signature");
        assert!(code == Some(Code::BadSignature) || !is_json);
    }
    if let Ok(admitted) = outcome {
        let canonical = admit(signed, signature.as_bytes(), BodyForm::Require);
        assert_eq!(canonical.as_ref(), Ok(&admitted));
        let retry = retry(signed, &admitted);
        let signature = retry.sign(&agent_key()).to_string();
        let retried = admit(retry.as_bytes(), signature.as_bytes(), BodyForm::Require);
        let content = retried.map(|retried| retried.content_hash);
        assert_eq!(content, Ok(admitted.content_hash), "sent_at is no content");
    }
}

/// The same laws for a device; and whatever the request says about itself, no other claim goes
/// with its MAC.
pub fn envelope_hmac(bytes: &[u8]) {
    let mut buffer = json::Scratch::new();
    let signed = canonical(bytes, &mut buffer);
    let identity = identity();
    let nonce = Nonce::from_random_bytes(seed_of(bytes).to_le_bytes());
    let claim = Claim::new(&identity, &nonce, verdict::now());
    let mac = device_key().mac(&claim, signed);
    let headers: Values = SignedHeaders::new(&claim, &mac)
        .iter()
        .map(|(name, value)| (name, value.as_bytes().to_vec()))
        .collect();
    let outcome = admit_device(bytes, &headers, BodyForm::Accept);
    if let Err(reject) = &outcome {
        verdict::is_fair(reject);
        assert_ne!(reject.kind(), Code::Unauthorized, "what was signed");
    }
    let is_json = json::canonicalize(bytes, &mut json::Scratch::new()).is_ok();
    for changed in changes(&headers, bytes) {
        let refused = admit_device(bytes, &changed, BodyForm::Accept);
        let code = refused.map_err(|reject| reject.kind()).err();
        let proves_nothing = matches!(code, Some(Code::Unauthorized | Code::BadHeader));
        assert!(
            proves_nothing || (!is_json && code.is_some()),
            "{changed:?}"
        );
    }
    let moved = admit_device(b"{\"another\":1}", &headers, BodyForm::Accept);
    assert_eq!(moved, Err(Reject::UnauthorizedDevice));
    if let Ok(admitted) = outcome {
        let canonical = admit_device(signed, &headers, BodyForm::Require);
        assert_eq!(canonical.as_ref(), Ok(&admitted));
    }
}

/// The canonical form of the bytes; themselves if they have none.
fn canonical<'s>(bytes: &'s [u8], buffer: &'s mut json::Scratch) -> &'s [u8] {
    json::canonicalize(bytes, buffer).map_or(bytes, |canonical| canonical.as_bytes())
}

fn retry(signed: &[u8], admitted: &Admitted) -> OutgoingBody {
    let restored = OutgoingBody::restore(signed);
    let retry = restored.and_then(|body| body.with_sent_at(admitted.captured_at));
    match retry {
        Ok(retry) => retry,
        Err(error) => panic!("an admitted body can be sent again: {error}"),
    }
}

/// Each header with one bit flipped, and with a byte that moved here from the next one.
fn changes(headers: &Values, bytes: &[u8]) -> Vec<Values> {
    let mut changed = Vec::new();
    for at in 0..headers.len() {
        let mut flipped = headers.clone();
        if let Some((_, value)) = flipped.get_mut(at) {
            *value = flip(value, bytes);
        }
        changed.push(flipped);
        let mut moved = headers.clone();
        let next = moved.get_mut(at + 1).map(|(_, value)| value.remove(0));
        if let (Some(byte), Some((_, value))) = (next, moved.get_mut(at)) {
            value.push(byte);
            changed.push(moved);
        }
    }
    changed
}

/// The value with one bit flipped, at a place that depends on the bytes.
fn flip(value: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut flipped = value.to_vec();
    let place = usize::try_from(seed_of(bytes) % 65_536).unwrap_or_default();
    let length = flipped.len().max(1);
    if let Some(byte) = flipped.get_mut(place / 8 % length) {
        *byte ^= 1 << (place % 8);
    }
    flipped
}

/// FNV-1a: another number for nearly every input, the same one each time.
fn seed_of(bytes: &[u8]) -> u128 {
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
    })
}

/// Sends `body` as the agent of the corpus to the hub of the corpus.
fn admit(body: &[u8], signature: &[u8], form: BodyForm) -> Result<Admitted, Reject> {
    let pinned = agent_key().verifying_key();
    let agent_id = AgentId::from_random_bytes([3; 16]);
    let owner = Credentials::new(agent_id, AuthProfile::Ed25519).with_pinned_key(&pinned);
    let authorization = BearerToken::from_random_bytes([9; 32]).to_header_value();
    let headers = [
        (AUTHORIZATION, authorization.as_bytes()),
        (SIGNATURE, signature),
    ];
    Received::new(body, headers)?
        .authenticate(&owner, form, &mut Scratch::new())?
        .fresh(&hub())?
        .admit()
}

/// Sends `body` as the device of the corpus to the hub of the corpus.
fn admit_device(body: &[u8], headers: &Values, form: BodyForm) -> Result<Admitted, Reject> {
    let key = device_key();
    let agent_id = AgentId::from_random_bytes([3; 16]);
    let device = DeviceCredentials::new(agent_id, AuthProfile::Hmac, &key);
    let pairs = headers.iter();
    let pairs = pairs.map(|(name, value)| (*name, value.as_slice()));
    hmac::Received::new(body, pairs)?
        .authenticate(Some(&device), form, &mut Scratch::new())?
        .timely(verdict::now())?
        .fresh(NonceVerdict::Unused, &hub())?
        .admit()
}

fn agent_key() -> SigningKey {
    SigningKey::from_secret_bytes([7; 32])
}

fn device_key() -> DeviceKey {
    DeviceKey::from_secret_bytes([0x2a; 32])
}

fn identity() -> DeviceIdentity {
    // The device of the hmac profile names itself as the agent of the other one does, so that one
    // corpus serves both.
    let device = AgentId::from_random_bytes([3; 16]).to_string();
    let Ok(identity) = DeviceIdentity::parse("acme", &device) else {
        panic!("acme and an agent id are words")
    };
    identity
}

fn hub() -> Audience {
    let Ok(hub) = Audience::parse("hub-1") else {
        panic!("hub-1 is an audience")
    };
    hub
}

/// Headers with their values, to be spoiled.
type Values = Vec<(&'static str, Vec<u8>)>;
