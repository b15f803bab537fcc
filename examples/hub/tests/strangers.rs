//! Clients without a valid token: whatever they hold, an honest agent gets through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::Write;
use std::net::TcpStream;

use support::{DataDir, Hub};

/// More than fill all bytes in flight when each holds one of the largest bodies.
const N_STRANGERS: usize = 160;

/// Opens connections that send most of a request and then nothing more.
fn hold(hub: &Hub, path: &str, headers: &str, declared: usize, sent: usize) -> Vec<TcpStream> {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {declared}\r\n\r\n");
    let part = vec![b' '; sent];
    let connect = |_| {
        let mut stream = TcpStream::connect(hub.addr).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&part).unwrap();
        stream
    };
    (0..N_STRANGERS).map(connect).collect()
}

#[test]
fn half_bodies_of_strangers_keep_nobody_out() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let mut hub = Hub::start(&data);
    let unknown = format!("Authorization: Bearer ms_{}\r\n", "A".repeat(43));
    let held = [
        hold(&hub, "/api/v1/ingest", "", 524_288, 524_000),
        hold(&hub, "/api/v1/ingest", &unknown, 524_288, 524_000),
        hold(&hub, "/api/v1/agents/pin", "", 10, 1),
    ];
    assert_eq!(
        agent
            .send(&hub, agent.metrics((1, 1), 12.5).as_bytes())
            .status,
        202
    );
    hub.assert_alive();
    drop(held);
}

#[test]
fn half_bodies_of_strangers_keep_out_neither_devices_nor_agents() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let device = data.enrol_device("acme", "web-1");
    let mut hub = Hub::start(&data);
    // Whoever knows the form of the headers is read, because nothing is proved before the MAC is.
    let forged = device.request("{}", &device.stamp()).headers;
    let forged = forged.iter().map(|(name, value)| {
        let value = std::str::from_utf8(value).unwrap();
        format!("{name}: {value}\r\n")
    });
    let headers: String = forged.collect();
    let held = hold(&hub, "/ingest", &headers, 524_288, 524_000);
    device.report(&hub, (1, 1), 4.2);
    let large = agent.metrics((1, 1), 12.5);
    let large = format!("{}{}", large.as_str(), " ".repeat(500_000));
    assert_eq!(agent.send(&hub, large.as_bytes()).status, 202);
    hub.assert_alive();
    drop(held);
}
