//! The order of checks of contract §3: a request that is wrong in two respects gets the answer of
//! the earlier one, for each two that are next to each other, in both profiles.
//!
//! `wrong_profile` has no pair here: no agent of this hub holds the credential of both profiles, so
//! the wire crate's own tests are where it is reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE, MAC, NONCE, SIGNATURE};

use support::agent::INGEST;
use support::device::{DeviceRequest, Stamp, TestDevice};
use support::raw::{Wire, request};
use support::refusal::assert_refusal;
use support::{Answer, DataDir, Hub, PATIENCE, TestAgent, poll};

/// One more byte than a body may have, most of it spaces that change nothing.
fn too_large(body: &str) -> String {
    format!("{body}{}", " ".repeat(524_289 - body.len()))
}

/// A hub that lets one request a second pass, of an address or of an organisation.
fn hub_of_rate_one(data: &DataDir, which: &str) -> Hub {
    let other = match which {
        "MONSYS_ORG_RATE" => "MONSYS_ADDRESS_RATE",
        _ => "MONSYS_ORG_RATE",
    };
    Hub::start_with(data, &[(which, "1"), (other, "0")])
}

/// Sends a request while a limit is used up: `drain` says so before and after it, and nothing but
/// time fills the bucket in between. A round in which it was refilled does not count.
fn while_limited(drain: impl Fn() -> Answer, send: impl Fn() -> Answer) -> Answer {
    poll("a round under the limit", PATIENCE, || {
        let is_empty = || drain().status == 429;
        (0..100).find(|_| is_empty())?;
        let answer = send();
        is_empty().then_some(answer)
    })
}

/// What an agent with a token sends, and what of it is wrong.
struct AgentScene {
    data: DataDir,
    agent: TestAgent,
}

impl AgentScene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        Self { data, agent }
    }

    fn body(&self, seq: i64) -> String {
        self.agent.metrics((1, seq), 4.2).as_str().to_owned()
    }

    fn post(&self, hub: &Hub, token: Option<&str>, signature: Option<&str>, body: &str) -> Answer {
        let mut headers = vec![(CONTENT_TYPE, JSON_TYPE)];
        headers.extend(token.map(|token| (AUTHORIZATION, token)));
        headers.extend(signature.map(|signature| (SIGNATURE, signature)));
        let bytes = request("POST", INGEST, &headers, body.as_bytes());
        Wire::open(hub.addr).send(&bytes).answer().answer()
    }

    /// Sends a body as the agent does.
    fn send(&self, hub: &Hub, body: &str) -> Answer {
        let signature = self.agent.sign(body.as_bytes());
        self.post(hub, Some(&self.agent.bearer()), Some(&signature), body)
    }

    fn unknown() -> String {
        format!("Bearer ms_{}", "A".repeat(43))
    }
}

/// A body that breaks each of these rules.
fn spoiled(body: &str, audience: &str, name: &str, wrong: &[&str]) -> String {
    let mut body = body.to_owned();
    for what in wrong {
        body = match *what {
            "audience" => body.replace(audience, "elsewhere"),
            "agent" => body.replace(&format!("\"{name}\""), "\"nobody\""),
            "schema" => body.replace("\"v\":1", "\"v\":1,\"w\":1"),
            "syntax" => format!("{body}]"),
            other => panic!("no such rule: {other}"),
        };
    }
    body
}

#[test]
fn i9_ed25519_caps_then_headers_then_the_limit_of_the_address_then_the_token() {
    let scene = AgentScene::new();
    let hub = Hub::start(&scene.data);
    let body = scene.body(1);
    let answer = scene.post(&hub, None, None, &too_large(&body));
    assert_refusal(&answer, 413, "too_large");
    drop(hub);
    let hub = hub_of_rate_one(&scene.data, "MONSYS_ADDRESS_RATE");
    let unknown = AgentScene::unknown();
    let drain = || scene.post(&hub, Some(&unknown), None, &body);
    let headers = while_limited(drain, || scene.post(&hub, None, None, &body));
    assert_refusal(&headers, 401, "unauthorized");
    let limit = while_limited(drain, || scene.post(&hub, Some(&unknown), None, &body));
    assert_refusal(&limit, 429, "rate_limited");
}

#[test]
fn i9_ed25519_the_look_up_then_the_canonical_form_then_the_signature() {
    let scene = AgentScene::new();
    let hub = Hub::start(&scene.data);
    let syntax = spoiled(&scene.body(1), "", "", &["syntax"]);
    let (bearer, zeros) = (scene.agent.bearer(), "0".repeat(128));
    let unknown = scene.post(&hub, Some(&AgentScene::unknown()), Some(&zeros), &syntax);
    assert_refusal(&unknown, 401, "unauthorized");
    let unsigned = scene.post(&hub, Some(&bearer), None, &syntax);
    assert_refusal(&unsigned, 403, "unsigned_payload");
    let form = scene.post(&hub, Some(&bearer), Some(&zeros), &syntax);
    assert_refusal(&form, 400, "syntax");
}

#[test]
fn i9_ed25519_the_signature_then_revoked_then_whom_it_is_for() {
    let scene = AgentScene::new();
    let hub = Hub::start(&scene.data);
    let id = scene.agent.id.to_string();
    scene.data.json(&["agent", "revoke", &id]);
    let (bearer, zeros) = (scene.agent.bearer(), "0".repeat(128));
    let signature = scene.post(&hub, Some(&bearer), Some(&zeros), &scene.body(1));
    assert_refusal(&signature, 403, "bad_signature");
    let audience = scene.agent.audience.as_str();
    let body = spoiled(&scene.body(1), audience, &id, &["audience"]);
    assert_refusal(&scene.send(&hub, &body), 403, "revoked");
}

#[test]
fn i9_ed25519_the_audience_then_the_agent_then_the_schema() {
    let scene = AgentScene::new();
    let hub = Hub::start(&scene.data);
    let (audience, id) = (scene.agent.audience.as_str(), scene.agent.id.to_string());
    for (wrong, code) in [
        (["audience", "agent"], "wrong_audience"),
        (["agent", "schema"], "wrong_agent"),
    ] {
        let body = spoiled(&scene.body(1), audience, &id, &wrong);
        assert_refusal(&scene.send(&hub, &body), 403, code);
    }
}

#[test]
fn i9_ed25519_the_schema_then_the_limit_of_the_organisation_then_the_position() {
    let scene = AgentScene::new();
    let hub = hub_of_rate_one(&scene.data, "MONSYS_ORG_RATE");
    let used = scene.body(1);
    scene.send(&hub, &used).accepted();
    let drain = || scene.send(&hub, &used);
    let schema = spoiled(&scene.body(2), "", "", &["schema"]);
    let answer = while_limited(drain, || scene.send(&hub, &schema));
    assert_refusal(&answer, 422, "unknown_field");
    let signals = "\"type\":\"agent_signals\"";
    let signals = scene.body(2).replace("\"type\":\"metrics\"", signals);
    let signals = signals.replace(r#"{"cpu_usage_percent":4.2}"#, SIGNAL_OF_NO_AGENT);
    let answer = while_limited(drain, || scene.send(&hub, &signals));
    assert_refusal(&answer, 422, "invalid_signal");
    let replay = used.replace(":4.2}", ":4.3}");
    let answer = while_limited(drain, || scene.send(&hub, &replay));
    assert_refusal(&answer, 429, "rate_limited");
}

/// What a device sends, and what of it is wrong.
struct DeviceScene {
    data: DataDir,
    device: TestDevice,
}

impl DeviceScene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let device = data.enrol_device("acme", "web-1");
        Self { data, device }
    }

    fn body(&self, seq: i64) -> String {
        self.device.metrics((1, seq), 4.2)
    }

    /// A request with a body that breaks these rules, signed well and with a new nonce.
    fn spoiled(&self, wrong: &[&str]) -> DeviceRequest {
        self.spoiled_at(wrong, &self.device.stamp())
    }

    fn spoiled_at(&self, wrong: &[&str], stamp: &Stamp) -> DeviceRequest {
        let audience = self.device.audience.as_str();
        let body = spoiled(&self.body(1), audience, "web-1", wrong);
        self.device.request(&body, stamp)
    }

    fn without_mac(request: DeviceRequest) -> DeviceRequest {
        request.with(MAC, Some(&[b'0'; 64]))
    }
}

#[test]
fn i9_hmac_caps_then_headers_then_the_limit_of_the_address_then_the_body() {
    let scene = DeviceScene::new();
    let hub = Hub::start(&scene.data);
    let large = too_large(&scene.body(1));
    let large = scene.device.request(&large, &scene.device.stamp());
    let answer = large.with(NONCE, None).send(&hub);
    assert_refusal(&answer, 413, "too_large");
    drop(hub);
    let hub = hub_of_rate_one(&scene.data, "MONSYS_ADDRESS_RATE");
    let forged = DeviceScene::without_mac(scene.spoiled(&[]));
    let drain = || forged.send(&hub);
    let bad = forged.clone().with(NONCE, Some(b"short"));
    let headers = while_limited(drain, || bad.send(&hub));
    assert_refusal(&headers, 400, "bad_header");
    let syntax = DeviceScene::without_mac(scene.spoiled(&["syntax"]));
    let limit = while_limited(drain, || syntax.send(&hub));
    assert_refusal(&limit, 429, "rate_limited");
}

/// The look-up answers nothing by itself in this profile: what is said of the body and of the MAC
/// is said of known and unknown devices alike.
#[test]
fn i9_hmac_the_canonical_form_then_the_mac_whether_the_device_is_known_or_not() {
    let scene = DeviceScene::new();
    let hub = Hub::start(&scene.data);
    let key = monsys_wire::DeviceKey::from_secret_bytes([1; 32]);
    let unknown = scene.device.other("nobody", "web-1", key);
    for device in [&scene.device, &unknown] {
        let stamp = device.stamp();
        let broken = spoiled(&scene.body(1), "", "", &["syntax"]);
        let broken = DeviceScene::without_mac(device.request(&broken, &stamp));
        assert_refusal(&broken.send(&hub), 400, "syntax");
        let whole = DeviceScene::without_mac(device.request(&scene.body(1), &stamp));
        assert_refusal(&whole.send(&hub), 401, "unauthorized");
    }
}

#[test]
fn i9_hmac_the_mac_then_revoked_then_the_timestamp() {
    let scene = DeviceScene::new();
    let hub = Hub::start(&scene.data);
    scene.data.json(&["agent", "revoke", "acme/web-1"]);
    let forged = DeviceScene::without_mac(scene.spoiled(&[]));
    assert_refusal(&forged.send(&hub), 401, "unauthorized");
    let stale = scene.spoiled_at(&[], &scene.device.stamp_ahead(-3_600));
    assert_refusal(&stale.send(&hub), 403, "revoked");
}

#[test]
fn i9_hmac_the_timestamp_then_the_nonce_then_the_audience() {
    let scene = DeviceScene::new();
    let hub = Hub::start(&scene.data);
    let used = scene.device.stamp();
    scene.spoiled_at(&[], &used).send(&hub).accepted();
    let stale = Stamp {
        nonce: used.nonce.clone(),
        ..scene.device.stamp_ahead(-3_600)
    };
    let stale = scene.spoiled_at(&[], &stale);
    assert_refusal(&stale.send(&hub), 401, "stale");
    let audience = scene.spoiled_at(&["audience"], &used);
    assert_refusal(&audience.send(&hub), 409, "replay");
}

#[test]
fn i9_hmac_the_nonce_comes_before_all_that_is_behind_it() {
    let scene = DeviceScene::new();
    let hub = Hub::start(&scene.data);
    let used = scene.device.stamp();
    scene.spoiled_at(&[], &used).send(&hub).accepted();
    for wrong in ["agent", "schema"] {
        let request = scene.spoiled_at(&[wrong], &used);
        assert_refusal(&request.send(&hub), 409, "replay");
    }
}

#[test]
fn i9_hmac_the_audience_then_the_agent_then_the_schema() {
    let scene = DeviceScene::new();
    let hub = Hub::start(&scene.data);
    for (wrong, code) in [
        (["audience", "agent"], "wrong_audience"),
        (["agent", "schema"], "wrong_agent"),
    ] {
        assert_refusal(&scene.spoiled(&wrong).send(&hub), 403, code);
    }
}

#[test]
fn i9_hmac_the_schema_then_the_limit_of_the_organisation_then_the_position() {
    let scene = DeviceScene::new();
    let hub = hub_of_rate_one(&scene.data, "MONSYS_ORG_RATE");
    let used = scene.body(1);
    scene.device.send(&hub, &used).accepted();
    let drain = || scene.device.send(&hub, &used);
    let schema = || scene.spoiled(&["schema"]).send(&hub);
    assert_refusal(&while_limited(drain, schema), 422, "unknown_field");
    let replay = used.replace(":4.2}", ":4.3}");
    let position = || scene.device.send(&hub, &replay);
    assert_refusal(&while_limited(drain, position), 429, "rate_limited");
    // What the limit refuses has spent its nonce, so that it cannot be kept for a calmer moment.
    let limited = scene.device.request(&used, &scene.device.stamp());
    while_limited(drain, || limited.send(&hub));
    assert_refusal(&limited.send(&hub), 409, "replay");
}

/// A signal of the right shape from a source that no agent may claim.
const SIGNAL_OF_NO_AGENT: &str = r#"{"signals":[{"source":"integrity_check","subject_type":"agent","key":"a.b","value":{"value":1},"observed_at":"2026-11-21T01:15:41Z"}]}"#;
