//! The pages in a real browser: they refresh by themselves, and a finding is closed by a click.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::time::Duration;

use monsys_core::time::{Span, Timestamp};

use support::browser::{Browser, ENTER};
use support::{DataDir, Hub, PATIENCE};

/// The document promises a new finding on the page within 30 s.
const REFRESH_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_stolen_token_shows_by_itself_and_is_resolved_by_a_click() {
    let Some(browser) = Browser::start("resolve") else {
        return;
    };
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let hub = Hub::start(&data);
    browser.log_in(&data, &hub);
    browser.open(&hub.url("/integrity"));
    assert!(!browser.text().contains("web-1"), "nothing is open yet");
    browser.run("window.isTheSamePage = true");

    let body = agent.metrics((1, 1), 12.5);
    assert_eq!(agent.send_with(&hub, body.as_bytes(), None).status, 403);
    browser.wait_for(
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature",
        REFRESH_WITHIN,
    );
    assert_eq!(
        browser.run("return window.isTheSamePage === true"),
        true,
        "no reload was needed"
    );

    browser.click("tbody form[action*='/resolve'] button");
    support::poll("the finding is closed", PATIENCE, || {
        let open = support::store::number(
            &data,
            "SELECT count(*) FROM integrity_anomalies WHERE resolved_at IS NULL",
            [],
        );
        (open == 0).then_some(())
    });
    browser.open(&hub.url("/integrity?state=resolved"));
    browser.wait_for("admin@acme.example", PATIENCE);
    assert_eq!(
        browser.console(),
        Vec::<String>::new(),
        "no error, no broken policy"
    );
}

#[test]
fn a_finding_is_acknowledged_and_resolved_by_keyboard_and_the_trail_says_who_and_when() {
    let Some(browser) = Browser::start("keyboard") else {
        return;
    };
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let hub = Hub::start(&data);
    let start = support::now();
    let body = agent.metrics((1, 1), 12.5);
    assert_eq!(agent.send_with(&hub, body.as_bytes(), None).status, 403);
    browser.log_in(&data, &hub);
    browser.tab_to("nav a[href='/integrity']");
    browser.press(ENTER);
    browser.wait_until(
        "document.querySelector('tbody a.summary') !== null",
        PATIENCE,
    );

    let open_it = || {
        browser.tab_to("tbody a.summary");
        browser.press(ENTER);
        browser.wait_until("document.querySelector('table.events') !== null", PATIENCE);
    };
    open_it();
    browser.tab_to("#acknowledge-reason");
    browser.press("we look into it");
    browser.press(ENTER);
    browser.wait_for("we look into it", PATIENCE);
    browser.wait_for("acknowledged", PATIENCE);
    browser.open(&hub.url("/integrity"));
    assert_eq!(open_and_trail(&data), (1, "opened acknowledged".into()));

    open_it();
    browser.tab_to("#resolve-note");
    browser.press("the token was rotated");
    browser.press(ENTER);
    browser.wait_for("the token was rotated", PATIENCE);
    let trail = "opened acknowledged resolved";
    assert_eq!(open_and_trail(&data), (0, trail.into()));

    browser.open(&hub.url("/integrity"));
    browser.tab_to("#filter-state");
    browser.press("resolved");
    browser.tab_to("#filters button");
    browser.press(ENTER);
    browser.wait_for("the token was rotated", PATIENCE);
    let end = browser.run(
        "const end = document.querySelector('tbody .c-end'); \
         return [end.innerText, end.querySelector('time').dateTime]",
    );
    let (words, when): (String, String) = serde_json::from_value(end).unwrap();
    assert!(words.contains("by admin@acme.example (manual)"), "{words}");
    let when = Timestamp::parse_rfc3339(&when).unwrap();
    let second = Span::from_secs(1);
    assert!(
        start.saturating_sub(second) < when && when <= support::now(),
        "pages show whole seconds: {when:?}"
    );
    assert_eq!(data.json(&["verify"])["ok"], true);
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// How many anomalies are open, and what the ledger says happened.
fn open_and_trail(data: &DataDir) -> (i64, String) {
    let sql = "SELECT count(*) FROM integrity_anomalies WHERE resolved_at IS NULL";
    let kinds = "SELECT kind FROM integrity_events ORDER BY seq";
    let kinds: Vec<String> = support::store::rows(data, kinds, [], |row| row.get(0));
    (support::store::number(data, sql, []), kinds.join(" "))
}

#[test]
fn the_explanation_of_a_score_sums_to_the_score() {
    let Some(browser) = Browser::start("trust") else {
        return;
    };
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let signal = |n: usize, source: &str, severity: &str| {
        serde_json::json!({
            "source": source, "subject_type": "agent", "subject_id": agent.id.to_string(),
            "key": format!("test.n{n}"), "value": {"value": n}, "severity": severity,
            "observed_at": support::now().to_rfc3339(), "ttl_seconds": null,
        })
        .to_string()
    };
    // More than the page draws one by one, so that the rest is one step.
    let many = (0..25).map(|n| signal(n, "endpoint_posture", "low"));
    let others = [
        signal(30, "integrity_check", "critical"),
        signal(31, "backup_check", "medium"),
        signal(32, "clock_check", "high"),
    ];
    let lines: Vec<_> = many.chain(others).collect();
    let file = data.path().join("found.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let emitted = data.run(&["signals", "emit", "--org", "acme", "--file", file]);
    assert!(emitted.status.success(), "{emitted:?}");
    let hub = Hub::start(&data);
    browser.log_in(&data, &hub);
    for path in [format!("/agents/{}", agent.id), "/fleet".to_owned()] {
        browser.open(&hub.url(&path));
        let read = "const milli = e => Math.round(parseFloat(e.innerText) * 1000); \
             const taken = [...document.querySelectorAll('td.takes')]; \
             return [taken.length, taken.reduce((sum, e) => sum + milli(e), 0), \
             milli(document.querySelector('td.score')), milli(document.querySelector('#score'))]";
        let read: Vec<u64> = serde_json::from_value(browser.run(read)).unwrap();
        let [n_steps, taken, score, shown] = read[..] else {
            panic!("{read:?}");
        };
        assert!(n_steps >= 4, "{path}: {n_steps} steps");
        assert_eq!((taken + score, shown), (100_000, score), "{path}");
        assert!(score < 65_000, "{path}: {score}");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn every_page_opens_without_an_error_in_light_and_dark() {
    let Some(browser) = Browser::start("pages") else {
        return;
    };
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let hub = Hub::start(&data);
    for (seq, cpu) in [(1, 11.0), (2, 12.5), (3, 9.0)] {
        assert_eq!(
            agent
                .send(&hub, agent.metrics((1, seq), cpu).as_bytes())
                .status,
            202
        );
    }
    browser.log_in(&data, &hub);
    let agent_page = format!("/agents/{}", agent.id);
    let paths = [
        "/overview",
        "/fleet",
        "/devices",
        "/events",
        "/insights",
        "/integrity",
        &agent_page,
        "/login",
        "/nowhere",
    ];
    let mut colours = Vec::new();
    for (scheme, path) in ["light", "dark"]
        .into_iter()
        .flat_map(|s| paths.map(|p| (s, p)))
    {
        browser.prefer(scheme);
        browser.open(&hub.url(path));
        colours.push(browser.run("return getComputedStyle(document.body).color"));
        assert!(
            browser.title().contains("monsys"),
            "{path}: {}",
            browser.title()
        );
        let overflow =
            browser.run("return document.documentElement.scrollWidth > window.innerWidth");
        assert_eq!(overflow, false, "{path} is wider than the window");
        let unnamed = browser.run(
            "return [...document.querySelectorAll('a,button,input:not([type=hidden]),select')] \
             .filter(e => !(e.innerText || e.getAttribute('aria-label') || (e.labels && e.labels.length))) \
             .map(e => e.outerHTML)",
        );
        assert_eq!(
            unnamed,
            serde_json::json!([]),
            "{path} has controls without a name"
        );
    }
    let (light, dark) = colours.split_at(paths.len());
    assert!(
        light.iter().zip(dark).all(|(light, dark)| light != dark),
        "{colours:?}"
    );
    let errors: Vec<_> = browser
        .console()
        .into_iter()
        .filter(|entry| !entry.contains("404"))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}
