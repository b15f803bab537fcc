//! Transcripts of nonces in the hmac profile: skew, replay, restart.

use monsys_core::time::{Span, Timestamp};
use monsys_wire::Reject;
use monsys_wire::device::Nonce;
use monsys_wire::envelope::hmac::{DeviceCredentials, Received, Timely};
use monsys_wire::envelope::{AuthProfile, BodyForm, Scratch};
use monsys_wire::replay::{GuardSize, NonceGuard};
use serde_json::{Value, json};

use super::kit::METRICS;
use super::kit::device::Device;
use super::{cases, text_of};

/// Seconds after the start at which it is signed and at which it arrives, nonce, answer.
type Step = (i64, i64, &'static str, &'static str);

const A: &str = "aaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbb";

const TRANSCRIPTS: [(&str, &[Step]); 5] = [
    (
        "the window is 300 s either way and inclusive",
        &[
            (699, 1_000, A, "stale"),
            (1_301, 1_000, A, "stale"),
            (700, 1_000, A, "unused"),
            (1_300, 1_000, B, "unused"),
        ],
    ),
    (
        "a nonce is used once",
        &[
            (1_000, 1_000, A, "unused"),
            (1_000, 1_001, A, "replay"),
            (1_001, 1_001, B, "unused"),
            (1_002, 1_002, A, "replay"),
        ],
    ),
    (
        "a nonce is remembered for 660 s",
        &[
            (1_000, 1_000, A, "unused"),
            (1_660, 1_660, A, "replay"),
            (1_700, 1_700, A, "unused"),
        ],
    ),
    (
        "a stale request does not use up its nonce",
        &[(600, 1_000, A, "stale"), (1_000, 1_000, A, "unused")],
    ),
    (
        "after a start nothing passes that could have been used before",
        &[
            (0, 10, A, "stale"),
            (300, 10, A, "stale"),
            (300, 301, A, "stale"),
            (301, 301, A, "unused"),
        ],
    ),
];

pub(crate) fn make() -> Value {
    let transcripts = TRANSCRIPTS.iter().map(|(name, steps)| {
        let steps: Vec<Value> = steps
            .iter()
            .map(|(signed, now, nonce, answer)| {
                json!({"signed_s": signed, "now_s": now, "nonce": nonce, "answer": answer})
            })
            .collect();
        json!({"name": name, "steps": steps})
    });
    let transcripts = transcripts.chain([full()]);
    json!({
        "about": "requests of one device with good MACs; seconds count from the start of a memory that was lost; unused means accepted as far as the nonce goes; the memory holds 40 nonces of a device",
        "cases": transcripts.collect::<Vec<_>>(),
    })
}

/// A memory that is full forgets nothing for the sake of one more.
fn full() -> Value {
    let step = |nonce: u32, answer: &str| {
        let nonce = format!("nonce-of-request-{nonce}");
        json!({"signed_s": 1_000, "now_s": 1_000, "nonce": nonce, "answer": answer})
    };
    let mut steps: Vec<Value> = (1..=40).map(|nonce| step(nonce, "unused")).collect();
    steps.push(step(41, "replay_capacity"));
    steps.push(step(1, "replay"));
    json!({"name": "a full memory refuses and forgets nothing", "steps": steps})
}

pub(crate) fn verify(file: &Value) {
    for case in cases(file) {
        let start = Device::new().now;
        let size = GuardSize {
            devices: 100,
            nonces_per_device: 40,
            lead_s: 300,
        };
        let mut guard = NonceGuard::new([9; 32], size, start).unwrap();
        for step in case["steps"].as_array().unwrap() {
            let second = |member: &str| {
                start.saturating_add(Span::from_secs(step[member].as_i64().unwrap()))
            };
            let nonce = Nonce::parse(text_of(step, "nonce")).unwrap();
            let answer = ask(&mut guard, nonce, second("signed_s"), second("now_s"));
            let answer = answer.map_or_else(|reject| reject.code(), |()| "unused");
            let name = text_of(case, "name");
            assert_eq!(answer, text_of(step, "answer"), "{name}: {step}");
        }
    }
}

fn ask(
    guard: &mut NonceGuard,
    nonce: Nonce,
    signed: Timestamp,
    now: Timestamp,
) -> Result<(), Reject> {
    let mut device = Device::new();
    (device.nonce, device.now) = (nonce, signed);
    let request = device.request(&device.body(METRICS));
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_slice()));
    let credentials = DeviceCredentials::new(device.id, AuthProfile::Hmac, &device.key);
    let mut scratch = Scratch::new();
    let timely: Timely<'_> = Received::new(&request.body, headers)?
        .authenticate(Some(&credentials), BodyForm::Accept, &mut scratch)?
        .timely(now)?;
    let verdict = guard.admit(&timely, now);
    timely.fresh(verdict, &device.hub).map(|_| ())
}
