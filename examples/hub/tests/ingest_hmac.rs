//! The hmac profile over HTTP: what it accepts, what it refuses, and what it never gives away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_core::time::{Span, Timestamp};
use monsys_wire::header::{CONTENT_ENCODING, CONTENT_TYPE, DEVICE, MAC, NONCE, ORG, TIMESTAMP};
use serde_json::json;

use support::device::{DeviceScene as Scene, Stamp};
use support::person::Person;
use support::refusal::{assert_refusal, assert_security_headers};
use support::store::{is_no_file, number, open_writable, rows};
use support::{Answer, DataDir, Hub};

fn server_time(answer: &Answer) -> Timestamp {
    Timestamp::parse_rfc3339(answer.json()["server_time"].as_str().unwrap()).unwrap()
}

#[test]
fn an_honest_payload_is_accepted_and_a_second_delivery_is_a_duplicate() {
    let scene = Scene::new();
    let body = scene.device.metrics((1, 1), 4.2);
    let answer = scene.device.send(&scene.hub, &body).accepted();
    assert_security_headers(&answer);
    assert_eq!(answer.json()["status"], "accepted");
    server_time(&answer);
    let again = scene.device.send(&scene.hub, &body);
    assert_eq!(
        (again.status, &again.json()["duplicate"]),
        (200, &json!(true))
    );
    let respelled = body.replace(":4.2}", ":42e-1}").replace("{", " {\n");
    assert_eq!(scene.device.send(&scene.hub, &respelled).status, 200);
    let other = scene.device.metrics((1, 1), 4.3);
    let request = scene.device.request(&other, &scene.device.stamp());
    scene.refused(&request, 409, "replay");
    let stored = rows(
        &scene.data,
        "SELECT cpu_usage_percent, is_verified FROM metrics",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    assert_eq!(stored, [(4.2, true)]);
    assert_eq!(scene.n_anomalies(), 0);
}

#[test]
fn a_hub_that_requires_the_canonical_form_takes_no_other() {
    let data = DataDir::new();
    data.add_org("acme");
    let device = data.enrol_device("acme", "web-1");
    let agent = data.enrol("acme", "alpha");
    let hub = Hub::start_with(&data, &[("MONSYS_BODY_FORM", "require")]);
    let of_device = device.metrics((1, 1), 4.2);
    let of_agent = agent.metrics((1, 1), 4.2);
    let respell = |body: &str| body.replace(":4.2}", ":42e-1}");
    assert_refusal(
        &device.send(&hub, &respell(&of_device)),
        400,
        "not_canonical",
    );
    let respelled = respell(of_agent.as_str());
    assert_refusal(
        &agent.send(&hub, respelled.as_bytes()),
        400,
        "not_canonical",
    );
    device.send(&hub, &of_device).accepted();
    agent.send(&hub, of_agent.as_bytes()).accepted();
}

#[test]
fn a_device_says_signals_about_itself_by_the_identifier_of_the_hub() {
    let scene = Scene::new();
    let body = scene.device.metrics((1, 1), 4.2);
    let at = support::now().to_rfc3339();
    let signal = json!({"source": "backup_check", "subject_type": "agent", "subject_id": "other",
        "key": "backup.age_hours", "value": {"value": 3}, "observed_at": at});
    let body = body.replace("\"metrics\"", "\"agent_signals\"").replace(
        r#"{"cpu_usage_percent":4.2}"#,
        &json!({"signals": [signal]}).to_string(),
    );
    scene.device.send(&scene.hub, &body).accepted();
    let sql = "SELECT count(*) FROM signal_streams s JOIN agents a ON CAST(a.id AS text) = s.subject_id \
               WHERE a.name = 'web-1'";
    assert_eq!(number(&scene.data, sql, []), 1);
}

#[test]
fn i1_every_header_is_needed_once_and_in_its_form() {
    let scene = Scene::new();
    let long = "a".repeat(65);
    let bad: [(&'static str, &[&str]); 5] = [
        (ORG, &["", "a b", "a/b", "\u{e4}", &long]),
        (DEVICE, &["", "web 1", ":", &long]),
        (
            TIMESTAMP,
            &["", "-1", "+1", "01", "1.0", "1e9", "253402300800"],
        ),
        (NONCE, &["", "0123456789abcde", "0123456789abcde.", &long]),
        (
            MAC,
            &["", "00", &"A".repeat(64), &"0".repeat(65), &"g".repeat(64)],
        ),
    ];
    for (header, values) in bad {
        let missing = scene.good(1).with(header, None);
        let answer = scene.refused(&missing, 400, "missing_header");
        assert_eq!(answer.json()["header"], header);
        let mut twice = scene.good(1);
        twice.headers.push((header, twice.header(header).to_vec()));
        let answer = scene.refused(&twice, 400, "bad_header");
        assert_eq!(answer.json()["header"], header);
        for value in values {
            let request = scene.good(1).with(header, Some(value.as_bytes()));
            let answer = scene.refused(&request, 400, "bad_header");
            assert_eq!(answer.json()["header"], header, "{value}");
        }
    }
    for (header, value) in [(CONTENT_TYPE, "text/plain"), (CONTENT_ENCODING, "gzip")] {
        let request = scene.good(1).with(header, Some(value.as_bytes()));
        scene.refused(&request, 415, "unsupported_media_type");
    }
    scene.good(1).send(&scene.hub).accepted();
}

/// Asks the hub for its time by a request that changes nothing.
fn hub_time(scene: &Scene) -> Timestamp {
    let yesterday = scene.device.stamp_ahead(-86_400);
    let body = scene.device.metrics((1, 1), 4.2);
    let answer = scene.device.request(&body, &yesterday).send(&scene.hub);
    assert_refusal(&answer, 401, "stale");
    assert_eq!(answer.json()["header"], TIMESTAMP);
    server_time(&answer)
}

/// The hub checks the timestamp between the times of two of its answers. A round counts only when
/// both give the same verdict, so that the test is exact and never depends on haste.
#[test]
fn i4_the_window_is_300_seconds_either_way_by_the_clock_of_the_hub() {
    let scene = Scene::new();
    let window = Span::from_secs(300);
    let mut seq = 0;
    for ahead in [-302, -301, -300, -299, 0, 299, 300, 301, 302] {
        support::poll("an unambiguous round", support::PATIENCE, || {
            seq += 1;
            let before = hub_time(&scene);
            let whole = before.unix_micros().div_euclid(1_000_000) + ahead;
            let stamp = Stamp {
                at: Timestamp::from_unix_micros(whole * 1_000_000).unwrap(),
                nonce: scene.device.nonce(),
            };
            let body = scene.device.metrics((1, seq), 4.2);
            let answer = scene.device.request(&body, &stamp).send(&scene.hub);
            let is_timely = |hub: Timestamp| stamp.at.since(hub).abs() <= window;
            let verdict = is_timely(before);
            if verdict != is_timely(server_time(&answer)) {
                return None;
            }
            assert_eq!(answer.status, if verdict { 202 } else { 401 }, "{ahead}");
            Some(())
        });
    }
    assert_eq!(scene.n_anomalies(), 0, "a stale request is only counted");
}

#[test]
fn i5_a_nonce_is_used_once_with_another_timestamp_too() {
    let scene = Scene::new();
    let stamp = scene.device.stamp();
    let body = scene.device.metrics((1, 1), 4.2);
    let first = scene.device.request(&body, &stamp);
    first.send(&scene.hub).accepted();
    scene.refused(&first, 409, "replay");
    let later = Stamp {
        at: stamp.at.saturating_add(Span::from_secs(60)),
        nonce: stamp.nonce,
    };
    let body = scene.device.metrics((1, 2), 4.2);
    let reused = scene.device.request(&body, &later);
    scene.refused(&reused, 409, "replay");
    scene.device.send(&scene.hub, &body).accepted();
}

#[test]
fn i5_a_nonce_stays_used_over_a_restart() {
    let Scene { data, hub, device } = Scene::new();
    let body = device.metrics((1, 1), 4.2);
    let captured = device.request(&body, &device.stamp());
    captured.send(&hub).accepted();
    hub.kill();
    let hub = Hub::start(&data);
    assert_refusal(&captured.send(&hub), 409, "replay");
    data.cycle();
    assert_refusal(&captured.send(&hub), 409, "replay");
    assert_eq!(device.send(&hub, &body).status, 200, "signed anew");
}

#[test]
fn a_cycle_forgets_nonces_that_may_be_used_again_and_no_others() {
    let scene = Scene::new();
    if is_no_file(&scene.data) {
        return;
    }
    for seq in 1..=3 {
        scene.device.report(&scene.hub, (1, seq), 4.2);
    }
    let connection = open_writable(&scene.data);
    let move_to = |change: &str, seq: i64| {
        let sql = "UPDATE ingest_nonces SET used_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', \
                   substr(used_at, 1, 19), ?1) WHERE nonce = \
                   (SELECT nonce FROM ingest_nonces ORDER BY nonce LIMIT 1 OFFSET ?2)";
        assert_eq!(connection.execute(sql, (change, seq)).unwrap(), 1);
    };
    move_to("-12 minutes", 0);
    // As a clock that ran ahead leaves it behind.
    move_to("+1 day", 1);
    scene.data.cycle();
    let left = "SELECT count(*) FROM ingest_nonces";
    assert_eq!(number(&scene.data, left, []), 2);
}

#[test]
fn no_agent_holds_the_credentials_of_both_profiles() {
    let scene = Scene::new();
    if is_no_file(&scene.data) {
        return;
    }
    scene.data.enrol("acme", "alpha");
    let connection = open_writable(&scene.data);
    for (change, rule) in [
        (
            "token_digest = zeroblob(32) WHERE name = 'web-1'",
            "one_credential",
        ),
        (
            "public_key = zeroblob(32) WHERE name = 'web-1'",
            "one_credential",
        ),
        (
            "device_key = zeroblob(32) WHERE name = 'alpha'",
            "one_credential",
        ),
        ("device_key = NULL WHERE name = 'web-1'", "one_credential"),
        (
            "device_key = zeroblob(31) WHERE name = 'web-1'",
            "device_key_size",
        ),
        ("name = 'web 1' WHERE name = 'web-1'", "device_word"),
    ] {
        let refused = connection.execute(&format!("UPDATE agents SET {change}"), []);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(rule), "{change}: {refused}");
    }
}

#[test]
fn two_devices_may_use_the_same_nonce() {
    let scene = Scene::new();
    scene.data.add_org("other");
    let stamp = scene.device.stamp();
    for device in [
        &scene.device,
        &scene.data.enrol_device("acme", "web-2"),
        &scene.data.enrol_device("other", "web-1"),
    ] {
        let request = device.request(&device.metrics((1, 1), 4.2), &stamp);
        request.send(&scene.hub).accepted();
        assert_refusal(&request.send(&scene.hub), 409, "replay");
    }
}

#[test]
fn a_request_that_is_refused_later_spends_its_nonce() {
    let scene = Scene::new();
    let body = scene.device.metrics((1, 1), 4.2);
    for (from, to, status, code) in [
        (
            scene.device.audience.as_str(),
            "elsewhere",
            403,
            "wrong_audience",
        ),
        ("\"web-1\"", "\"web-2\"", 403, "wrong_agent"),
        ("\"v\":1", "\"v\":1,\"w\":1", 422, "unknown_field"),
        (":4.2}", ":100.1}", 422, "out_of_range"),
    ] {
        let stamp = scene.device.stamp();
        let wrong = scene.device.request(&body.replace(from, to), &stamp);
        scene.refused(&wrong, status, code);
        scene.refused(&wrong, 409, "replay");
        let right = scene.device.request(&body, &stamp);
        scene.refused(&right, 409, "replay");
    }
    scene.device.send(&scene.hub, &body).accepted();
}

#[test]
fn a_stale_request_or_a_wrong_mac_spends_no_nonce() {
    let scene = Scene::new();
    let body = scene.device.metrics((1, 1), 4.2);
    let stale = scene.device.stamp_ahead(-3_600);
    let request = scene.device.request(&body, &stale);
    scene.refused(&request, 401, "stale");
    let stamp = Stamp {
        nonce: stale.nonce,
        ..scene.device.stamp()
    };
    let good = scene.device.request(&body, &stamp);
    let forged = good.clone().with(MAC, Some(&[b'0'; 64]));
    scene.refused(&forged, 401, "unauthorized");
    assert_eq!(
        number(&scene.data, "SELECT count(*) FROM ingest_nonces", []),
        0
    );
    good.send(&scene.hub).accepted();
    assert_eq!(scene.n_anomalies(), 0);
}

#[test]
fn one_device_cannot_fill_the_store_with_nonces() {
    let scene = Scene::new();
    if is_no_file(&scene.data) {
        return;
    }
    let other = scene.data.enrol_device("acme", "web-2");
    scene.device.report(&scene.hub, (1, 1), 4.2);
    // 4,095 more, which the device may have used a moment ago.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4095) \
               INSERT INTO ingest_nonces (tenant_id, agent_id, nonce, used_at) \
               SELECT tenant_id, agent_id, CAST(printf('%032d', i) AS BLOB), used_at \
               FROM n, (SELECT tenant_id, agent_id, used_at FROM ingest_nonces)";
    assert_eq!(open_writable(&scene.data).execute(sql, []).unwrap(), 4_095);
    let answer = scene.refused(&scene.good(2), 429, "replay_capacity");
    let wait: i64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=660).contains(&wait), "{wait}");
    other.report(&scene.hub, (1, 1), 4.2);
}

#[test]
fn a_revoked_device_is_told_so_and_only_with_a_good_mac() {
    let scene = Scene::new();
    scene.device.report(&scene.hub, (1, 1), 4.2);
    let revoked = scene.data.json(&["agent", "revoke", "acme/web-1"]);
    assert_eq!(revoked["revoked"], true);
    scene.refused(&scene.good(2), 403, "revoked");
    let forged = scene.good(2).with(MAC, Some(&[b'0'; 64]));
    scene.refused(&forged, 401, "unauthorized");
    let sql = "SELECT action, subject FROM audit_log ORDER BY id DESC LIMIT 1";
    let entries = rows(&scene.data, sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let agent_id = revoked["agent_id"].as_str().unwrap().to_owned();
    assert_eq!(entries, [("agent revoked".to_owned(), agent_id)]);
}

#[test]
fn people_see_a_device_as_verified() {
    let scene = Scene::new();
    let person = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    scene.device.report(&scene.hub, (1, 1), 4.2);
    assert_eq!(scene.data.cycle()["opened"], 0);
    let listed = person.get(&scene.hub, "/api/v1/agents").json();
    let device = &listed["items"][0];
    assert_eq!(device["name"], "web-1");
    assert_eq!(device["profile"], "hmac");
    assert!(
        device["pinned"].is_null(),
        "there is nothing to pin: {device}"
    );
    assert_eq!(device["version"], "0.1.0", "its version is a verified one");
    assert_eq!(device["open_anomalies"], 0);
    let overview = person.get(&scene.hub, "/overview").body;
    assert!(overview.contains("</svg> trusted</span>"), "{overview}");
    assert!(!overview.contains("unverified</span>"), "{overview}");
}

#[test]
fn another_method_at_the_path_is_refused_in_the_same_form() {
    let scene = Scene::new();
    let get = support::raw::get(scene.hub.addr, support::device::INGEST);
    assert_refusal(&get, 405, "method_not_allowed");
    assert_eq!(get.header("allow"), Some("POST"));
}

#[test]
fn the_key_of_a_device_stands_in_no_log_and_no_answer() {
    let scene = Scene::new();
    let digits = scene.device.key.to_secret_hex();
    let key = std::str::from_utf8(digits.as_slice()).unwrap().to_owned();
    scene.device.report(&scene.hub, (1, 1), 4.2);
    let refused = scene.good(2).with(MAC, Some(key.as_bytes()));
    let answer = scene.refused(&refused, 401, "unauthorized");
    assert!(!format!("{answer:?}").contains(&key));
    let sql = "SELECT action || subject || actor FROM audit_log";
    let entries: Vec<String> = rows(&scene.data, sql, [], |row| row.get(0));
    assert!(
        entries
            .iter()
            .any(|entry| entry.starts_with("agent enrolled"))
    );
    assert!(!entries.concat().contains(&key) && !scene.hub.log().contains(&key));
}
