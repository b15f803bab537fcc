//! The fleet over HTTP: pages that hold while agents come, and the devices with the highest risk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::person::Person;
use support::refusal::assert_refusal;
use support::{Answer, DataDir, Dice, Hub, crowd};

/// All items of a listing, page by page.
fn pages(person: &Person, hub: &Hub, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = person.get(hub, &format!("{path}&cursor={cursor}"));
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let page = page.json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return items,
        }
    }
}

fn names(items: &[Value]) -> Vec<String> {
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

struct Scene {
    data: DataDir,
    hub: Hub,
    admin: Person,
}

impl Scene {
    /// A hub with a fleet of all kinds of agents, and a rival with agents of the same names.
    fn new(n_agents: usize) -> Self {
        let data = DataDir::new();
        for org in ["acme", "rival"] {
            data.add_org(org);
        }
        crowd::seed(&data, "acme");
        crowd::fleet(&data, "acme", n_agents);
        for name in ["of-token", "revoked-of-token"] {
            data.enrol("acme", name);
            data.enrol("rival", name);
        }
        let revoked = data.enrol("acme", "Revoked-Too").id.to_string();
        data.json(&["agent", "revoke", &revoked]);
        let hub = Hub::start(&data);
        let admin = Person::added(&data, &hub, "acme", "admin");
        Self { data, hub, admin }
    }

    fn pages(&self, path: &str) -> Vec<Value> {
        pages(&self.admin, &self.hub, path)
    }
}

#[test]
fn pages_of_agents_are_all_agents_in_each_order_and_filter() {
    let scene = Scene::new(137);
    crowd::open_some_anomalies(&scene.data, 40);
    let all = scene.pages("/api/v1/agents?limit=200");
    assert_eq!(all.len(), 137 + 3);
    let text = |item: &Value, member: &str| item[member].as_str().unwrap_or_default().to_owned();
    let mut by_name = names(&all);
    by_name.sort();
    assert_eq!(names(&all), by_name);
    for order in ["name", "last_seen", "worst"] {
        let mut expected = all.clone();
        expected.sort_by_key(|item| text(item, "name"));
        match order {
            "last_seen" => {
                expected.sort_by_key(|item| std::cmp::Reverse(text(item, "last_seen_at")));
            }
            "worst" => expected.sort_by_key(|item| {
                let ranks = ["critical", "high", "medium", "low", "info"];
                let rank = ranks.iter().position(|word| item["worst"] == *word);
                rank.unwrap_or(ranks.len())
            }),
            _ => {}
        }
        for limit in [1, 7, 100] {
            let path = format!("/api/v1/agents?order={order}&limit={limit}");
            let found = scene.pages(&path);
            assert_eq!(names(&found), names(&expected), "{path}");
        }
    }
    for (filter, is_wanted) in filters() {
        let expected: Vec<_> = all.iter().filter(|item| is_wanted(item)).cloned().collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{filter}"
        );
        let found = scene.pages(&format!("/api/v1/agents?limit=13&{filter}"));
        assert_eq!(names(&found), names(&expected), "{filter}");
        let page = scene
            .admin
            .get(&scene.hub, &format!("/api/v1/agents?limit=1&{filter}"));
        assert_eq!(page.json()["total"], expected.len(), "{filter}");
    }
}

type Wanted = fn(&Value) -> bool;

fn filters() -> [(&'static str, Wanted); 9] {
    [
        ("presence=fresh", |item| item["presence"] == "fresh"),
        ("presence=silent", |item| item["presence"] == "silent"),
        ("presence=never_seen", |item| {
            item["last_seen_at"].is_null() && item["revoked"] == false
        }),
        ("presence=revoked", |item| item["revoked"] == true),
        ("profile=ed25519", |item| item["profile"] == "ed25519"),
        ("profile=hmac", |item| item["profile"] == "hmac"),
        ("version=0.2.0", |item| item["version"] == "0.2.0"),
        ("text=rEVOKED", |item| {
            let name = item["name"].as_str().unwrap().to_ascii_lowercase();
            name.contains("revoked")
        }),
        ("text=WEB-0007&profile=hmac", |item| {
            item["name"].as_str().unwrap().starts_with("web-0007")
        }),
    ]
}

#[test]
fn no_agent_comes_twice_or_is_missed_while_others_are_enrolled() {
    let scene = Scene::new(90);
    let before: BTreeSet<_> = names(&scene.pages("/api/v1/agents?limit=200"))
        .into_iter()
        .collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(3);
            while !is_over.load(Ordering::Relaxed) {
                let name = format!("{:03}-later", dice.below(1_000_000));
                scene.data.enrol_device("acme", &name);
            }
        });
        for order in ["name", "worst", "name", "last_seen"] {
            let found = names(&scene.pages(&format!("/api/v1/agents?order={order}&limit=3")));
            let distinct: BTreeSet<_> = found.iter().cloned().collect();
            assert_eq!(distinct.len(), found.len(), "{order}: an agent came twice");
            let missed: Vec<_> = before.difference(&distinct).collect();
            assert!(missed.is_empty(), "{order}: {missed:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_listing_refuses_what_it_does_not_know() {
    let scene = Scene::new(3);
    let hex = "6".repeat(300);
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=+5",
        "limit=1e2",
        "limit=99999999999999999999",
        "limit=5&limit=5",
        "order=risk",
        "order=name&cursor=worst.6.61",
        "cursor=name.1.61",
        "cursor=x",
        "cursor=' OR 1=1 --",
        "cursor=last_seen.9223372036854775808.61",
        "presence=gone",
        "profile=ED25519",
        "state=fresh",
        &format!("text={hex}"),
        "text=%00",
    ] {
        let query = query.replace(' ', "%20");
        let answer = scene
            .admin
            .get(&scene.hub, &format!("/api/v1/agents?{query}"));
        assert_refusal(&answer, 422, "out_of_range");
    }
    // Places beyond all agents, at both ends of what a number can be.
    for cursor in [
        "last_seen.-9223372036854775808.7a",
        "last_seen.9223372036854775807.61",
    ] {
        let answer = scene.admin.get(
            &scene.hub,
            &format!("/api/v1/agents?order=last_seen&cursor={cursor}"),
        );
        assert_eq!(answer.status, 200, "{cursor}: {answer:?}");
    }
}

#[test]
fn a11_the_top_of_the_fleet_is_the_brute_force_order_of_all_devices() {
    let scene = Scene::new(40);
    crowd::say_something(&scene.data, "acme", 7);
    let all = scene.pages("/api/v1/agents?limit=200");
    let mut expected: Vec<(i64, String)> = Vec::new();
    for agent in all.iter().filter(|agent| agent["revoked"] == false) {
        let id = agent["agent_id"].as_str().unwrap();
        let trust = scene
            .admin
            .get(&scene.hub, &format!("/api/v1/trust/{id}"))
            .json();
        let risk = 100_000 - trust["score_milli"].as_i64().unwrap();
        expected.push((-risk, agent["name"].as_str().unwrap().to_owned()));
    }
    expected.sort();
    assert!(
        expected.iter().filter(|(risk, _)| *risk < 0).count() > 20,
        "{expected:?}"
    );
    let org = all[0]["agent_id"].as_str().unwrap();
    assert_ne!(org, "acme");
    for (query, n_wanted) in [
        ("", 10),
        ("?org_id=acme", 10),
        ("?limit=1", 1),
        ("?limit=17", 17),
        ("?limit=100&org_id=acme", 100),
        ("?limit=&org_id=", 10),
    ] {
        let answer = scene
            .admin
            .get(&scene.hub, &format!("/v1/fleet/top{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let items = answer["items"].as_array().unwrap();
        let found: Vec<_> = items
            .iter()
            .map(|item| {
                let points = |name: &str| item[name].as_f64().unwrap();
                let exact = 100_000 - item["score_milli"].as_i64().unwrap();
                assert_eq!(item["risk_milli"], exact);
                assert!(
                    (points("risk") + points("score") - 100.0).abs() < 1e-9,
                    "{item}"
                );
                (-exact, item["device_id"].as_str().unwrap().to_owned())
            })
            .collect();
        let end = n_wanted.min(expected.len());
        assert_eq!(found, expected[..end], "{query}");
        assert_eq!(answer["total"], expected.len());
    }
    for (query, status, code) in [
        ("?limit=0", 422, "out_of_range"),
        ("?limit=101", 422, "out_of_range"),
        ("?limit=ten", 422, "out_of_range"),
        ("?limit=1&limit=2", 422, "out_of_range"),
        ("?offset=1", 422, "out_of_range"),
        ("?org_id=rival", 403, "forbidden"),
        ("?org_id=nobody", 403, "forbidden"),
        ("?org_id='%20OR%201=1--", 403, "forbidden"),
    ] {
        let answer = scene
            .admin
            .get(&scene.hub, &format!("/v1/fleet/top{query}"));
        assert_refusal(&answer, status, code);
    }
    let stranger = Person::anonymous().get(&scene.hub, "/v1/fleet/top");
    assert_refusal(&stranger, 401, "unauthorized");
}

const N_LARGE: usize = 10_000;
const N_READINGS: usize = 9;
/// Most bytes of an answer about a fleet of 10,000, and longest median in a release build.
const BUDGETS: [(&str, usize, Duration); 9] = [
    ("/v1/fleet/top", 4_000, Duration::from_millis(400)),
    (
        "/v1/fleet/top?limit=100",
        40_000,
        Duration::from_millis(400),
    ),
    ("/api/v1/agents", 80_000, Duration::from_millis(60)),
    (
        "/api/v1/agents?order=last_seen&presence=fresh",
        80_000,
        Duration::from_millis(80),
    ),
    (
        "/api/v1/agents?order=worst&text=9",
        80_000,
        Duration::from_millis(80),
    ),
    ("/overview", 40_000, Duration::from_millis(60)),
    ("/fleet", 90_000, Duration::from_millis(60)),
    ("/devices", 60_000, Duration::from_millis(80)),
    ("/insights", 90_000, Duration::from_millis(150)),
];
/// How much slower a build without optimisation may be on a machine that does other work as well.
const DEBUG_FACTOR: u32 = if cfg!(debug_assertions) { 15 } else { 1 };

#[test]
fn ten_thousand_agents_are_listed_in_bounded_time_and_bytes() {
    let scene = Scene::new(N_LARGE);
    crowd::say_something(&scene.data, "acme", 3);
    crowd::open_some_anomalies(&scene.data, 2_000);
    for (path, bytes_max, within) in BUDGETS {
        let (answer, first, median) = timed(&scene, path);
        let size = answer.body.len();
        println!("{path}: {size} bytes, first {first:?}, median {median:?} of {N_READINGS}");
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            size <= bytes_max,
            "{path}: {size} bytes, expected {bytes_max}"
        );
        let within = within * DEBUG_FACTOR;
        assert!(median <= within, "{path}: {median:?}, expected {within:?}");
    }
}

/// Asks often, and answers the last answer, how long the first took, and the median.
fn timed(scene: &Scene, path: &str) -> (Answer, Duration, Duration) {
    let ask = || {
        let start = Instant::now();
        let answer = scene.admin.get(&scene.hub, path);
        (answer, start.elapsed())
    };
    let (mut last, first) = ask();
    let mut taken = vec![first];
    for _ in 1..N_READINGS {
        let (answer, took) = ask();
        (last, _) = (answer, taken.push(took));
    }
    taken.sort_unstable();
    (last, first, taken[N_READINGS / 2])
}
