//! The cryptography of this very program: what it signs it verifies, and what was changed it does not.

use monsys_wire::SigningKey;
use monsys_wire::canonical::{Scratch, canonicalize};
use monsys_wire::sign::Message;

use super::check::Check;
use crate::random::random_bytes;

/// A body that is not canonical, and the form that RFC 8785 gives it.
const BODY: &str = " { \"b\" : [ 1.0 , 1e2 , \"\\u20ac\" ] , \"a\" : -0 } ";
const CANONICAL: &str = "{\"a\":0,\"b\":[1,100,\"\u{20ac}\"]}";

/// Signs with a key made for it, verifies, and verifies what was changed by one bit.
pub(super) fn signature() -> Check {
    let name = "signature";
    let key = SigningKey::from_secret_bytes(random_bytes());
    let message = Message::ingest(CANONICAL.as_bytes());
    let signature = key.sign(&message);
    let changed = Message::ingest(CANONICAL.replace("\"a\":0", "\"a\":1").as_bytes());
    let (verifies, refuses) = (
        key.verifying_key().verify(&message, &signature).is_ok(),
        key.verifying_key().verify(&changed, &signature).is_err(),
    );
    if verifies && refuses {
        Check::ok(name, "signed, verified, and a changed body refused")
    } else {
        Check::fail(name, "the round trip does not hold", BROKEN)
    }
}

/// Makes a body canonical whose form is known.
pub(super) fn canonical_json() -> Check {
    let name = "canonical_json";
    let mut scratch = Scratch::new();
    let canonical = canonicalize(BODY.as_bytes(), &mut scratch);
    if canonical.is_ok_and(|canonical| canonical.as_bytes() == CANONICAL.as_bytes()) {
        Check::ok(name, "as RFC 8785 has it")
    } else {
        Check::fail(name, "a known body gets another form", BROKEN)
    }
}

const BROKEN: &str = "install the program anew: this copy is damaged or built wrongly";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_passes() {
        for check in [signature(), canonical_json()] {
            assert!(check.to_string().starts_with("ok"), "{check}");
        }
    }
}
