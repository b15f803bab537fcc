//! The hmac profile: what a request with a wrong MAC costs the hub, against the bare MAC.

use std::hint::black_box;

use hmac::{Hmac, KeyInit as _, Mac as _};
use monsys_core::{AgentId, Timestamp};
use monsys_wire::device::Nonce;
use monsys_wire::envelope::hmac::{DeviceCredentials, Received};
use monsys_wire::envelope::{AuthProfile, BodyForm, Scratch};
use monsys_wire::header::{CONTENT_TYPE, JSON_TYPE, SignedHeaders};
use monsys_wire::sign::Claim;
use monsys_wire::{DeviceIdentity, DeviceKey, Reject};
use sha2::Sha256;

use crate::payload;
use crate::race::Race;
use crate::report::Figure;
use crate::report::Target::{AtMostNanos, Part};

/// From headers and body to the refusal, or to an authenticated payload.
pub(crate) fn figures() -> Vec<Figure> {
    let body = payload::contract_metrics("web-1", "hub-1");
    let key = DeviceKey::from_secret_bytes([7; 32]);
    let other = DeviceKey::from_secret_bytes([8; 32]);
    let identity = DeviceIdentity::parse("acme", "web-1").expect("an identity");
    let nonce = Nonce::from_random_bytes([5; 16]);
    let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").expect("a time");
    let claim = Claim::new(&identity, &nonce, now);
    let [good, forged] =
        [&key, &other].map(|key| SignedHeaders::new(&claim, &key.mac(&claim, body.as_bytes())));
    let device = AgentId::from_random_bytes([3; 16]);
    let mut scratches = [(); 3].map(|()| Scratch::new());
    let [for_good, for_forged, for_unknown] = &mut scratches;
    let run = |headers: &SignedHeaders, is_known: bool, scratch: &mut Scratch| {
        let plain = [("host", "hub.example"), (CONTENT_TYPE, JSON_TYPE)];
        let pairs = plain.into_iter().chain(headers.iter());
        let pairs = pairs.map(|(name, value)| (name, value.as_bytes()));
        let owner = DeviceCredentials::new(device, AuthProfile::Hmac, &key);
        let owner = is_known.then_some(&owner);
        Received::new(black_box(body.as_bytes()), pairs)
            .and_then(|received| received.authenticate(owner, BodyForm::Accept, scratch))
            .map(drop)
    };
    let text = [
        b"em1\nacme\nweb-1\n1795223741\nBQUFBQUFBQUFBQUFBQUFBQ\n",
        body.as_bytes(),
    ]
    .concat();
    let mut race = Race::default();
    race.add("good", || assert_eq!(run(&good, true, for_good), Ok(())));
    race.add("forged", || {
        let refused = Err(Reject::UnauthorizedDevice);
        assert_eq!(run(&forged, true, for_forged), refused);
    });
    race.add("unknown", || {
        let refused = Err(Reject::UnauthorizedDevice);
        assert_eq!(run(&good, false, for_unknown), refused);
    });
    race.add("bare", || {
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("any length");
        mac.update(black_box(&text));
        black_box(mac.finalize());
    });
    let times = race.finish();
    let bare = times.of("bare");
    let figure =
        |name: &str, of, target| Figure::new(format!("hmac_2k/{name}"), times.of(of), bare, target);
    vec![
        figure("reject_wrong_mac", "forged", AtMostNanos(2_500.0)),
        figure("reject_unknown_device", "unknown", AtMostNanos(2_500.0)),
        figure("authenticate", "good", Part),
    ]
}
