//! Counts the signatures with a torsioned R that batch verification accepts and strict refuses.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --features batch --bin batch` prints one
//! line per order of the torsion: `order made strict batch`. The key is of prime order, so it is
//! fit to be pinned. The batch is of one signature; more would only add to the accidents.

use curve25519_dalek::Scalar;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey, verify_batch};
use monsys_wire::sign::Message;
use sha2::{Digest as _, Sha512};

fn main() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    assert!(public.to_edwards().is_torsion_free());
    println!("order made strict batch");
    for (order, multiple) in [(1, 8), (2, 4), (4, 2), (8, 1)] {
        let torsion = EIGHT_TORSION[multiple % 8];
        let (mut n_strict, mut n_batch) = (0, 0);
        for n in 0..N_SIGNATURES {
            let message = Message::ingest(format!(r#"{{"n":{n}}}"#).as_bytes());
            let signature = signature(&key, &torsion, message.as_bytes());
            n_strict += u32::from(public.verify_strict(message.as_bytes(), &signature).is_ok());
            n_batch += u32::from(batch_accepts(&public, message.as_bytes(), &signature));
        }
        println!("{order:5} {N_SIGNATURES:4} {n_strict:6} {n_batch:5}");
    }
}

/// A signature by the owner of the key, whose R has the torsion added.
fn signature(key: &SigningKey, torsion: &EdwardsPoint, message: &[u8]) -> Signature {
    let nonce = scalar(&[b"nonce", message]);
    let r = (EdwardsPoint::mul_base(&nonce) + torsion).compress();
    let hash = scalar(&[r.as_bytes(), key.verifying_key().as_bytes(), message]);
    Signature::from_components(r.to_bytes(), (nonce + hash * key.to_scalar()).to_bytes())
}

fn scalar(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn batch_accepts(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    verify_batch(&[message], &[*signature], &[*key]).is_ok()
}

const N_SIGNATURES: u32 = 400;
