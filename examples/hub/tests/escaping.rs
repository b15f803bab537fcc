//! What strangers write is text on every page and nothing else (row A18).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::{Value, json};

use support::browser::Browser;
use support::person::Person;
use support::{DataDir, Hub, PATIENCE, TestAgent, now};

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>";
/// Turns the rest of a line round where it is not closed in.
const BIDI: &str = "\u{202e}evil\u{2066}";

struct Scene {
    data: DataDir,
    hub: Hub,
    agents: [TestAgent; 2],
}

/// An organisation whose every text is hostile.
fn scene() -> Scene {
    let data = DataDir::new();
    let org = format!("{IMAGE}{BIDI}");
    data.add_org(&org);
    let names = [format!("{SCRIPT}{BIDI}"), IMAGE.to_owned()];
    let agents = names.map(|name| data.enrol(&org, &name));
    let hub = Hub::start(&data);
    for agent in &agents {
        for (seq, version) in [(1, "2.0.0"), (2, "1.0.0")] {
            agent.report(&hub, (1, seq), 12.5, version);
        }
        assert_eq!(send_snapshot(&hub, agent, 3), 202);
        let body = agent.metrics((1, 4), 12.5);
        assert_eq!(agent.send_with(&hub, body.as_bytes(), None).status, 403);
    }
    data.cycle();
    say_something(&data, &org, &agents[0]);
    Scene { data, hub, agents }
}

fn send_snapshot(hub: &Hub, agent: &TestAgent, seq: i64) -> u16 {
    let at = now().to_rfc3339();
    let [a, b] = [format!("{SCRIPT}{BIDI}"), format!("{IMAGE}{BIDI}")];
    let body = json!({
        "v": 1, "type": "endpoint", "aud": agent.audience.as_str(),
        "agent_id": agent.id.to_string(), "agent_version": "1.0.0",
        "epoch": 1, "seq": seq, "captured_at": at, "sent_at": at,
        "data": {
            "processes": [{"name": a, "pid": 1, "exe": b, "username": a}],
            "listeners": [{"ip": "::1", "port": 22, "process": b}],
            "auth": [{"service": a, "outcome": "failure", "count": 3}],
            "persistence": [{"kind": b, "path": a}],
            "health": [{"collector": a, "state": "degraded", "reason": b}],
        },
    });
    let canonical = monsys_core::json::CanonicalText::parse(body.to_string().as_bytes()).unwrap();
    agent.send(hub, canonical.as_str().as_bytes()).status
}

/// Signals whose subjects and values are hostile; keys and sources have no room for it.
fn say_something(data: &DataDir, org: &str, agent: &TestAgent) {
    let subjects = [
        ("endpoint", format!("{SCRIPT}{BIDI}")),
        ("endpoint", IMAGE.to_owned()),
        ("agent", agent.id.to_string()),
    ];
    let lines = subjects.iter().flat_map(|(kind, id)| {
        ["backup.age_hours", "backup.last_failed"].map(|key| {
            json!({
                "source": "backup_check", "subject_type": kind, "subject_id": id, "key": key,
                "value": {"value": IMAGE, "note": SCRIPT}, "severity": "high",
                "observed_at": now().to_rfc3339(), "ttl_seconds": null,
            })
            .to_string()
        })
    });
    let file = data.path().join("said.jsonl");
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let emitted = data.run(&["signals", "emit", "--org", org, "--file", file]);
    assert!(emitted.status.success(), "{emitted:?}");
}

/// Logs in as somebody with a hostile address, and closes and holds findings with hostile words.
fn log_in(browser: &Browser, scene: &Scene) {
    let org = format!("{IMAGE}{BIDI}");
    let email = format!("{SCRIPT}@x{BIDI}");
    let arguments = [
        "user",
        "add",
        "--login-link",
        "--org",
        &org,
        "--email",
        &email,
    ];
    let url = scene.hub.url("");
    let added = scene
        .data
        .json(&[&arguments[..], &["--public-url", &url]].concat());
    browser.open(added["login_link"].as_str().unwrap());
    browser.wait_for("Overview", PATIENCE);
    let person = Person::with_cookie("monsys", &browser.cookie("monsys"));
    let ids = ids(&scene.data);
    assert!(ids.len() >= 4, "{ids:?}");
    let act = |id: &str, what: &str, body: &Value| {
        let path = format!("/api/v1/integrity/anomalies/{id}/{what}");
        let answer = person.post(&scene.hub, &path, &body.to_string(), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    act(
        &ids[0],
        "resolve",
        &json!({"note": format!("{SCRIPT}{IMAGE}")}),
    );
    act(
        &ids[1],
        "acknowledge",
        &json!({"reason": format!("{IMAGE}{BIDI}")}),
    );
}

fn ids(data: &DataDir) -> Vec<String> {
    let sql = "SELECT id FROM integrity_anomalies ORDER BY id";
    support::store::rows(data, sql, [], |row| row.get(0))
}

#[test]
fn a18_what_strangers_write_is_text_on_every_page() {
    let Some(browser) = Browser::start("escaping") else {
        return;
    };
    let scene = scene();
    log_in(&browser, &scene);
    let mut paths: Vec<String> = [
        "/overview",
        "/fleet",
        "/devices",
        "/devices?text=%3Cscript%3Ealert(1)%3C/script%3E",
        "/devices?text=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
        "/events",
        "/insights",
        "/integrity",
        "/integrity?state=all",
        "/login?notice=%3Cscript%3E",
        "/login?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ]
    .map(str::to_owned)
    .into();
    for agent in &scene.agents {
        paths.push(format!("/agents/{}", agent.id));
        paths.push(format!("/agents/{}?find=%3Cscript%3E", agent.id));
    }
    paths.extend(ids(&scene.data).iter().map(|id| format!("/integrity/{id}")));
    let mut n_shown = 0;
    for path in &paths {
        browser.open(&scene.hub.url(path));
        browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })");
        assert_eq!(browser.run(FOREIGN), json!([]), "{path}");
        assert_eq!(browser.run(TURNED), json!([]), "{path}");
        n_shown += browser.run(SHOWN).as_u64().unwrap();
    }
    assert!(
        n_shown > 40,
        "hostile text is shown and not dropped: {n_shown}"
    );
    let errors = browser.console().into_iter();
    let errors: Vec<_> = errors.filter(|entry| !entry.contains("404")).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// Elements and attributes that no page of ours has.
const FOREIGN: &str = "const ours = e => e.tagName === 'SCRIPT' && e.src.startsWith(location.origin + '/assets/'); \
     const tags = [...document.querySelectorAll('script, img, iframe, object, embed, style, video, audio, math')]; \
     const bad = tags.filter(e => !ours(e)).map(e => e.outerHTML); \
     for (const e of document.querySelectorAll('*')) \
         for (const a of e.attributes) \
             if (a.name.startsWith('on') || a.name === 'style' || /^\\s*javascript:/i.test(a.value)) \
                 bad.push(e.outerHTML); \
     return bad";
/// Texts whose direction is not closed in by the element that holds them.
const TURNED: &str = "const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); \
     const bad = []; \
     while (walk.nextNode()) { \
         const of = walk.currentNode; \
         if (!/[\\u202a-\\u202e\\u2066-\\u2069]/.test(of.data)) continue; \
         const look = getComputedStyle(of.parentElement); \
         const isClosed = look.display !== 'inline' || look.unicodeBidi.startsWith('isolate'); \
         if (!isClosed) bad.push(of.parentElement.outerHTML); \
     } \
     return bad";
/// How often hostile text stands there to be read.
const SHOWN: &str = "return document.body.textContent.split(/<script>alert|<img src=x/).length - 1";
