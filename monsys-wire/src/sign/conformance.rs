//! What an implementation of [`Verify`] or [`Sign`] must do, as checks that it runs on itself.
//!
//! What: good signatures of short and long messages verify, and nothing else does: no other message
//! or key, no signature with a bit changed, none of the ten on which implementations are known to
//! disagree under a key that is fit to be pinned. What not: constant time, and keys that are unfit;
//! [`VerifyingKey`] refuses those before anybody verifies. A new check is a new breach.
//!
//! Cost: about 550 verifications, 25 ms.
//!
//! ```
//! use monsys_wire::{SigningKey, VerifyingKey, sign::conformance};
//!
//! assert_eq!(conformance::verifier(VerifyingKey::clone), Ok(()));
//! assert_eq!(conformance::signer(&SigningKey::from_secret_bytes([1; 32])), Ok(()));
//! ```

use alloc::vec::Vec;

use thiserror::Error;

use super::{Message, Sign, Signature, SigningKey, Verify, VerifyingKey};

/// The first promise that is not kept. Open: a new check is a new breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Breach {
    /// A good signature is refused.
    #[error("expected a good signature to verify")]
    GoodRefused,
    /// A signature of another message is accepted.
    #[error("expected the signature of another message to be refused")]
    OtherMessage,
    /// A signature by another key is accepted.
    #[error("expected the signature by another key to be refused")]
    OtherKey,
    /// A signature with one bit changed is accepted.
    #[error("expected an altered signature to be refused")]
    Altered,
    /// A signature whose scalar is not below the order is accepted: anybody can make a second
    /// signature of a message.
    #[error("expected a scalar beyond the order to be refused")]
    Malleable,
    /// A signature whose R is of small order is accepted.
    #[error("expected an R of small order to be refused")]
    WeakR,
    /// A signature whose R lies outside of the prime-order subgroup is accepted: the equation is
    /// multiplied with the cofactor.
    #[error("expected an R outside of the prime-order subgroup to be refused")]
    TorsionedR,
    /// The signer gave no signature.
    #[error("expected a signature")]
    NotSigned,
}

/// Checks an implementation of [`Verify`], which `open` makes for a key that was pinned.
///
/// # Errors
/// The first [`Breach`].
pub fn verifier<V: Verify>(open: impl Fn(&VerifyingKey) -> V) -> Result<(), Breach> {
    let key = SigningKey::from_secret_bytes(SECRET);
    let (own, other) = (
        open(&key.verifying_key()),
        open(&SigningKey::from_secret_bytes([8; 32]).verifying_key()),
    );
    for message in messages() {
        let signature = key.sign(&message);
        own.verify(&message, &signature)
            .map_err(|_| Breach::GoodRefused)?;
        refused(&other, &message, &signature, Breach::OtherKey)?;
        refused(
            &own,
            &Message::ingest(b"[]"),
            &signature,
            Breach::OtherMessage,
        )?;
    }
    let message = Message::ingest(BODY);
    let good = key.sign(&message).to_bytes();
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut altered = good;
            if let Some(byte) = altered.get_mut(place) {
                *byte ^= 1 << bit;
            }
            let altered = Signature::from_bytes(altered);
            refused(&own, &message, &altered, Breach::Altered)?;
        }
    }
    for (breach, halves) in DISPUTED {
        let signature = Signature::parse_hex(halves.concat().as_bytes());
        // Cannot be None: 128 digits.
        let signature = signature.ok_or(breach)?;
        refused(&own, &message, &signature, breach)?;
    }
    Ok(())
}

/// Checks an implementation of [`Sign`]: what it signs verifies under the key it names.
///
/// # Errors
/// [`Breach::NotSigned`] or [`Breach::GoodRefused`].
pub fn signer<S: Sign + ?Sized>(signer: &S) -> Result<(), Breach> {
    let key = signer.verifying_key();
    for message in messages() {
        let signature = signer.sign(&message).map_err(|_| Breach::NotSigned)?;
        key.verify(&message, &signature)
            .map_err(|_| Breach::GoodRefused)?;
    }
    Ok(())
}

/// Messages around the blocks of SHA-512.
fn messages() -> impl Iterator<Item = Message> {
    let lengths = [0, 1, 2, 14, 15, 46, 47, 48, 110, 111, 112, 4_096];
    let body = |length| (0..length).map(|_| b'7').collect::<Vec<u8>>();
    lengths.into_iter().map(move |n| Message::ingest(&body(n)))
}

fn refused(
    key: &impl Verify,
    message: &Message,
    signature: &Signature,
    breach: Breach,
) -> Result<(), Breach> {
    match key.verify(message, signature) {
        Ok(()) => Err(breach),
        Err(_) => Ok(()),
    }
}

const SECRET: [u8; 32] = [7; 32];
const BODY: &[u8] = b"{}";

/// R and S of signatures of `BODY` by `SECRET` that some implementations accept. Below, a is the
/// secret scalar and k the hash of R, key and message.
const DISPUTED: [(Breach, [&str; 2]); 10] = [
    // The good signature with S + L.
    (
        Breach::Malleable,
        [
            "0b9ecb255da9885644383e16424872e42828060cb9f802169800d978b64a77bd",
            "fbc570a11c857aca8ea71a4b0cfba4a8380719b33fb23d6788837699f7e6a313",
        ],
    ),
    // The neutral element; S is k·a. Only the owner of the key can make it, and then it fits.
    (
        Breach::WeakR,
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "44fb4855151ba901543ff6a8fa8f55f0267578f4d41aa86e0fb2f5e52659e902",
        ],
    ),
    // The same point with a coordinate beyond the field.
    (
        Breach::WeakR,
        [
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "54f89c240a32b209b3ad6c204f5561a5843a8910b2542e37ae7074e7f199c40d",
        ],
    ),
    // The same point with the sign of a zero.
    (
        Breach::WeakR,
        [
            "0100000000000000000000000000000000000000000000000000000000000080",
            "08c4db2d7f35601095a57858b64983af38c0730832419fb67453dd807ea5f50f",
        ],
    ),
    // A point of order 2; fits after multiplication with the cofactor.
    (
        Breach::WeakR,
        [
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "84d040c956dedc29b6d4185bad743d9942911bc02aeaf45a42a564da7b6a1003",
        ],
    ),
    // A point of order 4.
    (
        Breach::WeakR,
        [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "1013c8086c32783dd9ecffdcdb167d6d08e9e0c54b501152fea8e64f6824c804",
        ],
    ),
    // A point of order 8.
    (
        Breach::WeakR,
        [
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "1689a7b54583c1dbad8c78ae2dc7f3a163b7a25cffdc60d608afa655acb4b205",
        ],
    ),
    // The good R and a point of order 2; fits after multiplication with the cofactor.
    (
        Breach::TorsionedR,
        [
            "e26134daa25677a9bbc7c1e9bdb78d1bd7d7f9f34607fde967ff268749b58842",
            "3a7c54e45194779c9e94bd1589f8a625440f25976994f826149e1c447b6b3808",
        ],
    ),
    // The good R and a point of order 4.
    (
        Breach::TorsionedR,
        [
            "a0ef2fa9900a3ef6fb4d4e6d305464bf9bbead77140b153ab424d8673c5a5482",
            "aff8632c81c4b3147015a20ed8056f8d01750437c380a8e7338e9988deb8e002",
        ],
    ),
    // The good R and a point of order 8.
    (
        Breach::TorsionedR,
        [
            "4266b7492a19e6b6e1be7f03a9687ec08f1920c2443240518bb7b4e64720286e",
            "c98fc87f7817779a41b2c653dd43f9fb61692bd05a60c329c98bce7c9ffc4200",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the vectors say about R, by the arithmetic of the curve.
    #[test]
    fn the_disputed_signatures_are_what_they_are_said_to_be() {
        let key = SigningKey::from_secret_bytes(SECRET);
        let good = key.sign(&Message::ingest(BODY)).to_bytes();
        for (breach, halves) in DISPUTED {
            let signature = Signature::parse_hex(halves.concat().as_bytes()).unwrap();
            let r = *signature.to_bytes().first_chunk::<32>().unwrap();
            let point = ed25519_dalek::VerifyingKey::from_bytes(&r).unwrap();
            let is_torsion_free = point.to_edwards().is_torsion_free();
            assert_eq!(signature.has_weak_r(), breach == Breach::WeakR);
            match breach {
                Breach::Malleable => assert_eq!(Some(&r), good.first_chunk::<32>()),
                Breach::WeakR => assert!(point.is_weak()),
                Breach::TorsionedR => assert!(!point.is_weak() && !is_torsion_free),
                Breach::GoodRefused
                | Breach::OtherMessage
                | Breach::OtherKey
                | Breach::Altered
                | Breach::NotSigned => unreachable!("not a disputed signature"),
            }
        }
    }
}
