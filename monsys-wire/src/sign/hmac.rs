//! HMAC-SHA256 (RFC 2104) under the key of a device, over the request and its canonical body.

use core::fmt::{self, Write};
use core::hint::black_box;

use hmac::digest::{CtOutput, Update};
use hmac::{Hmac, KeyInit as _, Mac as _};
use monsys_core::limit;
use monsys_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{KeyError, Mismatch};
use crate::device::{DeviceIdentity, Nonce};
use crate::hex;

/// The key that a device shares with its hub. It is wiped when dropped and never printed.
pub struct DeviceKey {
    bytes: Zeroizing<[u8; 32]>,
    /// What every MAC under this key begins with, which is two of the 38 blocks of a usual one.
    keyed: Hmac<Sha256>,
}

/// What a request says about itself and its MAC covers: who, when, and which request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    org: &'a str,
    device: &'a str,
    unix_s: u64,
    nonce: &'a str,
}

/// The 32 bytes of a MAC; compared in constant time, and only by [`DeviceKey::verify`].
#[derive(Clone, Copy)]
pub struct Mac {
    bytes: [u8; 32],
}

impl DeviceKey {
    /// Takes 32 secret bytes from a cryptographic random source.
    #[must_use]
    pub fn from_secret_bytes(mut secret: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(secret);
        secret.zeroize();
        Self::of(bytes)
    }

    /// Reads the 64 lower-case hexadecimal digits that the enrolment printed.
    ///
    /// # Errors
    /// [`KeyError::Form`] for any other text.
    pub fn parse_secret_hex(text: &str) -> Result<Self, KeyError> {
        let bytes = hex::decode_secret(text.as_bytes()).ok_or(KeyError::Form)?;
        Ok(Self::of(bytes))
    }

    fn of(bytes: Zeroizing<[u8; 32]>) -> Self {
        let keyed = keyed(&bytes);
        Self { bytes, keyed }
    }

    /// The key as 64 lower-case hexadecimal digits, to be shown once to who enrols the device.
    #[must_use]
    pub fn to_secret_hex(&self) -> Zeroizing<[u8; 64]> {
        hex::secret_digits(&self.bytes)
    }

    /// The secret bytes, as a hub has to store them: a MAC cannot be checked with a digest of them.
    #[must_use]
    pub const fn expose_bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.bytes
    }

    /// The MAC of a request.
    #[must_use]
    pub fn mac(&self, claim: &Claim<'_>, canonical_body: &[u8]) -> Mac {
        let state = absorb(self.keyed.clone(), claim, canonical_body);
        Mac {
            bytes: state.finalize().into_bytes().into(),
        }
    }

    /// Checks the MAC of a request in constant time.
    ///
    /// # Errors
    /// [`Mismatch`]; why is nobody's business.
    pub fn verify(
        &self,
        claim: &Claim<'_>,
        canonical_body: &[u8],
        mac: &Mac,
    ) -> Result<(), Mismatch> {
        absorb(self.keyed.clone(), claim, canonical_body)
            .verify(&mac.bytes.into())
            .map_err(|_| Mismatch)
    }

    /// The work of [`Self::verify`], block by block, where there is no key: so that how long a
    /// refusal takes does not tell which devices exist. Its outcome says nothing.
    /// Not inlined, so that the frame of the caller is as large as with [`Self::verify`].
    #[inline(never)]
    pub(crate) fn verify_for_nobody(claim: &Claim<'_>, canonical_body: &[u8], mac: &Mac) {
        // An HMAC is two digests, each behind a block that a key has absorbed beforehand.
        let mut state = absorb(Sha256::new(), claim, canonical_body);
        let inner = state.finalize_reset();
        Update::update(&mut state, &inner);
        let outer = CtOutput::<Hmac<Sha256>>::new(state.finalize());
        let _ = black_box(outer == CtOutput::new(mac.bytes.into()));
    }
}

/// Absorbs what a MAC covers.
fn absorb<S: Update>(mut state: S, claim: &Claim<'_>, canonical_body: &[u8]) -> S {
    // One update for what comes before the body: each costs as much as it holds.
    state.update(Head::of(claim).as_bytes());
    state.update(canonical_body);
    state
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(…)")
    }
}

impl<'a> Claim<'a> {
    /// What a device says of a request that it sends now; times before 1970 count as its start.
    #[must_use]
    pub fn new(identity: &'a DeviceIdentity, nonce: &'a Nonce, now: Timestamp) -> Self {
        let unix_s = now.unix_micros().div_euclid(1_000_000);
        Self {
            org: identity.org(),
            device: identity.device(),
            unix_s: u64::try_from(unix_s).unwrap_or_default(),
            nonce: nonce.as_str(),
        }
    }

    /// Puts together what the headers hold, each part checked by its grammar.
    pub(crate) const fn of_checked(
        org: &'a str,
        device: &'a str,
        unix_s: u64,
        nonce: &'a str,
    ) -> Self {
        Self {
            org,
            device,
            unix_s,
            nonce,
        }
    }

    /// The organisation.
    #[must_use]
    pub const fn org(&self) -> &'a str {
        self.org
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &'a str {
        self.device
    }

    /// When the request was signed, in seconds of Unix time.
    #[must_use]
    pub const fn unix_s(&self) -> u64 {
        self.unix_s
    }

    /// The nonce.
    #[must_use]
    pub const fn nonce(&self) -> &'a str {
        self.nonce
    }
}

impl Mac {
    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse_hex(text: &[u8]) -> Option<Self> {
        hex::decode(text).map(|bytes| Self { bytes })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::digits(&self.bytes).try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

/// An HMAC that has absorbed nothing but its key.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // Padded to one block of SHA-256, which is what HMAC does with a shorter key.
    let mut block = Zeroizing::new([0_u8; 64]);
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    Hmac::new((&*block).into())
}

/// What is signed before the body: `em1`, organisation, device, timestamp and nonce, a line each.
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

impl Head {
    fn of(claim: &Claim<'_>) -> Self {
        let mut head = Self {
            bytes: [0; HEAD_BYTES_MAX],
            len: 0,
        };
        let mut digits = [0; UNIX_S_DIGITS_MAX];
        let unix_s = decimal(claim.unix_s, &mut digits);
        for line in [
            b"em1",
            claim.org.as_bytes(),
            claim.device.as_bytes(),
            unix_s,
            claim.nonce.as_bytes(),
        ] {
            head.push(line);
            head.push(b"\n");
        }
        head
    }

    /// Appends what always fits, by the grammar of its parts.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(slot) = self.bytes.get_mut(self.len..end) {
            slot.copy_from_slice(bytes);
            self.len = end;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Writes a number at the end of a buffer; what is before it is not written.
fn decimal(mut number: u64, digits: &mut [u8; UNIX_S_DIGITS_MAX]) -> &[u8] {
    let mut start = digits.len();
    for (i, digit) in digits.iter_mut().enumerate().rev() {
        // Cannot fail: a remainder of ten.
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        start = i;
        if number == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// The longest `u64`.
const UNIX_S_DIGITS_MAX: usize = 20;

/// The version, two words, a number, a nonce, and their line ends.
const HEAD_BYTES_MAX: usize =
    3 + 2 * limit::DEVICE_WORD_BYTES_MAX + UNIX_S_DIGITS_MAX + limit::NONCE_BYTES_MAX + 5;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn bytes(hex: &str) -> alloc::vec::Vec<u8> {
        let digits: alloc::vec::Vec<u8> = hex.bytes().collect();
        let pairs = digits.chunks(2).map(|pair| core::str::from_utf8(pair));
        pairs
            .map(|pair| u8::from_str_radix(pair.unwrap(), 16).unwrap())
            .collect()
    }

    /// A key of any length as one of 32 bytes: HMAC pads shorter ones and hashes longer ones.
    fn key(secret: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        if secret.len() > 64 {
            key.copy_from_slice(&Sha256::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        key
    }

    #[test]
    fn the_vectors_of_rfc_4231_hold() {
        let cases: [(&[u8], &[u8], &str); 6] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &bytes("0102030405060708090a0b0c0d0e0f10111213141516171819"),
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than \
                  block-size data. The key needs to be hashed before being used by the HMAC \
                  algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (secret, message, expected) in cases {
            let mac: [u8; 32] = keyed(&key(secret))
                .chain_update(message)
                .finalize()
                .into_bytes()
                .into();
            assert_eq!(mac.as_slice(), bytes(expected), "{expected}");
        }
    }

    #[test]
    fn the_text_that_is_signed_is_that_of_the_contract() {
        let identity = DeviceIdentity::parse("acme", "web-1").unwrap();
        let nonce = Nonce::parse("0123456789abcdef").unwrap();
        let now = Timestamp::from_unix_micros(1_795_223_741_999_999).unwrap();
        let claim = Claim::new(&identity, &nonce, now);
        let key = DeviceKey::from_secret_bytes([7; 32]);
        let text = b"em1\nacme\nweb-1\n1795223741\n0123456789abcdef\n{}";
        let expected: [u8; 32] = keyed(&[7; 32])
            .chain_update(text)
            .finalize()
            .into_bytes()
            .into();
        let mac = key.mac(&claim, b"{}");
        assert_eq!(Mac { bytes: expected }.to_string(), mac.to_string());
        assert_eq!(key.verify(&claim, b"{}", &mac), Ok(()));
        assert_eq!(key.verify(&claim, b"{ }", &mac), Err(Mismatch));
    }

    #[test]
    fn numbers_are_signed_as_they_are_printed() {
        for number in [0, 1, 9, 10, 1_795_223_741, 253_402_300_799, u64::MAX] {
            let mut digits = [0; UNIX_S_DIGITS_MAX];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }

    #[test]
    fn the_longest_parts_are_all_signed() {
        let word = "w".repeat(limit::DEVICE_WORD_BYTES_MAX);
        let nonce = "n".repeat(limit::NONCE_BYTES_MAX);
        let claim = Claim::of_checked(&word, &word, u64::MAX, &nonce);
        let text = alloc::format!("em1\n{word}\n{word}\n{}\n{nonce}\n", u64::MAX);
        assert_eq!(Head::of(&claim).as_bytes(), text.as_bytes());
    }

    #[test]
    fn keys_are_64_lower_case_digits_and_never_printed() {
        let key = DeviceKey::from_secret_bytes([0xab; 32]);
        let text = key.to_secret_hex();
        let text = core::str::from_utf8(text.as_slice()).unwrap();
        assert_eq!(text, "ab".repeat(32));
        let again = DeviceKey::parse_secret_hex(text).unwrap();
        assert_eq!(again.expose_bytes(), key.expose_bytes());
        for bad in ["", &"AB".repeat(32), &"ab".repeat(31), &"ag".repeat(32)] {
            assert_eq!(DeviceKey::parse_secret_hex(bad).err(), Some(KeyError::Form));
        }
        assert_eq!(alloc::format!("{key:?}"), "DeviceKey(…)");
    }
}
