//! What the environment asks for is there after a start, once, and what exists stays as it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use monsys_wire::DeviceKey;
use serde_json::json;

use support::device::TestDevice;
use support::raw::{Wire, request};
use support::store::rows;
use support::{Answer, DataDir, Hub};

const KEY: [u8; 32] = [0x42; 32];
const PASSWORD: &str = "a-long-enough-password";

fn orgs(key: &str) -> String {
    let devices = json!([{"id": "web-1", "key": key}]);
    json!([{"org_id": "acme", "name": "acme", "plan": "small", "devices": devices},
           {"org_id": "other"}])
    .to_string()
}

fn users(role: &str) -> String {
    users_with(role, "password", PASSWORD)
}

/// One person, with a password in plain or as a `phc`.
fn users_with(role: &str, kind: &str, password: &str) -> String {
    json!([{"org": "acme", "username": "ann@acme.example", kind: password, "role": role}])
        .to_string()
}

fn hex(key: [u8; 32]) -> String {
    key.map(|byte| format!("{byte:02x}")).concat()
}

/// A hub whose file has one plan, and whose environment asks for these.
fn start(data: &DataDir, orgs: &str, users: &str) -> Hub {
    let file = data.path().join("hub.toml");
    std::fs::write(&file, "[plans.small]\nrate = 1\nburst = 5\n").unwrap();
    let settings = [
        ("EM_ORGS_JSON", orgs),
        ("EM_USERS_JSON", users),
        ("MONSYS_CONFIG", file.to_str().unwrap()),
        ("MONSYS_ADDRESS_RATE", "0"),
    ];
    Hub::start_with(data, &settings)
}

fn log_in(hub: &Hub, password: &str) -> Answer {
    let body = json!({"org": "acme", "username": "ann@acme.example", "password": password});
    let json = [("Content-Type", "application/json")];
    let bytes = request(
        "POST",
        "/auth/api/login",
        &json,
        body.to_string().as_bytes(),
    );
    Wire::open(hub.addr).send(&bytes).end().answer()
}

/// Everything that a seed makes, as the store has it.
fn seeded(data: &DataDir) -> Vec<(String, String)> {
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let all = [
        "SELECT id, name FROM tenants ORDER BY name",
        "SELECT id, name FROM agents WHERE id <> tenant_id ORDER BY name",
        "SELECT email, role FROM users ORDER BY email, role",
    ];
    let all = all.map(|sql| rows(data, sql, [], pair));
    all.concat()
}

#[test]
fn a16_organisations_devices_and_people_are_seeded_once_and_then_stay() {
    let data = DataDir::new();
    let hub = start(&data, &orgs(&hex(KEY)), &users("admin"));
    let first = seeded(&data);
    assert!(first.iter().any(|(_, name)| name == "web-1"), "{first:?}");
    assert_eq!(log_in(&hub, PASSWORD).status, 200);
    assert_eq!(log_in(&hub, "another-long-password").status, 401);
    drop(hub);

    let hub = start(&data, &orgs(&hex(KEY)), &users("admin"));
    assert_eq!(seeded(&data), first, "a restart changes nothing");
    assert!(!hub.log().contains("it stays"), "{}", hub.log());
    assert!(!hub.log().contains("is asked for"), "{}", hub.log());
    drop(hub);

    let hub = start(&data, &orgs(&hex([0x43; 32])), &users("read_only"));
    assert_eq!(seeded(&data), first, "what exists stays");
    let log = hub.log();
    assert!(log.contains("a device has another key: it stays"), "{log}");
    assert!(log.contains("a person has another role: it stays"), "{log}");
    assert!(!log.contains(&hex(KEY)) && !log.contains(PASSWORD), "{log}");
    assert_eq!(log_in(&hub, PASSWORD).status, 200);
}

#[test]
fn a16_a_password_that_is_not_the_stored_one_is_told_once_and_changes_nothing() {
    let data = DataDir::new();
    let orgs = orgs(&hex(KEY));
    drop(start(&data, &orgs, &users("admin")));
    let sql = "SELECT password_phc FROM users WHERE email = 'ann@acme.example'";
    let phc = || rows(&data, sql, [], |row| row.get::<_, String>(0)).remove(0);
    let stored = phc();
    let other = "another-long-password";
    let (start_of_phc, hash) = stored.rsplit_once('$').unwrap();
    let first = if hash.starts_with('A') { 'B' } else { 'A' };
    let other_phc = format!("{start_of_phc}${first}{}", &hash[1..]);
    for (kind, password, n_told) in [
        ("password", PASSWORD, 0),
        ("phc", stored.as_str(), 0),
        ("password", other, 1),
        ("phc", other_phc.as_str(), 1),
    ] {
        let hub = start(&data, &orgs, &users_with("admin", kind, password));
        let log = hub.log();
        let told = log.matches("keeps the password that is stored; another one is asked for");
        assert_eq!(told.count(), n_told, "{kind}: {log}");
        assert!(!log.contains(password) && !log.contains("ann@"), "{log}");
        assert_eq!(log_in(&hub, PASSWORD).status, 200);
        assert_eq!(log_in(&hub, other).status, 401);
        assert_eq!(phc(), stored);
    }
}

#[test]
fn a16_a_seeded_device_sends_and_is_held_to_the_plan_of_its_organisation() {
    let data = DataDir::new();
    let hub = start(&data, &orgs(&hex(KEY)), "[]");
    let sql = "SELECT value FROM meta WHERE name = 'hub_id'";
    let audience: String = rows(&data, sql, [], |row| row.get(0)).remove(0);
    let digits = DeviceKey::from_secret_bytes(KEY).to_secret_hex();
    let key = str::from_utf8(digits.as_slice()).unwrap();
    let device = json!({"org": "acme", "device": "web-1", "key": key, "aud": audience});
    let device = TestDevice::new(&device);
    let statuses: Vec<_> = (1..=20)
        .map(|seq| {
            let body = device.metrics((1, seq), 4.2);
            device.request(&body, &device.stamp()).send(&hub).status
        })
        .collect();
    let n_accepted = statuses.iter().filter(|status| **status == 202).count();
    let n_limited = statuses.iter().filter(|status| **status == 429).count();
    // Five at once, and one more each second that this took.
    assert_eq!(&statuses[..5], &[202; 5], "{statuses:?}");
    assert!(
        n_limited >= 5 && n_accepted + n_limited == 20,
        "{statuses:?}"
    );
}

#[test]
fn a16_what_cannot_be_seeded_is_refused_by_entry_and_never_shown() {
    let secret = "canary-4711-canary";
    for (orgs, users, expected) in [
        ("{", "[]", "MONSYS_ORGS_JSON"),
        (
            r#"[{"org_id":"acme","key":"canary-4711-canary"}]"#,
            "[]",
            "unknown field `key`",
        ),
        (
            r#"[{"org_id":"a b","devices":[{"id":"x","key":""}]}]"#,
            "[]",
            "entry 1: org_id",
        ),
        (
            r#"[{"org_id":"acme","devices":[{"id":"x","key":"canary-4711-canary"}]}]"#,
            "[]",
            "entry 1: device 1: key",
        ),
        (r#"[{"org_id":"acme","plan":"gold"}]"#, "[]", "[plans.gold]"),
        ("[]", r#"["canary-4711-canary"]"#, "MONSYS_USERS_JSON"),
        (
            "[]",
            r#"[{"org":"a","username":"u","password":"canary-4711-canary","role":"root"}]"#,
            "entry 1: role",
        ),
        (
            "[]",
            r#"[{"org":"a","username":"u","phc":"canary-4711-canary","role":"admin"}]"#,
            "entry 1: phc",
        ),
        (
            "[]",
            r#"[{"org":"a","username":"u","role":"admin"}]"#,
            "password or a phc",
        ),
    ] {
        let data = DataDir::new();
        let mut program = data.program();
        program.args(["check", "--data"]).arg(data.path());
        program.envs([("EM_ORGS_JSON", orgs), ("EM_USERS_JSON", users)]);
        let output = program.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{orgs} {users}: {stderr}");
        let expected = expected.replace("MONSYS_", "EM_");
        assert!(
            stderr.replace("MONSYS_", "EM_").contains(&expected),
            "{stderr}"
        );
        assert!(!stderr.contains(secret), "{stderr}");
    }
}
