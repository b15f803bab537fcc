//! What is promised to allocate nothing does not, counted by the allocator.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

mod kit;

use std::fmt::Write;

use allocation_counter::measure;
use kit::{Agent, METRICS};
use monsys_wire::canonical::{self, Scratch};
use monsys_wire::envelope::{self, AuthProfile, BodyForm, Credentials, Received};

/// Nested objects, escapes in values and names, numbers of every kind, names with one prefix.
fn unsorted() -> String {
    let mut text = String::from(r#"{"z":[1,2.5,-0.1,1e3,0.30000000000000004,33.33333333333333],"#);
    for i in (0..40).rev() {
        write!(
            text,
            r#""sensor_reading_{i}":{{"b": "\u0041\n/\ud83d\ude00","a\t":{{"y":null,"x":true}}}},"#
        )
        .unwrap();
    }
    text.push_str(r#""é":"postgrès","a":false}"#);
    text
}

#[test]
fn checking_allocates_nothing() {
    let mut scratch = Scratch::new();
    let text = unsorted();
    let canonical = canonical::canonicalize(text.as_bytes(), &mut scratch).unwrap();
    let count = measure(|| assert!(canonical::check(canonical.as_bytes()).is_ok()));
    assert_eq!(count.count_total, 0);
    let count = measure(|| assert!(canonical::check(text.as_bytes()).is_err()));
    assert_eq!(count.count_total, 0);
}

#[test]
fn canonicalizing_allocates_nothing_once_the_buffers_have_grown() {
    let mut scratch = Scratch::new();
    let text = unsorted();
    let cold = measure(|| assert!(canonical::canonicalize(text.as_bytes(), &mut scratch).is_ok()));
    assert!(cold.count_total > 0, "the counter counts");
    let warm = measure(|| assert!(canonical::canonicalize(text.as_bytes(), &mut scratch).is_ok()));
    assert_eq!(warm.count_total, 0);
}

#[test]
fn an_envelope_is_verified_without_allocating() {
    let agent = Agent::new();
    let canonical = agent.body("metrics", METRICS);
    let respelled = canonical.replace(",\"epoch\":1", ", \"epoch\" : 1e0");
    let key = agent.key.verifying_key();
    let owner = Credentials::new(agent.id, AuthProfile::Ed25519).with_pinned_key(&key);
    let mut scratch = envelope::Scratch::new();
    for body in [canonical, respelled] {
        let request = agent.request(&body);
        let mut verify = || {
            let headers = request
                .headers
                .iter()
                .map(|(name, value)| (*name, value.as_slice()));
            Received::new(&request.body, headers)
                .and_then(|received| {
                    std::hint::black_box(received.token_digest());
                    received.authenticate(&owner, BodyForm::Accept, &mut scratch)
                })
                .and_then(|authenticated| authenticated.fresh(&agent.hub))
                .map(|fresh| fresh.position())
        };
        let mut outcomes = [verify(), verify()];
        let count = measure(|| outcomes[1] = verify());
        assert_eq!(count.count_total, 0);
        assert_eq!(outcomes[1].as_ref().unwrap(), outcomes[0].as_ref().unwrap());
    }
}
