//! Endpoints that show no certificate: each is a signal, within its time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rcgen::CustomExtension;

use crate::authority::Identity;
use crate::look::Bench;
use crate::server::Server;
use crate::support::Dice;

const NAME: &str = "shop.example";

/// A certificate with ten megabytes in it.
pub(crate) fn huge(bench: &Bench) -> Identity {
    bench.root.certify_with(&[NAME], |params| {
        let extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![7; 10_000_000]);
        params.custom_extensions = vec![extension];
    })
}

#[test]
fn a_closed_port_is_a_signal() {
    let bench = Bench::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    drop(listener);
    bench
        .look_at(&target, &[])
        .assert_unseen("refused", "medium", 69);
    let stored = bench.stored(&target);
    assert_eq!(stored.len(), 1);
    assert_eq!(
        stored[0]["value"],
        serde_json::json!({"reason": "refused", "value": null})
    );
}

#[test]
fn one_that_closes_at_once_is_a_signal() {
    let bench = Bench::new();
    bench
        .look(&Server::closing(), NAME)
        .assert_unseen("closed", "medium", 69);
}

#[test]
fn one_that_never_answers_is_a_signal_within_the_time() {
    let bench = Bench::new();
    // The second one stops in the middle of a greeting.
    for server in [
        Server::saying(b""),
        Server::saying(b"\x16\x03\x03\x00\x7a\x02\x00"),
    ] {
        let started = Instant::now();
        bench
            .look_shortly(&server)
            .assert_unseen("timed_out", "medium", 69);
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(1), "{took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn what_does_not_speak_tls_is_a_signal() {
    let bench = Bench::new();
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    let ssh = b"SSH-2.0-OpenSSH_9.2p1\r\n";
    for bytes in [&http[..], ssh, &[0; 100], &[0xff; 100_000]] {
        let found = bench.look(&Server::saying(bytes), NAME);
        found.assert_unseen("not_tls", "high", 1);
    }
    let endless = Server::repeating(b"never ending ");
    bench
        .look(&endless, NAME)
        .assert_unseen("not_tls", "high", 1);
}

#[test]
fn garbage_of_any_kind_is_one_signal() {
    let bench = Bench::new();
    let mut dice = Dice(41);
    for round in 0..20 {
        let mut bytes: Vec<u8> = (0..5_000).map(|_| dice.roll().to_le_bytes()[0]).collect();
        // Half of it begins as a record of a handshake does.
        if round % 2 == 0 {
            bytes[..3].copy_from_slice(b"\x16\x03\x03");
        }
        let found = bench.look_shortly(&Server::saying(&bytes));
        let expected = ["not_tls", "handshake_failed", "too_large", "timed_out"];
        assert!(expected.contains(&found.reason()), "{round}: {found:?}");
        assert_eq!(found.item["signals"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn a_server_that_refuses_to_agree_is_a_signal() {
    let bench = Bench::new();
    // A fatal alert: handshake_failure.
    let alert = Server::saying(b"\x15\x03\x03\x00\x02\x02\x28");
    bench
        .look(&alert, NAME)
        .assert_unseen("handshake_failed", "medium", 69);
    // Warnings without end, each a valid record.
    let warning = Server::repeating(b"\x15\x03\x03\x00\x02\x01\x5a");
    let found = bench.look(&warning, NAME);
    assert!(
        ["handshake_failed", "too_large"].contains(&found.reason()),
        "{found:?}"
    );
}

#[test]
fn a_certificate_of_ten_megabytes_is_a_signal() {
    let bench = Bench::new();
    let identity = huge(&bench);
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let found = bench.look(&Server::tls_of(&identity, versions), NAME);
        found.assert_unseen("too_large", "high", 1);
    }
}

#[test]
fn a_certificate_that_is_none_is_a_signal() {
    let bench = Bench::new();
    let mut identity = bench.root.certify(&[NAME], 86_400);
    for broken in [&b"0"[..], b"\x30\x03\x02\x01\x01", &[0x30; 3_000]] {
        identity.chain[0] = broken.to_vec().into();
        let found = bench.look(&Server::tls(&identity), NAME);
        found.assert_unseen("unreadable", "high", 1);
    }
}

#[test]
fn a_name_without_an_address_is_a_signal() {
    let bench = Bench::new();
    let found = bench.look_at("nowhere.invalid:443", &[]);
    // Where no name server answers, the time is over first.
    assert!(
        ["name_not_resolved", "timed_out"].contains(&found.reason()),
        "{found:?}"
    );
    assert_eq!(found.code, 69);
}
