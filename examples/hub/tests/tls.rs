//! The hub's own HTTPS: what it shows, and that a new certificate takes no request with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use support::hub::program;
use support::raw::Wire;
use support::refusal::assert_security_headers_of_https;
use support::tls::{Pair, TlsWire, replace};
use support::{DataDir, Hub, PATIENCE, poll};

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
const REFUSED: &str = "a new certificate was refused";

fn is_shown(hub: &Hub, pair: &Pair) -> bool {
    TlsWire::open(hub.addr, &[pair]).is_ok_and(|wire| wire.shown() == pair.der)
}

fn n_refused(hub: &Hub) -> usize {
    hub.log().matches(REFUSED).count()
}

fn wait_for_refusals(hub: &Hub, n: usize) {
    let what = format!("{n} refusals");
    poll(&what, PATIENCE, || (n_refused(hub) >= n).then_some(()));
}

#[test]
fn a15_health_asks_a_hub_over_its_own_https() {
    let (data, pair) = (DataDir::new(), Pair::new());
    let files = pair.write(data.path());
    let hub = Hub::start_with(&data, &files.settings());
    let addr = hub.addr.to_string();
    let health = |settings: &[(&str, &str)]| {
        let mut program = program();
        program.args(["health", "--addr", &addr]);
        let output = program.envs(settings.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.code(), said)
    };
    let ok = (Some(0), "ok".to_owned());
    assert_eq!(
        health(&files.settings()),
        ok,
        "in the environment of the hub"
    );
    assert_eq!(health(&files.settings()[..1]), ok, "the key is not needed");
    // A new certificate is in place before the hub has read it.
    Pair::new().write(data.path());
    assert_eq!(health(&files.settings()[..1]), ok);
    let in_the_open = (Some(69), "unavailable".to_owned());
    assert_eq!(health(&[]), in_the_open, "it speaks TLS alone");
    drop(hub);
    assert_eq!(health(&files.settings()[..1]), in_the_open);
}

#[test]
fn a15_a_hub_with_a_certificate_serves_https_and_says_hsts() {
    let (data, pair) = (DataDir::new(), Pair::new());
    let files = pair.write(data.path());
    let enforced = [("EM_ENFORCE_HTTPS", "true")];
    let mut hub = Hub::start_with(&data, &[&files.settings()[..], &enforced].concat());
    let mut wire = TlsWire::open(hub.addr, &[&pair]).unwrap();
    for (path, status) in [("/healthz", 200), ("/login", 200), ("/none", 404)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n");
        let answer = wire.ask(request.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
        assert_security_headers_of_https(&answer);
    }
    // What is no HTTP is answered with the same headers.
    let answer = wire.ask(b"NONSENSE\r\n\r\n").unwrap();
    assert_eq!(answer.status, 400);
    assert_security_headers_of_https(&answer);
    // Who comes in the open is not understood, and harms nobody.
    let mut plain = Wire::open(hub.addr).send(ASK);
    assert!(plain.listen(PATIENCE), "the connection stays open");
    assert_eq!(plain.first_answer(), None);
    assert!(
        TlsWire::open(hub.addr, &[&Pair::new()]).is_err(),
        "somebody else is trusted"
    );
    assert!(is_shown(&hub, &pair));
    hub.terminate();
    assert!(hub.wait(PATIENCE).success());
}

#[test]
fn a_new_certificate_is_shown_under_load_and_no_request_is_lost() {
    let (data, mut shown) = (DataDir::new(), Pair::new());
    let files = shown.write(data.path());
    let hub = Hub::start_with(&data, &files.settings());
    let pairs: Vec<_> = (0..3).map(|_| Pair::new()).collect();
    let trusted: Vec<&Pair> = pairs.iter().chain([&shown]).collect();
    let (is_over, n_answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let mut wire = TlsWire::open(hub.addr, &trusted).unwrap();
                    for _ in 0..10 {
                        assert_eq!(wire.ask(ASK).unwrap().status, 200);
                        n_answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // One connection lives through all of it.
        let mut oldest = TlsWire::open(hub.addr, &trusted).unwrap();
        for pair in &pairs {
            let before = n_answered.load(Ordering::Relaxed);
            pair.write(data.path());
            poll("the new certificate is shown", PATIENCE, || {
                is_shown(&hub, pair).then_some(())
            });
            poll("requests go on", PATIENCE, || {
                (n_answered.load(Ordering::Relaxed) > before + 40).then_some(())
            });
            assert_eq!(oldest.ask(ASK).unwrap().status, 200);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(n_refused(&hub), 0, "{}", hub.log());
    shown = Pair::new();
    assert!(!is_shown(&hub, &shown));
}

#[test]
fn a_bad_pair_is_refused_and_the_old_one_stays() {
    let (data, good) = (DataDir::new(), Pair::new());
    let files = good.write(data.path());
    let mut hub = Hub::start_with(&data, &files.settings());
    let secret = Pair::new();
    Pair::new().with_key_of(&secret).write(data.path());
    wait_for_refusals(&hub, 1);
    assert!(is_shown(&hub, &good));

    replace(&files.key, "no key at all");
    wait_for_refusals(&hub, 2);
    assert!(is_shown(&hub, &good));

    let expired = Pair::valid_until(2001);
    expired.write(data.path());
    poll("the expired one is refused", PATIENCE, || {
        hub.log()
            .contains("MONSYS_TLS_CERT has expired")
            .then_some(())
    });
    assert!(is_shown(&hub, &good));

    std::fs::remove_file(&files.key).unwrap();
    let before = n_refused(&hub);
    // Files that are gone are told of when somebody asks.
    hub.hang_up();
    wait_for_refusals(&hub, before + 1);
    assert!(is_shown(&hub, &good));

    let next = Pair::new();
    next.write(data.path());
    hub.hang_up();
    poll("the next is shown", PATIENCE, || {
        is_shown(&hub, &next).then_some(())
    });
    for line in secret
        .key()
        .lines()
        .filter(|line| line.len() > 30 && !line.contains("PRIVATE"))
    {
        assert!(!hub.log().contains(line), "a key is in the log");
    }
    let mut wire = TlsWire::open(hub.addr, &[&next]).unwrap();
    assert_eq!(wire.ask(ASK).unwrap().status, 200);
    hub.terminate();
    assert!(hub.wait(PATIENCE).success());
}

#[test]
fn what_is_no_pair_is_refused_at_the_start() {
    let (data, good) = (DataDir::new(), Pair::new());
    let files = good.write(data.path());
    let refused = |setting: &str| {
        let mut program = data.program();
        program.args(["check", "--data"]).arg(data.path());
        let output = program.envs(files.settings()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains(setting), "{stderr}");
        assert!(!stderr.contains(&good.key()[40..60]), "{stderr}");
    };
    replace(&files.key, &good.key().replace("BEGIN", "BEGUN"));
    refused("MONSYS_TLS_KEY");
    replace(&files.key, Pair::new().key());
    refused("MONSYS_TLS_CERT and MONSYS_TLS_KEY");
    // The files the wrong way round.
    replace(&files.certificate, good.key());
    refused("MONSYS_TLS_CERT");
    std::fs::remove_file(&files.certificate).unwrap();
    refused("MONSYS_TLS_CERT");
}
