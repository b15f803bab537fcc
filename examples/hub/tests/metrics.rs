//! What monitoring reads of a hub: a page that keeps to the format, and who may read it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::time::Timestamp;
use monsys_wire::reject::Code;
use monsys_wire::schema::TextMember;
use serde_json::json;

use support::person::Person;
use support::refusal::{assert_refusal, assert_security_headers};
use support::{Answer, DataDir, Hub, PATIENCE, now, poll, raw};

const PATH: &str = "/internal/metrics";

/// Reads a page in the text format of Prometheus, strictly: each family has one help and one type
/// before its samples, stands in one place, and each sample is there once.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut seen = Vec::new();
    let mut lines = page.lines().peekable();
    assert!(page.ends_with('\n'), "the last line ends, too");
    while let Some(line) = lines.next() {
        let (name, help) = line
            .strip_prefix("# HELP ")
            .expect(line)
            .split_once(' ')
            .unwrap();
        assert!(
            !help.is_empty() && !seen.contains(&name.to_owned()),
            "{line}"
        );
        let is_name = |b: u8| b.is_ascii_lowercase() || b == b'_';
        assert!(
            name.starts_with("monsys_") && name.bytes().all(is_name),
            "{line}"
        );
        seen.push(name.to_owned());
        let kind = lines.next().unwrap();
        let kind = kind.strip_prefix(&format!("# TYPE {name} ")).expect(kind);
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        let before = samples.len();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let rest = sample.strip_prefix(name).expect(sample);
            let (suffix, labels) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            let suffixes: &[_] = match kind {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.contains(&suffix), "{sample}");
            assert_labels(labels, suffix == "_bucket");
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert_eq!(samples.insert(sample.to_owned(), value), None, "{sample}");
        }
        assert!(samples.len() > before, "{name}");
    }
    samples
}

/// Asserts that labels are some of those that are known, each with a value that is a plain word.
fn assert_labels(labels: &str, is_bucket: bool) {
    if labels.is_empty() {
        return;
    }
    let labels = labels.strip_prefix('{').unwrap();
    let labels = labels.strip_suffix("\"}").expect(labels);
    let mut names = Vec::new();
    for label in labels.split("\",") {
        let (name, value) = label.split_once("=\"").expect(label);
        let known = [
            "code", "error", "field", "kind", "le", "limit", "outcome", "profile", "reason",
            "route", "status", "version",
        ];
        assert!(known.contains(&name), "{labels}");
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_/{}.-+".contains(&b);
        assert!(!value.is_empty() && value.bytes().all(is_plain), "{labels}");
        names.push(name);
    }
    assert_eq!(names.contains(&"le"), is_bucket, "{labels}");
}

/// Asserts that each histogram counts at most as many below a bound as below the next, and as many
/// below all bounds as there are.
fn assert_histograms(samples: &BTreeMap<String, f64>, page: &str) {
    let mut last: Option<(String, f64)> = None;
    let mut n_histograms = 0;
    for line in page.lines().filter(|line| line.contains("_bucket{")) {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (series, bound) = sample.split_once("le=\"").unwrap();
        let value: f64 = value.parse().unwrap();
        if let Some((_, below)) = last.as_ref().filter(|(same, _)| same == series) {
            assert!(*below <= value, "{line}");
        }
        last = Some((series.to_owned(), value));
        if bound == "+Inf\"}" {
            let (name, labels) = series.split_once("_bucket{").unwrap();
            let count = match labels.trim_end_matches(',') {
                "" => format!("{name}_count"),
                labels => format!("{name}_count{{{labels}}}"),
            };
            assert_eq!(samples.get(&count), Some(&value), "{count}");
            n_histograms += 1;
        }
    }
    assert!(n_histograms > 10, "{n_histograms}");
}

fn read(hub: &Hub) -> BTreeMap<String, f64> {
    let answer = raw::get(hub.addr, PATH);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    assert_security_headers(&answer);
    let samples = parse(&answer.body);
    assert_histograms(&samples, &answer.body);
    samples
}

fn read_with(hub: &Hub, headers: &[(&str, &str)]) -> Answer {
    let request = raw::request("GET", PATH, headers, b"");
    raw::Wire::open(hub.addr).send(&request).end().answer()
}

#[test]
fn a_cycle_shows_in_the_metrics() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let hub = Hub::start(&data);
    let before = read(&hub);
    for name in [
        "monsys_integrity_cycle_running",
        "monsys_integrity_cycle_judged_agents",
        "monsys_integrity_cycle_active_agents",
        "monsys_integrity_cycles_total{outcome=\"complete\"}",
        "monsys_integrity_cycles_total{outcome=\"incomplete\"}",
        "monsys_integrity_cycles_total{outcome=\"lease_lost\"}",
        "monsys_integrity_cycles_total{outcome=\"failed\"}",
        "monsys_integrity_judged_agents_total",
        "monsys_integrity_failed_agents_total",
        "monsys_integrity_failed_pages_total",
        "monsys_integrity_missed_cycles_total",
        "monsys_integrity_opened_anomalies_total",
        "monsys_integrity_resolved_anomalies_total",
        "monsys_integrity_last_cycle_duration_seconds",
        "monsys_integrity_cycle_duration_seconds_total",
    ] {
        assert_eq!(before.get(name), Some(&0.0), "{name}");
    }
    let last = "monsys_integrity_last_cycle_time_seconds";
    assert_eq!(before.get(last), None, "no cycle ran yet");
    agent.report(&hub, (1, 1), 1.0, "0.2.0");
    agent.report(&hub, (1, 2), 2.0, "0.1.9");
    let admin = Person::added(&data, &hub, "acme", "admin");
    let page = admin.get(&hub, "/integrity").body;
    let (_, csrf) = page.split_once("name=\"csrf\" value=\"").unwrap();
    let form = format!("csrf={}", csrf.split('"').next().unwrap());
    let pressed = admin.post_form(&hub, "/integrity/run", &form);
    assert_eq!(pressed.header("location"), Some("/integrity?run=started"));
    let complete = "monsys_integrity_cycles_total{outcome=\"complete\"}";
    let after = poll("the end of the cycle", PATIENCE, || {
        let after = read(&hub);
        (after.get(complete) == Some(&1.0)).then_some(after)
    });
    assert_eq!(after["monsys_integrity_judged_agents_total"], 1.0);
    assert_eq!(after["monsys_integrity_opened_anomalies_total"], 1.0);
    assert_eq!(after["monsys_integrity_failed_agents_total"], 0.0);
    let sql = "SELECT at FROM integrity_cycles";
    let at = support::store::rows(&data, sql, [], |row| row.get::<_, String>(0));
    let at = Timestamp::parse_rfc3339(&at[0]).unwrap().unix_millis();
    let shown = poll("the last cycle", PATIENCE, || read(&hub).get(last).copied());
    assert_eq!(
        format!("{shown:.3}"),
        format!("{}.{:03}", at / 1_000, at % 1_000)
    );
}

#[test]
fn a_cycle_of_another_hub_is_the_last_one_here_too() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    data.cycle();
    let shown = read(&hub);
    assert!(shown.contains_key("monsys_integrity_last_cycle_time_seconds"));
    assert_eq!(
        shown["monsys_integrity_judged_agents_total"], 0.0,
        "what other hubs did they count themselves"
    );
}

#[test]
fn with_a_token_whoever_shows_it_reads_and_nobody_else() {
    let data = DataDir::new();
    data.add_org("acme");
    let file = data.path().join("token");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let named = file.to_str().unwrap();
    for (setting, value, token) in [
        ("MONSYS_METRICS_TOKEN", "open-sesame", "open-sesame"),
        ("EM_METRICS_TOKEN", "open-sesame", "open-sesame"),
        ("MONSYS_METRICS_TOKEN_FILE", named, "from-a-file"),
    ] {
        let hub = Hub::start_with(&data, &[(setting, value)]);
        let right = read_with(&hub, &[("X-Metrics-Token", token)]);
        assert_eq!(right.status, 200, "{setting}: {right:?}");
        parse(&right.body);
        for headers in [
            vec![],
            vec![("X-Metrics-Token", "guess")],
            vec![("X-Metrics-Token", token), ("X-Metrics-Token", token)],
            vec![("Authorization", token)],
        ] {
            assert_refusal(&read_with(&hub, &headers), 401, "unauthorized");
        }
        assert!(!hub.log().contains(token), "{}", hub.log());
    }
}

#[test]
fn without_a_token_what_a_proxy_passes_on_is_refused() {
    let data = DataDir::new();
    let hub = Hub::start(&data);
    assert_eq!(raw::get(hub.addr, PATH).status, 200);
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        let passed_on = read_with(&hub, &[(name, "127.0.0.1")]);
        assert_refusal(&passed_on, 401, "unauthorized");
    }
}

#[test]
fn a_token_that_no_header_can_carry_is_refused_at_the_start() {
    let data = DataDir::new();
    data.add_org("acme");
    let mut program = data.program();
    program.env("MONSYS_METRICS_TOKEN", "two words");
    let arguments = ["run", "--addr", "127.0.0.1:0", "--data"];
    let output = program.args(arguments).arg(data.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("MONSYS_METRICS_TOKEN"), "{said}");
    assert!(!said.contains("two words"), "{said}");
}

/// The sample of a family with one label.
fn labelled(name: &str, label: &str, value: &str) -> String {
    format!("{name}{{{label}=\"{value}\"}}")
}

fn payloads(profile: &str, outcome: &str) -> String {
    format!("monsys_ingest_payloads_total{{profile=\"{profile}\",outcome=\"{outcome}\"}}")
}

#[test]
fn a13_every_family_is_there_at_zero_before_anything_happened() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let first = read(&hub);
    for profile in ["ed25519", "hmac"] {
        for code in Code::ALL.map(Code::as_str) {
            assert_eq!(first[&payloads(profile, code)], 0.0, "{code}");
        }
        for outcome in ["accepted", "duplicate"] {
            assert_eq!(first[&payloads(profile, outcome)], 0.0, "{outcome}");
        }
    }
    for kind in AnomalyKind::every() {
        let open = labelled("monsys_integrity_open_anomalies", "kind", kind.as_str());
        assert_eq!(first[&open], 0.0, "{kind}");
    }
    for member in TextMember::ALL.map(TextMember::as_str) {
        let cleaned = labelled("monsys_sanitised_texts_total", "field", member);
        assert_eq!(first[&cleaned], 0.0, "{member}");
    }
    for limit in ["organisation", "address"] {
        let limited = labelled("monsys_rate_limited_total", "limit", limit);
        assert_eq!(first[&limited], 0.0, "{limit}");
    }
    for name in [
        "monsys_ingest_queue_payloads",
        "monsys_ingest_queue_full_total",
        "monsys_ingest_commit_payloads_count",
        "monsys_ingest_commit_duration_seconds_sum",
        "monsys_http_refused_connections_total",
        "monsys_auth_failures_total{reason=\"wrong_password\"}",
        "monsys_store_errors_total{error=\"unavailable\"}",
        "monsys_ingest_body_bytes{profile=\"hmac\"}",
    ] {
        assert_eq!(first[name], 0.0, "{name}");
    }
    assert_eq!(first["monsys_build_info{version=\"0.1.0\"}"], 1.0);
    assert_eq!(first["monsys_http_requests_in_flight"], 1.0, "this one");
    assert_eq!(first["monsys_http_connections"], 1.0, "this one");
    let names = |samples: &BTreeMap<String, f64>| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&read(&hub)), "no sample comes later");
}

#[test]
fn a13_what_becomes_of_payloads_is_counted_by_profile_and_code() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let device = data.enrol_device("acme", "web-1");
    let hub = Hub::start(&data);
    let body = agent.metrics((1, 1), 4.2);
    agent.send(&hub, body.as_bytes()).accepted();
    assert_eq!(agent.send(&hub, body.as_bytes()).status, 200);
    let unsigned = agent.send_with(&hub, body.as_bytes(), None);
    assert_refusal(&unsigned, 403, "unsigned_payload");
    let forged = agent.send_with(&hub, body.as_bytes(), Some(&"0".repeat(128)));
    assert_refusal(&forged, 403, "bad_signature");
    let sent = device.request(&device.metrics((1, 1), 4.2), &device.stamp());
    assert_eq!(sent.send(&hub).status, 202);
    assert_eq!(sent.send(&hub).status, 409);
    let strange = raw::request("POST", "/api/v1/ingest", &[], b"{}");
    raw::Wire::open(hub.addr).send(&strange).end();
    let after = read(&hub);
    for (profile, outcome, n) in [
        ("ed25519", "accepted", 1.0),
        ("ed25519", "duplicate", 1.0),
        ("ed25519", "unsigned_payload", 1.0),
        ("ed25519", "bad_signature", 1.0),
        ("ed25519", "unauthorized", 1.0),
        ("ed25519", "replay", 0.0),
        ("hmac", "accepted", 1.0),
        ("hmac", "replay", 1.0),
        ("hmac", "duplicate", 0.0),
    ] {
        assert_eq!(after[&payloads(profile, outcome)], n, "{profile} {outcome}");
    }
    // The second of the device was refused by the store: each was carried there.
    assert_eq!(after["monsys_ingest_commit_payloads_sum"], 4.0);
    let n_commits = after["monsys_ingest_commit_payloads_count"];
    assert_eq!(
        after["monsys_ingest_commit_duration_seconds_count"],
        n_commits
    );
    assert!(after["monsys_ingest_commit_duration_seconds_sum"] > 0.0);
    let route = |route: &str, class: &str| {
        after[&format!("monsys_http_requests_total{{route=\"{route}\",status=\"{class}\"}}")]
    };
    assert_eq!(route("/api/v1/ingest", "2xx"), 2.0);
    assert_eq!(route("/api/v1/ingest", "4xx"), 3.0);
    assert_eq!(route("/ingest", "2xx"), 1.0);
    assert_eq!(route("/ingest", "4xx"), 1.0);
    let took = "monsys_http_request_duration_seconds_count{route=\"/api/v1/ingest\"}";
    assert_eq!(after[took], 5.0);
    let open = |kind| after[&labelled("monsys_integrity_open_anomalies", "kind", kind)];
    assert_eq!(open("unsigned_payload"), 1.0);
    assert_eq!(open("signature_invalid"), 1.0);
    assert_eq!(open("clock_drift"), 0.0);
}

#[test]
fn p2_texts_that_were_sanitised_are_counted_by_member_once_accepted() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let device = data.enrol_device("acme", "web-1");
    let hub = Hub::start(&data);
    let snapshot = json!({
        "processes": [
            {"name": "a\u{1b}[1mb", "pid": 1, "exe": "/home/bob@example.org/x", "username": "root"},
            {"name": "plain \u{e9}", "pid": 2, "exe": null, "username": "x".repeat(300)},
        ],
        "listeners": [{"ip": "::1", "port": 22, "process": "s\u{202e}shd"}],
        "auth": [{"service": "sshd", "outcome": "failure", "count": 3}],
        "persistence": [{"kind": "cron", "path": "/etc/a\nb"}],
        "health": [{"collector": "auth", "state": "degraded", "reason": "ask root@example.org"}],
    });
    let sample = json!({
        "cpu_usage_percent": 1.5,
        "disks": [{"mount": "/mnt/\u{202e}a", "total_bytes": 2, "used_bytes": 1}],
        "networks": [{"interface": "eth0", "rx_bytes": 1, "tx_bytes": 2}],
    });
    let (id, at) = (agent.id.to_string(), now().to_rfc3339());
    let body = |name: &str, kind: &str, said: &serde_json::Value| {
        json!({
            "v": 1, "type": kind, "aud": agent.audience.as_str(), "agent_id": name,
            "agent_version": "0.1.0", "epoch": 1, "seq": 1, "captured_at": at, "sent_at": at,
            "data": said,
        })
        .to_string()
    };
    let by_agent = body(&id, "endpoint", &snapshot);
    let refused = agent.send_with(&hub, by_agent.as_bytes(), None);
    assert_eq!(refused.status, 403, "what is refused is not counted");
    agent.send(&hub, by_agent.as_bytes()).accepted();
    let again = agent.send(&hub, by_agent.as_bytes());
    assert_eq!(again.status, 200, "nor is what was there already");
    device
        .send(&hub, &body("web-1", "metrics", &sample))
        .accepted();
    let after = read(&hub);
    let expected = [
        ("processes/name", 1.0),
        ("processes/exe", 1.0),
        ("processes/username", 1.0),
        ("listeners/process", 1.0),
        ("persistence/path", 1.0),
        ("health/reason", 1.0),
        ("disks/mount", 1.0),
    ];
    for member in TextMember::ALL.map(TextMember::as_str) {
        let cleaned = labelled("monsys_sanitised_texts_total", "field", member);
        let found = expected.iter().find(|(known, _)| *known == member);
        let n = found.map_or(0.0, |(_, n)| *n);
        assert_eq!(after[&cleaned], n, "{member}");
    }
}

#[test]
fn a13_no_label_comes_from_a_client() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let before = read(&hub);
    for path in [
        "/no/such/page",
        "/agents/canary-7f3a",
        "/api/v1/agents/canary-7f3a",
        "/login/canary-7f3a?canary-7f3a",
        "/assets/canary-7f3a",
        "/canary-7f3a",
    ] {
        raw::get(hub.addr, path);
    }
    for method in ["CANARY", "PUT", "OPTIONS"] {
        let request = raw::request(method, "/readyz", &[("X-Canary", "canary-7f3a")], b"");
        raw::Wire::open(hub.addr).send(&request).end();
    }
    let page = raw::get(hub.addr, PATH).body;
    assert!(!page.to_ascii_lowercase().contains("canary"), "{page}");
    let after = parse(&page);
    let names = |samples: &BTreeMap<String, f64>| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    let other = "monsys_http_requests_total{route=\"other\",status=\"4xx\"}";
    assert_eq!(after[other] - before[other], 2.0, "two paths at no route");
}

#[test]
fn a13_limits_and_closed_doors_are_counted() {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let settings = [("MONSYS_ORG_RATE", "1"), ("MONSYS_METRICS_TOKEN", "sesame")];
    let hub = Hub::start_with(&data, &settings);
    let statuses: Vec<_> = (1..=4)
        .map(|seq| {
            agent
                .send(&hub, agent.metrics((1, seq), 4.2).as_bytes())
                .status
        })
        .collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    let n_limited = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(read_with(&hub, &[]).status, 401);
    let shown = read_with(&hub, &[("X-Metrics-Token", "sesame")]);
    let after = parse(&shown.body);
    let limited = labelled("monsys_rate_limited_total", "limit", "organisation");
    assert_eq!(
        after[&limited],
        f64::from(u32::try_from(n_limited).unwrap())
    );
    assert_eq!(after[&payloads("ed25519", "rate_limited")], after[&limited]);
    let closed = labelled("monsys_auth_failures_total", "reason", "metrics_token");
    assert_eq!(after[&closed], 1.0);
}

/// Shows the page to the checker of Prometheus itself, where it is there.
#[test]
fn a13_the_checker_of_prometheus_finds_nothing() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let page = raw::get(hub.addr, PATH).body;
    let name = std::env::var_os("MONSYS_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let mut checker = std::process::Command::new(name);
    checker.args(["check", "metrics"]);
    checker
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut checker) = checker.spawn() else {
        let text = "!! no promtool: the checker of Prometheus did not see the metrics";
        assert!(
            std::env::var_os("MONSYS_REQUIRE_PROMTOOL").is_none(),
            "{text}"
        );
        let _ = writeln!(std::io::stderr(), "{text}");
        return;
    };
    checker
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = checker.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}
