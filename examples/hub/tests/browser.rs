//! The pages in a real browser: they refresh by themselves, and a finding is closed by a click.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::time::Duration;

use support::browser::Browser;
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
    log_in(&browser, &data, &hub);
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

    browser.click("form[action$='/resolve'] button");
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
    log_in(&browser, &data, &hub);
    let agent_page = format!("/agents/{}", agent.id);
    let paths = ["/overview", "/integrity", &agent_page, "/login", "/nowhere"];
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

fn log_in(browser: &Browser, data: &DataDir, hub: &Hub) {
    let arguments = [
        "user",
        "add",
        "--org",
        "acme",
        "--email",
        "admin@acme.example",
        "--public-url",
    ];
    let added = data.json(&[&arguments[..], &[&hub.url("")]].concat());
    browser.open(added["login_link"].as_str().unwrap());
    browser.wait_for("admin@acme.example", PATIENCE);
}
