//! axe-core finds nothing serious on any page, light and dark, wide and narrow.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod support;

use monsys_core::time::Span;
use serde_json::{Value, json};

use support::axe::{Axe, Verdict};
use support::browser::Browser;
use support::person::Person;
use support::{DataDir, Hub, TestAgent};

#[test]
fn axe_core_finds_nothing_serious_on_any_page() {
    let name = "accessibility";
    let (Some(axe), Some(browser)) = (Axe::find(name), Browser::start(name)) else {
        return;
    };
    let (data, hub, agent) = fleet_with_findings();
    browser.log_in(&data, &hub);
    let [closed, held] = close_one_and_hold_one(&data, &hub, &browser);
    let agent_page = format!("/agents/{}", agent.id);
    let pages = [
        "/overview",
        "/fleet",
        "/devices",
        "/devices?order=worst",
        "/devices?text=nothing",
        "/events",
        "/insights",
        "/integrity",
        "/integrity?state=resolved",
        "/integrity?kind=cadence_anomaly",
        "/integrity?tick=all",
        "/integrity?tick=all&attention=snoozed",
        &closed,
        &held,
        &agent_page,
        "/login?notice=logged-out",
        "/nowhere",
    ];
    browser.open(&hub.url("/integrity"));
    for severity in ["critical", "high", "medium"] {
        let mark = format!("document.querySelector('tbody .s-{severity}') !== null");
        assert_eq!(browser.run(&format!("return {mark}")), true, "{severity}");
    }
    let mut n_minor = 0;
    for scheme in ["light", "dark"] {
        for width in [1_280, 400] {
            browser.prefer(scheme);
            browser.resize(width, 900);
            assert_eq!(is_narrow(&browser), width == 400, "{width}");
            for page in pages {
                let verdict = seen(&axe, &browser, &hub.url(page));
                let serious = verdict.violations.iter().filter(|v| v.is_serious());
                let serious: Vec<_> = serious.collect();
                assert!(
                    serious.is_empty(),
                    "{page}, {scheme}, {width} wide: {serious:#?}"
                );
                n_minor += verdict.violations.len();
            }
        }
    }
    let n_views = 4 * pages.len();
    println!("nothing serious in {n_views} views, {n_minor} lesser violations");
}

#[test]
fn axe_core_sees_what_is_serious() {
    let name = "accessibility-control";
    let (Some(axe), Some(browser)) = (Axe::find(name), Browser::start(name)) else {
        return;
    };
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    browser.open(&hub.url("/login"));
    browser.run(
        "const pale = document.createElement('p'); pale.textContent = 'pale'; \
         pale.style.color = '#ccc'; pale.style.background = '#fff'; \
         document.querySelector('main').append(pale, document.createElement('button'))",
    );
    let verdict = axe.look_at(&browser);
    let mut serious: Vec<_> = verdict
        .violations
        .iter()
        .filter(|v| v.is_serious())
        .collect();
    serious.sort_by(|a, b| a.id.cmp(&b.id));
    let ids: Vec<_> = serious.iter().map(|v| v.id.as_str()).collect();
    assert_eq!(ids, ["button-name", "color-contrast"]);
}

/// Whether the stylesheet draws for a telephone.
fn is_narrow(browser: &Browser) -> bool {
    browser.run("return window.matchMedia('(max-width: 40rem)').matches") == true
}

/// What axe-core says of a page that has come to rest.
fn seen(axe: &Axe, browser: &Browser, url: &str) -> Verdict {
    browser.open(url);
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })");
    let verdict = axe.look_at(browser);
    let is_checked = verdict.passed.iter().any(|rule| rule == "color-contrast")
        || verdict.violations.iter().any(|v| v.id == "color-contrast");
    assert!(is_checked, "no text was looked at on {url}: {verdict:?}");
    verdict
}

/// Findings of all severities that the pages draw, and a score with steps.
fn fleet_with_findings() -> (DataDir, Hub, TestAgent) {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let agent = data.enrol("acme", "web-1");
    for (seq, cpu) in (1..).zip([11.0, 12.5, 9.0]) {
        agent.report(&hub, (1, seq), cpu, "0.2.0");
    }
    agent.report(&hub, (1, 4), 10.0, "0.1.9");
    let forger = data.enrol("acme", "web-2");
    let body = forger.metrics((1, 1), 4.2);
    let forged = agent.sign(body.as_bytes());
    assert_eq!(
        forger
            .send_with(&hub, body.as_bytes(), Some(&forged))
            .status,
        403
    );
    assert_eq!(forger.send_with(&hub, body.as_bytes(), None).status, 403);
    let keyless = data.enrol_without_key("acme", "web-3");
    let body = keyless.metrics((1, 1), 4.2);
    assert_eq!(keyless.send_with(&hub, body.as_bytes(), None).status, 202);
    data.cycle();
    emit_signals(&data, &agent);
    (data, hub, agent)
}

/// Whoever is logged in resolves one finding, and acknowledges and snoozes another. Returns their
/// pages.
fn close_one_and_hold_one(data: &DataDir, hub: &Hub, browser: &Browser) -> [String; 2] {
    let person = Person::with_cookie("monsys", &browser.cookie("monsys"));
    let id_of = |kind: &str| -> String {
        let sql = format!("SELECT id FROM integrity_anomalies WHERE kind = '{kind}'");
        support::store::rows(data, &sql, [], |row| row.get(0)).remove(0)
    };
    let act = |id: &str, what: &str, body: &Value| {
        let path = format!("/api/v1/integrity/anomalies/{id}/{what}");
        let answer = person.post(hub, &path, &body.to_string(), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let closed = id_of("version_downgrade");
    act(&closed, "resolve", &json!({"note": "the key was changed"}));
    let held = id_of("signature_invalid");
    act(&held, "acknowledge", &json!({"reason": "the old disk"}));
    let until = support::now().saturating_add(Span::from_secs(3_600));
    let snooze = json!({"reason": "until Monday", "until": until.to_rfc3339()});
    act(&held, "snooze", &snooze);
    [closed, held].map(|id| format!("/integrity/{id}"))
}

fn emit_signals(data: &DataDir, agent: &TestAgent) {
    let signal = |(key, source, severity): (&str, &str, &str)| -> Value {
        json!({
            "source": source, "subject_type": "agent", "subject_id": agent.id.to_string(),
            "key": key, "value": {"value": 1}, "severity": severity,
            "observed_at": support::now().to_rfc3339(), "ttl_seconds": null,
        })
    };
    let signals = [
        ("test.low", "endpoint_posture", "low"),
        ("test.medium", "backup_check", "medium"),
        ("test.high", "clock_check", "high"),
        ("test.critical", "integrity_check", "critical"),
    ]
    .map(|words| signal(words).to_string());
    let file = data.path().join("found.jsonl");
    std::fs::write(&file, signals.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let emitted = data.run(&["signals", "emit", "--org", "acme", "--file", file]);
    assert!(emitted.status.success(), "{emitted:?}");
}
