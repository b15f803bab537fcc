//! Export and import between SQLite and PostgreSQL: the same bytes on every way, all or nothing, and
//! the fence of the tenants in force before and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::params;
use serde_json::Value;
use support::hub::program;
use support::login::{ApiToken, PASSWORD};
use support::postgres::{Cluster, Database, Durability};
use support::store::{is_no_file, open_writable};
use support::{DataDir, Hub, TestAgent, login, now, pause};

#[test]
fn an_export_through_postgres_and_back_is_the_same_file() {
    let (Some(server), Some(source)) = (DataDir::on_postgres(), Source::new()) else {
        return;
    };
    let first = export(&source.data, "first");
    for table in TABLES {
        let n_rows = source.counts[table].as_u64();
        assert!(n_rows > Some(0), "{table} has no rows to move");
    }
    let imported = server.json(&["import", &path(&first)]);
    assert_eq!(imported["counts"], source.counts);
    let database = server.database().unwrap();
    for table in TABLES {
        let found = database.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(Some(found), source.counts[table].as_i64(), "{table}");
    }
    assert_fenced(database);
    let second = export(&server, "second");
    assert_same(&first, &second);
    let third_store = DataDir::new();
    third_store.json(&["import", &path(&second)]);
    assert_same(&first, &export(&third_store, "third"));
    source.people.assert_known(&Hub::start(&third_store));
    let fourth_store = DataDir::on_postgres().unwrap();
    fourth_store.json(&["import", &path(&second)]);
    assert_same(&first, &export(&fourth_store, "fourth"));
    let again = server.run(&["import", &path(&first)]);
    assert_eq!(again.status.code(), Some(2), "only into an empty store");
    assert_one_line(&again, "expected an empty one", database);
}

#[test]
fn a_hub_goes_on_where_the_store_was_moved_to() {
    let (Some(server), Some(source)) = (DataDir::on_postgres(), Source::new()) else {
        return;
    };
    server.json(&["import", &path(&export(&source.data, "all"))]);
    let mut hub = Hub::start(&server);
    source.people.assert_known(&hub);
    let (agent, device) = (&source.agent, &source.device);
    // What was delivered before the move is known after it, and its nonce is spent.
    let again = agent.send(&hub, source.last_body.as_bytes());
    assert_eq!(again.json()["status"], "duplicate", "{again:?}");
    let replayed = source.captured.send(&hub);
    support::refusal::assert_refusal(&replayed, 409, "replay");
    agent.report(&hub, (1, 50), 2.0, "0.1.0");
    device.report(&hub, (1, 50), 2.0);
    let line = source.signal_line(&now().to_rfc3339());
    emit(&server, "acme", &line);
    // Of one moment the signal that came last is listed first, as before.
    let newest = "SELECT signal_value::text FROM signal_streams WHERE signal_key = 'a.b' \
                  ORDER BY observed_at DESC, arrival DESC LIMIT 1";
    let database = server.database().unwrap();
    assert!(database.run(newest).concat().contains("0.1"));
    let entry = "SELECT count(*) = count(DISTINCT id) FROM audit_log";
    server.json(&["org", "add", "third"]);
    assert_eq!(database.run(entry), ["t"], "entries go on being numbered");
    assert_eq!(server.cycle()["failed_agents"], 0);
    hub.assert_alive();
}

#[test]
fn an_export_of_a_working_hub_is_one_moment() {
    let Some(server) = DataDir::on_postgres() else {
        return;
    };
    server.add_org("acme");
    let agent = server.enrol("acme", "web-1");
    let hub = Hub::start(&server);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 1.. {
                agent.report(&hub, (1, seq), 4.2, "0.1.0");
                if is_done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let mut n_last = 0;
        while n_last < 40 {
            pause(std::time::Duration::from_millis(50));
            let file = server.path().join("moment.jsonl");
            let exported = server.json(&["export", &path(&file)]);
            let counts = &exported["counts"];
            // Each payload writes one row of both in one transaction.
            assert_eq!(counts["metrics"], counts["ingest_contents"]);
            let n_metrics = counts["metrics"].as_u64().unwrap();
            assert!(n_metrics >= n_last, "time went back");
            n_last = n_metrics;
            std::fs::remove_file(&file).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_damaged_export_says_its_line_and_leaves_an_empty_fenced_database() {
    let (Some(server), Some(source)) = (DataDir::on_postgres(), Source::new()) else {
        return;
    };
    assert!(server.run(&["migrate"]).status.success());
    let whole = std::fs::read_to_string(export(&source.data, "all")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let n_lines = lines.len();
    let place = |table: &str| {
        let start = format!("{{\"table\": \"{table}\"");
        lines
            .iter()
            .position(|line| line.starts_with(&start))
            .unwrap()
    };
    let without = |at: usize| {
        let mut kept = lines.clone();
        kept.remove(at);
        kept.join("\n")
    };
    let moved = |from: usize, to: usize| {
        let mut moved = lines.clone();
        let line = moved.remove(from);
        moved.insert(to, line);
        moved.join("\n")
    };
    let in_line = |at: usize, from: &str, to: &str| {
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert!(changed[at].contains(from), "{}", changed[at]);
        changed[at] = changed[at].replace(from, to);
        changed.join("\n")
    };
    let (metrics, tenants) = (place("metrics"), place("tenants"));
    let (signals, agents) = (place("signal_streams"), place("agents"));
    let at = |index: usize| format!("line {}: ", index + 1);
    let last_metrics = place("endpoint_snapshots") - 1;
    let cases = [
        (String::new(), at(0)),
        (without(0), at(0)),
        (without(metrics), at(n_lines - 2)),
        (without(n_lines - 1), at(n_lines - 1)),
        (
            whole[..whole.len() / 2].to_owned(),
            "expected a row of an export".into(),
        ),
        (format!("{whole}{{}}\n"), at(n_lines)),
        (
            moved(metrics, signals),
            "metrics before the tables behind it".into(),
        ),
        // A user whose organisation is not there: the database says it at the end of the table.
        (without(tenants), "the store refuses a row of users".into()),
        (
            in_line(signals, "\"cert_scan\"", "\"Cert\""),
            at(signals) + "the store refuses",
        ),
        (
            in_line(
                last_metrics,
                "\"cpu_usage_percent\": ",
                "\"cpu_usage_percent\": 1000",
            ),
            at(last_metrics) + "the store refuses a row of metrics",
        ),
        (
            in_line(metrics, "\"cpu_usage_percent\"", "\"cpu\""),
            at(metrics) + "expected columns",
        ),
        (
            in_line(metrics, "\"is_spooled\": 1", "\"is_spooled\": 2"),
            at(metrics) + "expected 0 or 1",
        ),
        (
            in_line(
                agents,
                "{\"table\": \"agents\"",
                "{\"table\": \"pg_authid\"",
            ),
            at(agents),
        ),
        (
            in_line(agents, "\"hex\": \"", "\"hex\": \"z"),
            at(agents) + "expected bytes",
        ),
        (
            in_line(agents, "\"name\": \"", "\"name\": \"\\u0000"),
            at(agents),
        ),
        (
            in_line(signals, "\\\"value\\\"", "value"),
            at(signals) + "expected a text that is JSON",
        ),
        (
            in_line(metrics, "\"time\": \"2", "\"time\": \"x"),
            at(metrics) + "expected a time",
        ),
        (
            in_line(0, "\"monsys_export\": 1", "\"monsys_export\": 2"),
            at(0),
        ),
    ];
    let database = server.database().unwrap();
    for (number, (text, said)) in cases.iter().enumerate() {
        assert_ne!(*text, whole, "case {number} is damaged");
        let file = server.path().join("damaged.jsonl");
        std::fs::write(&file, text).unwrap();
        let refused = server.run(&["import", &path(&file)]);
        assert_eq!(
            refused.status.code(),
            Some(74),
            "case {number}: {refused:?}"
        );
        assert_one_line(&refused, said, database);
        assert_eq!(n_rows(database), 0, "case {number}");
        assert_fenced(database);
    }
}

#[test]
fn rows_of_too_many_times_are_refused_and_old_ones_taken() {
    let (Some(server), Some(source)) = (DataDir::on_postgres(), Source::new()) else {
        return;
    };
    let connection = open_writable(&source.data);
    let add = |days: i64| {
        let sql = "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
                   is_spooled, is_verified, cpu_usage_percent) SELECT tenant_id, id, ?1, ?1, ?1, 2, \
                   ?2, 0, 0, 1 FROM agents WHERE id = ?3";
        let at = now().saturating_sub(monsys_core::time::Span::from_secs(days * 86_400));
        let row = params![at.to_rfc3339(), days, source.agent.id.to_string()];
        connection.execute(sql, row).unwrap();
    };
    (100..300).for_each(add);
    let old = export(&source.data, "old");
    let imported = server.json(&["import", &path(&old)]);
    assert!(imported["counts"]["metrics"].as_u64() > Some(200));
    assert_same(&old, &export(&server, "same"));
    // What is past its time goes with the next sweep, as it would have.
    let swept = server.json(&["retention", "run"]);
    assert!(swept["metrics"].as_u64() >= Some(200), "{swept}");
    (300..900).for_each(add);
    let scattered = export(&source.data, "scattered");
    let other = DataDir::on_postgres().unwrap();
    let refused = other.run(&["import", &path(&scattered)]);
    assert_eq!(refused.status.code(), Some(74), "{refused:?}");
    assert_one_line(&refused, "at most 400", other.database().unwrap());
}

#[test]
fn an_owner_that_may_not_bypass_the_fence_moves_a_store_and_others_do_not() {
    let (Some(server), Some(source)) = (DataDir::on_postgres(), Source::new()) else {
        return;
    };
    let database = server.database().unwrap();
    assert!(server.run(&["migrate"]).status.success());
    let login = format!("mover_{}", std::process::id());
    let hub_login = format!("login_{}", std::process::id());
    database.run(&format!(
        "CREATE ROLE {login} LOGIN IN ROLE monsys_owner; CREATE ROLE {hub_login} LOGIN IN ROLE monsys_app"
    ));
    let run = |arguments: &[&str], owner: Option<String>| {
        let mut program = program();
        program
            .args(arguments)
            .env("DATABASE_URL", database.url_of(&hub_login));
        program.envs(owner.map(|owner| ("MONSYS_MIGRATE_URL", owner)));
        program.output().unwrap()
    };
    let first = path(&export(&source.data, "first"));
    let second = server.path().join("second.jsonl");
    for arguments in [["import", first.as_str()], ["export", &path(&second)]] {
        let refused = run(&arguments, None);
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        assert_one_line(&refused, "MONSYS_MIGRATE_URL", database);
        assert!(!second.exists());
    }
    let owner = || Some(database.url_of(&login));
    let imported = run(&["import", &first], owner());
    assert!(imported.status.success(), "{imported:?}");
    assert_fenced(database);
    // The fence holds for the owner's own statements again.
    let wrote = database.run_as(
        &login,
        "SET ROLE monsys_owner; INSERT INTO tenants VALUES (gen_random_uuid(), 'x', now())",
    );
    assert!(wrote.unwrap_err().contains("42501"));
    assert!(run(&["export", &path(&second)], owner()).status.success());
    assert_same(&PathBuf::from(first), &second);
    database.run(&format!("DROP ROLE {login}; DROP ROLE {hub_login}"));
}

#[test]
fn a_server_that_is_killed_in_mid_import_holds_nothing_of_it() {
    let (Some(cluster), Some(source)) = (Cluster::start(Durability::Synced), Source::new()) else {
        return;
    };
    let server = DataDir::of(cluster.database());
    assert!(server.run(&["migrate"]).status.success());
    let whole = std::fs::read_to_string(export(&source.data, "all")).unwrap();
    // All lines but the last, through a pipe that is left open: the import waits for more.
    let mut import = program();
    import.env("DATABASE_URL", server.database().unwrap().url());
    import
        .args(["import", "-"])
        .stdin(std::process::Stdio::piped());
    let mut import = import.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut pipe = import.stdin.take().unwrap();
    let cut = whole.trim_end().rfind('\n').unwrap();
    std::io::Write::write_all(&mut pipe, &whole.as_bytes()[..=cut]).unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                 AND relation = 'audit_log'::regclass AND granted";
    support::poll("the import has begun", support::PATIENCE, || {
        (server.database().unwrap().number(waits) > 0).then_some(())
    });
    cluster.kill();
    // An import that has noticed already reads no more: how it ended is asserted below.
    let _ = std::io::Write::write_all(&mut pipe, &whole.as_bytes()[cut + 1..]);
    drop(pipe);
    let ended = import.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(69), "{ended:?}");
    cluster.restart();
    let database = server.database().unwrap();
    assert_eq!(n_rows(database), 0);
    assert_fenced(database);
    let file = export(&source.data, "again");
    server.json(&["import", &path(&file)]);
}

/// Every table that an export holds.
const TABLES: [&str; 15] = [
    "agents",
    "api_tokens",
    "audit_log",
    "endpoint_snapshots",
    "ingest_contents",
    "ingest_nonces",
    "integrity_anomalies",
    "integrity_events",
    "ledger_heads",
    "meta",
    "metrics",
    "signal_current",
    "signal_streams",
    "tenants",
    "users",
];

/// A store in SQLite with rows in every table, and who wrote them.
struct Source {
    data: DataDir,
    counts: Value,
    people: People,
    agent: TestAgent,
    device: support::device::TestDevice,
    last_body: String,
    captured: support::device::DeviceRequest,
}

impl Source {
    /// `None`, and a loud line, where every store is to be PostgreSQL.
    fn new() -> Option<Self> {
        let data = DataDir::new();
        if is_no_file(&data) {
            return None;
        }
        data.add_org("rival \"é\u{1f600}\\");
        data.add_org("acme");
        let agent = data.enrol("acme", "web-1");
        let other = data.enrol("rival \"é\u{1f600}\\", "web-1");
        let device = data.enrol_device("acme", "d-1");
        let mut hub = Hub::start(&data);
        for seq in 1..=20 {
            let cpu = 0.1 + f64::from(u8::try_from(seq).unwrap()) / 7.0;
            agent.report(&hub, (1, seq), cpu, "0.1.0");
            other.report(&hub, (1, seq), 0.0, "0.2.0-beta");
        }
        // A finding of its own, so that the ledger has a chain to move.
        other.report(&hub, (1, 21), 0.0, "0.1.9");
        let last_body = agent.metrics((1, 21), 1.0).as_str().to_owned();
        agent.send(&hub, last_body.as_bytes()).accepted();
        let captured = device.request(&device.metrics((1, 1), 4.2), &device.stamp());
        captured.send(&hub).accepted();
        hub.assert_alive();
        hub.terminate();
        hub.wait(support::PATIENCE);
        data.cycle();
        data.cycle();
        add_old_rows(&data);
        let mut source = Self {
            counts: Value::Null,
            people: People::new(&data),
            data,
            agent,
            device,
            last_body,
            captured,
        };
        let at = now().to_rfc3339();
        let line = source.signal_line(&at);
        // Two of one moment, of which the second counts, and values that jsonb would spell anew.
        let first = line.replace("0.1", "0.2");
        let spelled = line.replace("a.b", "c.d").replace(
            "{\"value\":0.1,",
            "{\"value\":1e-7,\"zz\":1.0,\"b\":[1e15,-0.0,\"\\u00e9\"],",
        );
        emit(&source.data, "acme", &format!("{first}\n{line}\n{spelled}"));
        let file = source.data.path().join("counts.jsonl");
        source.counts = source.data.json(&["export", &path(&file)])["counts"].clone();
        Some(source)
    }

    fn signal_line(&self, at: &str) -> String {
        let line = r#"{"source":"cert_scan","subject_type":"domain","subject_id":"shop","key":"a.b",
            "value":{"value":0.1,"t":"\u0001\\"},"severity":"high","observed_at":"TIME"}"#;
        line.replace('\n', " ").replace("TIME", at)
    }
}

/// Somebody with a password, and their API tokens.
struct People {
    reads: ApiToken,
    changes: ApiToken,
    revoked: ApiToken,
}

impl People {
    fn new(data: &DataDir) -> Self {
        let added = login::add_with_password(data, "acme", (EMAIL, "admin"), PASSWORD);
        assert!(added.status.success(), "{added:?}");
        let of = |scope| login::api_token(data, "acme", EMAIL, scope);
        let people = Self {
            reads: of("read_only"),
            changes: of("admin"),
            revoked: of("admin"),
        };
        data.json(&["token", "revoke", &people.revoked.id]);
        people
    }

    /// Asserts that each may what they might where they came from, and no more.
    fn assert_known(&self, hub: &Hub) {
        let log_in = |password| login::api_login(hub, "acme", EMAIL, password);
        assert_eq!(log_in(PASSWORD).status, 200, "the hash came along");
        assert_eq!(log_in("wrong horse battery").status, 401);
        let users = |token: &ApiToken| login::get_as(hub, "/v1/admin/users", &token.text).status;
        let found = [&self.changes, &self.reads, &self.revoked].map(users);
        assert_eq!(found, [200, 403, 401]);
    }
}

const EMAIL: &str = "a@acme.example";

/// What takes weeks to come: rows of other days, a finding that somebody resolved, a snapshot with
/// every kind of text.
fn add_old_rows(data: &DataDir) {
    let connection = open_writable(data);
    let at = |days: i64| {
        let span = monsys_core::time::Span::from_secs(days * 86_400);
        now().saturating_sub(span).to_rfc3339()
    };
    for days in 1..14 {
        let sql = "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
                   is_spooled, is_verified, cpu_usage_percent, cpu_cores, load1, mem_total_bytes, \
                   uptime_seconds, disks, networks) SELECT tenant_id, id, ?1, ?1, ?1, 3, ?2, 1, 0, 0.5, \
                   4, 1e-9, 9007199254740991, 12345.678, '[{\"mount\":\"/\u{1f600}\", \"used_bytes\":1}]', \
                   '[]' FROM agents";
        connection.execute(sql, params![at(days), days]).unwrap();
        let sql = "INSERT INTO signal_streams (tenant_id, source, subject_type, subject_id, signal_key, \
                   signal_value, severity, observed_at, ttl_seconds) SELECT id, 'cert_scan', 'domain', \
                   'old', 'a.b', '{\"value\":1}', 'low', ?1, 60 FROM tenants";
        connection.execute(sql, [at(days * 13)]).unwrap();
    }
    let sql = "INSERT INTO endpoint_snapshots (tenant_id, agent_id, time, captured_at, processes, \
               listeners, auth, persistence, health) SELECT tenant_id, id, ?1, ?1, \
               '[{\"name\": \"\\u0001 \u{1f600}\"}]', '[]', '[]', '[]', '[]' FROM agents";
    connection.execute(sql, [at(2)]).unwrap();
    let sql = "INSERT INTO integrity_anomalies (id, tenant_id, agent_id, kind, severity, summary, \
               detail, evidence, detected_at, last_seen_at, occurrences, resolved_at, resolved_by, \
               resolution, note) SELECT ?2, a.tenant_id, a.id, 'flat_metrics', 'high', \
               'CPU stddev = 0', '{\"samples\": 240, \"stddev\": 0.0}', '{}', ?1, ?1, 3, ?1, u.id, \
               'auto', 'line one\nline two' FROM agents a JOIN users u ON u.tenant_id = a.tenant_id \
               WHERE a.public_key IS NOT NULL LIMIT 1";
    let id = "00000000-0000-4000-8000-0000000000ab";
    connection.execute(sql, params![at(100), id]).unwrap();
}

fn emit(data: &DataDir, org: &str, lines: &str) {
    let file = data.path().join("signals.jsonl");
    std::fs::write(&file, lines).unwrap();
    data.json(&["signals", "emit", "--org", org, "--file", &path(&file)]);
}

fn export(data: &DataDir, name: &str) -> PathBuf {
    let file = data.path().join(format!("{name}.jsonl"));
    data.json(&["export", &path(&file)]);
    file
}

fn path(file: &std::path::Path) -> String {
    file.to_str().unwrap().to_owned()
}

fn assert_same(one: &PathBuf, other: &PathBuf) {
    let [one, other] = [one, other].map(|file| std::fs::read_to_string(file).unwrap());
    let differs = one.lines().zip(other.lines()).position(|(a, b)| a != b);
    if let Some(index) = differs {
        let [one, other] = [&one, &other].map(|text| text.lines().nth(index).unwrap());
        panic!("line {}: {one}\nis not {other}", index + 1);
    }
    assert!(one == other, "one is longer");
}

/// The rows of all tables of an export.
fn n_rows(database: &Database) -> i64 {
    let counts = TABLES.map(|table| format!("(SELECT count(*) FROM {table})"));
    database.number(&format!("SELECT {}", counts.join(" + ")))
}

/// Row-level security is on and forced for every table of tenants.
fn assert_fenced(database: &Database) {
    let open = "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                WHERE (a.attname = 'tenant_id' OR (c.relname = 'tenants' AND a.attname = 'id')) \
                AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
                AND c.relname <> 'auditor_tenants' \
                AND NOT (c.relrowsecurity AND c.relforcerowsecurity)";
    assert!(database.run(open).is_empty());
}

/// A failure says one line, without a URL.
fn assert_one_line(output: &Output, said: &str, database: &Database) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(said), "{said}: {text}");
    assert!(
        !text.contains("postgres://") && !text.contains(&database.url()),
        "{text}"
    );
}
