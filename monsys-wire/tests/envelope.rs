//! One payload from bytes to values: every refusal of the ed25519 profile, and their order.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::{Agent, METRICS, Request};
use monsys_core::store::SignatureStatus;
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials};
use monsys_wire::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, SIGNATURE};
use monsys_wire::reject::SignatureFault;
use monsys_wire::schema::Payload;
use monsys_wire::{Audience, Reject, SigningKey};

fn code(result: Result<impl std::fmt::Debug, Reject>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_good_request_is_admitted_with_its_values() {
    let agent = Agent::new();
    let admitted = agent.send(&agent.good()).unwrap();
    assert_eq!(admitted.agent_id, agent.id);
    assert_eq!(admitted.signature, SignatureStatus::Verified);
    assert_eq!(
        (admitted.position.epoch(), admitted.position.seq()),
        (1, 17)
    );
    assert_eq!(
        admitted.captured_at.to_rfc3339(),
        "2026-11-21T01:15:41.123456Z"
    );
    assert_eq!(admitted.sent_at.to_rfc3339(), "2026-11-21T01:15:41.300000Z");
    assert_eq!(admitted.agent_version.as_str(), "0.1.0");
    assert!(!admitted.is_late());
    let Payload::Metrics(sample) = admitted.payload else {
        panic!("metrics were sent")
    };
    assert_eq!(sample.cpu_usage_percent.get(), 4.2);
    assert_eq!(sample.disks, None);
}

#[test]
fn node_signs_the_same_bytes() {
    let agent = Agent::new();
    let signature = concat!(
        "d61fb5f9a2c62ea95048ff0ee4f3e2f7efb7818c982cefd6676a3c99f8c57d43",
        "ca4cc1caa2e3daa54883276f82d38a2f062770f06e9ec73562a8e53f2e487103"
    );
    assert_eq!(agent.good().header(SIGNATURE), signature.as_bytes());
    let hash = agent.send(&agent.good()).unwrap().content_hash;
    let hash: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hash,
        "c72306e5f5a3fe83fc97a21b7771e13624fd059be40d51f7a284ba1d06cdd9de"
    );
}

#[test]
fn any_spelling_is_accepted_and_only_the_canonical_one_where_required() {
    let agent = Agent::new();
    let canonical = agent.good();
    let spaced = agent.request(&agent.body("metrics", r#"{ "cpu_usage_percent" : 42e-1 }"#));
    let accepted = agent.send(&canonical).unwrap();
    assert_eq!(agent.send(&spaced).unwrap(), accepted);
    let require = |request| agent.send_as(request, |owner| owner, BodyForm::Require);
    assert_eq!(require(&canonical).unwrap(), accepted);
    assert_eq!(code(require(&spaced)), "not_canonical");
}

#[test]
fn the_content_hash_covers_everything_but_sent_at() {
    let agent = Agent::new();
    let hash = |body: &str| agent.send(&agent.request(body)).unwrap().content_hash;
    let body = agent.body("metrics", METRICS);
    let first = hash(&body);
    assert_eq!(hash(&body.replace("41.3Z", "59.7Z")), first);
    for (from, to) in [
        ("41.123456Z", "41.123457Z"),
        ("4.2", "4.3"),
        (":17", ":18"),
        ("0.1.0", "0.1.1"),
    ] {
        assert_ne!(hash(&body.replace(from, to)), first, "{to}");
    }
}

#[test]
fn captured_more_than_60_seconds_before_sent_is_late() {
    let agent = Agent::new();
    let late = |sent: &str| {
        let body = agent.body("metrics", METRICS).replace("01:15:41.3Z", sent);
        agent.send(&agent.request(&body)).unwrap().is_late()
    };
    assert!(!late("01:16:41.123456Z"));
    assert!(late("01:16:41.123457Z"));
    assert!(!late("01:00:00Z"));
}

#[test]
fn credentials_that_are_absent_repeated_or_malformed_are_unauthorized() {
    let agent = Agent::new();
    let good = agent.good().header(AUTHORIZATION).to_vec();
    let text = String::from_utf8(good.clone()).unwrap();
    let bad: [&[u8]; 8] = [
        b"",
        b"Bearer",
        b"Bearer ms_short",
        &good[..good.len() - 1],
        &[&good[..], b"A"].concat(),
        b"Basic dXNlcjpwYXNz",
        b"\xff\xfe",
        &[&good[..good.len() - 1], b"!"].concat(),
    ];
    for value in bad {
        assert_eq!(
            code(agent.send(&agent.good().with(AUTHORIZATION, Some(value)))),
            "unauthorized"
        );
    }
    assert_eq!(
        code(agent.send(&agent.good().with(AUTHORIZATION, None))),
        "unauthorized"
    );
    let mut twice = agent.good();
    twice.headers.push((AUTHORIZATION, good));
    assert_eq!(code(agent.send(&twice)), "unauthorized");
    let other_case = text.replace("Bearer", "bearer").into_bytes();
    assert!(
        agent
            .send(&agent.good().with(AUTHORIZATION, Some(&other_case)))
            .is_ok()
    );
}

#[test]
fn a_pinned_agent_without_signature_is_refused_before_its_body_is_read() {
    let agent = Agent::new();
    for absent in [None, Some(&b""[..])] {
        let mut request = agent.good().with(SIGNATURE, absent);
        assert_eq!(agent.send(&request), Err(Reject::UnsignedPayload));
        let admitted = agent.send_unpinned(&request).unwrap();
        assert_eq!(admitted.signature, SignatureStatus::Unpinned);
        request.body = b"\xff not json".to_vec();
        assert_eq!(agent.send(&request), Err(Reject::UnsignedPayload));
        assert_eq!(code(agent.send_unpinned(&request)), "not_utf8");
    }
    assert_eq!(
        agent.send_unpinned(&agent.good()).unwrap().signature,
        SignatureStatus::Unpinned
    );
}

#[test]
fn a_malformed_or_repeated_signature_is_a_bad_one() {
    let agent = Agent::new();
    let malformed = Err(Reject::BadSignature {
        reason: SignatureFault::Malformed,
    });
    let good = agent.good().header(SIGNATURE).to_vec();
    let upper = good.to_ascii_uppercase();
    let values: [&[u8]; 5] = [b"00", &good[1..], &upper, b" ", &[&good[..], b"0"].concat()];
    for value in values {
        let request = agent.good().with(SIGNATURE, Some(value));
        assert_eq!(agent.send(&request), malformed);
        assert_eq!(agent.send_unpinned(&request), malformed);
    }
    let mut twice = agent.good();
    twice.headers.push((SIGNATURE, good));
    assert_eq!(agent.send(&twice), malformed);
}

#[test]
fn a_signature_by_another_key_or_over_another_body_does_not_verify() {
    let agent = Agent::new();
    let mismatch = Err(Reject::BadSignature {
        reason: SignatureFault::Mismatch,
    });
    let mut other = Agent::new();
    other.key = SigningKey::from_secret_bytes([8; 32]);
    assert_eq!(agent.send(&other.good()), mismatch);
    let mut moved = agent.good();
    moved.body = agent
        .body("metrics", r#"{"cpu_usage_percent":4.3}"#)
        .into_bytes();
    assert_eq!(agent.send(&moved), mismatch);
}

#[test]
fn any_flipped_bit_of_body_or_signature_is_refused() {
    let agent = Agent::new();
    let good = agent.good();
    for at in 0..good.body.len() {
        for bit in 0..8 {
            let mut request = agent.good();
            request.body[at] ^= 1 << bit;
            assert!(agent.send(&request).is_err(), "body byte {at} bit {bit}");
        }
    }
    for at in 0..128 {
        for bit in 0..8 {
            let mut request = agent.good();
            request.headers[1].1[at] ^= 1 << bit;
            assert_eq!(
                code(agent.send(&request)),
                "bad_signature",
                "digit {at} bit {bit}"
            );
        }
    }
}

#[test]
fn revoked_agents_and_other_profiles_are_refused_after_the_signature() {
    let agent = Agent::new();
    let revoked =
        |request: &Request| agent.send_as(request, |owner| owner.revoked(), BodyForm::Accept);
    assert_eq!(revoked(&agent.good()), Err(Reject::Revoked));
    let mut forged = agent.good();
    forged.headers[1].1 = vec![b'0'; 128];
    assert_eq!(code(revoked(&forged)), "bad_signature");
    let key = agent.key.verifying_key();
    let owner = Credentials::new(agent.id, AuthProfile::Hmac).with_pinned_key(&key);
    let result = agent.good().admit(&owner, &agent.hub, BodyForm::Accept);
    assert_eq!(result, Err(Reject::WrongProfile));
    let result = agent
        .good()
        .admit(&owner.revoked(), &agent.hub, BodyForm::Accept);
    assert_eq!(result, Err(Reject::Revoked));
}

#[test]
fn bodies_for_other_hubs_and_agents_are_refused_before_their_schema() {
    let agent = Agent::new();
    let body = agent.body("metrics", METRICS);
    let cases = [
        (body.replace("hub-1", "hub-2"), "wrong_audience", None),
        (body.replace("\"hub-1\"", "1"), "wrong_type", Some("/aud")),
        (
            body.replace("\"aud\"", "\"auf\""),
            "missing_field",
            Some("/aud"),
        ),
        (body.replace("03030303-", "03030304-"), "wrong_agent", None),
        (
            body.replace("\"agent_id\"", "\"agent\""),
            "missing_field",
            Some("/agent_id"),
        ),
        (
            body.replace("\"03030303-0303-4303-8303-030303030303\"", "null"),
            "wrong_type",
            Some("/agent_id"),
        ),
        (
            body.replace("hub-1", "hub-2").replace("\"v\":1", "\"v\":9"),
            "wrong_audience",
            None,
        ),
        (
            body.replace("hub-1", "hub-2")
                .replace("03030303-", "03030304-"),
            "wrong_audience",
            None,
        ),
        ("[1]".to_owned(), "wrong_type", Some("")),
        ("\"aud\"".to_owned(), "wrong_type", Some("")),
    ];
    for (body, code, pointer) in cases {
        assert_eq!(
            agent.refusal(&body),
            (code, pointer.map(str::to_owned)),
            "{body}"
        );
    }
    let key = agent.key.verifying_key();
    let owner = Credentials::new(agent.id, AuthProfile::Ed25519).with_pinned_key(&key);
    let elsewhere = Audience::parse("hub-2").unwrap();
    let result = agent.good().admit(&owner, &elsewhere, BodyForm::Accept);
    assert_eq!(result, Err(Reject::WrongAudience));
}

#[test]
fn positions_begin_at_one() {
    let agent = Agent::new();
    let body = agent.body("metrics", METRICS);
    let cases = [
        ("\"epoch\":1", "\"epoch\":0", "out_of_range", "/epoch"),
        ("\"epoch\":1", "\"epoch\":-1", "out_of_range", "/epoch"),
        ("\"epoch\":1", "\"epoch\":1.5", "wrong_type", "/epoch"),
        ("\"epoch\":1", "\"epoch\":\"1\"", "wrong_type", "/epoch"),
        ("\"epoch\":1", "\"e\":1", "missing_field", "/epoch"),
        ("\"seq\":17", "\"seq\":0", "out_of_range", "/seq"),
        ("\"seq\":17", "\"seq\":null", "wrong_type", "/seq"),
        ("\"seq\":17", "\"s\":17", "missing_field", "/seq"),
    ];
    for (from, to, code, pointer) in cases {
        let refusal = agent.refusal(&body.replace(from, to));
        assert_eq!(refusal, (code, Some(pointer.to_owned())), "{to}");
    }
    assert_eq!(
        agent.refusal(&body.replace(":17", ":9007199254740992")).0,
        "number_range"
    );
    assert!(
        agent
            .send(&agent.request(&body.replace(":17", ":9007199254740991")))
            .is_ok()
    );
    assert!(
        agent
            .send(&agent.request(&body.replace(":17", ":1.7e1")))
            .is_ok()
    );
}

#[test]
fn json_that_is_refused_keeps_its_code_and_place() {
    let agent = Agent::new();
    let deep = format!("{{\"data\":{}", "[".repeat(40));
    let cases: [(&[u8], &str, Option<&str>); 10] = [
        (b"\xff", "not_utf8", None),
        (b"{", "syntax", Some("")),
        (b"", "syntax", None),
        (b"\xEF\xBB\xBF{}", "syntax", None),
        (
            deep.as_bytes(),
            "depth",
            Some("/data/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0"),
        ),
        (br#"{"aud":1,"aud":1}"#, "duplicate_name", Some("/aud")),
        (br#"{"seq":1e400}"#, "number_range", Some("/seq")),
        (br#"{"seq":NaN}"#, "syntax", Some("/seq")),
        (br#"{"aud":"\ud800"}"#, "lone_surrogate", Some("/aud")),
        (br#"{"v":1}{}"#, "syntax", None),
    ];
    for (body, code, pointer) in cases {
        let mut request = agent.good();
        request.body = body.to_vec();
        let reject = agent.send(&request).unwrap_err();
        assert_eq!(reject.code(), code, "{}", String::from_utf8_lossy(body));
        assert_eq!(reject.status(), 400);
        if code != "syntax" || pointer.is_some() {
            assert_eq!(reject.pointer(), pointer, "{code}");
        }
    }
}

#[test]
fn bodies_end_at_524288_bytes() {
    let agent = Agent::new();
    let mut request = agent.good();
    request.body.resize(524_288, b' ');
    assert!(agent.send(&request).is_ok());
    request.body.push(b' ');
    assert_eq!(code(agent.send(&request)), "too_large");
    assert_eq!(
        code(agent.send(&request.with(AUTHORIZATION, None))),
        "too_large"
    );
}

#[test]
fn only_plain_json_is_taken() {
    let agent = Agent::new();
    let good: [&[u8]; 4] = [
        b"application/json",
        b"Application/JSON ; charset=UTF-8",
        b"application/json;charset=\"utf-8\"",
        b" application/json ",
    ];
    for value in good {
        assert!(
            agent
                .send(&agent.good().with(CONTENT_TYPE, Some(value)))
                .is_ok()
        );
    }
    let bad: [&[u8]; 6] = [
        b"text/plain",
        b"",
        b"application/json; charset=latin1",
        b"application/jsonp",
        b"application/x-www-form-urlencoded",
        b"application/json; a=b",
    ];
    for value in bad {
        let reject = agent
            .send(&agent.good().with(CONTENT_TYPE, Some(value)))
            .unwrap_err();
        assert_eq!(
            (reject.code(), reject.header()),
            ("unsupported_media_type", Some(CONTENT_TYPE))
        );
    }
    assert!(
        agent
            .send(&agent.good().with(CONTENT_ENCODING, Some(b"identity")))
            .is_ok()
    );
    for value in [&b"gzip"[..], b"br", b"identity, gzip"] {
        let reject = agent
            .send(&agent.good().with(CONTENT_ENCODING, Some(value)))
            .unwrap_err();
        assert_eq!(
            (reject.code(), reject.header()),
            ("unsupported_media_type", Some(CONTENT_ENCODING))
        );
    }
}
