//! HTTPS is enforced by what the connection is, and by what trusted proxies say; never by strangers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use support::raw::{Wire, request};
use support::refusal::{assert_refusal, assert_security_headers, assert_security_headers_of_https};
use support::{Answer, DataDir, Hub};

const PUBLIC: (&str, &str) = ("MONSYS_PUBLIC_URL", "https://hub.example.org");
const ENFORCED: (&str, &str) = ("EM_ENFORCE_HTTPS", "true");
const OVER_HTTPS: (&str, &str) = ("X-Forwarded-Proto", "https");

fn ask(hub: &Hub, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let wire = Wire::open(hub.addr).send(&request(method, path, headers, b""));
    wire.end().answer()
}

fn assert_redirect(answer: &Answer, to: &str) {
    assert_eq!(answer.status, 308, "{answer:?}");
    assert_eq!(answer.header("location"), Some(to), "{answer:?}");
    assert_security_headers(answer);
}

#[test]
fn a15_a_read_in_the_open_is_redirected_to_the_configured_host() {
    let data = DataDir::new();
    let hub = Hub::start_with(&data, &[ENFORCED, PUBLIC]);
    for method in ["GET", "HEAD"] {
        for path in [
            "/",
            "/login",
            "/overview?a=b&c",
            "/v1/metrics",
            "/none",
            "//evil.example",
        ] {
            let answer = ask(&hub, method, path, &[]);
            assert_redirect(&answer, &format!("https://hub.example.org{path}"));
        }
    }
    // Whatever the request says about hosts is not believed.
    for bytes in [
        "GET /login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET /login HTTP/1.1\r\nHost: hub\r\nX-Forwarded-Host: evil.example\r\n\
         Forwarded: host=evil.example;proto=https\r\nConnection: close\r\n\r\n",
    ] {
        let answer = Wire::open(hub.addr).send(bytes.as_bytes()).end().answer();
        assert_redirect(&answer, "https://hub.example.org/login");
    }
}

#[test]
fn a15_what_may_carry_something_is_refused_in_the_open() {
    let data = DataDir::new();
    let hub = Hub::start_with(&data, &[ENFORCED, PUBLIC]);
    for (method, path) in [
        ("POST", "/ingest"),
        ("POST", "/api/v1/ingest"),
        ("GET", "/ingest"),
        ("GET", "/api/v1/ingest"),
        ("POST", "/auth/api/login"),
        ("POST", "/logout"),
        ("DELETE", "/overview"),
        ("PUT", "/none"),
        ("OPTIONS", "/login"),
    ] {
        assert_refusal(&ask(&hub, method, path, &[]), 403, "https_required");
    }
}

#[test]
fn a15_a_header_that_a_stranger_forges_is_ignored() {
    let data = DataDir::new();
    // Nobody is trusted unless named, and who is named here is somebody else.
    for settings in [
        vec![ENFORCED, PUBLIC],
        vec![
            ENFORCED,
            PUBLIC,
            ("MONSYS_TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ],
    ] {
        let hub = Hub::start_with(&data, &settings);
        let headers = [OVER_HTTPS, ("X-Forwarded-For", "127.0.0.1")];
        let answer = ask(&hub, "GET", "/login", &headers);
        assert_redirect(&answer, "https://hub.example.org/login");
        let answer = ask(&hub, "POST", "/api/v1/ingest", &headers);
        assert_refusal(&answer, 403, "https_required");
    }
}

#[test]
fn a15_a_trusted_proxy_is_believed_and_hsts_is_said_over_https_only() {
    let data = DataDir::new();
    let trusted = ("MONSYS_TRUSTED_PROXIES", "192.0.2.0/24,127.0.0.1");
    let hub = Hub::start_with(&data, &[ENFORCED, PUBLIC, trusted]);
    let answer = ask(&hub, "GET", "/healthz", &[OVER_HTTPS]);
    assert_eq!(answer.status, 200);
    assert_security_headers_of_https(&answer);
    let answer = ask(&hub, "POST", "/api/v1/ingest", &[OVER_HTTPS]);
    assert_eq!((answer.status, answer.code()), (401, "unauthorized".into()));
    assert_security_headers_of_https(&answer);
    for proto in ["http", "https, http", "http, https", ""] {
        let answer = ask(&hub, "GET", "/login", &[("X-Forwarded-Proto", proto)]);
        assert_redirect(&answer, "https://hub.example.org/login");
    }
    let answer = ask(&hub, "GET", "/login", &[OVER_HTTPS, OVER_HTTPS]);
    assert_redirect(&answer, "https://hub.example.org/login");
}

#[test]
fn a15_probes_and_the_machine_itself_see_how_the_hub_is() {
    let data = DataDir::new();
    let hub = Hub::start_with(&data, &[ENFORCED, PUBLIC]);
    for path in ["/healthz", "/readyz", "/internal/metrics"] {
        let answer = ask(&hub, "GET", path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert_security_headers(&answer);
    }
    let passed_on = [("X-Forwarded-For", "192.0.2.1")];
    let answer = ask(&hub, "GET", "/internal/metrics", &passed_on);
    assert_redirect(&answer, "https://hub.example.org/internal/metrics");
}

#[test]
fn a15_without_a_configured_host_there_is_nothing_to_redirect_to() {
    let data = DataDir::new();
    let hub = Hub::start_with(&data, &[("EM_ENV", "staging")]);
    assert_refusal(&ask(&hub, "GET", "/login", &[]), 403, "https_required");
    assert!(
        hub.log().contains("MONSYS_PUBLIC_URL is not set"),
        "{}",
        hub.log()
    );
}

#[test]
fn a15_in_development_plain_http_is_served() {
    let data = DataDir::new();
    let hub = Hub::start_with(&data, &[PUBLIC]);
    assert_eq!(ask(&hub, "GET", "/login", &[]).status, 200);
    assert_eq!(ask(&hub, "POST", "/api/v1/ingest", &[]).status, 401);
}

/// How many of a burst of requests without a valid token, all from one client, were not limited.
fn n_let_through(hub: &Hub, client: &str) -> usize {
    let token = format!("Bearer ms_{}", "a".repeat(43));
    let headers = [
        ("Authorization", token.as_str()),
        ("X-Forwarded-For", client),
    ];
    let statuses = (0..20).map(|_| ask(hub, "POST", "/api/v1/ingest", &headers).status);
    statuses.filter(|status| *status == 401).count()
}

#[test]
fn a15_the_limits_of_addresses_are_those_of_clients_behind_trusted_proxies() {
    let data = DataDir::new();
    let slow = ("MONSYS_ADDRESS_RATE", "1");
    let trusted = ("MONSYS_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8");
    let hub = Hub::start_with(&data, &[slow, trusted]);
    assert!(n_let_through(&hub, "192.0.2.1") < 15);
    assert!(
        n_let_through(&hub, "192.0.2.2") > 1,
        "another client has a bucket of its own"
    );
    // What a client writes itself stands left of what the proxy adds, and gives it no new bucket.
    let n: usize = (0..5)
        .map(|n| n_let_through(&hub, &format!("198.51.100.{n}, 192.0.2.3, 10.0.0.7")))
        .sum();
    assert!(n < 50, "{n} of 100 passed");

    let hub = Hub::start_with(&data, &[slow]);
    let n: usize = (0..5)
        .map(|n| n_let_through(&hub, &format!("198.51.100.{n}")))
        .sum();
    assert!(n < 50, "{n} of 100 passed by headers that nobody trusts");
}
