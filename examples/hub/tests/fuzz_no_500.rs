//! Mutated requests of every kind: the hub answers each of them, or closes, and never by a fault of
//! its own. `MONSYS_FUZZ_REQUESTS` says how many; row I10 asks for a million.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE, SIGNATURE};

use support::device::TestDevice;
use support::person::Person;
use support::raw::{self, Outcome, Wire};
use support::{DataDir, Dice, Hub, PATIENCE, TestAgent};

const SEED: u64 = 0x6669_7265_776f_726b;
/// How many requests `cargo test` sends when nobody asks for more.
const N_REQUESTS: usize = 20_000;
const N_THREADS: usize = 4;
/// One of so many is broken below the level of HTTP.
const BROKEN_FRAMING_EVERY: usize = 16;
/// How much the hub may grow after its first quarter, in bytes: 10 MiB.
const GROWTH_BYTES_MAX: u64 = 10 << 20;

/// What attackers put where a word is expected.
const WORDS: [&str; 36] = [
    "",
    "-1",
    "0",
    "9223372036854775808",
    "1e999",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "' OR '1'='1",
    "1; DROP TABLE agents; --",
    "\" UNION SELECT token_digest FROM agents --",
    "%00",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "../../../../etc/passwd",
    "..%5c..%5c",
    "%ff%fe",
    "%",
    "%zz",
    "//evil.example/",
    "https://evil.example/",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}}",
    "$(reboot)",
    "|cat /etc/shadow",
    "Bearer",
    "Bearer ms_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJhZG1pbiJ9.",
    "monsys=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; monsys=B",
    "__Host-monsys=x",
    "application/x-www-form-urlencoded",
    "2026-13-45T99:99:99Z",
    "00000000-0000-0000-0000-000000000000",
];

/// A request that the hub knows what to do with.
#[derive(Clone)]
struct Seed {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Seed {
    fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter();
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: body.to_vec(),
        }
    }

    /// The request as bytes, with a length that is true.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: hub\r\n", self.method, self.target);
        bytes.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        let mut bytes = bytes.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// Changes one to four places, each where a person or a program chose what stands there.
    fn mutated(&self, dice: &mut Dice) -> Self {
        let mut seed = self.clone();
        for _ in 0..=dice.below(4) {
            match dice.below(10) {
                0 => seed.method = pick(dice, &["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
                1..=3 => seed.mutate_target(dice),
                4..=6 => seed.mutate_headers(dice),
                _ => mutate(&mut seed.body, dice),
            }
        }
        seed
    }

    fn mutate_target(&mut self, dice: &mut Dice) {
        let word = pick(dice, &WORDS).replace(' ', "%20");
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        self.target = match dice.below(5) {
            0 => format!("{path}/{word}"),
            1 => {
                let mut parts: Vec<_> = path.split('/').collect();
                let at = 1 + dice.below(parts.len() - 1);
                parts[at] = &word;
                parts.join("/")
            }
            2 => format!("{path}?{query}&limit={word}"),
            3 => format!("{path}?{}={word}&{query}", pick(dice, &PARAMETERS)),
            _ => format!("{path}?{}", query.replace('=', &format!("={word}"))),
        };
        self.target.retain(|c| c.is_ascii_graphic());
        self.target.truncate(2_048);
    }

    fn mutate_headers(&mut self, dice: &mut Dice) {
        let word = pick(dice, &WORDS).into_bytes();
        if self.headers.is_empty() {
            self.headers.push((pick(dice, &HEADERS), word));
            return;
        }
        let at = dice.below(self.headers.len());
        match dice.below(6) {
            0 => drop(self.headers.remove(at)),
            1 => self.headers.push(self.headers[at].clone()),
            2 => self.headers[at].1 = word,
            3 => self.headers[at].1 = vec![b'a'; dice.below(9_000)],
            4 => self.headers.push((pick(dice, &HEADERS), word)),
            _ => {
                let value = &mut self.headers[at].1;
                mutate(value, dice);
                // The end of a line would make another request of it.
                value.retain(|byte| !b"\r\n\0".contains(byte));
            }
        }
    }
}

/// Names that routes know, and some that none does.
const PARAMETERS: [&str; 14] = [
    "page",
    "page_size",
    "cursor",
    "limit",
    "org_id",
    "device_id",
    "kind",
    "state",
    "severity",
    "since",
    "at",
    "next",
    "format",
    "nobody_knows",
];

/// Headers that say who asks, from where, and what comes.
const HEADERS: [&str; 12] = [
    AUTHORIZATION,
    SIGNATURE,
    CONTENT_TYPE,
    "Cookie",
    "X-CSRF-Token",
    "Origin",
    "Sec-Fetch-Site",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "Content-Encoding",
    "Accept",
    "X-Metrics-Token",
];

fn pick(dice: &mut Dice, words: &[&str]) -> String {
    words[dice.below(words.len())].to_owned()
}

/// Flips, cuts, doubles, inserts or overwrites bytes.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let word = pick(dice, &WORDS).into_bytes();
    if bytes.is_empty() {
        *bytes = word;
        return;
    }
    let at = dice.below(bytes.len());
    let end = (at + 1 + dice.below(12)).min(bytes.len());
    match dice.below(6) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => drop(bytes.splice(at..at, word)),
        _ => drop(bytes.splice(at..end, word)),
    }
}

/// What is changed: what agents, devices, people and monitoring ask for.
fn seeds(data: &DataDir, hub: &Hub) -> Vec<Seed> {
    let admin = Person::set_up(hub, "first");
    data.add_org("acme");
    let (agent, device) = (
        data.enrol("acme", "alpha"),
        data.enrol_device("acme", "web-1"),
    );
    agent.report(hub, (1, 1), 4.2, "0.1.0");
    device.report(hub, (1, 1), 4.2);
    let cookie = admin.cookie().unwrap().to_owned();
    let mut seeds = of_agents(&agent, &device);
    seeds.extend(of_people(&cookie, &agent));
    seeds.extend(of_description(hub, &cookie, &agent));
    seeds
}

/// Every route that the hub says it has, but for the stream that does not end.
fn of_description(hub: &Hub, cookie: &str, agent: &TestAgent) -> Vec<Seed> {
    let description = raw::get(hub.addr, "/openapi.json").json();
    let paths = description["paths"].as_object().unwrap();
    let seed = |path: &str, method: &str| {
        let target = path.replace("{id}", &agent.id.to_string());
        let kind = if method == "post" {
            JSON_TYPE
        } else {
            "text/html"
        };
        let headers = [("Cookie", cookie), (CONTENT_TYPE, kind)];
        Seed::new(&method.to_uppercase(), &target, &headers, b"{}")
    };
    let paths = paths
        .iter()
        .filter(|(path, _)| *path != "/integrity/events");
    let seeds: Vec<_> = paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(|method| seed(path, method))
        })
        .collect();
    assert!(seeds.len() > 50, "{}", seeds.len());
    seeds
}

fn of_agents(agent: &TestAgent, device: &TestDevice) -> Vec<Seed> {
    let body = agent.metrics((1, 2), 4.2).as_str().to_owned();
    let (bearer, signature) = (agent.bearer(), agent.sign(body.as_bytes()));
    let signed = [
        (AUTHORIZATION, bearer.as_str()),
        (SIGNATURE, &signature),
        (CONTENT_TYPE, JSON_TYPE),
    ];
    let request = device.request(&device.metrics((1, 2), 4.2), &device.stamp());
    let headers = request.headers.iter();
    let of_device = Seed {
        method: "POST".to_owned(),
        target: request.path.to_owned(),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        body: request.body.clone(),
    };
    let pin = br#"{"public_key":"00","signature":"00"}"#;
    vec![
        Seed::new("POST", support::agent::INGEST, &signed, body.as_bytes()),
        of_device,
        Seed::new("GET", "/api/v1/agents/self", &signed[..1], b""),
        Seed::new("POST", "/api/v1/agents/pin", &[signed[0], signed[2]], pin),
    ]
}

fn of_people(cookie: &str, agent: &TestAgent) -> Vec<Seed> {
    let id = agent.id;
    let session = [("Cookie", cookie)];
    let json = [session[0], (CONTENT_TYPE, JSON_TYPE)];
    let form = [
        session[0],
        (CONTENT_TYPE, "application/x-www-form-urlencoded"),
    ];
    let read = [
        "/overview",
        "/fleet",
        "/devices",
        "/events?kind=audit",
        "/insights",
        "/login?next=/fleet",
        "/integrity?state=open&kind=clock_drift",
        "/internal/metrics",
        "/healthz",
        "/openapi.json",
        "/api/v1/agents?limit=10",
        "/api/v1/integrity/summary",
        "/api/v1/integrity/anomalies?state=open&limit=5",
        "/api/v1/correlation",
        "/api/v1/signals?source=a&limit=5",
        "/api/v1/compliance/pareto?format=csv",
        "/v1/metrics?org_id=first&page=1&page_size=10",
        "/v1/fleet/top?org_id=first&limit=3",
    ];
    let mut seeds: Vec<_> = read
        .iter()
        .map(|target| Seed::new("GET", target, &session, b""))
        .collect();
    for target in [
        format!("/agents/{id}"),
        format!("/api/v1/agents/{id}"),
        format!("/api/v1/trust/{id}?at=2026-11-21T00:00:00Z&target=90"),
    ] {
        seeds.push(Seed::new("GET", &target, &session, b""));
    }
    for (target, headers, body) in [
        (
            "/auth/api/login",
            &json,
            r#"{"org":"first","username":"a@b","password":"none of it"}"#,
        ),
        ("/auth/api/refresh", &json, r#"{"refresh_token":"none"}"#),
        (
            "/v1/admin/users",
            &json,
            r#"{"username":"a@b","password":"longer than it","role":"admin"}"#,
        ),
        (
            "/api/v1/integrity/anomalies/1/resolve",
            &json,
            r#"{"note":"seen"}"#,
        ),
        (
            "/api/v1/integrity/anomalies/resolve",
            &json,
            r#"{"ids":["1"],"note":"seen"}"#,
        ),
        (
            "/login",
            &form,
            "organisation=first&email=a%40b&password=none&csrf=x",
        ),
        ("/integrity/1/resolve", &form, "csrf=x&note=seen"),
        ("/integrity/act", &form, "csrf=x&id=1&act=resolve"),
        ("/integrity/run", &form, "csrf=x"),
    ] {
        seeds.push(Seed::new("POST", target, headers, body.as_bytes()));
    }
    seeds
}

/// A connection that stays while the hub keeps it.
struct Line {
    addr: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Line {
    /// Sends a request and reads its status; `None` when the hub closed the connection instead.
    fn ask(&mut self, bytes: &[u8], has_body: bool) -> Option<u16> {
        let is_new = self.stream.is_none();
        let status = self.try_ask(bytes, has_body);
        if status.is_none() {
            self.stream = None;
            // A connection that was kept may have ended between two requests.
            return if is_new {
                None
            } else {
                self.ask(bytes, has_body)
            };
        }
        status
    }

    fn try_ask(&mut self, bytes: &[u8], has_body: bool) -> Option<u16> {
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect_timeout(&self.addr, PATIENCE).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(bytes).ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let status = line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let (mut length, mut is_last) = (None, false);
        loop {
            line.clear();
            stream.read_line(&mut line).ok()?;
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if let Some(n) = text.strip_prefix("content-length: ") {
                length = n.parse::<usize>().ok();
            }
            is_last |= text == "connection: close";
        }
        let length = if has_body { length.unwrap_or(0) } else { 0 };
        stream.read_exact(&mut vec![0; length]).ok()?;
        if is_last {
            self.stream = None;
        }
        Some(status)
    }
}

/// How much memory the hub holds, in bytes.
fn resident(hub: &Hub) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number: String = line.unwrap().chars().filter(char::is_ascii_digit).collect();
    number.parse::<u64>().unwrap() << 10
}

#[test]
fn i10_no_mutated_request_is_answered_by_a_fault_of_the_hub_and_none_makes_it_grow() {
    let wanted = std::env::var("MONSYS_FUZZ_REQUESTS").ok();
    let n_requests = wanted.map_or(N_REQUESTS, |n| n.parse().unwrap());
    let data = DataDir::new();
    let mut hub = Hub::start(&data);
    let seeds = seeds(&data, &hub);
    let (next, after_a_quarter) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let counts = Mutex::new(std::collections::BTreeMap::<Option<u16>, usize>::new());
    std::thread::scope(|scope| {
        let send = || {
            let mut line = Line {
                addr: hub.addr,
                stream: None,
            };
            let mut seen = std::collections::BTreeMap::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= n_requests {
                    break;
                }
                if n == n_requests / 4 {
                    let bytes = usize::try_from(resident(&hub)).unwrap();
                    after_a_quarter.store(bytes, Ordering::Relaxed);
                }
                let mut dice = Dice(SEED ^ u64::try_from(n).unwrap() << 20);
                let seed = seeds[dice.below(seeds.len())].mutated(&mut dice);
                let mut bytes = seed.bytes();
                let status = if n % BROKEN_FRAMING_EVERY == 0 {
                    mutate(&mut bytes, &mut dice);
                    let outcome: Outcome = Wire::open(hub.addr).send(&bytes).half_close().end();
                    outcome.status()
                } else {
                    line.ask(&bytes, seed.method != "HEAD")
                };
                let is_fine = status.is_none_or(|status| status < 500);
                let text = String::from_utf8_lossy(&bytes);
                assert!(is_fine, "request {n}: {status:?} for {text}");
                *seen.entry(status).or_insert(0) += 1;
            }
            let mut counts = counts.lock().unwrap();
            for (status, n) in seen {
                *counts.entry(status).or_default() += n;
            }
        };
        for _ in 0..N_THREADS {
            scope.spawn(send);
        }
    });
    let before = u64::try_from(after_a_quarter.into_inner()).unwrap();
    let growth = resident(&hub).saturating_sub(before);
    let counts = counts.into_inner().unwrap();
    println!("{n_requests} requests by status {counts:?}; grew by {growth} bytes from {before}");
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes from {before}");
    // Requests that are refused for one thing only prove nothing: most kinds of answers came.
    for status in [200, 303, 400, 401, 403, 404, 405, 422] {
        assert!(counts.contains_key(&Some(status)), "{status}: {counts:?}");
    }
    hub.assert_alive();
}
