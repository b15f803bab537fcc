//! Clients that hold a connection for nothing: each is cut off, and others are served meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::raw::{Wire, get, request};
use support::refusal::assert_refusal;
use support::tls::{Pair, TlsWire};
use support::{DataDir, Hub, PATIENCE, pause, poll};

/// The time limits of the hub, and how late this machine may be.
const HEADERS_WITHIN: Duration = Duration::from_secs(20);
const LATE: Duration = Duration::from_secs(8);

/// Sends something now and then, as slow clients do, until the hub closes; returns after how long.
fn dribble(mut wire: Wire, piece: &[u8]) -> (Duration, Wire) {
    let started = Instant::now();
    while !wire.listen(Duration::from_millis(500)) {
        assert!(
            started.elapsed() < HEADERS_WITHIN + LATE,
            "the hub waits for ever"
        );
        wire = wire.send(piece);
    }
    (started.elapsed(), wire)
}

fn assert_about(took: Duration, limit: Duration) {
    let earliest = limit.saturating_sub(Duration::from_secs(2));
    assert!(
        (earliest..limit + LATE).contains(&took),
        "cut off after {took:?}"
    );
}

#[test]
fn who_never_ends_its_headers_is_cut_off() {
    let data = DataDir::new();
    let mut hub = Hub::start(&data);
    let start = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n";
    let (took, wire) = dribble(Wire::open(hub.addr).send(start), b"X-Slow: 1\r\n");
    assert_about(took, HEADERS_WITHIN);
    assert_eq!(wire.first_answer(), None);
    hub.assert_alive();
}

#[test]
fn who_says_nothing_is_cut_off_before_and_between_requests() {
    let data = DataDir::new();
    let hub = Hub::start(&data);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (took, _) = dribble(Wire::open(hub.addr), b"");
            assert_about(took, HEADERS_WITHIN);
        });
        let ask = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n";
        let (took, wire) = dribble(Wire::open(hub.addr).send(ask), b"");
        assert_about(took, HEADERS_WITHIN);
        assert_eq!(wire.first_answer().unwrap().status, 200);
    });
}

#[test]
fn who_never_ends_its_body_is_told_and_cut_off() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "slow");
    let hub = Hub::start(&data);
    let (addr, token) = (
        hub.addr,
        format!("Authorization: Bearer {}\r\n", agent.token),
    );
    std::thread::scope(|scope| {
        for path in ["/api/v1/ingest", "/ingest"] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: hub\r\n{token}\
                 Content-Type: application/json\r\nContent-Length: 400000\r\n\r\n"
            );
            scope.spawn(move || {
                let wire = Wire::open(addr).send(head.as_bytes());
                let (took, wire) = dribble(wire, b" ");
                assert_about(took, HEADERS_WITHIN);
                assert_refusal(&wire.first_answer().unwrap(), 408, "request_timeout");
            });
        }
    });
}

#[test]
fn who_never_reads_its_answers_is_cut_off() {
    const N_REQUESTS: usize = 4_000;
    let data = DataDir::new();
    let mut hub = Hub::start(&data);
    let login = get(hub.addr, "/login").body;
    let asset = login
        .split('"')
        .find(|text| text.ends_with(".css"))
        .unwrap();
    let length = get(hub.addr, asset).body.len();
    assert!(length > 4_000, "{length}");
    let ask = format!("GET {asset} HTTP/1.1\r\nHost: hub\r\n\r\n").repeat(N_REQUESTS);
    let mut stream = TcpStream::connect(hub.addr).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    // As much as the hub takes while nobody reads.
    let _ = stream.write_all(ask.as_bytes());
    // Over what time a connection is held, nothing tells from outside but the files of the process.
    let sockets = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", hub.pid())).unwrap();
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        links
            .filter(|link| link.to_string_lossy().starts_with("socket:"))
            .count()
    };
    let (started, held) = (Instant::now(), sockets());
    poll("the connection is closed", HEADERS_WITHIN + LATE, || {
        (sockets() < held).then_some(())
    });
    assert_about(started.elapsed(), HEADERS_WITHIN);
    let mut read = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.read_to_end(&mut read);
    assert!(read.len() < N_REQUESTS * length, "all answers came");
    hub.assert_alive();
}

#[test]
fn who_never_ends_a_handshake_is_cut_off_and_others_are_served() {
    let (data, pair) = (DataDir::new(), Pair::new());
    let files = pair.write(data.path());
    let hub = Hub::start_with(&data, &files.settings());
    let started = Instant::now();
    // Silent, or with the beginning of a record that promises more.
    let mut silent = vec![
        Wire::open(hub.addr),
        Wire::open(hub.addr).send(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
    ];
    let mut other = TlsWire::open(hub.addr, &[&pair]).unwrap();
    let ask = request("GET", "/healthz", &[], b"");
    assert_eq!(other.ask(&ask).unwrap().status, 200);
    for wire in &mut silent {
        assert!(wire.listen(PATIENCE), "the hub waits for ever");
        assert_about(started.elapsed(), Duration::from_secs(10));
    }
}

fn is_served(hub: &Hub) -> bool {
    let ask = request("GET", "/healthz", &[], b"");
    let outcome = Wire::open(hub.addr).send(&ask).end();
    outcome.status() == Some(200)
}

#[test]
fn an_address_holds_its_share_of_connections_and_gets_them_back() {
    for limit in [
        [
            ("MONSYS_ADDRESS_CONNECTIONS", "4"),
            ("MONSYS_CONNECTIONS", "64"),
        ],
        [
            ("MONSYS_ADDRESS_CONNECTIONS", "0"),
            ("MONSYS_CONNECTIONS", "4"),
        ],
        // Nothing said: a quarter.
        [
            ("MONSYS_ADDRESS_CONNECTIONS", ""),
            ("MONSYS_CONNECTIONS", "16"),
        ],
    ] {
        let data = DataDir::new();
        let hub = Hub::start_with(&data, &limit);
        let held: Vec<_> = (0..4).map(|_| Wire::open(hub.addr)).collect();
        // The hub accepts in the order in which they came, so the fifth finds four.
        assert!(!is_served(&hub), "{limit:?}");
        drop(held);
        poll("places are free again", PATIENCE, || {
            is_served(&hub).then_some(())
        });
    }
}

#[test]
fn a_trusted_proxy_is_not_held_to_the_share_of_one_address() {
    let data = DataDir::new();
    let settings = [
        ("MONSYS_ADDRESS_CONNECTIONS", "4"),
        ("MONSYS_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let hub = Hub::start_with(&data, &settings);
    let _held: Vec<_> = (0..12).map(|_| Wire::open(hub.addr)).collect();
    pause(Duration::from_millis(100));
    assert!(is_served(&hub));
}
