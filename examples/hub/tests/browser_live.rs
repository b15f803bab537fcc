//! The pages in a real browser hear of findings at once, and leave people alone while they do.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumption does")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::browser::{Browser, SPACE};
use support::events::Events;
use support::person::Person;
use support::refusal::assert_refusal;
use support::{DataDir, Hub, PATIENCE, TestAgent, poll};

/// A reader sees a new finding in under 2 s (issue 7).
const PROMISE: Duration = Duration::from_secs(2);
/// A page without a stream asks each 10 s.
const POLL: Duration = Duration::from_secs(12);
const SUMMARY: &str = "agent has a pinned signing_pubkey but sent no X-Monsys-Signature";

struct Scene {
    data: DataDir,
    agents: Vec<TestAgent>,
    hub: Hub,
    browser: Browser,
}

impl Scene {
    /// Somebody looks at the integrity page of a fleet of which nothing was found yet.
    fn new(name: &str, data: DataDir) -> Option<Self> {
        let browser = Browser::start(name)?;
        data.add_org("acme");
        let agents = ["web-1", "web-2", "web-3"].map(|name| data.enrol("acme", name));
        let hub = Hub::start(&data);
        browser.log_in(&data, &hub);
        browser.open(&hub.url("/integrity"));
        Some(Self {
            data,
            agents: agents.into(),
            hub,
            browser,
        })
    }

    fn wait_for_stream(&self) {
        self.browser.wait_until(
            "document.getElementById('status').textContent.startsWith('live')",
            PATIENCE,
        );
    }

    /// An agent sends without its signature, which is a finding at once.
    fn offend(&self, agent: usize) {
        let agent = &self.agents[agent];
        let body = agent.metrics((1, 1), 12.5);
        let answer = agent.send_with(&self.hub, body.as_bytes(), None);
        assert_refusal(&answer, 403, "unsigned_payload");
    }

    fn wait_for_row(&self, agent: usize, within: Duration) {
        let agent = self.agents[agent].id;
        self.browser.wait_until(
            &format!("document.querySelector(\"tbody a[href^='/agents/{agent}']\") !== null"),
            within,
        );
    }

    /// The anomalies that are ticked.
    fn ticked(&self) -> Value {
        self.browser.run(
            "const ticked = document.querySelectorAll('tbody input[type=checkbox]:checked'); \
             return [...ticked].map(box => box.value)",
        )
    }

    fn assert_quiet_console(&self) {
        assert_eq!(self.browser.console(), Vec::<String>::new());
    }
}

/// How long three findings took to come into the table; none without a browser.
fn until_in_the_table(name: &str, data: DataDir) -> Vec<Duration> {
    let Some(scene) = Scene::new(name, data) else {
        return Vec::new();
    };
    scene.wait_for_stream();
    scene.browser.run("window.isTheSamePage = true");
    let times = (0..3).map(|agent| {
        let start = Instant::now();
        scene.offend(agent);
        scene.wait_for_row(agent, PROMISE);
        start.elapsed()
    });
    let times: Vec<_> = times.collect();
    assert!(times.iter().all(|took| *took < PROMISE), "{times:?}");
    let shown = scene.browser.text();
    assert_eq!(shown.matches(SUMMARY).count(), 3, "{shown}");
    let news = scene
        .browser
        .run("return document.getElementById('news').textContent");
    assert_eq!(news, "New open anomaly: unsigned_payload, high, 3 open.");
    assert_eq!(scene.browser.run("return window.isTheSamePage"), true);
    scene.assert_quiet_console();
    times
}

#[test]
fn on_sqlite_a_finding_is_in_the_table_within_two_seconds() {
    let times = until_in_the_table("live-sqlite", DataDir::new());
    println!("in the table after {times:?}");
}

#[test]
fn on_postgres_a_finding_is_in_the_table_within_two_seconds() {
    if let Some(data) = DataDir::on_postgres() {
        let times = until_in_the_table("live-postgres", data);
        println!("in the table after {times:?}");
    }
}

#[test]
fn focus_and_ticked_boxes_outlive_a_new_finding() {
    let Some(scene) = Scene::new("keeps", DataDir::new()) else {
        return;
    };
    scene.offend(0);
    scene.wait_for_row(0, PATIENCE);
    scene.wait_for_stream();
    scene.browser.tab_to("tbody input[type=checkbox]");
    scene.browser.press(SPACE);
    let id = scene.browser.run("return document.activeElement.value");
    scene.offend(1);
    scene.wait_for_row(1, PROMISE);
    assert_eq!(scene.ticked(), json!([id]));
    let focused = scene.browser.run("return document.activeElement.value");
    assert_eq!(focused, id, "the keyboard is where it was");
}

#[test]
fn an_open_part_of_a_page_stays_open_with_its_focus() {
    let Some(scene) = Scene::new("details", DataDir::new()) else {
        return;
    };
    scene.offend(0);
    scene.wait_for_row(0, PATIENCE);
    scene.browser.click("tbody a.summary");
    scene
        .browser
        .wait_until("document.querySelector('main details') !== null", PATIENCE);
    scene.wait_for_stream();
    scene.browser.tab_to("main details summary");
    scene.browser.press(SPACE);
    let anomaly = support::store::anomalies(&scene.data, &scene.agents[0]).remove(0);
    let person = Person::with_cookie("monsys", &scene.browser.cookie("monsys"));
    let path = format!("/api/v1/integrity/anomalies/{}/acknowledge", anomaly.id);
    let reason = json!({"reason": "seen elsewhere"}).to_string();
    assert_eq!(person.post(&scene.hub, &path, &reason, &[]).status, 200);
    scene.browser.wait_for("seen elsewhere", PROMISE);
    let state = "const details = document.querySelector('main details'); \
                 return [details.open, document.activeElement === details.firstElementChild]";
    assert_eq!(scene.browser.run(state), json!([true, true]));
}

#[test]
fn a_row_that_comes_in_is_not_ticked_where_all_were() {
    let Some(scene) = Scene::new("ticks", DataDir::new()) else {
        return;
    };
    scene.offend(0);
    scene.wait_for_row(0, PATIENCE);
    scene.browser.click("a.tick-all");
    scene.wait_for_stream();
    let seen = scene.ticked();
    assert_eq!(seen.as_array().unwrap().len(), 1);
    scene.offend(1);
    scene.wait_for_row(1, PROMISE);
    assert_eq!(scene.ticked(), seen);
}

#[test]
fn nothing_is_replaced_while_a_person_types_and_all_is_once_they_leave() {
    let Some(scene) = Scene::new("types", DataDir::new()) else {
        return;
    };
    scene.offend(0);
    scene.wait_for_row(0, PATIENCE);
    scene.wait_for_stream();
    scene.browser.tab_to("#desk-reason");
    scene.browser.press("not done yet");
    scene.offend(1);
    scene.browser.wait_until(
        "document.getElementById('news').textContent.includes('2 open')",
        PROMISE,
    );
    let typed = scene.browser.run("return document.activeElement.value");
    assert_eq!(typed, "not done yet");
    assert!(scene.browser.text().contains("held while you work here"));
    let shown = scene
        .browser
        .run("return document.querySelectorAll('tbody tr').length");
    assert_eq!(shown, 1, "the row waits");
    scene
        .browser
        .run("document.activeElement.value = ''; document.activeElement.blur()");
    scene.wait_for_row(1, PROMISE);
}

#[test]
fn without_a_stream_the_page_asks_now_and_then() {
    let Some(scene) = Scene::new("polls", DataDir::new()) else {
        return;
    };
    // All places of the session are taken before the page asks for one.
    scene.browser.open(&scene.hub.url("/nowhere"));
    let person = Person::with_cookie("monsys", &scene.browser.cookie("monsys"));
    let places: Vec<_> = poll("the places", PATIENCE, || {
        let open = || Events::open(&scene.hub, &person, "/integrity/events", None);
        let places: Vec<_> = (0..4).map(|_| open()).collect();
        let is_all = places.iter().all(|place| place.answer().status == 200);
        is_all.then_some(places)
    });
    scene.browser.open(&scene.hub.url("/integrity"));
    scene.offend(0);
    scene.wait_for_row(0, POLL);
    assert!(!scene.browser.text().contains("live, "));
    drop(places);
}

#[test]
fn without_scripts_the_page_comes_anew_within_the_30_s_of_the_document() {
    let Some(scene) = Scene::new("noscript", DataDir::new()) else {
        return;
    };
    scene.browser.without_scripts();
    scene.browser.open(&scene.hub.url("/integrity"));
    let status = "return document.getElementById('status').textContent";
    let as_of = scene.browser.run(status);
    assert!(as_of.as_str().unwrap().starts_with("as of "), "{as_of}");
    scene.offend(0);
    scene.wait_for_row(0, Duration::from_secs(30));
    assert_ne!(scene.browser.run(status), as_of);
}

#[test]
fn a_hidden_tab_asks_nothing_and_catches_up_when_it_is_seen() {
    let Some(scene) = Scene::new("hidden", DataDir::new()) else {
        return;
    };
    scene.wait_for_stream();
    let show = |is_hidden: bool| {
        scene.browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {is_hidden}, configurable: true }}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    scene.browser.run(
        "window.asked = 0; const ask = window.fetch; \
         window.fetch = (...what) => { window.asked += 1; return ask(...what); }",
    );
    show(true);
    let person = Person::with_cookie("monsys", &scene.browser.cookie("monsys"));
    poll("the hub has the place back", PATIENCE, || {
        let open = || Events::open(&scene.hub, &person, "/integrity/events", None);
        let places: Vec<_> = (0..4).map(|_| open()).collect();
        let is_all = places.iter().all(|place| place.answer().status == 200);
        is_all.then_some(())
    });
    scene.offend(0);
    support::pause(POLL);
    assert_eq!(scene.browser.run("return window.asked"), 0);
    show(false);
    scene.wait_for_row(0, PROMISE);
}

#[test]
fn an_ended_session_leads_to_the_login_and_a_hub_that_is_gone_is_told() {
    let Some(mut scene) = Scene::new("ends", DataDir::new()) else {
        return;
    };
    scene.wait_for_stream();
    scene.hub.terminate();
    scene.hub.wait(PATIENCE);
    scene.browser.wait_for("The hub does not answer", POLL);
    scene.hub = Hub::start_at(&scene.data, scene.hub.addr);
    scene.offend(0);
    scene.wait_for_row(0, PATIENCE);
    assert!(!scene.browser.text().contains("The hub does not answer"));
    support::store::change(&scene.data, "DELETE FROM sessions");
    scene.browser.wait_for("Log in", PATIENCE);
}
