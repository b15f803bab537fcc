//! What monitoring reads of a hub: a page that keeps to the format, and who may read it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;

use monsys_core::time::Timestamp;

use support::person::Person;
use support::refusal::{assert_refusal, assert_security_headers};
use support::{Answer, DataDir, Hub, PATIENCE, poll, raw};

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
        assert!(["counter", "gauge"].contains(&kind), "{kind}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        let mut n_samples = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, value) = line.split_once(' ').unwrap();
            let label = sample.strip_prefix(name).expect(sample);
            let is_label = label.starts_with("{outcome=\"") && label.ends_with("\"}");
            assert!(label.is_empty() || is_label, "{sample}");
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert_eq!(samples.insert(sample.to_owned(), value), None, "{sample}");
            n_samples += 1;
        }
        assert!(n_samples > 0, "{name}");
    }
    samples
}

fn read(hub: &Hub) -> BTreeMap<String, f64> {
    let answer = raw::get(hub.addr, PATH);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    assert_security_headers(&answer);
    parse(&answer.body)
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
