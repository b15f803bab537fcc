//! Signals on the command line and over HTTP: stored whole or not at all, listed by organisation,
//! forgotten by age.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use monsys_core::time::{Span, Timestamp};
use serde_json::{Value, json};
use support::person::Person;
use support::store::{change, number, rows};
use support::{DataDir, Hub, PATIENCE, pause, poll};

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = i64::try_from(since.unwrap().as_micros()).unwrap();
    Timestamp::from_unix_micros(micros).unwrap()
}

fn ago(seconds: i64) -> String {
    now().saturating_sub(Span::from_secs(seconds)).to_rfc3339()
}

fn signal(n: i64) -> Value {
    json!({
        "source": "cert_scan", "subject_type": "domain", "subject_id": format!("shop-{}", n % 3),
        "key": format!("cert.n{n}"), "value": {"value": n, "issuer": "x"}, "severity": "low",
        "observed_at": ago(1_000 - n), "ttl_seconds": null,
    })
}

/// A file of one signal a line.
fn file_of(data: &DataDir, name: &str, lines: &[String]) -> PathBuf {
    let path = data.path().join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn emit(data: &DataDir, org: &str, file: &str, more: &[&str]) -> Output {
    let arguments = ["signals", "emit", "--org", org, "--file", file];
    data.run(&[&arguments[..], more].concat())
}

fn n_stored(data: &DataDir) -> (i64, i64) {
    let count = |table| number(data, &format!("SELECT count(*) FROM {table}"), []);
    (count("signal_streams"), count("signal_current"))
}

fn filled() -> DataDir {
    filled_in(DataDir::new())
}

fn filled_in(data: DataDir) -> DataDir {
    data.add_org("acme");
    data.add_org("rival");
    let lines: Vec<_> = (0..120).map(|n| signal(n).to_string()).collect();
    let file = file_of(&data, "good.jsonl", &lines);
    let stored = emit(&data, "acme", file.to_str().unwrap(), &["--json"]);
    assert_eq!(stored.status.code(), Some(0));
    let said: Value = serde_json::from_slice(&stored.stdout).unwrap();
    assert_eq!(said["stored"], 120);
    data
}

#[test]
fn a_file_is_stored_as_a_whole() {
    let data = filled();
    assert_eq!(n_stored(&data), (120, 120));
    let sql = "SELECT count(*) FROM audit_log WHERE action = 'signals emitted' AND subject = '120'";
    assert_eq!(number(&data, sql, []), 1);
}

#[test]
fn s10_one_bad_line_stores_nothing_and_is_named_by_its_number() {
    let data = filled();
    let mut lines: Vec<_> = (200..300).map(|n| signal(n).to_string()).collect();
    lines[40] = String::new();
    lines[70] = signal(1).to_string().replace("cert.n1", "cert");
    lines[80] = "{\"source\":".into();
    lines[90] = signal(1).to_string().replace("ttl_seconds", "ttl");
    let file = file_of(&data, "bad.jsonl", &lines);
    let refused = emit(&data, "acme", file.to_str().unwrap(), &["--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((&said["stored"], &said["invalid"]), (&json!(0), &json!(3)));
    let lines: Vec<_> = said["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["line"].as_u64().unwrap(), v["rule"].as_str().unwrap()))
        .collect();
    let expected = [
        (71, "signal_key_format"),
        (81, "syntax"),
        (91, "unknown_field"),
    ];
    assert_eq!(lines, expected);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        stderr.contains("line 71: key: signal_key_format"),
        "{stderr}"
    );
    assert_eq!(n_stored(&data), (120, 120), "nothing was stored");
}

#[test]
fn ten_thousand_mistakes_make_a_bounded_answer() {
    let data = filled();
    let lines = vec![signal(1).to_string().replace("cert_scan", "Cert"); 10_000];
    let file = file_of(&data, "worse.jsonl", &lines);
    let refused = emit(&data, "acme", file.to_str().unwrap(), &["--json"]);
    assert_eq!(refused.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(said["invalid"], 10_000);
    assert_eq!(said["violations"].as_array().map(Vec::len), Some(32));
    assert!(refused.stdout.len() + refused.stderr.len() < 16_384);
    assert_eq!(n_stored(&data), (120, 120));
}

#[test]
fn what_is_no_file_of_signals_is_refused() {
    let data = filled();
    let good = data.path().join("good.jsonl");
    let good = good.to_str().unwrap();
    assert_eq!(emit(&data, "amce", good, &[]).status.code(), Some(2));
    assert_eq!(emit(&data, "acme", "nowhere", &[]).status.code(), Some(74));
    let long = file_of(&data, "long.jsonl", &["x".repeat(131_073)]);
    let refused = emit(&data, "acme", long.to_str().unwrap(), &[]);
    assert_eq!(refused.status.code(), Some(74));
    let binary = data.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe, 0, b'\n', 0]).unwrap();
    let refused = emit(&data, "acme", binary.to_str().unwrap(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    let empty = file_of(&data, "empty.jsonl", &[]);
    let stored = emit(&data, "acme", empty.to_str().unwrap(), &[]);
    assert_eq!(stored.status.code(), Some(0), "nothing is fine");
    assert_eq!(n_stored(&data), (120, 120));
}

#[test]
fn standard_input_is_a_file_too() {
    let data = filled();
    let mut child = data
        .program()
        .args(["signals", "emit", "--org", "rival", "--file", "-", "--data"])
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    write!(stdin, "{}\r\n\r\n{}", signal(1), signal(2)).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"2 signals stored\n");
    assert_eq!(
        n_stored(&data),
        (122, 122),
        "the slots of each organisation"
    );
}

#[test]
fn the_command_line_lists_what_it_is_asked_for() {
    let data = filled();
    let query = |arguments: &[&str]| {
        data.json(&[&["signals", "query", "--org", "acme"], arguments].concat())
    };
    let all = query(&[]);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(50));
    assert_eq!(all["items"][0]["key"], "cert.n119", "newest first");
    assert_eq!(
        all["items"][0]["value"],
        json!({"issuer": "x", "value": 119})
    );
    let next = all["next_cursor"].as_str().unwrap();
    let second = query(&["--cursor", next, "--limit", "200"]);
    assert_eq!(second["items"].as_array().map(Vec::len), Some(70));
    assert_eq!(second["next_cursor"], Value::Null);
    let about = ["--subject-type", "domain", "--subject-id", "shop-1"];
    assert_eq!(query(&about)["items"].as_array().map(Vec::len), Some(40));
    let one = query(&["--source", "cert_scan", "--key", "cert.n7"]);
    assert_eq!(one["items"][0]["subject_id"], "shop-1");
    assert_eq!(query(&["--since", &ago(0)])["items"], json!([]));
    let text = data.run(&["signals", "query", "--org", "acme", "--limit", "1"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("low       domain shop-2  cert_scan cert.n119"),
        "{text}"
    );
    for wrong in [["--limit", "0"], ["--since", "now"], ["--key", "a"]] {
        let arguments = [&["signals", "query", "--org", "acme"][..], &wrong].concat();
        assert_eq!(data.run(&arguments).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn people_read_the_signals_of_their_organisation_over_http() {
    let data = filled();
    let hub = Hub::start(&data);
    let path = "/api/v1/signals";
    assert_eq!(Person::anonymous().get(&hub, path).status, 401);
    let reader = Person::added(&data, &hub, "acme", "read_only");
    let get = |query: &str| {
        let answer = reader.get(&hub, &format!("{path}?{query}"));
        assert_eq!(answer.status, 200, "{query}");
        answer.json()
    };
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&format!("limit=49&cursor={cursor}"));
        for item in page["items"].as_array().unwrap() {
            seen.push(item["key"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = next.to_owned();
    }
    let newest_first: Vec<_> = (0..120).rev().map(|n| format!("cert.n{n}")).collect();
    assert_eq!(seen, newest_first, "each once");
    let item = &get("key=cert.n7")["items"][0];
    let members: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 8, "{members:?}");
    assert_eq!(item["severity"], "low");
    assert_eq!(item["ttl_seconds"], Value::Null);
    assert_eq!(get("source=dns_check")["items"], json!([]));
    let about = get("subject_type=domain&subject_id=shop-1&limit=200");
    assert_eq!(about["items"].as_array().map(Vec::len), Some(40));
    let hostile = get("subject_id=%27%20OR%20%271%27=%271");
    assert_eq!(hostile["items"], json!([]), "SQL in a name is a name");
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=1%27%20OR%201=1",
        "since=yesterday",
        "source=Cert",
        "subject_type=a__b",
        "key=cert",
        "subject_id=a%00b",
        "org_id=acme",
        "order=asc",
    ] {
        let answer = reader.get(&hub, &format!("{path}?{wrong}"));
        assert_eq!(answer.status, 422, "{wrong}");
        assert_eq!(answer.json()["code"], "out_of_range", "{wrong}");
    }
    let foreign = reader.get(&hub, &format!("{path}?org_id=rival"));
    assert_eq!(foreign.status, 403);
    assert_eq!(reader.post(&hub, path, "{}", &[]).status, 405);
}

#[test]
fn s14_another_organisation_sees_nothing_of_it() {
    let data = filled();
    let hub = Hub::start(&data);
    let rival = Person::added(&data, &hub, "rival", "admin");
    for query in ["", "?limit=200", "?subject_type=domain&subject_id=shop-1"] {
        let answer = rival.get(&hub, &format!("/api/v1/signals{query}"));
        assert_eq!(answer.json(), json!({"items": [], "next_cursor": null}));
    }
    // A cursor of another organisation opens nothing.
    let reader = Person::added(&data, &hub, "acme", "read_only");
    let page = reader.get(&hub, "/api/v1/signals?limit=1").json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let answer = rival.get(&hub, &format!("/api/v1/signals?cursor={cursor}"));
    assert_eq!(answer.json()["items"], json!([]));
}

#[test]
fn s16_retention_removes_what_is_old_and_says_so_before() {
    retention_removes_what_is_old(&filled());
}

#[test]
fn s16_retention_on_postgres_removes_what_is_old_and_says_so_before() {
    if let Some(data) = DataDir::on_postgres() {
        retention_removes_what_is_old(&filled_in(data));
    }
}

fn retention_removes_what_is_old(data: &DataDir) {
    let day = 86_400;
    if let Some(database) = data.database() {
        // What a hub that slept for weeks left.
        database.run(
            "SELECT monsys_make_partitions('signal_streams', now() - interval '200 days', now())",
        );
    }
    // More than two steps of a sweep, and a current signal that outlives its history.
    let tenant = "SELECT CAST(id AS TEXT) FROM tenants WHERE name = 'acme'";
    let tenant: String = rows(data, tenant, [], |row| row.get(0)).remove(0);
    let of_domain = format!("'{tenant}', 'cert_scan', 'domain', 'old'");
    let value = "'{\"value\":1}'";
    let row = |n: i64| {
        let at = ago(180 * day + 60 + n);
        format!("({of_domain}, 'cert.old', {value}, '{at}')")
    };
    let old: Vec<_> = (0..2_500).map(row).collect();
    let columns =
        "tenant_id, source, subject_type, subject_id, signal_key, signal_value, observed_at";
    for old in old.chunks(500) {
        let old = old.join(", ");
        change(
            data,
            &format!("INSERT INTO signal_streams ({columns}) VALUES {old}"),
        );
    }
    let (arrival, number_of) = match data.database() {
        Some(_) => (", arrival", ", 1"),
        None => ("", ""),
    };
    let (at, expired) = (ago(181 * day), ago(181 * day - 60));
    change(
        data,
        &format!(
            "INSERT INTO signal_current ({columns}, ttl_seconds, expires_at{arrival}) VALUES \
             ({of_domain}, 'cert.sticky', {value}, '{at}', NULL, NULL{number_of}), \
             ({of_domain}, 'cert.short', {value}, '{at}', 60, '{expired}'{number_of})"
        ),
    );
    let run = |arguments: &[&str]| data.json(&[&["retention", "run"], arguments].concat());
    let due = run(&["--dry-run"]);
    assert_eq!(
        (&due["signals"], &due["current"]),
        (&json!(2_500), &json!(1))
    );
    assert_eq!(due["dry_run"], true);
    let listed = || {
        let query = ["signals", "query", "--org", "acme", "--key", "cert.old"];
        data.json(&query)["items"].as_array().map(Vec::len)
    };
    assert_eq!(n_stored(data), (2_620, 122), "counting removes nothing");
    assert_eq!(listed(), Some(50));
    let hub = Hub::start(data);
    let swept = run(&[]);
    assert_eq!(
        (&swept["signals"], &swept["current"]),
        (&json!(2_500), &json!(1))
    );
    assert_eq!(listed(), Some(0), "beside a hub that serves");
    assert_eq!(n_stored(data).1, 121);
    if data.database().is_none() {
        // PostgreSQL drops the slice when all of it is old.
        assert_eq!(n_stored(data).0, 120);
    }
    assert_eq!(run(&["--dry-run"])["signals"], 0);
    assert_eq!(run(&[])["signals"], 0);
    let sticky = "SELECT count(*) FROM signal_current WHERE signal_key = 'cert.sticky'";
    assert_eq!(number(data, sticky, []), 1);
    let audit = "SELECT count(*) FROM audit_log WHERE action = 'retention run'";
    assert_eq!(number(data, audit, []), 2, "a dry run is no action");
    let text = data.run(&["retention", "run", "--dry-run"]);
    assert!(text.stdout.starts_with(b"would remove 0 signals, "));
    drop(hub);
}

#[test]
fn s10_an_emit_that_is_killed_has_stored_all_or_nothing() {
    let data = filled();
    let n_lines = 5_000;
    let lines: Vec<_> = (0..n_lines).map(|n| signal(n % 900).to_string()).collect();
    let file = file_of(&data, "many.jsonl", &lines);
    let mut before = n_stored(&data).0;
    let (mut n_whole, mut n_nothing) = (0, 0);
    for round in 0..12 {
        let mut child = data
            .program()
            .args(["signals", "emit", "--org", "acme", "--file"])
            .arg(&file)
            .arg("--data")
            .arg(data.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Sooner in each round than in the last one, so that some are killed at work.
        pause(Duration::from_millis(20 * (12 - round)));
        // It may have ended already, which is as good.
        let _ = child.kill();
        child.wait().unwrap();
        // A server ends the transaction of a client that is gone when it comes to see it.
        if let Some(database) = data.database() {
            let working = "SELECT count(*) FROM pg_stat_activity \
                           WHERE application_name = 'monsys-hub' AND datname = current_database()";
            poll("the server sees it", PATIENCE, || {
                (database.number(working) == 0).then_some(())
            });
        }
        let after = n_stored(&data).0;
        match after - before {
            0 => n_nothing += 1,
            n if n == n_lines => n_whole += 1,
            part => unreachable!("{part} of {n_lines} are stored"),
        }
        before = after;
    }
    assert!(n_nothing > 0, "{n_whole} whole, {n_nothing} not at all");
    let sql = "SELECT count(*) FROM signal_current WHERE observed_at > \
               (SELECT max(observed_at) FROM signal_streams)";
    assert_eq!(number(&data, sql, []), 0, "what is current has a history");
}
