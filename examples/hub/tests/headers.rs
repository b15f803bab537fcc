//! The exact headers of contract §4 on every answer, errors and those of the HTTP library included.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use support::person::Person;
use support::raw::{Wire, get, request};
use support::refusal::{assert_refusal, assert_security_headers};
use support::{Answer, DataDir, Hub};

fn send(hub: &Hub, bytes: &[u8]) -> Answer {
    Wire::open(hub.addr).send(bytes).end().answer()
}

#[test]
fn a14_every_answer_carries_the_exact_headers() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "one");
    let unpinned = data.enrol_without_key("acme", "two");
    let hub = Hub::start(&data);
    let person = Person::added(&data, &hub, "acme", "read_only");
    let bearer = format!("Bearer {}", unpinned.token);
    let json = ("Content-Type", "application/json");
    let with_token = [("Authorization", bearer.as_str()), json];
    let as_text = [with_token[0], ("Content-Type", "text/plain")];
    let ask = |method, path, headers: &[(&str, &str)], body: &[u8]| {
        send(&hub, &request(method, path, headers, body))
    };
    // Declared and not sent: whoever sends what nobody reads may not see the answer.
    let large = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nHost: hub\r\nAuthorization: {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: 600000\r\nConnection: close\r\n\r\n"
    );
    let answers = [
        (200, get(hub.addr, "/login")),
        (200, get(hub.addr, "/healthz")),
        (200, get(hub.addr, "/internal/metrics")),
        (200, person.get(&hub, "/overview")),
        (200, person.get(&hub, "/api/v1/agents")),
        (202, agent.send(&hub, agent.metrics((1, 1), 4.2).as_bytes())),
        (303, get(hub.addr, "/")),
        (303, get(hub.addr, "/overview")),
        (400, ask("POST", "/api/v1/ingest", &with_token, b"{")),
        (400, ask("POST", "/ingest", &[], b"")),
        (401, get(hub.addr, "/api/v1/agents")),
        (401, ask("POST", "/api/v1/ingest", &[json], b"{}")),
        (404, get(hub.addr, "/none")),
        (404, get(hub.addr, "/api/v1/none")),
        (404, get(hub.addr, "/assets/none.js")),
        (404, get(hub.addr, "/%00")),
        (405, ask("DELETE", "/api/v1/agents", &[], b"")),
        (405, ask("TRACE", "/login", &[], b"")),
        (
            413,
            Wire::open(hub.addr)
                .send(large.as_bytes())
                .answer()
                .answer(),
        ),
        (415, ask("POST", "/api/v1/ingest", &as_text, b"{}")),
        (422, person.get(&hub, "/api/v1/signals?limit=0")),
    ];
    for (status, answer) in &answers {
        assert_eq!(answer.status, *status, "{answer:?}");
        assert_security_headers(answer);
    }
}

#[test]
fn a14_what_is_no_http_is_answered_with_the_exact_headers_too() {
    let data = DataDir::new();
    let mut hub = Hub::start(&data);
    let long = "a".repeat(70_000);
    let many = "X-Many: 1\r\n".repeat(200);
    let huge = format!("X-Huge: {}\r\n", "b".repeat(600_000));
    for (status, code, bytes) in [
        (400, "bad_request", String::from("NONSENSE\r\n\r\n")),
        (400, "bad_request", String::from("GET / HTTP/9.9\r\n\r\n")),
        (
            400,
            "bad_request",
            String::from("GET /\u{1} HTTP/1.1\r\n\r\n"),
        ),
        (
            400,
            "bad_request",
            String::from("GET / HTTP/1.1\r\nbad header\r\n\r\n"),
        ),
        (
            414,
            "uri_too_long",
            format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"),
        ),
        (
            431,
            "headers_too_large",
            format!("GET / HTTP/1.1\r\n{many}\r\n"),
        ),
        (
            431,
            "headers_too_large",
            format!("GET / HTTP/1.1\r\n{huge}\r\n"),
        ),
    ] {
        let answer = send(&hub, bytes.as_bytes());
        assert_refusal(&answer, status, code);
    }
    hub.assert_alive();
}

#[test]
fn a14_fingerprinted_assets_are_kept_and_carry_the_other_headers() {
    let data = DataDir::new();
    let hub = Hub::start(&data);
    let login = get(hub.addr, "/login").body;
    let at = login.find("/assets/").unwrap();
    let mut answer = get(hub.addr, login[at..].split('"').next().unwrap());
    assert_eq!(answer.status, 200);
    let kept = "public, max-age=31536000, immutable";
    assert_eq!(answer.header("cache-control"), Some(kept));
    for (name, value) in &mut answer.headers {
        if name == "cache-control" {
            value.replace_range(.., "no-store");
        }
    }
    assert_security_headers(&answer);
}
