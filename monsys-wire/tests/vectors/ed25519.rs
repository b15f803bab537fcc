//! Signatures about which verifiers of Ed25519 disagree: the twelve classes that Chalkias, Garillot
//! and Nikolaenko found ("Taming the many EdDSAs", 2020), made here from their definitions.
//!
//! `verifies` is the verdict of the strict set under a key that was stored, `pinnable` whether such
//! a key would have been stored at all. A verifier of ours accepts only what both allow.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity as _, IsIdentity as _};
use monsys_wire::sign::{Message, Signature};
use monsys_wire::{VerifyingKey, canonical};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::{cases, hex, text_of, unhex};

/// Key, R and S as they are sent, and what is sent.
struct Signed {
    key: [u8; 32],
    r: [u8; 32],
    s: [u8; 32],
    body: String,
}

/// Which form of the equation `S·B = R + h·A` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Equation {
    cofactorless: bool,
    cofactored: bool,
}

/// The points that the classes are made of: of the large prime order, of order 8, and their sum.
struct Points {
    secret: Scalar,
    prime: EdwardsPoint,
    small: EdwardsPoint,
    mixed: EdwardsPoint,
    secret_r: Scalar,
    prime_r: EdwardsPoint,
    mixed_r: EdwardsPoint,
}

/// A class: name, pinnable, verifies, and how its case is made from points and a counter.
type Class = (&'static str, bool, bool, fn(&Points, u32) -> Option<Signed>);

const CLASSES: [Class; 13] = [
    ("an honest signature", true, true, honest),
    (
        "key and R of small order with S = 0: a signature without a secret",
        false,
        false,
        small_key_and_r,
    ),
    (
        "a key of small order: R and S alone fit the message",
        false,
        false,
        small_key,
    ),
    ("R of small order under a mixed key", false, false, small_r),
    (
        "key and R mixed, and the torsion cancels: strict verifiers accept, so the key is refused",
        false,
        true,
        mixed_that_cancels,
    ),
    (
        "key and R mixed, and the torsion stays: only the cofactored equation holds",
        false,
        false,
        mixed_that_stays,
    ),
    (
        "a mixed key where 8h must not be reduced before it multiplies the key",
        false,
        false,
        mixed_key_unreduced,
    ),
    ("S + L in the place of S", true, false, s_plus_order),
    (
        "S + 8L in the place of S, with the highest bit set",
        true,
        false,
        s_plus_eight_orders,
    ),
    (
        "R of small order not reduced, hashed as sent",
        false,
        false,
        unreduced_r_as_sent,
    ),
    (
        "R of small order not reduced, hashed in its reduced form",
        false,
        false,
        unreduced_r_reduced,
    ),
    (
        "a key of small order not reduced, hashed as sent",
        false,
        false,
        unreduced_key_as_sent,
    ),
    (
        "a key of small order not reduced, hashed in its reduced form",
        false,
        false,
        unreduced_key_reduced,
    ),
];

pub(crate) fn make() -> Value {
    let points = Points::new();
    let made = CLASSES.map(|(name, pinnable, verifies, recipe)| {
        // The first counter that fits; one in eight does.
        let found = (0..1_000).find_map(|n| recipe(&points, n));
        let signed = found.unwrap_or_else(|| panic!("no case: {name}"));
        let equation = signed.equation();
        let signature = [signed.r, signed.s].concat().try_into().unwrap();
        json!({
            "name": name,
            "public_key": hex(&signed.key),
            "message_hex": hex(signed.message().as_bytes()),
            "signature": Signature::from_bytes(signature).to_string(),
            "cofactorless": equation.cofactorless,
            "cofactored": equation.cofactored,
            "pinnable": pinnable,
            "verifies": verifies,
        })
    });
    json!({
        "about": "one honest signature and twelve classes on which verifiers disagree: whether S*B = R + h*A holds over the bytes as sent, alone and multiplied by 8, with S reduced; whether the key may be pinned; whether a strict verifier accepts",
        "cases": made,
    })
}

pub(crate) fn verify(file: &Value) {
    assert_eq!(cases(file).len(), 13);
    for case in cases(file) {
        let name = text_of(case, "name");
        let key: [u8; 32] = unhex(text_of(case, "public_key")).try_into().unwrap();
        let signature = Signature::parse_hex(text_of(case, "signature").as_bytes()).unwrap();
        let message = unhex(text_of(case, "message_hex"));
        let body = message.strip_prefix(b"monsys-ingest-v1\n").unwrap();
        assert!(canonical::check(body).is_ok(), "{name}");
        let pinnable = VerifyingKey::parse_hex(text_of(case, "public_key")).is_ok();
        assert_eq!(case["pinnable"], pinnable, "{name}");
        let stored = VerifyingKey::from_pinned_bytes(&key);
        let verifies =
            stored.is_ok_and(|stored| stored.verify(&Message::ingest(body), &signature).is_ok());
        assert_eq!(case["verifies"], verifies, "{name}");
        let bytes = signature.to_bytes();
        let signed = Signed {
            key,
            r: bytes[..32].try_into().unwrap(),
            s: bytes[32..].try_into().unwrap(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let expected = Equation {
            cofactorless: case["cofactorless"] == true,
            cofactored: case["cofactored"] == true,
        };
        assert_eq!(signed.equation(), expected, "{name}");
    }
    let accepted = cases(file)
        .iter()
        .filter(|case| case["pinnable"] == true && case["verifies"] == true);
    assert_eq!(accepted.count(), 1, "the honest one alone");
}

fn honest(points: &Points, n: u32) -> Option<Signed> {
    let (key, r) = (encode(points.prime), encode(points.prime_r));
    let h = hash(&r, &key, n);
    let s = points.secret_r + h * points.secret;
    both_hold(sent(key, r, s.to_bytes(), n))
}

fn small_key_and_r(points: &Points, n: u32) -> Option<Signed> {
    let small = points.small;
    (1..8_u8).find_map(|times| {
        let r = encode(small * Scalar::from(times));
        both_hold(sent(encode(small), r, [0; 32], n))
    })
}

fn small_key(points: &Points, n: u32) -> Option<Signed> {
    let (key, r) = (encode(points.small), encode(points.mixed_r));
    both_hold(sent(key, r, points.secret_r.to_bytes(), n))
}

fn small_r(points: &Points, n: u32) -> Option<Signed> {
    let (key, r) = (encode(points.mixed), encode(points.small));
    let s = hash(&r, &key, n) * points.secret;
    both_hold(sent(key, r, s.to_bytes(), n))
}

fn mixed_that_cancels(points: &Points, n: u32) -> Option<Signed> {
    both_hold(mixed(points, n))
}

fn mixed_that_stays(points: &Points, n: u32) -> Option<Signed> {
    only_cofactored(mixed(points, n))
}

fn mixed(points: &Points, n: u32) -> Signed {
    let (key, r) = (encode(points.mixed), encode(points.mixed_r));
    let s = points.secret_r + hash(&r, &key, n) * points.secret;
    sent(key, r, s.to_bytes(), n)
}

fn mixed_key_unreduced(points: &Points, n: u32) -> Option<Signed> {
    let (key, r) = (encode(points.mixed), encode(points.prime_r));
    let h = hash(&r, &key, n);
    let s = points.secret_r + h * points.secret;
    let eight = Scalar::from(8_u8);
    // 8h mod L is no multiple of 8, so it leaves the key's torsion where 8·(h·A) removes it.
    let reduced_first = eight * s * base() - eight * points.prime_r - (eight * h) * points.mixed;
    let signed = only_cofactored(sent(key, r, s.to_bytes(), n))?;
    (!reduced_first.is_identity()).then_some(signed)
}

fn s_plus_order(points: &Points, n: u32) -> Option<Signed> {
    let mut signed = honest(points, n)?;
    signed.s = plus_order(signed.s)?;
    both_hold(signed)
}

fn s_plus_eight_orders(points: &Points, n: u32) -> Option<Signed> {
    let mut signed = honest(points, n)?;
    for _ in 0..8 {
        signed.s = plus_order(signed.s)?;
    }
    assert!(signed.s[31] >= 0x80);
    both_hold(signed)
}

fn unreduced_r_as_sent(points: &Points, n: u32) -> Option<Signed> {
    let key = encode(points.mixed);
    let s = hash(&UNREDUCED, &key, n) * points.secret;
    both_hold(sent(key, UNREDUCED, s.to_bytes(), n))
}

fn unreduced_r_reduced(points: &Points, n: u32) -> Option<Signed> {
    let key = encode(points.mixed);
    let reduced = encode(decode(&UNREDUCED));
    let s = hash(&reduced, &key, n) * points.secret;
    both_hold(sent(key, reduced, s.to_bytes(), n))?;
    neither_holds(sent(key, UNREDUCED, s.to_bytes(), n))
}

fn unreduced_key_as_sent(points: &Points, n: u32) -> Option<Signed> {
    let (r, s) = (encode(points.mixed_r), points.secret_r.to_bytes());
    let reduced = encode(decode(&UNREDUCED));
    only_cofactored(sent(reduced, r, s, n))?;
    both_hold(sent(UNREDUCED, r, s, n))
}

fn unreduced_key_reduced(points: &Points, n: u32) -> Option<Signed> {
    let (r, s) = (encode(points.mixed_r), points.secret_r.to_bytes());
    let reduced = encode(decode(&UNREDUCED));
    both_hold(sent(reduced, r, s, n))?;
    only_cofactored(sent(UNREDUCED, r, s, n))
}

impl Points {
    fn new() -> Self {
        let small = decode(&unhex(ORDER_8).try_into().unwrap());
        assert!(small.is_small_order());
        assert!(!(small * Scalar::from(4_u8)).is_identity(), "of order 8");
        let (secret, secret_r) = (Scalar::from(SECRET), Scalar::from(SECRET_R));
        let (prime, prime_r) = (secret * base(), secret_r * base());
        Self {
            secret,
            prime,
            small,
            mixed: prime + small,
            secret_r,
            prime_r,
            // R gets the torsion of y = 0, too, which is the point that UNREDUCED spells.
            mixed_r: prime_r + small * Scalar::from(2_u8),
        }
    }
}

impl Signed {
    fn message(&self) -> Message {
        Message::ingest(self.body.as_bytes())
    }

    fn equation(&self) -> Equation {
        let h = challenge(&self.r, &self.key, &self.message());
        let s = Scalar::from_bytes_mod_order(self.s);
        let rest = s * base() - decode(&self.r) - h * decode(&self.key);
        Equation {
            cofactorless: rest.is_identity(),
            cofactored: rest.mul_by_cofactor().is_identity(),
        }
    }

    fn keep(self, wanted: Equation) -> Option<Self> {
        (self.equation() == wanted).then_some(self)
    }
}

fn both_hold(signed: Signed) -> Option<Signed> {
    signed.keep(Equation {
        cofactorless: true,
        cofactored: true,
    })
}

fn only_cofactored(signed: Signed) -> Option<Signed> {
    signed.keep(Equation {
        cofactorless: false,
        cofactored: true,
    })
}

fn neither_holds(signed: Signed) -> Option<Signed> {
    signed.keep(Equation {
        cofactorless: false,
        cofactored: false,
    })
}

fn sent(key: [u8; 32], r: [u8; 32], s: [u8; 32], n: u32) -> Signed {
    let body = body(n);
    Signed { key, r, s, body }
}

fn body(n: u32) -> String {
    format!("{{\"n\":{n}}}")
}

fn hash(r: &[u8; 32], key: &[u8; 32], n: u32) -> Scalar {
    challenge(r, key, &Message::ingest(body(n).as_bytes()))
}

/// SHA-512 of R, key and message, reduced (RFC 8032 §5.1.7).
fn challenge(r: &[u8; 32], key: &[u8; 32], message: &Message) -> Scalar {
    let digest = Sha512::new()
        .chain_update(r)
        .chain_update(key)
        .chain_update(message.as_bytes())
        .finalize();
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

/// The order L of the prime subgroup added to a little-endian number, unless 32 bytes overflow.
fn plus_order(number: [u8; 32]) -> Option<[u8; 32]> {
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut sum = [0; 32];
    let mut carry = 0;
    for (slot, (one, other)) in sum.iter_mut().zip(number.into_iter().zip(order)) {
        let added = u16::from(one) + u16::from(other) + carry;
        [*slot, _] = added.to_le_bytes();
        carry = added >> 8;
    }
    (carry == 0).then_some(sum)
}

fn base() -> EdwardsPoint {
    curve25519_dalek::constants::ED25519_BASEPOINT_POINT
}

fn encode(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

fn decode(bytes: &[u8; 32]) -> EdwardsPoint {
    let point = CompressedEdwardsY(*bytes).decompress();
    point.unwrap_or_else(EdwardsPoint::identity)
}

const SECRET: u64 = 0x6d6f_6e73_7973;
const SECRET_R: u64 = 0x7369_676e_6564;
const ORDER_8: &str = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";

/// y = p in the place of y = 0: a point of order 4 in a form that is not reduced.
const UNREDUCED: [u8; 32] = [
    0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
];
