//! Signatures that prove nothing, in both profiles: whatever is changed behind or before the hash is
//! refused, nothing is stored, and the answer does not tell which half of a secret was right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::time::{Duration, Instant};

use monsys_wire::DeviceKey;
use monsys_wire::header::{AUTHORIZATION, ORG, SIGNATURE};

use support::device::{DeviceRequest, DeviceScene as Scene, HEADERS};
use support::raw::Wire;
use support::refusal::assert_refusal;
use support::store::{Stored, number};
use support::{DataDir, Dice, Hub, agent};

#[test]
fn i2_any_flipped_bit_of_any_signed_part_is_refused() {
    let scene = Scene::new();
    let before = Stored::of(&scene.data);
    let mut dice = Dice(7);
    let refused = |request: &DeviceRequest, what: &str| {
        let answer = request.send(&scene.hub);
        assert!([400, 401].contains(&answer.status), "{what}: {answer:?}");
    };
    for header in HEADERS {
        let good = scene.good(1);
        for at in 0..good.header(header).len() {
            for bit in 0..8 {
                let mut value = good.header(header).to_vec();
                value[at] ^= 1 << bit;
                let request = good.clone().with(header, Some(&value));
                refused(&request, &format!("{header} byte {at} bit {bit}"));
            }
        }
    }
    let good = scene.good(1);
    for at in 0..good.body.len() {
        let mut request = good.clone();
        let bit = dice.below(8);
        request.body[at] ^= 1 << bit;
        refused(&request, &format!("body byte {at} bit {bit}"));
    }
    assert_eq!(Stored::of(&scene.data), before);
    assert_eq!(scene.n_anomalies(), 0);
    good.send(&scene.hub).accepted();
}

#[test]
fn i2_a_byte_moved_from_one_signed_part_to_the_next_is_refused() {
    let scene = Scene::new();
    for (from, to) in HEADERS.iter().zip(&HEADERS[1..4]) {
        let good = scene.good(1);
        let (mut left, mut right) = (good.header(from).to_vec(), good.header(to).to_vec());
        right.insert(0, left.pop().unwrap());
        let moved = good.with(from, Some(&left)).with(to, Some(&right));
        let before = Stored::of(&scene.data);
        let answer = moved.send(&scene.hub);
        assert!([400, 401].contains(&answer.status), "{from}: {answer:?}");
        assert_eq!(Stored::of(&scene.data), before);
    }
    assert_eq!(scene.n_anomalies(), 0);
    scene.good(1).send(&scene.hub).accepted();
}

#[test]
fn any_flipped_bit_of_an_agents_payload_or_signature_is_refused() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let hub = Hub::start(&data);
    let body = agent.metrics((1, 1), 4.2).as_str().to_owned();
    let (signature, mut dice) = (agent.sign(body.as_bytes()), Dice(11));
    let before = Stored::of(&data);
    for at in 0..signature.len() {
        // Digits stay digits: what is no signature at all is refused by another rule.
        let digit = signature.as_bytes()[at];
        let other = if digit == b'0' { '1' } else { '0' };
        let mut forged = signature.clone();
        forged.replace_range(at..=at, &other.to_string());
        let answer = agent.send_with(&hub, body.as_bytes(), Some(&forged));
        assert_refusal(&answer, 403, "bad_signature");
    }
    for at in 0..body.len() {
        let mut forged = body.clone().into_bytes();
        forged[at] ^= 1 << dice.below(8);
        let answer = agent.send_with(&hub, &forged, Some(&signature));
        assert!([400, 403].contains(&answer.status), "{at}: {answer:?}");
    }
    assert_eq!(Stored::of(&data), before);
    agent.send(&hub, body.as_bytes()).accepted();
}

#[test]
fn a_captured_request_of_one_profile_opens_nothing_in_the_other() {
    let scene = Scene::new();
    let agent = scene.data.enrol("acme", "alpha");
    let as_agent = DeviceRequest {
        path: agent::INGEST,
        ..scene.good(1)
    };
    let answer = scene.refused(&as_agent, 401, "unauthorized");
    assert_eq!(answer.json()["header"], AUTHORIZATION);
    let body = agent.metrics((1, 1), 4.2);
    let captured = DeviceRequest {
        path: support::device::INGEST,
        headers: vec![
            (AUTHORIZATION, agent.bearer().into_bytes()),
            (SIGNATURE, agent.sign(body.as_bytes()).into_bytes()),
        ],
        body: body.as_bytes().to_vec(),
    };
    let answer = scene.refused(&captured, 400, "missing_header");
    assert_eq!(answer.json()["header"], ORG);
    let mut both = scene.good(1);
    both.headers.extend(captured.headers);
    both.path = agent::INGEST;
    assert_refusal(&both.send(&scene.hub), 403, "bad_signature");
}

#[test]
fn i3_whoever_is_not_known_hears_the_same_bytes() {
    let scene = Scene::new();
    let agent = scene.data.enrol("acme", "alpha");
    let key = || DeviceKey::from_secret_bytes(*scene.device.key.expose_bytes().clone());
    let zeros = || DeviceKey::from_secret_bytes([0; 32]);
    let strangers = [
        ("a wrong key", scene.device.other("acme", "web-1", zeros())),
        (
            "an unknown device",
            scene.device.other("acme", "web-2", key()),
        ),
        (
            "an unknown organisation",
            scene.device.other("nobody", "web-1", key()),
        ),
        (
            "nothing known",
            scene.device.other("nobody", "web-2", zeros()),
        ),
        (
            "an agent with a token",
            scene.device.other("acme", &agent.name, key()),
        ),
        (
            "a name in another case",
            scene.device.other("acme", "WEB-1", key()),
        ),
    ];
    let mut answers = Vec::new();
    for (who, stranger) in &strangers {
        let body = stranger.metrics((1, 1), 4.2);
        let request = stranger.request(&body, &stranger.stamp());
        let mut answer = scene.refused(&request, 401, "unauthorized");
        answer
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        answers.push((who, answer));
        // What is said of a body is said before anything is known of the device.
        let broken = stranger.request(&format!("{body}]"), &stranger.stamp());
        scene.refused(&broken, 400, "syntax");
    }
    let (_, first) = answers.first().unwrap();
    for (who, answer) in &answers {
        assert_eq!(answer, first, "{who}");
    }
    assert_eq!(
        number(&scene.data, "SELECT count(*) FROM ingest_nonces", []),
        0
    );
    assert_eq!(
        scene.n_anomalies(),
        0,
        "nobody raises a finding from outside"
    );
}

/// How long the hub takes to refuse a request, at the median of many.
fn median_refusal(scene: &Scene, requests: &[DeviceRequest]) -> Duration {
    let mut took: Vec<_> = requests
        .iter()
        .map(|request| {
            let bytes = request.raw();
            let wire = Wire::open(scene.hub.addr);
            let started = Instant::now();
            let answer = wire.send(&bytes).answer().answer();
            assert_eq!(answer.status, 401, "{answer:?}");
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

#[test]
fn i3_the_time_of_a_refusal_does_not_tell_a_known_device_from_an_unknown_one() {
    const N_ROUNDS: usize = 8;
    const N_REQUESTS: usize = 40;
    let scene = Scene::new();
    let zeros = || DeviceKey::from_secret_bytes([0; 32]);
    let known = scene.device.other("acme", "web-1", zeros());
    let unknown = scene.device.other("acme", "web-2", zeros());
    let requests = |device: &support::device::TestDevice| -> Vec<_> {
        let one = || device.request(&device.metrics((1, 1), 4.2), &device.stamp());
        (0..N_REQUESTS).map(|_| one()).collect()
    };
    // Rounds by turns, so that what else the machine does falls on both alike; the nearest round
    // counts, because noise only ever makes them differ more.
    let ratios = (0..N_ROUNDS).map(|_| {
        let known = median_refusal(&scene, &requests(&known)).as_secs_f64();
        known / median_refusal(&scene, &requests(&unknown)).as_secs_f64()
    });
    let nearest = ratios
        .map(|ratio| (ratio - 1.0).abs())
        .fold(f64::MAX, f64::min);
    assert!(nearest < 0.05, "{nearest}");
}
