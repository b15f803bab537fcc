//! Other implementations of Ed25519 in the place of ours, from signing to verifying.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use kit::{Agent, METRICS};
use monsys_wire::compose::OutgoingBody;
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials};
use monsys_wire::header::SIGNATURE;
use monsys_wire::pin::PinRequest;
use monsys_wire::sign::conformance::{self, Breach};
use monsys_wire::sign::{Message, Mismatch, Sign, Signature, Verify};
use monsys_wire::{SigningKey, VerifyingKey};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// ring as it comes: RFC 8032 to the letter.
struct RingKey(UnparsedPublicKey<[u8; 32]>);

/// ring with the check of R that the strict set asks for.
struct StrictRingKey(RingKey);

impl RingKey {
    fn open(key: &VerifyingKey) -> Self {
        Self(UnparsedPublicKey::new(&ED25519, key.to_bytes()))
    }
}

impl Verify for RingKey {
    fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch> {
        self.0
            .verify(message.as_bytes(), &signature.to_bytes())
            .map_err(|_| Mismatch)
    }
}

impl StrictRingKey {
    fn open(key: &VerifyingKey) -> Self {
        Self(RingKey::open(key))
    }
}

impl Verify for StrictRingKey {
    fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch> {
        if signature.has_weak_r() {
            return Err(Mismatch);
        }
        self.0.verify(message, signature)
    }
}

/// A key pair of ring.
struct RingPair(Ed25519KeyPair);

impl RingPair {
    fn new(secret: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(secret).unwrap())
    }
}

impl Sign for RingPair {
    type Error = std::array::TryFromSliceError;

    fn sign(&self, message: &Message) -> Result<Signature, Self::Error> {
        let signature = self.0.sign(message.as_bytes());
        signature.as_ref().try_into().map(Signature::from_bytes)
    }

    fn verifying_key(&self) -> VerifyingKey {
        let bytes = self.0.public_key().as_ref().try_into().unwrap();
        VerifyingKey::from_bytes(&bytes).unwrap()
    }
}

/// A device that was unplugged.
struct Unplugged;

impl Sign for Unplugged {
    type Error = &'static str;

    fn sign(&self, _message: &Message) -> Result<Signature, Self::Error> {
        Err("no device")
    }

    fn verifying_key(&self) -> VerifyingKey {
        SigningKey::from_secret_bytes([1; 32]).verifying_key()
    }
}

/// Verifies as ed25519-dalek does when it is not asked to be strict.
struct LenientKey(ed25519_dalek::VerifyingKey);

impl Verify for LenientKey {
    fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch> {
        use ed25519_dalek::Verifier as _;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.to_bytes());
        self.0
            .verify(message.as_bytes(), &signature)
            .map_err(|_| Mismatch)
    }
}

/// Always of one opinion.
struct Constant(Result<(), Mismatch>);

impl Verify for Constant {
    fn verify(&self, _message: &Message, _signature: &Signature) -> Result<(), Mismatch> {
        self.0
    }
}

#[test]
fn our_keys_and_strict_ring_keep_the_promises() {
    assert_eq!(conformance::verifier(VerifyingKey::clone), Ok(()));
    assert_eq!(conformance::verifier(StrictRingKey::open), Ok(()));
    let secret = [7; 32];
    assert_eq!(
        conformance::signer(&SigningKey::from_secret_bytes(secret)),
        Ok(())
    );
    assert_eq!(conformance::signer(&RingPair::new(&secret)), Ok(()));
}

#[test]
fn lenient_sets_and_broken_implementations_are_told_apart() {
    let lenient = |key: &VerifyingKey| {
        LenientKey(ed25519_dalek::VerifyingKey::from_bytes(&key.to_bytes()).unwrap())
    };
    let cases = [
        (conformance::verifier(RingKey::open), Breach::WeakR),
        (conformance::verifier(lenient), Breach::WeakR),
        (
            conformance::verifier(|_| Constant(Ok(()))),
            Breach::OtherKey,
        ),
        (
            conformance::verifier(|_| Constant(Err(Mismatch))),
            Breach::GoodRefused,
        ),
        (conformance::signer(&Unplugged), Breach::NotSigned),
    ];
    for (outcome, breach) in cases {
        assert_eq!(outcome, Err(breach));
    }
}

#[test]
fn an_r_of_small_order_is_known_in_any_encoding() {
    let weak = |r: &str| {
        let text = format!("{r}{}", "0".repeat(64));
        Signature::parse_hex(text.as_bytes()).unwrap().has_weak_r()
    };
    for r in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        assert!(weak(r), "{r}");
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&r[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let point = ed25519_dalek::VerifyingKey::from_bytes(&bytes.try_into().unwrap());
        assert!(point.is_ok_and(|point| point.is_weak()), "{r}");
    }
    let good = Agent::new().key.sign(&Message::ingest(b"{}"));
    assert!(!good.has_weak_r());
}

#[test]
fn a_payload_goes_its_way_with_keys_of_another_implementation() {
    let agent = Agent::new();
    let pair = RingPair::new(&[3; 32]);
    let pin = PinRequest::compose_with(&pair, &agent.hub, agent.id).unwrap();
    let request = PinRequest::parse(pin.as_bytes()).unwrap();
    let pinned = request.verify(&agent.hub, agent.id).unwrap();
    assert_eq!(pinned, pair.verifying_key());

    let key = StrictRingKey::open(&pinned);
    let owner = Credentials::new(agent.id, AuthProfile::Ed25519).with_pinned_key(&key);
    let body = OutgoingBody::restore(agent.body("metrics", METRICS).as_bytes()).unwrap();
    let signature = body.sign_with(&pair).unwrap().to_string();
    let good = agent.good().with(SIGNATURE, Some(signature.as_bytes()));
    let admitted = good.admit(&owner, &agent.hub, BodyForm::Require);
    assert_eq!(admitted.unwrap().position.seq(), 17);
    let by_another_key = agent.good().admit(&owner, &agent.hub, BodyForm::Require);
    assert_eq!(by_another_key.unwrap_err().code(), "bad_signature");
}

#[test]
fn a_signer_may_fail_in_its_own_words() {
    let agent = Agent::new();
    let body = OutgoingBody::restore(agent.body("metrics", METRICS).as_bytes()).unwrap();
    assert_eq!(body.sign_with(&Unplugged), Err("no device"));
    let pin = PinRequest::compose_with(&Unplugged, &agent.hub, agent.id);
    assert_eq!(pin, Err("no device"));
}

#[test]
fn both_ways_of_signing_say_the_same() {
    let agent = Agent::new();
    let body = OutgoingBody::restore(agent.body("metrics", METRICS).as_bytes()).unwrap();
    let Ok(signature) = body.sign_with(&agent.key);
    assert_eq!(signature, body.sign(&agent.key));
    let Ok(pin) = PinRequest::compose_with(&agent.key, &agent.hub, agent.id);
    assert_eq!(pin, PinRequest::compose(&agent.key, &agent.hub, agent.id));
}

#[test]
fn credentials_do_not_print_the_key() {
    let agent = Agent::new();
    let key = agent.key.verifying_key();
    let owner = Credentials::new(agent.id, AuthProfile::Ed25519).with_pinned_key(&key);
    let shown = format!("{owner:?}");
    assert!(shown.contains("is_pinned: true"), "{shown}");
    assert!(!shown.contains(&key.to_string()), "{shown}");
}
