//! The sets of Project Wycheproof for the two primitives, every case run or counted.
//!
//! What others got wrong: malleable, padded, cut and re-encoded signatures, and modified tags. They
//! are cases about bare bytes, so they go to the primitive below the line that names a purpose.

use alloc::format;
use alloc::string::String;

use hmac::Mac as _;
use sha2::{Digest as _, Sha256};
use wycheproof::{TestResult, eddsa, mac};

use super::hmac::keyed;
use super::{Mac, Message, Signature, VerifyingKey};

/// How the cases of a set came out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    accepted: usize,
    refused: usize,
    /// Refused before any arithmetic, because the form cannot be that of the primitive.
    refused_by_form: usize,
}

#[test]
fn the_ed25519_set_holds_with_every_case_run() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut counts = Counts::default();
    for group in &set.test_groups {
        let key: &[u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        let key = VerifyingKey::from_bytes(key).expect("every key of the set may be pinned");
        for test in &group.tests {
            let name = format!("case {}: {}", test.tc_id, test.comment);
            let is_valid = test.result == TestResult::Valid;
            let Some(signature) = Signature::parse_hex(hex(&test.sig).as_bytes()) else {
                assert!(!is_valid && test.sig.len() != 64, "{name}");
                counts.refused_by_form += 1;
                continue;
            };
            let verified = key.verify(&Message::bare(&test.msg), &signature);
            assert_eq!(verified.is_ok(), is_valid, "{name}");
            if is_valid {
                counts.accepted += 1;
            } else {
                counts.refused += 1;
            }
        }
    }
    let expected = Counts {
        accepted: 88,
        refused: 51,
        refused_by_form: 12,
    };
    assert_eq!(counts, expected);
    let n_run = counts.accepted + counts.refused + counts.refused_by_form;
    assert_eq!(n_run, set.number_of_tests);
}

#[test]
fn the_hmac_sha256_set_holds_and_cut_tags_have_no_form() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut counts = Counts::default();
    for group in &set.test_groups {
        for test in &group.tests {
            let name = format!("case {}: {}", test.tc_id, test.comment);
            let is_valid = test.result == TestResult::Valid;
            let state = keyed(&of_32_bytes(&test.key)).chain_update(test.msg.as_slice());
            let parsed = Mac::parse_hex(hex(&test.tag).as_bytes());
            let Ok(tag) = <&[u8; 32]>::try_from(test.tag.as_slice()) else {
                // Cut to 128 bits: right or wrong, it is no MAC of this profile.
                assert!(parsed.is_none() && group.tag_size == 128, "{name}");
                let whole = state.finalize().into_bytes();
                assert_eq!(whole.starts_with(&test.tag), is_valid, "{name}");
                counts.refused_by_form += 1;
                continue;
            };
            assert!(parsed.is_some(), "{name}");
            let verified = state.verify(tag.into());
            assert_eq!(verified.is_ok(), is_valid, "{name}");
            if is_valid {
                counts.accepted += 1;
            } else {
                counts.refused += 1;
            }
        }
    }
    let expected = Counts {
        accepted: 33,
        refused: 54,
        refused_by_form: 87,
    };
    assert_eq!(counts, expected);
    let n_run = counts.accepted + counts.refused + counts.refused_by_form;
    assert_eq!(n_run, set.number_of_tests);
}

/// A key of any length as one of 32 bytes: HMAC pads shorter ones and hashes those longer than a
/// block (RFC 2104 §2). Between the two no key would fit, and the set has none.
fn of_32_bytes(secret: &[u8]) -> [u8; 32] {
    if secret.len() > 64 {
        return Sha256::digest(secret).into();
    }
    let mut key = [0; 32];
    key[..secret.len()].copy_from_slice(secret);
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
