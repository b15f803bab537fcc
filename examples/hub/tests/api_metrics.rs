//! Samples over HTTP: pages that are all of them in their order, also while others arrive, and
//! series that are what the samples say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use monsys_core::time::{Span, Timestamp};
use serde_json::{Value, json};
use support::person::Person;
use support::refusal::assert_refusal;
use support::store::{change, rows};
use support::{Answer, DataDir, Dice, Hub, TestAgent, now};

/// What one row is known by: its time, agent, epoch and number.
type Key = (String, String, i64, i64);

struct Scene {
    data: DataDir,
    hub: Hub,
    admin: Person,
    agents: Vec<TestAgent>,
}

impl Scene {
    /// A hub with three agents and a rival's, and so many samples of each, of which many were
    /// received at one moment.
    fn new(n_samples: i64) -> Self {
        let data = DataDir::new();
        for org in ["acme", "rival"] {
            data.add_org(org);
        }
        let agents: Vec<_> = ["web-1", "web-2", "o'brien"]
            .map(|name| data.enrol("acme", name))
            .into();
        let rival = data.enrol("rival", "web-1");
        for agent in agents.iter().chain([&rival]) {
            put_samples(&data, agent, n_samples);
        }
        let hub = Hub::start(&data);
        let admin = Person::added(&data, &hub, "acme", "read_only");
        Self {
            data,
            hub,
            admin,
            agents,
        }
    }

    fn get(&self, query: &str) -> Answer {
        self.admin.get(&self.hub, &format!("/v1/metrics{query}"))
    }

    fn page(&self, query: &str) -> Value {
        let answer = self.get(query);
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    }

    /// All rows that the store has, in the order of the listing.
    fn stored(&self, of: Option<&TestAgent>) -> Vec<Key> {
        let sql = "SELECT time, agent_id, epoch, seq FROM metrics WHERE tenant_id = \
                   (SELECT id FROM tenants WHERE name = 'acme')";
        let mut keys = rows(&self.data, sql, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let wanted = of.map(|agent| agent.id.to_string());
        keys.retain(|(_, agent, ..): &Key| wanted.as_ref().is_none_or(|wanted| wanted == agent));
        keys.sort();
        keys.reverse();
        keys
    }

    fn by_cursor(&self, query: &str) -> Vec<Key> {
        let (mut keys, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.page(&format!("?{query}&cursor={cursor}"));
            keys.extend(keys_of(&page));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return keys,
            }
        }
    }

    fn by_number(&self, query: &str) -> Vec<Key> {
        let first = self.page(&format!("?{query}"));
        let as_of = first["as_of"].as_str().unwrap().to_owned();
        let (mut keys, mut number) = (Vec::new(), 1);
        loop {
            let page = self.page(&format!("?{query}&page={number}&as_of={as_of}"));
            assert_eq!(page["page"], number);
            assert_eq!(page["total"], first["total"]);
            let found = keys_of(&page);
            if found.is_empty() {
                return keys;
            }
            keys.extend(found);
            number += 1;
        }
    }
}

/// Writes samples of the last minutes: by every third another agent has its own at that moment.
fn put_samples(data: &DataDir, agent: &TestAgent, n_samples: i64) {
    // The whole minute before, so that all agents have samples of the same moments.
    let minute = format!("{}00Z", &now().to_rfc3339()[..17]);
    let start = Timestamp::parse_rfc3339(&minute).unwrap();
    if n_samples == 0 {
        return;
    }
    let mut dice = Dice(agent.name.len().try_into().unwrap());
    let values: Vec<_> = (0..n_samples)
        .map(|n| {
            let at = start
                .saturating_sub(Span::from_micros(700_001 * (n / 3)))
                .to_rfc3339();
            let (epoch, seq) = (1 + n % 2, n_samples - n);
            let cpu = dice.below(1_000);
            let memory = if n % 4 == 0 { "NULL" } else { "4000" };
            format!(
                "((SELECT tenant_id FROM agents WHERE id = '{0}'), '{0}', '{at}', '{at}', '{at}', \
                 {epoch}, {seq}, false, true, {1}.{2}, {memory}, {cpu})",
                agent.id,
                cpu / 10,
                cpu % 10
            )
        })
        .collect();
    change(
        data,
        &format!(
            "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
             is_spooled, is_verified, cpu_usage_percent, mem_total_bytes, mem_used_bytes) VALUES {}",
            values.join(", ")
        ),
    );
}

fn keys_of(page: &Value) -> Vec<Key> {
    let items = page["items"].as_array().unwrap().iter();
    let text = |item: &Value, member: &str| item[member].as_str().unwrap().to_owned();
    items
        .map(|item| {
            let number = |member: &str| item[member].as_i64().unwrap();
            let agent = text(item, "agent_id");
            (text(item, "time"), agent, number("epoch"), number("seq"))
        })
        .collect()
}

#[test]
fn a10_pages_by_number_and_by_cursor_are_all_samples_in_their_order() {
    let scene = Scene::new(53);
    let [one, two, quoted] = [0, 1, 2].map(|n| &scene.agents[n]);
    let id = one.id.to_string();
    for (query, of) in [
        (String::new(), None),
        ("org_id=acme".to_owned(), None),
        ("device_id=web-2".to_owned(), Some(two)),
        ("device_id=o%27brien".to_owned(), Some(quoted)),
        (format!("device_id={id}&org_id=acme"), Some(one)),
    ] {
        let expected = scene.stored(of);
        assert_eq!(expected.len(), if of.is_some() { 53 } else { 3 * 53 });
        for size in [1, 7, 50, 200] {
            let query = format!("{query}&page_size={size}");
            assert_eq!(scene.by_number(&query), expected, "{query}");
            assert_eq!(scene.by_cursor(&query), expected, "{query}");
        }
        let page = scene.page(&format!("?{query}"));
        assert_eq!(page["total"], expected.len());
        assert_eq!(page["total_exact"], true);
        assert_eq!((&page["page"], &page["page_size"]), (&json!(1), &json!(50)));
        let beyond = scene.page(&format!("?{query}&page=1000000"));
        assert_eq!(beyond["items"], json!([]));
        assert_eq!(beyond["total"], expected.len());
    }
}

#[test]
fn a10_what_arrives_meanwhile_makes_no_row_come_twice_or_be_missed() {
    let scene = Scene::new(40);
    let before = scene.stored(None);
    let first = scene.page("?page_size=6");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seq = 0;
            while !is_over.load(Ordering::Relaxed) {
                seq += 1;
                scene.agents[0].report(&scene.hub, (1, 10_000 + seq), 1.5, "0.1.0");
            }
        });
        for size in [1, 6] {
            let found = scene.by_cursor(&format!("page_size={size}"));
            assert!(
                found.is_sorted_by(|one, next| one > next),
                "in order, and none twice"
            );
            let found: BTreeSet<_> = found.into_iter().collect();
            let missed: Vec<_> = before.iter().filter(|key| !found.contains(*key)).collect();
            assert!(missed.is_empty(), "{missed:?}");
        }
        let as_of = first["as_of"].as_str().unwrap();
        let mut found = Vec::new();
        for number in 1..=20 {
            let page = scene.page(&format!("?page_size=6&page={number}&as_of={as_of}"));
            assert_eq!(page["total"], before.len());
            found.extend(keys_of(&page));
        }
        assert_eq!(
            found, before,
            "pages as of one moment are those of that moment"
        );
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(scene.stored(None).len() > before.len(), "something arrived");
}

#[test]
fn a10_a_parameter_out_of_its_range_is_refused() {
    let scene = Scene::new(3);
    for query in [
        "page=0",
        "page=-1",
        "page=1.5",
        "page=99999999999999999999",
        "page=%201",
        "page_size=0",
        "page_size=201",
        "page_size=x",
        "page=1&page=1",
        "device_id=a&device_id=b",
        "offset=3",
        "cursor=x",
        "cursor=1.2.3.4",
        "page=1&cursor=1.00000000-0000-4000-8000-000000000000.1.1",
        "as_of=yesterday",
        "device_id=%00",
        "device_id=web-1%00",
    ] {
        assert_refusal(&scene.get(&format!("?{query}")), 422, "out_of_range");
    }
    let long = "a".repeat(129);
    assert_refusal(
        &scene.get(&format!("?device_id={long}")),
        422,
        "out_of_range",
    );
    for org in ["rival", "nobody", "ACME", "acme'--"] {
        assert_refusal(&scene.get(&format!("?org_id={org}")), 403, "forbidden");
    }
    let stranger = Person::anonymous().get(&scene.hub, "/v1/metrics");
    assert_refusal(&stranger, 401, "unauthorized");
}

#[test]
fn a10_another_organisations_device_and_sql_in_an_identifier_find_nothing() {
    let scene = Scene::new(5);
    let sql = "SELECT a.id FROM agents a JOIN tenants t ON t.id = a.tenant_id \
               WHERE t.name = 'rival' AND a.id <> a.tenant_id";
    let rival = rows(&scene.data, sql, [], |row| row.get::<_, String>(0));
    for device in [
        rival[0].as_str(),
        "no-such-device",
        "' OR 1=1 --",
        "'; DROP TABLE metrics; --",
        "web-1' UNION SELECT token_digest FROM agents --",
        "%",
        "_______",
        "web-1\\",
        "$1",
        "?1",
    ] {
        let escaped: String = device.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let page = scene.page(&format!("?device_id={escaped}"));
        assert_eq!(
            (&page["items"], &page["total"]),
            (&json!([]), &json!(0)),
            "{device}"
        );
    }
    assert_eq!(scene.stored(None).len(), 15);
}

#[test]
fn a_sample_is_shown_with_all_that_its_payload_said() {
    let scene = Scene::new(0);
    let agent = &scene.agents[0];
    agent.report(&scene.hub, (1, 1), 12.25, "0.1.0");
    let page = scene.page("?device_id=web-1");
    let item = &page["items"][0];
    assert_eq!(item["cpu_usage_percent"], 12.25);
    assert_eq!(item["verified"], true);
    assert_eq!(item["device_id"], "web-1");
    assert_eq!((&item["epoch"], &item["seq"]), (&json!(1), &json!(1)));
    let listed = scene
        .admin
        .get(&scene.hub, &format!("/api/v1/agents/{}", agent.id));
    let last = &listed.json()["last_sample"];
    assert_eq!(
        (&last["time"], &last["cpu_usage_percent"]),
        (&item["time"], &json!(12.25))
    );
}

#[test]
fn a_series_is_what_the_samples_of_each_piece_of_time_say() {
    let scene = Scene::new(120);
    let agent = &scene.agents[1];
    let id = agent.id.to_string();
    let sql = "SELECT time, cpu_usage_percent, mem_total_bytes, mem_used_bytes FROM metrics \
               WHERE agent_id = ?1";
    let samples = rows(&scene.data, sql, [&id], |row| {
        let at: String = row.get(0)?;
        let memory = (row.get::<_, Option<i64>>(2)?, row.get::<_, i64>(3)?);
        Ok((
            Timestamp::parse_rfc3339(&at).unwrap(),
            row.get::<_, f64>(1)?,
            memory,
        ))
    });
    let newest = samples.iter().map(|(at, ..)| *at).max().unwrap();
    let (from, to) = (newest.saturating_sub(Span::from_secs(25)), newest);
    for (of, points) in [
        ("cpu", 1),
        ("cpu", 7),
        ("memory", 7),
        ("cpu", 1_000),
        ("load", 5),
    ] {
        let path = format!(
            "/api/v1/agents/{id}/series?from={}&to={}&points={points}&of={of}",
            from.to_rfc3339(),
            to.to_rfc3339()
        );
        let answer = scene.admin.get(&scene.hub, &path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let series = answer.json();
        assert_eq!(series["complete"], true);
        let width = series["width_us"].as_i64().unwrap();
        let shown = series["points"].as_array().unwrap();
        assert!(shown.len() <= points);
        let mut expected = Vec::new();
        for n in 0..i64::try_from(points).unwrap() {
            let start = from.saturating_add(Span::from_micros(n * width));
            let end = start.saturating_add(Span::from_micros(width));
            let of_piece = samples.iter().filter(|(at, ..)| *at >= start && *at < end);
            let values: Vec<f64> = of_piece
                .filter_map(|(_, cpu, (total, used))| match of {
                    "cpu" => Some(*cpu),
                    "memory" => Some(100.0 * value(*used) / value((*total)?)),
                    _ => None,
                })
                .collect();
            if !values.is_empty() {
                expected.push((start.to_rfc3339(), values));
            }
        }
        assert_eq!(shown.len(), expected.len(), "{path}");
        for (point, (at, values)) in shown.iter().zip(&expected) {
            let close = |member: &str, expected: f64| {
                let found = point[member].as_f64().unwrap();
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{member} of {point}: {expected}"
                );
            };
            assert_eq!(
                (&point["at"], &point["samples"]),
                (&json!(at), &json!(values.len()))
            );
            close("min", values.iter().copied().fold(f64::INFINITY, f64::min));
            close("max", values.iter().copied().fold(0.0, f64::max));
            close(
                "mean",
                values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap()),
            );
        }
    }
    for query in [
        "points=0",
        "points=1001",
        "of=disk",
        "from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z",
        "from=2026-01-01T00:00:00Z&to=2026-11-20T00:00:00Z",
        "from=x",
        "to=2026-11-21T00:00:00Z&to=2026-11-21T00:00:00Z",
        "page=1",
    ] {
        let answer = scene
            .admin
            .get(&scene.hub, &format!("/api/v1/agents/{id}/series?{query}"));
        assert_refusal(&answer, 422, "out_of_range");
    }
    for other in ["00000000-0000-4000-8000-000000000000", "x", "%27"] {
        let answer = scene
            .admin
            .get(&scene.hub, &format!("/api/v1/agents/{other}/series"));
        assert_refusal(&answer, 404, "not_found");
    }
}

fn value(n: i64) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}
