//! Secrets that pass through a hub, planted wherever a client can put them, are never in its log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::Value;

use support::tls::{Files, Pair, TlsWire, replace};
use support::{DataDir, Hub, PATIENCE, poll};

const N_LINES: usize = 10_000;

/// Twelve secrets by kind, each with a middle that nothing else has.
struct Canaries {
    bearer: String,
    jwt: String,
    api_token: String,
    password_in_json: String,
    password_in_form: String,
    cookie: String,
    csrf: String,
    device_key: String,
    link: String,
    database_password: String,
    tls_key: String,
    metrics_token: String,
}

impl Canaries {
    fn plant() -> Self {
        let of = |n: usize, length: usize| {
            format!("canary{n:02}{}", "Zz9".repeat(20))[..length].to_owned()
        };
        Self {
            bearer: format!("ms_{}", of(1, 43)),
            jwt: format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", of(2, 40), of(2, 43)),
            api_token: format!("mst_{}", of(3, 43)),
            password_in_json: of(4, 24),
            password_in_form: of(5, 24),
            cookie: of(6, 43),
            csrf: of(7, 43),
            device_key: "ca9a47080d".repeat(7)[..64].to_owned(),
            link: of(9, 43),
            database_password: of(10, 20),
            tls_key: of(11, 48),
            metrics_token: of(12, 30),
        }
    }

    /// What no line of a log may hold: of each secret a part that is its own.
    fn marks(&self) -> Vec<&str> {
        let all = [
            &self.bearer,
            &self.jwt,
            &self.api_token,
            &self.password_in_json,
            &self.password_in_form,
            &self.cookie,
            &self.csrf,
            &self.link,
            &self.database_password,
            &self.tls_key,
            &self.metrics_token,
        ];
        let marks = all.map(|text| {
            let at = text.find("canary").unwrap();
            &text[at..at + 8]
        });
        marks.into_iter().chain([&self.device_key[..10]]).collect()
    }

    /// Requests that hold all of them, in every place where a client can put one.
    fn requests(&self, agent_token: &str) -> Vec<String> {
        let Self {
            bearer,
            jwt,
            api_token,
            cookie,
            csrf,
            device_key,
            link,
            metrics_token,
            ..
        } = self;
        let (in_json, in_form) = (&self.password_in_json, &self.password_in_form);
        let get = |path: &str, headers: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n")
        };
        let post = |path: &str, headers: &str, body: &str| {
            let length = body.len();
            format!(
                "POST {path} HTTP/1.1\r\nHost: hub\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
            )
        };
        let (json, form) = (
            "Content-Type: application/json\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\n",
        );
        let login = format!(r#"{{"org":"acme","username":"a@b","password":"{in_json}"}}"#);
        let refresh = format!(r#"{{"refresh_token":"{jwt}"}}"#);
        let fields =
            format!("org=acme&username=a%40b&password={in_form}&csrf={csrf}&next=/login/{link}");
        let signed = format!(
            "X-EM-Org: acme\r\nX-EM-Device: {device_key}\r\nX-EM-Timestamp: 1\r\n\
             X-EM-Nonce: {device_key}\r\nX-EM-Signature: {device_key}\r\n"
        );
        let by_agent = format!("Authorization: Bearer {agent_token}\r\n{json}");
        vec![
            get(
                "/api/v1/agents/self",
                &format!("Authorization: Bearer {bearer}\r\n"),
            ),
            get("/v1/metrics", &format!("Authorization: Bearer {jwt}\r\n")),
            get(
                "/api/v1/agents",
                &format!("Authorization: Bearer {api_token}\r\n"),
            ),
            get(&format!("/api/v1/signals?token={api_token}&key={jwt}"), ""),
            get(
                "/overview",
                &format!("Cookie: __Host-monsys={cookie}; monsys={cookie}\r\n"),
            ),
            get(
                &format!("/login/{link}"),
                &format!("Referer: https://hub/login/{link}\r\n"),
            ),
            get(
                &format!("/setup/{link}?{link}"),
                &format!("User-Agent: {bearer}\r\n"),
            ),
            get(
                &format!("/{link}/{metrics_token}"),
                &format!("X-Forwarded-For: {cookie}\r\n"),
            ),
            get(
                "/internal/metrics",
                &format!("X-Metrics-Token: {metrics_token}\r\n"),
            ),
            get(
                "/internal/metrics",
                &format!("X-Metrics-Token: {metrics_token}x\r\n"),
            ),
            post("/auth/api/login", json, &login),
            post("/auth/api/login", json, &login[..login.len() - 2]),
            post("/auth/api/refresh", json, &refresh),
            post("/login", form, &fields),
            post(
                "/logout",
                &format!("{form}X-CSRF-Token: {csrf}\r\nCookie: __Host-monsys={cookie}\r\n"),
                &fields,
            ),
            post(&format!("/setup/{link}"), form, &fields),
            post("/ingest", &format!("{json}{signed}"), &login),
            post("/api/v1/ingest", &by_agent, &login),
            post(
                "/api/v1/ingest",
                &by_agent,
                &format!(r#"{{"{in_json}":{in_form}"#),
            ),
            post(
                "/api/v1/agents/pin",
                &by_agent,
                &format!(r#"{{"public_key":"{device_key}"}}"#),
            ),
            format!("{in_json} /login HTTP/1.1\r\nHost: {link}\r\n\r\n"),
        ]
    }
}

/// Asserts that each line is an object of a log, and that no secret is in any.
fn assert_clean(log: &str, canaries: &Canaries) {
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for member in ["timestamp", "level", "fields", "target"] {
            assert!(parsed.get(member).is_some(), "{line}");
        }
    }
    for mark in canaries.marks() {
        let found = log.lines().find(|line| line.contains(mark));
        assert_eq!(found, None, "{mark}");
    }
}

fn send_all(hub: &Hub, pair: &Pair, requests: &[String], n: usize) {
    let mut wire = TlsWire::open(hub.addr, &[pair]).unwrap();
    for request in requests.iter().cycle().take(n) {
        // What is no request ends its connection.
        let is_open = wire
            .ask(request.as_bytes())
            .is_ok_and(|answer| answer.header("connection") != Some("close"));
        if !is_open {
            wire = TlsWire::open(hub.addr, &[pair]).unwrap();
        }
    }
}

fn break_key(files: &Files, canaries: &Canaries, hub: &Hub) {
    let secret = &canaries.tls_key;
    replace(
        &files.key,
        &format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"),
    );
    hub.hang_up();
    poll("the broken key is refused", PATIENCE, || {
        hub.log()
            .contains("a new certificate was refused")
            .then_some(())
    });
}

#[test]
fn a17_twelve_planted_secrets_are_in_no_line_of_ten_thousand() {
    let (data, pair, canaries) = (DataDir::new(), Pair::new(), Canaries::plant());
    data.add_org("acme");
    let agent = data.enrol("acme", "one");
    let files = pair.write(data.path());
    let secret = |n: usize| format!("{}-of-the-operator-{n}-{n}-{n}-{n}", &canaries.csrf);
    let secrets = [secret(1), secret(2), secret(3)];
    let mut settings = files.settings().to_vec();
    settings.extend([
        ("RUST_LOG", "trace"),
        ("EM_METRICS_TOKEN", canaries.metrics_token.as_str()),
        ("MONSYS_JWT_ACCESS_SECRET", secrets[0].as_str()),
        ("MONSYS_JWT_REFRESH_SECRET", secrets[1].as_str()),
        ("MONSYS_CSRF_SECRET", secrets[2].as_str()),
        ("MONSYS_ADDRESS_RATE", "0"),
    ]);
    let mut hub = Hub::start_with(&data, &settings);
    let requests = canaries.requests(&agent.token);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| send_all(&hub, &pair, &requests, N_LINES / 2 + 800));
        }
    });
    break_key(&files, &canaries, &hub);
    poll("ten thousand lines", PATIENCE, || {
        (hub.log().lines().count() >= N_LINES).then_some(())
    });
    hub.terminate();
    assert!(hub.wait(PATIENCE).success());
    let log = hub.log();
    assert_clean(&log, &canaries);
    assert!(
        log.contains("request answered"),
        "nothing was logged of requests"
    );
    // What the hub prints for the operator is a link of its own, and is not in the log.
    assert!(
        !log.contains(hub.set_up_path()),
        "a set-up link is in the log"
    );
}

#[test]
fn a17_the_password_of_a_database_that_is_away_is_not_told() {
    let (data, canaries) = (DataDir::new(), Canaries::plant());
    for password in [
        canaries.database_password.clone(),
        canaries.database_password.replace("Zz9", "%40%2F"),
    ] {
        let url = format!("postgres://hub:{password}@127.0.0.1:1/monsys");
        let mut program = data.program();
        program.args(["run", "--addr", "127.0.0.1:0"]);
        program.envs([("DATABASE_URL", url.as_str()), ("RUST_LOG", "trace")]);
        let output = program.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(!said.contains("canary10"), "{said}");
    }
}
