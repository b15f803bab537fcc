//! One payload from bytes to values in the hmac profile: every refusal, and their order.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::device::{Device, GOOD, HEADERS, Hub};
use kit::{Agent, METRICS, Request};
use monsys_core::position::Position;
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::store::SignatureStatus;
use monsys_core::time::Span;
use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::device::{DeviceError, Nonce};
use monsys_wire::envelope::hmac::{NonceVerdict, Received};
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Scratch};
use monsys_wire::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DEVICE, DeviceHeaders, MAC, NONCE, ORG, TIMESTAMP,
};
use monsys_wire::{DeviceIdentity, DeviceKey, Reject};

fn code(result: Result<impl std::fmt::Debug, Reject>) -> &'static str {
    result.unwrap_err().code()
}

const FULL: NonceVerdict = NonceVerdict::Full { retry_after_s: 30 };

#[test]
fn a_good_request_is_admitted_with_its_values() {
    let device = Device::new();
    let admitted = device.send(&device.good()).unwrap();
    assert_eq!(admitted.agent_id, device.id);
    assert_eq!(admitted.signature, SignatureStatus::Verified);
    assert_eq!(admitted.position, Position::new(1, 17).unwrap());
    let spaced = device.request(&device.body(r#"{ "cpu_usage_percent" : 42e-1 }"#));
    assert_eq!(device.send(&spaced).unwrap(), admitted);
    let require = Hub {
        form: BodyForm::Require,
        ..GOOD
    };
    assert_eq!(device.send_to(&device.good(), require).unwrap(), admitted);
    assert_eq!(code(device.send_to(&spaced, require)), "not_canonical");
}

#[test]
fn a_device_composes_and_signs_what_its_hub_admits() {
    let device = Device::new();
    let sample = MetricSample::of_cpu(CpuPercent::new(4.2).unwrap());
    let body = OutgoingBody::compose(&OutgoingPayload {
        audience: &device.hub,
        agent_id: &device.identity,
        agent_version: &monsys_core::name::AgentVersion::parse("0.1.0").unwrap(),
        position: Position::new(1, 17).unwrap(),
        captured_at: device.now,
        sent_at: device.now,
        data: Outbound::Metrics(&sample),
    })
    .unwrap();
    let headers = body.sign_as_device(&device.claim(), &device.key);
    let request = Request {
        headers: headers
            .iter()
            .map(|(name, value)| (name, value.as_bytes().to_vec()))
            .collect(),
        body: body.as_bytes().to_vec(),
    };
    assert!(device.send(&request).is_ok());
}

#[test]
fn every_header_is_needed_once_and_in_its_form() {
    let device = Device::new();
    let long = "a".repeat(65);
    let bad: [(&str, &[&str]); 5] = [
        (ORG, &["", "a b", "a/b", "a\n", "é", &long]),
        (DEVICE, &["", "web 1", "web\n1", ":", &long]),
        (
            TIMESTAMP,
            &[
                "",
                "-1",
                "+1",
                "01",
                "1.0",
                "1e9",
                " 1",
                "253402300800",
                "99999999999999999999",
            ],
        ),
        (
            NONCE,
            &[
                "",
                "0123456789abcde",
                "0123456789abcde.",
                "0123456789abcdef=",
                &long,
            ],
        ),
        (
            MAC,
            &["", "00", &"A".repeat(64), &"0".repeat(65), &"g".repeat(64)],
        ),
    ];
    for (header, values) in bad {
        let reject = device.send(&device.good().with(header, None)).unwrap_err();
        assert_eq!(reject, Reject::MissingHeader { header });
        let mut twice = device.good();
        twice
            .headers
            .push((header, device.good().header(header).to_vec()));
        let refused = Err(Reject::BadHeader { header });
        assert_eq!(device.send(&twice), refused);
        for value in values {
            let request = device.good().with(header, Some(value.as_bytes()));
            assert_eq!(device.send(&request), refused, "{header}: {value:?}");
        }
        let request = device.good().with(header, Some(b"\xff\xfe"));
        assert_eq!(device.send(&request), refused);
    }
    for value in [&b"text/plain"[..], b""] {
        let request = device.good().with(CONTENT_TYPE, Some(value));
        assert_eq!(code(device.send(&request)), "unsupported_media_type");
    }
    let packed = device.good().with(CONTENT_ENCODING, Some(b"gzip"));
    assert_eq!(code(device.send(&packed)), "unsupported_media_type");
    let plain = device.good().with(CONTENT_TYPE, Some(b"application/json"));
    assert!(device.send(&plain).is_ok());
}

#[test]
fn header_names_have_no_case() {
    let device = Device::new();
    let mut request = device.good();
    for (name, _) in &mut request.headers {
        *name = Box::leak(name.to_ascii_uppercase().into_boxed_str());
    }
    assert!(device.send(&request).is_ok());
}

#[test]
fn the_window_is_300_seconds_either_way_and_inclusive() {
    let device = Device::new();
    let at = |ahead: Span| device.send_to(&device.good(), Hub { ahead, ..GOOD });
    for good in [-300, -299, 0, 299, 300] {
        assert!(at(Span::from_secs(good)).is_ok(), "{good}");
    }
    let stale = Err(Reject::Stale { window_s: 300 });
    for bad in [-86_400, -301, 301, 86_400] {
        assert_eq!(at(Span::from_secs(bad)), stale, "{bad}");
    }
    assert_eq!(at(Span::from_micros(300_000_001)), stale);
    assert_eq!(at(Span::from_micros(-300_000_001)), stale);
    let stale = at(Span::from_secs(301)).unwrap_err();
    assert_eq!((stale.status(), stale.header()), (401, Some(TIMESTAMP)));
}

#[test]
fn unknown_devices_and_wrong_macs_are_refused_in_the_same_words() {
    let device = Device::new();
    let unknown = Hub {
        is_known: false,
        ..GOOD
    };
    let mut other = Device::new();
    other.key = DeviceKey::from_secret_bytes([0x2b; 32]);
    let refusals = [
        device.send_to(&device.good(), unknown).unwrap_err(),
        device.send(&other.good()).unwrap_err(),
        device.send_to(&other.good(), unknown).unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal, Reject::UnauthorizedDevice);
        assert_eq!((refusal.status(), refusal.code()), (401, "unauthorized"));
        assert_eq!((refusal.header(), refusal.pointer()), (None, None));
    }
}

#[test]
fn no_key_makes_an_unknown_device_known() {
    // The key that stands in for an unknown device is in the sources, so it must open nothing.
    let mut device = Device::new();
    device.key = DeviceKey::from_secret_bytes([0; 32]);
    let unknown = Hub {
        is_known: false,
        ..GOOD
    };
    let refused = device.send_to(&device.good(), unknown);
    assert_eq!(refused, Err(Reject::UnauthorizedDevice));
}

/// A hub where no agent can hold both credentials never gets so far over HTTP; one that migrates
/// agents from one profile to the other does.
#[test]
fn each_profile_refuses_agents_of_the_other() {
    let device = Device::new();
    let ed25519 = Hub {
        profile: AuthProfile::Ed25519,
        ..GOOD
    };
    let refused = device.send_to(&device.good(), ed25519);
    assert_eq!(refused, Err(Reject::WrongProfile));
    let agent = Agent::new();
    let owner = Credentials::new(agent.id, AuthProfile::Hmac);
    let refused = agent.good().admit(&owner, &agent.hub, BodyForm::Accept);
    assert_eq!(refused, Err(Reject::WrongProfile));
}

#[test]
fn nonces_are_judged_by_the_callers_memory() {
    let device = Device::new();
    let nonce = |nonce| device.send_to(&device.good(), Hub { nonce, ..GOOD });
    assert_eq!(nonce(NonceVerdict::Unused).unwrap().nonce, None);
    assert_eq!(nonce(NonceVerdict::Used), Err(Reject::Replay));
    let stale = Reject::Stale { window_s: 300 };
    assert_eq!(nonce(NonceVerdict::Unknowable), Err(stale));
    let full = nonce(FULL).unwrap_err();
    assert_eq!(
        (full.code(), full.retry_after_s()),
        ("replay_capacity", Some(30))
    );
}

#[test]
fn a_nonce_that_is_left_to_the_store_comes_out_with_the_payload() {
    let mut device = Device::new();
    let at_commit = Hub {
        nonce: NonceVerdict::AtCommit,
        ..GOOD
    };
    let open = |device: &Device| device.send_to(&device.good(), at_commit).unwrap().nonce;
    let first = open(&device).unwrap();
    assert_eq!(open(&device), Some(first), "the same nonce is the same");
    device.nonce = Nonce::from_random_bytes([6; 16]);
    assert_ne!(open(&device), Some(first));
    assert_eq!(format!("{first:?}"), "NonceDigest(…)");
    let later = device.request(&device.body(METRICS).replace("hub-1", "hub-2"));
    assert_eq!(code(device.send_to(&later, at_commit)), "wrong_audience");
}

#[test]
fn headers_may_be_read_before_the_body() {
    let device = Device::new();
    let good = device.good();
    let headers = DeviceHeaders::parse(
        good.headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice())),
    )
    .unwrap();
    let received = Received::with_headers(&good.body, headers).unwrap();
    assert_eq!(received.claim(), device.claim());
    let too_large = vec![b' '; 524_289];
    let refused = Received::with_headers(&too_large, headers).map(|_| ());
    assert_eq!(code(refused), "too_large");
}

#[test]
fn the_body_names_this_hub_and_this_device() {
    let device = Device::new();
    let body = device.body(METRICS);
    for (from, to, code) in [
        ("hub-1", "hub-2", "wrong_audience"),
        ("web-1", "web-2", "wrong_agent"),
        ("web-1", "WEB-1", "wrong_agent"),
        ("\"aud\"", "\"auf\"", "missing_field"),
        ("\"web-1\"", "7", "wrong_type"),
        ("\"v\":1", "\"v\":2", "out_of_range"),
        ("\"v\":1", "\"v\":1,\"w\":1", "unknown_field"),
        (":17", ":0", "out_of_range"),
    ] {
        let request = device.request(&body.replace(from, to));
        assert_eq!(device.send(&request).unwrap_err().code(), code, "{to}");
    }
    // The identifier in the hub's store is no name of a device.
    let id = body.replace("web-1", &device.id.to_string());
    assert_eq!(device.send(&device.request(&id)), Err(Reject::WrongAgent));
}

#[test]
fn any_flipped_bit_of_any_signed_part_is_refused() {
    let device = Device::new();
    let flipped = |request: &Request| code(device.send(request));
    for at in 0..device.good().body.len() {
        for bit in 0..8 {
            let mut request = device.good();
            request.body[at] ^= 1 << bit;
            let code = flipped(&request);
            assert!(
                [
                    "unauthorized",
                    "syntax",
                    "not_utf8",
                    "duplicate_name",
                    "number_range"
                ]
                .contains(&code),
                "body byte {at} bit {bit}: {code}"
            );
        }
    }
    for header in HEADERS {
        for at in 0..device.good().header(header).len() {
            for bit in 0..8 {
                let mut value = device.good().header(header).to_vec();
                value[at] ^= 1 << bit;
                let code = flipped(&device.good().with(header, Some(&value)));
                assert!(
                    ["unauthorized", "bad_header"].contains(&code),
                    "{header} byte {at} bit {bit}: {code}"
                );
            }
        }
    }
}

#[test]
fn any_byte_moved_between_parts_is_refused() {
    let device = Device::new();
    let parts = [ORG, DEVICE, TIMESTAMP, NONCE];
    for from in parts {
        for to in parts.into_iter().filter(|to| *to != from) {
            let (source, target) = (
                device.good().header(from).to_vec(),
                device.good().header(to).to_vec(),
            );
            let moves = [
                (&source[1..], [&target[..], &source[..1]].concat()),
                (&source[1..], [&source[..1], &target[..]].concat()),
                (
                    &source[..source.len() - 1],
                    [&source[source.len() - 1..], &target[..]].concat(),
                ),
            ];
            for (rest, grown) in moves {
                let request = device.good().with(from, Some(rest)).with(to, Some(&grown));
                let code = code(device.send(&request));
                assert!(
                    ["unauthorized", "bad_header"].contains(&code),
                    "{from} to {to}: {code}"
                );
            }
        }
    }
    // From the last header into the body, which begins with white space, and back.
    let mut spaced = device.good();
    spaced.body.insert(0, b'\n');
    assert!(device.send(&spaced).is_ok());
    let nonce = [device.good().header(NONCE), b"\n"].concat();
    let moved = device.good().with(NONCE, Some(&nonce));
    assert_eq!(code(device.send(&moved)), "bad_header");
}

#[test]
fn a_signature_of_one_profile_is_worth_nothing_in_the_other() {
    let device = Device::new();
    let agent = Agent::new();
    let as_device = agent.good();
    let headers = as_device
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_slice()));
    let refused = Received::new(&as_device.body, headers).map(|_| ());
    assert_eq!(refused, Err(Reject::MissingHeader { header: ORG }));
    let as_agent = agent.send(&device.good());
    assert_eq!(as_agent, Err(Reject::Unauthorized));
}

#[test]
fn names_and_nonces_have_one_form() {
    assert!(DeviceIdentity::parse("a", &"-".repeat(64)).is_ok());
    for (org, device) in [("", "a"), ("a", ""), ("a b", "c"), ("a", "b/c"), ("ä", "b")] {
        let parsed = DeviceIdentity::parse(org, device);
        assert_eq!(parsed, Err(DeviceError::Word), "{org}/{device}");
    }
    let nonce = Nonce::from_random_bytes([0xff; 16]);
    assert_eq!(nonce.as_str(), "_____________________w");
    assert_eq!(Nonce::parse(nonce.as_str()), Ok(nonce));
    assert_eq!(Nonce::parse("too-short"), Err(DeviceError::Nonce));
    let identity = DeviceIdentity::parse("acme", "web-1").unwrap();
    assert_eq!(identity.to_string(), "acme/web-1");
}

/// A request that breaks exactly the rules of the order of checks that it is told to.
struct Spoiled {
    request: Request,
    hub: Hub,
}

/// The steps in the order of contract §3, with the code of each.
const ORDER: [&str; 10] = [
    "too_large",
    "bad_header",
    "syntax",
    "unauthorized",
    "revoked",
    "stale",
    "replay",
    "wrong_audience",
    "wrong_agent",
    "unknown_field",
];

fn spoil(device: &Device, codes: &[&str]) -> Spoiled {
    let has = |code: &str| codes.contains(&code);
    let mut body = device.body(METRICS);
    if has("wrong_audience") {
        body = body.replace("hub-1", "hub-2");
    }
    if has("wrong_agent") {
        body = body.replace("web-1", "web-2");
    }
    if has("unknown_field") {
        body = body.replace("\"v\":1", "\"v\":1,\"w\":1");
    }
    if has("syntax") {
        body.push(']');
    }
    if has("too_large") {
        body.push_str(&" ".repeat(524_289));
    }
    let mut request = device.request(&body);
    if has("unauthorized") {
        request = request.with(MAC, Some(&[b'0'; 64]));
    }
    if has("bad_header") {
        request = request.with(TIMESTAMP, Some(b"+1"));
    }
    let hub = Hub {
        is_revoked: has("revoked"),
        ahead: Span::from_secs(if has("stale") { 301 } else { 0 }),
        nonce: if has("replay") {
            NonceVerdict::Used
        } else {
            NonceVerdict::Unused
        },
        ..GOOD
    };
    Spoiled { request, hub }
}

#[test]
fn each_step_comes_before_the_next() {
    let device = Device::new();
    for pair in ORDER.windows(2) {
        let both = spoil(&device, pair);
        let first = code(device.send_to(&both.request, both.hub));
        assert_eq!(first, pair[0], "{pair:?}");
        let second = spoil(&device, &pair[1..]);
        let alone = code(device.send_to(&second.request, second.hub));
        assert_eq!(alone, pair[1], "{pair:?}");
    }
    let all = spoil(&device, &ORDER);
    assert_eq!(code(device.send_to(&all.request, all.hub)), ORDER[0]);
}

#[test]
fn header_grammar_comes_before_the_media_type_and_before_the_look_up() {
    let device = Device::new();
    let unknown = Hub {
        is_known: false,
        ..GOOD
    };
    let typed = device.good().with(CONTENT_TYPE, Some(b"text/plain"));
    let malformed = device
        .good()
        .with(CONTENT_TYPE, Some(b"text/plain"))
        .with(NONCE, Some(b"short"));
    assert_eq!(
        code(device.send_to(&typed, unknown)),
        "unsupported_media_type"
    );
    assert_eq!(code(device.send_to(&malformed, unknown)), "bad_header");
}

#[test]
fn a_malformed_body_tells_nothing_about_the_device() {
    let device = Device::new();
    let unknown = Hub {
        is_known: false,
        ..GOOD
    };
    let mut request = device.good();
    request.body.push(b']');
    assert_eq!(
        device.send_to(&request, unknown),
        device.send_to(&request, GOOD)
    );
}

#[test]
fn revoked_comes_before_the_profile_and_the_profile_before_the_timestamp() {
    let device = Device::new();
    let other = Hub {
        profile: AuthProfile::Ed25519,
        ahead: Span::from_secs(301),
        ..GOOD
    };
    assert_eq!(code(device.send_to(&device.good(), other)), "wrong_profile");
    let revoked = Hub {
        is_revoked: true,
        ..other
    };
    assert_eq!(code(device.send_to(&device.good(), revoked)), "revoked");
}

#[test]
fn a_request_that_stops_halfway_keeps_what_it_proved() {
    let device = Device::new();
    let good = device.good();
    let headers = good
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_slice()));
    let received = Received::new(&good.body, headers).unwrap();
    assert_eq!(received.claim(), device.claim());
    assert_eq!(received.claim().org(), "acme");
    assert_eq!(received.claim().nonce(), device.nonce.as_str());
    let mut scratch = Scratch::new();
    let credentials = monsys_wire::envelope::hmac::DeviceCredentials::new(
        device.id,
        AuthProfile::Hmac,
        &device.key,
    );
    let proved = received
        .authenticate(Some(&credentials), BodyForm::Accept, &mut scratch)
        .unwrap();
    assert_eq!(proved.body().as_bytes(), good.body);
    let timely = proved.timely(device.now).unwrap();
    assert_eq!(timely.claim(), device.claim());
}
