//! Ed25519 keys and signatures (RFC 8032), with the strict set of checks.

use core::fmt::{self, Write};

use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::Message;
use crate::hex;

/// A secret key. It is wiped when dropped and never printed.
pub struct SigningKey {
    inner: ed25519_dalek::SigningKey,
}

/// A public key that is safe to verify with: canonical, of prime order.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    inner: ed25519_dalek::VerifyingKey,
}

/// The 64 bytes of a signature; whether it verifies is another question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    bytes: [u8; 64],
}

/// Why a text or bytes are no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("expected 64 lower-case hexadecimal digits")]
    Form,
    /// Not a point of the curve.
    #[error("expected a point of the curve")]
    NotAPoint,
    /// A point that is spelled with a coordinate beyond the field (RFC 8032 §5.1.3).
    #[error("expected the canonical encoding of a point")]
    NotCanonical,
    /// A point of small order, under which one signature fits many messages.
    #[error("expected a point of large order")]
    Weak,
    /// A point outside of the prime-order subgroup, on which verifiers disagree.
    #[error("expected a point of the prime-order subgroup")]
    Torsioned,
}

/// Says that a signature is not one of this message by this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a signature of this message by this key")]
pub struct Mismatch;

impl SigningKey {
    /// Takes 32 secret bytes from a cryptographic random source.
    #[must_use]
    pub fn from_secret_bytes(mut secret: [u8; 32]) -> Self {
        let inner = ed25519_dalek::SigningKey::from_bytes(&secret);
        secret.zeroize();
        Self { inner }
    }

    /// Reads the 64 lower-case hexadecimal digits of a key file.
    ///
    /// # Errors
    /// [`KeyError::Form`] for any other text.
    pub fn parse_secret_hex(text: &str) -> Result<Self, KeyError> {
        let secret = hex::decode_secret(text.as_bytes()).ok_or(KeyError::Form)?;
        Ok(Self {
            inner: ed25519_dalek::SigningKey::from_bytes(&secret),
        })
    }

    /// The secret as 64 lower-case hexadecimal digits, for a key file only its owner can read.
    #[must_use]
    pub fn to_secret_hex(&self) -> Zeroizing<[u8; 64]> {
        hex::secret_digits(&Zeroizing::new(self.inner.to_bytes()))
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &Message) -> Signature {
        use ed25519_dalek::Signer as _;
        Signature {
            bytes: self.inner.sign(message.as_bytes()).to_bytes(),
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey {
            inner: self.inner.verifying_key(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl VerifyingKey {
    /// Reads a key that someone wants to be pinned: 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError`]: the form, or a point that verifiers could disagree about.
    pub fn parse_hex(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&hex::decode(text.as_bytes()).ok_or(KeyError::Form)?)
    }

    /// Takes the bytes of a key that someone wants to be pinned. Costs about one verification.
    ///
    /// # Errors
    /// [`KeyError`] for a point that verifiers could disagree about.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Self::from_pinned_bytes(bytes)?;
        let point = key.inner.to_edwards();
        if point.compress().to_bytes() != *bytes {
            return Err(KeyError::NotCanonical);
        }
        if key.inner.is_weak() {
            return Err(KeyError::Weak);
        }
        if !point.is_torsion_free() {
            return Err(KeyError::Torsioned);
        }
        Ok(key)
    }

    /// Takes the bytes of a key that was checked when it was pinned; a tenth of the cost.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`]: the stored bytes are damaged.
    pub fn from_pinned_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let inner =
            ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        Ok(Self { inner })
    }

    /// Verifies a signature with the strict set of checks.
    ///
    /// One by one, about 40 µs each. A batch of 64 takes half of that and is not offered. It weighs
    /// each equation with a random factor, and an even factor removes a point of order 2: a batch
    /// accepts signatures that strict refuses, under a key of prime order, too. Of 400 signatures
    /// with a torsioned R strict accepts none; the batch of ed25519-dalek 3.0.0 accepts 203 where
    /// the torsion is of order 2, 100 of order 4 and 45 of order 8, counted by
    /// `cargo run --release --manifest-path benches/Cargo.toml --features batch --bin batch`.
    /// The feature `batch` of ed25519-dalek stays off here, since features are turned on for all.
    ///
    /// # Errors
    /// [`Mismatch`]; why is nobody's business.
    pub fn verify(&self, message: &Message, signature: &Signature) -> Result<(), Mismatch> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.bytes);
        self.inner
            .verify_strict(message.as_bytes(), &signature)
            .map_err(|_| Mismatch)
    }

    /// The bytes, as they are stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.inner.to_bytes()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::digits(self.inner.as_bytes()).try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl Signature {
    /// Reads 128 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse_hex(text: &[u8]) -> Option<Self> {
        hex::decode(text).map(|bytes| Self { bytes })
    }

    /// Takes the 64 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self { bytes }
    }

    /// Whether R is a point of small order, in any encoding. The strict set refuses it; an
    /// implementation of [`Verify`](super::Verify) that takes more can ask here.
    #[must_use]
    pub fn has_weak_r(&self) -> bool {
        let Some(r) = self.bytes.first_chunk::<32>() else {
            return false;
        };
        let mut y = *r;
        // The last bit is the sign of x.
        if let Some(last) = y.last_mut() {
            *last &= 0x7F;
        }
        WEAK_Y.contains(&y)
    }

    /// The 64 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 64] {
        self.bytes
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::digits(&self.bytes).try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// The y of the points of small order, in every spelling below 2^255.
const WEAK_Y: [[u8; 32]; 7] = [
    // 0: order 4.
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00,
    ],
    // 1: the neutral element.
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00,
    ],
    // p − 1: order 2.
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // p, another spelling of 0.
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // p + 1, another spelling of 1.
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    // order 8.
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// RFC 8032 §7.1, tests 1 to 3: secret, public, message, signature.
    const VECTORS: [(&str, &str, &[u8], &str); 3] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"",
            concat!(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            concat!(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            b"\xaf\x82",
            concat!(
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
                "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
    ];

    #[test]
    fn the_vectors_of_rfc_8032_hold() {
        for (secret, public, message, signature) in VECTORS {
            let key = SigningKey::parse_secret_hex(secret).ok();
            let message = Message::bare(message);
            let signed = key.as_ref().map(|key| key.sign(&message).to_string());
            assert_eq!(signed.as_deref(), Some(signature));
            let verifying = VerifyingKey::parse_hex(public).ok();
            assert_eq!(verifying, key.map(|key| key.verifying_key()));
            let parsed = Signature::parse_hex(signature.as_bytes());
            let verified = verifying
                .zip(parsed)
                .map(|(key, signature)| key.verify(&message, &signature));
            assert_eq!(verified, Some(Ok(())));
        }
    }

    #[test]
    fn a_signature_with_a_scalar_beyond_the_order_is_refused() {
        // S + L of test 1: accepted by lenient verifiers, which makes signatures malleable.
        let order: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let key = SigningKey::from_secret_bytes([5; 32]);
        let message = Message::ingest(b"{}");
        let mut bytes = key.sign(&message).to_bytes();
        let mut carry = 0_u16;
        for (byte, add) in bytes.iter_mut().skip(32).zip(order) {
            let [low, high] = (u16::from(*byte) + u16::from(add) + carry).to_le_bytes();
            (*byte, carry) = (low, u16::from(high));
        }
        let forged = Signature::from_bytes(bytes);
        assert_eq!(key.verifying_key().verify(&message, &forged), Err(Mismatch));
    }
}
