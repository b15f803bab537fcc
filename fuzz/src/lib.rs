//! What must hold for any bytes whatever, as plain functions.
//!
//! The fuzz targets call them with mutated bytes, and a test of the wire crate with each file of
//! the committed corpora, so that a finding stays found on stable. Run one with
//! `cargo +nightly fuzz run --features libfuzzer canonical`.

use monsys_core::id::AgentId;
use monsys_core::json::{self, Cursor, JsonCode, JsonError, Profile, Scratch};
use monsys_wire::compose::OutgoingBody;
use monsys_wire::envelope::{self, AuthProfile, BodyForm, Credentials, Received};
use monsys_wire::header::{AUTHORIZATION, BearerToken, SIGNATURE};
use monsys_wire::sign::Message;
use monsys_wire::{Admitted, Audience, Reject, SigningKey};

/// Canonical JSON: what is checked is made unchanged, what is made is checked, both profiles agree
/// on what both admit, and the walk sees every byte.
pub fn canonical(bytes: &[u8]) {
    let (mut scratch, mut again) = (Scratch::new(), Scratch::new());
    let checked = json::check(bytes);
    match json::canonicalize(bytes, &mut scratch) {
        Ok(made) => {
            assert_eq!(
                json::check(made.as_bytes()),
                Ok(made),
                "what is made is canonical"
            );
            assert_eq!(
                json::canonicalize(made.as_bytes(), &mut again),
                Ok(made),
                "idempotent"
            );
            match checked {
                Ok(_) => assert_eq!(made.as_bytes(), bytes, "what is canonical stays"),
                Err(error) => assert_eq!(error.code, JsonCode::NotCanonical),
            }
            let pure = json::canonicalize_with(bytes, &mut again, Profile::rfc8785());
            assert_eq!(pure, Ok(made), "the profile only refuses");
            let mut cursor = Cursor::new(made);
            walk(&mut cursor);
            assert_eq!(
                cursor.offset(),
                made.as_bytes().len(),
                "the walk ends at the end"
            );
        }
        Err(error) => check_refusal(bytes, checked, error),
    }
}

/// The envelope: a body that is admitted is admitted again in canonical form, with the same values,
/// and no other signature will do.
pub fn envelope(bytes: &[u8]) {
    let mut buffer = Scratch::new();
    let canonical = json::canonicalize(bytes, &mut buffer);
    let signed = canonical.map_or(bytes, |canonical| canonical.as_bytes());
    let outcome = admit(bytes, signed, BodyForm::Accept);
    match &outcome {
        Ok(admitted) => {
            assert_eq!(
                admit(signed, signed, BodyForm::Require).as_ref(),
                Ok(admitted)
            );
            let refused = admit(bytes, b"another body", BodyForm::Accept);
            assert_eq!(
                refused.map_err(|reject| reject.code()),
                Err("bad_signature")
            );
            let restored =
                OutgoingBody::restore(signed).map(|body| body.with_sent_at(admitted.captured_at));
            let retry = restored.ok().and_then(Result::ok);
            let Some(retry) = retry else {
                panic!("an admitted body can be sent again")
            };
            let retried = admit(retry.as_bytes(), retry.as_bytes(), BodyForm::Require);
            let content = retried.map(|retried| retried.content_hash);
            assert_eq!(content, Ok(admitted.content_hash), "sent_at is no content");
        }
        Err(reject) => {
            assert!(
                (400..500).contains(&reject.status()),
                "the sender's fault: {reject}"
            );
            assert!(
                reject
                    .pointer()
                    .is_none_or(|pointer| pointer.len() <= json::POINTER_BYTES_MAX)
            );
        }
    }
}

fn check_refusal(bytes: &[u8], checked: Result<json::Canonical<'_>, JsonError>, error: JsonError) {
    assert_ne!(error.code, JsonCode::NotCanonical);
    assert!(error.offset <= bytes.len());
    let pointer = error.pointer(bytes).unwrap_or_default();
    assert!(pointer.len() <= json::POINTER_BYTES_MAX);
    let Err(checked) = checked else {
        panic!("canonical and refused: {error}")
    };
    assert!(checked == error || checked.code == JsonCode::NotCanonical);
}

/// Reads every value by its kind. The depth is bounded by the profile, so recursion is too.
fn walk(cursor: &mut Cursor<'_>) {
    assert!(cursor.pointer().len() <= json::POINTER_BYTES_MAX);
    match cursor.kind() {
        json::Kind::Object => {
            assert!(cursor.enter_object());
            while cursor.next_name().is_some() {
                walk(cursor);
            }
        }
        json::Kind::Array => {
            assert!(cursor.enter_array());
            while cursor.next_element() {
                walk(cursor);
            }
        }
        json::Kind::Text => assert!(cursor.text().is_some()),
        json::Kind::Number => assert!(cursor.number().is_some_and(f64::is_finite)),
        json::Kind::Boolean => assert!(cursor.boolean().is_some()),
        json::Kind::Null => assert!(cursor.null()),
    }
}

/// Sends `body` with a signature over `signed`, as the agent of the corpus to the hub of the corpus.
fn admit(body: &[u8], signed: &[u8], form: BodyForm) -> Result<Admitted, Reject> {
    let key = SigningKey::from_secret_bytes([7; 32]);
    let pinned = key.verifying_key();
    let agent_id = AgentId::from_random_bytes([3; 16]);
    let owner = Credentials::new(agent_id, AuthProfile::Ed25519).with_pinned_key(&pinned);
    let authorization = BearerToken::from_random_bytes([9; 32]).to_header_value();
    let signature = key.sign(&Message::ingest(signed)).to_string();
    let headers = [
        (AUTHORIZATION, authorization.as_bytes()),
        (SIGNATURE, signature.as_bytes()),
    ];
    let Ok(hub) = Audience::parse("hub-1") else {
        panic!("hub-1 is an audience")
    };
    Received::new(body, headers)?
        .authenticate(&owner, form, &mut envelope::Scratch::new())?
        .fresh(&hub)?
        .admit()
}
