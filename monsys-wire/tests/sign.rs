//! Keys, tokens and the messages that are signed.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::Agent;
use monsys_wire::pin::PinRequest;
use monsys_wire::rotate::RotateRequest;
use monsys_wire::sign::{KeyError, Message};
use monsys_wire::{Audience, BearerToken, SigningKey, VerifyingKey};

const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const OTHER: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

fn point(hex: &str) -> [u8; 32] {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    std::array::from_fn(|byte| digit(2 * byte))
}

#[test]
fn keys_of_small_order_are_refused() {
    let weak = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for key in weak {
        assert_eq!(VerifyingKey::parse_hex(key), Err(KeyError::Weak), "{key}");
    }
}

#[test]
fn keys_in_another_encoding_are_refused() {
    let not_canonical = [
        // y = p, p + 1: the points of y = 0 and 1.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        // x = 0 with the sign bit.
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    for key in not_canonical {
        let error = VerifyingKey::parse_hex(key).unwrap_err();
        assert!(
            matches!(error, KeyError::NotCanonical | KeyError::NotAPoint),
            "{key}: {error}"
        );
    }
    assert_eq!(
        VerifyingKey::parse_hex(&format!("02{}", "0".repeat(62))),
        Err(KeyError::NotAPoint)
    );
}

#[test]
fn keys_outside_of_the_prime_order_subgroup_are_refused() {
    let edwards = |hex: &str| {
        ed25519_dalek::VerifyingKey::from_bytes(&point(hex))
            .unwrap()
            .to_edwards()
    };
    let torsion = [
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ];
    for small in torsion {
        let mixed = (edwards(PUBLIC) + edwards(small)).compress().to_bytes();
        assert_eq!(
            VerifyingKey::from_bytes(&mixed),
            Err(KeyError::Torsioned),
            "{small}"
        );
    }
}

#[test]
fn keys_are_64_lower_case_digits() {
    for text in [
        "",
        &PUBLIC[1..],
        &PUBLIC.to_uppercase(),
        &format!("{PUBLIC}0"),
        &PUBLIC.replace('d', "g"),
    ] {
        assert_eq!(VerifyingKey::parse_hex(text), Err(KeyError::Form), "{text}");
    }
    let key = VerifyingKey::parse_hex(PUBLIC).unwrap();
    assert_eq!(
        (key.to_string().as_str(), key.to_bytes()),
        (PUBLIC, point(PUBLIC))
    );
    assert_eq!(VerifyingKey::from_pinned_bytes(&key.to_bytes()), Ok(key));
}

#[test]
fn secrets_are_not_printed_and_read_back() {
    let key = SigningKey::from_secret_bytes([7; 32]);
    let hex = key.to_secret_hex();
    let again = SigningKey::parse_secret_hex(str::from_utf8(hex.as_slice()).unwrap()).unwrap();
    assert_eq!(again.verifying_key(), key.verifying_key());
    assert_eq!(format!("{key:?}"), "SigningKey(…)");
    assert_eq!(
        format!("{:?}", BearerToken::from_random_bytes([1; 32])),
        "BearerToken(…)"
    );
    assert!(SigningKey::parse_secret_hex("07").is_err());
}

#[test]
fn tokens_have_the_form_and_digest_that_node_computes() {
    let token = BearerToken::from_random_bytes([9; 32]);
    assert_eq!(
        token.expose_text(),
        "ms_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"
    );
    let digest: String = token
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest,
        "29a2686ab6240c00e707af5c542a095a18821182d6541a99e69cec4f5cb3c3af"
    );
    let bytes: [u8; 32] = std::array::from_fn(|at| (at as u8).wrapping_mul(8).wrapping_add(3));
    let mixed = BearerToken::from_random_bytes(bytes);
    assert_eq!(
        mixed.expose_text(),
        "ms_AwsTGyMrMztDS1NbY2tze4OLk5ujq7O7w8vT2-Pr8_s"
    );
    assert_eq!(
        BearerToken::parse(token.expose_text().as_bytes())
            .unwrap()
            .digest(),
        token.digest()
    );
}

#[test]
fn every_purpose_has_its_own_message() {
    let agent = Agent::new();
    let (old, new) = (
        agent.key.verifying_key(),
        VerifyingKey::parse_hex(OTHER).unwrap(),
    );
    assert_eq!(Message::ingest(b"{}").as_bytes(), b"monsys-ingest-v1\n{}");
    let pin = Message::pin(&agent.hub, agent.id, &old);
    let rotate = Message::rotate(&agent.hub, agent.id, &old, &new);
    let pin_text = format!("monsys-pin-v1\nhub-1\n{}\n{PUBLIC}\n", agent.id);
    assert_eq!(pin.as_bytes(), pin_text.as_bytes());
    let rotate_text = format!("monsys-rotate-v1\nhub-1\n{}\n{PUBLIC}\n{OTHER}\n", agent.id);
    assert_eq!(rotate.as_bytes(), rotate_text.as_bytes());
    // Signatures made by node over the same bytes.
    assert_eq!(
        agent.key.sign(&pin).to_string(),
        concat!(
            "30d47e99e839e65d0e020cda5ba9f8cc5e52cf052d96b7b77d8202c68d13d33d",
            "e5498d2c8cfe992283a491c6bded5a98df6c655f2af7e089c46374cdb1c3c400"
        )
    );
    assert_eq!(
        agent.key.sign(&rotate).to_string(),
        concat!(
            "dadc63a10b2eca9993a533568822c5a2ad4b4ec374434ad60e6c712ed586f132",
            "9c2b596e57fac014c2ed70b63773959082de79db6939a35449fd18605859760c"
        )
    );
}

#[test]
fn pinning_needs_the_secret_and_names_hub_and_agent() {
    let agent = Agent::new();
    let body = PinRequest::compose(&agent.key, &agent.hub, agent.id);
    let parse = |body: &str| PinRequest::parse(body.as_bytes());
    let pinned = parse(&body).unwrap().verify(&agent.hub, agent.id).unwrap();
    assert_eq!(pinned, agent.key.verifying_key());
    let elsewhere = Audience::parse("hub-2").unwrap();
    let refused = parse(&body)
        .unwrap()
        .verify(&elsewhere, agent.id)
        .unwrap_err();
    assert_eq!(refused.code(), "bad_signature");
    let other_key = parse(&body.replace(PUBLIC, OTHER)).unwrap();
    assert_eq!(
        other_key.verify(&agent.hub, agent.id).unwrap_err().code(),
        "bad_signature"
    );
    let cases = [
        (
            body.replace("public_key", "key"),
            "unknown_field",
            Some("/key"),
        ),
        (
            body.replace(PUBLIC, ""),
            "out_of_range",
            Some("/public_key"),
        ),
        (
            body.replace(PUBLIC, &"0".repeat(64)),
            "out_of_range",
            Some("/public_key"),
        ),
        ("{}".to_owned(), "missing_field", Some("/public_key")),
        (
            format!(r#"{{"public_key":"{PUBLIC}"}}"#),
            "missing_field",
            Some("/signature"),
        ),
        (
            format!(r#"{{"public_key":"{PUBLIC}","signature":"00"}}"#),
            "out_of_range",
            Some("/signature"),
        ),
        ("[]".to_owned(), "wrong_type", Some("")),
        ("{".to_owned(), "syntax", Some("")),
        (" ".repeat(2000), "too_large", None),
    ];
    for (body, code, pointer) in cases {
        let reject = parse(&body).unwrap_err();
        assert_eq!((reject.code(), reject.pointer()), (code, pointer), "{body}");
    }
}

#[test]
fn changing_keys_needs_both_secrets_and_names_hub_agent_and_both_keys() {
    let agent = Agent::new();
    let old = agent.key.verifying_key();
    let next = SigningKey::from_secret_bytes([9; 32]);
    let body = RotateRequest::compose(&agent.key, &next, &agent.hub, agent.id);
    let parse = |body: &str| RotateRequest::parse(body.as_bytes());
    let request = parse(&body).unwrap();
    assert!(request.is_to(&next.verifying_key()) && !request.is_to(&old));
    let changed = request.verify(&agent.hub, agent.id, &old);
    assert_eq!(changed.unwrap(), next.verifying_key());
    let elsewhere = Audience::parse("hub-2").unwrap();
    let other = VerifyingKey::parse_hex(OTHER).unwrap();
    let by_next_alone = RotateRequest::compose(&next, &next, &agent.hub, agent.id);
    let by_old_alone = RotateRequest::compose(&agent.key, &agent.key, &agent.hub, agent.id)
        .replace(PUBLIC, &next.verifying_key().to_string());
    let to_other = body.replace(&next.verifying_key().to_string(), OTHER);
    for (body, hub, pinned) in [
        (&body, &elsewhere, &old),
        (&body, &agent.hub, &other),
        (&by_next_alone, &agent.hub, &old),
        (&by_old_alone, &agent.hub, &old),
        (&to_other, &agent.hub, &old),
    ] {
        let refused = parse(body).unwrap().verify(hub, agent.id, pinned);
        assert_eq!(refused.unwrap_err().code(), "bad_signature", "{body}");
    }
    let cases = [
        (
            body.replace("signature_old", "signature"),
            "unknown_field",
            Some("/signature"),
        ),
        (
            body.replace("signature_new", "signature_old"),
            "duplicate_name",
            Some("/signature_old"),
        ),
        (
            body.replace(&next.verifying_key().to_string(), &"0".repeat(64)),
            "out_of_range",
            Some("/public_key"),
        ),
        (
            PinRequest::compose(&agent.key, &agent.hub, agent.id),
            "unknown_field",
            Some("/signature"),
        ),
        ("{}".to_owned(), "missing_field", Some("/public_key")),
        ("[]".to_owned(), "wrong_type", Some("")),
        (" ".repeat(2000), "too_large", None),
    ];
    for (body, code, pointer) in cases {
        let reject = parse(&body).unwrap_err();
        assert_eq!((reject.code(), reject.pointer()), (code, pointer), "{body}");
    }
}

#[test]
fn audiences_are_one_printable_word() {
    for good in ["hub-1", "monsys.example.org:8443", "a", &"a".repeat(128)] {
        assert_eq!(Audience::parse(good).unwrap().to_string(), good);
    }
    for bad in ["", "a b", "a\nb", "é", "a\"b", "a\\b", &"a".repeat(129)] {
        assert!(Audience::parse(bad).is_err(), "{bad}");
    }
}
