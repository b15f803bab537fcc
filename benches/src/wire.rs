//! The wire layer: canonical JSON against its peers, the envelope against the bare signature.

use std::hint::black_box;

use ed25519_dalek::Signer as _;
use monsys_core::AgentId;
use monsys_core::json::{self, Scratch};
use monsys_core::position::{ContentHash, Position, PositionSet};
use monsys_wire::envelope::{self, AuthProfile, BodyForm, Credentials, Received};
use monsys_wire::header::{AUTHORIZATION, BearerToken, CONTENT_TYPE, JSON_TYPE, SIGNATURE};
use monsys_wire::{Audience, SigningKey, VerifyingKey};
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::race::{Race, Times};
use crate::report::Figure;
use crate::report::Target::{AtMost, Part, TimesFaster};
use crate::serialize;
use crate::{device, payload};

/// Every figure of the topic, measured.
pub fn figures() -> Vec<Figure> {
    let mut figures = check_2k();
    figures.extend(canonicalize_2k());
    let (batch, nanos_per_byte) = canonicalize_batch();
    figures.push(batch);
    figures.push(check_doubles());
    figures.extend(serialize::figures());
    figures.extend(envelope());
    figures.extend(device::figures());
    figures.extend(worst(nanos_per_byte));
    figures
}

fn check_2k() -> Vec<Figure> {
    let text = canonical(&payload::metrics());
    let bytes = text.as_bytes();
    let mut race = Race::default();
    race.add("ours", || {
        black_box(json::check(black_box(bytes)).is_ok());
    });
    race.add("IgnoredAny", || {
        black_box(serde_json::from_slice::<IgnoredAny>(black_box(bytes)).is_ok());
    });
    race.add("jcs-admit", || {
        black_box(jcs_admit::is_canonical(black_box(bytes)));
    });
    let times = race.finish();
    let ours = times.of("ours");
    let skip = times.of("IgnoredAny");
    let admit = times.of("jcs-admit");
    vec![
        Figure::new("check_2k/serde_json_ignored_any", ours, skip, AtMost(0.8)),
        Figure::new("check_2k/jcs_admit", ours, admit, TimesFaster(25.0)),
    ]
}

fn canonicalize_2k() -> Vec<Figure> {
    let text = payload::metrics();
    let bytes = text.as_bytes();
    let mut scratch = Scratch::new();
    let mut race = Race::default();
    race.add("ours", move || {
        black_box(json::canonicalize(black_box(bytes), &mut scratch).is_ok());
    });
    race.add("Value", || {
        black_box(serde_json::from_slice::<Value>(black_box(bytes)).is_ok());
    });
    race.add("jcs-admit", || {
        black_box(jcs_admit::admit(black_box(bytes)).is_ok());
    });
    race.add("serde_json_canonicalizer", || {
        let value: Value = serde_json::from_slice(black_box(bytes)).expect("our payload");
        black_box(serde_json_canonicalizer::to_vec(&value).is_ok());
    });
    race.add("boundary-compiler", || {
        let text = str::from_utf8(black_box(bytes)).expect("our payload");
        let value = boundary_compiler::parse_with_dup_check(text).expect("our payload");
        let canonicalizer = boundary_compiler::Canonicalizer::new();
        black_box(canonicalizer.canonicalize_bytes(&value).is_ok());
    });
    let times = race.finish();
    let against = |name: &str, peer, target| {
        let name = format!("canonicalize_2k/{name}");
        Figure::new(name, times.of("ours"), times.of(peer), target)
    };
    vec![
        against("serde_json_value", "Value", AtMost(0.4)),
        against("jcs_admit", "jcs-admit", TimesFaster(16.0)),
        against(
            "serde_json_canonicalizer",
            "serde_json_canonicalizer",
            TimesFaster(13.0),
        ),
        against("boundary_compiler", "boundary-compiler", TimesFaster(5.0)),
    ]
}

/// The figure, and what a byte costs: the typical body of the worst cases.
fn canonicalize_batch() -> (Figure, f64) {
    let text = payload::batch();
    let bytes = text.as_bytes();
    let mut scratch = Scratch::new();
    let mut race = Race::default();
    race.add("ours", move || {
        black_box(json::canonicalize(black_box(bytes), &mut scratch).is_ok());
    });
    race.add("Value", || {
        black_box(serde_json::from_slice::<Value>(black_box(bytes)).is_ok());
    });
    let times = race.finish();
    let (ours, value) = (times.of("ours"), times.of("Value"));
    let name = "canonicalize_57k/serde_json_value";
    (
        Figure::new(name, ours, value, AtMost(0.3)),
        ours / bytes.len() as f64,
    )
}

fn check_doubles() -> Figure {
    let text = canonical(&payload::doubles());
    let bytes = text.as_bytes();
    let mut race = Race::default();
    race.add("ours", || {
        black_box(json::check(black_box(bytes)).is_ok());
    });
    race.add("Value", || {
        black_box(serde_json::from_slice::<Value>(black_box(bytes)).is_ok());
    });
    let times = race.finish();
    let name = "check_487k_doubles/serde_json_value";
    Figure::new(name, times.of("ours"), times.of("Value"), AtMost(1.15))
}

/// An agent, its hub, and one signed request.
struct Sender {
    id: AgentId,
    hub: Audience,
    key: VerifyingKey,
    bare_key: ed25519_dalek::VerifyingKey,
    bare_signature: ed25519_dalek::Signature,
    authorization: String,
    signature: String,
    body: String,
    message: Vec<u8>,
}

impl Sender {
    fn new() -> Self {
        let secret = [7; 32];
        let id = AgentId::from_random_bytes([3; 16]);
        let hub = Audience::parse("hub-1").expect("an audience");
        let body = payload::contract_metrics(&id.to_string(), "hub-1");
        assert_eq!(canonical(&body), body, "written in order");
        let message = [b"monsys-ingest-v1\n", body.as_bytes()].concat();
        let bare = ed25519_dalek::SigningKey::from_bytes(&secret);
        let bare_signature = bare.sign(&message);
        Self {
            id,
            hub,
            key: SigningKey::from_secret_bytes(secret).verifying_key(),
            bare_key: bare.verifying_key(),
            bare_signature,
            authorization: BearerToken::from_random_bytes([9; 32]).to_header_value(),
            signature: monsys_wire::Signature::from_bytes(bare_signature.to_bytes()).to_string(),
            body,
            message,
        }
    }

    fn received(&self) -> Received<'_> {
        let headers = [
            ("host", b"hub.example".as_slice()),
            (AUTHORIZATION, self.authorization.as_bytes()),
            (SIGNATURE, self.signature.as_bytes()),
            (CONTENT_TYPE, JSON_TYPE.as_bytes()),
        ];
        Received::new(self.body.as_bytes(), black_box(headers)).expect("good headers")
    }

    fn unpinned(&self) -> Credentials<'_> {
        Credentials::new(self.id, AuthProfile::Ed25519)
    }

    fn pinned(&self) -> Credentials<'_> {
        self.unpinned().with_pinned_key(&self.key)
    }

    /// The canonical body without `sent_at`, which the content hash covers.
    fn content(&self) -> String {
        let start = self.body.find(",\"sent_at\"").expect("a time");
        let end = self.body.find(",\"seq\"").expect("a position");
        [&self.body[..start], &self.body[end..]].concat()
    }
}

fn envelope() -> Vec<Figure> {
    let sender = Sender::new();
    let content = sender.content();
    let seen = positions_seen();
    let mut scratches = [(); 4].map(|()| envelope::Scratch::new());
    let [verify, full, unpinned, walked] = &mut scratches;
    let mut race = Race::default();
    race.add("verify_strict", || {
        let message = black_box(&sender.message);
        let verified = sender
            .bare_key
            .verify_strict(message, &sender.bare_signature);
        assert!(verified.is_ok());
    });
    race.add("authenticate", || {
        let owner = sender.pinned();
        let outcome = sender
            .received()
            .authenticate(&owner, BodyForm::Accept, verify);
        assert!(outcome.is_ok());
    });
    race.add("all", || {
        let owner = sender.pinned();
        let admitted = sender
            .received()
            .authenticate(&owner, BodyForm::Accept, full)
            .and_then(|authenticated| authenticated.fresh(&sender.hub))
            .and_then(|fresh| fresh.admit())
            .expect("a good payload");
        let admission = seen
            .clone()
            .admit(admitted.position, admitted.content_hash, None);
        let _ = black_box(admission);
    });
    race.add("headers", || {
        black_box(sender.received());
    });
    race.add("token digest", || {
        black_box(sender.received().token_digest());
    });
    race.add("check", || {
        black_box(json::check(black_box(sender.body.as_bytes())).is_ok());
    });
    race.add("unsigned", || {
        let owner = sender.unpinned();
        let outcome = sender
            .received()
            .authenticate(&owner, BodyForm::Accept, unpinned);
        assert!(outcome.is_ok());
    });
    race.add("unsigned, walked", || {
        let owner = sender.unpinned();
        let admitted = sender
            .received()
            .authenticate(&owner, BodyForm::Accept, walked)
            .and_then(|authenticated| authenticated.fresh(&sender.hub))
            .and_then(|fresh| fresh.admit());
        assert!(admitted.is_ok());
    });
    race.add("content hash", || {
        black_box(Sha256::digest(black_box(content.as_bytes())));
    });
    race.add("position", || {
        let position = Position::new(1, 17).expect("a position");
        let _ = black_box(
            seen.clone()
                .admit(black_box(position), ContentHash([1; 32]), None),
        );
    });
    envelope_figures(&race.finish())
}

fn envelope_figures(times: &Times) -> Vec<Figure> {
    let bare = times.of("verify_strict");
    let figure = |name: &str, nanos: f64, target| {
        Figure::new(format!("envelope_2k/{name}"), nanos, bare, target)
    };
    let walk = times.of("unsigned, walked") - times.of("unsigned") - times.of("content hash");
    let digest = times.of("token digest") - times.of("headers");
    vec![
        figure(
            "headers_check_signature",
            times.of("authenticate"),
            AtMost(1.06),
        ),
        figure(
            "headers_check_signature_schema_hash_position",
            times.of("all"),
            AtMost(1.12),
        ),
        figure("part_headers", times.of("headers"), Part),
        figure("part_token_digest", digest, Part),
        figure("part_check", times.of("check"), Part),
        figure("part_schema_walk", walk, Part),
        figure("part_content_hash", times.of("content hash"), Part),
        figure("part_position", times.of("position"), Part),
    ]
}

/// An agent in step: sixteen payloads seen, none missing.
fn positions_seen() -> PositionSet {
    let mut seen = PositionSet::new();
    for seq in 1..=16 {
        let position = Position::new(1, seq).expect("a position");
        // The decision is known: each is the next one.
        let _ = seen.admit(position, ContentHash([0; 32]), None);
    }
    seen
}

fn worst(nanos_per_byte: f64) -> Vec<Figure> {
    let inputs = payload::worst();
    let mut race = Race::default();
    for (name, text) in &inputs {
        let mut scratch = Scratch::new();
        race.add(name, move || {
            let outcome = json::canonicalize(black_box(text.as_bytes()), &mut scratch);
            assert!(outcome.is_ok());
        });
    }
    let times = race.finish();
    let figure = |(name, text): &(&'static str, String)| {
        let typical = nanos_per_byte * text.len() as f64;
        let worst = times.of(name);
        Figure::new(format!("worst_512k/{name}"), worst, typical, AtMost(4.0))
    };
    inputs.iter().map(figure).collect()
}

fn canonical(text: &str) -> String {
    let mut scratch = Scratch::new();
    let canonical = json::canonicalize(text.as_bytes(), &mut scratch).expect("our payload");
    canonical.as_str().to_owned()
}
