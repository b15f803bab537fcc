//! What a certificate is like, each kind against a real handshake.

use monsys_core::Timestamp;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use crate::authority::{Authority, DAY, hold, self_signed};
use crate::look::Bench;
use crate::server::Server;
use crate::support::{PATIENCE, now, poll};

const NAME: &str = "shop.example";

#[test]
fn a_good_certificate_is_no_finding_and_its_server_hears_a_farewell_and_nothing_else() {
    let bench = Bench::new();
    let below = bench
        .root
        .intermediate("Test Intermediate", -DAY, 365 * DAY);
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        let server = Server::tls_of(&below.certify(&[NAME], 60 * DAY + 3_600), versions);
        let found = bench.look(&server, NAME);
        assert_eq!(found.code, 0, "{found:?}");
        assert_eq!(found.verdicts(), (true, true, None));
        assert_eq!(found.item["severity"], Value::Null);
        let expiry = found.value("cert.expiry_days");
        assert_eq!(expiry["value"], 60);
        let told = Timestamp::parse_rfc3339(expiry["not_after"].as_str().unwrap());
        let left_s = told.unwrap().since(now()).micros() / 1_000_000;
        let expected_s = 60 * DAY + 3_600;
        assert!(
            (expected_s - 120..=expected_s).contains(&left_s),
            "{expiry}"
        );
        let chain = found.value("cert.chain_ok");
        assert_eq!(chain["issuer"], "CN=Test Intermediate");
        assert_eq!(chain["n_certificates"], 2);
        assert_eq!(chain["address"], "127.0.0.1");
        poll("the server is left", PATIENCE, || {
            (server.n_closed() == 1).then_some(())
        });
        assert_eq!(server.farewells_and_bytes(), (1, 0));
        let subject = format!("{}/{NAME}", server.addr);
        assert_eq!(found.item["subject_id"], subject.as_str());
        let stored = bench.stored(&subject);
        assert_eq!(stored.len(), 3);
        for signal in stored {
            assert_eq!(signal["ttl_seconds"], 3 * 6 * 3_600);
            assert_eq!(signal["severity"], Value::Null);
        }
    }
}

#[test]
fn names_follow_the_certificate_and_not_the_host() {
    let bench = Bench::new();
    let wild = Server::tls(
        &bench
            .root
            .certify(&["*.shop.example", "127.0.0.1"], 90 * DAY),
    );
    for (name, is_ok) in [
        ("a.shop.example", true),
        ("A.SHOP.example.", true),
        ("shop.example", false),
        ("a.b.shop.example", false),
        ("a.shop.example.com", false),
        ("127.0.0.1", true),
        ("127.0.0.2", false),
    ] {
        let found = bench.look(&wild, name);
        assert_eq!(found.verdicts(), (is_ok, true, None), "{name}");
        assert_eq!(found.code, i32::from(!is_ok), "{name}");
    }
    let by_address = bench.look_at(&wild.target(), &[]);
    assert_eq!(by_address.verdicts(), (true, true, None));
    assert_eq!(by_address.item["subject_id"], wild.target().as_str());
    let differs = bench.look(&wild, "rival.example");
    assert_eq!(differs.severity("cert.name_ok"), "high");
    let expected =
        json!({"value": false, "name": "rival.example", "presented": "*.shop.example, 127.0.0.1"});
    assert_eq!(*differs.value("cert.name_ok"), expected);
}

#[test]
fn an_expired_certificate_is_one_finding() {
    let bench = Bench::new();
    let server = Server::tls(&bench.root.certify(&[NAME], -2 * DAY + 3_600));
    let found = bench.look(&server, NAME);
    assert_eq!(found.code, 1);
    assert_eq!(found.verdicts(), (true, true, Some("critical")));
    let expiry = found.value("cert.expiry_days");
    assert_eq!(
        (&expiry["value"], &expiry["reason"]),
        (&json!(-2), &json!("expired"))
    );
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_one_finding() {
    let bench = Bench::new();
    let identity = bench
        .root
        .certify_with(&[NAME], |params| hold(params, DAY, 90 * DAY));
    let found = bench.look(&Server::tls(&identity), NAME);
    assert_eq!(found.verdicts(), (true, true, Some("critical")));
    assert_eq!(found.value("cert.expiry_days")["reason"], "not_yet_valid");
}

#[test]
fn expiry_has_steps() {
    let bench = Bench::new();
    for (days, severity, code) in [
        (31, None, 0),
        (30, Some("low"), 0),
        (14, Some("medium"), 0),
        (7, Some("high"), 1),
        (0, Some("critical"), 1),
    ] {
        let identity = bench.root.certify(&[NAME], days * DAY + DAY / 2);
        let found = bench.look(&Server::tls(&identity), NAME);
        assert_eq!(found.verdicts(), (true, true, severity), "{days}");
        assert_eq!(found.value("cert.expiry_days")["value"], days);
        assert_eq!(found.code, code, "{days}");
    }
}

#[test]
fn chains_that_lead_nowhere_are_told_apart() {
    let bench = Bench::new();
    let stranger = Authority::root("Stranger");
    let below = bench.root.intermediate("Below", -DAY, 365 * DAY);
    let ended = bench.root.intermediate("Ended", -9 * DAY, -DAY);
    let for_clients = bench.root.certify_with(&[NAME], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    for (identity, reason) in [
        (self_signed(&[NAME]), "self_signed"),
        (stranger.certify(&[NAME], 90 * DAY), "unknown_issuer"),
        (
            below.certify(&[NAME], 90 * DAY).without_intermediates(),
            "unknown_issuer",
        ),
        (ended.certify(&[NAME], 90 * DAY), "issuer_not_valid"),
        (for_clients, "wrong_purpose"),
        (
            bench.root.certify(&[NAME], 90 * DAY).with_another_key(),
            "key_not_proved",
        ),
    ] {
        let found = bench.look(&Server::tls(&identity), NAME);
        assert_eq!(found.reason(), reason, "{found:?}");
        assert_eq!(found.verdicts(), (true, false, None), "{reason}");
        assert_eq!(found.severity("cert.chain_ok"), "high", "{reason}");
        assert_eq!(found.code, 1, "{reason}");
    }
}

#[test]
fn a_server_that_wants_a_certificate_of_its_client_is_judged_all_the_same() {
    let bench = Bench::new();
    let identity = bench.root.certify(&[NAME], 90 * DAY);
    let server = Server::tls_for_clients_of(&bench.root, &identity);
    let found = bench.look(&server, NAME);
    assert_eq!(found.verdicts(), (true, true, None), "{found:?}");
}

#[test]
fn everything_wrong_at_once_is_three_findings() {
    let bench = Bench::new();
    let stranger = Authority::root("Stranger");
    let server = Server::tls(&stranger.certify(&["rival.example"], -DAY));
    let found = bench.look(&server, NAME);
    assert_eq!(found.verdicts(), (false, false, Some("critical")));
    assert_eq!(found.item["severity"], "critical");
}

#[test]
fn without_its_own_roots_a_hub_believes_those_of_browsers_only() {
    let bench = Bench::new();
    let server = Server::tls(&bench.root.certify(&[NAME], 90 * DAY));
    let target = server.target();
    let arguments = ["--target", &target, "--name", NAME, "--scan-allow-private"];
    let output = bench.scan(&arguments);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let chain = &said["items"][0]["signals"][2];
    assert_eq!(chain["value"]["reason"], "unknown_issuer", "{said}");
}
