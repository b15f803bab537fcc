//! The pages in a real browser: read page by page, zoomed, by keyboard alone and without scripts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::time::Span;
use serde_json::{Value, json};

use support::browser::{Browser, ENTER};
use support::person::Person;
use support::{DataDir, Hub, PATIENCE, TestAgent, crowd, now};

/// More than two pages of devices.
const N_DEVICES: usize = 60;

struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
}

/// A fleet of which one agent measures, and one was caught.
fn scene() -> Scene {
    let data = DataDir::new();
    data.add_org("acme");
    crowd::seed(&data, "acme");
    crowd::fleet(&data, "acme", N_DEVICES);
    crowd::open_some_anomalies(&data, 12);
    crowd::say_something(&data, "acme", 7);
    let hub = Hub::start(&data);
    let agent = data.enrol("acme", "measured");
    for (seq, cpu) in (1..=20).zip([4.0, 9.0, 6.5, 7.0].into_iter().cycle()) {
        agent.report(&hub, (1, seq), cpu, "0.2.0");
    }
    // As if they had come in the course of an hour.
    for seq in 1..=20 {
        let at = now().saturating_sub(Span::from_secs(180 * (20 - seq) + 5));
        let sql = format!(
            "UPDATE metrics SET time = '{}' WHERE agent_id = '{}' AND seq = {seq}",
            at.to_rfc3339(),
            agent.id
        );
        support::store::change(&data, &sql);
    }
    assert_eq!(send_snapshot(&hub, &agent, 21), 202);
    let caught = data.enrol("acme", "caught");
    let body = caught.metrics((1, 1), 12.5);
    assert_eq!(caught.send_with(&hub, body.as_bytes(), None).status, 403);
    Scene { data, hub, agent }
}

fn send_snapshot(hub: &Hub, agent: &TestAgent, seq: i64) -> u16 {
    let at = now().to_rfc3339();
    let processes: Vec<_> = (1..=300)
        .map(|pid| json!({"name": format!("worker-{pid}"), "pid": pid, "exe": "/usr/bin/worker", "username": "app"}))
        .collect();
    let body = json!({
        "v": 1, "type": "endpoint", "aud": agent.audience.as_str(),
        "agent_id": agent.id.to_string(), "agent_version": "0.2.0",
        "epoch": 1, "seq": seq, "captured_at": at, "sent_at": at,
        "data": {
            "processes": processes,
            "listeners": [{"ip": "::1", "port": 22, "process": "sshd"}],
            "auth": [{"service": "sshd", "outcome": "failure", "count": 3}],
            "persistence": [{"kind": "systemd", "path": "/etc/systemd/system/ssh.service"}],
            "health": [{"collector": "auth", "state": "degraded", "reason": "no permission"}],
        },
    });
    let canonical = monsys_core::json::CanonicalText::parse(body.to_string().as_bytes()).unwrap();
    agent.send(hub, canonical.as_str().as_bytes()).status
}

impl Scene {
    fn paths(&self) -> [String; 7] {
        [
            "/overview".into(),
            "/fleet".into(),
            "/insights".into(),
            "/events".into(),
            "/devices".into(),
            "/integrity".into(),
            format!("/agents/{}", self.agent.id),
        ]
    }
}

#[test]
fn a9_without_a_session_every_page_leads_to_the_login() {
    let scene = scene();
    for path in scene.paths() {
        let answer = Person::anonymous().get(&scene.hub, &path);
        assert_eq!(answer.status, 303, "{path}");
        let place = answer.header("location").unwrap();
        assert!(
            place == "/login" || place.starts_with("/login?next=%2F"),
            "{place}"
        );
    }
}

#[test]
fn a9_every_page_is_whole_in_every_width_and_colour_and_without_scripts() {
    let Some(browser) = Browser::start("pages-views") else {
        return;
    };
    let scene = scene();
    browser.log_in(&scene.data, &scene.hub);
    for (width, scheme) in [
        (1_280, "light"),
        (390, "light"),
        (1_280, "dark"),
        (390, "dark"),
    ] {
        browser.resize(width, 900);
        browser.prefer(scheme);
        for path in scene.paths() {
            browser.open(&scene.hub.url(&path));
            let wide = "return document.documentElement.scrollWidth > window.innerWidth";
            assert_eq!(browser.run(wide), false, "{path} at {width}");
            let foreign = "return performance.getEntriesByType('resource') \
                 .map(e => e.name).filter(n => !n.startsWith(location.origin))";
            assert_eq!(browser.run(foreign), json!([]), "{path}");
            let tables = "return [...document.querySelectorAll('table')] \
                 .filter(t => !t.caption || !t.querySelector('th[scope]')).length";
            assert_eq!(
                browser.run(tables),
                0,
                "{path} has a table without a caption"
            );
        }
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    browser.without_scripts();
    for path in scene.paths() {
        browser.open(&scene.hub.url(&path));
        let text = browser.run("return document.querySelector('main').textContent.length");
        assert!(text.as_u64().unwrap() > 100, "{path}");
    }
    browser.open(&scene.hub.url("/devices?text=measured"));
    assert_eq!(names(&browser), ["measured"]);
    browser.click("tbody .c-name a");
    browser.wait_until(
        "document.querySelector('#plot-cpu path.trend') !== null",
        PATIENCE,
    );
    browser.click("a.pick[href*='range=24h']");
    browser.wait_until("location.search === '?range=24h'", PATIENCE);
}

#[test]
fn a9_devices_are_read_forward_and_back_by_key_and_each_once() {
    let Some(browser) = Browser::start("pages-devices") else {
        return;
    };
    let scene = scene();
    browser.log_in(&scene.data, &scene.hub);
    browser.open(&scene.hub.url("/devices"));
    let mut pages = vec![names(&browser)];
    while turn(&browser, "next") {
        pages.push(names(&browser));
    }
    let all = pages.concat();
    assert_eq!(all.len(), N_DEVICES + 2);
    assert!(
        all.is_sorted() && all.windows(2).all(|pair| pair[0] != pair[1]),
        "{all:?}"
    );
    for page in pages.iter().rev().skip(1) {
        assert!(turn(&browser, "prev"));
        assert_eq!(names(&browser), *page, "the way back is the way there");
    }
    assert!(!turn(&browser, "prev"), "this is the first page");

    browser.click("th a.sort[href*='order=worst']");
    browser.wait_until(
        "document.querySelector('th[aria-sort=descending]') !== null",
        PATIENCE,
    );
    let worst = browser.run("return document.querySelector('tbody .c-state').innerText.trim()");
    assert_eq!(worst, "critical");
    browser.open(&scene.hub.url("/devices?presence=never_seen&profile=hmac"));
    let seen = browser
        .run("return [...document.querySelectorAll('.c-seen')].map(e => e.innerText.trim())");
    assert!(
        seen.as_array().unwrap().iter().all(|text| text == "never"),
        "{seen}"
    );
    browser.open(&scene.hub.url("/devices?text=no+such+thing"));
    browser.wait_for("No device matches this filter.", PATIENCE);
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// Goes to the next page or the one before, if there is one.
fn turn(browser: &Browser, way: &str) -> bool {
    let link = format!(".pager a[rel={way}]");
    let is_there = format!("return document.querySelector({}) !== null", json!(link));
    if browser.run(&is_there) == false {
        return false;
    }
    let before = browser.run("return location.href");
    browser.click(&link);
    browser.wait_until(&format!("location.href !== {before}"), PATIENCE);
    browser.wait_until("document.readyState === 'complete'", PATIENCE);
    true
}

fn names(browser: &Browser) -> Vec<String> {
    let names = "return [...document.querySelectorAll('tbody .c-name a')].map(a => a.innerText)";
    serde_json::from_value(browser.run(names)).unwrap()
}

#[test]
fn a9_a_plot_is_zoomed_by_dragging_and_by_keyboard() {
    let Some(browser) = Browser::start("pages-zoom") else {
        return;
    };
    let scene = scene();
    browser.log_in(&scene.data, &scene.hub);
    let agent = format!("/agents/{}", scene.agent.id);
    browser.open(&scene.hub.url(&agent));
    let line = "return document.querySelector('#plot-cpu .field path.trend').getAttribute('d')";
    let whole = browser.run(line);
    browser.run("document.querySelector('#plot-cpu').scrollIntoView({block: 'center'})");
    let field = "const box = document.querySelector('#plot-cpu svg.field').getBoundingClientRect(); \
                 return [box.left, box.top, box.width, box.height].map(Math.round)";
    let [left, top, width, height]: [i64; 4] = serde_json::from_value(browser.run(field)).unwrap();
    let y = top + height / 2;
    browser.drag((left + width / 4, y), (left + width * 3 / 4, y));
    browser.wait_until("new URLSearchParams(location.search).has('from')", PATIENCE);
    browser.wait_until("document.readyState === 'complete'", PATIENCE);
    assert_ne!(browser.run(line), whole, "another part is drawn");
    let minutes = "const f = document.querySelector('#plot-cpu svg.field').dataset; \
                   return Math.round((Date.parse(f.to) - Date.parse(f.from)) / 60000)";
    let zoomed = browser.run(minutes).as_i64().unwrap();
    assert!((28..=32).contains(&zoomed), "{zoomed} minutes");

    browser.tab_to("a[data-do=in]");
    browser.press(ENTER);
    let narrower = format!(
        "document.querySelector('#plot-cpu svg.field') !== null && \
         (() => {{ {minutes} }})() < {}",
        zoomed * 3 / 4
    );
    browser.wait_until(&narrower, PATIENCE);
    browser.tab_to("a.pick[href*='range=1h']");
    browser.press("-");
    browser.wait_until(
        &format!("(() => {{ {minutes} }})() >= {}", zoomed - 2),
        PATIENCE,
    );
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a9_a_machine_is_searched_and_long_tables_are_bounded() {
    let Some(browser) = Browser::start("pages-machine") else {
        return;
    };
    let scene = scene();
    browser.log_in(&scene.data, &scene.hub);
    browser.open(&scene.hub.url(&format!("/agents/{}", scene.agent.id)));
    let rows = "return document.querySelectorAll('#processes tbody tr').length";
    assert_eq!(browser.run(rows), 200);
    browser.tab_to("#find");
    browser.press("worker-299");
    browser.press(ENTER);
    browser.wait_until(&format!("(() => {{ {rows} }})() === 1"), PATIENCE);
    let found = browser.run("return document.querySelector('#processes tbody').innerText");
    assert!(found.as_str().unwrap().contains("worker-299"), "{found}");
    assert!(browser.text().contains("Nothing here matches."));
}

#[test]
fn a9_every_page_is_reached_by_keyboard_alone_and_shows_where_the_focus_is() {
    let Some(browser) = Browser::start("pages-keyboard") else {
        return;
    };
    let scene = scene();
    browser.log_in(&scene.data, &scene.hub);
    browser.open(&scene.hub.url("/overview"));
    browser.tab_to("a.skip");
    browser.press(ENTER);
    assert_eq!(browser.run("return location.hash"), "#main");
    for place in [
        "fleet",
        "devices",
        "events",
        "insights",
        "integrity",
        "overview",
    ] {
        browser.tab_to(&format!("nav a[href='/{place}']"));
        let outline = "return getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(browser.run(outline), "solid", "the focus of {place}");
        browser.press(ENTER);
        browser.wait_until(&format!("location.pathname === '/{place}'"), PATIENCE);
    }
}

#[test]
fn a9_ages_go_on_without_asking_the_hub() {
    let Some(browser) = Browser::start("pages-ages") else {
        return;
    };
    let scene = scene();
    browser.log_in(&scene.data, &scene.hub);
    browser.open(&scene.hub.url("/devices?text=caught"));
    browser.open(&scene.hub.url(&format!("/agents/{}", scene.agent.id)));
    let age = "return document.querySelector('.facts time.age').textContent";
    let title = browser.run("return document.querySelector('.facts time.age').title");
    assert!(title.as_str().unwrap().ends_with(" UTC"), "{title}");
    // No answer of the hub can be what changes it.
    browser.run("window.fetch = () => new Promise(() => {})");
    let before: Value = browser.run(age);
    browser.wait_until(&format!("(() => {{ {age} }})() !== {before}"), PATIENCE);
    assert!(browser.run(age).as_str().unwrap().ends_with("ago"));
}

#[test]
fn a9_events_are_one_line_of_time_that_filters_narrow() {
    let scene = scene();
    let admin = Person::added(&scene.data, &scene.hub, "acme", "admin");
    let page = admin.get(&scene.hub, "/events");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("opened") && page.body.contains(">caught</a>"));
    assert!(page.body.contains("sshd refused 3"), "{}", page.body);
    let logins = admin.get(&scene.hub, "/events?kind=login");
    assert!(logins.body.contains("sshd refused 3") && !logins.body.contains(">caught</a>"));
    let of_agent = admin.get(&scene.hub, "/events?agent_id=caught&range=24h");
    assert!(of_agent.body.contains(">caught</a>"));
    let of_other = admin.get(&scene.hub, "/events?agent_id=measured");
    assert!(!of_other.body.contains(">caught</a>"));
    for bad in [
        "kind=x",
        "range=2h",
        "before=x",
        "back=x",
        "agent_id=nobody",
        "other=1",
    ] {
        let answer = admin.get(&scene.hub, &format!("/events?{bad}"));
        assert_eq!(answer.status, 422, "{bad}");
    }
}
