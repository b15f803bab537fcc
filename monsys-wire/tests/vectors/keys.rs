//! Keys that may be pinned, keys that may not, and what keys make of messages.

use monsys_wire::sign::Message;
use monsys_wire::{SigningKey, VerifyingKey};
use serde_json::{Value, json};

use super::kit::Agent;
use super::kit::device::Device;
use super::{cases, hex, text_of, unhex};

/// Name, public key.
const REFUSED: [(&str, &str); 9] = [
    (
        "the neutral element",
        "0100000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "a point of order 2",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ),
    (
        "a point of order 4",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "a point of order 8",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ),
    (
        "another point of order 8",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ),
    (
        "a coordinate that is not reduced",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ),
    (
        "a sign that is not needed",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ),
    (
        "no point of the curve",
        "0200000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "capital digits",
        "D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A",
    ),
];

pub(crate) fn make() -> Value {
    let agent = Agent::new();
    let device = Device::new();
    let public = agent.key.verifying_key();
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let signed = [
        (
            "a body is signed after the line that says what for",
            Message::ingest(b"{}"),
        ),
        (
            "a pin names hub, agent and key",
            Message::pin(&agent.hub, agent.id, &public),
        ),
        (
            "a rotation names the old and the new key",
            Message::rotate(&agent.hub, agent.id, &public, &public),
        ),
    ]
    .map(|(name, message)| {
        json!({
            "name": name,
            "secret": secret,
            "public_key": public.to_string(),
            "message_hex": hex(message.as_bytes()),
            "signature": agent.key.sign(&message).to_string(),
        })
    });
    let claim = device.claim();
    let mac = json!({
        "name": "a MAC covers organisation, device, timestamp, nonce and body",
        "device_key": core::str::from_utf8(device.key.to_secret_hex().as_slice()).unwrap(),
        "message": format!(
            "em1\n{}\n{}\n{}\n{}\n{{}}",
            claim.org(), claim.device(), claim.unix_s(), claim.nonce()
        ),
        "mac": device.key.mac(&claim, b"{}").to_string(),
    });
    let refused = REFUSED
        .iter()
        .map(|(name, key)| json!({"name": name, "public_key": key, "refused": true}));
    json!({
        "about": "public keys that are refused when pinned; signatures by secret over message_hex; HMAC-SHA256 by device_key over message",
        "cases": signed.into_iter().chain([mac]).chain(refused).collect::<Vec<_>>(),
    })
}

pub(crate) fn verify(file: &Value) {
    for case in cases(file) {
        let name = text_of(case, "name");
        if case["refused"] == true {
            let key = VerifyingKey::parse_hex(text_of(case, "public_key"));
            assert!(key.is_err(), "{name}");
        } else if case["mac"].is_string() {
            let key = unhex(text_of(case, "device_key"));
            assert_eq!(key, Device::new().key.expose_bytes().as_slice(), "{name}");
            let mac = Device::new().key.mac(&Device::new().claim(), b"{}");
            assert_eq!(mac.to_string(), text_of(case, "mac"), "{name}");
        } else {
            let key = SigningKey::parse_secret_hex(text_of(case, "secret")).unwrap();
            let public = key.verifying_key();
            assert_eq!(public.to_string(), text_of(case, "public_key"), "{name}");
            let message = unhex(text_of(case, "message_hex"));
            let body = message.strip_prefix(b"monsys-ingest-v1\n");
            if let Some(body) = body {
                let signature = key.sign(&Message::ingest(body)).to_string();
                assert_eq!(signature, text_of(case, "signature"), "{name}");
            }
        }
    }
}
