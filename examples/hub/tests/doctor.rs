//! The checklist of a deployment: well where all is well, and each thing that is broken for real is
//! found, named, and leaves the exit code that scripts look at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use support::postgres::Database;
use support::store::open_writable;
use support::{DataDir, Hub};

/// What the checklist says: its exit code, and each check by its name; of several with one name, the
/// worst.
struct Said {
    code: i32,
    text: String,
    checks: BTreeMap<String, Value>,
}

impl Said {
    fn by(data: &DataDir, more: &[&str]) -> Self {
        Self::with(data, more, &[])
    }

    fn with(data: &DataDir, more: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut program = data.program();
        program
            .args(["doctor", "--json", "--data"])
            .arg(data.path());
        program.args(more).envs(settings.iter().copied());
        let output = program.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!log.contains("panicked"), "{log}");
        let said: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{log}"));
        let mut checks = BTreeMap::<String, Value>::new();
        for check in said["checks"].as_array().unwrap() {
            let has_todo = check["todo"].is_string();
            let is_bad = ["warn", "fail"].contains(&check["outcome"].as_str().unwrap());
            assert_eq!(
                has_todo, is_bad,
                "what to do stands with what is wrong: {check}"
            );
            let name = check["check"].as_str().unwrap().to_owned();
            if checks
                .get(&name)
                .is_none_or(|known| known["outcome"] != "fail")
            {
                checks.insert(name, check.clone());
            }
        }
        let code = output.status.code().unwrap();
        assert_eq!(said["ok"], code == 0, "{text}");
        Self { code, text, checks }
    }

    fn outcome(&self, check: &str) -> &str {
        let found = self.checks.get(check);
        let found = found.unwrap_or_else(|| panic!("no {check} in {}", self.text));
        found["outcome"].as_str().unwrap()
    }

    /// Asserts that this check failed, that it says a word, and that no other failed.
    fn assert_found(&self, check: &str, word: &str) {
        assert_eq!(self.code, 1, "{}", self.text);
        assert_eq!(self.outcome(check), "fail", "{}", self.text);
        let found = self.checks[check]["found"].as_str().unwrap();
        assert!(found.contains(word), "{found}");
        let failed = self
            .checks
            .values()
            .filter(|check| check["outcome"] == "fail");
        assert_eq!(failed.count(), 1, "{}", self.text);
    }

    fn assert_well(&self) {
        assert_eq!(self.code, 0, "{}", self.text);
    }
}

/// A store in a file with an organisation and an agent in it; `None` on PostgreSQL.
fn sqlite() -> Option<DataDir> {
    let data = DataDir::new();
    if support::store::is_no_file(&data) {
        return None;
    }
    set_mode(data.path(), 0o700);
    data.add_org("acme");
    data.enrol("acme", "alpha");
    Some(data)
}

/// The same in a database, which belongs to this test alone.
fn postgres() -> Option<DataDir> {
    let data = DataDir::on_postgres()?;
    data.add_org("acme");
    data.enrol("acme", "alpha");
    Some(data)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_sound_store_in_a_file_is_found_well_beside_a_hub_and_without() {
    let Some(data) = sqlite() else { return };
    for hub in [None, Some(Hub::start(&data))] {
        let said = Said::by(&data, &[]);
        said.assert_well();
        for check in [
            "data_directory",
            "store_file",
            "schema",
            "definitions",
            "journal",
            "integrity",
            "store_writable",
            "ledger_guarded",
            "signature",
            "canonical_json",
        ] {
            assert_eq!(said.outcome(check), "ok", "{}", said.text);
        }
        assert_eq!(said.outcome("integrity_cycle"), "skip");
        drop(hub);
    }
    data.cycle();
    assert_eq!(Said::by(&data, &[]).outcome("integrity_cycle"), "ok");
}

#[test]
fn no_store_yet_is_not_wrong_and_none_is_made() {
    let data = DataDir::new();
    if support::store::is_no_file(&data) {
        return;
    }
    set_mode(data.path(), 0o700);
    let said = Said::by(&data, &[]);
    said.assert_well();
    assert_eq!(said.outcome("store"), "skip");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_or_store_that_others_can_read_is_found() {
    let Some(data) = sqlite() else { return };
    set_mode(data.path(), 0o755);
    Said::by(&data, &[]).assert_found("data_directory", "0755");
    set_mode(data.path(), 0o700);
    set_mode(&data.store_file(), 0o644);
    Said::by(&data, &[]).assert_found("store_file", "0644");
    set_mode(&data.store_file(), 0o600);
    Said::by(&data, &[]).assert_well();
}

/// Changes the file behind the hub's back, looks at what is said, and puts the file back.
fn tampered(data: &DataDir, change: &str, look: impl Fn(Said)) {
    let backup = std::fs::read(data.store_file()).unwrap();
    let connection = open_writable(data);
    connection
        .pragma_update(None, "foreign_keys", false)
        .unwrap();
    connection.execute_batch(change).unwrap();
    drop(connection);
    look(Said::by(data, &[]));
    for companion in ["monsys.db-wal", "monsys.db-shm"] {
        // Gone already where nothing was open any more.
        let _ = std::fs::remove_file(data.path().join(companion));
    }
    std::fs::write(data.store_file(), backup).unwrap();
    Said::by(data, &[]).assert_well();
}

#[test]
fn a_schema_that_somebody_changed_is_found() {
    let Some(data) = sqlite() else { return };
    let sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
    let index: String = support::store::rows(&data, sql, [], |row| row.get(0)).remove(0);
    for (change, word) in [
        (
            "DROP TRIGGER integrity_events_keep",
            "integrity_events_keep",
        ),
        ("CREATE TABLE stolen (a TEXT)", "stolen"),
        (&format!("DROP INDEX {index}"), &index),
    ] {
        tampered(&data, change, |said| said.assert_found("definitions", word));
    }
}

#[test]
fn a_schema_of_another_version_and_another_journal_are_found() {
    let Some(data) = sqlite() else { return };
    let connection = open_writable(&data);
    connection.pragma_update(None, "user_version", 7).unwrap();
    Said::by(&data, &[]).assert_found("schema", "7");
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .unwrap();
    drop(connection);
    Said::by(&data, &[]).assert_found("journal", "delete");
}

#[test]
fn a_damaged_file_and_rows_that_refer_to_nothing_are_found() {
    let Some(data) = sqlite() else { return };
    tampered(&data, "DELETE FROM tenants", |said| {
        said.assert_found("integrity", "refer to what is gone");
    });
    // A root page of a table is overwritten, as a failing disk does it.
    let sql = "SELECT rootpage FROM sqlite_master WHERE name = 'audit_log'";
    let connection = open_writable(&data);
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let page: usize = connection
        .query_row(sql, [], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(data.store_file()).unwrap();
    let at = (page - 1) * 4_096;
    bytes[at..at + 64].fill(0xa5);
    std::fs::write(data.store_file(), bytes).unwrap();
    let said = Said::by(&data, &[]);
    assert_eq!(
        (said.code, said.outcome("integrity")),
        (1, "fail"),
        "{}",
        said.text
    );
}

#[test]
fn a_cycle_that_nobody_ran_for_long_is_a_warning() {
    let Some(data) = sqlite() else { return };
    data.cycle();
    let sql = "UPDATE meta SET value = '2026-01-01T00:00:00Z' WHERE name = 'previous_cycle'";
    open_writable(&data).execute(sql, []).unwrap();
    let said = Said::by(&data, &[]);
    said.assert_well();
    assert_eq!(said.outcome("integrity_cycle"), "warn", "{}", said.text);
}

#[test]
fn the_clock_is_compared_with_that_of_a_hub_and_a_hub_that_is_away_is_told_apart() {
    let data = DataDir::new();
    set_mode(data.path(), 0o700);
    data.add_org("acme");
    let hub = Hub::start(&data);
    let url = hub.url("");
    let said = Said::by(&data, &["--against", &url]);
    assert_eq!(said.outcome("clock_of_hub"), "ok", "{}", said.text);
    said.assert_well();
    drop(hub);
    let said = Said::by(&data, &["--against", &url]);
    assert_eq!(said.outcome("clock_of_hub"), "fail", "{}", said.text);
    assert_eq!(said.code, 69, "{}", said.text);
}

#[test]
fn a_clock_that_is_wrong_is_found() {
    use std::io::{Read, Write};
    let data = DataDir::new();
    set_mode(data.path(), 0o700);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let another = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1_024]).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    Said::by(&data, &["--against", &url]).assert_found("clock_of_hub", "ahead");
    another.join().unwrap();
}

#[test]
fn secrets_are_looked_at_and_never_shown() {
    let data = DataDir::new();
    set_mode(data.path(), 0o700);
    let [a, b] = ["canary-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "canary-short"];
    let settings = [
        ("MONSYS_ENV", "production"),
        ("MONSYS_JWT_ACCESS_SECRET", a),
        ("MONSYS_JWT_REFRESH_SECRET", b),
        ("MONSYS_CSRF_SECRET", a),
    ];
    let said = Said::with(&data, &[], &settings);
    assert_eq!(
        (said.code, said.outcome("settings")),
        (1, "fail"),
        "{}",
        said.text
    );
    assert!(!said.text.contains("canary"), "{}", said.text);
    assert!(
        said.text.contains("MONSYS_JWT_REFRESH_SECRET"),
        "{}",
        said.text
    );
}

#[test]
fn a_certificate_that_ends_or_is_not_of_its_key_is_found() {
    let data = DataDir::new();
    set_mode(data.path(), 0o700);
    let files = [data.path().join("cert.pem"), data.path().join("key.pem")];
    let paths = files.each_ref().map(|file| file.to_str().unwrap());
    let look = || {
        let more = ["--tls-cert", paths[0], "--tls-key", paths[1]];
        Said::by(&data, &more)
    };
    let write = |days: u64| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["hub.example".into()]).unwrap();
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(86_400);
        parameters.not_before = (now - 100 * day).into();
        parameters.not_after = (now - 100 * day + u32::try_from(100 + days).unwrap() * day).into();
        if days == 0 {
            parameters.not_after = (now - day).into();
        }
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
    };
    write(90);
    assert_eq!(look().outcome("tls_certificate"), "ok");
    write(10);
    let said = look();
    assert_eq!(said.outcome("tls_certificate"), "warn", "{}", said.text);
    said.assert_well();
    write(0);
    look().assert_found("tls_certificate", "ended");
    write(90);
    std::fs::write(
        &files[1],
        rcgen::KeyPair::generate().unwrap().serialize_pem(),
    )
    .unwrap();
    look().assert_found("tls_certificate", "key.pem");
    std::fs::write(&files[0], "no certificate").unwrap();
    look().assert_found("tls_certificate", "cert.pem");
}

#[test]
fn a_sound_database_is_found_well_and_nothing_stays_of_the_tries() {
    let Some(data) = postgres() else { return };
    let database = data.database().unwrap();
    let rows = "SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM audit_log), \
                (SELECT count(*) FROM agents), (SELECT count(*) FROM integrity_events)";
    let before = database.run(rows);
    let said = Said::by(&data, &[]);
    said.assert_well();
    for check in [
        "database",
        "clock_of_database",
        "schema",
        "application_role",
        "row_level_security",
        "ledger_triggers",
        "revoked_privileges",
        "other_tenants",
    ] {
        assert_eq!(said.outcome(check), "ok", "{}", said.text);
    }
    assert_eq!(said.outcome("login_role"), "warn", "{}", said.text);
    // Roles are those of a cluster, in which other tests run.
    let login = format!("plain_{}", database.name());
    database.run(&format!("CREATE ROLE {login} LOGIN IN ROLE monsys_app"));
    let url = database.url_of(&login);
    let plain = Said::with(&data, &[], &[("DATABASE_URL", &url)]);
    plain.assert_well();
    assert_eq!(plain.outcome("login_role"), "ok", "{}", plain.text);
    // The cluster of the tests does without.
    assert_eq!(said.outcome("durability"), "warn", "{}", said.text);
    assert_eq!(database.run(rows), before);
    data.cycle();
    assert_eq!(Said::by(&data, &[]).outcome("integrity_cycle"), "ok");
}

/// Breaks something, sees that the checks find it, and repairs it.
fn broken(data: &DataDir, database: &Database, sql: &str, repair: &str, expected: &[(&str, &str)]) {
    database.run(sql);
    let said = Said::by(data, &[]);
    assert_eq!(said.code, 1, "{sql}: {}", said.text);
    for (check, word) in expected {
        assert_eq!(said.outcome(check), "fail", "{sql}: {}", said.text);
        let found = said.checks[*check]["found"].as_str().unwrap();
        assert!(found.contains(word), "{sql}: {found}");
    }
    database.run(repair);
    Said::by(data, &[]).assert_well();
}

#[test]
fn privileges_that_were_given_back_are_found_by_using_them() {
    let Some(data) = postgres() else { return };
    let database = data.database().unwrap();
    let given = |what: &str, word: &str| {
        let (grant, revoke) = (
            format!("GRANT {what} TO monsys_app"),
            format!("REVOKE {what} FROM monsys_app"),
        );
        broken(
            &data,
            database,
            &grant,
            &revoke,
            &[("revoked_privileges", word)],
        );
    };
    given("DELETE ON integrity_events", "DELETE FROM integrity_events");
    given(
        "UPDATE (seq) ON integrity_events",
        "UPDATE integrity_events",
    );
    given(
        "TRUNCATE ON integrity_anomalies",
        "TRUNCATE integrity_anomalies",
    );
    given("UPDATE (detail) ON integrity_anomalies", "SET detail");
    given("DELETE ON audit_log", "DELETE FROM audit_log");
    given("TRUNCATE ON ledger_heads", "TRUNCATE ledger_heads");
    given("INSERT ON monsys_schema", "monsys_schema");
}

#[test]
fn a_fence_with_a_hole_is_found() {
    let Some(data) = postgres() else { return };
    let database = data.database().unwrap();
    broken(
        &data,
        database,
        "ALTER TABLE agents DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE agents ENABLE ROW LEVEL SECURITY",
        &[
            ("row_level_security", "agents is not forced"),
            ("other_tenants", "agents"),
        ],
    );
    broken(
        &data,
        database,
        "ALTER TABLE metrics NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE metrics FORCE ROW LEVEL SECURITY",
        &[("row_level_security", "metrics is not forced")],
    );
    broken(
        &data,
        database,
        "CREATE POLICY hole ON tenants TO PUBLIC USING (true)",
        "DROP POLICY hole ON tenants",
        &[
            ("row_level_security", "tenants has a policy"),
            ("other_tenants", "row made for it"),
        ],
    );
    broken(
        &data,
        database,
        "ALTER POLICY of_tenant ON users USING (true)",
        "ALTER POLICY of_tenant ON users USING \
         (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid)",
        &[
            ("row_level_security", "users has no policy"),
            ("other_tenants", "users"),
        ],
    );
    broken(
        &data,
        database,
        "ALTER TABLE integrity_events DISABLE TRIGGER integrity_events_keep",
        "ALTER TABLE integrity_events ENABLE TRIGGER integrity_events_keep",
        &[("ledger_triggers", "integrity_events_keep")],
    );
    database.run("INSERT INTO monsys_schema (version) VALUES (2)");
    assert_eq!(Said::by(&data, &[]).outcome("schema"), "fail");
}

#[test]
fn a_role_that_passes_the_rules_is_found() {
    // Roles belong to the cluster, so this one has a cluster of its own.
    let careless = support::postgres::Durability::Careless;
    let Some(cluster) = support::postgres::Cluster::start(careless) else {
        return;
    };
    let data = DataDir::of(cluster.database());
    data.add_org("acme");
    data.enrol("acme", "alpha");
    let database = data.database().unwrap();
    for (sql, repair, word) in [
        (
            "ALTER ROLE monsys_app BYPASSRLS",
            "ALTER ROLE monsys_app NOBYPASSRLS",
            "row-level",
        ),
        (
            "GRANT monsys_owner TO monsys_app",
            "REVOKE monsys_owner FROM monsys_app",
            "member",
        ),
    ] {
        broken(&data, database, sql, repair, &[("application_role", word)]);
    }
}

#[test]
fn a_database_that_is_away_is_told_apart_from_one_that_is_wrong() {
    let data = DataDir::new();
    // Nobody listens on the port that is reserved for counting.
    let url = ("DATABASE_URL", "postgres://u:s3cret@127.0.0.1:1/x");
    let said = Said::with(&data, &[], &[url]);
    assert_eq!(
        (said.code, said.outcome("database")),
        (69, "fail"),
        "{}",
        said.text
    );
    assert!(!said.text.contains("s3cret"), "{}", said.text);
    let mut program = data.program();
    program.env("DATABASE_URL", "mysql://u:s3cret@db.example/x");
    let output = program.args(["doctor", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty());
}
