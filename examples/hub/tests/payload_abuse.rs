//! Bodies and requests that no honest client sends, byte for byte over TCP: the hub answers or
//! closes, in time, never with a 5xx and never with a panic, and goes on accepting honest payloads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE, SIGNATURE};

use support::agent::INGEST;
use support::raw::{Outcome, Wire, request};
use support::refusal::assert_refusal;
use support::{Answer, DataDir, Dice, Hub, TestAgent};

const BODY_BYTES_MAX: usize = 524_288;

struct Scene {
    hub: Hub,
    agent: TestAgent,
    _data: DataDir,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let agent = data.enrol("acme", "alpha");
        Self {
            hub: Hub::start(&data),
            agent,
            _data: data,
        }
    }

    fn wire(&self) -> Wire {
        Wire::open(self.hub.addr)
    }

    fn honest(&self, seq: i64) -> String {
        self.agent.metrics((1, seq), 4.2).as_str().to_owned()
    }

    /// The head of a request that is right but for its framing.
    fn head(&self, framing: &str, body: &[u8]) -> Vec<u8> {
        let (bearer, signature) = (self.agent.bearer(), self.agent.sign(body));
        format!(
            "POST {INGEST} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\
             {AUTHORIZATION}: {bearer}\r\n{SIGNATURE}: {signature}\r\n\
             {CONTENT_TYPE}: {JSON_TYPE}\r\n{framing}\r\n\r\n"
        )
        .into_bytes()
    }

    fn post(&self, body: &[u8]) -> Answer {
        self.wire().send(&self.agent.raw(body)).end().answer()
    }

    fn post_chunked(&self, body: &[u8], chunk: usize) -> Answer {
        let mut bytes = self.head("Transfer-Encoding: chunked", body);
        for part in body.chunks(chunk) {
            bytes.extend(format!("{:x}\r\n", part.len()).bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        self.wire().send(&bytes).end().answer()
    }

    /// Asserts that the hub is well and takes an honest payload at a position not used before.
    fn assert_well(mut self, seq: i64) {
        self.hub.assert_alive();
        assert_eq!(self.post(self.honest(seq).as_bytes()).status, 202);
    }
}

/// An honest body, padded by white space, which changes nothing of what it says.
fn padded(body: &str, length: usize) -> Vec<u8> {
    format!("{body}{}", " ".repeat(length - body.len())).into_bytes()
}

#[test]
fn i6_a_body_of_524288_bytes_is_read_and_one_of_524289_is_too_large() {
    let scene = Scene::new();
    let too_large = vec![b' '; BODY_BYTES_MAX + 1];
    let whole = padded(&scene.honest(1), BODY_BYTES_MAX);
    assert_eq!(scene.post(&whole).status, 202);
    let whole = padded(&scene.honest(2), BODY_BYTES_MAX);
    assert_eq!(scene.post_chunked(&whole, 60_000).status, 202);
    assert_refusal(&scene.post(&vec![b'a'; BODY_BYTES_MAX]), 400, "syntax");
    assert_refusal(
        &scene.post_chunked(&vec![b'['; BODY_BYTES_MAX], 7_000),
        400,
        "depth",
    );
    assert_refusal(&scene.post(&too_large), 413, "too_large");
    assert_refusal(&scene.post_chunked(&too_large, 60_000), 413, "too_large");
    assert_refusal(
        &scene.post_chunked(&too_large, BODY_BYTES_MAX + 1),
        413,
        "too_large",
    );
    scene.assert_well(3);
}

#[test]
fn i6_a_length_that_is_too_large_is_refused_before_the_body_comes() {
    let scene = Scene::new();
    for length in ["524289", "4294967296", "9223372036854775807"] {
        let head = scene.head(&format!("Content-Length: {length}"), b"");
        let answer = scene.wire().send(&head).answer().answer();
        assert_refusal(&answer, 413, "too_large");
    }
    for length in [
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "1e3",
        "12, 13",
        "x",
        "",
    ] {
        let head = scene.head(&format!("Content-Length: {length}"), b"");
        let outcome = scene.wire().send(&head).half_close().end();
        assert!(is_refused_or_closed(&outcome), "{length}: {outcome:?}");
    }
    scene.assert_well(1);
}

#[test]
fn i6_an_endless_chunked_body_is_cut_off_at_the_cap() {
    let scene = Scene::new();
    let mut wire = scene
        .wire()
        .send(&scene.head("Transfer-Encoding: chunked", b""));
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat();
    let mut n_sent = 0;
    while wire.first_answer().is_none() {
        assert!(n_sent < 1_000, "the hub read {n_sent} chunks of 64 KiB");
        n_sent += 1;
        wire = wire.send(&chunk);
        if wire.listen(Duration::from_millis(2)) {
            break;
        }
    }
    assert_refusal(&wire.first_answer().unwrap(), 413, "too_large");
    scene.assert_well(1);
}

#[test]
fn i6_a_length_that_lies_stores_nothing() {
    let scene = Scene::new();
    let body = scene.honest(1);
    let longer = scene.head(
        &format!("Content-Length: {}", body.len() + 100),
        body.as_bytes(),
    );
    let outcome = scene
        .wire()
        .send(&longer)
        .send(body.as_bytes())
        .half_close()
        .end();
    assert!(is_refused_or_closed(&outcome), "{outcome:?}");
    let shorter = scene.head(
        &format!("Content-Length: {}", body.len() - 1),
        body.as_bytes(),
    );
    let answer = scene
        .wire()
        .send(&shorter)
        .send(body.as_bytes())
        .end()
        .answer();
    assert_refusal(&answer, 400, "syntax");
    let nothing = scene.head("X-None: 1", body.as_bytes());
    let outcome = scene.wire().send(&nothing).send(body.as_bytes()).end();
    assert!(is_refused_or_closed(&outcome), "{outcome:?}");
    for lie in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    ] {
        let head = scene.head(lie, body.as_bytes());
        let outcome = scene
            .wire()
            .send(&head)
            .send(body.as_bytes())
            .half_close()
            .end();
        assert!(is_refused_or_closed(&outcome), "{lie}: {outcome:?}");
    }
    scene.assert_well(1);
}

#[test]
fn a_body_cut_off_anywhere_is_no_json() {
    let scene = Scene::new();
    let body = scene.honest(1);
    for end in (0..body.len()).step_by(3) {
        let answer = scene.post(&body.as_bytes()[..end]);
        assert_refusal(&answer, 400, "syntax");
    }
    scene.assert_well(1);
}

#[test]
fn a_body_whose_connection_ends_anywhere_is_refused_or_dropped() {
    let scene = Scene::new();
    let raw = scene.agent.raw(scene.honest(1).as_bytes());
    for end in (0..raw.len()).step_by(11) {
        let outcome = scene.wire().send(&raw[..end]).half_close().end();
        assert!(is_refused_or_closed(&outcome), "{end}: {outcome:?}");
    }
    scene.assert_well(1);
}

#[test]
fn a_body_that_stops_coming_is_given_up_in_time() {
    let scene = Scene::new();
    let body = scene.honest(1);
    let head = scene.head(&format!("Content-Length: {}", body.len()), body.as_bytes());
    let half = &body.as_bytes()[..body.len() / 2];
    let outcome = scene.wire().send(&head).send(half).end();
    assert!(is_refused_or_closed(&outcome), "{outcome:?}");
    scene.assert_well(1);
}

#[test]
fn headers_that_stop_coming_are_given_up_in_time() {
    let scene = Scene::new();
    let head = scene.head("Content-Length: 1", b"");
    let outcome = scene.wire().send(&head[..head.len() / 2]).end();
    assert!(is_refused_or_closed(&outcome), "{outcome:?}");
    scene.assert_well(1);
}

#[test]
fn hostile_bodies_are_refused_by_their_code() {
    let scene = Scene::new();
    let nested = |open: &str, close: &str| {
        let n = BODY_BYTES_MAX / (open.len() + close.len());
        format!("{}{}", open.repeat(n), close.repeat(n)).into_bytes()
    };
    let digits = "9".repeat(400_000);
    let name = format!("{{\"{}\":1}}", "a".repeat(500_000));
    let twins = format!("{{{}}}", vec!["\"a\":1"; 80_000].join(","));
    let members: Vec<_> = (0..40_000).map(|i| format!("\"{i}\":1")).collect();
    let cases: [(Vec<u8>, u16, &str); 21] = [
        (b"".to_vec(), 400, "syntax"),
        (b"null".to_vec(), 422, "wrong_type"),
        (b"true".to_vec(), 422, "wrong_type"),
        (b"[]".to_vec(), 422, "wrong_type"),
        (b"\"x\"".to_vec(), 422, "wrong_type"),
        (b"1".to_vec(), 422, "wrong_type"),
        (b"{}".to_vec(), 422, "missing_field"),
        (b"NaN".to_vec(), 400, "syntax"),
        (b"-Infinity".to_vec(), 400, "syntax"),
        (b"1e400".to_vec(), 400, "number_range"),
        (b"1e999999999999999999999".to_vec(), 400, "number_range"),
        (digits.into_bytes(), 400, "number_range"),
        (nested("[", "]"), 400, "depth"),
        (nested("{\"a\":", "}"), 400, "depth"),
        (vec![b'['; 100_000], 400, "depth"),
        (vec![0; 100_000], 400, "syntax"),
        (vec![0xff; 100_000], 400, "not_utf8"),
        (name.into_bytes(), 422, "missing_field"),
        (twins.into_bytes(), 400, "duplicate_name"),
        (
            format!("{{{}}}", members.join(",")).into_bytes(),
            422,
            "missing_field",
        ),
        (
            format!("\"{}\"", "\\ud800".repeat(80_000)).into_bytes(),
            400,
            "lone_surrogate",
        ),
    ];
    for (body, status, code) in cases {
        let start = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        let answer = scene.post(&body);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{start}"
        );
        assert_refusal(&answer, status, code);
        assert!(
            answer.body.len() < 4_096,
            "{start}: {} bytes",
            answer.body.len()
        );
    }
    scene.assert_well(1);
}

#[test]
fn a_flood_of_headers_is_refused() {
    let scene = Scene::new();
    let many: String = (0..10_000).map(|i| format!("X-{i}: a\r\n")).collect();
    let twice: String = (0..90).map(|_| format!("{SIGNATURE}: a\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(4 << 20));
    let nameless = ": a\r\n".to_owned();
    for flood in [many, twice, long, nameless] {
        let head = scene.head(&format!("{flood}Content-Length: 0"), b"");
        let outcome = scene.wire().send(&head).half_close().end();
        assert!(is_refused_or_closed(&outcome), "{outcome:?}");
    }
    scene.assert_well(1);
}

#[test]
fn garbage_behind_a_request_harms_neither() {
    let scene = Scene::new();
    for (i, garbage) in [
        &b"\x00\xff\x16\x03\x01 garbage\r\n\r\n"[..],
        b"POST",
        b"\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let raw = scene
            .agent
            .raw(scene.honest(i64::try_from(i).unwrap() + 1).as_bytes());
        let text = String::from_utf8_lossy(&raw).replace("Connection: close\r\n", "");
        let outcome = scene.wire().send(text.as_bytes()).send(garbage).answer();
        assert_eq!(outcome.status(), Some(202), "{garbage:?}");
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\n",
    ] {
        let outcome = scene.wire().send(garbage).half_close().end();
        assert!(is_refused_or_closed(&outcome), "{garbage:?}: {outcome:?}");
    }
    scene.assert_well(10);
}

#[test]
fn other_endpoints_take_no_hostile_body_either() {
    let scene = Scene::new();
    let bearer = scene.agent.bearer();
    let headers = [(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, JSON_TYPE)];
    let deep = "[".repeat(100_000);
    for path in [
        "/api/v1/agents/pin",
        "/api/v1/integrity/anomalies/x/resolve",
        "/logout",
        "/setup/x",
    ] {
        for body in [
            &b""[..],
            b"null",
            b"{\"public_key\":1}",
            b"\xff\xfe",
            deep.as_bytes(),
            &[b'a'; 3 << 20],
        ] {
            let outcome = scene
                .wire()
                .send(&request("POST", path, &headers, body))
                .end();
            // Without a session a page sends people to the login.
            let is_fine = is_refused_or_closed(&outcome) || outcome.status() == Some(303);
            assert!(is_fine, "{path}: {outcome:?}");
        }
    }
    scene.assert_well(1);
}

#[test]
fn two_thousand_mutations_of_a_good_request_harm_nothing() {
    const SEED: u64 = 0x6d6f_6e73_7973;
    const N_MUTATIONS: usize = 2_000;
    let mut scene = Scene::new();
    let raw = scene.agent.raw(scene.honest(1).as_bytes());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= N_MUTATIONS {
                        return;
                    }
                    let mut dice = Dice(SEED + u64::try_from(n).unwrap());
                    let bytes = mutated(&raw, &mut dice);
                    let mut wire = scene.wire().send(&bytes);
                    // Some lack what the hub waits for, so they say at last that nothing will come.
                    let outcome = if wire.listen(Duration::from_millis(50)) {
                        wire.end()
                    } else {
                        wire.half_close().end()
                    };
                    let is_fine = outcome.status().is_none_or(|status| status < 500);
                    assert!(is_fine, "mutation {n} of seed {SEED:#x}: {outcome:?}");
                }
            });
        }
    });
    scene.hub.assert_alive();
    scene.assert_well(1_000_000);
}

/// Changes one to four places: flips, cuts, doubles, inserts or overwrites bytes.
fn mutated(raw: &[u8], dice: &mut Dice) -> Vec<u8> {
    const TOKENS: [&[u8]; 16] = [
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\u0000",
        b"\\ud800",
        b"1e400",
        b"null",
        b"\r\n",
        b"\r\n\r\n",
        b"\x00",
        b"\xff",
        b"-",
    ];
    let mut bytes = raw.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        let span = 1 + dice.below(12).min(bytes.len() - at - 1);
        match dice.below(6) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(bytes.drain(at..at + span)),
            3 => {
                let copy = bytes[at..at + span].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => drop(bytes.splice(at..at, TOKENS[dice.below(TOKENS.len())].iter().copied())),
            _ => drop(bytes.splice(
                at..at + span,
                TOKENS[dice.below(TOKENS.len())].iter().copied(),
            )),
        }
    }
    bytes
}

/// Whether the hub said no, or nothing at all.
fn is_refused_or_closed(outcome: &Outcome) -> bool {
    outcome
        .status()
        .is_none_or(|status| (400..500).contains(&status))
}
